"""One line from its camera's frames to graded fruit: coarse finding, tracks, views, fusion, verdict.

`Line` is used from one thread, touches no file, network or clock, and keeps nothing but what is in the
picture. The same frames in the same order give the same fruit with the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from grading.camera import Pixels
from grading.defects import DefectModel
from grading.detect import box_overlap
from grading.errors import ModelFileError
from grading.grade import Verdict
from grading.learned import LearnedDetector
from grading.line.asking import Ask, Reply, at_once
from grading.line.doubts import Doubt
from grading.line.fusing import Judging, Side, judge, next_look, verdict_of, weighed_reasons
from grading.line.track import Blob, Crossing, Direction, Sight, Step, Track, Tracker
from grading.line.views import Box, Finder, Found, Place, Profile, Skin, cut, measured
from grading.line.weights import MassFrom, Weight, counted, mass_from
from grading.measure import Measures
from grading.standard import Standard, Tariff, Text

_LEAST_MM: Final = 20
"""What is smaller lies on the belt but is no fruit."""
_LAST_VIEW: Final = 0.85
"""The last view is taken when a fruit has come so far on the way on which it is wholly seen."""
_SAME: Final = 0.4
"""A network's box and a blob mean the same thing when they share this part of both together."""


class Picture(Protocol):
    """What a line needs of one frame; `grading.line.sources.Shot` and rendered frames are that."""

    @property
    def pixels(self) -> Pixels:
        """Blue green red."""
        ...

    @property
    def number(self) -> int:
        """Counts on with every frame the camera makes, dropped ones included."""
        ...

    @property
    def at_s(self) -> float:
        """Monotonic seconds."""
        ...

    @property
    def belt_um(self) -> int | None:
        """The encoder's position in micrometres, where there is one."""
        ...


