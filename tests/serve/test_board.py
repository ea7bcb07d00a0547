"""The read models keep the newest of each, believe nothing that is older, and are bounded."""

from __future__ import annotations

import asyncio
import time

import pytest

from guardian.core.outputs import Decision
from guardian.serve.board import KEPT_ALERTS, KEPT_DECISIONS, Board
from guardian.serve.streams import Client, Hub, Stream
from guardian.wire.flagd import flag_document
from tests.serve.samples import AT_MS, alert, decision, raw, record, state, status


def board() -> Board:
    return Board(Hub(), lambda _: None)


@pytest.mark.parametrize(
    ("epoch", "version", "taken"),
    [(0, AT_MS + 1, True), (1, AT_MS - 9, True), (0, AT_MS, False), (0, AT_MS - 1, False)],
)
def test_a_flag_document_counts_only_when_its_epoch_and_version_are_newer(
    epoch: int, version: int, taken: bool
) -> None:
    models = board()
    models.take("flags", record(state()))
    later = state(epoch=epoch, version=version, weight_bp=2_500)
    models.take("flags", record(later))
    assert models.documents["a"] == flag_document(later if taken else state())


def test_B5_a_version_beyond_a_day_is_shown_only_where_it_gives_the_candidate_to_nobody_and_not_for_good() -> None:
    models = board()
    models.take("flags", record(state()))
    models.take("flags", record(state(version=2**63 - 1)))
    assert models.documents["a"] == flag_document(state())
    killed = state(version=2**63 - 1, killed=True)
    models.take("flags", record(killed))
    assert models.documents["a"] == flag_document(killed)
    freed = state(version=AT_MS + 1)
    models.take("flags", record(freed))
    assert models.documents["a"] == flag_document(freed)


def test_a_status_that_is_older_than_what_is_here_changes_nothing() -> None:
    models = board()
    models.take("rollouts", record(status(updated_ms=AT_MS + 5, text="new")))
    models.take("rollouts", record(status(updated_ms=AT_MS, text="of a worker that was replaced")))
    assert models.rollouts["a"].text == "new"


@pytest.mark.parametrize("topic", ["flags", "rollouts"])
def test_a_tombstone_takes_the_flag_away(topic: str) -> None:
    models = board()
    models.take("flags", record(state()))
    models.take("rollouts", record(status()))
    models.take(topic, raw(topic, b"a", None))
    assert ("a" in models.documents, "a" in models.rollouts) == (topic != "flags", topic != "rollouts")


@pytest.mark.parametrize("topic", ["flags", "rollouts", "decisions", "alerts", "rollbacks"])
@pytest.mark.parametrize("value", [b"", b"\xff", b"[]", b"{}", b"[" * 10_000, b'{"state": 1}'])
def test_a_record_that_cannot_be_read_is_left_out_and_hides_no_other(topic: str, value: bytes) -> None:
    models = board()
    models.take("flags", record(state()))
    models.take(topic, raw(topic, b"a", value))
    assert models.documents == {"a": flag_document(state())}
    assert (len(models.rollouts), len(models.decisions), len(models.alerts), len(models.rollbacks)) == (0, 0, 0, 0)


def test_decisions_are_kept_up_to_a_bound_the_newest_stay() -> None:
    models = board()
    for number in range(KEPT_DECISIONS + 3):
        models.take("decisions", record(decision(offset=number)))
    assert (len(models.decisions), models.decisions[0].offset) == (KEPT_DECISIONS, 3)


def test_the_past_of_several_partitions_stands_in_order_of_time_once_it_is_read() -> None:
    models = board()
    for number, flag in ((5, "x"), (9, "x"), (1, "y"), (7, "y")):
        models.take("decisions", record(decision(flag, at_ms=AT_MS + number)))
        models.take("alerts", record(alert(number, flag=flag, at_ms=AT_MS + number)))
    models.past_is_read()
    assert [one.at_ms - AT_MS for one in models.decisions] == [1, 5, 7, 9]
    assert [one.at_ms - AT_MS for one in models.alerts.values()] == [1, 5, 7, 9]


def test_of_too_many_alerts_the_oldest_that_is_over_goes_first() -> None:
    models = board()
    models.take("alerts", record(alert(1)))
    models.take("alerts", record(alert(2, active=False)))
    for number in range(3, KEPT_ALERTS + 2):
        models.take("alerts", record(alert(number)))
    assert alert(1).id in models.alerts
    assert alert(2).id not in models.alerts
    models.take("alerts", record(alert(KEPT_ALERTS + 2)))
    assert alert(1).id not in models.alerts
    assert len(models.alerts) == KEPT_ALERTS


def test_the_past_is_told_to_nobody_as_news_but_every_decision_to_the_desk() -> None:
    told: list[Decision] = []
    hub = Hub()
    models = Board(hub, told.append)
    client = hub.join(Stream.DECISIONS)
    models.take("decisions", record(decision(text="old")))
    models.past_is_read()
    models.take("decisions", record(decision(text="new")))
    assert [one.text for one in told] == ["old", "new"]
    sent = asyncio.run(_all(client))
    assert b'"text":"new"' in sent
    assert b'"text":"old"' not in sent


async def _all(client: Client) -> bytes:
    found = b""
    while data := await client.next(0.01):
        found += data
    return found


def test_a_sign_of_life_from_before_the_start_is_as_old_as_it_says() -> None:
    models = board()
    hour_ago_ms = int(time.time() * 1_000) - 3_600_000
    models.take("flags", raw("flags", b"_beat", b"{}", timestamp=hour_ago_ms, partition=0))
    ages = models.beat_ages_s(2)
    assert ages[1] is None
    assert ages[0] == pytest.approx(3_600, abs=5)
    models.past_is_read()
    models.take("flags", raw("flags", b"_beat", b"{}", timestamp=hour_ago_ms, partition=0))
    assert models.beat_ages_s(1)[0] == pytest.approx(0, abs=5)
