"""The baseline: control's own past, and the services' own past, frozen when the first step above zero begins.

Frozen, because a candidate that slows everything down must not move what it is measured by.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from guardian.core.gauges import Gauges
from guardian.core.windows import Series, Tally

MIN_GAUGE_SAMPLES: Final = 12
"""A minute of one instance's heartbeats: less of a gauge is no past to compare with."""


class Baseline(Struct):
    """What was before the first step.

    Args:
        tally: control's figures, any assignment.
        gauges: by gauge, then by service: [samples, mean].
        start_ms, end_ms: event time from which, and up to which, it was looked at.
    """

    tally: Tally
    gauges: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    start_ms: int = 0
    end_ms: int = 0

    def gauge(self, name: str, service: str) -> tuple[int, float | None]:
        """Return samples and mean of one service's gauge."""
        found = self.gauges.get(name, {}).get(service)
        return (int(found[0]), found[1]) if found else (0, None)


def freeze(past: Series | None, gauges: Gauges | None, start_ms: int, end_ms: int) -> Baseline:
    """Return what has been kept of [start_ms, end_ms), as it stands now."""
    means: dict[str, dict[str, list[float]]] = {}
    for name, lines in (gauges.lines if gauges else {}).items():
        for service, line in lines.items():
            n, mean = line.window(start_ms, end_ms)
            if mean is not None:
                means.setdefault(name, {})[service] = [float(n), mean]
    tally = Tally()
    if past is not None:
        tally.add(past.window(start_ms, end_ms))
    return Baseline(tally, means, start_ms, end_ms)
