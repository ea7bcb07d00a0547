"""What guardian says, one line each: alerts, decisions, flags, rollbacks and dead letters, and what filters them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from rich.markup import escape

from guardian.cli.door import Said, Topic
from guardian.cli.screen import one_line
from guardian.cli.views import decision_moved, time_text
from guardian.core.events import BEAT_KEY
from guardian.core.outputs import Alert, Decision, Rollback
from guardian.core.text import count_text, serving_text, weight_text
from guardian.core.words import Reason, Severity
from guardian.errors import DecodeError, DecodeReason
from guardian.wire.dead_letters import Letter, decode_letter
from guardian.wire.outputs import decode_alert, decode_decision, decode_rollback

_DETAIL_CHARS: Final = 200
_VALUE_CHARS: Final = 2_000
_MAX_FLAGS: Final = 3
_LOUDNESS: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


@dataclass(frozen=True)
class Line:
    """One record, read.

    Args:
        flags: whose; several or none for a dead letter.
        at_ms: when guardian said it, log time; 0 when the record does not say.
        reason: the word for why; empty when it has none.
        severity: of an alert.
        markup: rich markup; empty for a record that only a program wants.
        document: the record as JSON.
        service: of a dead letter; empty when it cannot be read.
    """

    flags: Sequence[str]
    at_ms: int
    reason: str
    severity: Severity | None
    markup: str
    document: dict[str, Any]
    service: str = ""


@dataclass(frozen=True)
class Filter:
    """What is shown: everything that each of these lets through.

    Args:
        flag: only this flag's; empty for all.
        severity: only alerts as loud as this, or louder.
        reason: only this reason, in capitals; empty for all.
        since_ms: only what was said from this moment on.
        service: only dead letters of this service; empty for all.
    """

    flag: str = ""
    severity: Severity | None = None
    reason: str = ""
    since_ms: int = 0
    service: str = ""

    def takes(self, line: Line) -> bool:
        """Return whether a line is shown."""
        if self.flag and self.flag not in line.flags:
            return False
        if self.service and line.service != self.service:
            return False
        if self.reason and line.reason != self.reason:
            return False
        if self.severity is not None and (line.severity is None or _LOUDNESS[line.severity] < _LOUDNESS[self.severity]):
            return False
        return line.at_ms >= self.since_ms


class _Metadata(msgspec.Struct):
    """What a line shows of a flag document's metadata; a document that is not guardian's has none of it."""

    candidate: str = "-"
    weight_bp: int = 0
    dual_run_bp: int = 0
    killed: bool = False
    phase: str = "-"
    step: str = ""
    reason: str = ""
    version: int = 0
    changed_ms: int = 0


def read(topic: Topic, said: Said) -> Line | None:
    """Return one record as a line, None for one that is nobody's news.

    Raises:
        DecodeError: this version cannot read it.
    """
    if topic is Topic.FLAGS and said.key != BEAT_KEY:
        return _flag_line(said)
    if said.value is None or topic is Topic.FLAGS:
        return None
    match topic:
        case Topic.ALERTS:
            return _alert_line(decode_alert(said.value), _document(said))
        case Topic.DECISIONS:
            return _decision_line(decode_decision(said.value), _document(said))
        case Topic.DEAD_LETTERS:
            return _letter_line(decode_letter(said.value), said.original)
        case _:
            return _rollback_line(decode_rollback(said.value), _document(said))


def _document(said: Said) -> dict[str, Any]:
    try:
        found = json.loads(said.value or b"")
    except (ValueError, RecursionError) as error:
        raise DecodeError(DecodeReason.MALFORMED_JSON, str(error)) from error
    if not isinstance(found, dict):
        raise DecodeError(DecodeReason.WRONG_TYPE, "not a JSON object")
    return found


def _alert_line(alert: Alert, document: dict[str, Any]) -> Line:
    """How loud, what, what was done."""
    word = f"[bold red]{alert.severity}[/]" if alert.active else "[green]over[/]"
    tell = f" (tell {escape(alert.tell)})" if alert.tell else ""
    done = f", {alert.do}{tell}" if alert.active else ""
    text = f"{word} {escape(alert.trigger)}: {escape(alert.text)}{done}"
    return Line([alert.flag], alert.at_ms, "", alert.severity, text, document)


def _decision_line(decision: Decision, document: dict[str, Any]) -> Line:
    """Outcome, reason, text, and where the rollout went."""
    moved = decision_moved(decision)
    refused = "" if decision.accepted or not decision.command else " [red]refused[/]"
    text = f"{decision.outcome} {decision.reason}{refused}: {escape(decision.text)} \\[{decision.phase}, {moved}]"
    return Line([decision.flag], decision.at_ms, str(decision.reason), None, text, document)


def _flag_line(said: Said) -> Line:
    """Version, weight, why. A flag document does not name its flag, so it is put in front."""
    if said.value is None:
        text = "deleted: applications fall back to their code's defaults"
        return Line([said.key], 0, "", None, text, {"flag": said.key, "deleted": True})
    found = _document(said)
    try:
        data = msgspec.convert(found.get("metadata", {}), _Metadata)
    except msgspec.ValidationError as error:
        raise DecodeError(DecodeReason.WRONG_TYPE, f"flag document: {error}") from error
    weight = "killed" if data.killed else serving_text(data.weight_bp, data.dual_run_bp)
    text = f"{data.candidate} {weight}, {data.phase} {data.step or '-'}, {data.reason}, version {data.version}"
    return Line([said.key], data.changed_ms, data.reason, None, escape(text), {"flag": said.key, **found})


def _rollback_line(rollback: Rollback, document: dict[str, Any]) -> Line:
    """From where to where, why; the kill switch leaves the rollout's own weight and serves none of it."""
    before = serving_text(rollback.from_weight_bp, rollback.from_dual_run_bp)
    after = serving_text(rollback.to_weight_bp, rollback.to_dual_run_bp)
    moved = f"{before} -> {weight_text(0) if rollback.reason is Reason.KILLED else after}"
    text = f"{rollback.reason} {moved}: {escape(rollback.text)}"
    return Line([rollback.flag], rollback.at_ms, str(rollback.reason), None, text, document)


def letter_text(letter: Letter) -> str:
    """Return why a message is a dead letter, who sent it as far as it says so, and where it stands."""
    parts = [letter.reason or "without a reason"]
    parts += [letter.detail[:_DETAIL_CHARS]] if letter.detail else []
    parts += [f"from {letter.service}"] if letter.service else []
    return one_line(", ".join([*parts, *([letter.source] if letter.source else [])]))


def _letter_line(letter: Letter, original: bytes | None) -> Line:
    """Why, who, where, and the value where it may be shown: other bytes than UTF-8 are written as escapes."""
    document: dict[str, Any] = msgspec.to_builtins(letter)
    text = letter_text(letter)
    if original is not None:
        value = original.decode(errors="backslashreplace")
        document["value"] = value
        cut = f"... ({count_text(letter.size)} bytes)" if len(value) > _VALUE_CHARS else ""
        text += f": {one_line(value[:_VALUE_CHARS])}{cut}"
    return Line(letter.flags, letter.at_ms, letter.reason.upper(), None, escape(text), document, letter.service)


def line_markup(line: Line) -> str:
    """Return a line with its time and its flags in front."""
    flags = ", ".join(line.flags[:_MAX_FLAGS]) + (", ..." if len(line.flags) > _MAX_FLAGS else "")
    return one_line(f"[dim]{time_text(line.at_ms)}[/] [bold]{escape(flags or '-')}[/] {line.markup}")
