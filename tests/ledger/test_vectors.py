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
from ledger.cosign import WitnessKey, cosignatures
from ledger.errors import PolicyError, VerificationError
from ledger.policy import Policy
from ledger.proof import _parsed, verify
from ledger.tlog_proof import verify as verify_entry
from tests.vectors.compact import files_of, text_of

VECTORS = Path(__file__).resolve().parent.parent / "vectors"


def cases(name: str) -> list[Any]:
    """One parameter per case, named by its description."""
    loaded = json.loads((VECTORS / name).read_text(encoding="ascii"))
    if "proof" in name:
        loaded = [case | {"bytes": data} for case, data in zip(loaded, files_of(loaded), strict=True)]
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
    text = text_of(case["text"]).encode(errors="surrogatepass")
    assert holds(_parsed, text, "the text") is case["ok"]
    if case["ok"]:
        assert canonical(json.loads(text)) == text


@pytest.mark.parametrize("case", cases("checkpoint.json"))
def test_checkpoint(case: dict[str, Any]) -> None:
    assert holds(lambda: verify_checkpoint(text_of(case["note"]), LogKey.parse(case["key"]))) is case["ok"]


@pytest.mark.parametrize("case", cases("cosignature.json"))
def test_cosignature(case: dict[str, Any]) -> None:
    def check() -> None:
        keys = [WitnessKey.parse(text) for text in case["keys"]]
        found = {given.key: given.time_s for given in cosignatures(case["note"], keys)}
        assert [found.get(key) for key in keys] == case["times"]

    assert holds(check) is case["ok"]


@pytest.mark.parametrize("case", cases("policy.json"))
def test_policy(case: dict[str, Any]) -> None:
    octets = base64.b64decode(case["policy_base64"]) if "policy_base64" in case else case["policy"].encode()
    if "line" in case:
        with pytest.raises(PolicyError) as raised:
            Policy.parse(octets)
        assert raised.value.line == case["line"]
        return
    policy = Policy.parse(octets)
    key = LogKey.parse(case["log_key"]) if "log_key" in case else None
    assert holds(policy.check, case["note"], log=key) is case["ok"]


@pytest.mark.parametrize("case", cases("proof.json"))
def test_proof(case: dict[str, Any]) -> None:
    key = LogKey.parse(case["log_key"]) if "log_key" in case else None
    policy = Policy.parse(case["policy"].encode()) if "policy" in case else None
    assert holds(verify, case["bytes"], log_key=key, policy=policy) is case["ok"]
    if "entries" in case:
        assert len(verify(case["bytes"], log_key=key).entries) == case["entries"]
    if "witnesses" in case:
        assert len(verify(case["bytes"], log_key=key, policy=policy).cosignatures) == case["witnesses"]


@pytest.mark.parametrize("case", cases("tlog_proof.json"))
def test_tlog_proof(case: dict[str, Any]) -> None:
    key = LogKey.parse(case["log_key"]) if case.get("log_key") else None
    policy = Policy.parse(case["policy"].encode()) if "policy" in case else None
    entry = case["entry"].encode() if "entry" in case else None
    assert holds(verify_entry, case["bytes"], entry=entry, log_key=key, policy=policy) is case["ok"]


def test_generating_again_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, VECTORS / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_at_least_five_hundred_cases_must_fail() -> None:
    names = ("checkpoint", "cosignature", "policy", "proof", "tlog_proof")
    failing = [case for name in names for case in cases(f"{name}.json") if not case.values[0]["ok"]]
    assert len(failing) >= 500


def test_the_vectors_stay_small() -> None:
    """Whole files are stored once; the rest are changes to them."""
    assert max(path.stat().st_size for path in VECTORS.glob("*.json")) < 300_000
