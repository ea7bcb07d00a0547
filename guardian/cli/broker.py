"""A broker of one's own for `dev` and `demo`: the embedded one, or a real Kafka, with its topics, ended at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.keeper import CompactedKeeper
from guardian.kafka.settings import EMBEDDED_PARTITIONS, SECURITY_NAMES, Settings


class Broker(StrEnum):
    """Which broker is started."""

    EMBEDDED = "embedded"
    KAFKA = "kafka"


BrokerOption = Annotated[
    Broker, typer.Option("--broker", help="embedded: in this process, in memory; kafka: a real one, fetched by Maven.")
]


@asynccontextmanager
async def own_broker(kind: Broker, settings: Settings) -> AsyncIterator[Settings]:
    """Start a broker, create the topics, and give the settings that lead to it.

    Args:
        kind: which.
        settings: everything but the address.

    Raises:
        SettingsError: something that the broker needs is not installed.
        TransportError: it did not come up.
    """
    if kind is Broker.EMBEDDED:
        async with EmbeddedBroker() as embedded:
            found = _at(
                settings,
                bootstrap=embedded.bootstrap,
                embedded=True,
                partitions=EMBEDDED_PARTITIONS,
                source_partitions=EMBEDDED_PARTITIONS,
            )
            await create_topics(found)
            # Nothing is compacted there, and old records fall out: the keeper writes the newest of each key again.
            async with CompactedKeeper(found):
                yield found
        return
    async with ApacheKafka(settings.state_dir / "kafka") as apache:
        found = _at(settings, bootstrap=apache.bootstrap, embedded=False, replication=1)
        await create_topics(found)
        yield found


def _at(settings: Settings, **changed: Any) -> Settings:
    """The settings with some fields changed, checked again; a broker of one's own has neither TLS nor SASL."""
    given = {name: value for name, value in settings.model_dump().items() if name not in SECURITY_NAMES}
    return Settings.model_validate({**given, **changed})
