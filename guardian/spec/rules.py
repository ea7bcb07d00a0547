"""The trigger language: `error_rate > 5% for 5 minutes` becomes a Rule, or every reason why it cannot."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final

from guardian.core.histogram import HIGHEST_MS
from guardian.core.rollout import DEFAULT_OVER_MS, Metric, Op, Rule, Unit
from guardian.core.text import duration_text
from guardian.spec.amounts import MAX_WINDOW_MS, shown
from guardian.spec.rule_syntax import NOT_YET_FIX, Clause, Fault, Limit, RuleError, Written, read_rule
from guardian.spec.rule_words import later_words, metric_of, unknown_metric_fix

MAX_COUNT: Final = 1_000_000_000_000
REMEMBERED_RULES: Final = 4_096
"""Rules are read once: a worker that restores thousands of rollouts meets the same few again and again."""
_WINDOWS: Final = ("over", "per", "per_step")
_NAMES: Final = {"over": "`over`", "hold": "`for`", "per": "`per`", "per_step": "`per step`"}
_A_UNIT: Final = {"%": "a percentage", "ms": "a duration", "s": "a duration", "": "a bare number"}


class Use(StrEnum):
    """What a rule is written for: a trigger acts when it is true, a gate passes."""

    TRIGGER = "trigger"
    GATE = "gate"


@lru_cache(maxsize=REMEMBERED_RULES)
def parse_rule(text: str, use: Use) -> Rule:
    """Read a rule.

    Args:
        text: as the person wrote it, whatever it is.
        use: what it is written for; decides the window when the rule names none.

    Returns:
        the rule: its limit 0..1 for a rate and milliseconds for a latency, window and hold in milliseconds.

    Raises:
        RuleError: with every fault.
    """
    written = read_rule(text)
    metric = metric_of(written.metric)
    faults = _clause_faults(written.clauses)
    if metric is None:
        faults.append(_unknown_metric(text, written))
    else:
        faults += _limit_faults(metric, written.op, written.limit, use)
        faults += _window_faults(metric, written, use)
    if metric is None or faults:
        raise RuleError(sorted(faults, key=lambda fault: fault.offset))
    return Rule(
        text=" ".join(text.split()),
        metric=metric,
        op=written.op,
        limit=_limit(metric, written.limit),
        over_ms=_window_ms(metric, written.clauses, use),
        hold_ms=next((int(clause.ms) for clause in written.clauses if clause.kind == "hold"), 0),
    )


def rule_text(rule: Rule) -> str:
    """Return a rule in full, in the words of the language; read again, as a trigger or as a gate, it means the same."""
    window = "per step" if rule.per_step else f"over {duration_text(rule.over_ms)}"
    if rule.metric.unit is Unit.COUNT and not rule.per_step:
        window = f"per {duration_text(rule.over_ms)}"
    hold = f" for {duration_text(rule.hold_ms)}" if rule.hold_ms else ""
    return f"{comparison_text(rule)} {window}{hold}"


def comparison_text(rule: Rule) -> str:
    """Return a rule without its window and hold: `error_rate > 5%`."""
    return f"{rule.metric.name} {rule.op.value} {limit_text(rule.metric.unit, rule.limit)}"


def limit_text(unit: Unit, limit: float) -> str:
    """Return a limit exactly, in the words of the language: `0.1%`, `200ms`, `2s`, `100`."""
    exact = Decimal(repr(limit))
    if unit is Unit.RATE:
        return f"{_plain(exact * 100)}%"
    if unit is Unit.COUNT:
        return _plain(exact)
    return f"{_plain(exact / 1_000)}s" if exact and exact % 1_000 == 0 else f"{_plain(exact)}ms"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _unknown_metric(text: str, written: Written) -> Fault:
    later = later_words(text)
    if later:
        return Fault(f"this version does not act on {later[0]} yet", NOT_YET_FIX, later[1])
    return Fault(f"unknown metric {shown(written.metric)}", unknown_metric_fix(written.metric), written.offset)


def _clause_faults(clauses: list[Clause]) -> list[Fault]:
    """What is wrong with windows and holds whatever the metric is."""
    faults = []
    windows = [clause for clause in clauses if clause.kind in _WINDOWS]
    holds = [clause for clause in clauses if clause.kind == "hold"]
    if len(windows) > 1:
        faults.append(Fault("a rule has one window", "keep one of `over`, `per` and `per step`", windows[1].offset))
    if len(holds) > 1:
        faults.append(Fault("`for` stands here twice", "keep one", holds[1].offset))
    for clause in clauses:
        if clause.kind == "per_step":
            continue
        name = _NAMES[clause.kind]
        if clause.ms > MAX_WINDOW_MS:
            faults.append(Fault(f"{name} is longer than 7 days", "windows and holds are at most `7d`", clause.offset))
        elif clause.ms % 1_000 or not clause.ms:
            faults.append(Fault(f"{name} wants whole seconds", "windows and holds are `1s` at least", clause.offset))
    return faults


def _limit_faults(metric: Metric, op: Op, limit: Limit, use: Use) -> list[Fault]:
    """What is wrong with the limit's unit and range."""
    found = f"`{metric.name} {op.value} {limit.text}`"
    units = {Unit.RATE: ("%",), Unit.LATENCY_MS: ("ms", "s"), Unit.COUNT: ("",)}[metric.unit]
    if limit.unit not in units:
        return [
            Fault(
                f"{_A_UNIT[limit.unit]} is not {_A_METRIC[metric.unit]}: {found}",
                _unit_fix(metric, limit),
                limit.offset,
            )
        ]
    if metric.unit is Unit.RATE and limit.number > 100:
        return [Fault(f"a rate never exceeds 100%: {found}", "limits of rates are `0%` to `100%`", limit.offset)]
    if metric.unit is Unit.LATENCY_MS and _limit(metric, limit) > HIGHEST_MS:
        return [
            Fault(f"longer than what is measured: {found}", "limits of latencies are at most `10000s`", limit.offset)
        ]
    if metric.unit is Unit.COUNT and (limit.number % 1 or limit.number > MAX_COUNT):
        return [Fault(f"not a whole number up to {MAX_COUNT:,}: {found}", "counts are whole", limit.offset)]
    if use is Use.GATE and op is Op.BELOW and not limit.number:
        return [
            Fault(
                f"nothing is below zero, so this gate never passes: {found}", "write `<=` instead of `<`", limit.offset
            )
        ]
    return []


