"""Sending events to Kafka from a thread of its own: in batches, a few times a second, at once when it is urgent."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from guardian.core.events import HEARTBEAT_SECONDS
from guardian.errors import SettingsError
from guardian.sdk.connection import Connection, leave
from guardian.sdk.heart import Heart
from guardian.sdk.outbox import MAX_BYTES, MAX_EVENTS, Letter, Outbox
from guardian.sdk.quiet import TELEMETRY_THREAD, quieten_aiokafka, said

FLUSH_AT_EXIT_S: Final = 2.0
HANG_AFTER_S: Final = 60.0
_BATCH_BYTES: Final = 128 * 1024
_ROUND: Final = 5_000
_log = logging.getLogger("guardian.sdk")


@dataclass(frozen=True)
class TelemetryOptions:
    """What few applications need to change.

    Args:
        instance: this process's name; empty for host name and process id.
        path: a file to which events go as JSON Lines, instead of Kafka.
        max_events: events that wait at most; beyond it the oldest are dropped and counted.
        max_bytes: bytes that wait at most.
        linger_s: how long an event that is not urgent waits for company at most.
        deliver_within_s: a batch that Kafka has not acknowledged by then is dropped, and counted.
        backoff_s: the first wait after a failure; it doubles up to `backoff_most_s`.
        backoff_most_s: the longest wait after a failure.
        heartbeat_s: how often an instance says that it is alive; 0 for never.
        heartbeat_soon_s: when a flag that it has evaluated changes, it says so at a random moment within so many
            seconds: a thousand instances do not all speak in the same one.
        hang_after_s: a measurement that makes no progress for so many seconds is told as `hang`, while it is still
            open; None for never. `measure(..., hang_after_s=...)` says it for one block.
        kafka: further arguments of aiokafka's clients, such as `security_protocol`, `ssl_context`, `sasl_mechanism`;
            None for what the environment says of TLS and SASL.
    """

    instance: str = ""
    path: str | os.PathLike[str] | None = None
    max_events: int = MAX_EVENTS
    max_bytes: int = MAX_BYTES
    linger_s: float = 0.05
    deliver_within_s: float = 15.0
    backoff_s: float = 0.2
    backoff_most_s: float = 5.0
    heartbeat_s: float = HEARTBEAT_SECONDS
    heartbeat_soon_s: float = 1.0
    hang_after_s: float | None = HANG_AFTER_S
    kafka: Mapping[str, Any] | None = None


def _nothing() -> None:
    """What a client without heartbeats and measurements has to say."""


class SinkHooks(NamedTuple):
    """What a sink calls of the client that it sends for. Each may send, and none may raise.

    Args:
        beat: says that this instance is alive, every `heartbeat_s` and soon after a change; None for never.
        sweep: called in every round, some times a second.
        farewell: called once, before the last flush, if anything was begun in this process.
    """

    beat: Callable[[], None] | None = None
    sweep: Callable[[], None] = _nothing
    farewell: Callable[[], None] = _nothing


class Sink(Protocol):
    """Where events go: Kafka, or a file."""

    outbox: Outbox
    failures: int

    def start(self) -> None:
        """Start the thread, if it does not run."""

    def send(self, letter: Letter, *, urgent: bool = False) -> None:
        """Take an event; never blocks, never raises."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until what was taken is gone; false when the time was up first."""

    def close(self, timeout_s: float) -> bool:
        """Flush, and end; what is sent later is dropped and counted."""


