"""What a rule looks at, as a number: a metric's value on a window, and what it is compared with."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from guardian.core.outputs import Number
from guardian.core.rollout import Metric, Op, Origin, Unit
from guardian.core.windows import Tally
from guardian.core.words import Reason

Parts = tuple[Number, Number]
"""What a metric adds up: how many, and the amount of what is looked at among them, or their sum."""
NOTHING: Final[Parts] = (0, 0)


class Since(Struct, frozen=True):
    """From where the evidence of a changed trigger counts.

    Args:
        ms: log time of the apply; what happened before, in event time, does not count. 0 for all.
        mine, other: what the step had then, of the candidate and of what it is compared with.
        n: how many of the candidate's events the step had then.
    """

    ms: int = 0
    mine: Parts = NOTHING
    other: Parts = NOTHING
    n: Number = 0


EVER: Final = Since()
"""All of the evidence: of every gate, and of a trigger that was there when the step began."""


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
        summed_ms: event time from where the window is summed in truth, when that is later than `start_ms`; 0 otherwise.
        precision: what the memory bound of latencies or measured figures has cost, in a phrase; empty for nothing.
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
    summed_ms: int = 0
    precision: str = ""


def parts(metric: Metric, tally: Tally) -> Parts:
    """Return what a metric adds up on a tally; nothing of a quantile, which is no sum."""
    if metric.origin is Origin.FIGURES:
        n, amount = tally.sums.get(metric.key, (0.0, 0.0))
        return n, amount
    if metric.unit in (Unit.COUNT, Unit.RATE):
        return tally.n, tally.count(metric.outcomes)
    return (tally.latency_n, tally.latency_sum_us) if metric.quantile is None else NOTHING


def find(metric: Metric, tally: Tally, start_ms: int = 0, end_ms: int = 0, less: Parts = NOTHING) -> Finding:
    """Return a metric's value on a tally.

    Args:
        metric: what is looked at.
        tally: the figures.
        start_ms, end_ms: their window in event time; 0 for since the step began.
        less: what of them does not count.
    """
    if metric.quantile is not None:
        return Finding(tally.quantile_ms(metric.quantile), tally.bins.n, start_ms, end_ms)
    every, wanted = parts(metric, tally)
    n, amount = every - less[0], wanted - less[1]
    if metric.unit is Unit.COUNT:
        return Finding(amount, int(n), start_ms, end_ms)
    if metric.origin is Origin.FIGURES and metric.unit is Unit.RATE:
        # Who tells fallbacks alone, and nothing of the calls, has made that many calls at least.
        n = max(n, amount)
    scale = 1_000 if metric.unit is Unit.LATENCY_MS else 1
    return Finding(amount / n / scale if n else None, int(n), start_ms, end_ms)


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