_A_METRIC: Final = {Unit.RATE: "a rate", Unit.LATENCY_MS: "a latency", Unit.COUNT: "a count"}


def _unit_fix(metric: Metric, limit: Limit) -> str:
    number = _plain(limit.number)
    if metric.unit is Unit.RATE:
        share = f", or `{_plain(limit.number * 100)}%` if that is meant" if 0 < limit.number < 1 else ""
        return f"write `{number}%`{share}" if not limit.unit else "rates are compared with per cent, as `5%`"
    if metric.unit is Unit.LATENCY_MS:
        return (
            f"write `{number}ms` or `{number}s`"
            if not limit.unit
            else "latencies are compared with a time, as `200ms` or `2s`"
        )
    rate = f"{metric.name.removesuffix('_count')}_rate"
    other = f", or take `{rate}`" if limit.unit == "%" and metric_of(rate) else ""
    return f"write `{number}`{other}"


def _window_faults(metric: Metric, written: Written, use: Use) -> list[Fault]:
    """What is wrong with windows and holds for this metric, in this use."""
    faults = []
    kinds = {clause.kind: clause for clause in written.clauses}
    counts = metric.unit is Unit.COUNT
    if "hold" in kinds and use is Use.GATE:
        message = "a gate is judged when the bake ends, so nothing can hold `for` a time"
        faults.append(
            Fault(message, "say `over 5m` for a shorter look back, or make it a trigger", kinds["hold"].offset)
        )
    elif "hold" in kinds and counts:
        message = "a count has no `for`: it adds up over its window, and does not hold at every moment of it"
        faults.append(Fault(message, f"say `per {_period(kinds['hold'].ms)}`", kinds["hold"].offset))
    if "per" in kinds and not counts:
        message = f"{_A_METRIC[metric.unit]} is not counted per time"
        faults.append(Fault(message, f"say `over {_period(kinds['per'].ms)}`", kinds["per"].offset))
    is_low = written.op in (Op.BELOW, Op.AT_MOST)
    if counts and is_low and use is Use.TRIGGER and not {"over", "per"} & set(kinds):
        message = f"a count since the step began is always `{written.op.value}` at first, so this would fire at once"
        faults.append(Fault(message, "give it a period, as `per minute`", written.offset))
    return faults


def _period(ms: Decimal) -> str:
    return duration_text(int(ms)) if 1_000 <= ms <= MAX_WINDOW_MS else "5m"


def _limit(metric: Metric, limit: Limit) -> float:
    if metric.unit is Unit.RATE:
        return float(limit.number / 100)
    return float(limit.number * 1_000 if limit.unit == "s" else limit.number)


def _window_ms(metric: Metric, clauses: list[Clause], use: Use) -> int:
    """The trailing window: as written, else a minute for a trigger's rate or latency, else since the step began."""
    written = next((clause for clause in clauses if clause.kind in _WINDOWS), None)
    if written is not None:
        return int(written.ms)
    return 0 if use is Use.GATE or metric.unit is Unit.COUNT else DEFAULT_OVER_MS
