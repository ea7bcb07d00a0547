"""What ingest counts about itself, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from guardian.core.inputs import SourceMark
from guardian.errors import DecodeReason
from guardian.ingest.ranges import Closed
from guardian.ingest.reduction import WHAT
from guardian.wire.events import FIELDS

EVENTS: Final = Counter("guardian_ingest_events", "Messages that are counted in the log, refused ones too", ["topic"])
DEAD_LETTERS: Final = Counter("guardian_ingest_dead_letters", "Messages that could not be read", ["topic", "reason"])
UNKNOWN_FLAGS: Final = Counter(
    "guardian_ingest_unknown_flag_events", "Events of flags without a rollout, beyond the bound", ["topic"]
)
UNATTRIBUTED: Final = Counter("guardian_ingest_unattributed_events", "Events that belong to no flag", ["topic"])
OTHER_CELLS: Final = Counter("guardian_ingest_other_cells", "Cells folded into others: a flag had too many", ["topic"])
FIELDS_LEFT_OUT: Final = Counter(
    "guardian_ingest_fields_left_out", "Fields of events that could not be used; the events count", ["topic", "field"]
)
LEFT_OUT: Final = Counter(
    "guardian_ingest_left_out", "Details that had no room in an input record, by what they are", ["topic", "what"]
)
RETENTION_LOST: Final = Counter(
    "guardian_ingest_retention_lost_offsets", "Offsets that were deleted before they were read", ["topic"]
)
RECORDS: Final = Counter("guardian_ingest_records", "Input records written", ["topic"])
RESTARTS: Final = Counter("guardian_ingest_restarts", "Fresh starts after a doubt or an absence of Kafka", ["kind"])
STOPPED: Final = Gauge("guardian_ingest_stopped_partitions", "Source partitions that a person must look at", ["topic"])
OWNED: Final = Gauge("guardian_ingest_owned_partitions", "Source partitions that this process reads", ["topic"])
LAG: Final = Gauge("guardian_ingest_lag_records", "Messages not yet in the log", ["topic", "partition"])
WATERMARK: Final = Gauge(
    "guardian_ingest_watermark_seconds",
    "Event time up to which the log is complete; for a partition read to its end, now less the disorder; 0: not known",
    ["topic", "partition"],
)
TICK_SECONDS: Final = Histogram(
    "guardian_ingest_tick_seconds",
    "Time from announcing what waits to its last ack",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)


def count_range(closed: Closed) -> None:
    """Count a range whose every part is acked."""
    topic, tally = closed.source.topic, closed.tally
    EVENTS.labels(topic).inc(tally.messages)
    UNKNOWN_FLAGS.labels(topic).inc(tally.unknown_flags)
    UNATTRIBUTED.labels(topic).inc(tally.unattributed)
    OTHER_CELLS.labels(topic).inc(tally.other_cells)
    for name, count in tally.fields_left_out.items():
        FIELDS_LEFT_OUT.labels(topic, name if name in FIELDS else "other").inc(count)
    for what, count in tally.left_out.items():
        LEFT_OUT.labels(topic, what).inc(count)
    RECORDS.labels(topic).inc(len(closed.parts))
    for letter in closed.dead:
        DEAD_LETTERS.labels(topic, letter.reason).inc()


class Shown:
    """What one loop shows of the source partitions that it owns. What it owns no more is forgotten: another shows it.

    Args:
        topics: full names of its source topics.
        disorder_ms: the allowed disorder; None when the loop speaks of no watermarks.
    """

    def __init__(self, topics: Iterable[str], disorder_ms: int | None) -> None:
        self._topics = tuple(topics)
        self._disorder_ms = disorder_ms
        self._places: dict[tuple[str, str], float] = {}
        """Topic and partition: up to when it is complete, as shown."""
        for topic in self._topics:
            OWNED.labels(topic).set(0)
            # From nothing to one is no growth to Prometheus: the first dead letter shows only where a zero stood.
            for reason in DecodeReason:
                DEAD_LETTERS.labels(topic, reason.value)
            for what in WHAT:
                LEFT_OUT.labels(topic, what)
            for name in sorted(FIELDS):
                FIELDS_LEFT_OUT.labels(topic, name)
            for counter in (EVENTS, UNKNOWN_FLAGS, UNATTRIBUTED, OTHER_CELLS, RETENTION_LOST, RECORDS):
                counter.labels(topic)

    def show(self, marks: Iterable[SourceMark]) -> None:
        """Show how far each source partition is.

        Args:
            marks: one for each that is owned now.
        """
        now = {(mark.source.topic, str(mark.source.partition)): mark for mark in marks}
        for place in set(self._places) - set(now):
            for gauge in (LAG, WATERMARK):
                gauge.remove_by_labels({"topic": place[0], "partition": place[1]})
        self._places = {place: self._complete_ms(place, mark) for place, mark in now.items()}
        for place, mark in now.items():
            LAG.labels(*place).set(mark.lag)
            if self._disorder_ms is not None:
                WATERMARK.labels(*place).set(self._places[place] / 1_000)
        for topic in self._topics:
            OWNED.labels(topic).set(sum(place[0] == topic for place in now))

    def _complete_ms(self, place: tuple[str, str], mark: SourceMark) -> float:
        """Event time up to which a partition is in the log, as decide takes it: a quiet one holds nothing back."""
        quiet_ms = time.time() * 1_000 - (self._disorder_ms or 0) if mark.to_end else 0.0
        return max(mark.watermark_ms, quiet_ms, self._places.get(place, 0.0))
