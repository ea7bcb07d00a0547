"""A verdict with its evidence, and its text with both numbers: `error_rate 7.3% > 5% for 5m (n=4,120)`."""

from __future__ import annotations

from typing import Final

from guardian.core.finding import Finding, crosses
from guardian.core.outputs import Evidence, Verdict
from guardian.core.rollout import Against, Metric, Op, Origin, Rule
from guardian.core.text import count_text, duration_text, rate_text, ratio_text, value_text
from guardian.core.words import Outcome, Reason

_NOT_OP: Final = {Op.ABOVE: "<=", Op.BELOW: ">=", Op.AT_LEAST: "<", Op.AT_MOST: ">"}


def verdict_of(
    rule: Rule, found: Finding, outcome: Outcome, reason: Reason, *, needed: int, held_ms: int = 0
) -> Verdict:
    """Return a verdict on a rule.

    Args:
        rule: what was judged.
        found: the numbers.
        outcome, reason: how it was judged.
        needed: requests needed for a judgement; what rests on none, such as a figure that somebody set, needs none.
        held_ms: for how long a trigger has been true.
    """
    evidence = Evidence(
        metric=rule.metric.name,
        value=found.value,
        limit=rule.limit,
        op=rule.op,
        n=found.n,
        needed=0 if found.basis else needed,
        window_start_ms=found.summed_ms or found.start_ms,
        window_end_ms=found.end_ms,
        held_ms=held_ms,
        hold_ms=rule.hold_ms,
        reference=found.reference,
        reference_n=found.reference_n,
        against="" if rule.against is Against.NONE else rule.against.value,
        service=found.service,
    )
    return Verdict(outcome, reason, _text(rule, found, reason, evidence), evidence)


def reference_text(rule: Rule, reference: float | None) -> str:
    """Return what a rule compares with: `5%`, `2x baseline 180ms`, `10% above 805MB 1h before`."""
    known = "" if reference is None else f" {_value(rule.metric, reference)}"
    match rule.against:
        case Against.NONE:
            return _value(rule.metric, rule.limit)
        case Against.PAST:
            return f"{rate_text(rule.limit)} above{known or ' what it was'} {duration_text(rule.period_ms)} before"
        case _:
            return f"{ratio_text(rule.limit)} {rule.against.value}{known}"


def _value(metric: Metric, value: float) -> str:
    return duration_text(value) if metric.origin is Origin.HEARTBEATS else value_text(metric.unit, value)


def _text(rule: Rule, found: Finding, reason: Reason, evidence: Evidence) -> str:
    who = f"{rule.metric.name} of {found.service}" if found.service else rule.metric.name
    value = "" if found.value is None else f" {_value(rule.metric, found.value)}"
    if found.note:
        return f"{who}{value}: {found.note}"
    against = reference_text(rule, found.reference)
    bound = rule.bound(found.reference)
    if found.value is None or bound is None:
        return f"{who}{value}: no data to compare with {against}"
    true_now = crosses(rule.op, found.value, bound)
    sign = rule.op.value if true_now else _NOT_OP[rule.op]
    in_step = " since its evidence began again" if found.start_ms else " in this step"
    period = in_step if rule.per_step else f" over {duration_text(max(1, found.end_ms - found.start_ms))}"
    if rule.metric.origin is Origin.HEARTBEATS:
        period = ""
    held = ""
    if reason is Reason.HOLDING:
        held = f" for {duration_text(evidence.held_ms)} of {duration_text(rule.hold_ms)}"
    elif rule.hold_ms and true_now and (evidence.held_ms or reason is Reason.OVER_LIMIT):
        held = f" for {duration_text(evidence.held_ms)}"
    basis = found.basis or _samples(rule, found, evidence)
    precision = f"; {found.precision}" if found.precision else ""
    return f"{who}{value} {sign} {against}{held or period} ({basis}{precision})"


def _samples(rule: Rule, found: Finding, evidence: Evidence) -> str:
    """How many requests it rests on, on both sides: `n=4,120 against 9,800`, `n=3, 100 needed`."""
    text = f"n={count_text(found.n)}"
    if rule.against is not Against.NONE:
        text += f" against {count_text(found.reference_n)}" if found.reference_n else " against a declared figure"
    if min(found.n, found.reference_n or found.n) < evidence.needed:
        text += f", {count_text(evidence.needed)} needed"
    return text
