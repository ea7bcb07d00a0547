"""Following guardian.flags on a thread of its own: the application never waits for Kafka, and never sees it fail."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from openfeature.provider import ProviderStatus

from guardian.core.events import BEAT_KEY, BEAT_SECONDS
from guardian.errors import SettingsError
from guardian.record_batches import Teller, step_over_unreadable
from guardian.sdk.connection import Connection, leave
from guardian.sdk.freshness import SILENT_BEATS, Freshness
from guardian.sdk.quiet import FLAGS_THREAD, quieten_aiokafka, said
from guardian.sdk.snapshot import write_snapshot
from guardian.sdk.store import Store

_BEAT: Final = BEAT_KEY.encode()
_JOIN_WITHIN_S: Final = 5.0
_log = logging.getLogger("guardian.sdk")

Offsets = dict[TopicPartition, int]


@dataclass(frozen=True)
class Timing:
    """How long things take; tests make them short.

    Args:
        beat_s: seconds between two beats of guardian.
        silent_beats: so many missing ones mean STALE.
        look_s: how often status and snapshot are looked after.
        backoff_s: the first wait after a failure; it doubles up to `backoff_most_s`.
        backoff_most_s: the longest wait after a failure.
        chance: 0..1 at random; spreads the instances that a broker has lost all at once over half of each wait.
        catch_up_s: how long reading the topic to its end may stand still.
        snapshot_every_s: the snapshot is written at most so often.
        clock: a steady clock, in seconds.
        wall_clock: Unix seconds.
    """

    beat_s: float = BEAT_SECONDS
    silent_beats: int = SILENT_BEATS
    look_s: float = 0.25
    backoff_s: float = 0.2
    backoff_most_s: float = 5.0
    catch_up_s: float = 10.0
    snapshot_every_s: float = 5.0
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random

    def spread_s(self, wait_s: float) -> float:
        """Return how long this instance waits, where each of them waits up to `wait_s` seconds."""
        return wait_s * (1 + self.chance()) / 2


@dataclass(frozen=True)
class News:
    """What the follower tells the provider: a status that is new, or flags that changed."""

    status: ProviderStatus | None = None
    message: str = ""
    flags: tuple[str, ...] = ()


class Follower:
    """Keeps a store equal to guardian.flags.

    Args:
        connection: where Kafka is.
        store: written by the follower's thread only, once it was started.
        tell: called from the follower's thread; must not block.
        snapshot: the file to keep; None for none.
        timing: how long things take.
    """

    def __init__(
        self,
        connection: Connection,
        store: Store,
        tell: Callable[[News], None],
        snapshot: Path | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.caught_up = threading.Event()
        """Set once the topic was read to its end for the first time."""
        self.beats = 0
        self.failures = 0
        self.unreadable = 0
        """Offsets of guardian.flags that were stepped over: their codec, checksum or size is not readable."""
        self._connection = connection
        self._store = store
        self._tell = tell
        self._snapshot = snapshot
        self._timing = timing or Timing()
        self._freshness = Freshness(self._timing.beat_s, self._timing.silent_beats)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._stopping = False
        self._problem = "not connected yet"
        self._beat_ms = 0
        self._told = ProviderStatus.READY  # as OpenFeature has it once initialization returned
        self._told_at = 0.0
        self._may_tell_from = float("inf")
        self._unsaved = False
        self._patience_s = self._freshness.silence_s
        self._thread = threading.Thread(target=self._run, name=FLAGS_THREAD, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def settle(self) -> None:
        """From now on, tell the status. OpenFeature says READY when initialization returns; that must not come last."""
        self._may_tell_from = self._timing.clock() + self._timing.look_s

    def stop(self, within_s: float = _JOIN_WITHIN_S) -> None:
        """End the thread; returns after `within_s` seconds at the latest."""
        self._stopping = True
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(self._stop.set)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(within_s)

    @property
    def status(self) -> ProviderStatus:
        """READY while guardian's beats come; STALE on the last good documents; ERROR while nothing is known."""
        if self._freshness.fresh(self._timing.clock()) and self.caught_up.is_set():
            return ProviderStatus.READY
        known = self.caught_up.is_set() or bool(self._store.documents)
        return ProviderStatus.STALE if known else ProviderStatus.ERROR

    def _run(self) -> None:
        quieten_aiokafka()
        try:
            asyncio.run(self._main())
        except Exception:
            _log.exception("following %s ended; evaluation goes on with the last good documents", self._topic)

    @property
    def _topic(self) -> str:
        return self._connection.topic("flags")

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._stopping:
            return
        tasks = [asyncio.create_task(self._follow_for_ever()), asyncio.create_task(self._look_for_ever())]
        await self._stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._save()

    async def _follow_for_ever(self) -> None:
        wait_s = self._timing.backoff_s
        while not self._stopping:
            began = self._timing.clock()
            try:
                await self._follow()
            except (KafkaError, SettingsError, OSError, TimeoutError, RuntimeError) as error:
                self._failed(error)
            except asyncio.CancelledError as error:
                # aiokafka may let the cancelling of its own tasks out: only our own end may end this loop.
                if self._stopping:
                    raise
                self._failed(error)
            except Exception as error:
                self._failed(error)
                _log.exception("following %s: unexpected", self._topic)
            lasted = self._timing.clock() - began
            wait_s = self._timing.backoff_s if lasted > self._timing.backoff_most_s else wait_s
            await asyncio.sleep(self._timing.spread_s(wait_s))
            wait_s = min(wait_s * 2, self._timing.backoff_most_s)

    def _count_unreadable(self, _: str, offsets: int) -> None:
        self.unreadable += offsets

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        problem = said(error)
        if problem != self._problem:
            _log.warning("following %s: %s; trying again", self._topic, problem)
        self._problem = problem

    async def _follow(self) -> None:
        """One connection: read everything, then live, until it fails or is silent for too long."""
        consumer = AIOKafkaConsumer(
            **{
                "fetch_max_wait_ms": self._connection.fetch_wait_ms,
                **self._connection.arguments(),
                "group_id": None,
                "enable_auto_commit": False,
                "auto_offset_reset": "earliest",
            }
        )
        try:
            await consumer.start()
            step_over_unreadable(consumer, Teller(_log, self._count_unreadable))
            ends = await self._assign(consumer)
            # Step 1: the whole topic into a store of its own. It is taken over as one step, so that a deleted flag
            # does not come back for a moment, and what is older than what we have changes nothing.
            fresh = Store()
            await self._catch_up(consumer, ends, fresh)
            changed = self._store.adopt(fresh)
            # Step 2: only what comes from here on is a sign of life.
            self._freshness.connected([place.partition for place in ends], self._timing.clock())
            self.caught_up.set()
            self._problem = "no beat from guardian"
            self._changed(changed)
            await self._live(consumer)
        finally:
            await leave(consumer.stop, consumer._client.close)

    async def _assign(self, consumer: AIOKafkaConsumer) -> Offsets:
        # All topics are asked for, not this one: asking Kafka for a topic by name may create it, with wrong settings.
        if self._topic not in await consumer.topics():
            raise KafkaError(
                f"there is no topic {self._topic} that this user may see: is the prefix right (GUARDIAN_PREFIX), and"
                " were the rights granted (guardian topics acls --role sdk)?"
            )
        consumer.assign([TopicPartition(self._topic, 0)])
        partitions = await self._partitions(consumer)
        places = [TopicPartition(self._topic, partition) for partition in sorted(partitions)]
        consumer.assign(places)
        ends: Offsets = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        return ends

    async def _partitions(self, consumer: AIOKafkaConsumer) -> set[int]:
        # Assigning one partition makes the client ask about the topic; the number of partitions is fixed for life.
        deadline = self._timing.clock() + self._timing.catch_up_s
        while not (partitions := consumer.partitions_for_topic(self._topic)):
            if self._timing.clock() > deadline:
                raise TimeoutError(f"Kafka does not tell the partitions of {self._topic}")
            await asyncio.sleep(0.02)
        found: set[int] = partitions
        return found

    async def _catch_up(self, consumer: AIOKafkaConsumer, ends: Offsets, fresh: Store) -> None:
        """Fold everything up to `ends`, and what comes meanwhile, into `fresh`."""
        moved_at = self._timing.clock()
        # The last record may be one that compaction took: so the position tells, not the records.
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            found: dict[Any, list[ConsumerRecord]] = await consumer.getmany(timeout_ms=100)
            for records in found.values():
                for record in records:
                    if record.key == _BEAT:
                        self._beat_ms = max(self._beat_ms, record.timestamp)
                    else:
                        fresh.apply(record.key, record.value, self._now_ms)
            now = self._timing.clock()
            moved_at = now if found else moved_at
            if now - moved_at > self._timing.catch_up_s:
                raise TimeoutError(f"reading {self._topic} does not come to its end")
        fresh.look_again(self._now_ms)

    async def _live(self, consumer: AIOKafkaConsumer) -> None:
        connected_at = self._timing.clock()
        while True:
            found: dict[Any, list[ConsumerRecord]] = await consumer.getmany(timeout_ms=int(self._timing.look_s * 1000))
            for records in found.values():
                for record in records:
                    self._take(record)
            now = self._timing.clock()
            if self._freshness.fresh(now):
                self._patience_s = self._freshness.silence_s
            elif now - connected_at > self._patience_s:
                # Guardian may be away; or this connection is one to a topic that was created anew. Start anew, more
                # and more seldom.
                self._patience_s = min(self._patience_s * 2, self._freshness.silence_s * 16)
                return

    def _take(self, record: ConsumerRecord) -> None:
        if record.key == _BEAT:
            self.beats += 1
            self._beat_ms = max(self._beat_ms, record.timestamp)
            self._freshness.beat(record.partition, self._timing.clock())
        elif flag := self._store.apply(record.key, record.value, self._now_ms):
            self._changed([flag])

    @property
    def _now_ms(self) -> int:
        """Unix milliseconds, also where this machine's clock is behind."""
        return max(int(self._timing.wall_clock() * 1_000), self._beat_ms)

    def _changed(self, flags: list[str]) -> None:
        if flags:
            self._unsaved = True
            self._tell(News(flags=tuple(flags)))

    async def _look_for_ever(self) -> None:
        saved_at = self._timing.clock()
        while True:
            await asyncio.sleep(self._timing.look_s)
            self._look()
            if self._timing.clock() - saved_at >= self._timing.snapshot_every_s:
                await self._save()
                saved_at = self._timing.clock()

    def _look(self) -> None:
        now = self._timing.clock()
        if now < self._may_tell_from:
            return
        status = self.status
        # A status that is not READY is told again now and then: another thread's READY may have overtaken it.
        again = status is not ProviderStatus.READY and now - self._told_at > self._freshness.silence_s
        if status is self._told and not again:
            return
        self._told, self._told_at = status, now
        silent = self._freshness.silent(now)
        where = f" (partitions {', '.join(map(str, silent))})" if silent else ""
        self._tell(News(status=status, message="" if status is ProviderStatus.READY else self._problem + where))

    async def _save(self) -> None:
        if self._snapshot is None or not self._unsaved:
            return
        documents = list(self._store.documents.values())
        self._unsaved = False
        if not await asyncio.to_thread(write_snapshot, self._snapshot, documents, self._topic, self._now_ms):
            self._unsaved = True
