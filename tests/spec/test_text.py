"""Figures read as a person writes them."""

from __future__ import annotations

import pytest

from guardian.core.rollout import Unit
from guardian.core.text import count_text, duration_text, latency_text, rate_text, value_text, weight_text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0s"),
        (250, "250ms"),
        (1_000, "1s"),
        (1_500, "1.5s"),
        (59_999, "59.999s"),
        (60_000, "1m"),
        (90_500, "1m30s"),
        (300_000, "5m"),
        (5_400_000, "1h30m"),
        (86_400_000, "1d"),
        (604_800_000, "1w"),
        (788_645_000, "1w2d3h4m5s"),
        (-5_000, "-5s"),
    ],
)
def test_a_duration_is_written_with_its_largest_units_first(ms: int, text: str) -> None:
    assert duration_text(ms) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (0.073, "7.3%"),
        (0.05, "5%"),
        (0.001, "0.1%"),
        (0.000123, "0.0123%"),
        (0.071234, "7.12%"),
        (0.501234, "50.1%"),
        (0.99995, "99.995%"),
    ],
)
def test_a_rate_keeps_three_digits_from_the_nearer_end(rate: float, text: str) -> None:
    assert rate_text(rate) == text


def test_a_weight_is_exact() -> None:
    assert [weight_text(bp) for bp in (0, 1, 10, 25, 500, 3_333, 10_000)] == [
        "0%",
        "0.01%",
        "0.1%",
        "0.25%",
        "5%",
        "33.33%",
        "100%",
    ]


def test_a_latency_changes_to_seconds_at_one_second() -> None:
    assert [latency_text(ms) for ms in (0.0, 0.4213, 7.314, 180.0, 999.4, 1_000.0, 2_314.0)] == [
        "0ms",
        "0.421ms",
        "7.31ms",
        "180ms",
        "999ms",
        "1s",
        "2.31s",
    ]


def test_a_count_has_separators() -> None:
    assert [count_text(n) for n in (0, 4_120, 1_234_567.0)] == ["0", "4,120", "1,234,567"]


def test_a_value_is_written_in_its_metrics_unit() -> None:
    assert value_text(Unit.RATE, 0.073) == "7.3%"
    assert value_text(Unit.LATENCY_MS, 180.0) == "180ms"
    assert value_text(Unit.COUNT, 4_120) == "4,120"
    assert value_text(Unit.RATE, None) == "no data"
