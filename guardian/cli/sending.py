"""Lines of JSON become Kafka records: checked one by one, sent in bounded batches, counted."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer

from guardian.cli.reading import reached, reaching
from guardian.cli.screen import notes
from guardian.core.events import MAX_SUBJECT_BYTES, fit_text
from guardian.errors import DecodeError
from guardian.kafka.clients import producer
from guardian.kafka.settings import Settings
from guardian.wire.event_fields import parse_object
from guardian.wire.event_hints import Hints, Known
from guardian.wire.events import decode_migration, decode_telemetry

_IN_FLIGHT = 2_000
"""Records sent and not yet acked; then the reading of the file waits."""
_SHOWN_PROBLEMS = 1_000
_PROGRESS_S = 2.0
_ACK_S = 60.0


@dataclass
class Sent:
    """What became of the lines.

    Args:
        telemetry_count, migrations_count: events acked by Kafka.
        bad_count: lines that are no event.
        problems: the first of them: line number from 1, what is wrong.
        hints: what is odd about events that were sent.
    """

    telemetry_count: int = 0
    migrations_count: int = 0
    bad_count: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def count(self, topic: str) -> None:
        """Count one more event for its topic."""
        if topic == "migrations":
            self.migrations_count += 1
        else:
            self.telemetry_count += 1

    def refuse(self, line: int, message: str) -> None:
        """Count a bad line, and keep it while there is room."""
        self.bad_count += 1
        if len(self.problems) < _SHOWN_PROBLEMS:
            self.problems.append((line, message))


class Progress:
    """How far it is, for a person who waits; to stderr, so that stdout stays the answer."""

    def __init__(self) -> None:
        self._shown_at = time.monotonic()

    def show(self, sent: Sent) -> None:
        """Show it, when it was not shown for a while."""
        if time.monotonic() - self._shown_at < _PROGRESS_S:
            return
        self._shown_at = time.monotonic()
        count = sent.telemetry_count + sent.migrations_count
        bad = f", {sent.bad_count:,} bad" if sent.bad_count else ""
        if sys.stderr.isatty():
            notes().print(f"\r{count:,} sent{bad}", end="")
        else:
            notes().print(f"{count:,} sent{bad}")


def read_event(text: bytes) -> tuple[dict[str, object] | None, str]:
    """Return one line as a JSON object, or what is wrong with it."""
    try:
        return parse_object(text), ""
    except DecodeError as error:
        return None, problem_text(error.message, error.fix)


def check_event(text: bytes, topic: str, future_ms: int) -> str:
    """Return why ingest would make a dead letter of an event, and the way out; empty when it would not.

    Args:
        text: one event as JSON.
        topic: `telemetry` or `migrations`.
        future_ms: how far its time may lie ahead.
    """
    decode = decode_migration if topic == "migrations" else decode_telemetry
    try:
        decode(text, time.time_ns() // 1_000_000, future_ms)
    except DecodeError as error:
        return problem_text(error.message, error.fix)
    return ""


def problem_text(message: str, fix: str) -> str:
    """Return what is wrong and what to do about it in one line."""
    return f"{message}: {fix}" if fix else message


def check_lines(lines: Iterable[bytes], topic: str, future_ms: int) -> Sent:
    """Look at every line and send none; `bad_count` and `problems` say what is no event.

    Args:
        lines: JSON Lines.
        topic: `telemetry`, `migrations`, or empty to tell by the line.
        future_ms: how far an event's time may lie ahead.
    """
    found = Sent()
    for number, line in enumerate(lines, 1):
        if text := line.strip():
            _, problem = _examined(text, topic, future_ms)
            if problem:
                found.refuse(number, problem)
    return found


def _examined(text: bytes, topic: str, future_ms: int) -> tuple[tuple[dict[str, object], str] | None, str]:
    """One line as an event and its topic, or what is wrong with it."""
    event, problem = read_event(text)
    if event is None:
        return None, problem
    target = topic or ("migrations" if "event_type" in event else "telemetry")
    problem = check_event(text, target, future_ms)
    return (None, problem) if problem else ((event, target), "")


async def send_lines(settings: Settings, lines: Iterable[bytes], topic: str, known: Known | None = None) -> Sent:
    """Send every line that is an event; empty lines are left out.

    Args:
        settings: where Kafka is.
        lines: JSON Lines.
        topic: `telemetry`, `migrations`, or empty to tell by the line: one with an `event_type` is a migration event.
        known: the rollouts, for hints; None when they are not known.

    Raises:
        TransportError: Kafka did not take them.
    """
    sent = Sent()
    async with reached(producer(settings, linger_ms=5), settings) as sender:
        await _send_all(settings, sender, lines, topic, sent, Hints(known))
    return sent


async def _send_all(
    settings: Settings, sender: AIOKafkaProducer, lines: Iterable[bytes], topic: str, sent: Sent, hints: Hints
) -> None:
    """Read, check, send; every `_IN_FLIGHT` records wait for their acks."""
    waiting: list[asyncio.Future[object]] = []
    progress = Progress()
    for number, line in enumerate(lines, 1):
        if not (text := line.strip()):
            continue
        found, problem = _examined(text, topic, settings.future_ms)
        if found is None:
            sent.refuse(number, problem)
            continue
        event, target = found
        hints.look(text, time.time())
        key = _key(event)
        async with reaching(settings, _ACK_S):
            waiting.append(await sender.send(settings.topic(target), text, key=key))
        sent.count(target)
        if len(waiting) >= _IN_FLIGHT:
            await _acked(settings, waiting)
            progress.show(sent)
    await _acked(settings, waiting)
    sent.hints = hints.sentences()


def _key(event: dict[str, object]) -> bytes | None:
    """The subject, so that one subject's events stay in order, as the SDK does."""
    subject = event.get("subject")
    text = fit_text(subject, MAX_SUBJECT_BYTES) if isinstance(subject, str) else None
    return text.encode() if text else None


async def _acked(settings: Settings, waiting: list[asyncio.Future[object]]) -> None:
    """Wait until Kafka has everything that was sent."""
    async with reaching(settings, _ACK_S):
        await asyncio.gather(*waiting)
    waiting.clear()
