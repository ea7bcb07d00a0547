"""What a rollout keeps of the past: as much as its rules look at, no more."""

from __future__ import annotations

from typing import Final

from guardian.core.arms import Arms
from guardian.core.gauges import FINE_S, Gauges
from guardian.core.rollout import Against, Origin, RolloutSpec, Rule
from guardian.core.state import RolloutState, look_back_s
from guardian.core.windows import MAX_BIN_ENTRIES, Series

_OF_ARMS: Final = (Origin.REQUESTS, Origin.FIGURES)


def retain(state: RolloutState) -> None:
    """Keep what the present spec's rules look at: what is new starts empty, what nothing looks at goes."""
    spec, rules = state.spec, state.spec.rules()
    keep_s = look_back_s(spec)
    state.series.keep_s = keep_s
    state.tracked = tuple(sorted({rule.metric.key for rule in rules if rule.metric.origin is Origin.FIGURES}))
    compares = any(rule.against is Against.CONTROL or rule.is_low_count for rule in rules)
    state.arms = _arms(state, keep_s) if compares else None
    state.past = _past(state) if any(_needs_past(spec, rule) for rule in rules) else None
    state.gauges = _gauges(state, [rule for rule in rules if rule.metric.origin is Origin.GAUGES])
    every = [state.series, *(state.arms.series.values() if state.arms else ()), *([state.past] if state.past else ())]
    for series in every:
        series.max_bins = MAX_BIN_ENTRIES // len(every)


def _arms(state: RolloutState, keep_s: int) -> Arms:
    variants = (state.spec.variants.control, state.spec.variants.candidate)
    known = state.arms
    if known is None or set(known.series) != set(variants):
        return Arms({variant: Series(keep_s) for variant in variants})
    for series in known.series.values():
        series.keep_s = keep_s
    return known


def _past(state: RolloutState) -> Series:
    past = state.past or Series(0)
    past.keep_s = state.spec.baseline_window_ms // 1_000 + 1
    return past


def _needs_past(spec: RolloutSpec, rule: Rule) -> bool:
    return rule.against is Against.BASELINE and rule.metric.origin in _OF_ARMS and rule.metric.name not in spec.baseline


def _gauges(state: RolloutState, rules: list[Rule]) -> Gauges | None:
    if not rules:
        return None
    gauges = state.gauges or Gauges((), 0)
    gauges.names = tuple(sorted({rule.metric.key for rule in rules}))
    gauges.lines = {name: lines for name, lines in gauges.lines.items() if name in gauges.names}
    wants_baseline = any(rule.against is Against.BASELINE for rule in rules)
    ages_s = [(rule.over_ms + rule.period_ms) // 1_000 for rule in rules]
    gauges.keep_s = max(*ages_s, state.spec.baseline_window_ms // 1_000 if wants_baseline else 0, FINE_S) + FINE_S
    return gauges
