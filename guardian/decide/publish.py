"""Outputs to Kafka: flag changes first, each key in order, bounded in flight; a failure ends the attempt.

Two lanes with a producer each: what flips flags never waits behind what explains it. The fold goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from guardian.core.outputs import Decision, FlagChange, Output
from guardian.decide.metrics import DECISIONS, DROPPED, OUTPUTS
from guardian.errors import GuardianError
from guardian.kafka.clients import producer, start_error, transport_error
from guardian.kafka.settings import Settings
from guardian.wire.outputs import Message, encode_output

MAX_IN_FLIGHT: Final = 5_000
"""Outputs handed over and not acked; from here on the fold waits."""

STOP_WITHIN_S: Final = 6.0
GAP_S: Final = 0.001
"""Between two records that explain."""
UNHURRIED: Final = 1_000
"""With fewer waiting there is time for gaps."""

Acked = asyncio.Future[RecordMetadata | None]

log = logging.getLogger(__name__)


class Publisher:
    """Publishes for every partition that this process owns.

    Args:
        settings: the installation.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._unacked: dict[int, dict[Acked, None]] = {}
        self._in_flight = 0
        self._room = asyncio.Event()
        self._room.set()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flags = _Lane(self)
        self._records = _Lane(self, GAP_S)

    async def start(self) -> None:
        """Connect.

        Raises:
            TransportError: the broker did not answer.
        """
        try:
            for lane in (self._flags, self._records):
                await lane.start(producer(self._settings, linger_ms=0))
        except (KafkaError, TimeoutError, OSError) as error:
            await self.stop()
            raise await start_error(error, self._settings) from error

    async def stop(self) -> None:
        """Send what is left as far as the broker takes it, and disconnect."""
        await asyncio.gather(self._flags.stop(), self._records.stop())
        if self.failure.done() and not self.failure.cancelled():
            self.failure.exception()  # it was raised, or the stop came first; either way it has been seen
        self.failure.cancel()

    def publish(self, partition: int, outputs: Iterable[Output]) -> bool:
        """Hand over what the fold said.

        Args:
            partition: of guardian.inputs, whose checkpoint waits for the acks.
            outputs: in the order of the fold.

        Returns:
            whether a flag changes.
        """
        urgent: list[Output] = []
        rest: list[Output] = []
        for output in outputs:
            (urgent if isinstance(output, FlagChange) else rest).append(output)
            if isinstance(output, Decision):
                DECISIONS.labels(output.reason.value).inc()
        for output in urgent:
            self._flags.put(output, self._expect(partition))
        for output in rest:
            self._records.put(output, self._expect(partition))
        return bool(urgent)

    def write(self, message: Message, partition: int) -> Acked:
        """Hand over one record that the fold did not make: a tick, a reassertion.

        Returns:
            done when it is acked.
        """
        expected = self._expect(partition)
        self._records.put(message, expected)
        return expected

    def unacked(self, partition: int) -> tuple[Acked, ...]:
        """Return what is not acked yet of one partition, as it is in this instant."""
        return tuple(self._unacked.get(partition, ()))

    async def room(self) -> None:
        """Wait until more may be handed over."""
        await self._room.wait()

    def _expect(self, partition: int) -> Acked:
        expected: Acked = asyncio.get_running_loop().create_future()
        self._unacked.setdefault(partition, {})[expected] = None
        self._in_flight += 1
        if self._in_flight >= MAX_IN_FLIGHT:
            self._room.clear()
        expected.add_done_callback(lambda done: self._settle(partition, done))
        return expected

    def _settle(self, partition: int, done: Acked) -> None:
        self._unacked[partition].pop(done, None)
        self._in_flight -= 1
        if self._in_flight < MAX_IN_FLIGHT:
            self._room.set()
        if done.cancelled() or (error := done.exception()) is None:
            return
        if not self.failure.done():
            known = isinstance(error, GuardianError)
            self.failure.set_exception(error if known else transport_error(_as_exception(error), self._settings))


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(repr(error))


class _Lane:
    """One producer, and the task that feeds it in order."""

    def __init__(self, publisher: Publisher, gap_s: float = 0) -> None:
        self._settings = publisher._settings
        self._gap_s = gap_s
        self._waiting: deque[tuple[Message | Output, Acked]] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.producer: AIOKafkaProducer | None = None

    async def start(self, client: AIOKafkaProducer) -> None:
        self.producer = client
        await client.start()
        self._task = asyncio.create_task(self._feed(client))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for _, acked in self._waiting:
            acked.cancel()
        self._waiting.clear()
        if self.producer is not None:
            # A task of its own: aiokafka may let a cancellation out, and waits long for a broker that is away.
            stopping = asyncio.create_task(self.producer.stop())
            await asyncio.wait({stopping}, timeout=STOP_WITHIN_S)
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)
            self.producer = None

    def put(self, record: Message | Output, acked: Acked) -> None:
        self._waiting.append((record, acked))
        self._wake.set()

    async def _feed(self, client: AIOKafkaProducer) -> None:
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            record, acked = self._waiting.popleft()
            if (message := _encoded(record)) is None:
                acked.set_result(None)
                continue
            await self._send(client, message, acked)
            # Encoding and sending is work, and a burst of it would hold up a deciding record on its way through Faust,
            # which needs many turns of this loop: so this lane leaves gaps, unless it falls behind.
            await asyncio.sleep(self._gap_s if len(self._waiting) < UNHURRIED else 0)

    async def _send(self, client: AIOKafkaProducer, message: Message, acked: Acked) -> None:
        try:
            sent = await client.send(
                self._settings.topic(message.topic),
                message.value,
                key=message.key or None,
                partition=message.partition,
                headers=message.headers,
            )
        except MessageSizeTooLargeError:
            # To try it again is in vain, and to stop for it would stop every flag of the partition.
            DROPPED.labels(message.topic).inc()
            acked.set_result(None)
            return
        except asyncio.CancelledError:
            acked.cancel()
            raise
        except Exception as error:
            acked.set_exception(error)
            return
        sent.add_done_callback(lambda done: _pass_on(done, acked, message.topic))


def _encoded(record: Message | Output) -> Message | None:
    """Return the record to be written; None for one that has no bytes, which must not stop all that wait behind it."""
    if isinstance(record, Message):
        return record
    try:
        return encode_output(record)
    except MemoryError:
        raise
    except Exception:
        DROPPED.labels("none").inc()
        log.critical("an output cannot be written as bytes and is left out: %s", type(record).__name__, exc_info=True)
        return None


def _pass_on(sent: asyncio.Future[RecordMetadata], acked: Acked, topic: str) -> None:
    if acked.done():
        return
    if sent.cancelled():
        acked.cancel()
    elif (error := sent.exception()) is not None:
        acked.set_exception(error)
    else:
        OUTPUTS.labels(topic).inc()
        acked.set_result(sent.result())
