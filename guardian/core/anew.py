"""A trigger that an apply brings or changes in mid-step looks at what comes from then on, and at nothing before.

What is older than the apply was judged by the rule that stood then. A trailing window begins at the apply at the
earliest; of the step's figures those of that moment are subtracted; a flag change begins new evidence for all.
"""

from __future__ import annotations

from msgspec.structs import replace

from guardian.core.alerts import end_alert
from guardian.core.finding import Since, parts
from guardian.core.instant import Instant
from guardian.core.judge import Hold
from guardian.core.rollout import Against, Origin, Rule, Trigger
from guardian.core.state import RolloutState, Watch
from guardian.core.windows import Tally


def change_watch(state: RolloutState, now: Instant, trigger: Trigger, old: Trigger | None) -> None:
    """Let a trigger that is new, or says something else than before, start its evidence.

    A new one too: a trigger without a name is named after its rule, so that a changed one comes as another.
    Whom it tells, and how loud, is no matter of evidence.

    Args:
        state: of the rollout.
        now: the moment of the apply.
        trigger: as it is from now on.
        old: the one of this name before, None for none.
    """
    watch = state.watches.get(trigger.name, Watch())
    end_alert(watch, now, "the trigger was changed")
    if old is None or replace(old, tell=trigger.tell, severity=trigger.severity) != trigger:
        watch.hold, watch.verdict, watch.since = Hold(), None, _nothing_yet(state, trigger.rule, now)
    state.watches[trigger.name] = watch


def keep_apart(state: RolloutState, now: Instant) -> None:
    """Let windows begin at this moment, when a trigger was changed at it: no bucket may reach over it."""
    if any(watch.since.ms == now.log_ms for watch in state.watches.values()):
        for series in (state.series, *(state.arms.series.values() if state.arms else ())):
            series.cut(-(-now.log_ms // 1_000))


def _nothing_yet(state: RolloutState, rule: Rule, now: Instant) -> Since:
    variants, arms = state.spec.variants, state.arms
    if rule.metric.origin is Origin.PEOPLE:
        return Since(now.log_ms, (0, state.reported.bugs))
    if not rule.per_step or rule.metric.origin not in (Origin.REQUESTS, Origin.FIGURES):
        return Since(now.log_ms)
    if rule.against is not Against.CONTROL:
        return Since(now.log_ms, parts(rule.metric, state.candidate_tally()))
    both = [arms.tally(variant) if arms else Tally() for variant in (variants.candidate, variants.control)]
    return Since(now.log_ms, *(parts(rule.metric, tally) for tally in both))
