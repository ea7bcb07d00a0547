"""The roles of guardian in one process: tasks that start together, end together, and take the process with them."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

from guardian.errors import GuardianError, InternalError
from guardian.kafka.settings import Settings

log = logging.getLogger("guardian.run")

_END_S = 30.0
"""How long a role may take to end cleanly."""


class Role(StrEnum):
    """What a process does."""

    INGEST = "ingest"
    DECIDE = "decide"
    ALL = "all"


def _tasks(settings: Settings, role: Role, stop: asyncio.Event) -> dict[str, Coroutine[Any, Any, None]]:
    """The loops of a role by name."""
    loops: dict[str, Coroutine[Any, Any, None]] = {}
    if role in (Role.INGEST, Role.ALL):
        from guardian.ingest.loop import run_ingest  # noqa: PLC0415 (heavy: `guardian pause` must not wait for it)

        loops["ingest telemetry"] = run_ingest(settings, kind="telemetry", stop=stop)
        loops["ingest commands"] = run_ingest(settings, kind="commands", stop=stop)
    if role in (Role.DECIDE, Role.ALL):
        from guardian.decide.loop import run_decide  # noqa: PLC0415 (Faust takes a second to import)

        loops["decide"] = run_decide(settings, stop=stop)
    return loops


async def run_roles(settings: Settings, role: Role, stop: asyncio.Event) -> None:
    """Run a role until `stop` is set or one of its loops dies.

    Args:
        settings: the installation.
        role: what to run.
        stop: ends all loops cleanly.

    Raises:
        GuardianError: what a loop died of; InternalError for anything unforeseen.
        InternalError: a loop ended although nobody had told it to.
    """
    loops = {asyncio.create_task(loop, name=name): name for name, loop in _tasks(settings, role, stop).items()}
    try:
        done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
        told = stop.is_set()
    finally:
        # Step 1: tell the others, who write what they have and leave their groups.
        stop.set()
        _, late = await asyncio.wait(loops, timeout=_END_S)
        # Step 2: who does not end is ended.
        for task in late:
            log.error("%s did not end in %.0fs and is cancelled", loops[task], _END_S)
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    for task, name in loops.items():
        _raise_fault(task, name)
    if not told:
        names = ", ".join(loops[task] for task in done)
        raise InternalError(f"{names} ended by itself", "report it with the log lines above")


def _raise_fault(task: asyncio.Task[None], name: str) -> None:
    """Raise what a loop died of, with its name in the log."""
    if task.cancelled() or (error := task.exception()) is None:
        return
    log.error("%s died: %s: %s", name, type(error).__name__, error, exc_info=error)
    if isinstance(error, GuardianError):
        raise error
    raise InternalError(
        f"{name} died: {type(error).__name__}: {error}", "report it with the log lines above"
    ) from error


@asynccontextmanager
async def stop_on_signals() -> AsyncIterator[asyncio.Event]:
    """Give an event that SIGTERM and SIGINT set; a second one ends the process the hard way."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    caught = (signal.SIGTERM, signal.SIGINT)

    def on_signal(number: signal.Signals) -> None:
        log.info("%s: ending", number.name)
        stop.set()
        for other in caught:
            loop.remove_signal_handler(other)

    for number in caught:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
