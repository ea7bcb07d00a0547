"""`guardian init`: a commented spec to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guardian.cli.options import Flag
from guardian.cli.screen import notes
from guardian.errors import SettingsError

Target = Annotated[
    Path | None, typer.Option("--file", "-o", metavar="FILE", help="Where to; '-' for stdout; default FLAG.yaml.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]


def init(flag: Flag, target: Target = None, force: Force = False) -> None:
    """Write a commented spec for a flag, ready to be edited and applied."""
    from guardian.spec.template import render_template  # noqa: PLC0415 (heavy, and nobody else needs it)

    text = render_template(flag)
    path = target or Path(f"{flag}.yaml")
    if str(path) == "-":
        print(text, end="")
        return
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(
            f"{path} is there already", "say --force to overwrite it, or --file for another name"
        ) from None
    notes().print(f"wrote {path}; edit it, then: guardian check {path} and guardian apply {path}", soft_wrap=True)
