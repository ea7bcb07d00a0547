"""One embedded broker and one real Kafka per test run; tests keep apart by the prefix of their topics."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guardian.kafka.apache import ApacheKafka
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings, load_settings

CACHE = Path(__file__).parents[1] / ".cache" / "kafka"
"""Where the jars of the real Kafka stay between test runs."""

Broker = EmbeddedBroker | ApacheKafka

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def embedded() -> Iterator[EmbeddedBroker]:
    """The embedded broker of this test run."""
    broker = EmbeddedBroker()
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def kafka() -> Iterator[ApacheKafka]:
    """The real Kafka of this test run; a test that asks for it carries `@pytest.mark.kafka`."""
    broker = ApacheKafka(CACHE)
    asyncio.run(broker.start())
    yield broker
    asyncio.run(broker.stop())
    broker.forget()


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each of the two in turn: what runs on one must run on the other."""
    found: Broker = request.getfixturevalue(request.param)
    return found


def settings_for(broker: Broker, prefix: str = "test", **options: Any) -> Settings:
    """Return settings for a broker with topics of its own: the prefix is made unique.

    Args:
        broker: one of the fixtures.
        prefix: how the topics' names begin; say what the test is about.
        options: further settings.
    """
    unique = f"{prefix}-{os.getpid()}-{next(_numbers)}"
    is_embedded = isinstance(broker, EmbeddedBroker)
    return load_settings(environ={}, bootstrap=broker.bootstrap, prefix=unique, embedded=is_embedded, **options)
