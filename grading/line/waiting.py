"""Fruit on their way from camera to scale: each waits for its weight, in order, as long as one can still come.

A weighing belongs to a fruit by where the belt was. When the belt has run on past a fruit's place on the scale by the
tolerance, no later weighing can be its own, so that its weight is known then, or known to be missing. The lane command
of a fruit goes out only after that; a wiring file whose scale stands too near its first gate for that is refused.
Whatever holds a fruit up for longer (a belt that stands, an encoder that nobody believes) costs it its weight, told by
name, and the camera's estimate counts.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from grading.line.scales import joined
from grading.line.weights import Unweighed, Weight
from grading.line.wires import Encoder, Scale, State, Weighing

PATIENCE_S: Final = 10.0
"""A fruit waits no longer, unless even a belt at its nominal speed takes half of that or more to bring it there."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[_T]):
    key: int
    fruit: _T
    belt_um: int
    """Where it comes to lie on the scale."""
    until_s: float


class Weighbridge(Generic[_T]):
    """A scale that stands `scale_um` behind the camera's line, and the fruit between the two. For one thread."""

    def __init__(
        self,
        scale: Scale,
        encoder: Encoder,
        *,
        scale_um: int,
        tolerance_um: int,
        speed_um_s: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scale, self._encoder, self._monotonic = scale, encoder, monotonic
        self._scale_um, self._tolerance_um = scale_um, tolerance_um
        self._patience_s = max(PATIENCE_S, 2 * (scale_um + tolerance_um) / speed_um_s)
        self._waiting: deque[_Waiting[_T] | tuple[_T, Weight]] = deque()
        self._past: deque[_Waiting[_T]] = deque()
        self._weighings: list[Weighing] = []
        self._next = 0
        self.until_s = math.inf
        """Nothing waits longer than this; set from any thread by who cannot wait."""

    @property
    def waits(self) -> bool:
        """Whether any fruit is on its way to the scale."""
        return bool(self._waiting)

    def add(self, fruit: _T, belt_um: int | None) -> None:
        """Let a fruit wait that was at the camera's line when the belt read `belt_um`; None where nobody knows."""
        if belt_um is None:
            self._waiting.append((fruit, Weight(None, Unweighed.NO_PLACE)))
            return
        until_s = self._monotonic() + self._patience_s
        self._waiting.append(_Waiting(self._next, fruit, belt_um + self._scale_um, until_s))
        self._next += 1

    def decided(self) -> list[tuple[_T, Weight]]:
        """Return the fruit whose weight is known by now, or known to be missing, in the order they were added."""
        # The belt is read first: a weighing that is told after this is of a place no earlier than that.
        belt_um = self._encoder.belt_um()
        self._weighings += [each for each in self._scale.weighings() if each.belt_um is not None]
        found: list[tuple[_T, Weight]] = []
        while self._waiting:
            head = self._waiting[0]
            if isinstance(head, _Waiting):
                weight = self._weight_of(head, belt_um)
                if weight is None:
                    break
                self._past.append(head)
                found.append((head.fruit, weight))
            else:
                found.append(head)
            self._waiting.popleft()
        self._forget(belt_um)
        return found

    def _weight_of(self, fruit: _Waiting[_T], belt_um: int | None) -> Weight | None:
        """Return what the scale says of the fruit that waits longest; None where it may still say something."""
        if belt_um is None:
            return Weight(None, Unweighed.NO_PLACE)
        if belt_um <= fruit.belt_um + self._tolerance_um:
            is_late = self._monotonic() >= min(fruit.until_s, self.until_s)
            return Weight(None, Unweighed.LATE) if is_late else None
        places = {each.key: each.belt_um for each in (*self._past, *self._waiting) if isinstance(each, _Waiting)}
        told = joined(places, self._weighings, distance_um=0, tolerance_um=self._tolerance_um)
        if fruit.key in told.mass_g:
            return Weight(told.mass_g[fruit.key])
        if fruit.key in told.ambiguous:
            return Weight(None, Unweighed.AMBIGUOUS)
        is_lost = self._scale.state.state is State.LOST
        return Weight(None, Unweighed.SCALE_LOST if is_lost else Unweighed.MISSING)

    def _forget(self, belt_um: int | None) -> None:
        """Forget fruit and weighings that no fruit yet to come can be confused with."""
        if belt_um is None:
            return
        since_um = belt_um - self._scale_um - 4 * self._tolerance_um
        while self._past and self._past[0].belt_um < since_um:
            self._past.popleft()
        self._weighings = [each for each in self._weighings if (each.belt_um or 0) >= since_um]
