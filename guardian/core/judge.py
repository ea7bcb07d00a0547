"""Judging one rule on one set of figures: outcome, reason, and the numbers on both sides.

No data is never PASS. A trigger that cannot be judged stops its hold's clock, it does not reset it.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from guardian.core.outputs import Evidence, Verdict
from guardian.core.rollout import Gate, Metric, Op, Rule, Trigger, Unit
from guardian.core.text import count_text, duration_text, value_text
from guardian.core.windows import Series, Tally
from guardian.core.words import Outcome, Reason

PATIENCE_HOLDS: Final = 3
"""After so many holds without enough samples the evidence held so far is too old: the clock starts anew."""


class Hold(Struct):
    """The hold's clock of one trigger.

    Args:
        held_ms: event time for which every evaluation crossed the limit.
        crossed: whether the last evaluation that could judge did.
        short_ms: event time since the last one that could.
        judged_ms: event time of the last evaluation, 0 before the first.
    """

    held_ms: int = 0
    crossed: bool = False
    short_ms: int = 0
    judged_ms: int = 0


class Finding(Struct, frozen=True):
    """A metric's value on a window.

    Args:
        value: in the metric's unit; None without data.
        n: requests that it rests on.
        start_ms, end_ms: the window in event time; 0 for since the step began.
    """

    value: float | None
    n: int
    start_ms: int = 0
    end_ms: int = 0


def find(metric: Metric, tally: Tally, start_ms: int = 0, end_ms: int = 0) -> Finding:
    """Return a metric's value on a tally."""
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


def judge_gate(gate: Gate, tally: Tally, start_ms: int, end_ms: int) -> Verdict:
    """Judge a gate: it passes when its comparison is true on enough requests."""
    found = find(gate.rule.metric, tally, start_ms, end_ms)
    if found.value is None or found.n == 0:
        return _verdict(gate.rule, found, Outcome.INCONCLUSIVE, Reason.NO_DATA, needed=gate.min_samples)
    if found.n < gate.min_samples:
        return _verdict(gate.rule, found, Outcome.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES, needed=gate.min_samples)
    if crosses(gate.rule.op, found.value, gate.rule.limit):
        return _verdict(gate.rule, found, Outcome.PASS, Reason.WITHIN_LIMIT, needed=gate.min_samples)
    return _verdict(gate.rule, found, Outcome.FAIL, Reason.OVER_LIMIT, needed=gate.min_samples)


def look_back(rule: Rule, min_samples: int, series: Series, end_ms: int) -> Finding:
    """Return the metric on the trailing window, widened to at most the hold while it has too few samples."""
    over_ms = rule.over_ms
    while True:
        start_ms = end_ms - over_ms
        tally = series.window(start_ms, end_ms, latency=rule.metric.unit is Unit.LATENCY_MS)
        found = find(rule.metric, tally, start_ms, end_ms)
        if found.n >= min_samples or over_ms >= rule.hold_ms:
            return found
        over_ms = min(2 * over_ms, rule.hold_ms)


def judge_trigger(trigger: Trigger, hold: Hold, found: Finding, at_ms: int) -> Verdict:
    """Judge a trigger at an event time and move its hold's clock; FAIL means that it fires.

    Args:
        trigger: what was declared.
        hold: its clock; changed.
        found: the metric's value as of `at_ms`.
        at_ms: event time of this evaluation; the clock moves by what has passed since the last one.
    """
    passed_ms = max(0, at_ms - hold.judged_ms) if hold.judged_ms else 0
    hold.judged_ms = max(hold.judged_ms, at_ms)
    needed = trigger.min_samples
    if found.value is None or found.n < max(needed, 1):
        hold.short_ms += passed_ms
        if hold.short_ms >= PATIENCE_HOLDS * trigger.rule.hold_ms:
            hold.held_ms, hold.crossed = 0, False
        reason = Reason.TOO_FEW_SAMPLES if found.n else Reason.NO_DATA
        return _verdict(trigger.rule, found, Outcome.INCONCLUSIVE, reason, needed=needed, held_ms=hold.held_ms)
    clock_stood = hold.short_ms > 0
    hold.short_ms = 0
    if not crosses(trigger.rule.op, found.value, trigger.rule.limit):
        hold.held_ms, hold.crossed = 0, False
        return _verdict(trigger.rule, found, Outcome.PASS, Reason.WITHIN_LIMIT, needed=needed)
    if hold.crossed and not clock_stood:
        hold.held_ms += passed_ms
    hold.crossed = True
    over = hold.held_ms >= trigger.rule.hold_ms
    outcome, reason = (Outcome.FAIL, Reason.OVER_LIMIT) if over else (Outcome.INCONCLUSIVE, Reason.HOLDING)
    return _verdict(trigger.rule, found, outcome, reason, needed=needed, held_ms=hold.held_ms)


_NOT_OP: Final = {Op.ABOVE: "<=", Op.BELOW: ">=", Op.AT_LEAST: "<", Op.AT_MOST: ">"}


def _verdict(rule: Rule, found: Finding, outcome: Outcome, reason: Reason, *, needed: int, held_ms: int = 0) -> Verdict:
    evidence = Evidence(
        metric=rule.metric.name,
        value=found.value,
        limit=rule.limit,
        op=rule.op,
        n=found.n,
        needed=needed,
        window_start_ms=found.start_ms,
        window_end_ms=found.end_ms,
        held_ms=held_ms,
        hold_ms=rule.hold_ms,
    )
    return Verdict(outcome, reason, _text(rule, found, reason, evidence), evidence)


def _text(rule: Rule, found: Finding, reason: Reason, evidence: Evidence) -> str:
    unit = rule.metric.unit
    limit = value_text(unit, rule.limit)
    if found.value is None:
        return f"{rule.metric.name}: no data to compare with {limit}"
    true_now = crosses(rule.op, found.value, rule.limit)
    sign = rule.op.value if true_now else _NOT_OP[rule.op]
    n = f"n={count_text(found.n)}"
    if found.n < evidence.needed:
        n += f", {count_text(evidence.needed)} needed"
    period = " in this step" if rule.per_step else f" over {duration_text(max(1, found.end_ms - found.start_ms))}"
    held = ""
    if reason is Reason.HOLDING:
        held = f" for {duration_text(evidence.held_ms)} of {duration_text(rule.hold_ms)}"
    elif rule.hold_ms and true_now:
        held = f" for {duration_text(evidence.held_ms)}"
    return f"{rule.metric.name} {value_text(unit, found.value)} {sign} {limit}{held or period} ({n})"
