"""Event-time buckets that add up to windows; exact to the bucket, bounded in number.

A series keeps one-second buckets for two minutes and folds older ones into ever coarser tiers:
1 s for 2 min, 10 s for 20 min, 1 min for 2 h, 15 min for 7 d, and none of it longer than its rules look back.
A window takes every bucket that begins inside it, so its far border is exact to the tier's width; `start_ms` names it.

Counts have tiers of their own, which nothing makes coarser. Latency bins and measured figures are the bulk of the
bytes: each of the two is a `Layer` with its own memory bound, and only that layer grows coarse when it is exceeded.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import Struct, field

from guardian.core.histogram import NO_BINS, Bins, bins_from, sum_of, wider
from guardian.core.inputs import Bucket
from guardian.core.rollout import NAMED_PREFIX
from guardian.core.sums import Sums, added, is_measured, sums_of
from guardian.core.text import duration_text

TIERS: Final = ((1, 120), (10, 1_200), (60, 7_200), (900, 604_800))
"""(width, age up to which buckets of that width are kept), seconds."""
FINE_WIDTHS_S: Final = tuple(width_s for width_s, _ in TIERS[:-1])
COARSE_COUNTS_S: Final = 3_600
"""Width of the coarsest counts where a spec leaves too little room for quarters of an hour."""
LEAD_S: Final = 60
"""Beyond so much ahead of the watermark, buckets grow coarse as if it had followed: a silent source holds it back."""
MAX_BIN_ENTRIES: Final = 56_000
"""Latency bins in all buckets of a rollout; beyond it their buckets grow coarse sooner."""
ENTRY_BYTES: Final = 4.5
"""What one latency bin takes of a snapshot (2.2 to 4.7 were measured)."""
SUM_ENTRIES: Final = 4
"""A measured figure takes as much room in a snapshot as so many latency bins; 16 bytes were measured."""
BUCKET_ENTRIES: Final = 3
"""A layer's bucket by itself takes as much room as so many latency bins; 12 bytes were measured."""
COUNT_BYTES: Final = 27
"""What a bucket of counts takes of a snapshot (26 were measured for random counts up to 1,000 a second)."""
FINE_PRESSURE: Final = 7
"""Up to here pressure makes a layer's buckets coarse; from there on latency bins, twice as wide each time."""
MAX_PRESSURE: Final = 10

MAX_BINS: Final = 600
"""Filled bins of one tally, five decades of latency without a gap; with more, bins are made twice as wide."""
OUTCOMES: Final = ("ok", "error", "timeout", "crash", "hang")
MAX_CUTS: Final = 8
"""Applies within one step that are told apart; of one before them, a window loses a coarse bucket at most."""
_ROLL_EVERY: Final = 32
"""A series is rolled after so many new seconds, even if the watermark stands still."""


class Tally(Struct, omit_defaults=True):
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
        if any(other.counts):
            self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.latency_n += other.latency_n
        self.latency_sum_us += other.latency_sum_us
        if other.bins:
            self.bins = sum_of((self.bins, other.bins)) if self.bins else other.bins
            if len(self.bins) > MAX_BINS:
                self.bins = wider(self.bins, 2)
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


Tiers = list[dict[int, Tally]]
"""Per tier of TIERS: bucket start (Unix second) -> tally."""


class Layer(Struct):
    """One part of a series (latency bins, or measured figures) with a memory bound of its own.

    Args:
        tiers: per tier of TIERS: bucket start (Unix second) -> tally with this part only.
        pressure: how often the ages of the fine tiers were halved, and the width of the coarsest doubled, to keep to
            `max_room`; 0 for ordinary traffic.
        max_room: the bound, in latency bins: the layer's share of a snapshot.
        held: how much room the buckets take at most, in latency bins; found out exactly when it passes the bound.
        rolled_s: the second that the last roll counted ages back from, 0 before any.
    """

    tiers: Tiers = field(default_factory=lambda: [{} for _ in TIERS])
    pressure: int = 0
    max_room: int = MAX_BIN_ENTRIES
    held: int = 0
    rolled_s: int = 0

    def add(self, tier: int, start: int, tally: Tally) -> None:
        """Add to the bucket of a tier that begins at `start`."""
        _merge(self.tiers[tier], start, tally)
        self.held += _room_of(tally)

    def measure(self) -> None:
        """Find out how much room the buckets take, and make latency bins as wide as the pressure asks."""
        every = [tally for tier in self.tiers for tally in tier.values()]
        if self.bin_width > 1:
            for tally in every:
                tally.bins = wider(tally.bins, self.bin_width)
        self.held = sum([_room_of(tally) for tally in every])

    @property
    def is_full(self) -> bool:
        """True when the layer takes more room than it has."""
        return self.held > self.max_room

    @property
    def coarseness(self) -> int:
        """How often the ages of the fine tiers were halved, and the width of the coarsest doubled."""
        return min(self.pressure, FINE_PRESSURE)

    @property
    def bin_width(self) -> int:
        """How many bins of the histogram's layout each bin takes: 1 unless even the fewest buckets took too much."""
        return 1 << max(0, self.pressure - FINE_PRESSURE)

    def clear(self) -> None:
        """Forget every bucket."""
        for tier in self.tiers:
            tier.clear()
        self.pressure = self.held = self.rolled_s = 0


