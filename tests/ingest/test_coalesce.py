"""How events become cells: any split into fetches and ranges gives the same sums, and nothing vanishes uncounted."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.core.histogram import BIN_COUNT, bins_from
from guardian.core.inputs import MAX_CELLS_PER_FLAG, MAX_SIGNATURES, OTHER, Batch, Bucket, Cell, Source
from guardian.ingest.cells import MAX_METRICS, merge
from guardian.ingest.coalesce import MAX_UNKNOWN_FLAGS, Bounds, Coalescer
from guardian.ingest.known import Arms, Rollouts
from guardian.ingest.ranges import RECORD_BYTES, Closed
from guardian.kafka.partition import partition_of
from guardian.wire.inputs import decode_payload

NOW_MS = 1_763_700_000_000
SOURCE = Source("guardian.telemetry", "id", 0)
PARTITIONS = 3
Key = tuple[str, int, str, str, str, int]


def record(offset: int, value: bytes, arrival_ms: int = NOW_MS) -> ConsumerRecord:
    return ConsumerRecord("guardian.telemetry", 0, offset, arrival_ms, 1, None, value, None, -1, len(value), ())


def records(values: Sequence[bytes]) -> list[ConsumerRecord]:
    return [record(offset, value) for offset, value in enumerate(values)]


def coalescer(rollouts: Rollouts | None = None, *, migrations: bool = False) -> Coalescer:
    return Coalescer(rollouts or Rollouts(), Bounds(PARTITIONS, 60_000), migrations=migrations)


def request(**fields: Any) -> bytes:
    return json.dumps({"ts": NOW_MS / 1000, "flag": "f", "variant": "on", "outcome": "ok", **fields}).encode()


def close(folder: Coalescer, end: int = 1) -> tuple[Closed, dict[int, Batch]]:
    closed = folder.close(SOURCE, 0, end)
    batches: dict[int, Batch] = {}
    for partition, value in closed.parts.items():
        assert len(value) <= RECORD_BYTES
        payload = decode_payload(value)
        assert isinstance(payload, Batch)
        batches[partition] = payload
    return closed, batches


def folded(values: Sequence[bytes], sizes: Sequence[int], rollouts: Rollouts | None = None) -> dict[Key, Bucket]:
    """Fold the values in fetches of these sizes, a new range whenever one is full, and sum everything by cell."""
    found: dict[Key, Bucket] = {}
    todo, at, folder = records(values), 0, coalescer(rollouts)
    sizes = [*sizes, len(values)]
    while todo:
        size = max(1, sizes[at % len(sizes)])
        at += 1
        fetch = todo[:size]
        taken = folder.fold(fetch)
        assert 1 <= taken <= len(fetch)
        todo = todo[taken:]
        if at % 3 == 0 or folder.full:
            add(found, close(folder)[1])
            folder = coalescer(rollouts)
    add(found, close(folder)[1])
    return found


def add(found: dict[Key, Bucket], batches: dict[int, Batch]) -> None:
    for partition, batch in batches.items():
        for cell in batch.cells:
            assert partition_of(cell.flag, PARTITIONS) == partition
            for bucket in cell.buckets:
                key = (cell.flag, cell.flag_version, cell.variant, cell.assignment, cell.service, bucket.second)
                merge(found.setdefault(key, Bucket(bucket.second)), bucket)


def plain(found: dict[Key, Bucket]) -> dict[Key, Any]:
    return {key: json.loads(json.dumps(_fields(bucket), sort_keys=True)) for key, bucket in found.items()}


def _fields(bucket: Bucket) -> dict[str, Any]:
    # The last value of a metric depends on the order, which is that of the offsets; everything else adds.
    fields = {name: getattr(bucket, name) for name in bucket.__struct_fields__ if name not in ("subjects", "failing")}
    return {**fields, "bins": dict(zip(bucket.bins, bucket.bin_counts, strict=True)), "bin_counts": 0}


FLAGS = st.sampled_from(["f", "g", "new-pricing"])
VARIANTS = st.sampled_from(["on", "off"])
EVENTS = st.one_of(
    st.fixed_dictionaries(
        {
            "ts": st.integers(0, 3_000).map(lambda ms: NOW_MS / 1000 + ms / 1000),
            "flag": FLAGS,
            "variant": VARIANTS,
            "outcome": st.sampled_from(["ok", "ok", "error", "timeout", "crash", "hang"]),
        },
        optional={
            "latency_ms": st.one_of(st.none(), st.integers(0, 10**9).map(lambda n: n / 1000), st.just(1e300)),
            "flag_version": st.integers(0, 2),
            "assignment": st.sampled_from(["split", "outside", None]),
            "service": st.sampled_from(["checkout", "search"]),
            "error_type": st.sampled_from(["Timeout", "KeyError", None]),
            "metrics": st.dictionaries(st.sampled_from(["hit", "cost"]), st.integers(-5, 5)),
        },
    ),
    st.fixed_dictionaries(
        {
            "ts": st.just(NOW_MS / 1000),
            "flags": st.dictionaries(FLAGS, VARIANTS, min_size=1),
            "outcome": st.sampled_from(["ok", "error"]),
        },
        optional={"latency_ms": st.integers(0, 100)},
    ),
    st.fixed_dictionaries(
        {
            "ts": st.just(NOW_MS / 1000),
            "kind": st.sampled_from(["exposure", "feedback"]),
            "flag": FLAGS,
            "variant": VARIANTS,
        },
        optional={"severity": st.sampled_from(["info", "critical"])},
    ),
)
BROKEN = st.sampled_from([b"", b"{", b"[]", b'{"ts": 1}', b'{"ts": 1}{"ts": 2}', request(variant=None)])
VALUES = st.lists(st.one_of(EVENTS.map(lambda event: json.dumps(event).encode()), BROKEN), max_size=40)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.lists(st.integers(1, 9), max_size=8))
def test_any_split_of_events_into_fetches_and_ranges_gives_the_same_cells(
    values: list[bytes], sizes: list[int]
) -> None:
    assert plain(folded(values, sizes)) == plain(folded(values, [len(values)]))


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_every_message_is_a_request_a_dead_letter_or_counted_otherwise(values: list[bytes]) -> None:
    folder = coalescer()
    taken = folder.fold(records(values)) if values else 0
    closed, batches = close(folder)
    assert taken == len(values) == closed.tally.messages
    dead = [values[int(letter.source.rsplit("/", 1)[1])] for letter in closed.dead]
    assert [letter.value for letter in closed.dead] == dead
    assert closed.tally.dead_letters == len(dead)
    left = list(values)
    for value in dead:
        left.remove(value)
    expected = sum(len({event.get("flag"), *event.get("flags", {})} - {None}) for event in map(json.loads, left))
    buckets = [bucket for batch in batches.values() for cell in batch.cells for bucket in cell.buckets]
    assert expected == sum(bucket.n + bucket.exposures + sum(bucket.feedback.values()) for bucket in buckets)
    for bucket in buckets:
        assert bucket.n == bucket.ok + bucket.error + bucket.timeout + bucket.crash + bucket.hang
        assert bucket.latency_n == sum(bucket.bin_counts)
        assert bucket.bins == sorted(set(bucket.bins))
        assert all(0 <= index < BIN_COUNT for index in bucket.bins)


@settings(max_examples=80, deadline=None)
@given(VALUES, VALUES, VALUES)
def test_cells_merge_in_any_grouping(one: list[bytes], two: list[bytes], three: list[bytes]) -> None:
    def summed(*parts: dict[Key, Bucket]) -> dict[Key, Bucket]:
        total: dict[Key, Bucket] = {}
        for part in parts:
            for key, bucket in part.items():
                merge(total.setdefault(key, Bucket(bucket.second)), bucket)
        return total

    a, b, c = (folded(values, [7]) for values in (one, two, three))
    assert plain(summed(summed(a, b), c)) == plain(summed(a, summed(b, c)))
    assert plain(summed(a, {})) == plain(a)


def test_a_latency_is_found_again_within_one_per_cent() -> None:
    folder = coalescer()
    folder.fold(records([request(latency_ms=value / 10) for value in range(1, 4_001)]))
    bucket = _only(close(folder)[1]).buckets[0]
    found = bins_from(bucket.bins, bucket.bin_counts).quantile_ms(0.99)
    assert found is not None
    assert math.isclose(found, 396.0, rel_tol=0.011)
    assert bucket.latency_sum_us == sum(value * 100 for value in range(1, 4_001))


def test_the_hot_path_and_the_slow_one_count_alike() -> None:
    hot = [request(latency_ms=n / 7, outcome=("ok", "error")[n % 2], error_type="E") for n in range(300)]
    slow = [b" " + value for value in hot]  # the borders between messages no longer hold
    assert plain(folded(hot, [300])) == plain(folded(slow, [300]))


def _only(batches: dict[int, Batch]) -> Cell:
    (batch,) = batches.values()
    (cell,) = batch.cells
    return cell


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"ts": -1.0}, "bad_value"),
        ({"ts": NOW_MS}, "time_in_milliseconds"),
        ({"ts": NOW_MS / 1000 + 61}, "time_in_future"),
        ({"variant": 7}, "wrong_type"),
        ({"pad": "x" * 70_000}, "too_large"),
    ],
)
def test_one_bad_request_among_good_ones_is_a_dead_letter_by_itself(bad: dict[str, Any], reason: str) -> None:
    folder = coalescer()
    folder.fold(records([request(), request(**bad), request()]))
    closed, batches = close(folder)
    assert [letter.reason for letter in closed.dead] == [reason]
    assert [bucket.n for bucket in _only(batches).buckets] == [2]


def test_a_flag_has_at_most_its_bound_of_cells_and_the_rest_is_counted_into_others() -> None:
    folder = coalescer()
    values = [request(service=f"s{n}") for n in range(1_000)] + [request(service="busy")] * 50
    folder.fold(records(values))
    closed, batches = close(folder)
    (batch,) = batches.values()
    assert len(batch.cells) <= MAX_CELLS_PER_FLAG
    assert sum(bucket.n for cell in batch.cells for bucket in cell.buckets) == len(values)
    assert any(cell.service == "busy" for cell in batch.cells)
    others = [cell for cell in batch.cells if cell.service == OTHER and cell.segment == OTHER]
    assert [cell.variant for cell in others] == ["on"]
    assert batch.other_cells == closed.tally.other_cells == 1_001 - (len(batch.cells) - 1)


def test_a_flood_of_variants_does_not_pass_for_an_arm() -> None:
    folder = coalescer()
    folder.fold(records([request(variant=f"v{n}") for n in range(2_000)]))
    (batch,) = close(folder)[1].values()
    assert len(batch.cells) <= MAX_CELLS_PER_FLAG
    assert sum(bucket.n for cell in batch.cells for bucket in cell.buckets) == 2_000
    assert OTHER in {cell.variant for cell in batch.cells}


def test_unknown_flags_are_forwarded_up_to_their_bound_and_flags_with_a_rollout_always() -> None:
    rollouts = Rollouts()
    rollouts.put("known", Arms())
    folder = coalescer(rollouts)
    values = [request(flag=f"x{n}") for n in range(700) for _ in range(2)] + [request(flag="known")]
    folder.fold(records(values))
    closed, batches = close(folder)
    flags = {cell.flag for batch in batches.values() for cell in batch.cells}
    assert len(flags) == MAX_UNKNOWN_FLAGS + 1
    assert "known" in flags
    assert closed.tally.unknown_flags == 2 * (700 - MAX_UNKNOWN_FLAGS)


def test_an_event_of_several_flags_counts_for_each() -> None:
    folder = coalescer()
    folder.fold(records([request(flag=None, variant=None, flags={"a": "on", "b": "off"}, outcome="error")]))
    cells = {(c.flag, c.variant): c.buckets[0].error for b in close(folder)[1].values() for c in b.cells}
    assert cells == {("a", "on"): 1, ("b", "off"): 1}


def test_a_flag_version_is_that_of_the_flag_beside_it_and_of_no_other_in_the_event() -> None:
    folder = coalescer()
    event = {"ts": NOW_MS / 1000, "flag": "f", "variant": "on", "flags": {"g": "off"}, "flag_version": 7}
    folder.fold(records([json.dumps({**event, "outcome": "ok"}).encode()]))
    cells = [cell for batch in close(folder)[1].values() for cell in batch.cells]
    assert {cell.flag: cell.flag_version for cell in cells} == {"f": 7, "g": 0}


def test_a_bucket_keeps_a_bounded_number_of_named_figures() -> None:
    folder = coalescer()
    folder.fold(records([request(metrics={f"m{n}": 1.0}) for n in range(MAX_METRICS + 9)]))
    assert len(_only(close(folder)[1]).buckets[0].metrics) == MAX_METRICS


def test_failures_are_signed_and_the_most_frequent_signatures_are_kept() -> None:
    folder = coalescer()
    values = [request(outcome="error", error_type=f"E{n}") for n in range(20) for _ in range(n + 1)]
    folder.fold(records([*values, request(error_type="not an error")]))
    signatures = _only(close(folder)[1]).buckets[0].signatures
    assert signatures == {f"E{n}": n + 1 for n in range(20 - MAX_SIGNATURES, 20)}


def test_a_failure_is_urgent_and_a_success_is_not() -> None:
    folder = coalescer()
    folder.fold(records([request()]))
    assert not folder.urgent
    folder.fold(records([request(outcome="crash")]))
    assert folder.urgent


@pytest.mark.parametrize(
    ("fields", "migrations"),
    [
        ({"flags": {"f": "on", "g": "on"}, "outcome": "error"}, False),
        ({"flag": "f", "event_type": "failure"}, True),
    ],
)
def test_a_failure_is_urgent_by_whichever_road_it_comes(fields: dict[str, Any], migrations: bool) -> None:
    folder = coalescer(migrations=migrations)
    folder.fold(records([json.dumps({"ts": NOW_MS / 1000, **fields}).encode()]))
    assert folder.urgent


def test_the_newest_heartbeat_of_an_instance_goes_to_the_partitions_of_its_flags() -> None:
    beat = {"kind": "heartbeat", "service": "s", "instance": "i", "dropped": 3, "memory_bytes": 5.0}
    flags = {f"f{n}": n for n in range(9)}
    values = [json.dumps({"ts": NOW_MS / 1000 + n, "flags": flags, **beat}).encode() for n in (2, 1)]
    folder = coalescer()
    folder.fold(records(values))
    batches = close(folder)[1]
    assert sorted(batches) == sorted({partition_of(flag, PARTITIONS) for flag in flags})
    for partition, batch in batches.items():
        (found,) = batch.heartbeats
        assert (found.at_ms, found.dropped, found.metrics) == (NOW_MS + 2_000, 3, {"memory_bytes": 5.0})
        assert found.flags == {f: v for f, v in flags.items() if partition_of(f, PARTITIONS) == partition}


def test_the_newest_gauge_of_an_instance_is_kept() -> None:
    gauge = {"kind": "gauge", "service": "s", "instance": "i", "flag": "f"}
    values = [json.dumps({"ts": 5 + n, "metrics": {"cpu_pct": n}, **gauge}).encode() for n in (1, 2)]
    folder = coalescer()
    folder.fold(records(values))
    (batch,) = close(folder)[1].values()
    assert [(item.at_ms, item.metrics) for item in batch.gauges] == [(7_000, {"cpu_pct": 2.0})]


def test_gauges_that_an_instance_tells_one_by_one_are_all_kept() -> None:
    gauge = {"kind": "gauge", "service": "s", "instance": "i", "flag": "f"}
    told = [(5, {"queue": 1.0}), (7, {"cpu_pct": 40.0, "queue": 2.0}), (6, {"queue": 3.0, "threads": 8.0})]
    folder = coalescer()
    folder.fold(records([json.dumps({"ts": ts, "metrics": metrics, **gauge}).encode() for ts, metrics in told]))
    (batch,) = close(folder)[1].values()
    assert [item.metrics for item in batch.gauges] == [{"queue": 2.0, "cpu_pct": 40.0, "threads": 8.0}]


def test_metrics_keep_count_sum_squares_and_last() -> None:
    folder = coalescer()
    folder.fold(records([request(metrics={"m": value}) for value in (1, 2, 4)]))
    assert _only(close(folder)[1]).buckets[0].metrics == {"m": [3, 7, 21, 4]}


@pytest.mark.parametrize(
    ("fields", "variant"),
    [
        ({"variant": "blue"}, "blue"),
        ({"metadata": {"feature_flag_enabled": True}}, "new"),
        ({"metadata": {"feature_flag_enabled": False, "error": "..."}}, "old"),
        ({}, "new"),
    ],
)
def test_a_migration_event_finds_its_flag_by_component_and_its_variant(fields: dict[str, Any], variant: str) -> None:
    rollouts = Rollouts()
    rollouts.put("pricing", Arms("old", "new"), ("engine",))
    folder = coalescer(rollouts, migrations=True)
    event = {"component": "engine", "event_type": "failure", **fields}
    folder.fold(records([json.dumps(event).encode()]))
    cell = _only(close(folder)[1])
    assert (cell.flag, cell.variant, cell.service) == ("pricing", variant, "engine")
    assert (cell.buckets[0].second, cell.buckets[0].migrations, cell.buckets[0].n) == (NOW_MS // 1000, [0, 1, 0], 0)


def test_a_migration_event_of_no_component_that_is_known_is_counted() -> None:
    folder = coalescer(migrations=True)
    folder.fold(records([b'{"component": "nobodys", "event_type": "success"}']))
    closed, batches = close(folder)
    assert batches == {}
    assert closed.tally.unattributed == 1


def test_dual_runs_are_summed() -> None:
    folder = coalescer(migrations=True)
    pair = {"flag": "f", "event_type": "dual_run", "control_ms": 11.0, "candidate_ms": 7.5}
    values = [{**pair, "match": False, "deviation": 0.5}, {**pair, "match": True}]
    folder.fold(records([json.dumps(value).encode() for value in values]))
    bucket = _only(close(folder)[1]).buckets[0]
    assert (bucket.pairs, bucket.deviation_sum) == ([2, 1, 22_000, 15_000, 1], 0.5)
    merge(bucket, Bucket(bucket.second, pairs=[1, 1, 0, 0, 1], deviation_sum=0.25))
    assert (bucket.pairs, bucket.deviation_sum) == ([3, 2, 22_000, 15_000, 2], 0.75)
