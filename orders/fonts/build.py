"""Cut the font of labels and lot reports out of Noto Sans CJK SC: `python -m orders.fonts.build FOLDER_WITH_NOTO_TTC`.

Keeps GB2312 level 1 (3,755 characters), the level-2 characters that fruit and places need, Latin and
punctuation; the bold cut keeps Latin and the headings of labels and lot reports. Licence: OFL.txt.
"""

import sys
from pathlib import Path

from fontTools import subset  # type: ignore[import-untyped]  # has none
from fontTools.ttLib import TTCollection, TTFont  # type: ignore[import-untyped]  # has none

LATIN = "".join(chr(c) for c in range(0x20, 0x7F)) + "¥°±²³·×–—‘’“”…‰→"  # noqa: RUF001  # signs people write
PUNCTUATION = "、。〈〉《》「」『』【】（）！，．：；？％～￥／＋－＝"  # noqa: RUF001  # full-width on purpose
LEVEL_2 = "柚橙柑橘柠檬榴枇杷猕猴释迦莲雾芭橄榄哈荔枸杞桔梗儋琼衢邕赣闽皖冀豫鄂湘粤蜀黔滇陇暹罗亳濮漯婺嵊"
HEADINGS = "果源芒荔枝龙眼橙柑桔苹梨桃葡萄瓜莓番茄级甲乙丙承诺达标合格证示例样品净含量"
REPORT = "批次报告档位与规划容许度等级大小估重直径横径分布特一二无外品待定不足符合超出"
FOLDER = Path(__file__).parent


def level_1() -> str:
    """Return the 3,755 characters of GB2312 level 1."""
    cells = (bytes((row, cell)) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    return "".join(text for cell in cells if (text := cell.decode("gb2312", errors="ignore")))


def cut(source: Path, target: Path, text: str, *, weight: str) -> int:
    """Write a subset of the collection's simplified Chinese face; return its size in bytes."""
    collection = TTCollection(source)
    faces = [face for face in collection.fonts if face["name"].getDebugName(1) in _NAMES]
    font: TTFont = faces[0]
    options = subset.Options(
        hinting=False, layout_features=["kern", "locl"], name_IDs=[0, 13, 14], notdef_outline=True, desubroutinize=True
    )
    cutter = subset.Subsetter(options)
    cutter.populate(text=text)
    cutter.subset(font)
    # Not the original any more, so it does not carry the original's name.
    for name_id, value in ((1, "Guoyuan Label"), (2, weight), (4, f"Guoyuan Label {weight}"), (6, "GuoyuanLabel")):
        font["name"].setName(value, name_id, 3, 1, 0x409)
    font["head"].modified = font["head"].created  # the same input gives the same bytes
    font.recalcTimestamp = False
    font.save(target)
    return target.stat().st_size


_NAMES = ("Noto Sans CJK SC", "Noto Sans CJK SC Bold")


def main() -> None:
    """Cut both weights."""
    folder = Path(sys.argv[1])
    regular = "".join(sorted(set(level_1() + LATIN + PUNCTUATION + LEVEL_2 + HEADINGS)))
    bold = "".join(sorted(set(LATIN + PUNCTUATION + HEADINGS + REPORT)))
    for name, text, weight in (("Regular", regular, "Regular"), ("Bold", bold, "Bold")):
        size = cut(folder / f"NotoSansCJK-{name}.ttc", FOLDER / f"GuoyuanLabel-{name}.otf", text, weight=weight)
        print(f"{name}: {size} bytes")  # noqa: T201  # a command's answer


if __name__ == "__main__":
    main()
