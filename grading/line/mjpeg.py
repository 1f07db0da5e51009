"""MJPEG over HTTP (multipart/x-mixed-replace), read with bounds: no header, part or silence without end."""

import struct
import time
from collections.abc import Iterator
from email.message import Message
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

import cv2
import httpx
import numpy as np

from grading.camera import Pixels
from grading.errors import CameraLostError, SkippedError
from grading.line.seeing import SourceSettings, demand_size

MOST_PART_BYTES: Final = 8_000_000
_MOST_HEAD_BYTES: Final = 8_192
_MOST_PREAMBLE_BYTES: Final = 65_536


class HttpCamera:
    """One answer of a camera, open until it breaks off."""

    def __init__(self, address: str, settings: SourceSettings) -> None:
        self._most_pixels = settings.most_pixels
        self._client = httpx.Client(
            timeout=settings.silence_s,
            verify=address.startswith("https"),
            trust_env=False,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
        )
        try:
            self._answer = self._asked(address)
            # No chunk size is asked for: httpx would hold pictures back until it has as much.
            self._parts = parts(self._answer.iter_raw(), _boundary(self._answer), settings.silence_s)
        except httpx.HTTPError as error:
            self._client.close()
            raise CameraLostError(f"the camera does not answer: {error}") from error
        except CameraLostError:
            self._client.close()
            raise

    def read(self) -> Pixels:
        """Return the next picture. Raises SkippedError for a broken one, CameraLostError when the answer is over."""
        try:
            data = next(self._parts, None)
        except httpx.HTTPError as error:
            raise CameraLostError(f"the camera broke off: {error}") from error
        if data is None:
            raise CameraLostError("the camera ended its answer")
        return decoded(data, most_pixels=self._most_pixels)

    def close(self) -> None:
        """Hang up."""
        self._answer.close()
        self._client.close()

    def _asked(self, address: str) -> httpx.Response:
        parts_of = urlsplit(address)
        name, password = unquote(parts_of.username or ""), unquote(parts_of.password or "")
        bare = urlunsplit(parts_of._replace(netloc=parts_of.netloc.rpartition("@")[2]))
        answer = self._client.send(self._client.build_request("GET", bare), stream=True)
        if answer.status_code == httpx.codes.UNAUTHORIZED and name:
            answer.close()
            is_digest = answer.headers.get("www-authenticate", "").lower().startswith("digest")
            auth = httpx.DigestAuth(name, password) if is_digest else httpx.BasicAuth(name, password)
            answer = self._client.send(self._client.build_request("GET", bare), stream=True, auth=auth)
        if answer.status_code != httpx.codes.OK:
            answer.close()
            raise CameraLostError(f"the camera answers {answer.status_code} {answer.reason_phrase}")
        return answer


def decoded(data: bytes, *, most_pixels: int) -> Pixels:
    """Return the picture in JPEG bytes. Raises SkippedError for one too large or small, broken, or ending early.

    Cheaper than `grading.camera.decode`, thirty times a second: it does not look for bits that changed on the way,
    which TCP does, and does not turn pictures.
    """
    width, height = _announced(data)
    demand_size(width, height, most_pixels)
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise SkippedError("image_broken", "a picture ends early")
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    # OpenCV's stubs do not say that it gives None for what it cannot read.
    if np.asarray(pixels).shape != (height, width, 3):
        raise SkippedError("image_broken", "a picture cannot be decoded")
    return np.asarray(pixels, dtype=np.uint8)


def _announced(data: bytes) -> tuple[int, int]:
    """Return the width and height that a JPEG's head announces (ITU T.81, B.2), before anything is unpacked."""
    at = 2 if data[:2] == b"\xff\xd8" else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return int(width), int(height)
        else:
            at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    raise SkippedError("image_broken", "a part of the stream is no JPEG")


