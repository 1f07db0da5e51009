"""The font of labels and lot reports: a cut of Noto Sans CJK SC under the SIL Open Font License 1.1 (OFL.txt)."""

from pathlib import Path
from typing import Final

REGULAR: Final = Path(__file__).parent / "GuoyuanLabel-Regular.otf"
BOLD: Final = Path(__file__).parent / "GuoyuanLabel-Bold.otf"
