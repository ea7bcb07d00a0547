"""Gauges by instance, for growth: within one instance's life, its warm-up left out, bounded in instances and slices.

The mean over a service grows when new instances warm up and when idle ones are scaled in, and hides one that leaks.
"""

from __future__ import annotations

import hashlib
import math
from typing import Final

from msgspec import Struct, field

WARM_UP_S: Final = 600
"""The first ten minutes of an instance's life: caches fill, code is compiled; growth in them means nothing."""
MAX_OF_SERVICE: Final = 64
"""Instances of one gauge and service; beyond it growth is judged by the mean over the service too."""
MAX_INSTANCES: Final = 96
"""Instances of all gauges and services of a rollout."""
SLICES_KEPT: Final = 16
SLICE_S: Final = 300
GONE_S: Final = 600
"""Without a sample for so long a life is over; so it is when memory falls to less than half between two samples."""
MAX_NAME_BYTES: Final = 40

Slices = dict[int, list[float]]
"""Slice start (Unix second) -> [samples, their sum]."""


class Life(Struct, array_like=True):
    """One gauge of one instance since it started.

    Args:
        first_s, newest_s: the second of the first and of the newest sample.
        last: the newest value.
        slices: what came after the warm-up.
    """

    first_s: int
    newest_s: int
    last: float
    slices: Slices = field(default_factory=dict)

    def add(self, second: int, value: float, slice_s: int) -> None:
        """Add one sample."""
        self.newest_s, self.last = max(self.newest_s, second), value
        start = second - second % slice_s
        if second < self.first_s + WARM_UP_S or start <= self.newest_s - SLICES_KEPT * slice_s:
            return
        n, amount = self.slices.get(start, (0.0, 0.0))
        self.slices[start] = [n + 1, rounded(amount + value, 24)]
        while len(self.slices) > SLICES_KEPT:
            del self.slices[min(self.slices)]

    def mean(self, start_ms: int, end_ms: int) -> tuple[int, float | None]:
        """Return samples and mean of the slices that begin in [start_ms, end_ms)."""
        return mean_of((self.slices,), start_ms, end_ms)


class Instances(Struct):
    """The instances of every gauge that a growth rule looks at.

    Args:
        names: which gauges; empty when no rule asks for growth.
        slice_s: width of their slices; the longest period fits into SLICES_KEPT of them.
        lives: by gauge, then service, then instance.
        untracked: by gauge, then service: the second at which an instance last found no room.
    """

    names: tuple[str, ...] = ()
    slice_s: int = SLICE_S
    lives: dict[str, dict[str, dict[str, Life]]] = field(default_factory=dict)
    untracked: dict[str, dict[str, int]] = field(default_factory=dict)

    def look_at(self, names: tuple[str, ...], reach_s: int) -> None:
        """Keep what growth rules look at: these gauges, so far back."""
        slice_s = max(1, -(-reach_s // ((SLICES_KEPT - 2) * SLICE_S))) * SLICE_S
        if slice_s != self.slice_s:
            self.lives.clear()
        self.names, self.slice_s = names, slice_s
        self.lives = {name: lives for name, lives in self.lives.items() if name in names}
        self.untracked = {name: found for name, found in self.untracked.items() if name in names}

    def add(self, name: str, service: str, instance: str, second: int, value: float) -> None:
        """Add one sample of an instance."""
        if name not in self.names:
            return
        of_service, key = self.lives.setdefault(name, {}).setdefault(service, {}), short_name(instance)
        life = of_service.get(key)
        if life is not None and not _is_over(life, name, second, value):
            life.add(second, value, self.slice_s)
        elif life is not None or self._has_room(of_service, second):
            of_service[key] = Life(second, second, value)
        else:
            self.untracked.setdefault(name, {})[service] = second

    def forget(self, name: str, service: str) -> None:
        """Forget a service that is gone."""
        self.lives.get(name, {}).pop(service, None)
        self.untracked.get(name, {}).pop(service, None)

    def _has_room(self, of_service: dict[str, Life], second: int) -> bool:
        """Whether one more instance may be tracked; lives that are over make room."""
        every = [lives for of_gauge in self.lives.values() for lives in of_gauge.values()]
        if len(of_service) < MAX_OF_SERVICE and sum(len(lives) for lives in every) < MAX_INSTANCES:
            return True
        found = [(life.newest_s, i, key) for i, lives in enumerate(every) for key, life in lives.items()]
        of_mine = [(life.newest_s, -1, key) for key, life in of_service.items()]
        newest_s, i, key = min(of_mine if len(of_service) >= MAX_OF_SERVICE else found)
        if newest_s > second - GONE_S:
            return False
        del (of_service if i < 0 else every[i])[key]
        return True


def _is_over(life: Life, name: str, second: int, value: float) -> bool:
    """Whether a sample belongs to a new life under the same name."""
    if second < life.newest_s:
        return False
    return second - life.newest_s >= GONE_S or (name == "memory_bytes" and 2 * value < life.last)


def short_name(instance: str) -> str:
    """Return an instance's name in at most MAX_NAME_BYTES of UTF-8; a longer one is cut, and still its own."""
    data = instance.encode(errors="replace")
    if len(data) <= MAX_NAME_BYTES:
        return instance
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()[:8]
    return f"{data[: MAX_NAME_BYTES - 9].decode(errors='ignore')}~{digest}"


def mean_of(parts: tuple[Slices, ...], start_ms: int, end_ms: int) -> tuple[int, float | None]:
    """Return samples and mean of the slices that begin in [start_ms, end_ms)."""
    taken = [slice_ for part in parts for start, slice_ in part.items() if start_ms <= start * 1_000 < end_ms]
    n = sum(count for count, _ in taken)
    return int(n), sum(amount for _, amount in taken) / n if n else None


def rounded(value: float, bits: int) -> float:
    """Return a number to so many significant bits: half of a snapshot's gauges would be digits that mean nothing."""
    if not abs(value) < 1e300:
        return value
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * (1 << bits)), exponent - bits)
