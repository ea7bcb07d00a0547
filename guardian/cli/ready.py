"""Before the roles start: Kafka is there, and its topics are as they must be."""

from __future__ import annotations

import asyncio
import logging

from guardian.errors import GuardianError, Problem, TransportError
from guardian.kafka.admin import check_topics
from guardian.kafka.settings import Settings

log = logging.getLogger("guardian.run")

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 15.0


class TopicsWrong(GuardianError):
    """The topics are not as they must be; carries every problem."""

    def __init__(self, problems: list[Problem]) -> None:
        lines = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
        super().__init__(
            f"{len(problems)} problem(s) with the topics: {lines}",
            "guardian topics create, or see guardian topics check",
        )


async def wait_for_topics(settings: Settings, stop: asyncio.Event) -> None:
    """Wait for Kafka with back-off, as the roles do, then check the topics once.

    Args:
        settings: the installation.
        stop: ends the waiting.

    Raises:
        TopicsWrong: a topic is missing or has wrong settings.
        TransportError: Kafka refused, and waiting would not help.
    """
    wait_s = _FIRST_WAIT_S
    while not stop.is_set():
        try:
            problems = await check_topics(settings)
        except TransportError as error:
            if not error.retriable:
                raise
            log.warning("%s; trying again in %.1fs", error.message, wait_s)
            try:
                await asyncio.wait_for(stop.wait(), wait_s)
            except TimeoutError:
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            continue
        if problems:
            raise TopicsWrong(problems)
        return
