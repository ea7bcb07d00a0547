"""Windows are sums of buckets: any split and any order give the same, coarser tiers keep the sums, all is bounded."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardian.core.histogram import bins_from
from guardian.core.inputs import Bucket
from guardian.core.windows import LEAD_S, MAX_BIN_ENTRIES, TIERS, Series, Tally, is_late, tally_of

NOW_S = 1_763_700_000
DAY_S = 86_400

buckets = st.builds(
    Bucket,
    second=st.integers(NOW_S, NOW_S + 200),
    ok=st.integers(0, 50),
    error=st.integers(0, 5),
    timeout=st.integers(0, 5),
    crash=st.integers(0, 2),
    hang=st.integers(0, 2),
    latency_n=st.just(3),
    latency_sum_us=st.integers(0, 10**6),
    bins=st.just([5, 9]),
    bin_counts=st.lists(st.integers(1, 9), min_size=2, max_size=2),
)
tallies = buckets.map(tally_of)


def summed(*parts: Tally) -> Tally:
    total = Tally()
    for part in parts:
        total.add(part)
    return total


def one(ok: int = 1, error: int = 0) -> Tally:
    return tally_of(Bucket(0, n=ok + error, ok=ok, error=error))


def everything(series: Series) -> Tally:
    return series.window(0, (NOW_S + 30 * DAY_S) * 1_000)


def bucket_count(series: Series) -> int:
    return sum(len(tier) for tier in series.tiers)


@given(tallies, tallies, tallies)
@settings(deadline=None, max_examples=60)
def test_tallies_merge_associatively_and_commutatively_with_a_neutral_element(a: Tally, b: Tally, c: Tally) -> None:
    assert summed(summed(a, b), c) == summed(a, summed(b, c))
    assert summed(a, b) == summed(b, a)
    assert summed(a, Tally()) == a == summed(Tally(), a)


def test_a_tally_counts_what_the_spec_calls_a_source() -> None:
    telemetry = Bucket(0, n=3, ok=2, error=1, latency_n=3, latency_sum_us=30, bins=[4], bin_counts=[3])
    migrations = Bucket(0, migrations=[5, 2, 1])
    assert tally_of(telemetry).counts == [2, 1, 0, 0, 0]
    assert tally_of(telemetry, count_telemetry=False) == Tally()
    assert tally_of(migrations) == Tally()
    assert tally_of(migrations, count_migrations=True).counts == [5, 2, 0, 0, 0]
    assert tally_of(migrations, count_telemetry=False, count_migrations=True).counts == [5, 2, 0, 0, 0]


@given(st.lists(buckets, max_size=40), st.randoms(use_true_random=False), st.integers(30, 8_000))
@settings(deadline=None, max_examples=60)
def test_any_order_of_the_same_events_gives_the_same_windows(
    events: list[Bucket], chance: random.Random, keep_s: int
) -> None:
    watermark_s = NOW_S + 100

    def fed(order: list[Bucket], rolls: Callable[[], bool]) -> Series:
        series = Series(keep_s)
        for event in order:
            series.add(event.second, tally_of(event), watermark_s)
            if rolls():
                series.roll(watermark_s)
        series.roll(watermark_s + 60)
        return series

    in_order = fed(sorted(events, key=lambda event: event.second), lambda: False)
    shuffled = events[:]
    chance.shuffle(shuffled)
    anyhow = fed(shuffled, lambda: chance.random() < 0.3)
    for length_s in (1, 10, 60, 300):
        for end_s in (NOW_S + 60, NOW_S + 160, NOW_S + 230):
            window = ((end_s - length_s) * 1_000, end_s * 1_000)
            assert anyhow.window(*window) == in_order.window(*window)


def test_a_window_is_exact_while_its_seconds_are_two_minutes_old_at_most() -> None:
    # t:      0   1   2 ... 119
    # ok:     1   1   1 ...   1      window [20 s, 80 s) takes 60 of them
    series = Series(keep_s=600)
    for second in range(120):
        series.add(NOW_S + second, one(), NOW_S)
    series.roll(NOW_S + 120)
    assert series.window((NOW_S + 20) * 1_000, (NOW_S + 80) * 1_000).n == 60


@pytest.mark.parametrize("age_s", [119, 1_000, 7_000, 100_000])
def test_folding_into_coarser_tiers_keeps_every_request(age_s: int) -> None:
    series = Series(keep_s=7 * DAY_S)
    for second in range(0, age_s, max(1, age_s // 500)):
        series.add(NOW_S + second, one(ok=2, error=1), NOW_S + second - 5)
        series.roll(NOW_S + second)
    series.roll(NOW_S + age_s)
    assert everything(series).counts[:2] == [2 * 500 if age_s >= 500 else 2 * age_s, 500 if age_s >= 500 else age_s]


def test_a_week_of_seconds_stays_within_the_tiers() -> None:
    series = Series(keep_s=7 * DAY_S)
    most = sum(span_s // width_s + 2 for width_s, span_s in TIERS)
    for second in range(0, 8 * DAY_S, 21):
        series.add(NOW_S + second, one(), NOW_S + second)
        if second % 210 == 0:
            series.roll(NOW_S + second)
    assert bucket_count(series) <= most
    week = series.window((NOW_S + 1 * DAY_S) * 1_000, (NOW_S + 8 * DAY_S) * 1_000)
    assert week.n == pytest.approx(7 * DAY_S / 21, rel=0.01)


def test_what_no_rule_looks_back_to_is_dropped() -> None:
    series = Series(keep_s=61)
    for second in range(600):
        series.add(NOW_S + second, one(), NOW_S + second)
        series.roll(NOW_S + second)
    assert bucket_count(series) <= 62
    assert series.window((NOW_S + 540) * 1_000, (NOW_S + 600) * 1_000).n == 60


def test_a_watermark_that_stands_still_does_not_make_a_series_grow() -> None:
    series = Series(keep_s=61)
    for second in range(3 * 3_600):
        series.add(NOW_S + second, one(), NOW_S)
    assert bucket_count(series) <= TIERS[0][1] + LEAD_S + 32 + 2 * 120 + 20
    assert everything(series).n == 3 * 3_600, "what lies ahead of the watermark is yet to be judged: none of it is lost"


def test_an_event_older_than_the_finest_tier_is_late() -> None:
    series = Series(keep_s=600)
    assert series.add(NOW_S - 120, one(), NOW_S)
    assert not series.add(NOW_S - 121, one(), NOW_S)
    assert is_late(NOW_S - 121, NOW_S)
    assert everything(series).n == 1


@pytest.mark.parametrize("keep_s", [7_200, DAY_S, 7 * DAY_S])
def test_latencies_spread_absurdly_make_buckets_coarse_and_lose_no_request(keep_s: int) -> None:
    wide = tally_of(
        Bucket(0, n=1_150, ok=1_150, latency_n=1_150, latency_sum_us=1, bins=list(range(1_150)), bin_counts=[1] * 1_150)
    )
    series = Series(keep_s)
    step_s = max(1, keep_s // 2_000)
    for second in range(0, keep_s, step_s):
        series.add(NOW_S + second, replace(wide), NOW_S + second)
        series.roll(NOW_S + second)
        assert sum(len(tally.bins) for tier in series.latencies.tiers for tally in tier.values()) <= MAX_BIN_ENTRIES
    assert series.latencies.pressure > 0
    assert series.precision(latency=True)
    assert series.precision(figure="metric:a") == ""
    kept = everything(series)
    assert kept.n == kept.latency_n == 1_150 * len(range(0, keep_s, step_s)), "counts know nothing of it"
    assert kept.bins.n == pytest.approx(kept.n, rel=0.26)


def test_a_cleared_series_is_as_new() -> None:
    series = Series(keep_s=61)
    series.add(NOW_S, one(), NOW_S)
    assert not series.is_empty
    series.clear()
    assert series == Series(keep_s=61)
    assert series.is_empty


# W1: figures are what they say


def test_W1_the_named_start_is_that_of_what_was_summed() -> None:
    # 10 s buckets lie between 2 and 20 minutes back; a window from 5 minutes and 3 s back cuts one of them.
    series = Series(keep_s=3_600)
    for second in range(600):
        series.add(NOW_S + second, one(), NOW_S + second)
    series.roll(NOW_S + 600)
    asked_ms = (NOW_S + 297) * 1_000
    named_ms = series.start_ms(asked_ms)
    assert named_ms == (NOW_S + 300) * 1_000
    assert series.window(asked_ms, (NOW_S + 600) * 1_000).n == 300
    assert series.start_ms((NOW_S + 290) * 1_000) == (NOW_S + 290) * 1_000, "at a border nothing is cut"


def test_W1_a_coarse_bucket_that_is_not_yet_full_costs_no_finer_one() -> None:
    series = Series(keep_s=DAY_S)
    for second in range(0, 3 * 3_600, 5):
        series.add(NOW_S + second, one(), NOW_S + second)
        series.roll(NOW_S + second)
    end_s = NOW_S + 3 * 3_600 - 5
    asked_ms = (end_s - 7_100) * 1_000
    assert series.start_ms(asked_ms) - asked_ms <= 60_000, (
        "minutes that are kept are summed beside the quarter of an hour"
    )


streams = st.lists(
    st.tuples(st.integers(0, 9_000), st.integers(0, 4), st.floats(0, 10, width=16), st.integers(0, 140)), max_size=150
)


@given(streams, st.integers(100, 12_000), st.booleans(), st.integers(0, 9_000), st.integers(1, 9_000))
@settings(deadline=None, max_examples=150)
def test_W1_windows_equal_a_naive_sum_over_the_raw_events_of_the_window_that_is_named(
    events: list[tuple[int, int, float, int]], keep_s: int, coarse: bool, ago_s: int, length_s: int
) -> None:
    series, watermark_s = Series(keep_s, coarse_counts=coarse), NOW_S
    series.latencies.max_room = series.figures.max_room = 40
    kept: list[tuple[int, int, float]] = []
    for at_s, outcome, value, late_s in sorted(events):
        watermark_s = max(watermark_s, NOW_S + at_s)
        second = NOW_S + at_s - late_s
        counts = [int(i == outcome) for i in range(5)]
        bins = bins_from([outcome * 7 + at_s % 5], [1])
        sums = {"mismatch": [1.0, float(outcome > 2)], "metric:a": [1.0, value]}
        if series.add(second, Tally(counts, 1, 100, bins, sums), watermark_s):
            kept.append((second, outcome, value))
    series.roll(watermark_s)
    start_ms, end_ms = (watermark_s - ago_s) * 1_000, (watermark_s - ago_s + length_s) * 1_000
    if ago_s > keep_s or end_ms < watermark_s * 1_000:
        return  # windows of rules end at the watermark or beyond, and reach back no further than is kept
    found = series.window(start_ms, end_ms)

    def named(**of: Any) -> list[tuple[int, int, float]]:
        return [each for each in kept if series.start_ms(start_ms, **of) <= each[0] * 1_000 < end_ms]

    counted = named()
    assert found.counts == [sum(each[1] == i for each in counted) for i in range(5)]
    assert found.latency_n == len(counted)
    assert found.sums.get("mismatch", [0, 0]) == [len(counted), sum(each[1] > 2 for each in counted)]
    measured = named(figure="metric:a")
    assert found.sums.get("metric:a", [0, 0]) == [len(measured), pytest.approx(sum(each[2] for each in measured))]
    assert found.bins.n == len(named(latency=True))


def test_W1_a_snapshot_that_kept_bins_beside_the_counts_is_read_and_summed() -> None:
    sums = {"mismatch": [4.0, 1.0], "metric:a": [2.0, 3.5]}
    before = Tally([3, 1, 0, 0, 0], 4, 40, bins_from([5, 9], [1, 3]), sums)
    old = {
        "keep_s": 3_600,
        "tiers": [{NOW_S: msgspec.to_builtins(before, builtin_types=(bytes,))}, {}, {}, {}],
        "newest_s": NOW_S,
        "pressure": 3,
        "max_bins": 14_000,
        "held": 9,
        "cuts": (),
    }  # fmt: skip
    series = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Series)
    series.add(NOW_S + 1, one(), NOW_S + 1)
    series.roll(NOW_S + 300)
    kept = everything(series)
    assert kept.counts == [4, 1, 0, 0, 0]
    assert kept.bins.counts() == {5: 1, 9: 3}
    assert kept.sums == sums
    assert not any(tally.bins for tier in series.tiers for tally in tier.values())
