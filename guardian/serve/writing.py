"""Records go to Kafka through one producer that is there as long as serve is; a send is over when it is acked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from guardian.errors import InternalError, TransportError
from guardian.kafka.clients import producer, running, transport_error
from guardian.kafka.settings import Settings
from guardian.wire.outputs import Message

log = logging.getLogger(__name__)

BACK_OFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
ACK_WITHIN_S: Final = 10.0


class Writer:
    """The way to Kafka.

    Args:
        settings: where Kafka is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: AIOKafkaProducer | None = None
        self._broken = asyncio.Event()
        self._turn = 0

    @property
    def is_ready(self) -> bool:
        """Whether the producer has reached Kafka."""
        return self._client is not None

    async def run(self) -> None:
        """Keep a producer until cancelled; one that failed is replaced, for an idempotent one may not recover."""
        failures = 0
        while True:
            try:
                async with running(producer(self._settings), self._settings) as client:
                    self._broken.clear()
                    self._client = client
                    failures = 0
                    await self._broken.wait()
            except (KafkaError, TransportError, TimeoutError, OSError) as error:
                log.warning("nothing can be written: %s", error)
            finally:
                self._client = None
            await asyncio.sleep(BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)])
            failures += 1

    async def send(self, messages: list[Message]) -> None:
        """Write records and wait until Kafka has them all.

        Args:
            messages: the records, by the topics' short names.

        Raises:
            TransportError: Kafka did not ack all of them in time; some may be there nevertheless.
        """
        async with self._acking() as client:
            await _all_acked([await self._start(client, message) for message in messages])

    async def send_many(self, topic: str, records: list[tuple[bytes | None, bytes]]) -> None:
        """Write records in whole batches, which costs a fraction of one by one, and wait until Kafka has them all.

        The partition follows from no key: whole batches go round the partitions. So this is for events, which ingest
        sums wherever they lie.

        Args:
            topic: its short name.
            records: key and value of each.

        Raises:
            TransportError: Kafka did not ack all of them in time; some may be there nevertheless.
        """
        async with self._acking() as client:
            name = self._settings.topic(topic)
            partitions = sorted(await client.partitions_for(name))
            acks = []
            rest = records
            while rest:
                batch = client.create_batch()
                taken = _fill(batch, rest)
                rest = rest[taken:]
                self._turn += 1
                place = partitions[self._turn % len(partitions)]
                acks.append(await client.send_batch(batch, name, partition=place))
                # Everybody else gets a turn: a command must not wait behind ten thousand events.
                await asyncio.sleep(0)
            await _all_acked(acks)

    @asynccontextmanager
    async def _acking(self) -> AsyncIterator[AIOKafkaProducer]:
        """Give the producer for a bounded time; one that failed in it is given up."""
        client = self._client
        if client is None:
            raise TransportError(
                f"Kafka at {self._settings.bootstrap} is not reached", "wait and try again; see /readyz", retriable=True
            )
        try:
            async with asyncio.timeout(ACK_WITHIN_S):
                yield client
        except (KafkaError, TimeoutError, OSError) as error:
            self._client = None
            self._broken.set()
            raise transport_error(error, self._settings) from error

    async def _start(self, client: AIOKafkaProducer, message: Message) -> asyncio.Future[object]:
        """Hand one record over, and return its ack."""
        ack: asyncio.Future[object] = await client.send(
            self._settings.topic(message.topic),
            message.value,
            key=message.key or None,
            partition=message.partition,
            headers=message.headers,
        )
        return ack


def _fill(batch: BatchBuilder, records: list[tuple[bytes | None, bytes]]) -> int:
    """Fill a batch from the beginning of the records, and return how many went in: one at least."""
    taken = 0
    for key, value in records:
        if batch.append(key=key, value=value, timestamp=None) is None:
            break
        taken += 1
    if not taken:
        raise InternalError("an event is larger than a batch may be")
    batch.close()
    return taken


async def _all_acked(acks: list[asyncio.Future[object]]) -> None:
    for outcome in await asyncio.gather(*acks, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
