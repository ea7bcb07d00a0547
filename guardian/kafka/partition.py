"""Which partition a key belongs to: the answer of Kafka's own clients, the same everywhere and for ever."""

from __future__ import annotations

from aiokafka.partitioner import murmur2


def partition_of(key: str | bytes, partitions: int) -> int:
    """Return the partition of a key.

    Args:
        key: a flag's name or any other key; text counts as UTF-8.
        partitions: how many there are, at least 1.

    Returns:
        0..partitions - 1: Kafka's murmur2 of the bytes, its sign bit cleared, modulo the partitions.
    """
    data = key.encode() if isinstance(key, str) else key
    return int(murmur2(data) & 0x7FFFFFFF) % partitions
