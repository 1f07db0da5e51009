"""Vectors about witnesses: cosignatures, policies, proofs that carry them, tlog-proof files; and what chains answer."""

import base64
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from ledger import merkle
from ledger.checkpoint import LogKey
from ledger.cosign import WitnessKey, WitnessSigner
from ledger.tlog_proof import TlogProof
from tests.vectors.ground import (
    LEAVES,
    ORIGIN,
    OTHER_SIGNER,
    SIGNER,
    SMALL_ORDER,
    THIEF,
    VOIDED,
    ZERO,
    Case,
    b64,
    built,
    flip,
    line,
    malleable,
)

NORTH = WitnessSigner("witness.example/north", sha256(b"guoyuan north witness").digest())
SOUTH = WitnessSigner("witness.example/south", sha256(b"guoyuan south witness").digest())
EAST = WitnessSigner("witness.example/east", sha256(b"guoyuan east witness").digest())
IMPOSTOR = WitnessSigner(NORTH.name, sha256(b"guoyuan impostor").digest())
TIME_S = 1_777_600_000
LATER_S = TIME_S + 3600

LOG = f"log {SIGNER.key.text()}\n"
WITNESSES = f"witness north {NORTH.key.text()}\nwitness south {SOUTH.key.text()}\n"
BOTH = f"{LOG}{WITNESSES}group both all north south\nquorum both\n"
ANY = f"{LOG}{WITNESSES}group outside any north south\nquorum outside\n"
NONE = f"{LOG}{WITNESSES}quorum none\n"

Break = Callable[[bytes], bytes]


def _body(note: str) -> str:
    return note.rpartition("\n\n")[0] + "\n"


def _material(note: str, signer: WitnessSigner = NORTH, *, time_s: int = TIME_S, message: str | None = None) -> bytes:
    """Key id, time and signature, over any message."""
    said = f"cosignature/v1\ntime {time_s}\n{_body(note)}" if message is None else message
    return signer.key.key_id + (time_s % 2**64).to_bytes(8, "big") + signer._key.sign(said.encode()).signature


def _cosigned(note: str, *signers: WitnessSigner, time_s: int = TIME_S) -> str:
    return note + "".join(signer.cosign(note, time_s=time_s) for signer in signers)


# --- cosignatures ---------------------------------------------------------------------------------


