"""The fields of one event, read one by one: what cannot be used is left out and named, and never costs the event.

This is the careful road, for events that are no plain request or that the fast decoder refuses. `parse_object` is as
lenient as it can be: NaN, half a surrogate pair, bytes that are not UTF-8, raw line breaks within texts, whole numbers
of any length and nesting of any depth cost the field in which they stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from guardian.core.events import (
    MAX_EVENT_BYTES,
    MAX_FIGURE,
    MAX_MESSAGE_BYTES,
    MAX_METRICS_PER_EVENT,
    MAX_NAME_BYTES,
    MAX_SUBJECT_BYTES,
    MAX_WHOLE,
    NEVER_NEGATIVE,
    fit_figure,
    fit_text,
)
from guardian.errors import DecodeError, DecodeReason
from guardian.wire.json_split import split_object

_MAX_DIGITS: Final = 20
"""A longer whole number is beyond every bound; Python's own conversion of long ones is slow, then refused."""
_ATTRIBUTES: Final = "attributes"


class _Unreadable:
    """Stands for a value that is no JSON or nested too deeply: of no type that any field takes."""


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float("inf")


_strict: Final = msgspec.json.Decoder()
_lenient: Final = json.JSONDecoder(strict=False, parse_int=_whole)


def parse_object(value: bytes | None) -> dict[str, Any]:
    """Return the members of a message that is a JSON object; what cannot be read in it becomes an unusable value.

    Raises:
        DecodeError: not a JSON object, or too large.
    """
    if not value:
        raise DecodeError(DecodeReason.MALFORMED_JSON, "an empty message", "send one JSON object")
    if len(value) > MAX_MESSAGE_BYTES:
        raise DecodeError(DecodeReason.TOO_LARGE, f"{len(value)} bytes, at most {MAX_EVENT_BYTES}")
    try:
        found = _strict.decode(value)
    except (msgspec.MsgspecError, RecursionError, ValueError):  # ValueError: not UTF-8
        found = _leniently(value)
    if not isinstance(found, dict):
        message = f"Expected `object`, got `{_kind_of(found)}`"
        raise DecodeError(DecodeReason.WRONG_TYPE, message, "send one JSON object")
    if len(value) > MAX_EVENT_BYTES:
        _leave_attributes(found, len(value))
    return found


def _leniently(value: bytes) -> Any:
    # Bytes that are not UTF-8 become halves of surrogate pairs, which no text may contain.
    text = value.decode("utf-8", "surrogateescape")
    try:
        return _lenient.decode(text)
    except RecursionError:
        return _by_member(value)
    except ValueError as error:
        raise DecodeError(DecodeReason.MALFORMED_JSON, f"JSON is malformed: {error}", "send one JSON object") from error


def _by_member(value: bytes) -> Any:
    if value.lstrip()[:1] != b"{":
        return []
    members = split_object(value)
    if members is None:
        raise DecodeError(DecodeReason.MALFORMED_JSON, "malformed and nested deeply", "send one JSON object")
    found: dict[str, Any] = {}
    for quoted, part in members:
        name, item = _part(quoted), _part(part)
        if isinstance(name, str):
            found[name] = item
    return found


