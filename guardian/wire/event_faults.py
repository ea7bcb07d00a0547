"""Why an application's message is no event, in words that its author can act on without reading guardian."""

from __future__ import annotations

import re
from typing import Final

from guardian.core.events import MAX_NAME_BYTES, EventOutcome, Kind, MigrationType, fit_text
from guardian.core.words import FLAG_NAME_PATTERN
from guardian.errors import DecodeError, DecodeReason

is_flag_name: Final = re.compile(FLAG_NAME_PATTERN).fullmatch

_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "kind": tuple(Kind),
    "outcome": tuple(EventOutcome),
    "event_type": tuple(MigrationType),
}

MISSING: Final[dict[str, str]] = {
    "ts": "say when it happened, in Unix seconds",
    "event_type": f"say one of {', '.join(_WORDS['event_type'])}",
    "outcome": f"say how the request ended: {', '.join(_WORDS['outcome'])}",
    "service": "say which application it is from",
    "instance": "say which process of the application it is from, such as host name and process id",
    "metrics": 'give the figures by name, such as {"queue_depth": 3}',
}
"""By field: what to say when it is missing."""
_SHOWN_CHARS: Final = 64


def fault_of_time(given: object) -> DecodeError:
    """Return the refusal of a `ts` that is missing or no number."""
    if given is None:
        return DecodeError(DecodeReason.MISSING_FIELD, "ts is missing", MISSING["ts"])
    return DecodeError(DecodeReason.WRONG_TYPE, "ts is no number", "send Unix seconds as a number")


def fault_of_word(field: str, given: object) -> DecodeError:
    """Return the refusal of a word that guardian does not know.

    Args:
        field: kind, outcome or event_type.
        given: what stands there.
    """
    fix = f"{field} is one of {', '.join(_WORDS[field])}"
    if not isinstance(given, str):
        return DecodeError(DecodeReason.WRONG_TYPE, f"{field} is no text", fix)
    shown = given[:_SHOWN_CHARS].encode(errors="replace").decode()
    return DecodeError(DecodeReason.BAD_VALUE, f"{field} is {shown!r}", fix)


def fault_of_flag(flag: object) -> DecodeError | None:
    """Return why this is no flag's name; None when it is."""
    if not isinstance(flag, str):
        return DecodeError(DecodeReason.WRONG_TYPE, "flag is no text", "send a text, in quotes")
    if is_flag_name(flag):
        return None
    shown = flag[:MAX_NAME_BYTES].encode(errors="replace").decode()
    return DecodeError(DecodeReason.BAD_FLAG_NAME, f"{shown!r}", f"a name is {FLAG_NAME_PATTERN}")


def fault_of_variant(flag: str, variant: object) -> DecodeError | None:
    """Return why this is no variant; None when it is. A variant that is too long is not cut: it would be another."""
    if variant is None:
        return DecodeError(DecodeReason.MISSING_FIELD, f"flag {flag} without a variant", "say which one was served")
    if not isinstance(variant, str):
        return DecodeError(
            DecodeReason.WRONG_TYPE, f"the variant of {flag} is no text", "send the variant's name, in quotes"
        )
    fitted = fit_text(variant, MAX_NAME_BYTES)
    if fitted is None:
        return DecodeError(DecodeReason.BAD_VALUE, f"the variant of {flag} is no text that UTF-8 can say")
    if fitted != variant:
        return DecodeError(
            DecodeReason.BAD_VALUE, f"the variant of {flag} has {len(variant.encode())} bytes, at most {MAX_NAME_BYTES}"
        )
    return None