def cosignatures() -> Iterator[Case]:
    """Yield notes with cosignatures, the witnesses that are known, and the times found; and the ways to break one."""
    note, other = SIGNER.sign(38, merkle.root(LEAVES[:38])), SIGNER.sign(39, merkle.root(LEAVES[:39]))
    keys = [NORTH.key.text(), SOUTH.key.text()]

    def case(description: str, text: str, *times: int | None, ok: bool = True, known: list[str] = keys) -> Case:
        return {"description": description, "note": text, "keys": known, "times": list(times), "ok": ok}

    def bad(description: str, material: bytes, *, name: str = NORTH.name, known: list[str] = keys) -> Case:
        return case(description, note + line(name, material), ok=False, known=known)

    yield case("nobody", note, None, None)
    yield case("one of two", _cosigned(note, NORTH), TIME_S, None)
    yield case("both", _cosigned(note, NORTH, SOUTH), TIME_S, TIME_S)
    yield case("both, the other way round", _cosigned(note, SOUTH, NORTH), TIME_S, TIME_S)
    body, _, own = note.rpartition("\n\n")
    in_front = NORTH.cosign(note, time_s=TIME_S)
    yield case("in front of the log's own signature", f"{body}\n\n{in_front}{own}", TIME_S, None)
    yield case("without the log's own signature", f"{body}\n\n{in_front}", TIME_S, None)
    yield case(
        "one witness twice: the latest counts", _cosigned(_cosigned(note, NORTH), NORTH, time_s=LATER_S), LATER_S, None
    )
    early = NORTH.cosign(note, time_s=1)
    yield case("one witness twice, the latest first", _cosigned(note, NORTH) + early, TIME_S, None)
    yield case("the first second there is", _cosigned(note, NORTH, time_s=1), 1, None)
    yield case(
        "the last second of the year 9999", _cosigned(note, NORTH, time_s=253_402_300_799), 253_402_300_799, None
    )
    yield case("an unknown witness", _cosigned(note, EAST), None, None)
    yield case("an impostor: the name of one, another key", _cosigned(note, IMPOSTOR), None, None)
    yield case("sixteen witnesses", note + "".join(
        WitnessSigner(f"witness.example/{n}", bytes([n]) * 32).cosign(note, time_s=TIME_S) for n in range(16)
    ), None, None)  # fmt: skip
    extended = _extended(note)
    yield case("over an extension line", extended + line(NORTH.name, _material(extended)), TIME_S, None)
    yield case("nobody is known", _cosigned(note, NORTH, SOUTH), known=[])
    plain = NORTH.key.key_id + NORTH._key.sign(_body(note).encode()).signature
    log_like = LogKey(NORTH.name, NORTH.key.public_key)
    signed_as_log = log_like.key_id + NORTH._key.sign(_body(note).encode()).signature
    yield case("the witness's key under the id of a log key", note + line(NORTH.name, signed_as_log), None, None)

    good = _material(note)
    for bit in (32, 40, 60, 95, 96, 100, 200, 351, 352, 400, 600, 607):
        yield bad(f"bit {bit} flipped", flip(good, bit))
    for bit in (0, 17, 31):
        yield case(f"bit {bit} of the key id flipped", note + line(NORTH.name, flip(good, bit)), None, None)
    yield bad("signature malleability: S plus the group order", malleable(good, 12))
    yield bad("an all-zero signature", good[:12] + bytes(64))
    yield bad("a byte short", good[:-1])
    yield bad("a byte long", good + b"\0")
    yield bad("the key id and a time alone", good[:12])
    yield bad("no time: a plain signature", plain)
    yield bad("a time of 0", _material(note, time_s=0))
    yield bad("a time after the year 9999", _material(note, time_s=253_402_300_800))
    yield bad("a time of 2^63", _material(note, time_s=2**63))
    yield bad("a time of 2^64 - 1", _material(note, time_s=2**64 - 1))
    yield bad("another time than the one signed", good[:4] + LATER_S.to_bytes(8, "big") + good[12:])
    yield bad("a cosignature of another checkpoint", _material(other))
    yield bad(
        "of the same checkpoint without its last newline",
        _material(note, message=f"cosignature/v1\ntime {TIME_S}\n{_body(note)[:-1]}"),
    )
    for what, message in {
        "another version": f"cosignature/v0\ntime {TIME_S}\n{_body(note)}",
        "no version": f"time {TIME_S}\n{_body(note)}",
        "no time in the message": f"cosignature/v1\n{_body(note)}",
        "a time with a leading zero": f"cosignature/v1\ntime 0{TIME_S}\n{_body(note)}",
        "two spaces before the time": f"cosignature/v1\ntime  {TIME_S}\n{_body(note)}",
        "carriage returns": f"cosignature/v1\r\ntime {TIME_S}\r\n{_body(note)}",
        "the whole note, signatures too": f"cosignature/v1\ntime {TIME_S}\n{note}",
    }.items():
        yield bad(f"signed over another message: {what}", _material(note, message=message))
    yield bad("extension lines left out of what is signed", _material(note)) | {
        "note": extended + line(NORTH.name, _material(note))
    }
    spoiled = line(NORTH.name, flip(good, 600))
    yield case("a good one and a bad one of one witness", _cosigned(note, NORTH) + spoiled, ok=False)
    yield case("a bad one of one witness, a good one of the other", _cosigned(note, SOUTH) + spoiled, ok=False)
    yield case(
        "another checkpoint's lines behind this one", note + _cosigned(other, NORTH).rpartition("\n\n")[2], ok=False
    )
    yield case("the size changed after cosigning", _cosigned(note, NORTH).replace("\n38\n", "\n39\n"), ok=False)
    yield case(
        "the root changed after cosigning", _cosigned(note, NORTH).replace(note.split("\n")[2], b64(ZERO)), ok=False
    )
    weak = WitnessKey(NORTH.name, SMALL_ORDER)
    yield bad(
        "a key of small order", weak.key_id + TIME_S.to_bytes(8, "big") + SMALL_ORDER + bytes(32), known=[weak.text()]
    )
    for what, key in {
        "a log key": SIGNER.key.text(),
        "ML-DSA's type": NORTH.key.text()[: NORTH.key.text().rindex("+") + 1] + b64(b"\x06" + NORTH.key.public_key),
        "another id": NORTH.key.text().replace(NORTH.key.key_id.hex(), "00000000"),
        "31 bytes": NORTH.key.text()[: NORTH.key.text().rindex("+") + 1] + b64(b"\x04" + NORTH.key.public_key[:31]),
        "a space in its name": " " + NORTH.key.text(),
        "nothing": "",
    }.items():
        yield case(f"a witness key that is malformed: {what}", _cosigned(note, NORTH), ok=False, known=[key])
    for what, text in {
        "cut in the last line": _cosigned(note, NORTH)[:-10],
        "no newline at the end": _cosigned(note, NORTH)[:-1],
        "an empty line between the signatures": note + "\n" + NORTH.cosign(note, time_s=TIME_S),
        "a hyphen for the dash": note + NORTH.cosign(note, time_s=TIME_S).replace("\u2014", "-"),
        "base64url": note + line(NORTH.name, b"\xff" * 76).replace("/", "_"),
        "loose bits in base64": note + _loose(line(NORTH.name, good)),
        "nothing at all": "",
        "no note before it": NORTH.cosign(note, time_s=TIME_S),
    }.items():
        yield case(f"a note that is malformed: {what}", text, ok=False)


