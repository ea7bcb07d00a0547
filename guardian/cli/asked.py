"""When a person gave the command: as early in the process as it can be known, for others give theirs meanwhile."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Final

_LOADED_MS: Final = time.time_ns() // 1_000_000
_GIVEN_MS: Final[ContextVar[int]] = ContextVar("given_ms", default=0)


def note_the_start() -> None:
    """Take the loading of this module for the moment at which the command was given: one command a process."""
    _GIVEN_MS.set(_LOADED_MS)


def given_ms() -> int:
    """Return when the command was given, in Unix milliseconds of this machine; now, when nobody took note."""
    return _GIVEN_MS.get() or time.time_ns() // 1_000_000
