"""Ingest: one loop used twice, for telemetry with migrations and for commands; it waits for Kafka and starts anew."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, Literal

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from guardian.errors import TransportError
from guardian.ingest import metrics
from guardian.ingest.coalesce import Bounds, Coalescer
from guardian.ingest.commands import CommandFolder
from guardian.ingest.intent import Doubt
from guardian.ingest.known import Rollouts, follow_rollouts, load_rollouts
from guardian.ingest.pace import Pace
from guardian.ingest.ranges import Folder
from guardian.ingest.session import Clients, Plan, Session
from guardian.kafka.clients import admin, consumer, producer, running
from guardian.kafka.settings import Settings
from guardian.kafka.signing import SigningKeys
from guardian.kafka.topic_ids import topic_ids

log = logging.getLogger(__name__)

Kind = Literal["telemetry", "commands"]

BACK_OFF_S: Final = (0.2, 0.5, 1.0, 2.0)
"""The last is how long a Kafka that has come back may wait for us; one that is away is asked at no cost."""
HEALTHY_S: Final = 10.0
"""A life that lasted longer than this begins the back-off anew."""
FETCH_BYTES: Final = 1_048_576
"""Of one partition and fetch: a quarter of it doubled the cost of an event [measured]."""
FETCH_ALL_BYTES: Final = 16_777_216
"""Of all partitions; bounds what waits in memory."""
COLLECTOR: Final = (100_000, 50, 1_000)
"""Thresholds of Python's cycle collector: a fetch brings tens of thousands of objects that live for one round, and
none of them in a cycle; with the defaults, looking for cycles took a seventh of the loop's time [measured]."""
_SESSION_MS: Final = 6_000
_HEARTBEAT_MS: Final = 1_000
_METADATA_MS: Final = 10_000


async def run_ingest(settings: Settings, *, kind: Kind, stop: asyncio.Event) -> None:
    """Bring events, or commands, into the log until `stop` is set; each counts exactly once.

    Args:
        settings: the installation.
        kind: `telemetry` (with migrations) or `commands`; each is a group of its own.
        stop: ends the loop in good order.

    Raises:
        TransportError: Kafka refuses us; what waiting may heal is waited for.
        InternalError: a fault of guardian's own.
    """
    failures = 0
    metrics.RESTARTS.labels(kind)  # a zero, from which the first restart is seen to grow
    with seldom_collecting():
        while not stop.is_set():
            began = time.monotonic()
            try:
                await _live(settings, kind, stop)
            except (Doubt, KafkaError, TransportError, TimeoutError, OSError) as error:
                if isinstance(error, TransportError) and not (error.retriable or "topics create" in error.fix):
                    raise
                failures = 0 if time.monotonic() - began > HEALTHY_S else failures
                pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
                failures += 1
                metrics.RESTARTS.labels(kind).inc()
                log.warning("ingest of %s starts anew in %.1f s: %s", kind, pause_s, error or repr(error))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause_s)


@contextlib.contextmanager
def seldom_collecting() -> Iterator[None]:
    """Let the cycle collector run more seldom for the length of the block."""
    before = gc.get_threshold()
    gc.set_threshold(*COLLECTOR)
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _live(settings: Settings, kind: Kind, stop: asyncio.Event) -> None:
    """One life: clients are started, a session runs, clients are stopped; the consumer's end leaves the group."""
    rollouts = await load_rollouts(settings) if kind == "telemetry" else Rollouts()
    async with contextlib.AsyncExitStack() as stack:
        doer = await stack.enter_async_context(running(producer(settings, linger_ms=0), settings))
        asker = await stack.enter_async_context(running(admin(settings), settings))
        for name in ("inputs", "commands") if kind == "commands" else ("inputs",):
            await _check_partitions(doer, settings, name)
        plan = _plan(settings, kind, rollouts)
        ids = await topic_ids(settings, plan.sources)
        reader = consumer(
            settings,
            group=plan.group,
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=FETCH_ALL_BYTES,
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            metadata_max_age_ms=_METADATA_MS,
        )
        taker = await stack.enter_async_context(running(reader, settings))
        if kind == "telemetry":
            await stack.enter_async_context(_beside(follow_rollouts(settings, rollouts)))
        pace = Pace(settings.tick_ms / 1000 if kind == "telemetry" else 0.0)
        await Session(plan, Clients(taker, doer, asker), ids, pace).run(stop)


async def _check_partitions(doer: AIOKafkaProducer, settings: Settings, name: str) -> None:
    """Insist on the partitions of a topic by flag: a flag's follows from their number, for life; to go on with another
    would send its evidence, or what people want of it, somewhere else.

    Asking also makes the topic on the embedded broker; elsewhere a missing one is named.
    """
    count = len(await doer.partitions_for(settings.topic(name)))
    if count != settings.partitions:
        raise TransportError(
            f"{settings.topic(name)} has {count} partitions, the settings say {settings.partitions}",
            "guardian topics check says what to do",
            retriable=False,
        )


def _plan(settings: Settings, kind: Kind, rollouts: Rollouts) -> Plan:
    migrations, partitions = settings.topic("migrations"), settings.partitions
    sources = (settings.topic("telemetry"), migrations) if kind == "telemetry" else (settings.topic("commands"),)
    bounds, keys = Bounds(partitions, settings.future_ms), SigningKeys.of(settings)

    def new_folder(source: TopicPartition) -> Callable[[], Folder]:
        if kind == "commands":
            return lambda: CommandFolder(partitions, keys)
        return lambda: Coalescer(rollouts, bounds, migrations=source.topic == migrations)

    return Plan(
        process=f"{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns():x}",
        group=settings.group("ingest" if kind == "telemetry" else "ingest-commands"),
        sources=sources,
        inputs=settings.topic("inputs"),
        dead_letters=settings.topic("dead-letters"),
        input_partitions=partitions,
        disorder_ms=settings.disorder_ms if kind == "telemetry" else None,
        new_folder=new_folder,
        look_up_ids=lambda: topic_ids(settings, sources),
    )


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something beside the block; it ends with the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
