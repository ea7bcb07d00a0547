"""The moment at which one record is folded: its times, its place, and what is said about it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from guardian.core.fleet import Heard
from guardian.core.inputs import Actor
from guardian.core.outputs import Decision, Evidence, FlagChange, Output, Rollback
from guardian.core.state import GUARDIAN, RolloutState
from guardian.core.words import Outcome, Phase, Reason

NOT_A_STAND: Final = (
    Reason.SUMMARY,
    Reason.UNCHANGED,
    Reason.REPORTED,
    Reason.PROPAGATED,
    Reason.REASSERTED,
    Reason.FOREIGN_DOCUMENT,
)
"""Reasons of decisions that tell something and leave how the rollout stands as it is."""
_MOVES: Final = (Reason.APPLIED, Reason.TRIGGER_FIRED, Reason.EMERGENCY)
"""Reasons of decisions that move a rollout although phase, step, weight and kill switch stay."""
_MAX_WHO_CHARS: Final = 160


class Instant(Struct):
    """One record's moment.

    Args:
        partition, offset: its place in the log.
        log_ms: log time.
        watermark_ms: event time up to which the evidence is in.
        stale: why no promotion may be made on the evidence; empty when it is fresh.
        lag_ms: log time less watermark, -1 when blind.
        said: the outputs so far, in order.
        heard: when each instance of the partition was last heard of.
        fresh_ms: log time of the partition that has passed on fresh evidence; bakes count it.
    """

    partition: int
    offset: int
    log_ms: int
    watermark_ms: int
    stale: str
    lag_ms: int
    said: list[Output] = field(default_factory=list)
    heard: Heard = field(default_factory=dict)
    fresh_ms: int = 0


class Cause(Struct, frozen=True):
    """Why something is decided: the same for the flag change, the decision and the rollback record.

    Args:
        outcome, reason, text: the verdict on the rollout.
        actor: who.
        command, command_id: the command that is answered; empty for guardian's own.
        accepted: false for a refused command.
        trigger: the trigger that fired, empty for none.
        evidence: the numbers.
    """

    outcome: Outcome
    reason: Reason
    text: str
    actor: Actor = GUARDIAN
    command: str = ""
    command_id: str = ""
    accepted: bool = True
    trigger: str = ""
    evidence: Evidence = Evidence()


class Before(Struct, frozen=True):
    """Where a rollout stood before a change."""

    phase: Phase
    weight_bp: int
    step: str
    dual_run_bp: int | None
    killed: bool


def stand(state: RolloutState) -> Before:
    """Return where a rollout stands now, to be told from where it will stand."""
    return Before(state.phase, state.weight_bp, state.step_name, state.dual_run_bp, state.killed)


def located(evidence: Evidence, now: Instant) -> Evidence:
    """Return the evidence with the input record that completed it."""
    fields = {name: getattr(evidence, name) for name in Evidence.__struct_fields__}
    return Evidence(**{**fields, "partition": now.partition, "offset": now.offset})


def next_id(state: RolloutState, now: Instant) -> str:
    """Return a deterministic id: flag/attempt/offset/ordinal; the same log makes the same ids."""
    if state.id_offset != now.offset:
        state.id_offset = now.offset
        state.ordinal = 0
    state.ordinal += 1
    return f"{state.flag}/{state.attempt}/{now.offset}/{state.ordinal}"


def change_flag(state: RolloutState, now: Instant, reason: Reason, *, same_content: bool = False) -> None:
    """Make a new flag document of the rollout's present weight and switches, and say it.

    version = max(previous + 1, log time in ms), so that it grows even past a loss of state.
    Our own kill or zero rises above a newer document of somebody else that readers obey.
    A change of content begins new evidence: windows, step figures and hold clocks start empty.

    Args:
        same_content: the document says what it said before; the evidence goes on.
    """
    before = state.published
    publish_flag(state, now, reason, same_content=same_content)
    if not same_content:
        state.start_evidence_anew()
        if state.attempt:
            is_rollback = state.phase is Phase.ROLLED_BACK
            protects = is_rollback or state.killed
            state.fleet.begin(now.watermark_ms, now.heard, before, protects=protects, is_rollback=is_rollback)


def publish_flag(state: RolloutState, now: Instant, reason: Reason, *, same_content: bool = False) -> None:
    """Say a new flag document without a look at any evidence: all that a frozen flag may do.

    Args:
        same_content: the document says what it said before.
    """
    if state.foreign is not None and (state.killed or state.weight_bp <= 0):
        epoch = state.foreign.epoch_above(state.epoch, state.version, now.log_ms)
        if epoch > state.epoch:
            state.epoch, state.version = epoch, 0
            state.foreign.note_raise(now.log_ms)
    state.version = max(state.version + 1, now.log_ms)
    state.flag_reason = reason
    state.changed_ms = now.log_ms
    state.change_id = f"{state.flag}/{state.attempt}/{state.epoch}.{state.version}"
    state.status_ms = 0
    if not same_content:
        state.content_version = state.version
        state.content_ms = now.log_ms
    now.said.append(FlagChange(state.flag_state()))


def decide(state: RolloutState, now: Instant, before: Before, cause: Cause) -> None:
    """Record a decision and make it how the rollout stands (a refused command changes nothing)."""
    if cause.accepted and cause.reason not in NOT_A_STAND:
        state.outcome, state.reason, state.text = cause.outcome, cause.reason, cause.text
        state.evidence, state.fired = located(cause.evidence, now), cause.trigger
        if cause.reason in _MOVES or before != stand(state):
            _turn(state, now, cause)
    state.status_ms = 0
    now.said.append(
        Decision(
            id=next_id(state, now),
            flag=state.flag,
            attempt=state.attempt,
            at_ms=now.log_ms,
            outcome=cause.outcome,
            reason=cause.reason,
            text=cause.text,
            from_phase=before.phase,
            phase=state.phase,
            step=state.step_name,
            from_weight_bp=before.weight_bp,
            weight_bp=state.weight_bp,
            epoch=state.epoch,
            version=state.version,
            change_id=state.change_id,
            actor=cause.actor,
            command=cause.command,
            command_id=cause.command_id,
            accepted=cause.accepted,
            trigger=cause.trigger,
            evidence=located(cause.evidence, now),
            partition=now.partition,
            offset=now.offset,
            from_dual_run_bp=before.dual_run_bp,
            dual_run_bp=state.dual_run_bp,
            turn=state.turn,
        )
    )


def _turn(state: RolloutState, now: Instant, cause: Cause) -> None:
    """Take note of a move: as a version, so that it grows even past a loss of state."""
    state.turn = max(state.turn + 1, now.log_ms)
    if cause.reason is Reason.APPLIED:
        state.applied_turn = state.turn
    what = cause.command or (f"trigger {cause.trigger}" if cause.trigger else cause.reason)
    state.moved_by = f"{what} by {cause.actor.name}"[:_MAX_WHO_CHARS]
    state.moved_id = cause.command_id


def record_rollback(state: RolloutState, now: Instant, before: Before, cause: Cause) -> None:
    """Say for people and bridges that a protective action was taken; it names the flag change by id."""
    now.said.append(
        Rollback(
            id=next_id(state, now),
            flag=state.flag,
            attempt=state.attempt,
            at_ms=now.log_ms,
            change_id=state.change_id,
            epoch=state.epoch,
            version=state.version,
            from_step=before.step,
            to_step=state.step_name,
            from_weight_bp=before.weight_bp,
            to_weight_bp=state.weight_bp,
            trigger=cause.trigger,
            reason=cause.reason,
            text=cause.text,
            actor=cause.actor,
            evidence=located(cause.evidence, now),
            from_dual_run_bp=before.dual_run_bp,
            to_dual_run_bp=state.dual_run_bp,
        )
    )
