"""Why a fruit on the belt goes to a person: each reason has a code, kept in records, and a text in both languages."""

from enum import StrEnum
from typing import Final

from grading.standard import Text


class Doubt(StrEnum):
    """A reason to ask a person. What the pictures themselves tell is found again when a record is graded again."""

    FEW_VIEWS = "few-views"
    NEVER_WHOLE = "never-whole"
    TOUCHING = "touching"
    VANISHED = "vanished"
    APPEARED = "appeared"
    MOVED_BACK = "moved-back"
    ONE_DETECTOR = "one-detector"
    OTHER_KIND = "other-kind"
    BAD_LIGHT = "bad-light"
    NO_OUTLINE = "no-outline"
    OVEREXPOSED = "overexposed"
    SHAPE = "shape"
    SIZE = "size"
    COLOUR = "colour"
    VIEWS_DISAGREE = "views-disagree"
    SCALE_DIFFERS = "scale-differs"
    MARKS = "marks"
    MARKS_UNCHECKED = "marks-unchecked"

    @property
    def text(self) -> Text:
        """What a person reads."""
        return _TEXTS[self]


_TEXTS: Final = {
    Doubt.FEW_VIEWS: Text("看到的面太少", "seen from too few sides"),
    Doubt.NEVER_WHOLE: Text("从未完整进入画面", "never wholly in the picture"),
    Doubt.TOUCHING: Text("与另一个果贴在一起，没有分开过", "touched another fruit all the way"),  # noqa: RUF001  # Chinese has its own comma
    Doubt.VANISHED: Text("在传送带中途不见了", "vanished half way along the belt"),
    Doubt.APPEARED: Text("在传送带中途才出现", "appeared half way along the belt"),
    Doubt.MOVED_BACK: Text("没有随传送带走", "did not move with the belt"),
    Doubt.ONE_DETECTOR: Text("两种识别方法只有一种看到它", "only one of two detectors sees it"),
    Doubt.OTHER_KIND: Text("看起来是别的东西", "looks like something else"),
    Doubt.BAD_LIGHT: Text("经过时光线不对", "the light was wrong as it passed"),
    Doubt.NO_OUTLINE: Text("轮廓看不清", "its outline is not clear"),
    Doubt.OVEREXPOSED: Text("过曝", "overexposed"),
    Doubt.SHAPE: Text("形状不像一个果", "not the shape of one fruit"),
    Doubt.SIZE: Text("大小超出该品类的范围", "a size this crop does not have"),
    Doubt.COLOUR: Text("颜色不像果皮", "not the colour of a fruit"),
    Doubt.VIEWS_DISAGREE: Text("各面的测量相差太大", "its views measure too differently"),
    Doubt.SCALE_DIFFERS: Text("秤和画面的重量相差太大", "the scale and the pictures say very different weights"),
    Doubt.MARKS: Text(
        "颜色和网络看到的斑痕相差很大，等级会因此不同",  # noqa: RUF001  # Chinese has its own comma
        "colour and network see very different marks on it, and its class would be another",
    ),
    Doubt.MARKS_UNCHECKED: Text(
        "网络来不及复看决定等级的斑痕",
        "the network had no time to look again at the marks that decide its class",
    ),
}
