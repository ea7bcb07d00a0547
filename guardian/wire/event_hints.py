"""What is odd about events that are taken all the same: nothing is refused for it, and its author would want to know.

Unknown fields are left alone and unusable ones left out (design.md, section 4), flags may be told of before they are
applied, late events count for the step. So each of these is legal, and most of them are mistakes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Set
from difflib import get_close_matches
from typing import Final, Protocol

from guardian.core.events import MAX_FLAGS_PER_EVENT, MAX_METRICS_PER_EVENT, MAX_NAME_BYTES, Assignment
from guardian.errors import DecodeError
from guardian.wire.event_fields import Fields, parse_object
from guardian.wire.events import (
    MIGRATION_FIELDS,
    TELEMETRY_FIELDS,
    MigrationEvent,
    TelemetryEvent,
    migration_of,
    telemetry_of,
)

LATE_S: Final = 120.0
"""Older seconds have no bucket of their own any more (core/windows.py)."""
MAX_HINTS: Final = 20
_MAX_CHARS: Final = 64

_NAMED: Final = f"at most {MAX_NAME_BYTES} bytes of text"
_DEFAULT_WANTED: Final = "a number of 0 or more and at most 1e15"
_WANTED: Final = {
    "flag": "a flag's name with its variant",
    "flags": f"at most {MAX_FLAGS_PER_EVENT} flags, each with its variant, or in a heartbeat with its version",
    "metrics": f"at most {MAX_METRICS_PER_EVENT} names of {_NAMED}, each with a number",
    "attributes": "an object of texts, numbers, true and false, that leaves the event below 65,536 bytes",
    "metadata": "an object, its feature_flag_enabled true or false",
    "assignment": f"one of {', '.join(Assignment)}",
    "severity": "one of info, warning, critical",
    "kind": "one of the kinds that guardian knows; with an outcome it counts as a request",
    "flag_version": "a whole number, without quotes",
    "ts": "Unix seconds as a number; its arrival stands in",
    **dict.fromkeys(("match", "cancelled", "whole", "bye"), "true or false, without quotes"),
    **dict.fromkeys(
        ("service", "instance", "error_type", "feedback", "subject", "case", "request_id", "component", "difference",
         "control_value", "candidate_value"),
        "a text of valid Unicode",
    ),
}  # fmt: skip
"""By field: what is wanted of it. All others are numbers."""
_MEANT: Final = {
    "timestamp": "ts", "time": "ts", "user": "subject", "user_id": "subject", "targeting_key": "subject",
    "duration": "latency_ms", "duration_ms": "latency_ms", "elapsed_ms": "latency_ms", "latency": "latency_ms",
    "status": "outcome", "result": "outcome", "error": "error_type", "type": "kind", "version": "flag_version",
    "tags": "attributes", "labels": "attributes", "app": "service", "host": "instance",
    "latency_ms": "duration",
}  # fmt: skip
"""What others call it."""


class Known(Protocol):
    """What is known of the rollouts of this installation."""

    def variants(self, flag: str) -> Collection[str] | None:
        """Return the variants of a flag's rollout, None when there is none."""

    def is_settling(self, flag: str, at_s: float) -> bool:
        """Return whether an event of this time comes too soon after a change of the flag to count without a version.

        Args:
            flag: its name.
            at_s: Unix seconds.
        """

    def needs_assignment(self, flag: str) -> bool:
        """Return whether a flag's rollout compares with control, and takes no event that does not say its assignment.

        Args:
            flag: its name.
        """

    def has_component(self, component: str) -> bool:
        """Return whether a rollout names this component."""


