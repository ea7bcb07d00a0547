"""Only what is newer counts, rubbish is counted, and what is known survives on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardian.sdk.following import Timing
from guardian.sdk.freshness import Freshness
from guardian.sdk.snapshot import read_snapshot, write_snapshot
from guardian.sdk.store import MAX_FLAGS, Store
from tests.sdk.documents import FLAG, written

KEY = FLAG.encode()

TOPIC = "guardian.flags"
NOW_MS = 1_763_700_000_000
DAY_MS = 86_400_000
GREATEST = 2**63 - 1


def versions(store: Store) -> dict[str, tuple[int, int]]:
    return {flag: found.pair for flag, found in store.documents.items()}


def folded(*values: bytes | None) -> Store:
    store = Store()
    for value in values:
        store.apply(KEY, value, NOW_MS)
    return store


def test_epoch_and_version_are_ordered_as_a_pair() -> None:
    store = folded(written(epoch=1, version=5), written(epoch=0, version=900), written(epoch=1, version=4))
    assert versions(store) == {FLAG: (1, 5)}
    assert store.apply(KEY, written(epoch=2, version=1), NOW_MS) == FLAG
    assert store.apply(KEY, written(epoch=2, version=1), NOW_MS) == ""
    assert store.counts.accepted == 2
    assert store.counts.not_newer == 3


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        written().replace(b"ENABLED", b"PERHAPS"),
        written().replace(b'"defaultVariant":"off"', b'"defaultVariant":"purple"'),
        written().replace(b'"version":1763699000456', b'"version":true'),
        written().replace(b'"version":1763699000456', b'"version":-1'),
        written().replace(b'"version":1763699000456', b'"version":"1"'),
        written().replace(b'"version":1763699000456', b'"version":9223372036854775808'),
        written().replace(b'"killed":false', b'"killed":"no"'),
        written().replace(b'"candidate":"on"', b'"candidate":"purple"'),
        b'{"a":' * 5_000,
        b'"' + b"x" * 300_000 + b'"',
    ],
    ids=lambda value: value[:30].decode(),
)
def test_rubbish_is_counted_and_the_last_good_document_stays(value: bytes) -> None:
    store = folded(written(version=7), value)
    assert versions(store) == {FLAG: (0, 7)}
    assert store.counts.garbage == 1


@pytest.mark.parametrize("key", [None, b"", b"x" * 200])
def test_a_record_without_a_flag_s_name_is_rubbish(key: bytes | None) -> None:
    store = Store()
    assert store.apply(key, written(), NOW_MS) == ""
    assert store.counts.garbage == 1


def test_a_tombstone_deletes_and_an_older_record_does_not_bring_the_flag_back() -> None:
    store = folded(written(version=7), None, written(version=6))
    assert versions(store) == {}
    assert store.apply(KEY, written(version=8), NOW_MS) == FLAG


def test_reading_the_topic_again_changes_nothing_that_is_known_already() -> None:
    log = [written(version=7), None, written(version=8)]
    known = folded(*log)
    assert known.adopt(folded(*log)) == []
    assert versions(known) == {FLAG: (0, 8)}


def test_a_deletion_that_was_missed_is_taken_over() -> None:
    known = folded(written(version=7))
    assert known.adopt(folded(written(version=7), None)) == [FLAG]
    assert versions(known) == {}


def test_a_deletion_whose_documents_compaction_took_is_taken_over_too() -> None:
    from_snapshot = folded(written(version=7))
    assert from_snapshot.adopt(folded(None)) == [FLAG]
    assert versions(from_snapshot) == {}
    made_anew = folded(None, written(version=1))
    assert versions(made_anew) == {FLAG: (0, 1)}
    assert from_snapshot.adopt(made_anew) == [], "older than what was deleted"
    assert from_snapshot.adopt(folded(None, written(version=8))) == [FLAG]
    assert versions(from_snapshot) == {FLAG: (0, 8)}


def test_a_topic_that_lost_everything_takes_nothing_away() -> None:
    known = folded(written(version=7))
    assert known.adopt(Store()) == []
    assert versions(known) == {FLAG: (0, 7)}


def test_a_snapshot_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    assert write_snapshot(path, list(folded(written(version=7)).documents.values()), TOPIC)
    assert versions(read_snapshot(path, TOPIC)) == {FLAG: (0, 7)}
    assert [file.name for file in tmp_path.iterdir()] == ["flags.json"]


def test_a_snapshot_of_another_environment_is_not_used_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "flags.json"
    assert write_snapshot(path, list(folded(written(version=7)).documents.values()), "staging.flags")
    assert versions(read_snapshot(path, "production.flags")) == {}
    assert "it is of staging.flags, not of production.flags" in caplog.text


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff", b"[]", b'{"format":2,"flags":{}}', b'{"format":1,"flags":[]}', b'{"format":1'],
)
def test_a_snapshot_full_of_rubbish_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "flags.json"
    path.write_bytes(content)
    assert versions(read_snapshot(path, TOPIC)) == {}


def test_one_bad_document_in_a_snapshot_does_not_spoil_the_others(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_bytes(b'{"format":1,"flags":{"bad":{"state":5},"new-pricing":' + written(version=7) + b"}}")
    store = read_snapshot(path, TOPIC)
    assert versions(store) == {FLAG: (0, 7)}
    assert store.counts.garbage == 1


def test_a_snapshot_that_is_absent_or_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    assert versions(read_snapshot(tmp_path / "absent", TOPIC)) == {}
    assert versions(read_snapshot(tmp_path, TOPIC)) == {}
    assert not write_snapshot(tmp_path / "no-such-folder" / "flags.json", [], TOPIC)


def test_flags_are_bounded_in_number_and_a_known_one_still_changes() -> None:
    store = Store()
    for number in range(MAX_FLAGS + 3):
        store.apply(b"flag-%d" % number, written(version=1), NOW_MS)
    assert (len(store.documents), store.counts.refused) == (MAX_FLAGS, 3)
    assert store.apply(b"flag-0", written(version=2), NOW_MS) == "flag-0"


def test_guardian_is_silent_after_three_missing_beats_of_any_partition() -> None:
    fresh = Freshness(beat_s=5, silent_beats=3)
    assert not fresh.fresh(0)
    fresh.connected([0, 1], now=100)
    assert fresh.fresh(115)
    fresh.beat(0, now=112)
    fresh.beat(7, now=50)  # of a partition that nobody watches
    assert fresh.silent(116) == [1]
    assert not fresh.fresh(116)
    fresh.beat(1, now=117)
    assert fresh.fresh(118)


def test_connecting_again_is_no_sign_of_life() -> None:
    fresh = Freshness(beat_s=5, silent_beats=3)
    fresh.connected([0], now=100)
    fresh.connected([0, 1], now=120)
    assert fresh.silent(121) == [0]
    fresh.beat(7, now=121)
    assert fresh.silent(121) == [0]


def test_B5_a_pair_beyond_a_day_is_refused_where_it_serves_the_candidate_and_a_kill_after_it_takes_effect() -> None:
    for pair in ({"version": GREATEST}, {"version": NOW_MS + DAY_MS + 1}, {"epoch": NOW_MS // 1_000 + 86_401}):
        store = folded(written(version=7), written(weight_bp=10_000, **pair))
        assert versions(store) == {FLAG: (0, 7)}
        assert store.counts.too_far_ahead == 1
        assert store.apply(KEY, written(version=NOW_MS, killed=True), NOW_MS) == FLAG
        assert store.documents[FLAG].killed
    assert versions(folded(written(version=NOW_MS + DAY_MS))) == {FLAG: (0, NOW_MS + DAY_MS)}


def test_B5_a_document_that_gives_the_candidate_to_nobody_is_never_refused_and_does_not_stand_for_good() -> None:
    poisoned = written(version=GREATEST, killed=True)
    store = folded(written(version=7), poisoned)
    assert (store.documents[FLAG].killed, store.documents[FLAG].pair) == (True, (0, 7))
    assert store.apply(KEY, poisoned, NOW_MS) == "", "it is known already"
    assert store.apply(KEY, written(version=6), NOW_MS) == "", "older than what it lies upon"
    assert store.apply(KEY, written(version=8), NOW_MS) == FLAG
    assert not store.documents[FLAG].killed
    # Who starts only now, and who connects again, comes to the same answer.
    assert folded(poisoned).documents[FLAG].killed
    again = folded(written(version=NOW_MS))
    assert again.adopt(folded(poisoned)) == [FLAG]
    assert again.apply(KEY, written(version=NOW_MS), NOW_MS) == ""
    assert again.apply(KEY, written(version=NOW_MS + 1), NOW_MS) == FLAG


def test_B5_control_s_name_on_the_candidate_s_value_is_no_control() -> None:
    swapped = written(version=GREATEST, killed=True, values={"on": False, "off": True})
    store = folded(written(version=7), swapped)
    assert versions(store) == {FLAG: (0, 7)}
    assert store.counts.too_far_ahead == 1
    assert store.adopt(folded(swapped)) == []


def test_a_clock_that_is_behind_refuses_nothing_once_the_beats_have_told_the_time() -> None:
    store = Store()
    store.apply(KEY, written(), 0)
    assert versions(store) == {}
    store.look_again(NOW_MS)
    assert list(store.documents) == [FLAG]


def test_a_snapshot_tells_the_time_to_a_machine_whose_clock_is_behind(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    assert write_snapshot(path, list(folded(written()).documents.values()), TOPIC, NOW_MS)
    assert list(read_snapshot(path, TOPIC, now_ms=0).documents) == [FLAG]
    assert write_snapshot(path, list(folded(written()).documents.values()), TOPIC)
    assert versions(read_snapshot(path, TOPIC, now_ms=0)) == {}


def test_B8_instances_that_lose_kafka_at_one_moment_come_back_over_half_of_each_wait() -> None:
    waits = [Timing(chance=lambda part=part: part).spread_s(4.0) for part in (0.0, 0.5, 1.0)]  # type: ignore[misc]
    assert waits == [2.0, 3.0, 4.0]
