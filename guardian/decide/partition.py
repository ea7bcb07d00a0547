"""One partition that is ours: read densely, folded, published, and written down from time to time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Final, Protocol

from guardian.core.inputs import Payload, Record, Tick
from guardian.core.outputs import FlagFrozen, FlagState, InputLeftOut, Output, RolloutStatus
from guardian.core.snapshot import MAX_SNAPSHOT_BYTES
from guardian.decide import metrics
from guardian.decide.checkpoint import (
    CHECKPOINT_INPUTS,
    CHECKPOINT_INTERVAL_MS,
    MAX_WRITE_BYTES,
    Captured,
    Checkpoint,
    Saved,
    Stage,
    Write,
)
from guardian.decide.dense import DenseReader, Place, Step
from guardian.decide.port import Delivered, Port
from guardian.decide.publish import Publisher
from guardian.errors import DecodeError, DecodeReason, GuardianError, InternalError, TransportError
from guardian.wire.dead_letters import dead_letter_record
from guardian.wire.inputs import decode_payload
from guardian.wire.outputs import Message

WRITES_AT_ONCE: Final = 100
"""Snapshots under way to the changelog at the same time."""

log = logging.getLogger(__name__)


class Engine(Protocol):
    """The fold, as guardian.core.engine has it."""

    next_offset: int

    def fold(self, record: Record) -> list[Output]: ...
    def jump(self, offset: int, log_ms: int, *, truncated: bool) -> list[Output]: ...
    def capture(self) -> Captured: ...
    def mark_dirty(self, flag: str) -> None: ...
    def flags(self) -> list[FlagState]: ...
    @property
    def lag_ms(self) -> int: ...
    @property
    def rollout_count(self) -> int: ...


Restore = Callable[[int, tuple[int, bytes] | None, dict[str, tuple[int, bytes]]], Engine]
"""Partition, mark and snapshots to an engine that stands at the mark."""


class Owned:
    """A partition from the moment it became ours.

    Args:
        partition: of guardian.inputs.
        saved: what the checkpoint holds.
        restore: builds the engine.
        port: where records come from and checkpoints go.
        publisher: where outputs go.
        inputs: full name and id of the topic; another id than the checkpoint's holds other records.
    """

    def __init__(
        self,
        partition: int,
        saved: Saved,
        restore: Restore,
        port: Port,
        publisher: Publisher,
        inputs: tuple[str, str],
    ) -> None:
        inputs_topic, inputs_id = inputs
        self.partition = partition
        self.engine = restore(partition, saved.mark, saved.snapshots)
        self.reader = DenseReader(partition, self.engine.next_offset)
        self.known_end = 0
        """Offsets below this one are in the log for certain."""
        self.progress_s = time.monotonic()
        """When a record was last taken, or there was none to take."""
        self._port, self._publisher = port, publisher
        self._checkpoint = Checkpoint(partition, saved, inputs_id)
        self._replaced = saved.inputs_id not in ("", inputs_id)
        self._snapshots_end = max((offset for offset, _ in saved.snapshots.values()), default=-1) + 1
        self._flags = set(saved.snapshots)
        self._leaping: Place | None = None
        self._opened = False
        self._due_from = inf
        """From this offset on a checkpoint is due at once."""
        self._saved_s = self.progress_s
        self._saved_offset = self.engine.next_offset
        self._label = str(partition)
        self._shown = metrics.Shown(self._label, self._lag_records, lambda: self._saved_s)
        self._late: dict[str, int] = {}
        self._skipped = saved.skipped
        self._inputs_topic = inputs_topic
        self._asked_to_freeze: set[str] = set()
        self._writing: asyncio.Task[None] | None = None

    async def open(self) -> int:
        """Find the place in the log from which to go on.

        Returns:
            the offset to read from.

        Raises:
            TransportError: the broker did not answer.
        """
        bounds = await self._port.bounds(self.partition)
        place = Place.REPLACED if self._replaced else self.reader.place(bounds)
        self._replaced = False
        if place is Place.INSIDE and self._snapshots_end > bounds.end:
            place = Place.TRUNCATION
        if place is not Place.INSIDE:
            # All of a topic that was made anew is news; behind a truncated end nobody knows what was read.
            self._leap(place, bounds.end if place is Place.TRUNCATION else bounds.start)
        self.reader.asked(_now_ms())
        self.known_end = max(self.known_end, bounds.end) if place is not Place.TRUNCATION else bounds.end
        if not self._opened:
            self._opened, self._due_from = True, self.known_end
        self.progress_s = time.monotonic()
        return self.reader.next_offset

    def see(self, arrival: Delivered) -> Step:
        """Take a record if it is the next one: fold it and publish what is said.

        Returns:
            what the reader made of it; REWIND asks the caller to `open` and rewind.

        Raises:
            InternalError: not the next record, or a fault that the fold itself could not contain.
        """
        self.known_end = max(self.known_end, arrival.offset + 1)
        step = self.reader.see(arrival.offset, _now_ms())
        if step is not Step.TAKE:
            return step
        if arrival.unreadable:
            self._lose(arrival)
            return step
        outputs = self._jump(arrival) if self._leaping is not None else []
        payload = self._read(arrival)
        began_s = time.perf_counter()
        outputs += self._fold(Record(arrival.offset, arrival.log_ms, payload))
        self._publisher.publish(self.partition, [each for each in outputs if not isinstance(each, InputLeftOut)])
        for output in outputs:
            self._tell_failure(output, arrival)
        self._count_late(outputs)
        if isinstance(payload, Tick):
            self._shown.tick(self.engine.lag_ms, time.perf_counter() - began_s)
        self._shown.fold(arrival.log_ms)
        self.progress_s = time.monotonic()
        return step

    def _fold(self, record: Record) -> list[Output]:
        """The fold is total: what guardian's own code fails on freezes one flag, or is left out."""
        try:
            return self.engine.fold(record)
        except (GuardianError, MemoryError):
            raise
        except Exception as error:
            place = f"{self.partition}/{record.offset}"
            raise InternalError(
                f"folding input {place} failed: {type(error).__name__}: {error}",
                f"report it with the record: guardian inputs show {place}; guardian inputs skip {place} takes it out",
            ) from error

    def _tell_failure(self, output: Output, arrival: Delivered) -> None:
        """Log, count and keep aside what guardian's own code failed on."""
        if isinstance(output, FlagFrozen):
            metrics.FROZEN.labels(self._label).inc()
            log.critical(
                "flag %s is frozen: guardian's own code failed on it at input %d/%d: %s",
                output.flag, output.partition, output.offset, output.error,
            )  # fmt: skip
        elif isinstance(output, InputLeftOut):
            metrics.LEFT_OUT.labels(self._label).inc()
            log.critical(
                "input %d/%d could not be folded and was left out, its bytes are among the dead letters: %s",
                output.partition, output.offset, output.error,
            )  # fmt: skip
            key, value, headers = dead_letter_record(
                None,
                arrival.value,
                reason=DecodeReason.NOT_FOLDED.value,
                detail=output.error,
                source=f"{self._inputs_topic}/{self.partition}/{arrival.offset}",
            )
            self._publisher.write(Message("dead-letters", key or b"", value or b"", headers), self.partition)

    def checkpoint_if_due(self, *, now: bool = False) -> asyncio.Task[None] | None:
        """Start a checkpoint if there is something to write and it is time.

        Args:
            now: do not wait for the time.

        Returns:
            the task that writes, when one was started.
        """
        inputs = self.engine.next_offset - self._saved_offset
        elapsed_ms = (time.monotonic() - self._saved_s) * 1_000
        # What was caught up with is written down at once: processes that die one after the other, each before its time
        # for a checkpoint has come, would otherwise leave more and more behind to be folded again.
        caught_up = self.engine.next_offset >= self._due_from
        due = now or caught_up or elapsed_ms >= CHECKPOINT_INTERVAL_MS or inputs >= CHECKPOINT_INPUTS
        if not due or inputs == 0 or self._leaping is not None or self._checkpoint.stage is not Stage.IDLE:
            return None
        # Step 1: one instant: the state, and which outputs it stands on.
        captured = self.engine.capture()
        if captured.failed:
            self._ask_to_freeze(captured.failed)
            return None
        self._due_from = inf if caught_up else self._due_from
        outputs = self._publisher.unacked(self.partition)
        self._checkpoint.begin(captured)
        self._saved_offset = captured.next_offset
        self._writing = asyncio.create_task(self._write(outputs))
        return self._writing

    def _ask_to_freeze(self, failed: Sequence[FlagFrozen]) -> None:
        """Let the log say, once, that a rollout's state cannot be written down; until then there is no checkpoint."""
        for each in failed:
            if each.flag not in self._asked_to_freeze:
                self._asked_to_freeze.add(each.flag)
                self._publisher.publish(self.partition, [each])
                metrics.FROZEN.labels(self._label).inc()
                log.critical("flag %s is frozen: its state cannot be written down: %s", each.flag, each.error)

    async def last_checkpoint(self) -> None:
        """Write down where the partition stands; a checkpoint under way, which stands further back, ends first."""
        if self._writing is not None:
            await asyncio.wait({self._writing})
        if (last := self.checkpoint_if_due(now=True)) is not None:
            await last

    async def close(self) -> None:
        """Stop writing; what is under way may still land, which the keys allow for."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        self._shown.forget()

    async def _write(self, outputs: tuple[asyncio.Future[object], ...]) -> None:
        # Step 2: every output up to that instant is acked. One that is not ends the attempt as a whole (publish.py).
        if outputs:
            await asyncio.wait(outputs)
            if any(each.cancelled() or each.exception() is not None for each in outputs):
                return
        began_s = time.monotonic()
        # Step 3: rollouts, then the mark, then what became superfluous; the checkpoint knows the order.
        writes = self._checkpoint.outputs_acked()
        while writes:
            now, writes = writes[:WRITES_AT_ONCE], writes[WRITES_AT_ONCE:]
            for following in await asyncio.gather(*(self._save(write) for write in now)):
                writes += following
        if self._checkpoint.stage is Stage.IDLE and self._checkpoint.complete:
            self._saved_s = began_s

    async def _save(self, write: Write) -> list[Write]:
        size = len(write.value or b"")
        if size > MAX_SNAPSHOT_BYTES:
            log.error("partition %d: %r has %d bytes, more than it should", self.partition, write.key, size)
        try:
            if size > MAX_WRITE_BYTES:
                raise TransportError(f"{size} bytes do not fit into one record", retriable=False)
            await self._port.save(self.partition, write.key, write.value)
        except TransportError as error:
            log.warning("partition %d: checkpoint write failed: %s", self.partition, error)
            if dirty := self._checkpoint.failed(write.key):
                self.engine.mark_dirty(dirty)
            return []
        return self._checkpoint.acked(write.key)

    def _leap(self, place: Place, offset: int) -> None:
        log.error(
            "partition %d: the log has no input %d any more (%s): evidence starts anew at %d",
            self.partition,
            self.reader.next_offset,
            place.name.lower(),
            offset,
        )
        metrics.JUMPS.labels(self._label, place.name.lower()).inc()
        self.reader.jump(offset)
        self._snapshots_end = 0  # from here on they are written anew
        self._leaping = place

    def _lose(self, arrival: Delivered) -> None:
        """Go on behind an input that cannot be read, as behind one that retention has deleted."""
        metrics.JUMPS.labels(self._label, Place.UNREADABLE.name.lower()).inc()
        self._leaping = self._leaping or Place.UNREADABLE
        self.progress_s = time.monotonic()

    def _jump(self, arrival: Delivered) -> list[Output]:
        # The engine is told with the first record after the gap, whose timestamp is the log's time there.
        truncated = self._leaping not in (Place.RETENTION, Place.UNREADABLE)
        outputs = self.engine.jump(arrival.offset, arrival.log_ms, truncated=truncated)
        # Snapshots from beyond a truncated end must not outlive it: every rollout is written anew.
        for flag in self._flags:
            self.engine.mark_dirty(flag)
        self._saved_offset = arrival.offset
        self._leaping = None
        return outputs

    def _read(self, arrival: Delivered) -> Payload | None:
        if arrival.offset in self._skipped:
            metrics.SKIPPED.labels(self._label).inc()
            log.warning("input %d/%d is skipped: a person has taken it out", self.partition, arrival.offset)
            return None
        try:
            return decode_payload(arrival.value)
        except DecodeError as error:
            metrics.RUBBISH.labels(self._label).inc()
            log.warning("input %d/%d cannot be read: %s", self.partition, arrival.offset, error)
            return None

    def _count_late(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, RolloutStatus):
                flag, count = output.state.flag, output.late_count
                # The first status after a restart tells where to count from.
                metrics.LATE.labels(self._label).inc(max(0, count - self._late.get(flag, count)))
                self._late[flag] = count

    def _lag_records(self) -> int:
        return max(0, self.known_end - self.reader.next_offset)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
