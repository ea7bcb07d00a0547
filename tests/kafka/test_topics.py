"""Topics come as the catalogue says, are never altered, and what is wrong with them is named."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import NewTopic

from guardian.errors import TransportError
from guardian.kafka.admin import check_topics, create_topics, describe_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.catalogue import TOPICS
from guardian.kafka.clients import admin, running
from guardian.kafka.settings import load_settings
from guardian.kafka.topic_ids import topic_ids
from tests.brokers import Broker, settings_for
from tests.eventually import eventually


def test_topics_are_created_once_and_are_then_as_the_catalogue_says(broker: Broker) -> None:
    settings = settings_for(broker, "create")

    async def scene() -> None:
        assert len(await check_topics(settings)) == len(TOPICS)
        assert await create_topics(settings) == [settings.topic(name) for name in TOPICS]
        assert await create_topics(settings) == []
        # A broker may need a moment until it shows what it has created.
        assert await eventually(lambda: _all_well(settings))

    asyncio.run(scene())


async def _all_well(settings) -> bool:
    return await check_topics(settings) == []


def test_missing_topics_are_named_with_the_way_out(broker: Broker) -> None:
    settings = settings_for(broker, "missing")
    problems = asyncio.run(check_topics(settings))
    assert [problem.path for problem in problems] == [settings.topic(name) for name in TOPICS]
    assert {problem.fix for problem in problems} == {"guardian topics create"}


def test_describing_creates_nothing(broker: Broker) -> None:
    settings = settings_for(broker, "describe")
    asyncio.run(describe_topics(settings))
    assert not any(state.exists for state in asyncio.run(describe_topics(settings)))


@pytest.mark.kafka
def test_existing_topics_are_never_altered_and_every_wrong_setting_is_named(kafka: ApacheKafka) -> None:
    settings = settings_for(kafka, "wrong")
    wrong = [
        NewTopic(settings.topic("flags"), 3, 1, topic_configs={"cleanup.policy": "delete"}),
        NewTopic(settings.topic("inputs"), 4, 1, topic_configs={"max.message.bytes": "1000", "retention.ms": "5000"}),
        NewTopic(settings.topic("alerts"), 4, 1, topic_configs={"cleanup.policy": "delete,compact"}),
        NewTopic(settings.topic("decisions"), 4, 1, topic_configs={"segment.ms": "60000"}),
    ]

    async def scene() -> list[tuple[str, str]]:
        async with running(admin(settings), settings) as client:
            await client.create_topics(wrong)
        created = await create_topics(settings)
        assert len(created) == len(TOPICS) - len(wrong)
        return [(problem.path, problem.message) for problem in await check_topics(settings)]

    day_ms = 86_400_000
    assert asyncio.run(scene()) == [
        (settings.topic("inputs"), "message.timestamp.type is CreateTime, it must be LogAppendTime"),
        (settings.topic("inputs"), f"retention.ms is 5000, it must be at least {7 * day_ms}"),
        (settings.topic("inputs"), "max.message.bytes is 1000, it must be at least 1048588"),
        (settings.topic("flags"), "has 3 partitions, the settings say 4"),
        (settings.topic("flags"), "cleanup.policy is delete, it must be compact"),
        (settings.topic("alerts"), f"retention.ms is 604800000, it must be at least {90 * day_ms}"),
        (settings.topic("decisions"), f"retention.ms is 604800000, it must be at least {365 * day_ms}"),
    ]


@pytest.mark.kafka
def test_keeping_records_for_longer_is_the_operators_own_choice(kafka: ApacheKafka) -> None:
    settings = settings_for(kafka, "longer")
    longer = {"telemetry": str(3 * 86_400_000), "decisions": "-1"}

    async def scene() -> list[str]:
        wanted = {name: {**TOPICS[name].config(settings), "retention.ms": kept} for name, kept in longer.items()}
        async with running(admin(settings), settings) as client:
            await client.create_topics(
                [NewTopic(settings.topic(name), 4, 1, topic_configs=config) for name, config in wanted.items()]
            )
        await create_topics(settings)
        return [problem.message for problem in await check_topics(settings)]

    assert asyncio.run(scene()) == []


def test_topics_keyed_by_flag_have_one_number_of_partitions() -> None:
    settings = load_settings(environ={}, partitions=7, source_partitions=5)
    counts = {name: topic.partitions(settings) for name, topic in TOPICS.items()}
    sources = {"telemetry", "migrations", "dead-letters"}
    assert {name for name, count in counts.items() if count == 5} == sources
    assert {count for name, count in counts.items() if name not in sources} == {7}


@pytest.mark.parametrize("name", ["telemetry", "migrations", "inputs"])
def test_time_of_arrival_is_the_brokers(name: str) -> None:
    assert TOPICS[name].config(load_settings(environ={}))["message.timestamp.type"] == "LogAppendTime"


def test_the_log_of_inputs_is_never_compacted() -> None:
    assert not TOPICS["inputs"].compacted
    assert {name for name, topic in TOPICS.items() if topic.compacted} == {"flags", "rollouts", "alerts"}


def test_three_replicas_need_two_acks() -> None:
    settings = load_settings(environ={}, replication=3)
    assert {topic.config(settings)["min.insync.replicas"] for topic in TOPICS.values()} == {"2"}


def test_a_topic_keeps_its_id(broker: Broker) -> None:
    settings = settings_for(broker, "ids")
    asyncio.run(create_topics(settings))
    names = [settings.topic("telemetry"), settings.topic("migrations")]
    first = asyncio.run(topic_ids(settings, names))
    assert asyncio.run(topic_ids(settings, names)) == first
    assert set(first) == set(names)
    assert len(set(first.values())) == 2


@pytest.mark.kafka
def test_a_topic_that_was_made_again_has_another_id(kafka: ApacheKafka) -> None:
    settings = settings_for(kafka, "again")
    name = settings.topic("telemetry")

    async def scene() -> tuple[str, str]:
        await create_topics(settings)
        before = (await topic_ids(settings, [name]))[name]
        async with running(admin(settings), settings) as client:
            await client.delete_topics([name])
        await eventually(lambda: create_topics(settings))
        return before, (await topic_ids(settings, [name]))[name]

    before, after = asyncio.run(scene())
    assert before != after


@pytest.mark.kafka
def test_more_replicas_than_brokers_are_refused_with_the_setting_to_change(kafka: ApacheKafka) -> None:
    settings = settings_for(kafka, "alone").model_copy(update={"replication": 3})
    with pytest.raises(TransportError, match="only 1 broker") as caught:
        asyncio.run(create_topics(settings))
    assert "GUARDIAN_REPLICATION" in caught.value.fix


@pytest.mark.kafka
def test_the_id_of_a_missing_topic_is_refused(kafka: ApacheKafka) -> None:
    with pytest.raises(TransportError, match="is not there") as caught:
        asyncio.run(topic_ids(settings_for(kafka), ["nowhere"]))
    assert "guardian topics create" in caught.value.fix


def test_a_broker_that_is_not_there_is_named_with_the_way_out() -> None:
    settings = load_settings(environ={}, bootstrap="127.0.0.1:1")
    for ask in (check_topics(settings), create_topics(settings), topic_ids(settings, ["x"])):
        with pytest.raises(TransportError, match=r"127\.0\.0\.1:1") as caught:
            asyncio.run(ask)
        assert caught.value.retriable
        assert "GUARDIAN_BOOTSTRAP" in caught.value.fix
