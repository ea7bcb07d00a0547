"""A process whose end hangs (case B7) ends all the same, with the exit code that it should have had."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from guardian.cli.exit_deadline import EXIT_WITHIN_S, PYTHON_WITHIN_S, ExitDeadline
from guardian.cli.worker import END_S, run_loops
from guardian.errors import Exit, TransportError
from tests.eventually import eventually

HANGS = """
import sys, threading
from guardian.cli import main
def app(words, prog_name):
    threading.Thread(target=threading.Event().wait).start()
    sys.exit({code})
main.app, main.PYTHON_WITHIN_S = app, 0.2
main.run()
"""


@pytest.mark.parametrize("code", [Exit.OK, Exit.UNREACHABLE])
def test_B7_a_thread_that_never_ends_does_not_keep_the_process(code: int) -> None:
    done = subprocess.run([sys.executable, "-c", HANGS.format(code=int(code))], timeout=60, check=False)
    assert done.returncode == code


def test_B7_the_parts_of_an_end_fit_into_thirty_seconds() -> None:
    assert END_S < EXIT_WITHIN_S
    assert EXIT_WITHIN_S + PYTHON_WITHIN_S < 30


def test_B7_a_loop_that_does_not_end_does_not_keep_the_process_and_the_dead_ones_code_is_kept() -> None:
    async def check() -> None:
        left: list[int] = []
        stuck = asyncio.Event()

        async def never() -> None:
            await stuck.wait()

        async def dies() -> None:
            raise TransportError("no rights", retriable=False)

        deadline = ExitDeadline(0.05, left.append)
        stop = asyncio.Event()
        running = asyncio.create_task(run_loops({"stuck": never(), "dead": dies()}, stop, deadline))
        await eventually(lambda: left == [Exit.UNREACHABLE])
        stuck.set()
        with pytest.raises(TransportError):
            await running

    asyncio.run(check())


def test_the_clock_begins_with_the_signal_and_is_stopped_by_an_end_in_time() -> None:
    async def check() -> None:
        left: list[int] = []
        gone = ExitDeadline(0.05, left.append)
        stop = asyncio.Event()
        watching = asyncio.create_task(gone.begin_with(stop))
        stop.set()
        await watching
        await eventually(lambda: left == [Exit.OK])
        in_time = ExitDeadline(60, left.append)
        in_time.begin()
        in_time.cancel()
        await eventually(lambda: in_time._timer is not None and not in_time._timer.is_alive())
        assert left == [Exit.OK]
        assert threading.active_count() >= 1

    asyncio.run(check())
