"""A key's partition is the one that Kafka's Java clients choose."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from aiokafka.partitioner import murmur2

from guardian.kafka.clients import producer, running
from guardian.kafka.partition import partition_of
from tests.brokers import Broker, settings_for


# The vectors of Kafka's own test (UtilsTest.testMurmur2), signed as Java prints them.
@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_kafkas_murmur2(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % 2**32
    assert partition_of(key, 1_024) == (signed & 0x7FFFFFFF) % 1_024


def test_text_counts_as_utf_8_and_every_partition_is_reached() -> None:
    assert partition_of("größe", 64) == partition_of("größe".encode(), 64)
    assert {partition_of(f"flag-{number}", 4) for number in range(100)} == {0, 1, 2, 3}


def test_the_producer_puts_a_key_where_partition_of_says(broker: Broker) -> None:
    settings = settings_for(broker, "partition")

    async def scene() -> list[tuple[str, int]]:
        from guardian.kafka.admin import create_topics

        await create_topics(settings)
        async with running(producer(settings), settings) as writer:
            topic = settings.topic("commands")
            sent = [(key, await writer.send_and_wait(topic, b"{}", key=key.encode())) for key in keys]
        return [(key, metadata.partition) for key, metadata in sent]

    keys = [f"flag-{number}" for number in range(20)]
    placed = asyncio.run(scene())
    assert placed == [(key, partition_of(key, settings.partitions)) for key in keys]
    assert any(one != other for (_, one), (_, other) in pairwise(placed))
