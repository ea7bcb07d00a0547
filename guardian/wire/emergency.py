"""The document that the emergency path writes by itself: control for everybody, under a raised epoch."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from guardian.core.outputs import FlagState
from guardian.core.words import Phase, Reason
from guardian.errors import DecodeError
from guardian.wire.cloudevents import EventType, cloudevent_headers
from guardian.wire.flagd import document_state, flag_document
from guardian.wire.outputs import Message

SOURCE: Final = "/guardian/emergency"
"""The header ce_source of what the emergency path writes."""
VIA: Final = "emergency"


class Kind(StrEnum):
    """What the emergency path can do; both lower exposure to nothing."""

    KILL = "kill"
    ROLLBACK = "rollback"


def state_of(flag: str, document: dict[str, Any], control: str) -> FlagState:
    """Return as much of a flag's state as a document gives that readers obey; guardian need not have written it.

    Args:
        flag: its name.
        document: the value on guardian.flags.
        control: the variant that everybody is to get; one of the document's.
    """
    try:
        return document_state(flag, document)
    except DecodeError:
        metadata: dict[str, Any] = document["metadata"]
        named = {name: str(metadata[name]) for name in ("candidate", "salt", "env_prefix") if metadata.get(name)}
        return replace(bare_state(flag, control, document["variants"]), **named)


def bare_state(flag: str, control: str, values: dict[str, Any]) -> FlagState:
    """Return the state of a flag of which nothing but its variants is known."""
    others = [name for name in values if name != control]
    return FlagState(
        flag=flag, epoch=0, version=0, change_id="", changed_ms=0, attempt=0, phase=Phase.DRAFT, step="", weight_bp=0,
        control=control, candidate=others[0] if others else control, values=values, salt=flag, killed=False,
        env_prefix="", reason=Reason.EMERGENCY,
    )  # fmt: skip


def emergency_state(known: FlagState, kind: Kind, epoch: int, version: int, now_ms: int) -> FlagState:
    """Return what a flag is from now on.

    Args:
        known: what is known of it.
        kind: what is done.
        epoch: the raised one.
        version: the first under it: log time as far as it is known, which decide's next one exceeds.
        now_ms: Unix milliseconds; shown.
    """
    rolled_back = {"phase": Phase.ROLLED_BACK, "step": ""} if kind is Kind.ROLLBACK else {}
    return replace(
        known,
        epoch=epoch,
        version=version,
        change_id=f"{known.flag}/emergency/{epoch}.{version}",
        changed_ms=now_ms,
        weight_bp=0,
        dual_run_bp=0,
        killed=known.killed or kind is Kind.KILL,
        reason=Reason.EMERGENCY,
        **rolled_back,
    )


def emergency_message(state: FlagState) -> Message:
    """Return the record for guardian.flags."""
    headers = cloudevent_headers(EventType.FLAG_CHANGED, state.change_id, SOURCE, state.flag, state.changed_ms)
    return Message("flags", state.flag.encode(), msgspec.json.encode(flag_document(state)), headers)
