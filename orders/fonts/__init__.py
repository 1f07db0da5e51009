"""The font of labels and lot reports: a cut of Noto Sans CJK SC under the SIL Open Font License 1.1 (OFL.txt)."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

REGULAR: Final = Path(__file__).parent / "GuoyuanLabel-Regular.otf"
BOLD: Final = Path(__file__).parent / "GuoyuanLabel-Bold.otf"

Align: TypeAlias = Literal["left", "right", "middle"]
"""Which point of a text's baseline stands where it is put."""
ANCHORS: Final[dict[Align, str]] = {"left": "ls", "right": "rs", "middle": "ms"}
"""The same as Pillow calls it."""


@cache
def sized(size: int, *, is_bold: bool) -> "FreeTypeFont":
    """Return the font in so many pixels, for Pillow."""
    from PIL import ImageFont  # noqa: PLC0415  # the cutting of the font (`build`) needs none

    return ImageFont.truetype(BOLD if is_bold else REGULAR, size)


def width_of(text: str, size: float, *, is_bold: bool) -> float:
    """Return how wide a text is set, in the unit that its size is in."""
    return sized(100, is_bold=is_bold).getlength(text) / 100 * size
