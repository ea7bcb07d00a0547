"""Flag documents for tests, written by the code that guardian writes them with."""

from __future__ import annotations

from typing import Any

import orjson

from guardian.core.outputs import FlagState
from guardian.core.words import Phase, Reason
from guardian.sdk.document import FlagDocument, parse_document
from guardian.wire.flagd import flag_document

FLAG = "new-pricing"


def state(**changes: Any) -> FlagState:
    """A flag in rollout at 5 %, with changes."""
    fields: dict[str, Any] = {
        "flag": FLAG,
        "epoch": 0,
        "version": 1_763_699_000_456,
        "change_id": "new-pricing/1/12/0",
        "changed_ms": 1_763_699_000_456,
        "attempt": 1,
        "phase": Phase.PROGRESSING,
        "step": "canary",
        "weight_bp": 500,
        "control": "off",
        "candidate": "on",
        "values": {"on": True, "off": False},
        "salt": changes.get("flag", FLAG),
        "killed": False,
        "env_prefix": "",
        "reason": Reason.STARTED,
    }
    return FlagState(**{**fields, **changes})


def written(**changes: Any) -> bytes:
    """The value on guardian.flags."""
    return orjson.dumps(flag_document(state(**changes)))


def document(**changes: Any) -> FlagDocument:
    """The document as the SDK reads it."""
    return parse_document(changes.get("flag", FLAG), written(**changes))


def with_targeting(targeting: Any, **changes: Any) -> FlagDocument:
    """A document whose targeting is another one than guardian writes today."""
    found = {**flag_document(state(**changes)), "targeting": targeting}
    return parse_document(FLAG, orjson.dumps(found))


def beat(partition: int, ts: float = 1_763_700_000.0) -> bytes:
    """Guardian's sign of life."""
    return orjson.dumps({"beat": True, "partition": partition, "ts": ts})
