"""Gates and triggers of a spec: a plain rule, or a section with a rule in it; their names are unique."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Final

from guardian.core.rollout import (
    DEFAULT_CLEAR_MS,
    DEFAULT_MIN_SAMPLES,
    SILENCE,
    Against,
    Gate,
    Op,
    Origin,
    Rule,
    Trigger,
    Unit,
)
from guardian.core.words import Action, Severity
from guardian.spec.amounts import shown
from guardian.spec.report import UNREADABLE, Report
from guardian.spec.rule_checks import Use
from guardian.spec.rule_syntax import RuleError
from guardian.spec.rules import comparison_text, limit_text, parse_rule
from guardian.spec.section import Section

TARGETS: Final = ("previous", "zero")
MAX_SAMPLES: Final = 1_000_000_000
RULE_OF_THREE: Final = 3
"""With no failure in n requests the rate is below 3 / n with 95 % confidence (Hanley, Lippman-Hand, JAMA 1983)."""

_OF_ARMS: Final = (Origin.REQUESTS, Origin.FIGURES)
_ACTIONS: Final = tuple(action.value for action in Action)
_UNJUDGED: Final = ("hold", "allow")
_SEVERITIES: Final = tuple(severity.value for severity in Severity)
_OP_WORDS: Final = {Op.ABOVE: "above", Op.BELOW: "below", Op.AT_LEAST: "at-least", Op.AT_MOST: "at-most"}


class Names:
    """Hands out names, each once.

    Args:
        written: the names that stand in the document; a derived name avoids them.
    """

    def __init__(self, written: list[str]) -> None:
        self._written = frozenset(written)
        self._taken: set[str] = set()

    def take(self, name: str) -> bool:
        """Return false when a written name is taken already."""
        if name in self._taken:
            return False
        self._taken.add(name)
        return True

    def derive(self, name: str) -> str:
        """Return the name, with a number when it is taken."""
        found, number = name, 1
        while found in self._taken or found in self._written:
            number += 1
            found = f"{name}-{number}"
        self._taken.add(found)
        return found


def written_names(items: object) -> list[str]:
    """Return the names that stand in a list of sections, whatever the list is."""
    if not isinstance(items, list):
        return []
    return [item["name"] for item in items if isinstance(item, dict) and isinstance(item.get("name"), str)]


def read_gates(step: Section, min_exposure: int) -> tuple[Gate, ...]:
    """Read the gates of a step.

    Args:
        step: the step's section.
        min_exposure: requests that a count needs when the gate does not say.

    Returns:
        the gates that are right; what is wrong is reported.
    """
    names = Names(written_names(step.raw("gates") if step.has("gates") else None))
    gates = []
    for path, value in step.items("gates"):
        section = _section_of(value, path, "gate", step.report)
        name = _written_name(section, names)
        rule = _rule_of(section, value, path, Use.GATE)
        if rule is not None:
            samples = max(_gate_samples(section, rule, min_exposure), samples_needed(rule))
            gates.append(Gate(name or names.derive(derived_name(rule)), rule, samples))
    return tuple(gates)


def read_triggers(owner: Section, names: Names, prefix: str = "") -> tuple[Trigger, ...]:
    """Read the triggers of a rollout or of a step.

    Args:
        owner: the section in which `triggers` stands.
        names: of all triggers of the rollout.
        prefix: goes before derived names.

    Returns:
        the triggers that are right; what is wrong is reported.
    """
    found = (_trigger(path, value, names, prefix, owner.report) for path, value in owner.items("triggers"))
    return tuple(trigger for trigger in found if trigger is not None)


def _trigger(path: str, value: Any, names: Names, prefix: str, report: Report) -> Trigger | None:
    section = _section_of(value, path, "trigger", report)
    name = _written_name(section, names)
    do = Action(section.choice("do", _ACTIONS, Action.ROLLBACK))
    loud = Severity.CRITICAL if do is Action.ROLLBACK else Severity.WARNING
    severity = Severity(section.choice("severity", _SEVERITIES, loud))
    tell = section.text("tell")
    to = section.choice("to", TARGETS, "")
    if section.has("to") and do is not Action.ROLLBACK:
        report.add(section.at("to"), f"`to` does nothing with `do: {do.value}`", "take it out, or roll back", key=True)
    unjudged = section.choice("unjudged", _UNJUDGED, "hold")
    if section.has("unjudged") and do is Action.NOTIFY:
        message = "`unjudged` does nothing with `do: notify`, which keeps no step"
        report.add(section.at("unjudged"), message, "take it out", key=True)
    rule = _rule_of(section, value, path, Use.TRIGGER)
    if rule is None:
        return None
    samples = _min_samples(section, rule)
    clear_ms = section.duration("clear", rule.hold_ms or DEFAULT_CLEAR_MS)
    name = name or names.derive(f"{prefix}{derived_name(rule)}")
    return Trigger(name, rule, do, tell, severity, samples, to, clear_ms, unjudged == "allow")


def derived_name(rule: Rule) -> str:
    """Return the name of a gate or trigger that has none: `error_rate-above-5%`."""
    if rule.metric == SILENCE or rule.against is Against.PAST:
        return comparison_text(rule).replace(" ", "-")
    compared = limit_text(rule.metric.unit, rule.limit)
    if rule.against is not Against.NONE:
        compared = f"{limit_text(Unit.NUMBER, rule.limit)}x-{rule.against.value}"
    return f"{rule.metric.name}-{_OP_WORDS[rule.op]}-{compared}"


def samples_needed(rule: Rule) -> int:
    """Return how many requests a rule needs by its nature; 0 when by nature it needs none.

    Fewer than 3 / limit requests without a failure do not show a rate below the limit (the rule of three).
    """
    is_low = rule.op in (Op.BELOW, Op.AT_MOST)
    if rule.metric.unit is not Unit.RATE or not is_low or not rule.limit or not counts_events(rule):
        return 0
    return min(math.ceil(RULE_OF_THREE / Fraction(repr(rule.limit))), MAX_SAMPLES)


def counts_events(rule: Rule) -> bool:
    """Return whether a rule rests on events of an arm by themselves, whose number says how sure the figure is."""
    return rule.against is Against.NONE and rule.metric.origin in _OF_ARMS


def _section_of(value: Any, path: str, kind: str, report: Report) -> Section:
    """A section; an empty one for a plain rule."""
    section = Section({} if isinstance(value, str) else value, path, kind, report)
    if isinstance(value, dict):
        section.require("when")
    return section


def _written_name(section: Section, names: Names) -> str:
    """The name as written, empty when there is none or it is wrong."""
    name = section.name("name")
    if name and not names.take(name):
        section.report.add(section.at("name"), f"the name {shown(name)} is taken", "names are unique")
    return name


def _rule_of(section: Section, value: Any, path: str, use: Use) -> Rule | None:
    """The rule of a gate or trigger; None when it is missing or wrong, which is reported."""
    where, text = (path, value) if isinstance(value, str) else (section.at("when"), section.raw("when"))
    if text is None or text is UNREADABLE:
        return None
    if not isinstance(text, str):
        section.report.add(where, f"not a rule: {shown(text)}", "write it as `error_rate > 5% for 5 minutes`")
        return None
    try:
        return parse_rule(text, use)
    except RuleError as error:
        for fault in error.faults:
            section.report.add(where, fault.message, fault.fix, offset=fault.offset)
        return None


def _gate_samples(section: Section, rule: Rule, min_exposure: int) -> int:
    """Requests needed before a gate is judged; a count that must stay low needs them too: none is easy to keep."""
    if rule.metric.unit is not Unit.COUNT or rule.metric.origin not in _OF_ARMS:
        return _min_samples(section, rule)
    given = section.number("min_samples", low=1, high=MAX_SAMPLES)
    if given is not None:
        return given
    return min_exposure if rule.op in (Op.BELOW, Op.AT_MOST) else 0


def _min_samples(section: Section, rule: Rule) -> int:
    """Requests needed before the rule is judged; counts need none."""
    given = section.number("min_samples", low=1, high=MAX_SAMPLES)
    of_arm = rule.metric.origin in _OF_ARMS
    if rule.metric.unit is not Unit.COUNT and of_arm:
        return DEFAULT_MIN_SAMPLES if given is None else given
    if section.has("min_samples"):
        why = "counts are judged from the first event on" if of_arm else "it does not rest on requests"
        message = f"`min_samples` does nothing for `{rule.metric.name}`: {why}"
        section.report.add(section.at("min_samples"), message, "take it out", key=True)
    return 0
