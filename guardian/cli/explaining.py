"""Why a decision was made: the rule and its meaning, the numbers on both sides, and what would have changed it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from guardian.cli.reasons import MEANINGS, way_out
from guardian.cli.views import time_text
from guardian.core.outputs import Decision, Evidence, RolloutStatus
from guardian.core.rollout import METRICS, OTHER_METRICS, Against, Gate, Op, Origin, RolloutSpec, Rule, Trigger, Unit
from guardian.core.text import count_text, duration_text, rate_text, ratio_text, value_text
from guardian.core.words import Outcome, Reason
from guardian.spec.describe import gate_meaning, trigger_meaning

_NOT_OP: Final = {Op.ABOVE: Op.AT_MOST, Op.BELOW: Op.AT_LEAST, Op.AT_LEAST: Op.BELOW, Op.AT_MOST: Op.ABOVE}
_OP_WORDS: Final = {Op.ABOVE: "above", Op.BELOW: "below", Op.AT_LEAST: "at least", Op.AT_MOST: "at most"}


@dataclass(frozen=True)
class Explanation:
    """One decision, taken apart.

    Args:
        decision: it.
        meaning: its reason as a sentence.
        rule: the rule's text as it was written; empty when no rule was judged, or none is to be found any more.
        rule_meaning: the rule in plain words.
        evidence: what was looked at, as (name, text).
        otherwise: what would have had to be different, as sentences.
        way_out: what can be done now, as sentences.
        notes: what must be known about all this.
    """

    decision: Decision
    meaning: str
    rule: str = ""
    rule_meaning: str = ""
    evidence: list[tuple[str, str]] = field(default_factory=list)
    otherwise: list[str] = field(default_factory=list)
    way_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def explain(decision: Decision, spec: RolloutSpec | None, status: RolloutStatus | None, inputs: str) -> Explanation:
    """Take a decision apart.

    Args:
        decision: what was decided.
        spec: the rollout as it is declared now; None when nothing is known of it.
        status: where it stands now; None likewise.
        inputs: the full name of the log's topic.
    """
    found = decision.evidence
    owner = _owner(decision, spec) if spec else None
    rule = owner.rule if owner else None
    notes = []
    if found.metric and rule is None:
        notes.append("the spec of now has no such rule any more: it was changed since")
    return Explanation(
        decision,
        MEANINGS[decision.reason],
        rule.text if rule else "",
        _meaning(owner, spec) if owner and spec else "",
        _evidence(decision, rule, inputs),
        _otherwise(decision, found, rule),
        way_out(decision, status),
        notes,
    )


def _owner(decision: Decision, spec: RolloutSpec) -> Trigger | Gate | None:
    """The trigger or gate that was judged: a trigger by its name, a gate by what it compares."""
    if decision.trigger:
        triggers = [*spec.triggers, *(trigger for step in spec.steps for trigger in step.triggers)]
        return next((trigger for trigger in triggers if trigger.name == decision.trigger), None)
    found = decision.evidence
    steps = sorted(spec.steps, key=lambda step: abs(step.weight_bp - decision.from_weight_bp))
    for gate in (gate for step in steps for gate in step.gates):
        if (gate.rule.metric.name, str(gate.rule.op), gate.rule.limit) == (found.metric, found.op, found.limit):
            return gate
    return None


def _meaning(owner: Trigger | Gate, spec: RolloutSpec) -> str:
    if isinstance(owner, Trigger):
        return trigger_meaning(owner, spec.rollback.to)
    return f"go on when {gate_meaning(owner)}"


def _unit(found: Evidence, rule: Rule | None) -> Unit:
    if rule is not None:
        return rule.metric.unit
    metric = METRICS.get(found.metric) or OTHER_METRICS.get(found.metric)
    return metric.unit if metric else Unit.NUMBER


def _value(found: Evidence, rule: Rule | None, value: float | None) -> str:
    if rule is not None and rule.metric.origin is Origin.HEARTBEATS and value is not None:
        return duration_text(int(value))
    return value_text(_unit(found, rule), value)


def _bound(found: Evidence) -> float | None:
    """What the value was compared with; None when that takes a reference and there was none."""
    if not found.against or found.limit is None:
        return found.limit
    if found.reference is None:
        return None
    return found.reference * (1 + found.limit if found.against == Against.PAST else found.limit)


def _bound_text(found: Evidence, rule: Rule | None) -> str:
    """The limit, and how it came about: `360ms (2x baseline 180ms)`."""
    bound = _bound(found)
    if found.limit is None:
        return "nothing"
    if not found.against:
        return _value(found, rule, bound)
    multiple = rate_text(found.limit) + " above" if found.against == Against.PAST else ratio_text(found.limit)
    if bound is None:
        return f"{multiple} {found.against}, of which there is no data"
    return f"{_value(found, rule, bound)} ({multiple} {found.against} {_value(found, rule, found.reference)})"


def _evidence(decision: Decision, rule: Rule | None, inputs: str) -> list[tuple[str, str]]:
    found = decision.evidence
    rows = []
    if found.metric:
        whose = f" of {found.service}" if found.service else ""
        rows.append(("found", f"{found.metric}{whose}: {_value(found, rule, found.value)}"))
        op = _OP_WORDS.get(Op(found.op), found.op) if found.op else ""
        rows.append(("limit", f"{op} {_bound_text(found, rule)}".strip()))
        against = f", {count_text(found.reference_n)} of {found.against}" if found.reference_n else ""
        needed = f" ({count_text(found.needed)} needed)" if found.needed else ""
        rows.append(("n", f"{count_text(found.n)}{against}{needed}"))
    if found.window_end_ms:
        length = duration_text(max(found.window_end_ms - found.window_start_ms, 0))
        start, end = time_text(found.window_start_ms), time_text(found.window_end_ms)
        rows.append(("window", f"{start} to {end}, {length} of event time"))
    if found.hold_ms:
        rows.append(("held", f"{duration_text(found.held_ms)} of {duration_text(found.hold_ms)}"))
    partition, offset = (found.partition, found.offset) if found.offset >= 0 else (decision.partition, decision.offset)
    rows.append(("input", f"{inputs}, partition {partition}, offset {offset}"))
    return rows


def _otherwise(decision: Decision, found: Evidence, rule: Rule | None) -> list[str]:
    """What would have had to be different."""
    if decision.command:
        return []
    if not found.metric or not found.op:
        return []
    if decision.reason is Reason.TRIGGER_FIRED or decision.outcome is Outcome.PASS:
        return _undone(decision, found, rule)
    return _still_needed(found, rule)


def _undone(decision: Decision, found: Evidence, rule: Rule | None) -> list[str]:
    """The rule was true: what would have made it false."""
    fired = decision.reason is Reason.TRIGGER_FIRED
    effect = "the trigger would not have fired" if fired else "the gate would not have passed"
    opposite = _OP_WORDS[_NOT_OP[Op(found.op)]]
    bound = _value(found, rule, _bound(found))
    said = [f"with {found.metric} {opposite} {bound} {effect}; it was {_value(found, rule, found.value)}"]
    if found.hold_ms:
        held, hold = duration_text(found.held_ms), duration_text(found.hold_ms)
        said.append(f"had it been over before {hold} had passed, {effect}; it had lasted {held}")
    if found.reference is not None and found.value is not None and found.limit and found.against != Against.PAST:
        other = _value(found, rule, found.value / found.limit)
        direction = "or more" if Op(found.op) in (Op.ABOVE, Op.AT_LEAST) else "or less"
        mine = _value(found, rule, found.reference)
        said.append(f"with {found.against} itself at {other} {direction} {effect}; it was at {mine}")
    if found.needed:
        said.append(f"with fewer than {count_text(found.needed)} requests nothing would have been judged")
    return said


def _still_needed(found: Evidence, rule: Rule | None) -> list[str]:
    """The rule was not true: what it takes."""
    said = []
    fewest = min(found.n, found.reference_n or found.n)
    if fewest < found.needed:
        said.append(f"{count_text(found.needed - fewest)} more requests to judge by")
    if found.value is None:
        return said or [f"any data on {found.metric}"]
    if found.limit is not None:
        bound = _bound_text(found, rule)
        said.append(f"{found.metric} {_OP_WORDS[Op(found.op)]} {bound}; it was {_value(found, rule, found.value)}")
    return said
