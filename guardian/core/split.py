"""Which share of the subjects a subject falls into; the same answer in every language and for ever."""

from __future__ import annotations

import hashlib
from typing import Final

NO_SALT: Final = "none"
"""`salt: none` hashes the key alone: at whole per cents this is `md5(user) % 100 < percentage`."""


def split_of(salt: str, key: str) -> int:
    """Return the split of a subject.

    Args:
        salt: the flag's salt, by default its name; `none` for no salt.
        key: the targeting key, such as a user's id.

    Returns:
        0..9999; the subject is in a share of `weight_bp` basis points when the split is below it.

    The formula is the contract of design.md, section 9: whole per cents first, hundredths after,
    so that a plan's `md5(user) % 100` keeps its meaning.
    """
    text = key if salt == NO_SALT else f"{salt}:{key}"
    h = int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16)
    return (h % 100) * 100 + (h // 100) % 100
