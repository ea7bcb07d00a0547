"""What applications send, read and checked: a telemetry or migration event, or a DecodeError that says why not.

Both ways of reading telemetry accept and refuse the same messages: `decode_hot` takes a whole fetch at once and is a
hot path (bench/ingest.py measures it), `decode_telemetry` takes one message.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from guardian.core.events import MAX_EVENT_BYTES, EventOutcome, OutcomeWord, SeverityWord
from guardian.core.words import FLAG_NAME_PATTERN
from guardian.errors import DecodeError, DecodeReason
from guardian.wire.event_faults import MISSING, fault_of

T = TypeVar("T")

MAX_NAME_CHARS: Final = 128
"""Longest variant, service, instance, component or metric name."""
MAX_FLAGS_PER_EVENT: Final = 64
MAX_METRICS_PER_EVENT: Final = 32
MAX_VERSION: Final = 2**63 - 1
SECONDS_BOUND: Final = 1e11
"""A greater time stamp is in milliseconds: as seconds it would lie in the year 5138."""

AssignmentWord = Literal["split", "outside", "allow", "deny", "opt", "override", "killed", "default", "unattributed"]
KindWord = Literal["request", "exposure", "gauge", "feedback", "heartbeat"]
OUTCOMES: Final = tuple(outcome.value for outcome in EventOutcome)

is_flag_name: Final = re.compile(FLAG_NAME_PATTERN).fullmatch


class Present(Struct, frozen=True):
    """An object that is there, its content not read: all instances are equal, and it can be part of a key."""


class HotEvent(Struct, gc=False):
    """The fields that decide what a plain request counts for, in the order in which the SDK writes them."""

    ts: float
    flag: str | None = None
    variant: str | None = None
    outcome: OutcomeWord | None = None
    latency_ms: float | None = None
    service: str | None = None
    flag_version: int | None = None
    assignment: AssignmentWord | None = None
    error_type: str | None = None
    kind: KindWord | None = None
    flags: Present | None = None
    metrics: Present | None = None


class TelemetryEvent(Struct):
    """One telemetry event in full; fields that are not known are left alone (design.md, section 4)."""

    ts: float
    kind: KindWord | None = None
    flag: str | None = None
    flags: dict[str, str | int] | None = None
    variant: str | None = None
    outcome: OutcomeWord | None = None
    latency_ms: float | None = None
    service: str | None = None
    instance: str | None = None
    flag_version: int | None = None
    assignment: AssignmentWord | None = None
    error_type: str | None = None
    metrics: dict[str, float] | None = None
    feedback: str | None = None
    severity: SeverityWord | None = None
    dropped: int | None = None
    evaluation_errors: int | None = None
    memory_bytes: float | None = None
    cpu_pct: float | None = None


class MigrationMetadata(Struct):
    """What is read of a migration event's metadata."""

    feature_flag_enabled: bool | None = None


class MigrationEvent(Struct):
    """One migration event; `ts` is the arrival when absent, `flag` follows from the component."""

    event_type: Literal["success", "failure", "fallback", "dual_run"]
    ts: float | None = None
    component: str | None = None
    flag: str | None = None
    variant: str | None = None
    duration: float | None = None
    service: str | None = None
    flag_version: int | None = None
    assignment: AssignmentWord | None = None
    error_type: str | None = None
    metadata: MigrationMetadata | None = None
    match: bool | None = None
    control_ms: float | None = None
    candidate_ms: float | None = None
    deviation: float | None = None


_LINE_BREAK, _OPENING, _CLOSING = b"\n{}"

_hot: Final = msgspec.json.Decoder(HotEvent)
_telemetry: Final = msgspec.json.Decoder(TelemetryEvent)
_migration: Final = msgspec.json.Decoder(MigrationEvent)


def decode_hot(values: list[bytes]) -> list[HotEvent] | None:
    """Decode a whole fetch at once.

    Args:
        values: the messages, none of them checked.

    Returns:
        one event per message, or None when at least one of them needs to be looked at by itself.

    The messages are joined by line breaks. No message may contain one, and at each line break the message before must
    end with `}` and the one after begin with `{`: no JSON value has `}`, white space, `{` inside it, so an event can
    neither reach over a border nor swallow one. Each message is then at least one event; as many events as
    messages means exactly one each. (Joined by commas, `{"a":[{}` and `{}],"ts":1}` would pass as one.)
    """
    try:
        blob = b"\n".join(values)
        if not _borders_hold(blob, values):
            return None
        events = _hot.decode_lines(blob)
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError):
        return None
    return events if len(events) == len(values) else None


