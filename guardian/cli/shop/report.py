"""What the shop says about itself, one JSON line at a time, to whoever started it."""

from __future__ import annotations

import msgspec


class Report(msgspec.Struct, frozen=True):
    """The shop's own figures, measured, since it opened unless it says otherwise.

    Args:
        at_s: Unix seconds.
        events: requests served, failed ones too.
        failed: requests that failed in this attempt.
        per_second: requests a second since the report before.
        new_share: the share of all customers for whom the SDK answers with the new pricing now, 0..1.
        classic_ms, rewritten_ms: mean latency since the report before; None when nothing ran.
        first_failure_s: Unix seconds of the first failed request of this attempt; 0 before.
        first_error: what it raised.
        flipped_s: Unix seconds at which the SDK answered control for everybody after a failure; 0 before.
        attempt: which pricing this is about, from 1; every repair begins another.
        dropped: events that the telemetry client had to drop.
    """

    at_s: float
    events: int
    failed: int
    per_second: float
    new_share: float
    classic_ms: float | None = None
    rewritten_ms: float | None = None
    first_failure_s: float = 0.0
    first_error: str = ""
    flipped_s: float = 0.0
    attempt: int = 1
    dropped: int = 0
