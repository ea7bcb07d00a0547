"""May a new revision of a spec replace the running one? The worker and `apply --dry-run` ask the same function."""

from __future__ import annotations

from guardian.core.outputs import FlagState
from guardian.core.rollout import RolloutSpec
from guardian.core.text import weight_text
from guardian.core.words import WEIGHT_FULL_BP, Phase


def refuse_change(running: RolloutSpec, state: FlagState, spec: RolloutSpec) -> str:
    """Return why a spec may not replace the running one; empty when it may.

    Args:
        running: the spec that stands.
        state: where its rollout stands.
        spec: the new revision.
    """
    if state.phase is Phase.ARCHIVED:
        return _refuse_new_rollout(running, state, spec)
    if state.weight_bp == 0 and state.phase in (Phase.DRAFT, Phase.ROLLED_BACK):
        return ""
    return _refuse_variants(running, spec) or _refuse_weight(state, spec)


def served_variants(spec: RolloutSpec) -> tuple[str, str, list[tuple[str, str]]]:
    """Return what an application is given; as text, because to Python `true` equals 1 and to an application not."""
    variants = spec.variants
    return variants.control, variants.candidate, sorted((name, repr(value)) for name, value in variants.values.items())


def _refuse_new_rollout(running: RolloutSpec, state: FlagState, spec: RolloutSpec) -> str:
    """A new rollout of an archived flag begins with its control for everybody: nobody's value may change by that."""
    if state.killed or state.weight_bp == 0:
        return ""
    old, new = running.variants, spec.variants
    served = old.candidate if state.weight_bp == WEIGHT_FULL_BP else old.control
    if repr(old.values[served]) == repr(new.values[new.control]):
        return ""
    return (
        f"the rollout is archived and serves {weight_text(state.weight_bp)} {old.candidate}; a new one begins with "
        f"{new.control} = {new.values[new.control]!r} for everybody: let its control have the value "
        f"{old.values[served]!r}, under a name of its own, or take it from everybody first: guardian kill {state.flag}"
    )


def _refuse_variants(running: RolloutSpec, spec: RolloutSpec) -> str:
    if served_variants(spec) != served_variants(running):
        return "variants cannot change within an attempt: roll back first"
    if (spec.salt or spec.flag) != (running.salt or running.flag):
        return "the salt cannot change within an attempt: it would reshuffle every subject"
    return ""


def _refuse_weight(state: FlagState, spec: RolloutSpec) -> str:
    current = next((step for step in spec.steps if step.name == state.step), None)
    if current is None:
        return f"the current step {state.step!r} is not in the new revision"
    if current.weight_bp > state.weight_bp:
        return (
            f"step {current.name!r} serves {weight_text(state.weight_bp)} now; "
            f"an apply never raises it (the revision says {weight_text(current.weight_bp)})"
        )
    return ""