def _borders_hold(blob: bytes, values: list[bytes]) -> bool:
    """Whether the only line breaks are the borders between messages, each between `}` and `{`, none too large."""
    size = np.fromiter(map(len, values), np.int64, len(values))
    if blob[:1] != b"{" or blob[-1:] != b"}" or size.max() > MAX_EVENT_BYTES:
        return False
    text = np.frombuffer(blob, np.uint8)
    borders = (size + 1).cumsum()[:-1] - 1
    if np.count_nonzero(text == _LINE_BREAK) != len(borders):
        return False
    return bool((text[borders - 1] == _CLOSING).all() and (text[borders + 1] == _OPENING).all())


def decode_telemetry(value: bytes | None, arrival_ms: int = 0, future_ms: int = 0) -> TelemetryEvent:
    """Return one telemetry event, checked whole.

    Args:
        value: the message.
        arrival_ms: the broker's time stamp; 0 when unknown.
        future_ms: how far the event may lie after its arrival; looked at only when the arrival is known.

    Raises:
        DecodeError: not an event, with the reason for the dead letter.
    """
    hot = _decode(_hot, value)
    check_time(hot.ts, arrival_ms, future_ms)
    # What a plain request is refused for must not depend on the road it came by: only what the hot path reads.
    event = _widened(hot) if is_plain(hot) else _decode(_telemetry, value)
    _check_common(event)
    if event.kind == "heartbeat":
        _check_heartbeat(event)
    else:
        _check_flags(event)
    if event.kind == "gauge":
        _need(event, "service", "instance", "metrics")
    elif event.kind in (None, "request"):
        _need(event, "outcome")
    return event


def decode_migration(value: bytes | None, arrival_ms: int = 0, future_ms: int = 0) -> MigrationEvent:
    """Return one migration event, checked whole; its `ts` is the arrival when it has none.

    Args:
        value: the message.
        arrival_ms: the broker's time stamp; 0 when unknown.
        future_ms: how far the event may lie after its arrival; looked at only when the arrival is known.

    Raises:
        DecodeError: not an event, with the reason for the dead letter.
    """
    event = _decode(_migration, value)
    if event.ts is None:
        event.ts = arrival_ms / 1000
    check_time(event.ts, arrival_ms, future_ms)
    if event.flag is None and event.component is None:
        raise DecodeError(DecodeReason.MISSING_FIELD, "neither flag nor component", "say which rollout it is about")
    if event.flag is not None:
        _check_flag_name(event.flag)
    if event.event_type == "dual_run" and event.match is None:
        fix = "say in match whether both gave the same: true or false"
        raise DecodeError(DecodeReason.MISSING_FIELD, "a dual_run without match", fix)
    _check_short(event, "component", "variant", "service")
    _check_positive(event, "duration", "control_ms", "candidate_ms", "flag_version")
    return event


def is_plain(event: HotEvent) -> bool:
    """Whether the event is a request without anything that the hot path does not read."""
    return event.kind in (None, "request") and event.flags is None and event.metrics is None


def _widened(hot: HotEvent) -> TelemetryEvent:
    return TelemetryEvent(
        hot.ts,
        flag=hot.flag,
        variant=hot.variant,
        outcome=hot.outcome,
        latency_ms=hot.latency_ms,
        service=hot.service,
        flag_version=hot.flag_version,
        assignment=hot.assignment,
        error_type=hot.error_type,
    )


def check_time(ts: float, arrival_ms: int, future_ms: int) -> None:
    """Refuse a time stamp that cannot be meant.

    Args:
        ts: Unix seconds.
        arrival_ms: the broker's time stamp; 0 when unknown.
        future_ms: the greatest distance after the arrival.

    Raises:
        DecodeError: TIME_IN_MILLISECONDS, TIME_IN_FUTURE or BAD_VALUE.
    """
    if ts >= SECONDS_BOUND:
        raise DecodeError(DecodeReason.TIME_IN_MILLISECONDS, f"ts is {ts:.0f}", "send Unix seconds, not milliseconds")
    if ts < 0:
        raise DecodeError(DecodeReason.BAD_VALUE, f"ts is {ts}, before 1970")
    if arrival_ms > 0 and ts * 1000 > arrival_ms + future_ms:
        ahead = ts - arrival_ms / 1000
        raise DecodeError(DecodeReason.TIME_IN_FUTURE, f"ts is {ahead:.1f} s after its arrival", "set the clock")


