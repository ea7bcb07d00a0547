"""Which protective triggers cannot judge: a step is not left upwards while one that applies is blind.

A trigger that rolls back or pauses protects only while it can judge: since its evidence last restarted, and now.
"""

from __future__ import annotations

from typing import Final

from guardian.core.evidence_doubts import Doubt, pace_text, per_minute_text
from guardian.core.finding import parts
from guardian.core.outputs import Evidence
from guardian.core.rollout import Against, Metric, Origin, Trigger, Unit
from guardian.core.state import RolloutState, Watch
from guardian.core.sums import MISMATCH
from guardian.core.text import count_text
from guardian.core.words import WEIGHT_FULL_BP, Reason

JUDGED: Final = (Reason.WITHIN_LIMIT, Reason.OVER_LIMIT, Reason.HOLDING)
"""The reasons of a verdict that was judged; every other one says what is missing."""
_OF_ARMS: Final = (Origin.REQUESTS, Origin.FIGURES)


def is_of_dual_runs(metric: Metric) -> bool:
    """Return whether a metric looks at where both implementations differ."""
    return metric.origin is Origin.FIGURES and metric.key == MISMATCH


def rests_on_count(metric: Metric) -> bool:
    """Return whether a metric is a count of an arm's events, which needs exposure and no samples."""
    return metric.unit is Unit.COUNT and metric.origin in _OF_ARMS


def find_blind_guard(state: RolloutState, elapsed_ms: int) -> Doubt | None:
    """Doubt a step in which a protective trigger that applies cannot judge; the first is named with its numbers.

    Args:
        elapsed_ms: event time since the step's evidence began.
    """
    blind: list[Doubt] = []
    for trigger in state.triggers():
        if trigger.is_protective and not trigger.unjudged_allowed and applies(state, trigger):
            missing = _missing(state, trigger, elapsed_ms)
            blind += [missing] if missing else []
    if not blind:
        return None
    return Doubt(Reason.GUARD_BLIND, "; ".join(doubt.text for doubt in blind), blind[0].evidence)


def applies(state: RolloutState, trigger: Trigger) -> bool:
    """Return whether a trigger has anything to judge in the current step.

    At 0 % nobody is served the candidate; only dual runs show it. At 100 % there is no control. Dual runs are looked at
    where they run; where the spec leaves them to the application, in every step above 0 % and once some were seen.
    """
    rule = trigger.rule
    if is_of_dual_runs(rule.metric):
        share_bp = state.dual_run_bp
        return bool(state.weight_bp or state.exposure.pairs) if share_bp is None else share_bp > 0
    if not state.weight_bp:
        return False
    return rule.against is not Against.CONTROL or state.weight_bp < WEIGHT_FULL_BP


def _missing(state: RolloutState, trigger: Trigger, elapsed_ms: int) -> Doubt | None:
    """Return what keeps one trigger from judging, None when it can."""
    metric, watch = trigger.rule.metric, state.watches.get(trigger.name, Watch())
    verdict = watch.verdict
    if metric.origin is Origin.PEOPLE:
        return None
    if rests_on_count(metric) and not trigger.rule.is_low_count:
        return _missing_exposure(state, trigger, watch)
    if verdict is not None and verdict.reason in JUDGED:
        return None
    text = verdict.text if verdict is not None else f"{metric.name}: no data to judge by yet"
    evidence = verdict.evidence if verdict is not None else Evidence(metric=metric.name, needed=trigger.min_samples)
    pace = ""
    if verdict is not None and verdict.reason is Reason.TOO_FEW_SAMPLES and evidence.window_start_ms:
        window_ms = evidence.window_end_ms - evidence.window_start_ms
        pace = f"; {per_minute_text(evidence.n, window_ms)} do not fill its window"
    elif verdict is not None:
        pace = pace_text(evidence.n, evidence.needed, elapsed_ms)
    return _blind(state, trigger, f"{text}{pace}", evidence)


def _blind(state: RolloutState, trigger: Trigger, missing: str, evidence: Evidence) -> Doubt:
    text = f"trigger {trigger.name} cannot judge: {missing}{_unseen(state, trigger.rule.metric)}"
    return Doubt(Reason.GUARD_BLIND, text, evidence)


def _missing_exposure(state: RolloutState, trigger: Trigger, watch: Watch) -> Doubt | None:
    """A count can judge as soon as its candidate was seen often enough since its evidence began."""
    metric = trigger.rule.metric
    n = int(parts(metric, state.candidate_tally())[0] - watch.since.n)
    needed = state.step.min_exposure if state.step else 0
    if n >= needed:
        return None
    what = "dual runs" if is_of_dual_runs(metric) else "requests"
    since = " since its evidence began again" if watch.since.ms else ""
    text = f"{count_text(n)} of {count_text(needed)} {what}{since}"
    evidence = Evidence(metric=metric.name, n=n, needed=needed)
    return _blind(state, trigger, text, evidence)


def _unseen(state: RolloutState, metric: Metric) -> str:
    """The way out for a rule on dual runs where the spec does not say whether any run."""
    if not is_of_dual_runs(metric) or state.dual_run_bp is not None or state.exposure.pairs:
        return ""
    return "; no dual run was seen: declare `dual_run: 0%` in the step if none is meant to run"
