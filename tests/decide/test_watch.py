"""What lies on guardian.flags and is not ours is reported once it has had time to heal; no war, no false alarm."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from guardian.core.inputs import FlagReport
from guardian.core.outputs import Alert, FlagChange
from guardian.core.words import Reason
from guardian.decide.loop import run_decide
from guardian.decide.watch import (
    GONE,
    GRACE_MS,
    MAX_AT_ONCE,
    MAX_KILL_PAUSE_MS,
    MAX_PAUSE_MS,
    UNREADABLE,
    Asserted,
    Found,
    Landed,
    read_found,
)
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.settings import Settings
from guardian.wire.flagd import flag_document
from guardian.wire.outputs import decode_alert, decode_decision
from tests.brokers import Broker, settings_for
from tests.core.scenes import FLAG, Scene, spec
from tests.decide.feeding import Reader, deciding, feeding, reading, run
from tests.decide.test_loop import SPEC, documents
from tests.eventually import eventually

OLD, NEW = Found(0, 5, "old"), Found(0, 9, "new")
OURS = Asserted(0, 9, "new", False)
NOW_MS = 1_763_700_000_000


def landed(*found: Found, flag: str = "a") -> Landed:
    made = Landed()
    for each in found:
        made.see(flag, each, NOW_MS)
    return made


def due(found: Landed, now_ms: int, ours: Asserted = OURS, flag: str = "a") -> list[tuple[str, Found]]:
    found.compare(flag, ours, now_ms)
    return found.due(now_ms)


def test_what_stays_on_top_for_the_time_of_grace_is_named() -> None:
    found = landed(OLD, NEW, OLD)
    assert due(found, 0) == []
    assert due(found, GRACE_MS - 1) == []
    assert due(found, GRACE_MS) == [("a", OLD)]
    assert due(found, GRACE_MS + 1) == []


def test_repeated_outputs_that_end_with_the_newest_are_left_alone() -> None:
    found = landed(OLD, NEW, OLD)
    assert due(found, 0) == []
    found.see("a", NEW, NOW_MS)
    assert due(found, 10 * GRACE_MS) == []


def test_what_is_compared_is_the_pair_and_what_is_served() -> None:
    assert due(landed(Found(0, 9, "new", "x", "signed")), 0) == []
    for other in (Found(0, 9, "other"), Found(0, 10, "new"), Found(1, 0, "new"), GONE):
        found = landed(other)
        due(found, 0)
        assert due(found, GRACE_MS) == [("a", other)]


def test_B5_a_document_of_ours_does_not_hide_a_newer_one_that_readers_obey() -> None:
    forged = Found(0, NOW_MS + 3_600_000, "forged")
    for after in (NEW, GONE):
        found = landed(NEW, forged, after)
        due(found, 0)
        assert due(found, GRACE_MS) == [("a", forged)]
    absurd = landed(Found(0, 2**63 - 1, "forged"), NEW)
    due(absurd, 0)
    assert due(absurd, GRACE_MS) == [], "no reader obeys it, and ours lies on top"


def test_B5_a_kill_that_lands_on_a_forged_document_rises_above_it() -> None:
    topic: list[bytes] = []
    side = Side(topic, 500)
    side.second()
    forged = replace(side.scene.flag(), version=side.scene.t + 3_600_000, weight_bp=10_000)
    topic.append(msgspec.json.encode(flag_document(forged)))
    side.scene.command("kill")
    for _ in range(6):
        side.second()
    newest = read_found(topic[-1])
    assert newest.epoch > forged.epoch
    assert Asserted.of(side.scene.flag()).stands(newest)
    assert side.scene.flag().killed


def test_a_flag_of_which_nothing_landed_is_named_once_it_is_known_to_be_missing() -> None:
    found = Landed()
    assert due(found, 0) == due(found, 10 * GRACE_MS) == []
    found.miss("a")
    due(found, 0)
    assert due(found, GRACE_MS) == [("a", GONE)]
    landed_meanwhile = landed(NEW)
    landed_meanwhile.miss("a")
    assert due(landed_meanwhile, 0) == due(landed_meanwhile, GRACE_MS) == []


def test_many_are_named_a_few_at_a_time_each_once() -> None:
    found = Landed()
    flags = {f"f{number}" for number in range(2 * MAX_AT_ONCE + 1)}
    for flag in flags:
        found.miss(flag)
        found.compare(flag, OURS, 0)
    named = [[flag for flag, _ in found.due(GRACE_MS + check)] for check in range(4)]
    assert [len(each) for each in named] == [MAX_AT_ONCE, MAX_AT_ONCE, 1, 0]
    assert {flag for each in named for flag in each} == flags


def test_the_pause_doubles_to_five_minutes_also_when_it_heals_in_between_and_is_forgotten_after_ten() -> None:
    found = landed(OLD)
    at = []
    for second in range(3_000):
        if due(found, second * 1_000):
            at.append(second)
            found.see("a", NEW, NOW_MS)
            due(found, second * 1_000)
            found.see("a", OLD, NOW_MS)
    assert at[:4] == [3, 10, 23, 48]
    assert at[-1] - at[-2] == MAX_PAUSE_MS // 1_000 + 1
    found.see("a", NEW, NOW_MS)
    due(found, 3_000_000)
    found.see("a", OLD, NOW_MS)
    due(found, 4_000_000)
    assert due(found, 4_000_000 + GRACE_MS) == [("a", OLD)]


def test_our_own_kill_is_asserted_again_within_seconds_however_long_it_lasts() -> None:
    found, ours = landed(OLD), OURS._replace(is_nobody=True)
    at = [second for second in range(600) if due(found, second * 1_000, ours)]
    most_s = MAX_KILL_PAUSE_MS // 1_000 + 1
    assert max(later - earlier for earlier, later in pairwise(at)) <= most_s
    # Also when it became a kill while a long pause was running.
    found = landed(OLD)
    for second in range(600):
        due(found, second * 1_000)
    assert any(due(found, second * 1_000, ours) for second in range(600, 601 + most_s))


def test_what_no_reader_takes_is_as_good_as_nothing_and_what_cannot_be_hashed_is_not() -> None:
    for value in (None, b"{", b'{"beat":true}', b'{"metadata":{"epoch":0,"version":9223372036854775808}}'):
        assert read_found(value) == GONE
    found = read_found(b'{"state":"ENABLED","metadata":{"epoch":1,"version":2,"signature":"k1:ab"},"targeting":{}}')
    assert (found.epoch, found.version, found.signature, found.everyone) == (1, 2, "k1:ab", "")
    odd = read_found(b'{"targeting":' + b"[" * 500_000 + b"]" * 500_000 + b',"metadata":{"epoch":1,"version":2}}')
    assert odd in (GONE, Found(1, 2, UNREADABLE))


def test_bytes_metadata_and_the_order_of_keys_decide_nothing() -> None:
    scene = Scene(spec())
    document = flag_document(scene.flag())
    assert Asserted.of(scene.flag()).stands(read_found(msgspec.json.encode(document)))
    turned = {name: document[name] for name in reversed(document)}
    turned["metadata"] = {**document["metadata"], "built_by": "another build", "step": "elsewhere"}
    assert Asserted.of(scene.flag()).stands(read_found(msgspec.json.encode(turned, order="sorted") + b"\n"))


class Side:
    """One guardian with a watcher of its own; several of them write to one topic."""

    def __init__(self, topic: list[bytes], weight_bp: int) -> None:
        self.scene = Scene(spec())
        self.scene.state().weight_bp = weight_bp
        self.topic, self.landed = topic, Landed()
        self.read = self.published = 0

    def second(self) -> None:
        """See what landed, report what is due, fold it, write what it says."""
        for value in self.topic[self.read :]:
            self.landed.see(FLAG, read_found(value), self.scene.t)
        self.read = len(self.topic)
        self.scene.t += 1_000
        ours = Asserted.of(self.scene.flag())
        self.landed.compare(FLAG, ours, self.scene.t)
        for flag, found in self.landed.due(self.scene.t):
            self.scene.feed(FlagReport(flag, *found, ours.epoch, ours.version))
        for said in self.scene.said[self.published :]:
            if isinstance(said, FlagChange):
                self.topic.append(msgspec.json.encode(flag_document(said.state)))
        self.published = len(self.scene.said)


def test_there_is_no_war_between_two_writers() -> None:
    topic: list[bytes] = []
    sides = [Side(topic, 500), Side(topic, 5_000)]
    for _ in range(3_600):
        for side in sides:
            side.second()
    assert len(topic) <= 2 * (2 * 6 + 4), "an hour: at most two raises in ten minutes each, after the first documents"
    for side in sides:
        assert "another_writer" in [alert.trigger for alert in side.scene.all(Alert)]


def test_in_a_rolling_upgrade_two_builds_of_one_content_write_once() -> None:
    topic: list[bytes] = []
    sides = [Side(topic, 500), Side(topic, 500)]
    for _ in range(600):
        for side in sides:
            side.second()
    assert len(topic) <= 6
    assert sides[0].scene.all(Alert) == sides[1].scene.all(Alert) == []


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


ALARMS = {"foreign_document", "another_writer", "emergency"}


def beats(reader: Reader) -> int:
    """How often the partition that was least often heard of has given a sign of life."""
    counts = Counter(record.partition for record in reader.of("flags") if record.key == b"_beat")
    return min((counts[number] for number in range(4)), default=0)


def said_of_foreign_documents(reader: Reader) -> list[str]:
    """Alerts and decisions that there are only where somebody else has written."""
    alerts = [decode_alert(record.value).trigger for record in reader.of("alerts")]
    reasons = [decode_decision(record.value).reason for record in reader.of("decisions")]
    return [one for one in alerts if one in ALARMS] + [
        str(one) for one in reasons if one in (Reason.FOREIGN_DOCUMENT, Reason.EMERGENCY)
    ]


def test_a_take_over_after_a_crash_raises_no_alarm_and_writes_nothing_new(embedded: Broker) -> None:
    async def test() -> None:
        settings = settings_for(embedded, "takeover")
        async with feeding(settings) as feeder, reading(settings, "flags", "alerts", "decisions") as reader:
            dying = asyncio.create_task(run_decide(settings, stop=asyncio.Event()))
            await feeder.command("new-pricing", "apply", SPEC)
            for word in ("start", "kill", "unkill", "pause", "kill"):
                await feeder.command("new-pricing", word)
            await eventually(lambda: len(documents(reader, "new-pricing")) == 5)
            # Without a last checkpoint: the successor reads the log again, and repeats the first documents.
            dying.cancel()
            await asyncio.gather(dying, return_exceptions=True)
            before = beats(reader)
            async with deciding(settings):
                await eventually(lambda: beats(reader) >= before + 2)
                found = documents(reader, "new-pricing")
                pairs = {(one["metadata"]["epoch"], one["metadata"]["version"]) for one in found}
                assert len(pairs) == 5
                assert found[-1]["metadata"]["killed"]
                assert said_of_foreign_documents(reader) == []

    run(test)


@pytest.mark.kafka
def test_rebalances_and_a_rolling_upgrade_between_two_builds_raise_no_alarm(kafka: ApacheKafka, tmp_path: Path) -> None:
    async def test() -> None:
        settings = settings_for(kafka, "rolling")
        flags = [f"flag-{number}" for number in range(8)]
        running: list[subprocess.Popen[bytes]] = []
        async with feeding(settings) as feeder, reading(settings, "flags", "alerts", "decisions") as reader:
            try:
                for build in ("process", "other_build", "process", "other_build"):
                    before = beats(reader)
                    running.append(start_build(build, settings, tmp_path / "decide.log"))
                    if len(running) == 1:
                        for flag in flags:
                            await feeder.command(flag, "apply", {**SPEC, "flag": flag})
                            await feeder.command(flag, "start")
                    # Both are there for a while, and share the partitions; then the older one is gone.
                    await eventually(lambda least=before + 2: beats(reader) >= least)
                    if len(running) > 1:
                        previous = running.pop(0)
                        previous.kill()
                        previous.wait()
                    for flag in flags:
                        await feeder.command(flag, "kill" if build == "process" else "unkill")
                    after = beats(reader)
                    await eventually(lambda least=after + 2: beats(reader) >= least)
                assert said_of_foreign_documents(reader) == []
                for flag in flags:
                    found = documents(reader, flag)
                    assert len({one["metadata"]["version"] for one in found}) <= 2 + 4 + 2
                    assert {one["metadata"]["epoch"] for one in found} == {0}
            finally:
                for process in running:
                    process.kill()
                    process.wait()

    run(test)


def start_build(module: str, settings: Settings, log: Path) -> subprocess.Popen[bytes]:
    """Start a decide process of a build."""
    words = [settings.bootstrap, settings.prefix, str(settings.partitions)]
    with log.open("ab") as errors:
        return subprocess.Popen([sys.executable, "-m", f"tests.decide.{module}", *words], stdout=errors, stderr=errors)
