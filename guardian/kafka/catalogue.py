"""Every topic of an installation: who writes it, how long it is kept, and the settings that correctness rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from guardian.kafka.settings import Settings

DAY_MS: Final = 86_400_000
DELETE: Final = "delete"
COMPACT: Final = "compact"
COMPACT_DELETE: Final = "compact,delete"
CREATE_TIME: Final = "CreateTime"
LOG_APPEND_TIME: Final = "LogAppendTime"

MAX_RECORD_BYTES: Final = 1_048_588
"""The largest batch of records that a topic takes; Kafka's own default, stated where guardian counts on it."""


@dataclass(frozen=True)
class Topic:
    """What one topic is.

    Args:
        name: its short name; `settings.topic(name)` is the full one.
        key: what its key is.
        value: what its value is.
        cleanup: `delete`, `compact` or `compact,delete`.
        retention_ms: how long records are kept; None where only compaction removes them.
        writers, readers: the stages, for people.
        timestamp_type: whose clock a record's timestamp is: the writer's or the broker's.
        by_flag: true for a topic whose partition follows from the flag or must be as many as theirs.
        max_record_bytes: the largest batch of records, None for the broker's default.
    """

    name: str
    key: str
    value: str
    cleanup: str
    retention_ms: int | None
    writers: str
    readers: str
    timestamp_type: str = CREATE_TIME
    by_flag: bool = True
    max_record_bytes: int | None = None

    @property
    def compacted(self) -> bool:
        """True when the newest record of each key must stay."""
        return COMPACT in self.cleanup.split(",")

    def partitions(self, settings: Settings) -> int:
        """Return how many partitions the topic has in this installation, fixed for life."""
        return settings.partitions if self.by_flag else settings.source_partitions

    def config(self, settings: Settings) -> dict[str, str]:
        """Return the settings that the topic must have, as Kafka names and writes them.

        Args:
            settings: the installation. With three replicas or more, two must have a record before it is acked.
        """
        config = {"cleanup.policy": self.cleanup, "message.timestamp.type": self.timestamp_type}
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        if self.max_record_bytes is not None:
            config["max.message.bytes"] = str(self.max_record_bytes)
        if settings.replication >= 3:
            config["min.insync.replicas"] = "2"
        return config


def _topics(*topics: Topic) -> dict[str, Topic]:
    return {topic.name: topic for topic in topics}


TOPICS: Final[dict[str, Topic]] = _topics(
    Topic(
        "telemetry",
        "any; the SDK writes the subject",
        "telemetry event, JSON",
        DELETE,
        DAY_MS,
        "applications",
        "ingest",
        timestamp_type=LOG_APPEND_TIME,
        by_flag=False,
    ),
    Topic(
        "migrations",
        "any",
        "migration event, JSON",
        DELETE,
        7 * DAY_MS,
        "applications",
        "ingest",
        timestamp_type=LOG_APPEND_TIME,
        by_flag=False,
    ),
    Topic("commands", "flag, * for all", "operator's command, JSON", DELETE, 90 * DAY_MS, "serve, cli", "ingest"),
    # The log must stay dense: no compaction, no transactions; and its timestamps are the time that decide lives in.
    Topic(
        "inputs",
        "none: the flag's partition",
        "input batch, msgpack",
        DELETE,
        7 * DAY_MS,
        "ingest, decide",
        "decide",
        timestamp_type=LOG_APPEND_TIME,
        max_record_bytes=MAX_RECORD_BYTES,
    ),
    Topic("flags", "flag, _beat", "flagd flag definition, JSON", COMPACT, None, "decide", "SDKs, serve"),
    Topic("rollbacks", "flag", "protective action, JSON", DELETE, 90 * DAY_MS, "decide", "people, bridges"),
    Topic("rollouts", "flag", "status of a rollout, JSON", COMPACT, None, "decide", "ingest, serve, cli"),
    Topic("alerts", "alert id", "alert, JSON", COMPACT_DELETE, 90 * DAY_MS, "decide", "notify, operators"),
    Topic("decisions", "flag", "decision with evidence, JSON", DELETE, 365 * DAY_MS, "decide", "audit"),
    Topic(
        "dead-letters",
        "the original key",
        "the original bytes; why, in headers",
        DELETE,
        14 * DAY_MS,
        "ingest, decide",
        "people",
        by_flag=False,
    ),
)
"""By short name, in the order of the way of the data."""


def checkpoint_topic(settings: Settings) -> str:
    """Return the full name of the compacted topic of decide's checkpoint.

    Faust makes it and names it: after the group, the table and its own ending.
    """
    return f"{settings.group('decide')}-checkpoint-changelog"
