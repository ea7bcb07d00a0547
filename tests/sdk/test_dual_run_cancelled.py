"""Case H2: a dual run that does not end is told, whether it was the call or the implementation that runs aside."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import HTTPException

from guardian.sdk import DualRunCounts, drain_dual_runs, flush_dual_runs
from guardian.sdk.aside import WAITING, Aside
from guardian.sdk.dual_run import MAX_TASKS
from tests.eventually import eventually
from tests.sdk.dual import COMPONENT, OFF, ON, KnowingProvider, Told, pair, raising

NOT_ENDING: list[BaseException] = [asyncio.CancelledError(), GeneratorExit(), KeyboardInterrupt(), SystemExit(1)]


async def ready(*args: Any) -> int:
    return 1


async def hanging(*args: Any) -> int:
    await asyncio.Event().wait()
    return 1


def cancelled_pairs(told: Told) -> list[dict[str, Any]]:
    found = [event for event in told.events("dual_run") if event.get("cancelled")]
    assert not any("match" in event for event in found)
    return found


@pytest.mark.parametrize(("weight_bp", "variant"), [(OFF, "off"), (ON, "on")])
def test_H2_of_100_calls_of_which_90_are_cancelled_all_are_told(
    flags: KnowingProvider, told: Told, weight_bp: int, variant: str
) -> None:
    flags.says(weight_bp=weight_bp)
    number = 0

    async def tenth(*args: Any) -> int:
        nonlocal number
        number += 1
        return await (ready() if number % 10 == 0 else hanging())

    served, other = (ready, tenth) if weight_bp == ON else (tenth, ready)
    price = pair(served, other, per_second=10_000)

    async def scene() -> None:
        calls = (asyncio.wait_for(price(), 0.5) for _ in range(100))
        await asyncio.gather(*calls, return_exceptions=True)
        await drain_dual_runs()

    asyncio.run(scene())
    assert Counter(told.kinds()) == {"success": 10, "failure": 90, "dual_run": 100}
    failures = told.events("failure")
    assert {(event["variant"], event["error_type"]) for event in failures} == {(variant, "cancelled")}
    assert min(event["duration"] for event in failures) > 0.05
    assert len(cancelled_pairs(told)) == 90
    side = "candidate_ms" if weight_bp == ON else "control_ms"
    assert min(event[side] for event in cancelled_pairs(told)) > 50
    assert price.counts == DualRunCounts(calls=100, matched=10, cancelled=90)


@pytest.mark.parametrize("error", NOT_ENDING, ids=repr)
@pytest.mark.parametrize("weight_bp", [OFF, ON])
def test_H2_a_function_that_does_not_end_is_told_and_its_exception_goes_on(
    flags: KnowingProvider, told: Told, error: BaseException, weight_bp: int
) -> None:
    flags.says(weight_bp=weight_bp)
    price = pair(raising(error), raising(error))
    with pytest.raises(type(error)):
        price()
    assert told.kinds() == ["failure", "dual_run"]
    assert told.one("failure")["error_type"] == "cancelled"
    assert len(cancelled_pairs(told)) == 1
    assert price.counts == DualRunCounts(calls=1, cancelled=1)


def test_H2_a_call_that_is_not_compared_has_no_pair_to_tell(flags: KnowingProvider, told: Told) -> None:
    price = pair(raising(SystemExit()), raising(SystemExit()), sample=0)
    with pytest.raises(SystemExit):
        price()
    assert told.kinds() == ["failure"]


def test_H2_a_coroutine_that_is_destroyed_is_told(flags: KnowingProvider, told: Told) -> None:
    async def pausing() -> None:
        await asyncio.sleep(0)  # suspends once, and nobody resumes it

    price = pair(pausing, pausing)

    async def scene() -> None:
        call = price()
        call.send(None)
        del call
        gc.collect()

    asyncio.run(scene())
    assert told.kinds() == ["failure", "dual_run"]
    assert len(cancelled_pairs(told)) == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_H2_a_fallback_that_is_cancelled_leaves_the_candidates_own_failure(
    flags: KnowingProvider, told: Told, is_async: bool
) -> None:
    async def failing(*args: Any) -> None:
        raise ValueError

    async def cancelled(*args: Any) -> None:
        raise asyncio.CancelledError

    flags.says(weight_bp=ON)
    if is_async:
        call: Callable[[], Any] = lambda: asyncio.run(pair(cancelled, failing)())  # noqa: E731
    else:
        call = pair(raising(asyncio.CancelledError()), raising(ValueError()))
    with pytest.raises(asyncio.CancelledError):
        call()
    assert told.kinds() == ["failure", "dual_run"]
    assert told.one("failure")["error_type"] == "ValueError"
    assert len(cancelled_pairs(told)) == 1


def test_H2_an_answer_is_a_success_of_the_one_that_served(flags: KnowingProvider, told: Told) -> None:
    price = pair(raising(HTTPException(404)), raising(HTTPException(404)))
    with pytest.raises(HTTPException):
        price()
    assert flush_dual_runs(10)
    assert [event["event_type"] for event in told.events()] == ["success", "dual_run"]
    assert told.one("dual_run")["match"] is True


def test_H2_what_a_closed_event_loop_leaves_aside_is_told_when_its_room_is_needed(
    flags: KnowingProvider, told: Told
) -> None:
    price = pair(ready, hanging, per_second=10_000)

    async def calls(count: int) -> None:
        for _ in range(count):
            assert await price() == 1

    loop = asyncio.new_event_loop()
    loop.run_until_complete(calls(MAX_TASKS))
    loop.close()  # cancels nothing
    assert cancelled_pairs(told) == []
    asyncio.run(calls(1))
    assert len(cancelled_pairs(told)) == MAX_TASKS + 1
    assert price.counts == DualRunCounts(calls=MAX_TASKS + 1, cancelled=MAX_TASKS + 1)
    gc.collect()


class _Job:
    """A job that runs until it is freed."""

    def __init__(self, free: threading.Event) -> None:
        self._free = free
        self.began = threading.Event()
        self.takes_too_long = False
        self.given_up = 0

    def run(self) -> None:
        self.began.set()
        self._free.wait(60)

    def look(self, now_s: float) -> bool:
        return self.takes_too_long

    def give_up(self) -> None:
        self.given_up += 1


def test_H2_when_all_threads_hang_those_that_wait_are_given_up(flags: KnowingProvider) -> None:
    free = threading.Event()
    aside = Aside(threads=2, waiting=3)
    running, waiting = [_Job(free), _Job(free)], [_Job(free), _Job(free)]
    for job in running:
        assert aside.put(job)
    assert all(job.began.wait(60) for job in running)
    running[0].takes_too_long = True
    assert aside.put(waiting[0])
    assert waiting[0].given_up == 0  # one thread may still come free
    running[1].takes_too_long = True
    assert aside.put(waiting[1])
    assert [job.given_up for job in (*running, *waiting)] == [0, 0, 1, 1]
    assert not aside.wait(0.01)
    aside.give_up()
    assert [job.given_up for job in (*running, *waiting)] == [1, 1, 1, 1]
    free.set()
    assert aside.wait(60)
    assert not any(job.began.is_set() for job in waiting)


def test_H2_a_candidate_that_always_hangs_is_told_for_every_call_that_it_was_tried_for(
    flags: KnowingProvider, told: Told
) -> None:
    free = threading.Event()
    price = pair(lambda: 1, lambda: free.wait(60), limit_ms=1, per_second=10_000)

    def all_told() -> bool:
        price()
        return len(told.events("dual_run")) > WAITING

    asyncio.run(eventually(all_told))
    counts = price.counts
    assert counts.late + counts.cancelled == len(told.events("dual_run"))
    assert (counts.matched, counts.late, len(cancelled_pairs(told))) == (0, 4, counts.cancelled)
    free.set()


END = """
import sys, threading
from guardian.sdk import configure, dual_run

configure(path=sys.argv[1])
began = threading.Semaphore(0)

def run(component, wait_s):
    def candidate():
        began.release()
        threading.Event().wait(wait_s)
        return 1
    dual_run(component, candidate=candidate)(lambda: 1)()

run("ends", 0.3)
run("hangs", 3_600)
for _ in range(2):
    began.acquire()
"""


def test_H2_at_the_end_of_the_process_what_runs_aside_is_compared_or_given_up(tmp_path: Path) -> None:
    path = tmp_path / "migrations.jsonl"
    subprocess.run([sys.executable, "-c", END, path], timeout=60, check=True)
    events = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    pairs = {event["component"]: event for event in events if event["event_type"] == "dual_run"}
    assert (len(events), pairs["ends"]["match"], pairs["hangs"]["cancelled"]) == (4, True, True)
    assert pairs["hangs"]["candidate_ms"] > 1_000
    assert COMPONENT not in pairs
