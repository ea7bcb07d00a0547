"""`@dual_run` on functions: one serves, both are compared, and nothing of the other one reaches the request."""

from __future__ import annotations

import inspect
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from guardian.sdk import DualRunCounts, dropped_migration_events, dual_run, flush_dual_runs, migrations
from guardian.sdk.aside import THREADS, WAITING
from tests.sdk.documents import FLAG
from tests.sdk.dual import COMPONENT, OFF, ON, KnowingProvider, Told, answered, pair, raising

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "migrations.schema.json").read_text(encoding="utf-8"))


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


def test_without_a_candidate_the_old_one_serves_and_the_log_says_so_once(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    @dual_run("forgotten_engine")
    def forgotten(cart: int) -> int:
        return cart

    assert [forgotten(cart) for cart in range(3)] == [0, 1, 2]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "forgotten_engine has no candidate: the old one serves alone" in record.getMessage()
    assert record.getMessage().endswith("@forgotten.candidate")
    assert told.events() == []


def test_results_too_large_to_be_compared_whole_say_so_in_the_event(told: Told) -> None:
    price = pair(lambda: list(range(50)), lambda: list(range(50)), max_nodes=10)
    assert answered(price) == list(range(50))
    event = told.one("dual_run")
    assert (event["match"], event["whole"]) == (True, False)
    assert "whole" not in SCHEMA["required"]
    assert set(event) - {"instance", "subject"} <= set(SCHEMA["properties"])
    price = pair(lambda: [1], lambda: [1])
    assert answered(price) == [1]
    assert "whole" not in told.events("dual_run")[-1]


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
    assert told.kinds() == ["failure", "dual_run"]


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
    outer = dual_run("outer", candidate=lambda: inner() + 0)(inner)
    assert answered(outer) == 1
    assert (inner.counts, outer.counts) == (
        DualRunCounts(calls=2, matched=2), DualRunCounts(calls=1, matched=1),
    )  # fmt: skip


def test_a_call_for_nobody_is_served_by_control_also_at_a_hundred_per_cent(flags: KnowingProvider, told: Told) -> None:
    flags.says(weight_bp=ON)
    assert answered(pair(lambda: "old", lambda: "new", subject=None)) == "old"


def test_calls_from_many_threads_are_all_counted(flags: KnowingProvider, told: Told) -> None:
    price = pair(lambda: 1, lambda: 1, per_second=10**9)
    callers = [threading.Thread(target=lambda: [price() for _ in range(200)]) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert flush_dual_runs(20)
    assert price.counts.calls == price.counts.matched + price.counts.over_capacity == 1_200
    assert len(told.events("dual_run")) == price.counts.matched
