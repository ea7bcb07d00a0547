"""Faust behind the port: with its credentials beside it the only file of decide that knows faust-streaming.

Faust brings the records, spreads the partitions over the processes and keeps the checkpoint in a Table. What it is not
trusted with: offsets. It commits none (`acks=False`), and the reader above insists on a dense log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, cast

import faust
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError
from faust.exceptions import FaustError, ProducerSendError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, StreamT, TransportT

from guardian.decide.checkpoint import marks, read_key
from guardian.decide.faust_credentials import credentials
from guardian.decide.port import Arrival, Bounds, Delivered, Settled
from guardian.errors import InternalError
from guardian.kafka.clients import count_unreadable, transport_error
from guardian.kafka.embedded_wait import wait_by_traffic
from guardian.kafka.settings import Settings
from guardian.record_batches import StandIns, Teller, Unreadable, step_over_unreadable

SESSION_TIMEOUT_S: Final = 6.0
"""The shortest that Kafka takes unless its own settings are changed; so long may a process stand still unpunished."""
HEARTBEAT_S: Final = 0.3
"""A member learns only from a heartbeat's answer that the group is divided anew, and everybody waits for the last."""
FETCH_WAIT_MS: Final = 200
"""Faust asks for 1,500 ms: so long can a partition stand still that was left out of the fetch under way."""
ACK_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 8.0
BACKLOG: Final = 1_000
"""Records that wait for the loop; Faust's own buffers come on top."""
REBALANCE_WITHIN_S: Final = 90.0
TABLE: Final = "checkpoint"
_UNREADABLE: Final = -1
"""The checksum of a record that stands in for an offset that cannot be read; records of Kafka's format 2 have none."""
_LOOK_S: Final = 0.5
_ACTIVE_S: Final = 0.05

log = logging.getLogger(__name__)
group_log = logging.getLogger("guardian.decide.group")
"""Under a name of its own: what Faust's services say of themselves under this file's name is not shown."""


_stopping: Final[set[asyncio.Task[Any]]] = set()
"""Stops of earlier lives that still wait for their broker; kept here, or asyncio would forget them."""


def _stopped(stopping: asyncio.Task[Any]) -> None:
    _stopping.discard(stopping)
    if not stopping.cancelled() and (error := stopping.exception()) is not None:
        log.warning("faust did not stop cleanly: %r", error)


class PortCrashed(InternalError):
    """Faust broke down for a reason of its own: once more from the start may help, for ever it must not."""


