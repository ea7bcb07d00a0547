"""What is shown of a partition: its age goes on when nothing moves, and it ends with the ownership."""

from __future__ import annotations

import time

from prometheus_client import REGISTRY

from guardian.core.inputs import Source, SourceMark
from guardian.decide.metrics import Shown as ShownByDecide
from guardian.ingest.metrics import Shown as ShownByIngest


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def source(topic: str, partition: int = 0) -> Source:
    return Source(topic, "id", partition)


def watermark(topic: str, partition: str = "0") -> float | None:
    return value("guardian_ingest_watermark_seconds", topic=topic, partition=partition)


# Ingest


def test_a_partition_that_is_behind_shows_how_far() -> None:
    shown = ShownByIngest(["behind"], disorder_ms=2_000)
    shown.show([SourceMark(source("behind"), 1_763_700_000_000, 70, to_end=False)])
    assert watermark("behind") == 1_763_700_000
    assert value("guardian_ingest_lag_records", topic="behind", partition="0") == 70


def test_a_partition_of_which_nothing_is_known_shows_zero_and_not_now() -> None:
    ShownByIngest(["unread"], disorder_ms=2_000).show([SourceMark(source("unread"), 0, 5, to_end=False)])
    assert watermark("unread") == 0


def test_a_quiet_partition_is_complete_up_to_now_less_the_disorder() -> None:
    before_s = time.time()
    ShownByIngest(["quiet"], disorder_ms=2_000).show([SourceMark(source("quiet"), 0, 0, to_end=True)])
    assert before_s - 2 <= (watermark("quiet") or 0) <= time.time() - 2


def test_a_watermark_stands_still_and_does_not_fall_when_kafka_says_nothing_any_more() -> None:
    shown = ShownByIngest(["silent"], disorder_ms=0)
    shown.show([SourceMark(source("silent"), 1_000, 0, to_end=True)])
    stood = watermark("silent")
    shown.show([SourceMark(source("silent"), 1_000, 0, to_end=False)])
    assert watermark("silent") == stood


def test_what_another_process_owns_now_is_shown_no_more() -> None:
    shown = ShownByIngest(["moved"], disorder_ms=0)
    shown.show([SourceMark(source("moved", number), 1_000, 0, to_end=False) for number in range(2)])
    assert value("guardian_ingest_owned_partitions", topic="moved") == 2
    shown.show([SourceMark(source("moved", 1), 1_000, 0, to_end=False)])
    assert (watermark("moved"), watermark("moved", "1")) == (None, 1)
    shown.show([])
    assert watermark("moved", "1") is None
    assert value("guardian_ingest_lag_records", topic="moved", partition="1") is None
    assert value("guardian_ingest_owned_partitions", topic="moved") == 0


# Decide


def test_before_anything_was_folded_decide_is_blind() -> None:
    shown = ShownByDecide("900", lambda: 0, time.monotonic)
    assert value("guardian_decide_input_age_seconds", partition="900") == float("inf")
    assert value("guardian_watermark_lag_seconds", partition="900") == float("inf")
    shown.forget()


def test_ages_and_lags_grow_when_nothing_is_folded_any_more() -> None:
    began_s = time.monotonic()
    shown = ShownByDecide("901", lambda: 7, lambda: began_s - 50)
    shown.fold(int((time.time() - 100) * 1_000))
    shown.tick(2_000, 0.001)
    names = ("guardian_decide_input_age_seconds", "guardian_watermark_lag_seconds")
    names = (*names, "guardian_decide_checkpoint_age_seconds")
    first = [value(name, partition="901") or 0.0 for name in names]
    later = [value(name, partition="901") or 0.0 for name in names]
    assert all(one > at_least for one, at_least in zip(first, (99, 2, 50), strict=True)), first
    assert all(after > before for before, after in zip(first, later, strict=True)), (first, later)
    assert value("guardian_decide_input_lag_records", partition="901") == 7
    shown.forget()


def test_a_partition_that_went_elsewhere_is_shown_no_more() -> None:
    before = value("guardian_decide_owned_partitions") or 0
    shown = ShownByDecide("902", lambda: 0, time.monotonic)
    assert value("guardian_decide_owned_partitions") == before + 1
    shown.forget()
    assert value("guardian_decide_owned_partitions") == before
    assert value("guardian_decide_input_age_seconds", partition="902") is None
