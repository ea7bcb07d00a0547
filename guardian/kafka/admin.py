"""Topics are created as the catalogue says and never changed; what is there already is checked and reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.metadata import MetadataRequest

from guardian.errors import Problem
from guardian.kafka.catalogue import TOPICS, Topic
from guardian.kafka.clients import admin, running, transport_error
from guardian.kafka.settings import EMBEDDED_PARTITIONS, Settings

_ALREADY_THERE: Final = 36
_UNKNOWN_TOPIC: Final = 3
_NOT_ALLOWED: Final = 29
_MORE_IS_WELCOME: Final = ("max.message.bytes", "min.insync.replicas", "retention.ms")
_FOR_EVER: Final = "-1"
SHOWN_WITHIN_S: Final = 15.0
_POLL_S: Final = 0.05


@dataclass(frozen=True)
class TopicState:
    """One topic of the catalogue as it stands in Kafka.

    Args:
        topic: what it should be.
        name: its full name.
        partitions: how many it has; 0 when it is not there.
        wanted_partitions: how many it should have.
        replication: replicas of its first partition; 0 when it is not there.
        config: its settings as far as the catalogue speaks of them; empty on the embedded broker, which has none.
        wanted: what those should be; empty on the embedded broker.
    """

    topic: Topic
    name: str
    partitions: int
    wanted_partitions: int
    replication: int = 0
    config: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """True when the topic is there."""
        return self.partitions > 0


async def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are not there, and leave the others as they are.

    Args:
        settings: where Kafka is, the prefix, partitions and replication.

    Returns:
        the full names of those that were created, in the catalogue's order.

    Raises:
        TransportError: Kafka did not answer, or refused a topic.
    """
    async with _admin(settings) as client:
        there = await _partitions(client)
        missing = [topic for topic in TOPICS.values() if settings.topic(topic.name) not in there]
        names = [settings.topic(topic.name) for topic in missing]
        if not missing:
            return []
        if settings.embedded:
            # It knows no CreateTopics: a topic comes into being when somebody asks for it by name.
            await client.describe_topics(names)
            return names
        answer = await client.create_topics([_new(topic, settings) for topic in missing])
        created = [name for name, code, text in answer.topic_errors if _created(name, code, text)]
        await _until_shown(client, names)
        return created


async def describe_topics(settings: Settings) -> list[TopicState]:
    """Return every topic of the catalogue as it stands in Kafka.

    Raises:
        TransportError: Kafka did not answer.
    """
    async with _admin(settings) as client:
        there = await _partitions(client)
        names = [name for topic in TOPICS.values() if (name := settings.topic(topic.name)) in there]
        if not settings.embedded:
            await _insist_on_describe(
                client, [settings.topic(name) for name in TOPICS if settings.topic(name) not in there]
            )
        configs = {} if settings.embedded or not names else await _configs(client, names)
    return [_state(topic, settings, there, configs) for topic in TOPICS.values()]


async def check_topics(settings: Settings) -> list[Problem]:
    """Say what is wrong with the topics: missing ones, other partitions, other settings. Changes nothing.

    Args:
        settings: where Kafka is and what is wanted. The embedded broker is held to the topics and their partitions;
            it has no settings.

    Returns:
        one problem per fault, its `path` the topic's full name; empty when all is well. Settings that the catalogue
        does not speak of are the operator's own.

    Raises:
        TransportError: Kafka did not answer.
    """
    return [problem for state in await describe_topics(settings) for problem in _problems(state)]


def _problems(state: TopicState) -> list[Problem]:
    name = state.name
    if not state.exists:
        return [Problem(name, "is not there", "guardian topics create")]
    found = []
    if state.partitions != state.wanted_partitions:
        found.append(
            Problem(
                name,
                f"has {state.partitions} partitions, the settings say {state.wanted_partitions}",
                f"set partitions (or source_partitions) to {state.partitions} if that is what was meant; the number"
                " is fixed for life, so a topic with a wrong one must be deleted and created again",
            )
        )
    for key, wanted in state.wanted.items():
        actual = state.config.get(key, "")
        if not _as_wanted(key, actual, wanted):
            least = "at least " if key in _MORE_IS_WELCOME else ""
            fix = f"kafka-configs.sh --alter --topic {name} --add-config {key}={_quoted(wanted)}"
            found.append(Problem(name, f"{key} is {actual or 'not known'}, it must be {least}{wanted}", fix))
    return found


