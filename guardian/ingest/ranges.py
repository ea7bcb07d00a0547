"""What the two loops have in common: records of one source partition are folded into a range, which is then closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from aiokafka import ConsumerRecord

from guardian.core.inputs import Batch, Source
from guardian.core.mishaps import TOLD
from guardian.errors import DecodeError, DecodeReason
from guardian.kafka.catalogue import MAX_RECORD_BYTES
from guardian.record_batches import Unreadable
from guardian.wire.inputs import decode_payload, encode_payload

RANGE_BYTES: Final = MAX_RECORD_BYTES // 2
"""A range is closed when its largest record may have reached this."""
RECORD_BYTES: Final = 1_000_000
"""The largest value of an input record: room is left for the envelope."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be read, with its original key and bytes."""

    key: bytes | None
    value: bytes | None
    reason: str
    detail: str
    source: str  # topic/partition/offset

    @classmethod
    def of(cls, record: ConsumerRecord, error: DecodeError) -> DeadLetter:
        """Return the dead letter for a record that was refused."""
        place = f"{record.topic}/{record.partition}/{record.offset}"
        return cls(record.key, record.value, error.reason.value, error.message, place)

    @classmethod
    def of_unreadable(cls, found: Unreadable) -> DeadLetter:
        """Return the dead letter for a batch that could not be read: where it stands, without bytes."""
        place = f"{found.partition.topic}/{found.partition.partition}/{found.offset}"
        return cls(
            None, None, DecodeReason.UNREADABLE.value, f"offsets [{found.offset}, {found.end}): {found.why}", place
        )


@dataclass
class Tally:
    """What became of the messages of a range."""

    messages: int = 0
    dead_letters: int = 0
    unknown_flags: int = 0  # events of flags without a rollout, beyond the bound
    unattributed: int = 0  # migration events of no rollout's component, heartbeats of no flag
    other_cells: int = 0
    fields_left_out: Counter[str] = field(default_factory=Counter)  # by the name of the field
    left_out: Counter[str] = field(default_factory=Counter)  # what had no room, by reduction.WHAT


@dataclass
class Closed:
    """A range that will not change any more.

    Args:
        source: where from.
        start, end: the half-open range of source offsets.
        parts: the input record's value by input partition, one each.
        dead: the messages that could not be read.
        tally: what became of the messages.
        event_ms, arrival_ms: the greatest event time and arrival time of the range; 0 for none.
    """

    source: Source
    start: int
    end: int
    parts: dict[int, bytes]
    dead: list[DeadLetter] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    event_ms: int = 0
    arrival_ms: int = 0

    def leave_out(self, found: Sequence[Unreadable]) -> None:
        """Say what of the range could not be read: a dead letter for each batch, and one input partition is told.

        Args:
            found: batches, or the parts of them that lie in this range.
        """
        self.dead += map(DeadLetter.of_unreadable, found)
        self.tally.dead_letters += len(found)
        part = Batch(self.source, self.start, self.end)
        if TOLD in self.parts and isinstance(payload := decode_payload(self.parts[TOLD]), Batch):
            part = payload
        part.unreadable = sum(each.end - each.offset for each in found)
        self.parts[TOLD] = encode_payload(part)


class Folder(Protocol):
    """Sums the records of one range; one for telemetry, migrations and commands each."""

    @property
    def full(self) -> bool:
        """True when the range must be closed before anything more is folded."""

    @property
    def urgent(self) -> bool:
        """True when something waits that should be judged at once."""

    def fold(self, records: Sequence[ConsumerRecord]) -> int:
        """Take records in the order of their offsets until the range is full; return how many, at least one."""

    def close(self, source: Source, start: int, end: int) -> Closed:
        """Return what the range comes to; the folder is not used again."""
