"""The value on guardian.flags: a flagd v0 flag definition, with guardian's own data flat in `metadata`."""

from __future__ import annotations

from typing import Any

import msgspec

from guardian.core.outputs import FlagState
from guardian.core.served import served_content
from guardian.core.words import Phase, Reason
from guardian.errors import DecodeError, DecodeReason
from guardian.wire.reasons import reason_of


class Metadata(msgspec.Struct, frozen=True):
    """Guardian's own part of the document. Flat scalars: readers refuse anything nested.

    Args:
        dual_run_bp: the share of the subjects for whom `@dual_run` runs both implementations, in basis points; absent
            when the spec says nothing of it, and the application's own share holds.
    """

    epoch: int
    version: int
    change_id: str
    changed_ms: int
    attempt: int
    phase: Phase
    step: str
    weight_bp: int
    control: str
    candidate: str
    salt: str
    killed: bool
    env_prefix: str
    reason: Reason
    dual_run_bp: int | None = None


class _Document(msgspec.Struct, frozen=True):
    """As much of the document as guardian reads back; the targeting follows from the metadata."""

    variants: dict[str, bool | int | float | str]
    metadata: Metadata


def flag_document(state: FlagState) -> dict[str, Any]:
    """Return the flagd document of a flag.

    Args:
        state: what decides what a subject gets.

    Returns:
        plain JSON values in a fixed order.
    """
    document = served_content(state)
    metadata = {name: _scalar(getattr(state, name)) for name in Metadata.__struct_fields__}
    # A reader of flagd takes scalars only, and null is none: what is not said is left out.
    document["metadata"] = {name: value for name, value in metadata.items() if value is not None}
    return document


def document_state(flag: str, document: dict[str, Any]) -> FlagState:
    """Return the state that a document was rendered from.

    Args:
        flag: the record's key.
        document: the record's value.

    Raises:
        DecodeError: a document that guardian did not write, or one whose targeting does not follow from its metadata.
    """
    try:
        known = msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        raise DecodeError(reason_of(error), f"flag document of {flag}: {error}") from error
    metadata = {name: getattr(known.metadata, name) for name in Metadata.__struct_fields__}
    state = FlagState(flag=flag, values=known.variants, **metadata)
    if state.control not in state.values or state.candidate not in state.values:
        raise DecodeError(DecodeReason.BAD_VALUE, f"flag document of {flag}: control or candidate is not a variant")
    # Schemas only grow: what a later version says beside it in the metadata is left alone.
    told = {name: value for name, value in document["metadata"].items() if name in Metadata.__struct_fields__}
    if flag_document(state) != {**document, "metadata": told}:
        raise DecodeError(DecodeReason.BAD_VALUE, f"flag document of {flag}: its metadata says something else")
    return state


def _scalar(value: Any) -> bool | int | str:
    """An enum as the plain string that stands in JSON."""
    return str(value) if isinstance(value, str) else value
