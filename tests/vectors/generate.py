"""Writes the vectors that Python, JavaScript and Solidity share. Deterministic: running it again changes nothing.

    python tests/vectors/generate.py          # write the files
    python tests/vectors/generate.py --check  # exit 1 if a file would change

Most cases must fail: each is one way to be wrong.
"""

# ruff: noqa: T201  # cases read best in the order of the RFC; this is a program

import base64
import copy
import json
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent.parent))

from ledger import merkle  # noqa: E402  # found through the line above
from ledger.canonical import canonical  # noqa: E402
from ledger.checkpoint import LogKey, LogSigner  # noqa: E402
from tests.vectors import witnessed  # noqa: E402
from tests.vectors.compact import compacted, parts_of  # noqa: E402
from tests.vectors.ground import (  # noqa: E402
    ANCHORED,
    BROADCAST,
    HARVEST_LOT,
    LEAVES,
    ORIGIN,
    OTHER_PACK,
    OTHER_SIGNER,
    PACK,
    PASSPORT,
    PLOT,
    SIGNER,
    SMALL_ORDER,
    THIEF,
    VOIDED,
    ZERO,
    Case,
    b64,
    built,
    flip,
    golden_entries,
    line,
    malleable,
)

SIZES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 21, 32, 33, 63, 64, 65)


# --- RFC 9162 ------------------------------------------------------------------------------------


