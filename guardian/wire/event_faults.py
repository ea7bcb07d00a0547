"""Why an application's message is no event, in words that its author can act on without reading guardian."""

from __future__ import annotations

import json
import re
from typing import Final

import msgspec

from guardian.core.events import Assignment, EventOutcome, Kind, MigrationType
from guardian.errors import DecodeError, DecodeReason

_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "kind": tuple(Kind),
    "outcome": tuple(EventOutcome),
    "assignment": tuple(Assignment),
    "severity": ("info", "warning", "critical"),
    "event_type": tuple(MigrationType),
}
_place: Final = re.compile(r" at `\$\.(\w+)").search
_missing: Final = re.compile(r"missing required field `(\w+)`").search
_types: Final = re.compile(r"^Expected `(\w+).*`, got `(\w+)`").search

OUTCOME_WORDS: Final = ", ".join(_WORDS["outcome"])
MISSING: Final[dict[str, str]] = {
    "ts": "say when it happened, in Unix seconds",
    "event_type": f"say one of {', '.join(_WORDS['event_type'])}",
    "outcome": f"say how the request ended: {OUTCOME_WORDS}",
    "service": "say which application it is from",
    "instance": "say which process of the application it is from, such as host name and process id",
    "metrics": 'give the figures by name, such as {"queue_depth": 3}',
}
"""By field: what to say when it is missing."""
_NUMBER, _TEXT, _OBJECT = "send a number, without quotes", "send a text, in quotes", "send a JSON object"
_RETYPED: Final = {
    ("float", "str"): _NUMBER,
    ("int", "str"): _NUMBER,
    ("str", "int"): _TEXT,
    ("str", "float"): _TEXT,
    ("str", "bool"): _TEXT,
    ("object", "array"): _OBJECT,
    ("object", "str"): _OBJECT,
    ("object", "int"): _OBJECT,
}
"""By what is wanted and what was given."""


def fault_of(error: Exception, value: bytes) -> DecodeError:
    """Return the refusal for a message that the decoder did not take.

    Args:
        error: what the decoder raised.
        value: the message.
    """
    text = str(error)
    if isinstance(error, msgspec.ValidationError):
        return DecodeError(_reason_of(text), text, _fix_of(text))
    if isinstance(error, RecursionError):
        return DecodeError(DecodeReason.MALFORMED_JSON, "nested too deeply")
    if (found := _non_finite(value)) is not None:
        return DecodeError(DecodeReason.BAD_VALUE, f"{found} is no number in JSON", "leave the field out")
    return DecodeError(DecodeReason.MALFORMED_JSON, text, "send one JSON object")


def _reason_of(message: str) -> DecodeReason:
    if message.startswith("Object missing required field"):
        return DecodeReason.MISSING_FIELD
    if message.startswith(("Invalid enum value", "Number out of range")):
        return DecodeReason.BAD_VALUE
    return DecodeReason.WRONG_TYPE


def _fix_of(message: str) -> str:
    if found := _missing(message):
        return MISSING.get(found[1], "")
    place = _place(message)
    field = place[1] if place else ""
    if message.startswith("Invalid enum value"):
        return f"{field} is one of {', '.join(_WORDS[field])}" if field in _WORDS else ""
    if field == "ts":
        return "send Unix seconds as a number"
    if types := _types(message):
        return _RETYPED.get((types[1], types[2]), "")
    return ""


def _non_finite(value: bytes) -> str | None:
    """Return NaN, Infinity or -Infinity when one of these is all that keeps a message from being JSON."""
    found: list[str] = []

    def note(word: str) -> None:
        found.append(word)

    if b"NaN" not in value and b"Infinity" not in value:
        return None
    try:
        json.loads(value, parse_constant=note)
    except (ValueError, RecursionError):
        return None
    return found[0] if found else None
