"""A range is announced before it is written, so that each event counts exactly once (design.md, section 5).

The group's committed offset of a source partition is the start of the range that may be in the log in part, its
metadata says where that range ends. A successor folds exactly this range first; decide drops what it has already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from guardian.core.inputs import Source
from guardian.errors import GuardianError, InternalError
from guardian.ingest.lanes import Lane
from guardian.ingest.metrics import TICK_SECONDS
from guardian.ingest.ranges import Closed, DeadLetter
from guardian.wire.dead_letters import dead_letter_record

log = logging.getLogger(__name__)

NO_GENERATION: Final = -1
"""What aiokafka resets to when the group has forgotten this member; the broker takes it for an empty group's."""


class Refused(GuardianError):
    """The group did not take the announcement, or it is no longer ours: drop everything, wait for an assignment."""


class Doubt(GuardianError):
    """It is not known what Kafka has done: leave the group and start anew."""


class Intent(msgspec.Struct, omit_defaults=True):
    """The metadata of a committed offset.

    Args:
        to: where the announced range ends; 0 when none is announced.
        id: the id of the topic that the offset belongs to; a recreated topic has another.
        accepted: a person has accepted that the topic was made anew (`guardian checkpoint reset`).
    """

    to: int = 0
    id: str = ""
    accepted: bool = False


_decode_intent: Final = msgspec.json.Decoder(Intent).decode


def read_intent(metadata: str | None, start: int) -> Intent:
    """Return what stands beside a committed offset.

    Args:
        metadata: as committed; empty or None says nothing.
        start: the committed offset.

    Raises:
        InternalError: somebody else has committed in this group.
    """
    if not metadata:
        return Intent()
    try:
        intent = _decode_intent(metadata.encode())
    except msgspec.MsgspecError as error:
        raise InternalError(f"offset metadata {metadata!r} is not ingest's", "nobody else may commit here") from error
    if intent.to and intent.to <= start:
        raise InternalError(f"offset metadata {metadata!r} announces nothing beyond {start}")
    return intent


def _metadata(source: Source, to: int = 0) -> str:
    return msgspec.json.encode(Intent(to, source.topic_id, source.accepted)).decode()


def accepted(topic_id: str) -> str:
    """Return what stands beside an offset of a topic that was made anew, once a person has accepted that it was."""
    return msgspec.json.encode(Intent(0, topic_id, True)).decode()


def generation_of(consumer: AIOKafkaConsumer) -> int:
    """Return the generation of the group that the consumer is in, NO_GENERATION when it is in none.

    aiokafka has no public name for it, and without it a member that the group has forgotten could commit into an
    empty group; so this one private field is read, here and nowhere else.
    """
    return int(consumer._coordinator.generation)


class Tick:
    """One round of the protocol for all lanes that have something to write.

    Args:
        consumer: the group's member.
        producer: idempotent, acked by all replicas.
        topics: full names of the inputs and of the dead letters.
        generation: the one under which the lanes were assigned.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, topics: tuple[str, str], generation: int
    ) -> None:
        self._consumer, self._producer, self._generation = consumer, producer, generation
        self._inputs, self._dead_letters = topics

    async def write(self, lanes: Sequence[Lane]) -> list[Closed]:
        """Announce and write one range of each lane; return the ranges, every part of which is acked.

        Args:
            lanes: those that have something waiting.

        Raises:
            Refused: nothing was written.
            Doubt: something may have been written or announced.
        """
        began_s = asyncio.get_running_loop().time()
        # Step 1: close the ranges. What is folded from now on belongs to the next ones.
        ranges = [(lane, lane.take_range()) for lane in lanes]
        # Step 2: announce them. The group refuses an old generation: a zombie stops here, before it writes.
        # Committing the start says at the same time that everything before it is in the log: its parts are acked.
        await self._commit({lane.partition: (item.start, _metadata(item.source, item.end)) for lane, item in ranges})
        # Step 3: write every part, and the dead letters. Until all are acked nothing else happens to these lanes.
        await self._send_all([item for _, item in ranges])
        # Step 4: only now may the next tick announce what follows.
        now_s = asyncio.get_running_loop().time()
        for lane, item in ranges:
            lane.acknowledge(item, now_s)
        TICK_SECONDS.observe(now_s - began_s)
        return [item for _, item in ranges]

    async def settle(self, lanes: Sequence[Lane]) -> None:
        """Take back the announcement of lanes whose every part is acked: a successor need not repeat them.

        Raises:
            Refused: the group did not take it.
            Doubt: it may have taken it.
        """
        await self._commit({lane.partition: (lane.acked, _metadata(lane.source)) for lane in lanes})
        for lane in lanes:
            lane.settled = True

    async def _commit(self, offsets: dict[TopicPartition, tuple[int, str]]) -> None:
        self._check_generation("before")
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            raise Refused(f"the group refused the announcement: {error}") from error
        except KafkaError as error:
            raise Doubt(f"the announcement's outcome is not known: {error!r}") from error
        # aiokafka tries again inside, and would then commit under whatever generation it has by that time.
        self._check_generation("after")

    def _check_generation(self, moment: str) -> None:
        now = generation_of(self._consumer)
        if now == NO_GENERATION or now != self._generation:
            raise Refused(f"generation {self._generation} was over {moment} the announcement, now {now}")

    async def _send_all(self, ranges: Sequence[Closed]) -> None:
        sends = [self._send_part(partition, value) for item in ranges for partition, value in item.parts.items()]
        sends.append(self._send_dead([letter for item in ranges for letter in item.dead]))
        # Each is awaited to its end, also when another fails: a send that goes on behind our back is a zombie.
        results = await asyncio.gather(*sends, return_exceptions=True)
        failed = [result for result in results if isinstance(result, BaseException)]
        if failed:
            raise Doubt(f"{len(failed)} of {len(results)} parts failed twice: {failed[0]!r}") from failed[0]

    async def _send_part(self, partition: int, value: bytes) -> None:
        try:
            await self._producer.send_and_wait(self._inputs, value, partition=partition)
        except KafkaError as error:
            log.warning("a part for input partition %d failed, written again: %r", partition, error)
            await self._producer.send_and_wait(self._inputs, value, partition=partition)

    async def _send_dead(self, letters: Sequence[DeadLetter]) -> None:
        # Handed over one after the other: thousands of sends that wait for room at once wake one another in vain.
        failures: list[BaseException] = []
        for _ in range(2):
            acks = [await self._hand_over(letter) for letter in letters]
            results = await asyncio.gather(*acks, return_exceptions=True)
            letters = [letter for letter, result in zip(letters, results, strict=True) if _failed(result)]
            failures = [result for result in results if isinstance(result, BaseException)]
            if not failures:
                return
        raise failures[0]

    async def _hand_over(self, letter: DeadLetter) -> asyncio.Future[object]:
        """Give a dead letter to the producer; the future is done when it is acked, or will not be."""
        key, value, headers = dead_letter_record(
            letter.key, letter.value, reason=letter.reason, detail=letter.detail, source=letter.source
        )
        try:
            sent: asyncio.Future[object] = await self._producer.send(
                self._dead_letters, value, key=key, headers=headers
            )
        except KafkaError as error:
            sent = asyncio.get_running_loop().create_future()
            sent.set_exception(error)
        return sent


def _failed(result: object) -> bool:
    return isinstance(result, BaseException)
