"""What an application may say of a request, and of a block that is measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from guardian.core.events import OutcomeWord


class RequestFields(TypedDict, total=False):
    """What may be said of a request.

    Args:
        flag, variant: instead of an evaluation.
        flags: several at once, name to variant, instead of an evaluation.
        flag_version, assignment: with `flag`, when they are known.
        outcome: ok (default), error, timeout, crash or hang.
        latency_ms: how long it took, in milliseconds.
        error_type: the name of what went wrong.
        subject: whom it was for, the targeting key.
        attributes: what it was about, such as a region.
        metrics: further figures.
        ts: Unix seconds; now when absent.
    """

    flag: str
    variant: str
    flags: Mapping[str, str]
    flag_version: int
    assignment: str
    outcome: OutcomeWord
    latency_ms: float
    error_type: str
    subject: str
    attributes: Mapping[str, Any]
    metrics: Mapping[str, float]
    ts: float


class MeasureFields(RequestFields, total=False):
    """What may be said of a block that is measured: the same, and how it is measured.

    Args:
        hang_after_s: a block that is still open after so many seconds is told as `hang`; None for never. By default
            as `TelemetryOptions` says.
        answers: further types of exceptions that are answers of this block, and no errors.
    """

    hang_after_s: float | None
    answers: tuple[type[BaseException], ...]
