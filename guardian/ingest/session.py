"""One life in the group: fetch, fold and write until told to stop, or until in doubt."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from guardian.core.inputs import Batch, SourceMark
from guardian.ingest import metrics
from guardian.ingest.intent import NO_GENERATION, Doubt, Refused, Tick, generation_of
from guardian.ingest.lanes import Lane
from guardian.ingest.marks import MARKS_S, source_mark, watermarks
from guardian.ingest.member import Membership, Places
from guardian.ingest.pace import SETTLE_S, Pace
from guardian.ingest.ranges import Closed, Folder
from guardian.ingest.refusals import Refusals
from guardian.record_batches import Unreadable
from guardian.wire.inputs import encode_payload

log = logging.getLogger(__name__)

REJOIN_S: Final = 60.0
"""How long the group may leave this member without an assignment before it starts anew."""
IDS_S: Final = 5.0
"""How often the source topics are looked at: one that was deleted and made again has another id."""
_POLL_S: Final = 0.02
_YIELDS: Final = 4
"""So many turns of the event loop until aiokafka has sent the next fetch, which Kafka then prepares while we fold."""


class Plan(NamedTuple):
    """What a loop reads and writes.

    Args:
        process: the id of this life, for the watermarks.
        group: the group's full name.
        sources: full names of the source topics.
        inputs: full name of the inputs.
        dead_letters: full name of the dead letters.
        input_partitions: how many.
        disorder_ms: the allowed disorder; None when this loop sends no watermarks.
        new_folder: what the ranges of a source partition are folded with.
        look_up_ids: asks Kafka for the ids of the source topics by full name.
    """

    process: str
    group: str
    sources: tuple[str, ...]
    inputs: str
    dead_letters: str
    input_partitions: int
    disorder_ms: int | None
    new_folder: Callable[[TopicPartition], Callable[[], Folder]]
    look_up_ids: Callable[[], Awaitable[dict[str, str]]]


class Clients(NamedTuple):
    """Started clients; the session neither starts nor stops them."""

    consumer: AIOKafkaConsumer
    producer: AIOKafkaProducer
    admin: AIOKafkaAdminClient


class Session:
    """One life in the group. It ends in good order when `stop` is set, and raises Doubt when it must start anew."""

    def __init__(self, plan: Plan, clients: Clients, ids: dict[str, str], pace: Pace) -> None:
        self._plan, self._clients, self._pace = plan, clients, pace
        self._consumer = clients.consumer
        self._places = Places(clients.consumer, clients.admin, plan.group, ids)
        self._membership = Membership(self._drop)
        self._lanes: dict[TopicPartition, Lane] = {}
        self._era = 0
        self._generation = NO_GENERATION
        self._tick: asyncio.Task[list[Closed]] | None = None
        self._marks: asyncio.Task[None] | None = None
        self._ids = ids
        self._looking: asyncio.Task[dict[str, str]] | None = None
        self._looked_at = time.monotonic()
        self._marked_at = time.monotonic()
        self._refusals = Refusals(clients.consumer, plan.sources)
        self._shown = metrics.Shown(plan.sources, plan.disorder_ms)
        self._held_at = time.monotonic()
        """Since when there may be nothing to do: an assignment began, ended, or was refused."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop.

        Raises:
            Doubt: leave the group and start anew.
            KafkaError: the same.
        """
        self._consumer.subscribe(list(self._plan.sources), listener=self._membership)
        try:
            while not stop.is_set():
                await self._round()
            await self._finish()
        finally:
            # Ticks are awaited, never cancelled: a cancelled commit may still be applied.
            for task in (self._tick, self._marks, self._looking):
                if task is not None:
                    await asyncio.wait({task})
                    task.cancelled() or task.exception()  # looked at, so that asyncio does not complain
            self._shown.show([])

    async def _round(self) -> None:
        self._look_at_ids_if_due()
        self._refusals.look()
        if self._membership.era != self._era:
            await self._begin()
            return
        era = self._era
        fetched = await self._fetch()
        # What was fetched under one assignment is never folded under another.
        if self._membership.era == era == self._era:
            self._take(fetched)
            await self._write_if_due()
            self._report_if_due()

    def _look_at_ids_if_due(self) -> None:
        """Notice a topic that was made anew under our feet: its offsets would be taken for those of the one before."""
        now_s = time.monotonic()
        if self._looking is None and now_s - self._looked_at >= IDS_S:
            self._looked_at = now_s
            self._looking = asyncio.ensure_future(self._plan.look_up_ids())
        elif self._looking is not None and self._looking.done():
            done, self._looking = self._looking, None
            # When Kafka does not say, the next look does.
            if not done.cancelled() and done.exception() is None and done.result() != self._ids:
                raise Doubt("a source topic was made anew")

    async def _drop(self) -> None:
        """A revocation: forget everything accumulated; the tick in flight is awaited."""
        self._lanes = {}
        self._shown.show([])
        self._held_at = time.monotonic()
        if self._tick is not None:
            await asyncio.wait({self._tick})

    async def _begin(self) -> None:
        """Take up an assignment: what was announced comes first."""
        self._lanes = {}
        await self._collect(wait=True)
        era = self._membership.era
        if not self._membership.assigned:
            if time.monotonic() - self._held_at > REJOIN_S:
                raise Doubt(f"no assignment for {REJOIN_S:.0f} s")
            await asyncio.sleep(_POLL_S)
            return
        generation = generation_of(self._consumer)
        partitions = sorted(self._consumer.assignment())
        lanes = await self._places.lanes(partitions, self._plan.new_folder) if partitions else {}
        await self._say_made_anew()
        if self._membership.era != era or generation == NO_GENERATION:
            await asyncio.sleep(_POLL_S)
            return  # it is over already; the next round begins the next one
        for partition in partitions:
            if partition in lanes:
                self._consumer.seek(partition, lanes[partition].next)
            else:
                self._consumer.pause(partition)
        self._refusals.forget()
        self._lanes, self._era, self._generation = lanes, era, generation
        self._held_at = time.monotonic()
        log.info("generation %d: %s", generation, {f"{p.topic}/{p.partition}": lanes[p].next for p in lanes})

    async def _say_made_anew(self) -> None:
        """Let decide raise its alert: a partition that stands still here writes nothing that decide would refuse."""
        for source in self._places.made_anew:
            value = encode_payload(Batch(source, 0, 0))
            for partition in range(self._plan.input_partitions):
                await self._clients.producer.send_and_wait(self._plan.inputs, value, partition=partition)

    async def _fetch(self) -> dict[TopicPartition, list[ConsumerRecord | Unreadable]]:
        # Back-pressure: while a tick is being written, no more than one closed range waits in each lane; the records
        # that aiokafka holds meanwhile are bounded by its fetch size.
        if self._tick is not None and any(lane.closed for lane in self._lanes.values()):
            await self._collect(wait=True)
        patience_ms = self._pace.patience_ms(time.monotonic(), self._due_at(), self._tick is not None)
        try:
            fetched: dict[TopicPartition, list[ConsumerRecord | Unreadable]] = await self._consumer.getmany(
                timeout_ms=patience_ms
            )
        except NoOffsetForPartitionError:
            return {}  # from before the seek
        except TopicAuthorizationFailedError as error:
            self._refusals.take(error)
            return {}
        except OffsetOutOfRangeError as error:
            log.warning("retention has overtaken ingest: %s", error)
            self._era = -1  # begin again where the log begins now
            return {}
        for _ in range(_YIELDS):
            await asyncio.sleep(0)
        return fetched

    def _take(self, fetched: dict[TopicPartition, list[ConsumerRecord | Unreadable]]) -> None:
        for partition, records in fetched.items():
            lane = self._lanes.get(partition)
            if lane is None:
                continue
            # What cannot be read comes in a list of its own.
            if not (lane.leave_out(records[0]) if isinstance(records[0], Unreadable) else lane.take(records)):
                log.warning("%s came at %d, expected %d: seeking back", partition, records[0].offset, lane.next)
                self._consumer.seek(partition, lane.next)

    def _due_at(self) -> float | None:
        """When what waits should be written; None when nothing waits."""
        waiting = [lane for lane in self._lanes.values() if lane.waits]
        if not waiting:
            return None
        if any(lane.closed for lane in waiting):
            return self._pace.ticked_at
        ends = ((self._consumer.highwater(lane.partition) or 0) - lane.next for lane in self._lanes.values())
        return self._pace.due_at(any(lane.urgent for lane in waiting), sum(max(0, end) for end in ends))

    async def _write_if_due(self) -> None:
        await self._collect(wait=False)
        if self._tick is not None or not self._lanes:
            return
        now_s = time.monotonic()
        due_at = self._due_at()
        if due_at is not None and now_s >= due_at:
            self._pace.ticked_at = now_s
            waiting = [lane for lane in self._lanes.values() if lane.waits]
            self._tick = asyncio.create_task(self._new_tick().write(waiting))
        elif settling := self._quiet_since(now_s - SETTLE_S):
            self._tick = asyncio.create_task(self._settle(settling))

    def _quiet_since(self, moment_s: float) -> list[Lane]:
        return [lane for lane in self._lanes.values() if lane.may_settle and lane.acked_at_s <= moment_s]

    async def _settle(self, lanes: list[Lane]) -> list[Closed]:
        await self._new_tick().settle(lanes)
        return []

    def _new_tick(self) -> Tick:
        topics = (self._plan.inputs, self._plan.dead_letters)
        return Tick(self._consumer, self._clients.producer, topics, self._generation)

    async def _collect(self, *, wait: bool) -> None:
        """Look at the tick in flight if it is over; with `wait`, let it come to its end first."""
        if self._tick is None or not (wait or self._tick.done()):
            if self._refused_too_long():
                raise Doubt("refused by the group, and no new assignment came")
            return
        await asyncio.wait({self._tick})
        tick, self._tick = self._tick, None
        try:
            for closed in tick.result():
                metrics.count_range(closed)
        except Refused as error:
            # aiokafka joins again by itself; the new assignment begins at what is committed.
            log.warning("%s", error)
            self._lanes = {}
            self._held_at = time.monotonic()

    def _refused_too_long(self) -> bool:
        idle = not self._lanes and bool(self._consumer.assignment()) and self._membership.era == self._era
        return idle and time.monotonic() - self._held_at > REJOIN_S

    async def _finish(self) -> None:
        """End in good order: write what is folded, and take back every announcement."""
        try:
            await self._collect(wait=True)
            while self._membership.era == self._era and (waiting := [p for p in self._lanes.values() if p.waits]):
                self._tick = asyncio.create_task(self._new_tick().write(waiting))
                await self._collect(wait=True)
            if self._membership.era == self._era and (left := [p for p in self._lanes.values() if p.may_settle]):
                self._tick = asyncio.create_task(self._settle(left))
                await self._collect(wait=True)
        except (Doubt, KafkaError) as error:
            log.warning("ended with something announced and not settled; the successor repeats it: %s", error)

    def _report_if_due(self) -> None:
        """Show how far each source partition is, and say it to decide."""
        now_s = time.monotonic()
        owner = self._lanes and generation_of(self._consumer) == self._generation
        if not owner:
            self._shown.show([])
        if not owner or now_s - self._marked_at < MARKS_S:
            return
        marks = [self._mark(lane, self._plan.disorder_ms or 0) for lane in self._lanes.values()]
        self._shown.show(marks)
        if self._marks is not None and not self._marks.done():
            return
        self._marked_at = now_s
        if self._plan.disorder_ms is not None:
            self._say(marks, self._plan.disorder_ms)

    def _say(self, marks: list[SourceMark], disorder_ms: int) -> None:
        expected = {topic: len(self._consumer.partitions_for_topic(topic) or ()) for topic in self._plan.sources}
        if not all(expected.values()):
            return  # a topic that metadata does not know yet is expected all the same: better blind than wrong
        value = encode_payload(watermarks(self._plan.process, marks, expected, disorder_ms))
        self._marks = asyncio.create_task(self._send_marks(value))

    def _mark(self, lane: Lane, disorder_ms: int) -> SourceMark:
        heard_ms = self._consumer.last_poll_timestamp(lane.partition)
        ago_ms = time.time() * 1000 - heard_ms if heard_ms else float("inf")
        mark = source_mark(lane, self._consumer.highwater(lane.partition), ago_ms, disorder_ms)
        mark.stopped = self._refusals.why(lane.partition.topic)
        return mark

    async def _send_marks(self, value: bytes) -> None:
        sends = [
            self._clients.producer.send_and_wait(self._plan.inputs, value, partition=partition)
            for partition in range(self._plan.input_partitions)
        ]
        for result in await asyncio.gather(*sends, return_exceptions=True):
            if isinstance(result, BaseException):
                log.warning("a watermark was not written: %r", result)  # the next one says more
