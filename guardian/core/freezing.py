"""When the baseline is taken and what is told of it: once per attempt, just before the first step above zero."""

from __future__ import annotations

from msgspec.structs import replace

from guardian.core.baseline import freeze
from guardian.core.finding import find
from guardian.core.instant import Cause, Instant
from guardian.core.rollout import Against, Gate, Origin, Trigger
from guardian.core.state import RolloutState
from guardian.core.text import count_text, duration_text, value_text

WHEN = "the baseline is taken when the first step above 0% begins"


def freeze_baseline(state: RolloutState, now: Instant, cause: Cause) -> Cause:
    """Freeze what was before, when this step is the attempt's first above zero.

    Returns:
        the cause of entering the step; what is too small for a rule is in its text.
    """
    if state.baseline is not None or not state.weight_bp:
        return cause
    start_ms = now.log_ms - state.spec.baseline_window_ms
    state.baseline = freeze(state.past, state.gauges, start_ms, now.log_ms)
    small = too_small_for(state)
    return replace(cause, text="; ".join([cause.text, *small])) if small else cause


def too_small(state: RolloutState, n: int, needed: int) -> str:
    """Say why there is no baseline to compare with."""
    if state.baseline is None:
        return WHEN
    return f"the baseline is too small (n={count_text(n)}, {count_text(max(needed, 1))} needed)"


def baseline_text(state: RolloutState) -> str:
    """Return what rules compare with as the baseline, as a sentence; empty when none does."""
    metrics = {each.rule.metric.name: each.rule.metric for each in _judged(state)}
    if not metrics:
        return ""
    declared = state.spec.baseline
    parts = [
        f"{name} {value_text(metrics[name].unit, declared[name])} declared" for name in metrics if name in declared
    ]
    frozen = [metric for name, metric in metrics.items() if name not in declared]
    if frozen and state.baseline is None:
        parts.append(WHEN)
    elif frozen and state.baseline is not None:
        for metric in frozen:
            if metric.origin is Origin.GAUGES:
                means = state.baseline.gauges.get(metric.key, {})
                parts += [
                    f"{metric.name} of {s} {value_text(metric.unit, mean)}" for s, (_, mean) in sorted(means.items())
                ]
            else:
                found = find(metric, state.baseline.tally)
                parts.append(f"{metric.name} {value_text(metric.unit, found.value)} (n={count_text(found.n)})")
        parts.append(f"of up to {duration_text(state.baseline.end_ms - state.baseline.start_ms)} before the first step")
    return ", ".join(parts)


def too_small_for(state: RolloutState) -> list[str]:
    """Return what of the frozen baseline is too small for the rules that compare with it, as sentences."""
    small: dict[str, None] = {}
    for each in _judged(state):
        metric = each.rule.metric
        if metric.name in state.spec.baseline or metric.origin is Origin.GAUGES:
            continue
        n = find(metric, state.baseline.tally).n if state.baseline else 0
        if n < max(each.min_samples, 1):
            small[f"{metric.name}: {too_small(state, n, each.min_samples)}"] = None
    return list(small)


def _judged(state: RolloutState) -> list[Gate | Trigger]:
    """The gates and triggers that compare with the baseline."""
    judged: list[Gate | Trigger] = [*state.spec.triggers]
    for step in state.spec.steps:
        judged += [*step.gates, *step.triggers]
    return [each for each in judged if each.rule.against is Against.BASELINE]