class Series(Struct):
    """An arm's buckets, sparse, newest tier first.

    Args:
        keep_s: how far back any rule looks; older buckets are dropped.
        tiers: counts. Per tier of TIERS: bucket start (Unix second) -> tally without bins and measured figures.
        newest_s: the newest second with a request, 0 without any.
        cuts: seconds at which a trigger's evidence began anew, rising: no coarse bucket reaches over one.
        latencies: the latency bins.
        figures: the figures that the events themselves measured.
        coarse_counts: the spec leaves so little room that counts are kept for half as long in the fine tiers, and by
            the hour beyond; never taken back, or buckets of before would be taken for narrow ones.
        rolled_s: the second that the last roll counted ages back from, 0 before any.
    """

    keep_s: int
    tiers: Tiers = field(default_factory=lambda: [{} for _ in TIERS])
    newest_s: int = 0
    cuts: tuple[int, ...] = ()
    latencies: Layer = field(default_factory=Layer)
    figures: Layer = field(default_factory=Layer)
    coarse_counts: bool = False
    rolled_s: int = 0

    def __post_init__(self) -> None:
        """Move bins and measured figures into their layers where a snapshot of before kept them beside the counts."""
        for i, tier in enumerate(self.tiers):
            for start, tally in tier.items():
                if tally.bins or tally.sums:
                    self._take_bulk(i, start, tally)
                    tally.bins, tally.sums = NO_BINS, _counted(tally.sums)

    def add(self, second: int, tally: Tally, watermark_s: int) -> bool:
        """Add to the bucket of this second.

        Returns:
            False when the second is too old for a bucket of its own: the caller counts it as late.
        """
        if is_late(second, watermark_s):
            return False
        is_new = second not in self.tiers[0]
        counts = Tally(tally.counts, tally.latency_n, tally.latency_sum_us, NO_BINS, _counted(tally.sums))
        _merge(self.tiers[0], second, counts)
        self._take_bulk(0, second, tally)
        self.newest_s = max(self.newest_s, second)
        is_full = self.latencies.is_full or self.figures.is_full
        if is_new and (len(self.tiers[0]) % _ROLL_EVERY == 0 or is_full):
            self.roll(watermark_s)
        return True

    def _take_bulk(self, tier: int, start: int, tally: Tally) -> None:
        """Put the bins and measured figures of a tally where they are bounded."""
        if tally.bins:
            self.latencies.add(tier, start, Tally(bins=tally.bins))
        if measured := {name: parts for name, parts in tally.sums.items() if is_measured(name)}:
            self.figures.add(tier, start, Tally(sums=measured))

    def roll(self, watermark_s: int) -> None:
        """Fold what has grown old into the coarser tiers, and drop what no rule looks back to."""
        self.rolled_s = self._fold(self.tiers, watermark_s, *self._of_counts)
        for layer in (self.latencies, self.figures):
            if not any(layer.tiers):
                continue
            self._roll_layer(layer, watermark_s)
            while layer.is_full and layer.pressure < MAX_PRESSURE:
                layer.pressure += 1
                self._roll_layer(layer, watermark_s)

    def _roll_layer(self, layer: Layer, watermark_s: int) -> None:
        layer.rolled_s = self._fold(layer.tiers, watermark_s, layer.coarseness, self._widest_s(layer))
        if layer.is_full or layer.bin_width > 1:
            layer.measure()

    def _fold(self, tiers: Tiers, watermark_s: int, coarseness: int, widest_s: int) -> int:
        now_s = max(watermark_s, self.newest_s - (LEAD_S >> coarseness))
        oldest_s = max(watermark_s - self.keep_s, now_s - TIERS[-1][1])
        widths = [*FINE_WIDTHS_S, widest_s]
        last = len(TIERS) - 1
        for i, (tier, width_s) in enumerate(zip(tiers, widths, strict=True)):
            coarser = min(i + 1, last)
            old_s = now_s - (TIERS[i][1] >> coarseness) if i < last else 0
            moved = [
                start
                for start in tier
                if start < old_s or start + width_s <= oldest_s or (start % width_s and start not in self.cuts)
            ]
            for start in moved:
                tally = tier.pop(start)
                if start + width_s > oldest_s:
                    _merge(tiers[coarser], self._begin(start, widths[coarser]), tally)
        return now_s

    @property
    def _of_counts(self) -> tuple[int, int]:
        """Coarseness and greatest width of the counts: a matter of the spec, never of pressure."""
        return (1, COARSE_COUNTS_S) if self.coarse_counts else (0, TIERS[-1][0])

    def _widest_s(self, layer: Layer) -> int:
        """Return the width of a layer's coarsest buckets: under pressure it doubles, to a quarter of what is kept."""
        width_s = TIERS[-1][0]
        for _ in range(layer.coarseness):
            if 8 * width_s <= self.keep_s:
                width_s *= 2
        return width_s

    def _begin(self, start: int, width_s: int) -> int:
        """Return where the bucket of this width begins that takes what begins at `start`."""
        return max([start - start % width_s, *(cut for cut in self.cuts if cut <= start)])

    def cut(self, second: int) -> None:
        """Keep what begins at this second or later apart from what was before, so that a window may begin there."""
        self.cuts = tuple(sorted({*self.cuts, second}))[-MAX_CUTS:]

    def start_ms(self, start_ms: int, *, latency: bool = False, figure: str | None = "") -> int:
        """Return from where a window that begins at `start_ms` is summed: behind the bucket that its border cuts.

        Args:
            start_ms: event time.
            latency: of the histogram.
            figure: of this named figure.
        """
        layer = self.latencies if latency else self.figures
        if latency or is_measured(figure or ""):
            return self._border_ms(layer.tiers, start_ms, layer.rolled_s, layer.coarseness, self._widest_s(layer))
        return self._border_ms(self.tiers, start_ms, self.rolled_s, *self._of_counts)

    def _border_ms(self, tiers: Tiers, start_ms: int, rolled_s: int, coarseness: int, widest_s: int) -> int:
        """Where what may be in a bucket that `start_ms` cuts ends: all of it was folded, so none of it is younger."""
        border_ms = start_ms
        for i, width_s in enumerate([*FINE_WIDTHS_S[1:], widest_s], 1):
            begin = self._begin(start_ms // 1_000, width_s)
            if begin in tiers[i] and begin * 1_000 < start_ms:
                ends = [begin - begin % width_s + width_s, *(cut for cut in self.cuts if cut > begin)]
                if rolled_s:
                    finer_s, age_s = TIERS[i - 1]
                    ends.append(-(((age_s >> coarseness) - rolled_s) // finer_s) * finer_s)
                border_ms = max(border_ms, min(ends) * 1_000)
        return border_ms

    def window(self, start_ms: int, end_ms: int, *, latency: bool = True, figure: str | None = None) -> Tally:
        """Return the sum of the buckets that begin in [start_ms, end_ms) of event time.

        A coarse bucket that begins before the window but reaches into it is left out, and what is summed begins
        behind it (`start_ms` says where); it is at most one tier width of the far end.

        Args:
            latency: False leaves the histogram out, which is most of the work.
            figure: the only named figure that is wanted, empty for none; None for all.
        """
        counts = _taken(self.tiers, self.start_ms(start_ms), end_ms)
        bins = _taken(self.latencies.tiers, self.start_ms(start_ms, latency=True), end_ms) if latency else []
        named = [tally.sums for tally in counts]
        if figure is None or is_measured(figure):
            from_ms = self.start_ms(start_ms, figure=figure or NAMED_PREFIX)
            named += [tally.sums for tally in _taken(self.figures.tiers, from_ms, end_ms)]
        return Tally(
            [sum(column) for column in zip(*[tally.counts for tally in counts], strict=True)] or [0, 0, 0, 0, 0],
            sum([tally.latency_n for tally in counts]),
            sum([tally.latency_sum_us for tally in counts]),
            sum_of([tally.bins for tally in bins]),
            {} if figure == "" else added(named, figure),
        )

    def precision(self, *, latency: bool = False, figure: str | None = "") -> str:
        """Return in a phrase what the memory bound has cost the histogram, or a measured figure; empty for nothing."""
        layer = self.latencies if latency else self.figures
        if not layer.pressure or not (latency or is_measured(figure or "")):
            return ""
        fine, wide = TIERS[-2][1] >> layer.coarseness, self._widest_s(layer)
        text = f"kept by {duration_text(wide * 1_000)} beyond {duration_text(max(1, fine) * 1_000)}"
        return f"{text}, in bins of {2 * layer.bin_width}%" if latency and layer.bin_width > 1 else text

    @property
    def is_empty(self) -> bool:
        """True without any bucket."""
        return not any(self.tiers)

    def clear(self) -> None:
        """Forget every bucket: a flag change begins new evidence."""
        for tier in self.tiers:
            tier.clear()
        self.latencies.clear()
        self.figures.clear()
        self.newest_s = self.rolled_s = 0
        self.cuts = ()


def _counted(sums: Sums) -> Sums:
    """The named figures that are counts: three at most, and as exact as requests."""
    return {name: parts for name, parts in sums.items() if not is_measured(name)}


def _taken(tiers: Tiers, start_ms: int, end_ms: int) -> list[Tally]:
    return [tally for tier in tiers for start, tally in tier.items() if start_ms <= start * 1_000 < end_ms]


def _room_of(tally: Tally) -> int:
    return BUCKET_ENTRIES + len(tally.bins) + SUM_ENTRIES * len(tally.sums)


def _merge(tier: dict[int, Tally], start: int, tally: Tally) -> None:
    mine = tier.get(start)
    if mine is None:
        mine = tier[start] = Tally()
    mine.add(tally)
