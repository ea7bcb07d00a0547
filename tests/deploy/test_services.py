"""Every service of the compose file is started on a real Kafka, in its order, until its health check passes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.composed import Composed, Running
from tests.eventually import eventually

pytestmark = pytest.mark.kafka

HEALTHY_WITHIN_S = 60.0


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Composed]:
    """The compose file's services, none of them running yet."""
    services = Composed(tmp_path)
    yield services
    services.kill()


async def healthy(replicas: list[Running]) -> None:
    for one in replicas:
        await eventually(one.is_healthy, within=HEALTHY_WITHIN_S)


def status(composed: Composed) -> dict[str, object]:
    """What the example's rollout says of itself."""
    done = composed.exec("decide", "guardian", "status", "new-pricing", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_every_service_becomes_healthy_in_its_order_and_the_example_is_rolled_back(composed: Composed) -> None:
    async def scenario() -> None:
        order = ["kafka", "topics", "ingest", "decide", "serve", "shop", "declare", "customers"]
        assert set(order) == set(composed.services)
        for number, name in enumerate(order):
            assert set(composed.services[name].get("depends_on", {})) <= set(order[:number])
            if "healthcheck" in composed.services[name]:
                replicas = composed.start(name)
                assert name == "customers" or not replicas[0].is_healthy(), f"{name} is healthy before it can be"
                await healthy(replicas)
            else:
                assert composed.run_to_end(name, HEALTHY_WITHIN_S) == 0, composed.running[name][0].said()
        started = composed.exec("decide", "guardian", "start", "new-pricing", "--wait", "30s")
        assert started.returncode == 0, started.stderr
        # The steps of docs/compose.md: customers begin to return articles, and the new pricing is taken back.
        assert composed.exec("customers", "touch", "/tmp/returns").returncode == 0
        await eventually(lambda: status(composed)["reason"] == "TRIGGER_FIRED", within=120.0)
        assert status(composed)["state"]["weight_bp"] == 0  # type: ignore[index]

    asyncio.run(scenario())
    codes = composed.stop()
    ended = {name: set(codes[name]) for name in ("ingest", "decide", "serve", "topics", "declare")}
    assert ended == {name: {0} for name in ended}
    assert {composed.running[name][0].check() for name in ("ingest", "decide", "serve", "shop")} == {1}
