"""The hot path: plain requests become three columns (cell, second, latency), summed once per range.

An island of plain loops and arrays (bench/ingest.py is its benchmark): at several hundred thousand events a second
an object, a call or a dict entry per event is what costs. Everything that is not a plain request goes by cells.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guardian.core.events import MAX_FIGURE, MAX_NAME_BYTES, MAX_WHOLE, SECONDS_BOUND, Assignment, fit_text
from guardian.core.histogram import BIN_COUNT, HIGHEST_MS, bins_of
from guardian.ingest import sizes
from guardian.wire.event_faults import is_flag_name
from guardian.wire.events import OUTCOMES, HotEvent, is_name

NOT_PLAIN: Final = -1

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class CellKey(NamedTuple):
    """What makes a cell; the order is that of core.inputs.Cell."""

    flag: str
    flag_version: int
    variant: str
    assignment: str
    service: str


class HotKey(NamedTuple):
    """The fields of a plain request that its label depends on, in the order in which `Labels.of` names them."""

    flag: str | None
    variant: str | None
    outcome: str | None
    service: str | None
    flag_version: int | None
    assignment: str | None
    error_type: str | None = None
    kind: str | None = None
    flags: object = None
    metrics: object = None


class Labels(dict[tuple[object, ...], int]):
    """Numbers the distinct (cell, outcome, error type) of one range; its length is bounded by the range's.

    A key that is no plain, valid request gets NOT_PLAIN and is not kept: the event is looked at by itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cells: dict[CellKey, int] = {}
        self.cell_of: list[int] = []  # by label
        self.outcome_of: list[str] = []
        self.signature_of: list[str] = []
        self.failing = False
        self.cell_bytes = 0
        """Of all cells without their buckets, at the most."""
        self.signature_bytes = 0
        """Of the signatures of all labels, once each, at the most."""
        self.longest_signature = 0

    def of(self, events: Sequence[HotEvent]) -> list[int]:
        """Return the label of each event."""
        # Attributes by name in a comprehension take 223 ns an event instead of operator.attrgetter's 348, and the short
        # key, which nearly every event has, 208 [measured].
        return [
            self[e.flag, e.variant, e.outcome, e.service, e.flag_version, e.assignment]
            if not (e.error_type or e.kind or e.flags or e.metrics)
            else self[
                e.flag,
                e.variant,
                e.outcome,
                e.service,
                e.flag_version,
                e.assignment,
                e.error_type,
                e.kind,
                e.flags,
                e.metrics,
            ]
            for e in events
        ]

    def __missing__(self, key: tuple[object, ...]) -> int:
        event = HotKey(*key)  # type: ignore[arg-type]  # a bare tuple has no types
        cell = _cell_key(event)
        if cell is None or event.outcome is None:
            return NOT_PLAIN
        label = len(self.cell_of)
        if cell not in self.cells:
            self.cells[cell] = len(self.cells)
            self.cell_bytes += sizes.cell(cell)
        self.cell_of.append(self.cells[cell])
        self.outcome_of.append(event.outcome)
        failing = event.outcome != OUTCOMES[0]
        self.failing = self.failing or failing
        signature = fit_text(event.error_type or "", MAX_NAME_BYTES) if failing else ""
        self.signature_of.append(signature or "")
        if signature:
            self.signature_bytes += sizes.signature(signature)
            self.longest_signature = max(self.longest_signature, sizes.signature(signature))
        self[key] = label
        return label


def _cell_key(event: HotKey) -> CellKey | None:
    """The cell of a plain request; None when there is anything about it that needs a second look."""
    if event.kind not in (None, "request") or event.flags is not None or event.metrics is not None:
        return None
    if event.flag is None or event.variant is None or not is_flag_name(event.flag):
        return None
    service, version = event.service or "", event.flag_version or 0
    if not is_name(event.variant) or not is_name(service) or not 0 <= version <= MAX_WHOLE:
        return None
    return CellKey(event.flag, version, event.variant, event.assignment or Assignment.UNATTRIBUTED.value, service)


class Group(NamedTuple):
    """Plain requests of one label in one second."""

    label: int
    second: int
    n: int
    latency_n: int
    latency_sum_us: int


class Spread(NamedTuple):
    """The latency histogram of one cell in one second."""

    cell: int
    second: int
    bins: list[int]
    counts: list[int]


class Slice(NamedTuple):
    """The events of one fetch, or a part of it, as columns."""

    label: Ints
    ts: Floats
    latency: Floats
    odd: list[int]
    """Indices of the events that must be looked at by themselves, rising."""


