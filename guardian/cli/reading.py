"""What guardian has said so far: the statuses of all rollouts, read once, or a clear word why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from aiokafka.errors import KafkaError

from guardian.core.outputs import RolloutStatus
from guardian.errors import GuardianError
from guardian.kafka.clients import Client, read_compacted, running, transport_error
from guardian.kafka.settings import Settings
from guardian.wire.outputs import decode_status

T = TypeVar("T")

REACH_S = 10.0
"""How long a command waits for Kafka before it says that nobody answers."""


class UnknownFlag(GuardianError):
    """Nobody applied a rollout of this name."""

    def __init__(self, flag: str, known: list[str]) -> None:
        names = ", ".join(known[:10]) + (" ..." if len(known) > 10 else "")
        fix = (
            f"known flags: {names}"
            if known
            else f"no rollout was applied yet: guardian init {flag}, then guardian apply"
        )
        super().__init__(f"no rollout of a flag {flag!r}", fix)


@asynccontextmanager
async def reaching(settings: Settings, within_s: float = REACH_S) -> AsyncIterator[None]:
    """Bound the work inside, and say in one clear sentence when Kafka does not answer.

    Args:
        settings: where Kafka is; named in the error.
        within_s: seconds that the work may take.

    Raises:
        TransportError: no answer within the time, or Kafka refused.
    """
    try:
        async with asyncio.timeout(within_s):
            yield
    except (KafkaError, TimeoutError, ConnectionError) as error:
        raise transport_error(error, settings) from error


@asynccontextmanager
async def reached(client: Client, settings: Settings) -> AsyncIterator[Client]:
    """Start a client within the time, and stop it whatever happens.

    Raises:
        TransportError: no answer within the time, or Kafka refused.
    """
    async with AsyncExitStack() as stack:
        async with reaching(settings):
            started = await stack.enter_async_context(running(client, settings))
        yield started


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous part to its end."""
    return asyncio.run(work)


async def read_statuses(settings: Settings) -> dict[str, RolloutStatus]:
    """Return the newest status of every rollout, by flag, in alphabetical order.

    Raises:
        TransportError: Kafka did not answer in time.
    """
    async with reaching(settings):
        newest = await read_compacted(settings, "rollouts")
    statuses = [decode_status(record.value) for record in newest.values() if record.value is not None]
    return {status.state.flag: status for status in sorted(statuses, key=lambda status: status.state.flag)}
