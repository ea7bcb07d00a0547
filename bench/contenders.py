"""The three that are compared, each in a process of its own on one core; each prints one JSON object at its end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from guardian.ingest import metrics
from guardian.ingest.loop import FETCH_ALL_BYTES, FETCH_BYTES, run_ingest, seldom_collecting
from guardian.kafka.clients import consumer, running
from guardian.kafka.settings import Settings, load_settings


class Stopwatch:
    """Counts from the first events that are seen to the last: what comes before is start-up, not speed."""

    def __init__(self, goal: int) -> None:
        self.goal, self.count, self.first = goal, 0, 0
        self.began = self.began_cpu = self.ended = self.ended_cpu = 0.0

    def at(self, count: int) -> bool:
        """Say how many there are by now; true when it is all."""
        if count and not self.first:
            self.first, self.began, self.began_cpu = count, time.perf_counter(), time.process_time()
        if count > self.count:
            self.count, self.ended, self.ended_cpu = count, time.perf_counter(), time.process_time()
        return count >= self.goal

    def report(self) -> dict[str, Any]:
        """Return the figures."""
        counted = self.count - self.first
        wall, cpu = self.ended - self.began, self.ended_cpu - self.began_cpu
        return {
            "events": self.count,
            "per_s": round(counted / wall) if wall > 0 else 0,
            "per_cpu_s": round(counted / cpu) if cpu > 0 else 0,
        }


async def ingest(settings: Settings, goal: int, watch: Stopwatch) -> None:
    """The real ingest loop, until everything is acked in the log."""
    stop = asyncio.Event()
    counter = metrics.EVENTS.labels(settings.topic("telemetry"))
    loop = asyncio.create_task(run_ingest(settings, kind="telemetry", stop=stop))
    while not watch.at(int(counter._value.get())):
        await asyncio.sleep(0.005)
        if loop.done():
            loop.result()
    stop.set()
    await loop


async def fetch(settings: Settings, goal: int, watch: Stopwatch) -> None:
    """aiokafka's getmany, with ingest's fetch sizes; the records are counted and thrown away."""
    reader = consumer(
        settings,
        settings.topic("telemetry"),
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_bytes=FETCH_ALL_BYTES,
    )
    async with running(reader, settings):
        await reader.seek_to_beginning()
        count = 0
        while not watch.at(count):
            for records in (await reader.getmany(timeout_ms=200)).values():
                count += len(records)


async def fetch_tuned(settings: Settings, goal: int, watch: Stopwatch) -> None:
    """The same with the collector set as ingest sets it: what ingest adds to fetching, and nothing else."""
    with seldom_collecting():
        await fetch(settings, goal, watch)


def faust(settings: Settings, goal: int, watch: Stopwatch) -> None:
    """What the Faust manual's reader writes: an agent, a model, and a table with a tumbling window."""
    import faust as library

    class Event(library.Record, serializer="json"):
        ts: float
        flag: str
        variant: str
        outcome: str
        latency_ms: float

    app = library.App(
        f"{settings.prefix}-faust-{os.getpid()}",
        broker=f"kafka://{settings.bootstrap}",
        store="memory://",
        datadir=tempfile.mkdtemp(prefix="bench-faust-"),
        topic_partitions=settings.source_partitions,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
    )
    source = app.topic(settings.topic("telemetry"), value_type=Event)
    counts = app.Table("counts", default=int, partitions=settings.source_partitions).tumbling(1.0, expires=120.0)
    worker = library.Worker(app, loglevel="error")
    seen = 0

    @app.agent(source)
    async def count(events: Any) -> None:
        nonlocal seen
        async for event in events:
            counts[f"{event.flag}/{event.variant}/{event.outcome}"] += 1
            seen += 1
            if watch.at(seen):
                # It has shown its speed; ending it in good order takes longer than everything before.
                _print(watch)
                os._exit(0)

    worker.execute_from_commandline()


def _print(watch: Stopwatch) -> None:
    out = sys.__stdout__ or sys.stdout  # Faust's worker puts a logger in the place of the other
    out.write(json.dumps(watch.report()) + "\n")
    out.flush()


def main() -> None:
    """Run one contender: name, bootstrap, prefix, events, core."""
    name, bootstrap, prefix, goal, core = sys.argv[1:6]
    os.sched_setaffinity(0, {int(core)})
    logging.basicConfig(level="ERROR")
    settings = load_settings(environ={}, bootstrap=bootstrap, prefix=prefix)
    watch = Stopwatch(int(goal))
    if name == "faust":
        faust(settings, int(goal), watch)
        return
    contender: Callable[..., Any] = {"ingest": ingest, "fetch": fetch, "fetch_tuned": fetch_tuned}[name]
    asyncio.run(contender(settings, int(goal), watch))
    _print(watch)


if __name__ == "__main__":
    main()
