"""Event-time buckets that add up to windows; exact to the bucket, bounded in number.

A series keeps one-second buckets for two minutes and folds older ones into ever coarser tiers:
1 s for 2 min, 10 s for 20 min, 1 min for 2 h, 15 min for 7 d, and none of it longer than its rules look back.
A window takes every bucket that begins inside it, so its far border is exact to the tier's width.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from guardian.core.histogram import quantile_ms
from guardian.core.inputs import Bucket

TIERS: Final = ((1, 120), (10, 1_200), (60, 7_200), (900, 604_800))
"""(width, age up to which buckets of that width are kept), seconds."""

OUTCOMES: Final = ("ok", "error", "timeout", "crash", "hang")


class Tally(Struct):
    """Requests by outcome and latency; associative, commutative, the empty one is neutral.

    Args:
        counts: requests by outcome, in the order of OUTCOMES.
        latency_n, latency_sum_us: requests with a latency, and their sum in microseconds.
        bins: requests by bin of the latency histogram.
    """

    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0, 0])
    latency_n: int = 0
    latency_sum_us: int = 0
    bins: dict[int, int] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """All requests."""
        return sum(self.counts)

    def count(self, outcomes: tuple[str, ...]) -> int:
        """Return the requests that ended in one of these outcomes."""
        return sum(self.counts[OUTCOMES.index(outcome)] for outcome in outcomes)

    def quantile_ms(self, q: float) -> float | None:
        """Return the lower q-quantile of the latency in milliseconds, None without any."""
        return quantile_ms(self.bins, q)

    def mean_ms(self) -> float | None:
        """Return the mean latency in milliseconds, None without any."""
        return self.latency_sum_us / self.latency_n / 1_000 if self.latency_n else None

    def add(self, other: Tally) -> None:
        """Merge another tally into this one."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.latency_n += other.latency_n
        self.latency_sum_us += other.latency_sum_us
        for index, count in other.bins.items():
            self.bins[index] = self.bins.get(index, 0) + count


def tally_of(bucket: Bucket, *, count_migrations: bool) -> Tally:
    """Return what a bucket of an input batch counts for.

    Args:
        bucket: telemetry (n > 0) or migrations (n = 0).
        count_migrations: `sources: [migrations]`: success and fallback count as ok, failure as error.
    """
    counts = [bucket.ok, bucket.error, bucket.timeout, bucket.crash, bucket.hang]
    if bucket.migrations:
        if not count_migrations:
            return Tally(counts)
        success, failure, fallback = bucket.migrations
        counts[0] += success + fallback
        counts[1] += failure
    bins = dict(zip(bucket.bins, bucket.bin_counts, strict=True))
    return Tally(counts, bucket.latency_n, bucket.latency_sum_us, bins)


class Series(Struct):
    """The buckets of one variant, sparse, newest tier first.

    Args:
        keep_s: how far back any rule looks; older buckets are dropped.
        tiers: per tier of TIERS: bucket start (Unix second) -> tally.
    """

    keep_s: int
    tiers: list[dict[int, Tally]] = field(default_factory=lambda: [{} for _ in TIERS])

    def add(self, second: int, tally: Tally, watermark_s: int) -> bool:
        """Add to the bucket of this second.

        Returns:
            False when the second is too old for a bucket of its own: the caller counts it as late.
        """
        if second < watermark_s - TIERS[0][1]:
            return False
        _merge(self.tiers[0], second, tally)
        return True

    def roll(self, watermark_s: int) -> None:
        """Fold what has grown old into the coarser tiers, and drop what no rule looks back to."""
        for i, (_, span_s) in enumerate(TIERS):
            tier = self.tiers[i]
            horizon = watermark_s - min(span_s, self.keep_s + TIERS[i][0])
            for start in [start for start in tier if start < horizon]:
                tally = tier.pop(start)
                if i + 1 < len(TIERS) and span_s < self.keep_s:
                    width_s = TIERS[i + 1][0]
                    _merge(self.tiers[i + 1], start - start % width_s, tally)

    def window(self, start_ms: int, end_ms: int) -> Tally:
        """Return the sum of the buckets that begin in [start_ms, end_ms) of event time.

        A coarse bucket that begins before the window but reaches into it is left out;
        it is at most one tier width of the far end.
        """
        total = Tally()
        for tier in self.tiers:
            for start, tally in tier.items():
                if start_ms <= start * 1_000 < end_ms:
                    total.add(tally)
        return total

    def newest_s(self) -> int:
        """Return the newest second with a request, 0 without any."""
        return max((start for tier in self.tiers for start in tier), default=0)

    def clear(self) -> None:
        """Forget every bucket: a flag change begins new evidence."""
        for tier in self.tiers:
            tier.clear()


def _merge(tier: dict[int, Tally], start: int, tally: Tally) -> None:
    mine = tier.get(start)
    if mine is None:
        mine = tier[start] = Tally()
    mine.add(tally)
