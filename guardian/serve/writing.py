"""Records go to Kafka through one producer that is there as long as serve is; a send is over when it is acked."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from guardian.errors import TransportError
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
        client = self._client
        if client is None:
            raise TransportError(
                f"Kafka at {self._settings.bootstrap} is not reached", "wait and try again; see /readyz", retriable=True
            )
        try:
            async with asyncio.timeout(ACK_WITHIN_S):
                acks = [await self._start(client, message) for message in messages]
                for outcome in await asyncio.gather(*acks, return_exceptions=True):
                    if isinstance(outcome, BaseException):
                        raise outcome
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
