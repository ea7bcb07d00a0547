"""Why a JSON value was refused, in the words of the dead letters."""

from __future__ import annotations

import msgspec

from guardian.errors import DecodeReason


def reason_of(error: Exception) -> DecodeReason:
    """Return the reason that a failure of msgspec, or of Python's bound on nesting, stands for."""
    if not isinstance(error, msgspec.ValidationError):
        return DecodeReason.MALFORMED_JSON
    message = str(error)
    if message.startswith("Object missing required field"):
        return DecodeReason.MISSING_FIELD
    if message.startswith(("Invalid enum value", "Number out of range")):
        return DecodeReason.BAD_VALUE
    return DecodeReason.WRONG_TYPE
