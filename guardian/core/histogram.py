"""A logarithmic latency histogram of fixed layout: 1 % relative error, exact merge and subtract.

The layout is that of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees", VLDB 2019) with alpha = 0.01, its range fixed so that two histograms always add.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

RELATIVE_ERROR: Final = 0.01
GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
LOWEST_MS: Final = 0.001
"""Bin 0 takes everything up to here, zero included."""
HIGHEST_MS: Final = 1e7
"""The last bin takes everything from here (2.8 hours)."""
_LOG_GAMMA: Final = math.log(GAMMA)
BIN_COUNT: Final = math.ceil(math.log(HIGHEST_MS / LOWEST_MS) / _LOG_GAMMA) + 1


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


def quantile_ms(counts: Mapping[int, int], q: float) -> float | None:
    """Return the lower q-quantile.

    Args:
        counts: requests by bin; bins without any may be absent.
        q: 0..1.

    Returns:
        milliseconds within 1 % of the exact lower quantile (the element of rank floor(q * (n - 1))),
        None when there are no requests.
    """
    total = sum(counts.values())
    if total <= 0:
        return None
    rank = math.floor(q * (total - 1))
    seen = 0
    for index in sorted(counts):
        seen += counts[index]
        if seen > rank:
            return bin_value_ms(index)
    return None  # pragma: no cover - total > 0 means that the loop returns
