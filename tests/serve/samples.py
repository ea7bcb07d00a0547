"""Records as Kafka would give them, for the tests of the read models and of the page."""

from __future__ import annotations

from typing import Any

from aiokafka import ConsumerRecord
from msgspec.structs import replace

from guardian.core.inputs import Actor
from guardian.core.outputs import (
    Alert,
    Decision,
    Evidence,
    Figures,
    FlagChange,
    FlagState,
    Output,
    RolloutStatus,
    RuleStatus,
    StepStatus,
    Verdict,
)
from guardian.core.words import Action, Outcome, Phase, Reason, Severity
from guardian.wire.outputs import encode_output

AT_MS = 1_763_700_000_000


def state(flag: str = "a", **changes: Any) -> FlagState:
    """Return a flag's state; `changes` are fields that differ."""
    found = FlagState(
        flag=flag,
        epoch=0,
        version=AT_MS,
        change_id=f"{flag}/1/0.1",
        changed_ms=AT_MS,
        attempt=1,
        phase=Phase.PROGRESSING,
        step="canary",
        weight_bp=500,
        control="off",
        candidate="on",
        values={"off": False, "on": True},
        salt=flag,
        killed=False,
        env_prefix="",
        reason=Reason.STARTED,
    )
    return replace(found, **changes)


def status(flag: str = "a", **changes: Any) -> RolloutStatus:
    """Return a rollout's status; `changes` are fields that differ."""
    verdict = Verdict(Outcome.INCONCLUSIVE, Reason.HOLDING, "p99_latency 310ms > 300ms for 2m of 5m (n=900)")
    found = RolloutStatus(
        state=state(flag),
        spec={"flag": flag},
        revision="ac16157bc67f93c9",
        owner="checkout-team",
        outcome=Outcome.INCONCLUSIVE,
        reason=Reason.BAKING,
        text="15m of the bake of 1h is over",
        steps=[StepStatus("canary", 500, 3_600_000, "current"), StepStatus("full", 10_000, 0, "ahead")],
        missing=["15m of the bake of 1h is over"],
        gates=[],
        triggers=[RuleStatus("slow", "p99_latency > 300ms for 5 minutes", verdict)],
        figures={"on": Figures(4_120, 41, 0, 11.0, 40.5, 310.0), "off": Figures(12_300)},
        baked_ms=900_000,
        bake_ms=3_600_000,
        since_ms=AT_MS,
        updated_ms=AT_MS,
        watermark_ms=AT_MS,
        lag_ms=2_100,
    )
    return replace(found, **changes)


def decision(flag: str = "a", **changes: Any) -> Decision:
    """Return a decision; `changes` are fields that differ."""
    found = Decision(
        id=f"{flag}/1/7/1",
        flag=flag,
        attempt=1,
        at_ms=AT_MS,
        outcome=Outcome.PASS,
        reason=Reason.STARTED,
        text="started",
        from_phase=Phase.DRAFT,
        phase=Phase.PROGRESSING,
        step="canary",
        from_weight_bp=0,
        weight_bp=500,
        epoch=0,
        version=AT_MS,
        change_id=f"{flag}/1/0.1",
        actor=Actor("anna"),
        command="start",
        command_id="c1",
        accepted=True,
        trigger="",
        evidence=Evidence(),
        partition=0,
        offset=7,
    )
    return replace(found, **changes)


def alert(number: int = 1, **changes: Any) -> Alert:
    """Return an alert; `changes` are fields that differ."""
    found = Alert(
        id=f"a/1/slow/{number}",
        flag="a",
        attempt=1,
        trigger="slow",
        severity=Severity.CRITICAL,
        tell="on-call",
        do=Action.ROLLBACK,
        active=True,
        onset_ms=AT_MS,
        at_ms=AT_MS,
        text="p99_latency 310ms > 300ms",
        evidence=Evidence(),
    )
    return replace(found, **changes)


def record(output: Output | FlagState, *, offset: int = 0, timestamp: int = AT_MS) -> ConsumerRecord:
    """Return the record that carries an output."""
    message = encode_output(FlagChange(output) if isinstance(output, FlagState) else output)
    return raw(message.topic, message.key, message.value, offset=offset, timestamp=timestamp)


def raw(
    topic: str, key: bytes, value: bytes | None, *, offset: int = 0, timestamp: int = AT_MS, partition: int = 0
) -> ConsumerRecord:
    """Return a record of any content."""
    size = len(value or b"")
    return ConsumerRecord(f"guardian.{topic}", partition, offset, timestamp, 0, key, value, None, len(key), size, ())
