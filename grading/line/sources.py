"""Where shots come from: a USB camera, RTSP, MJPEG over HTTP, a video file, a folder of pictures.

A live camera is read by a thread of its own into a short queue where the newest wins: a line slower than its camera
leaves shots out and counts them, it never falls behind. A camera that goes away is `lost`, asked again after a growing
pause, and never an exception in the line. Files are read at the pace of whoever iterates, every picture of them.
What cannot be used (a broken picture, one of another size, one too large) is skipped and counted under its name.
"""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from grading.errors import SourceError
from grading.line.files import FileSource, folder, video
from grading.line.live import LiveSource, rtsp, usb
from grading.line.mjpeg import HttpCamera
from grading.line.seeing import Encoder, Shot, Source, SourceSettings, SourceState
from ledger.kernel.clock import Clock, SystemClock

__all__ = ["Encoder", "Shot", "Source", "SourceSettings", "SourceState", "open_source"]


def open_source(
    text: str,
    *,
    encoder: Encoder | None = None,
    settings: SourceSettings | None = None,
    clock: Clock | None = None,
) -> Source:
    """Return the source that a text names: `usb:0`, `rtsp://`, `http://` (MJPEG), `video:PATH`, `folder:PATH`, a path.

    Settings may follow: `usb:0?width=1280&height=720&fps=30&exposure=80`, `video:belt.mp4?loop=1&paced=1`; not after
    addresses, whose question mark is the camera's own. Raises SourceError for a text that names none, for a file that
    is not there or is no video, and for a folder without pictures. A live camera that does not answer is lost.
    """
    chosen, ticks = settings or SourceSettings(), clock or SystemClock()
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in {"rtsp", "rtsps", "http", "https"}:
        address, name = _address(text), _without_password(text)
        if scheme.lower() in {"http", "https"}:
            return LiveSource(name, lambda: HttpCamera(address, chosen), chosen, encoder, ticks)
        return LiveSource(name, lambda: rtsp(address, name, chosen), chosen, encoder, ticks)
    if colon and scheme == "usb":
        device, chosen = _with_options(rest, chosen, is_path=False)
        return LiveSource(f"usb:{device}", lambda: usb(device, chosen), chosen, encoder, ticks)
    if colon and scheme == "folder":
        path, chosen = _with_options(rest, chosen, is_path=True)
        return FileSource(f"folder:{path}", folder(Path(path), chosen), chosen, encoder, ticks)
    is_named = bool(colon) and scheme == "video"
    path, chosen = _with_options(rest if is_named else text, chosen, is_path=True)
    if not is_named and not Path(path).is_file():
        raise SourceError(text, "is none of usb:N, rtsp://, http://, video:PATH, folder:PATH, and no file")
    return FileSource(f"video:{path}", video(Path(path), chosen), chosen, encoder, ticks)


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise SourceError(_without_password(text), f"is no address: {error}") from error
    if not is_whole or re.search(r"[\x00-\x20\x7f]", text):
        raise SourceError(_without_password(text), "is no address of a camera")
    return text


def _without_password(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        return text.rsplit("@", maxsplit=1)[-1]
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else text


_SWITCHES: Final = {"1": True, "true": True, "yes": True, "": True, "0": False, "false": False, "no": False}


def _with_options(text: str, settings: SourceSettings, *, is_path: bool) -> tuple[str, SourceSettings]:
    """Return the text before its last question mark and the settings behind it. Raises SourceError."""
    before, mark, query = text.rpartition("?")
    if not mark or (is_path and Path(text).exists()):
        return text, settings
    kinds = {each.name: type(getattr(settings, each.name)) for each in fields(settings)}
    found: dict[str, int | float | bool] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in kinds:
            raise SourceError(text, f"{name} is none of the settings {', '.join(kinds)}")
        if kinds[name] is bool:
            if value.lower() not in _SWITCHES:
                raise SourceError(text, f"{name} must be 0 or 1")
            found[name] = _SWITCHES[value.lower()]
            continue
        if not re.fullmatch(r"\d{1,8}(\.\d{1,3})?" if kinds[name] is float else r"\d{1,8}", value):
            raise SourceError(text, f"{name} must be a number")
        found[name] = kinds[name](value)
    return before, replace(settings, **found)  # type: ignore[arg-type]  # the kinds were just checked
