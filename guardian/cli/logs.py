"""Log lines on stderr: time, level, logger, message; plain, one line each, so that any collector can split them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

from guardian.cli.screen import one_line, several_lines

_FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s %(message)s"
_NOISY: Final = ("aiokafka", "kafka", "faust", "mode", "asyncio", "openfeature", "uvicorn", "httpx")
"""Libraries whose every connection is news to them."""
SPARING_S: Final = 10.0
"""How long a library is silent on what it has just said. While Kafka is away aiokafka says the same three things a
thousand times a second: what guardian itself says of it would be lost among them, and the disk full by the morning."""
_MAX_KINDS: Final = 1_000
_LIFECYCLE: Final = {"faust": "ERROR", "mode": "ERROR", "guardian.decide.faust_port": "WARNING"}
"""Faust warns of what happens at every start (tables that recover, offsets that are looked for), and each of its
services tells of its own life under the name of the file that its class stands in."""


class _OneLine(logging.Formatter):
    """UTC, and line ends written as `\\n`, so that one event stays one line unless it carries a traceback.

    Nor does a text from elsewhere steer the terminal that shows the log.
    """

    converter = staticmethod(time.gmtime)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback if there is one."""
        return several_lines(super().format(record))


class Sparing(logging.Filter):
    """Lets a library say each thing once in SPARING_S, with how often it wanted to say it meanwhile.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is let through; its text may grow by a count."""
        if record.name.partition(".")[0] not in _NOISY:
            return True
        # What it says is the words of the code, without the numbers that are filled in.
        kind = record.name, str(record.msg)
        now_s = self._clock()
        last_s, held_count = self._said.pop(kind, (-SPARING_S, 0))
        if now_s - last_s < SPARING_S:
            self._said[kind] = last_s, held_count + 1
            return False
        if len(self._said) >= _MAX_KINDS:
            del self._said[next(iter(self._said))]
        self._said[kind] = now_s, 0
        if held_count:
            record.msg, record.args = f"{record.getMessage()} (and {held_count:,} more since)", None
        return True


def log_to_stderr(level: str, *, libraries: str = "warning") -> None:
    """Send log lines to stderr.

    Args:
        level: debug, info, warning or error, for guardian's own.
        libraries: the same for Kafka's and Faust's clients; `debug` for guardian's shows theirs too, every line.
    """
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_OneLine(_FORMAT, "%Y-%m-%dT%H:%M:%S"))
    if level != "debug":
        lines.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(level.upper())
    for name, usual in {**dict.fromkeys(_NOISY, libraries.upper()), **_LIFECYCLE}.items():
        logging.getLogger(name).setLevel("DEBUG" if level == "debug" else usual)


def keep_quiet() -> None:
    """Leave out what libraries say about a connection: a command says itself, in one sentence, what went wrong."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
