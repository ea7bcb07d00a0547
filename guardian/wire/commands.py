"""Operators' commands on guardian.commands: written by cli and serve, read by ingest's second loop."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

from guardian.core.events import MAX_FIGURE, fit_figure, fit_text
from guardian.core.inputs import Command
from guardian.core.seen import CLIMBING
from guardian.core.words import ALL_FLAGS, FLAG_NAME_PATTERN
from guardian.errors import DecodeError, DecodeReason
from guardian.wire.cloudevents import EventType, cloudevent_headers
from guardian.wire.outputs import Message
from guardian.wire.reasons import reason_of

COMMANDS: Final = (
    "apply",
    "start",
    "promote",
    "pause",
    "resume",
    "rollback",
    "kill",
    "unkill",
    "resolve",
    "archive",
    "bug",
    "metric",
    "unfreeze",
    "dismiss",
    "release",
)
MAX_COMMAND_BYTES: Final = 262_144
"""A rollout's snapshot, which holds its spec, has the same bound."""
MAX_ENCODED_BYTES: Final = 393_216
"""The same command in msgpack, as it stands in the log: a number of 3 characters takes 9 bytes there. A record of
commands is closed from half of the largest record on, so one more of these still fits."""
MAX_ID_BYTES: Final = 128
MAX_NAME_BYTES: Final = 256
MAX_REASON_BYTES: Final = 4_096
MAX_SPEC_ITEMS: Final = 10_000
"""Values in all lists and maps of a spec; the largest that a rollout accepts has a tenth of it."""
MAX_SPEC_DEPTH: Final = 32
"""Lists and maps within one another; a rollout needs six. Python's own bound depends on who calls."""
MAX_EPOCH: Final = 2**53 - 1
"""The greatest whole number that every JSON reader takes exactly."""

MAX_FIGURE_CHARS: Final = 64
FIGURE_NAME_PATTERN: Final = r"[A-Za-z_][A-Za-z0-9_.-]{0,63}"
"""The name of a figure from outside, as a rule writes it after `metric`."""
FREEZE_PATTERN: Final = r"[^ ]{1,400} [0-9]{1,19}\.\.[0-9]{1,19}"
"""A straddle as its alert names it: `topic/topic id/partition start..end`."""
ONE_FLAG: Final = ("bug", "metric", "dismiss")
"""Commands that speak of one flag; those of one flag's life are refused by decide, with the reason."""

_FLAG_NAME: Final = re.compile(FLAG_NAME_PATTERN)
_FREEZE: Final = re.compile(FREEZE_PATTERN)
_FIGURE_NAME: Final = re.compile(FIGURE_NAME_PATTERN)
_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final = msgspec.json.Decoder(Command)


def fit_reason(reason: str) -> str:
    """Return a reason cut to its bound; what UTF-8 cannot say becomes question marks."""
    return fit_text(reason.encode(errors="replace").decode(), MAX_REASON_BYTES) or ""


def encode_command(command: Command) -> Message:
    """Return the record for a command; the sender's `ts` becomes ce_time.

    Raises:
        DecodeError: the command is one that `decode_command` would refuse: better told to its sender than
            found among the dead letters.
    """
    try:
        value = _encoder.encode(command)
    except (ValueError, RecursionError) as error:  # half a surrogate pair, nested without end
        raise DecodeError(DecodeReason.MALFORMED_JSON, f"command: {type(error).__name__}") from error
    decode_command(value)
    headers = cloudevent_headers(
        EventType.COMMAND_GIVEN,
        command.id,
        f"/guardian/{command.actor.via}",
        command.flag,
        int(command.ts * 1_000),
    )
    return Message("commands", command.flag.encode(), value, headers)


def decode_command(value: bytes) -> Command:
    """Return the command that a record carries, as `read_command` does, without its size."""
    return read_command(value)[0]


