"""Where Kafka is and how to enter, for an application: arguments first, then GUARDIAN_* of the environment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.errors import KafkaError

from guardian.sdk.security import security

BOOTSTRAP_VARIABLE: Final = "GUARDIAN_BOOTSTRAP"
PREFIX_VARIABLE: Final = "GUARDIAN_PREFIX"
LEAVE_WITHIN_S: Final = 1.0
REQUEST_TIMEOUT_MS: Final = 10_000
RETRY_BACKOFF_MS: Final = 500
"""While a broker is away aiokafka logs every try: at its own 100 ms that would fill the log of the application."""
_LOOPBACK: Final = ("127.", "localhost", "[::1]")


@dataclass(frozen=True)
class Connection:
    """Everything a client needs in order to connect.

    Args:
        bootstrap: `host:port`, comma separated.
        prefix: of the topics; it names the environment.
        kafka: further arguments of aiokafka's clients, such as `security_protocol`, `ssl_context`, `sasl_mechanism`.
            None for what the environment says of TLS and SASL.
        is_given: whether somebody said where Kafka is.
    """

    bootstrap: str
    prefix: str
    kafka: Mapping[str, Any] | None = None
    is_given: bool = True

    @classmethod
    def find(cls, bootstrap: str | None, prefix: str | None, kafka: Mapping[str, Any] | None = None) -> Connection:
        """Return the connection that arguments and environment name; None means not given."""
        return cls(
            bootstrap=bootstrap or os.environ.get(BOOTSTRAP_VARIABLE, "127.0.0.1:9092"),
            prefix=prefix or os.environ.get(PREFIX_VARIABLE, "guardian"),
            kafka=None if kafka is None else dict(kafka),
            is_given=bool(bootstrap) or BOOTSTRAP_VARIABLE in os.environ,
        )

    @property
    def where(self) -> str:
        """Kafka's address for the log, and that nobody gave it, when nobody did."""
        return self.bootstrap if self.is_given else f"{self.bootstrap} ({BOOTSTRAP_VARIABLE} is not set)"

    def topic(self, name: str) -> str:
        """Return a topic's full name, such as `guardian.flags` for `flags`."""
        return f"{self.prefix}.{name}"

    @property
    def fetch_wait_ms(self) -> int:
        """How long a fetch that finds nothing waits at the broker.

        Kafka answers as soon as there is something. The embedded broker answers only when the wait is over, so that a
        broker on this machine, which is one for trying, is asked often.
        """
        return 20 if self.on_this_machine else 500

    @property
    def on_this_machine(self) -> bool:
        """Whether the broker is on this machine, and so one for trying."""
        return self.bootstrap.startswith(_LOOPBACK)

    def arguments(self) -> dict[str, Any]:
        """Return aiokafka's arguments.

        Raises:
            SettingsError: what the environment says of TLS and SASL cannot be used.
        """
        return {
            "bootstrap_servers": [server.strip() for server in self.bootstrap.split(",")],
            "client_id": f"{self.prefix}-sdk",
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "retry_backoff_ms": RETRY_BACKOFF_MS,
            **(security(os.environ) if self.kafka is None else self.kafka),
        }


async def leave(*closings: Callable[[], Awaitable[None]]) -> None:
    """Close a client, whatever state it is in, each way within LEAVE_WITHIN_S.

    Args:
        closings: the ways, in order: a client whose broker is away does not always get through the first.

    aiokafka 0.14 lets CancelledError out of `stop` when one of its own tasks was waiting to try again; taken for our
    own it would end the caller for good.
    """
    for close in closings:
        with suppress(TimeoutError, KafkaError, OSError, asyncio.CancelledError):
            await asyncio.wait_for(close(), LEAVE_WITHIN_S)
