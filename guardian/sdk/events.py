"""Events as they go out: JSON, absent fields left out, never larger than guardian takes."""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Callable
from typing import Any, Final

import orjson

from guardian.core.events import MAX_EVENT_BYTES, MAX_SUBJECT_CHARS

_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
_MAX_TEXT: Final = 128
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


def positive(figure: Any) -> float | None:
    """Return a figure that can be meant: finite and not negative; None for any other."""
    if not isinstance(figure, int | float) or isinstance(figure, bool):
        return None
    return figure if math.isfinite(figure) and figure >= 0 else None


def instance_name(given: str) -> Callable[[], str]:
    """Return what tells this process's name: the one given, or host name and process id, also after a fork."""
    host = socket.gethostname()[: _MAX_TEXT - 12]
    return lambda: given[:_MAX_TEXT] or f"{host}-{os.getpid()}"


class Once:
    """A warning that is given once, so that a fault at every request does not fill the log."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def warn(self, message: str, *arguments: object) -> None:
        """Log the message, unless one of the same form was logged before."""
        if message not in self._said:
            self._said.add(message)
            _log.warning(message, *arguments)


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
