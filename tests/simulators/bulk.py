"""A log of any length, written in one go: the golden chain again and again, each time of other things.

Every round has its own plot, lots, packs and documents, so that a history in a long log is as long as in a
short one. Rows are written as `ledger.log` writes them, without parsing each event: a million take a minute.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ledger import merkle, tree
from ledger.canonical import canonical, entry_document
from ledger.checkpoint import LogSigner
from ledger.kernel.clock import parse_time
from ledger.kernel.columns import milliseconds
from ledger.kernel.database import Database, insert_rows
from ledger.lineage import names
from ledger.models import Checkpoint, Entry, Naming
from tests.simulators.orchard import PACK, golden_events

RECORDED_AT: Final = datetime(2026, 5, 1, tzinfo=UTC)
_MARK: Final = "~round~"
_HOST: Final = "https://id.gs1.org/"
_BATCH: Final = 200
"""Rounds written in one transaction."""


@dataclass(frozen=True)
class _Template:
    """One event of the round, with marks where its things are named."""

    event_id: str
    is_declaration: bool
    sentence: str
    event_type: str
    event_time_ms: int
    data: str
    named: tuple[tuple[str, int], ...]


def fill(db: Database, count: int, signer: LogSigner, *, publish_every: int = 10_000) -> None:
    """Write `count` entries into an empty log, integrated and published."""
    templates = [*_templates()]
    written = 0
    size, published = 0, 0
    while written < count:
        with db.write() as session:
            entries: list[tuple[Any, ...]] = []
            namings: list[tuple[Any, ...]] = []
            first = written
            for round_ in range(first // len(templates), first // len(templates) + _BATCH):
                for template in templates:
                    if written < count:
                        _add(entries, namings, template, round_, written)
                        written += 1
            insert_rows(session, Entry.__table__, _ENTRY_COLUMNS, entries)  # type: ignore[attr-defined]
            insert_rows(session, Naming.__table__, _NAMING_COLUMNS, namings)  # type: ignore[attr-defined]
            tree.append(session, size, [merkle.leaf_hash(row[7]) for row in entries])
            size = written
            if size - published >= publish_every or size == count:
                root = tree.root(session, size)
                session.add(
                    Checkpoint(
                        size=size,
                        previous_size=published,
                        root=root,
                        note=signer.sign(size, root),
                        signed_at=RECORDED_AT + timedelta(seconds=size),
                    )
                )
                published = size
    _count_up(db, count)


def pack_of(round_: int) -> str:
    """The pack of one round."""
    return PACK + _text(round_)


_ENTRY_COLUMNS: Final = (
    "id", "event_id", "is_declaration", "sentence", "event_type", "event_time", "record_time", "data", "leaf_index",
)  # fmt: skip
_NAMING_COLUMNS: Final = ("identifier", "sentence", "event_time", "entry_id", "roles")


def _templates() -> Iterator[_Template]:
    for event in golden_events():
        document = entry_document(event, RECORDED_AT)
        text = _marked(canonical(document).decode())
        marked = json.loads(text)
        yield _Template(
            event_id=marked["eventID"],
            is_declaration="errorDeclaration" in marked,
            sentence=marked["gy:sentence"],
            event_type=marked["type"],
            event_time_ms=milliseconds(parse_time(marked["eventTime"])),
            data=text,
            named=tuple(names(marked).items()),
        )


def _marked(text: str) -> str:
    """Put a mark behind every thing and event that a text names; parties and products stay what they are."""
    parts = text.split('"')
    for place, part in enumerate(parts):
        is_thing = part.startswith(_HOST) and not part.startswith(f"{_HOST}417/")
        is_class = part.startswith(f"{_HOST}01/") and part.count("/") == 4  # a product without a lot
        if (is_thing and not is_class) or part.startswith("urn:uuid:"):
            parts[place] = part + _MARK
    return '"'.join(parts)


def _add(
    entries: list[tuple[Any, ...]], namings: list[tuple[Any, ...]], template: _Template, round_: int, index: int
) -> None:
    text, entry_id = _text(round_), index + 1
    entries.append((
        entry_id,
        template.event_id.replace(_MARK, text),
        template.is_declaration,
        template.sentence,
        template.event_type,
        template.event_time_ms,
        milliseconds(RECORDED_AT),
        template.data.replace(_MARK, text).encode(),
        index,
    ))  # fmt: skip
    for identifier, roles in template.named:
        namings.append((
            identifier.replace(_MARK, text), template.sentence, template.event_time_ms, entry_id, roles,
        ))  # fmt: skip


def _text(round_: int) -> str:
    return f"R{round_:06d}"


def _count_up(db: Database, count: int) -> None:
    """Let the database go on counting behind the keys that were given."""
    if not db.is_sqlite:
        with db.write() as session:
            session.connection().exec_driver_sql(
                f"SELECT setval(pg_get_serial_sequence('ledger_entry', 'id'), {count})"
            )
