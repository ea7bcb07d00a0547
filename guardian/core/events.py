"""The words and the bounds of the events that applications send (design.md, section 4), free of any dependency.

The SDK imports this file; so it must not import anything but the standard library. Every text has a bound in bytes of
UTF-8 and every number one bound, defined here once for the SDK, serve and ingest.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final, Literal

MAX_NAME_BYTES: Final = 128
"""Longest variant, service, instance, component, metric name or error type, in bytes of UTF-8."""
MAX_SUBJECT_BYTES: Final = 256
"""Longest subject, and longest value of a dual run."""
MAX_FIGURE: Final = 1e15
"""Greatest number of an event, either side of zero.

Sums stay finite for any number of events: 1e15 times 2**53 events is 9e30, their squares sum to 9e45; a float reaches
1.8e308.
"""
MAX_WHOLE: Final = 2**63 - 1
"""Greatest version and count."""
MAX_FLAGS_PER_EVENT: Final = 64
MAX_FLAGS_PER_HEARTBEAT: Final = 1_024
MAX_METRICS_PER_EVENT: Final = 32
SECONDS_BOUND: Final = 1e11
"""A greater time stamp is in milliseconds: as seconds it would lie in the year 5138."""
NEVER_NEGATIVE: Final = frozenset({"memory_bytes", "cpu_pct"})
"""Figures that make no sense below zero, also as entries of `metrics`."""

MAX_EVENT_BYTES: Final = 65_536
"""A larger telemetry or migration event is a dead letter, unless it is its `attributes` that make it larger."""
MAX_MESSAGE_BYTES: Final = 1_000_000
"""A larger one is a dead letter in any case. Kafka's own bound is 1 MiB with key and headers."""

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


def fit_text(text: str, most_bytes: int) -> str | None:
    """Return a text cut to a bound in bytes of UTF-8; None for a text that UTF-8 cannot say (half a surrogate pair)."""
    if text.isascii():
        return text[:most_bytes]
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return None
    return text if len(encoded) <= most_bytes else encoded[:most_bytes].decode(errors="ignore")


def fit_figure(value: float, least: float = -MAX_FIGURE) -> float | None:
    """Return a number within `least` and MAX_FIGURE; None for any other, such as NaN."""
    return value if math.isfinite(value) and least <= value <= MAX_FIGURE else None
