"""A rollout's status with everything in it, for the tests of what is shown."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from guardian.core.outputs import (
    Evidence,
    Figures,
    FlagState,
    RolloutStatus,
    RuleStatus,
    StepStatus,
    Verdict,
)
from guardian.core.words import Outcome, Phase, Reason

AT_MS = 1_763_700_000_000


def flag_state(**changes: Any) -> FlagState:
    """Return a flag's state; `changes` are fields that differ."""
    state = FlagState(
        flag="new-pricing",
        epoch=0,
        version=AT_MS,
        change_id="new-pricing/1/0.1",
        changed_ms=AT_MS,
        attempt=1,
        phase=Phase.PROGRESSING,
        step="early",
        weight_bp=2_500,
        control="off",
        candidate="on",
        values={"on": True, "off": False},
        salt="new-pricing",
        killed=False,
        env_prefix="",
        reason=Reason.GATES_PASSED,
    )
    return replace(state, **changes)


def status(state: FlagState | None = None, **changes: Any) -> RolloutStatus:
    """Return a rollout's status; `changes` are fields that differ."""
    passed = Verdict(Outcome.PASS, Reason.WITHIN_LIMIT, "error_rate 0.02% < 0.1% in this step (n=4,120)", Evidence())
    holding = Verdict(
        Outcome.INCONCLUSIVE, Reason.HOLDING, "p99_latency 310ms > 300ms for 2m of 5m (n=900)", Evidence()
    )
    found = RolloutStatus(
        state=state or flag_state(),
        spec={"flag": "new-pricing", "steps": []},
        revision="ac16157bc67f93c9",
        owner="checkout-team",
        outcome=Outcome.INCONCLUSIVE,
        reason=Reason.BAKING,
        text="1h of the bake of 4h is over",
        steps=[
            StepStatus("canary", 500, 3_600_000, "done"),
            StepStatus("early", 2_500, 14_400_000, "current"),
            StepStatus("full", 10_000, 86_400_000, "ahead"),
        ],
        missing=["1h of the bake of 4h is over", "trigger slow is close to firing"],
        gates=[RuleStatus("errors", "error_rate < 0.1%", passed)],
        triggers=[RuleStatus("slow", "p99_latency > 300ms for 5 minutes", holding)],
        figures={"on": Figures(4_120, 1, 0, 11.0, 40.5, 310.0), "off": Figures(12_300, 2, 0, 12.0, 44.0, 280.0)},
        baked_ms=3_600_000,
        bake_ms=14_400_000,
        since_ms=AT_MS,
        updated_ms=AT_MS + 60_000,
        watermark_ms=AT_MS + 58_000,
        lag_ms=2_100,
        late_count=3,
        stale_version_count=17,
    )
    return replace(found, **changes)
