"""Events from applications without a Kafka client: checked one by one, the good ones written, the bad ones named."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from guardian.core.events import MAX_SUBJECT_BYTES, fit_text
from guardian.errors import DecodeError
from guardian.kafka.settings import Settings
from guardian.serve import metrics
from guardian.serve.board import Board
from guardian.serve.declared import Declared
from guardian.serve.faults import Refused
from guardian.serve.writing import Writer
from guardian.wire.event_fields import parse_object
from guardian.wire.event_hints import Hints
from guardian.wire.events import decode_migration, decode_telemetry
from guardian.wire.json_split import split_array

JSON_LINES: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)
MAX_EVENTS: Final = 10_000
"""Of one request."""
LISTED_REFUSALS: Final = 1_000
MAX_MESSAGE_CHARS: Final = 300
CHECKED_AT_ONCE: Final = 50
"""Then everybody else gets a turn: checking an event takes about 10 microseconds, and four bodies are checked by turns.
Threads would be slower for the others: the lock of the interpreter changes hands every 5 ms only."""
MAX_COMMAS: Final = 50 * MAX_EVENTS
COMMA_BYTES: Final = 16
"""An array with more than MAX_COMMAS and one for each COMMA_BYTES is not taken apart: millions of tiny values take as
many tenths of a second, and nobody else would get a turn."""
HINTED_EVENTS: Final = 1_000
"""Of one request: the first good ones are looked at for what was hardly meant so."""


_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


def split_events(body: bytes, kind: str) -> list[bytes]:
    """Return the events of a body, none of them checked.

    Args:
        body: JSON Lines, one JSON object, or a JSON array.
        kind: its media type; JSON unless it is one of JSON_LINES, or the body can be nothing else.

    Returns:
        one text per event; in JSON Lines an empty line is an empty text, so that the index is the line's.

    Raises:
        Refused: not JSON at all, or too many events.
    """
    if kind in JSON_LINES or _is_json_lines(body):
        if body.count(b"\n") > MAX_EVENTS:
            raise _too_many()
        events = [line.strip() for line in body.split(b"\n")]
    elif body.lstrip()[:1] == b"[":
        if body.count(b",") > MAX_COMMAS + len(body) // COMMA_BYTES:
            raise _too_many()
        found: Sequence[bytes | msgspec.Raw] | None
        try:
            found = _array.decode(body)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            # Something in it is no JSON, such as NaN: the event in which it stands pays for it, not the others.
            if (found := split_array(body, MAX_EVENTS)) is None:
                message, fix = str(error)[:MAX_MESSAGE_CHARS], "send a JSON array of events"
                raise Refused(HTTPStatus.BAD_REQUEST, "malformed_json", message, fix) from error
        if len(found) > MAX_EVENTS:
            raise _too_many()  # before each is looked at: two million would hold everybody up for two seconds
        events = [_in_one_line(bytes(event)) for event in found]
    elif body.strip():
        events = [_in_one_line(body.strip())]
    else:
        raise Refused(HTTPStatus.BAD_REQUEST, "malformed_json", "an empty body", "send an event, or several")
    if len(events) > MAX_EVENTS:
        raise _too_many()
    return events


def _is_json_lines(body: bytes) -> bool:
    """Whether the first line is an object by itself and more follows: no one JSON value is like that."""
    first, _, rest = body.strip().partition(b"\n")
    if not rest or first[:1] != b"{":
        return False
    try:
        parse_object(first.strip())
    except DecodeError:
        return False
    return True


def _too_many() -> Refused:
    message = f"more than {MAX_EVENTS:,} events"
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_many", message, "send fewer at a time")


async def take_events(events: list[bytes], settings: Settings, writer: Writer, board: Board) -> dict[str, Any]:
    """Check events, write the good ones, and say which were refused, and what is odd about the others.

    Args:
        events: one text each.
        settings: the installation.
        writer: the way to Kafka.
        board: the read models.

    Returns:
        the body of the answer: `accepted`, `refused_count`, `refused` with index, reason, message and fix, and `hints`.

    Raises:
        TransportError: Kafka did not ack all of them; some may count nevertheless.
    """
    good: dict[str, list[tuple[bytes | None, bytes]]] = {"telemetry": [], "migrations": []}
    refused: list[dict[str, Any]] = []
    refused_count = 0
    hints = Hints(Declared(board.rollouts) if board.live else None)
    now_ms = time.time_ns() // 1_000_000
    for index, event in enumerate(events):
        if index % CHECKED_AT_ONCE == CHECKED_AT_ONCE - 1:
            await asyncio.sleep(0)
        if not event.strip():
            continue
        try:
            topic, key = _checked(event, now_ms, settings.future_ms)
        except DecodeError as error:
            metrics.BAD_EVENTS.labels(error.reason).inc()
            refused_count += 1
            if len(refused) < LISTED_REFUSALS:
                message = error.message[:MAX_MESSAGE_CHARS]
                refused.append({"index": index, "reason": error.reason, "message": message, "fix": error.fix})
            continue
        good[topic].append((key, event))
        if index < HINTED_EVENTS:
            hints.look(event, now_ms / 1_000)
    accepted = await _write(good, writer)
    answer = {"ok": not refused_count, "accepted": accepted, "refused_count": refused_count, "refused": refused}
    return {**answer, "hints": hints.sentences()}


async def _write(good: dict[str, list[tuple[bytes | None, bytes]]], writer: Writer) -> int:
    """Write what is good, by topic; returns how many."""
    for topic, records in good.items():
        if records:
            await writer.send_many(topic, records)
            metrics.EVENTS.labels(topic).inc(len(records))
    return sum(map(len, good.values()))


def _checked(event: bytes, now_ms: int, future_ms: int) -> tuple[str, bytes | None]:
    """The topic and the key of one event.

    Raises:
        DecodeError: what ingest would put among the dead letters.
    """
    if b"event_type" in event and "event_type" in parse_object(event):
        decode_migration(event, now_ms, future_ms)
        return "migrations", None
    decode_telemetry(event, now_ms, future_ms)
    return "telemetry", _subject(event)


def _subject(event: bytes) -> bytes | None:
    """The record's key, as the SDK writes it; a subject that is no text makes none, and the event counts."""
    subject = parse_object(event).get("subject") if b"subject" in event else None
    text = fit_text(subject, MAX_SUBJECT_BYTES) if isinstance(subject, str) else None
    return text.encode() if text else None


def _in_one_line(event: bytes) -> bytes:
    """JSON without line breaks, which ingest reads fastest; left as it is when it is not JSON."""
    if b"\n" not in event:
        return event
    try:
        return msgspec.json.format(event, indent=-1)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return event
