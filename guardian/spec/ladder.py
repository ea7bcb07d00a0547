"""The steps of a rollout: written out, or the ladder of a strategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from guardian.core.rollout import (
    CANARY_LADDER_BP,
    DEFAULT_MIN_EXPOSURE,
    GATE_TIMEOUT_BAKES,
    PERCENTAGE_LADDER_BP,
    Step,
    Strategy,
)
from guardian.core.text import weight_text
from guardian.core.words import Action
from guardian.spec.amounts import MAX_DURATION_MS, AmountError, share_bp, shown, weight_bp
from guardian.spec.report import Report
from guardian.spec.rule_items import MAX_SAMPLES, TARGETS, Names, read_gates, read_triggers, written_names
from guardian.spec.section import Section

DEFAULT_BAKE_MS: Final = 3_600_000
LADDERS_BP: Final = {Strategy.CANARY: CANARY_LADDER_BP, Strategy.PERCENTAGE: PERCENTAGE_LADDER_BP}
_STRATEGIES: Final = tuple(strategy.value for strategy in Strategy)
_ON_FAIL: Final = (Action.PAUSE.value, Action.ROLLBACK.value)


@dataclass(frozen=True)
class Defaults:
    """What holds for a step that does not say it itself.

    Args:
        bake_ms: how long it is held.
        min_exposure: requests of the candidate that it needs.
    """

    bake_ms: int
    min_exposure: int


def read_steps(spec: Section, trigger_names: Names) -> tuple[Strategy, tuple[Step, ...]]:
    """Read strategy, weights, bake and steps.

    Args:
        spec: the whole document.
        trigger_names: of all triggers of the rollout.

    Returns:
        the strategy and the steps that are right; what is wrong is reported.
    """
    strategy = Strategy(spec.choice("strategy", _STRATEGIES, Strategy.CANARY))
    defaults = Defaults(spec.duration("bake", DEFAULT_BAKE_MS), _min_exposure(spec, DEFAULT_MIN_EXPOSURE))
    if spec.has("steps"):
        if spec.has("weights"):
            message = "`weights` does nothing beside `steps`"
            spec.report.add(spec.at("weights"), message, "give each step its `weight`", key=True)
        return strategy, _written_steps(spec, defaults, trigger_names)
    if not spec.has("strategy") and not spec.has("weights"):
        spec.report.add("", "neither `steps` nor `strategy`", "write the steps, or `strategy: canary`")
    weights = _weights(spec) if spec.has("weights") else list(LADDERS_BP[strategy])
    return strategy, tuple(_plain_step(weight, defaults) for weight in weights)


def _plain_step(weight: int, defaults: Defaults) -> Step:
    timeout_ms = GATE_TIMEOUT_BAKES * defaults.bake_ms
    return Step(
        weight_text(weight), weight, defaults.bake_ms, gate_timeout_ms=timeout_ms, min_exposure=defaults.min_exposure
    )


def _min_exposure(section: Section, default: int) -> int:
    given = section.number("min_exposure", low=0, high=MAX_SAMPLES)
    return default if given is None else given


def _weights(spec: Section) -> list[int]:
    """The weights that replace a ladder's."""
    found: list[int] = []
    items = spec.items("weights")
    if not items and isinstance(spec.raw("weights"), list):
        spec.report.add(spec.at("weights"), "no weights", "name one at least, as `[1%, 10%, 100%]`")
    for path, value in items:
        try:
            weight = weight_bp(value)
        except AmountError as error:
            spec.report.add(path, error.message, error.fix)
            continue
        _check_rise(found, weight, path, spec.report)
        found.append(weight)
    return found


def _check_rise(before: list[int], weight: int, path: str, report: Report) -> None:
    highest = max(before, default=-1)
    if weight > highest:
        return
    message = f"{weight_text(weight)} does not rise above the {weight_text(highest)} before it"
    report.add(path, message, "only the first step may be `0%`" if weight == 0 else "weights rise strictly")


def _written_steps(spec: Section, defaults: Defaults, trigger_names: Names) -> tuple[Step, ...]:
    items = spec.items("steps")
    if not items and isinstance(spec.raw("steps"), list):
        spec.report.add(spec.at("steps"), "no steps", "write one at least, as `- {weight: 5%, bake: 1h}`")
    names = Names(written_names([value for _, value in items]))
    weights: list[int] = []
    steps = []
    for path, value in items:
        section = Section(value, path, "step", spec.report)
        weight = _weight_of(section, value, weights)
        steps.append(_step(section, weight, defaults, (names, trigger_names)))
    return _with_dual_runs(steps)


def _with_dual_runs(steps: list[Step]) -> tuple[Step, ...]:
    """As soon as one step says where both run, nothing runs twice in a step that does not say so."""
    if all(step.dual_run_bp is None for step in steps):
        return tuple(steps)
    return tuple(replace(step, dual_run_bp=step.dual_run_bp or 0) for step in steps)


def _weight_of(section: Section, value: Any, before: list[int]) -> int:
    """The step's weight in basis points; 0 when it is missing or wrong, which is reported."""
    if isinstance(value, dict):
        section.require("weight")
    weight = section.amount("weight", weight_bp)
    if weight is None:
        return 0
    _check_rise(before, weight, section.at("weight"), section.report)
    before.append(weight)
    return weight


def _step(section: Section, weight: int, defaults: Defaults, names: tuple[Names, Names]) -> Step:
    step_names, trigger_names = names
    name = section.name("name")
    if name in TARGETS:
        section.report.add(section.at("name"), f"`{name}` is a target of rollbacks", "take another name")
    elif name and not step_names.take(name):
        section.report.add(section.at("name"), f"the name {shown(name)} is taken", "names are unique")
    for word in ("timeout", "on_fail"):
        if section.has(word) and not section.has("gates"):
            fix = "take it out, or say what is waited for: `gates: [error_rate < 1%]`"
            section.report.add(section.at(word), f"`{word}` does nothing without gates", fix, key=True)
    name = name or step_names.derive(weight_text(weight))
    bake_ms = section.duration("bake", defaults.bake_ms)
    min_exposure = _min_exposure(section, defaults.min_exposure)
    return Step(
        name=name,
        weight_bp=weight,
        bake_ms=bake_ms,
        gates=read_gates(section, min_exposure),
        triggers=read_triggers(section, trigger_names, f"{name}."),
        gate_timeout_ms=section.duration("timeout", min(GATE_TIMEOUT_BAKES * bake_ms, MAX_DURATION_MS)),
        on_gate_fail=Action(section.choice("on_fail", _ON_FAIL, Action.PAUSE)),
        rollback_to=_target_of(section),
        dual_run_bp=section.amount("dual_run", share_bp),
        min_exposure=min_exposure,
    )


def _target_of(step: Section) -> str:
    """The step's own target of rollbacks, empty for the policy's."""
    value = step.raw("rollback")
    if value is None:
        return ""
    if isinstance(value, str) and value in TARGETS:
        step.report.add(
            step.at("rollback"), f"{shown(value)} where a section belongs", f"write `rollback: {{to: {value}}}`"
        )
        return ""
    section = Section(value, step.at("rollback"), "step rollback", step.report)
    if isinstance(value, dict):
        section.require("to")
    return section.choice("to", TARGETS, "")
