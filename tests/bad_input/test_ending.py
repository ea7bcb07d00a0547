"""SIGTERM in the moment in which the broker goes away (case B7): every role ends, and says that all is well."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from tests.bad_input.roles import role
from tests.brokers import CACHE, settings_for
from tests.eventually import HANG_S, eventually

pytestmark = pytest.mark.kafka

AT_WORK = {"ingest": "generation ", "decide": "partitions and where they go on", "serve": "the past is read"}


@pytest.fixture
def broker() -> Iterator[ApacheKafka]:
    """A broker of its own: it does not outlive the test."""
    kafka = ApacheKafka(CACHE, heap_mb=256)
    asyncio.run(kafka.start())
    yield kafka
    if kafka.pid:
        os.kill(kafka.pid, signal.SIGCONT)
    kafka.forget()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_B7_every_role_ends_although_its_broker_goes_away_in_the_same_moment(
    broker: ApacheKafka, tmp_path: Path, how: signal.Signals
) -> None:
    settings = settings_for(broker, "ending")
    asyncio.run(create_topics(settings))
    with ExitStack() as stack:
        roles = [stack.enter_context(role(name, settings, tmp_path)) for name in AT_WORK]

        async def at_work() -> None:
            for each in roles:
                await eventually(lambda each=each: AT_WORK[each.name] in each.log.read_text())

        asyncio.run(at_work())
        os.kill(broker.pid, how)
        for each in roles:
            each.process.send_signal(signal.SIGTERM)
        for each in roles:
            assert each.process.wait(HANG_S) == 0, each.log.read_text()[-4_000:]
