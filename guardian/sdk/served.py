"""What an evaluation served, in the form that telemetry is stamped with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from openfeature.flag_evaluation import FlagEvaluationDetails, Reason

from guardian.core.events import Assignment


@dataclass(frozen=True, slots=True)
class Served:
    """One flag as it was served.

    Args:
        flag: its name.
        variant: the variant served; empty when the application's own default was, of which guardian knows nothing.
        version: the document's version; 0 when unknown.
        assignment: why; empty when unknown.
        value: the value that the application got.
        dual_run_bp: the share of the subjects for whom both implementations run, in basis points; None when the
            document, or another provider, does not say.
    """

    flag: str
    variant: str
    version: int = 0
    assignment: str = ""
    value: Any = None
    dual_run_bp: int | None = None

    @classmethod
    def of(cls, details: FlagEvaluationDetails[Any]) -> Served:
        """Return what an OpenFeature evaluation served, whatever provider made it."""
        metadata: Mapping[str, Any] = details.flag_metadata or {}
        version, assignment = metadata.get("flag_version", 0), metadata.get("assignment", "")
        # Without a provider OpenFeature calls the application's own default a variant, too.
        is_default = details.reason == Reason.DEFAULT and not metadata
        return cls(
            flag=details.flag_key,
            variant="" if is_default else details.variant or "",
            version=version if isinstance(version, int) else 0,
            assignment=assignment if isinstance(assignment, str) else str(Assignment.DEFAULT),
            value=details.value,
            dual_run_bp=share if isinstance(share := metadata.get("dual_run_bp"), int) else None,
        )


ServedLike = Served | FlagEvaluationDetails[Any]


def served_list(served: ServedLike | Iterable[ServedLike]) -> list[Served]:
    """Return one or several evaluations as a list of `Served`."""
    if isinstance(served, Served):
        return [served]
    if isinstance(served, FlagEvaluationDetails):
        return [Served.of(served)]
    return [item if isinstance(item, Served) else Served.of(item) for item in served]