def inclusion() -> Iterator[Case]:
    """Yield inclusion proofs: every leaf of some trees, and the ways to break one."""

    def case(description: str, m: int, n: int, leaf: bytes, path: list[bytes], root: bytes, *, ok: bool) -> Case:
        return {
            "description": description,
            "index": m,
            "size": n,
            "leaf": leaf.hex(),
            "root": root.hex(),
            "proof": [p.hex() for p in path],
            "ok": ok,
        }

    for n in SIZES[1:]:
        root = merkle.root(LEAVES[:n])
        for m in sorted({0, 1, n // 2, n - 2, n - 1} & set(range(n))):
            path = merkle.prove_inclusion(m, LEAVES[:n])
            yield case(f"leaf {m} of {n}", m, n, LEAVES[m], path, root, ok=True)
    for m, n in ((0, 1), (2, 7), (6, 7), (8, 9), (20, 33), (63, 64)):
        leaf, root, path = LEAVES[m], merkle.root(LEAVES[:n]), merkle.prove_inclusion(m, LEAVES[:n])
        yield case(f"{m}/{n}: one bit of the leaf flipped", m, n, flip(leaf, 9), path, root, ok=False)
        yield case(f"{m}/{n}: one bit of the root flipped", m, n, leaf, path, flip(root, 255), ok=False)
        yield case(f"{m}/{n}: root of the empty tree", m, n, leaf, path, merkle.EMPTY_ROOT, ok=False)
        yield case(f"{m}/{n}: trailing garbage", m, n, leaf, [*path, ZERO], root, ok=False)
        yield case(f"{m}/{n}: preceding garbage", m, n, leaf, [ZERO, *path], root, ok=False)
        yield case(f"{m}/{n}: the index is the size", n, n, leaf, path, root, ok=False)
        yield case(f"{m}/{n}: empty tree", m, 0, leaf, path, root, ok=False)
        yield case(f"{m}/{n}: twice the size", m, 2 * n, leaf, path, root, ok=False)
        if n > 1:
            yield case(f"{m}/{n}: the index of the neighbour", m ^ 1, n, leaf, path, root, ok=False)
            yield case(f"{m}/{n}: truncated", m, n, leaf, path[:-1], root, ok=False)
            yield case(f"{m}/{n}: beheaded", m, n, leaf, path[1:], root, ok=False)
            yield case(f"{m}/{n}: no path", m, n, leaf, [], root, ok=False)
            yield case(f"{m}/{n}: root claimed as leaf", m, n, root, [], root, ok=False)
            for i in range(len(path)):
                broken = [*path[:i], flip(path[i], 8 * i), *path[i + 1 :]]
                yield case(f"{m}/{n}: one bit of hash {i} flipped", m, n, leaf, broken, root, ok=False)
        if len(path) > 1:
            yield case(f"{m}/{n}: path reversed", m, n, leaf, path[::-1], root, ok=False)
    # An inner node must not pass for a leaf: the 0x00 and 0x01 prefixes see to it.
    inner = merkle.node_hash(LEAVES[0], LEAVES[1])
    root = merkle.root(LEAVES[:4])
    path = [merkle.node_hash(LEAVES[2], LEAVES[3])]
    yield case("an inner node passed off as leaf 0 of 2", 0, 2, merkle.leaf_hash(inner), path, root, ok=False)


def consistency() -> Iterator[Case]:
    """Yield consistency proofs between trees of every size in SIZES, and the ways to break one."""

    def case(description: str, m: int, n: int, first: bytes, second: bytes, path: list[bytes], *, ok: bool) -> Case:
        return {
            "description": description,
            "size1": m,
            "size2": n,
            "root1": first.hex(),
            "root2": second.hex(),
            "proof": [p.hex() for p in path],
            "ok": ok,
        }

    roots = {n: merkle.root(LEAVES[:n]) for n in SIZES}
    for n in SIZES:
        for m in SIZES:
            if m <= n:
                path = merkle.prove_consistency(m, LEAVES[:n])
                yield case(f"{n} extends {m}", m, n, roots[m], roots[n], path, ok=True)
    for m, n in ((1, 2), (2, 8), (3, 7), (4, 7), (6, 7), (7, 8), (8, 9), (21, 33), (32, 64), (63, 65), (64, 65)):
        first, second, path = roots[m], roots[n], merkle.prove_consistency(m, LEAVES[:n])
        yield case(f"{m}->{n}: roots swapped", m, n, second, first, path, ok=False)
        yield case(f"{m}->{n}: sizes swapped", n, m, first, second, path, ok=False)
        yield case(f"{m}->{n}: one bit of the first root flipped", m, n, flip(first, 7), second, path, ok=False)
        yield case(f"{m}->{n}: one bit of the second root flipped", m, n, first, flip(second, 248), path, ok=False)
        yield case(f"{m}->{n}: no proof", m, n, first, second, [], ok=False)
        yield case(f"{m}->{n}: truncated", m, n, first, second, path[:-1], ok=False)
        yield case(f"{m}->{n}: beheaded", m, n, first, second, path[1:], ok=False)
        yield case(f"{m}->{n}: trailing garbage", m, n, first, second, [*path, ZERO], ok=False)
        yield case(f"{m}->{n}: preceding garbage", m, n, first, second, [ZERO, *path], ok=False)
        yield case(f"{m}->{n}: the first root put in front", m, n, first, second, [first, *path], ok=False)
        yield case(f"{m}->{n}: the first size one too small", m - 1, n, first, second, path, ok=False)
        yield case(f"{m}->{n}: the second root is the first", m, n, first, first, path, ok=False)
        yield case(f"{m}->{n}: a forged root with its own proof", m, n, first, *_fork(m, n), ok=False)
        if len(path) > 1:
            yield case(f"{m}->{n}: reversed", m, n, first, second, path[::-1], ok=False)
        for i in range(len(path)):
            broken = [*path[:i], flip(path[i], 31 * i), *path[i + 1 :]]
            yield case(f"{m}->{n}: one bit of hash {i} flipped", m, n, first, second, broken, ok=False)
    yield case("0->5: a proof where none may be", 0, 5, roots[0], roots[5], [ZERO], ok=False)
    yield case("0->5: a first root that is not the empty tree's", 0, 5, ZERO, roots[5], [], ok=False)
    yield case("5->5: a proof where none may be", 5, 5, roots[5], roots[5], [roots[5]], ok=False)
    yield case("0->0: a second root that is not the empty tree's", 0, 0, roots[0], roots[5], [], ok=False)
    yield case("5->5: two roots", 5, 5, roots[5], flip(roots[5]), [], ok=False)


def _fork(m: int, n: int) -> tuple[bytes, list[bytes]]:
    """A tree that rewrote its first leaf, with a proof that is honest about the rewritten tree."""
    forked = [merkle.leaf_hash(b"rewritten"), *LEAVES[1:n]]
    return merkle.root(forked), merkle.prove_consistency(m, forked)


# --- canonical JSON ------------------------------------------------------------------------------

CANONICAL = {
    "an object's keys sorted": '{"a":1,"b":[],"c":{}}',
    "the numbers of RFC 8785": "[0,-1,4.5,0.002,1e+30,1e-27,1e-7,0.000001,333333333.3333333,9007199254740991]",
    "keys sorted by UTF-16 unit, not by code point": '{"\U0001f600":1,"\ufb33":2}',
    "escapes where they must stand": '"\\b\\t\\n\\f\\r\\u000f\\"\\\\ /\u007f\u2028\u00e9\u20ac"',
    "64 levels": "[" * 64 + "]" * 64,
}
NOT_CANONICAL = {
    "a space": '{"a": 1}',
    "a newline behind": '{"a":1}\n',
    "a byte-order mark": '\ufeff{"a":1}',
    "keys unsorted": '{"b":1,"a":1}',
    "keys sorted by code point": '{"\ufb33":2,"\U0001f600":1}',
    "a repeated key": '{"a":1,"a":1}',
    "a repeated key, another value": '{"a":1,"a":2}',
    "a fraction of zero": "1.0",
    "an exponent": "1e2",
    "a capital exponent": "1E+30",
    "an exponent without a sign": "1e30",
    "minus zero": "-0",
    "a leading zero": "01",
    "a plus sign": "+1",
    "2^53": "9007199254740992",
    "a number of 400 digits": "1" * 400,
    "a number of 40,000 digits": "1" * 40_000,
    "an infinite number": "1e400",
    "NaN": "NaN",
    "too many digits": "0.10000000000000000001",
    "an escape that is not needed": '"\\u0061"',
    "an escaped solidus": '"\\/"',
    "a capital hex digit": '"\\u000F"',
    "a raw control character": '"\u0001"',
    "a lone surrogate, escaped": '"\\ud800"',
    "a lone low surrogate, escaped": '"x\\udc00"',
    "surrogates the wrong way round": '"\\udc00\\ud800"',
    "65 levels": "[" * 65 + "]" * 65,
    "a twenty thousand levels": "[" * 20_000 + "]" * 20_000,
    "two values": "1 2",
    "nothing": "",
    "a comma too many": "[1,]",
    "a comment": "[1]//",
    "single quotes": "'a'",
    "cut short": '{"a":',
}


def canonical_json() -> Iterator[Case]:
    """Yield JSON texts that are, and are not, their own RFC 8785 form."""
    for ok, texts in ((True, CANONICAL), (False, NOT_CANONICAL)):
        for description, text in texts.items():
            yield {"description": description, "text": parts_of(text), "ok": ok}


# --- checkpoints ---------------------------------------------------------------------------------

WITNESS = LogSigner("witness.example", sha256(b"guoyuan sample witness key").digest())


def checkpoints() -> Iterator[Case]:
    """Yield signed notes, and the ways to break one."""
    note = SIGNER.sign(38, merkle.root(LEAVES[:38]))
    body, _, own = note.rpartition("\n\n")
    first, *rest = note.split("\n")

    def case(description: str, text: str, *, ok: bool = False, key: str = SIGNER.key.text()) -> Case:
        return {"description": description, "note": parts_of(text), "key": key, "ok": ok}

    yield case("a checkpoint", note, ok=True)
    yield case("of the empty tree", SIGNER.sign(0, merkle.EMPTY_ROOT), ok=True)
    yield case("of the largest tree", SIGNER.sign(2**53 - 1, ZERO), ok=True)
    yield case("with a witness's signature behind", note + _cosigned(body), ok=True)
    yield case("with a witness's signature in front", f"{body}\n\n{_cosigned(body)}{own}", ok=True)
    yield case("with an extension line", _signed(f"{body}\nextension of ours"), ok=True)
    yield case("of another log", OTHER_SIGNER.sign(38, merkle.root(LEAVES[:38])))
    yield case("of another log, checked with that log's key", note, key=OTHER_SIGNER.key.text())
    yield case("another log's origin under our signature name", _signed(body.replace(first, "guoyuan.example/else")))
    yield case("another size under the same signature", note.replace("\n38\n", "\n39\n"))
    yield case("another root under the same signature", note.replace(rest[1], b64(ZERO)))
    yield case("an extension line added under the same signature", f"{body}\nmore\n\n{own}")
    yield case("one bit of the signature flipped", _resigned(body, lambda s: flip(s, 300)))
    yield case("one bit of the signature's R flipped", _resigned(body, lambda s: flip(s, 40)))
    yield case("one bit of the key id flipped", _resigned(body, lambda s: flip(s, 3)))
    yield case("signature malleability: S plus the group order", _resigned(body, malleable))
    yield case("an all-zero signature", _resigned(body, lambda s: s[:4] + bytes(64)))
    yield case("a signature of 63 bytes", _resigned(body, lambda s: s[:-1]))
    yield case("a signature of 65 bytes", _resigned(body, lambda s: s + b"\0"))
    yield case("a signature of four bytes: the key id alone", _resigned(body, lambda s: s[:4]))
    yield case("our signature twice", note + own)
    yield case("a good and a bad signature of ours", note + _resigned(body, lambda s: flip(s, 300)).split("\n\n")[1])
    yield case("the witness's signature alone", f"{body}\n\n{_cosigned(body)}")
    yield case("no signature", f"{body}\n\n")
    yield case("no empty line", f"{body}\n{own}")
    yield case("no newline at the end", note[:-1])
    yield case("two newlines at the end", note + "\n")
    yield case("text behind", note + "trailing")
    yield case("carriage returns", note.replace("\n", "\r\n"))
    yield case("a tab in the origin", _signed(body.replace(first, "guoyuan.example/\tsample-log")))
    yield case("a null byte", _signed(body + "\n\0"))
    yield case("a lone surrogate", note + "\ud800")
    yield case("an empty line in the body", _signed(f"{body}\n\nx"))
    yield case("a leading empty line", _signed("\n" + body))
    for size in ("038", "+38", "-1", "38.0", "0x26", " 38", "38 ", "", "\uff13\uff18", "9007199254740992", "1" * 5000):
        yield case(f"signed, its size written {size[:20]!r}", _signed(body.replace("\n38\n", f"\n{size}\n")))
    root = rest[1]
    for description, text in {
        "31 bytes": b64(ZERO[:31]),
        "33 bytes": b64(ZERO + b"x"),
        "no padding": root.rstrip("="),
        "base64url": b64(b"\xff" * 32).replace("/", "_"),
        "loose bits at the end": root[:-2] + chr(ord(root[-2]) + 1) + "=",
        "a space": root[:20] + " " + root[20:],
        "empty": "",
    }.items():
        yield case(f"signed, its root of the form: {description}", _signed(body.replace(root, text)))
    yield case("only two lines", _signed("\n".join(body.split("\n")[:2])))
    yield case("a dash that is not an em dash", note.replace("\u2014", "-"))
    yield case("two spaces before the signature", own.join([body + "\n\n", ""]).replace(f"{ORIGIN} ", f"{ORIGIN}  "))
    yield case("as long as may be", _long(body, 131_072), ok=True)
    yield case("131,073 characters", _long(body, 131_073))
    yield case("a thousand signatures of nobody's", note + "\u2014 nobody.example AAAAAAAA\n" * 1000, ok=True)
    yield case("a signature by a name that is not ASCII", note + "\u2014 \u82b1\u679c.example AAAAAAAA\n", ok=True)
    for space in ("\u00a0", "\u1680", "\u2003", "\u2028", "\u202f", "\u205f", "\u3000"):
        yield case(f"a signature by a name with the space {space!a}", note + f"\u2014 a{space}b AAAAAAAA\n")
    yield case("a signature by a name with a plus sign", note + "\u2014 a+b AAAAAAAA\n")
    key = SIGNER.key.text()
    for description, text in {
        "empty": "",
        "no plus signs": key.replace("+", "-"),
        "another id": key.replace(SIGNER.key.key_id.hex(), "00000000"),
        "an id in capitals": key.replace(SIGNER.key.key_id.hex(), SIGNER.key.key_id.hex().upper()),
        "another name": key.replace("sample", "simple", 1),
        "another algorithm": key[: key.rindex("+") + 1] + b64(b"\x02" + SIGNER.key.public_key),
        "31 bytes": key[: key.rindex("+") + 1] + b64(b"\x01" + SIGNER.key.public_key[:30]),
        "a newline behind": key + "\n",
        "a name with a space": " " + key,
        "long": "x" * 500 + key,
    }.items():
        yield case(f"a log key that is malformed: {description}", note, key=text)
    yield case("a key of small order", _small_order_note(), key=LogKey(ORIGIN, SMALL_ORDER).text())


def _signature(signer: LogSigner, body: str) -> bytes:
    """Key id and signature over any text, which LogSigner itself would not sign."""
    return signer.key.key_id + signer._key.sign(f"{body}\n".encode(errors="surrogatepass")).signature


def _signed(body: str) -> str:
    return f"{body}\n\n" + line(ORIGIN, _signature(SIGNER, body))


def _long(body: str, characters: int) -> str:
    return _signed(body + "\n" + "x" * (characters - len(_signed(body + "\n"))))


def _cosigned(body: str) -> str:
    return line(WITNESS.origin, _signature(WITNESS, body))


def _resigned(body: str, change: Callable[[bytes], bytes]) -> str:
    return f"{body}\n\n" + line(ORIGIN, change(_signature(SIGNER, body)))


def _small_order_note() -> str:
    body = SIGNER.sign(38, ZERO).rpartition("\n\n")[0]
    return f"{body}\n\n" + line(ORIGIN, LogKey(ORIGIN, SMALL_ORDER).key_id + SMALL_ORDER + bytes(32))


# --- proof files ---------------------------------------------------------------------------------


def proofs() -> Iterator[Case]:
    """Yield proof files, and the ways to cheat with one. `file` is the text; `file_base64` where it is no text."""
    entries = golden_entries()
    opened = json.loads((FOLDER / "golden/disclosures.json").read_text())["disclosures"]
    opened = opened["urn:uuid:019d9b34-76c0-7bd4-9997-c98d3566ab0e"]
    picture = "ni:///sha-256;unJcy5bKyP5toQPrui6Ry9nLxt_GFcjgdoqTXdi8cMg"

    def case(description: str, file: Any, *, ok: bool = False, key: str | None = None, **more: Any) -> Case:
        text = file if isinstance(file, str) else canonical(file).decode()
        named = {} if key is None else {"log_key": key}
        return {"description": description, "file": text, "ok": ok, **named, **more}

    whole = built(PACK, entries, evidence=(picture,))
    yield case("the golden pack: its whole history", whole, ok=True, entries=len(whole["entries"]))
    yield case("the golden pack, with the log's key given", whole, ok=True, key=SIGNER.key.text())
    yield case("the harvest lot", built(HARVEST_LOT, entries), ok=True)
    yield case("the plot", built(PLOT, entries), ok=True)
    good = built(VOIDED, entries)
    yield case("a voided code: two entries, anchored", good, ok=True, entries=2)
    yield case("not anchored", built(VOIDED, entries, anchored=None), ok=True)
    yield case("anchored before these entries", built(VOIDED, entries, anchored=3), ok=True)
    yield case("anchored at the checkpoint", built(VOIDED, entries, anchored=len(entries)), ok=True)
    yield case(
        "a broadcast, two private fields opened", built(BROADCAST, entries, disclosures=tuple(opened[:2])), ok=True
    )
    yield case("a log of one entry", built(PASSPORT, entries[:1], anchored=None), ok=True)

    yield from _other_things(case, entries, good)
    yield from _broken_entries(case, entries, good)
    yield from _broken_checkpoints(case, entries, good)
    yield from _broken_anchors(case, entries, good)
    yield from _broken_fields(case, entries, opened, picture)
    yield from _broken_shapes(case, good)
    yield from _broken_texts(case, good)
    yield from witnessed.histories(case, entries, good)


MakeCase = Callable[..., Case]


def _with(proof: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**copy.deepcopy(proof), **members}


def _entry_with(proof: dict[str, Any], position: int, **members: Any) -> dict[str, Any]:
    changed = copy.deepcopy(proof)
    changed["entries"][position].update(members)
    return changed


def _anchor_with(proof: dict[str, Any], **members: Any) -> dict[str, Any]:
    changed = copy.deepcopy(proof)
    changed["anchor"].update(members)
    return changed


def _other_things(case: MakeCase, entries: list[bytes], good: dict[str, Any]) -> Iterator[Case]:
    """Yield true statements about something else."""
    yield case("the proof of another pack, renamed", _with(built(OTHER_PACK, entries), subject=VOIDED))
    yield case("the subject renamed to a pack nobody made", _with(good, subject=VOIDED[:-1] + "0"))
    yield case("the subject in another spelling", _with(good, subject=VOIDED.replace("https", "http")))
    yield case("the subject with a space behind", _with(good, subject=VOIDED + " "))
    yield case("one entry of the other pack slipped in", built(VOIDED, entries, chosen=[23, 26, 30]))
    yield case("a window of the plot slipped in", built(VOIDED, entries, chosen=[12, 23, 30]))
    yield case("the sibling packs of one lot", built(PACK, entries, chosen=[*_chosen(entries, PACK), 26]))
    yield case("everything in the log", built(PACK, entries, chosen=list(range(len(entries)))))
    yield case("no entry names the subject", built(VOIDED, entries, chosen=[23]))
    late = _retimed(entries[12], "2026-04-18T00:00:00.000Z")
    yield case("a reading from after the picking", built(PACK, [*entries, late], chosen=[*_chosen(entries, PACK), 38]))
    early = _retimed(entries[12], "2026-04-15T22:41:59.999Z")
    yield case("a reading from too long before", built(PACK, [*entries, early], chosen=[*_chosen(entries, PACK), 38]))
    in_time = _retimed(entries[12], "2026-04-15T22:42:00.000Z")
    yield case(
        "a reading from just long enough before",
        built(PACK, [*entries, in_time], chosen=sorted([*_chosen(entries, PACK), 38])),
        ok=True,
    )


def _chosen(entries: list[bytes], subject: str) -> list[int]:
    return [entry["index"] for entry in built(subject, entries)["entries"]]


def _retimed(entry: bytes, time: str) -> bytes:
    event = json.loads(entry)
    return canonical({**event, "eventTime": time, "eventID": "urn:uuid:019d9d75-3f00-7be4-8ebc-000000000001"})


def _broken_entries(case: MakeCase, entries: list[bytes], good: dict[str, Any]) -> Iterator[Case]:
    data = good["entries"][1]["data"]
    yield case("one character of an entry changed", _entry_with(good, 1, data=data.replace("spare", "spore")))
    yield case("one digit of an entry's time changed", _entry_with(good, 1, data=data.replace("T03:", "T04:", 1)))
    yield case("a space in an entry", _entry_with(good, 1, data=data.replace('":"', '": "', 1)))
    yield case("a newline behind an entry", _entry_with(good, 1, data=data + "\n"))
    yield case("an entry's text cut short", _entry_with(good, 1, data=data[:-1]))
    yield case("an entry's text empty", _entry_with(good, 1, data=""))
    yield case("an entry of 70,000 bytes", _entry_with(good, 1, data=data + " " * 70_000))
    for index in (0, 29, 31, 37, 38, 2**53 - 1):
        yield case(f"entry 30 at index {index}", _entry_with(good, 1, index=index))
    yield case("the entries the other way round", _with(good, entries=good["entries"][::-1]))
    yield case("an entry twice", _with(good, entries=[*good["entries"], good["entries"][1]]))
    yield case(
        "the paths swapped",
        _entry_with(_entry_with(good, 0, path=good["entries"][1]["path"]), 1, path=good["entries"][0]["path"]),
    )
    path = good["entries"][1]["path"]
    yield case("a path cut short", _entry_with(good, 1, path=path[:-1]))
    yield case("a path beheaded", _entry_with(good, 1, path=path[1:]))
    yield case("a path with one hash too many", _entry_with(good, 1, path=[*path, 0]))
    yield case("an empty path", _entry_with(good, 1, path=[]))
    yield case("a path turned round", _entry_with(good, 1, path=path[::-1]))
    yield case("a path that points behind the list", _entry_with(good, 1, path=[*path[:-1], len(good["hashes"])]))
    yield case("a path of 1,000 steps", _entry_with(good, 1, path=path * 200))
    for i in range(len(good["hashes"])):
        hashes = list(good["hashes"])
        hashes[i] = b64(flip(base64.b64decode(hashes[i]), 17 * i))
        yield case(f"one bit of hash {i} flipped", _with(good, hashes=hashes))
    yield case("a hash that nothing uses", _with(good, hashes=[*good["hashes"], b64(ZERO)]))
    yield case("the hashes turned round", _with(good, hashes=good["hashes"][::-1]))
    loose = list(good["hashes"])
    loose[0] = loose[0][:-2] + chr(ord(loose[0][-2]) + 1) + "="
    yield case("a hash with loose bits at its end", _with(good, hashes=loose))
    event = {
        "epcList": [VOIDED],
        "eventID": "urn:uuid:x",
        "eventTime": "2026-04-18T00:00:00.000Z",
        "type": "ObjectEvent",
    }
    plain = canonical(event).decode()
    for description, text in {
        "is a JSON list": "[1,2]",
        "has no eventTime": '{"eventID":"urn:uuid:x","type":"ObjectEvent"}',
        "has a time of another form": _text(event, eventTime="2026-04-18"),
        "has a text for a list": _text(event, epcList=VOIDED),
        "has null for a list": _text(event, sensorElementList=None),
        "has a number for an identifier": _text(event, epcList=[VOIDED, 7]),
        "has a text for ilmd, and adds": _text(event, action="ADD", ilmd="x"),
        "grew on a day that is not": _text(
            event, action="ADD", eventTime="2026-02-30T00:00:00.000Z", ilmd={"gy:plot": PLOT}
        ),
        "is not canonical": plain.replace(",", ", ", 1),
        "repeats a key": plain[:-1] + ',"type":"ObjectEvent"}',
    }.items():
        # Signed by the log itself: a verifier must not fall over what a careless log let in.
        log = [*entries[:4], text.encode()]
        leaves = [merkle.leaf_hash(entry) for entry in log]
        proof = built(PASSPORT, entries[:4], chosen=[0], anchored=None)
        path = [b64(node) for node in merkle.prove_inclusion(4, leaves)]
        proof.update(subject=VOIDED, hashes=path, checkpoint=SIGNER.sign(5, merkle.root(leaves)))
        proof["entries"] = [{"data": text, "index": 4, "path": list(range(len(path)))}]
        yield case(f"a signed entry that {description}", proof)


def _text(event: dict[str, Any], **members: Any) -> str:
    return canonical({**event, **members}).decode()


def _broken_checkpoints(case: MakeCase, entries: list[bytes], good: dict[str, Any]) -> Iterator[Case]:
    theirs = built(VOIDED, entries, signer=THIEF)
    yield case("signed with a thief's key, its own key in the file", theirs, ok=True)
    yield case("signed with a thief's key, the log's key known", theirs, key=SIGNER.key.text())
    yield case("a thief's checkpoint under the log's key", _with(good, checkpoint=theirs["checkpoint"]))
    yield case("the log's checkpoint under a thief's key", _with(good, key=theirs["key"]))
    yield case("another log's file, our key known", built(VOIDED, entries, signer=OTHER_SIGNER), key=SIGNER.key.text())
    other = built(VOIDED, entries, signer=OTHER_SIGNER)
    yield case("another log's checkpoint", _with(good, checkpoint=other["checkpoint"]))
    yield case("an older checkpoint", _with(good, checkpoint=built(VOIDED, entries[:35])["checkpoint"]))
    newer = built(VOIDED, [*entries, entries[0]])
    yield case("a newer checkpoint", _with(good, checkpoint=newer["checkpoint"]))
    rewritten = [entry.replace(b"spare-label", b"stolen-label") for entry in entries]
    yield case("entries of a rewritten log", _with(built(VOIDED, rewritten), checkpoint=good["checkpoint"]))
    yield case("a checkpoint of size 0", _with(good, checkpoint=SIGNER.sign(0, merkle.EMPTY_ROOT)))
    yield case("no checkpoint", _with(good, checkpoint=""))
    yield case(
        "a checkpoint with a size of 5,000 digits",
        _with(good, checkpoint=good["checkpoint"].replace("\n38\n", "\n" + "1" * 5000 + "\n")),
    )


def _broken_anchors(case: MakeCase, entries: list[bytes], good: dict[str, Any]) -> Iterator[Case]:
    yield case("another root anchored", _anchor_with(good, root=b64(flip(base64.b64decode(good["anchor"]["root"])))))
    yield case("the checkpoint's root at the anchor's size", _anchor_with(good, root=good["checkpoint"].split("\n")[2]))
    yield case("another size anchored", _anchor_with(good, size=ANCHORED - 1))
    yield case("anchored beyond the checkpoint", _anchor_with(good, size=39))
    yield case("anchored at 0", _anchor_with(good, size=0))
    yield case("anchored at -1", _anchor_with(good, size=-1))
    yield case("no consistency proof", _anchor_with(good, consistency=[]))
    yield case("a consistency proof cut short", _anchor_with(good, consistency=good["anchor"]["consistency"][:-1]))
    yield case(
        "the log id of another log", _anchor_with(good, log_id="0x" + sha256(b"guoyuan.example/other-log").hexdigest())
    )
    rewritten = [entry.replace(b"spare-label", b"stolen-label") for entry in entries]
    fork = built(VOIDED, rewritten)
    yield case("an anchor of a fork", _with(fork, anchor=good["anchor"]))
    for member, values in {
        "contract": ("", "0x00", "5FbDB2315678afecb367f032d93F642f64180aa3", good["anchor"]["contract"] + "\n", None),
        "transaction": ("0x", good["anchor"]["transaction"].upper(), good["anchor"]["transaction"] + "00", 7),
        "chain_id": (0, -1, 1.5, "1", 2**53),
        "block": (-1, "17", 0.5, None),
        "consistency": ("0", [0.5], [-1], {}, None),
        "root": ("", "x" * 43 + "=", None),
    }.items():
        for value in values:
            changed = _anchor_with(good, **{member: value})
            if value == 2**53:
                changed = (
                    canonical(_anchor_with(good, **{member: 1}))
                    .decode()
                    .replace('"chain_id":1,', f'"chain_id":{2**53},')
                )
            yield case(f"the anchor's {member} is {str(value)[:50]!r}", changed)
    yield case("an anchor with a member too many", _anchor_with(good, extra=1))
    yield case("an anchor that is a list", _with(good, anchor=[]))
    yield case("an anchor that is false", _with(good, anchor=False))


def _broken_fields(case: MakeCase, entries: list[bytes], opened: list[str], picture: str) -> Iterator[Case]:
    def disclosed(*disclosures: str) -> dict[str, Any]:
        return built(BROADCAST, entries, disclosures=disclosures)

    yield case("a private field opened twice", disclosed(opened[0], opened[0]))
    yield case("a private field nobody committed to", disclosed(sealed("price", "1.00")))
    salt, name, value = json.loads(base64.urlsafe_b64decode(opened[0] + "=="))
    yield case("a private field with another value", disclosed(sealed(name, value + "!", salt)))
    yield case("a private field with one bit flipped", disclosed(flip(opened[0].encode(), 40).decode()))
    yield case("a disclosure with padding", disclosed(opened[0] + "="))
    yield case("a disclosure that is no base64url", disclosed("!!!!"))
    yield case("a disclosure that is no JSON", disclosed(url64(b"hello")))
    yield case("a disclosure that is no triple", disclosed(url64(b'["saltsaltsaltsaltsaltsalt","a"]')))
    yield case("a disclosure of a number", disclosed(url64(b'["saltsaltsaltsaltsaltsalt","a",1]')))
    yield case("a disclosure of 50,000 levels", disclosed(url64(b"[" * 40_000)))
    yield case("an empty disclosure", disclosed(""))
    yield from (
        case(f"a committed disclosure of {what}", _committed(entries, sealed("price", value)))
        for what, value in {
            "a fraction": 0.5,
            "an object": {},
            "nothing": None,
            "true": True,
            "a list of numbers": [1],
            "2^53": 2**53,
            "half a character": "\ud800",
        }.items()
    )
    for what, value in {"a text": "x", "a whole number": -7, "a list of texts": ["x", "y"], "no texts": []}.items():
        yield case(f"a committed disclosure of {what}", _committed(entries, sealed("price", value)), ok=True)
    short = url64(b'["salt","price","1.00"]')
    yield case("a salt of less than 128 bits", _committed(entries, short))
    yield case("evidence that stands in no entry", built(VOIDED, entries, evidence=(picture,)))
    yield case("evidence twice", built(PACK, entries, evidence=(picture, picture)))
    yield case("evidence of another form", built(VOIDED, entries, evidence=("https://guoyuan.example/x.jpg",)))
    yield case("evidence cut short", built(PACK, entries, evidence=(picture[:-1],)))


def _committed(entries: list[bytes], disclosure: str) -> dict[str, Any]:
    """A proof whose one entry commits to a disclosure, whatever it is."""
    event = json.loads(entries[0])
    event["gy:digests"] = [url64(sha256(disclosure.encode()).digest())]
    return built(PASSPORT, [canonical(event), *entries[1:4]], anchored=None, disclosures=(disclosure,))


def url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def sealed(name: str, value: Any, salt: str = "c2FtcGxlIHNhbHQgMTIzNDU") -> str:
    return url64(json.dumps([salt, name, value]).encode())


def _broken_shapes(case: MakeCase, good: dict[str, Any]) -> Iterator[Case]:
    for member in good:
        yield case(f"without {member}", {key: value for key, value in good.items() if key != member})
        for value in (None, 7, True, "x", {}, [[]]):
            if not (member == "anchor" and value is None):
                yield case(f"{member} is {json.dumps(value)}", _with(good, **{member: value}))
    yield case("a member too many", _with(good, extra=1))
    yield case("a member named __proto__", _with(good, __proto__={"anchor": None}))
    yield case("an entry with a member too many", _entry_with(good, 0, extra=1))
    for member in ("data", "index", "path"):
        for value in (None, -1, 1.5, "7", [None], [-1], ["0"], {}):
            if (member, value) != ("data", "7"):
                yield case(f"an entry's {member} is {json.dumps(value)}", _entry_with(good, 0, **{member: value}))
    yield case("no entries", _with(good, entries=[]))
    yield case("5,001 entries", _with(good, entries=[{"data": "{}", "index": 0, "path": []}] * 5001))
    yield case("another format", _with(good, format="guoyuan-proof@2"))
    yield case("an empty subject", _with(good, subject=""))
    yield case("a subject of 2,049 characters", _with(good, subject="x" * 2049))


def _broken_texts(case: MakeCase, good: dict[str, Any]) -> Iterator[Case]:
    text = canonical(good).decode()
    yield case("an empty file", "")
    for at in (1, 100, len(text) // 2, len(text) - 1):
        yield case(f"cut after {at} characters", text[:at])
    yield case("a newline behind the file", text + "\n")
    yield case("a second document behind the file", text + text)
    yield case("a byte-order mark", "\ufeff" + text)
    yield case("indented", json.dumps(good, indent=1))
    yield case(
        "keys in another order", json.dumps(dict(reversed(good.items())), separators=(",", ":"), ensure_ascii=False)
    )
    yield case("every character escaped that need not be", json.dumps(good, separators=(",", ":"), sort_keys=True))
    yield case("a repeated key: the subject twice", text[:-1] + f',"subject":"{VOIDED}"' + "}")
    yield case("a repeated key: another subject first", text.replace('"subject":', f'"subject":"{PACK}","subject":'))
    yield case("a repeated key: two checkpoints", text.replace('"checkpoint":', '"checkpoint":"","checkpoint":'))
    yield case("a repeated key inside an entry", text.replace('"index":30', '"index":1,"index":30'))
    yield case("an index with a fraction", text.replace('"index":30', '"index":30.0'))
    yield case("an index with an exponent", text.replace('"index":30', '"index":3e1'))
    yield case("an index of 50,000 digits", text.replace('"index":30', '"index":' + "3" * 50_000))
    yield case("an index that is minus zero", text.replace('"index":30', '"index":-0'))
    yield case("an index that is NaN", text.replace('"index":30', '"index":NaN'))
    yield case("an index that is infinite", text.replace('"index":30', '"index":1e999'))
    yield case("a lone surrogate in the subject", text.replace(VOIDED, VOIDED + "\\ud800"))
    yield case("a lone surrogate in an entry", text.replace("spare-label", "spare\\udfff"))
    yield case("a null character in the subject", text.replace(VOIDED, VOIDED + "\\u0000"))
    yield case("20,000 open brackets", "[" * 20_000)
    yield case("20,000 open objects", '{"a":' * 20_000)
    yield case("a proof inside a list", f"[{text}]")
    yield case("a JSON text", '"guoyuan-proof@1"')
    yield case("null", "null")
    yield case("HTML", "<!doctype html><title>404</title>")
    for description, data in {
        "not UTF-8": b"\xff\xfe" + text.encode(),
        "UTF-16": text.encode("utf-16"),
        "a surrogate in UTF-8": text.encode().replace(b"spare-label", b"spare\xed\xa0\x80"),
        "an overlong slash": text.encode().replace(b"spare-label", b"spare\xc0\xaf"),
        "null bytes": bytes(1000),
        "gzip": b"\x1f\x8b\x08" + bytes(50),
    }.items():
        yield {"description": description, "file_base64": b64(data), "ok": False}


FILES: dict[str, Callable[[], Iterator[Case]]] = {
    "chain.json": witnessed.chains,
    "cosignature.json": witnessed.cosignatures,
    "policy.json": witnessed.policies,
    "tlog_proof.json": witnessed.tlog_proofs,
    "canonical.json": canonical_json,
    "checkpoint.json": checkpoints,
    "consistency.json": consistency,
    "inclusion.json": inclusion,
    "proof.json": proofs,
}


WHOLE = {
    "proof.json": {
        "the golden pack: its whole history",
        "a voided code: two entries, anchored",
        "a broadcast, two private fields opened",
        "cosigned by two witnesses, both demanded",
    },
    "tlog_proof.json": {"an entry, carried, with the log's key", "an entry, carried, cosigned by two witnesses"},
}
"""The cases whose files are written whole; the others are changes to one of these."""


def example() -> str:
    """Return the example that ledger/docs/format.md opens with, broken into lines."""
    entries = golden_entries()[:2]
    text = canonical(built(PASSPORT, entries, anchored=2)).decode()
    lines = [text[i : i + 110] for i in range(0, len(text), 110)]
    return "```text\n" + "\n".join(lines) + "\n```"


PAGE = FOLDER.parent.parent / "ledger" / "docs" / "format.md"


def page() -> str:
    """Return what the page must hold."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- example:begin -->\n")
    _, _, after = rest.partition("<!-- example:end -->")
    return f"{before}<!-- example:begin -->\n{example()}\n<!-- example:end -->{after}"


def rendered(name: str) -> str:
    """Return what a vector file must hold: one case per line."""
    cases = list(FILES[name]())
    if name in WHOLE:
        cases = compacted(cases, WHOLE[name])
    lines = ",\n".join(json.dumps(case, ensure_ascii=True, sort_keys=True) for case in cases)
    return f"[\n{lines}\n]\n"


def main() -> int:
    """Write or check every file."""
    stale = [name for name in FILES if not _holds(FOLDER / name, rendered(name))]
    if PAGE.read_text(encoding="utf-8") != page():
        stale.append(PAGE.name)
    if "--check" in sys.argv:
        print("\n".join(f"{name} is not what generate.py writes" for name in stale) or "all vectors are as generated")
        return 1 if stale else 0
    for name in stale:
        if name == PAGE.name:
            PAGE.write_text(page(), encoding="utf-8")
        else:
            (FOLDER / name).write_text(rendered(name), encoding="ascii")
    print(f"wrote {', '.join(stale) or 'nothing new'}")
    return 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="ascii") == text


if __name__ == "__main__":
    sys.exit(main())
