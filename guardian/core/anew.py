"""A trigger that an apply changes, or whose firing a resume acknowledges, looks at what comes from then on.

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
    Changing the recipient, the severity or `unjudged` does not reset evidence.

    Args:
        state: of the rollout.
        now: the moment of the apply.
        trigger: as it is from now on.
        old: the one of this name before, None for none.
    """
    watch = state.watches.get(trigger.name, Watch())
    end_alert(watch, now, "the trigger was changed")
    told = {"tell": trigger.tell, "severity": trigger.severity, "unjudged_allowed": trigger.unjudged_allowed}
    if old is None or replace(old, **told) != trigger:
        watch.hold, watch.verdict, watch.since = Hold(), None, _nothing_yet(state, trigger.rule, now)
    state.watches[trigger.name] = watch


def keep_apart(state: RolloutState, now: Instant) -> None:
    """Let windows begin at this moment, when a trigger's evidence began at it: no bucket may reach over it."""
    if any(watch.since.ms == now.log_ms for watch in state.watches.values()):
        for series in (state.series, *(state.arms.series.values() if state.arms else ())):
            series.cut(-(-now.log_ms // 1_000))


def fired_triggers(state: RolloutState) -> list[Trigger]:
    """Return the triggers that have fired and whose alert is active."""
    return [trigger for trigger in state.triggers() if state.watches.get(trigger.name, Watch()).alert is not None]


def acknowledge(state: RolloutState, now: Instant, by: str) -> None:
    """Start the evidence of every trigger that has fired again, and end its alert: a person has seen it.

    A trigger that is still true on fresh evidence fires again, and alerts again.

    Args:
        state: of the rollout.
        now: the moment of the resume.
        by: who acknowledges, for the alert.
    """
    for trigger in fired_triggers(state):
        watch = state.watches[trigger.name]
        end_alert(watch, now, f"acknowledged: {by}")
        watch.hold, watch.verdict, watch.since = Hold(), None, _nothing_yet(state, trigger.rule, now)


def _nothing_yet(state: RolloutState, rule: Rule, now: Instant) -> Since:
    variants, arms, n = state.spec.variants, state.arms, parts(rule.metric, state.candidate_tally())[0]
    if rule.metric.origin is Origin.PEOPLE:
        return Since(now.log_ms, (0, state.reported.bugs))
    if not rule.per_step or rule.metric.origin not in (Origin.REQUESTS, Origin.FIGURES):
        return Since(now.log_ms, n=n)
    if rule.against is not Against.CONTROL:
        return Since(now.log_ms, parts(rule.metric, state.candidate_tally()), n=n)
    both = [arms.tally(variant) if arms else Tally() for variant in (variants.candidate, variants.control)]
    mine, other = (parts(rule.metric, tally) for tally in both)
    return Since(now.log_ms, mine, other, n)
