"""Source topics that Kafka refuses to let us read: set aside, told, and asked for again; the others go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from guardian.ingest import metrics

log = logging.getLogger(__name__)

ASK_AGAIN_S: Final = 30.0
"""Waiting grants no right, but a person may."""
WHY: Final = (
    "Kafka refuses the right Read on this topic; guardian topics acls --role ingest prints the commands that grant it;"
    f" ingest asks again every {ASK_AGAIN_S:.0f} s"
)


class Refusals:
    """The refused topics of one session.

    Args:
        consumer: the group's member.
        sources: full names of all source topics; when every one is refused there is nothing to go on with.
    """

    def __init__(self, consumer: AIOKafkaConsumer, sources: Sequence[str]) -> None:
        self._consumer, self._sources = consumer, sources
        self._refused_ms: dict[str, float] = {}
        """By topic: the moment of the last refusal, Unix milliseconds."""

    def why(self, topic: str) -> str:
        """Return why a topic is not read, empty when it is."""
        return WHY if topic in self._refused_ms else ""

    def take(self, error: TopicAuthorizationFailedError) -> None:
        """Set the topic of a refusal aside.

        Raises:
            TopicAuthorizationFailedError: no topic is left to read.
        """
        topic = str(error.args[0]) if error.args else ""
        if topic not in self._sources or not set(self._sources) - {topic, *self._refused_ms}:
            raise error
        if topic not in self._refused_ms:
            log.critical("%s is not read, the other sources are: %s", topic, WHY)
        self._refused_ms[topic] = time.time() * 1_000
        mine = self._partitions(topic)
        self._consumer.pause(*mine)
        metrics.STOPPED.labels(topic).set(len(mine))

    def look(self) -> None:
        """Ask again for what was refused a while ago, and notice what is read again."""
        now_ms = time.time() * 1_000
        for topic, refused_ms in list(self._refused_ms.items()):
            mine = self._partitions(topic)
            if any((self._consumer.last_poll_timestamp(each) or 0) > refused_ms for each in mine):
                log.warning("%s is read again", topic)
                del self._refused_ms[topic]
                metrics.STOPPED.labels(topic).set(0)
            elif now_ms - refused_ms >= ASK_AGAIN_S * 1_000:
                self._consumer.resume(*mine)

    def forget(self) -> None:
        """A new assignment: everything is asked for again."""
        self._refused_ms.clear()

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [each for each in self._consumer.assignment() if each.topic == topic]
