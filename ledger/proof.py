"""The offline proof file `guoyuan-proof@1`: parse, write, verify. See `ledger/docs/format.md`.

Pure. `verify` raises VerificationError and nothing else, whatever bytes it is fed.
"""

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from ledger import digests, merkle
from ledger.canonical import canonical
from ledger.checkpoint import LogKey, TreeHead
from ledger.checkpoint import verify as verify_checkpoint
from ledger.cosign import Cosignature
from ledger.errors import EventError, VerificationError
from ledger.kernel.errors import OriginError
from ledger.lineage import Found, Query, Stance, answers, names, walk
from ledger.policy import Policy
from ledger.tiles import MAX_ENTRY_BYTES

FORMAT: Final = "guoyuan-proof@1"
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_ENTRIES: Final = 5000
MAX_HASHES: Final = 200_000

_Whole = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Positive = Annotated[int, Meta(ge=1, le=2**53 - 1)]
_Hash = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{43}=\Z")]
_Hex32 = Annotated[str, Meta(pattern=r"^0x[0-9a-f]{64}\Z")]
_Address = Annotated[str, Meta(pattern=r"^0x[0-9a-fA-F]{40}\Z")]
_Path = Annotated[tuple[_Whole, ...], Meta(max_length=128)]
_Evidence = Annotated[str, Meta(pattern=r"^ni:///sha-256;[A-Za-z0-9_-]{43}\Z")]
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_NAMED: Final = re.compile(r'"(ni:///sha-256;[A-Za-z0-9_-]{43})(?=")')
_DIGEST: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class Anchor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a chain holds a head of the log. Hashes of the chain are `0x` hex, ours base64."""

    block: _Whole
    chain_id: _Positive
    consistency: _Path
    contract: _Address
    log_id: _Hex32
    root: _Hash
    size: _Positive
    transaction: _Hex32


class ProvedEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry: its text, its index, and its path as positions in the file's list of hashes."""

    data: Annotated[str, Meta(min_length=2, max_length=MAX_ENTRY_BYTES)]
    index: _Whole
    path: _Path


class ProofBundle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A proof file, parsed."""

    anchor: Anchor | None
    checkpoint: str
    disclosures: Annotated[tuple[Annotated[str, Meta(max_length=65_535)], ...], Meta(max_length=MAX_ENTRIES)]
    entries: Annotated[tuple[ProvedEntry, ...], Meta(min_length=1, max_length=MAX_ENTRIES)]
    evidence: Annotated[tuple[_Evidence, ...], Meta(max_length=MAX_ENTRIES)]
    format: str
    hashes: Annotated[tuple[_Hash, ...], Meta(max_length=MAX_HASHES)]
    key: str
    subject: Annotated[str, Meta(min_length=1, max_length=2048)]

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        return canonical(msgspec.to_builtins(self))

    @classmethod
    def decode(cls, data: bytes) -> "ProofBundle":
        """Return the proof in a file's bytes, unverified. Raises VerificationError unless it is well formed."""
        if len(data) > MAX_FILE_BYTES:
            raise VerificationError(f"the file is {len(data)} bytes; a proof has at most {MAX_FILE_BYTES}")
        built = _parsed(data, "the file")
        if isinstance(built, dict) and built.get("format") != FORMAT:
            raise VerificationError(f"the file is not a {FORMAT}")
        try:
            return msgspec.convert(built, type=cls, strict=True)
        except msgspec.ValidationError as error:
            raise VerificationError(f"the file is not a {FORMAT}: {error}") from error


class Shown(StrEnum):
    """What a verified proof shows."""

    UNCHANGED = "entries_unchanged"
    SIGNED = "signed_by_the_log"
    WITNESSED = "cosigned_by_witnesses"
    CONCERNS = "all_entries_concern_the_subject"
    ANCHORED = "anchored_on_the_chain"
    OPENED = "private_fields_match"


class Unshown(StrEnum):
    """What a verified proof leaves open."""

    KEY_FROM_FILE = "log_key_taken_from_the_file"
    UNWITNESSED = "no_witness_vouches"
    NOT_ANCHORED = "no_anchor_in_the_file"
    CHAIN_NOT_ASKED = "chain_not_asked"
    PARTLY_ANCHORED = "some_entries_newer_than_the_anchor"
    COMPLETENESS = "entries_may_be_left_out"
    TRUTH = "events_are_their_recorders_word"


@dataclass(frozen=True, slots=True)
class VerifiedEntry:
    """An entry that stands in the log as shown."""

    index: int
    event_id: str
    event: Mapping[str, Any]
    is_anchored: bool
    """Whether the anchored head covers it; it is the chain's word only if the chain was asked."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found true of a proof file, and what was not looked at."""

    subject: str
    head: TreeHead
    key: LogKey
    cosignatures: tuple[Cosignature, ...]
    """Of the policy's witnesses; nobody else's word is looked at."""
    entries: tuple[VerifiedEntry, ...]
    opened: tuple[digests.OpenedField, ...]
    anchor: Anchor | None
    shown: tuple[Shown, ...]
    unshown: tuple[Unshown, ...]