def read_command(value: bytes) -> tuple[Command, int]:
    """Return the command that a record carries, and its size in msgpack; fields that are not known are left alone.

    Raises:
        DecodeError: not a command that can be put into the log, with the reason for the dead letter.
    """
    if len(value) > MAX_COMMAND_BYTES:
        raise DecodeError(DecodeReason.TOO_LARGE, f"command of {len(value)} bytes, at most {MAX_COMMAND_BYTES}")
    try:
        command = _decoder.decode(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(reason_of(error), f"command: {error}") from error
    _check_words(command)
    _check_bounds(command)
    encoded = _encoded_bytes(command, len(value))
    if command.spec is not None:
        _check_spec(command.spec)
    return command, encoded


def _check_words(command: Command) -> None:
    if command.command not in COMMANDS:
        raise DecodeError(
            DecodeReason.UNKNOWN_COMMAND, f"no command {command.command!r}", f"one of {', '.join(COMMANDS)}"
        )
    if command.flag != ALL_FLAGS and not _FLAG_NAME.fullmatch(command.flag):
        raise DecodeError(DecodeReason.BAD_FLAG_NAME, f"no flag's name: {command.flag[:MAX_NAME_BYTES]!r}")
    if command.command == "apply":
        if command.flag == ALL_FLAGS:
            raise DecodeError(DecodeReason.BAD_VALUE, "apply is for one flag, not for all")
        if command.spec is None:
            raise DecodeError(DecodeReason.MISSING_FIELD, "apply without a spec")
    elif command.spec is not None:
        raise DecodeError(DecodeReason.BAD_VALUE, f"{command.command} takes no spec")
    if command.command in ONE_FLAG and command.flag == ALL_FLAGS:
        raise DecodeError(DecodeReason.BAD_VALUE, f"{command.command} is for one flag, not for all")
    _check_fields(command)
    _check_release(command)
    _check_figure(command)


def _check_fields(command: Command) -> None:
    """Of the fields that belong to some commands, each stands where it belongs."""
    if command.to and command.command not in ("rollback", "dismiss"):
        raise DecodeError(DecodeReason.BAD_VALUE, f"{command.command} takes no target: `to` belongs to rollback")
    if command.command == "dismiss" and not command.to:
        raise DecodeError(DecodeReason.MISSING_FIELD, "dismiss names an instance in `to`: SERVICE/INSTANCE, or `*`")
    if command.force and command.command != "promote":
        raise DecodeError(DecodeReason.BAD_VALUE, f"{command.command} takes no force: it belongs to promote")
    if command.seen_turn is not None and command.flag == ALL_FLAGS and command.command in CLIMBING:
        raise DecodeError(DecodeReason.BAD_VALUE, "seen_turn is of one flag, not of all")


def _check_release(command: Command) -> None:
    """`release` is for all partitions and names a freeze, every other command names none."""
    if command.command == "release":
        if command.flag != ALL_FLAGS:
            raise DecodeError(DecodeReason.BAD_VALUE, "release is for all flags, not for one")
        if not _FREEZE.fullmatch(command.freeze):
            raise DecodeError(DecodeReason.BAD_VALUE, "release names a freeze as its alert does: SOURCE START..END")
    elif command.freeze:
        raise DecodeError(DecodeReason.BAD_VALUE, f"{command.command} takes no freeze: it belongs to release")


def _check_figure(command: Command) -> None:
    """`metric` has a name and a value, every other command has neither."""
    if command.command == "metric":
        if not _FIGURE_NAME.fullmatch(command.name):
            raise DecodeError(DecodeReason.BAD_VALUE, f"no figure's name: {command.name[:MAX_FIGURE_CHARS]!r}")
        if command.value is None:
            raise DecodeError(DecodeReason.MISSING_FIELD, "metric without a value")
        if fit_figure(command.value) is None:
            message = f"value is {command.value:g}: a number between -{MAX_FIGURE:g} and {MAX_FIGURE:g} is wanted"
            raise DecodeError(DecodeReason.BAD_VALUE, message)
    elif command.name or command.value is not None:
        raise DecodeError(DecodeReason.BAD_VALUE, f"{command.command} takes no figure: name and value belong to metric")


def _check_bounds(command: Command) -> None:
    for name, text, least, most in (
        ("id", command.id, 1, MAX_ID_BYTES),
        ("actor.name", command.actor.name, 1, MAX_NAME_BYTES),
        ("actor.via", command.actor.via, 1, MAX_NAME_BYTES),
        ("reason", command.reason, 0, MAX_REASON_BYTES),
        ("to", command.to, 0, MAX_NAME_BYTES),
        ("seen_revision", command.seen_revision or "", 0, MAX_NAME_BYTES),
    ):
        if fit_text(text, most) != text or len(text) < least:
            size = len(text.encode(errors="replace"))
            raise DecodeError(DecodeReason.BAD_VALUE, f"{name} has {size} bytes of UTF-8, not {least} to {most}")
    if not math.isfinite(command.ts) or command.ts < 0:
        raise DecodeError(DecodeReason.BAD_VALUE, f"ts is {command.ts}: Unix seconds are wanted")
    if not 0 <= command.epoch <= MAX_EPOCH:
        raise DecodeError(DecodeReason.BAD_VALUE, f"epoch is {command.epoch}")
    if command.seen_turn is not None and not 0 <= command.seen_turn <= MAX_EPOCH:
        raise DecodeError(DecodeReason.BAD_VALUE, f"seen_turn is {command.seen_turn}")


def _check_spec(spec: dict[str, Any]) -> None:
    """Refuse what no rollout needs, level by level without recursion, and without looking beyond the bounds."""
    level: list[Any] = [spec]
    left = MAX_SPEC_ITEMS
    for _ in range(MAX_SPEC_DEPTH + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return
        left -= sum(map(len, containers))
        if left < 0:
            fix = "guardian check says whether a file is a spec"
            raise DecodeError(DecodeReason.TOO_LARGE, f"spec has more than {MAX_SPEC_ITEMS:,} values", fix)
        level = [part for item in containers for part in (item.values() if isinstance(item, dict) else item)]
    raise DecodeError(DecodeReason.BAD_VALUE, f"spec is nested deeper than {MAX_SPEC_DEPTH}")


def _encoded_bytes(command: Command, size: int) -> int:
    """The bytes of the command in the log, which is msgpack.

    Args:
        size: of its JSON.
    """
    try:
        encoded = len(msgspec.msgpack.encode(command))
    except (OverflowError, RecursionError, msgspec.MsgspecError, ValueError) as error:
        # msgpack has no whole numbers beyond 64 bits; found out here, it costs one dead letter, found out later it
        # would stop ingest.
        raise DecodeError(DecodeReason.BAD_VALUE, f"command: {error}") from error
    if encoded > MAX_ENCODED_BYTES:
        message = f"command of {size:,} bytes takes {encoded:,} in the log, at most {MAX_ENCODED_BYTES:,}"
        raise DecodeError(DecodeReason.TOO_LARGE, message)
    return encoded
