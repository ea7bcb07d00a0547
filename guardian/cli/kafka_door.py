"""Straight to Kafka: commands and events are written, statuses and logs are read where guardian writes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from guardian.cli.door import Answers, Said, Sayings, Seen, Topic
from guardian.cli.reading import REACH_S, Newest, Present, reached, reaching, read_present
from guardian.cli.sending import Sent, send_lines
from guardian.core.inputs import Command
from guardian.core.words import ALL_FLAGS
from guardian.errors import DecodeError, TransportError
from guardian.kafka.answers import Gathering
from guardian.kafka.catalogue import TOPICS
from guardian.kafka.clients import consumer, producer, require_topics
from guardian.kafka.keeper import KEPT_HEADER
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings
from guardian.serve.declared import Declared
from guardian.wire.commands import encode_command
from guardian.wire.dead_letters import read_letter
from guardian.wire.outputs import decode_decision, decode_status

_POLL_MS: Final = 200
_WATCH_MS: Final = 1_000
_CLOCKS_MS: Final = 60_000
"""So far may the clock of who wrote a record stand behind this one's; what is looked for by time begins so much
earlier, and each is looked at."""


class KafkaDoor:
    """The door that needs Kafka's address and rights.

    Args:
        settings: where Kafka is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def present(self) -> Present:
        """Return the newest status of every rollout."""
        return await read_present(self._settings)

    async def watch(self) -> AsyncGenerator[Present, None]:
        """Yield the statuses as they stand, about once a second, for ever."""
        newest = Newest(self._settings)
        async with self._reader(["rollouts", "flags"]) as reader:
            async with reaching(self._settings):
                places = list(reader.assignment())
                behind = await self._seek(reader, places, past=True, since_ms=0)
                while behind := await _still_behind(reader, behind):
                    newest.take(_records(await reader.getmany(timeout_ms=_POLL_MS)))
            while True:
                yield newest.present()
                newest.take(_records(await reader.getmany(timeout_ms=_WATCH_MS)))

    async def seen(self, flag: str) -> Seen:
        """Return what stands now of one rollout."""
        newest = Newest(self._settings)
        only = partition_of(flag, self._settings.partitions)
        async with self._reader(["rollouts"], only) as reader, reaching(self._settings):
            behind = await self._seek(reader, list(reader.assignment()), past=True, since_ms=0)
            while behind := await _still_behind(reader, behind):
                records = _records(await reader.getmany(timeout_ms=_POLL_MS))
                newest.take(record for record in records if record.key == flag.encode())
        present = newest.present()
        if present.unreadable:
            return Seen()
        status = present.statuses.get(flag)
        return Seen(status.turn, status.revision) if status else Seen(revision="")

    async def ask(self, given: Command, wait_s: float) -> Answers:
        """Send a command and collect its answers."""
        settings = self._settings
        if wait_s <= 0:
            await _send(settings, given)
            return Answers(given, waited=False)
        async with reached(consumer(settings), settings) as listener:
            # Step 1: stand at the end before the command is sent, or the answer could be missed.
            async with _telling_refusals(settings), reaching(settings):
                await _stand_at_end(listener, settings, given.flag)
            # Step 2: send, before anything else is looked up: it may be an emergency.
            await _send(settings, given)
            # Step 3: wait for everybody who must answer.
            gathering = Gathering(given, settings.partitions)
            await _gather(listener, settings.topic("rollouts"), gathering, wait_s)
        return Answers(given, gathering.decisions, gathering.silent, gathering.unshown)

    async def follow(self, topic: Topic, *, past: bool, flag: str = "", since_ms: int = 0) -> Sayings:
        """Yield what is said, for ever; None once, where the past ends."""
        # An alert's key is its own id, a dead letter's is any: their partitions do not follow from the flag.
        by_flag = flag and topic not in (Topic.ALERTS, Topic.DEAD_LETTERS)
        only = partition_of(flag, self._settings.partitions) if by_flag else None
        async with self._reader([topic], only) as reader:
            async with reaching(self._settings):
                behind = await self._seek(reader, list(reader.assignment()), past=past, since_ms=since_ms)
            news = not await _still_behind(reader, behind)
            if news:
                yield None
            while True:
                for record in _records(await reader.getmany(timeout_ms=_POLL_MS)):
                    if news and any(name == KEPT_HEADER for name, _ in record.headers):
                        continue  # not news: the embedded broker's keeper has written it again
                    yield _said(topic, record)
                if not news and not (behind := await _still_behind(reader, behind)):
                    news = True
                    yield None

    async def send(self, lines: Iterable[bytes], topic: str) -> Sent:
        """Send every line that is an event: what ingest would make a dead letter of is refused here."""
        known = Declared((await self.present()).statuses)
        return await send_lines(self._settings, lines, topic, known)

    @asynccontextmanager
    async def _reader(self, topics: list[str], only: int | None = None) -> AsyncIterator[AIOKafkaConsumer]:
        """A started consumer on every partition of some topics, or on one partition; no place is fixed yet."""
        settings = self._settings
        names = [settings.topic(topic) for topic in topics]
        async with reaching(settings):
            await require_topics(settings, names)
        # "earliest": when retention overtakes a slow reader, it goes on at the oldest record that is left.
        async with reached(consumer(settings, auto_offset_reset="earliest"), settings) as reader:
            reader.assign(
                [
                    TopicPartition(settings.topic(topic), number)
                    for topic in topics
                    for number in (range(TOPICS[topic].partitions(settings)) if only is None else [only])
                ]
            )
            yield reader

    async def _seek(
        self, reader: AIOKafkaConsumer, places: list[TopicPartition], *, past: bool, since_ms: int
    ) -> dict[TopicPartition, int]:
        """Fix the place in every partition; return the ends that are still to be reached."""
        ends: dict[TopicPartition, int] = await reader.end_offsets(places)
        if not past:
            starts = ends
        elif since_ms and not self._settings.embedded:  # which cannot look for a time
            found = await reader.offsets_for_times(dict.fromkeys(places, max(since_ms - _CLOCKS_MS, 0)))
            starts = {place: at.offset if (at := found.get(place)) else ends[place] for place in places}
        else:
            starts = await reader.beginning_offsets(places)
        for place, offset in starts.items():
            reader.seek(place, offset)
        return ends


