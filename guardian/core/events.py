"""The words of the events that applications send (design.md, section 4), free of any dependency.

The SDK imports this file; so it must not import anything but the standard library.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

MAX_SUBJECT_CHARS: Final = 256
MAX_EVENT_BYTES: Final = 65_536
"""A larger telemetry or migration event is a dead letter."""

HEARTBEAT_SECONDS: Final = 5.0
BEAT_KEY: Final = "_beat"
"""The key on guardian.flags of the record that says guardian is alive; never a flag's name."""
BEAT_SECONDS: Final = 5.0

SPLIT_VARIABLE: Final = "guardian_split"
"""The evaluation context's field that carries the split; always written by guardian, never by the application."""


class Kind(StrEnum):
    """What an event is about."""

    REQUEST = "request"
    EXPOSURE = "exposure"
    GAUGE = "gauge"
    FEEDBACK = "feedback"
    HEARTBEAT = "heartbeat"


class EventOutcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    CRASH = "crash"
    HANG = "hang"


OutcomeWord = Literal["ok", "error", "timeout", "crash", "hang"]
"""`EventOutcome` as its words: for decoders, and for type checkers of applications."""
SeverityWord = Literal["info", "warning", "critical"]
"""How loud feedback is."""


class Assignment(StrEnum):
    """Why the subject got its variant."""

    SPLIT = "split"
    OUTSIDE = "outside"
    ALLOW = "allow"
    DENY = "deny"
    OPT = "opt"
    OVERRIDE = "override"
    KILLED = "killed"
    DEFAULT = "default"
    UNATTRIBUTED = "unattributed"  # never sent: what an event without the field counts as


class MigrationType(StrEnum):
    """What a migration event says."""

    SUCCESS = "success"
    FAILURE = "failure"
    FALLBACK = "fallback"
    DUAL_RUN = "dual_run"
