"""Two results are the same, or it is said where they first differ and by how much."""

from __future__ import annotations

import copy
import math
from collections import deque, namedtuple
from dataclasses import dataclass, field, make_dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

import attrs
import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.sdk.comparing import MAX_DIFFERENCE_CHARS, Comparison, Leniency, compare, parse_path, path_text
from guardian.sdk.drawing import NotComparable, Raised, draw

NAN = float("nan")
NO_MATCH = 1.0


@dataclass
class Price:
    total: Any
    currency: str = "EUR"
    cache_key: object = field(default=None, compare=False)


class Model(pydantic.BaseModel):
    total: float
    currency: str = "EUR"


class Message(msgspec.Struct):
    total: float
    currency: str = "EUR"


@attrs.define
class Record:
    total: float
    currency: str = "EUR"


class Plain:
    def __init__(self, total: float) -> None:
        self.total = total
        self.currency = "EUR"
        self._cache = object()


class Slotted:
    __slots__ = ("currency", "total")

    def __init__(self, total: float) -> None:
        self.total, self.currency = total, "EUR"


Named = namedtuple("Named", ["total", "currency"])


class Colour(Enum):
    RED = "red"


class Money:  # noqa: PLW1641 - equal, and in no set
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and round(self.cents, -1) == round(other.cents, -1)


def compared(
    control: Any, candidate: Any, *ignore: str, tolerance: float | None = None, absolute: float = 0.0
) -> Comparison:
    return compare(draw(control), draw(candidate), Leniency.of(ignore, tolerance, absolute))


@pytest.mark.parametrize(
    ("control", "candidate"),
    [
        (1, 1.0),
        (NAN, NAN),
        ([NAN, 1], (np.float64("nan"), 1)),
        (math.inf, math.inf),
        (0.1 + 0.2, 0.3),
        (Decimal("10.00"), Decimal(10)),
        (Fraction(1, 4), 0.25),
        ({1, 2, 3}, {3, 2, 1}),
        ({NAN}, {float("nan")}),
        ({Price(1).currency, "x"}, frozenset({"x", "EUR"})),
        ([1, 2], (1, 2)),
        (deque([1]), [1]),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        (Price(10.0, cache_key=object()), Price(10.0, cache_key=object())),
        (Price(10.0), Model(total=10.0)),
        (Message(10.0), Record(10.0)),
        (Plain(10.0), Slotted(10.0)),
        (Named(10.0, "EUR"), {"total": 10.0, "currency": "EUR"}),
        (Colour.RED, "red"),
        (Money(101), Money(99)),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (bytearray(b"x"), b"x"),
        (ValueError("a"), ValueError("b")),
    ],
)
def test_these_are_the_same(control: Any, candidate: Any) -> None:
    assert compared(control, candidate)._replace(deviation=None) == Comparison(True)
    assert compared(candidate, control).match


@pytest.mark.parametrize(
    ("control", "candidate", "difference", "deviation"),
    [
        (Price(Decimal("10.00")), Price(Decimal("10.01")), "$.total: 10.00 != 10.01", 0.01 / 10.01),
        ({"total": 10.0}, {"total": 5.0}, "$.total: 10.0 != 5.0", 0.5),
        (10**12, 10**12 + 1, "$: 1000000000000 != 1000000000001", 1 / (10**12 + 1)),
        ("a", "b", "$: 'a' != 'b'", None),
        (True, 1, "$: True != 1", None),
        (None, 0, "$: None != 0", None),
        ("1", 1, "$: '1' != 1", None),
        (0, 3, "$: 0 != 3", 1.0),
        (-1, 1, "$: -1 != 1", 2.0),
        (1.0, NAN, "$: 1.0 != nan", NO_MATCH),
        (1.0, math.inf, "$: 1.0 != inf", NO_MATCH),
        (10**400, 1.0, f"$: {'1' + '0' * 79}... != 1.0", NO_MATCH),
        ([1, 2, 3], [1, 2], "$: 3 items != 2 items", 0.0),
        ([1, [2, 3]], [1, [2, 4]], "$[1][1]: 3 != 4", 0.25),
        ({"a": 1}, {}, "$.a: 1 != absent", None),
        ({}, {"a b": 1}, '$["a b"]: absent != 1', None),
        ({1: "x"}, {1: "y"}, "$[1]: 'x' != 'y'", None),
        ({"a": None}, {}, "$.a: None != absent", None),
        ({1, 2}, {1, 3}, "$: 2 in the set != 3 in the set", None),
        ({1}, set(), "$: 1 in the set != 0 in the set", None),
        ({1, 2}, {1}, "$: 2 in the set != absent", None),
        ([1], {1}, "$: 1 items != 1 items", None),
        ([1], 1, "$: 1 items != 1", None),
        (Price(1), 1, "$: an object != 1", None),
        (Money(10), Money(90), None, None),
        (np.array([1.0, 2.0]), np.array([1.0, 4.0]), "$[1]: 2.0 != 4.0", 0.5),
        ({"a": 1, "b": 2, "c": 3}, {"a": 2, "b": 3, "c": 4}, "$.a: 1 != 2 (and 2 more)", 0.5),
        (ValueError(), KeyError(), "$: raised ValueError != raised KeyError", None),
        (1, KeyError(), "$: 1 != raised KeyError", None),
    ],
)
def test_these_differ_and_it_is_said_where(
    control: Any, candidate: Any, difference: str | None, deviation: float | None
) -> None:
    found = compared(control, candidate)
    assert not found.match
    assert found.deviation == pytest.approx(deviation)
    assert difference is None or found.difference == difference