def _decode(decoder: msgspec.json.Decoder[T], value: bytes | None) -> T:
    if not value:
        raise DecodeError(DecodeReason.MALFORMED_JSON, "an empty message")
    if len(value) > MAX_EVENT_BYTES:
        raise DecodeError(DecodeReason.TOO_LARGE, f"{len(value)} bytes, at most {MAX_EVENT_BYTES}")
    try:
        return decoder.decode(value)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:  # ValueError: not UTF-8
        raise fault_of(error, value) from error


def _check_common(event: TelemetryEvent) -> None:
    _check_short(event, "variant", "service", "instance")
    _check_positive(event, "latency_ms", "flag_version", "dropped", "evaluation_errors", "memory_bytes", "cpu_pct")
    metrics = event.metrics or {}
    if len(metrics) > MAX_METRICS_PER_EVENT:
        raise DecodeError(DecodeReason.BAD_VALUE, f"{len(metrics)} metrics, at most {MAX_METRICS_PER_EVENT}")
    for name, figure in metrics.items():
        if not 0 < len(name) <= MAX_NAME_CHARS:
            raise DecodeError(DecodeReason.BAD_VALUE, f"a metric's name has {len(name)} characters")
        if abs(figure) > 1e150:  # its square must be finite
            raise DecodeError(DecodeReason.BAD_VALUE, f"metric {name} is {figure}")


def _check_flags(event: TelemetryEvent) -> None:
    flags: dict[str, Any] = dict(event.flags or {})
    if event.flag is not None:
        flags[event.flag] = "" if event.kind == "gauge" else event.variant
    if not flags and event.kind == "gauge":
        fix = "name the flag whose rollout shall be judged by it; several in flags"
        raise DecodeError(DecodeReason.MISSING_FIELD, "a gauge with neither flag nor flags", fix)
    if not flags:
        raise DecodeError(DecodeReason.MISSING_FIELD, "neither flag nor flags", "say which flag was evaluated")
    if len(flags) > MAX_FLAGS_PER_EVENT:
        raise DecodeError(DecodeReason.BAD_VALUE, f"{len(flags)} flags, at most {MAX_FLAGS_PER_EVENT}")
    for flag, variant in flags.items():
        _check_flag_name(flag)
        if variant is None:
            raise DecodeError(DecodeReason.MISSING_FIELD, f"flag {flag} without a variant", "say which one was served")
        if not isinstance(variant, str):
            raise DecodeError(DecodeReason.WRONG_TYPE, f"the variant of {flag} is {variant!r}, not a name")
        if len(variant) > MAX_NAME_CHARS:
            raise DecodeError(DecodeReason.BAD_VALUE, f"the variant of {flag} has {len(variant)} characters")


def _check_heartbeat(event: TelemetryEvent) -> None:
    _need(event, "service", "instance")
    flags = event.flags or {}
    if len(flags) > MAX_FLAGS_PER_EVENT * 16:
        raise DecodeError(DecodeReason.BAD_VALUE, f"{len(flags)} flags, at most {MAX_FLAGS_PER_EVENT * 16}")
    for flag, version in flags.items():
        _check_flag_name(flag)
        if not isinstance(version, int) or not 0 <= version <= MAX_VERSION:
            raise DecodeError(DecodeReason.WRONG_TYPE, f"the version of {flag} is {version!r}, not a whole number")


def _check_flag_name(flag: str) -> None:
    if not is_flag_name(flag):
        raise DecodeError(DecodeReason.BAD_FLAG_NAME, f"{flag[:MAX_NAME_CHARS]!r}", f"a name is {FLAG_NAME_PATTERN}")


def _check_short(event: Struct, *names: str) -> None:
    for name in names:
        text = getattr(event, name)
        if text is not None and len(text) > MAX_NAME_CHARS:
            raise DecodeError(DecodeReason.BAD_VALUE, f"{name} has {len(text)} characters, at most {MAX_NAME_CHARS}")


def _check_positive(event: Struct, *names: str) -> None:
    for name in names:
        figure = getattr(event, name)
        if figure is not None and (figure < 0 or (isinstance(figure, int) and figure > MAX_VERSION)):
            fix = "send 0 or more" if figure < 0 else ""
            raise DecodeError(DecodeReason.BAD_VALUE, f"{name} is {figure}", fix)


def _need(event: Struct, *names: str) -> None:
    for name in names:
        if getattr(event, name) is None:
            raise DecodeError(DecodeReason.MISSING_FIELD, f"{name} is missing", MISSING[name])
