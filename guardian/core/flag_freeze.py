"""A flag on which guardian's own code failed: its evidence is dropped, its document stays, it still obeys the brake.

Rules:
1. Nothing here reads evidence, and what could have been left half changed is put back or thrown away.
2. The document stays as it is, or control is restored where the installation says so; it never goes up.
3. kill, rollback and archive are obeyed; everything else is refused until a person lifts the freeze.
4. The freeze is a record in the log (`FreezeFlag`): a replay by a build whose code does not fail agrees from there on.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from guardian.core.alerts import end_alert, end_named_alert, named_alert
from guardian.core.epochs import EPOCH_REFUSED, too_far_ahead
from guardian.core.exposure import Exposure
from guardian.core.fleet import Fleet
from guardian.core.inputs import Command
from guardian.core.instant import Cause, Instant, decide, publish_flag, record_rollback, stand
from guardian.core.machine import TABLE, next_phase
from guardian.core.outputs import FlagFrozen, RolloutStatus, StepStatus
from guardian.core.reported import Reported
from guardian.core.retention import retain
from guardian.core.state import FlagFreeze, RolloutState
from guardian.core.text import weight_text
from guardian.core.windows import Series
from guardian.core.words import Outcome, Phase, Reason, Severity, Signal

ALERT: Final = "flag_frozen"
OBEYED: Final = ("kill", "rollback", "archive", "unfreeze")
MAX_ERROR_CHARS: Final = 400


def error_line(error: BaseException) -> str:
    """Return what was raised as one bounded line: `ValueError: math domain error`."""
    try:
        text = " ".join(f"{type(error).__name__}: {error}".split())
    except Exception:
        text = type(error).__name__
    return text.encode(errors="replace").decode()[:MAX_ERROR_CHARS]


def put_back(state: RolloutState, before: RolloutState) -> None:
    """Undo what failing code did to a rollout.

    Args:
        state: as the failing code left it; changed in place, because others hold it.
        before: a shallow copy from before: its own fields are right, what they point to may be half changed.
    """
    for name in RolloutState.__struct_fields__:
        setattr(state, name, getattr(before, name))


def freeze_flag(state: RolloutState, now: Instant, frozen: FlagFrozen, *, restore_control: bool = False) -> None:
    """Freeze a rollout, and raise a critical alert that names it.

    Args:
        state: put back already; its evidence is dropped.
        now: of the record at which it is frozen.
        frozen: where and how the code failed.
        restore_control: give everybody control; otherwise the document stays as it is.
    """
    _end_alerts(state, now)
    _drop_evidence(state)
    state.freeze = FlagFreeze(frozen.offset, now.log_ms, frozen.build, frozen.error)
    before = stand(state)
    serves = state.weight_bp > 0 and not state.killed
    if restore_control and serves:
        _to_zero(state, now, Reason.FROZEN)
    text = (
        f"guardian's own code failed on {state.flag} at input {frozen.partition}/{frozen.offset} "
        f"(build {frozen.build}, {frozen.error}): its evidence is not judged; {_serving(state)}"
    )
    state.freeze.alert = replace(named_alert(state, now, ALERT, text), severity=Severity.CRITICAL)
    now.said[-1] = state.freeze.alert
    cause = Cause(Outcome.ERROR, Reason.FROZEN, text)
    decide(state, now, before, cause)
    if restore_control and serves:
        record_rollback(state, now, before, cause)


def obey_frozen(state: RolloutState, now: Instant, command: Command) -> None:
    """Carry out a command on a frozen flag, or refuse it with the way out."""
    before = stand(state)
    said = f"{command.actor.name}: {command.reason or 'no reason given'}"

    def answer(outcome: Outcome, reason: Reason, text: str, *, accepted: bool = True) -> Cause:
        return Cause(
            outcome, reason, text, actor=command.actor, command=command.command, command_id=command.id,
            accepted=accepted,
        )  # fmt: skip

    if command.epoch and not command.only_lowers:
        decide(state, now, before, answer(Outcome.ERROR, Reason.REFUSED_EPOCH, EPOCH_REFUSED, accepted=False))
        return
    raised = command.epoch > state.epoch and not too_far_ahead(command.epoch, 0, now.log_ms)
    if raised:
        state.epoch, state.version = command.epoch, 0
    match command.command:
        case "kill" if not state.killed or raised:
            state.killed = True
            publish_flag(state, now, Reason.KILLED)
            cause = answer(Outcome.PASS, Reason.KILLED, f"killed by {said}; the flag is frozen")
            decide(state, now, before, cause)
            record_rollback(state, now, before, cause)
        case "rollback" if state.weight_bp or raised:
            _to_zero(state, now, Reason.OPERATOR)
            cause = answer(Outcome.PASS, Reason.OPERATOR, f"rolled back to 0% by {said}; the flag is frozen")
            decide(state, now, before, cause)
            record_rollback(state, now, before, cause)
        case "kill" | "rollback":
            decide(state, now, before, answer(Outcome.PASS, Reason.UNCHANGED, "everybody gets control already"))
        case "archive" if (state.phase, Signal.ARCHIVE) in TABLE:
            state.phase = next_phase(state.phase, Signal.ARCHIVE)
            decide(state, now, before, answer(Outcome.PASS, Reason.OPERATOR, f"archived by {said}"))
        case "unfreeze":
            _lift(state, now)
            text = f"the freeze was lifted by {said}; evidence starts here, {_serving(state)}"
            decide(state, now, before, answer(Outcome.PASS, Reason.OPERATOR, text))
        case _:
            text = (
                f"{command.command} needs code that failed on this flag ({_error_of(state)}); "
                f"it obeys {', '.join(OBEYED[:-1])}; with a build that is mended: guardian unfreeze {state.flag}"
            )
            decide(state, now, before, answer(Outcome.ERROR, Reason.REFUSED_FROZEN, text, accepted=False))


def frozen_status(state: RolloutState, now: Instant) -> RolloutStatus:
    """Return the status of a frozen flag: where it stands and why, no figures."""
    return RolloutStatus(
        state=state.flag_state(),
        spec=state.document,
        revision=state.spec.revision,
        owner=state.spec.owner,
        outcome=Outcome.ERROR,
        reason=Reason.FROZEN,
        text=f"frozen: guardian's own code failed on this flag ({_error_of(state)}); {_serving(state)}",
        steps=[StepStatus(s.name, s.weight_bp, s.bake_ms, "ahead", s.dual_run_bp) for s in state.spec.steps],
        missing=[f"a build whose code does not fail on it, then a person: guardian unfreeze {state.flag}"],
        gates=[],
        triggers=[],
        figures={},
        baked_ms=0,
        bake_ms=0,
        since_ms=state.freeze.at_ms if state.freeze else state.entered_ms,
        updated_ms=now.log_ms,
        watermark_ms=now.watermark_ms,
        lag_ms=now.lag_ms,
        turn=state.turn,
    )


def _to_zero(state: RolloutState, now: Instant, reason: Reason) -> None:
    """Give everybody control: as a rollback where the machine knows one from here, else with the weight alone."""
    if (state.phase, Signal.ROLL_BACK) in TABLE:
        state.phase = next_phase(state.phase, Signal.ROLL_BACK)
        state.rolled_back_ms, state.resolved, state.entered_ms = now.log_ms, False, now.log_ms
    state.step_index, state.weight_bp = -1, 0
    publish_flag(state, now, reason)


def _drop_evidence(state: RolloutState) -> None:
    state.series = Series(0)
    state.step_tallies, state.watches, state.totals = {}, {}, {}
    state.arms = state.past = state.baseline = state.gauges = None
    state.fleet, state.reported, state.tracked = Fleet(), Reported(), ()
    state.late_count = state.stale_version_count = 0
    state.samples, state.rollback_samples = {}, {}
    state.exposure = Exposure()


def _end_alerts(state: RolloutState, now: Instant) -> None:
    """End what was active: an alert that nobody will ever judge again would stand for good."""
    over = "guardian's own code failed on this flag: nothing of it is judged"
    for watch in state.watches.values():
        end_alert(watch, now, over)
    if state.fleet.alert is not None:
        end_named_alert(state.fleet.alert, now, over)
    if state.freeze is not None and state.freeze.alert is not None:
        end_named_alert(state.freeze.alert, now, over)


def _lift(state: RolloutState, now: Instant) -> None:
    if state.freeze is not None and state.freeze.alert is not None:
        end_named_alert(state.freeze.alert, now, "a person has lifted the freeze")
    state.freeze, state.unfrozen_offset = None, now.offset
    state.content_ms = now.log_ms
    state.baked_ms, state.bake_from_ms, state.gate_wait_ms = 0, now.fresh_ms, 0
    retain(state)


def _error_of(state: RolloutState) -> str:
    return f"build {state.freeze.build}, {state.freeze.error}" if state.freeze else "no error"


def _serving(state: RolloutState) -> str:
    if state.killed:
        return "the kill switch is on: everybody gets control"
    if state.phase is Phase.ARCHIVED or state.weight_bp:
        return f"{weight_text(state.weight_bp)} still get {state.spec.variants.candidate}"
    return "everybody gets control"