def _as_wanted(key: str, actual: str, wanted: str) -> bool:
    """Whether a setting does what the catalogue counts on."""
    if key == "cleanup.policy":
        return set(actual.split(",")) == set(wanted.split(","))
    if key == "retention.ms" and actual == _FOR_EVER:
        return True
    if key in _MORE_IS_WELCOME:
        return actual.isdigit() and int(actual) >= int(wanted)
    return actual == wanted


def _quoted(value: str) -> str:
    """A list needs brackets on kafka-configs' command line."""
    return f"[{value}]" if "," in value else value


def _state(
    topic: Topic, settings: Settings, there: dict[str, tuple[int, int]], configs: dict[str, dict[str, str]]
) -> TopicState:
    name = settings.topic(topic.name)
    wanted_partitions = EMBEDDED_PARTITIONS if settings.embedded else topic.partitions(settings)
    wanted = {} if settings.embedded else topic.config(settings)
    partitions, replication = there.get(name, (0, 0))
    config = {key: value for key, value in configs.get(name, {}).items() if key in wanted}
    return TopicState(topic, name, partitions, wanted_partitions, replication, config, wanted)


def _new(topic: Topic, settings: Settings) -> NewTopic:
    return NewTopic(
        settings.topic(topic.name),
        topic.partitions(settings),
        settings.replication,
        topic_configs=topic.config(settings),
    )


def _created(name: str, code: int, text: str | None) -> bool:
    """False when somebody else was quicker."""
    if code == _ALREADY_THERE:
        return False
    if code != 0:
        error = kafka_errors.for_code(code)
        raise error(f"{name}: {text or error.description}")
    return True


async def _until_shown(client: AIOKafkaAdminClient, names: list[str]) -> None:
    """Wait until metadata shows the topics: a broker answers CreateTopics a moment before it knows them itself."""
    async with asyncio.timeout(SHOWN_WITHIN_S):
        while set(names) - (await _partitions(client)).keys():
            await asyncio.sleep(_POLL_S)


async def _partitions(client: AIOKafkaAdminClient) -> dict[str, tuple[int, int]]:
    """Partitions and replicas of every topic that is there. To ask for all creates none, on either broker."""
    found = {}
    for topic in await client.describe_topics(None):
        if topic["error_code"] != _UNKNOWN_TOPIC and topic["partitions"]:
            found[topic["topic"]] = (len(topic["partitions"]), len(topic["partitions"][0]["replicas"]))
    return found


async def _insist_on_describe(client: AIOKafkaAdminClient, names: list[str]) -> None:
    """Raise when topics are not shown because we may not see them: asked for all, a broker leaves those out."""
    if not names:
        return
    answer = await client._send_request(MetadataRequest(names, allow_auto_topic_creation=False))
    hidden = [topic["topic"] for topic in answer.to_object()["topics"] if topic["error_code"] == _NOT_ALLOWED]
    if hidden:
        raise kafka_errors.TopicAuthorizationFailedError(", ".join(sorted(hidden)))


async def _configs(client: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    answers = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    found: dict[str, dict[str, str]] = {}
    for answer in answers:
        for code, text, _, name, entries in answer.resources:
            if code != 0:
                error = kafka_errors.for_code(code)
                raise error(f"{name}: {text or error.description}")
            found[name] = {entry[0]: entry[1] or "" for entry in entries}
    return found


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client whose every failure is a TransportError."""
    async with running(admin(settings), settings) as client:
        try:
            yield client
        except (kafka_errors.KafkaError, TimeoutError, OSError) as error:
            raise transport_error(error, settings) from error