def _extended(note: str) -> str:
    body = _body(note) + "an extension\n"
    return f"{body}\n" + line(ORIGIN, SIGNER.key.key_id + SIGNER._key.sign(body.encode()).signature)


def _loose(text: str) -> str:
    """The last letter before the padding with one of its unused bits set."""
    at = len(text.rstrip("=\n")) - 1
    return text[:at] + chr(ord(text[at]) + 1) + text[at + 1 :]


# --- policies -------------------------------------------------------------------------------------


def policies() -> Iterator[Case]:
    """Yield policies, the notes they judge, and what comes of it; `line` is where one that is malformed says so."""
    note = SIGNER.sign(38, merkle.root(LEAVES[:38]))
    neither, one, both = note, _cosigned(note, NORTH), _cosigned(note, NORTH, SOUTH)

    def case(description: str, policy: str | bytes, text: str, *, ok: bool, key: str | None = None) -> Case:
        octets = policy.encode() if isinstance(policy, str) else policy
        written = {"policy": octets.decode()} if _is_utf8(octets) else {"policy_base64": b64(octets)}
        known = {} if key is None else {"log_key": key}
        return {"description": description, **written, "note": text, "ok": ok, **known}

    def wrong(description: str, policy: str | bytes, at: int) -> Case:
        return case(description, policy, both, ok=False) | {"line": at}

    for name, policy, wanted in (("all", BOTH, both), ("any", ANY, one), ("none", NONE, neither)):
        for count, text in enumerate((neither, one, both)):
            yield case(f"{name} of two witnesses, cosigned by {count}", policy, text, ok=len(text) >= len(wanted))
    yield case("one witness demanded by name", NONE.replace("quorum none", "quorum north"), one, ok=True)
    yield case("the other one demanded", NONE.replace("quorum none", "quorum south"), one, ok=False)
    levels = (
        f"{LOG}{WITNESSES}witness east {EAST.key.text()}\ngroup inner 1 north south\n"
        "group outer all inner east\nquorum outer\n"
    )
    yield case("groups of groups, met", levels, _cosigned(note, SOUTH, EAST), ok=True)
    yield case("groups of groups, one side alone", levels, both, ok=False)
    yield case("an impostor does not count", NONE.replace("none", "north"), _cosigned(note, IMPOSTOR), ok=False)
    yield case("comments, tabs, blanks, and addresses", (
        "# ours\n\n \t # more\n\tlog  " + SIGNER.key.text() + " https://guoyuan.example/log\t\n"
        + WITNESSES.replace("\nwitness s", " https://north.example/ \nwitness s") + "quorum\tnorth\n"
    ), one, ok=True)  # fmt: skip
    yield case("the quorum before a witness it does not name", f"{LOG}quorum none\n{WITNESSES}", neither, ok=True)
    yield case("a log of two signed", f"log {OTHER_SIGNER.key.text()}\n{NONE}", neither, ok=True)
    yield case("no log of the policy signed", NONE.replace(SIGNER.key.text(), OTHER_SIGNER.key.text()), both, ok=False)
    yield case("a thief's key under the log's name", NONE, THIEF.sign(38, merkle.root(LEAVES[:38])), ok=False)
    two_keys = f"log {THIEF.key.text()}\n{NONE}"
    yield case("two keys of one log, one signed", two_keys, neither, ok=True)
    own = THIEF.sign(38, merkle.root(LEAVES[:38])).rpartition("\n\n")[2]
    yield case("two keys of one log, both signed", two_keys, neither + own, ok=True)
    spoiled = line(ORIGIN, THIEF.key.key_id + bytes(64))
    yield case("two keys of one log, one of the signatures does not hold", two_keys, neither + spoiled, ok=False)
    no_log = NONE.removeprefix(LOG)
    yield case("no log in the policy, the key known", no_log, neither, ok=True, key=SIGNER.key.text())
    yield case("no log in the policy, no key known", no_log, neither, ok=False)
    yield case("no log in the policy, another key known", no_log, neither, ok=False, key=OTHER_SIGNER.key.text())
    yield case("the key known is the policy's", NONE, neither, ok=True, key=SIGNER.key.text())
    yield case("the key known is not the policy's", NONE, neither, ok=False, key=THIEF.key.text())
    yield case(
        "quorum none, and a cosignature that does not hold",
        NONE,
        note + line(NORTH.name, flip(_material(note), 600)),
        ok=False,
    )
    yield case(
        "names that are no ASCII",
        NONE.replace("north", "\u5317").replace("none", "\u5317").replace("example/\u5317", "example/north"),
        one,
        ok=True,
    )
    yield case(
        "names that are no UTF-8",
        NONE.encode().replace(b"witness north", b"witness \xff\xfe").replace(b"none", b"\xff\xfe"),
        one,
        ok=True,
    )
    kelvin = NONE.replace("witness north", "witness K").replace("witness south", "witness \u212a")
    yield case("a Kelvin sign is not a K", kelvin.replace("none", "\u212a"), one, ok=False)
    yield case("names of JavaScript's own", (
        f"{LOG}witness __proto__ {NORTH.key.text()}\nwitness constructor {SOUTH.key.text()}\n"
        "group toString all __proto__ constructor\nquorum toString\n"
    ), both, ok=True)  # fmt: skip

    yield wrong("nothing", "", 0)
    yield wrong("no quorum", LOG + WITNESSES, 0)
    yield wrong("two quorums", NONE + "quorum none\n", 5)
    yield wrong("the last line cut short", BOTH[:-1], 5)
    yield wrong("cut in the middle of a key", BOTH[:60], 1)
    yield wrong("a quorum of nobody", NONE.replace("quorum none", "quorum nobody"), 4)
    yield wrong("a quorum of two", NONE.replace("quorum none", "quorum north south"), 4)
    yield wrong("a quorum without a name", NONE.replace("quorum none", "quorum"), 4)
    yield wrong("a quorum before its witness", f"quorum north\n{WITNESSES}", 1)
    yield wrong("an unknown keyword", f"{LOG}mirror x\nquorum none\n", 2)
    yield wrong("a keyword in capitals", NONE.replace("quorum", "Quorum"), 4)
    yield wrong("a keyword of JavaScript's own", f"{LOG}constructor x\nquorum none\n", 2)
    yield wrong("carriage returns", NONE.replace("\n", "\r\n"), 1)
    yield wrong("a null character", NONE.replace("quorum", "#\0\nquorum"), 4)
    yield wrong("a delete character in a comment", "# \x7f\n" + NONE, 1)
    yield wrong("a byte-order mark", "\ufeff" + NONE, 1)
    yield wrong("a witness twice", NONE.replace("quorum", f"witness north {EAST.key.text()}\nquorum"), 4)
    yield wrong("a group with a witness's name", NONE.replace("quorum", "group north 1 south\nquorum"), 4)
    yield wrong("a witness called none", NONE.replace("witness north", "witness none"), 2)
    yield wrong("a group called none", NONE.replace("quorum", "group none 1 north\nquorum"), 4)
    yield wrong("none as a member", NONE.replace("quorum", "group g 1 none\nquorum"), 4)
    yield wrong("a member twice", NONE.replace("quorum", "group g 1 north north\nquorum"), 4)
    yield wrong("a member of two groups", NONE.replace("quorum", "group g 1 north\ngroup h 1 north\nquorum"), 5)
    yield wrong("a group of itself", NONE.replace("quorum", "group g 1 g\nquorum"), 4)
    yield wrong("a group of one defined later", NONE.replace("quorum", "group g 1 h\ngroup h 1 north\nquorum"), 4)
    yield wrong("a group without members", NONE.replace("quorum", "group g all\nquorum"), 4)
    for k in (
        "0",
        "3",
        "-1",
        "01",
        "1.0",
        "1e0",
        "+1",
        "two",
        "ALL",
        "\uff11",
        "99999",
        "9" * 400,
        "constructor",
        "__proto__",
    ):
        yield wrong(f"a threshold of {ascii(k)[:20]}", NONE.replace("quorum", f"group g {k} north south\nquorum"), 4)
    yield wrong("a witness key for a log", f"log {NORTH.key.text()}\nquorum none\n", 1)
    yield wrong("a log key for a witness", f"{LOG}witness north {SIGNER.key.text()}\nquorum none\n", 2)
    yield wrong("a key that does not match its id", NONE.replace(SIGNER.key.key_id.hex(), "00000000"), 1)
    yield wrong("a key cut short", f"{LOG}witness north {NORTH.key.text()[:-4]}\nquorum none\n", 2)
    yield wrong("a log without a key", "log\nquorum none\n", 1)
    yield wrong("a log of four words", f"log {SIGNER.key.text()} https://a.example b\nquorum none\n", 1)
    yield wrong("a witness without a name", f"witness {NORTH.key.text()}\nquorum none\n", 1)
    renamed = LogKey("elsewhere.example", SIGNER.key.public_key)
    yield wrong("one public key under two names of logs", f"{LOG}log {renamed.text()}\nquorum none\n", 2)
    twin = WitnessKey("elsewhere.example", NORTH.key.public_key)
    yield wrong(
        "one public key under two names of witnesses", NONE.replace("quorum", f"witness twin {twin.text()}\nquorum"), 4
    )
    yield wrong("a key that is no UTF-8", b"log \xff+00000000+AA\nquorum none\n", 1)
    yield wrong("gzip", b"\x1f\x8b\x08" + bytes(20), 1)


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True


