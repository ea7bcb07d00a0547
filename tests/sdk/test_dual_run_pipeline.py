"""What `@dual_run` tells goes through Kafka, ingest and decide: too many differences stop the migration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import orjson
import pytest

from guardian.core.inputs import Actor, Command
from guardian.core.outputs import RolloutStatus
from guardian.core.words import Phase
from guardian.decide.loop import run_decide
from guardian.ingest.loop import run_ingest
from guardian.kafka.admin import create_topics
from guardian.kafka.clients import producer, read_compacted, running
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from guardian.sdk import (
    configure,
    drain_dual_runs,
    dropped_migration_events,
    dual_run,
    flush_dual_runs,
    flush_migration_events,
    migrations,
)
from guardian.spec.load import load_spec
from guardian.wire.commands import encode_command
from guardian.wire.events import decode_migration
from guardian.wire.outputs import decode_status
from tests.brokers import settings_for
from tests.eventually import eventually
from tests.sdk.scenes import arrived, installed, provider_for

FLAG = "jax-optimization"
COMPONENT = "optimization"
SPEC = f"""
flag: {FLAG}
owner: science
components: [{COMPONENT}]
steps:
  - {{name: canary, weight: 50%, bake: 1h}}
  - {{name: full, weight: 100%, bake: 1h}}
triggers:
  - {{name: assertions, when: "dual_run assertions fail > 10/hour", do: pause, tell: engineering}}
"""


@pytest.fixture
def settings(embedded: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Fresh topics on the embedded broker, and a process that tells it."""
    made = settings_for(embedded, "dual")
    asyncio.run(create_topics(made))
    client = migrations._Migrations()
    monkeypatch.setattr(migrations, "_default", client)
    configure(made.bootstrap, made.prefix, service="fits")
    yield made
    if client._sink is not None:
        client._sink.close(2.0)


@dual_run(COMPONENT, flag=FLAG, domain="science", subject="user", ignore=["seconds"], per_second=10_000)
def optimize(user: str, chain: list[float]) -> dict[str, float]:
    return {"energy": sum(chain), "seconds": 1.0}


@optimize.candidate
def optimize_with_jax(user: str, chain: list[float]) -> dict[str, float]:
    return {"energy": sum(chain) + (0.5 if len(chain) > 2 else 0.0), "seconds": 0.5}


@dual_run(COMPONENT)
async def optimize_later(chain: list[float]) -> float:
    return sum(chain)


@optimize_later.candidate
async def optimize_later_with_jax(chain: list[float]) -> float:
    return sum(chain) * 2


def test_dual_runs_of_functions_and_coroutines_arrive_as_ingest_reads_them(settings: Settings) -> None:
    async def scene() -> None:
        await optimize_later([1.0])
        await drain_dual_runs()

    optimize("u-1", [1.0, 2.0, 3.0])
    asyncio.run(scene())
    assert flush_dual_runs(10)
    assert flush_migration_events(10)
    values = asyncio.run(arrived(settings, 4, topic="migrations"))
    events = [decode_migration(value) for value in values]
    assert sorted(event.event_type for event in events) == ["dual_run", "dual_run", "success", "success"]
    assert {event.component for event in events} == {COMPONENT}
    differences = {orjson.loads(value).get("difference") for value in values if b'"dual_run"' in value}
    assert differences == {"$.energy: 6.0 != 6.5", "$: 1.0 != 2.0"}
    assert {event.deviation for event in events if event.deviation is not None} == {0.5, 0.5 / 6.5}
    assert dropped_migration_events() == 0


async def command(settings: Settings, name: str) -> None:
    spec = load_spec(SPEC, "spec.yaml")[1] if name == "apply" else None
    message = encode_command(Command(f"{FLAG}-{name}", name, FLAG, Actor("test"), spec=spec))
    async with running(producer(settings), settings) as writer:
        await writer.send_and_wait(
            settings.topic(message.topic), message.value, key=message.key, headers=message.headers
        )


async def status(settings: Settings) -> RolloutStatus | None:
    found = (await read_compacted(settings, "rollouts")).get(FLAG.encode())
    return None if found is None else decode_status(found.value)


async def stands(settings: Settings, phase: Phase, successes: int = 0) -> bool:
    """Whether the rollout is in a phase, with so many served calls counted."""
    found = await status(settings)
    if found is None:
        return False
    counted = sum(count for name, count in found.totals.items() if name.endswith(":success"))
    return found.state.phase is phase and counted >= successes


@asynccontextmanager
async def guardian_runs(settings: Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    ingests = (run_ingest(settings, kind=kind, stop=stop) for kind in ("telemetry", "commands"))
    roles = [asyncio.create_task(role) for role in (*ingests, run_decide(settings, stop=stop))]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*roles)


def run_all(bad: int, good: int = 0) -> None:
    """Calls of which `bad` differ, each compared and delivered."""
    for n in range(good):
        optimize(f"u-{n}", [1.0])
    for n in range(bad):
        optimize(f"u-{n}", [1.0, 2.0, 3.0])
    assert flush_dual_runs(10)
    assert flush_migration_events(10)


def test_more_differences_than_the_trigger_allows_stop_the_migration(settings: Settings) -> None:
    async def scene() -> None:
        async with guardian_runs(settings):
            for name in ("apply", "start"):
                await command(settings, name)
            await eventually(lambda: stands(settings, Phase.PROGRESSING), within=30)
            await eventually(lambda: FLAG in provider.known())
            await asyncio.to_thread(run_all, bad=10, good=10)
            await eventually(lambda: stands(settings, Phase.PROGRESSING, successes=20), within=30)
            # The eleventh difference is the one that is too many.
            await asyncio.to_thread(run_all, bad=1)
            await eventually(lambda: stands(settings, Phase.PAUSED), within=30)
        found = await status(settings)
        assert found is not None
        assert "mismatch_count 11 > 10" in found.text

    provider = provider_for(settings)
    with installed(provider, "science"):
        asyncio.run(scene())
