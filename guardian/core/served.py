"""What readers serve of a flag: the part of a document that decides which value a subject gets, and its hash.

Two documents are compared by this part. Metadata and the order of the bytes decide nothing: another build may write
both in another way.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from guardian.core.events import SPLIT_VARIABLE
from guardian.core.outputs import FlagState
from guardian.core.words import WEIGHT_FULL_BP

ENABLED: Final = "ENABLED"
"""Always: a DISABLED flag would give readers the code's default, not control."""
_HASH_CHARS: Final = 32


def serves_nobody(state: FlagState) -> bool:
    """Return whether the candidate is given to nobody: killed, or at 0 %."""
    return state.killed or state.weight_bp <= 0


def served_content(state: FlagState) -> dict[str, Any]:
    """Return state, variants, default variant and targeting of a flag's document, in the order that reads best.

    There is no `targeting` when the candidate is given to nobody: then everyone gets control, also from a reader that
    knows nothing of the split.
    """
    content: dict[str, Any] = {
        "state": ENABLED,
        "variants": {name: state.values[name] for name in sorted(state.values)},
        "defaultVariant": state.control,
    }
    if not serves_nobody(state):
        # The default of WEIGHT_FULL_BP is essential: without it a missing split would turn everyone on.
        inside = {"<": [{"var": [SPLIT_VARIABLE, WEIGHT_FULL_BP]}, state.weight_bp]}
        content["targeting"] = {"if": [inside, state.candidate, state.control]}
    return content


def content_hash(content: Any) -> str:
    """Return a hash of plain JSON values, which does not depend on the order of their keys."""
    encoded = msgspec.json.encode(content, order="sorted")
    return hashlib.sha256(encoded).hexdigest()[:_HASH_CHARS]


def everyone_gets(content: dict[str, Any]) -> str:
    """Return the hash of the one value that a document gives to every subject.

    Args:
        content: state, variants, default variant and targeting of any document.

    Returns:
        empty when it depends on a targeting, on the application's own default, or on nothing that can be read.
    """
    variants, default = content.get("variants"), content.get("defaultVariant")
    if content.get("state") != ENABLED or content.get("targeting") or not isinstance(variants, dict):
        return ""
    if not isinstance(default, str) or default not in variants:
        return ""
    return content_hash(variants[default])
