"""Event-time buckets that add up to windows; exact to the bucket, bounded in number.

A series keeps one-second buckets for two minutes and folds older ones into ever coarser tiers:
1 s for 2 min, 10 s for 20 min, 1 min for 2 h, 15 min for 7 d, and none of it longer than its rules look back.
A window takes every bucket that begins inside it, so its far border is exact to the tier's width.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import Struct, field

from guardian.core.histogram import NO_BINS, Bins, bins_from, sum_of, wider
from guardian.core.inputs import Bucket
from guardian.core.sums import Sums, added, sums_of

TIERS: Final = ((1, 120), (10, 1_200), (60, 7_200), (900, 604_800))
"""(width, age up to which buckets of that width are kept), seconds."""
LEAD_S: Final = 60
"""Beyond so much ahead of the watermark, buckets grow coarse as if it had followed: a silent source holds it back."""
MAX_BIN_ENTRIES: Final = 56_000
"""Latency bins in all buckets of a rollout; beyond it buckets grow coarse sooner, so that a snapshot stays small."""
ENTRY_BYTES: Final = 4.5
"""What one latency bin takes of a snapshot (2.2 to 4.7 were measured)."""
SUM_ENTRIES: Final = 4
"""A named figure takes as much room in a snapshot as so many latency bins; 16 bytes were measured."""
BUCKET_ENTRIES: Final = 5
"""And so does a bucket by itself; 20 bytes were measured."""
FINE_PRESSURE: Final = 7
"""Up to here pressure makes buckets coarse; from there on latency bins, twice as wide each time."""
MAX_PRESSURE: Final = 10

OUTCOMES: Final = ("ok", "error", "timeout", "crash", "hang")
MAX_CUTS: Final = 8
"""Applies within one step that are told apart; of one before them, a window loses a coarse bucket at most."""
_ROLL_EVERY: Final = 32
"""A series is rolled after so many new seconds, even if the watermark stands still."""


class Tally(Struct):
    """Requests by outcome and latency; associative, commutative, the empty one is neutral.

    Args:
        counts: requests by outcome, in the order of OUTCOMES.
        latency_n, latency_sum_us: requests with a latency, and their sum in microseconds.
        bins: requests by bin of the latency histogram.
        sums: named figures, each [how many, their sum]; only those that a rule looks at.
    """

    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0, 0])
    latency_n: int = 0
    latency_sum_us: int = 0
    bins: Bins = NO_BINS
    sums: Sums = field(default_factory=dict)

    @property
    def n(self) -> int:
        """All requests."""
        return sum(self.counts)

    @property
    def is_empty(self) -> bool:
        """True when nothing was counted."""
        return not self.n and not self.sums

    def count(self, outcomes: tuple[str, ...]) -> int:
        """Return the requests that ended in one of these outcomes."""
        return sum(self.counts[OUTCOMES.index(outcome)] for outcome in outcomes)

    def quantile_ms(self, q: float) -> float | None:
        """Return the lower q-quantile of the latency in milliseconds, None without any."""
        return self.bins.quantile_ms(q)

    def mean_ms(self) -> float | None:
        """Return the mean latency in milliseconds, None without any."""
        return self.latency_sum_us / self.latency_n / 1_000 if self.latency_n else None

    def add(self, other: Tally) -> None:
        """Merge another tally into this one."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.latency_n += other.latency_n
        self.latency_sum_us += other.latency_sum_us
        self.bins = sum_of((self.bins, other.bins))
        if other.sums:
            self.sums = added((self.sums, other.sums))


def tally_of(
    bucket: Bucket, *, count_telemetry: bool = True, count_migrations: bool = False, tracked: Collection[str] = ()
) -> Tally:
    """Return what a bucket of an input batch counts for.

    Args:
        bucket: telemetry, migrations, or both.
        count_telemetry: `sources` names telemetry, or says nothing: requests count.
        count_migrations: `sources` names migrations: success counts as ok, failure as error. A fallback is told
            beside the failure of the same call, and counts as neither.
        tracked: the named figures that a rule looks at.
    """
    tally = Tally()
    if count_telemetry:
        tally.counts = [bucket.ok, bucket.error, bucket.timeout, bucket.crash, bucket.hang]
    if count_migrations and bucket.migrations:
        tally.counts[0] += bucket.migrations[0]
        tally.counts[1] += bucket.migrations[1]
    if count_migrations if bucket.migrations else count_telemetry:
        tally.latency_n, tally.latency_sum_us = bucket.latency_n, bucket.latency_sum_us
        tally.bins = bins_from(bucket.bins, bucket.bin_counts)
    if tracked:
        tally.sums = sums_of(bucket, tracked)
    return tally


def is_late(second: int, watermark_s: int) -> bool:
    """Return whether a second is too old for a bucket of its own."""
    return second < watermark_s - TIERS[0][1]


