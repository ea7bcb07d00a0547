"""What `@dual_run` may be told: whom a call is for, who is compared, with what, and which differences count."""

from __future__ import annotations

import contextvars
import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from guardian.core.split import split_of
from guardian.sdk import DualRunCounts, dual_run, flush_dual_runs
from tests.sdk.documents import FLAG, written
from tests.sdk.dual import COMPONENT, OFF, ON, KnowingProvider, Told, answered, pair, raising


def test_the_subject_is_a_parameter_a_function_or_the_context(flags: KnowingProvider, told: Told) -> None:
    inside = next(f"u-{n}" for n in range(1_000) if split_of(FLAG, f"u-{n}") < 500)
    outside = next(f"u-{n}" for n in range(1_000) if split_of(FLAG, f"u-{n}") >= 500)
    flags.says(weight_bp=500)

    def old(cart: dict[str, str], user: str = inside) -> str:
        return "old"

    def new(cart: dict[str, str], user: str = inside) -> str:
        return "new"

    by_name, by_function = pair(old, new, subject="user"), pair(old, new, subject=lambda cart, user="": cart["user"])
    by_context = pair(old, new, subject=lambda cart, user="": EvaluationContext(cart["user"], {"region": "eu"}))
    for user, served in ((inside, "new"), (outside, "old")):
        assert by_name({}, user) == by_name({}, user=user) == served
        assert by_function({"user": user}) == by_context({"user": user}) == served
        api.set_evaluation_context(EvaluationContext(user))
        assert pair(old, new, subject=None)({}) == served
        api.set_evaluation_context(EvaluationContext())
    assert by_name({}) == "new"  # the parameter's default
    assert pair(old, new, subject=raising(KeyError("user")))({}, inside) == "old"


def test_the_sample_is_the_same_subjects_every_time_and_has_nothing_to_do_with_the_flags_share(
    flags: KnowingProvider, told: Told
) -> None:
    flags.says(weight_bp=5_000)
    users = [f"u-{n}" for n in range(400)]
    compared: dict[str, set[str]] = {"first": set(), "second": set()}
    for seen in compared.values():
        price = pair(lambda user: user, lambda user: user, subject="user", sample=0.1, per_second=10_000)
        for user in users:
            before = price.counts.matched
            answered(price, user)
            if price.counts.matched > before:
                seen.add(user)
    assert compared["first"] == compared["second"]
    assert 20 <= len(compared["first"]) <= 60
    on = {user for user in compared["first"] if split_of(FLAG, user) < 5_000}
    assert 0.25 < len(on) / len(compared["first"]) < 0.75


def test_calls_for_nobody_are_sampled_evenly(flags: KnowingProvider, told: Told) -> None:
    price = pair(lambda: 1, lambda: 1, sample=0.25, subject=None)
    for _ in range(40):
        answered(price)
    assert price.counts == DualRunCounts(calls=40, matched=10, sampled_out=30)


USERS = [f"u-{n}" for n in range(400)]


def seen_of(price: Any) -> set[str]:
    """The users whose calls are compared."""
    seen = set()
    for user in USERS:
        before = price.counts.matched
        answered(price, user)
        if price.counts.matched > before:
            seen.add(user)
    return seen


def of_users(**options: Any) -> Any:
    return pair(lambda user: user, lambda user: user, **{"subject": "user", "per_second": 10_000, **options})


def test_the_documents_share_says_who_is_compared_and_a_greater_one_only_adds_subjects(
    flags: KnowingProvider, told: Told
) -> None:
    price = of_users()
    sets = []
    for share_bp in (0, 1_000, 4_000, 10_000):
        flags.says(weight_bp=OFF, dual_run_bp=share_bp)
        sets.append(seen_of(price))
    nobody, few, more, all_of_them = sets
    assert not nobody
    assert 20 <= len(few) <= 60
    assert 120 <= len(more) <= 200
    assert few < more < all_of_them == set(USERS)
    flags.says(weight_bp=OFF, dual_run_bp=1_000)
    assert seen_of(of_users()) == few, "another process finds the same"


