"""Two detectors that check each other: one by colour, one by what it learned. Where they differ, a person looks.

Colour sees every pixel but knows no fruit; it takes a shadow or a red plate for one. The network knows
fruit but sees them coarsely, and takes for a fruit what it never saw. They fail for different reasons, so
what both outline alike is right far more often than what either is sure of.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from grading.calibrate import Polygon
from grading.camera import Pixels
from grading.detect import ClassicalDetector, Detection, Detector
from grading.learned import SURE_COIN_PERMILLE, LearnedDetector, find

if TYPE_CHECKING:
    from grading.defects import DefectModel

_TOUCHING: Final = 0.5
"""Two masks speak of the same thing when they share at least this part of the smaller."""
_SAME_SHAPE: Final = 0.92
_OTHER_SHAPE: Final = 0.62
"""Agreement of outlines (intersection over union): full score from the first on, none up to the second."""


@dataclass(frozen=True, slots=True)
class CrossCheckedDetector:
    """Fruit that both detectors find; what they disagree about comes out with a low score, so a person decides.

    Scores: how alike the two outlines are. Found by one alone, or counted differently: `alone_permille`
    at most, which is less than any standard here accepts without a person. Kind: the network's.
    Outline: the network's; colour alone also follows shadows and plates (measured: grading/README.md).
    """

    learned: LearnedDetector
    classical: Detector = field(default_factory=ClassicalDetector)
    alone_permille: int = 300

    @property
    def description(self) -> Mapping[str, str | int]:
        """Name, version and the parameters of both, the weights' hash among them."""
        parts = {
            f"{who}.{name}": value
            for who, detector in (("classical", self.classical), ("learned", self.learned))
            for name, value in detector.description.items()
        }
        return {"name": "cross-checked", "version": "v1", "alonePermille": self.alone_permille, **parts}

    @property
    def defects(self) -> "DefectModel | None":
        """The network that looks at marks again, where there is one."""
        return self.learned.defects

    def detect(self, pixels: Pixels, *, ignore: Sequence[Polygon] = ()) -> list[Detection]:
        """Return every fruit that either finds, once, top to bottom and left to right."""
        finds = find(pixels, self.learned.model)
        coins = [each for each in finds if each.kind == "coin" and each.score_permille >= SURE_COIN_PERMILLE]
        by_colour = [
            each
            for each in self.classical.detect(pixels, ignore=ignore)
            if not any(_is_on(each, coin.box) for coin in coins)
        ]
        by_learning = self.learned.outlined(pixels, finds, ignore=ignore)
        found = [each for group in groups(by_colour, by_learning) for each in self._agreed(*group)]
        row = max(1, pixels.shape[0] // 8)
        return sorted(found, key=lambda d: ((d.y + d.mask.shape[0] // 2) // row, d.x))

    def coins(self, pixels: Pixels) -> list[tuple[float, float, float, float]]:
        """Return where coins lie, best first, by the network's word: colour knows none."""
        return self.learned.coins(pixels)

    def _agreed(self, by_colour: list[Detection], by_learning: list[Detection]) -> Iterator[Detection]:
        if len(by_colour) == len(by_learning) == 1:
            colour, learning = by_colour[0], by_learning[0]
            alike = (overlap(colour, learning) - _OTHER_SHAPE) / (_SAME_SHAPE - _OTHER_SHAPE)
            score = round(1000 * min(1.0, max(0.0, alike)))
            yield replace(learning, score_permille=score, is_cut=colour.is_cut or learning.is_cut)
            return
        # The finer count is shown, so that a person can tell two that touch from one.
        for each in by_learning if len(by_learning) >= len(by_colour) else by_colour:
            yield replace(each, score_permille=min(each.score_permille, self.alone_permille))


def overlap(a: Detection, b: Detection) -> float:
    """Return the intersection over the union of two masks."""
    shared = _shared(a, b)
    return shared / (int(a.mask.sum()) + int(b.mask.sum()) - shared)


def _shared(a: Detection, b: Detection) -> int:
    left, top = max(a.x, b.x), max(a.y, b.y)
    right = min(a.x + a.mask.shape[1], b.x + b.mask.shape[1])
    bottom = min(a.y + a.mask.shape[0], b.y + b.mask.shape[0])
    if left >= right or top >= bottom:
        return 0
    one, other = (each.mask[top - each.y : bottom - each.y, left - each.x : right - each.x] for each in (a, b))
    return int((one & other).sum())


def groups(
    by_colour: Sequence[Detection], by_learning: Sequence[Detection]
) -> list[tuple[list[Detection], list[Detection]]]:
    """Return what belongs together: everything linked by masks that speak of the same thing."""
    links = {
        (i, j)
        for i, colour in enumerate(by_colour)
        for j, learning in enumerate(by_learning)
        if _shared(colour, learning) >= _TOUCHING * min(int(colour.mask.sum()), int(learning.mask.sum()))
    }
    groups = []
    left, right = set(range(len(by_colour))), set(range(len(by_learning)))
    while left or right:
        mine = {left.pop()} if left else set()
        theirs = set() if mine else {right.pop()}
        while True:
            more_theirs = {j for i, j in links if i in mine} - theirs
            more_mine = {i for i, j in links if j in theirs | more_theirs} - mine
            if not more_theirs and not more_mine:
                break
            theirs, mine = theirs | more_theirs, mine | more_mine
        left, right = left - mine, right - theirs
        groups.append(([by_colour[i] for i in sorted(mine)], [by_learning[j] for j in sorted(theirs)]))
    return groups


def _is_on(fruit: Detection, box: tuple[float, float, float, float]) -> bool:
    """Whether most of a fruit's box lies in another."""
    x, y, w, h = fruit.box
    inside = max(0.0, min(x + w, box[2]) - max(x, box[0])) * max(0.0, min(y + h, box[3]) - max(y, box[1]))
    return inside > 0.6 * w * h
