"""Heartbeats come soon after a change of what an instance uses, and those of many instances not in one moment."""

from __future__ import annotations

import asyncio
import threading
import time

import orjson
import pytest

from guardian.kafka.admin import create_topics
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from guardian.sdk import GuardianProvider, Telemetry, TelemetryOptions
from guardian.sdk.heart import Heart
from tests.brokers import settings_for
from tests.eventually import eventually
from tests.sdk.documents import FLAG, written
from tests.sdk.scenes import arrived, guardian, installed, provider_for

OTHER = "fast-search"


@pytest.fixture
def settings(embedded: EmbeddedBroker) -> Settings:
    """Fresh topics on the embedded broker, and two flags."""
    made = settings_for(embedded, "heart")
    asyncio.run(create_topics(made))
    asyncio.run(changes(made, {FLAG: 9, OTHER: 9}))
    return made


async def changes(settings: Settings, versions: dict[str, int], provider: GuardianProvider | None = None) -> None:
    """New documents, which this provider has taken over when this returns."""
    async with guardian(settings) as writer:
        for flag, version in versions.items():
            await writer.write(written(flag=flag, version=version), flag)
            if provider is not None:
                await eventually(lambda: provider.known()[flag] == (0, version))  # noqa: B023 (asked at once)


def telling(settings: Settings, provider: GuardianProvider, instance: str, soon_s: float) -> Telemetry:
    """A client whose first heartbeat has arrived, and whose next one by itself would come in a day."""
    options = TelemetryOptions(instance=instance, heartbeat_s=86_400, heartbeat_soon_s=soon_s, linger_s=0.02)
    telemetry = Telemetry("checkout", provider, settings.bootstrap, settings.prefix, options)
    asyncio.run(eventually(lambda: telemetry.delivered == 1))
    return telemetry


def beats(settings: Settings, count: int) -> list[tuple[str, dict[str, int], float]]:
    """Who told which versions when, in the order of time."""
    found = [orjson.loads(value) for value in asyncio.run(arrived(settings, count))]
    return sorted(((one["instance"], one.get("flags", {}), one["ts"]) for one in found), key=lambda one: one[2])


def test_a_flag_in_use_that_changes_is_told_long_before_the_next_heartbeat(settings: Settings) -> None:
    provider = provider_for(settings)
    with installed(provider) as client:
        client.get_boolean_details(FLAG, False)
        with telling(settings, provider, "one", soon_s=0.3):
            asyncio.run(changes(settings, {FLAG: 10}, provider))
            (_, first, _), (_, second, _) = beats(settings, 2)
    assert (first, second) == ({FLAG: 9}, {FLAG: 10})


def test_a_flag_that_nobody_has_asked_for_hurries_no_heartbeat(settings: Settings) -> None:
    provider = provider_for(settings)
    with installed(provider) as client:
        client.get_boolean_details(FLAG, False)
        with telling(settings, provider, "one", soon_s=0.0):
            asyncio.run(changes(settings, {OTHER: 10}, provider))
            asyncio.run(changes(settings, {OTHER: 11, FLAG: 10}, provider))
            assert [flags for _, flags, _ in beats(settings, 2)] == [{FLAG: 9}, {FLAG: 10}]


def test_many_instances_do_not_answer_a_change_in_one_moment(settings: Settings) -> None:
    provider = provider_for(settings)
    with installed(provider) as client:
        client.get_boolean_details(FLAG, False)
        instances = [telling(settings, provider, f"i-{number}", soon_s=4.0) for number in range(12)]
        asyncio.run(changes(settings, {FLAG: 10}, provider))
        told = [at_s for _, flags, at_s in beats(settings, 24) if flags == {FLAG: 10}]
        for telemetry in instances:
            telemetry.close()
    assert len(told) == 12
    assert max(told) - min(told) > 0.3


def test_a_client_that_is_gone_is_not_held_by_the_provider(settings: Settings) -> None:
    provider = provider_for(settings)
    heart = Heart(None, 5.0, 1.0)
    provider.tell_changes(heart)
    assert list(provider._hearts) == [heart]
    del heart
    assert list(provider._hearts) == []


def test_a_heart_beats_by_itself_and_many_changes_in_one_moment_make_one_beat_more() -> None:
    seen: list[float] = []

    async def scene(every_s: float, soon_s: float, hurries: int, expected: int) -> None:
        seen.clear()
        heart = Heart(lambda: seen.append(time.monotonic()), every_s, soon_s)
        heart.hurry()  # before there is a loop it means nothing: the first beat comes at once
        beating = asyncio.create_task(heart.run())
        await eventually(lambda: len(seen) >= 1)
        others = [threading.Thread(target=heart.hurry) for _ in range(hurries)]
        for other in others:
            other.start()
        for other in others:
            await asyncio.to_thread(other.join)
        await eventually(lambda: len(seen) >= expected)
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        heart.hurry()

    asyncio.run(scene(60.0, 0.2, hurries=50, expected=2))
    assert len(seen) == 2
    asyncio.run(scene(0.01, 1.0, hurries=0, expected=5))
    asyncio.run(scene(0.01, 1.0, hurries=1, expected=5))


def test_a_heart_without_anything_to_say_and_one_that_is_switched_off_end_at_once() -> None:
    asyncio.run(Heart(None, 5.0, 1.0).run())
    asyncio.run(Heart(lambda: pytest.fail("it beat"), 0.0, 1.0).run())


def test_in_a_forked_child_a_change_does_not_touch_the_parents_loop() -> None:
    async def scene() -> None:
        heart = Heart(lambda: None, 60.0, 0.0)
        beating = asyncio.create_task(heart.run())
        await eventually(lambda: heart._loop is asyncio.get_running_loop())
        waited = heart._changed
        heart.rest()
        heart.hurry()
        await asyncio.gather(asyncio.to_thread(heart.hurry))
        assert not waited.is_set()
        beating.cancel()

    asyncio.run(scene())
