"""Must we act? Evidence comes in, triggers are judged, and one that fires does what it says.

Counts without a hold act on arrival, on all that has arrived.
Everything else is judged at event times, second by second as the watermark moves.
"""

from __future__ import annotations

from typing import Final

from guardian.core.actions import TO_ZERO, pause, roll_back, rollback_target
from guardian.core.alerts import clear_alert, raise_alert
from guardian.core.finding import Finding
from guardian.core.instant import Cause, Instant, decide, stand
from guardian.core.judge import judge_trigger
from guardian.core.looking import doubt_low_count, look, look_on_arrival
from guardian.core.outputs import Verdict
from guardian.core.rollout import Op, Origin, Trigger, Unit
from guardian.core.state import RolloutState, Watch
from guardian.core.words import Action, Outcome, Phase, Reason

MAX_CATCH_UP: Final = 64
"""At most so many event times are judged when the watermark leaps; they are spread evenly over the leap."""

_CAN_PAUSE: Final = (Phase.PROGRESSING, Phase.WAITING)


def _acts_on_arrival(trigger: Trigger) -> bool:
    """A count can only grow until its window moves on: once over its limit there is nothing to wait for."""
    rule = trigger.rule
    return rule.metric.unit is Unit.COUNT and rule.op in (Op.ABOVE, Op.AT_LEAST) and not rule.hold_ms


def judge_arrivals(state: RolloutState, now: Instant) -> None:
    """Judge the counts that can only grow, on all that has arrived, whatever the watermark says.

    Their window ends with the newest event, but not after log time: one clock that runs ahead must not push
    the events of all others out of it. What lies ahead of that end counts too.
    """
    newest_ms = min((state.series.newest_s + 1) * 1_000, -(-now.log_ms // 1_000) * 1_000)
    for trigger in state.triggers():
        if _acts_on_arrival(trigger) and _judge(state, trigger, now, max(now.watermark_ms, newest_ms)):
            return


def judge_event_times(state: RolloutState, now: Instant, from_ms: int) -> None:
    """Judge every trigger at each second of event time from `from_ms` (excluded) to the watermark.

    A leap of more than MAX_CATCH_UP seconds is judged at that many event times, evenly spread.
    Only whole seconds are judged, so that a bucket that is still filling is not.
    """
    last_s, from_s = now.watermark_ms // 1_000, from_ms // 1_000
    stride_s = max(1, -(-(last_s - from_s) // MAX_CATCH_UP))
    times = [second * 1_000 for second in range(last_s, from_s if from_ms else last_s - 1, -stride_s)][::-1]
    for at_ms in times:
        for trigger in state.triggers():
            if not _acts_on_arrival(trigger) and _judge(state, trigger, now, at_ms):
                return
    judge_arrivals(state, now)
    state.series.roll(last_s)
    if state.arms is not None:
        state.arms.roll(last_s)


def nothing_to_judge(state: RolloutState) -> bool:
    """No figures, no signs of life and no clock that runs: ten thousand quiet rollouts must cost nothing."""
    return (
        state.series.is_empty
        and state.spec.variants.candidate not in state.step_tallies
        and not any(watch.hold.crossed for watch in state.watches.values())
        and (state.arms is None or state.arms.is_empty)
        and (state.gauges is None or state.gauges.is_empty)
        and not state.reported.outside
        and not (state.fleet.served and _listens(state))
    )


def _listens(state: RolloutState) -> bool:
    """Whether a trigger acts on silence."""
    return any(trigger.rule.metric.origin is Origin.HEARTBEATS for trigger in state.triggers())


def _judge(state: RolloutState, trigger: Trigger, now: Instant, at_ms: int) -> bool:
    """Judge one trigger; true when it changed the flag, which began new evidence: the rest would judge a past."""
    watch = state.watches.setdefault(trigger.name, Watch())
    verdict = judge_trigger(trigger, watch.hold, _found(state, trigger, now, at_ms, watch), at_ms)
    watch.verdict = verdict
    if not _is_kept(state, trigger):
        clear_alert(watch, now, trigger, verdict, at_ms)
    if verdict.outcome is not Outcome.FAIL:
        return False
    state.touched = True
    already_told = watch.alert is not None
    raise_alert(state, watch, now, trigger, verdict)
    return _act(state, trigger, verdict, now, already_told=already_told)


def _is_kept(state: RolloutState, trigger: Trigger) -> bool:
    """A reported bug is not over because the candidate is off: a person resolves it."""
    return state.phase is Phase.ROLLED_BACK and trigger.rule.metric.origin is Origin.PEOPLE


def _found(state: RolloutState, trigger: Trigger, now: Instant, at_ms: int, watch: Watch) -> Finding:
    rule = trigger.rule
    if _acts_on_arrival(trigger) and not rule.per_step and rule.metric.origin is not Origin.PEOPLE:
        return look_on_arrival(state, rule, at_ms, watch.since)
    found = look(state, rule, trigger.min_samples, now, at_ms, watch.since)
    return doubt_low_count(state, rule, found) if rule.is_low_count else found


def _act(state: RolloutState, trigger: Trigger, verdict: Verdict, now: Instant, *, already_told: bool) -> bool:
    cause = Cause(
        Outcome.FAIL, Reason.TRIGGER_FIRED, f"{trigger.name}: {verdict.text}", trigger=trigger.name,
        evidence=verdict.evidence,
    )  # fmt: skip
    if trigger.do is Action.ROLLBACK and state.runs_candidate:
        to = trigger.to or (state.step.rollback_to if state.step else "") or state.spec.rollback.to
        if state.phase is Phase.ROLLED_BACK:
            to = TO_ZERO  # it was rolled back to a step above zero, and that is not good either
        target = rollback_target(state, to)
        roll_back(state, now, -1 if target is None else target, cause)
        return True
    if trigger.do is Action.PAUSE and state.phase in _CAN_PAUSE:
        pause(state, now, cause)
        return False
    if not already_told:
        decide(state, now, stand(state), cause)
    return False


def holding(state: RolloutState) -> list[str]:
    """Return the triggers that would act but are still in their hold: a promotion now would wipe their evidence."""
    crossed = [name for name, watch in state.watches.items() if watch.hold.crossed]
    if not crossed:
        return []
    return [trigger.name for trigger in state.triggers() if trigger.do is not Action.NOTIFY and trigger.name in crossed]