@dataclass(frozen=True, slots=True)
class LineSetup:
    """What a line grades by. `learned` is the network that checks the colour detector; None leaves that out."""

    standard: Standard
    tariff: Tariff
    profile: Profile
    learned: LearnedDetector | None = None
    brix_tenths: int | None = None
    """A meter's reading of the lot in tenths of a degree, where somebody took one."""
    direction: Direction = Direction.RIGHT
    """Where fruit move in the picture."""
    is_turned: bool = True
    """Rollers turn the fruit about an axis across the belt as it passes."""
    views: int = 5
    """How many views are taken of a fruit that passes undisturbed."""
    least_views: int = 4
    """With fewer sound ones, the fruit is doubtful."""
    network_every: int = 8
    """The network looks at every so many frames, sooner where a fruit would pass unseen by it."""
    defects: DefectModel | None = None
    """The network that looks again at marks that decide; None leaves that out."""

    @property
    def judging(self) -> Judging:
        """What a fruit's views are judged by."""
        return Judging(
            near=self.tariff.content.near_at_line,
            standard=self.standard,
            tariff=self.tariff,
            least_views=self.least_views,
            across_is_y=self.direction in {Direction.RIGHT, Direction.LEFT},
            is_turned=self.is_turned,
            brix_tenths=self.brix_tenths,
            looks_again=self.defects is not None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One fruit in one frame, measured in its own small JPEG picture and nowhere else.

    `place` is where that picture was cut. `side` is None where it shows no outline to measure.
    """

    crop: bytes
    place: Place
    shot: int
    at_s: float
    belt_um: int | None
    side: Side | None
    outline: NDArray[np.int32]
    """A point in each row, in the corrected frame's pixels; none where there is no side."""

    @property
    def box(self) -> Box:
        """Left, top, width and height of the crop in the corrected frame."""
        return self.place.box

    @property
    def measures(self) -> Measures | None:
        """What this view alone says."""
        return None if self.side is None else self.side.measures


class Looked(StrEnum):
    """What came of looking again at a fruit's marks.

    Nothing hung on them; they are marks; some were hollows about stem or calyx; the network contradicts, or was too
    late, and a person decides.
    """

    NOT_ASKED = "not_asked"
    AGREED = "agreed"
    HOLLOWS = "hollows"
    DISPUTED = "disputed"
    TOO_LATE = "too_late"


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """One fruit that passed the camera, counted once. With any doubt its verdict is `doubtful`.

    `at_s` and `belt_um` are when, and at what reading of the encoder, its middle crosses the exit edge of
    the picture; they may lie a frame or two ahead. `measures` is None where no view could be measured.
    """

    number: int
    views: tuple[View, ...]
    measures: Measures | None
    verdict: Verdict
    score_permille: int
    belt_um: int | None
    at_s: float
    reasons: tuple[Doubt, ...] = ()
    noted: tuple[Doubt, ...] = ()
    """Those of the reasons that its way along the belt gave, not its pictures."""
    across_um: int = 0
    """Where across the belt it lies, from the picture's top (its left, where the belt runs up or down)."""
    weight: Weight | None = None
    """What the scale behind the camera says of it; None where no scale weighs each fruit."""

    def weighed(self, weight: Weight, by: Judging) -> "Passed":
        """Return the fruit with what a scale says of it, judged again by the mass that counts."""
        reasons = weighed_reasons(self.measures, self.reasons, weight)
        verdict = verdict_of(self.measures, reasons, by, score_permille=self.score_permille, weight=weight)
        return replace(self, weight=weight, reasons=reasons, verdict=verdict)

    @property
    def looked_again(self) -> Looked:
        """What came of looking again at its marks."""
        if Doubt.MARKS_UNCHECKED in self.reasons:
            return Looked.TOO_LATE
        if Doubt.MARKS in self.reasons:
            return Looked.DISPUTED
        pairs = [(view.side.again.left, view.side.measures) for view in self.views if view.side and view.side.again]
        if not pairs:
            return Looked.NOT_ASKED
        return Looked.HOLLOWS if any(left.marks != seen.marks for left, seen in pairs) else Looked.AGREED

    @property
    def mass_g(self) -> int:
        """The mass that counts: the scale's where it told one that is believed, else the estimate; 0 for unmeasured."""
        return 0 if self.measures is None else counted(self.measures, self.weight).mass_g

    @property
    def mass_from(self) -> MassFrom:
        """Whose mass that is."""
        return mass_from(self.measures, self.weight)

    @property
    def doubts(self) -> tuple[Text, ...]:
        """Why a person must look, in both languages; empty where nothing but the numbers decides."""
        return tuple(reason.text for reason in self.reasons)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One fruit for the live picture; `outline` has a point in each row. Without number and tier it has not passed."""

    box: Box
    outline: NDArray[np.int32]
    number: int | None
    tier: str | None


@dataclass(slots=True, eq=False)
class _Followed:
    """What a line keeps of a track beside where it is."""

    views: list[View] = field(default_factory=list)
    skins: list[Skin | None] = field(default_factory=list)
    """What the network for defects is shown of each view."""
    asked: tuple[int, Reply] | None = None
    """About which view it was asked last, while its answer is awaited."""
    is_settled: bool = False
    """Nothing is to be asked, unless another view comes."""
    network_saw: int = 0
    network_missed: int = 0
    noted: set[Doubt] = field(default_factory=set)
    passed: Passed | None = None


class Line:
    """A belt under a camera.

    `first` is the number of its first fruit; `ask` is whom it asks about marks, who answers at once unless given.
    """

    def __init__(self, setup: LineSetup, *, first: int = 1, ask: Ask | None = None) -> None:
        self.setup = setup
        self._ask = at_once(setup.defects) if ask is None and setup.defects is not None else ask
        self._judging = setup.judging
        self._next = first
        self._finder = Finder(least_px=_LEAST_MM * 1e6 / setup.profile.nm_per_px)
        self._tracker: Tracker | None = None
        self._followed: dict[int, _Followed] = {}
        self._since_network = setup.network_every
        self._at_s = 0.0
        self._belt_um: int | None = None
        self._drawn: tuple[Drawn, ...] = ()

    @property
    def next_number(self) -> int:
        """The number of the next fruit that passes."""
        return self._next

    @property
    def blind(self) -> int:
        """How often the belt moved on by so much between two frames that fruit may have passed unseen."""
        return 0 if self._tracker is None else self._tracker.blind

    @property
    def is_encoder_trusted(self) -> bool:
        """Whether the encoder agrees with the picture; False also where there is none."""
        return self._tracker is not None and self._tracker.trusts_encoder

    def feed(self, shot: Picture) -> list[Passed]:
        """Return the fruit that this frame shows to have passed, in the order they pass."""
        pixels = self.setup.profile.corrected(shot.pixels)
        found = self._finder.find(pixels)
        tracker = self._following(pixels, shot)
        step = tracker.step(found.blobs, number=shot.number, at_s=shot.at_s, belt_um=shot.belt_um)
        self._at_s, self._belt_um = shot.at_s, shot.belt_um
        if not found.is_lit:
            for track in tracker.tracks:
                self._of(track).noted.add(Doubt.BAD_LIGHT)
        for sight in step.sights:
            if not sight.track.is_counted:
                self._look(sight, found.blobs[sight.blob], pixels, shot, tracker.length)
                self._look_again(self._of(sight.track))
        self._cross_check(step, found, pixels)
        passed = [self._pass(crossing, tracker) for crossing in step.crossings]
        alive = {track.key for track in tracker.tracks}
        self._followed = {key: kept for key, kept in self._followed.items() if key in alive}
        self._drawn = tuple(self._draw(step.sights, found))
        return passed

    def flush(self) -> list[Passed]:
        """Return what is still under the camera, as if the belt had stopped for good; then the line is empty."""
        tracker, self._tracker = self._tracker, None
        passed = [] if tracker is None else [self._pass(crossing, tracker) for crossing in tracker.finish()]
        self._followed, self._drawn = {}, ()
        return passed

    def overlay(self) -> Sequence[Drawn]:
        """Return what the last frame showed."""
        return self._drawn

    def _following(self, pixels: Pixels, shot: Picture) -> Tracker:
        if self._tracker is None:
            self._tracker = Tracker(
                self.setup.direction,
                width=pixels.shape[1],
                height=pixels.shape[0],
                um_per_px=None if shot.belt_um is None else self.setup.profile.nm_per_px / 1000,
            )
        return self._tracker

    def _of(self, track: Track) -> _Followed:
        return self._followed.setdefault(track.key, _Followed())

    def _look(self, sight: Sight, blob: Blob, pixels: Pixels, shot: Picture, length: float) -> None:
        """Take a view where one is due: they are spread over the way on which the fruit lies in the picture.

        One that the picture's side cuts is looked at all the same: a person is asked about it, and wants to see it.
        """
        track, kept = sight.track, self._of(sight.track)
        if not sight.is_within:
            return
        way = (track.s - track.along) / max(1.0, length - 2 * track.along)
        last = self.setup.views - 1
        due = min(last, int(way / _LAST_VIEW * last)) + 1
        # What touches another fruit may come free before its next view is due; from half way on it cannot wait.
        if len(kept.views) >= due - (not sight.is_clean and way < _LAST_VIEW / 2):
            return
        view, skin = self._view(blob, pixels, shot)
        kept.views.append(view)
        kept.skins.append(skin)
        kept.is_settled = False

    def _view(self, blob: Blob, pixels: Pixels, shot: Picture) -> tuple[View, Skin | None]:
        x, y = round(blob.left), round(blob.top)
        around = (x, y, round(blob.right) - x, round(blob.bottom) - y)
        crop, box = cut(pixels, around, is_joined=blob.is_joined)
        place = Place(
            box=box,
            middle=(x + around[2] // 2 - box[0], y + around[3] // 2 - box[1]),
            ground=self._finder.ground_at(x, y),
            frame=(pixels.shape[1], pixels.shape[0]),
        )
        seen = measured(crop, place, self.setup.profile, self.setup.standard)
        if seen is None:
            return View(crop, place, shot.number, shot.at_s, shot.belt_um, None, np.empty((0, 2), np.int32)), None
        outline = np.add(seen.outline, box[:2], dtype=np.int32)
        return View(crop, place, shot.number, shot.at_s, shot.belt_um, seen.side, outline), seen.skin

    def _look_again(self, kept: _Followed) -> None:
        """Ask the network for defects about the views whose marks decide, one after the other.

        It is not asked before most views are there: until then it is too often asked for nothing.
        """
        self._hear(kept)
        if (
            self._ask is None
            or kept.asked is not None
            or kept.is_settled
            or len(kept.views) < self.setup.least_views - 1
        ):
            return
        measured_views = [(index, view.side) for index, view in enumerate(kept.views) if view.side is not None]
        wanted = next_look([side for _, side in measured_views], self._judging)
        if wanted is None:
            kept.is_settled = True
            return
        index, side = measured_views[wanted]
        skin = kept.skins[index]
        assert skin is not None  # noqa: S101  # what has a side was measured on its skin
        kept.asked = index, self._ask(skin, side.measures)
        if kept.asked[1].done():
            self._look_again(kept)

    @staticmethod
    def _hear(kept: _Followed) -> None:
        """Take the answer that is awaited, if it is there."""
        if kept.asked is None or not kept.asked[1].done():
            return
        (index, reply), kept.asked = kept.asked, None
        view = kept.views[index]
        assert view.side is not None  # noqa: S101  # it was asked about
        try:
            kept.views[index] = replace(view, side=replace(view.side, again=reply.result()))
        except ModelFileError:
            kept.is_settled = True  # a network that cannot be run has answered nothing: the fruit goes to a person

    def _cross_check(self, step: Step, found: Found, pixels: Pixels) -> None:
        """Let the network look now and then, so that every fruit was wholly before it once."""
        if self.setup.learned is None or found.is_flooded:
            return
        self._since_network += 1
        # A fruit that passes in this frame waits for its command: the network can wait two frames better.
        is_due = self._since_network >= self.setup.network_every + (2 if step.crossings else 0)
        if not is_due and not any(self._leaves_unseen(sight, step.moved_px) for sight in step.sights):
            return
        self._since_network = 0
        try:
            fruit = self.setup.learned.boxes(pixels)
        except ModelFileError:
            return  # a network that cannot be run has seen nobody: they go to a person, and the line goes on
        for sight in step.sights:
            if sight.is_within:
                kept = self._of(sight.track)
                blob = found.blobs[sight.blob]
                corners = (blob.left, blob.top, blob.right, blob.bottom)
                alike = any(box_overlap(each, corners) >= _SAME for each in fruit)
                kept.network_saw += alike
                kept.network_missed += not alike

    def _leaves_unseen(self, sight: Sight, moved_px: float) -> bool:
        """Whether a fruit is about to leave that was never before the network."""
        track, kept = sight.track, self._of(sight.track)
        if not sight.is_within or track.is_counted or kept.network_saw or kept.network_missed or self._tracker is None:
            return False
        return track.end + 1.5 * max(0.0, moved_px) >= self._tracker.length

    def _pass(self, crossing: Crossing, tracker: Tracker) -> Passed:
        track, kept = crossing.track, self._of(crossing.track)
        self._hear(kept)
        if kept.asked is not None:
            kept.asked[1].cancel()
        kept.skins, kept.asked = [], None
        noted = kept.noted | track.notes
        if not track.was_whole:
            noted.add(Doubt.NEVER_WHOLE)
        elif not track.clean:
            noted.add(Doubt.TOUCHING)
        if self.setup.learned is not None and not kept.network_saw:
            noted.add(Doubt.ONE_DETECTOR)
        if any(view.side is None for view in kept.views):
            noted.add(Doubt.NO_OUTLINE)
        listed = tuple(doubt for doubt in Doubt if doubt in noted)
        judged = judge([view.side for view in kept.views if view.side is not None], listed, self._judging)
        speed, um_per_px = tracker.speed_px_s, tracker.um_per_px
        is_placed = self._belt_um is not None and tracker.trusts_encoder and um_per_px is not None
        kept.passed = Passed(
            number=self._next,
            views=tuple(kept.views),
            measures=judged.measures,
            verdict=judged.verdict,
            score_permille=judged.score_permille,
            belt_um=round((self._belt_um or 0) + crossing.ahead_px * (um_per_px or 0)) if is_placed else None,
            at_s=self._at_s + (crossing.ahead_px / speed if speed is not None and speed > 1 else 0.0),
            reasons=judged.reasons,
            noted=listed,
            across_um=round(track.c * self.setup.profile.nm_per_px / 1000),
        )
        self._next += 1
        return kept.passed

    def _draw(self, sights: Sequence[Sight], found: Found) -> list[Drawn]:
        drawn = []
        for sight in sights:
            kept, blob = self._of(sight.track), found.blobs[sight.blob]
            box = (round(blob.left), round(blob.top), round(blob.right - blob.left), round(blob.bottom - blob.top))
            passed = kept.passed
            number, tier = (None, None) if passed is None else (passed.number, passed.verdict.tier)
            drawn.append(Drawn(box, found.outlines[sight.blob], number, tier))
        return drawn
