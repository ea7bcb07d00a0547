"""A model of dense reading and the checkpoint: nothing lost, nothing twice, and every rule is needed.

The real DenseReader, Checkpoint and recovery run in a world that loses, repeats and rewinds deliveries, fails writes
that land all the same, kills the worker between any two steps, and lets the dead one's writes land late.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from guardian.core.inputs import Batch, Bucket, Cell, Record, Source
from guardian.core.outputs import FlagChange
from guardian.decide.checkpoint import Captured, Checkpoint, Key, Stage, Write, read_key, recover, write_key
from guardian.decide.dense import DenseReader, Step
from guardian.errors import TransportError
from tests.decide.counting import CountedCapture, CountingEngine

FLAGS = ("a", "b", "c")
LOG_LENGTH = 30
SOURCE = Source("telemetry", "id", 0)


def make_log(chance: random.Random) -> list[Record]:
    """A log in which some batches were announced twice, as ingest does after a crash."""
    log: list[Record] = []
    at = 0
    while len(log) < LOG_LENGTH:
        cells = [Cell(flag, 0, "on", "split", buckets=[Bucket(1, n=chance.randint(1, 9))]) for flag in FLAGS]
        batch = Batch(SOURCE, at, at + 10, cells=chance.sample(cells, chance.randint(1, 3)))
        for _ in range(chance.choice((1, 1, 1, 2))):
            log.append(Record(len(log), 0, batch))
        at += 10
    return log


class Rules:
    """Every rule as it is; a variant leaves out one."""

    reader: type[DenseReader] = DenseReader
    checkpoint: type[Checkpoint] = Checkpoint
    engine: type[CountingEngine] = CountingEngine
    waits_for_outputs = True
    dirty_again = True
    key_has_offset = True
    opens_at_mark = True


@dataclass
class World:
    """What survives a crash: the log, the changelog, the outputs; and what is still under way to them."""

    rules: Rules
    log: list[Record]
    changelog: dict[bytes, bytes] = field(default_factory=dict)
    outputs: set[str] = field(default_factory=set)
    late: list[Write] = field(default_factory=list)
    committed: int = 0

    def land(self, write: Write) -> None:
        key = write.key if self.rules.key_has_offset else write.key.split(b"/")[1] + write.key[-2:]
        if write.value is not None:
            self.changelog[key] = write.value if self.rules.key_has_offset else write.key + b"=" + write.value
        elif self.rules.key_has_offset:
            self.changelog.pop(key, None)

    def records(self) -> dict[bytes, bytes]:
        if self.rules.key_has_offset:
            return self.changelog
        return dict(value.split(b"=", 1) for value in self.changelog.values())  # type: ignore[arg-type]


class Worker:
    """One decide process on one partition, driven step by step."""

    def __init__(self, world: World, chance: random.Random) -> None:
        rules = world.rules
        saved = recover(0, world.records())
        self.world, self.chance = world, chance
        self.engine = rules.engine.restore(0, saved.mark, saved.snapshots)
        if not rules.opens_at_mark:
            self.engine.next_offset = world.committed
        self.reader = rules.reader(0, self.engine.next_offset)
        self.checkpoint = rules.checkpoint(0, saved)
        self.checkpoint.engine = self.engine  # type: ignore[attr-defined]
        self.position = chance.randint(0, len(world.log))
        self.pending: list[str] = []
        self.awaited: set[str] = set()
        self.writes: list[Write] = []

    def deliver(self, lossy: bool = True) -> None:
        if lossy and self.chance.random() < 0.3:
            self.position += self.chance.randint(-4, 4)
        self.position = max(0, self.position)
        if self.position >= len(self.world.log):
            self.position = self.chance.randint(0, len(self.world.log)) if lossy else self.engine.next_offset
            return
        record = self.world.log[self.position]
        self.position += 1
        self.world.committed = max(self.world.committed, self.position)
        step = self.reader.see(record.offset, self.chance.randint(0, 10**6) if lossy else 10**9)
        if step is Step.REWIND:
            if not lossy or self.chance.random() < 0.7:
                self.position = self.reader.next_offset
        elif step is Step.TAKE:
            self.engine.next_offset = (
                record.offset if self.world.rules.reader is not DenseReader else (self.engine.next_offset)
            )
            said = self.engine.fold(record)
            self.pending += [each.state.change_id for each in said if isinstance(each, FlagChange)]

    def ack_output(self) -> None:
        if self.pending:
            done = self.pending.pop(0)
            self.world.outputs.add(done)
            self.awaited.discard(done)

    def begin(self) -> None:
        if self.checkpoint.stage is Stage.IDLE:
            self.checkpoint.begin(self.engine.capture())
            self.awaited = set(self.pending)

    def go_on(self) -> None:
        if self.checkpoint.stage is Stage.OUTPUTS and not (self.awaited and self.world.rules.waits_for_outputs):
            self.writes += self.checkpoint.outputs_acked()

    def write(self) -> None:
        if not self.writes:
            return
        write = self.writes.pop(self.chance.randrange(len(self.writes)))
        fate = self.chance.random()
        if fate < 0.75:
            self.world.land(write)
            self.writes += self.checkpoint.acked(write.key)
            return
        if fate < 0.85:
            self.world.late.append(write)
        dirty = self.checkpoint.failed(write.key)
        if dirty and self.world.rules.dirty_again:
            self.engine.mark_dirty(dirty)

    def step(self) -> None:
        self.chance.choice(
            (self.deliver, self.deliver, self.deliver, self.ack_output, self.begin, self.go_on, self.write, self.write)
        )()

    def die(self) -> None:
        """Whatever is in flight lands late or never."""
        self.world.late += [write for write in self.writes if self.chance.random() < 0.5]


def run(rules: Rules, seed: int) -> str:
    """Run one history; return what is wrong, empty when all is exact."""
    chance = random.Random(seed)
    world = World(rules, make_log(chance))
    workers = [Worker(world, chance)]
    for _ in range(chance.randint(40, 220)):
        if chance.random() < 0.04:
            if len(workers) == 2 or chance.random() < 0.6:
                workers.pop(0).die()
            workers.append(Worker(world, chance))  # the one before it, if alive, is a zombie from here on
        if world.late and chance.random() < 0.1:
            world.land(world.late.pop(chance.randrange(len(world.late))))
        chance.choice(workers).step()
    workers[-1].die()
    for write in world.late:
        world.land(write)
    last = Worker(world, chance)
    for _ in range(20 * LOG_LENGTH):
        last.deliver(lossy=False)
    return judge(world, last)


def judge(world: World, last: Worker) -> str:
    truth = CountingEngine(0)
    said = [each.state.change_id for record in world.log for each in truth.fold(record) if isinstance(each, FlagChange)]
    if last.engine.counts != truth.counts:
        return f"counts {last.engine.counts} instead of {truth.counts}"
    lost = set(said) - world.outputs - set(last.pending)
    return f"outputs lost: {sorted(lost)}" if lost else ""


class TakesGaps(DenseReader):
    def see(self, offset: int, now_ms: int) -> Step:
        self.next_offset = max(self.next_offset, offset)
        return super().see(offset, now_ms)


class TakesRepeats(DenseReader):
    def see(self, offset: int, now_ms: int) -> Step:
        self.next_offset = min(self.next_offset, offset)
        return super().see(offset, now_ms)


class MarksAtOnce(Checkpoint):
    """The mark is sent together with the rollouts."""

    def outputs_acked(self) -> list[Write]:
        captured = self._of(Stage.OUTPUTS)
        writes = super().outputs_acked()
        if self.stage is Stage.ROLLOUTS:
            sealed = self._put(Key("", captured.next_offset), b"\x94\x01\x00\x00" + _packed(captured.mark))
            writes.append(sealed)
        return writes

    def acked(self, key: bytes) -> list[Write]:
        if self.stage is Stage.ROLLOUTS and not read_key(key)[1].flag:
            self._keys.add(self._outstanding.pop(key))
            return [] if self._outstanding else self._next_stage()
        return super().acked(key)


def _packed(mark: bytes) -> bytes:
    return bytes([0xC4, len(mark)]) + mark


class MarksWhereItStands(Checkpoint):
    """The mark is taken when it is sent, not in the instant of the rollouts."""

    engine: CountingEngine

    def _send_mark(self) -> list[Write]:
        captured: Captured = self._of(Stage.ROLLOUTS)
        self._captured = CountedCapture(self.engine.next_offset, self.engine.mark(), list(captured.rollouts))  # type: ignore[arg-type]
        return super()._send_mark()


class MarksAfterFailure(Checkpoint):
    """A failed write does not keep the mark back."""

    def failed(self, key: bytes) -> str:
        lost = self._outstanding.pop(key)
        return lost.flag


class DeletesEarly(Checkpoint):
    """Older keys are deleted as soon as the newer ones are sent."""

    def outputs_acked(self) -> list[Write]:
        old = list(self._keys)
        self._keys = set()
        return [*(Write(write_key(0, key), None) for key in old), *super().outputs_acked()]

    def acked(self, key: bytes) -> list[Write]:
        return super().acked(key) if key in self._outstanding else []

    def failed(self, key: bytes) -> str:
        return super().failed(key) if key in self._outstanding else ""


class CountsIncludedAgain(CountingEngine):
    def skips(self, flag: str, offset: int) -> bool:
        return False


def without(**changes: object) -> Callable[[], Rules]:
    def build() -> Rules:
        rules = Rules()
        for name, value in changes.items():
            setattr(rules, name, value)
        return rules

    return build


def found_by(rules: Rules, seeds: range) -> str:
    for seed in seeds:
        try:
            wrong = run(rules, seed)
        except TransportError as error:  # recovery itself sees that snapshots are missing
            wrong = error.message
        if wrong:
            return f"seed {seed}: {wrong}"
    return ""


def test_whatever_is_lost_repeated_or_killed_the_counts_are_exact_and_no_output_is_lost() -> None:
    assert found_by(Rules(), range(2_500)) == ""


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(without(reader=TakesGaps), id="a newer record is taken over a gap"),
        pytest.param(without(reader=TakesRepeats), id="an older record is taken again"),
        pytest.param(without(waits_for_outputs=False), id="the snapshot does not wait for the outputs"),
        pytest.param(without(checkpoint=MarksAtOnce), id="the mark does not wait for the rollouts"),
        pytest.param(without(checkpoint=MarksWhereItStands), id="mark and rollouts are of two instants"),
        pytest.param(without(checkpoint=MarksAfterFailure), id="a failed write does not keep the mark back"),
        pytest.param(without(dirty_again=False), id="a failed write does not make its rollout dirty again"),
        pytest.param(without(key_has_offset=False), id="the key does not carry the offset"),
        pytest.param(without(checkpoint=DeletesEarly), id="older keys are deleted before the newer are acked"),
        pytest.param(without(opens_at_mark=False), id="a partition opens at the committed offset"),
        pytest.param(without(engine=CountsIncludedAgain), id="a rollout counts again what its snapshot includes"),
    ],
)
def test_the_model_finds_the_fault_when_this_rule_is_left_out(broken: Callable[[], Rules]) -> None:
    assert found_by(broken(), range(4_000)) != ""
