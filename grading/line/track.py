"""Coarse blobs of each frame to tracks: every fruit followed from edge to edge and counted once. Pure numpy.

Along the belt a place is `s`, growing from the entry edge (0) to the exit edge; across it is `c`. All lengths are
pixels of the frame. How far the belt moved between two frames is not taken on trust: what the encoder says, what
the speed so far says, a belt that stands, and what the blobs themselves vote for are held against the picture, and
the one that explains it best is taken. So a frozen encoder, dropped frames, a stop and a belt that runs back are
one case.

A track passes when its leading edge reaches the exit edge, once; after that it is only kept in mind, so that it is
not counted again when the belt runs back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from grading.line.doubts import Doubt

Array = NDArray[np.float64]

EDGE_PX: Final = 3.0
"""A blob this near to an edge of the picture is cut by it."""
_GATE: Final = 0.5
"""How far from where it is expected a fruit may be, in its own widths."""
_SLIP: Final = 0.3
"""How far beside the belt's own motion it may be besides, as a share of that motion."""
_COLOUR_SPREAD: Final = 25.0
"""A turning fruit shows other colours: only a difference well above this speaks against it."""
_AREA_SPREAD: Final = 0.35
_CONVINCING: Final = 0.7
"""An expected motion that explains so much of the picture is not put to the vote."""
_PREFERRED: Final = 0.08
"""How much better another motion must explain the picture than the one expected first."""
_MERGED: Final = 1.3
"""A blob so much larger than a fruit holds another one."""
_UNSEEN: Final = 1.7
"""How much larger than usual a fruit may be that has not been wholly seen."""
_FLICKER: Final = 3
"""What is seen in fewer frames, and neither came in nor went out at an edge, is no fruit."""
_PATIENCE: Final = 12
"""A fruit hidden for so many frames in the middle of the belt is gone."""


class Direction(StrEnum):
    """Where fruit move in the picture."""

    RIGHT = "right"
    LEFT = "left"
    DOWN = "down"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Blob:
    """Something on the belt in one frame: its box (right and bottom excluded), area and mean colour (CIE Lab)."""

    left: float
    top: float
    right: float
    bottom: float
    area: float
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)
    is_joined: bool = False
    """It touches another one: their outline was cut in two by its shape."""


