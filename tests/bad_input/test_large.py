"""Values of 10 MB in source topics whose limit somebody has raised: dead letters, cut and marked; nobody gets stuck."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from guardian.errors import DecodeReason
from guardian.ingest.intent import MAX_DEAD_BYTES
from guardian.ingest.metrics import RESTARTS
from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.clients import admin, producer, running
from guardian.kafka.settings import Settings
from tests.bad_input.house import event, inhabited
from tests.brokers import settings_for
from tests.eventually import eventually

LARGE = 10_000_000
RAISED = 12_000_000


async def raise_limits(settings: Settings, *names: str) -> None:
    """Let topics take large records, as somebody did who has other uses for them."""
    async with running(admin(settings), settings) as client:
        for name in names:
            wanted = ConfigResource(
                ConfigResourceType.TOPIC, settings.topic(name), configs={"max.message.bytes": str(RAISED)}
            )
            await client.alter_configs([wanted])


@pytest.mark.kafka
def test_values_of_10_mb_are_dead_letters_and_what_stands_between_them_counts(kafka: ApacheKafka) -> None:
    async def check(settings: Settings) -> None:
        await create_topics(settings)
        await raise_limits(settings, "telemetry", "migrations", "commands")
        values = [
            b"\x00" * LARGE,
            json.dumps({"ts": 1, "flag": "good", "variant": "on", "outcome": "ok", "note": "x" * LARGE}).encode(),
            b"[" * LARGE,
        ]
        async with inhabited(settings) as house:
            version = await house.begin("good")
            before = sum(RESTARTS.labels(kind)._value.get() for kind in ("telemetry", "commands"))
            large = producer(settings, max_request_size=RAISED)
            async with running(large, settings):
                for number, value in enumerate(values):
                    for topic in ("telemetry", "migrations", "commands"):
                        key = f"{topic}-{number}".encode()
                        await large.send_and_wait(settings.topic(topic), value, key=key, partition=0)
                        await house.client.send(settings.topic("telemetry"), event("good", version), partition=0)
                # A key has no limit of its own either.
                await large.send_and_wait(settings.topic("telemetry"), b"{}", key=b"k" * LARGE, partition=0)
            await house.send("telemetry", [event("good", version) for _ in range(31)])
            await eventually(lambda: house.total("good") == 40, within=60)
            await eventually(lambda: len(house.dead()) == 10, within=60)
            for letter in house.dead():
                headers = dict(letter.headers)
                assert headers["guardian-source"].split(b"/")[0].decode().startswith(settings.prefix)
                if headers["guardian-reason"].decode() == DecodeReason.MISSING_FIELD:
                    assert (letter.value, letter.key) == (b"{}", None)
                    continue
                assert headers["guardian-reason"].decode() == DecodeReason.TOO_LARGE
                size = int(headers["guardian-truncated"])
                whole = next(value for value in values if len(value) == size and value[:20] == letter.value[:20])
                assert letter.value == whole[:MAX_DEAD_BYTES]
            await house.send("telemetry", [event("good", version, outcome="crash")])
            await eventually(lambda: house.weight("good") == 0, within=20)
            assert sum(RESTARTS.labels(kind)._value.get() for kind in ("telemetry", "commands")) == before

    asyncio.run(check(settings_for(kafka, "large")))
