"""Must we act? Evidence comes in, triggers are judged, and one that fires does what it says.

Counts without a hold act on arrival, on all that has arrived.
Everything else is judged at event times, second by second as the watermark moves.
All that are due at one moment are judged before one of them acts: the most protective target wins, and all are told.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

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


class Fired(Struct, frozen=True):
    """A trigger whose rule is true at this moment.

    Args:
        trigger, verdict: which, and its numbers.
        already_told: its alert was active before.
    """

    trigger: Trigger
    verdict: Verdict
    already_told: bool

    @property
    def text(self) -> str:
        """Return it as a decision says it."""
        return f"{self.trigger.name}: {self.verdict.text}"


def judge_arrivals(state: RolloutState, now: Instant) -> None:
    """Judge the counts that can only grow, on all that has arrived, whatever the watermark says, and act."""
    _act(state, now, _judge_all(state, now, arrivals=True))


def judge_event_times(state: RolloutState, now: Instant, from_ms: int) -> None:
    """Judge every trigger at each second of event time from `from_ms` (excluded) to the watermark.

    A leap of more than MAX_CATCH_UP seconds is judged at that many event times, evenly spread.
    Only whole seconds are judged, so that a bucket that is still filling is not.
    """
    last_s, from_s = now.watermark_ms // 1_000, from_ms // 1_000
    stride_s = max(1, -(-(last_s - from_s) // MAX_CATCH_UP))
    seconds = list(range(last_s, from_s if from_ms else last_s - 1, -stride_s))[::-1]
    for second in seconds:
        fired = _judge_all(state, now, at_ms=second * 1_000)
        if second == last_s:
            fired += _judge_all(state, now, arrivals=True)
        if _act(state, now, fired):
            return
    state.series.roll(last_s)
    if state.arms is not None:
        state.arms.roll(last_s)


def _judge_all(state: RolloutState, now: Instant, *, at_ms: int = 0, arrivals: bool = False) -> list[Fired]:
    """Judge the triggers of one kind; return those whose rule is true, each with its alert.

    The window of a count on arrival ends with the newest event, but not after log time: one clock that runs ahead must
    not push the events of all others out of it. What lies ahead of that end counts too.

    Args:
        at_ms: the event time at which the others are judged.
        arrivals: judge the counts that act on arrival.
    """
    if arrivals:
        newest_ms = min((state.series.newest_s + 1) * 1_000, -(-now.log_ms // 1_000) * 1_000)
        at_ms = max(now.watermark_ms, newest_ms)
    due = [trigger for trigger in state.triggers() if _acts_on_arrival(trigger) is arrivals]
    return [fired for trigger in due if (fired := _judge(state, trigger, now, at_ms)) is not None]


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


def _judge(state: RolloutState, trigger: Trigger, now: Instant, at_ms: int) -> Fired | None:
    """Judge one trigger and raise or end its alert; None when its rule is not true."""
    watch = state.watches.setdefault(trigger.name, Watch())
    verdict = judge_trigger(trigger, watch.hold, _found(state, trigger, now, at_ms, watch), at_ms)
    watch.verdict = verdict
    if not _is_kept(state, trigger):
        clear_alert(watch, now, trigger, verdict, at_ms)
    if verdict.outcome is not Outcome.FAIL:
        return None
    state.touched = True
    already_told = watch.alert is not None
    raise_alert(state, watch, now, trigger, verdict)
    return Fired(trigger, verdict, already_told)


def _is_kept(state: RolloutState, trigger: Trigger) -> bool:
    """A reported bug is not over because the candidate is off: a person resolves it."""
    return state.phase is Phase.ROLLED_BACK and trigger.rule.metric.origin is Origin.PEOPLE


def _found(state: RolloutState, trigger: Trigger, now: Instant, at_ms: int, watch: Watch) -> Finding:
    rule = trigger.rule
    if _acts_on_arrival(trigger) and not rule.per_step and rule.metric.origin is not Origin.PEOPLE:
        return look_on_arrival(state, rule, at_ms, watch.since)
    found = look(state, rule, trigger.min_samples, now, at_ms, watch.since)
    return doubt_low_count(state, rule, found) if rule.is_low_count else found


def _act(state: RolloutState, now: Instant, fired: list[Fired]) -> bool:
    """Do once what the triggers that fired at one moment say.

    Of several rollbacks the most protective target wins; a rollback goes before a pause. One decision names them all.

    Returns:
        True when the flag was changed, which began new evidence.
    """
    protective = [each for each in fired if each.trigger.do is Action.ROLLBACK and state.runs_candidate]
    if protective:
        targets = [_target(state, each.trigger) for each in protective]
        chosen = protective[targets.index(min(targets))]
        others = [each for each in fired if each is not chosen and not _is_old_news(each)]
        roll_back(state, now, min(targets), _cause([chosen, *others]))
        return True
    pausing = [each for each in fired if each.trigger.do is Action.PAUSE and state.phase in _CAN_PAUSE]
    if pausing:
        pause(state, now, _cause(pausing))
    for each in fired:
        if each not in pausing and not each.already_told:
            decide(state, now, stand(state), _cause([each]))
    return False


def _is_old_news(fired: Fired) -> bool:
    return fired.already_told and fired.trigger.do is Action.NOTIFY


def _cause(fired: list[Fired]) -> Cause:
    """Return why something is done: the first is what decided, and all are named."""
    first, texts = fired[0], [each.text for each in fired]
    text = "; ".join(texts)
    return Cause(Outcome.FAIL, Reason.TRIGGER_FIRED, text, trigger=first.trigger.name, evidence=first.verdict.evidence)


def _target(state: RolloutState, trigger: Trigger) -> int:
    """Return the step to which a trigger rolls back, -1 for zero."""
    to = trigger.to or (state.step.rollback_to if state.step else "") or state.spec.rollback.to
    if state.phase is Phase.ROLLED_BACK:
        to = TO_ZERO  # it was rolled back to a step above zero, and that is not good either
    target = rollback_target(state, to)
    return -1 if target is None else target


def holding(state: RolloutState) -> list[str]:
    """Return the triggers that would act but are still in their hold: a promotion now would wipe their evidence."""
    crossed = [name for name, watch in state.watches.items() if watch.hold.crossed]
    if not crossed:
        return []
    return [trigger.name for trigger in state.triggers() if trigger.do is not Action.NOTIFY and trigger.name in crossed]
