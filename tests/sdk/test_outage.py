"""A broker that dies and comes back: the application notices nothing, and both ways of the data heal."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest
from openfeature.evaluation_context import EvaluationContext
from openfeature.provider import ProviderStatus

from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.sdk import Served, Telemetry, TelemetryOptions
from tests.brokers import CACHE, settings_for
from tests.eventually import HANG_S, eventually
from tests.sdk.documents import FLAG, written
from tests.sdk.scenes import QUICK, arrived, guardian, installed, provider_for

SERVED = Served(FLAG, "on", 1, "split")


@pytest.mark.kafka
def test_a_killed_broker_stops_neither_evaluation_nor_the_application_and_both_ways_heal() -> None:
    async def scene(broker: ApacheKafka) -> None:
        settings = settings_for(broker, "outage")
        await create_topics(settings)
        async with guardian(settings) as writer:
            await writer.write(written(version=1, weight_bp=10_000))
            await writer.beat()
        options = TelemetryOptions(heartbeat_s=0, deliver_within_s=60.0)
        telemetry = Telemetry("checkout", None, settings.bootstrap, settings.prefix, options)
        with installed(provider_for(settings, replace(QUICK, beat_s=0.5))) as client:
            telemetry.request(SERVED, subject="before")
            await asyncio.to_thread(telemetry.flush, 10)
            broker.kill()
            await eventually(lambda: client.get_provider_status() is ProviderStatus.STALE)

            def go_on() -> None:
                for number in range(1_000):
                    assert client.get_boolean_value(FLAG, False, EvaluationContext(f"u-{number}")) is True
                    telemetry.request(SERVED, subject=f"u-{number}")

            # Who waited for the broker in each would take hours; it comes back only afterwards.
            await asyncio.wait_for(asyncio.to_thread(go_on), HANG_S)
            await broker.start()
            async with guardian(settings) as writer:
                await writer.write(written(version=2, weight_bp=0))

                async def healed() -> bool:
                    await writer.beat()
                    return client.get_provider_status() is ProviderStatus.READY

                await eventually(healed)
                assert client.get_boolean_value(FLAG, True, EvaluationContext("u-1")) is False
            values = await arrived(settings, 1_001)
            await asyncio.to_thread(telemetry.close, 10)
            # Idempotent: what was repeated after the death of the broker still stands there once.
            assert len({orjson.loads(value)["subject"] for value in values}) == len(values) == 1_001
            assert (telemetry.delivered, telemetry.dropped) == (1_001, 0)

    async def main() -> None:
        async with ApacheKafka(CACHE) as broker:
            await scene(broker)

    asyncio.run(main())