class FaustPort:
    """The port on Faust. One object is one life: after an error a new one is made.

    Args:
        settings: the installation; the group is `<prefix>.decide`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.inputs = settings.topic("inputs")
        self._arrivals: asyncio.Queue[Arrival | Exception] = asyncio.Queue()
        self._room = asyncio.Semaphore(BACKLOG)
        self._rewinding = asyncio.Lock()
        self._life: list[asyncio.Task[None]] = []
        self._app = _App(self, settings)
        topic = self._app.topic(
            self.inputs, key_type=bytes, value_type=bytes, value_serializer="raw", acks=False, allow_empty=True
        )
        # As the catalogue does it for its topics: with three replicas, two must have a record before it is acked.
        durable = {"min.insync.replicas": "2"} if settings.replication >= 3 else {}
        self._table = self._app.Table(
            TABLE,
            key_type=bytes,
            value_type=bytes,
            partitions=settings.partitions,
            extra_topic_configs=durable,
        )
        # Faust lets the inputs flow first and seeks then. What its thread had fetched from the log's beginning came in
        # between, all the more where a core is busy. So the place is found before anything flows.
        self._table.on_recover(self._find_place)
        self._app.agent(topic, name="decide")(self._take)

    async def start(self) -> None:
        """Start Faust in this event loop; partitions come as Settled."""
        self._life = [asyncio.create_task(self._start_app()), asyncio.create_task(self._watch_crash())]

    async def stop(self) -> None:
        """Leave the group and end Faust's threads; what it says while dying is logged."""
        for task in self._life:
            task.cancel()
        stopping = asyncio.create_task(self._app.stop())
        # Cut off in the middle of its stop, Faust's supervisor starts the agent again, and the event loop never ends.
        # So a stop that waits for a broker that is away goes on behind the next attempt, or until the process ends.
        _stopping.add(stopping)
        stopping.add_done_callback(_stopped)
        _, late = await asyncio.wait({stopping}, timeout=STOP_WITHIN_S)
        if late:
            log.warning("faust is still stopping after %.0f s; nobody waits for it any longer", STOP_WITHIN_S)
        for result in await asyncio.gather(*self._life, return_exceptions=True):
            if isinstance(result, Exception):
                log.warning("faust did not stop cleanly: %r", result)

    async def next(self) -> Arrival:
        """Wait for the next thing that comes in."""
        arrival = await self._arrivals.get()
        if isinstance(arrival, Exception):
            raise arrival
        if isinstance(arrival, Delivered):
            self._room.release()
        return arrival

    def saved(self, partition: int) -> dict[bytes, bytes]:
        """Return every checkpoint record of a partition, by key."""
        prefix = f"{partition}/".encode()
        records = cast(dict[bytes, bytes], self._table.data)
        return {key: value for key, value in records.items() if key.startswith(prefix) and value is not None}

    async def save(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Write one checkpoint record and wait for its ack."""
        # The table's own assignment does not wait for the changelog; so it is written here, and the data set beside it.
        sent = self._table.send_changelog(partition, key, value, key_serializer="raw", value_serializer="raw")
        try:
            await asyncio.wait_for(asyncio.shield(sent), ACK_WITHIN_S)
        except (KafkaError, ProducerSendError, TimeoutError, OSError) as error:
            raise transport_error(error, self._settings) from error
        data = cast(dict[bytes, bytes], self._table.data)
        if value is None:
            data.pop(key, None)
        else:
            data[key] = value

    async def rewind(self, offsets: dict[int, int]) -> bool:
        """Continue each of these partitions at the given offset; False when a rebalance came in between."""
        app, consumer = self._app, cast(driver.Consumer, self._app.consumer)
        places = {TP(self.inputs, partition): offset for partition, offset in offsets.items()}
        async with self._rewinding:
            before = app.rebalancing_count
            if app.rebalancing or not set(places) <= consumer.assignment():
                return False
            try:
                # Step 1: nothing new is taken from the fetcher; the message in flight is let go.
                consumer.stop_flow()
                await consumer.wait_for_stopped_flow()
                # Step 2: the position of the fetcher.
                await consumer.seek_wait(places)
                # Step 3: the offset below which Faust drops records unseen; the message in flight has just moved it.
                for place, offset in places.items():
                    consumer._read_offset[place] = offset or None
            except (KafkaError, TimeoutError, OSError, FaustError) as error:
                log.warning("rewinding %s failed, it is tried again: %r", offsets, error)
            # Step 4: a rebalance has stopped the flow too, and resumes it itself when its recovery is over.
            if app.rebalancing or app.rebalancing_count != before:
                return False
            consumer.resume_flow()
            return True

    async def seek_to_marks(self) -> None:
        """Go back to where the checkpoint stands; a partition without one goes on at the beginning of the log."""
        consumer = cast(driver.Consumer, self._app.consumer)
        ours = {place for place in consumer.assignment() if place.topic == self.inputs}
        known = marks(cast(dict[bytes, bytes], self._table.data))
        consumer._read_offset.update(dict.fromkeys(ours))
        await consumer.seek_wait({place: known[place.partition] for place in ours if place.partition in known})

    async def _find_place(self) -> None:
        """Seek while the inputs do not flow yet; if it fails, Faust's own seek follows, and says so."""
        with suppress(KafkaError, FaustError, TimeoutError, OSError):
            await self.seek_to_marks()

    async def bounds(self, partition: int) -> Bounds:
        """Ask the broker what the partition holds now."""
        place, consumer = TP(self.inputs, partition), self._app.consumer
        try:
            start = (await asyncio.wait_for(consumer.earliest_offsets(place), ACK_WITHIN_S))[place]
            end = (await asyncio.wait_for(consumer.highwaters(place), ACK_WITHIN_S))[place]
        except (KafkaError, FaustError, TimeoutError, OSError, KeyError) as error:
            raise transport_error(error, self._settings) from error
        return Bounds(start, end)

    async def _take(self, stream: StreamT[Any]) -> None:
        """The agent: hands every record on, in the order in which Faust gives them."""
        async for event in stream.events():
            message = event.message
            await self._room.acquire()
            timestamp_ms = round(message.timestamp * 1_000)
            unreadable = message.checksum == _UNREADABLE
            self._arrivals.put_nowait(
                Delivered(message.partition, message.offset, timestamp_ms, message.value, unreadable)
            )

    def settled(self) -> None:
        """Faust's rebalance is over: recovery is done, the flow runs again."""
        partitions = frozenset(tp.partition for tp in self._app.consumer.assignment() if tp.topic == self.inputs)
        data = cast(dict[bytes, bytes], self._table.data)
        try:
            for key in [key for key in data if read_key(key)[0] not in partitions]:
                del data[key]
        except InternalError as error:
            self._arrivals.put_nowait(error)
            return
        self._arrivals.put_nowait(Settled(partitions))
        self._life = [task for task in self._life if not task.done()] + [asyncio.create_task(self._rest_changelog())]

    async def _rest_changelog(self) -> None:
        """Stop fetching our own checkpoint: unread records of it would hold up every other fetch for 100 ms."""
        thread = cast(driver.Consumer, self._app.consumer)._thread
        changelog = self._table.changelog_topic.get_topic_name()

        async def pause() -> None:
            # In the thread in which rebalances begin: so none comes between the question and the pause, which would
            # then keep its recovery from reading. The next assignment starts unpaused.
            consumer = thread._ensure_consumer()
            if not self._app.rebalancing:
                consumer.pause(*(place for place in consumer.assignment() if place.topic == changelog))

        await thread.call_thread(pause)

    def fail(self, error: BaseException) -> None:
        """End this port's life: `next` raises."""
        if isinstance(error, KafkaError | ProducerSendError | TimeoutError | OSError):
            self._arrivals.put_nowait(transport_error(cast(Exception, error), self._settings))
        else:
            self._arrivals.put_nowait(PortCrashed(f"faust broke down: {type(error).__name__}: {error}"))

    async def _start_app(self) -> None:
        try:
            await self._app.start()
        except Exception as error:
            self.fail(error)

    async def _watch_crash(self) -> None:
        # Faust's threads mark the app as crashed from outside this loop, which wakes nobody: so it is looked at.
        # A rebalance whose recovery never ends marks nothing as crashed: it has a deadline.
        rebalancing_s = 0.0
        while not self._app.crashed and rebalancing_s < REBALANCE_WITHIN_S:
            await asyncio.sleep(_LOOK_S)
            rebalancing_s = rebalancing_s + _LOOK_S if self._app.rebalancing else 0.0
        self.fail(self._app.crash_reason or RuntimeError(f"no end of a rebalance within {REBALANCE_WITHIN_S:.0f} s"))


def stand_ins_for(inputs: str) -> StandIns:
    """Return what makes a record without value for each offset that cannot be read: the log is read densely.

    Of the checkpoint nothing may be left out: there it stays an error.

    Args:
        inputs: full name of the inputs.
    """

    def made(found: Unreadable) -> list[ConsumerRecord] | None:
        topic, partition = found.partition
        if topic != inputs:
            return None
        return [
            ConsumerRecord(topic, partition, offset, found.timestamp, 0, None, None, _UNREADABLE, -1, -1, ())
            for offset in range(found.offset, found.end)
        ]

    return made


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer with a fetch wait that suits decisions in milliseconds; a batch it cannot read is no end."""

    async def on_start(self) -> None:
        await super().on_start()
        inputs = cast(_App, self.app).port.inputs
        step_over_unreadable(self._ensure_consumer(), Teller(log, count_unreadable), stand_ins_for(inputs))

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return wait_by_traffic(consumer) if cast(_App, self.app).is_embedded else consumer

    async def on_thread_stop(self) -> None:
        """End the thread in good order also when aiokafka does not: Faust waits for the thread's last word."""
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:
            # While a broker is dying, aiokafka's `stop` lets the cancellation of a fetch out, before it disconnects.
            await self._ensure_consumer()._client.close()


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Faust would ask for committed offsets, of which there are none, and leave the position where it is.

        So a partition that was taken over came from the beginning of the log until it was rewound, and what had been
        fetched while the flow was stopped was missing.
        """
        await cast(_App, self.app).port.seek_to_marks()

    async def _wait_next_records(self, timeout: float) -> Any:
        # With no active partition, as between a recovery's end and the flow, Faust would sleep for a second whatever
        # becomes active meanwhile.
        while self.flow_active and not self.should_stop and not self._get_active_partitions():
            await self.sleep(_ACTIVE_S)
        return await super()._wait_next_records(timeout)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's alarm compares time of day with a monotonic clock, and cries wolf; the loop has its own."""


class _Transport(driver.Transport):
    Consumer = _Consumer


class _App(faust.App):
    """Faust's app, in this process and this loop: no command line, no signal handlers, no folders, no web server."""

    def __init__(self, port: FaustPort, settings: Settings) -> None:
        self.port = port
        self._assigned_count = 0
        self.is_embedded = settings.embedded
        super().__init__(
            settings.group("decide"),
            broker=[f"kafka://{address.strip()}" for address in settings.bootstrap.split(",")],
            broker_client_id=settings.prefix,
            broker_credentials=credentials(settings),
            broker_session_timeout=SESSION_TIMEOUT_S,
            broker_heartbeat_interval=HEARTBEAT_S,
            broker_request_timeout=20.0,
            consumer_auto_offset_reset="earliest",
            store="memory://",
            stream_wait_empty=False,
            table_standby_replicas=0,
            topic_allow_declare=not settings.embedded,
            topic_disable_leader=True,
            topic_partitions=settings.partitions,
            topic_replication_factor=settings.replication,
            web_enabled=False,
            autodiscover=False,
            loop=asyncio.get_running_loop(),
        )

    def _create_directories(self) -> None:
        """Nothing is kept in files."""

    def _new_transport(self) -> TransportT:
        return _Transport(self.conf.broker_consumer, self)

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        group_log.info("the group divides its partitions anew: nothing is folded until they are settled")
        await super()._on_partitions_revoked(revoked)

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._assigned_count = self.rebalancing_count
        await super()._on_partitions_assigned(assigned, generation_id)

    def on_rebalance_end(self) -> None:
        """Tell the port that the partitions are settled, unless another rebalance has begun meanwhile."""
        if self._is_overtaken():
            # Left alone Faust takes the end of the old recovery for that of the new rebalance; believed, it made us
            # pause the changelog which the new recovery was reading, and that never came to its end.
            log.info("a rebalance began while the recovery of the one before came to its end")
            return
        super().on_rebalance_end()
        self.port.settled()

    def _is_overtaken(self) -> bool:
        """Whether the recovery that ends now belongs to a rebalance that is not the last one."""
        recovery = cast(Any, self.tables).recovery
        return (
            # Partitions were revoked, and not assigned again yet;
            self.rebalancing_count != self._assigned_count
            # they are assigned, and their recovery is not asked for yet;
            or recovery._generation_id != self.consumer_generation_id
            # it is asked for, and has not begun yet.
            or recovery.signal_recovery_start.is_set()
        )

    async def _on_agent_error(self, agent: Any, exc: BaseException) -> None:
        # A supervisor would start the agent again beside a stream that may be dead: once more from the start instead.
        self.port.fail(exc)


def quiet(names: Iterable[str] = ("faust", "mode")) -> None:
    """Let only Faust's errors through: at each rebalance it reports tables and offsets as warnings."""
    for name in names:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.ERROR)