class Hints:
    """Gathers hints over the events of one request or file; bounded.

    Args:
        known: the rollouts; None when they are not known, then nothing is said of them.
    """

    def __init__(self, known: Known | None = None) -> None:
        self._known = known
        self._counts: Counter[str] = Counter()

    def look(self, event: bytes, now_s: float) -> None:
        """Look at one event that was taken.

        Args:
            event: JSON, an object.
            now_s: Unix seconds.
        """
        try:
            fields = Fields(parse_object(event))
            is_migration = "event_type" in fields.given
            seen = migration_of(fields, int(now_s * 1_000), 0) if is_migration else telemetry_of(fields, 0, 0)
        except DecodeError:
            return  # not one that was taken
        self._fields(fields, MIGRATION_FIELDS if is_migration else TELEMETRY_FIELDS)
        if seen.ts is not None and now_s - seen.ts > LATE_S:
            self._hint("older than two minutes, too late for the windows of triggers")
        if isinstance(seen, TelemetryEvent) and seen.kind == "heartbeat" and not seen.flags:
            self._hint("a heartbeat that names in flags none that are in use tells nothing of any")
        if self._known is not None:
            self._rollouts(self._known, seen)

    def sentences(self) -> list[str]:
        """Return one sentence per kind of hint, the most frequent first."""
        return [f"{'1 event' if n == 1 else f'{n:,} events'}: {text}" for text, n in self._counts.most_common()]

    def _fields(self, fields: Fields, read: frozenset[str]) -> None:
        for name in fields.left_out:
            what = f"entries of {name} are" if name in ("flags", "metrics") else f"{name} is"
            self._hint(f"{what} left out; wanted: {_WANTED.get(name, _DEFAULT_WANTED)}")
        for name in fields.cut:
            self._hint(f"{name} is cut: it is too long")
        names: Set[str] = fields.given.keys()
        for name in names - read:
            meant = _MEANT.get(name.lower(), "")
            if meant not in read:
                meant = next(iter(get_close_matches(name.lower(), read, 1, 0.75)), "")
            question = f"; is {meant} meant?" if meant and meant not in names else ""
            self._hint(f"guardian does not read the field {_short(name)}{question}")

    def _rollouts(self, known: Known, seen: TelemetryEvent | MigrationEvent) -> None:
        if isinstance(seen, MigrationEvent) and seen.flag is None:
            if not known.has_component(component := seen.component or ""):
                self._hint(f"no rollout names {_short(component)} among its components: it counts for none")
            return
        is_service = isinstance(seen, TelemetryEvent) and seen.kind in ("gauge", "heartbeat")
        for flag, variant in _variants(seen).items():
            self._flag(known, flag, None if is_service else variant)
            if not is_service and not seen.flag_version and seen.ts is not None and known.is_settling(flag, seen.ts):
                self._hint(f"without flag_version, so soon after a change of {flag}: not counted before it has settled")
            is_request = isinstance(seen, TelemetryEvent) and seen.kind in (None, "request")
            if is_request and not seen.assignment and known.needs_assignment(flag):
                self._hint(
                    f"without assignment: {_short(flag)} compares with control, and no comparison counts it; "
                    "send assignment, or declare assume_split: true in the spec"
                )

    def _flag(self, known: Known, flag: str, variant: str | int | None) -> None:
        variants = known.variants(flag)
        if variants is None:
            self._hint(f"no rollout of {_short(flag)}: it counts for nothing before its spec is applied")
        elif variant is not None and variant not in variants:
            self._hint(
                f"variant {_short(str(variant))}: {flag} has {' and '.join(sorted(variants))}, so no rule looks at it"
            )

    def _hint(self, text: str) -> None:
        if text in self._counts or len(self._counts) < MAX_HINTS:
            self._counts[text] += 1


def _variants(seen: TelemetryEvent | MigrationEvent) -> dict[str, str | int | None]:
    """The event's flags, each with what is said of it."""
    flags: dict[str, str | int | None] = dict((seen.flags if isinstance(seen, TelemetryEvent) else None) or {})
    if seen.flag is not None:
        flags[seen.flag] = seen.variant
    return flags


def _short(name: str) -> str:
    name = name.encode(errors="replace").decode()
    return repr(name if len(name) <= _MAX_CHARS else name[:_MAX_CHARS] + "...")
