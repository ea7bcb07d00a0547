"""What an application is told of its mistake: a sentence that says what to send instead."""

from __future__ import annotations

import pytest

from guardian.errors import DecodeError, DecodeReason
from guardian.wire.events import decode_migration, decode_telemetry

NOW_MS = 1_763_700_000_000
PLAIN = '"ts":1763700000,"flag":"a","variant":"on"'


@pytest.mark.parametrize(
    ("event", "reason", "message", "fix"),
    [
        ("{" + PLAIN + ',"outcome":"broken"}', "bad_value", "outcome", "outcome is one of ok, error"),
        ("{" + PLAIN + ',"kind":"span"}', "bad_value", "kind is 'span'", "kind is one of request, exposure"),
        ("{" + PLAIN + ',"outcome":7}', "wrong_type", "outcome is no text", "outcome is one of ok, error"),
        ('{"ts":1,"flag":"a","variant":7,"outcome":"ok"}', "wrong_type", "the variant of a", "send the variant's name"),
        ("{" + PLAIN + "}", "missing_field", "outcome is missing", "say how the request ended: ok, error, timeout"),
        ('{"flag":"a","variant":"on","outcome":"ok"}', "missing_field", "ts is missing", "say when it happened"),
        ('{"ts":"2025-11-21T06:00:00Z"}', "wrong_type", "ts is no number", "send Unix seconds as a number"),
        ('{"ts":1763700000,"outcome":"ok"}', "missing_field", "neither flag nor flags", "say which flag was evaluated"),
        ('{"ts":1763700000,"flag":"a","outcome":"ok"}', "missing_field", "without a variant", "say which one was"),
        ('{"ts":1,"kind":"gauge","service":"s","instance":"i","metrics":{"queue":3}}', "missing_field", "a gauge with",
         "name the flag whose rollout shall be judged by it"),
        ('{"ts":1,"kind":"gauge","service":"s","instance":"i","flag":"a"}', "missing_field", "metrics is missing",
         "give the figures by name"),
        ('{"ts":1,"kind":"heartbeat","service":"s"}', "missing_field", "instance", "say which process"),
        ("[1]", "wrong_type", "Expected `object`", "send one JSON object"),
        ("no json", "malformed_json", "malformed", "send one JSON object"),
    ],
)  # fmt: skip
def test_a_telemetry_event_that_is_refused_says_what_to_send(event: str, reason: str, message: str, fix: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_telemetry(event.encode(), NOW_MS, 60_000)
    assert caught.value.reason == DecodeReason(reason)
    assert message in caught.value.message
    assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize(
    ("event", "fix"),
    [
        ('{"component":"shipping"}', "say one of success, failure, fallback, dual_run"),
        ('{"component":"shipping","event_type":"failed"}', "event_type is one of success, failure, fallback, dual_run"),
        ('{"component":"shipping","event_type":"dual_run"}', "say in match whether both gave the same: true or false"),
        ('{"event_type":"failure"}', "say which rollout it is about"),
    ],
)
def test_a_migration_event_that_is_refused_says_what_to_send(event: str, fix: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_migration(event.encode(), NOW_MS, 60_000)
    assert caught.value.fix == fix
