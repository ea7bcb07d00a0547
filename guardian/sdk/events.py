"""Events as they go out: JSON, absent and unusable fields left out, never larger than guardian takes."""

from __future__ import annotations

import logging
import operator
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from guardian.core.events import (
    MAX_EVENT_BYTES,
    MAX_FIGURE,
    MAX_FLAGS_PER_EVENT,
    MAX_METRICS_PER_EVENT,
    MAX_NAME_BYTES,
    MAX_SUBJECT_BYTES,
    MAX_WHOLE,
    NEVER_NEGATIVE,
    SECONDS_BOUND,
    Assignment,
    fit_text,
)

_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
MAX_WARNINGS: Final = 20
_ASSIGNMENTS: Final = frozenset(Assignment)
_TEXTS: Final = {
    **dict.fromkeys(("service", "instance", "error_type", "feedback", "case", "request_id"), MAX_NAME_BYTES),
    **dict.fromkeys(("subject", "control_value", "candidate_value"), MAX_SUBJECT_BYTES),
    "difference": MAX_EVENT_BYTES // 4,
}
"""Texts and their bounds: what is longer is cut, what UTF-8 cannot say is left out."""
_FIGURES: Final = frozenset(
    ("latency_ms", "duration", "control_ms", "candidate_ms", "deviation", "memory_bytes", "cpu_pct", "open_max_ms")
)
_WHOLE: Final = frozenset(("flag_version", "dropped", "evaluation_errors", "open"))
_NEEDED: Final = frozenset(
    ("ts", "kind", "flag", "flags", "variant", "outcome", "event_type", "component", "match", "cancelled", "instance")
)
"""What an event cannot do without: one that UTF-8 or JSON cannot say costs the event."""
_ENABLED: Final = "feature_flag_enabled"
_log = logging.getLogger("guardian.sdk")


def encode_event(event: dict[str, Any], left_out: Callable[[str], object]) -> bytes:
    """Return the event as JSON.

    Args:
        event: its fields in the order in which they shall stand; None and empty ones are left out.
        left_out: told the name of each field that guardian could not use; the event counts without it.

    Raises:
        ValueError: what it counts for cannot be said in JSON, or is larger than MAX_EVENT_BYTES by itself.
    """
    fields = {name: item for name, item in event.items() if item is not None and not _is_empty(item)}
    for name, item in list(fields.items()):
        if not _fits(fields, name, item):
            del fields[name]
            left_out(name)
    value = _encoded(fields)
    if value is None:
        for name in [name for name in fields if name not in _NEEDED and _encoded(fields[name]) is None]:
            _leave(fields, name, left_out)
        value = _encoded(fields)
    while value is not None and len(value) > MAX_EVENT_BYTES:
        sizes = {name: len(_encoded(item) or b"") for name, item in fields.items() if name not in _NEEDED}
        if not sizes:
            raise ValueError(f"an event of {len(value)} bytes, at most {MAX_EVENT_BYTES}")
        _leave(fields, max(sizes, key=sizes.__getitem__), left_out)
        value = _encoded(fields)
    if value is None:
        raise ValueError("what it counts for cannot be said in JSON")
    return value


def _leave(fields: dict[str, Any], name: str, left_out: Callable[[str], object]) -> None:
    """Leave a field out; of metadata what says which variant ran stays."""
    left_out(name)
    metadata = fields.pop(name)
    if name == "metadata" and isinstance(metadata, Mapping) and len(metadata) > 1 and _ENABLED in metadata:
        fields[name] = {_ENABLED: metadata[_ENABLED] is True}


def _is_empty(item: Any) -> bool:
    return isinstance(item, str | dict) and not item


def _encoded(item: Any) -> bytes | None:
    """JSON; None for what it cannot say."""
    try:
        return orjson.dumps(item, default=str, option=_OPTIONS)
    except (TypeError, ValueError, RecursionError):
        return None


def _fits(fields: dict[str, Any], name: str, item: Any) -> bool:
    """Whether guardian can use a field, which is brought into the form that it reads: texts cut, figures as numbers."""
    if name in _TEXTS:
        text = _text(item, _TEXTS[name])
        if text is not None:
            fields[name] = text
        return text is not None
    if name in _FIGURES:
        figure = positive(item)
        if figure is not None:
            fields[name] = figure
        return figure is not None
    if name in _WHOLE:
        return _whole(item)
    return (isinstance(item, str) and item in _ASSIGNMENTS) if name == "assignment" else True


def _text(item: Any, most_bytes: int) -> str | None:
    """A text within its bound; whatever else is given, as it names itself."""
    try:
        return fit_text(item if isinstance(item, str) else str(item), most_bytes)
    except Exception:
        return None