def _part(value: bytes) -> Any:
    try:
        return _lenient.decode(value.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return _Unreadable()


def _leave_attributes(found: dict[str, Any], size: int) -> None:
    """Take the attributes out of an event that is too large by them; insist that it is not too large without."""
    rest = {name: item for name, item in found.items() if name != _ATTRIBUTES}
    if _ATTRIBUTES in found:
        try:
            text = json.dumps(rest, ensure_ascii=False, separators=(",", ":"), default=lambda _: None)
            size = len(text.encode(errors="surrogatepass"))
        except RecursionError:
            pass
        found[_ATTRIBUTES] = _Unreadable()
    if size > MAX_EVENT_BYTES:
        raise DecodeError(DecodeReason.TOO_LARGE, f"{size} bytes, at most {MAX_EVENT_BYTES}")


def _kind_of(given: object) -> str:
    for kind, name in ((bool, "bool"), (str, "str"), (int, "int"), (float, "float"), (list, "array"), (dict, "object")):
        if isinstance(given, kind):
            return name
    return "null" if given is None else "unreadable"


class Fields:
    """Reads the fields of one event.

    Args:
        given: from `parse_object`.

    `left_out` names the fields, or fields with entries, that could not be used; `cut` the texts that were too long.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.left_out: dict[str, None] = {}
        self.cut: dict[str, None] = {}

    def leave_out(self, name: str) -> None:
        """Count a field, or an entry of it, as left out."""
        self.left_out[name] = None

    def has(self, name: str) -> bool:
        """Return whether the event says anything in this field; null says nothing."""
        return self.given.get(name) is not None

    def is_number(self, name: str) -> bool:
        """Return whether the field is a finite number, of any size."""
        given = self.given.get(name)
        return isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < float("inf")

    def text(self, name: str, most_bytes: int = MAX_NAME_BYTES) -> str | None:
        """Return a text, cut to its bound."""
        given = self.given.get(name)
        if given is None:
            return None
        text = fit_text(given, most_bytes) if isinstance(given, str) else None
        if text is None:
            self.leave_out(name)
        elif len(text) < len(given):
            self.cut[name] = None
        return text

    def name(self, name: str) -> str | None:
        """Return a text by which something is looked up; one that is too long is left out, for cut it is another."""
        given = self.given.get(name)
        if given is None or (isinstance(given, str) and fit_text(given, MAX_NAME_BYTES) == given):
            return given
        self.leave_out(name)
        return None

    def value(self, name: str) -> str | None:
        """Return a text, number or truth value as a text, cut to the bound of subjects."""
        given = self.given.get(name)
        if given is None or isinstance(given, str):
            return self.text(name, MAX_SUBJECT_BYTES)
        if isinstance(given, int | float) and _is_scalar(given):
            return json.dumps(given)
        self.leave_out(name)
        return None

    def number(self, name: str, least: float = 0.0) -> float | None:
        """Return a number from `least` to MAX_FIGURE."""
        given = self.given.get(name)
        if given is None:
            return None
        found = _figure(given, least)
        if found is None:
            self.leave_out(name)
        return found

    def whole(self, name: str) -> int | None:
        """Return a whole number from 0 to MAX_WHOLE; 17.0 is one."""
        given = self.given.get(name)
        if given is None:
            return None
        found = whole_number(given)
        if found is None:
            self.leave_out(name)
        return found

    def truth(self, name: str) -> bool | None:
        """Return true or false."""
        given = self.given.get(name)
        if given is not None and not isinstance(given, bool):
            self.leave_out(name)
            return None
        return given

    def word(self, name: str, words: Iterable[str]) -> Any:
        """Return one of several words."""
        given = self.given.get(name)
        if given is None:
            return None
        if isinstance(given, str) and given in words:
            return given
        self.leave_out(name)
        return None

    def entries(self, name: str) -> dict[str, Any]:
        """Return the entries of an object, none of them read; empty for anything else."""
        given = self.given.get(name)
        if given is None or isinstance(given, dict):
            return given or {}
        self.leave_out(name)
        return {}

    def figures(self, name: str) -> dict[str, float] | None:
        """Return named numbers, each of them looked at by itself; None for no object."""
        if not self.has(name):
            return None
        found: dict[str, float] = {}
        for key, given in self.entries(name).items():
            figure = _figure(given, 0.0 if key in NEVER_NEGATIVE else -MAX_FIGURE)
            if figure is None or not key or fit_text(key, MAX_NAME_BYTES) != key or len(found) >= MAX_METRICS_PER_EVENT:
                self.leave_out(name)
            else:
                found[key] = figure
        return found if isinstance(self.given[name], dict) else None

    def scalars(self, name: str) -> None:
        """Look at an object of texts, numbers and truth values, which nothing reads yet."""
        given = self.given.get(name)
        if given is None:
            return
        if not isinstance(given, dict) or not all(map(_is_scalar, given.values())):
            self.leave_out(name)


def whole_number(given: object) -> int | None:
    """Return a whole number from 0 to MAX_WHOLE; None for anything else, a truth value too."""
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int):
        return None
    return given if 0 <= given <= MAX_WHOLE else None


def _figure(given: object, least: float) -> float | None:
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    # Compared before it is converted: a whole number of many digits has no float.
    return fit_figure(float(given), least) if -MAX_FIGURE <= given <= MAX_FIGURE else None


def _is_scalar(given: object) -> bool:
    if isinstance(given, str):
        return fit_text(given, MAX_EVENT_BYTES) is not None
    if isinstance(given, bool) or given is None:
        return True
    if isinstance(given, int):
        return -MAX_WHOLE <= given <= 2 * MAX_WHOLE + 1
    return isinstance(given, float) and abs(given) <= MAX_FIGURE
