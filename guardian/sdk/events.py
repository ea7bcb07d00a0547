"""Events as they go out: JSON, absent fields left out, never larger than guardian takes."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any, Final

import orjson

from guardian.core.events import MAX_EVENT_BYTES, MAX_SUBJECT_CHARS

_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
_MAX_TEXT: Final = 128
MAX_WARNINGS: Final = 20
MAX_FIGURE: Final = 1e150
"""Guardian takes none beyond: its square must be finite."""
SECONDS_BOUND: Final = 1e11
"""A greater time stamp is in milliseconds: as seconds it would lie in the year 5138."""
_log = logging.getLogger("guardian.sdk")


def encode_event(event: dict[str, Any]) -> bytes:
    """Return the event as JSON.

    Args:
        event: its fields in the order in which they shall stand; None and empty ones are left out.

    Raises:
        ValueError: it is larger than MAX_EVENT_BYTES, or holds what JSON cannot say.
    """
    value = orjson.dumps(
        {name: item for name, item in event.items() if item is not None and item not in ("", {})},
        default=str,
        option=_OPTIONS,
    )
    if len(value) > MAX_EVENT_BYTES:
        raise ValueError(f"an event of {len(value)} bytes, at most {MAX_EVENT_BYTES}")
    return value


def subject_text(subject: Any) -> str | None:
    """Return a subject as text, cut to what guardian takes; None for nobody."""
    return None if subject is None else str(subject)[:MAX_SUBJECT_CHARS]


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
    host = socket.gethostname()[: _MAX_TEXT - 12]
    return lambda: given[:_MAX_TEXT] or f"{host}-{os.getpid()}"


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