def _whole(item: Any) -> bool:
    try:
        return not isinstance(item, bool) and 0 <= operator.index(item) <= MAX_WHOLE
    except TypeError:
        return False


def fit_variants(flags: Mapping[str, Any]) -> tuple[dict[str, str], bool]:
    """Return several flags with their variants, and whether all of them can be used."""
    found = {
        flag: variant
        for flag, variant in flags.items()
        if isinstance(flag, str) and isinstance(variant, str) and fit_text(variant, MAX_NAME_BYTES) == variant
    }
    kept = dict(list(found.items())[:MAX_FLAGS_PER_EVENT])
    return kept, len(kept) == len(flags)


def fit_figures(given: Any) -> tuple[dict[str, float], list[str]]:
    """Return named figures that guardian can use, and the names of the others."""
    found: dict[str, float] = {}
    odd: list[str] = []
    for key, item in given.items() if isinstance(given, Mapping) else ():
        name, figure = str(key), number(item)
        wrong = figure is None or (figure < 0 and name in NEVER_NEGATIVE) or fit_text(name, MAX_NAME_BYTES) != name
        if wrong or not name or len(found) >= MAX_METRICS_PER_EVENT:
            odd.append(name)
        elif figure is not None:
            found[name] = figure
    return found, odd if given is None or isinstance(given, Mapping) else ["not names with numbers"]


def subject_text(subject: Any) -> str | None:
    """Return a subject as text, not cut; None for nobody, and for an object that fails to name itself."""
    try:
        return None if subject is None else str(subject)
    except Exception:
        return None


def subject_key(subject: Any) -> bytes | None:
    """Return the record's key for a subject, as guardian reads it; None for nobody and for what UTF-8 cannot say."""
    text = fit_text(subject, MAX_SUBJECT_BYTES) if isinstance(subject, str) else None
    return text.encode() if text else None


def number(given: Any) -> float | None:
    """Return a number that can be meant, numpy's and truth values too; None for any other, such as NaN or a text."""
    if isinstance(given, str | bytes):
        return None
    try:
        figure = given if isinstance(given, int | float) and not isinstance(given, bool) else float(given)
        return figure if abs(figure) <= MAX_FIGURE else None  # NaN is not
    except (TypeError, ValueError, OverflowError):
        return None


def positive(given: Any) -> float | None:
    """Return a figure that can be meant: finite and not negative; None for any other."""
    figure = None if isinstance(given, bool) else number(given)
    return figure if figure is not None and figure >= 0 else None


def event_time(given: Any) -> float:
    """Return when an event happened, in Unix seconds; now when nothing is given.

    Raises:
        ValueError: no time in seconds, such as milliseconds.
    """
    if given is None:
        return time.time()
    seconds = positive(given)
    if seconds is None:
        raise ValueError(f"ts is {given!r}, Unix seconds are wanted")
    if seconds >= SECONDS_BOUND:
        raise ValueError(f"ts is {given!r}: that looks like milliseconds, Unix seconds are wanted")
    return seconds


def instance_name(given: str) -> Callable[[], str]:
    """Return what tells this process's name: the one given, or host name and process id, also after a fork."""
    host = fit_text(socket.gethostname(), MAX_NAME_BYTES - 12) or "host"
    name = fit_text(given, MAX_NAME_BYTES)
    return lambda: name or f"{host}-{os.getpid()}"


class Once:
    """A warning that is given once, so that a fault at every request does not fill the log."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def warn(self, message: str, *arguments: object) -> None:
        """Log the message, unless the same was logged before; after MAX_WARNINGS different ones no more are."""
        text = message % arguments
        if text not in self._said and len(self._said) < MAX_WARNINGS:
            self._said.add(text)
            _log.warning("%s", text)


class Usage:
    """What this process takes of the machine, where that is cheap to know."""

    def __init__(self) -> None:
        self._wall_s = time.monotonic()
        self._cpu_s = time.process_time()

    def memory_bytes(self) -> int | None:
        """Return the resident memory; None where there is no /proc."""
        try:
            with open("/proc/self/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return None

    def cpu_pct(self) -> float | None:
        """Return the processor's share since the last call, 100 for one whole core; None when called at once again."""
        wall_s, cpu_s = time.monotonic(), time.process_time()
        passed_s = wall_s - self._wall_s
        if passed_s < 0.05:
            return None
        share = max(cpu_s - self._cpu_s, 0.0) / passed_s
        self._wall_s, self._cpu_s = wall_s, cpu_s
        return round(100 * share, 1)
