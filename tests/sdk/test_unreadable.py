"""Batches on guardian.flags that this client cannot read (case B4) never keep later documents from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from openfeature.evaluation_context import EvaluationContext

from guardian.kafka.admin import create_topics
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.partition import partition_of
from tests.brokers import settings_for
from tests.eventually import eventually
from tests.raw_batches import NO_SUCH_CODEC, batch, send_raw, with_broken_checksum, with_codec
from tests.sdk.documents import FLAG, state, written
from tests.sdk.scenes import guardian, installed, provider_for

RUIN: dict[str, Callable[[bytearray], bytearray]] = {
    "codec": lambda made: with_codec(made, NO_SUCH_CODEC),
    "checksum": with_broken_checksum,
}
NEXT = state().version + 1


@pytest.mark.parametrize("how", RUIN)
@pytest.mark.parametrize("when", ["before", "while following"])
def test_B4_a_kill_behind_a_batch_that_cannot_be_read_is_obeyed(embedded: EmbeddedBroker, how: str, when: str) -> None:
    async def check() -> None:
        settings = settings_for(embedded, "unreadable")
        await create_topics(settings)
        partition = partition_of(FLAG, settings.partitions)
        bad = RUIN[how](batch([written()], at_ms=1, key=FLAG.encode()))
        async with guardian(settings) as writer:
            await writer.write(written(weight_bp=10_000))
            if when == "before":
                await send_raw(settings, "flags", partition, bad)
            provider = provider_for(settings)
            with installed(provider) as client:

                def on() -> bool:
                    return bool(client.get_boolean_value(FLAG, False, EvaluationContext("u-1")))

                await eventually(on)
                if when != "before":
                    await send_raw(settings, "flags", partition, bad)
                await writer.write(written(killed=True, version=NEXT))
                await eventually(lambda: not on())
                assert provider.counts().unreadable == 1
                assert provider.counts().failures == 0

    asyncio.run(check())


@pytest.mark.parametrize("codec", range(5))
def test_B4_a_kill_in_any_codec_is_obeyed(embedded: EmbeddedBroker, codec: int) -> None:
    async def check() -> None:
        settings = settings_for(embedded, "codec")
        await create_topics(settings)
        partition = partition_of(FLAG, settings.partitions)
        async with guardian(settings) as writer:
            await writer.write(written(weight_bp=10_000))
        provider = provider_for(settings)
        with installed(provider) as client:
            kill = batch([written(killed=True, version=NEXT)], at_ms=1, key=FLAG.encode(), codec=codec)
            await send_raw(settings, "flags", partition, kill)
            await eventually(lambda: not client.get_boolean_value(FLAG, True, EvaluationContext("u-1")))

    asyncio.run(check())
