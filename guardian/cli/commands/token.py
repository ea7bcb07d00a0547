"""`guardian token new`: a token for somebody who uses serve, shown once; serve keeps its hash only."""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any, Final

import typer

from guardian.cli.options import Json, command
from guardian.cli.screen import print_json
from guardian.kafka.settings import MAX_TOKEN_NAME_CHARS, Role, Token, digest_of

PREFIX: Final = "guardian_"
"""By this a scanner that looks for secrets in a repository knows a token."""
SECRET_BYTES: Final = 32

_SAID: Final = """\
the token of {name} ({role}); it is shown this once, nobody can show it again:

  {token}

into serve's guardian.toml, then start serve anew:

[[tokens]]
name = {quoted}
sha256 = "{sha256}"
role = "{role}"

Whoever bears it says it so: GUARDIAN_TOKEN in the environment of guardian's commands, or the header
  Authorization: Bearer <token>
To take it back, take the entry out and start serve anew."""


def bearer(text: str) -> str:
    """Return the name of a token's bearer.

    Raises:
        typer.BadParameter: it could not stand in a line of the audit.
    """
    if not 0 < len(text) <= MAX_TOKEN_NAME_CHARS or not text.isprintable():
        raise typer.BadParameter(f"{text!r} is no name: 1 to {MAX_TOKEN_NAME_CHARS} printable characters")
    return text


Name = Annotated[str, typer.Argument(metavar="NAME", help="Who it is for: the actor of every command.", parser=bearer)]
RoleOption = Annotated[Role, typer.Option("--role", help="What its bearer may do.")]


def new(name: Name, role: RoleOption, as_json: Json = False) -> None:
    """Make a token, show it once, and say what serve must know of it: a hash, from which nobody makes the token."""
    # 256 bits by chance: no dictionary finds them, so a plain SHA-256 keeps them as safe as a slow hash would.
    token = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    entry = Token(name=name, sha256=digest_of(token), role=role)
    if as_json:
        print_json({"token": token, "entry": _document(entry)})
        return
    # A name in JSON's quotes is one in TOML's; not through rich, which would wrap or colour what is to be copied.
    quoted = json.dumps(name, ensure_ascii=False)
    print(_SAID.format(name=name, role=role, token=token, quoted=quoted, sha256=entry.sha256))


def _document(entry: Token) -> dict[str, Any]:
    return {"name": entry.name, "sha256": entry.sha256, "role": str(entry.role)}


token = typer.Typer(help="Make tokens for those who use serve.", no_args_is_help=True)
token.command("new")(command(new))
