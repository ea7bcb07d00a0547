"""Case H1: what does not end is counted. A measurement is told exactly once, whatever ends it."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

from guardian.sdk.measurement import Measurement
from guardian.sdk.open_measurements import OpenMeasurements
from tests.eventually import eventually
from tests.sdk.telling import SERVED, Client, client


def test_H1_handlers_that_hang_and_are_cancelled_are_told_as_timeouts(tmp_path: Path) -> None:
    async def handler(number: int) -> None:
        with telemetry.measure(SERVED):
            if number % 10 < 8:
                await asyncio.Event().wait()

    async def scene() -> None:
        calls = (asyncio.wait_for(handler(number), 0.5) for number in range(100))
        await asyncio.gather(*calls, return_exceptions=True)

    with client(tmp_path) as telemetry:
        asyncio.run(scene())
        events = telemetry.told()
    assert Counter(event["outcome"] for event in events) == {"timeout": 80, "ok": 20}
    cancelled = [event for event in events if event["outcome"] == "timeout"]
    assert {event["error_type"] for event in cancelled} == {"CancelledError"}
    assert min(event["latency_ms"] for event in cancelled) > 50


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit(), KeyboardInterrupt(), SystemExit(1)])
def test_H1_every_way_not_to_end_is_a_timeout_and_goes_on_its_way(tmp_path: Path, error: BaseException) -> None:
    def block() -> None:
        with telemetry.measure(SERVED):
            raise error

    with client(tmp_path) as telemetry:
        with pytest.raises(type(error)):
            block()
        assert telemetry.outcomes() == [("timeout", type(error).__name__)]


def test_H1_a_measurement_that_nobody_holds_any_more_is_told_as_abandoned(tmp_path: Path) -> None:
    def leave_it() -> None:
        telemetry.measure(SERVED, subject="dropped").begin()
        cycle: list[object] = [telemetry.measure(SERVED, subject="in a cycle")]
        cycle.append(cycle)
        cycle[0].begin()  # type: ignore[attr-defined]

    with client(tmp_path) as telemetry:
        leave_it()
        gc.collect()
        assert telemetry.outcomes() == [("timeout", "abandoned")] * 2
        telemetry.measure(SERVED)  # never begun: nothing to tell
        gc.collect()
        assert len(telemetry.told()) == 2


def test_H1_a_coroutine_that_is_destroyed_while_it_waits_is_told(tmp_path: Path) -> None:
    async def handler() -> None:
        async with telemetry.measure(SERVED):
            await asyncio.sleep(0)  # suspends once, and nobody resumes it

    with client(tmp_path) as telemetry:
        running = handler()
        running.send(None)
        del running
        gc.collect()
        assert telemetry.outcomes() == [("timeout", "GeneratorExit")]


def test_H1_a_finaliser_never_waits_for_a_lock_that_its_own_thread_holds(tmp_path: Path) -> None:
    def drop_it() -> None:
        measurement = telemetry.measure(SERVED)
        measurement.begin()
        with telemetry._sink.outbox._lock, telemetry._sink._starting, telemetry._beating:  # type: ignore[attr-defined]
            del measurement  # collected here, as the garbage collector may do at any allocation

    with client(tmp_path) as telemetry:
        thread = threading.Thread(target=drop_it, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
        assert telemetry.outcomes() == [("timeout", "abandoned")]
        assert telemetry.dropped == 0


def test_H1_a_block_that_hangs_is_told_while_it_is_open_and_not_again(tmp_path: Path) -> None:
    began, free = threading.Event(), threading.Event()

    def hanging() -> None:
        with telemetry.measure(SERVED, subject="hanging"):
            began.set()
            free.wait(60)

    with client(tmp_path, hang_after_s=0.05) as telemetry:
        thread = threading.Thread(target=hanging)
        thread.start()
        assert began.wait(60)
        asyncio.run(eventually(telemetry.told))
        (event,) = telemetry.told()
        assert (event["outcome"], event["subject"], event["latency_ms"] > 50) == ("hang", "hanging", True)
        telemetry.heartbeat()
        assert telemetry.told()[-1]["open"] == 0  # told, so no longer open
        free.set()
        thread.join()
    assert len(telemetry.told()) == 2


def test_H1_how_long_a_block_may_take_is_said_for_all_for_one_or_not_at_all(tmp_path: Path) -> None:
    with client(tmp_path, hang_after_s=None) as telemetry:
        long = telemetry.measure(SERVED, subject="long")
        short = telemetry.measure(SERVED, subject="short", hang_after_s=0.01)
        alive = telemetry.measure(SERVED, subject="alive", hang_after_s=3_600)
        for measurement in (long, short, alive):
            measurement.begin()
        asyncio.run(eventually(telemetry.told))
        now_s = time.perf_counter()
        long.tell_hang(now_s + 10**6)
        alive.keep_alive(now_s + 4_000)
        alive.tell_hang(now_s + 5_000)
        assert [(event["subject"], event["outcome"]) for event in telemetry.told()] == [("short", "hang")]
        alive.tell_hang(now_s + 8_000)
        long.end()
    found = [(event["subject"], event["outcome"]) for event in telemetry.told()]
    assert found == [("short", "hang"), ("alive", "hang"), ("long", "ok")]


def test_H1_heartbeats_tell_how_many_are_open_and_the_age_of_the_oldest(tmp_path: Path) -> None:
    with client(tmp_path) as telemetry:
        telemetry.heartbeat()
        with telemetry.measure(SERVED):
            before = time.perf_counter()
            with telemetry.measure(SERVED), telemetry.measure(SERVED):
                telemetry.heartbeat()
                passed_ms = (time.perf_counter() - before) * 1000
        telemetry.heartbeat()
        beats = [event for event in telemetry.told() if event.get("kind") == "heartbeat"]
    assert [(beat["open"], "open_max_ms" in beat) for beat in beats] == [(0, False), (3, True), (0, False)]
    assert 0 < beats[1]["open_max_ms"] < passed_ms + 1_000
    assert not any("bye" in beat for beat in beats)


def test_H1_what_is_open_at_the_end_is_told_before_the_client_closes(tmp_path: Path) -> None:
    with client(tmp_path) as telemetry:
        measurement = telemetry.measure(SERVED)
        measurement.begin()
    assert telemetry.outcomes() == [("timeout", "abandoned")]
    measurement.end()
    assert (telemetry.outcomes(), telemetry.dropped) == ([("timeout", "abandoned")], 0)


def test_H1_after_a_fork_each_measurement_is_told_by_the_process_that_began_it(tmp_path: Path) -> None:
    with client(tmp_path) as telemetry:
        with telemetry.measure(SERVED):
            child = os.fork()
            if child == 0:
                os._exit(len(list(telemetry._open)))
        assert os.waitpid(child, 0)[1] == 0
        inherited = telemetry.measure(SERVED)
        inherited.begin()
        child = os.fork()
        if child == 0:
            object.__setattr__(telemetry._measuring, "request", lambda served, **fields: os._exit(1))
            inherited.end()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        inherited.end()
        assert telemetry.outcomes() == [("ok", None)] * 2


def test_H1_beyond_the_bound_open_measurements_are_counted_and_told_at_their_end(tmp_path: Path) -> None:
    with client(tmp_path) as telemetry:
        registry = OpenMeasurements(max_tracked=3)
        object.__setattr__(telemetry._measuring, "open", registry)
        blocks = [telemetry.measure(SERVED) for _ in range(5)]
        for block in blocks:
            block.begin()
        count, oldest_ms = registry.figures(time.perf_counter())
        assert (count, len(list(registry)), oldest_ms is not None) == (5, 3, True)
        for block in reversed(blocks):
            block.end()
        assert registry.figures(0.0) == (0, None)
        assert len(telemetry.told()) == 5


def test_a_measurement_spans_a_generator_and_ends_with_it(tmp_path: Path) -> None:
    def rows(fails: bool) -> Generator[int]:
        with telemetry.measure(SERVED) as block:
            yield 1
            block.keep_alive()
            if fails:
                raise ValueError("in the middle")
            yield 2

    with client(tmp_path) as telemetry:
        assert list(rows(False)) == [1, 2]
        with pytest.raises(ValueError, match="in the middle"):
            list(rows(True))
        begun = rows(False)
        next(begun)
        assert len(telemetry.told()) == 2
        begun.close()
        assert telemetry.outcomes() == [("ok", None), ("error", "ValueError"), ("timeout", "GeneratorExit")]


def test_a_measurement_serves_async_with_and_again_after_its_end(tmp_path: Path) -> None:
    async def scene() -> None:
        block = telemetry.measure(SERVED)
        async with block:
            await asyncio.sleep(0)
        with block as again:
            again.fields["outcome"] = "crash"

    with client(tmp_path) as telemetry:
        asyncio.run(scene())
        assert telemetry.outcomes() == [("ok", None), ("crash", None)]


class _Stress:
    """Threads and tasks that begin, end, cancel and abandon measurements at random."""

    def __init__(self, telemetry: Client, seed: int) -> None:
        self.telemetry = telemetry
        self.seed = seed
        self.begun: list[str] = []
        self.kept: list[Measurement] = []

    def begin(self, subject: str, hang_after_s: float | None) -> Measurement:
        block = self.telemetry.measure(SERVED, subject=subject, hang_after_s=hang_after_s)
        self.begun.append(subject)
        return block

    def thread(self, name: int) -> None:
        chance = random.Random(f"{self.seed}/{name}")
        for number in range(120):
            block = self.begin(f"t{name}/{number}", chance.choice([None, 0.0, 0.001]))
            match chance.randrange(6):
                case 0:
                    with block:
                        pass
                case 1:
                    with pytest.raises(KeyError), block:
                        raise KeyError
                case 2:
                    block.begin()  # dropped when the name is taken by the next one
                case 3:
                    block.begin()
                    cycle: list[object] = [block]
                    cycle.append(cycle)
                case 4:
                    block.begin()
                    self.kept.append(block)
                case _:
                    block.begin()
                    enders = [threading.Thread(target=block.end) for _ in range(2)]
                    for ender in enders:
                        ender.start()
                    for ender in enders:
                        ender.join()
            if number % 40 == 0:
                gc.collect()

    def tasks(self, name: int) -> None:
        chance = random.Random(f"{self.seed}/{name}/tasks")

        async def one(number: int) -> None:
            async with self.begin(f"a{name}/{number}", None):
                for _ in range(chance.randrange(6)):
                    await asyncio.sleep(0)
                if chance.randrange(3) == 0:
                    await asyncio.Event().wait()

        async def scene() -> None:
            running = [asyncio.create_task(one(number)) for number in range(150)]
            for _ in range(3):
                await asyncio.sleep(0)
            for task in running[::2]:
                task.cancel()
            await asyncio.sleep(0)

        asyncio.run(scene())  # which cancels the others


def _at_one_moment(telemetry: Client) -> tuple[Counter[str], int]:
    """What is told and how many are open, with no garbage collection in between that would tell some of them."""
    for _ in range(20):
        before, _ = telemetry._open.figures(0.0)
        told = Counter(event["subject"] for event in telemetry.told())
        still_open, _ = telemetry._open.figures(0.0)
        if still_open == before:
            break
    return told, still_open


@pytest.mark.parametrize("seed", range(4))
def test_H1_under_random_threads_and_tasks_told_and_still_open_are_all_that_begun_each_once(
    tmp_path: Path, seed: int
) -> None:
    with client(tmp_path, hang_after_s=None) as telemetry:
        stress = _Stress(telemetry, seed)
        threads = [threading.Thread(target=stress.thread, args=(name,)) for name in range(4)]
        threads += [threading.Thread(target=stress.tasks, args=(name,)) for name in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        del threads
        gc.collect()
        told, still_open = _at_one_moment(telemetry)
        assert sum(told.values()) + still_open == len(stress.begun) == 4 * 120 + 2 * 150
    told = Counter(event["subject"] for event in telemetry.told())
    assert told == Counter(stress.begun)
    assert set(told.values()) == {1}
    assert telemetry.dropped == 0
