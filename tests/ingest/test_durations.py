"""How long a migrated component took is latency for a rollout whose source is migrations, and for no other."""

from __future__ import annotations

import pytest

from guardian.core.inputs import Bucket
from guardian.core.windows import tally_of
from guardian.ingest.cells import Cells
from guardian.wire.events import MigrationEvent


def counted(*events: MigrationEvent) -> Bucket:
    cells = Cells()
    for event in events:
        cells.add_migration(event, "flag", "on")
    (buckets,) = cells.by_key.values()
    (bucket,) = buckets.values()
    return bucket


def event(kind: str, duration: float) -> MigrationEvent:
    return MigrationEvent(ts=1_763_700_000.0, component="jax", event_type=kind, duration=duration)


def test_durations_become_latency_percentiles_when_the_spec_says_migrations() -> None:
    bucket = counted(*[event("success", 0.1)] * 9, event("failure", 2.0))
    tally = tally_of(bucket, count_telemetry=False, count_migrations=True)
    assert (tally.n, tally.latency_n) == (10, 10)
    assert tally.quantile_ms(0.5) == pytest.approx(100, rel=0.01)
    assert tally.mean_ms() == pytest.approx(290)


def test_they_are_no_latency_for_any_other_rollout() -> None:
    tally = tally_of(counted(event("success", 0.1)))
    assert (tally.n, tally.latency_n) == (0, 0)


def test_what_a_dual_run_took_is_in_its_pair() -> None:
    bucket = counted(event("dual_run", 0.3))
    assert bucket.latency_n == 0
    assert bucket.pairs[0] == 1
