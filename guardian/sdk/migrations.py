"""`log_migration_event`: how a migrated component fared, with or without a flag evaluated beside it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from guardian.core.events import MigrationType
from guardian.sdk.connection import BOOTSTRAP_VARIABLE, Connection
from guardian.sdk.events import Once, encode_event, instance_name, positive
from guardian.sdk.filing import FileSink
from guardian.sdk.outbox import Letter
from guardian.sdk.sending import FLUSH_AT_EXIT_S, KafkaSink, Sink, TelemetryOptions

_TYPES: Final = tuple(str(kind) for kind in MigrationType)


class _Migrations:
    """The default client of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sink: Sink | None = None
        self._topic = ""
        self._service = ""
        self._instance = instance_name("")
        self._once = Once()
        self.dropped_unconfigured = 0
        self.left_out_count = 0

    def configure(self, connection: Connection, service: str, options: TelemetryOptions) -> None:
        with self._lock:
            before, self._sink = self._sink, None
            self._topic = connection.topic("migrations")
            self._service = service
            self._instance = instance_name(options.instance)
            if options.path is not None:
                self._sink = FileSink(Path(options.path), options)
            else:
                self._sink = KafkaSink(connection, options)
        if before is not None:
            before.close(FLUSH_AT_EXIT_S)

    def log(self, event: dict[str, Any]) -> None:
        try:
            if event["event_type"] not in _TYPES:
                raise ValueError(f"event_type {event['event_type']!r} is none of {', '.join(_TYPES)}")
            sink = self._find_sink()
            if sink is not None:
                event = {
                    **event,
                    "component": str(event["component"]),
                    "service": self._service,
                    "instance": self._instance(),
                }
                value = encode_event(event, self._left_out)
                sink.send(Letter(self._topic, event["component"].encode(errors="replace"), value))
                return
            self.dropped_unconfigured += 1
            self._once.warn(
                "migration events are dropped: call guardian.sdk.configure(...) or set %s", BOOTSTRAP_VARIABLE
            )
        except Exception as error:
            self._refuse(error)

    def seconds(self, duration: Any) -> float | None:
        seconds = positive(duration)
        if seconds is None and duration is not None:
            self._left_out("duration", f"as {duration!r:.80} is no time")
        return seconds

    def _left_out(self, name: str, why: str = "as guardian could not use it") -> None:
        self.left_out_count += 1
        self._once.warn("%s left out, %s", name, why)

    @property
    def dropped(self) -> int:
        sink = self._sink
        return self.dropped_unconfigured + (sink.outbox.dropped if sink is not None else 0)

    def flush(self, timeout_s: float) -> bool:
        sink = self._sink
        return True if sink is None else sink.flush(timeout_s)

    def _find_sink(self) -> Sink | None:
        if self._sink is None and os.environ.get(BOOTSTRAP_VARIABLE):
            self.configure(Connection.find(None, None), "", TelemetryOptions())
        return self._sink

    def _refuse(self, error: Exception) -> None:
        sink = self._sink
        if sink is not None:
            sink.outbox.refuse()
        else:
            self.dropped_unconfigured += 1
        self._once.warn("a migration event was not sent, and is counted as dropped: %s", error)


_default: Final = _Migrations()


def configure(
    bootstrap: str | None = None,
    prefix: str | None = None,
    path: str | os.PathLike[str] | None = None,
    service: str = "",
) -> None:
    """Say where `log_migration_event` sends to; not needed when GUARDIAN_BOOTSTRAP is set.

    Args:
        bootstrap: Kafka's address; None for GUARDIAN_BOOTSTRAP, else 127.0.0.1:9092.
        prefix: prefix of the topics; None for GUARDIAN_PREFIX, else `guardian`.
        path: a file to which events go as JSON Lines, instead of Kafka.
        service: the application's name.
    """
    _default.configure(Connection.find(bootstrap, prefix), service, TelemetryOptions(path=path))


def log_migration_event(
    component: str,
    event_type: str,
    duration: float | None = None,
    metadata: Mapping[str, Any] | None = None,
    **fields: Any,
) -> None:
    """Tell how a migrated component fared. Never blocks, never raises; unconfigured it is a counted drop.

    Args:
        component: its name; the spec's `components` say which flag it belongs to.
        event_type: success, failure, fallback or dual_run.
        duration: how long it took, in seconds.
        metadata: anything; `feature_flag_enabled` says whether the candidate ran.
        fields: further fields of the event, such as `flag`, `variant`, `match`, `control_ms`, `candidate_ms`.
    """
    _default.log(
        {
            "ts": time.time(),
            "component": component,
            "event_type": str(event_type),
            "duration": _default.seconds(duration),
            "metadata": dict(metadata) if isinstance(metadata, Mapping) else metadata,
            **fields,
        }
    )


def dropped_migration_events() -> int:
    """Return how many migration events were dropped in this process so far."""
    return _default.dropped


def left_out_migration_fields() -> int:
    """Return how many fields of migration events were left out so far, as guardian could not have used them."""
    return _default.left_out_count


def flush_migration_events(timeout_s: float = FLUSH_AT_EXIT_S) -> bool:
    """Wait until every migration event is delivered or dropped; false when the time was up first."""
    return _default.flush(timeout_s)
