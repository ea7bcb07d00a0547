"""Kafka clients set up one way for the whole installation, and reading a topic without a group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient

from guardian.errors import TopicGone, TransportError
from guardian.kafka.catalogue import TOPICS
from guardian.kafka.embedded_wait import wait_by_traffic
from guardian.kafka.metrics import UNREADABLE
from guardian.kafka.rights import refused_right
from guardian.kafka.security import refusal, security
from guardian.kafka.settings import Settings
from guardian.record_batches import StandIns, Teller, nothing, step_over_unreadable

_log = logging.getLogger("guardian.kafka")

Client = TypeVar("Client", AIOKafkaProducer, AIOKafkaConsumer, AIOKafkaAdminClient)

REQUEST_TIMEOUT_MS: Final = 20_000
LINGER_MS: Final = 1
FETCH_WAIT_MS: Final = 1_000
"""Kafka answers sooner when there is something; a partition that was left out of a fetch may wait so long."""
READ_WITHIN_S: Final = 30.0
"""How long reading a compacted topic to its end may stand still before it is given up."""
STOP_WITHIN_S: Final = 10.0
"""How long a client may take to end: a producer flushes first, and its broker may be away."""
_CLOSE_WITHIN_S: Final = 1.0
_POLL_MS: Final = 200

_REFUSED = (
    kafka_errors.AuthenticationFailedError,
    kafka_errors.SaslAuthenticationFailed,
)


def connection(settings: Settings) -> dict[str, Any]:
    """Return what every client needs in order to connect.

    Raises:
        SettingsError: a file of certificates or with the password cannot be used.
    """
    return {
        "bootstrap_servers": settings.bootstrap.split(","),
        "client_id": settings.prefix,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        **security(settings),
    }


def producer(settings: Settings, **overrides: Any) -> AIOKafkaProducer:
    """Return an unstarted idempotent producer, acked by all replicas.

    Args:
        settings: where Kafka is.
        overrides: arguments of AIOKafkaProducer that differ.
    """
    return AIOKafkaProducer(
        **{
            **connection(settings),
            "enable_idempotence": True,
            "acks": "all",
            "linger_ms": LINGER_MS,
            "max_batch_size": 65_536,
            **overrides,
        }
    )


def count_unreadable(topic: str, offsets: int) -> None:
    """Count offsets that were stepped over because they cannot be read."""
    UNREADABLE.labels(topic).inc(offsets)


class _Consumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka is untyped here
    """A consumer that goes on behind record batches that it cannot read."""

    stand_ins: StandIns = staticmethod(nothing)

    async def start(self) -> None:
        await super().start()
        step_over_unreadable(self, Teller(_log, count_unreadable), self.stand_ins)


def consumer(
    settings: Settings,
    *topics: str,
    group: str | None = None,
    stand_ins: StandIns = nothing,
    **overrides: Any,
) -> AIOKafkaConsumer:
    """Return an unstarted consumer that commits nothing by itself, never guesses an offset, and is stopped by no batch.

    Args:
        settings: where Kafka is.
        topics: full names to subscribe to; none to subscribe or assign later.
        group: the group's full name, such as `settings.group("ingest")`; None to assign partitions oneself.
        stand_ins: what it returns in the place of a record batch that cannot be read.
        overrides: arguments of AIOKafkaConsumer that differ.
    """
    made = _Consumer(
        *topics,
        **{
            **connection(settings),
            "group_id": group,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "fetch_max_wait_ms": FETCH_WAIT_MS,
            **overrides,
        },
    )
    made.stand_ins = stand_ins
    return wait_by_traffic(made) if settings.embedded else made


def admin(settings: Settings) -> AIOKafkaAdminClient:
    """Return an unstarted admin client."""
    return AIOKafkaAdminClient(**connection(settings))


def transport_error(error: Exception, settings: Settings) -> TransportError:
    """Return what a Kafka error means to the person who runs guardian, with the way out.

    Args:
        error: what aiokafka raised, a timeout or an OSError.
        settings: whose Kafka it was.
    """
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, kafka_errors.UnknownTopicOrPartitionError):
        topic = error.args[0] if error.args else f"a topic of the prefix {settings.prefix!r}"
        return TopicGone(
            f"{topic} is not there, says Kafka at {settings.bootstrap}", "create the topics: guardian topics create"
        )
    if (told := refused_right(error, settings)) is not None:
        return told
    if isinstance(error, _REFUSED):
        return TransportError(
            f"Kafka at {settings.bootstrap} refused: {what}", "check the credentials and their rights", retriable=False
        )
    if isinstance(error, kafka_errors.KafkaConnectionError | kafka_errors.NodeNotReadyError | TimeoutError | OSError):
        return TransportError(
            f"no answer from Kafka at {settings.bootstrap} ({what})",
            "check bootstrap in guardian.toml, GUARDIAN_BOOTSTRAP or --bootstrap, and that the broker runs"
            " (guardian dev starts one for trying)",
            retriable=True,
        )
    retriable = bool(getattr(error, "retriable", False))
    fix = "wait and try again" if retriable else "guardian topics check, and then the broker's log, say more"
    if isinstance(error, kafka_errors.InvalidReplicationFactorError):
        fix = "set replication in guardian.toml or GUARDIAN_REPLICATION to no more than there are brokers"
    return TransportError(f"Kafka at {settings.bootstrap}: {what}", fix, retriable=retriable)


async def start_error(error: Exception, settings: Settings) -> TransportError:
    """Return why a client could not be started: aiokafka calls it the same whether nobody is there or we are refused.

    Args:
        error: what its `start` raised.
        settings: whose Kafka it was.
    """
    told = await refusal(settings) if isinstance(error, kafka_errors.KafkaConnectionError) else None
    return told or transport_error(error, settings)


async def require_topics(settings: Settings, names: Sequence[str]) -> None:
    """Make sure that topics are there, at once: a consumer would look for them in vain for REQUEST_TIMEOUT_MS.

    Args:
        settings: where Kafka is.
        names: full names; the embedded broker creates those that are not there.

    Raises:
        TransportError: one is not there, or Kafka did not answer.
    """
    async with running(admin(settings), settings) as client:
        try:
            found = await client.describe_topics(list(names))
        except (kafka_errors.KafkaError, TimeoutError, OSError) as error:
            raise transport_error(error, settings) from error
    for topic in found:
        kind = kafka_errors.for_code(topic["error_code"])
        if issubclass(kind, kafka_errors.UnknownTopicOrPartitionError | kafka_errors.TopicAuthorizationFailedError):
            raise transport_error(kind(topic["topic"]), settings)


@asynccontextmanager
async def running(client: Client, settings: Settings) -> AsyncIterator[Client]:
    """Start a client, and stop it whatever happens.

    Args:
        client: one of this module's, unstarted.
        settings: named in the error.

    Raises:
        TransportError: it could not be started. What goes wrong inside the block is raised as it is.
    """
    try:
        await client.start()
    except (kafka_errors.KafkaError, TimeoutError, OSError) as error:
        await _leave(client)
        raise await start_error(error, settings) from error
    except asyncio.CancelledError:
        # Whoever lost patience in the middle of a start must not leave connections behind.
        await _leave(client)
        raise
    try:
        yield client
    finally:
        await _leave(client)


async def _leave(client: Client) -> None:
    """End a client, whatever state it and its broker are in; raises nothing but a cancellation of the caller's own.

    aiokafka 0.14 lets CancelledError out of `stop` when one of its own tasks was waiting to try again, which ended the
    caller for good; and a producer flushes for as long as its broker is away. So each step is a task of its own, with a
    limit.
    """
    # Step 1: as aiokafka means it: flush, leave the group, close.
    stop = client.close if isinstance(client, AIOKafkaAdminClient) else client.stop
    if await _ended(stop(), STOP_WITHIN_S):
        return
    # Step 2: it did not end by itself. First the connections, so that nothing waits for an answer any more.
    inner = client.client if isinstance(client, AIOKafkaProducer) else client._client
    await _ended(inner.close(), _CLOSE_WITHIN_S)
    if isinstance(client, AIOKafkaProducer):
        # Step 3: then the task that sends, and whoever waits for what it did not send.
        await _ended(client._sender.close(), _CLOSE_WITHIN_S)
        _give_up(client)


def _give_up(client: AIOKafkaProducer) -> None:
    """Tell whoever waits for a message that it was not sent; nobody waiting is no fault to be reported."""
    messages = client._message_accumulator
    batches = [batch for batches in messages._batches.values() for batch in batches] + list(messages._pending_batches)
    # aiokafka takes a batch that ends out of this set; one that was to be sent again is not in it, which raises.
    messages._pending_batches.update(batches)
    messages.fail_all(kafka_errors.KafkaConnectionError("the producer was closed"))
    for batch in batches:
        for future in (batch.future, batch._drain_waiter, *(future for future, _ in batch._msg_futures)):
            if future.done() and not future.cancelled():
                future.exception()


async def _ended(closing: Coroutine[Any, Any, None], within_s: float) -> bool:
    """Whether a way to close something was gone to its end within the limit."""
    task = asyncio.ensure_future(closing)
    try:
        await asyncio.wait({task}, timeout=within_s)
    finally:
        # Also when the caller is cancelled meanwhile: nothing of it goes on.
        task.cancel()
        task.add_done_callback(_looked_at)
    if not task.done():
        await asyncio.wait({task}, timeout=_CLOSE_WITHIN_S)
    return task.done() and not task.cancelled() and task.exception() is None


def _looked_at(task: asyncio.Task[None]) -> None:
    """A close that failed is logged; unlooked at, it would be reported as an exception that was never retrieved."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.debug("a client did not close cleanly: %r", error)


