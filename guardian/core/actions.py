"""What can be done to a rollout: one signal of the table, at most one flag change, one decision.

An illegal signal raises before anything was changed.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from guardian.core.alerts import amend_alerts, end_alert, end_named_alert
from guardian.core.bake import baked_ms, set_bake
from guardian.core.evidence_alerts import end_alerts
from guardian.core.freezing import freeze_baseline
from guardian.core.instant import Before, Cause, Instant, change_flag, decide, record_rollback, stand
from guardian.core.machine import next_phase
from guardian.core.recipients import share_left
from guardian.core.samples import samples_text
from guardian.core.state import RolloutState
from guardian.core.words import Phase, Reason, Signal

TO_ZERO: Final = "zero"
TO_PREVIOUS: Final = "previous"


def enter_step(state: RolloutState, now: Instant, signal: Signal, step_index: int, cause: Cause) -> None:
    """Start, retry or advance into a step: its weight is served from now on, its bake begins."""
    phase = next_phase(state.phase, signal)
    before = stand(state)
    if signal in (Signal.START, Signal.RETRY):
        state.attempt += 1
        state.resolved = False
        state.baseline = None
        _silence(state, now)
    state.phase = phase
    state.step_index = step_index
    state.weight_bp = state.spec.steps[step_index].weight_bp
    _enter(state, now)
    _end_left_alerts(state, now)
    _keep_watches(state)
    cause = freeze_baseline(state, now, cause)
    change_flag(state, now, cause.reason)
    decide(state, now, before, cause)


def finish(state: RolloutState, now: Instant, cause: Cause) -> None:
    """Complete the last step: the weight stays, the triggers watch on, and no call runs both any more."""
    _move(state, now, Signal.FINISH, cause)


def pause(state: RolloutState, now: Instant, cause: Cause) -> None:
    """Stop promotion and bake; the weight stays, the triggers watch on."""
    _move(state, now, Signal.PAUSE, cause)


def resume(state: RolloutState, now: Instant, cause: Cause) -> None:
    """Go on where pause stopped: the bake continues, no step is skipped."""
    _move(state, now, Signal.RESUME, cause, keep_bake=True)


def archive(state: RolloutState, now: Instant, cause: Cause) -> None:
    """End the rollout; its flag document stays."""
    next_phase(state.phase, Signal.ARCHIVE)
    _silence(state, now)
    _move(state, now, Signal.ARCHIVE, cause)


def rollback_target(state: RolloutState, to: str) -> int | None:
    """Return the step index to roll back to: -1 for zero, None for a target that is no way back.

    After a rollback to a step above zero the next one goes to zero, whatever is asked for but a named step.

    Args:
        to: `zero`, `previous`, or a step's name.
    """
    if to == TO_ZERO or (to == TO_PREVIOUS and state.phase is Phase.ROLLED_BACK):
        return -1
    if to == TO_PREVIOUS:
        return max(state.step_index - 1, -1)
    names = [step.name for step in state.spec.steps]
    index = names.index(to) if to in names else state.step_index
    return index if index < state.step_index else None


def roll_back(state: RolloutState, now: Instant, step_index: int, cause: Cause) -> None:
    """Take the candidate back to a lower step, or to zero (-1)."""
    phase = next_phase(state.phase, Signal.ROLL_BACK)
    before = stand(state)
    state.rollback_samples = dict(state.samples.get(state.spec.variants.candidate, {}))
    if cause.trigger and (errors := samples_text(state.rollback_samples)):
        cause = replace(cause, text=f"{cause.text}; errors: {errors}")
    state.phase = phase
    state.step_index = step_index
    state.weight_bp = min(state.weight_bp, state.spec.steps[step_index].weight_bp if step_index >= 0 else 0)
    state.rolled_back_ms = now.log_ms
    state.resolved = False
    _enter(state, now)
    _keep_watches(state)
    change_flag(state, now, cause.reason)
    if left := share_left(state.flag_state()):
        cause = replace(cause, text=f"{cause.text}; {left}")
        amend_alerts(state, now, left)
    decide(state, now, before, cause)
    record_rollback(state, now, before, cause)


def switch(state: RolloutState, now: Instant, *, killed: bool, cause: Cause) -> None:
    """Throw or free the kill switch. It stands over every phase; freeing it restores what the phase says."""
    before = stand(state)
    state.killed = killed
    set_bake(state, now, 0)
    change_flag(state, now, cause.reason)
    decide(state, now, before, cause)
    if killed:
        record_rollback(state, now, before, cause)


def lower_weight(state: RolloutState, now: Instant, weight_bp: int, reason: Reason) -> None:
    """Serve less of the current step than before, because a new revision of the spec says so."""
    state.weight_bp = weight_bp
    set_bake(state, now, 0)
    change_flag(state, now, reason)


def _move(state: RolloutState, now: Instant, signal: Signal, cause: Cause, *, keep_bake: bool = False) -> None:
    phase = next_phase(state.phase, signal)
    before: Before = stand(state)
    done_ms = baked_ms(state, now)
    state.phase = phase
    _enter(state, now)
    if keep_bake or signal is Signal.PAUSE:
        set_bake(state, now, done_ms)
    if signal is Signal.FINISH and state.dual_run_bp != before.dual_run_bp:
        # Nobody's variant moves, so the evidence goes on: the triggers watch on after the last step.
        change_flag(state, now, cause.reason, same_content=True)
    decide(state, now, before, cause)


def _enter(state: RolloutState, now: Instant) -> None:
    state.entered_ms = now.log_ms
    set_bake(state, now, 0)


def _keep_watches(state: RolloutState) -> None:
    """Drop the watches of triggers that no longer watch, but not while their alert is active."""
    names = {trigger.name for trigger in state.triggers()}
    state.watches = {name: w for name, w in state.watches.items() if name in names or w.alert is not None}


def _end_left_alerts(state: RolloutState, now: Instant) -> None:
    """End the alerts of triggers that belonged to the step that was left upwards: nobody would ever look again."""
    names = {trigger.name for trigger in state.triggers()}
    for name, watch in state.watches.items():
        if name not in names:
            end_alert(watch, now, "the step of this trigger is over")


def _silence(state: RolloutState, now: Instant) -> None:
    """End every active alert: what it was about is over."""
    over = "a new attempt began, or the rollout was archived"
    for watch in state.watches.values():
        end_alert(watch, now, over)
    end_alerts(state, now, over)
    if state.fleet.alert is not None:
        end_named_alert(state.fleet.alert, now, over)
        state.fleet.alert = None
