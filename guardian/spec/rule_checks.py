"""What a rule may say about its metric: units, ranges, windows, holds and what it is compared with, each in words."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final

from guardian.core.histogram import HIGHEST_MS
from guardian.core.rollout import BUG_COUNT, Against, Metric, Op, Origin, Unit
from guardian.core.text import duration_text
from guardian.spec.amounts import MAX_WINDOW_MS
from guardian.spec.rule_syntax import Clause, Fault, Limit, Written
from guardian.spec.rule_words import metric_of

MAX_COUNT: Final = 1_000_000_000_000
MAX_RATIO: Final = 1_000
WINDOWS: Final = ("over", "per", "per_step")
MIN_GAUGE_WINDOW_MS: Final = 60_000
_NAMES: Final = {"over": "`over`", "hold": "`for`", "per": "`per`", "per_step": "`per step`", "period": "the period"}
_A_UNIT: Final = {"%": "a percentage", "ms": "a duration", "s": "a duration", "": "a bare number"}
_BYTES: Final = {
    **{unit: 1_000**power for power, unit in enumerate(("kb", "mb", "gb", "tb"), start=1)},
    **{unit: 1_024**power for power, unit in enumerate(("kib", "mib", "gib", "tib"), start=1)},
}
_UNITS: Final = {
    Unit.RATE: ("%",),
    Unit.LATENCY_MS: ("ms", "s"),
    Unit.COUNT: ("",),
    Unit.NUMBER: ("",),
    Unit.BYTES: tuple(_BYTES),
}
_A_METRIC: Final = {
    Unit.RATE: "a rate",
    Unit.LATENCY_MS: "a latency",
    Unit.COUNT: "a count",
    Unit.NUMBER: "a figure of your own",
    Unit.BYTES: "an amount of memory",
}


class Use(StrEnum):
    """What a rule is written for: a trigger acts when it is true, a gate passes."""

    TRIGGER = "trigger"
    GATE = "gate"


def limit_of(metric: Metric, written: Written) -> float:
    """Return the limit as a Rule has it."""
    number, unit = written.limit.number, written.limit.unit
    if unit == "%":
        return float(number / 100)
    if unit in _BYTES:
        return float(number * _BYTES[unit])
    return float(number * 1_000 if unit == "s" and metric.unit is Unit.LATENCY_MS else number)


def clause_faults(written: Written) -> list[Fault]:
    """Return what is wrong with windows, holds and periods whatever the metric is."""
    faults = []
    clauses = written.clauses
    windows = [clause for clause in clauses if clause.kind in WINDOWS]
    holds = [clause for clause in clauses if clause.kind == "hold"]
    if len(windows) > 1:
        faults.append(Fault("a rule has one window", "keep one of `over`, `per` and `per step`", windows[1].offset))
    if len(holds) > 1:
        faults.append(Fault("`for` stands here twice", "keep one", holds[1].offset))
    silence = [Clause("hold", written.limit.number, written.limit.offset)] if written.is_silence else []
    for clause in [*clauses, *silence, *([written.period] if written.period else [])]:
        if clause.kind == "per_step":
            continue
        name = _NAMES[clause.kind]
        if clause.ms > MAX_WINDOW_MS:
            faults.append(Fault(f"{name} is longer than 7 days", "windows and holds are at most `7d`", clause.offset))
        elif clause.ms % 1_000 or not clause.ms:
            faults.append(Fault(f"{name} wants whole seconds", "windows and holds are `1s` at least", clause.offset))
    return faults


def reference_faults(metric: Metric, written: Written, use: Use) -> list[Fault]:
    """Return what is wrong with comparing this metric with control, with the baseline, or with its past."""
    limit, against = written.limit, written.against
    what = {Against.PAST: "growth", Against.NONE: "silence"}.get(against, f"a multiple of {against.value}")
    if use is Use.GATE and (written.is_silence or against is Against.PAST):
        return [Fault(f"a gate cannot wait for {what}", "make it a trigger", written.offset)]
    if against is Against.NONE:
        return []
    if metric.unit is Unit.COUNT:
        rate = f"{metric.name.removesuffix('_count')}_rate"
        fix = f"take `{rate}`" if metric_of(rate) else "compare it with a number"
        return [Fault(f"{what} says nothing of a count: the traffic is not the same", fix, written.offset)]
    if against is Against.CONTROL and metric.origin is Origin.GAUGES:
        message = f"`{metric.name}` belongs to a service, which runs both variants"
        return [Fault(message, "compare it with `baseline`, its own past", limit.offset)]
    most, unit = (100 * MAX_RATIO, "%") if against is Against.PAST else (MAX_RATIO, "x")
    if 0 < limit.number <= most:
        return []
    fix = f"write it as `1.05x {against.value}` or `2x {against.value}`"
    if against is Against.PAST:
        fix = "write it as `growing 10%/hour`"
    return [Fault(f"not above 0{unit} and up to {most:,}{unit}: `{limit.text}`", fix, limit.offset)]


def limit_faults(metric: Metric, written: Written, use: Use) -> list[Fault]:
    """Return what is wrong with the limit's unit and range."""
    limit, op = written.limit, written.op
    if written.against is not Against.NONE or written.is_silence:
        return []
    found = f"`{metric.name} {op.value} {limit.text}`"
    if limit.unit not in _UNITS[metric.unit]:
        message = f"{_A_UNIT.get(limit.unit, 'an amount of memory')} is not {_A_METRIC[metric.unit]}: {found}"
        return [Fault(message, _unit_fix(metric, limit), limit.offset)]
    if (fault := _range_fault(metric, written, found)) is not None:
        return [fault]
    if use is Use.GATE and op is Op.BELOW and not limit.number and metric.unit is not Unit.NUMBER:
        message = f"nothing is below zero, so this gate never passes: {found}"
        return [Fault(message, "write `<=` instead of `<`", limit.offset)]
    return []


