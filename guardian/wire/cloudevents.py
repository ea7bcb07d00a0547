"""CloudEvents 1.0 headers in Kafka's binary mode, written by hand: the library is 4 to 8 times slower."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

Headers = list[tuple[str, bytes]]

SPEC_VERSION: Final = b"1.0"
JSON_TYPE: Final = b"application/json"
SOURCE_DECIDE: Final = "/guardian/decide"
"""The source of everything that the fold says."""
MAX_TIME_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: RFC 3339 has no later one."""


class EventType(StrEnum):
    """The header ce_type; the list only grows."""

    FLAG_CHANGED = "guardian.flag.changed"
    ROLLBACK_MADE = "guardian.rollback.made"
    ROLLOUT_REPORTED = "guardian.rollout.reported"
    DECISION_MADE = "guardian.decision.made"
    ALERT_RAISED = "guardian.alert.raised"
    ALERT_RESOLVED = "guardian.alert.resolved"
    COMMAND_GIVEN = "guardian.command.given"


def cloudevent_headers(event_type: EventType, event_id: str, source: str, subject: str, time_ms: int) -> Headers:
    """Return the headers of one record.

    Args:
        event_type: what happened.
        event_id: unique within `source`; the same record written again has the same one.
        source: who says so, a URI reference such as `/guardian/decide`.
        subject: what it is about: the flag's name.
        time_ms: Unix milliseconds from the record itself, never from a clock. Outside of 1970..9999 the optional
            header ce_time is left out.

    Returns:
        name and value pairs, always in the same order.
    """
    headers = [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", event_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", event_type.encode()),
        ("ce_subject", subject.encode()),
        ("content-type", JSON_TYPE),
    ]
    if 0 <= time_ms <= MAX_TIME_MS:
        headers.append(("ce_time", rfc3339(time_ms).encode()))
    return headers


def rfc3339(time_ms: int) -> str:
    """Return Unix milliseconds as RFC 3339 in UTC, such as `2025-11-21T04:40:00.456Z`."""
    seconds, ms = divmod(time_ms, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