@pytest.mark.parametrize(
    ("document", "sample", "expected_bp"),
    [(None, None, 10_000), (None, 0.25, 2_500), (1_000, None, 1_000), (1_000, 0.25, 1_000), (4_000, 0.25, 2_500),
     (4_000, 0.0, 0), (0, None, 0), (0, 1.0, 0)],
)  # fmt: skip
def test_the_argument_is_an_upper_limit_of_the_documents_share(
    flags: KnowingProvider, told: Told, document: int | None, sample: float | None, expected_bp: int
) -> None:
    flags.says(weight_bp=OFF, dual_run_bp=document)
    options = {} if sample is None else {"sample": sample}
    found = seen_of(of_users(**options))
    assert found == {user for user in USERS if split_of(f"dual_run:{COMPONENT}", user) < expected_bp}


def test_calls_for_nobody_follow_the_documents_share_evenly(flags: KnowingProvider, told: Told) -> None:
    flags.says(weight_bp=OFF, dual_run_bp=2_500)
    price = pair(lambda: 1, lambda: 1, subject=None)
    for _ in range(40):
        answered(price)
    assert price.counts == DualRunCounts(calls=40, matched=10, sampled_out=30)


@pytest.mark.parametrize("weight_bp", [OFF, ON])
def test_a_share_that_ends_leaves_the_one_that_serves_alone(flags: KnowingProvider, told: Told, weight_bp: int) -> None:
    flags.says(weight_bp=weight_bp, dual_run_bp=10_000)
    price = pair(lambda: "old", lambda: "new")
    answered(price)
    flags.says(weight_bp=weight_bp, dual_run_bp=0)
    assert answered(price) == ("new" if weight_bp else "old")
    assert told.kinds() == ["success", "dual_run", "success"]
    assert price.counts == DualRunCounts(calls=2, mismatched=1, sampled_out=1)


def test_a_document_of_before_dual_runs_leaves_the_share_to_the_code(flags: KnowingProvider, told: Told) -> None:
    flags.says(weight_bp=OFF)
    assert b"dual_run_bp" not in written(weight_bp=OFF)
    assert answered(price := pair(lambda: 1, lambda: 1)) == 1
    assert price.counts.matched == 1


def test_so_many_in_a_second_are_compared_and_no_more(flags: KnowingProvider, told: Told) -> None:
    price = pair(lambda: 1, lambda: 1, per_second=0)
    assert [answered(price) for _ in range(3)] == [1, 1, 1]
    assert (told.kinds(), price.counts) == (["success"] * 3, DualRunCounts(calls=3, over_rate=3))


@pytest.mark.parametrize("weight_bp", [OFF, ON])
def test_with_copy_the_second_one_does_not_see_what_the_first_did_to_the_arguments(
    flags: KnowingProvider, told: Told, weight_bp: int
) -> None:
    def take(cart: list[int]) -> int:
        total = sum(cart)
        cart.clear()
        return total

    flags.says(weight_bp=weight_bp)
    assert answered(pair(take, copy.copy(take)), [1, 2]) == 3
    assert told.one("dual_run")["match"] is False
    mine = [1, 2]
    assert answered(pair(take, copy.copy(take), copy=True), mine) == 3
    assert (mine, told.events("dual_run")[1]["match"]) == ([], True)


def test_with_copy_the_fallback_gets_the_arguments_as_they_were(flags: KnowingProvider, told: Told) -> None:
    def take_and_fail(cart: list[int]) -> int:
        cart.clear()
        raise ValueError("no")

    flags.says(weight_bp=ON)
    assert pair(sum, take_and_fail, copy=True, sample=0)([1, 2]) == 3


@pytest.mark.parametrize("argument", [threading.Lock(), list(range(20_000)), {"a": bytearray(10**7)}], ids=type)
def test_arguments_that_cannot_be_copied_cost_the_comparison_and_nothing_else(
    flags: KnowingProvider, told: Told, argument: Any
) -> None:
    price = pair(lambda given: given is argument, lambda given: False, copy=True)
    assert answered(price, argument) is True
    assert (told.kinds(), price.counts) == (["success"], DualRunCounts(calls=1, not_copied=1))


