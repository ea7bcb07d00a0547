"""Why a rollout stands where it stands, and what is missing to move on: the record on guardian.rollouts."""

from __future__ import annotations

from typing import Final

from guardian.core.bake import baked_ms
from guardian.core.following import behind, unknown
from guardian.core.freezing import baseline_text
from guardian.core.instant import Instant
from guardian.core.outputs import Figures, RolloutStatus, RuleStatus, StepStatus, Verdict
from guardian.core.progress import find_obstacle, judge_gates, standing_text
from guardian.core.state import RolloutState
from guardian.core.text import duration_text
from guardian.core.windows import Tally
from guardian.core.words import Outcome, Phase, Reason

_NOT_YET: Final = Verdict(Outcome.INCONCLUSIVE, Reason.NO_DATA, "not judged yet")
_BAD: Final = ("error", "timeout", "crash", "hang")


def status_of(state: RolloutState, now: Instant) -> RolloutStatus:
    """Return the status of a rollout as of this record."""
    step, needs = state.step, missing(state, now)
    behind_names, behind_count = behind(state, now)
    unknown_instances, unknown_count = unknown(state, now)
    return RolloutStatus(
        state=state.flag_state(),
        spec=state.document,
        revision=state.spec.revision,
        owner=state.spec.owner,
        outcome=state.outcome,
        reason=state.reason,
        text=standing_text(state, needs),
        steps=_steps(state),
        missing=needs,
        gates=judge_gates(state, now),
        triggers=_triggers(state, now),
        figures={variant: _figures(tally) for variant, tally in state.step_tallies.items()},
        baked_ms=baked_ms(state, now),
        bake_ms=step.bake_ms if step else 0,
        since_ms=state.entered_ms,
        updated_ms=now.log_ms,
        watermark_ms=now.watermark_ms,
        lag_ms=now.lag_ms,
        totals=dict(state.totals),
        late_count=state.late_count,
        stale_version_count=state.stale_version_count,
        evidence_from_ms=state.promote_after_ms,
        baseline=baseline_text(state),
        live_count=len(state.fleet.live(now.watermark_ms, now.heard)),
        behind=behind_names,
        turn=state.turn,
        lost=state.fleet.lost(now.watermark_ms),
        behind_count=behind_count,
        unknown=unknown_instances,
        unknown_count=unknown_count,
        evidence=state.evidence,
        trigger=state.fired,
        samples={variant: dict(found) for variant, found in state.samples.items()},
        rollback_samples=dict(state.rollback_samples),
    )


def missing(state: RolloutState, now: Instant) -> list[str]:
    """Return what is missing to move on, as sentences; empty when the rollout will go on by itself or is over."""
    flag = state.flag
    match state.phase:
        case Phase.PROGRESSING:
            obstacle = find_obstacle(state, now)
            return obstacle.missing if obstacle else []
        case Phase.DRAFT:
            return [f"a person to start it: guardian start {flag}"]
        case Phase.PAUSED:
            return [f"a person to resume it: guardian resume {flag}"]
        case Phase.ROLLED_BACK:
            return retry_needs(state, now.log_ms) or [f"a person to start a new attempt: guardian start {flag}"]
        case _:
            return []


def retry_needs(state: RolloutState, log_ms: int) -> list[str]:
    """Return what a new attempt still needs after a rollback: a resolved issue, time."""
    needs = []
    if state.spec.rollback.resolve_required and not state.resolved:
        needs.append(f"a person to resolve the rollback: guardian resolve {state.flag}")
    rest_ms = state.rolled_back_ms + state.spec.rollback.wait_ms - log_ms
    if rest_ms > 0:
        needs.append(f"{duration_text(rest_ms)} of the wait after a rollback")
    return needs


def _steps(state: RolloutState) -> list[StepStatus]:
    def where(index: int) -> str:
        if index == state.step_index:
            return "done" if state.phase is Phase.COMPLETED else "current"
        return "done" if index < state.step_index else "ahead"

    return [
        StepStatus(step.name, step.weight_bp, step.bake_ms, where(index), step.dual_run_bp)
        for index, step in enumerate(state.spec.steps)
    ]


def _triggers(state: RolloutState, now: Instant) -> list[RuleStatus]:
    statuses = []
    for trigger in state.triggers():
        watch = state.watches.get(trigger.name)
        verdict = watch.verdict if watch and watch.verdict else _NOT_YET
        if now.stale and verdict.outcome is not Outcome.FAIL:
            text = f"guardian is blind: {now.stale}; before that: {verdict.text}"
            verdict = Verdict(Outcome.INCONCLUSIVE, Reason.STALE_EVIDENCE, text, verdict.evidence)
        statuses.append(RuleStatus(trigger.name, trigger.rule.text, verdict))
    return statuses


def _figures(tally: Tally) -> Figures:
    return Figures(
        n=tally.n,
        errors=tally.count(_BAD),
        crashes=tally.count(("crash",)),
        p50_ms=tally.quantile_ms(0.50),
        p95_ms=tally.quantile_ms(0.95),
        p99_ms=tally.quantile_ms(0.99),
    )
