"""A rollout spec comes in, checked whole: a RolloutSpec, or every problem at once with its place and its fix."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

from msgspec import structs

from guardian.core.gauges import MAX_LINES
from guardian.core.retention import MAX_FIGURES, MAX_RULES, MAX_TEXT_BYTES, text_bytes
from guardian.core.rollout import (
    DEFAULT_BASELINE_WINDOW_MS,
    DEFAULT_SETTLE_MS,
    Origin,
    RollbackPolicy,
    RolloutSpec,
    Variants,
)
from guardian.errors import InternalError
from guardian.spec.amounts import MAX_WINDOW_MS, shown
from guardian.spec.declared import read_baseline
from guardian.spec.document import checked_document
from guardian.spec.ladder import read_steps
from guardian.spec.report import UNREADABLE, Report, child_of
from guardian.spec.rule_items import TARGETS, Names, read_triggers, written_names
from guardian.spec.section import Section, name_fault, report_choice
from guardian.spec.yaml_text import read_yaml

MAX_SETTLE_MS: Final = 3_600_000
SOURCES: Final = ("telemetry", "migrations")
_PREFIX: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def load_spec(text: str, source: str) -> tuple[RolloutSpec, dict[str, Any]]:
    """Read a spec from YAML 1.2 text.

    Args:
        text: the file's content, whatever it is.
        source: the file's name, for messages.

    Returns:
        the checked spec, and its document as JSON has it: `parse_spec` of it gives the same spec.

    Raises:
        SpecError: with every problem, each with line and column.
    """
    report = Report()
    document = read_yaml(text, report)
    spec = _spec_of(document, report)
    report.raise_if_any(source)
    return _with_revision(spec, document), document


def parse_spec(document: dict[str, Any], source: str = "") -> RolloutSpec:
    """Read a spec from its JSON document.

    Args:
        document: as `load_spec` gave it; anything else is refused, not trusted.
        source: where it came from, for messages.

    Returns:
        the checked spec.

    Raises:
        SpecError: with every problem.
    """
    report = Report()
    checked = checked_document(document, report)
    spec = _spec_of(checked, report)
    report.raise_if_any(source)
    return _with_revision(spec, checked)


def revision_of(document: dict[str, Any]) -> str:
    """Return the content hash of a document, 16 hex digits.

    Args:
        document: a checked one; the order of its words does not matter.
    """
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:16]


def _with_revision(spec: RolloutSpec | None, document: dict[str, Any]) -> RolloutSpec:
    if spec is None:
        raise InternalError("a spec without problems was not read")
    return structs.replace(spec, revision=revision_of(document))


def _spec_of(document: object, report: Report) -> RolloutSpec | None:
    """Read the whole document; None when it is no document, which is reported."""
    if document is UNREADABLE:
        return None
    section = Section(document, "", "spec", report)
    if not isinstance(document, dict):
        return None
    section.require("flag")
    flag = section.flag_name("flag")
    trigger_names = Names(_trigger_names(document))
    strategy, steps = read_steps(section, trigger_names)
    sources = _sources(section)
    spec = RolloutSpec(
        flag=flag,
        revision="",
        steps=steps,
        owner=section.text("owner"),
        variants=_variants(section),
        strategy=strategy,
        triggers=read_triggers(section, trigger_names),
        rollback=_rollback(section),
        components=_components(section),
        count_migrations="migrations" in sources,
        salt=section.text("salt", flag),
        env_prefix=section.name("env_prefix", pattern=_PREFIX),
        settle_ms=section.duration("settle", DEFAULT_SETTLE_MS, at_most_ms=MAX_SETTLE_MS),
        count_telemetry="telemetry" in sources,
        baseline=read_baseline(section),
        baseline_window_ms=section.duration("baseline_window", DEFAULT_BASELINE_WINDOW_MS, at_most_ms=MAX_WINDOW_MS),
        assume_split=section.truth("assume_split"),
    )
    _check_size(spec, document, report)
    return spec


def _check_size(spec: RolloutSpec, document: dict[str, Any], report: Report) -> None:
    """Refuse what would make a rollout's state larger than what decide keeps of it."""
    rules = spec.rules()
    names = {(rule.metric.origin, rule.metric.key) for rule in rules}
    looked_at = {
        "gates and triggers": (len(rules), MAX_RULES),
        "figures that rules look at": (sum(origin is Origin.FIGURES for origin, _ in names), MAX_FIGURES),
        "gauges that rules look at": (sum(origin is Origin.GAUGES for origin, _ in names), MAX_LINES),
        "bytes of words and texts": (text_bytes(document), MAX_TEXT_BYTES),
    }
    for what, (count, most) in looked_at.items():
        if count > most:
            message = f"{count:,} {what}: decide could not keep the state of such a rollout"
            report.add("", message, f"at most {most:,} in a rollout")


