"""Values of 10 MB in source topics whose limit somebody has raised: dead letters, cut and marked; nobody gets stuck."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from guardian.errors import DecodeReason
from guardian.ingest.metrics import RESTARTS
from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.catalogue import TOPICS
from guardian.kafka.clients import admin, producer, running
from guardian.kafka.settings import Settings
from guardian.wire.dead_letters import MAX_BYTES
from tests.bad_input.house import event, inhabited
from tests.bad_input.roles import RunningRole, role
from tests.brokers import settings_for
from tests.eventually import eventually

LARGE = 10_000_000
RAISED = 12_000_000
FLOOD = 40
GROWTH_MB = 150.0


async def raise_limits(settings: Settings, *names: str) -> None:
    """Let topics take large records, as somebody did who has other uses for them."""
    async with running(admin(settings), settings) as client:
        for name in names:
            # To alter is to replace: what the catalogue says must be said again.
            configs = {**TOPICS[name].config(settings), "max.message.bytes": str(RAISED)}
            wanted = ConfigResource(ConfigResourceType.TOPIC, settings.topic(name), configs=configs)
            await client.alter_configs([wanted])
            shown = ConfigResource(ConfigResourceType.TOPIC, settings.topic(name))

            async def is_raised(shown: ConfigResource = shown) -> bool:
                entries = (await client.describe_configs([shown]))[0].resources[0][4]
                return {entry[0]: entry[1] for entry in entries}["max.message.bytes"] == str(RAISED)

            await eventually(is_raised)


@pytest.mark.kafka
def test_a_flood_of_10_mb_values_takes_bounded_memory(kafka: ApacheKafka, tmp_path: Path) -> None:
    settings = settings_for(kafka, "larges")

    async def prepare() -> None:
        await create_topics(settings)
        await raise_limits(settings, "telemetry")
        # All of it lies there before ingest comes: the fetches are as full as they can be.
        async with running(producer(settings, max_request_size=RAISED), settings) as large:
            for number in range(FLOOD):
                topic = settings.topic("telemetry")
                await large.send_and_wait(topic, b"%d" % number + b"\x00" * LARGE, partition=number % 4)

    async def check(ingest: RunningRole) -> None:
        await eventually(lambda: "generation" in ingest.log.read_text())
        before_mb = ingest.rss_mb()
        name = "guardian_ingest_dead_letters_total"
        await eventually(lambda: ingest.counted(name, reason="too_large") == FLOOD, within=90)
        after_mb, peak_mb = ingest.rss_mb(), ingest.peak_mb()
        sys.stdout.write(f"{FLOOD} values of 10 MB: RSS in MiB {before_mb:.0f}, {after_mb:.0f}, peak {peak_mb:.0f}\n")
        assert peak_mb - before_mb < GROWTH_MB

    asyncio.run(prepare())
    with role("ingest", settings, tmp_path) as ingest:
        asyncio.run(check(ingest))


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
            await eventually(lambda: house.total("good") == 40)
            await eventually(lambda: len(house.dead()) == 10)
            for letter in house.dead():
                headers = dict(letter.headers)
                assert headers["guardian-source"].split(b"/")[0].decode().startswith(settings.prefix)
                if headers["guardian-reason"].decode() == DecodeReason.MISSING_FIELD:
                    assert (letter.value, letter.key) == (b"{}", None)
                    continue
                assert headers["guardian-reason"].decode() == DecodeReason.TOO_LARGE
                size = int(headers["guardian-truncated"])
                whole = next(value for value in values if len(value) == size and value[:20] == letter.value[:20])
                assert letter.value == whole[:MAX_BYTES]
            await house.send("telemetry", [event("good", version, outcome="crash")])
            await eventually(lambda: house.weight("good") == 0)
            assert sum(RESTARTS.labels(kind)._value.get() for kind in ("telemetry", "commands")) == before

    asyncio.run(check(settings_for(kafka, "large")))
