"""`guardian signing new`: a key with which serve proves to decide who gave a command."""

from __future__ import annotations

import re
import secrets
import time
from typing import Annotated, Final

import typer

from guardian.cli.options import Json, command
from guardian.cli.screen import print_json
from guardian.kafka.settings import KEY_ID_PATTERN, SIGNING_KEY_BYTES

_SAID: Final = """\
a signing key; it is shown this once:

into the guardian.toml of serve and of ingest, which must both have it:

[signing]
keys = {{{key_id} = "{key}"}}
current = "{key_id}"

or in their environment:

GUARDIAN_SIGNING_KEYS='{{"{key_id}": "{key}"}}'
GUARDIAN_SIGNING_CURRENT={key_id}

In place of the key may stand the path of a file that holds it.
To replace a key: add the new one to `keys` of ingest, then of serve, and restart them; then make it `current`
in serve; when everything that the old one signed is read (minutes), remove the old one."""

KeyId = Annotated[str, typer.Option("--id", metavar="ID", help="What the key is called; default from today's date.")]


def new(key_id: KeyId = "", as_json: Json = False) -> None:
    """Make a key, show it once, and say where it goes."""
    name = key_id or time.strftime("k%Y%m%d")
    if re.fullmatch(KEY_ID_PATTERN, name) is None:
        raise typer.BadParameter(f"{name!r} is no key id: letters, digits, '_' and '-', 32 at most")
    key = secrets.token_hex(SIGNING_KEY_BYTES)
    if as_json:
        print_json({"id": name, "key": key})
        return
    # Not through rich, which would wrap or colour what is to be copied.
    print(_SAID.format(key_id=name, key=key))


signing = typer.Typer(help="Make keys that prove who gave a command.", no_args_is_help=True)
signing.command("new")(command(new))
