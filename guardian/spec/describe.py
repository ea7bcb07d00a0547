"""A spec in plain words, for `guardian check`: what will happen, step by step, and what makes guardian act."""

from __future__ import annotations

from typing import Final

from guardian.core.rollout import (
    NAMED_PREFIX,
    SILENCE,
    Against,
    Gate,
    Metric,
    Op,
    Origin,
    RollbackPolicy,
    RolloutSpec,
    Rule,
    Step,
    Trigger,
    Unit,
)
from guardian.core.text import count_text, duration_text, serving_text, weight_text
from guardian.core.words import WEIGHT_FULL_BP, Action
from guardian.spec.rules import limit_text

_OPS: Final = {Op.ABOVE: "above", Op.BELOW: "below", Op.AT_LEAST: "at least", Op.AT_MOST: "at most"}
_COUNTED_IN: Final = {"mismatch": "comparisons", "migration_failure": "calls", "fallback": "calls"}
_TARGETS: Final = {"previous": "to the step before", "zero": "to 0%"}


def describe(spec: RolloutSpec) -> str:
    """Say a spec in plain words.

    Args:
        spec: a checked one.

    Returns:
        lines of text, without one at the end being empty.
    """
    owner = f", owned by {spec.owner}" if spec.owner else ""
    arms = f"from {spec.variants.control} to {spec.variants.candidate}"
    lines = [f"{spec.flag}{owner}: {arms} in {len(spec.steps)} {'step' if len(spec.steps) == 1 else 'steps'}", ""]
    for number, step in enumerate(spec.steps, start=1):
        lines += _step_lines(number, step, spec.rollback)
    if spec.triggers:
        lines += ["", "In every step, and after the last:"]
        lines += [f"  {trigger_meaning(trigger, spec.rollback.to)}" for trigger in spec.triggers]
    lines += ["", *_baseline(spec), _end(spec), _retry(spec.rollback)]
    return "\n".join(lines)


def rule_meaning(rule: Rule) -> str:
    """Return a rule in plain words: `error rate of the last 1m is above 5%, throughout 5m`."""
    if rule.metric == SILENCE:
        return f"a service that has sent heartbeats is silent for {duration_text(int(rule.limit))}"
    window = "since the step began" if rule.per_step else f"of the last {duration_text(rule.over_ms)}"
    hold = f", throughout {duration_text(rule.hold_ms)}" if rule.hold_ms else ""
    name = rule.metric.name if rule.metric.unit is Unit.NUMBER else rule.metric.name.replace("_", " ")
    if rule.metric.origin is Origin.GAUGES:
        name = f"{name} of any service"
    if rule.against is Against.PAST:
        grown = limit_text(Unit.RATE, rule.limit)
        return f"{name} {window} has grown by {grown} or more in {duration_text(rule.period_ms)}{hold}"
    return f"{name} {window} is {_OPS[rule.op]} {_limit(rule)}{hold}"


def _limit(rule: Rule) -> str:
    unit = rule.metric.unit
    if rule.against is Against.NONE:
        return count_text(rule.limit) if unit is Unit.COUNT else limit_text(unit, rule.limit)
    whose = "control's at the same time" if rule.against is Against.CONTROL else "the baseline"
    return f"{limit_text(Unit.NUMBER, rule.limit)}x {whose}"


def trigger_meaning(trigger: Trigger, policy_target: str) -> str:
    """Return a trigger in plain words.

    Args:
        trigger: which.
        policy_target: where a rollback leads when the trigger does not say: `previous` or `zero`.
    """
    act = trigger.do.value
    if trigger.do is Action.ROLLBACK:
        act = f"roll back {_TARGETS[trigger.to or policy_target]}"
    told = f" and tell {trigger.tell}" if trigger.tell else ""
    samples = _samples(trigger.rule, trigger.min_samples)
    return f"{act}{told} ({trigger.severity.value}) when {rule_meaning(trigger.rule)}{samples}  [{trigger.name}]"


def gate_meaning(gate: Gate) -> str:
    """Return a gate in plain words."""
    return f"{rule_meaning(gate.rule)}{_samples(gate.rule, gate.min_samples)}  [{gate.name}]"


def counted_in(metric: Metric) -> str:
    """Return what a metric's samples are called: requests, comparisons, calls, or events that carry it."""
    if metric.key.startswith(NAMED_PREFIX):
        return "events with it"
    return _COUNTED_IN.get(metric.key, "requests")


def _samples(rule: Rule, needed: int) -> str:
    if not needed:
        return ""
    # A figure that somebody sets rests on no samples: it is judged as it stands.
    by_hand = ", or as soon as it is set" if rule.metric.key.startswith(NAMED_PREFIX) else ""
    return f" (judged from {count_text(needed)} {counted_in(rule.metric)} on{by_hand})"


def _step_lines(number: int, step: Step, policy: RollbackPolicy) -> list[str]:
    bake = f"held for {duration_text(step.bake_ms)}" if step.bake_ms else "not held"
    name = "" if step.name == weight_text(step.weight_bp) else f"{step.name}: "
    lines = [f"{number}. {name}{serving_text(step.weight_bp, step.dual_run_bp)}, {bake}"]
    if step.gates:
        lines += [f"     go on when {gate_meaning(gate)}" for gate in step.gates]
        act = "pause" if step.on_gate_fail is Action.PAUSE else f"roll back {_TARGETS[step.rollback_to or policy.to]}"
        lines.append(f"     wait for that for {duration_text(step.gate_timeout_ms)} after the bake, then {act}")
    lines += [f"     {trigger_meaning(trigger, step.rollback_to or policy.to)}" for trigger in step.triggers]
    if step.rollback_to:
        lines.append(f"     a rollback from here leads {_TARGETS[step.rollback_to]}")
    return lines


def _baseline(spec: RolloutSpec) -> list[str]:
    """What the rules that say baseline compare with."""
    metrics = {rule.metric.name: rule.metric for rule in spec.rules() if rule.against is Against.BASELINE}
    if not metrics:
        return []
    known = spec.baseline
    declared = [f"{name} {limit_text(metrics[name].unit, known[name])}" for name in metrics if name in known]
    frozen = [name for name in metrics if name not in spec.baseline]
    lines = [f"The baseline is declared: {', '.join(declared)}."] if declared else []
    if frozen:
        window = duration_text(spec.baseline_window_ms)
        lines.append(
            f"The baseline of {', '.join(frozen)} is what control and the services did in up to {window} before the "
            "first step above 0%."
        )
    return lines


def _end(spec: RolloutSpec) -> str:
    weight = spec.steps[-1].weight_bp
    if weight == WEIGHT_FULL_BP:
        return "It ends with everybody on the candidate, and stays guarded."
    return f"It ends with {weight_text(weight)} on the candidate, and stays guarded."


def _retry(policy: RollbackPolicy) -> str:
    needs = [f"{duration_text(policy.wait_ms)} of waiting"] if policy.wait_ms else []
    needs += ["that a person resolves it"] if policy.resolve_required else []
    wanted = " and ".join(needs) or "nothing more than a start"
    return f"After a rollback a new attempt needs {wanted}."
