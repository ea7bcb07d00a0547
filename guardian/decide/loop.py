"""The stage as a whole: joins, folds what it owns, ticks, watches its flags, writes checkpoints, and starts anew.

There is one way in. Whatever breaks off (a broker that went away, Faust that stumbled), the next attempt starts like
the first: from the checkpoint. What is guardian's own fault ends the process.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aiokafka.errors import KafkaError

from guardian import __version__
from guardian.core.engine import Engine
from guardian.core.outputs import FlagState
from guardian.decide.checkpoint import recover
from guardian.decide.dense import Step
from guardian.decide.faust_port import FaustPort, PortCrashed, quiet
from guardian.decide.metrics import RESTARTS, REWINDS
from guardian.decide.partition import Owned, Restore
from guardian.decide.port import Delivered, Port, Settled
from guardian.decide.publish import Publisher
from guardian.decide.ticks import write_tick, write_ticks
from guardian.decide.topics import watch_topics, watched_ids
from guardian.decide.watch import FlagWatch
from guardian.errors import TopicGone, TransportError
from guardian.kafka.admin import create_topics, describe_topics
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import CodeFailure, Settings
from guardian.spec.load import parse_spec

BACK_OFF_S: Final = (0.2, 0.5, 1.0, 2.0)
"""The last is how long a Kafka that has come back may wait for us; one that is away is asked at no cost."""
MAX_CRASHES: Final = 4
"""Attempts in a row that Faust ended without one record folded; after that it is not going to heal."""
TOPICS_NEEDED: Final = ("inputs", "flags", "rollbacks", "rollouts", "alerts", "decisions")
SETTLE_WITHIN_S: Final = 60.0
STALL_S: Final = 30.0
"""So long may records lie in the log unread before the connection is given up."""
FEW_ROLLOUTS: Final = 20
"""With no more than these, the partitions' ticks need not be spread over the second."""
_CHECK_S: Final = 0.25
_LAST_CHECKPOINT_S: Final = 5.0

log = logging.getLogger(__name__)


async def run_decide(
    settings: Settings,
    *,
    stop: asyncio.Event,
    restore: Restore | None = None,
    port: Callable[[Settings], Port] = FaustPort,
) -> None:
    """Decide until `stop` is set.

    Args:
        settings: the installation.
        stop: ends it cleanly, with a last checkpoint.
        restore: builds an engine; None for guardian's own.
        port: what brings the records.

    Raises:
        TransportError: waiting would not help: a topic has the wrong number of partitions, access is refused.
        InternalError: a fault of guardian's own, or Faust does not come to life.
    """
    quiet()
    # What is imported stays for life; left among the garbage to be looked for, it costs 25 ms each time [measured].
    gc.collect()
    gc.freeze()
    attempts = 0
    crashes = 0
    while not stop.is_set():
        stage = Stage(settings, own_engine(settings) if restore is None else restore, port)
        try:
            await stage.run(stop)
        except TransportError as error:
            # A topic that went away may come back, or has already: the next attempt waits for it.
            if not error.retriable and not isinstance(error, TopicGone):
                raise
            log.warning("decide starts anew: %s", error)
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("decide starts anew: %r", error)
        except PortCrashed as error:
            crashes = 1 if stage.folded else crashes + 1
            if crashes >= MAX_CRASHES:
                raise
            log.error("decide starts anew: %s", error)
        if stop.is_set():
            return
        RESTARTS.inc()
        attempts = 0 if stage.folded else attempts + 1
        pause_s = BACK_OFF_S[min(attempts, len(BACK_OFF_S) - 1)]
        await _first_of(stop.wait(), asyncio.sleep(pause_s))


async def check_topics(settings: Settings) -> None:
    """Compare the topics that decide cannot do without with the settings.

    Raises:
        TransportError: one is missing (it may be created yet), or has another number of partitions (for life); that of
            commands counts too, for a flag's commands come by it.
    """
    if settings.embedded:
        await create_topics(settings)  # they come into being when somebody asks for them
        return
    for state in await describe_topics(settings):
        needed = state.topic.name in TOPICS_NEEDED or (state.topic.by_flag and state.exists)
        if not needed or state.partitions == state.wanted_partitions:
            continue
        found = f"has {state.partitions} partitions, the settings say {state.wanted_partitions}"
        raise TransportError(
            f"{state.name} {found if state.exists else 'is not there'}",
            "guardian topics check says what to do" if state.exists else "create the topics: guardian topics create",
            retriable=not state.exists,
        )


def own_engine(settings: Settings) -> Restore:
    """Return what builds guardian's engine.

    Args:
        settings: say what becomes of a flag on which guardian's own code fails.
    """
    restore_control = settings.on_code_failure is CodeFailure.CONTROL
    return lambda partition, mark, snapshots: Engine.restore(
        partition, parse_spec, mark, snapshots, build=__version__, restore_control=restore_control
    )


