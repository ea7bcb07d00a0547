"""Telemetry for the benches: JSON events of about 200 bytes, 50 flags, 2 variants, put into Kafka in large batches."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from typing import Final

from aiokafka import AIOKafkaProducer

from guardian.kafka.clients import connection
from guardian.kafka.settings import Settings

FLAGS: Final = 50
POOL: Final = 20_000
"""Distinct events; they are sent again and again, which no reader can tell from others."""
_BATCH_BYTES: Final = 131_072
_IN_FLIGHT: Final = 16

Counts = Counter[tuple[str, str]]
"""Events by flag and variant."""


def make_events(seed: int) -> list[tuple[bytes, tuple[str, str]]]:
    """Return events as an SDK would write them, each with its flag and variant."""
    chance = random.Random(seed)
    now_s = time.time()
    events = []
    for number in range(POOL):
        place = chance.randrange(FLAGS)
        flag, variant = f"flag-{place:02d}", chance.choice(("on", "off"))
        event = {
            "ts": round(now_s + number / POOL, 3),
            "flag": flag,
            "variant": variant,
            "outcome": "error" if chance.random() < 0.01 else "ok",
            "latency_ms": round(chance.lognormvariate(3, 0.6), 2),
            "service": f"service-{place % 3}",
            "subject": f"u-{chance.randrange(10**6):06d}",
            "flag_version": 1_763_699_000_456,
            "assignment": "split",
        }
        events.append((json.dumps(event, separators=(",", ":")).encode(), (flag, variant)))
    return events


async def fill(settings: Settings, topic: str, count: int) -> tuple[Counts, float]:
    """Put events into a topic, evenly over its partitions.

    Args:
        settings: where Kafka is.
        topic: full name.
        count: how many.

    Returns:
        what was sent by flag and variant, and the mean size of an event in bytes.
    """
    events = make_events(7)
    sent: Counts = Counter()
    size = 0
    producer = AIOKafkaProducer(**connection(settings), max_batch_size=_BATCH_BYTES, acks=1)
    await producer.start()
    try:
        partitions = sorted(await producer.partitions_for(topic))
        waiting: set[asyncio.Future[object]] = set()
        number = batches = 0
        while number < count:
            batch = producer.create_batch()
            while number < count:
                value, key = events[number % POOL]
                if batch.append(key=None, value=value, timestamp=None) is None:
                    break
                sent[key] += 1
                size += len(value)
                number += 1
            waiting.add(await producer.send_batch(batch, topic, partition=partitions[batches % len(partitions)]))
            batches += 1
            if len(waiting) >= _IN_FLIGHT:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for future in done:
                    future.result()
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    return sent, size / count
