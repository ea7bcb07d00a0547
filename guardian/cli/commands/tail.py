"""`guardian tail`: what guardian says, as it says it."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.markup import escape

from guardian.cli.options import Json, KafkaOptions, flag_name
from guardian.cli.reading import finish
from guardian.cli.screen import answers, notes, print_json
from guardian.cli.views import time_text
from guardian.core.events import BEAT_KEY
from guardian.core.text import weight_text
from guardian.errors import DecodeError
from guardian.kafka.clients import follow
from guardian.kafka.keeper import KEPT_HEADER
from guardian.kafka.settings import Settings
from guardian.wire.outputs import decode_alert, decode_decision, decode_rollback


class Topic(StrEnum):
    """What can be followed."""

    ALERTS = "alerts"
    DECISIONS = "decisions"
    FLAGS = "flags"
    ROLLBACKS = "rollbacks"


What = Annotated[Topic, typer.Argument(metavar="alerts|decisions|flags|rollbacks", help="What to follow.")]
OnlyFlag = Annotated[str | None, typer.Option("--flag", metavar="FLAG", help="Only this flag.", parser=flag_name)]
Beginning = Annotated[bool, typer.Option("--from-beginning", help="What is there already, too.")]
Limit = Annotated[int, typer.Option("--limit", "-n", metavar="N", min=0, help="End after N records; 0 for never.")]


def tail(
    what: What,
    kafka: KafkaOptions,
    flag: OnlyFlag = None,
    from_beginning: Beginning = False,
    limit: Limit = 0,
    as_json: Json = False,
) -> None:
    """Follow alerts, decisions, flags or rollbacks until Ctrl-C; --json prints JSON Lines."""
    show = _print_document if as_json else _LINES[what]
    finish(_follow(kafka.load(), what, flag, _Shown(show, limit), from_beginning))


class _Shown:
    """Prints records and counts them."""

    def __init__(self, show: Callable[[str, dict[str, Any], bytes], None], limit: int) -> None:
        self._show = show
        self._left = limit if limit else -1

    def take(self, key: str, value: bytes | None) -> bool:
        """Print one record; return whether more are wanted."""
        try:
            document = {"deleted": True} if value is None else json.loads(value)
            self._show(key, document, value or b"")
        except (DecodeError, ValueError) as error:
            notes().print(f"a record of {key!r} that this version cannot read: {error}", soft_wrap=True, markup=False)
        self._left -= 1
        return self._left != 0


async def _follow(settings: Settings, what: Topic, flag: str | None, shown: _Shown, from_beginning: bool) -> None:
    """Read until enough was printed; Ctrl-C ends it from outside."""
    records = follow(settings, [what], from_beginning=from_beginning)
    async for record in records:
        key = (record.key or b"").decode(errors="replace")
        if key == BEAT_KEY or (flag is not None and flag not in (key, key.split("/", 1)[0])):
            continue
        if not from_beginning and any(name == KEPT_HEADER for name, _ in record.headers):
            continue  # not news: the embedded broker's keeper has written it again
        if not shown.take(key, record.value):
            return


def _print_document(key: str, document: dict[str, Any], value: bytes) -> None:
    """One JSON line: the record's value; a flag document does not name its flag, so it is put in front."""
    print_json(document if "flag" in document else {"flag": key, **document})


def _print_alert(key: str, document: dict[str, Any], value: bytes) -> None:
    """When, what, how loud."""
    if not value:
        return
    alert = decode_alert(value)
    word = f"[bold red]{alert.severity}[/]" if alert.active else "[green]over[/]"
    tell = f" (tell {escape(alert.tell)})" if alert.tell else ""
    _line(alert.at_ms, alert.flag, f"{word} {escape(alert.trigger)}: {escape(alert.text)}, {alert.do}{tell}")


def _print_decision(key: str, document: dict[str, Any], value: bytes) -> None:
    """When, outcome, reason, text, and where the rollout went."""
    decision = decode_decision(value)
    moved = weight_text(decision.weight_bp)
    if decision.from_weight_bp != decision.weight_bp:
        moved = f"{weight_text(decision.from_weight_bp)} -> {moved}"
    refused = "" if decision.accepted or not decision.command else " [red]refused[/]"
    text = f"{decision.outcome} {decision.reason}{refused}: {escape(decision.text)} \\[{decision.phase}, {moved}]"
    _line(decision.at_ms, decision.flag, text)


def _print_flag(key: str, document: dict[str, Any], value: bytes) -> None:
    """When, version, weight, why."""
    metadata = document.get("metadata", {})
    if not metadata:
        _line(0, key, "deleted: applications fall back to their code's defaults")
        return
    weight = "killed" if metadata.get("killed") else weight_text(int(metadata.get("weight_bp", 0)))
    where = f"{metadata.get('phase')} {metadata.get('step') or '-'}"
    text = f"{metadata.get('candidate')} {weight}, {where}, {metadata.get('reason')}, version {metadata.get('version')}"
    _line(int(metadata.get("changed_ms", 0)), key, escape(text))


def _print_rollback(key: str, document: dict[str, Any], value: bytes) -> None:
    """When, from where to where, why."""
    rollback = decode_rollback(value)
    moved = f"{weight_text(rollback.from_weight_bp)} -> {weight_text(rollback.to_weight_bp)}"
    _line(rollback.at_ms, rollback.flag, f"{rollback.reason} {moved}: {escape(rollback.text)}")


def _line(at_ms: int, flag: str, markup: str) -> None:
    """One line, never wrapped: it may be read by grep."""
    answers().print(f"[dim]{time_text(at_ms)}[/] [bold]{escape(flag)}[/] {markup}", soft_wrap=True)


_LINES: dict[Topic, Callable[[str, dict[str, Any], bytes], None]] = {
    Topic.ALERTS: _print_alert,
    Topic.DECISIONS: _print_decision,
    Topic.FLAGS: _print_flag,
    Topic.ROLLBACKS: _print_rollback,
}
