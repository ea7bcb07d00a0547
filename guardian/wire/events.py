"""What applications send, read and checked: a telemetry or migration event, or a DecodeError that says why not.

What counts is counted (design.md, section 4): of an event whose time, flag, variant and outcome can be read, no other
field may cost the count. `decode_hot` takes a whole fetch at once and is a hot path (bench/ingest.py measures it);
`read_telemetry` takes one message, and leaves out what it cannot use. Both take the same messages for the same events.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct

from guardian.core.events import (
    MAX_EVENT_BYTES,
    MAX_FIGURE,
    MAX_FLAGS_PER_EVENT,
    MAX_FLAGS_PER_HEARTBEAT,
    MAX_NAME_BYTES,
    MAX_SUBJECT_BYTES,
    MAX_WHOLE,
    SECONDS_BOUND,
    Assignment,
    EventOutcome,
    Kind,
    MigrationType,
    OutcomeWord,
    SeverityWord,
    fit_text,
)
from guardian.errors import DecodeError, DecodeReason
from guardian.wire.event_faults import (
    MISSING,
    fault_of_flag,
    fault_of_time,
    fault_of_variant,
    fault_of_word,
    is_flag_name,
)
from guardian.wire.event_fields import Fields, parse_object, whole_number

AssignmentWord = Literal["split", "outside", "allow", "deny", "opt", "override", "killed", "default", "unattributed"]
KindWord = Literal["request", "exposure", "gauge", "feedback", "heartbeat"]
OUTCOMES: Final = tuple(outcome.value for outcome in EventOutcome)
_ASSIGNMENTS: Final = frozenset(Assignment)
_KINDS: Final = frozenset(Kind)
_SEVERITIES: Final = frozenset(("info", "warning", "critical"))

LeftOut = tuple[str, ...]
"""The names of the fields of an event that could not be used."""


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
    """One telemetry event as far as it can be used; every text and number is within its bound."""

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
    bye: bool | None = None
    open: int | None = None
    open_max_ms: float | None = None


class MigrationEvent(Struct):
    """One migration event; `ts` is the arrival when absent, `flag` follows from the component.

    `enabled` is metadata's `feature_flag_enabled`.
    """

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
    enabled: bool | None = None
    match: bool | None = None
    control_ms: float | None = None
    candidate_ms: float | None = None
    deviation: float | None = None
    cancelled: bool | None = None
    subject: str | None = None
    control_value: str | None = None
    candidate_value: str | None = None


TELEMETRY_FIELDS: Final = frozenset(TelemetryEvent.__struct_fields__) | {"subject", "attributes", "case", "request_id"}
MIGRATION_FIELDS: Final = (frozenset(MigrationEvent.__struct_fields__) - {"enabled"}) | {
    "instance",
    "metadata",
    "difference",
    "whole",
}
FIELDS: Final = TELEMETRY_FIELDS | MIGRATION_FIELDS
"""Every field that guardian knows by name."""

UNREADABLE: Final = HotEvent(ts=-1.0)
"""Stands for a message that the fast decoder does not take."""
_BEYOND: Final = 10**30
_LINE_BREAK, _OPENING, _CLOSING = b"\n{}"

_hot: Final = msgspec.json.Decoder(HotEvent)
_REFUSALS: Final = (TypeError, ValueError, msgspec.MsgspecError, RecursionError)


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
    except _REFUSALS:
        return None
    return events if len(events) == len(values) else None


def decode_apart(values: list[bytes]) -> list[HotEvent]:
    """Decode the messages of a fetch that `decode_hot` does not take: one event each, UNREADABLE for those at fault."""
    return [_decode_plain(value) or UNREADABLE for value in values]


def _decode_plain(value: bytes | None) -> HotEvent | None:
    if not value or len(value) > MAX_EVENT_BYTES:
        return None
    try:
        return _hot.decode(value)
    except _REFUSALS:
        return None


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


def is_plain(event: HotEvent) -> bool:
    """Whether the event is a request without anything that the hot path does not read, all of it within its bounds."""
    if event.kind not in (None, "request") or event.flags is not None or event.metrics is not None:
        return False
    if event.flag is None or event.variant is None or event.outcome is None or not is_flag_name(event.flag):
        return False
    if not 0 <= (event.flag_version or 0) <= MAX_WHOLE or not 0 <= (event.latency_ms or 0.0) <= MAX_FIGURE:
        return False
    return is_name(event.variant) and is_name(event.service or "")


def is_name(text: str) -> bool:
    """Whether a text that came as UTF-8 is short enough for a name."""
    return len(text) <= MAX_NAME_BYTES and (text.isascii() or len(text.encode()) <= MAX_NAME_BYTES)


def decode_telemetry(value: bytes | None, arrival_ms: int = 0, future_ms: int = 0) -> TelemetryEvent:
    """Return one telemetry event, as `read_telemetry` does, without the names of what was left out."""
    return read_telemetry(value, arrival_ms, future_ms)[0]


def decode_migration(value: bytes | None, arrival_ms: int = 0, future_ms: int = 0) -> MigrationEvent:
    """Return one migration event, as `read_migration` does, without the names of what was left out."""
    return read_migration(value, arrival_ms, future_ms)[0]


def read_telemetry(value: bytes | None, arrival_ms: int = 0, future_ms: int = 0) -> tuple[TelemetryEvent, LeftOut]:
    """Return one telemetry event, and the names of the fields that could not be used.

    Args:
        value: the message.
        arrival_ms: the broker's time stamp; 0 when unknown.
        future_ms: how far the event may lie after its arrival; looked at only when the arrival is known.

    Raises:
        DecodeError: what it counts for cannot be read, with the reason for the dead letter.
    """
    hot = _decode_plain(value)
    if hot is not None and is_plain(hot):
        check_time(hot.ts, arrival_ms, future_ms)
        return _widened(hot), ()
    fields = Fields(parse_object(value))
    return telemetry_of(fields, arrival_ms, future_ms), tuple(fields.left_out)


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
        error_type=hot.error_type and fit_text(hot.error_type, MAX_NAME_BYTES),
    )


def telemetry_of(fields: Fields, arrival_ms: int, future_ms: int) -> TelemetryEvent:
    """Return the telemetry event that these fields make; `fields` then names what was left out.

    Raises:
        DecodeError: what it counts for cannot be read.
    """
    ts = _time(fields)
    check_time(ts, arrival_ms, future_ms)
    event = TelemetryEvent(
        ts,
        kind=_kind(fields),
        latency_ms=fields.number("latency_ms"),
        service=fields.text("service"),
        instance=fields.text("instance"),
        flag_version=fields.whole("flag_version"),
        assignment=fields.word("assignment", _ASSIGNMENTS),
        error_type=fields.text("error_type"),
        metrics=fields.figures("metrics"),
        feedback=fields.text("feedback"),
        severity=fields.word("severity", _SEVERITIES),
    )
    if event.kind == "heartbeat":
        _read_heartbeat(fields, event)
    else:
        _read_flags(fields, event)
    if event.kind in (None, "request"):
        event.outcome = _outcome(fields)
    elif event.kind == "gauge":
        _need(event, "service", "instance", "metrics")
    for name, most_bytes in (("subject", MAX_SUBJECT_BYTES), ("case", MAX_NAME_BYTES), ("request_id", MAX_NAME_BYTES)):
        fields.text(name, most_bytes)
    fields.scalars("attributes")
    return event


def read_migration(value: bytes | None, arrival_ms: int = 0, future_ms: int = 0) -> tuple[MigrationEvent, LeftOut]:
    """Return one migration event, and the names of the fields that could not be used; without `ts` it is its arrival.

    Args:
        value: the message.
        arrival_ms: the broker's time stamp; 0 when unknown.
        future_ms: how far the event may lie after its arrival; looked at only when the arrival is known.

    Raises:
        DecodeError: what it counts for cannot be read, with the reason for the dead letter.
    """
    fields = Fields(parse_object(value))
    return migration_of(fields, arrival_ms, future_ms), tuple(fields.left_out)


def migration_of(fields: Fields, arrival_ms: int, future_ms: int) -> MigrationEvent:
    """Return the migration event that these fields make; `fields` then names what was left out.

    Raises:
        DecodeError: what it counts for cannot be read.
    """
    kind = _essential_word(fields, "event_type", tuple(MigrationType))
    ts = _migration_time(fields, arrival_ms)
    check_time(ts, arrival_ms, future_ms)
    event = MigrationEvent(
        kind,
        ts,
        component=fields.name("component"),
        duration=fields.number("duration"),
        service=fields.text("service"),
        flag_version=fields.whole("flag_version"),
        assignment=fields.word("assignment", _ASSIGNMENTS),
        error_type=fields.text("error_type"),
        control_ms=fields.number("control_ms"),
        candidate_ms=fields.number("candidate_ms"),
        deviation=fields.number("deviation"),
        cancelled=fields.truth("cancelled"),
        subject=fields.text("subject", MAX_SUBJECT_BYTES),
        control_value=fields.value("control_value"),
        candidate_value=fields.value("candidate_value"),
    )
    _read_whose(fields, event)
    _read_variant(fields, event)
    event.match = fields.truth("match")
    if kind == "dual_run" and event.match is None and not event.cancelled:
        fix = "say in match whether both gave the same: true or false"
        raise DecodeError(DecodeReason.MISSING_FIELD, "a dual_run without match", fix)
    for name in ("instance", "difference"):
        fields.text(name, MAX_EVENT_BYTES)
    fields.truth("whole")
    return event


def _read_whose(fields: Fields, event: MigrationEvent) -> None:
    """The flag, or else the component: an unusable flag costs nothing where the component says whose event it is."""
    flag = fields.given.get("flag")
    fault = None if flag is None else fault_of_flag(flag)
    if fault is None:
        event.flag = flag
    elif event.component is None:
        raise fault
    else:
        fields.leave_out("flag")
    if event.flag is None and event.component is None:
        if "component" in fields.left_out:
            raise DecodeError(DecodeReason.BAD_VALUE, f"component is no text of at most {MAX_NAME_BYTES} bytes")
        raise DecodeError(DecodeReason.MISSING_FIELD, "neither flag nor component", "say which rollout it is about")


def _read_variant(fields: Fields, event: MigrationEvent) -> None:
    """The variant, or what metadata says of it: one that cannot be read is never taken for the candidate."""
    given = fields.given.get("variant")
    if given is not None and (fault := fault_of_variant("the event", given)):
        raise fault
    event.variant = given
    enabled = fields.entries("metadata").get("feature_flag_enabled")
    if enabled is None or isinstance(enabled, bool):
        event.enabled = enabled
    elif given is None:
        message = "metadata.feature_flag_enabled is neither true nor false"
        raise DecodeError(DecodeReason.WRONG_TYPE, message, "send true or false, without quotes")
    else:
        fields.leave_out("metadata")


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
        raise DecodeError(DecodeReason.TIME_IN_MILLISECONDS, f"ts is {ts:.15g}", "send Unix seconds, not milliseconds")
    if not ts >= 0:
        raise DecodeError(DecodeReason.BAD_VALUE, f"ts is {ts}, before 1970")
    if arrival_ms > 0 and ts * 1000 > arrival_ms + future_ms:
        ahead = ts - arrival_ms / 1000
        raise DecodeError(DecodeReason.TIME_IN_FUTURE, f"ts is {ahead:.1f} s after its arrival", "set the clock")


def _time(fields: Fields) -> float:
    if not fields.is_number("ts"):
        raise fault_of_time(fields.given.get("ts"))
    return float(max(-_BEYOND, min(fields.given["ts"], _BEYOND)))  # a whole number may be beyond any float


def _migration_time(fields: Fields, arrival_ms: int) -> float:
    """The time; its arrival where the event has none, or none that can be read."""
    if fields.is_number("ts") or (fields.has("ts") and not arrival_ms):
        return _time(fields)
    if fields.has("ts"):
        fields.leave_out("ts")
    return arrival_ms / 1000


def _kind(fields: Fields) -> Any:
    """The kind; one that is not known is left out where an outcome says that it is a request all the same."""
    kind = fields.word("kind", _KINDS)
    if kind is None and fields.has("kind") and fields.given.get("outcome") not in OUTCOMES:
        raise fault_of_word("kind", fields.given["kind"])
    return kind


def _outcome(fields: Fields) -> Any:
    return _essential_word(fields, "outcome", OUTCOMES)


def _essential_word(fields: Fields, name: str, words: tuple[str, ...]) -> Any:
    given = fields.given.get(name)
    if given is None:
        raise DecodeError(DecodeReason.MISSING_FIELD, f"{name} is missing", MISSING[name])
    if not isinstance(given, str) or given not in words:
        raise fault_of_word(name, given)
    return given


def _read_flags(fields: Fields, event: TelemetryEvent) -> None:
    """The flags that the event counts for, each with its variant; one that cannot be read costs itself only.

    Raises:
        DecodeError: not one of them can be read.
    """
    is_gauge = event.kind == "gauge"
    faults: list[DecodeError] = []
    found: dict[str, str | int] = {}
    flag = fields.given.get("flag")
    if flag is not None:
        fault = fault_of_flag(flag) or (None if is_gauge else fault_of_variant(flag, fields.given.get("variant")))
        if fault is None:
            event.flag = flag
        else:
            faults.append(fault)
            fields.leave_out("flag")
    for name, variant in fields.entries("flags").items():
        fault = fault_of_flag(name) or (None if is_gauge else fault_of_variant(name, variant))
        if fault is None and len(found) + (event.flag is not None) >= MAX_FLAGS_PER_EVENT:
            fault = DecodeError(DecodeReason.BAD_VALUE, f"more than {MAX_FLAGS_PER_EVENT} flags")
        if fault is None:
            found[name] = "" if is_gauge else variant
        else:
            faults.append(fault)
            fields.leave_out("flags")
    event.flags = found or None
    event.variant = fields.given.get("variant") if event.flag is not None and not is_gauge else None
    if event.flag is None and not found:
        raise faults[0] if faults else _no_flag(fields, is_gauge=is_gauge)


def _no_flag(fields: Fields, *, is_gauge: bool) -> DecodeError:
    if "flags" in fields.left_out:
        return DecodeError(DecodeReason.WRONG_TYPE, "flags is no object", "send each flag with its variant")
    if is_gauge:
        fix = "name the flag whose rollout shall be judged by it; several in flags"
        return DecodeError(DecodeReason.MISSING_FIELD, "a gauge with neither flag nor flags", fix)
    return DecodeError(DecodeReason.MISSING_FIELD, "neither flag nor flags", "say which flag was evaluated")


def _read_heartbeat(fields: Fields, event: TelemetryEvent) -> None:
    """What only a heartbeat says: the version of each flag, what was lost, and what is still open."""
    _need(event, "service", "instance")
    flags: dict[str, str | int] = {}
    for name, given in fields.entries("flags").items():
        version = whole_number(given)
        if version is None or fault_of_flag(name) or len(flags) >= MAX_FLAGS_PER_HEARTBEAT:
            fields.leave_out("flags")
        else:
            flags[name] = version
    event.flags = flags or None
    event.dropped = fields.whole("dropped")
    event.evaluation_errors = fields.whole("evaluation_errors")
    event.memory_bytes = fields.number("memory_bytes")
    event.cpu_pct = fields.number("cpu_pct")
    event.bye = fields.truth("bye")
    event.open = fields.whole("open")
    event.open_max_ms = fields.number("open_max_ms")


def _need(event: TelemetryEvent, *names: str) -> None:
    for name in names:
        if not getattr(event, name) and getattr(event, name) != "":
            raise DecodeError(DecodeReason.MISSING_FIELD, f"{name} is missing", MISSING[name])
