"""An engine that only counts, with the interface of guardian.core.engine: what it says can be checked by adding up."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from guardian.core.inputs import Batch, Record
from guardian.core.outputs import FlagChange, FlagFrozen, FlagState, Output
from guardian.core.words import Phase, Reason
from guardian.errors import InternalError


@dataclass(frozen=True)
class CountedRollout:
    """A snapshot: the last input that it includes, and the count."""

    flag: str
    offset: int
    data: bytes


@dataclass(frozen=True)
class CountedCapture:
    """One instant."""

    next_offset: int
    mark: bytes
    rollouts: list[CountedRollout]
    failed: tuple[FlagFrozen, ...] = ()


class CountingEngine:
    """Counts requests per flag; a batch that starts before the applied end of its source is dropped."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.next_offset = 0
        self.counts: dict[str, int] = {}
        self.included: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.applied: dict[str, int] = {}
        self.jumps: list[int] = []
        self._dirty: set[str] = set()

    @classmethod
    def restore(
        cls, partition: int, mark: tuple[int, bytes] | None, snapshots: dict[str, tuple[int, bytes]]
    ) -> CountingEngine:
        engine = cls(partition)
        if mark is not None:
            engine.next_offset = mark[0]
            engine.applied = msgspec.msgpack.decode(mark[1])
        for flag, (offset, data) in snapshots.items():
            engine.counts[flag], engine.versions[flag] = msgspec.msgpack.decode(data)
            engine.included[flag] = offset
        return engine

    def fold(self, record: Record) -> list[Output]:
        if record.offset != self.next_offset:
            raise InternalError(f"expected {self.next_offset}, got {record.offset}")
        self.next_offset += 1
        batch = record.payload
        if not isinstance(batch, Batch):
            return []
        source = f"{batch.source.topic}/{batch.source.partition}"
        if batch.start < self.applied.get(source, 0):
            return []
        self.applied[source] = batch.end
        said: list[Output] = []
        for cell in batch.cells:
            if not self.skips(cell.flag, record.offset):
                said.append(self._count(cell.flag, sum(bucket.n for bucket in cell.buckets), record))
        return said

    def skips(self, flag: str, offset: int) -> bool:
        return offset <= self.included.get(flag, -1)

    def _count(self, flag: str, n: int, record: Record) -> FlagChange:
        self.counts[flag] = self.counts.get(flag, 0) + n
        self.versions[flag] = max(self.versions.get(flag, 0) + 1, record.log_ms)
        self._dirty.add(flag)
        return FlagChange(self._state(flag, f"{flag}/{self.counts[flag]}/{record.offset}"))

    def _state(self, flag: str, change_id: str) -> FlagState:
        return FlagState(
            flag=flag,
            epoch=0,
            version=self.versions[flag],
            change_id=change_id,
            changed_ms=0,
            attempt=1,
            phase=Phase.PROGRESSING,
            step="canary",
            weight_bp=500,
            control="off",
            candidate="on",
            values={"on": True, "off": False},
            salt=flag,
            killed=False,
            env_prefix="",
            reason=Reason.STARTED,
        )

    def jump(self, offset: int, log_ms: int, *, truncated: bool) -> list[Output]:
        self.next_offset = offset
        if truncated:
            self.included.clear()
        self.jumps.append(offset)
        self._dirty.update(self.counts)
        return []

    def capture(self) -> CountedCapture:
        rollouts = [
            CountedRollout(flag, self.next_offset - 1, msgspec.msgpack.encode((self.counts[flag], self.versions[flag])))
            for flag in sorted(self._dirty)
        ]
        self._dirty.clear()
        return CountedCapture(self.next_offset, self.mark(), rollouts)

    def mark(self) -> bytes:
        return msgspec.msgpack.encode(self.applied)

    def mark_dirty(self, flag: str) -> None:
        if flag in self.counts:
            self._dirty.add(flag)

    def flags(self) -> list[FlagState]:
        return [self._state(flag, "") for flag in self.counts]

    @property
    def lag_ms(self) -> int:
        return -1

    @property
    def rollout_count(self) -> int:
        return len(self.counts)
