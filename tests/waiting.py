"""Waiting for what another thread or process does, without a timed assertion about how long it takes."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 120, *, what: str = "", every_s: float = 0.002) -> None:
    """Wait until a condition holds. Whoever a bound method belongs to may tell how it stands with `told()`."""
    end = time.monotonic() + seconds
    while not condition():
        told = getattr(getattr(condition, "__self__", None), "told", None)
        assert time.monotonic() < end, f"it did not happen in time: {told() if told else what or condition}"
        time.sleep(every_s)
