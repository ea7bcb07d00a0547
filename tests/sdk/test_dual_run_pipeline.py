"""What `@dual_run` tells goes through Kafka, ingest and decide, and what decide says of it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import orjson
import pytest
from openfeature import api

from guardian.core.inputs import Actor, Command
from guardian.core.outputs import RolloutStatus
from guardian.core.split import split_of
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

USERS = [f"u-{n}" for n in range(700)]
COMPARED = {user for user in USERS if split_of(f"dual_run:{COMPONENT}", user) < 2_000}
ALL = len(COMPARED)
"""So many are wanted for a judgement, so that none comes before everybody has called."""
SHADOW = f"""
flag: {FLAG}
components: [{COMPONENT}]
steps:
  - name: shadow
    weight: 0%
    dual_run: 20%
    bake: 1s
    timeout: 1h
    gates: [{{when: mismatch_rate < 5%, min_samples: {ALL}}}]
  - {{name: canary, weight: 50%, bake: 1h}}
triggers:
  - {{name: differs, when: "mismatch_rate > 10% over 1m", do: rollback, min_samples: {ALL}}}
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


async def command(settings: Settings, name: str, text: str = SPEC) -> None:
    spec = load_spec(text, "spec.yaml")[1] if name == "apply" else None
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
            await eventually(lambda: stands(settings, Phase.PROGRESSING))
            await eventually(lambda: FLAG in provider.known())
            await asyncio.to_thread(run_all, bad=10, good=10)
            await eventually(lambda: stands(settings, Phase.PROGRESSING, successes=20))
            # The eleventh difference is the one that is too many.
            await asyncio.to_thread(run_all, bad=1)
            await eventually(lambda: stands(settings, Phase.PAUSED))
        found = await status(settings)
        assert found is not None
        assert "mismatch_count 11 > 10" in found.text

    provider = provider_for(settings)
    with installed(provider, "science"):
        asyncio.run(scene())


def share_bp() -> object:
    """The share that the application knows of, with its step."""
    found = api.get_client("science").get_boolean_details(FLAG, False).flag_metadata
    return found.get("step"), found.get("dual_run_bp")


def compared_of(chain: list[float]) -> set[str]:
    """Whose calls are compared when everybody calls once; control serves them all."""
    seen = set()
    for user in USERS:
        counts = optimize.counts
        before = counts.sampled_out
        assert optimize(user, chain)["seconds"] == 1.0
        if counts.sampled_out == before:
            seen.add(user)
        if len(seen) % 50 == 0:
            assert flush_dual_runs(10)
    assert flush_dual_runs(10)
    assert flush_migration_events(10)
    return seen


@pytest.mark.parametrize(
    ("chain", "phase", "step"),
    [([1.0, 2.0], Phase.PROGRESSING, "canary"), ([1.0, 2.0, 3.0], Phase.ROLLED_BACK, "")],
    ids=["what is alike goes on to the first real step", "what differs is rolled back"],
)
def test_a_step_of_zero_in_which_a_fifth_runs_twice_decides_by_what_they_find(
    settings: Settings, chain: list[float], phase: Phase, step: str
) -> None:
    async def scene() -> None:
        async with guardian_runs(settings):
            await command(settings, "apply", SHADOW)
            await eventually(lambda: share_bp() == ("", 0))
            assert await asyncio.to_thread(compared_of, chain) == set(), "nobody before the start"
            await command(settings, "start")
            await eventually(lambda: share_bp() == ("shadow", 2_000))
            assert await asyncio.to_thread(compared_of, chain) == COMPARED
            await eventually(lambda: share_bp() == (step, 0))
            left_out = optimize.counts.sampled_out
            optimize("u-1", chain)
            assert optimize.counts.sampled_out == left_out + 1, "and nobody afterwards"
        found = await status(settings)
        assert found is not None
        assert (found.state.phase, found.state.step, found.state.dual_run_bp) == (phase, step, 0)
        assert [each.dual_run_bp for each in found.steps] == [2_000, 0]
        assert (f"mismatch_rate 100% > 10% over 1m (n={ALL})" in found.text) is (phase is Phase.ROLLED_BACK)

    provider = provider_for(settings)
    with installed(provider, "science"):
        asyncio.run(scene())
