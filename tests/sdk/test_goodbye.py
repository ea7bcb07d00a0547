"""Case L7: an instance that ends in good order says goodbye, so that nobody waits for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import orjson
import pytest
from openfeature import api

from guardian.kafka.admin import create_topics
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from guardian.sdk import Telemetry, TelemetryOptions
from guardian.wire.events import decode_telemetry
from tests.brokers import settings_for
from tests.eventually import eventually
from tests.sdk.documents import FLAG, written
from tests.sdk.scenes import arrived, closed_port, guardian, provider_for
from tests.sdk.telling import SERVED


@pytest.fixture
def settings(embedded: EmbeddedBroker) -> Settings:
    """Fresh topics on the embedded broker."""
    made = settings_for(embedded, "goodbye")
    asyncio.run(create_topics(made))
    return made


def telemetry_for(settings: Settings, provider: Any = None, **options: Any) -> Telemetry:
    found = TelemetryOptions(linger_s=0.02, **options)
    return Telemetry("nightly", provider, settings.bootstrap, settings.prefix, found)


def beats(settings: Settings, count: int) -> list[dict[str, Any]]:
    """The heartbeats, by time, each one that ingest takes."""
    values = asyncio.run(arrived(settings, count))
    for value in values:
        decode_telemetry(value)
    found = [event for event in map(orjson.loads, values) if event.get("kind") == "heartbeat"]
    return sorted(found, key=lambda event: float(event["ts"]))


def test_L7_the_last_heartbeat_of_a_client_that_closes_is_a_goodbye(settings: Settings) -> None:
    async def scene() -> None:
        async with guardian(settings) as writer:
            await writer.write(written(version=9))

    asyncio.run(scene())
    provider = provider_for(settings)
    api.set_provider_and_wait(provider, "nightly")
    api.get_client("nightly").get_boolean_details(FLAG, False)
    telemetry = telemetry_for(settings, provider, heartbeat_s=0.05)
    asyncio.run(eventually(lambda: telemetry.delivered >= 3))
    api.shutdown()  # the provider first, as applications do
    api.clear_providers()
    assert telemetry.close(30)
    telemetry.heartbeat()
    assert telemetry.close(30)
    found = beats(settings, telemetry.delivered)
    assert [beat.get("bye") for beat in found] == [None] * (len(found) - 1) + [True]
    assert (found[-1]["service"], found[-1]["flags"], found[-1]["open"]) == ("nightly", {FLAG: 9}, 0)
    assert found[-1]["instance"] == found[0]["instance"]
    assert telemetry.dropped == 0


@pytest.mark.parametrize("ending", ["", "raise ValueError", "sys.exit(3)", "telemetry.close()"], ids=repr)
def test_L7_a_short_script_says_goodbye_whatever_ends_it(settings: Settings, ending: str) -> None:
    program = (
        "import sys; from guardian.sdk import Served, Telemetry\n"
        "telemetry = Telemetry('nightly', None, sys.argv[1], sys.argv[2])\n"
        "with telemetry.measure(Served('f', 'on', 1, 'split')): pass\n"
        f"{ending}\n"
    )
    command = [sys.executable, "-c", program, settings.bootstrap, settings.prefix]
    subprocess.run(command, capture_output=True, timeout=120, check=False)
    found = beats(settings, 2)
    assert [beat.get("bye") for beat in found][-1] is True
    assert sum("bye" in beat for beat in found) == 1


def test_L7_heartbeats_in_full_swing_never_follow_the_goodbye(settings: Settings) -> None:
    for number in range(5):
        telemetry = telemetry_for(settings, heartbeat_s=0.001, instance=f"i-{number}")
        asyncio.run(eventually(lambda: telemetry.delivered >= 5))  # noqa: B023 (asked at once)
        assert telemetry.close(30)
    found = beats(settings, 30)
    for number in range(5):
        mine = [beat for beat in found if beat["instance"] == f"i-{number}"]
        assert [beat.get("bye") for beat in mine] == [None] * (len(mine) - 1) + [True]


def test_L7_without_heartbeats_there_is_no_goodbye(settings: Settings) -> None:
    with telemetry_for(settings, heartbeat_s=0) as telemetry:
        telemetry.request(SERVED)
    assert telemetry.delivered == 1
    assert beats(settings, 1) == []


def test_L7_a_goodbye_that_nobody_takes_holds_nobody_up() -> None:
    telemetry = Telemetry("nightly", bootstrap=f"127.0.0.1:{closed_port()}")
    assert not telemetry.close(0.2)
    assert telemetry.dropped >= 1


def test_L7_a_forked_child_says_goodbye_for_itself_and_only_if_it_began(settings: Settings) -> None:
    telemetry = telemetry_for(settings, heartbeat_s=3_600)
    asyncio.run(eventually(lambda: telemetry.delivered == 1))
    for works in (False, True):
        child = os.fork()
        if child == 0:
            if works:
                telemetry.request(SERVED)
            os._exit(0 if telemetry.close(60) else 1)
        assert os.waitpid(child, 0)[1] == 0
    telemetry.request(SERVED)
    assert telemetry.close(60)
    goodbyes = [beat["instance"] for beat in beats(settings, 5) if beat.get("bye")]
    assert len(goodbyes) == 2
    assert goodbyes[0].endswith(f"-{child}")
    assert goodbyes[1].endswith(f"-{os.getpid()}")
