"""A declared baseline: figures that are known beforehand, by metric, in the metric's unit."""

from __future__ import annotations

from guardian.core.rollout import Against
from guardian.spec.amounts import shown
from guardian.spec.report import UNREADABLE, child_of
from guardian.spec.rule_checks import Use, limit_of
from guardian.spec.rule_syntax import Fault, RuleError, read_rule
from guardian.spec.rules import parse_rule
from guardian.spec.section import MAX_ITEMS, Section

_EXAMPLE = "write `{p99_latency: 180ms, error_rate: 0.2%}`"


def read_baseline(spec: Section) -> dict[str, float]:
    """Read the declared figures.

    Returns:
        those that are right, by metric name: 0..1 for a rate, milliseconds, bytes; what is wrong is reported.
    """
    given, path, report = spec.raw("baseline"), spec.at("baseline"), spec.report
    if given is None:
        return {}
    if not isinstance(given, dict):
        report.add(path, f"{shown(given)} where a section belongs", _EXAMPLE)
        return {}
    if not given or len(given) > MAX_ITEMS:
        report.add(path, f"a section of {len(given)} figures", _EXAMPLE)
        return {}
    found: dict[str, float] = {}
    for word, value in given.items():
        here = child_of(path, word)
        if value is UNREADABLE:
            continue
        if isinstance(value, dict | list | bool) or value is None:
            report.add(here, f"not a figure: {shown(value)}", _EXAMPLE)
            continue
        try:
            name, figure = _figure(word, str(value))
        except RuleError as error:
            for fault in error.faults:
                report.add(here, fault.message, fault.fix)
            continue
        if name in found:
            report.add(here, f"the baseline of `{name}` stands here twice", "keep one", key=True)
        found[name] = figure
    return found


def _figure(word: str, value: str) -> tuple[str, float]:
    """Read one figure as the limit of a rule is read, so that it has the same units and the same faults."""
    text = f"{word} > {value}"
    rule = parse_rule(text, Use.TRIGGER)
    written = read_rule(text)
    if written.against is not Against.NONE or written.clauses:
        raise RuleError([Fault(f"not a single figure: {shown(value)}", _EXAMPLE)])
    # Whether it can be compared with a baseline at all is asked as a rule would ask it.
    parse_rule(f"{word} > 2x baseline", Use.TRIGGER)
    return rule.metric.name, limit_of(rule.metric, written)
