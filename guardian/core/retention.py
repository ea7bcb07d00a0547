"""What a rollout keeps of the past: as much as its rules look at, and as much as fits into a snapshot."""

from __future__ import annotations

from typing import Any, Final

from guardian.core.arms import Arms
from guardian.core.gauges import FINE_S, Gauges
from guardian.core.rollout import Against, Origin, RolloutSpec, Rule
from guardian.core.snapshot import MAX_SNAPSHOT_BYTES
from guardian.core.state import RolloutState, Watch, look_back_s
from guardian.core.sums import is_measured
from guardian.core.windows import COUNT_BYTES, ENTRY_BYTES, LEAD_S, MAX_BIN_ENTRIES, TIERS, Series

MAX_RULES: Final = 200
"""Gates and triggers of a spec together."""
MAX_TEXT_BYTES: Final = 24_576
"""All words and texts of a spec's document together."""
MAX_FIGURES: Final = 32
"""Named figures that a spec's rules look at."""

# What the parts of a snapshot take at most, deflated, as the worst of them were measured.
_ELSEWHERE_BYTES: Final = 72_000
"""Instances, services, figures from outside, and what was last said."""
_PER_TEXT_BYTE: Final = 3
"""A text of the spec stands in the spec, in its document, and in what is known of its trigger."""
_PER_RULE_BYTES: Final = 80
_GAUGES_BYTES: Final = 56_000
_TALLY_BYTES: Final = 4_500
_FIGURE_BYTES: Final = 20
_LEAST_ENTRIES: Final = 4_000
_OF_ARMS: Final = (Origin.REQUESTS, Origin.FIGURES)


def retain(state: RolloutState) -> None:
    """Keep what the present spec's rules look at: what is new starts empty, what nothing looks at goes."""
    spec, rules = state.spec, state.spec.rules()
    keep_s = max(look_back_s(spec), TIERS[-1][1] if _keeps_step(state) else 0)
    state.series.keep_s = keep_s
    state.tracked = tuple(sorted({rule.metric.key for rule in rules if rule.metric.origin is Origin.FIGURES}))
    compares = any(rule.against is Against.CONTROL or rule.is_low_count for rule in rules)
    state.arms = _arms(state, keep_s) if compares else None
    state.past = _past(state) if any(_needs_past(spec, rule) for rule in rules) else None
    state.gauges = _gauges(state, [rule for rule in rules if rule.metric.origin is Origin.GAUGES])
    every = [state.series, *(state.arms.series.values() if state.arms else ()), *([state.past] if state.past else ())]
    _share_out(state, every, len(rules))


def text_bytes(value: Any) -> int:
    """Return how many bytes the words and texts of a document take."""
    if isinstance(value, str):
        return len(value.encode(errors="replace"))
    if isinstance(value, dict):
        return sum(text_bytes(key) + text_bytes(item) for key, item in value.items())
    return sum(text_bytes(item) for item in value) if isinstance(value, list) else 0


def _share_out(state: RolloutState, every: list[Series], rule_count: int) -> None:
    """Give each layer of each series its share of a snapshot.

    Counts come first and are never coarse under pressure. Only a spec that is near several of its own bounds at once
    leaves them too little room: it keeps them by the minute for one hour, and by the hour beyond, from the start.
    """
    free = MAX_SNAPSHOT_BYTES - _taken_bytes(state, rule_count)
    needed = sum(_count_buckets(series.keep_s) for series in every) * COUNT_BYTES
    is_narrow = free - needed < _LEAST_ENTRIES * ENTRY_BYTES
    entries = 0 if is_narrow else int((free - needed) / ENTRY_BYTES)
    share = min(MAX_BIN_ENTRIES, max(_LEAST_ENTRIES, entries)) // len(every)
    measures = any(is_measured(name) for name in state.tracked)
    for series in every:
        series.coarse_counts |= is_narrow
        series.figures.max_room = share // 2 if measures else 0
        series.latencies.max_room = share - series.figures.max_room


def _count_buckets(keep_s: int) -> int:
    """How many buckets of counts a series has at most."""
    found, age_s = LEAD_S, 0
    for width_s, until_s in TIERS:
        found += max(0, min(keep_s, until_s) - age_s) // width_s + 2
        age_s = until_s
    return found


def _taken_bytes(state: RolloutState, rule_count: int) -> int:
    """How much of a snapshot everything else takes that this spec may make it hold."""
    tallies = 2 + (2 if state.arms else 0) + (1 if state.past else 0)
    taken = _ELSEWHERE_BYTES + _PER_TEXT_BYTE * text_bytes(state.document) + _PER_RULE_BYTES * rule_count
    taken += tallies * (_TALLY_BYTES + _FIGURE_BYTES * len(state.tracked)) + (_GAUGES_BYTES if state.gauges else 0)
    return taken


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


def _keeps_step(state: RolloutState) -> bool:
    """Whether a quantile per step was changed in mid-step: it is taken from the buckets since."""
    changed = [trigger for trigger in state.triggers() if state.watches.get(trigger.name, Watch()).since.ms]
    return any(trigger.rule.per_step and trigger.rule.metric.quantile is not None for trigger in changed)


def _needs_past(spec: RolloutSpec, rule: Rule) -> bool:
    return rule.against is Against.BASELINE and rule.metric.origin in _OF_ARMS and rule.metric.name not in spec.baseline


def _gauges(state: RolloutState, rules: list[Rule]) -> Gauges | None:
    if not rules:
        return None
    gauges = state.gauges or Gauges((), 0)
    gauges.names = tuple(sorted({rule.metric.key for rule in rules}))
    gauges.lines = {name: lines for name, lines in gauges.lines.items() if name in gauges.names}
    growing = [rule for rule in rules if rule.against is Against.PAST]
    reach_s = max(((rule.over_ms + rule.period_ms) // 1_000 for rule in growing), default=0)
    gauges.instances.look_at(tuple(sorted({rule.metric.key for rule in growing})), reach_s)
    wants_baseline = any(rule.against is Against.BASELINE for rule in rules)
    ages_s = [(max(rule.over_ms, rule.hold_ms) + rule.period_ms) // 1_000 for rule in rules]
    gauges.keep_s = max(*ages_s, state.spec.baseline_window_ms // 1_000 if wants_baseline else 0, FINE_S) + FINE_S
    return gauges
