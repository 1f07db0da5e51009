"""From a camera's bytes to pixels: refused before decoding when too large, upright, whole or not at all."""

import io
import warnings
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from grading.errors import BrokenImageError, ImageTooLargeError, ImageTooSmallError

Pixels = NDArray[np.uint8]
"""Height x width x 3, blue green red, as OpenCV has it."""
Plane: TypeAlias = NDArray[np.integer[Any] | np.floating[Any]]
"""Any array of numbers the size of a picture: OpenCV's stubs say no more than that about their answers."""

MAX_BYTES = 25_000_000
MAX_PIXELS = 50_000_000
MIN_SIDE = 120
_FORMATS = ("JPEG", "PNG", "WEBP")


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

    Raises ImageTooLargeError before anything is decoded, ImageTooSmallError, and BrokenImageError for
    other formats and for files that end early.
    """
    if len(data) > max_bytes:
        raise ImageTooLargeError("bytes", found=len(data), limit=max_bytes)
    if not data:
        raise BrokenImageError("it is empty")
    try:
        with warnings.catch_warnings():
            # Pillow's own size warning stands above our limit, which is checked next.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError("pixels", found=2 * (Image.MAX_IMAGE_PIXELS or 0), limit=max_pixels) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise BrokenImageError("it is no JPEG, PNG or WebP") from error
    with image:
        width, height = image.size
        if width * height > max_pixels:
            raise ImageTooLargeError("pixels", found=width * height, limit=max_pixels)
        if min(width, height) < min_side:
            raise ImageTooSmallError(width=width, height=height, least=min_side)
        try:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        # A damaged file fails anywhere in the decoders, by whatever exception the damage meets.
        except (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, LookupError, TypeError) as error:
            raise BrokenImageError(f"it is damaged or ends early ({error})") from error
    rgb = np.asarray(upright, dtype=np.uint8)
    return Frame(np.ascontiguousarray(rgb[:, :, ::-1]), sha256(data).digest())


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
