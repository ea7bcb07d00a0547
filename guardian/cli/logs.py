"""Log lines on stderr: time, level, logger, message; plain, one line each, so that any collector can split them."""

from __future__ import annotations

import logging
import sys
import time
from typing import Final

_FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s %(message)s"
_NOISY: Final = ("aiokafka", "kafka", "faust", "mode", "asyncio", "openfeature", "uvicorn", "httpx")
"""Libraries whose every connection is news to them."""
_LIFECYCLE: Final = {"faust": "ERROR", "mode": "ERROR", "guardian.decide.faust_port": "WARNING"}
"""Faust warns of what happens at every start (tables that recover, offsets that are looked for), and each of its
services tells of its own life under the name of the file that its class stands in."""


class _OneLine(logging.Formatter):
    """UTC, and line ends written as `\\n`, so that one event stays one line unless it carries a traceback."""

    converter = staticmethod(time.gmtime)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        record.message = record.message.replace("\n", "\\n")
        return super().formatMessage(record)


def log_to_stderr(level: str, *, libraries: str = "warning") -> None:
    """Send log lines to stderr.

    Args:
        level: debug, info, warning or error, for guardian's own.
        libraries: the same for Kafka's and Faust's clients; `debug` for guardian's shows theirs too.
    """
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_OneLine(_FORMAT, "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(level.upper())
    for name, usual in {**dict.fromkeys(_NOISY, libraries.upper()), **_LIFECYCLE}.items():
        logging.getLogger(name).setLevel("DEBUG" if level == "debug" else usual)


def keep_quiet() -> None:
    """Leave out what libraries say about a connection: a command says itself, in one sentence, what went wrong."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