def _said(topic: Topic, record: ConsumerRecord) -> Said:
    if topic is not Topic.DEAD_LETTERS:
        return Said((record.key or b"").decode(errors="replace"), record.value)
    letter = read_letter(f"{record.partition}/{record.offset}", record.timestamp, record.headers, record.value)
    return Said(letter.id, msgspec.json.encode(letter), record.value or b"")


def _records(batches: dict[TopicPartition, list[ConsumerRecord]]) -> list[ConsumerRecord]:
    """What a consumer has brought, in the order of each partition."""
    return [record for records in batches.values() for record in records]


async def _still_behind(reader: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
    """Those of the ends that are not reached; the end may be a record that compaction took, so the position tells."""
    return {place: end for place, end in ends.items() if await reader.position(place) < end}


async def _stand_at_end(listener: AIOKafkaConsumer, settings: Settings, flag: str) -> None:
    """Follow the decisions and the statuses of this flag, or of all, from now on."""
    count = settings.partitions
    numbers = range(count) if flag == ALL_FLAGS else [partition_of(flag, count)]
    topics = [settings.topic("decisions"), settings.topic("rollouts")]
    partitions = [TopicPartition(topic, number) for topic in topics for number in numbers]
    listener.assign(partitions)
    for partition, end in (await listener.end_offsets(partitions)).items():
        listener.seek(partition, end)


async def _send(settings: Settings, given: Command) -> None:
    """Write the command and wait until Kafka has it."""
    message = encode_command(given)
    number = partition_of(message.key, settings.partitions)
    async with reached(producer(settings), settings) as sender, reaching(settings):
        await sender.send_and_wait(
            settings.topic(message.topic), message.value, key=message.key, partition=number, headers=message.headers
        )


async def _gather(listener: AIOKafkaConsumer, rollouts: str, gathering: Gathering, wait_s: float) -> None:
    """Show decisions and statuses to the gathering until all who must answer have, or the time is over."""

    async def read() -> None:
        while True:
            for record in _records(await listener.getmany(timeout_ms=_POLL_MS)):
                if record.value is not None and record.topic == rollouts:
                    _take_status(gathering, record.value)
                elif record.value is not None:
                    gathering.take(decode_decision(record.value))

    reading = asyncio.create_task(read())
    waiting = asyncio.create_task(gathering.wait(wait_s))
    try:
        await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            await reading
    finally:
        for task in (reading, waiting):
            task.cancel()
        await asyncio.gather(reading, waiting, return_exceptions=True)


def _take_status(gathering: Gathering, value: bytes) -> None:
    """Show a status; one of another version is left out, as it is where statuses are read."""
    with suppress(DecodeError):
        status = decode_status(value)
        gathering.take_status(status.state.flag, status.turn)


@asynccontextmanager
async def _telling_refusals(settings: Settings) -> AsyncIterator[None]:
    """Say that a right is missing where a client only waited in vain: it is not shown a topic that it may not see.

    Asked afterwards, not before: a kill must not wait for it.
    """
    try:
        yield
    except TransportError as error:
        if isinstance(error.__cause__, TimeoutError):
            with suppress(TimeoutError):
                async with asyncio.timeout(REACH_S / 2):
                    await require_topics(settings, [settings.topic(name) for name in ("decisions", "commands")])
        raise
