"""A source partition is cut into ranges without a gap, and what was announced comes first and exactly."""

from __future__ import annotations

import json

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from guardian.core.inputs import Batch, Source
from guardian.errors import InternalError
from guardian.ingest.coalesce import Bounds, Coalescer
from guardian.ingest.intent import read_intent
from guardian.ingest.known import Rollouts
from guardian.ingest.lanes import MAX_UNREADABLE, Lane
from guardian.ingest.marks import source_mark
from guardian.ingest.pace import ALARM_S, BACKLOG_S, LITTLE_BEHIND, Pace
from guardian.ingest.ranges import TOLD, Closed
from guardian.record_batches import Unreadable
from guardian.wire.inputs import decode_payload

SOURCE = Source("guardian.telemetry", "id", 0)


def records(start: int, end: int) -> list[ConsumerRecord]:
    value = json.dumps({"ts": 1.0, "flag": "f", "variant": "on", "outcome": "ok"}).encode()
    return [
        ConsumerRecord("guardian.telemetry", 0, offset, 1_000, 1, None, value, None, -1, len(value), ())
        for offset in range(start, end)
    ]


def lane(start: int = 0, position: int = 0, announced: int | None = None) -> Lane:
    bounds = Bounds(1, 60_000)
    return Lane(SOURCE, start, position, announced, lambda: Coalescer(Rollouts(), bounds, migrations=False))


def events(closed: Closed) -> int:
    total = 0
    for value in closed.parts.values():
        batch = decode_payload(value)
        assert isinstance(batch, Batch)
        assert (batch.start, batch.end) == (closed.start, closed.end)
        total += sum(bucket.n for cell in batch.cells for bucket in cell.buckets)
    return total


def test_the_announced_range_is_closed_by_itself_and_exactly() -> None:
    mine = lane(start=10, position=0, announced=14)
    assert mine.take(records(10, 12))
    assert not mine.waits, "half of an announced range must not be written"
    assert mine.take(records(12, 20))
    first, second = mine.take_range(), mine.take_range()
    assert [(c.start, c.end, events(c)) for c in (first, second)] == [(10, 14, 4), (14, 20, 6)]


def test_what_a_predecessor_announced_is_taken_back_only_when_it_was_folded_and_acked_here() -> None:
    mine = lane(start=10, announced=14)
    assert not mine.may_settle, "a successor would cut other ranges, of which half may be in the log"
    assert mine.take(records(10, 12))
    assert not mine.may_settle
    assert mine.take(records(12, 14))
    assert not mine.may_settle
    closed = mine.take_range()
    assert not mine.may_settle, "it is being written"
    mine.acknowledge(closed, 0.0)
    assert mine.may_settle
    mine.settled = True
    assert not mine.may_settle


def test_nothing_is_taken_back_while_something_waits_to_be_written() -> None:
    mine = lane(start=10)
    assert mine.take(records(10, 12))
    mine.acknowledge(mine.take_range(), 0.0)
    assert mine.may_settle
    assert mine.take(records(12, 13))
    assert not mine.may_settle


def test_records_from_before_the_next_offset_are_left_out() -> None:
    mine = lane(start=10)
    assert mine.take(records(7, 13))
    assert mine.take(records(7, 15))
    closed = mine.take_range()
    assert (closed.start, closed.end, events(closed)) == (10, 15, 5)


def test_records_from_beyond_the_next_offset_are_refused_once_and_taken_for_a_hole_after_seeking_back() -> None:
    mine = lane(start=10)
    assert not mine.take(records(12, 14))
    assert (mine.next, mine.waits) == (10, False)
    assert mine.take(records(12, 14))
    closed = mine.take_range()
    assert (closed.start, closed.end, events(closed)) == (10, 14, 2)


def test_a_second_gap_is_refused_anew() -> None:
    mine = lane(start=10)
    assert not mine.take(records(12, 14))
    assert mine.take(records(10, 11))
    assert not mine.take(records(12, 14))


def test_what_retention_took_of_an_announced_range_leaves_its_label() -> None:
    mine = lane(start=10, position=12, announced=14)
    assert mine.take(records(12, 16))
    closed = mine.take_range()
    assert (closed.start, closed.end, events(closed)) == (10, 14, 2)


