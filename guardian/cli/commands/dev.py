"""`guardian dev`: a broker and all of guardian in one process, for an application to connect to."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from guardian.cli.broker import Broker, BrokerOption, own_broker
from guardian.cli.logs import log_to_stderr
from guardian.cli.options import HttpPort, Json
from guardian.cli.ports import USUAL_PORT, demand_free, free_port
from guardian.cli.reading import finish
from guardian.cli.screen import answers, print_json
from guardian.cli.worker import Role, run_roles, stop_on_signals
from guardian.kafka.settings import Settings, load_settings

log = logging.getLogger("guardian.dev")

Prefix = Annotated[str | None, typer.Option("--prefix", metavar="NAME", help="Prefix of the topics.")]


def dev(
    broker: BrokerOption = Broker.EMBEDDED, prefix: Prefix = None, http_port: HttpPort = None, as_json: Json = False
) -> None:
    """Run a broker and all of guardian until Ctrl-C; applications connect to the printed address."""
    settings = load_settings(prefix=prefix, serve_port=http_port)
    if http_port is None and settings.serve_port == USUAL_PORT:
        # Nobody has chosen it: a second guardian on this machine is no reason to fail.
        settings = load_settings(prefix=prefix, serve_port=free_port(settings.serve_host, USUAL_PORT))
    demand_free(settings.serve_host, settings.serve_port)
    log_to_stderr(settings.log_level)
    finish(_dev(broker, settings, as_json))


async def _dev(broker: Broker, settings: Settings, as_json: bool) -> None:
    """Broker first, then the roles; the other way round at the end."""
    async with stop_on_signals() as stop:
        log.info("starting the %s broker", broker)
        async with own_broker(broker, settings) as found:
            await run_roles(found, Role.ALL, stop, listening=lambda page: _say_where(broker, found, page, as_json))
    log.info("ended")


def _say_where(broker: Broker, settings: Settings, page: str, as_json: bool) -> None:
    """The addresses, as lines that a shell can take."""
    environment = {"GUARDIAN_BOOTSTRAP": settings.bootstrap, "GUARDIAN_PREFIX": settings.prefix}
    if settings.embedded:
        environment["GUARDIAN_EMBEDDED"] = "true"
    if as_json:
        print_json(
            {
                "broker": str(broker),
                "bootstrap": settings.bootstrap,
                "prefix": settings.prefix,
                "status_page": page,
                "environment": environment,
            }
        )
        return
    answers().print(f"status page: {page}", soft_wrap=True, markup=False)
    answers().print(
        "guardian runs. In another shell, for applications and for guardian's own commands:", soft_wrap=True
    )
    for name, value in environment.items():
        answers().print(f"  export {name}={value}", soft_wrap=True, markup=False)
    answers().print("Everything is kept in memory or in a temporary folder and gone at the end. Ctrl-C ends it.")
