"""Judging one rule on one set of figures: outcome, reason, and the numbers on both sides.

Missing data never counts as PASS. A trigger that cannot be judged stops its hold's clock, it does not reset it.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from guardian.core.finding import Finding, crosses
from guardian.core.outputs import Verdict
from guardian.core.rollout import Gate, Rule, Trigger
from guardian.core.verdicts import verdict_of
from guardian.core.words import Outcome, Reason

PATIENCE_HOLDS: Final = 3
"""After so many holds without enough samples the evidence held so far is too old: the clock starts anew."""


class Hold(Struct):
    """The hold's clock of one trigger.

    Args:
        held_ms: event time for which every evaluation crossed the limit.
        crossed: whether the last evaluation that could judge did.
        short_ms: event time since the last one that could.
        judged_ms: event time of the last evaluation, 0 before the first.
    """

    held_ms: int = 0
    crossed: bool = False
    short_ms: int = 0
    judged_ms: int = 0


def lack(rule: Rule, found: Finding, needed: int) -> Reason | None:
    """Return why a finding cannot be judged, None when it can.

    Args:
        needed: requests, on either side of a comparison between arms.
    """
    if found.doubt is not None:
        return found.doubt
    if found.value is None or (found.n == 0 and not found.basis):
        return Reason.NO_DATA
    if found.n < needed and not found.basis:
        return Reason.TOO_FEW_SAMPLES
    return Reason.NO_DATA if rule.bound(found.reference) is None else None


def judge_gate(gate: Gate, found: Finding) -> Verdict:
    """Judge a gate: it passes when its comparison is true on enough requests."""
    needed = gate.min_samples
    reason = lack(gate.rule, found, needed)
    if reason is not None:
        return verdict_of(gate.rule, found, Outcome.INCONCLUSIVE, reason, needed=needed)
    if _is_true(gate.rule, found):
        return verdict_of(gate.rule, found, Outcome.PASS, Reason.WITHIN_LIMIT, needed=needed)
    return verdict_of(gate.rule, found, Outcome.FAIL, Reason.OVER_LIMIT, needed=needed)


def judge_trigger(trigger: Trigger, hold: Hold, found: Finding, at_ms: int) -> Verdict:
    """Judge a trigger at an event time and move its hold's clock; FAIL means that it fires.

    Args:
        trigger: what was declared.
        hold: its clock; changed.
        found: the metric's value as of `at_ms`.
        at_ms: event time of this evaluation; the clock moves by what has passed since the last one.
    """
    passed_ms = max(0, at_ms - hold.judged_ms) if hold.judged_ms else 0
    hold.judged_ms = max(hold.judged_ms, at_ms)
    needed = trigger.min_samples
    unfit = lack(trigger.rule, found, needed)
    if unfit is not None:
        hold.short_ms += passed_ms
        if hold.short_ms >= PATIENCE_HOLDS * trigger.rule.hold_ms:
            hold.held_ms, hold.crossed = 0, False
        return verdict_of(trigger.rule, found, Outcome.INCONCLUSIVE, unfit, needed=needed, held_ms=hold.held_ms)
    clock_stood = hold.short_ms > 0
    hold.short_ms = 0
    if not _is_true(trigger.rule, found):
        hold.held_ms, hold.crossed = 0, False
        return verdict_of(trigger.rule, found, Outcome.PASS, Reason.WITHIN_LIMIT, needed=needed)
    if hold.crossed and not clock_stood:
        hold.held_ms += passed_ms
    hold.crossed = True
    over = hold.held_ms >= trigger.rule.hold_ms
    outcome, reason = (Outcome.FAIL, Reason.OVER_LIMIT) if over else (Outcome.INCONCLUSIVE, Reason.HOLDING)
    return verdict_of(trigger.rule, found, outcome, reason, needed=needed, held_ms=hold.held_ms)


def _is_true(rule: Rule, found: Finding) -> bool:
    """Whether the comparison holds; False without a value or a reference, which `lack` has told already."""
    bound = rule.bound(found.reference)
    return found.value is not None and bound is not None and crosses(rule.op, found.value, bound)
