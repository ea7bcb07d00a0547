"""The latest dead letters, without their values; a flood of them takes nothing from the read models, and is skipped.

A reader apart from the follower: who sends rubbish by the million must not bring the read models behind, and a user
without the right to read the dead letters still has everything else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from guardian.errors import TransportError
from guardian.kafka.clients import consumer, require_topics, running, transport_error
from guardian.kafka.settings import Settings
from guardian.serve import metrics
from guardian.serve.faults import Refused
from guardian.serve.following import BACK_OFF_S
from guardian.serve.streams import Hub, Stream
from guardian.wire.dead_letters import Letter, read_letter

log = logging.getLogger(__name__)

KEPT_LETTERS: Final = 1_000
PAST_LETTERS: Final = 200
"""So many of each partition are read from before the start, and from before the end after a flood."""
ROUND_LETTERS: Final = 100
ROUND_S: Final = 0.2
"""No more than ROUND_LETTERS in ROUND_S are read."""
MAX_BEHIND: Final = 2_000
"""A partition further behind than this goes on near its end."""
_POLL_MS: Final = 500


class Letters:
    """The latest dead letters.

    Args:
        settings: where Kafka is.
        hub: is told of what is new, once the past has been read.
    """

    def __init__(self, settings: Settings, hub: Hub) -> None:
        self.kept: deque[Letter] = deque(maxlen=KEPT_LETTERS)
        self.skipped_count = 0
        """How many a flood made it pass over, since the start."""
        self._settings = settings
        self._hub = hub
        self._topic = settings.topic("dead-letters")
        self._problem = "the dead letters have not been read yet"
        self._live = False
        self._next: dict[TopicPartition, int] = {}

    def newest(self) -> list[Letter]:
        """Return those that are kept, the newest first.

        Raises:
            Refused: they cannot be read now.
        """
        if self._problem:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", self._problem, headers={"Retry-After": "2"})
        return list(reversed(self.kept))

    async def run(self) -> None:
        """Follow until cancelled; whatever Kafka says is waited for."""
        failures = 0
        while True:
            try:
                await require_topics(self._settings, [self._topic])
                reader = consumer(self._settings, self._topic, auto_offset_reset="earliest")
                async with running(reader, self._settings):
                    ends = await self._seek(reader)
                    failures = 0
                    await self._follow(reader, ends)
            except (KafkaError, TransportError, TimeoutError, OSError) as error:
                self._lose(error)
            pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            failures += 1
            await asyncio.sleep(pause_s)

    async def _seek(self, reader: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Go where we left off, at first near the end; return the ends."""
        places = reader.assignment()
        ends: dict[TopicPartition, int] = await reader.end_offsets(places)
        for place, oldest in (await reader.beginning_offsets(places)).items():
            left_off = self._next.get(place, -1)
            near_end = max(oldest, ends[place] - PAST_LETTERS)
            reader.seek(place, left_off if near_end <= left_off <= ends[place] else near_end)
        return ends

    async def _follow(self, reader: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> None:
        while True:
            if not self._live or self._problem:
                await self._tell_of_the_past(reader, ends)
            batches = await reader.getmany(timeout_ms=_POLL_MS, max_records=ROUND_LETTERS)
            for place, records in batches.items():
                for record in records:
                    self._take(record)
                self._next[place] = records[-1].offset + 1
            if batches:
                await asyncio.sleep(ROUND_S)
            if sum(map(len, batches.values())) >= ROUND_LETTERS:
                await self._skip(reader)

    async def _tell_of_the_past(self, reader: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> None:
        """Note once the ends were reached: from then on a letter is news."""
        for place, end in ends.items():
            if await reader.position(place) < end:
                return
        self._live, self._problem = True, ""

    async def _skip(self, reader: AIOKafkaConsumer) -> None:
        """Go near the end in every partition that a flood brought far behind, and say so."""
        ends: dict[TopicPartition, int] = await reader.end_offsets(reader.assignment())
        skipped_count = 0
        for place, end in ends.items():
            at = await reader.position(place)
            if end - at > MAX_BEHIND:
                skipped_count += end - PAST_LETTERS - at
                reader.seek(place, end - PAST_LETTERS)
        if skipped_count:
            self.skipped_count += skipped_count
            metrics.SKIPPED_LETTERS.inc(skipped_count)
            log.warning("a flood of dead letters: %d are not shown, they stand on %s", skipped_count, self._topic)

    def _take(self, record: ConsumerRecord) -> None:
        place = f"{record.partition}/{record.offset}"
        letter = read_letter(place, record.timestamp, record.headers, record.value)
        self.kept.append(letter)
        if self._live:
            self._hub.publish(Stream.DEAD_LETTERS, letter)

    def _lose(self, error: Exception) -> None:
        """Note that they cannot be read now."""
        known = error if isinstance(error, TransportError) else transport_error(error, self._settings)
        if self._problem != known.message:
            log.warning("the dead letters are not followed: %s", known.message)
        self._problem = known.message
