"""What every client of guardian counts, for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

UNREADABLE: Final = Counter(
    "guardian_unreadable_offsets",
    "Offsets stepped over because their record batch cannot be read: codec, checksum, size",
    ["topic"],
)
