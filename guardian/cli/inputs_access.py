"""What `guardian inputs` reads and writes: records of the dense log, and the note that takes one of them out."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from guardian.cli.reading import reached, reaching
from guardian.cli.resetting import insist_on_empty
from guardian.decide.checkpoint import SKIP, Key, read_key, write_key
from guardian.errors import DecodeError, GuardianError, InternalError
from guardian.kafka.catalogue import checkpoint_topic
from guardian.kafka.clients import admin, consumer, producer, read_newest_of, require_topics
from guardian.kafka.settings import Settings
from guardian.wire.inputs import decode_payload

READ_WITHIN_S: Final = 30.0
_POLL_MS: Final = 200


@dataclass(frozen=True)
class ShownInput:
    """One record of guardian.inputs as people read it.

    Args:
        partition, offset: its place.
        log_ms: the broker's timestamp.
        size: of its value, in bytes.
        kind: `batch`, `marks`, `tick`, ...; `unreadable` for what no build writes.
        payload: what it says, as JSON values; the reason for an unreadable one.
        skipped: a person has taken it out.
    """

    partition: int
    offset: int
    log_ms: int
    size: int
    kind: str
    payload: Any
    skipped: bool


async def read_inputs(settings: Settings, partition: int, offset: int, count: int) -> list[ShownInput]:
    """Return records of one partition of the log, from an offset on.

    Args:
        settings: the installation.
        partition: of guardian.inputs.
        offset: the first; below 0 counts from the end.
        count: at most so many.

    Raises:
        GuardianError: the log does not hold that offset.
        TransportError: Kafka did not answer.
    """
    topic = settings.topic("inputs")
    skipped = await read_skipped(settings)
    async with reaching(settings, READ_WITHIN_S), reached(consumer(settings), settings) as reader:
        await require_topics(settings, [topic])
        place = TopicPartition(topic, partition)
        reader.assign([place])
        start, end = await _bounds(reader, place)
        first = max(start, end + offset) if offset < 0 else offset
        if not start <= first < end:
            raise GuardianError(
                f"{topic}/{partition} holds the offsets {start} to {end - 1}", "name one of these, or -1 for the last"
            )
        reader.seek(place, first)
        return [_shown(record, skipped) async for record in _records(reader, place, min(end, first + count))]


async def read_skipped(settings: Settings) -> dict[tuple[int, int], dict[str, Any]]:
    """Return which inputs a person has taken out, by partition and offset: who, when and why.

    Raises:
        TransportError: Kafka did not answer.
    """
    found: dict[tuple[int, int], dict[str, Any]] = {}
    async with reaching(settings, READ_WITHIN_S):
        for record in (await read_newest_of(settings, checkpoint_topic(settings))).values():
            try:
                partition, key = read_key(record.key or b"")
            except InternalError:
                continue
            if key.flag == SKIP and record.value is not None:
                found[partition, key.offset] = _note(record.value)
    return found


async def skip_input(settings: Settings, partition: int, offset: int, *, actor: str, reason: str) -> None:
    """Write down that decide leaves out one input; it reads that when it takes up the partition.

    Raises:
        GuardianError: decide runs.
        TransportError: Kafka did not answer, or there is no checkpoint.
    """
    topic = checkpoint_topic(settings)
    note = json.dumps({"actor": actor, "reason": reason, "ts": time.time()}).encode()
    async with reaching(settings, READ_WITHIN_S):
        async with reached(admin(settings), settings) as asker:
            await require_topics(settings, [topic])
            group = settings.group("decide")
            await insist_on_empty(asker, group, f"stop decide first: {group} has members")
        async with reached(producer(settings), settings) as sender:
            key = write_key(partition, Key(SKIP, offset))
            await sender.send_and_wait(topic, note, key=key, partition=partition)


async def _bounds(reader: AIOKafkaConsumer, place: TopicPartition) -> tuple[int, int]:
    starts, ends = await reader.beginning_offsets([place]), await reader.end_offsets([place])
    return starts[place], ends[place]


async def _records(reader: AIOKafkaConsumer, place: TopicPartition, end: int) -> AsyncIterator[ConsumerRecord]:
    while await reader.position(place) < end:
        for records in (await reader.getmany(place, timeout_ms=_POLL_MS)).values():
            for record in records:
                if record.offset < end:
                    yield record


def _shown(record: ConsumerRecord, skipped: dict[tuple[int, int], dict[str, Any]]) -> ShownInput:
    try:
        payload = decode_payload(record.value)
        kind, said = str(type(payload).__struct_config__.tag), _as_json(payload)
    except DecodeError as error:
        kind, said = "unreadable", error.message
    size = len(record.value or b"")
    is_out = (record.partition, record.offset) in skipped
    return ShownInput(record.partition, record.offset, record.timestamp, size, kind, said, is_out)


def _as_json(value: Any) -> Any:
    """A payload with its fields named: in the log they are an array."""
    if isinstance(value, msgspec.Struct):
        named = {name: getattr(value, name) for name in value.__struct_fields__}
        return {name: _as_json(item) for name, item in named.items() if item not in ([], {}, "", b"", None)}
    if isinstance(value, dict):
        return {str(name): _as_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value


def _note(value: bytes) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}