def parts(chunks: Iterator[bytes], boundary: bytes, silence_s: float) -> Iterator[bytes]:
    """Yield the bodies of multipart chunks (RFC 2046, 5.1). Raises CameraLostError where a bound is broken.

    A body's length is its Content-Length, or up to the next delimiter. `silence_s` is the longest a part may take.
    """
    held, delimiter = _Held(chunks, silence_s), b"--" + boundary
    try:
        held.until(delimiter, "what comes before the first picture", _MOST_PREAMBLE_BYTES)
        while True:
            held.begin()
            if held.until(b"\n", "a delimiter's line", _MOST_HEAD_BYTES).strip() == b"--":
                return
            length = _length(held)
            if length is None:
                yield held.until(b"\r\n" + delimiter, "a picture", MOST_PART_BYTES)
            else:
                # Handed on at once: the next delimiter comes with the next picture.
                yield held.exactly(length, "a picture")
                held.begin()
                held.until(delimiter, "what comes between pictures", _MOST_HEAD_BYTES)
    except _OverError:
        return


class _OverError(Exception):
    """The answer ended."""


class _Held:
    """What came in and was not yet read."""

    def __init__(self, chunks: Iterator[bytes], silence_s: float) -> None:
        self._chunks, self._silence_s = chunks, silence_s
        self._bytes, self._began = bytearray(), time.monotonic()

    def begin(self) -> None:
        """Start the time that a part may take."""
        self._began = time.monotonic()

    def until(self, mark: bytes, what: str, most: int) -> bytes:
        """Return what comes before `mark`, and read over it."""
        seen = 0
        while (at := self._bytes.find(mark, max(0, seen - len(mark)))) < 0:
            seen = len(self._bytes)
            self._more(what, most)
        if at > most:
            raise CameraLostError(f"{what} is longer than {most} bytes")
        found = bytes(self._bytes[:at])
        del self._bytes[: at + len(mark)]
        return found

    def exactly(self, length: int, what: str) -> bytes:
        """Return the next `length` bytes."""
        while len(self._bytes) < length:
            self._more(what, length)
        found = bytes(self._bytes[:length])
        del self._bytes[:length]
        return found

    def _more(self, what: str, most: int) -> None:
        if len(self._bytes) > most:
            raise CameraLostError(f"{what} is longer than {most} bytes")
        if time.monotonic() - self._began > self._silence_s:
            raise CameraLostError(f"{what} takes longer than {self._silence_s:g} s")
        chunk = next(self._chunks, None)
        if chunk is None:
            raise _OverError
        self._bytes += chunk


def _length(held: _Held) -> int | None:
    """Read a part's header lines and return its Content-Length, or None where it has none."""
    length, read = None, 0
    while line := held.until(b"\n", "a part's header", _MOST_HEAD_BYTES).rstrip(b"\r"):
        read += len(line)
        if read > _MOST_HEAD_BYTES:
            raise CameraLostError(f"a part's header is longer than {_MOST_HEAD_BYTES} bytes")
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            text = value.strip()
            if not text.isdigit() or len(text) > 9 or int(text) > MOST_PART_BYTES:
                raise CameraLostError(
                    f"a picture of {text[:20].decode('ascii', 'replace')} bytes; at most {MOST_PART_BYTES}"
                )
            length = int(text)
    return length


def _boundary(answer: httpx.Response) -> bytes:
    """Return the boundary that an answer's head names. Raises CameraLostError for an answer without one."""
    head = Message()
    head["content-type"] = answer.headers.get("content-type", "")
    if head.get_content_maintype() != "multipart":
        raise CameraLostError(f"the camera sends {head.get_content_type()}, not multipart pictures")
    boundary = head.get_param("boundary", "")
    # Some cameras write the two dashes into the name as well.
    text = boundary.removeprefix("--") if isinstance(boundary, str) else ""
    if not text or len(text) > 200 or not text.isascii():
        raise CameraLostError("the camera names no boundary between its pictures")
    return text.encode()
