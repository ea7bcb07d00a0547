"""The measurements of this process that have begun and are not told yet: listed, counted, and found when they hang.

Nothing here takes a lock: a measurement may end in the garbage collector, in the middle of anything else.
Each step is one operation on a dict or a deque, which CPython does not interrupt.
"""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Final, Protocol

MAX_TRACKED: Final = 10_000
_UNTRACKED: Final = -1


class OpenMeasurement(Protocol):
    """What is tracked; `Measurement` is one."""

    began_s: float

    def tell_hang(self, now_s: float) -> None:
        """Tell it as `hang` if it hangs."""

    def abandon(self) -> None:
        """Tell that nobody can end it any more."""

    def disown(self) -> None:
        """Leave the telling to the parent process."""


class OpenMeasurements:
    """Weak references, so that a measurement that nobody holds any more is collected, and then tells so itself.

    Args:
        max_tracked: beyond so many, further ones are counted only: they are told at their end, and never as `hang`.
    """

    def __init__(self, max_tracked: int = MAX_TRACKED) -> None:
        self._max_tracked = max_tracked
        self._keys = itertools.count()
        self._tracked: dict[int, weakref.ref[OpenMeasurement]] = {}
        self._untracked: deque[None] = deque()

    def add(self, measurement: OpenMeasurement) -> int:
        """Take a measurement that begins; returns the key to remove it by."""
        if len(self._tracked) >= self._max_tracked:
            self._untracked.append(None)
            return _UNTRACKED
        key = next(self._keys)
        self._tracked[key] = weakref.ref(measurement)
        return key

    def remove(self, key: int) -> None:
        """Forget a measurement that is told; called once for each."""
        if key == _UNTRACKED:
            if self._untracked:
                self._untracked.pop()
        else:
            self._tracked.pop(key, None)

    def __iter__(self) -> Iterator[OpenMeasurement]:
        """Every tracked one that is open now, the oldest first."""
        for reference in list(self._tracked.values()):
            measurement = reference()
            if measurement is not None:
                yield measurement

    def figures(self, now_s: float) -> tuple[int, float | None]:
        """Return how many are open, and the age of the oldest in milliseconds; None when none is tracked."""
        oldest_s = min((measurement.began_s for measurement in self), default=None)
        count = len(self._tracked) + len(self._untracked)
        return count, None if oldest_s is None else round(max(now_s - oldest_s, 0.0) * 1000, 3)

    def disown(self) -> None:
        """Forget all of them, in a forked child: they are its parent's to tell."""
        for measurement in self:
            measurement.disown()
        self._tracked = {}
        self._untracked = deque()
