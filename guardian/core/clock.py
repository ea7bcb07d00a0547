"""The three times of one partition: log time never falls, the watermark never falls, and blindness is known.

Nothing here reads a clock: log time is the broker's timestamp of the records, the watermark is what ingest reported.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from guardian.core.inputs import SourceMark, Watermarks
from guardian.core.text import duration_text

BLIND_AFTER_MS: Final = 10_000
"""A source partition that has not reported for this long makes guardian blind."""
FRESH_LAG_MS: Final = 30_000
"""Evidence whose watermark is further behind log time than this is stale."""
IMPLAUSIBLE_JUMP_MS: Final = 600_000
"""A leap of log time beyond this is believed when a second record confirms it."""


class Report(Struct):
    """What was last said of one source partition."""

    mark: SourceMark
    at_ms: int


class Clock(Struct):
    """Log time, watermark and freshness of one input partition.

    Args:
        log_ms: log time; 0 before the first record.
        suspect_ms: an implausible leap that waits for its confirmation; 0 for none.
        leaps: implausible timestamps that nothing confirmed.
        watermark_ms: event time up to which the evidence is in; 0 before any.
        reports: by `topic/partition`.
        expected: source topics and their partitions, as ingest told.
        disorder_ms: as ingest told.
    """

    log_ms: int = 0
    suspect_ms: int = 0
    leaps: int = 0
    watermark_ms: int = 0
    reports: dict[str, Report] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)
    disorder_ms: int = 0

    def read_log(self, timestamp_ms: int) -> int:
        """Take a record's timestamp and return log time."""
        if self.log_ms and timestamp_ms > self.log_ms + IMPLAUSIBLE_JUMP_MS:
            if not self.suspect_ms or abs(timestamp_ms - self.suspect_ms) > IMPLAUSIBLE_JUMP_MS:
                self.leaps += 1 if self.suspect_ms else 0
                self.suspect_ms = timestamp_ms
                return self.log_ms
        elif self.suspect_ms:
            self.leaps += 1
        self.suspect_ms = 0
        self.log_ms = max(self.log_ms, timestamp_ms)
        return self.log_ms

    def read_marks(self, marks: Watermarks) -> None:
        """Take what one ingest process says of its source partitions."""
        self.expected = dict(marks.expected)
        self.disorder_ms = marks.disorder_ms
        for mark in marks.marks:
            self.reports[f"{mark.source.topic}/{mark.source.partition}"] = Report(mark, self.log_ms)
        for name in [name for name in self.reports if not self._is_expected(name)]:
            del self.reports[name]
        self._advance()

    def _is_expected(self, name: str) -> bool:
        topic, _, partition = name.rpartition("/")
        return int(partition) < self.expected.get(topic, 0)

    def _advance(self) -> None:
        if self.missing():
            return
        least = min(self._event_time_of(report) for report in self.reports.values())
        self.watermark_ms = max(self.watermark_ms, least)

    def _event_time_of(self, report: Report) -> int:
        if report.mark.to_end:
            return report.at_ms - self.disorder_ms
        return report.mark.watermark_ms

    def missing(self) -> list[str]:
        """Return the source partitions that are expected but silent, as `topic/partition`; `*` before any report."""
        if not self.expected:
            return ["*"]
        names = [f"{topic}/{i}" for topic, partitions in sorted(self.expected.items()) for i in range(partitions)]
        return [
            name
            for name in names
            if name not in self.reports or self.log_ms - self.reports[name].at_ms > BLIND_AFTER_MS
        ]

    @property
    def lag_ms(self) -> int:
        """Log time less watermark; -1 when guardian is blind."""
        return -1 if self.missing() or not self.watermark_ms else max(0, self.log_ms - self.watermark_ms)

    def stale(self) -> str:
        """Return why the evidence is stale, empty when every expected source reports and none lags."""
        if missing := self.missing():
            if missing == ["*"]:
                return "no ingest process has reported yet"
            return f"{len(missing)} source partitions do not report ({', '.join(missing[:3])})"
        if not self.watermark_ms:
            return "no event time is known yet"
        lag_ms = self.lag_ms
        return f"the watermark is {duration_text(lag_ms)} behind" if lag_ms > FRESH_LAG_MS + self.disorder_ms else ""
