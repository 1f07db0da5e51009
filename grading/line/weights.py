"""One fruit's weight, told by a scale between camera and gates, beside the mass its pictures come to. Pure."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

from grading.grade import WEIGHED_G
from grading.measure import Measures
from grading.standard import Text

_LEAST_PERMILLE: Final = 150
"""A weight this near the estimate is believed however sure the pictures are."""
_TIMES: Final = 2
"""So many half widths of the estimate's 90 % interval a weight may be off: three standard deviations and more."""

MassFrom = Literal["scale", "camera"]


class Unweighed(StrEnum):
    """Why a fruit that crossed the scale has no weight of its own; the camera's estimate counts then."""

    MISSING = "missing"
    AMBIGUOUS = "ambiguous"
    LATE = "late"
    NO_PLACE = "no-place"
    SCALE_LOST = "scale-lost"

    @property
    def text(self) -> Text:
        """What a person reads."""
        return _TEXTS[self]


@dataclass(frozen=True, slots=True)
class Weight:
    """What the scale says of one fruit: whole grams, or why there are none."""

    mass_g: int | None
    why: Unweighed | None = None


def differs(measures: Measures, weight: Weight | None) -> bool:
    """Whether a weight is so far from the estimate that it may be another fruit's, or the pictures are wrong."""
    if weight is None or weight.mass_g is None:
        return False
    estimate_g = measures.mass_g
    allowed_g = estimate_g * _LEAST_PERMILLE // 1000
    below_g = max(_TIMES * (estimate_g - measures.mass_low_g), allowed_g)
    above_g = max(_TIMES * (measures.mass_high_g - estimate_g), allowed_g)
    return not estimate_g - below_g <= weight.mass_g <= estimate_g + above_g


def mass_from(measures: Measures | None, weight: Weight | None) -> MassFrom:
    """Return whose grams count: the scale's where it told some that are believed."""
    if measures is None or weight is None or weight.mass_g is None or differs(measures, weight):
        return "camera"
    return "scale"


def counted(measures: Measures, weight: Weight | None) -> Measures:
    """Return the measures with the mass that counts; what the pictures alone say otherwise stays."""
    if weight is None or weight.mass_g is None or mass_from(measures, weight) == "camera":
        return measures
    grams = weight.mass_g
    return replace(measures, mass_g=grams, mass_low_g=max(0, grams - WEIGHED_G), mass_high_g=grams + WEIGHED_G)


_TEXTS: Final = {
    Unweighed.MISSING: Text("秤没有读到它", "the scale did not tell of it"),
    Unweighed.AMBIGUOUS: Text("秤的读数分不清是哪个果的", "the scale's reading may be of another fruit"),
    Unweighed.LATE: Text("重量到得太晚", "its weight came too late"),
    Unweighed.NO_PLACE: Text("不知道它在皮带上的位置", "nobody knew where on the belt it lay"),
    Unweighed.SCALE_LOST: Text("秤断开", "the scale was lost"),
}