def test_ignored_names_and_places_do_not_count() -> None:
    control = {"trace_id": 1, "lines": [{"id": 1, "cents": 5, "at": {"timestamp": 1}}], "x": {"trace_id": 7}}
    candidate = {"trace_id": 2, "lines": [{"id": 2, "cents": 5, "at": {"timestamp": 2}}], "x": {"trace_id": 7}}
    assert compared(control, candidate, "$.trace_id", "$.lines[*].id", "timestamp").match
    assert compared(control, candidate, "$.trace_id", "$.lines[0].id", "timestamp").match
    assert compared(control, candidate, "trace_id", "$.lines[1].id", "timestamp").difference == "$.lines[0].id: 1 != 2"
    candidate["x"] = {"trace_id": 8}
    assert compared(control, candidate, "$.trace_id", "id", "timestamp").difference == "$.x.trace_id: 7 != 8"
    assert compared({"a": 1}, {}, "$.a").match
    assert compared({}, {"a": 1}, "a").match
    assert compared({"a b": 1}, {"a b": 2}, '$["a b"]').match


@pytest.mark.parametrize("path", ["$", "$.", "$lines", "$.a[", "$.a[x]", "$..a", "$.a[0]b"])
def test_a_path_that_cannot_be_read_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not a path"):
        parse_path(path)


@pytest.mark.parametrize("wrong", [-0.1, NAN, math.inf])
def test_a_tolerance_is_a_number_from_zero_on(wrong: float) -> None:
    with pytest.raises(ValueError, match="a tolerance of"):
        Leniency.of((), wrong, 0.0)
    with pytest.raises(ValueError, match="a tolerance of"):
        Leniency.of((), None, wrong)


def test_one_ignored_name_must_stand_in_a_list_too() -> None:
    with pytest.raises(ValueError, match="ignore is a list"):
        Leniency.of("timestamp", None, 0.0)


def test_the_tolerance_is_relative_to_the_greater_number_and_counts_whole_numbers_too() -> None:
    assert compared(1000, 1001, tolerance=0.01).match
    assert compared(99.0, 100.0, tolerance=0.01).match
    assert not compared(98.0, 100.0, tolerance=0.01).match
    assert compared(Decimal("99.5"), 100.0, tolerance=0.01).match
    assert compared(0.0, 0.004, absolute=0.005).match
    assert compared(-1, 1, absolute=2).match
    assert not compared(0.0, 0.006, absolute=0.005).match


def test_what_the_tolerance_lets_pass_counts_for_the_deviation() -> None:
    found = compared({"a": 100.0, "b": 1}, {"a": 99.0, "b": 1}, tolerance=0.05)
    assert (found.match, found.deviation) == (True, pytest.approx(0.01))


def test_a_picture_does_not_change_with_the_result() -> None:
    result = {"lines": [1, 2], "tags": {"a"}, "price": Price([1])}
    before = draw(result)
    result["lines"].append(3)  # type: ignore[attr-defined]
    result["tags"].add("b")  # type: ignore[attr-defined]
    result["price"].total.append(2)  # type: ignore[attr-defined]
    assert compare(before, draw({"lines": [1, 2], "tags": {"a"}, "price": Price([1])})).match


@pytest.mark.parametrize("value", [(n for n in range(3)), iter([1]), lambda: 1, [1, {"a": map(str, [1])}]])
def test_what_is_used_up_by_looking_is_not_looked_at(value: Any) -> None:
    with pytest.raises(NotComparable):
        draw(value)


