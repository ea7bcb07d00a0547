"""What is legal in a spec but unwise, for `guardian check`: nothing here stops an apply."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

from guardian.core.guards import is_of_dual_runs
from guardian.core.override_names import override_name
from guardian.core.rollout import Against, Op, Origin, RolloutSpec, Rule, Step, Trigger, Unit
from guardian.core.text import count_text, duration_text, rate_text
from guardian.core.words import WEIGHT_FULL_BP, Action
from guardian.errors import Problem
from guardian.spec.overrides import means_something_else
from guardian.spec.rules import comparison_text
from guardian.spec.traffic import needs_of, too_little, traffic_text

ASSUMED_REQUESTS_PER_SECOND: Final = 10
"""The traffic by which it is judged whether a bake can gather its samples; a guess, and the advice says so."""

FEW_FAILURES: Final = 3
"""Fewer failures than these may come by chance in a service that is well."""

_OF_ARMS: Final = (Origin.REQUESTS, Origin.FIGURES)
_FAILURES: Final = frozenset({"error", "crash"})
_TRUTH_LIKE: Final = frozenset({"on", "off", "yes", "no", "true", "false"})


def advice(spec: RolloutSpec, per_second: float | None = None) -> list[Problem]:
    """Say what is unwise.

    Args:
        spec: a checked one.
        per_second: requests to the flag, of both variants together; None when nobody has said.

    Returns:
        one entry per thing, in the order of the spec; empty when there is nothing to say.
    """
    found = _about_values(spec) + _about_override(spec)
    for i, step in enumerate(spec.steps):
        found += _about_step(step, f"steps[{i}]", is_last=i == len(spec.steps) - 1)
        for j, trigger in enumerate(step.triggers):
            found += _about_trigger(trigger, f"steps[{i}].triggers[{j}]", [step])
    if spec.steps[0].weight_bp == WEIGHT_FULL_BP:
        found.append(Problem("steps[0]", "everybody gets the candidate at once", "begin with a small weight"))
    found += _about_traffic(spec, per_second)
    found += _about_watch(spec)
    found += _about_baseline(spec)
    found += _about_dual_runs(spec)
    for i, trigger in enumerate(spec.triggers):
        found += _about_trigger(trigger, f"triggers[{i}]", list(spec.steps))
    if spec.count_migrations and not spec.components:
        message = "migration events count, but no component belongs to this flag"
        found.append(Problem("sources", message, "name `components`, unless every event names its flag"))
    return found


def _about_traffic(spec: RolloutSpec, per_second: float | None) -> list[Problem]:
    """Whether a traffic lets every rule judge; of one that is only assumed, gates alone are told."""
    if per_second is not None:
        return too_little(needs_of(spec), per_second, traffic_text(per_second))
    gates = [need for need in needs_of(spec) if need.what.startswith("gate ")]
    assumed = f"{ASSUMED_REQUESTS_PER_SECOND} requests/s"
    return too_little(gates, ASSUMED_REQUESTS_PER_SECOND, assumed, doubt="; fine if your traffic is higher")


def _about_values(spec: RolloutSpec) -> list[Problem]:
    words = [
        value for value in spec.variants.values.values() if isinstance(value, str) and value.lower() in _TRUTH_LIKE
    ]
    if not words:
        return []
    message = f"the application is given the text {words[0]!r}, not a truth value"
    return [Problem("variants.values", message, "write `true` and `false` if the flag is a boolean")]


def _about_override(spec: RolloutSpec) -> list[Problem]:
    name = override_name(spec.flag, spec.env_prefix)
    if not means_something_else(name):
        return []
    message = f"the environment variable {name} overrides this flag, and hosts have it for other reasons"
    return [Problem("env_prefix", message, "give a prefix of your own: `env_prefix: SHOP`")]


def _about_watch(spec: RolloutSpec) -> list[Problem]:
    """Whether anything takes a failing candidate back."""
    guards = [
        trigger for trigger in _all_triggers(spec) if trigger.do is not Action.NOTIFY and _counts_failures(trigger)
    ]
    if not guards:
        message = "no trigger takes a failing candidate back"
        return [Problem("triggers", message, "add `error_rate > 5% for 5 minutes` and `crash_count > 0 per step`")]
    if not any(trigger.rule.metric.unit is Unit.COUNT for trigger in guards):
        message = "no trigger acts on crashes or errors within seconds: rates wait for their samples"
        return [Problem("triggers", message, "add `crash_count > 0 per step`")]
    return []


def _about_baseline(spec: RolloutSpec) -> list[Problem]:
    """Whether there will be something to compare with: a baseline that is learned, or a control that is left."""
    wanted = {rule.metric.name: None for rule in spec.rules() if rule.against is Against.BASELINE}
    unknown = [name for name in wanted if name not in spec.baseline]
    found = []
    if unknown and spec.steps[0].weight_bp:
        message = f"{', '.join(unknown)}: the baseline is what is seen between apply and start, and that may be nothing"
        fix = (
            "begin with a step that only watches, `{weight: 0%, bake: 30m}`, or declare it: `baseline: {NAME: FIGURE}`"
        )
        found.append(Problem("triggers", message, fix))
    for name in spec.baseline:
        if name not in wanted:
            message = f"a baseline of {name} is declared, but no rule compares with it"
            found.append(Problem(f"baseline.{name}", message, "take it out, or write a rule such as `> 2x baseline`"))
    for i, step in enumerate(spec.steps):
        for j, gate in enumerate(step.gates):
            if step.weight_bp == WEIGHT_FULL_BP and gate.rule.against is Against.CONTROL:
                message = "at 100% there is no control to compare with: this gate never passes"
                found.append(Problem(f"steps[{i}].gates[{j}]", message, "compare with `baseline`, or with a number"))
    return found


def _all_triggers(spec: RolloutSpec) -> list[Trigger]:
    return [*spec.triggers, *(trigger for step in spec.steps for trigger in step.triggers)]


def _counts_failures(trigger: Trigger) -> bool:
    metric = trigger.rule.metric
    return (
        trigger.rule.op in (Op.ABOVE, Op.AT_LEAST)
        and bool(_FAILURES & set(metric.outcomes))
        and "ok" not in metric.outcomes
    )


def _about_step(step: Step, path: str, *, is_last: bool) -> list[Problem]:
    found = []
    if not step.bake_ms:
        message = (
            "the last step has no bake: the rollout is over as soon as it is reached"
            if is_last
            else "no bake: gates are judged on no evidence"
        )
        found.append(Problem(f"{path}.bake", message, "give it an hour or more"))
    if not step.gates and not is_last and (step.weight_bp or step.dual_run_bp):
        message = f"step `{step.name}` has no gates: it goes on when the bake is over, whatever was seen"
        found.append(Problem(path, message, "add `gates: [error_rate < 1%]`"))
    for j, gate in enumerate(step.gates):
        here = f"{path}.gates[{j}]"
        found += _about_rule(gate.rule, here)
        if gate.rule.over_ms > step.bake_ms > 0:
            message = f"looks back {duration_text(gate.rule.over_ms)}, but the step bakes {duration_text(step.bake_ms)}"
            found.append(Problem(here, message, "a step's evidence begins with the step"))
    return found


def _about_dual_runs(spec: RolloutSpec) -> list[Problem]:
    """Whether what runs twice is looked at, and what is looked at runs twice."""
    shares = [step.dual_run_bp for step in spec.steps]
    found = []
    if any(shares) and not any(is_of_dual_runs(rule.metric) for rule in spec.rules()):
        message = "both implementations run, but no rule looks at where they differ"
        found.append(Problem("triggers", message, "add `dual_run assertions fail > 100/hour`, or `mismatch_rate > 1%`"))
    for i, step in enumerate(spec.steps):
        rules = [(f"gates[{j}]", gate.rule) for j, gate in enumerate(step.gates)]
        rules += [(f"triggers[{j}]", trigger.rule) for j, trigger in enumerate(step.triggers)]
        if step.dual_run_bp == 0:
            compared = [(path, rule) for path, rule in rules if is_of_dual_runs(rule.metric)]
            found += [_compares_nothing(f"steps[{i}].{path}", rule) for path, rule in compared]
    if not any(shares) and None not in shares:
        rules = [(f"triggers[{i}]", trigger.rule) for i, trigger in enumerate(spec.triggers)]
        found += [_compares_nothing(path, rule) for path, rule in rules if is_of_dual_runs(rule.metric)]
    return found


def _compares_nothing(path: str, rule: Rule) -> Problem:
    message = f"{comparison_text(rule)} looks at dual runs, and here nobody runs both"
    return Problem(path, message, "give the step a share, as `dual_run: 20%`, or take the rule out")


def _about_few_failures(trigger: Trigger, path: str) -> list[Problem]:
    """Whether a handful of failures decides, because the limit is low for so few samples."""
    rule = trigger.rule
    if not (trigger.is_protective and trigger.min_samples and rule.limit and rule.metric.unit is Unit.RATE):
        return []
    if rule.against is not Against.NONE or rule.op not in (Op.ABOVE, Op.AT_LEAST) or rule.metric.origin not in _OF_ARMS:
        return []
    allowed = Decimal(repr(rule.limit)) * trigger.min_samples
    if allowed >= FEW_FAILURES:
        return []
    failures = int(allowed) + 1
    wanted = math.ceil(FEW_FAILURES / Decimal(repr(rule.limit)))
    message = (
        f"{comparison_text(rule)} is judged from {count_text(trigger.min_samples)} requests on: there "
        f"{'one failure decides' if failures == 1 else f'{failures} failures decide'}, which may be chance"
    )
    return [Problem(path, message, f"give it `min_samples: {wanted}`, or a higher limit")]


def _about_trigger(trigger: Trigger, path: str, steps: list[Step]) -> list[Problem]:
    found = _about_rule(trigger.rule, path) + _about_few_failures(trigger, path)
    bakes = [step for step in steps if step.bake_ms and step.weight_bp]
    shortest = min(bakes, key=lambda step: step.bake_ms, default=None)
    if shortest is not None and trigger.rule.hold_ms >= shortest.bake_ms and trigger.do is not Action.NOTIFY:
        message = (
            f"holds for {duration_text(trigger.rule.hold_ms)}, but step `{shortest.name}` is over after "
            f"{duration_text(shortest.bake_ms)}: there it cannot act in time"
        )
        found.append(Problem(path, message, "shorten the hold or bake longer"))
    return found


def _about_rule(rule: Rule, path: str) -> list[Problem]:
    """Whether the rule can be both true and false."""
    of_events = rule.metric.origin in (Origin.REQUESTS, Origin.FIGURES) and rule.metric.unit is not Unit.NUMBER
    if rule.against is not Against.NONE or not of_events:
        return []
    least, most = 0.0, 1.0 if rule.metric.unit is Unit.RATE else float("inf")
    always = (rule.op is Op.AT_LEAST and rule.limit <= least) or (rule.op is Op.AT_MOST and rule.limit >= most)
    never = (rule.op is Op.BELOW and rule.limit <= least) or (rule.op is Op.ABOVE and rule.limit >= most)
    if not always and not never:
        return []
    end = rate_text(rule.limit) if rule.metric.unit is Unit.RATE else "0"
    return [
        Problem(
            path, f"{comparison_text(rule)} is {'always' if always else 'never'} true", f"take another limit than {end}"
        )
    ]