class Columns:
    """The plain requests of one range of one source partition."""

    def __init__(self) -> None:
        self.labels = Labels()
        self.rows = 0
        self.first_second = 0
        self.last_second = -1
        self.latest_s = 0.0
        self._chunks: list[tuple[Ints, Ints, Floats]] = []

    def look(self, events: Sequence[HotEvent], latest_s: float) -> Slice:
        """Return events as columns; nothing is taken yet.

        Args:
            events: decoded, in the order of their offsets.
            latest_s: Unix seconds; a later event is looked at by itself.
        """
        count = len(events)
        label = np.fromiter(self.labels.of(events), np.int64, count)
        ts = np.fromiter([e.ts for e in events], np.float64, count)
        latency = np.fromiter([e.latency_ms for e in events], np.float64, count)  # None becomes NaN
        odd = (label < 0) | (ts < 0) | (ts > min(latest_s, SECONDS_BOUND)) | (latency < 0) | (latency > MAX_FIGURE)
        return Slice(label, ts, latency, np.flatnonzero(odd).tolist() if odd.any() else [])

    def take(self, part: Slice, count: int) -> int:
        """Take the plain requests among the first `count` events of a slice; return how many these are."""
        label, ts, latency = part.label[:count], part.ts[:count], part.latency[:count]
        if part.odd:
            plain = np.ones(len(label), np.bool_)
            plain[[index for index in part.odd if index < count]] = False
            label, ts, latency = label[plain], ts[plain], latency[plain]
        if len(label):
            self.latest_s = max(self.latest_s, float(ts.max()))
            self._add(label, ts.astype(np.int64), latency)
        return len(label)

    def _add(self, label: Ints, second: Ints, latency: Floats) -> None:
        first, last = int(second.min()), int(second.max())
        if self.rows:
            first, last = min(first, self.first_second), max(last, self.last_second)
        self.first_second, self.last_second = first, last
        self.rows += len(label)
        self._chunks.append((label, second, latency))

    def size_bound(self, part: Slice | None = None) -> int:
        """Return a bound on the bytes of a record that the sums take, with the plain events of `part` taken too.

        Never less than what is encoded: each cell once; a bucket for each cell and second that occur, of which there
        are no more than requests; `sizes.REQUEST` for each request; a signature for each label that has one in each
        second, of which there are no more than requests, either.
        """
        rows, first, last = self.rows, self.first_second, self.last_second
        if part is not None:
            ts = part.ts[(part.ts >= 0) & (part.ts <= SECONDS_BOUND)] if part.odd else part.ts
            if len(ts):
                low, high = int(ts.min()), int(ts.max())
                first, last = (min(first, low), max(last, high)) if rows else (low, high)
                rows += len(ts)
        span = last - first + 1
        labels = self.labels
        buckets = min(len(labels.cells) * span, rows)
        size = labels.cell_bytes + buckets * sizes.BUCKET + rows * sizes.REQUEST
        return size + min(labels.signature_bytes * span, labels.longest_signature * rows)

    def sums(self) -> tuple[list[Group], list[Spread]]:
        """Return the requests by label and second, and the latencies by cell and second."""
        if not self.rows:
            return [], []
        label, second, latency = (np.concatenate(column) for column in zip(*self._chunks, strict=True))
        span = self.last_second - self.first_second + 1
        slot = second - self.first_second
        timed = ~np.isnan(latency)
        groups = self._groups(label * span + slot, timed, latency, span)
        cell = np.array(self.labels.cell_of, np.int64)[label[timed]]
        return groups, self._spreads(cell * span + slot[timed], latency[timed], span)

    def _groups(self, code: Ints, timed: NDArray[np.bool_], latency: Floats, span: int) -> list[Group]:
        names: Ints | None = None
        top = len(self.labels.cell_of) * span
        if top > max(4 * len(code), 65_536):  # few of many: number those that occur
            names, code = np.unique(code, return_inverse=True)
            top = len(names)
        n = np.bincount(code, minlength=top)
        latency_n = np.bincount(code[timed], minlength=top)
        # Whole microseconds below 2**53 in all: the float sums are exact, so they merge in any order.
        us = np.rint(np.minimum(latency[timed], HIGHEST_MS) * 1000)
        sums = np.bincount(code[timed], weights=us, minlength=top).astype(np.int64)
        found = np.flatnonzero(n)
        label, slot = np.divmod(found if names is None else names[found], span)
        columns = (label, slot + self.first_second, n[found], latency_n[found], sums[found])
        return list(map(Group._make, zip(*(column.tolist() for column in columns), strict=True)))

    def _spreads(self, place: Ints, latency: Floats, span: int) -> list[Spread]:
        if not len(place):
            return []
        codes, counts = np.unique(place * BIN_COUNT + bins_of(latency), return_counts=True)
        places, bins = np.divmod(codes, BIN_COUNT)
        starts = np.flatnonzero(np.diff(places, prepend=-1))
        cell, slot = np.divmod(places[starts], span)
        all_bins, all_counts = bins.tolist(), counts.tolist()
        borders = [*starts.tolist(), len(all_bins)]
        return [
            Spread(cell_at, second, all_bins[start:end], all_counts[start:end])
            for cell_at, second, (start, end) in zip(
                cell.tolist(), (slot + self.first_second).tolist(), pairwise(borders), strict=True
            )
        ]
