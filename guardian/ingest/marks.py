"""How far each source partition is in the log, said once a second to every input partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from guardian.core.inputs import SourceMark, Watermarks
from guardian.ingest.lanes import Lane

MARKS_S: Final = 1.0
FRESH_MS: Final = 3_000
"""An end that was heard of longer ago is not taken for the end any more."""


def source_mark(lane: Lane, end: int | None, heard_ms_ago: float, disorder_ms: int) -> SourceMark:
    """Return what is to be said of one source partition: only of ranges whose every part is acked.

    Args:
        lane: the source partition.
        end: the offset after its newest record as Kafka last said; None when it has not said since the assignment.
        heard_ms_ago: how long ago that was.
        disorder_ms: the allowed disorder.
    """
    seen = lane.acked_event_ms > 0 and lane.acked_arrival_ms > 0
    watermark_ms = max(0, min(lane.acked_event_ms, lane.acked_arrival_ms) - disorder_ms) if seen else 0
    known_end = max(lane.first_end if end is None else end, lane.next)
    to_end = end is not None and lane.acked == known_end and 0 <= heard_ms_ago <= FRESH_MS
    return SourceMark(lane.source, watermark_ms, known_end - lane.acked, to_end)


def watermarks(process: str, marks: Iterable[SourceMark], expected: Mapping[str, int], disorder_ms: int) -> Watermarks:
    """Return the payload.

    Args:
        process: this process's id.
        marks: one per source partition that it owns.
        expected: partitions by source topic.
        disorder_ms: the allowed disorder.
    """
    return Watermarks(process, list(marks), dict(expected), disorder_ms)