def test_what_the_caller_does_to_its_result_is_no_difference(flags: KnowingProvider, told: Told) -> None:
    free = threading.Event()

    def slow() -> dict[str, int]:
        free.wait(10)
        return {"total": 1}

    found = pair(lambda: {"total": 1}, slow)()
    found["currency"] = "EUR"
    free.set()
    assert flush_dual_runs(10)
    assert told.one("dual_run")["match"] is True


def test_context_variables_are_the_requests_own_in_both(flags: KnowingProvider, told: Told) -> None:
    request = contextvars.ContextVar("request", default="")
    seen: list[str] = []

    def old() -> None:
        seen.append(request.get())
        request.set("changed by the old one")

    price = pair(old, lambda: seen.append(request.get()))
    request.set("r-1")
    answered(price)
    assert (seen, request.get()) == (["r-1", "r-1"], "changed by the old one")


def test_differences_that_do_not_count_are_declared(flags: KnowingProvider, told: Told) -> None:
    old, new = {"total": 100.0, "trace_id": 1}, {"total": 100.5, "trace_id": 2}
    answered(pair(lambda: old, lambda: new, ignore=["$.trace_id"], tolerance=0.01))
    event = told.one("dual_run")
    assert (event["match"], event["deviation"]) == (True, pytest.approx(0.5 / 100.5))
    assert "difference" not in event


def test_ones_own_comparison_decides(flags: KnowingProvider, told: Told) -> None:
    def assertion(old: Any, new: Any) -> bool:
        assert old == new, "no good"
        return True

    for compare in (lambda old, new: old < new, lambda old, new: False, lambda old, new: "by a lot", assertion):
        answered(pair(lambda: 1, lambda: 2, compare=compare))
    assert [(event["match"], event.get("difference", "")) for event in told.events("dual_run")] == [
        (True, ""), (False, "the comparison says so"), (False, "by a lot"), (False, "no good"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "options"),
    [
        (lambda: 1, lambda: 1, {"compare": raising(ValueError("broken"))}),
        (lambda: 1, lambda: 1, {"compare": lambda old, new: None}),
        (lambda: iter([1]), lambda: iter([1]), {}),
        (lambda: 1, lambda: (n for n in [1]), {}),
    ],
    ids=["it raises", "it says nothing", "a generator that serves", "a generator aside"],
)
def test_a_comparison_that_fails_is_counted_and_never_reaches_the_user(
    flags: KnowingProvider, told: Told, old: Any, new: Any, options: dict[str, Any]
) -> None:
    price = pair(old, new, **options)
    answered(price)
    assert (told.kinds(), price.counts) == (["success"], DualRunCounts(calls=1, compare_errors=1))


def test_a_served_generator_is_whole(flags: KnowingProvider, told: Told) -> None:
    assert list(answered(pair(lambda: iter([1, 2]), lambda: iter([3])))) == [1, 2]


async def coroutine() -> int:
    return 1


def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dual_run(lambda: 1), "needs a component"),  # type: ignore[arg-type, return-value]
        (
            lambda: pair(lambda: 1, coroutine),
            "pricing_engine: coroutine is a coroutine function and .*<lambda> is none",
        ),
        (
            lambda: pair(coroutine, lambda: 1),
            "pricing_engine: coroutine is a coroutine function and .*<lambda> is none",
        ),
        (lambda: pair(generator, generator), "is a generator"),
        (lambda: pair(lambda: 1, lambda: 1).candidate(lambda: 2), "has a candidate already"),
        (lambda: pair(lambda: 1, lambda: 1, subject="user"), "no parameter 'user'"),
        (lambda: pair(lambda: 1, lambda: 1, sample=10), "no share from 0 to 1"),
        (lambda: pair(lambda: 1, lambda: 1, limit_ms=0), "limit_ms=0 is no time"),
        (lambda: pair(lambda: 1, lambda: 1, ignore=["$["]), "is not a path"),
        (lambda: pair(lambda: 1, lambda: 1, max_nodes=0), "numbers of calls and of values"),
        (lambda: pair(lambda: 1, lambda: 1, smaple=0.1), "smaple"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_meant_is_said_when_the_decorator_runs(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()