AnchorCheck = Callable[[Anchor], bool | None]
"""Asks a chain: True when it holds this head, False when it contradicts it, None when it could not be asked."""


def verify(
    data: bytes,
    *,
    log_key: LogKey | None = None,
    policy: Policy | None = None,
    anchor_check: AnchorCheck | None = None,
) -> Verified:
    """Return what a proof file shows. Raises VerificationError, and nothing else, when it does not hold."""
    bundle = ProofBundle.decode(data)
    key = LogKey.parse(bundle.key)
    if log_key is not None and key != log_key:
        raise VerificationError(f"the proof is of the log key {key.text()}, not of {log_key.text()}")
    head = verify_checkpoint(bundle.checkpoint, key)
    given = policy.check(bundle.checkpoint, log=key).cosignatures if policy else ()
    hashes = _Hashes(bundle.hashes)
    events = _verify_entries(bundle.entries, head, hashes)
    _verify_connection(bundle.subject, events)
    opened = _verify_disclosures(bundle.disclosures, events.values())
    _verify_evidence(bundle.evidence, bundle.entries)
    confirmed = _verify_anchor(bundle.anchor, head, hashes, anchor_check)
    hashes.refuse_unused()
    anchored_size = bundle.anchor.size if bundle.anchor else 0
    return Verified(
        subject=bundle.subject,
        head=head,
        key=key,
        cosignatures=given,
        entries=tuple(
            VerifiedEntry(index, str(event["eventID"]), event, index < anchored_size) for index, event in events.items()
        ),
        opened=opened,
        anchor=bundle.anchor,
        shown=_shown(witnessed=bool(given), confirmed=confirmed, opened=opened),
        unshown=_unshown(
            bundle,
            witnessed=bool(given),
            confirmed=confirmed,
            key_given=log_key is not None or bool(policy and policy.logs),
        ),
    )


class _Hashes:
    """The file's list of hashes, which remembers what was used."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._hashes = [_hash(text) for text in texts]
        self._unused = set(range(len(texts)))

    def path(self, positions: Sequence[int]) -> list[bytes]:
        for position in positions:
            if position >= len(self._hashes):
                raise VerificationError(f"a path points at hash {position}; the file has {len(self._hashes)}")
        self._unused.difference_update(positions)
        return [self._hashes[position] for position in positions]

    def refuse_unused(self) -> None:
        if self._unused:
            raise VerificationError(f"{len(self._unused)} hashes of the file are used by nothing")


def _verify_entries(entries: Sequence[ProvedEntry], head: TreeHead, hashes: _Hashes) -> dict[int, Mapping[str, Any]]:
    events: dict[int, Mapping[str, Any]] = {}
    last = -1
    for entry in entries:
        if entry.index <= last:
            raise VerificationError(f"entry {entry.index} does not come after entry {last}")
        last = entry.index
        raw = _utf8(entry.data, f"entry {entry.index}")
        if len(raw) > MAX_ENTRY_BYTES:
            raise VerificationError(f"entry {entry.index} is {len(raw)} bytes long")
        merkle.verify_inclusion(merkle.leaf_hash(raw), entry.index, head.size, hashes.path(entry.path), head.root)
        event = _parsed(raw, f"entry {entry.index}")
        if not _is_event(event):
            raise VerificationError(f"entry {entry.index} is not an event")
        events[entry.index] = event
    return events


def _is_event(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("type"), str)
        and isinstance(value.get("eventID"), str)
        and isinstance(value.get("eventTime"), str)
        and _TIME.fullmatch(value["eventTime"]) is not None
    )


def _verify_connection(subject: str, events: Mapping[int, Mapping[str, Any]]) -> None:
    """Reach every entry from the subject by the rules of `ledger.lineage`, with nothing but the file."""
    try:
        reached, _ = walk(subject, FileFinder(events), limit=len(events))
    except (OriginError, ArithmeticError) as error:
        # The log signed an entry that is not shaped like an event.
        raise VerificationError(f"an entry is not an event that can be followed: {error}") from error
    for index in events:
        if index not in reached:
            raise VerificationError(f"entry {index} has nothing to do with {subject}")


class FileFinder:
    """Answers the questions of a walk from the entries of a file."""

    def __init__(self, events: Mapping[int, Mapping[str, Any]]) -> None:
        self._events = events
        self._named: dict[str, list[tuple[int, int]]] = {}
        self._by_event: dict[str, list[int]] = {}
        for index, event in events.items():
            self._by_event.setdefault(event["eventID"], []).append(index)
            for identifier, roles in names(event).items():
                self._named.setdefault(identifier, []).append((index, roles))

    def __call__(self, queries: Sequence[Query]) -> Iterable[Found]:
        """Yield what the file's own entries answer."""
        for query in queries:
            for index in self._answers(query):
                yield Found(query, index, self._events[index])

    def _answers(self, query: Query) -> Sequence[int]:
        if query.stance is Stance.EVENT:
            return self._by_event.get(query.identifier, ())
        named = self._named.get(query.identifier, ())
        hits = [index for index, roles in named if answers(query, self._events[index], roles)]
        if query.newest:
            hits.sort(key=lambda index: (self._events[index]["eventTime"], index), reverse=True)
            return hits[: query.newest]
        return hits


