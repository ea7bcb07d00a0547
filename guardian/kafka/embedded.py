"""A Kafka broker inside this process, for trying and for tests: librdkafka's mock cluster behind a real TCP listener.

It has 4 partitions per topic, creates topics when a client first asks for them, lets one member into a group, stamps
records with the writer's time, forgets everything at the end, and keeps about 5 MB per partition: never production.
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Any, Final

from guardian.errors import SettingsError, TransportError

START_WITHIN_S: Final = 10.0
_POLL_S: Final = 0.1


class EmbeddedBroker:
    """An async context manager: the broker lives as long as the block.

    Several may run in one process; each has its own port on 127.0.0.1.
    """

    def __init__(self) -> None:
        self._bootstrap = ""
        self._cluster: Any = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def bootstrap(self) -> str:
        """The address for clients, such as `127.0.0.1:41231`.

        Raises:
            TransportError: the broker does not run.
        """
        if not self._bootstrap:
            raise TransportError("the embedded broker does not run", "enter its block first", retriable=False)
        return self._bootstrap

    def start(self) -> str:
        """Start the broker, and return its address.

        Raises:
            SettingsError: the package that carries the broker is not installed.
            TransportError: it did not come up, or runs already.
        """
        if self._thread is not None:
            raise TransportError("the embedded broker runs already", retriable=False)
        try:
            from confluent_kafka import KafkaException, Producer  # noqa: PLC0415 (an extra: only who embeds needs it)
        except ImportError as error:
            raise SettingsError(
                "the embedded broker needs the package confluent-kafka",
                "pip install 'rollout-guardian[embedded]', in a clone of the repository pip install '.[embedded]'",
            ) from error
        # Step 1: the cluster belongs to a librdkafka client, and lives as long as that client; it replaces the address.
        self._cluster = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
        # Step 2: the client knows the address that the cluster took.
        try:
            brokers = self._cluster.list_topics(timeout=START_WITHIN_S).brokers
        except KafkaException as error:
            self._cluster = None
            raise TransportError(f"the embedded broker did not start: {error}", retriable=True) from error
        self._bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers.values())
        # Step 3: its client wants to be polled; a thread of its own, so that a busy event loop holds nothing up.
        self._stopping.clear()
        self._thread = threading.Thread(target=self._poll, name="embedded-broker", daemon=True)
        self._thread.start()
        return self._bootstrap

    def stop(self) -> None:
        """End the broker; everything it held is gone. Does nothing when it does not run."""
        if self._thread is None:
            return
        self._stopping.set()
        self._thread.join()
        self._thread = None
        self._bootstrap = ""
        self._cluster = None

    async def __aenter__(self) -> EmbeddedBroker:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._cluster.poll(_POLL_S)
