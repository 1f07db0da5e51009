"""The shared vectors, through the Python verifier. JavaScript and Solidity read the same files."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ledger import merkle
from ledger.canonical import canonical
from ledger.checkpoint import LogKey
from ledger.checkpoint import verify as verify_checkpoint
from ledger.errors import VerificationError
from ledger.proof import _parsed, verify

VECTORS = Path(__file__).resolve().parent.parent / "vectors"


def cases(name: str) -> list[Any]:
    """One parameter per case, named by its description."""
    loaded = json.loads((VECTORS / name).read_text(encoding="ascii"))
    return [pytest.param(case, id=case["description"]) for case in loaded]


def holds(check: Any, *args: Any, **named: Any) -> bool:
    """Whether a check passes; any other exception than VerificationError is a test failure."""
    try:
        check(*args, **named)
    except VerificationError:
        return False
    return True


def unhex(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


@pytest.mark.parametrize("case", cases("inclusion.json"))
def test_inclusion(case: dict[str, Any]) -> None:
    leaf, root = unhex([case["leaf"], case["root"]])
    assert holds(merkle.verify_inclusion, leaf, case["index"], case["size"], unhex(case["proof"]), root) is case["ok"]


@pytest.mark.parametrize("case", cases("consistency.json"))
def test_consistency(case: dict[str, Any]) -> None:
    first, second = unhex([case["root1"], case["root2"]])
    args = case["size1"], case["size2"], first, second, unhex(case["proof"])
    assert holds(merkle.verify_consistency, *args) is case["ok"]


@pytest.mark.parametrize("case", cases("canonical.json"))
def test_canonical(case: dict[str, Any]) -> None:
    text = case["text"].encode(errors="surrogatepass")
    assert holds(_parsed, text, "the text") is case["ok"]
    if case["ok"]:
        assert canonical(json.loads(text)) == text


@pytest.mark.parametrize("case", cases("checkpoint.json"))
def test_checkpoint(case: dict[str, Any]) -> None:
    assert holds(lambda: verify_checkpoint(case["note"], LogKey.parse(case["key"]))) is case["ok"]


@pytest.mark.parametrize("case", cases("proof.json"))
def test_proof(case: dict[str, Any]) -> None:
    data = base64.b64decode(case["file_base64"]) if "file_base64" in case else case["file"].encode()
    key = LogKey.parse(case["log_key"]) if "log_key" in case else None
    assert holds(verify, data, log_key=key) is case["ok"]
    if "entries" in case:
        assert len(verify(data, log_key=key).entries) == case["entries"]


def test_generating_again_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, VECTORS / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_at_least_two_hundred_cases_must_fail() -> None:
    failing = [case for name in ("checkpoint.json", "proof.json") for case in cases(name) if not case.values[0]["ok"]]
    assert len(failing) >= 200
