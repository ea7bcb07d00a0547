"""The latency histogram: in the bin of the exact quantile, one layout, sums that do not depend on order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from guardian.core.histogram import (
    BIN_COUNT,
    GAMMA,
    HIGHEST_MS,
    LOWEST_MS,
    NO_BINS,
    RELATIVE_ERROR,
    Bins,
    bin_value_ms,
    bins_from,
    bins_of,
    sum_of,
    wider,
)

ROUNDING = 1e-6
latencies = st.lists(st.floats(LOWEST_MS, HIGHEST_MS), min_size=1, max_size=200)
counts_by_bin = st.dictionaries(st.integers(0, BIN_COUNT - 1), st.integers(1, 10**12), max_size=30)


def histogram_of(latency_ms: list[float]) -> Bins:
    index, count = np.unique(bins_of(np.array(latency_ms)), return_counts=True)
    return bins_from(index.tolist(), count.tolist())


def bins(counts: dict[int, int]) -> Bins:
    return bins_from(list(counts), list(counts.values()))


@given(latencies, st.sampled_from([0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0]))
@settings(deadline=None)
def test_a_quantile_lies_within_the_bin_of_numpys_exact_lower_quantile(latency_ms: list[float], q: float) -> None:
    exact = float(np.quantile(np.array(latency_ms), q, method="lower"))
    found = histogram_of(latency_ms).quantile_ms(q)
    assert found == pytest.approx(exact, rel=GAMMA - 1 + ROUNDING)


def packed(latency_ms: NDArray[np.float64]) -> Bins:
    index, count = np.unique(bins_of(latency_ms), return_counts=True)
    return bins_from(index.tolist(), count.tolist())


def ratios(factor: float, n: int, runs: int = 200) -> list[float]:
    """The p95 of latencies, all of them slower by a factor, against that of the same latencies."""
    chance = np.random.default_rng(5)
    found = []
    for _ in range(runs):
        latency_ms = chance.lognormal(chance.uniform(3, 6), 1, n)
        slow, usual = packed(latency_ms * factor).quantile_ms(0.95), packed(latency_ms).quantile_ms(0.95)
        assert slow is not None
        assert usual is not None
        found.append(slow / usual)
    return found


def test_W2_a_candidate_slower_by_less_than_the_gate_allows_passes_and_by_more_is_seen() -> None:
    # `p95_latency < 1.05x control`; by the middles of bins 4.9 % failed in 4 of 10 runs.
    assert sum(ratio >= 1.05 for ratio in ratios(1.045, 20_000)) <= 2
    assert sum(ratio >= 1.05 for ratio in ratios(1.049, 400_000, runs=60)) <= 3
    assert all(ratio >= 1.05 for ratio in ratios(1.06, 20_000))


@pytest.mark.parametrize(("n", "bound"), [(2_000, 0.02), (100_000, 0.004), (1_000_000, 0.0015)])
@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
def test_W2_quantiles_of_lognormal_latencies_are_near_numpys(q: float, n: int, bound: float) -> None:
    chance = np.random.default_rng(3)
    errors = []
    for _ in range(20):
        latency_ms = chance.lognormal(chance.uniform(2, 7), 1, n)
        errors.append((packed(latency_ms).quantile_ms(q) or 0) / float(np.quantile(latency_ms, q)) - 1)
    assert max(abs(error) for error in errors) <= bound
    assert abs(sum(errors) / len(errors)) <= bound / 3, "and to neither side"


def test_W2_a_quantile_never_falls_with_its_rank() -> None:
    one = packed(np.random.default_rng(4).lognormal(4, 1, 500))
    found = [one.quantile_ms(q) or 0 for q in np.linspace(0, 1, 2_001)]
    assert found == sorted(found)


@given(st.floats(LOWEST_MS * 1.0001, HIGHEST_MS))
@settings(deadline=None)
def test_the_value_of_a_bin_stands_for_everything_in_it(latency_ms: float) -> None:
    index = int(bins_of(np.array([latency_ms]))[0])
    assert bin_value_ms(index) == pytest.approx(latency_ms, rel=RELATIVE_ERROR + ROUNDING)


def test_every_bins_own_value_falls_into_that_bin() -> None:
    values = np.array([bin_value_ms(index) for index in range(BIN_COUNT)])
    inside = values[values <= HIGHEST_MS]
    assert bins_of(inside).tolist() == list(range(len(inside)))
    assert len(inside) >= BIN_COUNT - 1


def test_the_layout_ends_where_it_says() -> None:
    edges = [0.0, LOWEST_MS / 2, LOWEST_MS, HIGHEST_MS, HIGHEST_MS * 5]
    assert bins_of(np.array(edges)).tolist() == [0, 0, 0, BIN_COUNT - 1, BIN_COUNT - 1]
    assert bin_value_ms(0) == LOWEST_MS
    assert BIN_COUNT < 2**16


def test_no_requests_have_no_quantile() -> None:
    assert NO_BINS.quantile_ms(0.5) is None
    assert len(NO_BINS) == 0


@given(st.lists(counts_by_bin, max_size=6), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_a_sum_is_exact_and_the_same_for_any_order_and_grouping(parts: list[dict[int, int]], chance: object) -> None:
    exact: dict[int, int] = {}
    for part in parts:
        for index, count in part.items():
            exact[index] = exact.get(index, 0) + count
    packed = [bins(part) for part in parts]
    total = sum_of(packed)
    assert total.counts() == dict(sorted(exact.items()))
    chance.shuffle(packed)  # type: ignore[attr-defined]
    half = len(packed) // 2
    assert sum_of([sum_of(packed[:half]), sum_of(packed[half:])]) == total
    assert sum_of([total, NO_BINS]) == total


def test_bins_may_be_listed_in_any_order_and_more_than_once() -> None:
    assert bins_from([7, 3, 7], [1, 2, 4]).counts() == {3: 2, 7: 5}


@given(counts_by_bin, counts_by_bin, st.sampled_from([2, 4, 8]))
@settings(deadline=None)
def test_wide_bins_keep_every_request_near_its_latency_and_add_up_as_narrow_ones_do(
    one: dict[int, int], other: dict[int, int], width: int
) -> None:
    wide = wider(bins(one), width)
    assert sum(wide.counts().values()) == sum(one.values())
    assert {index // width for index in wide.counts()} == {index // width for index in one}
    assert wider(wide, width) == wide
    assert wider(sum_of((bins(one), bins(other))), width) == wider(sum_of((wide, bins(other))), width)