# --- histories under a policy ---------------------------------------------------------------------


def histories(case: Callable[..., Case], entries: list[bytes], good: dict[str, Any]) -> Iterator[Case]:
    """Yield proof files of histories that carry cosignatures, and what a policy makes of them."""
    note = good["checkpoint"]
    both = {**good, "checkpoint": _cosigned(note, NORTH, SOUTH)}
    one = {**good, "checkpoint": _cosigned(note, NORTH)}
    yield case("cosigned by two witnesses, both demanded", both, ok=True, policy=BOTH, witnesses=2)
    yield case("cosigned by two witnesses, no policy", both, ok=True, witnesses=0)
    yield case("cosigned by one, one demanded", one, ok=True, policy=ANY, witnesses=1)
    yield case("cosigned by one, none demanded", one, ok=True, policy=NONE, witnesses=1)
    yield case("cosigned by nobody, none demanded", good, ok=True, policy=NONE, witnesses=0)
    yield case("cosigned by one, both demanded", one, policy=BOTH)
    yield case("cosigned by nobody, one demanded", good, policy=ANY)
    yield case("cosigned by an impostor", {**good, "checkpoint": _cosigned(note, IMPOSTOR, SOUTH)}, policy=BOTH)
    yield case("cosigned by one witness twice", {**good, "checkpoint": _cosigned(note, NORTH, NORTH)}, policy=BOTH)
    older = built(VOIDED, entries[:35])["checkpoint"]
    borrowed = note + _cosigned(older, NORTH, SOUTH).rpartition("\n\n")[2].split("\n", 1)[1]
    yield case("cosignatures of an older checkpoint", {**good, "checkpoint": borrowed}, policy=BOTH)
    yield case("those, and no witness known", {**good, "checkpoint": borrowed}, ok=True, policy=f"{LOG}quorum none\n")
    rewritten = [entry.replace(b"spare-label", b"stolen-label") for entry in entries]
    fork = built(VOIDED, rewritten)
    moved = fork["checkpoint"] + _cosigned(note, NORTH, SOUTH).rpartition("\n\n")[2].split("\n", 1)[1]
    yield case("a fork under the true log's cosignatures", {**fork, "checkpoint": moved}, policy=BOTH)
    yield case("a fork that no witness signed", fork, policy=ANY)
    theirs = built(VOIDED, entries, signer=THIEF)
    stolen = {**theirs, "checkpoint": _cosigned(theirs["checkpoint"], NORTH, SOUTH)}
    yield case("a thief's key that witnesses do sign, the log named by the policy", stolen, policy=BOTH)
    yield case("the same, and a policy that names no log", stolen, ok=True, policy=BOTH.removeprefix(LOG), witnesses=2)
    yield case("the same, and the log's key known", stolen, policy=BOTH.removeprefix(LOG), key=SIGNER.key.text())
    yield case("both, with the log's key known", both, ok=True, policy=BOTH, key=SIGNER.key.text(), witnesses=2)
    unsigned = both["checkpoint"].split("\n\n")[0] + "\n\n" + both["checkpoint"].split("\n\n")[1].split("\n", 1)[1]
    yield case("cosigned, but not signed by the log", {**both, "checkpoint": unsigned}, policy=BOTH)
    for bit in (40, 300, 600):
        lines = note + line(NORTH.name, flip(_material(note), bit)) + SOUTH.cosign(note, time_s=TIME_S)
        yield case(f"bit {bit} of a cosignature flipped", {**good, "checkpoint": lines}, policy=ANY)
    yield case("a bad cosignature nobody asked about", {**good, "checkpoint": lines}, ok=True)
    flood = note + line("n", bytes(6)) * 1000
    yield case("a thousand signatures of nobody's", {**good, "checkpoint": flood}, policy=ANY)
    yield case("more signatures than a note may hold", {**good, "checkpoint": note + line("n", bytes(6)) * 11_000})


