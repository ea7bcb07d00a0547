"""`@dual_run` on functions: one serves, both are compared, and nothing of the other one reaches the request."""

from __future__ import annotations

import contextvars
import copy
import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from guardian.core.split import split_of
from guardian.sdk import DualRunCounts, dropped_migration_events, dual_run, flush_dual_runs, migrations
from guardian.sdk.aside import THREADS, WAITING
from tests.sdk.documents import FLAG
from tests.sdk.dual import OFF, ON, KnowingProvider, Told, knowing, telling

COMPONENT = "pricing_engine"


@pytest.fixture
def flags() -> Iterator[KnowingProvider]:
    with knowing() as provider:
        yield provider
    assert flush_dual_runs(10)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Told]:
    with telling(monkeypatch, tmp_path) as found:
        yield found


def pair(old: Callable[..., Any], new: Callable[..., Any], **options: Any) -> Any:
    return dual_run(COMPONENT, candidate=new, **{"flag": FLAG, "subject": somebody, **options})(old)


def somebody(*args: Any, **kwargs: Any) -> str:
    return "u-1"


def raising(error: BaseException) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise error

    return function


def answered(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a call, once the other implementation is compared, too."""
    found = function(*args)
    assert flush_dual_runs(10)
    return found


def test_the_flag_says_who_serves_and_both_are_compared(flags: KnowingProvider, told: Told) -> None:
    price = pair(lambda cart: {"total": cart}, lambda cart: {"total": cart + 1})
    flags.says(weight_bp=OFF)
    assert answered(price, 100) == {"total": 100}
    flags.says(weight_bp=ON)
    assert answered(price, 100) == {"total": 101}
    assert told.kinds() == ["success", "dual_run"] * 2
    off, on = told.events("dual_run")
    for event in (off, on):
        assert (event["match"], event["difference"]) == (False, "$.total: 100 != 101")
        assert event["deviation"] == pytest.approx(1 / 101)
        assert (event["component"], event["flag"], event["service"]) == (COMPONENT, FLAG, "shop")
        assert event["control_ms"] >= 0 < event["candidate_ms"] + 1
    assert (off["variant"], on["variant"]) == ("off", "on")
    assert (off["flag_version"], on["flag_version"]) == (2, 3)
    assert [event["metadata"] for event in (off, on)] == [
        {"feature_flag_enabled": False}, {"feature_flag_enabled": True},
    ]  # fmt: skip
    assert [event["variant"] for event in told.events("success")] == ["off", "on"]
    assert price.counts == DualRunCounts(calls=2, mismatched=2)


def test_a_candidate_is_registered_by_its_own_decorator_and_stays_a_function(told: Told) -> None:
    @dual_run("optimization")
    def optimize(params: int, data: list[int]) -> int:
        """The old way."""
        return params + sum(data)

    assert (optimize(1, [2]), told.events()) == (3, [])

    @optimize.candidate
    def optimize_faster(params: int, data: list[int]) -> int:
        return params + sum(data)

    assert optimize_faster(1, [2]) == 3
    assert answered(optimize, 1, [2]) == 3
    assert (optimize.__name__, optimize.__doc__) == ("optimize", "The old way.")
    assert list(inspect.signature(optimize).parameters) == ["params", "data"]
    assert told.one("dual_run")["match"] is True


def test_a_method_is_a_function_too(told: Told) -> None:
    class Engine:
        factor = 3

        @dual_run(COMPONENT)
        def price(self, cents: int) -> int:
            return cents * self.factor

        @price.candidate
        def new_price(self, cents: int) -> int:
            return self.factor * cents

    assert answered(Engine().price, 5) == 15
    assert told.one("dual_run")["match"] is True


def test_an_unknown_flag_serves_control_and_leaves_the_flag_to_the_components_of_the_spec(told: Told) -> None:
    @dual_run("optimization", candidate=lambda: 1)
    def optimize() -> int:
        return 1

    assert answered(optimize) == 1
    event = told.one("dual_run")
    assert (event.get("flag"), event.get("variant"), event["component"]) == (None, None, "optimization")
    assert event["metadata"] == {"feature_flag_enabled": False}


def test_without_configuration_everything_works_and_events_are_counted_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_default", migrations._Migrations())
    monkeypatch.delenv("GUARDIAN_BOOTSTRAP", raising=False)
    price = pair(lambda: 1, lambda: 2)
    assert answered(price) == 1
    assert dropped_migration_events() == 2
    assert price.counts == DualRunCounts(calls=1, mismatched=1)


def test_the_request_does_not_wait_for_the_other_one(flags: KnowingProvider, told: Told) -> None:
    free = threading.Event()
    price = pair(lambda: "old", lambda: free.wait(10))
    assert price() == "old"  # served although the candidate stands still
    assert told.kinds() == ["success"]
    free.set()
    assert flush_dual_runs(10)
    assert told.kinds() == ["success", "dual_run"]


def test_when_too_many_wait_comparisons_are_left_out_and_counted(flags: KnowingProvider, told: Told) -> None:
    free = threading.Event()
    price = pair(lambda: True, lambda: free.wait(10), per_second=10_000)
    for _ in range(THREADS + WAITING + 5):
        assert price() is True
    free.set()
    assert flush_dual_runs(10)
    assert price.counts == DualRunCounts(
        calls=THREADS + WAITING + 5, matched=THREADS + WAITING, over_capacity=5
    )  # fmt: skip


def test_a_candidate_that_takes_too_long_is_a_mismatch_told_once_while_it_still_runs(
    flags: KnowingProvider, told: Told
) -> None:
    began, free = threading.Event(), threading.Event()

    def slow() -> bool:
        began.set()
        return free.wait(10)

    price = pair(lambda: True, slow, limit_ms=0.001)
    assert price() is True
    assert began.wait(10)
    assert price() is True  # whoever comes next sees that it takes too long
    assert told.events("dual_run")[0]["difference"] == "$: no answer from the candidate within 0.001 ms"
    free.set()
    assert flush_dual_runs(10)
    assert len(told.events("dual_run")) == 2
    assert price.counts == DualRunCounts(calls=2, mismatched=2, late=2)


def test_a_control_that_takes_too_long_is_counted_and_says_nothing_of_the_candidate(
    flags: KnowingProvider, told: Told
) -> None:
    flags.says(weight_bp=ON)
    price = pair(lambda: sum(range(10_000)), lambda: 1, limit_ms=0.001)
    assert answered(price) == 1
    assert (told.kinds(), price.counts) == (["success"], DualRunCounts(calls=1, late=1))


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_the_candidates_exception_never_reaches_a_request_that_control_serves(
    flags: KnowingProvider, told: Told, error: BaseException
) -> None:
    price = pair(lambda: 7, raising(error))
    assert answered(price) == 7
    assert told.kinds() == ["success", "dual_run"]
    assert told.one("dual_run")["difference"] == f"$: 7 != raised {type(error).__name__}"


def test_a_candidate_that_serves_and_fails_is_stood_in_for_by_control(flags: KnowingProvider, told: Told) -> None:
    flags.says(weight_bp=ON)
    price = pair(lambda: 7, raising(ValueError("no")))
    assert price() == 7
    assert told.kinds() == ["failure", "fallback", "dual_run"]
    failure, fallback = told.one("failure"), told.one("fallback")
    assert (failure["variant"], failure["error_type"], failure["metadata"]["feature_flag_enabled"]) == (
        "on", "ValueError", True,
    )  # fmt: skip
    assert (fallback["variant"], fallback["metadata"]["reason"]) == ("on", "exception")
    assert told.one("dual_run")["difference"] == "$: 7 != raised ValueError"
    assert price.counts == DualRunCounts(calls=1, mismatched=1, fallbacks=1)


def test_without_fallback_the_request_gets_the_candidates_exception(flags: KnowingProvider, told: Told) -> None:
    flags.says(weight_bp=ON)
    price = pair(lambda: 7, raising(ValueError("no")), fallback=False)
    with pytest.raises(ValueError, match="no"):
        price()
    assert flush_dual_runs(10)
    assert sorted(told.kinds()) == ["dual_run", "failure"]


def test_equal_types_of_exceptions_are_a_match_and_no_failure_of_the_candidate(
    flags: KnowingProvider, told: Told
) -> None:
    price = pair(raising(ValueError("old")), raising(ValueError("new")))
    for weight_bp in (OFF, ON):
        flags.says(weight_bp=weight_bp)
        with pytest.raises(ValueError, match="old"):
            price()
        assert flush_dual_runs(10)
    assert sorted(told.kinds()) == ["dual_run", "dual_run", "failure", "success"]
    assert told.one("failure")["variant"] == "off"
    assert price.counts == DualRunCounts(calls=2, matched=2)


def test_when_both_fail_differently_the_request_gets_what_control_raised(flags: KnowingProvider, told: Told) -> None:
    flags.says(weight_bp=ON)
    price = pair(raising(KeyError("old")), raising(ValueError("new")))
    with pytest.raises(KeyError, match="old"):
        price()
    assert told.one("dual_run")["difference"] == "$: raised KeyError != raised ValueError"
    assert told.kinds() == ["failure", "fallback", "dual_run"]


def test_the_end_of_the_process_is_not_held_up_by_who_serves(flags: KnowingProvider, told: Told) -> None:
    flags.says(weight_bp=ON)
    price = pair(lambda: 7, raising(SystemExit(3)))
    with pytest.raises(SystemExit):
        price()
    assert told.events() == []


@pytest.mark.parametrize(
    "changes", [{"killed": True}, {"weight_bp": ON, "killed": True}], ids=["killed", "killed at 100 %"]
)
def test_a_killed_flag_does_not_run_the_candidate(flags: KnowingProvider, told: Told, changes: dict[str, Any]) -> None:
    flags.says(**changes)
    price = pair(lambda: 7, raising(AssertionError("it ran")))
    assert answered(price) == 7
    assert (told.kinds(), price.counts) == (["success"], DualRunCounts(calls=1, sampled_out=1))


def test_an_override_to_control_does_not_run_the_candidate_either(flags: KnowingProvider, told: Told) -> None:
    flags.says(weight_bp=ON)
    flags.environ["NEW_PRICING"] = "off"
    price = pair(lambda: 7, raising(AssertionError("it ran")))
    assert (answered(price), told.kinds()) == (7, ["success"])


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


def test_a_candidate_that_serves_too_slowly_is_left_alone(flags: KnowingProvider, told: Told) -> None:
    free = threading.Event()
    flags.says(weight_bp=ON)
    price = pair(lambda: "old", lambda: free.wait(10), serve_limit_ms=20.0)
    assert price() == "old"
    free.set()
    assert told.one("fallback")["metadata"]["reason"] == "timeout"
    quick = pair(lambda: "old", lambda: "new", serve_limit_ms=10_000)
    assert quick() == "new"


def test_both_halves_may_be_dual_runs_themselves(flags: KnowingProvider, told: Told) -> None:
    inner = pair(lambda: 1, lambda: 1)
    outer = dual_run("outer", candidate=lambda: inner() + 0)(lambda: inner())
    assert answered(outer) == 1
    assert (inner.counts, outer.counts) == (
        DualRunCounts(calls=2, matched=2), DualRunCounts(calls=1, matched=1),
    )  # fmt: skip


async def coroutine() -> int:
    return 1


def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dual_run(lambda: 1), "needs a component"),  # type: ignore[arg-type, return-value]
        (lambda: pair(lambda: 1, coroutine), "coroutine function, the other one is not"),
        (lambda: pair(coroutine, lambda: 1), "coroutine function, the other one is not"),
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
