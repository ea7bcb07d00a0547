"""One output of each kind, as the fold gives them."""

from __future__ import annotations

from typing import Any, Final

from guardian.core.inputs import Actor
from guardian.core.outputs import (
    Alert,
    Beat,
    Decision,
    Evidence,
    Figures,
    FlagChange,
    FlagState,
    Output,
    Rollback,
    RolloutStatus,
    RuleStatus,
    StepStatus,
    Verdict,
)
from guardian.core.words import Action, Outcome, Phase, Reason, Severity

AT_MS: Final = 1_763_699_000_456
GUARDIAN: Final = Actor("guardian", "guardian", True)
EVIDENCE: Final = Evidence("error_rate", 0.073, 0.05, ">", 4120, 100, AT_MS - 60_000, AT_MS, 300_000, 300_000, 0, 812)


def flag_state(**changes: Any) -> FlagState:
    """A flag at 5 %, with changes."""
    values: dict[str, Any] = {
        "flag": "new-pricing",
        "epoch": 0,
        "version": AT_MS,
        "change_id": "new-pricing/1/812/0",
        "changed_ms": AT_MS,
        "attempt": 1,
        "phase": Phase.PROGRESSING,
        "step": "canary",
        "weight_bp": 500,
        "control": "off",
        "candidate": "on",
        "values": {"on": True, "off": False},
        "salt": "new-pricing",
        "killed": False,
        "env_prefix": "",
        "reason": Reason.STARTED,
    }
    return FlagState(**{**values, **changes})


def status(**changes: Any) -> RolloutStatus:
    """A rollout that bakes."""
    verdict = Verdict(Outcome.PASS, Reason.WITHIN_LIMIT, "error_rate 0.4% <= 5% (n=4,120)", EVIDENCE)
    values: dict[str, Any] = {
        "state": flag_state(),
        "spec": {"flag": "new-pricing", "steps": [{"weight": "5%"}]},
        "revision": "0f1e2d3c4b5a6978",
        "owner": "checkout-team",
        "outcome": Outcome.INCONCLUSIVE,
        "reason": Reason.BAKING,
        "text": "baked 12m of 1h",
        "steps": [StepStatus("canary", 500, 3_600_000, "current")],
        "missing": ["12m of the bake of 1h is over"],
        "gates": [],
        "triggers": [RuleStatus("errors", "error_rate > 5%", verdict)],
        "figures": {"on": Figures(4120, 16, 0, 11.2, 31.0, None), "off": Figures(80_000)},
        "baked_ms": 720_000,
        "bake_ms": 3_600_000,
        "since_ms": AT_MS,
        "updated_ms": AT_MS + 1,
        "watermark_ms": AT_MS - 2_000,
        "lag_ms": 2_001,
    }
    return RolloutStatus(**{**values, **changes})


def alert(**changes: Any) -> Alert:
    """A trigger that fired."""
    values: dict[str, Any] = {
        "id": f"new-pricing/1/errors/{AT_MS}",
        "flag": "new-pricing",
        "attempt": 1,
        "trigger": "errors",
        "severity": Severity.CRITICAL,
        "tell": "on-call",
        "do": Action.ROLLBACK,
        "active": True,
        "onset_ms": AT_MS,
        "at_ms": AT_MS,
        "text": "error_rate 7.3% > 5% for 5m (n=4,120)",
        "evidence": EVIDENCE,
    }
    return Alert(**{**values, **changes})


DECISION: Final = Decision(
    id="new-pricing/1/812/1",
    flag="new-pricing",
    attempt=1,
    at_ms=AT_MS,
    outcome=Outcome.FAIL,
    reason=Reason.TRIGGER_FIRED,
    text="error_rate 7.3% > 5% for 5m (n=4,120)",
    from_phase=Phase.PROGRESSING,
    phase=Phase.ROLLED_BACK,
    step="canary",
    from_weight_bp=500,
    weight_bp=0,
    epoch=0,
    version=AT_MS,
    change_id="new-pricing/1/812/0",
    actor=GUARDIAN,
    command="",
    command_id="",
    accepted=True,
    trigger="errors",
    evidence=EVIDENCE,
    partition=0,
    offset=812,
)
ROLLBACK: Final = Rollback(
    id="new-pricing/1/812/2",
    flag="new-pricing",
    attempt=1,
    at_ms=AT_MS,
    change_id="new-pricing/1/812/0",
    epoch=0,
    version=AT_MS,
    from_step="canary",
    to_step="",
    from_weight_bp=500,
    to_weight_bp=0,
    trigger="errors",
    reason=Reason.TRIGGER_FIRED,
    text="error_rate 7.3% > 5% for 5m (n=4,120)",
    actor=GUARDIAN,
    evidence=EVIDENCE,
)
OUTPUTS: Final[list[Output]] = [
    FlagChange(flag_state()),
    FlagChange(flag_state(weight_bp=0, phase=Phase.ROLLED_BACK, reason=Reason.TRIGGER_FIRED)),
    FlagChange(flag_state(killed=True, reason=Reason.KILLED)),
    status(),
    DECISION,
    alert(),
    alert(active=False, at_ms=AT_MS + 5),
    ROLLBACK,
    Beat(3, AT_MS),
]
