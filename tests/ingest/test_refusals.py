"""A source topic that Kafka refuses (case B11) is set aside alone, and asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from prometheus_client import REGISTRY

from guardian.core.inputs import SourceMark
from guardian.errors import TransportError
from guardian.ingest import refusals
from guardian.ingest.loop import run_ingest
from guardian.ingest.refusals import Refusals
from guardian.kafka.admin import create_topics
from guardian.kafka.clients import consumer, running
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.rights import User, grants
from guardian.kafka.settings import Settings, load_settings
from tests.authorized import PASSWORD, AuthorizedKafka, authorized_kafka
from tests.brokers import settings_for
from tests.eventually import eventually
from tests.ingest.log import Log
from tests.ingest.test_loop import ingest, request, send


@pytest.fixture(scope="module")
def broker() -> Iterator[AuthorizedKafka]:
    """One broker for this file."""
    with authorized_kafka([User.INGEST]) as found:
        yield found


def stopped(topic: str) -> float | None:
    return REGISTRY.get_sample_value("guardian_ingest_stopped_partitions", {"topic": topic})


def test_the_last_topic_that_is_refused_leaves_nothing_to_go_on_with(embedded: EmbeddedBroker) -> None:
    async def check() -> None:
        settings = settings_for(embedded, "refused")
        await create_topics(settings)
        names = [settings.topic("telemetry"), settings.topic("migrations")]
        async with running(consumer(settings, *names, auto_offset_reset="earliest"), settings) as reader:
            asked = Refusals(reader, names)
            asked.take(TopicAuthorizationFailedError(names[1]))
            assert (asked.why(names[0]), bool(asked.why(names[1]))) == ("", True)
            assert {each.topic for each in reader.paused()} == {names[1]}
            asked.take(TopicAuthorizationFailedError(names[1]))
            with pytest.raises(TopicAuthorizationFailedError):
                asked.take(TopicAuthorizationFailedError(names[0]))
            asked.forget()
            assert asked.why(names[1]) == ""

    asyncio.run(check())


@pytest.mark.kafka
def test_B11_one_refused_source_is_told_the_other_counts_and_a_grant_heals_it(
    broker: AuthorizedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "ASK_AGAIN_S", 0.2)
    all_rights = settings_for(broker.kafka, "partly")
    settings = as_ingest(broker, all_rights)
    topic = settings.topic("migrations")
    commands = [each.command(f"User:{User.INGEST}", all_rights.bootstrap) for each in grants(settings, User.INGEST)]
    missing = f"--topic {topic}"

    async def check() -> None:
        await create_topics(all_rights)
        await asyncio.to_thread(broker.grant, [each.replace(missing, "") for each in commands])
        async with ingest(settings), Log(all_rights) as log:
            await send(all_rights, "telemetry", *[request() for _ in range(30)])
            await send(all_rights, "migrations", b'{"component": "c", "flag": "f", "event_type": "success"}')

            async def counted() -> bool:
                return (await log.read()).counts["f", "on"] == 30

            await eventually(counted)
            marks = await eventually(lambda: told(log))
            assert {mark.source.topic for mark in marks} == {topic}
            assert "topics acls --role ingest" in marks[0].stopped
            assert stopped(topic) == 4
            await asyncio.to_thread(broker.grant, [each for each in commands if missing in each])

            async def healed() -> bool:
                applied = await log.read()
                return applied.migrations["f", "success"] == 1 and not await told(log)

            await eventually(healed)
            assert stopped(topic) == 0

    asyncio.run(check())


@pytest.mark.kafka
def test_B11_commands_that_may_not_be_read_end_the_role_with_a_word(broker: AuthorizedKafka) -> None:
    async def check() -> None:
        all_rights = settings_for(broker.kafka, "commands")
        await create_topics(all_rights)
        settings = as_ingest(broker, all_rights)
        commands = [each.command(f"User:{User.INGEST}", all_rights.bootstrap) for each in grants(settings, User.INGEST)]
        missing = f"--topic {settings.topic('commands')}"
        await asyncio.to_thread(broker.grant, [each.replace(missing, "") for each in commands])
        with pytest.raises(TransportError, match="ingest needs Read on") as told:
            await asyncio.wait_for(run_ingest(settings, kind="commands", stop=asyncio.Event()), 60)
        assert not told.value.retriable

    asyncio.run(check())


def as_ingest(broker: AuthorizedKafka, settings: Settings) -> Settings:
    """The same installation, entered as the user of ingest."""
    environ = broker.environment(User.INGEST, settings.prefix, sasl_password=PASSWORD)
    return load_settings(environ=environ, partitions=settings.partitions)


async def told(log: Log) -> list[SourceMark]:
    """The sources that ingest does not read, as the newest watermarks have it."""
    marks = (await log.read()).marks
    return [mark for mark in marks[0].marks if mark.stopped] if 0 in marks else []
