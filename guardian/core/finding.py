"""What a rule looks at, as a number: a metric's value on a window, and what it is compared with."""

from __future__ import annotations

from msgspec import Struct

from guardian.core.rollout import Metric, Op, Origin, Unit
from guardian.core.windows import Tally
from guardian.core.words import Reason


class Finding(Struct, frozen=True):
    """A metric's value on a window, and what it is compared with.

    Args:
        value: in the metric's unit; None without data.
        n: requests that it rests on.
        start_ms, end_ms: the window in event time; 0 for since the step began.
        reference: what the limit is a multiple of, in the metric's unit; None when there is none.
        reference_n: requests that the reference rests on.
        service: whose figures, empty for an arm's.
        basis: what it rests on in words, when that is not requests: who set it, who was last heard of.
        doubt: why it cannot be judged whatever the value is, None when it can.
        note: the doubt in words.
    """

    value: float | None
    n: int
    start_ms: int = 0
    end_ms: int = 0
    reference: float | None = None
    reference_n: int = 0
    service: str = ""
    basis: str = ""
    doubt: Reason | None = None
    note: str = ""


def find(metric: Metric, tally: Tally, start_ms: int = 0, end_ms: int = 0) -> Finding:
    """Return a metric's value on a tally."""
    if metric.origin is Origin.FIGURES:
        n, amount = tally.sums.get(metric.key, (0.0, 0.0))
        if metric.unit is Unit.RATE:
            # Who tells fallbacks alone, and nothing of the calls, has made that many calls at least.
            n = max(n, amount)
        value = amount if metric.unit is Unit.COUNT else amount / n if n else None
        return Finding(value, int(n), start_ms, end_ms)
    if metric.unit is Unit.COUNT:
        return Finding(tally.count(metric.outcomes), tally.n, start_ms, end_ms)
    if metric.unit is Unit.RATE:
        n = tally.n
        return Finding(tally.count(metric.outcomes) / n if n else None, n, start_ms, end_ms)
    value = tally.mean_ms() if metric.quantile is None else tally.quantile_ms(metric.quantile)
    return Finding(value, tally.latency_n, start_ms, end_ms)


def crosses(op: Op, value: float, limit: float) -> bool:
    """Return whether `value op limit` is true."""
    match op:
        case Op.ABOVE:
            return value > limit
        case Op.BELOW:
            return value < limit
        case Op.AT_LEAST:
            return value >= limit
        case Op.AT_MOST:
            return value <= limit
