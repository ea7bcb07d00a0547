"""A range that was announced with too much in it: its record is reduced until it fits, and outcomes stay counted."""

from __future__ import annotations

from collections import Counter

import pytest

from guardian.core.inputs import Batch, Gauge, Heartbeat, Source
from guardian.ingest.cells import Cells
from guardian.ingest.ranges import RECORD_BYTES, Tally
from guardian.ingest.reduction import FEW_CELLS, KEPT_INSTANCES, KEPT_SECONDS, WHAT, Part, encode_part
from guardian.wire.events import TelemetryEvent
from guardian.wire.inputs import decode_payload

SOURCE = Source("guardian.telemetry", "id", 0)
WIDE = "😀" * 31


def part(
    flags: int, services: int, seconds: int, *, metrics: int = 0, signatures: int = 0, latencies: int = 0
) -> tuple[Part, int]:
    """Requests of every flag, service and second; the part and how many requests."""
    cells, count = Cells(), 0
    for flag in range(flags):
        for service in range(services):
            for second in range(seconds):
                for number in range(max(1, signatures, latencies)):
                    event = TelemetryEvent(
                        float(second), flag=f"f{flag}", variant=("on", "off")[service % 2], outcome="error",
                        service=f"{service}{WIDE}", error_type=f"{number}{WIDE}" if signatures else None,
                        latency_ms=1.1**number if latencies else None,
                        metrics={f"{one}{WIDE}": 1.0 for one in range(metrics)},
                    )  # fmt: skip
                    cells.add_telemetry(event)
                    count += 1
    found = Part()
    for key, buckets in cells.by_key.items():
        found.flags.setdefault(key.flag, []).append((key, buckets))
    return found, count


def reduced(given: Part) -> tuple[Batch, Counter[str]]:
    tally = Tally()
    value = encode_part(Batch(SOURCE, 0, 1), given, tally)
    assert len(value) <= RECORD_BYTES
    payload = decode_payload(value)
    assert isinstance(payload, Batch)
    assert set(tally.left_out) <= set(WHAT)
    return payload, +tally.left_out


def errors(batch: Batch) -> Counter[str]:
    found: Counter[str] = Counter()
    for cell in batch.cells:
        assert cell.variant in ("on", "off", "other")
        for bucket in cell.buckets:
            found[cell.flag] += bucket.error
    return found


def instances(count: int) -> tuple[list[Heartbeat], list[Gauge]]:
    metrics = {f"{number}{WIDE}": 1.0 for number in range(4)}
    beats = [Heartbeat("s", f"{number}{WIDE}", number, {"f0": 7}, metrics=metrics) for number in range(count)]
    return beats, [Gauge("f0", "s", f"{number}{WIDE}", number, metrics) for number in range(count)]


def test_what_fits_is_left_as_it_is() -> None:
    given, count = part(3, 4, 5, metrics=2, signatures=3, latencies=3)
    batch, left_out = reduced(given)
    assert errors(batch).total() == count
    assert left_out == {}


@pytest.mark.parametrize(
    ("shape", "left_out"),
    [
        ({"flags": 2, "services": 50, "seconds": 10, "metrics": 10}, {"metrics"}),
        ({"flags": 2, "services": 50, "seconds": 10, "signatures": 8}, {"metrics", "signatures"}),
        ({"flags": 10, "services": 200, "seconds": 16}, {"metrics", "signatures", "services"}),
        ({"flags": 60, "services": 1, "seconds": 40, "latencies": 100},
         {"metrics", "signatures", "services", "latencies"}),
        ({"flags": 2, "services": 1, "seconds": 20_000},
         {"metrics", "signatures", "services", "latencies", "instances", "seconds"}),
    ],
)  # fmt: skip
def test_B2_a_record_is_reduced_in_the_declared_order_and_every_outcome_stays(
    shape: dict[str, int], left_out: set[str]
) -> None:
    given, count = part(**shape)
    batch, found = reduced(given)
    assert errors(batch).total() == count
    assert found.keys() <= left_out
    assert found.keys() & left_out


def test_B2_the_newest_heartbeats_and_gauges_are_kept() -> None:
    given, count = part(1, 1, 1)
    given.heartbeats, given.gauges = instances(800)
    batch, left_out = reduced(given)
    assert {beat.at_ms for beat in batch.heartbeats} == set(range(800 - KEPT_INSTANCES, 800))
    assert {gauge.at_ms for gauge in batch.gauges} == set(range(800 - KEPT_INSTANCES, 800))
    assert left_out == {"instances": 2 * (800 - KEPT_INSTANCES)}
    assert errors(batch).total() == count


def test_B2_old_seconds_of_a_flag_go_together_and_the_newest_stay_apart() -> None:
    given, _ = part(2, 1, 20_000)
    batch, left_out = reduced(given)
    for cell in batch.cells:
        assert [bucket.second for bucket in cell.buckets] == list(range(20_000 - KEPT_SECONDS, 20_000))
        assert cell.buckets[0].error == 20_000 - KEPT_SECONDS + 1
    assert left_out["seconds"] == 2 * (20_000 - KEPT_SECONDS)


def test_B2_with_too_many_flags_those_that_matter_least_are_left_out_and_counted() -> None:
    given, count = part(6_000, 2, 1)
    batch, left_out = reduced(given)
    kept = errors(batch)
    assert left_out["flags"] == count - kept.total() > 0
    assert "f0" in kept
    assert "f5999" not in kept


def test_B2_one_flag_at_its_worst_is_never_left_out() -> None:
    given, count = part(1, 3 * FEW_CELLS, 600)
    batch, left_out = reduced(given)
    assert (errors(batch)["f0"], left_out["flags"]) == (count, 0)