class Stage:
    """One attempt, from joining to leaving.

    Args:
        settings: the installation.
        restore: builds an engine.
        port: what brings the records.
    """

    def __init__(self, settings: Settings, restore: Restore, port: Callable[[Settings], Port]) -> None:
        self.folded = 0
        self._settings = settings
        self._restore = restore
        self._process = f"{socket.gethostname()}-{os.getpid()}"
        self._port = port(settings)
        self._publisher = Publisher(settings)
        self._watch = FlagWatch(settings, self._publisher, self._owner_of, self._asserted)
        self._ids: dict[str, str] = {}
        self._owned: dict[int, Owned] = {}
        self._settled = False
        self._writing: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set or something breaks off, then free everything.

        Raises:
            GuardianError: what broke off.
        """
        await self._publisher.start()
        try:
            await check_topics(self._settings)
            self._ids = await watched_ids(self._settings)
            await self._port.start()
            try:
                await _first_of(stop.wait(), *self._duties())
                await self._last_checkpoints()
            finally:
                for owned in self._owned.values():
                    await owned.close()
                await self._port.stop()
        finally:
            await self._publisher.stop()

    def _duties(self) -> list[Coroutine[Any, Any, Any]]:
        return [
            self._read(),
            self._keep(),
            write_ticks(
                self._publisher, self._process, lambda: tuple(self._owned), self._landed, self._has_much_to_say
            ),
            self._watch.follow(),
            self._watch.check(),
            watch_topics(self._settings, self._ids),
            _wait_for(self._publisher.failure),
        ]

    async def _read(self) -> None:
        while True:
            arrival = await self._port.next()
            if isinstance(arrival, Settled):
                await self._settle(arrival.partitions)
            elif (owned := self._owned.get(arrival.partition)) is not None:
                await self._take(owned, arrival)

    async def _take(self, owned: Owned, arrival: Delivered) -> None:
        step = owned.see(arrival)
        if step is Step.REWIND:
            REWINDS.labels(str(owned.partition)).inc()
            await self._port.rewind({owned.partition: await owned.open()})
        elif step is Step.TAKE:
            self.folded += 1
            await self._publisher.room()
            # The fold never waits by itself: here everybody else gets a turn, flag changes first.
            await asyncio.sleep(0)

    async def _settle(self, partitions: frozenset[int]) -> None:
        self._settled = True
        for partition in set(self._owned) - partitions:
            await self._owned.pop(partition).close()
        taken_over = sorted(partitions - set(self._owned))
        for partition in taken_over:
            saved = recover(partition, self._port.saved(partition))
            inputs = self._settings.topic("inputs")
            self._owned[partition] = Owned(
                partition, saved, self._restore, self._port, self._publisher, (inputs, self._ids[inputs])
            )
        # One that stayed ours keeps its state: it is a function of the log, whoever else had it meanwhile.
        mine = dict(self._owned)
        places = dict(zip(mine, await asyncio.gather(*(owned.open() for owned in mine.values())), strict=True))
        log.info("partitions and where they go on: %s", places)
        if places:
            await self._port.rewind(places)
        # Nobody has told these the time since their owner died: at once rather than at their next turn.
        for partition in taken_over:
            write_tick(self._publisher, self._process, partition, self._landed)
        if taken_over:
            self._watch.look_again()

    async def _keep(self) -> None:
        """Start checkpoints, and notice when nothing moves although it should."""
        began_s = time.monotonic()
        while True:
            await asyncio.sleep(_CHECK_S)
            now_s = time.monotonic()
            if not self._settled and now_s - began_s > SETTLE_WITHIN_S:
                raise PortCrashed(f"no partitions were assigned within {SETTLE_WITHIN_S:.0f} s")
            for owned in self._owned.values():
                if owned.known_end <= owned.reader.next_offset:
                    owned.progress_s = now_s
                elif now_s - owned.progress_s > STALL_S:
                    raise PortCrashed(f"partition {owned.partition} stands still before {owned.reader.next_offset}")
                self._follow(owned.checkpoint_if_due())
            for task in [task for task in self._writing if task.done()]:
                self._writing.discard(task)
                if not task.cancelled():
                    task.result()

    def _follow(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            self._writing.add(task)

    async def _last_checkpoints(self) -> None:
        """Write down where we stand, so that the next process has little to repeat; not at any price."""
        tasks = [asyncio.create_task(owned.last_checkpoint()) for owned in self._owned.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_CHECKPOINT_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, partition: int, offset: int) -> None:
        if (owned := self._owned.get(partition)) is not None:
            owned.known_end = max(owned.known_end, offset + 1)

    def _has_much_to_say(self) -> bool:
        return sum(owned.engine.rollout_count for owned in self._owned.values()) > FEW_ROLLOUTS

    def _owner_of(self, flag: str) -> int | None:
        partition = partition_of(flag, self._settings.partitions)
        return partition if partition in self._owned else None

    def _asserted(self) -> list[FlagState]:
        return [state for owned in self._owned.values() for state in owned.engine.flags()]


async def _wait_for(failure: asyncio.Future[None]) -> None:
    await asyncio.shield(failure)


async def _first_of(*things: Coroutine[Any, Any, Any]) -> None:
    """Run all until the first ends, cancel the rest, and raise what it raised."""
    tasks = [asyncio.ensure_future(thing) for thing in things]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        if task.cancelled():
            # aiokafka lets a cancellation of its own out of its clients when a broker dies.
            raise TransportError("a Kafka client was cut off", "it starts anew", retriable=True)
        task.result()
