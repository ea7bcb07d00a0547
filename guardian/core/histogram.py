"""A logarithmic latency histogram of fixed layout: 1 % relative error, exact merge and subtract.

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
        """Return the lower q-quantile.

        Args:
            q: 0..1.

        Returns:
            milliseconds within 1 % of the exact lower quantile (the element of rank floor(q * (n - 1))),
            None when there are no requests.
        """
        seen = np.frombuffer(self.count, _COUNT).cumsum()
        if not len(seen):
            return None
        rank = math.floor(q * (int(seen[-1]) - 1))
        place = int(np.searchsorted(seen, rank, side="right"))
        return bin_value_ms(int(np.frombuffer(self.index, _INDEX)[place]))


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
