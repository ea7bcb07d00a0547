"""What `guardian checkpoint reset` changes: the place of ingest in a source topic, or decide's whole checkpoint.

Neither guesses. A source is only touched when it is known that its topic was made anew, and nothing is touched
while the role that owns it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from guardian.cli.reading import reached, reaching
from guardian.decide.checkpoint import SKIP
from guardian.errors import DecodeError, GuardianError, InternalError
from guardian.ingest.intent import accepted, read_intent
from guardian.kafka.catalogue import checkpoint_topic
from guardian.kafka.clients import admin, consumer, producer, read_newest, require_topics
from guardian.kafka.settings import Settings
from guardian.kafka.topic_ids import topic_ids
from guardian.wire.outputs import decode_alert

READ_WITHIN_S: Final = 60.0
_EMPTY: Final = ("Empty", "Dead")
_GROUPS: Final = {"telemetry": "ingest", "migrations": "ingest", "commands": "ingest-commands"}

Offsets = dict[TopicPartition, tuple[int, str]]


@dataclass(frozen=True)
class Reset:
    """What is to be done, or was done.

    Args:
        lines: one per change, for people; empty when there is nothing to do.
        consequence: what a person must know before saying yes.
        why_not: why there is nothing to do.
    """

    lines: list[str]
    consequence: str = ""
    why_not: str = ""


async def plan_source(settings: Settings, name: str, *, from_end: bool) -> tuple[Reset, Offsets]:
    """Return what accepting a recreated source topic changes.

    Args:
        settings: the installation.
        name: telemetry, migrations or commands.
        from_end: leave out what the new topic holds already.

    Raises:
        GuardianError: ingest runs.
        TransportError: Kafka did not answer, or the topic is not there.
    """
    topic, group = settings.topic(name), settings.group(_GROUPS[name])
    async with reaching(settings, READ_WITHIN_S):
        topic_id = (await topic_ids(settings, [topic]))[topic]
        async with reached(admin(settings), settings) as asker, reached(consumer(settings), settings) as reader:
            await require_topics(settings, [topic])
            await insist_on_empty(asker, group, f"stop ingest first: {group} has members")
            count = len((await asker.describe_topics([topic]))[0]["partitions"])
            places = [TopicPartition(topic, number) for number in range(count)]
            reader.assign(places)
            edge = await (reader.end_offsets(places) if from_end else reader.beginning_offsets(places))
            committed = await asker.list_consumer_group_offsets(group, partitions=places)
        found = [read.metadata for place in places if (read := committed.get(place)) is not None and read.offset >= 0]
        anew = any(_is_of_another(metadata, topic_id) for metadata in found)
        if not anew and not await _is_refused_by_decide(settings, topic, topic_id):
            why = f"{topic} is the topic that was read all along, as far as ingest and decide know (id {topic_id})"
            return Reset([], why_not=why), {}
    lines = [f"{topic}/{place.partition}: goes on at {edge[place]} of the topic of id {topic_id}" for place in places]
    consequence = (
        "what the topic holds already is not counted" if from_end else "everything that the topic holds now is counted"
    )
    return Reset(lines, consequence), {place: (edge[place], accepted(topic_id)) for place in places}


async def reset_source(settings: Settings, name: str, offsets: Offsets) -> None:
    """Write what plan_source has planned.

    Raises:
        TransportError: Kafka refused: a member of the group came in between.
    """
    async with reached(consumer(settings, group=settings.group(_GROUPS[name])), settings) as member:
        member.assign(list(offsets))
        async with reaching(settings):
            await member.commit(offsets)


async def forget_decide(settings: Settings, *, do: bool) -> Reset:
    """Delete every record of decide's checkpoint; decide then reads the log from its beginning.

    Args:
        settings: the installation.
        do: False only says what there is.

    Raises:
        GuardianError: decide runs.
        TransportError: Kafka did not answer, or there is no checkpoint.
    """
    topic, group = checkpoint_topic(settings), settings.group("decide")
    async with reaching(settings, READ_WITHIN_S):
        async with reached(admin(settings), settings) as asker:
            await require_topics(settings, [topic])
            await insist_on_empty(asker, group, f"stop decide first: {group} has members")
        # What a person has taken out of the log stays out: reading it from its start must not fail there again.
        keys = [place for place in await _keys_of(settings, topic) if SKIP.encode() not in place[0]]
        if do and keys:
            async with reached(producer(settings), settings) as sender:
                for key, partition in keys:
                    await sender.send(topic, None, key=key, partition=partition)
                await sender.flush()
    lines = (
        [f"{topic}: {len(keys)} records deleted" if do else f"{topic}: {len(keys)} records to delete"] if keys else []
    )
    consequence = "rollouts whose apply is older than the retention of guardian.inputs must be applied again"
    return Reset(lines, consequence, f"{topic} is empty")


async def plan_release(settings: Settings, source: str) -> Reset:
    """Return what guardian has said of the straddles of a source partition that still freeze promotions.

    Args:
        settings: the installation.
        source: `topic/topic id/partition`.

    Raises:
        TransportError: Kafka did not answer.
    """
    async with reaching(settings, READ_WITHIN_S):
        found = await read_newest(settings, "alerts")
    lines = []
    for record in found.values():
        try:
            alert = decode_alert(record.value)
        except DecodeError:
            continue
        if alert.active and alert.trigger == f"straddle {source}":
            lines.append(f"partition {alert.evidence.partition}: {alert.text}")
    consequence = "what the range holds behind the end of what is applied is never counted, and promotions go on"
    return Reset(sorted(lines), consequence, f"no alert on a straddle of {source} stands")


async def _keys_of(settings: Settings, topic: str) -> list[tuple[bytes, int]]:
    """Return every key of a topic that has a value, with its partition."""
    held: dict[tuple[bytes, int], bool] = {}
    async with reached(consumer(settings, topic, auto_offset_reset="earliest"), settings) as reader:
        places = reader.assignment()
        ends = await reader.end_offsets(places)
        await reader.seek_to_beginning()
        while behind := [place for place in places if await reader.position(place) < ends[place]]:
            for records in (await reader.getmany(*behind, timeout_ms=200)).values():
                for record in records:
                    held[record.key or b"", record.partition] = record.value is not None
    return sorted(place for place, is_there in held.items() if is_there)


def _is_of_another(metadata: str, topic_id: str) -> bool:
    """Whether a committed offset belongs to a topic of another id."""
    try:
        intent = read_intent(metadata, -1)
    except InternalError:
        return False
    return bool(intent.id) and intent.id != topic_id


async def _is_refused_by_decide(settings: Settings, topic: str, topic_id: str) -> bool:
    """Whether decide has said that it does not apply this topic's batches: Kafka forgets offsets with their topic."""
    for record in (await read_newest(settings, "alerts")).values():
        try:
            alert = decode_alert(record.value)
        except DecodeError:
            continue
        if alert.trigger.startswith(f"recreated {topic}/") and topic_id in alert.text:
            return True
    return False


async def insist_on_empty(asker: AIOKafkaAdminClient, group: str, otherwise: str) -> None:
    """Raise when a group has members."""
    for answer in await asker.describe_consumer_groups([group]):
        for _, name, state, *_ in answer.groups:
            if name == group and state not in _EMPTY:
                raise GuardianError(otherwise, "end it, wait some seconds until Kafka has noticed, and try again")
