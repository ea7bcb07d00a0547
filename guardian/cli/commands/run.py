"""`guardian run`: the stages against a real cluster, in this process."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

import typer

from guardian.cli.exit_deadline import ExitDeadline
from guardian.cli.logs import log_to_stderr
from guardian.cli.options import HttpPort, KafkaOptions
from guardian.cli.reading import finish
from guardian.cli.ready import wait_for_topics
from guardian.cli.worker import Role, run_roles, stop_on_signals
from guardian.errors import TransportError
from guardian.kafka.rights import ANY_ROLE
from guardian.kafka.settings import Settings

log = logging.getLogger("guardian.run")

RoleOption = Annotated[Role, typer.Option("--role", help="Which stages this process runs.")]


def run(kafka: KafkaOptions, role: RoleOption = Role.ALL, http_port: HttpPort = None) -> None:
    """Run ingest, decide, serve or all of guardian against Kafka until it is told to end."""
    settings = kafka.load(serve_port=http_port)
    log_to_stderr(settings.log_level)
    deadline = ExitDeadline()
    try:
        finish(_run(settings, role, deadline))
    except TransportError as error:
        if role is not Role.ALL:
            error.fix = error.fix.replace(ANY_ROLE, f"--role {role}")
        raise
    finally:
        deadline.cancel()  # from here on it is Python's own end, which has its deadline in cli.main


async def _run(settings: Settings, role: Role, deadline: ExitDeadline) -> None:
    """Check the topics, then run until a signal."""
    async with stop_on_signals() as stop:
        watching = asyncio.create_task(deadline.begin_with(stop))
        try:
            log.info("role=%s bootstrap=%s prefix=%s", role, settings.bootstrap, settings.prefix)
            if role is not Role.SERVE:  # which says itself, over HTTP, what it waits for
                await wait_for_topics(settings, stop)
            if not stop.is_set():
                await run_roles(settings, role, stop, deadline=deadline)
        finally:
            watching.cancel()
    log.info("ended")
