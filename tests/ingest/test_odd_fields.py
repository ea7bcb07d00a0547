"""Case B6: of an event whose time, flag, variant and outcome can be read, no other field may cost the count."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.core.inputs import Batch, Bucket
from guardian.errors import DecodeError
from guardian.wire.events import (
    FIELDS,
    UNREADABLE,
    decode_apart,
    decode_hot,
    is_plain,
    read_migration,
    read_telemetry,
)
from tests.bad_input.samples import NOW, ODD, request
from tests.ingest.test_coalesce import NOW_MS, close, coalescer, record, records
from tests.ingest.test_coalesce import request as plain

OUTCOMES = ("n", "ok", "error", "timeout", "crash", "hang")
LITERALS = (
    "NaN", "-Infinity", "1e400", "9" * 30, '"\\ud83d"', '"12"', "null", "true", "-3", "[1]", '{"a": {}}',
    "[" * 900 + "]" * 900,
)  # fmt: skip
OPTIONAL = sorted(FIELDS - {"ts", "flag", "flags", "variant", "outcome", "kind"})


def counts(batches: dict[int, Batch]) -> dict[tuple[str, str], list[int]]:
    """Requests by outcome of each flag and variant."""
    found: dict[tuple[str, str], list[int]] = {}
    for batch in batches.values():
        for cell in batch.cells:
            total = found.setdefault((cell.flag, cell.variant), [0] * len(OUTCOMES))
            for bucket in cell.buckets:
                found[cell.flag, cell.variant] = [
                    a + getattr(bucket, name) for a, name in zip(total, OUTCOMES, strict=True)
                ]
                total = found[cell.flag, cell.variant]
    return found


def counted(values: list[bytes]) -> tuple[dict[tuple[str, str], list[int]], Any]:
    folder = coalescer()
    todo = records(values)
    while todo:
        todo = todo[folder.fold(todo) :]
    closed, batches = close(folder)
    return counts(batches), closed.tally


@pytest.mark.parametrize(("value", "field"), ODD, ids=[f"{field}-{n}" for n, (_, field) in enumerate(ODD)])
def test_B6_an_odd_field_is_left_out_and_counted_and_the_event_counts(value: bytes, field: str) -> None:
    event, left_out = read_telemetry(value)
    assert "good" in {event.flag, *(event.flags or {})}
    assert field in left_out
    assert set(left_out) <= FIELDS
    folder = coalescer()
    folder.fold([record(0, value, int(NOW * 1_000))])
    closed, batches = close(folder)
    assert closed.dead == []
    assert closed.tally.fields_left_out[field] == 1
    assert counts(batches)["good", "on"][:2] == [1, 1]


def with_literal(base: dict[str, Any], field: str, literal: str) -> bytes:
    return json.dumps({**base, field: "@"}).replace('"@"', literal).encode()


BASES = st.fixed_dictionaries(
    {
        "ts": st.integers(0, 3_000).map(lambda ms: NOW_MS / 1_000 + ms / 1_000),
        "flag": st.sampled_from(["f", "g"]),
        "variant": st.sampled_from(["on", "off", "😀"]),
        "outcome": st.sampled_from(["ok", "error", "crash"]),
    },
    optional={
        "latency_ms": st.integers(0, 100),
        "service": st.sampled_from(["s", "ж" * 64]),
        "kind": st.sampled_from([None, "request"]),
        "flags": st.dictionaries(st.sampled_from(["h", "i"]), st.just("on")),
    },
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(BASES, st.sampled_from(OPTIONAL), st.sampled_from(LITERALS)), min_size=1, max_size=8))
def test_B6_the_count_is_the_one_without_the_odd_field(odd: list[tuple[dict[str, Any], str, str]]) -> None:
    spoilt = [with_literal(base, field, literal) for base, field, literal in odd]
    bare = [
        json.dumps({name: value for name, value in base.items() if name != field}).encode() for base, field, _ in odd
    ]
    assert counted(spoilt)[0] == counted(bare)[0]


@settings(max_examples=200, deadline=None)
@given(BASES, st.sampled_from(OPTIONAL), st.sampled_from([*LITERALS, "7", '"x"', "1e15", "1e16"]))
def test_B6_both_roads_read_the_same(base: dict[str, Any], field: str, literal: str) -> None:
    value = with_literal(base, field, literal)
    event, left_out = read_telemetry(value)
    (apart,) = decode_apart([value])
    together = decode_hot([value])
    assert together is None or together == [apart]
    if apart is not UNREADABLE and is_plain(apart):
        assert left_out == ()
        for name in ("ts", "flag", "variant", "outcome", "latency_ms", "service", "flag_version", "assignment"):
            assert getattr(event, name) == getattr(apart, name)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(BASES, st.sampled_from(OPTIONAL), st.sampled_from(LITERALS)), min_size=1, max_size=20))
def test_B6_a_slice_gives_what_its_events_give_one_by_one(odd: list[tuple[dict[str, Any], str, str]]) -> None:
    values = [with_literal(base, field, literal) for base, field, literal in odd]
    values = [value for spoilt in values for value in (spoilt, plain())]
    together, tally = counted(values)
    alone: dict[tuple[str, str], list[int]] = {}
    left_out = 0
    for value in values:
        found, own = counted([value])
        left_out += own.fields_left_out.total()
        for key, numbers in found.items():
            alone[key] = [a + b for a, b in zip(alone.get(key, [0] * 6), numbers, strict=True)]
    assert (together, tally.fields_left_out.total()) == (alone, left_out)


KEYS = st.sampled_from(sorted(FIELDS)) | st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_B6_no_json_raises_anything_but_a_decode_error(value: Any) -> None:
    text = json.dumps(value).encode()
    for read in (read_telemetry, read_migration):
        try:
            read(text)
        except DecodeError as error:
            (error.message + error.fix).encode()


def test_B6_one_bad_flag_of_several_costs_that_flag_only() -> None:
    event, left_out = read_telemetry(request(flag=None, flags={"good": "on", "a b": "on", "c": 7, "d": "v" * 129}))
    assert (event.flags, left_out) == ({"good": "on"}, ("flags",))


def test_B6_a_text_that_is_too_long_is_cut_and_a_variant_is_not() -> None:
    event, left_out = read_telemetry(request(service="ж" * 100, error_type="😀" * 33))
    assert (event.service, event.error_type, left_out) == ("ж" * 64, "😀" * 32, ())
    with pytest.raises(DecodeError):
        read_telemetry(request(variant="ж" * 65))


@pytest.mark.parametrize(
    ("fields", "left_out"),
    [
        ({"duration": "long"}, ("duration",)),
        ({"duration": -1, "deviation": float("nan")}, ("duration", "deviation")),
        ({"ts": "now"}, ("ts",)),
        ({"flag": "a b"}, ("flag",)),
        ({"metadata": "none"}, ("metadata",)),
        ({"metadata": {"feature_flag_enabled": "no"}, "variant": "on"}, ("metadata",)),
        ({"control_value": [1], "candidate_value": 7}, ("control_value",)),
        ({"flag_version": "17", "service": "caf\ud83d"}, ("service", "flag_version")),
    ],
)
def test_B6_a_migration_event_counts_without_its_odd_fields(fields: dict[str, Any], left_out: tuple[str, ...]) -> None:
    value = json.dumps({"component": "engine", "event_type": "failure", **fields}).encode()
    event, found = read_migration(value, NOW_MS, 60_000)
    assert (event.event_type, event.component, event.ts) == ("failure", "engine", NOW_MS / 1_000)
    assert found == left_out


def test_a_cancelled_dual_run_needs_no_match_and_is_no_pair() -> None:
    folder = coalescer(migrations=True)
    pair = {"flag": "f", "event_type": "dual_run"}
    values = [{**pair, "cancelled": True}, {**pair, "cancelled": True, "match": True}, {**pair, "match": False}]
    folder.fold(records([json.dumps(value).encode() for value in values]))
    (batch,) = close(folder)[1].values()
    (bucket,) = batch.cells[0].buckets
    assert (bucket.pairs, bucket.cancelled_pairs) == ([1, 1, 0, 0, 0], 2)
    assert Bucket(0).cancelled_pairs == 0


def test_what_a_heartbeat_says_of_open_measurements_and_of_its_end_is_carried() -> None:
    beat = {"kind": "heartbeat", "service": "s", "instance": "i", "flags": {"f": 7}, "bye": True, "open": 3}
    folder = coalescer()
    folder.fold(records([json.dumps({"ts": NOW_MS / 1_000, "open_max_ms": 12.5, **beat}).encode()]))
    (batch,) = close(folder)[1].values()
    (found,) = batch.heartbeats
    assert (found.bye, found.open, found.open_max_ms) == (True, 3, 12.5)


def test_B1_figures_that_make_no_sense_below_zero_do_not_reach_the_log() -> None:
    gauge = {"kind": "gauge", "service": "s", "instance": "i", "flag": "f"}
    metrics = {"memory_bytes": -5_000, "cpu_pct": -1, "queue": -7.5, "huge": 1.7e308}
    beat = {"kind": "heartbeat", "service": "s", "instance": "i", "flags": {"f": 7}}
    values = [{**gauge, "metrics": metrics}, {**beat, "memory_bytes": 1.7e308, "cpu_pct": -1, "metrics": metrics}]
    folder = coalescer()
    folder.fold(records([json.dumps({"ts": NOW_MS / 1_000, **value}).encode() for value in values]))
    (batch,) = close(folder)[1].values()
    assert [item.metrics for item in (*batch.gauges, *batch.heartbeats)] == [{"queue": -7.5}, {"queue": -7.5}]
