"""A command that was written can be read, and whatever cannot go into the log is refused with its reason."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.core.commands import COMMANDS as OBEYED
from guardian.core.inputs import Actor, Batch, Command, Source
from guardian.errors import DecodeError, DecodeReason
from guardian.ingest.sizes import ENVELOPE
from guardian.wire.commands import (
    COMMANDS,
    MAX_COMMAND_BYTES,
    decode_command,
    encode_command,
    fit_reason,
    read_command,
)
from guardian.wire.inputs import decode_payload, encode_payload
from tests.wire.test_schemas import validator

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


def command(**changes: Any) -> Command:
    """A command to start, with changes."""
    values: dict[str, Any] = {"id": "7f9c", "command": "start", "flag": "new-pricing", "actor": Actor("ada")}
    return Command(**{**values, **changes})


def raw(**changes: Any) -> bytes:
    """The JSON of a command to apply, with changes."""
    values = {"id": "7f9c", "command": "apply", "flag": "new-pricing", "actor": {"name": "ada"}, "spec": {}}
    return json.dumps({**values, **changes}).encode()


def test_what_may_be_sent_is_what_decide_obeys() -> None:
    assert sorted(COMMANDS) == sorted(OBEYED)


@pytest.mark.parametrize("word", COMMANDS)
def test_every_command_is_written_keyed_read_back_and_passes_the_schema(word: str) -> None:
    own = {
        "apply": {"spec": {"b": [1], "a": None}},
        "metric": {"name": "satisfaction", "value": 4.2},
        "dismiss": {"to": "checkout/checkout-7f9"},
        "release": {"flag": "*", "freeze": "guardian.telemetry/0a1b/3 150..260"},
    }
    given_command = command(command=word, ts=1763700000.5, **own.get(word, {}))
    message = encode_command(given_command)
    assert decode_command(message.value) == given_command
    assert (message.topic, message.key, message.partition) == ("commands", given_command.flag.encode(), None)
    assert validator("commands").is_valid(json.loads(message.value))


def test_a_command_carries_the_headers_of_cloudevents_with_its_own_time() -> None:
    headers = dict(encode_command(command(ts=1763700000.5)).headers)
    assert headers["ce_type"] == b"guardian.command.given"
    assert headers["ce_source"] == b"/guardian/cli"
    assert headers["ce_id"] == b"7f9c"
    assert headers["ce_time"] == b"2025-11-21T04:40:00.500Z"


def test_a_sender_is_told_at_once_what_the_reader_would_refuse() -> None:
    with pytest.raises(DecodeError) as caught:
        encode_command(command(command="restart"))
    assert caught.value.reason is DecodeReason.UNKNOWN_COMMAND


def test_a_command_that_is_too_large_is_refused() -> None:
    with pytest.raises(DecodeError) as caught:
        decode_command(raw(spec={"owner": "x" * MAX_COMMAND_BYTES}))
    assert caught.value.reason is DecodeReason.TOO_LARGE


def nested(depth: int) -> Any:
    """Lists within one another."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("spec", [{"deep": nested(40)}, {"deep": nested(900)}, {"huge": 10**40}])
def test_a_spec_that_the_log_cannot_hold_is_refused_here_and_does_not_stop_ingest(spec: Any) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_command(raw(spec=spec))
    assert caught.value.reason is DecodeReason.BAD_VALUE


def test_B3_a_command_that_grows_beyond_its_bound_in_the_log_is_refused_with_both_sizes() -> None:
    value = raw(spec={"a": [0.1] * 52_000})
    for refuse in (lambda: decode_command(value), lambda: encode_command(command(**WIDE_APPLY))):
        with pytest.raises(DecodeError, match=r"command of 2\d\d,\d\d\d bytes takes 4\d\d,\d\d\d in the log") as caught:
            refuse()
        assert caught.value.reason is DecodeReason.TOO_LARGE


WIDE_APPLY: dict[str, Any] = {"command": "apply", "spec": {"a": [0.1] * 52_000}}


@pytest.mark.parametrize("values", [[1] * 80_000, [[1] * 6_000, [1] * 6_000], [{"a": 1}] * 6_000])
def test_B3_a_spec_of_more_values_than_any_rollout_needs_is_refused(values: Any) -> None:
    with pytest.raises(DecodeError, match="more than 10,000 values") as caught:
        decode_command(raw(spec={"a": values}))
    assert caught.value.reason is DecodeReason.TOO_LARGE


@given(st.integers(0, 10_000), st.sampled_from([0.1, 1, "a", None, 2**62]))
def test_B3_the_size_of_a_command_in_the_log_is_known_when_it_is_read(count: int, value: Any) -> None:
    read, size = read_command(raw(spec={"a": [value] * (count // 2)}))
    batch = Batch(Source("guardian.commands", "id", 0), 0, 1, commands=[read])
    assert size <= len(encode_payload(batch)) <= size + ENVELOPE


@pytest.mark.parametrize("value", [1.1e15, -1.1e15, 1.7e308])
def test_a_figure_from_outside_is_within_the_bound_of_every_number(value: float) -> None:
    with pytest.raises(DecodeError, match="between -1e"):
        encode_command(command(command="metric", name="satisfaction", value=value))


def test_texts_of_commands_are_bounded_in_bytes_and_what_utf8_cannot_say_is_refused() -> None:
    assert encode_command(command(reason="ж" * 2_048))
    for reason in ("ж" * 2_049, "half \ud83d"):
        with pytest.raises(DecodeError):
            encode_command(command(reason=reason))
        assert encode_command(command(reason=fit_reason(reason)))


def test_endless_nesting_is_malformed() -> None:
    with pytest.raises(DecodeError) as caught:
        decode_command(b'{"spec":{"a":' + b"[" * 200_000)
    assert caught.value.reason is DecodeReason.MALFORMED_JSON


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4))
def test_whatever_passes_goes_through_the_log_unchanged(spec: dict[str, Any]) -> None:
    read = decode_command(raw(spec=spec))
    payload = Batch(Source("guardian.commands", "id", 0), 0, 1, commands=[read])
    back = decode_payload(encode_payload(payload))
    assert isinstance(back, Batch)
    assert back.commands == [read]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(value: bytes) -> None:
    with suppress(DecodeError):
        assert decode_command(value).command in COMMANDS


def test_what_was_seen_is_of_one_flag_and_what_protects_may_say_it_anyway() -> None:
    seen = command(command="promote", seen_turn=1_763_700_000_000)
    assert decode_command(encode_command(seen).value) == seen
    assert encode_command(command(command="kill", flag="*", seen_turn=1))
    for bad in ({"flag": "*", "seen_turn": 1}, {"seen_turn": -1}, {"seen_turn": 2**53}, {"seen_revision": "r" * 300}):
        with pytest.raises(DecodeError):
            encode_command(command(**bad))


@pytest.mark.parametrize(
    "bad",
    [
        {"flag": "*"},
        {"flag": "*", "freeze": "guardian.telemetry/0a1b/3"},
        {"flag": "*", "freeze": "guardian.telemetry/0a1b/3 150..x"},
        {"freeze": "guardian.telemetry/0a1b/3 150..260"},
        {"command": "kill", "flag": "*", "freeze": "guardian.telemetry/0a1b/3 150..260"},
    ],
)
def test_a_release_names_one_freeze_of_all_partitions(bad: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        encode_command(command(**{"command": "release", **bad}))