def _verify_disclosures(
    disclosures: Sequence[str], events: Iterable[Mapping[str, Any]]
) -> tuple[digests.OpenedField, ...]:
    if len(set(disclosures)) != len(disclosures):
        raise VerificationError("a private field is opened twice")
    if not disclosures:
        return ()
    committed = {
        digest
        for event in events
        if isinstance(event.get("gy:digests"), list)
        for digest in event["gy:digests"]
        if isinstance(digest, str) and _DIGEST.fullmatch(digest)
    }
    opened = []
    for disclosure in disclosures:
        field = digests.open_disclosure(disclosure)
        if digests.digest_of(disclosure) not in committed:
            raise VerificationError(f"the private field {field.name[:80]!r} stands in no entry of the file")
        opened.append(field)
    return tuple(opened)


def _verify_evidence(evidence: Sequence[str], entries: Sequence[ProvedEntry]) -> None:
    if len(set(evidence)) != len(evidence):
        raise VerificationError("a piece of evidence is listed twice")
    # In canonical JSON an ni name is written as it is, between quotation marks.
    named = {name for entry in entries for name in _NAMED.findall(entry.data)} if evidence else set()
    for name in evidence:
        if name not in named:
            raise VerificationError(f"the evidence {name} stands in no entry of the file")


def _verify_anchor(anchor: Anchor | None, head: TreeHead, hashes: _Hashes, check: AnchorCheck | None) -> bool:
    """Check an anchor against the checkpoint; return whether a chain confirmed it."""
    if anchor is None:
        return False
    if anchor.log_id != "0x" + sha256(head.origin.encode()).hexdigest():
        raise VerificationError(f"the anchor's log id is not that of {head.origin!r}")
    root, path = _hash(anchor.root), hashes.path(anchor.consistency)
    merkle.verify_consistency(anchor.size, head.size, root, head.root, path)
    answer = check(anchor) if check is not None else None
    if answer is False:
        raise VerificationError(f"the chain does not hold the head of size {anchor.size} that the file claims")
    return answer is True


def _shown(*, witnessed: bool, confirmed: bool, opened: Sequence[digests.OpenedField]) -> tuple[Shown, ...]:
    shown = [Shown.UNCHANGED, Shown.SIGNED, *([Shown.WITNESSED] if witnessed else []), Shown.CONCERNS]
    if confirmed:
        shown.append(Shown.ANCHORED)
    if opened:
        shown.append(Shown.OPENED)
    return tuple(shown)


def _unshown(bundle: ProofBundle, *, witnessed: bool, confirmed: bool, key_given: bool) -> tuple[Unshown, ...]:
    unshown = []
    if not key_given:
        unshown.append(Unshown.KEY_FROM_FILE)
    if not witnessed:
        unshown.append(Unshown.UNWITNESSED)
    if bundle.anchor is None:
        unshown.append(Unshown.NOT_ANCHORED)
    else:
        if not confirmed:
            unshown.append(Unshown.CHAIN_NOT_ASKED)
        if bundle.entries[-1].index >= bundle.anchor.size:
            unshown.append(Unshown.PARTLY_ANCHORED)
    return (*unshown, Unshown.COMPLETENESS, Unshown.TRUTH)


def _parsed(data: bytes, what: str) -> Any:
    """Return the JSON value whose canonical bytes these are."""
    try:
        built = msgspec.json.decode(data)
        again = canonical(built)
    except (msgspec.MsgspecError, EventError, ValueError, RecursionError) as error:
        raise VerificationError(f"{what} is not JSON: {str(error)[:200]}") from error
    if again != data:
        raise VerificationError(f"{what} is not canonical JSON (RFC 8785)")
    return built


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise VerificationError(f"{what} holds broken text") from error


def _hash(text: str) -> bytes:
    data = base64.b64decode(text)  # its pattern was checked
    if base64.b64encode(data).decode() != text:
        raise VerificationError(f"{text} is not written in the one way base64 allows")
    return data
