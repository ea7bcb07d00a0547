"""The options that several commands share, as dataclasses that `command` spreads into a command's own."""

from __future__ import annotations

import dataclasses
import functools
import getpass
import inspect
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from guardian.cli import faults
from guardian.cli.completion import flag_names
from guardian.cli.door import Door
from guardian.cli.specs import file_hint
from guardian.core.inputs import Actor
from guardian.core.words import ALL_FLAGS, FLAG_NAME_PATTERN
from guardian.errors import Exit, SettingsError
from guardian.kafka.settings import Settings, load_settings

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_MAX_WAIT_S = 3600.0
NO_REASON = "no reason given"
"""What is recorded when nobody said why: an emergency is never held up by a missing word."""


def duration_s(text: str) -> float:
    """Return a duration such as `10s`, `500ms` or `2m` in seconds, at most an hour.

    Raises:
        typer.BadParameter: no number with a unit.
    """
    return min(past_s(text), _MAX_WAIT_S)


def past_s(text: str) -> float:
    """Return how long ago, such as `10m`, `2h` or `3d`, in seconds.

    Raises:
        typer.BadParameter: no number with a unit.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a duration; write a number and a unit: 500ms, 10s, 2m")
    return float(match[1]) * _UNITS_S[match[2]]


def moment_s(text: str) -> float:
    """Return a moment in Unix seconds: `2h` ago, `today` or `yesterday` from its first minute on, a date, a time.

    Times are UTC, as everything that is shown, unless they say otherwise.

    Raises:
        typer.BadParameter: no moment.
    """
    word = text.strip()
    if re.fullmatch(r"[\d.]+[a-z]+", word):
        return time.time() - past_s(word)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"today": midnight, "yesterday": midnight - timedelta(days=1)}
    try:
        found = days.get(word.lower()) or datetime.fromisoformat(word.upper())
    except ValueError:
        fix = "write 10m, 2h or 3d ago, today, yesterday, 2026-11-20 or 2026-11-20T13:00"
        raise typer.BadParameter(f"{text!r} is no moment; {fix}") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def flag_name(text: str) -> str:
    """Return a flag's name.

    Raises:
        typer.BadParameter: not a name that a flag can have.
    """
    if re.fullmatch(FLAG_NAME_PATTERN, text) is None:
        rule = "letters, digits, '.', '_' and '-', 128 at most, a letter or digit first"
        raise typer.BadParameter(f"{text!r} is not a flag's name: {file_hint(text) or rule}")
    return text


Flag = Annotated[
    str, typer.Argument(metavar="FLAG", help="The flag's name.", parser=flag_name, autocompletion=flag_names)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
HttpPort = Annotated[
    int | None,
    typer.Option("--http-port", metavar="PORT", min=0, max=65_535, help="Where serve listens; 0 for any free port."),
]


@dataclasses.dataclass(frozen=True)
class KafkaOptions:
    """Where Kafka is; on every command that talks to it."""

    settings_file: Annotated[
        Path | None,
        typer.Option("--settings", metavar="FILE", help="Settings file; default guardian.toml, if it is there."),
    ] = None
    bootstrap: Annotated[
        str | None,
        typer.Option("--bootstrap", metavar="HOST:PORT", help="Kafka's address; default GUARDIAN_BOOTSTRAP."),
    ] = None
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="NAME", help="Prefix of the topics, which is the environment.")
    ] = None

    def load(self, **fixed: Any) -> Settings:
        """Read the settings: the file, then GUARDIAN_*, then these options.

        Args:
            fixed: what the command itself settles; it beats all.

        Raises:
            SettingsError: a wrong setting.
        """
        options = {"bootstrap": self.bootstrap, "prefix": self.prefix, **fixed}
        return load_settings(self.settings_file, **options)


@dataclasses.dataclass(frozen=True)
class DoorOptions(KafkaOptions):
    """Where a running guardian is: Kafka's address, or serve's; on every command that can go either way."""

    server: Annotated[
        str | None,
        typer.Option("--server", metavar="URL", help="Ask serve there instead of Kafka; default GUARDIAN_SERVER."),
    ] = None
    token: Annotated[
        str | None, typer.Option("--token", metavar="TOKEN", help="For serve; default GUARDIAN_TOKEN, which ps hides.")
    ] = None

    def serve_url(self) -> str:
        """Return serve's address, empty for straight to Kafka: what is said here beats the environment.

        Raises:
            SettingsError: both addresses were given.
        """
        if self.server and self.bootstrap:
            raise SettingsError("--server and --bootstrap are two ways to the same guardian", "give one of them")
        return self.server or ("" if self.bootstrap else os.environ.get("GUARDIAN_SERVER", ""))

    def door(self) -> Door:
        """Return the way to guardian.

        Raises:
            SettingsError: a wrong setting, or an address that is none.
        """
        # Each way has clients of its own; nobody waits for the other's.
        if url := self.serve_url():
            from guardian.cli.serve_door import ServeDoor  # noqa: PLC0415

            return ServeDoor(url, self.token or os.environ.get("GUARDIAN_TOKEN", ""))
        from guardian.cli.kafka_door import KafkaDoor  # noqa: PLC0415

        return KafkaDoor(self.load())


@dataclasses.dataclass(frozen=True)
class SayOptions:
    """Who orders something, and why."""

    reason: Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="Why; kept in the audit.")] = ""
    actor: Annotated[str, typer.Option("--actor", metavar="NAME", help="Who; default the user logged in.")] = ""


@dataclasses.dataclass(frozen=True)
class OrderOptions(SayOptions, DoorOptions):
    """Who orders what and why, and how long to wait for the answer; on every command that changes a rollout."""

    wait_s: Annotated[
        float, typer.Option("--wait", metavar="TIME", parser=duration_s, help="How long to wait for the answer.")
    ] = "10s"  # type: ignore[assignment]
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Send the command and do not wait.")] = False
    as_json: Json = False

    def who(self) -> Actor:
        """Return who gives the command: as claimed, not as proved.

        Raises:
            SettingsError: a name was given although serve knows its own.
        """
        if self.actor and self.serve_url():
            raise SettingsError("serve knows from the token who gives a command", "leave out --actor")
        return claimed(self.actor)


def claimed(name: str) -> Actor:
    """Return who somebody claims to be; of an empty name, the user who is logged in."""
    if name:
        return Actor(name)
    try:
        return Actor(getpass.getuser())
    except (OSError, KeyError):
        return Actor("unknown")


@dataclasses.dataclass(frozen=True)
class Target:
    """One flag or all of them; on the commands that an emergency may want for all."""

    flag: Annotated[
        str | None,
        typer.Argument(metavar="FLAG", help="The flag's name; or --all.", parser=flag_name, autocompletion=flag_names),
    ] = None
    every: Annotated[bool, typer.Option("--all", help="Every flag of this environment.")] = False

    def key(self) -> str:
        """Return the flag, or `*` for all.

        Raises:
            SettingsError: both, or neither.
        """
        if self.flag and not self.every:
            return self.flag
        if self.every and not self.flag:
            return ALL_FLAGS
        raise SettingsError("say either one flag or --all", "for example: guardian kill FLAG, or guardian kill --all")


def command(function: Callable[..., Exit | None]) -> Callable[..., None]:
    """Return a function that typer can register: shared options spread out, errors shown, the result as exit code.

    Args:
        function: the command's body; a parameter annotated with a dataclass becomes that dataclass's options.
            It returns an exit code, or None for OK.
    """
    hints = get_type_hints(function, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}

    @functools.wraps(function)
    def body(**given: Any) -> None:
        for name, kind in groups.items():
            fields = [field.name for field in dataclasses.fields(kind)]
            given[name] = kind(**{field: given.pop(field) for field in fields})  # type: ignore[operator]
        as_json = bool(given.get("as_json")) or any(getattr(given[name], "as_json", False) for name in groups)
        try:
            code = function(**given)
        except (typer.Exit, typer.BadParameter):
            raise
        except BrokenPipeError:
            code = Exit.OK  # the reader has what it wanted: `guardian tail decisions | head -1`
        except KeyboardInterrupt:
            raise typer.Exit(faults.INTERRUPTED) from None
        except Exception as error:
            raise typer.Exit(faults.show(error, as_json=as_json)) from None
        if code:
            raise typer.Exit(int(code))

    body.__signature__ = inspect.Signature(_parameters(function, hints))  # type: ignore[attr-defined]
    body.__annotations__ = {}
    return body


def _parameters(function: Callable[..., Any], hints: dict[str, Any]) -> list[inspect.Parameter]:
    """The command's parameters with every options dataclass spread out; all by keyword, as typer calls them."""
    spread: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        kind = hints[parameter.name]
        if not dataclasses.is_dataclass(kind):
            spread.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        types = get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            spread.append(
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=types[field.name]
                )
            )
    return spread
