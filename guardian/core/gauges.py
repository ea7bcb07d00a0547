"""Gauges of services (memory, CPU, queue lengths): the mean over a service's instances by slice of time, bounded.

A gauge belongs to a service, not to an arm; so a flag change does not empty it, and it is compared with its own past.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import Struct, field

from guardian.core.instance_gauges import Instances, Slices, mean_of, rounded

FINE_S: Final = 60
FINE_KEPT: Final = 120
"""Minutes are kept for two hours, what is older in slices of a quarter of an hour or more."""
COARSE_S: Final = 900
COARSE_KEPT: Final = 96
MAX_LINES: Final = 16
"""Lines in one rollout; the 17th service takes the place of one that is silent, or is left out."""
GONE_S: Final = 600
_SCALES: Final = {"cpu_pct": 0.01}
"""Per cents become shares, as rates are."""


class Line(Struct):
    """One gauge of one service over time.

    Args:
        fine: by minute.
        coarse: by slice of `width_s`, older.
        width_s: seconds.
    """

    fine: Slices = field(default_factory=dict)
    coarse: Slices = field(default_factory=dict)
    width_s: int = COARSE_S

    @property
    def newest_s(self) -> int:
        """The start of the newest minute, 0 without any."""
        return max(self.fine, default=0)

    def add(self, second: int, value: float) -> None:
        """Add one sample."""
        minute = second - second % FINE_S
        if minute <= self.newest_s - FINE_KEPT * FINE_S:
            _merge(self.coarse, second - second % self.width_s, [1.0, value])
        else:
            if minute not in self.fine and self.fine:
                self.fine[self.newest_s][1] = rounded(self.fine[self.newest_s][1], 24)
            _merge(self.fine, minute, [1.0, value])
        while len(self.fine) > FINE_KEPT:
            oldest = min(self.fine)
            n, amount = self.fine.pop(oldest)
            _merge(self.coarse, oldest - oldest % self.width_s, [n, amount])
            merged = self.coarse[oldest - oldest % self.width_s]
            merged[1] = rounded(merged[1], 16)
        while len(self.coarse) > COARSE_KEPT:
            del self.coarse[min(self.coarse)]

    def window(self, start_ms: int, end_ms: int) -> tuple[int, float | None]:
        """Return samples and mean of the slices that begin in [start_ms, end_ms)."""
        return mean_of((self.coarse, self.fine), start_ms, end_ms)

    def since_ms(self) -> int:
        """Return the start of the oldest slice in milliseconds, 0 without any."""
        return min(min(self.coarse, default=1 << 60), min(self.fine, default=0)) * 1_000


class Gauges(Struct):
    """The gauges that a rollout's rules look at.

    Args:
        names: which; everything else is left out.
        keep_s: how far back any rule looks.
        lines: by gauge, then by service: the mean over its instances.
        instances: by instance, for growth.
    """

    names: tuple[str, ...]
    keep_s: int
    lines: dict[str, dict[str, Line]] = field(default_factory=dict)
    instances: Instances = field(default_factory=Instances)

    def add(
        self, service: str, at_ms: int, metrics: dict[str, float], watermark_ms: int, *, instance: str = ""
    ) -> bool:
        """Add the samples of one instance.

        Returns:
            False when none of them is looked at.
        """
        second = at_ms // 1_000
        wanted: Collection[str] = [name for name in self.names if name in metrics]
        if not wanted or second < watermark_ms // 1_000 - self.keep_s:
            return False
        for name in wanted:
            line, value = self._line(name, service, second), metrics[name] * _SCALES.get(name, 1.0)
            if line is not None:
                line.add(second, value)
                self.instances.add(name, service, instance, second, value)
        return True

    def _line(self, name: str, service: str, second: int) -> Line | None:
        of_gauge = self.lines.setdefault(name, {})
        if service in of_gauge:
            return of_gauge[service]
        held = [(line.newest_s, gauge, other) for gauge, lines in self.lines.items() for other, line in lines.items()]
        if len(held) >= MAX_LINES:
            newest_s, gauge, other = min(held)
            if newest_s > second - GONE_S:
                return None
            del self.lines[gauge][other]
            self.instances.forget(gauge, other)
        of_gauge[service] = Line(width_s=max(COARSE_S, -(-self.keep_s // COARSE_KEPT // FINE_S) * FINE_S))
        return of_gauge[service]

    @property
    def is_empty(self) -> bool:
        """True before the first sample."""
        return not any(self.lines.values())


def _merge(slices: Slices, start: int, part: list[float]) -> None:
    mine = slices.get(start)
    slices[start] = part if mine is None else [mine[0] + part[0], mine[1] + part[1]]