async def follow(
    settings: Settings,
    topics: Sequence[str],
    *,
    from_beginning: bool,
    ready: asyncio.Event | None = None,
    **overrides: Any,
) -> AsyncIterator[ConsumerRecord]:
    """Yield the records of topics for ever, all partitions, without a group.

    Args:
        settings: where Kafka is.
        topics: short names of the catalogue.
        from_beginning: from the oldest record; otherwise from the end, as it was when `ready` was set.
        ready: set once the place in every partition is fixed: what is written from then on is not missed.
        overrides: arguments of AIOKafkaConsumer that differ.

    Raises:
        TransportError: a topic is not there, or Kafka did not answer at the start. Later absences are waited for.
    """
    # "earliest": when retention overtakes a slow reader, it goes on at the oldest record that is left.
    names = [settings.topic(TOPICS[topic].name) for topic in topics]
    await require_topics(settings, names)
    reader = consumer(settings, *names, **{"auto_offset_reset": "earliest", **overrides})
    async with running(reader, settings):
        # The places are asked for and set at once: a lazy seek would be resolved at the first fetch, which is later.
        places = reader.assignment()
        find = reader.beginning_offsets if from_beginning else reader.end_offsets
        for place, offset in (await find(places)).items():
            reader.seek(place, offset)
        if ready is not None:
            ready.set()
        async for record in reader:
            yield record


