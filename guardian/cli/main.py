"""The table of commands, and the entry point `guardian`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from guardian import __version__
from guardian.cli import faults
from guardian.cli.commands.apply import apply
from guardian.cli.commands.archive import archive
from guardian.cli.commands.bug import bug
from guardian.cli.commands.check import check
from guardian.cli.commands.checkpoint import checkpoint
from guardian.cli.commands.demo import demo
from guardian.cli.commands.dev import dev
from guardian.cli.commands.doctor import doctor
from guardian.cli.commands.emergency import emergency
from guardian.cli.commands.explain import explain
from guardian.cli.commands.init import init
from guardian.cli.commands.kill import kill
from guardian.cli.commands.list import list_
from guardian.cli.commands.metric import metric
from guardian.cli.commands.pause import pause
from guardian.cli.commands.promote import promote
from guardian.cli.commands.resolve import resolve
from guardian.cli.commands.resume import resume
from guardian.cli.commands.rollback import rollback
from guardian.cli.commands.run import run as run_command
from guardian.cli.commands.send import send
from guardian.cli.commands.signing import signing
from guardian.cli.commands.start import start
from guardian.cli.commands.status import status
from guardian.cli.commands.tail import tail
from guardian.cli.commands.token import token
from guardian.cli.commands.topics import topics
from guardian.cli.commands.unkill import unkill
from guardian.cli.commands.version import version
from guardian.cli.logs import keep_quiet
from guardian.cli.options import command
from guardian.errors import GuardianError, check_namespace

app = typer.Typer(
    name="guardian",
    help="Watch progressive rollouts and take a bad one back before people notice.",
    epilog="guardian --install-completion teaches the shell the commands, their options, and the names of your flags.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PANELS: dict[str, dict[str, Callable[..., Any]]] = {
    "Try": {"demo": demo, "dev": dev},
    "Operate": {
        "run": run_command,
        "topics": topics,
        "token": token,
        "signing": signing,
        "doctor": doctor,
        "send": send,
        "checkpoint": checkpoint,
    },
    "Declare": {"init": init, "check": check, "apply": apply},
    "Look": {"list": list_, "status": status, "explain": explain, "tail": tail, "version": version},
    "Roll out": {"start": start, "promote": promote, "pause": pause, "resume": resume, "archive": archive},
    "Take back": {"rollback": rollback, "kill": kill, "unkill": unkill, "resolve": resolve, "emergency": emergency},
    "Report": {"bug": bug, "metric": metric},
}
"""Every command, in the order in which the help shows them."""

for _panel, _commands in _PANELS.items():
    for _name, _function in _commands.items():
        if isinstance(_function, typer.Typer):
            app.add_typer(_function, name=_name, rich_help_panel=_panel)
        else:
            app.command(_name, rich_help_panel=_panel)(command(_function))


def _show_version(wanted: bool) -> None:
    """`--version`, as every program has it."""
    if wanted:
        print(f"guardian {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Watch progressive rollouts and take a bad one back before people notice."""
    faults.DEBUG.set(debug)
    if not debug:
        keep_quiet()


def run() -> None:
    """Run the command line; `--debug` may stand anywhere on it."""
    try:
        check_namespace()
    except GuardianError as error:
        sys.exit(faults.show(error, as_json=False))
    words = sys.argv[1:]
    if "--debug" in words:
        words = ["--debug", *(word for word in words if word != "--debug")]
    app(words, prog_name="guardian")