def test_an_announced_range_that_retention_took_whole_is_done() -> None:
    mine = lane(start=10, position=20, announced=14)
    closed = mine.take_range()
    assert (closed.start, closed.end, closed.parts) == (10, 14, {})
    assert mine.take(records(20, 21))
    closed = mine.take_range()
    assert (closed.start, closed.end, events(closed)) == (14, 21, 1)


def test_an_announced_range_whose_last_offsets_are_holes_is_closed_at_its_end() -> None:
    mine = lane(start=10, position=0, announced=14)
    assert mine.take([*records(10, 12), *records(14, 15)])
    assert [(c.start, c.end) for c in (mine.take_range(), mine.take_range())] == [(10, 14), (14, 15)]


@given(st.integers(0, 30), st.integers(1, 30), st.lists(st.integers(1, 9), max_size=10), st.booleans())
def test_ranges_follow_one_another_without_gap_or_overlap(start: int, more: int, cuts: list[int], told: bool) -> None:
    mine = lane(start, announced=start + 3 if told else None)
    at, end, found = start, start + more, []
    for size in [*cuts, end]:
        assert mine.take(records(at, min(end, at + size)) or records(at, at))
        at = min(end, at + size)
        while mine.waits:
            found.append(mine.take_range())
    covered = sum(events(closed) for closed in found)
    assert [closed.start for closed in found[1:]] == [closed.end for closed in found[:-1]]
    if told:
        assert all(closed.end == start + 3 for closed in found[:1])
        assert covered == (more if more >= 3 else 0)
    else:
        assert covered == more


@pytest.mark.parametrize("metadata", ["7", "{", '{"to": "x"}', '{"to": 5}', '{"to": 4}'])
def test_metadata_that_ingest_has_not_written_is_refused(metadata: str) -> None:
    with pytest.raises(InternalError):
        read_intent(metadata, 5)


def test_metadata_says_where_the_announced_range_ends() -> None:
    assert read_intent('{"to": 9, "id": "x"}', 5).to == 9
    assert read_intent("", 5).to == read_intent(None, 5).to == read_intent('{"id": "x"}', 5).to == 0


def test_a_watermark_covers_only_what_is_acked() -> None:
    mine = lane()
    mine.take(records(0, 5))
    assert source_mark(mine, 5, 10, 100).watermark_ms == 0
    closed = mine.take_range()
    assert source_mark(mine, 5, 10, 100).lag == 5
    assert not source_mark(mine, 5, 10, 100).to_end
    mine.acknowledge(closed, 0.0)
    mark = source_mark(mine, 5, 10, 100)
    assert (mark.watermark_ms, mark.lag, mark.to_end) == (900, 0, True)


def test_a_watermark_is_the_lesser_of_event_and_arrival_time_less_the_disorder() -> None:
    mine = lane()
    mine.take(records(0, 5))
    closed = mine.take_range()
    for event_ms, arrival_ms, watermark_ms in ((900, 700, 600), (950, 5_000, 850), (0, 6_000, 850)):
        closed.event_ms, closed.arrival_ms = event_ms, arrival_ms
        mine.acknowledge(closed, 0.0)
        assert source_mark(mine, 5, 10, 100).watermark_ms == watermark_ms


def test_before_kafka_has_said_anything_the_lag_is_what_the_assignment_found() -> None:
    mine = lane()
    mine.first_end = 70
    mark = source_mark(mine, None, 10, 100)
    assert (mark.lag, mark.to_end) == (70, False)
    assert source_mark(mine, 90, 10, 100).lag == 90


def test_an_end_that_was_heard_of_long_ago_is_not_the_end() -> None:
    assert source_mark(lane(), 0, 10, 0).to_end
    assert not source_mark(lane(), 0, -10, 0).to_end, "the machine's clock went back"
    assert not source_mark(lane(), 0, 60_000, 0).to_end
    assert not source_mark(lane(), None, 10, 0).to_end
    assert not source_mark(lane(), 3, 10, 0).to_end


