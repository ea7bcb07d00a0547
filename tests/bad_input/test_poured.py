"""Everything bad at once, on every topic that others write to: a good flag's counts stay exact and it is taken back."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from typing import Any

from guardian.core.outputs import Decision
from guardian.core.words import Reason
from guardian.errors import DecodeReason
from guardian.kafka.settings import Settings
from guardian.wire.outputs import decode_decision
from tests.bad_input.house import House, event, inhabited
from tests.bad_input.samples import COMMANDS, MIGRATIONS, TELEMETRY
from tests.brokers import Broker, settings_for
from tests.eventually import eventually

GOOD = 2_000

Letter = tuple[bytes | None, bytes | None, str]


async def pour(house: House, version: int) -> Counter[Letter]:
    """Send good events and, between them, every bad message with a key of its own; return the letters to come."""
    chance, letters = random.Random(20261121), Counter[Letter]()
    bad = [
        (topic, value, reason)
        for topic, samples in (("telemetry", TELEMETRY), ("migrations", MIGRATIONS), ("commands", COMMANDS))
        for value, reason in samples
    ]
    chance.shuffle(bad)
    for number, (topic, value, reason) in enumerate(bad):
        await house.send("telemetry", [event("good", version, latency_ms=7.0) for _ in range(GOOD // len(bad))])
        key = b"\xff-%d" % number
        await house.send(topic, [value], key=key)
        letters[key, value, reason.value] += 1
    await house.send("telemetry", [event("good", version) for _ in range(GOOD % len(bad))])
    await house.send("telemetry", [None], key=b"a tombstone")
    letters[b"a tombstone", None, DecodeReason.MALFORMED_JSON.value] += 1
    # Neither key nor value: other clients send such records, and aiokafka itself refuses to, unless by the batch.
    nothing = house.client.create_batch()
    nothing.append(key=None, value=None, timestamp=None)
    await house.client.send_batch(nothing, house.settings.topic("telemetry"), partition=0)
    letters[None, b"", DecodeReason.MALFORMED_JSON.value] += 1
    return letters


def letters_of(house: House) -> Counter[Letter]:
    """What stands on guardian.dead-letters."""
    return Counter((each.key, each.value, dict(each.headers)["guardian-reason"].decode()) for each in house.dead())


async def check(settings: Settings) -> None:
    async with inhabited(settings) as house:
        version = await house.begin("good")
        expected = await pour(house, version)
        await eventually(lambda: house.total("good") >= GOOD)
        await eventually(lambda: letters_of(house).total() >= expected.total())
        assert letters_of(house) == expected
        status = house.status("good")
        assert status is not None
        assert (status.totals["on"], status.totals["on:ok"], status.late_count) == (GOOD, GOOD, 0)
        assert house.weight("good") == 500, "nothing that was refused moved the flag"
        began_s = time.monotonic()
        bad = [value for value, _ in TELEMETRY]
        await house.send("telemetry", [*bad, event("good", version, outcome="crash"), *bad])
        await eventually(lambda: house.weight("good") == 0)
        took_s = time.monotonic() - began_s
        sys.stdout.write(f"rolled back {took_s:.2f} s after the crash, among {2 * len(bad)} bad messages\n")


def test_bad_messages_are_dead_letters_with_key_and_bytes_and_the_good_flag_is_exact_and_taken_back(
    broker: Broker,
) -> None:
    asyncio.run(check(settings_for(broker, "poured")))


def test_events_from_long_ago_are_counted_as_late_and_judged_by_nothing(embedded: Broker) -> None:
    async def late(settings: Settings) -> None:
        async with inhabited(settings) as house:
            version = await house.begin("good")
            await house.send("telemetry", [event("good", version) for _ in range(20)])
            ages_s = [600.0, 86_400.0, 3 * 365 * 86_400.0, 20 * 365 * 86_400.0, time.time()]
            # Late: of the present document by their own word. Without a version they are from before the change.
            await eventually(lambda: house.total("good") == 20)
            await house.send("telemetry", [event("good", version, ts=time.time() - age_s) for age_s in ages_s])
            await house.send("telemetry", [event("good", 0, ts=time.time() - age_s) for age_s in ages_s])
            await eventually(lambda: house.total("good") == 30)
            status = house.status("good")
            assert status is not None
            assert (status.late_count, status.stale_version_count) == (5, 5)
            assert house.weight("good") == 500
            assert not house.dead()

    asyncio.run(late(settings_for(embedded, "late")))


def test_a_spec_with_ten_errors_is_refused_with_all_of_them_and_the_running_one_stays(embedded: Broker) -> None:
    bad: dict[str, Any] = {
        "flag": "good",
        "ownr": "checkout",
        "strategy": "hope",
        "variants": {"control": "on", "candidate": "on"},
        "steps": [
            {"name": "a", "weight": 5, "bake": "soon"},
            {"name": "a", "weight": "500%", "gates": ["error_rate is fine"]},
        ],
        "triggers": [{"when": "error_rate > 5", "do": "dance"}, {"when": "p99_latency > 2x yesterday"}],
        "rollback": {"to": 7},
    }

    async def refused(settings: Settings) -> None:
        async with inhabited(settings) as house:
            version = await house.begin("good")
            await house.order("good", "apply", bad)
            await house.order("another", "apply", {**bad, "flag": "another"})
            await house.order("another", "start")

            def answers() -> list[Decision]:
                said = [decode_decision(record.value) for record in house.reader.of("decisions")]
                return [each for each in said if each.reason is Reason.REFUSED_SPEC]

            await eventually(lambda: len(answers()) == 2)
            for answer in answers():
                assert not answer.accepted
                named = ("ownr", "strategy", "steps[0].weight", "steps[0].bake", "steps[1].weight", "triggers[0].do")
                assert [each for each in named if each not in answer.text] == []
                assert answer.text.count("; ") >= 9, answer.text
            await house.send("telemetry", [event("good", version) for _ in range(10)])
            await eventually(lambda: house.total("good") == 10)
            assert (house.weight("good"), house.weight("another")) == (500, None)
            assert not house.dead()

    asyncio.run(refused(settings_for(embedded, "errors")))
