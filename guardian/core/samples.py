"""Which errors they were: error signatures with their counts, bounded, beside the figures that they explain."""

from __future__ import annotations

from typing import Final

from guardian.core.inputs import MAX_SIGNATURES, OTHER
from guardian.core.text import count_text

MAX_SIGNATURE_BYTES: Final = 128
"""Of one signature; what is longer is cut, so that a checkpoint has room for all of them."""
_NAMED: Final = 3


def add_samples(kept: dict[str, int], found: dict[str, int]) -> None:
    """Add the signatures of a bucket; beyond MAX_SIGNATURES different ones the rest counts as `other`."""
    for text, count in found.items():
        name = text.encode(errors="replace")[:MAX_SIGNATURE_BYTES].decode(errors="ignore")
        if name not in kept and len(kept) >= MAX_SIGNATURES:
            name = OTHER
        kept[name] = kept.get(name, 0) + count


def samples_text(kept: dict[str, int]) -> str:
    """Return the most frequent signatures: `Timeout 31, ValueError 3`; empty for none."""
    ordered = sorted(kept.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(ordered) - _NAMED} more kinds" if ordered[_NAMED:] else ""
    return ", ".join(f"{name} {count_text(count)}" for name, count in ordered[:_NAMED]) + more
