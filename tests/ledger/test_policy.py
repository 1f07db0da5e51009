"""Policy files. The ways one can be wrong are in tests/vectors/policy.json."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.checkpoint import LogKey, LogSigner
from ledger.cosign import WitnessSigner
from ledger.errors import PolicyError, VerificationError
from ledger.policy import MAX_FILE_BYTES, Policy

LOG = LogSigner("guoyuan.example/sample-log", bytes(32))
OTHER_LOG = LogSigner("guoyuan.example/other-log", b"o" * 32)
NOTE = LOG.sign(38, bytes(range(32)))
WITNESSES = {name: WitnessSigner(f"witness.example/{name}", name.encode() * 16) for name in ("x1", "x2", "x3", "y1")}
TWO_LEVELS = "".join(
    [
        f"log {LOG.key.text()}\n",
        *(f"witness {name} {signer.key.text()}\n" for name, signer in WITNESSES.items()),
        "group X 2 x1 x2 x3\ngroup Y any y1\ngroup both all X Y\nquorum both\n",
    ]
)


def cosigned(names: Sequence[str]) -> str:
    return NOTE + "".join(WITNESSES[name].cosign(NOTE, time_s=7) for name in names)


def is_met(policy: Policy, note: str, log: LogKey | None = None) -> bool:
    try:
        policy.check(note, log=log)
    except VerificationError:
        return False
    return True


def test_every_subset_of_witnesses_is_judged_as_the_groups_say() -> None:
    policy = Policy.parse(TWO_LEVELS.encode())
    for count in range(5):
        for names in itertools.combinations(WITNESSES, count):
            wanted = sum(name.startswith("x") for name in names) >= 2 and "y1" in names
            assert is_met(policy, cosigned(names)) is wanted, names


def test_what_was_shown_names_log_witnesses_and_times() -> None:
    approval = Policy.parse(TWO_LEVELS.encode()).check(cosigned(["x1", "x3", "y1"]))
    assert (approval.head.size, approval.log) == (38, LOG.key)
    assert [(c.key.name, c.time_s) for c in approval.cosignatures] == [
        ("witness.example/x1", 7),
        ("witness.example/x3", 7),
        ("witness.example/y1", 7),
    ]


def test_an_unmet_quorum_says_who_did_cosign() -> None:
    with pytest.raises(VerificationError, match=r"quorum both is not met.* witness\.example/x1 cosigned"):
        Policy.parse(TWO_LEVELS.encode()).check(cosigned(["x1"]))


def test_quorum_none_demands_no_witness_but_shows_those_there() -> None:
    policy = Policy.parse(TWO_LEVELS.replace("quorum both", "quorum none").encode())
    assert policy.check(NOTE).cosignatures == ()
    assert len(policy.check(cosigned(["y1"])).cosignatures) == 1
    spoiled = NOTE + WITNESSES["y1"].cosign(LOG.sign(39, bytes(32)), time_s=7)
    assert not is_met(policy, spoiled)


def test_any_of_the_logs_will_do_and_no_other() -> None:
    policy = Policy.parse(
        f"log {OTHER_LOG.key.text()}\nlog {LOG.key.text()} https://x.example/\nquorum none\n".encode()
    )
    assert policy.check(NOTE).log == LOG.key
    assert not is_met(policy, LogSigner("guoyuan.example/sample-log", b"t" * 32).sign(38, bytes(32)))
    assert is_met(policy, NOTE, LOG.key)
    assert not is_met(policy, NOTE, OTHER_LOG.key)


def test_a_policy_without_logs_leaves_the_log_to_the_caller() -> None:
    policy = Policy.parse(b"quorum none\n")
    assert not is_met(policy, NOTE)
    assert is_met(policy, NOTE, LOG.key)


def test_a_policy_is_cut_nowhere_unnoticed() -> None:
    """A file cut short may demand less than the whole one; it must be an error, never a weaker policy."""
    text = TWO_LEVELS.encode()
    for at in range(len(text)):
        with pytest.raises(PolicyError):
            Policy.parse(text[:at])


def test_the_line_is_named() -> None:
    with pytest.raises(PolicyError, match="line 3: 'witnes' is none of") as raised:
        Policy.parse(b"# ours\n\nwitnes x\nquorum none\n")
    assert raised.value.line == 3


def test_names_are_octets() -> None:
    """U+212A is not K, whatever Unicode says of the two; and what is no UTF-8 is a name too."""
    key, other = (signer.key.text().encode() for signer in (WITNESSES["x1"], WITNESSES["x2"]))
    policy = Policy.parse(b"witness K " + key + b"\nwitness \xe2\x84\xaa " + other + b"\nquorum \xe2\x84\xaa\n")
    assert is_met(policy, cosigned(["x2"]), LOG.key)
    assert not is_met(policy, cosigned(["x1"]), LOG.key)
    assert is_met(Policy.parse(b"witness \xff\xfe " + key + b"\nquorum \xff\xfe\n"), cosigned(["x1"]), LOG.key)


def test_hundreds_of_groups_are_judged_at_once() -> None:
    lines = [f"witness w {WITNESSES['x1'].key.text()}", "group g0 1 w"]
    lines += [f"group g{n} all g{n - 1}" for n in range(1, 2000)]
    policy = Policy.parse("\n".join([*lines, "quorum g1999", ""]).encode())
    assert is_met(policy, cosigned(["x1"]), LOG.key)
    assert not is_met(policy, NOTE, LOG.key)


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_are_a_policy_or_refused(data: bytes) -> None:
    for attempt in (data, data + b"\nquorum none\n", b"group " + data + b"\n", b"witness a " + data + b"\n"):
        try:
            Policy.parse(attempt)
        except PolicyError:
            continue


def test_a_file_beyond_64_kilobytes_is_not_even_read() -> None:
    with pytest.raises(PolicyError, match="longer"):
        Policy.parse(b"#" * MAX_FILE_BYTES + b"\n")
