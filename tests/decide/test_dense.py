"""Dense reading alone: each offset once, in order, whatever is delivered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.decide.dense import MAX_FRUITLESS, PATIENCE_MS, DenseReader, Place, Step
from guardian.decide.port import Bounds
from guardian.errors import InternalError


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3_000))))
def test_every_offset_is_taken_once_and_in_order(deliveries: list[tuple[int, int]]) -> None:
    reader = DenseReader(0, 5)
    now_ms, taken = 0, []
    for offset, passed_ms in deliveries:
        now_ms += passed_ms
        if reader.see(offset, now_ms) is Step.TAKE:
            taken.append(offset)
    assert taken == list(range(5, 5 + len(taken)))


def test_after_a_rewind_what_was_in_flight_is_let_pass_for_a_while() -> None:
    reader = DenseReader(0, 3)
    assert reader.see(5, 0) is Step.REWIND
    reader.asked(0)
    assert reader.see(6, PATIENCE_MS - 1) is Step.SKIP
    assert reader.see(7, PATIENCE_MS) is Step.REWIND


def test_the_next_one_ends_the_patience() -> None:
    reader = DenseReader(0, 3)
    reader.asked(0)
    assert reader.see(3, 1) is Step.TAKE
    assert reader.see(9, 2) is Step.REWIND


def test_an_offset_that_never_comes_is_an_internal_error() -> None:
    reader = DenseReader(0, 3)
    for _ in range(MAX_FRUITLESS):
        reader.asked(0)
    with pytest.raises(InternalError, match="never delivers offset 3"):
        reader.asked(0)


@pytest.mark.parametrize(
    ("bounds", "place"),
    [
        (Bounds(0, 9), Place.INSIDE),
        (Bounds(5, 5), Place.INSIDE),
        (Bounds(6, 9), Place.RETENTION),
        (Bounds(0, 4), Place.TRUNCATION),
    ],
)
def test_the_place_of_the_next_offset(bounds: Bounds, place: Place) -> None:
    assert DenseReader(0, 5).place(bounds) is place
