"""`guardian demo`: a rollout that goes bad and is taken back, before one's eyes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Annotated, Any

import typer

from guardian.cli.broker import Broker, BrokerOption, own_broker
from guardian.cli.demo.play import Play, Plot
from guardian.cli.demo.rollout import FLAG
from guardian.cli.demo.scene import Scene
from guardian.cli.demo.screen import LiveTeller, PlainTeller, Teller
from guardian.cli.demo.shopkeeper import open_shop
from guardian.cli.logs import log_to_stderr
from guardian.cli.options import HttpPort, Json
from guardian.cli.ports import free_port
from guardian.cli.reading import finish
from guardian.cli.screen import answers, notes, print_json
from guardian.cli.worker import Role, run_roles, stop_on_signals
from guardian.errors import Exit
from guardian.kafka.settings import Settings, load_settings

_PER_SECOND = 400
_SHORT_DISORDER_MS = 500
"""The shop runs on this machine: its events are in order to half a second."""

Once = Annotated[bool, typer.Option("--once", help="End after the rollback; exit code 0 only if there was one.")]
BadAfter = Annotated[
    float, typer.Option("--bad-after", metavar="SECONDS", min=1.0, max=300.0, help="When the candidate goes bad.")
]


def demo(
    broker: BrokerOption = Broker.EMBEDDED,
    once: Once = False,
    bad_after: BadAfter = 12.0,
    http_port: HttpPort = None,
    as_json: Json = False,
) -> Exit:
    """Watch a rollout go bad and be taken back: broker, guardian and a small shop, in one command."""
    console = notes() if as_json else answers()
    scene = Scene()
    settings = _settings(http_port or free_port())
    page = f"http://{settings.serve_host}:{settings.serve_port}"
    if console.is_terminal:
        teller: LiveTeller | PlainTeller = LiveTeller(console, scene, f"guardian demo, status page: {page}")
    else:
        teller = PlainTeller(console, scene)
    console.print(f"status page: {page} (opens in a moment)", soft_wrap=True, markup=False)
    _log_to(teller)
    finish(_demo(broker, settings, scene, teller, Plot(bad_after, once)))
    seconds = round(scene.seconds(), 1)
    result = {"broker": str(broker), "seconds": seconds, "status_page": page, **scene.result()}
    if as_json:
        print_json(result)
    elif isinstance(teller, LiveTeller) and (sentence := scene.sentence()):
        console.print(sentence, soft_wrap=True, markup=False)
    return Exit.OK if result["rolled_back"] or not once else Exit.NO


def _settings(http_port: int) -> Settings:
    """The demo's own installation: whatever is set up on this machine is left alone."""
    return Settings.model_validate(
        {
            "disorder_ms": _SHORT_DISORDER_MS,
            "state_dir": load_settings().state_dir,
            "log_level": "warning",
            "serve_port": http_port,
        }
    )


async def _demo(broker: Broker, settings: Settings, scene: Scene, teller: LiveTeller | PlainTeller, plot: Plot) -> None:
    """Broker, worker, shop, in this order; ended in the other one."""
    async with stop_on_signals() as stop:
        with teller.live if isinstance(teller, LiveTeller) else nullcontext():
            teller.say(f"starting the {broker} broker")
            async with own_broker(broker, settings) as found:
                teller.say(f"the broker is at {found.bootstrap}; guardian starts")
                await _perform(found, scene, teller, plot, stop)


async def _perform(settings: Settings, scene: Scene, teller: Teller, plot: Plot, stop: asyncio.Event) -> None:
    """Guardian's roles around the shop around the play."""
    curtain = asyncio.Event()
    roles = asyncio.create_task(run_roles(settings, Role.ALL, curtain))
    try:
        async with open_shop(settings, FLAG, _PER_SECOND) as shop:
            play = Play(settings, shop, scene, teller, plot)
            parts = [play.watch_decisions(), play.watch_status(), play.watch_shop(), play.direct(), stop.wait()]
            await _first_end([roles], parts)
    finally:
        curtain.set()
        await roles


async def _first_end(tasks: list[asyncio.Task[None]], parts: list[Coroutine[Any, Any, Any]]) -> None:
    """Run the parts until one of them, or one of the tasks, ends; raise what it died of."""
    mine = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait([*mine, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)


def _log_to(teller: Teller) -> None:
    """Warnings become lines of the story: on a live screen they would tear it."""

    class _Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            teller.say(f"{record.levelname.lower()}: {record.name}: {record.getMessage()}")

    log_to_stderr("warning")
    # That everybody on this machine may write is what a demo is for.
    logging.getLogger("guardian.serve").setLevel(logging.ERROR)
    logging.getLogger().handlers[:] = [_Told()]
