"""The trigger language: `error_rate > 5% for 5 minutes` becomes a Rule, or every reason why it cannot."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Final

from guardian.core.rollout import DEFAULT_OVER_MS, SILENCE, Against, Metric, Origin, Rule, Unit
from guardian.core.text import duration_text
from guardian.spec.amounts import shown
from guardian.spec.rule_checks import (
    WINDOWS,
    Use,
    clause_faults,
    limit_faults,
    limit_of,
    plain,
    reference_faults,
    window_faults,
)
from guardian.spec.rule_syntax import NOT_YET_FIX, Fault, RuleError, Written, read_rule
from guardian.spec.rule_words import later_words, metric_of, unknown_metric_fix

REMEMBERED_RULES: Final = 4_096
"""Rules are read once: a worker that restores thousands of rollouts meets the same few again and again."""
DEFAULT_GROWTH_OVER_MS: Final = 300_000
"""Growth, and a gate on a gauge, look at means of five minutes unless said."""


@lru_cache(maxsize=REMEMBERED_RULES)
def parse_rule(text: str, use: Use) -> Rule:
    """Read a rule.

    Args:
        text: as the person wrote it, whatever it is.
        use: what it is written for; decides the window when the rule names none.

    Returns:
        the rule: its limit 0..1 for a rate, milliseconds for a latency, a multiple or a growth (0.1 for 10 %) for a
        comparison; window, hold and period in milliseconds.

    Raises:
        RuleError: with every fault.
    """
    written = read_rule(text)
    metric = SILENCE if written.is_silence else metric_of(written.metric)
    faults = clause_faults(written)
    if metric is None:
        faults.append(_unknown_metric(text, written))
    else:
        faults += reference_faults(metric, written, use) or limit_faults(metric, written, use)
        faults += window_faults(metric, written, use)
    if metric is None or faults:
        raise RuleError(sorted(faults, key=lambda fault: fault.offset))
    return Rule(
        text=" ".join(text.split()),
        metric=metric,
        op=written.op,
        limit=limit_of(metric, written),
        over_ms=_window_ms(metric, written, use),
        hold_ms=next((int(clause.ms) for clause in written.clauses if clause.kind == "hold"), 0),
        against=written.against,
        period_ms=int(written.period.ms) if written.period else 0,
    )


def rule_text(rule: Rule) -> str:
    """Return a rule in full, in the words of the language; read again, as a trigger or as a gate, it means the same."""
    if rule.metric == SILENCE:
        return comparison_text(rule)
    window = "per step" if rule.per_step else f"over {duration_text(rule.over_ms)}"
    if rule.metric.unit is Unit.COUNT and not rule.per_step:
        window = f"per {duration_text(rule.over_ms)}"
    hold = f" for {duration_text(rule.hold_ms)}" if rule.hold_ms else ""
    return f"{comparison_text(rule)} {window}{hold}"


def comparison_text(rule: Rule) -> str:
    """Return a rule without its window and hold: `error_rate > 5%`, `p99_latency > 2x baseline`, `silent for 2m`."""
    name = metric_text(rule.metric)
    if rule.metric == SILENCE:
        return f"silent for {duration_text(int(rule.limit))}"
    match rule.against:
        case Against.NONE:
            return f"{name} {rule.op.value} {limit_text(rule.metric.unit, rule.limit)}"
        case Against.PAST:
            return f"{name} growing {limit_text(Unit.RATE, rule.limit)} per {duration_text(rule.period_ms)}"
        case _:
            return f"{name} {rule.op.value} {plain(Decimal(repr(rule.limit)))}x {rule.against.value}"


def metric_text(metric: Metric) -> str:
    """Return a metric as the language writes it: `error_rate`, `metric satisfaction`, `gauge queue_depth`."""
    if metric.unit is not Unit.NUMBER:
        return metric.name
    return f"{'gauge' if metric.origin is Origin.GAUGES else 'metric'} {metric.name}"


def limit_text(unit: Unit, limit: float) -> str:
    """Return a limit exactly, in the words of the language: `0.1%`, `200ms`, `2s`, `100`, `800MB`."""
    exact = Decimal(repr(limit))
    if unit is Unit.RATE:
        return f"{plain(exact * 100)}%"
    if unit in (Unit.COUNT, Unit.NUMBER):
        return plain(exact)
    if unit is Unit.BYTES:
        return f"{plain(exact / 1_000_000)}MB"
    return f"{plain(exact / 1_000)}s" if exact and exact % 1_000 == 0 else f"{plain(exact)}ms"


def _unknown_metric(text: str, written: Written) -> Fault:
    later = later_words(text)
    if later:
        return Fault(f"this version does not act on {later[0]} yet", NOT_YET_FIX, later[1])
    return Fault(f"unknown metric {shown(written.metric)}", unknown_metric_fix(written.metric), written.offset)


def _window_ms(metric: Metric, written: Written, use: Use) -> int:
    """The trailing window: as written, else what the metric and the use suggest, else since the step began."""
    window = next((clause for clause in written.clauses if clause.kind in WINDOWS), None)
    if window is not None:
        return int(window.ms)
    if metric == SILENCE:
        return int(written.limit.number)
    if written.against is Against.PAST or (metric.origin is Origin.GAUGES and use is Use.GATE):
        return DEFAULT_GROWTH_OVER_MS
    if metric.origin is Origin.GAUGES:
        return DEFAULT_OVER_MS
    return 0 if use is Use.GATE or metric.unit is Unit.COUNT else DEFAULT_OVER_MS
