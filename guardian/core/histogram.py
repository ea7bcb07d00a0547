"""A logarithmic latency histogram of fixed layout: bins of 2 %, exact merge and subtract, interpolated quantiles.

The layout is that of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees", VLDB 2019) with alpha = 0.01, its range fixed so that two histograms always add.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

RELATIVE_ERROR: Final = 0.01
GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
LOWEST_MS: Final = 0.001
"""Bin 0 takes everything up to here, zero included."""
HIGHEST_MS: Final = 1e7
"""The last bin takes everything from here (2.8 hours)."""
_LOG_GAMMA: Final = math.log(GAMMA)
BIN_COUNT: Final = math.ceil(math.log(HIGHEST_MS / LOWEST_MS) / _LOG_GAMMA) + 1
_INDEX: Final = np.dtype("<u2")
_COUNT: Final = np.dtype("<i8")


def bins_of(latency_ms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each latency.

    Args:
        latency_ms: shape (n,), finite and not negative.

    Returns:
        shape (n,), each 0..BIN_COUNT - 1.
    """
    clipped = np.clip(latency_ms, LOWEST_MS, HIGHEST_MS)
    return np.ceil(np.log(clipped / LOWEST_MS) / _LOG_GAMMA - 1e-9).astype(np.int64)


def bin_value_ms(index: int) -> float:
    """Return the value that stands for a bin, within 1 % of everything in it (bin 0 and the last one apart)."""
    return LOWEST_MS if index == 0 else LOWEST_MS * 2 * GAMMA**index / (GAMMA + 1)


class Bins(Struct, frozen=True, array_like=True):
    """The bins that are not empty, rising, as two packed arrays: 10 bytes a bin, and a window of many adds at once.

    Args:
        index: the bins' indices, 2 bytes each.
        count: the requests in each, 8 bytes each.
    """

    index: bytes = b""
    count: bytes = b""

    def __len__(self) -> int:
        return len(self.index) // _INDEX.itemsize

    @property
    def n(self) -> int:
        """All requests."""
        return int(np.frombuffer(self.count, _COUNT).sum())

    def counts(self) -> dict[int, int]:
        """Return the requests by bin."""
        index, count = np.frombuffer(self.index, _INDEX), np.frombuffer(self.count, _COUNT)
        return dict(zip(index.tolist(), count.tolist(), strict=True))

    def quantile_ms(self, q: float) -> float | None:
        """Return the q-quantile, interpolated inside its bin.

        The rank is h = q * (n - 1) (definition 7 of Hyndman and Fan: "Sample quantiles in statistical packages", 1996).
        Bin i holds latencies between its edges LOWEST * GAMMA**(i - 1) and LOWEST * GAMMA**i. Of its c requests, with b
        in the bins below, the one of rank k is taken to lie at the share f = (k - b + 0.5) / c of the bin, and its
        latency is lower edge * GAMMA**f: evenly spread on the logarithmic scale, as OpenTelemetry and Prometheus read
        exponential histograms.

        Args:
            q: 0..1.

        Returns:
            milliseconds, None when there are no requests. It lies in the bin of the exact lower quantile (rank
            floor(h)), so it is never further from it than GAMMA - 1 (2.02 %), and 1.01 % where the bin holds one
            request; on latencies of a smooth distribution the error falls with the root of c (0.1 % at 100).
            Bins that a memory bound has made wider stand for their middle one.
        """
        seen = np.frombuffer(self.count, _COUNT).cumsum()
        if not len(seen):
            return None
        rank = q * (int(seen[-1]) - 1)
        place = int(np.searchsorted(seen, math.floor(rank), side="right"))
        index = int(np.frombuffer(self.index, _INDEX)[place])
        before = int(seen[place - 1]) if place else 0
        share = min(1.0, (rank - before + 0.5) / (int(seen[place]) - before))
        return LOWEST_MS if index == 0 else LOWEST_MS * GAMMA ** (index - 1 + share)


def bins_from(indices: Sequence[int], counts: Sequence[int]) -> Bins:
    """Return the bins that an input bucket lists, in whatever order."""
    if not indices:
        return NO_BINS
    return _packed(np.array(indices, np.int64), np.array(counts, np.int64))


def wider(bins: Bins, width: int) -> Bins:
    """Return a histogram whose bins are `width` bins wide: each count in the middle one, so the error grows with it.

    Args:
        bins: of width 1, or of one that divides this one.
        width: a power of two.
    """
    index = np.frombuffer(bins.index, _INDEX).astype(np.int64)
    middle = np.minimum(index // width * width + width // 2, BIN_COUNT - 1)
    return _packed(middle, np.frombuffer(bins.count, _COUNT))


def sum_of(parts: Iterable[Bins]) -> Bins:
    """Return the sum of any number of histograms; the same one for any order and grouping of the parts."""
    filled = [part for part in parts if part.index]
    if len(filled) < 2:
        return filled[0] if filled else NO_BINS
    index = np.frombuffer(b"".join([part.index for part in filled]), _INDEX)
    count = np.frombuffer(b"".join([part.count for part in filled]), _COUNT)
    return _packed(index, count)


def _packed(index: NDArray[np.integer[Any]], count: NDArray[np.int64]) -> Bins:
    # Sums are made in doubles: exact up to 2**53 requests in a bin.
    dense = np.bincount(index, weights=count)
    filled = np.flatnonzero(dense)
    return Bins(filled.astype(_INDEX).tobytes(), dense[filled].astype(_COUNT).tobytes())


NO_BINS: Final = Bins()
"""The neutral element."""
