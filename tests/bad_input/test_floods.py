"""Floods of 100,000 new names: memory bounded and shown, what is left out counted, a good flag exact and taken back."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from guardian.core.fleet import MAX_SERVED
from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.clients import consumer, producer, running
from guardian.kafka.settings import Settings
from tests.bad_input.house import House, event
from tests.bad_input.roles import RunningRole, role
from tests.brokers import settings_for
from tests.decide.feeding import reading
from tests.eventually import eventually

FLOOD = 100_000
GROWTH_MB = 100.0
GOOD = 1_000

Make = Callable[[int, int], dict[str, Any]]


def of_new_flag(number: int, version: int) -> dict[str, Any]:
    return {"flag": f"unheard-of-{number}", "variant": "on", "outcome": "ok", "latency_ms": 5}


def of_new_service(number: int, version: int) -> dict[str, Any]:
    return {"flag": "flooded", "variant": "on", "outcome": "ok", "flag_version": version, "service": f"s-{number}"}


def of_new_error(number: int, version: int) -> dict[str, Any]:
    error = {"outcome": "error", "error_type": f"Error number {number}"}
    return {"flag": "flooded", "variant": "on", "flag_version": version, **error}


def of_new_instance(number: int, version: int) -> dict[str, Any]:
    flags = {"flooded": version, "good": version}
    return {"kind": "heartbeat", "service": "crowd", "instance": f"i-{number}", "flags": flags, "memory_bytes": 1e8}


def of_new_rubbish(number: int, version: int) -> dict[str, Any]:
    return {"flag": "good", "variant": "on", "outcome": f"broken-{number}"}


FLOODS: dict[str, Make] = {
    "rubbish": of_new_rubbish,
    "flags": of_new_flag,
    "services": of_new_service,
    "errors": of_new_error,
    "instances": of_new_instance,
}


async def send_flood(house: House, make: Make, versions: dict[str, int]) -> None:
    """Send the flood as fast as Kafka takes it, the good flag's events among it."""
    waiting = []
    for number in range(FLOOD):
        value = json.dumps({"ts": time.time(), **make(number, versions["flooded"])}).encode()
        waiting.append(await house.client.send(house.settings.topic("telemetry"), value))
        if number % (FLOOD // GOOD) == 0:
            good = event("good", versions["good"], service="checkout", latency_ms=3.0)
            waiting.append(await house.client.send(house.settings.topic("telemetry"), good))
        if len(waiting) >= 5_000:
            await asyncio.gather(*waiting)
            waiting.clear()
    await asyncio.gather(*waiting)


async def check(name: str, settings: Settings, ingest: RunningRole, decide: RunningRole) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(running(producer(settings), settings))
        house = House(settings, client, await stack.enter_async_context(reading(settings, "flags", "rollouts")))
        versions = {flag: await house.begin(flag) for flag in ("flooded", "good")}
        # The first events and ticks make what every process holds anyway: pages, caches, connections.
        await house.send("telemetry", [event("flooded", versions["flooded"]) for _ in range(5_000)])
        await eventually(lambda: house.total("flooded") == 5_000)
        before = {each.name: each.rss_mb() for each in (ingest, decide)}
        await send_flood(house, FLOODS[name], versions)
        # The crash stands behind the whole flood in its partition.
        began_s = time.monotonic()
        await house.send("telemetry", [event("good", versions["good"], outcome="crash")])
        await eventually(lambda: house.weight("good") == 0)
        prompt_s = time.monotonic() - began_s
        sent = 5_000 + FLOOD + GOOD + 1

        def all_is_counted() -> bool:
            topic = settings.topic("telemetry")
            return ingest.counted("guardian_ingest_events_total", topic=topic) == sent

        await eventually(all_is_counted)
        # Folded together or without a signature: not one event of a flag that has a rollout is lost.
        of_flood = FLOOD if name in ("services", "errors") else 0
        await eventually(lambda: house.total("flooded") == 5_000 + of_flood)
        await eventually(lambda: house.total("good") == GOOD + 1)
        assert house.total("good", "on:ok") == GOOD
        grown = {each.name: (before[each.name], each.rss_mb(), each.peak_mb()) for each in (ingest, decide)}
        sys.stdout.write(
            f"100,000 new {name}: rolled back {prompt_s:.2f} s after the crash; RSS in MiB before, after, peak: "
            + "; ".join(f"{role} {a:.0f}, {b:.0f}, {c:.0f}" for role, (a, b, c) in grown.items())
            + f"; {left_out(name, house, ingest)}\n"
        )
        for before_mb, _, peak_mb in grown.values():
            assert peak_mb - before_mb < GROWTH_MB
        assert await dead_letters(settings) == (FLOOD if name == "rubbish" else 0)


async def dead_letters(settings: Settings) -> int:
    """How many there are."""
    async with running(consumer(settings), settings) as reader:
        places = [TopicPartition(settings.topic("dead-letters"), number) for number in range(4)]
        return sum((await reader.end_offsets(places)).values())


def left_out(name: str, house: House, ingest: RunningRole) -> str:
    """Hold the figures of what was left out to what was sent, and return them as text."""
    if name == "rubbish":
        dead = ingest.counted("guardian_ingest_dead_letters_total", reason="bad_value")
        assert dead == FLOOD
        return f"{dead:.0f} dead letters"
    if name == "flags":
        unknown = ingest.counted("guardian_ingest_unknown_flag_events_total")
        # So few ranges carry 256 unknown flags each; the rest is counted as left out.
        assert FLOOD * 0.2 < unknown <= FLOOD
        return f"{unknown:.0f} events of unknown flags left out"
    if name == "services":
        others = ingest.counted("guardian_ingest_other_cells_total")
        assert others > FLOOD * 0.2
        return f"{others:.0f} cells folded into others"
    if name == "errors":
        assert house.total("flooded", "on:error") == FLOOD, "signatures are few, counts are whole"
        return f"{FLOOD} errors counted, 8 signatures a second kept"
    status = house.status("flooded")
    assert status is not None
    assert status.live_count <= MAX_SERVED
    return f"{status.live_count} instances of a flag followed"


@pytest.mark.kafka
@pytest.mark.parametrize("name", list(FLOODS))
def test_a_flood_of_new_names_takes_bounded_memory_and_holds_nobody_up(
    kafka: ApacheKafka, tmp_path: Path, name: str
) -> None:
    settings = settings_for(kafka, f"flood-{name}")
    asyncio.run(create_topics(settings))
    with role("decide", settings, tmp_path) as decide, role("ingest", settings, tmp_path) as ingest:
        asyncio.run(check(name, settings, ingest, decide))
