"""May we go on? The bake counts log time on fresh evidence; then the gates are judged; then the next step.

A promotion is never made on stale evidence, under the kill switch, or while a trigger is in its hold.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from guardian.core.actions import TO_ZERO, enter_step, finish, pause, roll_back, rollback_target
from guardian.core.bake import baked_ms
from guardian.core.instant import Cause, Instant, decide, stand
from guardian.core.judge import judge_gate
from guardian.core.looking import look
from guardian.core.outputs import Evidence, RuleStatus, Verdict
from guardian.core.rollout import Gate, Step
from guardian.core.state import RolloutState
from guardian.core.text import duration_text, weight_text
from guardian.core.watching import holding
from guardian.core.words import Action, Outcome, Phase, Reason, Signal

MAX_CREDIT_MS: Final = 5_000
"""No single tick is worth more bake than this: time in which nobody looked is not a bake."""
SUMMARY_EVERY_MS: Final = 300_000
BLIND: Final = frozenset({Reason.STALE_EVIDENCE, Reason.EVIDENCE_LOST})
"""Reasons to wait for evidence that there is none, or none that is whole."""
_WAITING: Final = BLIND | {Reason.BAKING, Reason.HOLDING, Reason.GATE_WAITING}


class Obstacle(Struct, frozen=True):
    """What keeps a step from being over.

    Args:
        outcome, reason: as a verdict.
        missing: what is missing to move on, as sentences.
        evidence: the numbers of the first gate that does not pass.
    """

    outcome: Outcome
    reason: Reason
    missing: list[str]
    evidence: Evidence = Evidence()


def progress(state: RolloutState, now: Instant, passed_ms: int) -> None:
    """Let a step ripen: look at its bake, judge its gates, move on when nothing is missing.

    Args:
        passed_ms: log time since the last tick.
    """
    step = state.step
    if state.phase is not Phase.PROGRESSING or step is None:
        return
    obstacle = find_obstacle(state, now)
    if obstacle is None:
        _move_on(state, now, step)
        return
    if obstacle.reason is Reason.GATE_WAITING:
        state.gate_wait_ms += max(0, min(passed_ms, MAX_CREDIT_MS))
        if state.gate_wait_ms >= step.gate_timeout_ms:
            _give_up(state, now, step, obstacle)
            return
    if (obstacle.outcome, obstacle.reason) != (state.outcome, state.reason):
        cause = Cause(obstacle.outcome, obstacle.reason, "; ".join(obstacle.missing), evidence=obstacle.evidence)
        decide(state, now, stand(state), cause)


def find_obstacle(state: RolloutState, now: Instant) -> Obstacle | None:
    """Return what is missing to move on from the current step, None when nothing is."""
    return _frozen(state, now) or _ripening(state, now) or _gate_obstacle(judge_gates(state, now))


def standing_text(state: RolloutState, missing: list[str]) -> str:
    """Return why a rollout stands where it stands: what one that waits is waiting for now, not what once was.

    Args:
        missing: what is missing to move on at this moment.
    """
    waits = state.phase is Phase.PROGRESSING and state.reason in _WAITING
    return "; ".join(missing) if waits and missing else state.text


def _frozen(state: RolloutState, now: Instant) -> Obstacle | None:
    if state.killed:
        return Obstacle(Outcome.INCONCLUSIVE, Reason.KILLED, ["the kill switch is on: free it with unkill"])
    if now.stale:
        return Obstacle(Outcome.INCONCLUSIVE, Reason.STALE_EVIDENCE, [f"fresh evidence: {now.stale}"])
    if now.watermark_ms < state.promote_after_ms:
        rest = duration_text(state.promote_after_ms - now.watermark_ms)
        return Obstacle(Outcome.INCONCLUSIVE, Reason.EVIDENCE_LOST, [f"{rest} until the windows are full again"])
    return None


def _ripening(state: RolloutState, now: Instant) -> Obstacle | None:
    if held := holding(state):
        return Obstacle(Outcome.INCONCLUSIVE, Reason.HOLDING, [f"trigger {name} is close to firing" for name in held])
    bake_ms = state.step.bake_ms if state.step else 0
    if (done_ms := baked_ms(state, now)) < bake_ms:
        rest = duration_text(bake_ms - done_ms)
        return Obstacle(Outcome.INCONCLUSIVE, Reason.BAKING, [f"{rest} of the bake of {duration_text(bake_ms)}"])
    return None


def _gate_obstacle(gates: list[RuleStatus]) -> Obstacle | None:
    open_gates = [gate for gate in gates if gate.verdict.outcome is not Outcome.PASS]
    if not open_gates:
        return None
    failed = any(gate.verdict.outcome is Outcome.FAIL for gate in open_gates)
    return Obstacle(
        Outcome.FAIL if failed else Outcome.INCONCLUSIVE,
        Reason.GATE_WAITING,
        [f"gate {gate.name}: {gate.verdict.text}" for gate in open_gates],
        open_gates[0].verdict.evidence,
    )


def judge_gates(state: RolloutState, now: Instant) -> list[RuleStatus]:
    """Judge every gate of the current step on the evidence so far."""
    step = state.step
    return [RuleStatus(gate.name, gate.rule.text, _judge(state, gate, now)) for gate in (step.gates if step else ())]


def _judge(state: RolloutState, gate: Gate, now: Instant) -> Verdict:
    at_ms = now.watermark_ms // 1_000 * 1_000
    return judge_gate(gate, look(state, gate.rule, gate.min_samples, now, at_ms))


def _move_on(state: RolloutState, now: Instant, step: Step) -> None:
    gates = judge_gates(state, now)
    texts = [gate.verdict.text for gate in gates] or [f"bake of {duration_text(step.bake_ms)} is over"]
    reason = Reason.GATES_PASSED if gates else Reason.BAKE_OVER
    evidence = gates[0].verdict.evidence if gates else Evidence()
    go_on(state, now, Cause(Outcome.PASS, reason, "; ".join(texts), evidence=evidence))


def go_on(state: RolloutState, now: Instant, cause: Cause) -> None:
    """Leave the current step upwards: into the next one, or into `completed` after the last."""
    if state.step_index + 1 < len(state.spec.steps):
        enter_step(state, now, Signal.ADVANCE, state.step_index + 1, cause)
    else:
        finish(state, now, cause if cause.command else replace(cause, reason=Reason.COMPLETED))


def _give_up(state: RolloutState, now: Instant, step: Step, obstacle: Obstacle) -> None:
    waited = duration_text(state.gate_wait_ms)
    text = f"waited {waited} after the bake at {weight_text(state.weight_bp)}: {'; '.join(obstacle.missing)}"
    cause = Cause(obstacle.outcome, Reason.GATE_TIMED_OUT, text, evidence=obstacle.evidence)
    if step.on_gate_fail is Action.ROLLBACK and state.runs_candidate:
        target = rollback_target(state, step.rollback_to or state.spec.rollback.to or TO_ZERO)
        roll_back(state, now, -1 if target is None else target, cause)
    else:
        pause(state, now, cause)


def summarise(state: RolloutState, now: Instant) -> None:
    """Write the five-minute record of a rollout whose candidate runs."""
    if not state.runs_candidate or state.phase is Phase.ARCHIVED:
        return
    if not state.summary_ms:
        state.summary_ms = now.log_ms
    if now.log_ms - state.summary_ms < SUMMARY_EVERY_MS:
        return
    state.summary_ms = now.log_ms
    obstacle = find_obstacle(state, now) if state.phase is Phase.PROGRESSING else None
    text = standing_text(state, obstacle.missing if obstacle else [])
    decide(state, now, stand(state), Cause(state.outcome, Reason.SUMMARY, text))
