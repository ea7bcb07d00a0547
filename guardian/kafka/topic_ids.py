"""The id that Kafka gives a topic when it is created: a topic deleted and made again has another one.

aiokafka asks for metadata in version 5, which has no ids; version 10 is the first that has. It is described here with
aiokafka's own protocol types, from the message definitions of KIP-516 in Kafka's sources.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from io import BytesIO
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from guardian.kafka.clients import connection, start_error, transport_error
from guardian.kafka.settings import Settings

_METADATA_KEY: Final = 3
_VERSION: Final = 10


class _Uuid(AbstractType[uuid.UUID]):  # type: ignore[misc]  # aiokafka is untyped here
    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


class _Metadata10Response(Response):  # type: ignore[misc]
    API_KEY = _METADATA_KEY
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _Metadata10Request(RequestStruct):  # type: ignore[misc]
    API_KEY = _METADATA_KEY
    API_VERSION = _VERSION
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Metadata10Response
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_Metadata10Request]):  # type: ignore[misc]
    API_KEY = _METADATA_KEY

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_Metadata10Request]) -> _Metadata10Request:
        topics: list[tuple[uuid.UUID, str, dict[int, bytes]]] = [(uuid.UUID(int=0), name, {}) for name in self._names]
        return request_struct_class(topics, True, False, False, {})


async def topic_ids(settings: Settings, names: Collection[str]) -> dict[str, str]:
    """Return the ids of topics.

    Args:
        settings: where Kafka is.
        names: full names of the topics; the embedded broker creates those that are not there.

    Returns:
        32 hex digits by full name.

    Raises:
        TransportError: a topic is not there, or Kafka did not answer.
    """
    client = AIOKafkaClient(**connection(settings))
    try:
        await client.bootstrap()
        answer: Any = await client.send(client.get_random_node(), _MetadataRequest(names))
    except (KafkaError, TimeoutError, OSError) as error:
        raise await start_error(error, settings) from error
    finally:
        await client.close()
    found: dict[str, str] = {}
    for error_code, name, topic_id, *_ in answer.topics:
        kind = for_code(error_code)
        if issubclass(kind, UnknownTopicOrPartitionError | TopicAuthorizationFailedError):
            raise transport_error(kind(name), settings)
        found[name] = topic_id.hex
    return found