def _trigger_names(document: dict[str, Any]) -> list[str]:
    names = written_names(document.get("triggers"))
    steps = document.get("steps")
    for step in steps if isinstance(steps, list) else []:
        names += written_names(step.get("triggers")) if isinstance(step, dict) else []
    return names


def _rollback(spec: Section) -> RollbackPolicy:
    value = spec.raw("rollback")
    if value is None:
        return RollbackPolicy()
    section = Section(value, spec.at("rollback"), "rollback", spec.report)
    section.choice("mode", ("immediate",), "immediate")
    return RollbackPolicy(
        to=section.choice("to", TARGETS, "zero"),
        wait_ms=section.duration("wait", 0),
        resolve_required=section.choice("resolve", ("required", "none"), "none") == "required",
    )


def _components(spec: Section) -> tuple[str, ...]:
    found: list[str] = []
    for path, value in spec.items("components"):
        fault = name_fault(value)
        if fault is None and value in found:
            fault = f"{shown(value)} stands here twice", "keep one"
        if fault:
            spec.report.add(path, *fault)
        else:
            found.append(value)
    return tuple(found)


def _sources(spec: Section) -> list[str]:
    """Which events count for requests, errors and latencies."""
    found: list[str] = []
    for path, value in spec.items("sources"):
        if not isinstance(value, str) or value not in SOURCES:
            report_choice(spec.report, path, value, SOURCES)
        elif value in found:
            spec.report.add(path, f"{shown(value)} stands here twice", "keep one")
        else:
            found.append(value)
    if spec.raw("sources") == []:
        spec.report.add(spec.at("sources"), "no sources", "name `telemetry`, `migrations` or both")
    return found or ["telemetry"]


def _variants(spec: Section) -> Variants:
    value = spec.raw("variants")
    if value is None:
        return Variants()
    section = Section(value, spec.at("variants"), "variants", spec.report)
    control = section.name("control", "off")
    candidate = section.name("candidate", "on")
    if control == candidate:
        spec.report.add(section.at("candidate"), f"both arms are called {shown(control)}", "give them different names")
    values: dict[str, bool | int | float | str] = {control: False, candidate: True}
    if section.has("values"):
        values = _values(section, control, candidate)
    return Variants(control, candidate, values)


def _values(variants: Section, control: str, candidate: str) -> dict[str, bool | int | float | str]:
    """What the application is given for each arm."""
    given = variants.raw("values")
    path, report = variants.at("values"), variants.report
    if not isinstance(given, dict):
        if given is not None:
            report.add(
                path, f"{shown(given)} where a section belongs", f"write `{{{control}: false, {candidate}: true}}`"
            )
        return {}
    for name in given:
        if name not in (control, candidate):
            message = f"{shown(name)} is neither control nor candidate: this version does not act on more arms yet"
            report.add(child_of(path, name), message, f"the arms are `{control}` and `{candidate}`", key=True)
    for name in (control, candidate):
        if name not in given:
            report.add(path, f"no value for `{name}`", "give one to each arm")
    values = {name: given[name] for name in (control, candidate) if name in given and given[name] is not UNREADABLE}
    for name, value in values.items():
        if not isinstance(value, bool | int | float | str):
            report.add(
                child_of(path, name), f"not a single value: {shown(value)}", "take true, false, a number or a text"
            )
    kinds = {_kind_of(value) for value in values.values()}
    if len(kinds) > 1 and "" not in kinds:
        report.add(
            path, f"values of two kinds: {' and '.join(sorted(kinds))}", "take booleans, numbers or texts for both"
        )
    return values


def _kind_of(value: object) -> str:
    """Boolean, number or text; empty for anything else."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return "a text" if isinstance(value, str) else ""
