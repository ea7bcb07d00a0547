"""The embedded broker's fetch wait: short while records come, longer the longer none come.

Apache Kafka answers a waiting fetch as soon as there is a record. The embedded broker does so only when the wait is
over: a short one costs CPU time while nothing happens (20 ms for each of the eight consumers of `guardian dev`: 15 % of
a core), a long one makes everybody late. So it doubles with every fetch that brought nothing, up to LONGEST_MS.
"""

from __future__ import annotations

from typing import Any, Final

from aiokafka import AIOKafkaConsumer

SHORTEST_MS: Final = 20
LONGEST_MS: Final = 200
"""So late may the first record after a quiet time be read."""


def wait_by_traffic(consumer: AIOKafkaConsumer) -> AIOKafkaConsumer:
    """Return the consumer, which adapts its fetch wait once it is started.

    Args:
        consumer: an unstarted one of the embedded broker.
    """
    start = consumer.start

    async def start_adapting() -> None:
        await start()
        adapt(consumer._fetcher)

    consumer.start = start_adapting
    return consumer


def adapt(fetcher: Any) -> None:
    """Set the wait after every fetch.

    Args:
        fetcher: aiokafka's, of a started consumer; it reads the field when it makes its next request.
    """
    proceed = fetcher._proc_fetch_request
    fetcher._fetch_max_wait_ms = SHORTEST_MS

    async def proceed_adapting(*args: Any) -> bool:
        found: bool = await proceed(*args)
        fetcher._fetch_max_wait_ms = SHORTEST_MS if found else min(2 * fetcher._fetch_max_wait_ms, LONGEST_MS)
        return found

    fetcher._proc_fetch_request = proceed_adapting
