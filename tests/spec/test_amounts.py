"""Durations and weights are read exactly, or refused with what to write instead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardian.core.text import duration_text, weight_text
from guardian.spec.amounts import MAX_DURATION_MS, AmountError, duration_ms, shown, weight_bp


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0s", 0),
        ("90s", 90_000),
        ("5m", 300_000),
        ("5 minutes", 300_000),
        ("1 Minute", 60_000),
        ("1h", 3_600_000),
        ("1 hour", 3_600_000),
        ("2 hrs", 7_200_000),
        ("1h30m", 5_400_000),
        ("1 hour 30 minutes", 5_400_000),
        ("1.5h", 5_400_000),
        ("2 days", 172_800_000),
        ("1w", 604_800_000),
        ("52w", MAX_DURATION_MS),
    ],
)
def test_a_duration_is_read(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (60, "a bare number is not a duration"),
        (0.5, "a bare number is not a duration"),
        ("60", "a bare number is not a duration"),
        ("", "not a duration"),
        ("soon", "not a duration"),
        ("5 fortnights", "not a duration"),
        ("5m later", "not a duration"),
        ("-5m", "not a duration"),
        ("1_0m", "not a duration"),
        ("5M5", "not a duration"),
        ("\u0665m", "not a duration"),
        ("500ms", "not a duration"),
        ("0.5s", "not whole seconds"),
        ("53w", "longer than 52 weeks"),
        ("9" * 5_000 + "s", "not a duration"),
        (True, "not a duration"),
        (None, "not a duration"),
        (["5m"], "not a duration"),
    ],
)
def test_what_is_no_duration_is_refused_with_a_fix(value: Any, message: str) -> None:
    with pytest.raises(AmountError, match=message) as refused:
        duration_ms(value)
    assert refused.value.fix
    assert len(refused.value.message) < 120


@settings(deadline=None)
@given(st.integers(0, MAX_DURATION_MS // 1_000))
def test_a_duration_as_it_is_shown_reads_as_itself(seconds: int) -> None:
    assert duration_ms(duration_text(seconds * 1_000)) == seconds * 1_000


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_a_weight_as_it_is_shown_reads_as_itself(weight: int) -> None:
    assert weight_bp(weight_text(weight)) == weight


def test_a_shown_value_is_short() -> None:
    assert shown("x" * 1_000) == f"`{'x' * 57}...`"
    assert [shown(value) for value in (None, True, 5, {}, [])] == ["`null`", "`true`", "`5`", "a section", "a list"]