async def read_newest(settings: Settings, topic: str) -> dict[tuple[bytes, int], ConsumerRecord]:
    """Read a compacted topic once to the end it has now.

    Args:
        settings: where Kafka is.
        topic: short name of the catalogue.

    Returns:
        the newest record by (key, partition); a key whose newest record is a tombstone is absent.

    Raises:
        TransportError: the topic is not there, Kafka did not answer, or nothing came for READ_WITHIN_S.
    """
    return await read_newest_of(settings, settings.topic(TOPICS[topic].name))


async def read_newest_of(settings: Settings, name: str) -> dict[tuple[bytes, int], ConsumerRecord]:
    """Read any compacted topic as `read_newest` does.

    Args:
        settings: where Kafka is.
        name: the topic's full name.
    """
    newest: dict[tuple[bytes, int], ConsumerRecord] = {}
    await require_topics(settings, [name])
    reader = consumer(settings, name, auto_offset_reset="earliest")
    async with running(reader, settings):
        try:
            async for record in _until_end(reader):
                newest[record.key or b"", record.partition] = record
        except (kafka_errors.KafkaError, TimeoutError, OSError) as error:
            raise transport_error(error, settings) from error
    return {place: record for place, record in newest.items() if record.value is not None}


async def read_compacted(settings: Settings, topic: str) -> dict[bytes, ConsumerRecord]:
    """Read a compacted topic once to the end it has now.

    Args:
        settings: where Kafka is.
        topic: short name of the catalogue.

    Returns:
        the newest record by key. A key that stands in several partitions, as `_beat` does, gives its latest by
        timestamp; `read_newest` keeps them apart.

    Raises:
        TransportError: the topic is not there, or Kafka did not answer.
    """
    newest = await read_newest(settings, topic)
    by_age = sorted(newest.values(), key=lambda record: (record.timestamp, record.offset))
    return {record.key or b"": record for record in by_age}


async def _until_end(reader: AIOKafkaConsumer) -> AsyncIterator[ConsumerRecord]:
    """The records of every assigned partition from the oldest to the end as it is at the start."""
    places = reader.assignment()
    ends: dict[TopicPartition, int] = await reader.end_offsets(places)
    for place, offset in (await reader.beginning_offsets(places)).items():
        reader.seek(place, offset)
    clock = asyncio.get_running_loop().time
    last_at = clock()
    # The end may be a record that compaction took: so the position tells, not the last record that was seen.
    while behind := [place for place in places if await reader.position(place) < ends[place]]:
        found = await reader.getmany(*behind, timeout_ms=_POLL_MS)
        if found:
            last_at = clock()
        elif clock() - last_at > READ_WITHIN_S:
            raise TimeoutError(f"nothing came for {READ_WITHIN_S:.0f} s although the end is not reached")
        for records in found.values():
            for record in records:
                yield record
