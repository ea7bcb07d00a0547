"""What the fold says, as Kafka records: which topic, which key, JSON that a person can follow, and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from guardian.core.events import BEAT_KEY
from guardian.core.inputs import FreezeFlag
from guardian.core.outputs import (
    Alert,
    Beat,
    Decision,
    FlagChange,
    FlagFrozen,
    InputLeftOut,
    Output,
    Rollback,
    RolloutStatus,
)
from guardian.errors import DecodeError, InternalError
from guardian.wire.cloudevents import SOURCE_DECIDE, EventType, Headers, cloudevent_headers
from guardian.wire.flagd import flag_document
from guardian.wire.inputs import encode_payload
from guardian.wire.reasons import reason_of

T = TypeVar("T")

# Fields stay in their declared order, which reads best; the keys of free maps are sorted, so that the same output is
# the same bytes whoever writes it.
_encoder: Final = msgspec.json.Encoder(order="deterministic")
_status_decoder: Final = msgspec.json.Decoder(RolloutStatus)
_decision_decoder: Final = msgspec.json.Decoder(Decision)
_alert_decoder: Final = msgspec.json.Decoder(Alert)
_rollback_decoder: Final = msgspec.json.Decoder(Rollback)


@dataclass(frozen=True)
class Message:
    """A record to be written.

    Args:
        topic: the topic's short name in the catalogue, such as `flags`.
        key: the record's key.
        value: the record's value.
        headers: the record's headers.
        partition: where it goes; None for the partition of the key.
    """

    topic: str
    key: bytes
    value: bytes
    headers: Headers = field(default_factory=list)
    partition: int | None = None


def encode_output(output: Output) -> Message:
    """Return the record for one output of the fold; the same output gives the same bytes."""
    match output:
        case FlagChange():
            return _flag_message(output)
        case RolloutStatus():
            return _status_message(output)
        case Alert():
            return _alert_message(output)
        case Decision() | Rollback():
            return _message(output)
        case Beat():
            return _beat_message(output)
        case FlagFrozen() | InputLeftOut():
            return _failure_message(output)


def decode_status(value: bytes) -> RolloutStatus:
    """Return what stands on guardian.rollouts.

    Raises:
        DecodeError: not what this version of guardian writes.
    """
    return _decode(_status_decoder, value, "rollout status")


def decode_decision(value: bytes) -> Decision:
    """Return what stands on guardian.decisions.

    Raises:
        DecodeError: not what this version of guardian writes.
    """
    return _decode(_decision_decoder, value, "decision")


def decode_alert(value: bytes) -> Alert:
    """Return what stands on guardian.alerts.

    Raises:
        DecodeError: not what this version of guardian writes.
    """
    return _decode(_alert_decoder, value, "alert")


def decode_rollback(value: bytes) -> Rollback:
    """Return what stands on guardian.rollbacks.

    Raises:
        DecodeError: not what this version of guardian writes.
    """
    return _decode(_rollback_decoder, value, "rollback")


def _flag_message(change: FlagChange) -> Message:
    state = change.state
    headers = cloudevent_headers(EventType.FLAG_CHANGED, state.change_id, SOURCE_DECIDE, state.flag, state.changed_ms)
    # The document is built in a fixed order that reads well (state first), so it is not sorted again.
    return Message("flags", state.flag.encode(), msgspec.json.encode(flag_document(state)), headers)


def _status_message(status: RolloutStatus) -> Message:
    flag = status.state.flag
    # The status of one change is written many times: the moment makes the id unique.
    event_id = f"{status.state.change_id or flag}/{status.updated_ms}"
    headers = cloudevent_headers(EventType.ROLLOUT_REPORTED, event_id, SOURCE_DECIDE, flag, status.updated_ms)
    return Message("rollouts", flag.encode(), _encoder.encode(status), headers)


def _alert_message(alert: Alert) -> Message:
    # Raised and resolved are two events about one alert, so the state belongs to the event's id.
    event_type = EventType.ALERT_RAISED if alert.active else EventType.ALERT_RESOLVED
    event_id = f"{alert.id}/{'active' if alert.active else 'over'}/{alert.at_ms}"
    headers = cloudevent_headers(event_type, event_id, SOURCE_DECIDE, alert.flag, alert.at_ms)
    return Message("alerts", alert.id.encode(), _encoder.encode(alert), headers)


def _beat_message(beat: Beat) -> Message:
    value: dict[str, Any] = {"beat": True, "partition": beat.partition, "ts": beat.at_ms / 1_000, "lag_ms": beat.lag_ms}
    if beat.blind:
        value["blind"] = beat.blind
    return Message("flags", BEAT_KEY.encode(), msgspec.json.encode(value), [], beat.partition)


def _message(output: Decision | Rollback) -> Message:
    topic, event_type = "decisions", EventType.DECISION_MADE
    if isinstance(output, Rollback):
        topic, event_type = "rollbacks", EventType.ROLLBACK_MADE
    headers = cloudevent_headers(event_type, output.id, SOURCE_DECIDE, output.flag, output.at_ms)
    return Message(topic, output.flag.encode(), _encoder.encode(output), headers)


def _failure_message(output: FlagFrozen | InputLeftOut) -> Message:
    if isinstance(output, InputLeftOut):
        raise InternalError("an input that was left out is kept with its bytes, which are not part of the output")
    payload = FreezeFlag(output.flag, output.offset, output.build, output.error)
    return Message("inputs", b"", encode_payload(payload), [], output.partition)


def _decode(decoder: msgspec.json.Decoder[T], value: bytes, what: str) -> T:
    try:
        return decoder.decode(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(reason_of(error), f"{what}: {error}") from error
