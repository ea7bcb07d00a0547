"""`guardian tail`: what guardian says, as it says it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Annotated, Any

import typer

from guardian.cli.completion import flag_names
from guardian.cli.door import Said, Sayings, Topic
from guardian.cli.options import DoorOptions, Json, flag_name, moment_s
from guardian.cli.reading import finish
from guardian.cli.sayings import Filter, Line, line_markup, read
from guardian.cli.screen import answers, notes, print_json
from guardian.core.words import Reason, Severity
from guardian.errors import DecodeError, DecodeReason, SettingsError

_MAX_LAST = 100_000


def reason_word(text: str) -> str:
    """Return a reason in capitals.

    Raises:
        typer.BadParameter: guardian has no such reason.
    """
    word = text.upper().replace("-", "_")
    if word not in Reason.__members__ and word not in DecodeReason.__members__:
        dead = ", ".join(DecodeReason.__members__)
        raise typer.BadParameter(f"{text!r} is no reason; one of {', '.join(Reason)}; of dead letters: {dead}")
    return word


What = Annotated[Topic, typer.Argument(metavar="|".join(Topic), help="What to follow.")]


@dataclass(frozen=True)
class Wanted:
    """Which records, and how many."""

    flag: Annotated[
        str | None,
        typer.Option("--flag", metavar="FLAG", help="Only this flag.", parser=flag_name, autocompletion=flag_names),
    ] = None
    severity: Annotated[Severity | None, typer.Option("--severity", help="Only alerts as loud as this, or louder.")] = (
        None
    )
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="REASON", help="Only this reason, as TRIGGER_FIRED.", parser=reason_word),
    ] = None
    service: Annotated[
        str | None, typer.Option("--service", metavar="SERVICE", help="Only dead letters that this service sent.")
    ] = None
    values: Annotated[
        bool,
        typer.Option("--values", help="What the dead letters hold, too: it may be personal data. Never through serve."),
    ] = False
    since: Annotated[
        float | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="What was said since then: 10m, 2h, 3d ago; today, yesterday, 2026-11-20, 2026-11-20T13:00 (UTC).",
            parser=moment_s,
        ),
    ] = None
    last: Annotated[
        int | None, typer.Option("--last", "-n", metavar="N", min=0, max=_MAX_LAST, help="The last N that are there.")
    ] = None
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="What is there already, too.")] = False
    follow: Annotated[
        bool | None,
        typer.Option("--follow/--no-follow", help="Whether to wait for what is new; not after --last or --since."),
    ] = None
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="End after N records; 0 for never.")] = 0

    def follows(self) -> bool:
        """Return whether what is new is waited for."""
        return self.since is None and self.last is None if self.follow is None else self.follow

    def past(self) -> bool:
        """Return whether anything of what is there already is wanted."""
        return self.from_beginning or not self.follows() or self.since is not None or self.last is not None

    def filter(self, topic: Topic) -> Filter:
        """Return what is let through.

        Raises:
            SettingsError: the records of the topic have no such word.
        """
        if self.severity is not None and topic is not Topic.ALERTS:
            raise SettingsError(f"{topic} have no severity", "guardian tail alerts --severity, or leave it out")
        if self.reason and topic is Topic.ALERTS:
            raise SettingsError("alerts have no reason", "guardian tail decisions --reason, or leave it out")
        if self.reason and self.reason not in (DecodeReason if topic is Topic.DEAD_LETTERS else Reason).__members__:
            raise SettingsError(f"{topic} have no reason {self.reason}", "guardian tail --reason x names every reason")
        if (self.service or self.values) and topic is not Topic.DEAD_LETTERS:
            fix = "guardian tail dead-letters has --service and --values"
            raise SettingsError(f"{topic} have no {'service' if self.service else 'values'}", fix)
        since_ms = int(self.since * 1_000) if self.since is not None else 0
        return Filter(self.flag or "", self.severity, self.reason or "", since_ms, self.service or "")


def tail(what: What, where: DoorOptions, wanted: Wanted, as_json: Json = False) -> None:
    """Follow alerts, decisions, flags, rollbacks or dead letters, or show the last ones; --json prints JSON Lines."""
    chosen = wanted.filter(what)
    shown = _Shown(what, chosen, wanted, as_json=as_json)
    if wanted.values and where.serve_url():
        raise SettingsError("serve gives no values of dead letters", "leave out --values, or leave out --server")
    said = where.door().follow(what, past=wanted.past(), flag=chosen.flag, since_ms=chosen.since_ms)
    past_count = (_MAX_LAST if wanted.last is None else wanted.last) if wanted.past() else None
    finish(_closed(said, _follow(said, shown, past_count, wanted.follows())))


class _Shown:
    """Prints the lines that are wanted, and counts them.

    Args:
        topic: what they are of.
        chosen: which.
        wanted: how many, and whether with values.
    """

    def __init__(self, topic: Topic, chosen: Filter, wanted: Wanted, *, as_json: bool) -> None:
        self._topic = topic
        self._filter = chosen
        self._values = wanted.values
        self._left = wanted.limit or -1
        self._as_json = as_json

    def wanted(self, said: Said) -> Line | None:
        """Return a record as a line, None when it is not wanted."""
        letter = self._topic is Topic.DEAD_LETTERS
        if self._filter.flag and not letter and said.key.partition("/")[0] != self._filter.flag:
            return None  # an alert's key begins with its flag
        try:
            line = read(self._topic, said if self._values else replace(said, original=None))
        except DecodeError as error:
            text = f"a record of {said.key!r} that this version cannot read: {error.message}"
            notes().print(text, soft_wrap=True, markup=False)
            return None
        return line if line is not None and self._filter.takes(line) else None

    def show(self, line: Line) -> bool:
        """Print one line, never wrapped: it may be read by grep. Return whether more are wanted."""
        if self._as_json:
            print_json(line.document)
        else:
            answers().print(line_markup(line), soft_wrap=True)
        self._left -= 1
        return self._left != 0


async def _closed(said: Sayings, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, and give back what the records hold."""
    async with aclosing(said):
        await work


async def _follow(said: AsyncIterator[Said | None], shown: _Shown, past_count: int | None, follow: bool) -> None:
    """Read until enough was printed; Ctrl-C ends it from outside.

    Args:
        said: the records.
        shown: prints them.
        past_count: how many of what is there already are wanted, the newest; None for none.
        follow: whether what is new is waited for.
    """
    # The partitions come as they come: what is there is put in the order of time. The number tells equal times apart.
    kept: list[tuple[int, int, Line]] | None = None if past_count is None else []
    count = 0
    async for one in said:
        if one is not None:
            line = shown.wanted(one)
            if line is None:
                continue
            if kept is not None:
                count += 1
                heappush(kept, (line.at_ms, count, line))
                if len(kept) > (past_count or 0):
                    heappop(kept)
            elif not shown.show(line):
                return
            continue
        for _, _, line in sorted(kept or (), key=lambda item: item[:2]):
            if not shown.show(line):
                return
        kept = None
        if not follow:
            return
