"""What the fold says becomes records that a person can follow and a machine can read back."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.core.outputs import Alert, Beat, Decision, FlagChange, Output, Rollback, RolloutStatus
from guardian.errors import DecodeError, DecodeReason
from guardian.wire.cloudevents import MAX_TIME_MS, EventType, cloudevent_headers, rfc3339
from guardian.wire.outputs import decode_alert, decode_decision, decode_rollback, decode_status, encode_output
from tests.wire.samples import AT_MS, DECISION, OUTPUTS, ROLLBACK, alert, flag_state, status
from tests.wire.test_schemas import validator

KINDS = [f"{number}-{type(output).__name__}" for number, output in enumerate(OUTPUTS)]


@pytest.mark.parametrize("output", OUTPUTS, ids=KINDS)
def test_what_is_written_passes_its_topics_schema(output: Output) -> None:
    message = encode_output(output)
    assert [error.message for error in validator(message.topic).iter_errors(json.loads(message.value))] == []


@pytest.mark.parametrize("output", OUTPUTS, ids=KINDS)
def test_the_same_output_is_the_same_bytes(output: Output) -> None:
    assert encode_output(output) == encode_output(output)


@pytest.mark.parametrize(
    ("decode", "output"),
    [(decode_status, status()), (decode_decision, DECISION), (decode_alert, alert()), (decode_rollback, ROLLBACK)],
)
def test_what_was_written_is_read_back(decode, output: Output) -> None:
    assert decode(encode_output(output).value) == output


@pytest.mark.parametrize(
    ("output", "topic", "key", "partition"),
    [
        (FlagChange(flag_state()), "flags", b"new-pricing", None),
        (status(), "rollouts", b"new-pricing", None),
        (DECISION, "decisions", b"new-pricing", None),
        (ROLLBACK, "rollbacks", b"new-pricing", None),
        (alert(), "alerts", alert().id.encode(), None),
        (Beat(3, AT_MS), "flags", b"_beat", 3),
    ],
)
def test_each_output_has_its_topic_key_and_partition(
    output: Output, topic: str, key: bytes, partition: int | None
) -> None:
    message = encode_output(output)
    assert (message.topic, message.key, message.partition) == (topic, key, partition)


def test_the_beat_says_who_is_alive_and_since_when() -> None:
    assert json.loads(encode_output(Beat(0, 1_763_700_000_000)).value) == {
        "beat": True,
        "partition": 0,
        "ts": 1763700000.0,
        "lag_ms": 0,
    }


def test_the_beat_of_a_blind_guardian_says_why() -> None:
    value = json.loads(encode_output(Beat(0, 1_763_700_000_000, -1, "no ingest process has reported yet")).value)
    assert (value["lag_ms"], value["blind"]) == (-1, "no ingest process has reported yet")


def test_the_keys_of_free_maps_are_sorted_so_that_their_order_changes_nothing() -> None:
    one, other = status(totals={"ok": 1, "error": 2}), status(totals={"error": 2, "ok": 1})
    assert encode_output(one) == encode_output(other)


def test_decisions_carry_the_headers_of_cloudevents() -> None:
    assert encode_output(DECISION).headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"new-pricing/1/812/1"),
        ("ce_source", b"/guardian/decide"),
        ("ce_type", b"guardian.decision.made"),
        ("ce_subject", b"new-pricing"),
        ("content-type", b"application/json"),
        ("ce_time", b"2025-11-21T04:23:20.456Z"),
    ]


def test_an_alert_raised_and_the_same_resolved_are_two_events() -> None:
    raised, resolved = (dict(encode_output(alert(active=active)).headers) for active in (True, False))
    assert (raised["ce_type"], resolved["ce_type"]) == (b"guardian.alert.raised", b"guardian.alert.resolved")
    assert raised["ce_id"] != resolved["ce_id"]


@pytest.mark.parametrize("decode", [decode_status, decode_decision, decode_alert, decode_rollback])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", DecodeReason.MALFORMED_JSON),
        (b'{"id":', DecodeReason.MALFORMED_JSON),
        (b"\xff\xfe", DecodeReason.MALFORMED_JSON),
        (b"[]", DecodeReason.WRONG_TYPE),
        (b"{}", DecodeReason.MISSING_FIELD),
        (b"[" * 200_000, DecodeReason.WRONG_TYPE),
    ],
)
def test_rubbish_is_refused_with_a_reason(decode, value: bytes, reason: DecodeReason) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(value)
    assert caught.value.reason is reason


@given(st.binary(max_size=200))
def test_no_bytes_break_a_reader(value: bytes) -> None:
    for decode, kind in (
        (decode_status, RolloutStatus),
        (decode_decision, Decision),
        (decode_alert, Alert),
        (decode_rollback, Rollback),
    ):
        with suppress(DecodeError):
            assert isinstance(decode(value), kind)


@given(st.integers(0, MAX_TIME_MS))
def test_times_are_rfc_3339_to_the_millisecond(time_ms: int) -> None:
    text = rfc3339(time_ms)
    back = datetime.fromisoformat(text)
    assert back.tzinfo == UTC
    assert round((back - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000) == time_ms


@pytest.mark.parametrize("time_ms", [-1, MAX_TIME_MS + 1])
def test_a_time_that_has_no_rfc_3339_form_is_left_out(time_ms: int) -> None:
    headers = dict(cloudevent_headers(EventType.COMMAND_GIVEN, "1", "/guardian/cli", "x", time_ms))
    assert "ce_time" not in headers
    assert headers["ce_specversion"] == b"1.0"
