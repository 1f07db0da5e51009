"""From a camera's bytes to pixels: refused before decoding when too large, upright, whole or not at all."""

import io
import re
import warnings
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from grading.damage import torn_row
from grading.errors import BrokenImageError, ImageTooLargeError, ImageTooSmallError

Pixels = NDArray[np.uint8]
"""Height x width x 3, blue green red, as OpenCV has it."""
Plane: TypeAlias = NDArray[np.integer[Any] | np.floating[Any]]
"""Any array of numbers the size of a picture: OpenCV's stubs say no more than that about their answers."""

MAX_BYTES = 25_000_000
MAX_PIXELS = 50_000_000
MIN_SIDE = 120
_FORMATS = ("JPEG", "PNG", "WEBP")
_ORIENTATION = 0x0112
_JPEGS = frozenset({"JPEG", "MPO"})
"""A telephone's JPEG may carry a second picture behind the first, and is then called MPO."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One photograph: its upright pixels and the SHA-256 of the bytes it came in."""

    pixels: Pixels
    digest: bytes

    @property
    def width(self) -> int:
        """Pixels across."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels down."""
        return int(self.pixels.shape[0])


def decode(data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS, min_side: int = MIN_SIDE) -> Frame:
    """Return the photograph in JPEG, PNG or WebP bytes, turned upright as its EXIF asks.

    Raises ImageTooLargeError before anything is decoded, ImageTooSmallError, and BrokenImageError for other formats,
    for files that end early or cannot hold what they announce, for animations, for colours meant for print, and for
    JPEGs whose pixels show that bits changed on the way.
    """
    if len(data) > max_bytes:
        raise ImageTooLargeError("bytes", found=len(data), limit=max_bytes)
    if not data:
        raise BrokenImageError("it is empty")
    try:
        with warnings.catch_warnings():
            # Pillow's own size warning stands above our limit, which is checked next.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        # Pillow, which refuses by itself here, tells the size in words only.
        told = re.search(r"\d+", str(error))
        raise ImageTooLargeError("pixels", found=int(told[0]) if told else max_pixels, limit=max_pixels) from error
    except (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, LookupError, TypeError) as error:
        raise BrokenImageError("it is no JPEG, PNG or WebP") from error
    with image, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what EXIF of doubtful origin says of itself
        width, height = image.size
        if width * height > max_pixels:
            raise ImageTooLargeError("pixels", found=width * height, limit=max_pixels)
        if min(width, height) < min_side:
            raise ImageTooSmallError(width=width, height=height, least=min_side)
        _refuse_other(image, len(data))
        try:
            raw = _rgb(image)
            is_turned = image.getexif().get(_ORIENTATION, 1) != 1
            rgb = np.asarray(_rgb(ImageOps.exif_transpose(image)) if is_turned else raw, dtype=np.uint8)
        # A damaged file fails anywhere in the decoders, by whatever exception the damage meets.
        except (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, LookupError, TypeError) as error:
            raise BrokenImageError(f"it is damaged or ends early ({error})") from error
        if image.format in _JPEGS:
            _refuse_damaged(data, np.asarray(raw, dtype=np.uint8))
    return Frame(np.ascontiguousarray(rgb[:, :, ::-1]), sha256(data).digest())


def _refuse_other(image: Image.Image, size: int) -> None:
    """Raise BrokenImageError for what is no photograph of the sort we grade; nothing is decoded for that."""
    # The shortest code of a block of 64 pixels has four bits, two for many blocks at once; deflate shrinks by 1032.
    most = {"JPEG": 512, "MPO": 512, "PNG": 8 * 1032}.get(image.format or "")
    if most is not None and image.width * image.height > most * size:
        raise BrokenImageError(f"{size} bytes cannot hold {image.width} x {image.height} pixels")
    pictures = int(getattr(image, "n_frames", 1))
    if image.format not in _JPEGS and pictures > 1:
        raise BrokenImageError(f"it holds {pictures} pictures, not one")
    if image.mode == "CMYK":
        raise BrokenImageError("its colours are for print (CMYK): no camera takes such photographs")


def _rgb(image: Image.Image) -> Image.Image:
    """Return a picture in three colours of eight bits: sixteen bits scaled down, transparency laid on white."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image, dtype=np.uint32) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return image.convert("RGB")


def _refuse_damaged(data: bytes, rgb: NDArray[np.uint8]) -> None:
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise BrokenImageError("it ends early: its end mark is missing")
    row = torn_row(rgb)
    if row is not None:
        raise BrokenImageError(f"it is damaged: from row {row} on everything is shifted, so bits changed on the way")


def to_lab(pixels: Pixels) -> NDArray[np.float32]:
    """Return CIE L*a*b* (D65; L 0 to 100) of pixels."""
    scaled = pixels.astype(np.float32) / 255.0
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_BGR2LAB), dtype=np.float32)


def to_jpeg(pixels: Pixels, *, quality: int = 88) -> bytes:
    """Return the pixels as JPEG bytes: the same pixels give the same bytes with one OpenCV release."""
    ok, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:  # pragma: no cover  # OpenCV refuses only empty arrays, which no detection has
        raise BrokenImageError("it cannot be written as JPEG")
    return bytes(encoded.tobytes())