class Series(Struct):
    """An arm's buckets, sparse, newest tier first.

    Args:
        keep_s: how far back any rule looks; older buckets are dropped.
        tiers: per tier of TIERS: bucket start (Unix second) -> tally.
        newest_s: the newest second with a request, 0 without any.
        pressure: how often the ages of the fine tiers, and the width of the coarsest, were halved and doubled
            to keep to `max_bins`; 0 for every series whose latencies are not spread absurdly.
        max_bins: its share of what a snapshot has room for, when a rollout keeps several.
        held: how much room the buckets take at most, in latency bins; exact after each roll.
        cuts: seconds at which a trigger's evidence began anew, rising: no coarse bucket reaches over one.
    """

    keep_s: int
    tiers: list[dict[int, Tally]] = field(default_factory=lambda: [{} for _ in TIERS])
    newest_s: int = 0
    pressure: int = 0
    max_bins: int = MAX_BIN_ENTRIES
    held: int = 0
    cuts: tuple[int, ...] = ()

    def add(self, second: int, tally: Tally, watermark_s: int) -> bool:
        """Add to the bucket of this second.

        Returns:
            False when the second is too old for a bucket of its own: the caller counts it as late.
        """
        if is_late(second, watermark_s):
            return False
        is_new = second not in self.tiers[0]
        _merge(self.tiers[0], second, tally)
        self.newest_s = max(self.newest_s, second)
        self.held += _room_of(tally)
        if is_new and (len(self.tiers[0]) % _ROLL_EVERY == 0 or self.held > self.max_bins):
            self.roll(watermark_s)
        return True

    def roll(self, watermark_s: int) -> None:
        """Fold what has grown old into the coarser tiers, and drop what no rule looks back to."""
        self._fold(watermark_s)
        self.held = self._entries()
        while self.pressure < MAX_PRESSURE and self.held > self.max_bins:
            self.pressure += 1
            self._fold(watermark_s)
            self.held = self._entries()

    def _fold(self, watermark_s: int) -> None:
        halved = min(self.pressure, FINE_PRESSURE)
        now_s = max(watermark_s, self.newest_s - (LEAD_S >> halved))
        oldest_s = max(watermark_s - self.keep_s, now_s - TIERS[-1][1])
        widths = [width_s for width_s, _ in TIERS[:-1]] + [self._widest_s()]
        last = len(TIERS) - 1
        for i, (tier, width_s) in enumerate(zip(self.tiers, widths, strict=True)):
            coarser = min(i + 1, last)
            old_s = now_s - (TIERS[i][1] >> halved) if i < last else 0
            moved = [
                start
                for start in tier
                if start < old_s or start + width_s <= oldest_s or (start % width_s and start not in self.cuts)
            ]
            for start in moved:
                tally = tier.pop(start)
                if start + width_s > oldest_s:
                    _merge(self.tiers[coarser], self._begin(start, widths[coarser]), tally)
        if self.pressure > FINE_PRESSURE:
            self._widen(1 << (self.pressure - FINE_PRESSURE))

    def _begin(self, start: int, width_s: int) -> int:
        """Return where the bucket of this width begins that takes what begins at `start`."""
        return max([start - start % width_s, *(cut for cut in self.cuts if cut <= start)])

    def cut(self, second: int) -> None:
        """Keep what begins at this second or later apart from what was before, so that a window may begin there."""
        self.cuts = tuple(sorted({*self.cuts, second}))[-MAX_CUTS:]

    def _widen(self, width: int) -> None:
        """Make the latency bins wide, where even the fewest buckets take too much room."""
        for tier in self.tiers:
            for tally in tier.values():
                tally.bins = wider(tally.bins, width)

    def _widest_s(self) -> int:
        """Return the width of the coarsest tier's buckets: under pressure it doubles, to a quarter of what is kept."""
        width_s = TIERS[-1][0]
        for _ in range(min(self.pressure, FINE_PRESSURE)):
            if 8 * width_s <= self.keep_s:
                width_s *= 2
        return width_s

    def _entries(self) -> int:
        """How much room the buckets take, in latency bins."""
        return sum(_room_of(tally) for tier in self.tiers for tally in tier.values())

    def window(self, start_ms: int, end_ms: int, *, latency: bool = True, figure: str | None = None) -> Tally:
        """Return the sum of the buckets that begin in [start_ms, end_ms) of event time.

        A coarse bucket that begins before the window but reaches into it is left out;
        it is at most one tier width of the far end.

        Args:
            latency: False leaves the histogram out, which is most of the work.
            figure: the only named figure that is wanted, empty for none; None for all.
        """
        taken = [
            tally for tier in self.tiers for start, tally in tier.items() if start_ms <= start * 1_000 < end_ms
        ]  # fmt: skip
        return Tally(
            [sum(column) for column in zip(*[tally.counts for tally in taken], strict=True)] or [0, 0, 0, 0, 0],
            sum([tally.latency_n for tally in taken]),
            sum([tally.latency_sum_us for tally in taken]),
            sum_of([tally.bins for tally in taken]) if latency else NO_BINS,
            {} if figure == "" else added([tally.sums for tally in taken], figure),
        )

    @property
    def is_empty(self) -> bool:
        """True without any bucket."""
        return not any(self.tiers)

    def clear(self) -> None:
        """Forget every bucket: a flag change begins new evidence."""
        for tier in self.tiers:
            tier.clear()
        self.newest_s = self.pressure = self.held = 0
        self.cuts = ()


def _room_of(tally: Tally) -> int:
    return BUCKET_ENTRIES + len(tally.bins) + SUM_ENTRIES * len(tally.sums)


def _merge(tier: dict[int, Tally], start: int, tally: Tally) -> None:
    mine = tier.get(start)
    if mine is None:
        mine = tier[start] = Tally()
    mine.add(tally)
