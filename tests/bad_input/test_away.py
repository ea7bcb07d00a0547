"""Kafka is not there, at the start or in the middle: every role waits, goes on by itself, and ends when told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from guardian.cli.worker import Role
from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.settings import load_settings
from tests.bad_input.house import event, inhabited
from tests.bad_input.roles import role
from tests.brokers import settings_for
from tests.eventually import eventually


@pytest.mark.parametrize("name", list(Role))
def test_a_role_without_a_broker_waits_and_ends_in_good_order_when_told(name: Role, tmp_path: Path) -> None:
    settings = load_settings(environ={}, bootstrap="127.0.0.1:1")

    async def waits() -> None:
        await eventually(lambda: "127.0.0.1:1" in running.log.read_text())
        assert running.process.poll() is None

    with role(name.value, settings, tmp_path) as running:
        asyncio.run(waits())
    assert "Traceback" not in running.log.read_text()


@pytest.mark.kafka
def test_every_role_survives_a_broker_that_goes_in_the_middle_and_nothing_is_lost(kafka: ApacheKafka) -> None:
    settings = settings_for(kafka, "midrun")

    async def check() -> None:
        async with inhabited(settings) as house:
            version = await house.begin("good")
            await house.send("telemetry", [event("good", version) for _ in range(100)])
            await eventually(lambda: house.total("good") == 100)
            kafka.kill()
            waiting = [
                asyncio.ensure_future(house.client.send_and_wait(settings.topic("telemetry"), event("good", version)))
                for _ in range(50)
            ]
            await kafka.start()
            await asyncio.gather(*waiting)
            await eventually(lambda: house.total("good") == 150, within=90)
            await house.send("telemetry", [event("good", version, outcome="crash")])
            await eventually(lambda: house.weight("good") == 0)
            assert house.total("good", "on:ok") == 150

    asyncio.run(create_topics(settings))
    asyncio.run(check())
