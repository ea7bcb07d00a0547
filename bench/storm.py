"""A reconnect storm: all streams are cut at once and come back: `python -m bench.storm`.

Some thousand clients follow guardian.flags through serve, from a hundred addresses. All are cut in one moment. Each
comes back after the pause that serve asked it for, which is another one for each, and is current again when it has
the snapshot. Meanwhile an operator gives `kill` again and again on connections of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

from bench.serve import GOAL_S, Operator, Target, head, start_guardian, stop, waited_s

STREAMS: Final = 2_000
ADDRESSES: Final = 100
WITHIN_S: Final = 45.0
AT_ONCE: Final = 50
"""Connected together at the beginning, before the storm."""


@asynccontextmanager
async def following(target: Target, number: int) -> AsyncIterator[float]:
    """Follow the flags; gives how many seconds serve asks to wait before coming back, once the snapshot is here."""
    async with target.connected(number % ADDRESSES) as (reader, writer):
        writer.write(head("GET", "/v1/stream/flags", "viewer"))
        if not (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200"):
            raise OSError("refused")
        found = await reader.readuntil(b"event: flags")
        yield int(found.partition(b"retry: ")[2].split()[0]) / 1_000


async def comes_back(target: Target, number: int, after_s: float, stack: AsyncExitStack) -> float:
    """Come back as often as it takes; returns when it is current, by the steady clock."""
    await asyncio.sleep(after_s)
    while True:
        with suppress(OSError, asyncio.IncompleteReadError, ValueError):
            await stack.enter_async_context(following(target, number))
            return time.monotonic()
        await asyncio.sleep(after_s)


async def storm(target: Target, count: int) -> None:
    first = AsyncExitStack()
    pauses: list[float] = []
    for begin in range(0, count, AT_ONCE):
        numbers = range(begin, min(begin + AT_ONCE, count))
        pauses += await asyncio.gather(*(first.enter_async_context(following(target, number)) for number in numbers))
    operator = Operator(target)
    await operator.is_up()
    cut_s = time.monotonic()
    await first.aclose()
    async with AsyncExitStack() as again:
        coming = [comes_back(target, number, pause_s, again) for number, pause_s in enumerate(pauses)]
        tasks = [asyncio.create_task(one) for one in coming]
        done, late = await asyncio.wait(tasks, timeout=WITHIN_S)
        took, failed = await operator.ends()
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    back = [task.result() for task in done]
    print(f"{count:,} streams cut at once, asked to come back after {min(pauses):.1f} to {max(pauses):.1f} s")
    if late:
        print(f"MISSED: {len(late):,} are not current after {WITHIN_S:.0f} s")
    half_s, last_s = statistics.median(back) - cut_s, max(back) - cut_s
    print(f"{len(back):,} are current after {last_s:.1f} s, half of them after {half_s:.1f} s")
    met = "met" if max(took) < GOAL_S and not failed else "MISSED"
    print(
        f"kill over HTTP meanwhile: median {statistics.median(took) * 1_000:.0f} ms, worst {max(took) * 1_000:.0f} ms"
        f" of {len(took)}, {failed} failed; goal {GOAL_S:.0f} s: {met}"
    )


async def run(count: int) -> None:
    limit = str(2 * count + 500)  # a quarter of the streams is kept for alerts and operators
    target, processes = await asyncio.to_thread(
        start_guardian,
        serve_connections=limit,
        serve_client_connections=limit,
        serve_streams=limit,
        serve_client_streams=limit,
        serve_client_requests="10000",
    )
    try:
        before_s, began_s = waited_s(processes[0]), time.monotonic()
        await storm(target, count)
        share = (waited_s(processes[0]) - before_s) / (time.monotonic() - began_s)
        print(f"serve was ready to run and had no core for {share:.0%} of the time")
    finally:
        stop(processes)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--streams", type=int, default=STREAMS)
    options.add_argument("--one-core", action="store_true", help="all processes on one core")
    given = options.parse_args()
    if given.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    asyncio.run(run(given.streams))


if __name__ == "__main__":
    main()
