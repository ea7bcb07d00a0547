"""The topics are followed into the read models, from their past on and through every absence of Kafka.

Not with `clients.follow`: here the past of the long topics is cut short, it must be known when the past has been read
and how far behind the models are, and what came during an absence must be read where it was left.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from guardian.errors import TransportError
from guardian.kafka.catalogue import TOPICS
from guardian.kafka.clients import consumer, require_topics, running, transport_error
from guardian.kafka.settings import Settings
from guardian.serve import metrics
from guardian.serve.board import Board

log = logging.getLogger(__name__)

PAST: Final = {"decisions": 2_000, "alerts": 2_000, "rollbacks": 500}
"""How many records of each partition are read from before the start; of the other topics all that there are."""
BACK_OFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
PROBE_S: Final = 1.0
"""How often Kafka is asked for the topics' ends."""
PROBE_WITHIN_S: Final = 5.0
MAX_LOST_PROBES: Final = 6
"""So many unanswered ones in a row, and the connection is made anew."""
_POLL_MS: Final = 200
_MAX_RECORDS: Final = 2_000
"""Taken at a time, so that requests get their turn while the past is read."""


class Follower:
    """Reads the topics for ever.

    Args:
        settings: where Kafka is.
        board: takes the records.
    """

    def __init__(self, settings: Settings, board: Board) -> None:
        self.problem = "Kafka is not reached yet"
        """Why the models may be out of date; empty while Kafka answers."""
        self.lag_records = -1
        """How many records the models are behind; -1 when Kafka does not answer."""
        self._settings = settings
        self._board = board
        self._names = {settings.topic(TOPICS[topic].name): topic for topic in board.topics}
        self._next: dict[TopicPartition, int] = {}
        self._past: dict[TopicPartition, int] = {}

    async def run(self) -> None:
        """Follow until cancelled. Whatever Kafka says is waited for: readiness tells of it."""
        failures = 0
        while True:
            try:
                await require_topics(self._settings, list(self._names))
                async with running(self._consumer(), self._settings) as reader:
                    await self._seek(reader)
                    failures = 0
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._read(reader))
                        group.create_task(self._probe(reader))
            except* (KafkaError, TransportError, TimeoutError, OSError) as errors:
                self._lose(errors.exceptions[0])
            pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            failures += 1
            await asyncio.sleep(pause_s)

    def _consumer(self) -> AIOKafkaConsumer:
        # "earliest": when retention overtook us, or the topic was made anew, we go on at the oldest that is left.
        return consumer(self._settings, *self._names, auto_offset_reset="earliest")

    async def _seek(self, reader: AIOKafkaConsumer) -> None:
        """Go where we left off; at first, to the beginning of what is wanted."""
        places = reader.assignment()
        ends: dict[TopicPartition, int] = await reader.end_offsets(places)
        for place, oldest in (await reader.beginning_offsets(places)).items():
            past = PAST.get(self._names[place.topic])
            first = oldest if past is None else max(oldest, ends[place] - past)
            left_off = self._next.get(place, first)
            # A topic that was made anew is shorter than what we have read of the old one.
            reader.seek(place, left_off if oldest <= left_off <= ends[place] else first)
        self._past = ends

    async def _read(self, reader: AIOKafkaConsumer) -> None:
        while True:
            batches = await reader.getmany(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
            for place, records in batches.items():
                for record in records:
                    self._board.take(self._names[place.topic], record)
                self._next[place] = records[-1].offset + 1
            if batches:
                await asyncio.sleep(0)

    async def _probe(self, reader: AIOKafkaConsumer) -> None:
        """Ask for the ends again and again: whether Kafka answers, and how far behind we are."""
        lost = 0
        while True:
            try:
                async with asyncio.timeout(PROBE_WITHIN_S):
                    await self._measure(reader)
                lost = 0
            except (KafkaError, TimeoutError, OSError) as error:
                lost += 1
                self._lose(error)
                if lost >= MAX_LOST_PROBES:
                    raise
            await asyncio.sleep(PROBE_S if self._board.live else PROBE_S / 10)

    async def _measure(self, reader: AIOKafkaConsumer) -> None:
        places = reader.assignment()
        ends: dict[TopicPartition, int] = await reader.end_offsets(places)
        # The position, not the last record that was seen: compaction and retention leave no records, but places.
        at = {place: await reader.position(place) for place in places}
        self.lag_records = sum(max(0, end - at[place]) for place, end in ends.items())
        self.problem = ""
        metrics.BEHIND.set(self.lag_records)
        if not self._board.live and all(at[place] >= end for place, end in self._past.items()):
            log.info("the past is read: %d rollouts, %d flags", len(self._board.rollouts), len(self._board.states))
            self._board.past_is_read()

    def _lose(self, error: BaseException) -> None:
        """Note that Kafka does not answer."""
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        known = error if isinstance(error, TransportError) else transport_error(_plain(error), self._settings)
        if not self.problem or self.lag_records >= 0:
            log.warning("the read models do not follow: %s", known.message)
        self.problem, self.lag_records = known.message, -1
        metrics.BEHIND.set(-1)


def _plain(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else TimeoutError()
