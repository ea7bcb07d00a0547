"""Dead letters: why a message could not be read stands in headers, and is read back for people without its value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from guardian.errors import DecodeError, DecodeReason

REASON: Final = "guardian-reason"
DETAIL: Final = "guardian-detail"
SOURCE: Final = "guardian-source"
TRUNCATED: Final = "guardian-truncated"
"""The whole size in bytes, where the value was cut off."""
MAX_BYTES: Final = 900_000
"""The original bytes beyond this are cut off: with its headers a dead letter must still fit into a record."""
MAX_DETAIL_BYTES: Final = 1_000
_NAME_CHARS: Final = 200
_MAX_FLAGS: Final = 16


class Letter(Struct, frozen=True):
    """A dead letter as people read it. The value is not in it: it may hold personal data.

    Args:
        id: its own place among the dead letters, partition/offset.
        at_ms: when it was put there, Unix milliseconds.
        reason: one word.
        detail: a sentence; empty when the letter does not say.
        service, flags: who sent it and whose it is, as far as the value can be read; at most 16 flags.
        topic, partition, offset: where the message stands that could not be read; empty and -1 when it does not say.
        size: of the whole value, in bytes.
    """

    id: str
    at_ms: int
    reason: str
    detail: str
    service: str
    flags: list[str]
    topic: str
    partition: int
    offset: int
    size: int

    @property
    def source(self) -> str:
        """The place of the message, topic/partition/offset; empty when the letter does not say."""
        return f"{self.topic}/{self.partition}/{self.offset}" if self.topic else ""


def dead_letter_record(
    key: bytes | None, value: bytes | None, *, reason: str, detail: str, source: str
) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]:
    """Return key, value and headers of a dead letter: never more than a record takes.

    Args:
        key, value: the original bytes; the key is left out where both together are too large.
        reason: one word.
        detail: a sentence.
        source: topic/partition/offset of the message.
    """
    headers = [
        (REASON, reason.encode(errors="replace")),
        (DETAIL, detail.encode(errors="replace")[:MAX_DETAIL_BYTES]),
        (SOURCE, source.encode(errors="replace")),
    ]
    if len(value or b"") + len(key or b"") > MAX_BYTES:
        headers.append((TRUNCATED, str(len(value or b"")).encode()))
        key, value = None, (value or b"")[:MAX_BYTES]
    if value is None and key is None:
        value = b""  # Kafka takes a record of nothing at all, aiokafka does not
    return key, value, headers


class _Sender(Struct):
    service: Raw = Raw(b"null")
    flag: Raw = Raw(b"null")
    flags: Raw = Raw(b"null")


def read_letter(id: str, at_ms: int, headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Letter:
    """Return a record of the dead letters, read as far as it can be; whatever it is, this does not fail.

    Args:
        id: partition/offset of the record.
        at_ms: its timestamp, Unix milliseconds.
        headers: of the record.
        value: the original bytes.
    """
    said = {name: text.decode(errors="replace") for name, text in headers}
    topic, partition, offset = _place(said.get(SOURCE, ""))
    service, flags = _sender(value or b"")
    size = _number(said.get(TRUNCATED, ""), len(value or b""))
    reason, detail = said.get(REASON, ""), said.get(DETAIL, "")
    return Letter(id, at_ms, reason, detail, service, flags, topic, partition, offset, size)


def decode_letter(value: bytes) -> Letter:
    """Return a letter that was written as JSON.

    Raises:
        DecodeError: it is none.
    """
    try:
        return msgspec.json.decode(value, type=Letter)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(DecodeReason.WRONG_TYPE, f"dead letter: {error}") from error


def _place(source: str) -> tuple[str, int, int]:
    topic, _, rest = source.partition("/")
    partition, _, offset = rest.partition("/")
    return topic, _number(partition, -1), _number(offset, -1)


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else otherwise


def _sender(value: bytes) -> tuple[str, list[str]]:
    """Service and flags; each is read by itself, for one of them may be what was wrong."""
    try:
        sender = msgspec.json.decode(value, type=_Sender)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return "", []
    flag, several = _decoded(sender.flag), _decoded(sender.flags)
    names = [flag, *(several if isinstance(several, Mapping) else ())]
    return _name(_decoded(sender.service)), [name for name in map(_name, names) if name][:_MAX_FLAGS]


def _decoded(raw: Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _name(found: object) -> str:
    return found[:_NAME_CHARS] if isinstance(found, str) else ""
