"""Guardian in a thread of its own, so that a test can speak to it over HTTP like anybody else."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from guardian.decide.loop import run_decide
from guardian.ingest.loop import Kind, run_ingest
from guardian.kafka.admin import create_topics
from guardian.kafka.settings import Settings
from guardian.serve.loop import run_serve
from tests.eventually import HANG_S, eventually

SPEC = """
flag: {flag}
owner: checkout-team
steps:
  - {{name: canary, weight: 5%, bake: 1h}}
  - {{name: full, weight: 100%, bake: 1h}}
triggers:
  - {{name: crashes, when: "crash_count > 0 per step", do: rollback}}
rollback: {{to: zero}}
"""


def spec(flag: str) -> str:
    """Return a spec in YAML that takes the flag back at its first crash."""
    return SPEC.format(flag=flag)


def token_entry(name: str, role: str, token: str) -> dict[str, str]:
    """Return what stands in guardian.toml for a token."""
    return {"name": name, "role": role, "sha256": hashlib.sha256(token.encode()).hexdigest()}


def blind(figures: str) -> bool:
    """Return whether decide says of a partition that it is blind, or has not looked yet."""
    lags = [line for line in figures.splitlines() if line.startswith("guardian_watermark_lag_seconds{")]
    return not lags or any(line.endswith("+Inf") for line in lags)


@dataclass
class Running:
    """A guardian that runs.

    Args:
        url: where serve listens.
        settings: its installation.
    """

    url: str
    settings: Settings

    def client(self, token: str = "", **options: Any) -> httpx.Client:
        """Return a client, with a token or without."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, **options)

    def until(self, condition: Any, within: float = HANG_S) -> Any:
        """Wait for a condition."""
        return asyncio.run(eventually(condition, within))

    def sees(self) -> bool:
        """Return whether decide has been told how far the evidence is: before, nothing is promoted."""
        with self.client() as client:
            return not blind(client.get("/metrics").text)

    def ready(self) -> bool:
        """Return whether serve says that it is ready."""
        with self.client() as client:
            return client.get("/readyz").status_code == 200


@contextmanager
def guardian(
    settings: Settings, *, roles: bool = True, kinds: tuple[Kind, ...] = ("telemetry", "commands")
) -> Iterator[Running]:
    """Run serve, and the other roles with it, for the length of the block; what a role dies of is raised at the end.

    Args:
        settings: the installation.
        roles: whether ingest and decide run too.
        kinds: what is ingested then.
    """
    settings = settings.model_copy(update={"serve_port": 0})
    address: Future[str] = Future()
    ended: Future[None] = Future()
    stopping: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        stop = asyncio.Event()
        stopping.set_result((asyncio.get_running_loop(), stop))
        work = [run_serve(settings, stop=stop, listening=address.set_result)]
        if roles:
            if not settings.embedded:
                await create_topics(settings)
            work += [run_ingest(settings, kind=kind, stop=stop) for kind in kinds]
            work.append(run_decide(settings, stop=stop))
        await asyncio.gather(*work)

    def body() -> None:
        try:
            asyncio.run(run())
            ended.set_result(None)
        except BaseException as error:
            ended.set_exception(error)
            if not address.done():
                address.set_exception(error)

    thread = threading.Thread(target=body, name="guardian", daemon=True)
    thread.start()
    try:
        yield Running(address.result(timeout=30), settings)
    finally:
        loop, stop = stopping.result(timeout=30)
        if not ended.done():
            loop.call_soon_threadsafe(stop.set)
        ended.result(timeout=60)
        thread.join()
