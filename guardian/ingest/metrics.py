"""What ingest counts about itself, for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

from guardian.core.inputs import SourceMark
from guardian.ingest.ranges import Closed

EVENTS: Final = Counter("guardian_ingest_events", "Messages that are counted in the log, refused ones too", ["topic"])
DEAD_LETTERS: Final = Counter("guardian_ingest_dead_letters", "Messages that could not be read", ["topic", "reason"])
UNKNOWN_FLAGS: Final = Counter(
    "guardian_ingest_unknown_flag_events", "Events of flags without a rollout, beyond the bound", ["topic"]
)
UNATTRIBUTED: Final = Counter("guardian_ingest_unattributed_events", "Events that belong to no flag", ["topic"])
OTHER_CELLS: Final = Counter("guardian_ingest_other_cells", "Cells folded into others: a flag had too many", ["topic"])
RETENTION_LOST: Final = Counter(
    "guardian_ingest_retention_lost_offsets", "Offsets that were deleted before they were read", ["topic"]
)
RECORDS: Final = Counter("guardian_ingest_records", "Input records written", ["topic"])
RESTARTS: Final = Counter("guardian_ingest_restarts", "Fresh starts after a doubt or an absence of Kafka", ["kind"])
STOPPED: Final = Gauge("guardian_ingest_stopped_partitions", "Source partitions that a person must look at", ["topic"])
LAG: Final = Gauge("guardian_ingest_lag_records", "Messages not yet in the log", ["topic", "partition"])
WATERMARK: Final = Gauge(
    "guardian_ingest_watermark_seconds", "Event time up to which the log is complete", ["topic", "partition"]
)


def count_range(closed: Closed) -> None:
    """Count a range whose every part is acked."""
    topic, tally = closed.source.topic, closed.tally
    EVENTS.labels(topic).inc(tally.messages)
    UNKNOWN_FLAGS.labels(topic).inc(tally.unknown_flags)
    UNATTRIBUTED.labels(topic).inc(tally.unattributed)
    OTHER_CELLS.labels(topic).inc(tally.other_cells)
    RECORDS.labels(topic).inc(len(closed.parts))
    for letter in closed.dead:
        DEAD_LETTERS.labels(topic, letter.reason).inc()


def show_mark(mark: SourceMark) -> None:
    """Show how far a source partition is."""
    topic, partition = mark.source.topic, str(mark.source.partition)
    LAG.labels(topic, partition).set(mark.lag)
    WATERMARK.labels(topic, partition).set(mark.watermark_ms / 1000)


def forget_mark(topic: str, partition: int) -> None:
    """Stop showing a source partition that this process no longer owns."""
    for gauge in (LAG, WATERMARK):
        gauge.remove(topic, str(partition))