# --- tlog-proof files -----------------------------------------------------------------------------


def tlog_proofs() -> Iterator[Case]:
    """Yield proofs of one entry as text, and the ways to cheat with one."""
    entries = [f"guoyuan sample leaf {i}".encode() for i in range(65)]
    root = merkle.root(LEAVES)
    note, key = SIGNER.sign(65, root), SIGNER.key.text()
    cosigned = _cosigned(note, NORTH, SOUTH)

    def case(description: str, file: str | bytes, *, ok: bool = False, **more: Any) -> Case:
        written = {"file": file} if isinstance(file, str) else {"file_base64": b64(file)}
        known = {} if {"log_key", "policy"} & more.keys() else {"log_key": key}
        return {"description": description, **written, "ok": ok, **known, **more}

    def of(index: int, *, size: int = 65, checkpoint: str | None = None, extra: bytes | None = None) -> str:
        path = merkle.prove_inclusion(index, LEAVES[:size])
        return TlogProof(index, tuple(path), checkpoint or note, extra).encode().decode()

    good = of(12, extra=entries[12])
    yield case("an entry, carried, with the log's key", good, ok=True)
    whole = of(12, checkpoint=cosigned, extra=entries[12])
    yield case("an entry, carried, cosigned by two witnesses", whole, ok=True, policy=BOTH)
    for index in (0, 1, 31, 32, 63, 64):
        yield case(f"entry {index} of 65, beside the file", of(index), ok=True, entry=entries[index].decode())
    yield case("an empty entry", _of_empty(), ok=True)
    yield case(
        "the only entry there is", of(0, size=1, checkpoint=SIGNER.sign(1, LEAVES[0]), extra=entries[0]), ok=True
    )
    yield case(
        "extra data that are something else, the entry beside", of(12, extra=b"x"), ok=True, entry=entries[12].decode()
    )
    yield case("no witness demanded", good, ok=True, policy=NONE)
    yield case("a policy without logs, the key known", whole, ok=True, policy=BOTH.removeprefix(LOG), log_key=key)

    yield case("neither entry nor extra data", of(12))
    yield case("extra data that are something else", of(12, extra=b"x"))
    yield case("another entry beside the file", of(12), entry=entries[13].decode())
    yield case("another entry carried", of(12, extra=entries[13]))
    yield case("the leaf hash for the entry", of(12, extra=LEAVES[12]))
    inner = LEAVES[12] + LEAVES[13]
    yield case(
        "an inner node for an entry", good.replace("index 12\n", "index 6\n").replace(b64(entries[12]), b64(inner))
    )
    yield case("no key and no policy", good, log_key=None)
    yield case("another log's key", good, log_key=OTHER_SIGNER.key.text())
    yield case("a thief's key", of(12, checkpoint=THIEF.sign(65, root), extra=entries[12]))
    yield case(
        "one witness of two demanded missing", of(12, checkpoint=_cosigned(note, NORTH), extra=entries[12]), policy=BOTH
    )
    yield case("cosigned by nobody, one demanded", good, policy=ANY)
    yield case("a policy without logs and no key", whole, policy=BOTH.removeprefix(LOG))
    yield case(
        "the checkpoint of another size",
        of(12, checkpoint=SIGNER.sign(64, merkle.root(LEAVES[:64])), extra=entries[12]),
    )
    yield case("the checkpoint of another root", of(12, checkpoint=SIGNER.sign(65, ZERO), extra=entries[12]))
    yield case("the checkpoint of another log", of(12, checkpoint=OTHER_SIGNER.sign(65, root), extra=entries[12]))
    yield case(
        "the checkpoint of the empty tree", of(12, checkpoint=SIGNER.sign(0, merkle.EMPTY_ROOT), extra=entries[12])
    )
    for index in (
        "11",
        "13",
        "65",
        "64",
        "012",
        "+12",
        "-12",
        "12.0",
        "0xc",
        "",
        " 12",
        "12 ",
        "\uff11\uff12",
        "9007199254740991",
        "9007199254740992",
        "1" * 5000,
    ):
        yield case(f"index {ascii(index)[:20]}", good.replace("index 12\n", f"index {index}\n"))
    hashes = [f"{b64(node)}\n" for node in merkle.prove_inclusion(12, LEAVES)]
    for i in range(len(hashes)):
        yield case(
            f"one bit of hash {i} flipped",
            good.replace(hashes[i], b64(flip(base64.b64decode(hashes[i]), 9 * i)) + "\n"),
        )
    yield case("the path cut short", good.replace(hashes[-1], ""))
    yield case("the path beheaded", good.replace(hashes[0], ""))
    yield case("the path turned round", good.replace("".join(hashes), "".join(hashes[::-1])))
    yield case("no path", good.replace("".join(hashes), ""))
    yield case("a hash too many", good.replace(hashes[-1], hashes[-1] + b64(ZERO) + "\n"))
    yield case("64 hashes", good.replace(hashes[-1], hashes[-1] + (b64(ZERO) + "\n") * 58))
    yield case("100,000 hashes", good.replace(hashes[-1], hashes[-1] * 100_000))
    yield case("a hash of 31 bytes", good.replace(hashes[0], b64(ZERO[:31]) + "\n"))
    yield case("a hash of 33 bytes", good.replace(hashes[0], b64(ZERO + b"x") + "\n"))
    yield case("a hash with loose bits", good.replace(hashes[0], _loose(hashes[0])))
    yield case("a hash in base64url", good.replace(hashes[0], b64(b"\xff" * 32).replace("/", "_") + "\n"))
    yield case("a hash without padding", good.replace(hashes[0], hashes[0].replace("=", "")))
    yield case("a hash with a space", good.replace(hashes[0], " " + hashes[0]))
    for what, changed in {
        "another version": good.replace("@v1", "@v2"),
        "no first line": good.split("\n", 1)[1],
        "a blank before the first line": " " + good,
        "a newline before the first line": "\n" + good,
        "a byte-order mark": "\ufeff" + good,
        "carriage returns": good.replace("\n", "\r\n"),
        "the index before the extra data": good.replace(
            f"extra {b64(entries[12])}\nindex 12\n", f"index 12\nextra {b64(entries[12])}\n"
        ),
        "the extra data twice": good.replace("extra ", f"extra {b64(entries[12])}\nextra "),
        "the index twice": good.replace("index 12\n", "index 12\nindex 12\n"),
        "no index": good.replace("index 12\n", ""),
        "a tab before the index": good.replace("index 12", "index\t12"),
        "an index in capitals": good.replace("index", "Index"),
        "extra data with loose bits": good.replace(
            f"extra {b64(entries[12])}\n", "extra Z3VveXVhbiBzYW1wbGUgbGVhZiAxMm==\n"
        ),
        "extra data that are no base64": good.replace("extra ", "extra !"),
        "extra data without a space": good.replace("extra ", "extra"),
        "no empty line": good.replace("\n\n", "\n", 1),
        "two empty lines": good.replace("\n\n", "\n\n\n", 1),
        "no checkpoint": good.split("\n\n", maxsplit=1)[0] + "\n\n",
        "no signature": good.rpartition("\n\n")[0] + "\n\n",
        "no newline at the end": good[:-1],
        "a second proof behind": good + good,
        "nothing": "",
        "the first line alone": "c2sp.org/tlog-proof@v1",
        "HTML": "<!doctype html><title>404</title>",
    }.items():
        yield case(f"a file that is malformed: {what}", changed)
    yield case("extra data of 65,536 bytes", of(12, extra=bytes(65_536)), entry=entries[12].decode())
    yield case("a file of a megabyte", good + "x" * 1_000_000)
    yield case("a checkpoint of 131,073 characters", good.replace("\n65\n", "\n65\n" + "x" * 131_073))
    for what, data in {
        "not UTF-8": b"\xff\xfe" + good.encode(),
        "UTF-16": good.encode("utf-16"),
        "null bytes": bytes(500),
        "a surrogate in UTF-8": good.encode().replace(b"guoyuan.example", b"guoyuan\xed\xa0\x80example"),
    }.items():
        yield case(f"bytes that are {what}", data)


