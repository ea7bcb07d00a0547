"""This process's membership in the group: which source partitions it has, and where each of them goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from guardian.core.inputs import Source
from guardian.errors import InternalError
from guardian.ingest import metrics
from guardian.ingest.intent import Intent, read_intent
from guardian.ingest.lanes import Lane
from guardian.ingest.ranges import Folder

log = logging.getLogger(__name__)

HANDOVER_S: Final = 5.0
"""How long a revocation waits for a tick that is being written; the successor would only repeat it."""


class _MadeAnew(InternalError):
    """The topic is not the one that the committed offset belongs to."""


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped here
    """Counts the assignments, so that what was fetched under one is never folded under another.

    Args:
        drop: drops everything accumulated, and waits for the tick that is being written.
    """

    def __init__(self, drop: Callable[[], Awaitable[None]]) -> None:
        self.era = 0
        self.assigned = False
        self._drop = drop

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Drop everything. Must not raise: aiokafka would swallow it and join."""
        self.era += 1
        self.assigned = False
        try:
            await asyncio.wait_for(self._drop(), HANDOVER_S)
        except Exception as error:
            log.warning("the tick in flight at a revocation: %r", error)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """A new assignment; the loop looks up where each partition goes on."""
        self.era += 1
        self.assigned = True


class Places:
    """Finds where the source partitions go on. This is the start and the recovery: there is no other.

    Args:
        consumer: the group's member.
        admin: for the offsets with their metadata, which the consumer does not give.
        group: the group's full name.
        ids: the topics' ids by full name.
    """

    def __init__(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient, group: str, ids: dict[str, str]) -> None:
        self._consumer, self._admin, self._group, self._ids = consumer, admin, group, ids
        self.made_anew: list[Source] = []
        """Those of the last assignment that stand still because their topic is another one now."""

    async def lanes(
        self, partitions: list[TopicPartition], new_folder: Callable[[TopicPartition], Callable[[], Folder]]
    ) -> dict[TopicPartition, Lane]:
        """Return a lane for each partition, set to the first offset that is not known to be in the log.

        Args:
            partitions: the assignment.
            new_folder: what a partition's ranges are folded with.
        """
        # Step 1: one fetch gives the start and the end of what was announced.
        committed = await self._admin.list_consumer_group_offsets(self._group, partitions=partitions)
        begins = await self._consumer.beginning_offsets(partitions)
        ends = await self._consumer.end_offsets(partitions)
        lanes: dict[TopicPartition, Lane] = {}
        self.made_anew = []
        for partition in partitions:
            place = committed.get(partition)
            # No committed offset at all: the log's beginning.
            offset = begins[partition] if place is None or place.offset < 0 else place.offset
            try:
                # Step 2: a partition that does not fit what was committed stops, the others go on.
                intent = self._announced(partition, offset, ends[partition], place.metadata if place else None)
            except InternalError as error:
                log.critical("%s partition %d stands still: %s", partition.topic, partition.partition, error)
                if isinstance(error, _MadeAnew):
                    self.made_anew.append(Source(partition.topic, self._ids[partition.topic], partition.partition))
                continue
            if begins[partition] > offset:
                lost = begins[partition] - offset
                metrics.RETENTION_LOST.labels(partition.topic).inc(lost)
                log.error("retention took [%d, %d) of %s before it was read", offset, begins[partition], partition)
            # Step 3: the announced range comes first, and exactly as it was announced.
            source = Source(partition.topic, self._ids[partition.topic], partition.partition, intent.accepted)
            lanes[partition] = Lane(source, offset, begins[partition], intent.to or None, new_folder(partition))
            lanes[partition].first_end = ends[partition]
        for topic in {partition.topic for partition in partitions}:
            mine = [partition for partition in partitions if partition.topic == topic]
            metrics.STOPPED.labels(topic).set(sum(partition not in lanes for partition in mine))
        return lanes

    def _announced(self, partition: TopicPartition, offset: int, end: int, metadata: str | None) -> Intent:
        intent = read_intent(metadata, offset)
        topic_id = self._ids[partition.topic]
        if intent.id and intent.id != topic_id:
            raise _MadeAnew(f"the topic was made anew: its id was {intent.id}, now {topic_id}", _LOOK)
        if max(offset, intent.to) > end:
            raise InternalError(f"its end {end} lies before what was read, {max(offset, intent.to)}", _LOOK)
        return intent


_LOOK: Final = "look at what happened to the topic, then stop ingest and accept it: guardian checkpoint reset"