@dataclass(slots=True, eq=False)
class Track:
    """One thing followed along the belt. `s` and `c` are the middle of its box, `along` and `across` half its sides."""

    key: int
    s: float
    c: float
    along: float
    across: float
    area: float
    colour: Array
    came_in: bool
    """It was first seen where things come in, and not in the middle of the belt."""
    is_counted: bool = False
    """It has passed, or came from beyond the exit: it is never reported (again)."""
    hits: int = 0
    missed: int = 0
    was_whole: bool = False
    clean: int = 0
    """Frames in which it was whole and apart from all others."""
    ratio: float = 1.0
    """How far it moves for each pixel the belt moves."""
    back: float = 0.0
    """How far it has moved against the belt, in pixels."""
    notes: set[Doubt] = field(default_factory=set)
    is_merged: bool = False

    @property
    def start(self) -> float:
        """Its trailing edge."""
        return self.s - self.along

    @property
    def end(self) -> float:
        """Its leading edge."""
        return self.s + self.along


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A track in this frame, and its blob, counted in the order given.

    `is_within`: neither edge that it comes from or goes to cuts it, and the blob is this fruit alone. `is_clean`: nor
    does an edge at the belt's side, nor does it touch another one.
    """

    track: Track
    blob: int
    is_within: bool
    is_clean: bool


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """A track that passes now, counted once. `ahead_px` is how far its middle still is from the exit edge."""

    track: Track
    ahead_px: float
    is_gone: bool = False
    """It did not reach the exit edge but vanished before."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one frame came to. `moved_px` is how far the belt moved since the last one, by the picture."""

    sights: tuple[Sight, ...]
    crossings: tuple[Crossing, ...]
    dropped: tuple[Track, ...]
    """Tracks given up without being counted: flickers, and what went back out at the entry."""
    moved_px: float


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The blobs of a frame in belt coordinates."""

    start: Array
    end: Array
    c: Array
    across: Array
    area: Array
    colour: Array
    cut_in: NDArray[np.bool_]
    cut_out: NDArray[np.bool_]
    cut_side: NDArray[np.bool_]
    joined: NDArray[np.bool_]

    @property
    def is_whole(self) -> NDArray[np.bool_]:
        return ~(self.cut_in | self.cut_out | self.cut_side)


def running_median(so_far: float, now: float) -> float:
    """Return a median that follows slowly: no single value moves it much. 0 stands for nothing known yet."""
    return so_far + float(np.clip(now - so_far, -0.02 * so_far, 0.02 * so_far)) if so_far else now


class Tracker:
    """Follows what moves over a belt seen in frames of `width` x `height` pixels.

    `um_per_px` turns the encoder's micrometres into pixels. The same steps give the same tracks.
    """

    def __init__(self, direction: Direction, *, width: int, height: int, um_per_px: float | None = None) -> None:
        lengthwise = direction in {Direction.RIGHT, Direction.LEFT}
        self._direction = direction
        self.length: Final = float(width if lengthwise else height)
        self._breadth: Final = float(height if lengthwise else width)
        self._um_per_px = um_per_px
        self._tracks: list[Track] = []
        self._next = 1
        self._at_s: float | None = None
        self._belt_um: int | None = None
        self._frame: int | None = None
        self.speed_px_s: float | None = None
        """How fast fruit move in the picture, negative for a belt that runs back; None until it was seen."""
        self._encoder_ratio = 1.0
        self._encoder_faults = 0
        self._typical_area = 0.0
        self.blind = 0
        """How often the belt moved by more than the picture shows between two frames: fruit may have passed unseen."""

    @property
    def tracks(self) -> Sequence[Track]:
        """Everything followed now, what has passed and may come back included."""
        return self._tracks

    @property
    def trusts_encoder(self) -> bool:
        """Whether the encoder says what the picture shows."""
        return self._um_per_px is not None and self._encoder_faults < 3

    @property
    def um_per_px(self) -> float | None:
        """The encoder's micrometres for each pixel that fruit move, as learned from them."""
        return None if self._um_per_px is None else self._um_per_px / self._encoder_ratio

    def step(self, blobs: Sequence[Blob], *, number: int, at_s: float, belt_um: int | None = None) -> Step:
        """Return what this frame's blobs mean. Frames come in order; numbers left out were dropped."""
        seen = self._seen(blobs)
        is_first = self._frame is None
        lapse_s = 0.0 if self._at_s is None else at_s - self._at_s
        skipped = 0 if self._frame is None else max(0, number - self._frame - 1)
        moved = self._motion(seen, lapse_s, belt_um)
        pairs, merged = self._matched(seen, moved, skipped)
        observed = self._update(seen, moved, pairs, merged)
        self._learn(observed, lapse_s, belt_um)
        born = self._born(seen, observed, pairs, merged, can_be_anywhere=is_first)
        sights = self._sights(seen, [*pairs, *born], merged)
        crossings, dropped = self._sorted_out(observed)
        if abs(observed) > 0.8 * self.length:
            self.blind += 1
        self._at_s, self._belt_um, self._frame = at_s, belt_um, number
        return Step(tuple(sights), tuple(crossings), tuple(dropped), observed)

    def finish(self) -> list[Crossing]:
        """Return what lies on the belt uncounted, nearest to the exit first; then nothing is followed any more."""
        left = [t for t in self._tracks if not t.is_counted and t.hits >= _FLICKER]
        self._tracks = []
        for track in left:
            track.is_counted = True
        return [Crossing(t, self.length - t.s, is_gone=True) for t in sorted(left, key=lambda t: (-t.s, t.key))]

    # --- the belt's motion ------------------------------------------------------------------------

    def _motion(self, seen: _Seen, lapse_s: float, belt_um: int | None) -> float:
        """Return how far the belt moved, in pixels: the expectation that explains the picture best."""
        expected: list[float] = []
        by_encoder: float | None = None
        if belt_um is not None and self._belt_um is not None and self._um_per_px is not None:
            by_encoder = (belt_um - self._belt_um) / self._um_per_px * self._encoder_ratio
            if self.trusts_encoder:
                expected.append(by_encoder)
        if self.speed_px_s is not None:
            expected.append(self.speed_px_s * lapse_s)
        if by_encoder is not None and not self.trusts_encoder:
            expected.append(by_encoder)
        if len(expected) < 2 or abs(expected[0] - expected[1]) > max(10.0, 0.2 * abs(expected[0])):
            expected.append(0.0)  # nobody is sure that it moves
        tracks = [t for t in self._tracks if t.missed == 0 and t.start < self.length]
        if not tracks or not len(seen.start):
            return expected[0]
        fit = _Fit(tracks, seen, self.length)
        scores = [fit.score(motion) for motion in expected]
        best = self._best(scores)
        # Nobody has told and nothing was seen: then nothing is preferred. Where both have told, one of them is right.
        is_new = by_encoder is None and self.speed_px_s is None
        is_told = by_encoder is not None and self.trusts_encoder and self.speed_px_s is not None
        if is_new or (scores[best] < _CONVINCING and not is_told):
            # A motion by which hardly anything should be seen explains what is seen too easily: more must fit as well.
            least = fit.fitting(expected[best]) + (0.0 if is_new else 1.0)
            voted = [motion for motion in fit.votes() if fit.fitting(motion) > least]
            expected += voted
            scores += [fit.score(motion) - (0.0 if is_new else _PREFERRED) for motion in voted]
            best = self._best(scores)
        self._judge_encoder(fit, by_encoder, scores[best])
        return expected[best]

    def _best(self, scores: Sequence[float]) -> int:
        return max(range(len(scores)), key=lambda index: (scores[index] - _PREFERRED * (index > 0), -index))

    def _judge_encoder(self, fit: "_Fit", by_encoder: float | None, best: float) -> None:
        if by_encoder is None or best < 0.4:
            return
        if fit.score(by_encoder) < best - 2 * _PREFERRED:
            self._encoder_faults = min(12, self._encoder_faults + 1)
        else:
            self._encoder_faults = max(0, self._encoder_faults - 1)

    def _learn(self, observed: float, lapse_s: float, belt_um: int | None) -> None:
        """Take what the picture showed as the belt's speed, and as what the encoder's micrometres mean."""
        if lapse_s > 0:
            speed = observed / lapse_s
            # The first fruit has nothing to be compared with: believe the picture at once, then smooth.
            agrees = self.speed_px_s is not None and abs(speed - self.speed_px_s) <= 0.3 * abs(self.speed_px_s)
            before = self.speed_px_s if agrees and self.speed_px_s is not None else speed
            if any(t.hits > 1 and t.missed == 0 for t in self._tracks):
                self.speed_px_s = 0.7 * before + 0.3 * speed
        if belt_um is None or self._belt_um is None or self._um_per_px is None or not self.trusts_encoder:
            return
        by_encoder = (belt_um - self._belt_um) / self._um_per_px
        if abs(by_encoder) > 4 and abs(observed / by_encoder - self._encoder_ratio) < 0.2:
            self._encoder_ratio = 0.95 * self._encoder_ratio + 0.05 * observed / by_encoder

    # --- who is who -------------------------------------------------------------------------------

    def _matched(
        self, seen: _Seen, moved: float, skipped: int
    ) -> tuple[list[tuple[Track, int]], dict[int, list[Track]]]:
        """Return tracks with their blobs, and for blobs that hold several fruit those tracks."""
        tracks = self._tracks
        if not tracks or not len(seen.start):
            return [], {}
        unlike = _unlike(tracks, seen)
        cost = self._costs(tracks, seen, moved, unlike)
        pairs: list[tuple[Track, int]] = []
        free_t, free_b = set(range(len(tracks))), set(range(len(seen.start)))
        self._take(cost, 1.0, free_t, free_b, pairs)
        # What did not move as the belt did: stood still, slipped, or rolled back.
        late = {i for i in free_t if tracks[i].missed <= 2 + skipped and not tracks[i].is_merged}
        if late and free_b and 1 < abs(moved) < self.length / 2:
            self._take(
                self._stray_costs(tracks, seen, moved, unlike, late=late, free_b=free_b), 1.0, free_t, free_b, pairs
            )
        return pairs, self._merged(seen, moved, [tracks[i] for i in sorted(free_t)], pairs, free_b)

    def _take(
        self, cost: Array, limit: float, free_t: set[int], free_b: set[int], pairs: list[tuple[Track, int]]
    ) -> None:
        """Pair the cheapest first; the same costs always give the same pairs."""
        rows, columns = np.nonzero(cost < limit)
        for index in np.argsort(cost[rows, columns], kind="stable"):
            i, j = int(rows[index]), int(columns[index])
            if i in free_t and j in free_b:
                free_t.discard(i)
                free_b.discard(j)
                pairs.append((self._tracks[i], j))

    def _costs(self, tracks: Sequence[Track], seen: _Seen, moved: float, unlike: Array) -> Array:
        off = _offsets(tracks, seen, moved, self.length)
        half = np.array([max(t.along, t.across) for t in tracks])[:, None]
        missed = np.array([t.missed for t in tracks])[:, None]
        room = 1 + 0.15 * np.minimum(missed, 6)
        gate_s = (2 * _GATE * half + _SLIP * abs(moved)) * room
        gate_c = 2 * _GATE * half * room
        across = seen.c[None, :] - np.array([t.c for t in tracks])[:, None]
        return np.asarray((off / gate_s) ** 2 + (across / gate_c) ** 2 + 0.25 * np.minimum(unlike, 2.0))

    def _stray_costs(
        self, tracks: Sequence[Track], seen: _Seen, moved: float, unlike: Array, *, late: set[int], free_b: set[int]
    ) -> Array:
        """Return costs for things anywhere between where they were and where the belt went, by their looks."""
        middle = (seen.start + seen.end) / 2
        s, c = (np.array([getattr(t, name) for t in tracks])[:, None] for name in "sc")
        half = np.array([max(t.along, t.across) for t in tracks])[:, None]
        low, high = s + min(0.0, moved) - half, s + max(0.0, moved) + half
        outside = np.maximum(0, np.maximum(low - middle[None, :], middle[None, :] - high))
        cost = (outside / (0.5 * half)) ** 2 + ((seen.c[None, :] - c) / half) ** 2 + 0.6 * unlike
        cost[[i for i in range(len(tracks)) if i not in late], :] = np.inf
        cost[:, [j for j in range(len(middle)) if j not in free_b]] = np.inf
        # What comes in at the edge is new.
        cost[:, seen.cut_in if moved >= 0 else seen.cut_out] = np.inf
        return np.asarray(cost)

    def _merged(
        self,
        seen: _Seen,
        moved: float,
        lost: Sequence[Track],
        pairs: list[tuple[Track, int]],
        free_b: set[int],
    ) -> dict[int, list[Track]]:
        """Return blobs that hold more than one fruit, with the tracks in them."""
        owner = {j: track for track, j in pairs}
        groups: dict[int, list[Track]] = {}
        for track in lost:
            s = track.s + moved * track.ratio
            inside = [
                j
                for j in range(len(seen.start))
                if seen.start[j] <= s <= seen.end[j] and abs(seen.c[j] - track.c) <= seen.across[j]
            ]
            if not inside:
                continue
            j = min(inside, key=lambda j: (abs((seen.start[j] + seen.end[j]) / 2 - s), j))
            group = groups.setdefault(j, [owner[j]] if j in owner else [])
            group.append(track)
        held = {}
        for j, group in groups.items():
            largest = max([t.area for t in group if t.was_whole] or [_UNSEEN * self._typical_area or np.inf])
            if len(group) > 1 and (seen.area[j] >= _MERGED * largest or not seen.is_whole[j]):
                held[j] = group
                free_b.discard(j)
            elif len(group) == 1:
                # One fruit in a blob of another size than it had: another one came to it unseen.
                pairs.append((group[0], j))
                free_b.discard(j)
            else:
                if j in free_b:
                    pairs.append((group[0], j))
                    free_b.discard(j)
                self._absorb(group)
        pairs[:] = [(track, j) for track, j in pairs if j not in held]
        return held

    @staticmethod
    def _absorb(group: Sequence[Track]) -> None:
        """Two tracks in a blob no larger than one fruit: a split that was none, or one fruit hides another."""
        for track in group if all(t.was_whole for t in group) else ():
            track.notes.add(Doubt.TOUCHING)

    # --- the tracks go on -------------------------------------------------------------------------

    def _update(
        self, seen: _Seen, moved: float, pairs: Sequence[tuple[Track, int]], merged: dict[int, list[Track]]
    ) -> float:
        """Move every track to where it is seen, or where it must be; return how far the belt really moved."""
        apart = _offsets([track for track, _ in pairs], seen, moved, self.length) if pairs else np.empty((0, 0))
        offs = {id(track): float(apart[i, j]) for i, (track, j) in enumerate(pairs)}
        steady = [
            offs[id(track)] + moved * track.ratio
            for track, j in pairs
            if 0.7 < track.ratio < 1.3 and not (seen.cut_in[j] and seen.cut_out[j])
        ]
        observed = float(np.median(steady)) if steady else moved
        found = {id(track) for track, _ in pairs}
        for track, j in pairs:
            self._seen_at(track, seen, j, to=track.s + moved * track.ratio + offs[id(track)], observed=observed)
        for j, group in merged.items():
            s = [t.s + moved * t.ratio for t in group]
            ends = seen.start[j] - min(a - t.along for a, t in zip(s, group, strict=True))
            if seen.cut_in[j]:
                ends = seen.end[j] - max(a + t.along for a, t in zip(s, group, strict=True))
            elif not seen.cut_out[j]:
                ends = (ends + seen.end[j] - max(a + t.along for a, t in zip(s, group, strict=True))) / 2
            for place, track in zip(s, group, strict=True):
                track.s = place + float(np.clip(ends, -0.5 * track.along, 0.5 * track.along))
                track.missed, track.is_merged = 0, True
                track.hits += 1
                found.add(id(track))
        for track in self._tracks:
            if id(track) not in found:
                track.s += observed * track.ratio
                # Beyond the edges nothing can be seen, so nothing is missed there.
                track.missed = track.missed + 1 if -track.along < track.s < self.length + track.along else 0
        return observed

    def _seen_at(self, track: Track, seen: _Seen, j: int, *, to: float, observed: float) -> None:
        before, track.s = track.s, to
        cut_in, cut_out, cut_side = bool(seen.cut_in[j]), bool(seen.cut_out[j]), bool(seen.cut_side[j])
        visible = float(seen.end[j] - seen.start[j]) / 2
        if not (cut_in or cut_out):
            track.along, track.s = visible, float(seen.start[j] + seen.end[j]) / 2
        elif not track.was_whole and visible > track.along:
            track.along = visible
            track.s = float(seen.end[j]) - visible if cut_in else float(seen.start[j]) + visible
        track.c, track.across = float(seen.c[j]), max(float(seen.across[j]), 1.0)
        if not (cut_in or cut_out or cut_side):
            track.area, track.was_whole = float(seen.area[j]), True
        elif not track.was_whole:
            track.area = max(track.area, float(seen.area[j]))
        track.colour = 0.7 * track.colour + 0.3 * seen.colour[j]
        went = track.s - before
        if abs(observed) > 4 and track.hits and not (cut_in or cut_out):
            track.ratio = float(np.clip(0.6 * track.ratio + 0.4 * went / observed, -1.0, 2.0))
            track.back += max(0.0, observed - went) if observed > 0 and went < 0.4 * observed else 0.0
            if track.back > 3 * track.along:
                track.notes.add(Doubt.MOVED_BACK)
        track.missed, track.is_merged = 0, False
        track.hits += 1

    def _born(
        self,
        seen: _Seen,
        moved: float,
        pairs: Sequence[tuple[Track, int]],
        merged: dict[int, list[Track]],
        *,
        can_be_anywhere: bool,
    ) -> list[tuple[Track, int]]:
        taken = {j for _, j in pairs} | set(merged)
        born = []
        for j in range(len(seen.start)):
            if j in taken:
                continue
            track = Track(
                key=self._next,
                s=float(seen.start[j] + seen.end[j]) / 2,
                c=float(seen.c[j]),
                along=float(seen.end[j] - seen.start[j]) / 2,
                across=max(1.0, float(seen.across[j])),
                area=float(seen.area[j]),
                colour=seen.colour[j].copy(),
                came_in=can_be_anywhere or bool(seen.start[j] < max(0.0, moved) * (1 + _SLIP) + 2 * EDGE_PX),
                hits=1,
                was_whole=bool(seen.is_whole[j]),
            )
            if moved < 0 and seen.end[j] > self.length + moved * (1 + _SLIP) - 2 * EDGE_PX:
                # The belt runs back: what comes in at the exit went out there before.
                track.is_counted = True
            elif not track.came_in and not self._came_apart(track):
                track.notes.add(Doubt.APPEARED)
            self._next += 1
            self._tracks.append(track)
            born.append((track, j))
        return born

    def _came_apart(self, track: Track) -> bool:
        """Whether it lies beside one it was joined with so far, so that it is no wonder that it appears here."""
        return any(
            abs(t.s - track.s) < 1.6 * (t.along + track.along) and abs(t.c - track.c) < 1.6 * (t.across + track.across)
            for t in self._tracks
        )

    def _sights(self, seen: _Seen, pairs: Sequence[tuple[Track, int]], merged: dict[int, list[Track]]) -> list[Sight]:
        sights = []
        for track, j in pairs:
            is_within = not (seen.cut_in[j] or seen.cut_out[j])
            is_clean = bool(seen.is_whole[j]) and not bool(seen.joined[j])
            track.clean += is_clean
            if is_clean:
                self._typical_area = running_median(self._typical_area, float(seen.area[j]))
            sights.append(Sight(track, j, is_within, is_clean))
        sights += [Sight(track, j, is_within=False, is_clean=False) for j, group in merged.items() for track in group]
        return sorted(sights, key=lambda sight: sight.track.key)

    def _sorted_out(self, moved: float) -> tuple[list[Crossing], list[Track]]:
        """Return what passes now and what is given up; keep the rest."""
        crossings: list[Crossing] = []
        dropped: list[Track] = []
        kept: list[Track] = []
        for track in self._tracks:
            is_lost = track.missed > _PATIENCE and 0 < track.s < self.length
            is_out = not track.is_counted and track.end >= self.length - EDGE_PX and self._can_pass(track, moved)
            if is_out or (is_lost and not track.is_counted):
                if self._is_fruit(track, moved, is_lost=is_lost):
                    track.is_counted = True
                    if is_lost:
                        track.notes.add(Doubt.VANISHED)
                    crossings.append(Crossing(track, self.length - track.s, is_gone=is_lost))
                else:
                    dropped.append(track)
                    continue
            elif track.end < 0 and not track.is_counted:
                dropped.append(track)
                continue
            # What has passed is kept in mind for two lengths of the picture on either side.
            if not is_lost and -2 * self.length <= track.s <= 3 * self.length:
                kept.append(track)
        self._tracks = kept
        return sorted(crossings, key=lambda each: (each.ahead_px, each.track.key)), dropped

    @staticmethod
    def _can_pass(track: Track, moved: float) -> bool:
        # Larger than the picture: it passes when its trailing edge has come in.
        return not (track.start <= EDGE_PX and track.missed == 0 and moved >= 0)

    @staticmethod
    def _is_fruit(track: Track, moved: float, *, is_lost: bool) -> bool:
        """Whether what ends here counts: seen often enough, or on the whole way; and not the half of another one."""
        if track.missed and not track.clean and not (track.came_in and track.was_whole):
            return False  # it came out of another one, or of the edge, went into another one, and never lay apart
        if is_lost:
            return track.hits >= _FLICKER
        return track.hits >= _FLICKER or track.came_in or abs(moved) > 2 * track.along

    def _seen(self, blobs: Sequence[Blob]) -> _Seen:
        raw = np.array([(b.left, b.top, b.right, b.bottom, b.area) for b in blobs], dtype=np.float64).reshape(-1, 5)
        left, top, right, bottom, area = raw.T
        match self._direction:
            case Direction.RIGHT:
                start, end, low, high = left, right, top, bottom
            case Direction.LEFT:
                start, end, low, high = self.length - right, self.length - left, top, bottom
            case Direction.DOWN:
                start, end, low, high = top, bottom, left, right
            case Direction.UP:
                start, end, low, high = self.length - bottom, self.length - top, left, right
        return _Seen(
            start=start,
            end=end,
            c=(low + high) / 2,
            across=(high - low) / 2,
            area=area,
            colour=np.array([b.colour for b in blobs], dtype=np.float64).reshape(-1, 3),
            cut_in=start <= EDGE_PX,
            cut_out=end >= self.length - EDGE_PX,
            cut_side=(low <= EDGE_PX) | (high >= self._breadth - EDGE_PX),
            joined=np.array([b.is_joined for b in blobs], dtype=bool),
        )


