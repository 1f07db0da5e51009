"""What a history is made of once it is read: entries, photographs, fruits, steps, the story itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, Protocol

from api.drawing import Curve
from api.facts import Fact, fact_at, walk
from ledger.kernel.clock import parse_time


class Entry(Protocol):
    """What a story needs of an entry; `ledger.trace.Step` is one."""

    @property
    def index(self) -> int | None:
        """Place in the log, None while it is recorded only."""
        ...

    @property
    def data(self) -> bytes:
        """The bytes that are hashed."""
        ...

    @property
    def event(self) -> Mapping[str, Any]:
        """The same, read."""
        ...


@dataclass(frozen=True, eq=False)
class Told:
    """One entry of the log, read."""

    index: int | None
    data: bytes
    event: Mapping[str, Any]

    @property
    def event_id(self) -> str:
        """The event's own id."""
        return str(self.event.get("eventID"))

    @property
    def sentence(self) -> str:
        """`packed/1`, or empty for an event that is none of ours."""
        value = self.event.get("gy:sentence", "")
        return value if isinstance(value, str) else ""

    @property
    def name(self) -> str:
        """The sentence without its edition: `packed`."""
        return self.sentence.partition("/")[0]

    @property
    def is_declaration(self) -> bool:
        """Whether it declares an earlier entry wrong, and otherwise repeats it."""
        return "errorDeclaration" in self.event

    @cached_property
    def leaf_hash(self) -> str:
        """The leaf's hash in hex (RFC 9162, 2.1.1)."""
        return sha256(b"\x00" + self.data).hexdigest()

    @cached_property
    def at(self) -> datetime:
        """When it happened."""
        return parse_time(self.event["eventTime"])

    @property
    def recorder(self) -> str | None:
        """The party or device whose word this is."""
        return self.text("gy:recorder")

    @property
    def place(self) -> str | None:
        """Where it was seen."""
        return self.text("readPoint", "id")

    def get(self, *path: str | int) -> Any:
        """Return what stands at a path, or None."""
        return walk(self.event, path)

    def text(self, *path: str | int) -> str | None:
        """Return the text at a path, or None."""
        value = walk(self.event, path)
        return value if isinstance(value, str) else None

    def texts(self, *path: str | int) -> list[str]:
        """Return the list of texts at a path, empty where there is none."""
        value = walk(self.event, path)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def rows(self, *path: str | int) -> list[dict[str, Any]]:
        """Return the list of objects at a path, empty where there is none."""
        value = walk(self.event, path)
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

    def whole(self, *path: str | int) -> int | None:
        """Return the whole number at a path, or None."""
        value = walk(self.event, path)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def fact(self, *path: str | int) -> Fact | None:
        """Return what stands at a path as a fact, or None where the event does not say it."""
        return fact_at(self.event, path, None if self.index is None else str(self.index))


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph or document by its hash, in hex."""

    digest: str
    is_kept: bool
    width: int = 0
    height: int = 0
    ground: str = "#f4f1e8"
    """The colour at its edge."""


@dataclass(frozen=True, slots=True)
class Plate:
    """Where a fruit stands in its photograph, in the photograph's own pixels, and how large a millimetre is."""

    left: float
    right: float
    px_per_mm: float


@dataclass(frozen=True, slots=True)
class Fruit:
    """One fruit of a pack, by the record that grading kept of it."""

    number: int
    digest: str
    photo: Photo | None
    plate: Plate | None
    facts: Mapping[str, Fact]
    reason: Mapping[str, str]
    """Why it got its tier, by language, in the words of the standard; empty where that is not kept."""
    standard: Mapping[str, str]
    """The standard's title by language."""

    def fact(self, name: str) -> Fact | None:
        """Return a fact of the record by its short name, or None."""
        return self.facts.get(name)


@dataclass(frozen=True, slots=True)
class DrawnCurve:
    """A curve and the verified values it must be drawn from: a kept file, or reports of entries."""

    curve: Curve
    step_ms: int
    file: str | None = None
    quantity: str = ""
    points: tuple[tuple[int | None, int, int], ...] = ()
    wanted: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One station of the way, with everything that proves it."""

    kind: str
    main: Told
    told: tuple[Told, ...]
    facts: Mapping[str, Fact | None] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    confirmed_by: Told | None = None
    is_one_sided: bool = False
    """Two parties should have said this, and only one did."""

    @property
    def at(self) -> datetime:
        """When it was over."""
        return self.main.at

    @property
    def key(self) -> str:
        """A name for links into the page."""
        return f"{self.kind}-{self.main.event_id[-6:]}"

    @property
    def indexes(self) -> list[int]:
        """The leaf indexes of its entries, in order."""
        return sorted({t.index for t in self.told if t.index is not None})

    @property
    def is_integrated(self) -> bool:
        """Whether every entry of it has its place in the log."""
        return all(t.index is not None for t in self.told)

    def fact(self, name: str) -> Fact | None:
        """Return a fact by name, or None."""
        return self.facts.get(name)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two records that disagree."""

    kind: str
    first: Fact | None
    second: Fact | None
    difference: Fact | None
    first_at: Fact | None
    second_at: Fact | None


@dataclass(frozen=True, slots=True)
class Correction:
    """A record that was declared wrong, and the one that put it right."""

    wrong: Told
    right: Told | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Story:
    """The history of one thing, ready to be shown."""

    identifier: str
    kind: str
    """`pack`, `lot` or `other`."""
    path: str
    """Its Digital Link path."""
    serial: str | None
    lot: str | None
    steps: tuple[Step, ...]
    told: tuple[Told, ...]
    tier: Fact | None
    variety: Fact | None
    crop: Fact | None
    net: Fact | None
    fruit_count: Fact | None
    best_before: Fact | None
    owner: str | None
    """The party that owned the harvest: a cooperative."""
    fruits: tuple[Fruit, ...]
    pack_photo: Photo | None
    recall: Told | None
    is_voided: bool
    alarm: Told | None
    contradictions: tuple[Contradiction, ...]
    corrections: tuple[Correction, ...]
    is_cut: bool = False

    def step(self, kind: str) -> Step | None:
        """Return the first step of a kind."""
        return next((step for step in self.steps if step.kind == kind), None)

    @property
    def last_index(self) -> int | None:
        """The highest leaf index, or None while an entry still waits for its own."""
        indexes = [told.index for told in self.told]
        return None if None in indexes or not indexes else max(i for i in indexes if i is not None)
