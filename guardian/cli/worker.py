"""The roles of guardian in one process: tasks that start together, end together, and take the process with them."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from enum import StrEnum
from typing import Any

from prometheus_client import disable_created_metrics, start_http_server

from guardian.cli.exit_deadline import ExitDeadline
from guardian.errors import Exit, GuardianError, InternalError, SettingsError
from guardian.kafka.settings import Settings

log = logging.getLogger("guardian.run")

Loop = Coroutine[Any, Any, None]

END_S = 20.0
"""How long a role may take to end cleanly; then it is cancelled, and the process has a deadline of its own."""


class Role(StrEnum):
    """What a process does."""

    INGEST = "ingest"
    DECIDE = "decide"
    SERVE = "serve"
    ALL = "all"


Listening = Callable[[str], None]
"""Is told serve's address, once it takes connections."""


def _loops(settings: Settings, role: Role, stop: asyncio.Event, listening: Listening | None) -> dict[str, Loop]:
    """The loops of a role by name."""
    # Heavy, Faust's above all: `guardian pause` must not wait for them, nor one role for another's.
    # All come before a coroutine is made.
    ingests, decides, serves = (role in (one, Role.ALL) for one in (Role.INGEST, Role.DECIDE, Role.SERVE))
    if ingests:
        from guardian.ingest.loop import run_ingest  # noqa: PLC0415
    if decides:
        from guardian.decide.loop import run_decide  # noqa: PLC0415
    if serves:
        from guardian.serve.loop import run_serve  # noqa: PLC0415
    loops: dict[str, Loop] = {}
    if ingests:
        loops["ingest telemetry"] = run_ingest(settings, kind="telemetry", stop=stop)
        loops["ingest commands"] = run_ingest(settings, kind="commands", stop=stop)
    if decides:
        loops["decide"] = run_decide(settings, stop=stop)
    if serves:
        loops["serve"] = run_serve(settings, stop=stop, listening=listening)
    return loops


async def run_roles(
    settings: Settings,
    role: Role,
    stop: asyncio.Event,
    *,
    listening: Listening | None = None,
    deadline: ExitDeadline | None = None,
) -> None:
    """Run a role until `stop` is set or one of its loops dies.

    Args:
        settings: the installation.
        role: what to run.
        stop: ends all loops cleanly.
        listening: is told serve's address, once it takes connections.
        deadline: begins when one of the loops dies.

    Raises:
        GuardianError: what a loop died of; InternalError for anything unforeseen.
    """
    # When each counter began: as many series again, and nobody asks.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    # Serve has its figures at its own port: one guardian.toml does for all three roles on one machine.
    with nullcontext() if role is Role.SERVE else metrics_served(settings):
        await run_loops(_loops(settings, role, stop, listening), stop, deadline)


async def run_loops(loops: dict[str, Loop], stop: asyncio.Event, deadline: ExitDeadline | None = None) -> None:
    """Run loops side by side until `stop` is set or one of them ends; then all end.

    Args:
        loops: by name; each is expected to end soon after `stop` is set.
        stop: ends all loops cleanly; set here when one of them dies.
        deadline: begins when one of them dies.

    Raises:
        GuardianError: what a loop died of; InternalError for anything unforeseen.
        InternalError: a loop ended although nobody had told it to.
    """
    tasks = {asyncio.create_task(loop, name=name): name for name, loop in loops.items()}
    ended: list[str] = []
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = [] if stop.is_set() else [tasks[task] for task in done]
    finally:
        if deadline is not None:
            deadline.begin(_exit_code(tasks))
        # Step 1: tell the others, who write what they have and leave their groups.
        stop.set()
        _, late = await asyncio.wait(tasks, timeout=END_S)
        # Step 2: who does not end is ended.
        for task in late:
            log.error("%s did not end in %.0fs and is cancelled", tasks[task], END_S)
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    for task, name in tasks.items():
        _raise_fault(task, name)
    if ended:
        raise InternalError(f"{', '.join(ended)} ended by itself", "report it with the log lines above")


@contextmanager
def metrics_served(settings: Settings) -> Iterator[None]:
    """Serve this process's Prometheus metrics for the length of the block, if the settings name a port.

    Raises:
        SettingsError: the port is taken.
    """
    if not settings.metrics_port:
        yield
        return
    try:
        server, thread = start_http_server(settings.metrics_port)
    except OSError as error:
        fix = "choose another GUARDIAN_METRICS_PORT, or 0 for none"
        raise SettingsError(f"metrics_port {settings.metrics_port}: {error.strerror}", fix) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _exit_code(tasks: Iterable[asyncio.Task[None]]) -> int:
    """What the process exits with for what its loops have died of so far."""
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            return error.exit_code if isinstance(error, GuardianError) else Exit.INTERNAL
    return Exit.OK


def _raise_fault(task: asyncio.Task[None], name: str) -> None:
    """Raise what a loop died of, with its name in the log."""
    if task.cancelled() or (error := task.exception()) is None:
        return
    # Where in the code it was helps with a fault of guardian's own; what others did has its way out in words.
    ours = not isinstance(error, GuardianError) or isinstance(error, InternalError)
    log.error("%s died: %s: %s", name, type(error).__name__, error, exc_info=error if ours else None)
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
