"""The FastAPI example runs as its README says: served by uvicorn, flags from a broker, telemetry back to it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from examples.fastapi_app.pricing import Item
from examples.fastapi_app.shipping import new_shipping_cents, shipping_cents
from guardian.kafka.admin import create_topics
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from guardian.sdk import flush_dual_runs
from guardian.spec.load import load_spec
from guardian.wire.events import decode_telemetry
from tests.brokers import settings_for
from tests.eventually import eventually
from tests.sdk.documents import written
from tests.sdk.scenes import arrived, closed_port, guardian

ROOT = Path(__file__).parents[2]
CART: dict[str, Any] = {"customer": "u-1", "lines": [{"sku": "tea", "cents": 300, "count": 3}]}
TEN = {"customer": "u-3", "lines": [{"sku": "tea", "cents": 300, "count": 10}]}
IMPOSSIBLE: dict[str, Any] = {"customer": "u-2", "lines": [{"sku": "tea", "cents": 300, "count": -1}]}


BREAKS: dict[str, Any] = {"customer": "u-4", "lines": [*CART["lines"], *IMPOSSIBLE["lines"]]}


@contextmanager
def served(settings: Settings, folder: Path) -> Iterator[str]:
    """The application in a process of its own; ends it in good order."""
    port = closed_port()
    environ = {
        **os.environ,
        "GUARDIAN_BOOTSTRAP": settings.bootstrap,
        "GUARDIAN_PREFIX": settings.prefix,
        "FLAG_SNAPSHOT": str(folder / "flags.json"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "uvicorn", "examples.fastapi_app.app:app", "--port", str(port)]
    with (folder / "app.log").open("wb") as log:
        app = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        app.send_signal(signal.SIGINT)
        app.wait(60)
    assert "Application shutdown complete" in (folder / "app.log").read_text()


def test_the_example_prices_by_the_flag_and_tells_how_it_went(embedded: EmbeddedBroker, tmp_path: Path) -> None:
    settings = settings_for(embedded, "fastapi")

    async def scene(base: str) -> None:
        async with httpx.AsyncClient(base_url=base) as client, guardian(settings) as writer:

            async def price() -> dict[str, object]:
                try:
                    answer = await client.post("/price", json=CART)
                except httpx.TransportError:
                    return {}
                found: dict[str, object] = answer.json()
                return found

            async def says(cents: int, variant: str) -> bool:
                return await price() == {"cents": cents, "variant": variant}

            await eventually(lambda: says(900, "off"))
            await writer.write(written(version=2, weight_bp=10_000))
            await eventually(lambda: says(600, "on"))
            assert (await client.post("/receipt", json=CART)).text == "tea,600\n"
            async with httpx.AsyncClient(base_url=base) as other:
                with pytest.raises(httpx.TransportError):
                    await other.post("/receipt", json=BREAKS)
            assert (await client.post("/price", json=IMPOSSIBLE)).status_code == 500
            await writer.write(written(version=3, weight_bp=0))
            await eventually(lambda: says(900, "off"))
            assert (await client.post("/price", json=IMPOSSIBLE)).json() == {"cents": -300, "variant": "off"}
            assert (await client.post("/shipping", json=TEN)).json() == 490

    async def before() -> None:
        await create_topics(settings)
        async with guardian(settings) as writer:
            await writer.write(written(version=1, weight_bp=0))

    asyncio.run(before())
    with served(settings, tmp_path) as base:
        asyncio.run(scene(base))
    values = asyncio.run(arrived(settings, 6))
    for value in values:
        decode_telemetry(value)
    events = [orjson.loads(value) for value in values]
    requests = [event for event in events if "kind" not in event]
    seen = {(event["variant"], event["flag_version"], event["outcome"], event["assignment"]) for event in requests}
    assert seen == {
        ("off", 1, "ok", "default"), ("on", 2, "ok", "split"), ("on", 2, "error", "split"), ("off", 3, "ok", "default"),
    }  # fmt: skip
    assert {event.get("error_type") for event in requests} == {None, "ValueError"}
    (broken,) = [event for event in requests if event["subject"] == "u-4"]
    assert (broken["outcome"], broken["error_type"], broken["variant"]) == ("error", "ValueError", "on")
    last = max((event for event in events if event.get("kind") == "heartbeat"), key=lambda event: event["ts"])
    assert (last["bye"], last["open"]) == (True, 0)
    assert any(event.get("kind") == "heartbeat" for event in events)
    migrations = [orjson.loads(value) for value in asyncio.run(arrived(settings, 2, topic="migrations"))]
    assert [(event["event_type"], event.get("difference")) for event in migrations] == [
        ("success", None), ("dual_run", "$: 490 != 990"),
    ]  # fmt: skip


def test_the_example_s_two_ways_of_shipping_differ_at_one_weight_only() -> None:
    items = {count: [Item("tea", 300, count)] for count in range(1, 20)}
    differ = {count for count, item in items.items() if shipping_cents(item, "u") != new_shipping_cents(item, "u")}
    assert differ == {10}
    assert flush_dual_runs(10)
    assert (shipping_cents.counts.matched, shipping_cents.counts.mismatched) == (18, 1)


@pytest.mark.parametrize("flag", ["new-pricing", "new-shipping"])
def test_the_example_s_specs_are_good_ones(flag: str) -> None:
    path = ROOT / "examples" / "fastapi_app" / f"{flag}.yaml"
    spec, _ = load_spec(path.read_text(encoding="utf-8"), str(path))
    assert spec.flag == flag
