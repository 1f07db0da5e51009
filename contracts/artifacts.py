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
    immutables: tuple[slice, ...]
    """Where a deployment has the values its constructor was given; zeros in what is committed."""
    compiler: str

    def is_code_of(self, code: bytes) -> bool:
        """Whether a chain's code at some address is this contract, whatever its constructor was given."""
        blank = bytearray(code)
        for where in self.immutables:
            blank[where] = bytes(len(blank[where]))
        return bytes(blank) == self.deployed_bytecode


@cache
def anchor_log() -> Artifact:
    """Return `AnchorLog`, exactly as `node contracts/bin/build.js` wrote it."""
    data = json.loads((_FOLDER / "AnchorLog.json").read_text())
    return Artifact(
        abi=data["abi"],
        bytecode=bytes.fromhex(data["bytecode"].removeprefix("0x")),
        deployed_bytecode=bytes.fromhex(data["deployedBytecode"].removeprefix("0x")),
        immutables=tuple(slice(one["start"], one["start"] + one["length"]) for one in data["immutables"]),
        compiler=data["compiler"]["version"],
    )