def test_the_first_event_after_a_quiet_time_is_due_at_once_and_a_stream_once_a_tick() -> None:
    pace = Pace(0.1, ticked_at=5.0)
    assert pace.due_at(urgent=False, behind=0) == 5.1
    assert pace.due_at(urgent=True, behind=0) == 5.0 + ALARM_S
    assert pace.due_at(urgent=True, behind=LITTLE_BEHIND + 1) == 5.0 + BACKLOG_S
    assert Pace(0.1).due_at(urgent=False, behind=0) < 0
    assert Pace(0.0, ticked_at=5.0).due_at(urgent=True, behind=10**6) == 5.0


def unreadable(start: int, end: int) -> Unreadable:
    return Unreadable(TopicPartition(SOURCE.topic, SOURCE.partition), start, end, 0, "no such codec")


def left_out(closed: Closed) -> int:
    batch = decode_payload(closed.parts[TOLD])
    assert isinstance(batch, Batch)
    assert (batch.start, batch.end) == (closed.start, closed.end)
    return batch.unreadable


def test_B4_offsets_that_cannot_be_read_belong_to_the_range_and_are_told() -> None:
    mine = lane()
    assert mine.take(records(0, 3))
    assert mine.leave_out(unreadable(3, 8))
    assert mine.take(records(8, 10))
    closed = mine.take_range()
    assert (closed.start, closed.end, events(closed), left_out(closed)) == (0, 10, 5, 5)
    (letter,) = closed.dead
    assert (letter.reason, letter.source, letter.key, letter.value) == (
        "unreadable",
        "guardian.telemetry/0/3",
        None,
        None,
    )
    assert letter.detail == "offsets [3, 8): no such codec"
    assert closed.tally.dead_letters == 1


def test_B4_a_range_of_nothing_but_unreadable_offsets_is_written_and_acked_like_any_other() -> None:
    mine = lane(start=5)
    assert mine.leave_out(unreadable(5, 7))
    assert mine.waits
    closed = mine.take_range()
    assert (closed.start, closed.end, events(closed), left_out(closed)) == (5, 7, 0, 2)
    mine.acknowledge(closed, 1.0)
    assert (mine.acked, mine.next) == (7, 7)


def test_B4_an_announced_range_ends_where_it_was_announced_also_within_an_unreadable_batch() -> None:
    mine = lane(start=10, announced=14)
    assert mine.take(records(10, 12))
    assert mine.leave_out(unreadable(12, 20))
    first, second = mine.take_range(), mine.take_range()
    assert [(c.start, c.end, events(c), left_out(c)) for c in (first, second)] == [(10, 14, 2, 2), (14, 20, 0, 6)]


def test_B4_an_unreadable_batch_that_begins_before_the_position_counts_from_there() -> None:
    mine = lane(start=4)
    assert mine.leave_out(unreadable(0, 3)), "all of it was dealt with before"
    assert not mine.waits
    assert mine.leave_out(unreadable(2, 6))
    assert left_out(mine.take_range()) == 2


def test_an_unreadable_batch_from_beyond_a_seek_is_refused_once() -> None:
    mine = lane()
    assert not mine.leave_out(unreadable(5, 7)), "seek back"
    assert mine.leave_out(unreadable(5, 7)), "the same gap again: it is in the log itself"
    closed = mine.take_range()
    assert (closed.start, closed.end, left_out(closed)) == (0, 7, 2)


def test_a_flood_of_unreadable_batches_closes_its_ranges() -> None:
    mine = lane()
    for number in range(MAX_UNREADABLE * 2 + 1):
        assert mine.leave_out(unreadable(number, number + 1))
    assert [len(closed.dead) for closed in mine.closed] == [MAX_UNREADABLE] * 2


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=20), st.integers(0, 30))
def test_whatever_is_unreadable_ranges_follow_one_another_and_every_offset_is_in_one(
    pieces: list[tuple[int, bool]], announced: int
) -> None:
    mine, at = lane(announced=announced or None), 0
    for size, is_good in pieces:
        assert mine.take(records(at, at + size)) if is_good else mine.leave_out(unreadable(at, at + size))
        at += size
    closed = []
    while mine.waits:
        closed.append(mine.take_range())
    done = at if at >= announced else 0
    assert sum(c.end - c.start for c in closed) == done
    assert [c.start for c in closed] == [0, *(c.end for c in closed)][: len(closed)]
    good = sum(size for size, is_good in pieces if is_good)
    if done:
        assert sum(map(events, closed)) == good
        assert sum(left_out(c) for c in closed if c.dead) == at - good
