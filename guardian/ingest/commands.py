"""Operators' commands become batches in the order of their offsets: the second use of the same loop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from aiokafka import ConsumerRecord

from guardian.core.inputs import Batch, Command, Source
from guardian.core.words import ALL_FLAGS
from guardian.errors import DecodeError
from guardian.ingest.provenance import admitted
from guardian.ingest.ranges import RANGE_BYTES, Closed, DeadLetter, Tally
from guardian.kafka.partition import partition_of
from guardian.kafka.signing import SigningKeys
from guardian.wire.commands import decode_command
from guardian.wire.inputs import encode_payload


class CommandFolder:
    """Folds one range of one partition of guardian.commands.

    Args:
        partitions: input partitions; a command for all flags goes to each.
        keys: what proves who gave a command.
    """

    def __init__(self, partitions: int, keys: SigningKeys) -> None:
        self._partitions = partitions
        self._keys = keys
        self._commands: dict[int, list[Command]] = defaultdict(list)
        self._dead: list[DeadLetter] = []
        self._tally = Tally()
        self._bytes = 0
        self._arrival_ms = 0

    @property
    def full(self) -> bool:
        """True when a record may have come to half of the largest; a command is at most half of that half."""
        return self._bytes >= RANGE_BYTES

    @property
    def urgent(self) -> bool:
        """Always: a command waits for nothing."""
        return True

    def fold(self, records: Sequence[ConsumerRecord]) -> int:
        """Take records in the order of their offsets until the range is full; return how many, at least one."""
        for count, record in enumerate(records, 1):
            self._fold_one(record)
            if self.full:
                return count
        return len(records)

    def _fold_one(self, record: ConsumerRecord) -> None:
        self._tally.messages += 1
        self._arrival_ms = max(self._arrival_ms, record.timestamp)
        self._bytes += 200 + len(record.value or b"")
        try:
            command = admitted(decode_command(record.value or b""), record, self._keys)
        except DecodeError as error:
            self._tally.dead_letters += 1
            self._dead.append(DeadLetter.of(record, error))
            return
        if command.flag == ALL_FLAGS:
            for partition in range(self._partitions):
                self._commands[partition].append(command)
        else:
            self._commands[partition_of(command.flag, self._partitions)].append(command)

    def close(self, source: Source, start: int, end: int) -> Closed:
        """Return what the range comes to; the folder is not used again."""
        closed = Closed(source, start, end, {}, self._dead, self._tally, arrival_ms=self._arrival_ms)
        for partition, commands in sorted(self._commands.items()):
            closed.parts[partition] = encode_payload(Batch(source, start, end, commands=commands))
        return closed
