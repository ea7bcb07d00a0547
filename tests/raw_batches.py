"""Record batches as a stranger's client or a broken disk leaves them: made by hand, sent to the embedded broker.

A real broker looks at what a producer sends and refuses these; the embedded one stores them as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from guardian.kafka.clients import connection
from guardian.kafka.settings import Settings

NO_SUCH_CODEC: Final = 5
CRC_AT: Final = 17
ATTRIBUTES_AT: Final = 21
RECORDS_AT: Final = 61


def batch(values: Sequence[bytes], *, at_ms: int, key: bytes | None = None, codec: int = 0) -> bytearray:
    """Return a record batch in Kafka's format 2, uncompressed or compressed (1 gzip, 2 snappy, 3 lz4, 4 zstd)."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for number, value in enumerate(values):
        builder.append(number, timestamp=at_ms, key=key, value=value, headers=[])
    return bytearray(builder.build())


def with_codec(made: bytearray, codec: int) -> bytearray:
    """Return a batch that names another codec; its checksum is right."""
    made = bytearray(made)
    made[ATTRIBUTES_AT + 1] = made[ATTRIBUTES_AT + 1] & ~0x07 | codec
    return _summed(made)


def with_broken_checksum(made: bytearray) -> bytearray:
    """Return a batch of which one bit has turned over."""
    made = bytearray(made)
    made[-3] ^= 0x10
    return made


def with_broken_body(made: bytearray) -> bytearray:
    """Return a batch whose records are no records, or no compressed ones; its checksum is right."""
    made = bytearray(made)
    made[RECORDS_AT:] = b"\xff" * (len(made) - RECORDS_AT)
    return _summed(made)


def _summed(made: bytearray) -> bytearray:
    struct.pack_into(">I", made, CRC_AT, calc_crc32c(bytes(made[ATTRIBUTES_AT:])))
    return made


async def send_raw(settings: Settings, topic: str, partition: int, *batches: bytearray) -> None:
    """Append batches to a partition, as they are.

    Args:
        settings: of the embedded broker.
        topic: short name.
    """
    name = settings.topic(topic)
    client = AIOKafkaClient(**connection(settings))
    await client.bootstrap()
    try:
        await client._wait_on_metadata(name)
        node = client.cluster.leader_for_partition(TopicPartition(name, partition))
        for made in batches:
            request: Any = ProduceRequest(
                transactional_id=None, required_acks=-1, timeout=10_000, topics=[(name, [(partition, bytes(made))])]
            )
            answer = await client.send(node, request)
            ((_, ((_, error_code, *_),)),) = answer.topics
            assert error_code == 0, error_code
    finally:
        await client.close()
