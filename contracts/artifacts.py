"""The compiled contract, as committed under `abi/`."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "abi"


@dataclass(frozen=True, slots=True)
class Artifact:
    """What the compiler made of one contract."""

    abi: list[dict[str, Any]]  # the compiler's own JSON
    bytecode: bytes
    deployed_bytecode: bytes
    compiler: str


@cache
def anchor_log() -> Artifact:
    """Return `AnchorLog`, exactly as `node contracts/bin/build.js` wrote it."""
    data = json.loads((_FOLDER / "AnchorLog.json").read_text())
    return Artifact(
        abi=data["abi"],
        bytecode=bytes.fromhex(data["bytecode"].removeprefix("0x")),
        deployed_bytecode=bytes.fromhex(data["deployedBytecode"].removeprefix("0x")),
        compiler=data["compiler"]["version"],
    )