def _of_empty() -> str:
    leaf = merkle.leaf_hash(b"")
    return TlogProof(0, (), SIGNER.sign(1, leaf), b"").encode().decode()


# --- what chains answer ---------------------------------------------------------------------------

HEAD_ANCHORED: Final = "0xd1d80709ee25851881197526a368dd8e30145277928b060dbfb45534fee684cb"
CONTRACT: Final = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
OTHER: Final = "11" * 32
ARTIFACT = Path(__file__).resolve().parent.parent.parent / "contracts" / "abi" / "AnchorLog.json"


def chains() -> Iterator[Case]:
    """Yield what a JSON-RPC door answers about an anchor, by method, and what follows: true, it holds; false; null, it
    does not tell.

    The first case has the whole truth; the others say what of it is answered otherwise, or not at all. A door that
    lies contradicts itself, or answers about something else.
    """
    log_id, root = "0x" + sha256(ORIGIN.encode()).hexdigest(), merkle.root(LEAVES[:34])
    anchor = {
        "block": 17, "chain_id": 31337, "consistency": [], "contract": CONTRACT, "log_id": log_id, "root": b64(root),
        "size": 34, "transaction": "0x" + sha256(b"guoyuan sample transaction").hexdigest(),
    }  # fmt: skip
    code = _code()
    log: dict[str, Any] = {
        "address": CONTRACT, "topics": [HEAD_ANCHORED, log_id, f"0x{_word(34)}"], "data": f"0x{root.hex()}{_word(12)}",
        "blockNumber": "0x11", "transactionHash": anchor["transaction"], "logIndex": "0x0", "removed": False,
    }  # fmt: skip
    truth: dict[str, Any] = {
        "eth_chainId": "0x7a69",
        "eth_getCode": code,
        "eth_call": _head(34, root.hex()),
        "eth_getLogs": [log],
    }

    def case(description: str, answer: bool | None, **changes: Any) -> Case:  # noqa: FBT001  # a chain's three answers
        missing = [name for name, value in changes.items() if value is ...]
        said = {name: value for name, value in changes.items() if value is not ...}
        first = {"anchor": anchor, "answers": truth} if not changes else {"changes": said, "without": missing}
        return {"description": description, **first, "answer": answer}

    newer = _head(99, OTHER)
    yield case("the newest head is the anchored one", True)
    yield case("a newer head, and the event of ours", True, eth_call=newer)
    yield case(
        "addresses in capitals, as some doors write them",
        True,
        eth_call=newer,
        eth_getLogs=[{**log, "address": CONTRACT.upper().replace("0X", "0x")}],
    )
    yield case(
        "other logs' events before ours",
        True,
        eth_call=newer,
        eth_getLogs=[{**log, "topics": [HEAD_ANCHORED, f"0x{OTHER}", log["topics"][2]]}, log],
    )
    yield case("the newest head of that size has another root", False, eth_call=_head(34, OTHER))
    yield case("the newest head is smaller", False, eth_call=_head(33, root.hex()))
    yield case("no head was ever anchored", False, eth_call=_head(0, "00" * 32, 0))
    yield case("no contract stands there", False, eth_getCode="0x", eth_call="0x")
    yield case(
        "a newer head, and the event of that size with another root",
        False,
        eth_call=newer,
        eth_getLogs=[{**log, "data": f"0x{OTHER}{_word(12)}"}],
    )
    yield case("a newer head, and no event of ours in that block", None, eth_call=newer, eth_getLogs=[])
    yield case("another chain", None, eth_chainId="0x1")
    yield case("another chain, with a leading zero", None, eth_chainId="0x0007a6a")
    yield case("a contract that is not ours, and says what we like", None, eth_getCode="0x6080604052600080fd")
    yield case(
        "our contract's code with one byte changed",
        None,
        eth_getCode=code[:200] + ("0" if code[200] != "0" else "1") + code[201:],
    )
    yield case("our contract's code cut short", None, eth_getCode=code[:-2])
    yield case("our contract's code with something behind", None, eth_getCode=code + "00")
    yield case("an event of another contract", None, eth_call=newer, eth_getLogs=[{**log, "address": "0x" + "22" * 20}])
    yield case(
        "an event of another log",
        None,
        eth_call=newer,
        eth_getLogs=[{**log, "topics": [HEAD_ANCHORED, f"0x{OTHER}", log["topics"][2]]}],
    )
    yield case(
        "an event of another size",
        None,
        eth_call=newer,
        eth_getLogs=[{**log, "topics": [*log["topics"][:2], f"0x{_word(35)}"]}],
    )
    yield case(
        "another event", None, eth_call=newer, eth_getLogs=[{**log, "topics": [f"0x{OTHER}", *log["topics"][1:]]}]
    )
    yield case(
        "an event with a topic too few", None, eth_call=newer, eth_getLogs=[{**log, "topics": log["topics"][:2]}]
    )
    yield case(
        "an event in another transaction", None, eth_call=newer, eth_getLogs=[{**log, "transactionHash": f"0x{OTHER}"}]
    )
    yield case(
        "an event in another block than asked for", None, eth_call=newer, eth_getLogs=[{**log, "blockNumber": "0x12"}]
    )
    yield case("an event that a reorganisation took away", None, eth_call=newer, eth_getLogs=[{**log, "removed": True}])
    yield case("the newest head is ours, but no such event", None, eth_getLogs=[])
    yield case(
        "the newest head is ours, but the event says another root",
        False,
        eth_getLogs=[{**log, "data": f"0x{OTHER}{_word(12)}"}],
    )
    rubbish = [
        None,
        7,
        "x",
        {},
        [],
        {**log, "data": 7},
        {**log, "data": "0x"},
        {**log, "data": "0xzz" + "0" * 64},
        {**log, "topics": None},
        {**log, "topics": [1, 2, 3]},
        {**log, "address": None},
    ]
    yield case("events that are rubbish", None, eth_call=newer, eth_getLogs=rubbish)
    yield case("a million events' worth of nothing", None, eth_call=newer, eth_getLogs=[None] * 1000)
    for method in truth:
        answer = None
        yield case(f"no answer to {method}", answer, **{method: ...})
        for what, value in {
            "null": None,
            "a number": 7,
            "a list": [1],
            "an object": {"code": -32000},
            "text": "hello",
            "nothing": "",
            "huge": "0x" + "f" * 300,
        }.items():
            yield case(f"{method} answered with {what}", answer, **{method: value})
    yield case("a head cut short", None, eth_call=truth["eth_call"][:-2])
    yield case("a head with a word too many", None, eth_call=truth["eth_call"] + _word(0))
    yield case("a head of 2^256 - 1 entries, and no event", None, eth_call=_head(2**256 - 1, OTHER), eth_getLogs=[])
    yield case("a chain id of 2^60", None, eth_chainId=hex(2**60))
    yield case("a chain id that is a number", None, eth_chainId=31337)
    yield case("nothing at all", None, **dict.fromkeys(truth, ...))


def _word(value: int) -> str:
    return f"{value:064x}"


def _head(size: int, root: str, block: int = 17) -> str:
    return f"0x{_word(size)}{root}{_word(block)}"


def _code() -> str:
    """The contract as it stands in a chain, with somebody's address where the constructor put one."""
    artifact = json.loads(ARTIFACT.read_text())
    code = bytearray.fromhex(artifact["deployedBytecode"].removeprefix("0x"))
    for where in artifact["immutables"]:
        code[where["start"] : where["start"] + where["length"]] = bytes.fromhex("5a" * 20).rjust(where["length"], b"\0")
    return f"0x{code.hex()}"