class _Fit:
    """How well a motion of the belt explains where blobs are."""

    def __init__(self, tracks: Sequence[Track], seen: _Seen, length: float) -> None:
        self._tracks, self._seen, self._length = tracks, seen, length
        half = np.array([max(t.along, t.across) for t in tracks])
        self._half = half[:, None]
        across = (seen.c[None, :] - np.array([t.c for t in tracks])[:, None]) / self._half
        self._alike = np.exp(-0.5 * np.minimum(_unlike(tracks, seen), 6.0)) * np.exp(-2 * across**2)
        self._s = np.array([t.s for t in tracks])
        self._along = np.array([t.along for t in tracks])
        self._ratio = np.array([t.ratio for t in tracks])
        self._known: dict[float, tuple[float, int]] = {}

    def score(self, moved: float) -> float:
        """Return what share of the fruit that should be seen after this motion is seen, 0 to 1.

        Where none should be, nothing speaks for it or against it.
        """
        fitting, wanted = self._fits(moved)
        return fitting / wanted if wanted else 0.5

    def fitting(self, moved: float) -> float:
        """Return how many tracks and blobs fit each other after this motion."""
        return self._fits(moved)[0]

    def _fits(self, moved: float) -> tuple[float, int]:
        if moved not in self._known:
            self._known[moved] = self._explained(moved)
        return self._known[moved]

    def _explained(self, moved: float) -> tuple[float, int]:
        after = self._s + moved * self._ratio
        visible = (after + 0.3 * self._along > 0) & (after - 0.3 * self._along < self._length)
        off = _offsets(self._tracks, self._seen, moved, self._length) / self._half
        near = np.exp(-4 * off**2) * self._alike
        # Blobs far from the edge where things come in should be explained as well.
        middle = (self._seen.start + self._seen.end) / 2
        old = middle > max(0.0, moved) + self._along.mean() if moved >= 0 else middle < self._length + moved
        fitting = float(near[visible].max(axis=1).sum() + near[:, old].max(axis=0).sum())
        return fitting, int(visible.sum()) + int(old.sum())

    def votes(self) -> list[float]:
        """Return the motions that most pairs of track and blob agree on, best first."""
        apart = _offsets(self._tracks, self._seen, 0.0, self._length)
        weights = self._alike * (apart > -self._length) * (apart < self._length)
        width = max(4.0, 0.12 * float(self._half.mean()))
        candidates, mass = apart[weights > 0.2], weights[weights > 0.2]
        if not candidates.size:
            return []
        density = (np.exp(-0.5 * ((candidates[:, None] - candidates[None, :]) / width) ** 2) * mass[None, :]).sum(
            axis=1
        )
        found: list[float] = []
        for index in np.argsort(-density, kind="stable"):
            value = float(candidates[index])
            if all(abs(value - other) > 2 * width for other in found):
                close = np.abs(candidates - value) <= width
                found.append(float(np.average(candidates[close], weights=mass[close])))
            if len(found) == 5:
                break
        return found


