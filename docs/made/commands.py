"""commands.md: every command with every argument and option, from the command line itself."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from docs.made.markdown import block, code, page, table
from guardian.cli.main import app
from guardian.errors import Exit

_INTRO = """\
`guardian COMMAND --help` says the same in your terminal.
`guardian --install-completion` teaches your shell the words.
For the names of flags it asks guardian, for 1.5 seconds at most, or as long as `GUARDIAN_COMPLETE_WITHIN_S` says.

Commands that change a rollout send a record and wait for the decision that answers it.
"""
_EXITS = {
    Exit.OK: "it is done",
    Exit.NO: "the answer is no: refused, a check failed, not healthy",
    Exit.USAGE: "wrong words: an option, a spec, a setting",
    Exit.UNREACHABLE: "Kafka did not answer",
    Exit.NO_ANSWER: "sent, but no answer came in time: it may still happen",
    Exit.INTERNAL: "a fault of guardian's own",
}
_LEFT_OUT = {"--help", "--install-completion", "--show-completion"}
"""Said above, and made by typer after the shell that it finds."""


def render() -> str:
    """Return the page."""
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    found = list(_commands(root, "guardian"))
    rows = [[f"[{name}](#{_anchor(name)})", _first_line(command)] for name, command in found]
    parts = [
        "## All of them\n\n" + table(["command", "what it does"], rows),
        "## For every command\n\n" + _options(root),
    ]
    parts += [_exits(), *(_section(name, command) for name, command in found)]
    return page("Commands", _INTRO, *parts)


def _commands(group: TyperGroup, path: str) -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _commands(command, f"{path} {name}")
        elif isinstance(command, TyperCommand) and not command.hidden:
            yield f"{path} {name}", command


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name)


def _plain(text: str | None) -> str:
    """Help as Markdown: rich's own marks are taken out."""
    return re.sub(r"\[/?[a-z ]+\]", "", inspect.cleandoc(text or ""))


def _first_line(command: TyperCommand) -> str:
    return _plain(command.help).partition("\n")[0]


def _section(name: str, command: TyperCommand) -> str:
    arguments = [parameter for parameter in command.params if isinstance(parameter, TyperArgument)]
    usage = " ".join([name, "[OPTIONS]", *(_metavar(one) for one in arguments)])
    parts = [f"## {name}", _plain(command.help), block("text", usage)]
    if arguments:
        parts.append(table(["argument", "what it is"], [[code(_metavar(one)), _plain(one.help)] for one in arguments]))
    parts.append(_options(command))
    return "\n\n".join(part for part in parts if part)


def _metavar(argument: TyperArgument) -> str:
    name = argument.metavar or str(argument.name).upper()
    return name if argument.required else f"[{name}]"


def _options(command: TyperCommand | TyperGroup) -> str:
    rows = [
        [
            ", ".join(code(name) for name in [*one.opts, *one.secondary_opts]),
            _takes(one),
            _plain(one.help),
            _default(one),
        ]
        for one in command.params
        if isinstance(one, TyperOption) and not one.hidden and not _LEFT_OUT & set(one.opts)
    ]
    return table(["option", "takes", "what it does", "unless said"], rows) if rows else ""


def _takes(option: TyperOption) -> str:
    if option.is_flag:
        return ""
    if option.metavar:
        return code(option.metavar)
    kind = _kind(option.type_descriptor.annotation)
    return " or ".join(code(str(one.value)) for one in kind) if issubclass(kind, Enum) else code(kind.__name__.upper())


def _kind(annotation: Any) -> type:
    """The type behind an annotation such as `int | None`."""
    found = [one for one in typing.get_args(annotation) if one is not type(None)]
    kind = found[0] if found else annotation
    return kind if isinstance(kind, type) else str


def _default(option: TyperOption) -> str:
    if option.is_flag or option.default in (None, "", ()) or callable(option.default):
        return ""
    return code(str(option.default.value if isinstance(option.default, Enum) else option.default))


def _exits() -> str:
    rows = [[code(str(int(exit_code))), _EXITS[exit_code]] for exit_code in Exit]
    return "## Exit codes\n\nThe same for every command.\n\n" + table(["code", "meaning"], rows)
