"""What is read of an event and what is refused, the same way one by one and by the fetch."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.core.events import MAX_EVENT_BYTES
from guardian.errors import DecodeError, DecodeReason
from guardian.wire.events import decode_hot, decode_migration, decode_telemetry

PLAIN = b'{"ts": 1763700000.5, "flag": "f", "variant": "on", "outcome": "ok", "latency_ms": 12.7}'


def telemetry(**fields: Any) -> bytes:
    event = {"ts": 1763700000.5, "flag": "f", "variant": "on", "outcome": "ok", **fields}
    return json.dumps({name: value for name, value in event.items() if value is not ...}).encode()


GOOD = [
    PLAIN,
    telemetry(latency_ms=None, error_type=None, assignment="split", flag_version=1763699000456),
    telemetry(attributes={"region": "eu"}, something_new=[1, {"a": 2}]),
    telemetry(flag=..., variant=..., flags={"a": "on", "b": "off"}, outcome="error", error_type="Timeout"),
    telemetry(metrics={"cache_hit": 1}),
    b'{"ts": 1, "kind": "gauge", "service": "s", "instance": "i", "flag": "f", "metrics": {"memory_bytes": 8.1e8}}',
    b'{"ts": 1, "kind": "heartbeat", "service": "s", "instance": "i", "flags": {"f": 17}, "dropped": 0}',
    b'{"ts": 1, "kind": "feedback", "flag": "f", "variant": "on", "feedback": "complaint", "severity": "warning"}',
    b'{"ts": 1, "kind": "exposure", "flag": "f", "variant": "off", "assignment": "outside", "subject": "u"}',
    b' \n{"ts": 1, "flag": "f",\n "variant": "on", "outcome": "ok"}\n',
]

BAD = [
    (b"", DecodeReason.MALFORMED_JSON),
    (b"{", DecodeReason.MALFORMED_JSON),
    (PLAIN + b"," + PLAIN, DecodeReason.MALFORMED_JSON),
    (PLAIN + b"\n" + PLAIN, DecodeReason.MALFORMED_JSON),
    (b'{"ts": 1, "x": ' + b"[" * 30_000, DecodeReason.MALFORMED_JSON),
    (b"[1]", DecodeReason.WRONG_TYPE),
    (b'{"ts": 1, "flag": "\xff\xfe", "variant": "on", "outcome": "ok"}', DecodeReason.BAD_FLAG_NAME),
    (b'{"ts": 1, "flag": "f", "variant": "\xff\xfe", "outcome": "ok"}', DecodeReason.BAD_VALUE),
    (telemetry(ts="now"), DecodeReason.WRONG_TYPE),
    (telemetry(ts=True), DecodeReason.WRONG_TYPE),
    (telemetry(flag=7), DecodeReason.WRONG_TYPE),
    (telemetry(flag=..., flags=["f"]), DecodeReason.WRONG_TYPE),
    (telemetry(variant=True), DecodeReason.WRONG_TYPE),
    (telemetry(variant="v" * 129), DecodeReason.BAD_VALUE),
    (telemetry(variant="ж" * 65), DecodeReason.BAD_VALUE),
    (telemetry(ts=...), DecodeReason.MISSING_FIELD),
    (telemetry(flag=...), DecodeReason.MISSING_FIELD),
    (telemetry(variant=...), DecodeReason.MISSING_FIELD),
    (telemetry(outcome=...), DecodeReason.MISSING_FIELD),
    (telemetry(kind="gauge", service="s"), DecodeReason.MISSING_FIELD),
    (telemetry(flag=""), DecodeReason.BAD_FLAG_NAME),
    (telemetry(flag="a b"), DecodeReason.BAD_FLAG_NAME),
    (telemetry(flag="_beat"), DecodeReason.BAD_FLAG_NAME),
    (telemetry(flag="f\n"), DecodeReason.BAD_FLAG_NAME),
    (telemetry(flag="x" * 129), DecodeReason.BAD_FLAG_NAME),
    (telemetry(flag=..., flags={"a/b": "on"}), DecodeReason.BAD_FLAG_NAME),
    (telemetry(outcome="fine"), DecodeReason.BAD_VALUE),
    (telemetry(outcome=7), DecodeReason.WRONG_TYPE),
    (telemetry(kind="rumour", outcome=...), DecodeReason.BAD_VALUE),
    (telemetry(kind="gauge", service="s", instance="i", metrics={"m": None}), DecodeReason.MISSING_FIELD),
    (telemetry(ts=-1), DecodeReason.BAD_VALUE),
    (telemetry(ts=1763700000500), DecodeReason.TIME_IN_MILLISECONDS),
    (telemetry(note="x" * MAX_EVENT_BYTES), DecodeReason.TOO_LARGE),
]


@pytest.mark.parametrize("value", GOOD)
def test_a_good_event_is_read(value: bytes) -> None:
    assert decode_telemetry(value, 1763700000000, 60_000).ts > 0


@pytest.mark.parametrize(("value", "reason"), BAD)
def test_a_bad_event_is_refused_with_its_reason(value: bytes, reason: DecodeReason) -> None:
    with pytest.raises(DecodeError) as found:
        decode_telemetry(value)
    assert found.value.reason is reason


def test_an_event_may_lie_ahead_of_its_arrival_by_the_bound_and_no_more() -> None:
    assert decode_telemetry(telemetry(ts=160.0), 100_000, 60_000).ts == 160.0
    with pytest.raises(DecodeError) as found:
        decode_telemetry(telemetry(ts=160.001), 100_000, 60_000)
    assert found.value.reason is DecodeReason.TIME_IN_FUTURE


def test_a_migration_event_without_time_happened_when_it_arrived() -> None:
    event = decode_migration(b'{"component": "c", "event_type": "success"}', 1763700000250, 60_000)
    assert event.ts == 1763700000.25


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"event_type": "failure"}', DecodeReason.MISSING_FIELD),
        (b'{"component": "c"}', DecodeReason.MISSING_FIELD),
        (b'{"component": "c", "event_type": "dual_run"}', DecodeReason.MISSING_FIELD),
        (b'{"component": "c", "event_type": "maybe"}', DecodeReason.BAD_VALUE),
        (b'{"component": "c", "event_type": "dual_run", "match": "yes"}', DecodeReason.MISSING_FIELD),
        (b'{"component": "c", "event_type": "failure", "variant": 7}', DecodeReason.WRONG_TYPE),
        (b'{"component": "c", "event_type": "failure", "metadata": {"feature_flag_enabled": "no"}}',
         DecodeReason.WRONG_TYPE),
        (b'{"flag": "a b", "event_type": "failure"}', DecodeReason.BAD_FLAG_NAME),
        (b'{"component": "c", "event_type": "failure", "ts": 1763700000500}', DecodeReason.TIME_IN_MILLISECONDS),
    ],
)  # fmt: skip
def test_a_bad_migration_event_is_refused_with_its_reason(value: bytes, reason: DecodeReason) -> None:
    with pytest.raises(DecodeError) as found:
        decode_migration(value)
    assert found.value.reason is reason


@pytest.mark.parametrize(
    "values",
    [
        [PLAIN, b'{"ts":1,"x":[{}', b"{}]}", PLAIN + b"," + PLAIN],
        [b'{"ts":1,"x":"}', b'{"}', b'{"ts":1}{"ts":2}'],
        [b'{"ts":1', b'"flag":"f"}', b'{"ts":1},{"ts":2}'],
        [b"", b'{"ts":1}\n{"ts":2}'],
        [b'{"ts":1,"x":{}', b"}", b'{"ts":1} {"ts":2}'],
        [PLAIN, b""],
        [PLAIN, b" "],
        [b'{"ts":1}}', b'{{"ts":1}'],
    ],
)
def test_messages_that_are_no_events_by_themselves_do_not_become_events_together(values: list[bytes]) -> None:
    assert decode_hot(values) is None


FRAGMENTS = st.sampled_from(
    [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\n", b" ", b"{}", b'"x"', b'"ts":1', b'{"ts":1}', b'"x":', b"1", b"\\"]
)


@given(st.lists(st.lists(FRAGMENTS, max_size=6).map(b"".join), min_size=1, max_size=5))
def test_a_fetch_is_taken_whole_only_when_every_message_in_it_is_an_event(values: list[bytes]) -> None:
    events = decode_hot(values)
    if events is not None:
        assert [event.ts for event in events] == [json.loads(value)["ts"] for value in values]


@given(st.lists(st.sampled_from([*GOOD[:5], *(value for value, _ in BAD)]), min_size=1, max_size=4))
def test_the_hot_path_refuses_a_fetch_for_no_other_reason_than_one_message_of_it(values: list[bytes]) -> None:
    if decode_hot(values) is None:
        assert any(decode_hot([value]) is None for value in values)
