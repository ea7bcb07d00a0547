"""The fold: (state, input) -> (state, outputs), over the dense log of one input partition.

Same log in, same outputs out. The engine owns the state of every rollout of its partition and nothing else does.

The fold is total. Code that fails on one rollout freezes that rollout (flag_freeze.py) and no other; a record that
fails outside of any rollout is left out, and the evidence of the partition starts again, as after a gap in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any, Final, TypeVar

from guardian.core.alerts import NO_FLAG
from guardian.core.commands import COMMANDS, FOR_ALL, ParseSpec, answer, declare, obey, refusal
from guardian.core.counting import take_cell
from guardian.core.events import BEAT_SECONDS
from guardian.core.flag_freeze import error_line, freeze_flag, frozen_status, obey_frozen, put_back
from guardian.core.following import watch_share
from guardian.core.inputs import Batch, Command, FlagReport, FreezeFlag, Reassert, Record, Tick, Watermarks
from guardian.core.instant import Cause, Instant, decide, stand
from guardian.core.mishaps import (
    end_mishaps,
    tell_leap,
    tell_left_out,
    tell_lost,
    tell_stopped,
    tell_unreadable,
    watch_blindness,
)
from guardian.core.outputs import (
    Beat,
    Decision,
    Evidence,
    FlagChange,
    FlagFrozen,
    FlagState,
    InputLeftOut,
    Output,
)
from guardian.core.progress import MAX_CREDIT_MS, progress, summarise
from guardian.core.ranges import is_next, release
from guardian.core.reasserting import end_foreign_alerts, reassert, reconcile
from guardian.core.signs import take_signs
from guardian.core.snapshot import MAX_RECORD_BYTES, Capture, PartitionState, RolloutSnapshot, pack, unpack
from guardian.core.state import RolloutState, look_back_s
from guardian.core.status import status_of
from guardian.core.watching import judge_arrivals, judge_event_times, nothing_to_judge
from guardian.core.words import ALL_FLAGS, Outcome, Phase, Reason
from guardian.errors import InternalError

BEAT_EVERY_MS: Final = round(BEAT_SECONDS * 1_000)
STATUS_EVERY_MS: Final = 900
"""Just below a second, so that a tick that comes a little early still counts."""
STATUS_SPREAD_MS: Final = 5
"""A partition writes at most one status in this time: many rollouts make each one's rarer."""
STATUSES_AT_ONCE: Final = 1_000 // STATUS_SPREAD_MS
"""At one tick; the others follow at the next ones, so that ten thousand do not come due together."""

T = TypeVar("T")