class KafkaSink:
    """Sends to Kafka on its own thread, which starts with the first event.

    Args:
        connection: where Kafka is.
        options: bounds and times.
        hooks: what is called on that thread, and at the end.
    """

    def __init__(
        self, connection: Connection, options: TelemetryOptions | None = None, hooks: SinkHooks | None = None
    ) -> None:
        self._connection = connection
        self._options = options or TelemetryOptions()
        self._hooks = hooks or SinkHooks()
        self.heart = Heart(self._hooks.beat, self._options.heartbeat_s, self._options.heartbeat_soon_s)
        self._closed = False
        self._begin()
        _living.add(self)

    def _begin(self) -> None:
        """A new outbox and no thread yet: at the start, and in a forked child, which inherits no thread."""
        self.outbox = Outbox(self._options.max_events, self._options.max_bytes)
        self.failures = 0
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._stopping = threading.Event()
        self._hurry = False
        self._turn = 0
        self._topics: set[str] = set()
        self._problem = ""
        self.heart.rest()

    def send(self, letter: Letter, *, urgent: bool = False) -> None:
        """Take an event; never blocks, never raises.

        Args:
            letter: the event.
            urgent: send it now, with everything that waits.
        """
        if self._closed:
            self.outbox.refuse()
            return
        self.outbox.put(letter)
        if self._thread is None:
            self.start()
        if urgent:
            self._wake_up()

    def start(self) -> None:
        """Start the thread, if it does not run. Waits for no lock: whoever holds it is starting the thread."""
        if self._thread is None and not self._closed and self._starting.acquire(blocking=False):
            try:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name=TELEMETRY_THREAD, daemon=True)
                    thread.start()
                    self._thread = thread
            finally:
                self._starting.release()

    def flush(self, timeout_s: float) -> bool:
        """Wait until what was taken is delivered or dropped; false when the time was up first."""
        self._wake_up()
        return self.outbox.wait_settled(timeout_s)

    def close(self, timeout_s: float = FLUSH_AT_EXIT_S) -> bool:
        """Say goodbye, flush, and end the thread; returns whether everything was delivered or dropped in time."""
        if self._closed:
            return True
        if self._thread is not None:  # a forked child that did nothing has no goodbye to say
            self._hooks.farewell()
        self._closed = True
        done = self.flush(timeout_s) if self._thread is not None else True
        self._stopping.set()
        self._wake_up()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
        left = self.outbox.take(self._options.max_events)
        self.outbox.settle(dropped=len(left))
        if left:
            _log.warning("events that were not sent before the end, and are dropped: %d", len(left))
        _living.discard(self)
        return done

    def _wake_up(self) -> None:
        self._hurry = True  # also for a loop that is only coming
        loop = self._loop
        if loop is not None and not self._wake.is_set():
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._wake.set)

    def _run(self) -> None:
        quieten_aiokafka()
        wait_s = self._options.backoff_s
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                # A loop of its own for each connection: whatever a failed client left running ends with it.
                asyncio.run(self._session())
            except (KafkaError, SettingsError, OSError, TimeoutError, asyncio.CancelledError) as error:
                self._failed(error)
            except Exception as error:
                self._failed(error)
                _log.exception("sending telemetry: unexpected")
            finally:
                self._loop = None
            if self._stopping.is_set():
                return
            if time.monotonic() - began > self._options.backoff_most_s:
                wait_s = self._options.backoff_s
            self._stopping.wait(wait_s)
            wait_s = min(wait_s * 2, self._options.backoff_most_s)

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        problem = said(error)
        if problem != self._problem:
            _log.warning("sending to %s: %s; trying again", self._connection.where, problem)
        self._problem = problem

    async def _session(self) -> None:
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        producer = AIOKafkaProducer(
            **{
                **self._connection.arguments(),
                "enable_idempotence": True,
                "acks": "all",
                "max_batch_size": _BATCH_BYTES,
            }
        )
        beating = asyncio.create_task(self.heart.run())
        try:
            await producer.start()
            while not self._stopping.is_set():
                self._hooks.sweep()
                if not self._hurry:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), self._options.linger_s)
                # Forgotten before the events are taken: whoever is in a hurry has put his event in before he says so.
                self._hurry = False
                self._wake.clear()
                if letters := self.outbox.take(_ROUND):
                    await self._deliver(producer, letters)
                    self._problem = ""
        finally:
            beating.cancel()
            await leave(producer.stop, producer.client.close)

    async def _deliver(self, producer: AIOKafkaProducer, letters: list[Letter]) -> None:
        """Send one round, and settle every one of its events whatever happens."""
        delivered = 0
        try:
            async with asyncio.timeout(self._options.deliver_within_s):
                sent = [
                    (count, future)
                    for topic in sorted({letter.topic for letter in letters})
                    for count, future in await self._hand_over(producer, topic, letters)
                ]
                answers = await asyncio.gather(*(future for _, future in sent), return_exceptions=True)
            delivered = sum(
                count for (count, _), answer in zip(sent, answers, strict=True) if not isinstance(answer, BaseException)
            )
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
        finally:
            # What was not acknowledged counts as dropped, though it may have arrived: it is never sent twice.
            self.outbox.settle(delivered=delivered, dropped=len(letters) - delivered)

    async def _hand_over(
        self, producer: AIOKafkaProducer, topic: str, letters: list[Letter]
    ) -> list[tuple[int, asyncio.Future[Any]]]:
        # Whole batches go round the partitions: a key decides nothing here, ingest sums them all.
        partitions = await self._partitions(producer, topic)
        batch = producer.create_batch()
        sent = []
        for letter in letters:
            if letter.topic != topic:
                continue
            if batch.append(key=letter.key, value=letter.value, timestamp=None) is None:
                sent.append(await self._send(producer, topic, partitions, batch))
                batch = producer.create_batch()
                batch.append(key=letter.key, value=letter.value, timestamp=None)
        sent.append(await self._send(producer, topic, partitions, batch))
        return sent

    async def _partitions(self, producer: AIOKafkaProducer, topic: str) -> list[int]:
        if topic not in self._topics:
            # Asking Kafka for a topic by name may create it, with wrong settings. The embedded broker wants just that.
            cluster = await producer.client.fetch_all_metadata()
            if topic not in cluster.topics() and not self._connection.on_this_machine:
                raise KafkaError(f"there is no topic {topic}; is the prefix right (GUARDIAN_PREFIX)?")
            self._topics.add(topic)
        return sorted(await producer.partitions_for(topic))

    async def _send(
        self, producer: AIOKafkaProducer, topic: str, partitions: list[int], batch: Any
    ) -> tuple[int, asyncio.Future[Any]]:
        count: int = batch.record_count()
        batch.close()
        self._turn += 1
        future = await producer.send_batch(batch, topic, partition=partitions[self._turn % len(partitions)])
        return count, future


_living: weakref.WeakSet[KafkaSink] = weakref.WeakSet()


def _close_all() -> None:
    for sink in list(_living):
        sink.close(FLUSH_AT_EXIT_S)


def _begin_anew() -> None:
    for sink in list(_living):
        sink._begin()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
