"""The checkpoint's order, its recovery, and what it does when the log itself was cut."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.core.inputs import Batch, Bucket, Cell, Source
from guardian.core.outputs import FlagFrozen
from guardian.core.words import FLAG_NAME_PATTERN
from guardian.decide.checkpoint import SKIP, Key, marks, read_key, recover, write_key
from guardian.decide.port import Delivered
from guardian.errors import InternalError, TransportError
from tests.decide.counting import CountedCapture
from tests.decide.feeding import run
from tests.decide.memory import MemoryPort, MemoryPublisher, owned, read_on


def batch(at: int, flag: str = "a") -> Batch:
    return Batch(Source("telemetry", "id", 0), at, at + 1, [Cell(flag, 0, "on", "split", buckets=[Bucket(1, n=1)])])


@given(st.integers(0, 1_023), st.integers(0, 2**62), st.from_regex(FLAG_NAME_PATTERN, fullmatch=True) | st.just(""))
def test_a_key_says_partition_offset_and_flag(partition: int, offset: int, flag: str) -> None:
    assert read_key(write_key(partition, Key(flag, offset))) == (partition, Key(flag, offset))


@pytest.mark.parametrize("key", [b"", b"0/mark", b"x/mark/1", b"0/other/1", b"\xff"])
def test_a_stranger_in_the_changelog_is_named(key: bytes) -> None:
    with pytest.raises(InternalError, match="does not write"):
        recover(0, {key: b""})


def test_outputs_then_rollouts_then_the_mark_then_what_is_superfluous() -> None:
    async def test() -> None:
        port, publisher = MemoryPort(), MemoryPublisher()
        for at in range(3):
            port.append(batch(at, "ab"[at % 2]))
        mine = owned(port, publisher)
        await read_on(mine, port)
        await mine.checkpoint_if_due(now=True)
        publisher.hold = True
        port.append(batch(3))
        await read_on(mine, port)
        port.writes.clear()
        writing = mine.checkpoint_if_due(now=True)
        assert writing is not None
        publisher.hold = False
        port.append(batch(4))
        await read_on(mine, port)  # the fold goes on, but the instant is fixed and nothing is written yet
        assert port.writes == []
        publisher.ack_all()
        await writing
        zeros = "0" * 19
        assert port.writes == [
            f"0/rollout/{zeros}3/a",
            f"0/mark/{zeros}4",
            *sorted([f"delete 0/rollout/{zeros}2/a", f"delete 0/mark/{zeros}3"], reverse=True),
        ]
        assert recover(0, port.records).mark == (4, b"\x81\xabtelemetry/0\x04")

    run(test)


def test_the_last_checkpoint_is_written_although_another_one_is_under_way() -> None:
    async def test() -> None:
        port, publisher = MemoryPort(), MemoryPublisher()
        mine = owned(port, publisher)
        publisher.hold = True
        port.append(batch(1))
        await read_on(mine, port)
        assert mine.checkpoint_if_due(now=True) is not None
        publisher.hold = False
        port.append(batch(2))
        await read_on(mine, port)
        last = asyncio.create_task(mine.last_checkpoint())
        await asyncio.sleep(0)
        assert port.writes == [], "outputs of the first are not acked yet"
        publisher.ack_all()
        await last
        assert marks(port.records) == {0: 2}

    run(test)


def test_a_failed_rollout_keeps_the_mark_back_and_is_written_again() -> None:
    async def test() -> None:
        port, publisher = MemoryPort(), MemoryPublisher()
        port.append(batch(0))
        mine = owned(port, publisher)
        await read_on(mine, port)
        port.fail = {"rollout"}
        await mine.checkpoint_if_due(now=True)
        assert port.records == {}
        port.fail = set()
        port.append(batch(1, "b"))
        await read_on(mine, port)
        await mine.checkpoint_if_due(now=True)
        assert set(recover(0, port.records).snapshots) == {"a", "b"}

    run(test)


def test_what_a_successor_has_caught_up_with_is_written_at_once_and_what_follows_in_its_time() -> None:
    async def test() -> None:
        port = MemoryPort()
        for at in range(3):
            port.append(batch(at))
        mine = owned(port, MemoryPublisher())
        await mine.open()
        mine.see(Delivered(0, 0, 0, port.log[0]))
        assert mine.checkpoint_if_due() is None, "it has not caught up"
        await read_on(mine, port)
        task = mine.checkpoint_if_due()
        assert task is not None
        await task
        saved = recover(0, port.records)
        assert saved.mark is not None
        assert saved.mark[0] == 3
        port.append(batch(3))
        await read_on(mine, port)
        assert mine.checkpoint_if_due() is None

    run(test)


def test_a_changelog_that_was_not_read_whole_is_read_again_rather_than_believed() -> None:
    async def test() -> None:
        port = MemoryPort()
        port.append(batch(0))
        port.append(batch(1))
        mine = owned(port, MemoryPublisher())
        await read_on(mine, port)
        await mine.checkpoint_if_due(now=True)
        partial = {key: value for key, value in port.records.items() if b"rollout" not in key}
        with pytest.raises(TransportError, match="not read whole") as raised:
            recover(0, partial)
        assert raised.value.retriable
        # Every rollout is there, but one in an older state than the mark stands on.
        (name,) = [key for key in port.records if b"rollout" in key]
        flag = read_key(name)[1].flag
        older = {key: value for key, value in port.records.items() if key != name} | {
            write_key(0, Key(flag, 0)): port.records[name]
        }
        with pytest.raises(TransportError, match="not read whole"):
            recover(0, older)

    run(test)


def test_after_a_truncation_nothing_from_beyond_the_end_outlives_it() -> None:
    async def test() -> None:
        port, publisher = MemoryPort(), MemoryPublisher()
        for at in range(9):
            port.append(batch(at, "ab"[at % 2]))
        mine = owned(port, publisher)
        await read_on(mine, port)
        await mine.checkpoint_if_due(now=True)
        for offset in range(4, 9):
            del port.log[offset]
        successor = owned(port, publisher)
        await read_on(successor, port)
        port.append(batch(9))
        await read_on(successor, port)
        assert successor.engine.jumps == [4]
        port.writes.clear()
        await successor.checkpoint_if_due(now=True)
        saved = recover(0, port.records)
        assert saved.mark is not None
        assert saved.mark[0] == 5
        assert {flag: offset for flag, (offset, _) in saved.snapshots.items()} == {"a": 4, "b": 4}
        assert len(saved.keys) == 3
        assert port.writes[-1] == f"delete 0/mark/{9:020d}"  # last: until then a successor finds the truncation again

    run(test)


def test_inputs_made_anew_are_read_from_their_first_on_until_a_mark_knows_them() -> None:
    async def test() -> None:
        port, publisher = MemoryPort(), MemoryPublisher()
        for at in range(3):
            port.append(batch(at, "a"))
        mine = owned(port, publisher, "one")
        await read_on(mine, port)
        await mine.checkpoint_if_due(now=True)
        port.log.clear()
        for at in range(3, 8):  # more than the mark had: its offset lies inside, and says nothing
            port.append(batch(at, "a"))
        for _ in range(2):
            successor = owned(port, publisher, "two")
            await read_on(successor, port)
            assert (successor.engine.jumps, successor.engine.counts["a"]) == ([0], 8)
        await successor.checkpoint_if_due(now=True)
        last = owned(port, publisher, "two")
        await read_on(last, port)
        assert last.engine.jumps == [], "no further one"
        assert last.engine.counts["a"] == 8
        assert recover(0, port.records).inputs_id == "two"

    run(test)


def test_the_place_to_go_on_is_the_greatest_mark_of_each_partition_whatever_else_lies_there() -> None:
    keys = [write_key(1, Key("", offset)) for offset in (7, 12, 9)]
    keys += [write_key(1, Key("mark", 40)), write_key(2, Key("a", 3)), b"1/mark/x", b"stranger", b"/mark/5"]
    assert marks(keys) == {1: 12}


def test_an_input_that_a_person_has_taken_out_is_folded_as_nothing_and_its_note_outlives_every_checkpoint() -> None:
    async def test() -> None:
        port, publisher = MemoryPort(), MemoryPublisher()
        for number in range(3):
            port.append(batch(number))
        note = write_key(0, Key(SKIP, 1))
        port.records[note] = b"{}"
        mine = owned(port, publisher)
        await read_on(mine, port)
        assert mine.engine.next_offset == 3
        assert sum(mine.engine.counts.values()) == 2  # type: ignore[attr-defined]
        task = mine.checkpoint_if_due(now=True)
        assert task is not None
        await task
        assert note in port.records
        assert recover(0, port.records).skipped == {1}

    run(test)


def test_a_state_that_cannot_be_written_down_asks_the_log_to_freeze_its_flag_once_and_writes_no_mark() -> None:
    async def test() -> None:
        port, publisher = MemoryPort(), MemoryPublisher()
        port.append(batch(0))
        mine = owned(port, publisher)
        await read_on(mine, port)
        failed = FlagFrozen("f", 0, 0, "1", "OverflowError: too large")
        whole = mine.engine.capture
        mine.engine.capture = lambda: CountedCapture(1, b"", [], (failed,))  # type: ignore[method-assign]
        for _ in range(2):
            assert mine.checkpoint_if_due(now=True) is None
        assert publisher.outputs.count(failed) == 1
        assert port.writes == []
        mine.engine.capture = whole  # type: ignore[method-assign]
        task = mine.checkpoint_if_due(now=True)
        assert task is not None
        await task
        assert any("mark" in write for write in port.writes)

    run(test)
