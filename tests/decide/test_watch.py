"""An older document that lands on a newer one is noticed, and answered once it has had time to heal."""

from __future__ import annotations

import msgspec

from guardian.decide.watch import GONE, GRACE_MS, MAX_AT_ONCE, MAX_PAUSE_MS, Landed, Version, read_version
from tests.brokers import Broker, settings_for
from tests.decide.feeding import deciding, feeding, reading, run
from tests.decide.test_loop import SPEC, documents
from tests.eventually import eventually

OLD, NEW = Version(0, 5), Version(0, 9)


def test_what_is_covered_for_the_time_of_grace_is_named_with_what_covers_it() -> None:
    landed = Landed()
    for version, at in ((OLD, 0), (NEW, 1), (OLD, 2)):
        landed.see("a", version, at)
    assert landed.covered(GRACE_MS) == []
    assert landed.covered(GRACE_MS + 2) == [("a", OLD)]
    assert landed.covered(GRACE_MS + 3) == []


def test_repeated_outputs_that_end_with_the_newest_are_left_alone() -> None:
    landed = Landed()
    for version in (OLD, NEW, OLD, NEW):
        landed.see("a", version, 0)
    assert landed.covered(10 * GRACE_MS) == []


def test_a_flag_that_we_assert_newer_than_what_lies_on_top_is_covered_too() -> None:
    landed = Landed()
    landed.see("a", OLD, 0)
    landed.expect("a", NEW, 0)
    landed.expect("never-landed", NEW, 0)
    assert landed.covered(GRACE_MS) == [("a", OLD)]


def test_what_the_topic_lacks_is_covered_by_nothing_unless_it_lands_meanwhile() -> None:
    landed = Landed()
    for flag in ("a", "b", "c"):
        landed.expect(flag, NEW, 0)
    assert landed.covered(10 * GRACE_MS) == [], "nobody knows yet whether they are missing"
    landed.see("c", NEW, 0)
    for flag in ("a", "b", "c"):
        landed.miss(flag, 0)
        landed.expect(flag, NEW, 0)
    landed.see("b", NEW, 1)
    assert landed.covered(GRACE_MS) == [("a", GONE)]


def test_many_that_are_missing_are_named_a_few_at_a_time_each_once() -> None:
    landed = Landed()
    flags = {f"f{number}" for number in range(2 * MAX_AT_ONCE + 1)}
    for flag in flags:
        landed.miss(flag, 0)
        landed.expect(flag, NEW, 0)
    named = [[flag for flag, _ in landed.covered(GRACE_MS + check)] for check in range(4)]
    assert [len(each) for each in named] == [MAX_AT_ONCE, MAX_AT_ONCE, 1, 0]
    assert {flag for each in named for flag in each} == flags


def test_what_a_reassertion_does_not_change_is_named_ever_more_rarely_until_it_heals() -> None:
    landed = Landed()
    landed.miss("a", 0)
    landed.expect("a", NEW, 0)
    at = [second for second in range(2_000) if landed.covered(second * 1_000)]
    assert at[:4] == [3, 9, 21, 45]
    assert at[-1] - at[-2] == MAX_PAUSE_MS // 1_000
    landed.see("a", NEW, 2_000_000)
    landed.see("a", OLD, 2_000_000)
    assert landed.covered(2_000_000 + GRACE_MS) == [("a", OLD)]


def test_a_higher_epoch_is_newer_whatever_its_version() -> None:
    landed = Landed()
    landed.see("a", Version(1, 1), 0)
    landed.see("a", Version(0, 99), 0)
    assert landed.covered(GRACE_MS) == [("a", Version(0, 99))]


def test_what_is_no_flag_document_has_no_version() -> None:
    assert read_version(None) is read_version(b"{") is read_version(b'{"beat":true}') is None
    assert read_version(b'{"metadata":{"epoch":1,"version":2,"more":3}}') == Version(1, 2)
    assert read_version(b'{"metadata":{"epoch":0,"version":9223372036854775808}}') is None, "the log has no such number"


def test_a_zombies_late_document_is_covered_again_by_a_newer_one_that_says_the_same(embedded: Broker) -> None:
    async def test() -> None:
        settings = settings_for(embedded, "zombie")
        async with feeding(settings) as feeder, deciding(settings), reading(settings, "flags") as reader:
            await feeder.command("new-pricing", "apply", SPEC)
            await feeder.command("new-pricing", "start")
            await eventually(lambda: documents(reader, "new-pricing"))
            old = next(record for record in reader.of("flags") if record.key == b"new-pricing")
            await feeder.command("new-pricing", "kill")
            await eventually(lambda: documents(reader, "new-pricing")[-1]["metadata"]["killed"])
            killed = documents(reader, "new-pricing")[-1]["metadata"]["version"]
            await feeder.client.send_and_wait(old.topic, old.value, key=old.key, partition=old.partition)
            last = {"version": 0}

            def covered_again() -> bool:
                last.update(documents(reader, "new-pricing")[-1]["metadata"])
                return bool(last["version"] > killed)

            await eventually(covered_again)
            assert last["killed"]
            assert msgspec.json.decode(old.value)["metadata"]["killed"] is False
            # A tombstone is nobody's to write: without a document the code's default would come back.
            again = last["version"]
            await feeder.client.send_and_wait(old.topic, None, key=old.key, partition=old.partition)
            await eventually(lambda: documents(reader, "new-pricing")[-1]["metadata"]["version"] > again)
            assert documents(reader, "new-pricing")[-1]["metadata"]["killed"]
            # Nor is rubbish, which no reader takes.
            count = len(documents(reader, "new-pricing"))
            await feeder.client.send_and_wait(old.topic, b"{}", key=old.key, partition=old.partition)
            await eventually(lambda: len(documents(reader, "new-pricing")) == count + 2)

    run(test)
