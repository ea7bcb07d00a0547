"""May we go on? The bake counts log time on fresh evidence; then gates and evidence are judged; then the next step.

A promotion is never made on stale evidence, under the kill switch, or while a trigger is in its hold; nor without
evidence: the candidate was seen in the step, its share is as it should be, and every guard that applies can judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from guardian.core.actions import TO_ZERO, enter_step, finish, pause, roll_back, rollback_target
from guardian.core.bake import baked_ms
from guardian.core.evidence_alerts import is_overdue, watch_arms, watch_waiting
from guardian.core.evidence_doubts import (
    Doubt,
    find_no_exposure,
    find_odd_share,
    find_silent_candidate,
    find_unknown_variants,
    pace_text,
)
from guardian.core.guards import find_blind_guard, is_of_dual_runs
from guardian.core.instant import Cause, Instant, decide, stand
from guardian.core.judge import judge_gate
from guardian.core.looking import look
from guardian.core.outputs import Evidence, RuleStatus, Verdict
from guardian.core.rollout import Gate, Origin, Step
from guardian.core.state import RolloutState
from guardian.core.text import duration_text, weight_text
from guardian.core.watching import holding
from guardian.core.words import WEIGHT_FULL_BP, Action, Outcome, Phase, Reason, Signal

MAX_CREDIT_MS: Final = 5_000
"""No single tick is worth more bake than this: time in which nobody looked is not a bake."""
SUMMARY_EVERY_MS: Final = 300_000
DOUBTS: Final = frozenset(
    {
        Reason.NO_EXPOSURE,
        Reason.GUARD_BLIND,
        Reason.ONE_ARM_SILENT,
        Reason.SHARE_MISMATCH,
        Reason.UNKNOWN_VARIANT,
    }
)
"""Reasons to wait, without a time-out, because the evidence does not carry a promotion."""
BLIND: Final = frozenset({Reason.STALE_EVIDENCE, Reason.EVIDENCE_LOST})
"""Reasons to wait for evidence that there is none, or none that is whole."""
_UNDECIDED: Final = BLIND | {Reason.HOLDING}
"""Reasons to wait that say nothing of whether a wait for evidence is over."""
_WAITING: Final = BLIND | DOUBTS | {Reason.BAKING, Reason.HOLDING, Reason.GATE_WAITING}


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
    """Let a step ripen: look at its bake, judge its gates and evidence, move on when nothing is missing.

    Args:
        passed_ms: log time since the last tick.
    """
    watch_arms(state, now)
    step = state.step
    if state.phase is not Phase.PROGRESSING or step is None:
        watch_waiting(state, now, None)
        return
    obstacle = find_first_obstacle(state, now)
    _watch_waiting(state, now, obstacle)
    if obstacle is None:
        _move_on(state, now, step)
        return
    if obstacle.reason is Reason.GATE_WAITING:
        state.gate_wait_ms += max(0, min(passed_ms, MAX_CREDIT_MS))
        if state.gate_wait_ms >= step.gate_timeout_ms:
            _give_up(state, now, step, obstacle)
            return
    if (obstacle.outcome, obstacle.reason) != (state.outcome, state.reason):
        obstacle = find_obstacle(state, now) or obstacle
        cause = Cause(obstacle.outcome, obstacle.reason, "; ".join(obstacle.missing), evidence=obstacle.evidence)
        decide(state, now, stand(state), cause)


def _watch_waiting(state: RolloutState, now: Instant, obstacle: Obstacle | None) -> None:
    """Alert on a wait for evidence that lasts; behind a gate that waits too, whose time-out tells nobody."""
    if obstacle is not None and obstacle.reason in _UNDECIDED:
        return
    doubt = None
    if obstacle is not None and obstacle.reason in DOUBTS:
        doubt = Doubt(obstacle.reason, obstacle.missing[0])
    elif obstacle is not None and obstacle.reason is Reason.GATE_WAITING and is_overdue(state, now):
        doubt = next((each for each in _find_doubts(state, now) if each is not None), None)
    watch_waiting(state, now, doubt)


def find_obstacle(state: RolloutState, now: Instant) -> Obstacle | None:
    """Return what is missing to move on from the current step, None when nothing is.

    The first thing that is missing gives the reason; once the bake is over, all that is missing is told.
    """
    return _frozen(state, now) or _ripening(state, now) or _after_bake(state, now)


def find_whole_obstacle(state: RolloutState, now: Instant) -> Obstacle | None:
    """Return all that is missing to move on, whether or not the bake is over: what a promote by hand goes without."""
    first = _frozen(state, now) or _ripening(state, now)
    later = _after_bake(state, now)
    if first is None or later is None:
        return first or later
    return replace(first, missing=[*first.missing, *later.missing])


def find_first_obstacle(state: RolloutState, now: Instant) -> Obstacle | None:
    """Return the first thing that is missing to move on, and look no further: for every rollout at every tick."""
    return _frozen(state, now) or _ripening(state, now) or next(_missing_after_bake(state, now), None)


def _after_bake(state: RolloutState, now: Instant) -> Obstacle | None:
    found = list(_missing_after_bake(state, now))
    if not found:
        return None
    texts = dict.fromkeys(text for obstacle in found for text in obstacle.missing)
    return replace(found[0], missing=list(texts))


def _missing_after_bake(state: RolloutState, now: Instant) -> Iterator[Obstacle]:
    """Yield what is missing beside the bake: gates, then exposure, the arms, and the guards."""
    if (gates := _gate_obstacle(state, now, judge_gates(state, now))) is not None:
        yield gates
    for doubt in _find_doubts(state, now):
        if doubt is not None:
            yield Obstacle(Outcome.INCONCLUSIVE, doubt.reason, [doubt.text], doubt.evidence)


def _find_doubts(state: RolloutState, now: Instant) -> Iterator[Doubt | None]:
    """Yield why the evidence does not carry a step upwards; the end of the last step needs no guards."""
    elapsed_ms = now.watermark_ms - state.content_ms
    yield find_no_exposure(state, elapsed_ms)
    yield find_unknown_variants(state, now.log_ms)
    yield from _arm_doubts(state, now)
    if state.step_index + 1 < len(state.spec.steps):
        yield find_blind_guard(state, elapsed_ms)


def _arm_doubts(state: RolloutState, now: Instant) -> list[Doubt | None]:
    """Return the doubts about the arms; a share is one only where both arms are served."""
    is_shared = 0 < state.weight_bp < WEIGHT_FULL_BP
    odd = find_odd_share(state, now.watermark_ms) if is_shared else None
    return [find_silent_candidate(state, now.watermark_ms), odd]


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
        text = f"{duration_text(done_ms)} of the bake of {duration_text(bake_ms)} is over"
        return Obstacle(Outcome.INCONCLUSIVE, Reason.BAKING, [text])
    return None


def _gate_obstacle(state: RolloutState, now: Instant, gates: list[RuleStatus]) -> Obstacle | None:
    open_gates = [gate for gate in gates if gate.verdict.outcome is not Outcome.PASS]
    if not open_gates:
        return None
    failed = any(gate.verdict.outcome is Outcome.FAIL for gate in open_gates)
    return Obstacle(
        Outcome.FAIL if failed else Outcome.INCONCLUSIVE,
        Reason.GATE_WAITING,
        [f"gate {gate.name}: {gate.verdict.text}{_way_on(state, now, gate.verdict)}" for gate in open_gates],
        open_gates[0].verdict.evidence,
    )


def _way_on(state: RolloutState, now: Instant, verdict: Verdict) -> str:
    """How fast samples come to a gate that waits for them, and the way out."""
    found = verdict.evidence
    if verdict.reason not in (Reason.TOO_FEW_SAMPLES, Reason.NO_DATA) or found.n >= found.needed:
        return ""
    elapsed_ms = now.watermark_ms - state.content_ms
    if found.window_start_ms:
        elapsed_ms = found.window_end_ms - found.window_start_ms
    pace = pace_text(found.n, found.needed, elapsed_ms) or "; no samples come"
    return f"{pace}; wait, apply fewer `min_samples`, or promote by hand"


def judge_gates(state: RolloutState, now: Instant) -> list[RuleStatus]:
    """Judge every gate of the current step on the evidence so far."""
    step = state.step
    gates = step.gates if step else ()
    doubt = next((each for each in _arm_doubts(state, now) if each is not None), None) if gates else None
    return [RuleStatus(gate.name, gate.rule.text, _judge(state, gate, now, doubt)) for gate in gates]


def _judge(state: RolloutState, gate: Gate, now: Instant, doubt: Doubt | None) -> Verdict:
    """Judge a gate; a doubt about the arms is one about every figure of an arm, but not about dual runs."""
    at_ms = now.watermark_ms // 1_000 * 1_000
    found = look(state, gate.rule, gate.min_samples, now, at_ms)
    of_arm = gate.rule.metric.origin in (Origin.REQUESTS, Origin.FIGURES) and not is_of_dual_runs(gate.rule.metric)
    if doubt is not None and of_arm and found.doubt is None and found.n and not found.basis:
        found = replace(found, doubt=doubt.reason, note=doubt.text)
    return judge_gate(gate, found)


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
