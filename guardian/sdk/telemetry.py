"""The telemetry client: never blocks, never raises; what cannot be sent is dropped and counted."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, Unpack, get_args

from guardian.core.events import Kind, OutcomeWord, SeverityWord
from guardian.sdk.connection import Connection
from guardian.sdk.events import (
    Once,
    Usage,
    encode_event,
    event_time,
    fit_figures,
    fit_variants,
    instance_name,
    positive,
    subject_key,
    subject_text,
)
from guardian.sdk.filing import FileSink
from guardian.sdk.heart import TellsChanges
from guardian.sdk.measurement import Measurement, MeasurementSetup
from guardian.sdk.open_measurements import OpenMeasurements
from guardian.sdk.outbox import Letter
from guardian.sdk.quiet import said
from guardian.sdk.request_fields import MeasureFields, RequestFields
from guardian.sdk.responses import response_in_progress
from guardian.sdk.sending import FLUSH_AT_EXIT_S, KafkaSink, Sink, SinkHooks, TelemetryOptions
from guardian.sdk.served import Served, ServedLike, served_list

MAX_HEARTBEAT_FLAGS: Final = 400
"""The flags whose documents are newest: those are the ones of which guardian wants to know whether they arrived."""

SWEEP_EVERY_S: Final = 0.25
"""How often the sending thread looks for measurements that hang."""

_OUTCOMES: Final[tuple[str, ...]] = get_args(OutcomeWord)
_SEVERITIES: Final[tuple[str, ...]] = get_args(SeverityWord)


_FIELDS: Final = frozenset(RequestFields.__annotations__)


class EvaluationFigures(Protocol):
    """What a heartbeat tells of a provider; GuardianProvider is one."""

    def versions_in_use(self) -> dict[str, int]:
        """Return the flags evaluated here, with their versions."""

    def counts(self) -> Any:
        """Return figures with `evaluation_errors`."""


class Telemetry:
    """Tells guardian how requests went.

    Args:
        service: the application's name; the same for all its instances.
        provider: whose flag versions and evaluation errors the heartbeats tell; None for none.
        bootstrap: Kafka's address; None for GUARDIAN_BOOTSTRAP, else 127.0.0.1:9092.
        prefix: prefix of the topics; None for GUARDIAN_PREFIX, else `guardian`.
        options: bounds, times, instance, a file instead of Kafka.
        answers: types of exceptions that are answers for `measure`, and no errors, beside those with an HTTP status
            below 500.
    """

    def __init__(
        self,
        service: str,
        provider: EvaluationFigures | None = None,
        bootstrap: str | None = None,
        prefix: str | None = None,
        options: TelemetryOptions | None = None,
        *,
        answers: Iterable[type[BaseException]] = (),
    ) -> None:
        options = options or TelemetryOptions()
        connection = Connection.find(bootstrap, prefix, options.kafka)
        self._topic = connection.topic("telemetry")
        self._service = service
        self._instance = instance_name(options.instance)
        self._provider = provider
        self._usage = Usage()
        self._once = Once()
        self.unattributed_count = 0
        """Evaluations that were not told, as the application's own default was served: it belongs to no variant."""
        self._beats = options.path is None and options.heartbeat_s > 0
        self._beating = threading.Lock()
        self._is_gone = False
        self._next_sweep_s = 0.0
        self._open = OpenMeasurements()
        self.left_out_count = 0
        """Fields that guardian could not have used, such as a latency of NaN: left out, and the event was sent."""
        self._sink: Sink
        hooks = SinkHooks(self.heartbeat, self._sweep, self._farewell)
        if options.path is not None:
            self._sink = FileSink(Path(options.path), options, hooks)
        else:
            kafka = KafkaSink(connection, options, hooks)
            self._sink = kafka
            if self._beats:
                kafka.start()
            if isinstance(provider, TellsChanges):
                provider.tell_changes(kafka.heart)
        self._measuring = MeasurementSetup(
            self._open, options.hang_after_s, tuple(answers), self.request, self._sink.start
        )
        _living.add(self)

    @property
    def dropped(self) -> int:
        """Events that were not delivered so far."""
        return self._sink.outbox.dropped

    @property
    def delivered(self) -> int:
        """Events that Kafka has acknowledged so far."""
        return self._sink.outbox.delivered

    @property
    def failures(self) -> int:
        """Connections that failed so far."""
        return self._sink.failures

    def request(
        self, served: ServedLike | Iterable[ServedLike] | None = None, /, **fields: Unpack[RequestFields]
    ) -> None:
        """Tell how a request went; several evaluations make one event each, so that each keeps its version.

        Args:
            served: the evaluation, or several, that the request depended on.
            fields: see RequestFields. An outcome `crash` is sent at once.
        """
        try:
            outcome = fields.get("outcome", "ok")
            _check_word("outcome", outcome, _OUTCOMES)
            urgent = outcome == "crash"
            if unknown := fields.keys() - _FIELDS:
                self._once.warn("left out, as a request has no such field: %.200s", ", ".join(sorted(unknown)))
            if served is None and "flags" in fields:
                event = {"ts": event_time(fields.get("ts")), "flags": self._variants(fields["flags"])}
                self._send(event | self._request(fields), urgent=urgent)
                return
            for one in self._told(served, fields):
                self._send(self._stamped(one, fields), urgent=urgent)
        except Exception as error:
            self._lost(error)

    def measure(
        self, served: ServedLike | Iterable[ServedLike] | None = None, /, **fields: Unpack[MeasureFields]
    ) -> Measurement:
        """Time a block and tell once how it went; an exception goes on its way.

        An exception is the outcome `error`, unless it is an answer (see `is_answer`). A TimeoutError and a
        cancellation are `timeout`, and so is a block that nobody can end any more. A block that is open for longer
        than `hang_after_s` is told as `hang` while it is still open, and its later end is not told again.

        Args:
            served: the evaluation, or several, that the block depends on.
            fields: see MeasureFields; an `outcome` given here, or set on the measurement, is kept.

        Returns:
            a context manager for `with` and for `async with`. It does not wait for anything, so both serve async code.
        """
        return Measurement(self._measuring, served, fields)

    def measure_response(
        self, served: ServedLike | Iterable[ServedLike] | None = None, /, **fields: Unpack[MeasureFields]
    ) -> Measurement:
        """Time the response of the HTTP request that is being handled, from now to the end of its body.

        Needs `GuardianAsgiMiddleware` (guardian.sdk.asgi) or `GuardianWsgiMiddleware` (guardian.sdk.wsgi) around the
        application; without one nothing is told, the log says so, and the event counts as dropped.

        Args:
            served: the evaluation, or several, that the response depends on.
            fields: see MeasureFields; an `outcome` given here, or set on the measurement, is kept.

        Returns:
            the measurement; it ends by itself.
        """
        measurement = Measurement(self._measuring, served, fields)
        response = response_in_progress()
        if response is None:
            self._lost(ValueError("measure_response outside of a request that guardian's middleware sees"))
        else:
            response.add(measurement)
        return measurement

    def exposure(self, served: ServedLike, *, subject: str | None = None) -> None:
        """Tell that a subject came to see its variant, when that is not the same as a request."""
        self._tell(Kind.EXPOSURE, served, subject=subject_text(subject))

    def gauge(self, flag: str, metrics: Mapping[str, float]) -> None:
        """Tell figures of this instance, such as the length of a queue, judged against the service's own past.

        Args:
            flag: the rollout that shall be judged by them; figures for several rollouts are told once for each.
            metrics: the figures by name, as `gauge NAME` in a rule.
        """
        try:
            if not flag:
                raise ValueError("a gauge without a flag: it is judged for the rollout of that flag")
            figures = self._figures(metrics)
            if not figures:
                raise ValueError("a gauge without a figure")
            self._tell(Kind.GAUGE, Served(flag, ""), metrics=figures)
        except Exception as error:
            self._lost(error)

    def feedback(
        self, served: ServedLike, feedback: str, *, severity: SeverityWord = "warning", subject: str | None = None
    ) -> None:
        """Tell what a person said, such as a complaint.

        Args:
            served: the evaluation that it is about.
            feedback: a word, such as `complaint`.
            severity: info, warning or critical.
            subject: who said it.
        """
        known = severity if severity in _SEVERITIES else None
        if known is None:
            self._left_out("severity", f"{severity!r:.80} is none of {', '.join(_SEVERITIES)}")
        self._tell(Kind.FEEDBACK, served, feedback=feedback, severity=known, subject=subject_text(subject))

    def heartbeat(self) -> None:
        """Tell that this instance is alive, and by which documents it evaluates; done by itself every 5 seconds."""
        try:
            self._sweep()
            with self._beating:
                if not self._is_gone:
                    self._beat()
        except Exception as error:
            self._lost(error)

    def _beat(self, bye: bool | None = None) -> None:
        versions = self._provider.versions_in_use() if self._provider is not None else {}
        newest = sorted(versions.items(), key=lambda item: item[1], reverse=True)[:MAX_HEARTBEAT_FLAGS]
        errors = self._provider.counts().evaluation_errors if self._provider is not None else 0
        open_count, open_max_ms = self._open.figures(time.perf_counter())
        event = {"ts": time.time(), "kind": str(Kind.HEARTBEAT), **self._origin(), "flags": dict(newest)}
        event |= {"dropped": self.dropped, "evaluation_errors": errors}
        event |= {"open": open_count, "open_max_ms": open_max_ms, "bye": bye}
        event |= {"memory_bytes": self._usage.memory_bytes(), "cpu_pct": self._usage.cpu_pct()}
        self._send(event)

    def _sweep(self) -> None:
        """Tell the measurements that hang; called in every round of the sending thread."""
        now_s = time.perf_counter()
        if now_s < self._next_sweep_s:
            return
        self._next_sweep_s = now_s + SWEEP_EVERY_S
        for measurement in self._open:
            measurement.tell_hang(now_s)

    def _farewell(self) -> None:
        """Tell what is still open, as nobody will hear of its end, and say goodbye; called once, before the end."""
        try:
            for measurement in self._open:
                measurement.abandon()
            # Under the lock, so that no heartbeat comes after the goodbye.
            with self._beating:
                was_gone, self._is_gone = self._is_gone, True
                if self._beats and not was_gone:
                    self._beat(bye=True)
        except Exception as error:
            self._lost(error)

    def _begin_in_child(self) -> None:
        """In a forked child: what is open is its parent's to tell, and a lock may be held by a thread that is gone."""
        self._beating = threading.Lock()
        self._open.disown()

    def flush(self, timeout_s: float = FLUSH_AT_EXIT_S) -> bool:
        """Wait until everything told so far is delivered or dropped; false when the time was up first."""
        return self._sink.flush(timeout_s)

    def close(self, timeout_s: float = FLUSH_AT_EXIT_S) -> bool:
        """Say goodbye, flush, and end; done by itself when the process ends.

        Measurements that are still open are told as `timeout`. What is told later is dropped and counted.
        """
        return self._sink.close(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _told(self, served: ServedLike | Iterable[ServedLike] | None, fields: RequestFields) -> list[Served]:
        if served is None:
            if "flag" not in fields or "variant" not in fields:
                raise ValueError("of which flag? Give the evaluation's details, or flag= and variant=, or flags=")
            version, assignment = fields.get("flag_version", 0), fields.get("assignment", "")
            return [Served(fields["flag"], fields["variant"], version, assignment)]
        found = served_list(served)
        told = [one for one in found if one.variant]
        self.unattributed_count += len(found) - len(told)
        return told

    def _stamped(self, served: Served, fields: RequestFields) -> dict[str, Any]:
        # The order of ingest's fast decoder.
        return {
            "ts": event_time(fields.get("ts")),
            "flag": served.flag,
            "variant": served.variant,
            **self._request(fields),
            "flag_version": served.version or None,
            "assignment": served.assignment,
        }

    def _request(self, fields: RequestFields) -> dict[str, Any]:
        return {
            "outcome": fields.get("outcome", "ok"),
            "latency_ms": self._latency(fields.get("latency_ms")),
            **self._origin(),
            "error_type": fields.get("error_type"),
            "subject": subject_text(fields.get("subject")),
            "attributes": self._attributes(fields.get("attributes")),
            "metrics": self._figures(fields.get("metrics")),
        }

    def _latency(self, given: Any) -> float | None:
        latency_ms = positive(given)
        if latency_ms is None and given is not None:
            self._left_out("latency_ms", f"as {given!r:.80} is no time")
        return latency_ms

    def _attributes(self, given: Any) -> dict[str, Any] | None:
        if given is not None and not isinstance(given, Mapping):
            self._left_out("attributes", "as they are no names with values")
            return None
        return None if given is None else dict(given)

    def _variants(self, given: Mapping[str, Any]) -> dict[str, str]:
        """The flags that can be meant, of which there must be one; the others would cost the whole event."""
        flags, whole = fit_variants(given)
        if not flags:
            raise ValueError("no flag with its variant in flags")
        if not whole:
            self._left_out("flags", "some of them, as they are no names with their variants, or too many")
        return flags

    def _figures(self, given: Any) -> dict[str, float]:
        """The figures that can be meant; the others would cost the whole event."""
        found, odd = fit_figures(given)
        if odd:
            self._left_out("metrics", f"as they are no number that can be meant: {', '.join(sorted(odd)):.200}")
        return found

    def _left_out(self, name: str, why: str = "as guardian could not use it") -> None:
        self.left_out_count += 1
        self._once.warn("%s left out, %s", name, why)

    def _origin(self) -> dict[str, str]:
        return {"service": self._service, "instance": self._instance()}

    def _tell(self, kind: Kind, served: ServedLike, **fields: Any) -> None:
        try:
            (one,) = served_list(served)
            event = {"ts": time.time(), "kind": str(kind), "flag": one.flag, "variant": one.variant, **self._origin()}
            event |= {"flag_version": one.version or None, "assignment": one.assignment, **fields}
            self._send(event)
        except Exception as error:
            self._lost(error)

    def _send(self, event: dict[str, Any], *, urgent: bool = False) -> None:
        key = subject_key(event.get("subject"))
        self._sink.send(Letter(self._topic, key, encode_event(event, self._left_out)), urgent=urgent)

    def _lost(self, error: Exception) -> None:
        self._sink.outbox.refuse()
        self._once.warn("an event was not sent, and is counted as dropped: %s", said(error))


def _check_word(field: str, given: str, words: tuple[str, ...]) -> None:
    if given not in words:
        raise ValueError(f"the {field} {given!r} is none of {', '.join(words)}")


_living: weakref.WeakSet[Telemetry] = weakref.WeakSet()


def _begin_all_in_child() -> None:
    for telemetry in list(_living):
        telemetry._begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all_in_child)