def _range_fault(metric: Metric, written: Written, found: str) -> Fault | None:
    limit = written.limit
    if metric.unit is Unit.RATE and limit.number > 100 and metric.origin is not Origin.GAUGES:
        return Fault(f"a rate never exceeds 100%: {found}", "limits of rates are `0%` to `100%`", limit.offset)
    if metric.unit is Unit.LATENCY_MS and limit_of(metric, written) > HIGHEST_MS:
        return Fault(f"longer than what is measured: {found}", "limits of latencies are at most `10000s`", limit.offset)
    if metric.unit is Unit.COUNT and (limit.number % 1 or limit.number > MAX_COUNT):
        return Fault(f"not a whole number up to {MAX_COUNT:,}: {found}", "counts are whole", limit.offset)
    return None


def plain(number: Decimal) -> str:
    """Return a number without an exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _unit_fix(metric: Metric, limit: Limit) -> str:
    number = plain(limit.number)
    if metric.unit is Unit.RATE:
        share = f", or `{plain(limit.number * 100)}%` if that is meant" if 0 < limit.number < 1 else ""
        return f"write `{number}%`{share}" if not limit.unit else "rates are compared with per cent, as `5%`"
    if metric.unit is Unit.LATENCY_MS:
        return (
            f"write `{number}ms` or `{number}s`"
            if not limit.unit
            else "latencies are compared with a time, as `200ms` or `2s`"
        )
    if metric.unit is Unit.BYTES:
        return f"write `{number}MB`" if not limit.unit else "memory is compared with `800MB`, or with `2x baseline`"
    rate = f"{metric.name.removesuffix('_count')}_rate"
    other = f", or take `{rate}`" if limit.unit == "%" and metric_of(rate) else ""
    return f"write `{number}`{other}"


def window_faults(metric: Metric, written: Written, use: Use) -> list[Fault]:
    """Return what is wrong with windows and holds for this metric, in this use."""
    faults = []
    kinds = {clause.kind: clause for clause in written.clauses}
    counts = metric.unit is Unit.COUNT
    if "hold" in kinds and use is Use.GATE:
        message = "a gate is judged when the bake ends, so nothing can hold `for` a time"
        fix = "say `over 5m` for a shorter look back, or make it a trigger"
        faults.append(Fault(message, fix, kinds["hold"].offset))
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
    return faults + _service_faults(metric, written, kinds)


def _service_faults(metric: Metric, written: Written, kinds: dict[str, Clause]) -> list[Fault]:
    """What is wrong with the window of a gauge, of growth, or of what people report."""
    over = kinds.get("over")
    if metric == BUG_COUNT and (clause := over or kinds.get("per")) is not None:
        return [Fault("bugs are counted since the step began", "leave the window out", clause.offset)]
    looks_back = metric.origin is Origin.GAUGES or written.against is Against.PAST
    if looks_back and "per_step" in kinds:
        message = "this looks back beyond the step's beginning"
        return [Fault(message, "say `over 5m`", kinds["per_step"].offset)]
    if metric.origin is Origin.GAUGES and over is not None and over.ms < MIN_GAUGE_WINDOW_MS:
        return [Fault("gauges are kept by the minute", "say `over 1m` or more", over.offset)]
    over_ms = over.ms if over is not None else 0
    if written.period is not None and written.period.ms + over_ms > MAX_WINDOW_MS:
        return [Fault("the past is kept for 7 days", "take a shorter period or window", written.period.offset)]
    return []


def _period(ms: Decimal) -> str:
    return duration_text(int(ms)) if 1_000 <= ms <= MAX_WINDOW_MS else "5m"
