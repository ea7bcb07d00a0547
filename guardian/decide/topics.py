"""A topic that was deleted or made anew ends the attempt: the next one joins, reads and writes what is there now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from guardian.errors import TopicGone, TransportError
from guardian.kafka.settings import Settings
from guardian.kafka.topic_ids import topic_ids

WATCHED: Final = ("inputs", "flags", "rollouts")
"""What an attempt knows of these it read from the topic as it was."""
LOOK_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


async def watched_ids(settings: Settings) -> dict[str, str]:
    """Return the ids of the topics by full name.

    Raises:
        TransportError: one is not there, or Kafka did not answer.
    """
    return await topic_ids(settings, [settings.topic(topic) for topic in WATCHED])


async def watch_topics(settings: Settings, known: Mapping[str, str]) -> None:
    """Compare the ids of the topics with those at the start, for ever.

    Clients notice such a thing by themselves only when they ask for metadata anew, after minutes: until then the group
    has no partitions, and nobody reads or writes.

    Args:
        settings: the installation.
        known: what `watched_ids` gave at the start.

    Raises:
        TransportError: a topic is another one, or not there; Kafka refused to say.
    """
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            found = await watched_ids(settings)
        except TransportError as error:
            if not error.retriable:
                raise
            log.debug("the ids of the topics are not known: %s", error)
            continue
        for name, topic_id in found.items():
            if known[name] != topic_id:
                raise TopicGone(f"{name} was deleted and made anew", "decide goes on with the new one")
