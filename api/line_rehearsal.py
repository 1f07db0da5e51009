"""A belt that never was, for whoever wants to try the console without a camera: `--source rendered:`.

Its fruit are drawn, every picture says SAMPLE, and what is graded is delivered to a demonstration only.
"""

import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

from grading.errors import SourceError
from grading.line.files import PlayedSource
from grading.line.sources import Shot, SourceState
from grading.profile import CameraProfile
from grading.rendering import Belt, Camera
from ledger.kernel.clock import Clock

SCHEME: Final = "rendered:"
_NUMBERS: Final = ("seed", "lanes", "fruit_per_s", "speed_mm_s", "fps", "fruit")


class RenderedSource(PlayedSource):
    """A drawn belt as a camera: at its own pace or slower, never faster."""

    def __init__(self, text: str, clock: Clock) -> None:
        """`rendered:` may be followed by `?seed=1&kind=mango&fruit_per_s=6`. Raises SourceError."""
        options = dict(parse_qsl(text.removeprefix(SCHEME).removeprefix("?"), keep_blank_values=True))
        unknown = sorted(set(options) - {*_NUMBERS, "kind"})
        if unknown:
            raise SourceError(text, f"{unknown[0]!r} is none of kind, {', '.join(_NUMBERS)}")
        try:
            numbers: dict[str, Any] = {name: int(options[name]) for name in _NUMBERS if name in options}
        except ValueError as error:
            raise SourceError(text, "a number is none") from error
        # Slow enough for people to follow, and for a small machine that also draws what it looks at.
        chosen: dict[str, Any] = {"seed": 7, "lanes": 2, "fruit_per_s": 6, "speed_mm_s": 300, "fps": 12, **numbers}
        super().__init__(f"{SCHEME} {options.get('kind', 'mango')}")
        self._clock = clock
        self._belt = Belt(kind=options.get("kind", "mango"), **chosen)
        self._fps = self._belt.fps

    def shots(self) -> Iterator[Shot]:
        """Yield drawn frames."""
        next_at = time.monotonic()
        for rendered in self._belt.shots():
            next_at = max(time.monotonic(), next_at + 1 / self._fps)
            if self._closed.wait(max(0.0, next_at - time.monotonic())):
                break
            self._state = SourceState.RUNNING
            now = self._clock.now()
            yield Shot(rendered.pixels, rendered.number, rendered.at_s, now, rendered.belt_um)
        self._state = SourceState.ENDED


def rendered_profile() -> CameraProfile:
    """Return the profile of the camera that drawn belts are seen by."""
    profile = Belt(seed=1).profile()
    camera = Camera()
    return CameraProfile.plain(
        nm_per_px=profile.nm_per_px,
        camera_height_um=profile.camera_height_um,
        size=(camera.width, camera.height),
        name="rendered",
    )