class Engine:
    """The rollouts of one input partition.

    Args:
        partition: of guardian.inputs.
        parse_spec: turns the document of an apply command into a checked spec; raises SpecError.
        build: the version of guardian; named by a freeze.
        restore_control: when code fails on a flag, give everybody control; otherwise its document stays as it is.
    """

    def __init__(
        self, partition: int, parse_spec: ParseSpec, *, build: str = "", restore_control: bool = False
    ) -> None:
        self.partition = partition
        self.next_offset = 0
        self._parse_spec = parse_spec
        self._build, self._restore_control = build, restore_control
        self._state = PartitionState()
        self._rollouts: dict[str, RolloutState] = {}
        # Restored, but declared behind the mark: they come to be when the log comes to their declaration.
        self._ahead: dict[str, RolloutState] = {}
        self._dirty: set[str] = set()

    # What decide's loop calls

    def fold(self, record: Record) -> list[Output]:
        """Fold the next record.

        Returns:
            what guardian says, in order; the flag changes must not wait for the rest.

        Raises:
            InternalError: not the next record: the log is dense and nothing may be skipped.
        """
        if record.offset != self.next_offset:
            raise InternalError(f"partition {self.partition}: offset {record.offset} is not {self.next_offset}")
        self.next_offset += 1
        said: list[Output] = []
        try:
            self._fold(record, said)
        except MemoryError:
            raise
        except Exception as error:
            self._leave_out(record, said, error)
        return said

    def _fold(self, record: Record, said: list[Output]) -> None:
        clock = self._state.clock
        before_ms, leaps = clock.watermark_ms, clock.leaps
        clock.read_log(record.log_ms)
        if isinstance(record.payload, Watermarks):
            clock.read_marks(record.payload)
        now = self._instant(record.offset, self._stale(), self.lag_ms, said)
        if clock.leaps != leaps:
            tell_leap(self._state, now)
        match record.payload:
            case Batch():
                self._take_batch(record.payload, now)
            case Watermarks():
                tell_stopped(self._state, record.payload, now)
            case Tick():
                self._take_tick(now)
            case Reassert() | FlagReport():
                self._take_found(record.payload, now)
            case FreezeFlag():
                self._take_freeze(record.payload, now)
            case None:
                self._state.rubbish_count += 1
        if now.watermark_ms // 1_000 > before_ms // 1_000:
            self._judge(now, before_ms)
        self._say_status(now, is_tick=isinstance(record.payload, Tick))

    def jump(self, offset: int, log_ms: int, *, truncated: bool = False) -> list[Output]:
        """Continue behind a gap in the log: name it, start windows anew, freeze promotions until they are full.

        Args:
            offset: the first offset that is still there.
            log_ms: a broker timestamp of that moment.
            truncated: the log's end was cut off, and offsets from here on are written a second time: what a
                snapshot includes of them is not skipped. Understood when `offset` lies behind the present one.
        """
        lost_from, self.next_offset = self.next_offset, offset
        truncated = truncated or offset < lost_from
        clock = self._state.clock
        clock.read_log(log_ms)
        said: list[Output] = []
        now = self._instant(offset, "inputs were lost", -1, said)
        self._state.heard.clear()
        text = f"inputs {lost_from} to {offset - 1} of partition {self.partition} were lost before they were read"
        if truncated:
            text = f"inputs from {offset} on of partition {self.partition} were read, and are in the log no more"
        full_ms = clock.log_ms
        for flag in [flag for flag, state in self._ahead.items() if truncated or state.declared_offset < offset]:
            self._rollouts[flag] = self._ahead.pop(flag)
        for state in self._rollouts.values():
            if truncated:
                state.folded_offset = min(state.folded_offset, offset - 1)
            if truncated or state.folded_offset < offset - 1:
                self._on(state, now, partial(self._lose_evidence, state, now, text))
                full_ms = max(full_ms, state.promote_after_ms)
        tell_lost(self._state, now, text, full_ms)
        return said

    def _leave_out(self, record: Record, said: list[Output], error: Exception) -> None:
        """A record failed outside of any rollout: it changes nothing more, and nobody trusts what it left behind."""
        state, clock = self._state, self._state.clock
        now = Instant(
            self.partition, record.offset, clock.log_ms, clock.watermark_ms, "an input was left out", -1, said,
            heard=state.heard, fresh_ms=state.fresh_ms,
        )  # fmt: skip
        failed = InputLeftOut(self.partition, record.offset, error_line(error))
        said.append(failed)
        text = f"input {self.partition}/{record.offset} could not be folded and was left out: {failed.error}"
        full_ms = clock.log_ms
        for rollout in self._rollouts.values():
            if rollout.folded_offset < record.offset:
                self._on(rollout, now, partial(self._lose_evidence, rollout, now, text))
                full_ms = max(full_ms, rollout.promote_after_ms)
        tell_left_out(state, now, text, full_ms)

    def _on(self, state: RolloutState, now: Instant, work: Callable[[], T]) -> T | None:
        """Run code that may change one rollout. If it fails, that flag freezes, and all others go on."""
        if state.freeze is not None:
            return None
        before, said_count = copy(state), len(now.said)
        try:
            return work()
        except MemoryError:
            raise
        except Exception as error:
            del now.said[said_count:]
            put_back(state, before)
            self._freeze(state, now, error)
            return None

    def _freeze(self, state: RolloutState, now: Instant, error: Exception) -> None:
        failed = FlagFrozen(state.flag, self.partition, now.offset, self._build, error_line(error))
        self._dirty.add(state.flag)
        freeze_flag(state, now, failed, restore_control=self._restore_control)
        now.said.append(failed)

    def _take_freeze(self, found: FreezeFlag, now: Instant) -> None:
        """The log says that guardian's code failed on a flag; news for a build whose code did not."""
        state = self._rollouts.get(found.flag)
        if state is None or state.folded_offset >= now.offset or state.freeze is not None:
            return
        if found.offset > state.unfrozen_offset:
            self._dirty.add(found.flag)
            failed = FlagFrozen(found.flag, self.partition, found.offset, found.build, found.error)
            freeze_flag(state, now, failed, restore_control=self._restore_control)

    def _instant(self, offset: int, stale: str, lag_ms: int, said: list[Output]) -> Instant:
        state, clock = self._state, self._state.clock
        passed_ms = clock.log_ms - state.ticked_ms if state.ticked_ms and not stale else 0
        return Instant(
            self.partition, offset, clock.log_ms, clock.watermark_ms, stale, lag_ms, said,
            heard=state.heard, fresh_ms=state.fresh_ms + min(passed_ms, MAX_CREDIT_MS),
        )  # fmt: skip

    def _lose_evidence(self, state: RolloutState, now: Instant, text: str) -> None:
        self._dirty.add(state.flag)
        state.fleet.lost_ms = now.log_ms
        state.start_evidence_anew()
        state.promote_after_ms = now.log_ms + look_back_s(state.spec) * 1_000
        state.touched = True  # the next status says so, also of a rollout that decides nothing and hears of nothing
        if state.phase is Phase.PROGRESSING:
            decide(state, now, stand(state), Cause(Outcome.INCONCLUSIVE, Reason.EVIDENCE_LOST, text))

    def capture(self) -> Capture:
        """Return the state of this instant: the mark, and each rollout that changed since the last capture.

        Where a rollout cannot be written down, `failed` says which, and nothing is captured: the log has to say that
        the flag is frozen, which makes it small and plain, before a mark may stand on it.
        """
        offset = self.next_offset - 1
        snapshots, failed = [], []
        for flag in sorted(self._dirty):
            state = self._rollouts[flag]
            folded_offset, state.folded_offset = state.folded_offset, max(state.folded_offset, offset)
            try:
                data = pack(state)
                if len(data) > MAX_RECORD_BYTES:
                    raise OverflowError(f"its state takes {len(data)} bytes")
            except (OverflowError, ValueError, TypeError) as error:
                state.folded_offset = folded_offset
                failed.append(FlagFrozen(flag, self.partition, offset, self._build, error_line(error)))
                continue
            snapshots.append(RolloutSnapshot(flag, state.folded_offset, data))
        if failed:
            return Capture(self.next_offset, b"", [], failed)
        self._dirty.clear()
        return Capture(self.next_offset, pack(self._state), snapshots)

    def mark_dirty(self, flag: str) -> None:
        """Take note that a rollout's snapshot was not written: the next capture includes it again."""
        if flag in self._rollouts:
            self._dirty.add(flag)

    @classmethod
    def restore(
        cls,
        partition: int,
        parse_spec: ParseSpec,
        mark: tuple[int, bytes] | None,
        snapshots: dict[str, tuple[int, bytes]],
        **options: Any,
    ) -> Engine:
        """Return the engine as of the mark; rollouts whose snapshot is newer skip what they include.

        Args:
            mark: next offset and state of the partition; None begins at offset 0.
            snapshots: by flag: the last offset included, and the state.
            options: `build` and `restore_control`, as above.
        """
        engine = cls(partition, parse_spec, **options)
        if mark is not None:
            engine.next_offset = mark[0]
            engine._state = unpack(mark[1], PartitionState)
        states = []
        for offset, data in snapshots.values():
            states.append(unpack(data, RolloutState))
            states[-1].folded_offset = offset
        for state in sorted(states, key=lambda state: state.declared_index):
            is_ahead = state.declared_offset >= engine.next_offset
            (engine._ahead if is_ahead else engine._rollouts)[state.flag] = state
        return engine

    def flags(self) -> list[FlagState]:
        """Return what this partition asserts now, by flag."""
        states = {**self._rollouts, **self._ahead}
        return [states[flag].flag_state() for flag in sorted(states)]

    @property
    def rollout_count(self) -> int:
        """How many rollouts this partition holds."""
        return len(self._rollouts)

    @property
    def lag_ms(self) -> int:
        """Log time less watermark; -1 when guardian is blind, as it is when batches of a source are left out."""
        return -1 if self._state.frozen else self._state.clock.lag_ms

    # Batches

    def _take_batch(self, batch: Batch, now: Instant) -> None:
        if not is_next(self._state, batch, now):
            return
        tell_unreadable(self._state, batch, now)
        for command in batch.commands:
            self._take_command(command, now)
        touched: dict[str, RolloutState] = {}
        for cell in batch.cells:
            state = self._rollouts.get(cell.flag)
            if state is not None and state.folded_offset < now.offset:
                self._on(state, now, partial(take_cell, state, cell, now))
                touched[cell.flag] = state
        self._dirty.update(touched, take_signs(self._rollouts, batch, now, self._on))
        for state in touched.values():
            if state.phase is not Phase.ARCHIVED:
                self._on(state, now, partial(judge_arrivals, state, now))

    # Commands

    def _take_command(self, command: Command, now: Instant) -> None:
        if command.command not in COMMANDS:
            self._refuse(command, now, Reason.REFUSED_PHASE, f"{command.command!r} is not a command of this version")
        elif command.flag == ALL_FLAGS:
            self._take_for_all(command, now)
        elif command.command == "apply" and command.flag not in self._rollouts:
            self._declare(command, now)
        elif command.flag not in self._rollouts:
            text = f"no rollout of {command.flag!r}: apply its spec first"
            self._refuse(command, now, Reason.REFUSED_UNKNOWN_FLAG, text)
        else:
            self._obey(self._rollouts[command.flag], command, now)

    def _declare(self, command: Command, now: Instant) -> None:
        ahead = self._ahead.get(command.flag)
        if ahead is not None and ahead.declared_offset == now.offset:
            self._rollouts[command.flag] = self._ahead.pop(command.flag)
            return
        declared = declare(command, now, self._parse_spec)
        if isinstance(declared, RolloutState):
            declared.declared_index = len(self._rollouts)
            self._rollouts[declared.flag] = declared
            self._dirty.add(declared.flag)
        else:
            self._refuse(command, now, declared.reason, declared.text)

    def _obey(self, state: RolloutState, command: Command, now: Instant) -> None:
        if state.folded_offset >= now.offset:
            return
        self._dirty.add(state.flag)
        # A command that freezes the flag is answered as one on a frozen flag: the brake works all the same.
        self._on(state, now, partial(obey, state, now, command, self._parse_spec))
        if state.freeze is not None:
            obey_frozen(state, now, command)

    def _take_for_all(self, command: Command, now: Instant) -> None:
        """Carry a command out on every flag of this partition, then answer once for the partition."""
        if command.command == "release":
            now.said.append(self._answer(now, release(self._state, command, now), NO_FLAG))
            return
        if command.command not in FOR_ALL:
            text = f"{command.command} is for one flag; for all: {', '.join(FOR_ALL)}"
            self._refuse(command, now, Reason.REFUSED_TARGET, text)
            return
        for flag in sorted(self._rollouts):
            self._obey(self._rollouts[flag], command, now)
        text = f"{command.command} for {len(self._rollouts)} flags of partition {self.partition}"
        now.said.append(self._answer(now, answer(command, Outcome.PASS, Reason.OPERATOR, text), NO_FLAG))

    def _refuse(self, command: Command, now: Instant, reason: Reason, text: str) -> None:
        now.said.append(self._answer(now, refusal(command, reason, text), command.flag))

    def _answer(self, now: Instant, cause: Cause, flag: str) -> Decision:
        """Return the decision that answers a command which concerns no rollout of its own."""
        fields: dict[str, Any] = {name: getattr(cause, name) for name in Cause.__struct_fields__}
        fields["evidence"] = Evidence(partition=now.partition, offset=now.offset)
        return Decision(
            # Every partition answers a command for all, and two of them may do so at the same offset.
            id=f"{flag}/0/{now.partition}.{now.offset}/{cause.command_id}",
            flag=flag,
            attempt=0,
            at_ms=now.log_ms,
            from_phase=Phase.DRAFT,
            phase=Phase.DRAFT,
            step="",
            from_weight_bp=0,
            weight_bp=0,
            epoch=0,
            version=0,
            change_id="",
            partition=now.partition,
            offset=now.offset,
            **fields,
        )

    # Time

    def _stale(self) -> str:
        """Return why no promotion may be made now, empty when one may."""
        if not (frozen := self._state.frozen):
            return self._state.clock.stale()
        # All partitions of a topic are frozen at once: the first says why, and each has its alert.
        return next(iter(frozen.values())) + (f" (and {len(frozen) - 1} more)" if len(frozen) > 1 else "")

    def _judge(self, now: Instant, before_ms: int) -> None:
        for state in self._rollouts.values():
            alive = state.folded_offset < now.offset and state.phase is not Phase.ARCHIVED
            # Ten thousand quiet rollouts must cost nothing: not the copy either that undoes a failure.
            if not alive or state.freeze is not None or nothing_to_judge(state):
                continue
            self._on(state, now, partial(judge_event_times, state, now, before_ms))
            self._dirty.add(state.flag)

    def _take_tick(self, now: Instant) -> None:
        passed_ms = now.log_ms - self._state.ticked_ms if self._state.ticked_ms else 0
        self._state.ticked_ms, self._state.fresh_ms = now.log_ms, now.fresh_ms
        if now.log_ms - self._state.beat_ms >= BEAT_EVERY_MS:
            self._state.beat_ms = now.log_ms
            now.said.append(Beat(self.partition, now.log_ms, now.lag_ms, now.stale))
        end_mishaps(self._state, now)
        is_watched = any(state.phase is not Phase.ARCHIVED for state in self._rollouts.values())
        watch_blindness(self._state, now, is_watched=is_watched)
        for state in self._rollouts.values():
            if state.folded_offset < now.offset and not _is_idle(state):
                self._on(state, now, partial(self._tick_one, state, now, passed_ms))

    def _tick_one(self, state: RolloutState, now: Instant, passed_ms: int) -> None:
        before = (state.gate_wait_ms, state.summary_ms)
        progress(state, now, passed_ms)
        summarise(state, now)
        ended = end_foreign_alerts(state, now)
        if watch_share(state, now) or ended or (state.gate_wait_ms, state.summary_ms) != before:
            self._dirty.add(state.flag)

    def _take_found(self, found: Reassert | FlagReport, now: Instant) -> None:
        state = self._rollouts.get(found.flag)
        if state is None or state.folded_offset >= now.offset:
            return
        work = partial(_compare, state, found, now)
        # It touches no evidence, so a frozen flag asserts its document too.
        if self._on(state, now, work) if state.freeze is None else work():
            self._dirty.add(state.flag)

    # Status

    def _say_status(self, now: Instant, *, is_tick: bool) -> None:
        """Write the status of rollouts that were decided on, and at ticks of those that something arrived for."""
        changed = [said.flag if isinstance(said, Decision) else said.state.flag
                   for said in now.said if isinstance(said, Decision | FlagChange)]  # fmt: skip
        every_ms = max(STATUS_EVERY_MS, STATUS_SPREAD_MS * len(self._rollouts))
        due = 0
        for flag in self._rollouts if is_tick else dict.fromkeys(changed):
            state = self._rollouts.get(flag)
            if state is None or state.folded_offset >= now.offset:
                continue
            alive = state.touched or state.phase is Phase.PROGRESSING
            is_due = alive and due < STATUSES_AT_ONCE and now.log_ms - state.status_ms >= every_ms
            if state.status_ms == 0 or is_due:
                due += is_due
                state.status_ms = now.log_ms
                state.touched = False
                self._dirty.add(state.flag)
                now.said.append(self._on(state, now, partial(status_of, state, now)) or frozen_status(state, now))


def _compare(state: RolloutState, found: Reassert | FlagReport, now: Instant) -> bool:
    return reconcile(state, found, now) if isinstance(found, FlagReport) else reassert(state, found, now)


def _is_idle(state: RolloutState) -> bool:
    """No step that ripens, no candidate that is served and nobody to be waited for: a tick changes nothing."""
    ripens = state.phase is Phase.PROGRESSING or state.runs_candidate
    return not ripens and state.fleet.settled and state.foreign is None
