"""`@dual_run` on coroutine functions: the other one is a task with a limit, cancelled cleanly."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from guardian.sdk import DualRunCounts, drain_dual_runs, dual_run
from guardian.sdk.dual_run import MAX_TASKS
from tests.sdk.dual import OFF, ON, KnowingProvider, Told, pair

Coroutine = Callable[..., Awaitable[Any]]


def giving(value: Any) -> Coroutine:
    async def function(*args: Any) -> Any:
        return value

    return function


def raising(error: BaseException) -> Coroutine:
    async def function(*args: Any) -> Any:
        raise error

    return function


async def standing_still(*args: Any) -> Any:
    await asyncio.Event().wait()


def answered(function: Coroutine) -> Any:
    async def scene() -> Any:
        found = await function()
        await drain_dual_runs()
        return found

    return asyncio.run(scene())


def test_the_flag_says_who_serves_and_both_are_compared(flags: KnowingProvider, told: Told) -> None:
    price = pair(giving(1), giving(2))
    assert inspect.iscoroutinefunction(price)
    flags.says(weight_bp=OFF)
    assert answered(price) == 1
    flags.says(weight_bp=ON)
    assert answered(price) == 2
    assert told.kinds() == ["success", "dual_run"] * 2
    assert {event["difference"] for event in told.events("dual_run")} == {"$: 1 != 2"}
    assert price.counts == DualRunCounts(calls=2, mismatched=2)


def test_the_request_does_not_wait_for_the_other_one_which_is_cancelled_at_its_limit(
    flags: KnowingProvider, told: Told
) -> None:
    cancelled: list[bool] = []

    async def slow() -> None:
        try:
            await standing_still()
        finally:
            cancelled.append(True)

    price = pair(giving("old"), slow, limit_ms=30)

    async def scene() -> None:
        assert await price() == "old"
        assert told.kinds() == ["success"]
        await drain_dual_runs()

    asyncio.run(scene())
    assert cancelled == [True]
    assert told.one("dual_run")["difference"] == "$: no answer from the candidate within 30 ms"
    assert price.counts == DualRunCounts(calls=1, mismatched=1, late=1)


def test_a_control_that_takes_too_long_says_nothing_of_the_candidate(flags: KnowingProvider, told: Told) -> None:
    flags.says(weight_bp=ON)
    price = pair(standing_still, giving(1), limit_ms=10)
    assert answered(price) == 1
    assert (told.kinds(), price.counts) == (["success"], DualRunCounts(calls=1, late=1))


def test_the_end_of_the_loop_cancels_what_runs_aside_which_is_told_without_a_complaint(
    flags: KnowingProvider, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    price = pair(giving("old"), standing_still)

    async def scene() -> Any:
        found = await price()
        await asyncio.sleep(0)
        return found

    assert asyncio.run(scene()) == "old"
    gc.collect()
    assert (caplog.records, told.kinds()) == ([], ["success", "dual_run"])
    pair_told = told.one("dual_run")
    assert (pair_told["cancelled"], "match" in pair_told) == (True, False)
    assert price.counts == DualRunCounts(calls=1, cancelled=1)


def test_a_request_that_is_cancelled_starts_nothing_aside(flags: KnowingProvider, told: Told) -> None:
    price = pair(standing_still, giving(1))

    async def scene() -> None:
        request = asyncio.create_task(price())
        await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await drain_dual_runs()

    asyncio.run(scene())
    assert told.kinds() == ["failure", "dual_run"]
    assert price.counts == DualRunCounts(calls=1, cancelled=1)


def test_when_too_many_run_comparisons_are_left_out_and_counted(flags: KnowingProvider, told: Told) -> None:
    price = pair(giving(True), standing_still, limit_ms=50, per_second=10_000)

    async def scene() -> None:
        for _ in range(MAX_TASKS + 3):
            assert await price() is True
        await drain_dual_runs()

    asyncio.run(scene())
    assert (price.counts.over_capacity, price.counts.late) == (3, MAX_TASKS)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), TimeoutError()], ids=repr)
def test_the_candidates_exception_never_reaches_a_request_that_control_serves(
    flags: KnowingProvider, told: Told, error: BaseException
) -> None:
    assert answered(pair(giving(7), raising(error))) == 7
    assert told.one("dual_run")["difference"] == f"$: 7 != raised {type(error).__name__}"


def test_a_candidate_that_cancels_itself_is_counted(flags: KnowingProvider, told: Told) -> None:
    price = pair(giving(7), raising(asyncio.CancelledError()))
    assert answered(price) == 7
    assert price.counts == DualRunCounts(calls=1, cancelled=1)


def test_a_candidate_that_serves_and_fails_is_stood_in_for_by_control(flags: KnowingProvider, told: Told) -> None:
    flags.says(weight_bp=ON)
    assert answered(pair(giving(7), raising(ValueError("no")))) == 7
    assert told.kinds() == ["failure", "fallback", "dual_run"]
    with pytest.raises(ValueError, match="no"):
        answered(pair(giving(7), raising(ValueError("no")), fallback=False))


@pytest.mark.parametrize("fallback", [True, False])
def test_a_candidate_that_serves_too_slowly_is_cancelled(flags: KnowingProvider, told: Told, fallback: bool) -> None:
    flags.says(weight_bp=ON)
    price = pair(giving(7), standing_still, serve_limit_ms=20, fallback=fallback)
    if fallback:
        assert answered(price) == 7
        assert told.one("fallback")["metadata"]["reason"] == "timeout"
    else:
        with pytest.raises(TimeoutError, match="no answer within 20 ms"):
            answered(price)


def test_context_variables_are_the_requests_own_in_both(flags: KnowingProvider, told: Told) -> None:
    request = contextvars.ContextVar("request", default="")
    seen: list[str] = []

    async def look() -> None:
        seen.append(request.get())

    async def old() -> None:
        await look()
        request.set("changed by the old one")

    price = pair(old, look)

    async def scene() -> None:
        request.set("r-1")
        await price()
        await drain_dual_runs()

    asyncio.run(scene())
    assert seen == ["r-1", "r-1"]


def test_without_a_candidate_the_old_coroutine_serves_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @dual_run("forgotten_coroutine")
    async def forgotten() -> str:
        return "old"

    assert [answered(forgotten) for _ in range(3)] == ["old"] * 3
    (record,) = caplog.records
    assert "forgotten_coroutine has no candidate" in record.getMessage()