def _offsets(tracks: Sequence[Track], seen: _Seen, moved: float, length: float) -> Array:
    """Return for every track and blob how far along the belt the blob is from where the track should be.

    Only edges that the picture does not cut can be compared.
    """
    s = np.array([t.s + moved * t.ratio for t in tracks])[:, None]
    along = np.array([t.along for t in tracks])[:, None]
    by_start, by_end = seen.start[None, :] - (s - along), seen.end[None, :] - (s + along)
    middle = (by_start + by_end) / 2
    off = np.where(seen.cut_in[None, :], by_end, np.where(seen.cut_out[None, :], by_start, middle))
    both = seen.cut_in & seen.cut_out
    # A fruit longer than the picture says nothing about where it is.
    off = np.where(both[None, :], np.clip(length / 2 - s, -1, 1), off)
    return np.asarray(off, dtype=np.float64)


def _middle(rows: Array) -> Array:
    """Return the median of every column; of a few rows that is several times as fast as numpy's."""
    ordered = np.sort(rows, axis=0)
    return np.asarray((ordered[(len(rows) - 1) // 2] + ordered[len(rows) // 2]) / 2)


def _unlike(tracks: Sequence[Track], seen: _Seen) -> Array:
    """Return how different tracks and blobs look: 1 is a difference that speaks against them."""
    colour, now = np.stack([t.colour for t in tracks]), seen.colour
    if len(tracks) > 3 and len(now) > 3:
        # When the light changes, it changes for all.
        colour, now = colour - _middle(colour), now - _middle(now)
    apart = np.sqrt(sum(np.subtract.outer(colour[:, k], now[:, k]) ** 2 for k in range(3))) / _COLOUR_SPREAD
    area = np.array([t.area for t in tracks])[:, None]
    ratio = np.abs(np.log(np.maximum(seen.area[None, :], 1.0) / np.maximum(area, 1.0))) / _AREA_SPREAD
    known = np.array([t.was_whole for t in tracks])[:, None] & seen.is_whole[None, :]
    return np.asarray(apart**2 + np.where(known, ratio**2, 0.0))