def test_results_beyond_the_bounds_are_compared_as_far_as_they_are_drawn() -> None:
    many = list(range(1_000))
    assert compare(draw(many, 100), draw([*many[:-1], -1], 100)) == Comparison(True, 0.0, "", whole=False)
    assert compare(draw(many, 100), draw(many[:-1], 100)).difference == "$: 1000 items != 999 items"
    assert not compare(draw(many, 100), draw([-1, *many[1:]], 100)).match
    wide = {str(n): n for n in range(1_000)}
    other_order = dict(reversed(wide.items()))
    assert compare(draw(wide, 100), draw(other_order, 100)).match
    assert compare(draw(set(many), 100), draw({*many, -1}, 100)).match is False
    assert compare(draw(set(many), 100), draw(set(many), 100)) == Comparison(True, None, "", whole=False)


def test_a_large_array_is_drawn_in_part_and_its_shape_counts() -> None:
    large = np.zeros((1_000, 1_000))
    found = draw(large, 50)
    assert not found.whole
    assert compare(found, draw(large.copy(), 50)).match
    assert compare(found, draw(large.reshape(500, 2_000), 50)).difference == "$.shape[0]: 1000 != 500 (and 1 more)"
    large[0, 3] = 1
    assert compare(found, draw(large, 50)).difference == "$.values[3]: 0.0 != 1.0"


def test_a_result_that_holds_itself_comes_to_an_end() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    found = draw(loop)
    assert not found.whole
    assert compare(found, found).match


def test_a_difference_stays_short_and_may_be_told_without_values() -> None:
    control, candidate = {"k" * 500: "secret" * 100}, {"k" * 500: 1}
    assert len(compared(control, candidate).difference) == MAX_DIFFERENCE_CHARS
    assert compared({"k": "s" * 500}, {"k": 1}).difference == f"$.k: '{'s' * 79}... != 1"
    closed = Leniency.of((), None, 0.0, show_values=False)
    assert compare(draw({"k": "secret"}), draw({"k": 1}), closed).difference == "$.k: str != int"
    assert compare(draw({"secret"}), draw({1}), closed).difference == "$: str in the set != int in the set"


def test_an_equality_that_raises_is_raised_to_whoever_counts_it() -> None:
    class Moody:  # noqa: PLW1641 - equal to nothing
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("not today")

    with pytest.raises(RuntimeError):
        compared(Moody(), Moody())


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.decimals(allow_nan=False)
results = st.recursive(
    scalars | st.sets(st.integers() | st.text(max_size=3), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4)
        | st.builds(Price, total=inner)
    ),
    max_leaves=25,
)


@given(results)
def test_a_result_is_the_same_as_its_copy(result: Any) -> None:
    found = compared(result, copy.deepcopy(result))
    assert (found.match, found.difference, found.whole) == (True, "", True)
    assert found.deviation in (None, 0.0)


@given(results, results)
def test_both_directions_agree(left: Any, right: Any) -> None:
    there, back = compared(left, right), compared(right, left)
    assert (there.match, there.deviation) == (back.match, back.deviation)
    assert there.match == (not there.difference)
    assert there.deviation is None or 0.0 <= there.deviation <= 2.0


@given(results, results)
def test_a_tolerance_only_takes_differences_away(left: Any, right: Any) -> None:
    if compared(left, right).match:
        assert compared(left, right, tolerance=0.1).match
    if compared(left, right, tolerance=0.1).match:
        assert compared(left, right, tolerance=0.5, absolute=1.0).match


@given(results, st.integers(1, 30))
def test_a_bound_never_makes_a_difference(result: Any, most: int) -> None:
    assert compare(draw(result, most), draw(copy.deepcopy(result), most)).match
    assert compare(draw(result, most, 1), draw(copy.deepcopy(result), most, 1)).match


@given(results, st.lists(st.text(min_size=1, max_size=4) | st.integers(0, 9), min_size=1, max_size=5))
def test_a_difference_is_found_where_it_was_made_and_can_be_ignored_there(inner: Any, path: list[str | int]) -> None:
    control, candidate = {"value": inner, "mark": 1}, {"value": inner, "mark": 2}
    for part in reversed(path):
        if isinstance(part, str):
            control, candidate = {part: control}, {part: candidate}
        else:
            control = candidate_list(control, part)  # type: ignore[assignment]
            candidate = candidate_list(candidate, part)  # type: ignore[assignment]
    place = path_text((*path, "mark"))
    assert compared(control, candidate).difference == f"{place}: 1 != 2"
    assert parse_path(place) == (*path, "mark")
    assert compared(control, candidate, place).match


def candidate_list(value: Any, index: int) -> list[Any]:
    return [0] * index + [value]


def test_classes_made_at_run_time_are_drawn_by_their_fields() -> None:
    kinds = [make_dataclass("Made", ["a"]) for _ in range(3)]
    assert {compared(kind(1), {"a": 1}).match for kind in kinds} == {True}
    assert draw(ValueError("x")).picture == Raised(ValueError)
