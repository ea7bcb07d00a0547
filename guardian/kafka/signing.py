"""Signatures of commands: serve signs those whose sender a token has proved, ingest verifies, anything else is claimed.

HMAC-SHA256 over the exact bytes of the record's value, in a header of the record. Several keys verify and one signs, so
that a key is replaced without a moment in which nothing is proved.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from guardian.kafka.settings import Settings

SIGNATURE_HEADER: Final = "guardian-signature"
"""`<key id>:<hex>`."""
REPLAY_MS: Final = 300_000
"""A command's own time and the record's broker timestamp differ by no more: a signed record that is sent again later
proves nothing."""


@dataclass(frozen=True)
class SigningKeys:
    """The keys of an installation.

    Args:
        keys: secret by key id; each of them verifies.
        current: the id of the one that signs; empty for none.
    """

    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    current: str = ""

    @classmethod
    def of(cls, settings: Settings) -> SigningKeys:
        """Return the keys that the settings name."""
        keys = {name: bytes.fromhex(secret.get_secret_value()) for name, secret in settings.signing_keys.items()}
        return cls(keys, settings.signing_current)

    def sign(self, value: bytes) -> list[tuple[str, bytes]]:
        """Return the headers that prove a value; none without a key."""
        if not self.current:
            return []
        return [(SIGNATURE_HEADER, f"{self.current}:{_digest(self.keys[self.current], value)}".encode())]

    def verify(self, value: bytes, headers: Iterable[tuple[str, bytes]]) -> bool:
        """Return whether one of the keys has signed these bytes.

        Args:
            value: of the record.
            headers: of the record; the last signature counts.
        """
        found = [signature for name, signature in headers if name == SIGNATURE_HEADER]
        key_id, _, digest = (found[-1] if found else b"").decode(errors="replace").partition(":")
        key = self.keys.get(key_id)
        return key is not None and hmac.compare_digest(_digest(key, value).encode(), digest.encode())


def _digest(key: bytes, value: bytes) -> str:
    return hmac.new(key, value, hashlib.sha256).hexdigest()
