"""Which rules can judge at which traffic, said beforehand: samples expected in a step against those needed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from guardian.core.guards import is_of_dual_runs, rests_on_count
from guardian.core.rollout import Against, Gate, Origin, RolloutSpec, Rule, Step, Trigger
from guardian.core.text import count_text, duration_text, number_text, weight_text
from guardian.core.words import WEIGHT_FULL_BP
from guardian.errors import Problem
from guardian.spec.describe import counted_in
from guardian.spec.rules import comparison_text

_PER_SECONDS: Final = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3_600, "hour": 3_600}
_TRAFFIC: Final = re.compile(r"\s*(\d{1,12}(?:\.\d{1,6})?)\s*/\s*([a-z]{1,6})\s*")
_OF_ARMS: Final = (Origin.REQUESTS, Origin.FIGURES)


@dataclass(frozen=True)
class Need:
    """How many samples something needs in a step, and of which share of the traffic they come.

    Args:
        path: where it stands in the document.
        what: what needs them: `trigger errors`, `gate few`, `exposure`.
        text: the comparison, or what is needed for exposure.
        samples: how many, in units of `unit`.
        unit: requests, comparisons, calls.
        share_bp: the share of the flag's requests that brings them.
        window_ms: in which time.
        is_trailing: whether a trailing window, not the bake, bounds that time.
        step: the step.
        consequence: what happens while they are missing.
    """

    path: str
    what: str
    text: str
    samples: int
    unit: str
    share_bp: int
    window_ms: int
    is_trailing: bool
    step: Step
    consequence: str

    @property
    def per_second(self) -> float:
        """The flag's requests per second that bring the samples in time."""
        return self.samples * WEIGHT_FULL_BP * 1_000 / (self.share_bp * self.window_ms)

    def expected(self, per_second: float) -> float:
        """Return how many samples come in time at this traffic."""
        return per_second * self.window_ms / 1_000 * self.share_bp / WEIGHT_FULL_BP


def parse_traffic(text: str) -> float | None:
    """Return requests per second of `40/s`, `12/m` or `1000/h`; None for anything else."""
    found = _TRAFFIC.fullmatch(text.lower())
    if found is None or found[2] not in _PER_SECONDS or not float(found[1]):
        return None
    return float(found[1]) / _PER_SECONDS[found[2]]


def traffic_text(per_second: float) -> str:
    """Return a traffic rounded up, in the unit in which it is at least one: `34/s`, `12/min`, `6/h`."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{number_text(_rounded_up(per_second * seconds))}/{unit}"
    return f"{number_text(_rounded_up(per_second * 3_600))}/h"


def _rounded_up(amount: float) -> float:
    """Two digits are enough for a plan; never less than what is needed."""
    if amount >= 100:
        unit = int(10 ** (math.floor(math.log10(amount)) - 1))
        return math.ceil(round(amount / unit, 6)) * unit
    return math.ceil(round(amount, 6)) if amount >= 10 else math.ceil(round(amount * 10, 6)) / 10


def needs_of(spec: RolloutSpec) -> list[Need]:
    """Return what every step needs: exposure, its gates, and the triggers that watch it."""
    found: list[Need] = []
    for i, step in enumerate(spec.steps):
        if not step.bake_ms:
            continue
        found += _exposure_need(step, f"steps[{i}]")
        items: list[tuple[str, Gate | Trigger]] = [
            (f"steps[{i}].gates[{j}]", gate) for j, gate in enumerate(step.gates)
        ]
        items += [(f"steps[{i}].triggers[{j}]", trigger) for j, trigger in enumerate(step.triggers)]
        items += [(f"triggers[{j}]", trigger) for j, trigger in enumerate(spec.triggers)]
        for path, item in items:
            found += _need(step, path, item, is_last=step is spec.steps[-1])
    return found


def needs_text(spec: RolloutSpec) -> list[str]:
    """Return, step by step, the traffic that each of them needs to judge in time; empty when nothing needs any."""
    needs = needs_of(spec)
    lines = []
    for step in spec.steps:
        mine = sorted(
            (need for need in needs if need.step is step and need.share_bp), key=lambda need: -need.per_second
        )
        if mine:
            parts = [f"{need.what} {traffic_text(need.per_second)}" for need in mine]
            name = "" if step.name == weight_text(step.weight_bp) else f"{step.name}, "
            lines.append(f"  {name}{weight_text(step.weight_bp)}: {'; '.join(parts)}")
    if not lines:
        return []
    return ["So many requests to the flag, both variants together, let each rule judge in time:", *lines]


def too_little(needs: list[Need], per_second: float, traffic: str, *, doubt: str = "") -> list[Problem]:
    """Say which of these needs a traffic does not meet, and what would meet them.

    Args:
        needs: of a spec.
        per_second: requests to the flag, of both variants together.
        traffic: the same as it is shown.
        doubt: stands behind each way out.
    """
    return [_problem(need, per_second, traffic, doubt) for need in needs if need.expected(per_second) < need.samples]


def _problem(need: Need, per_second: float, traffic: str, doubt: str) -> Problem:
    expected = need.expected(per_second)
    message = (
        f"{need.text} needs {count_text(need.samples)} {need.unit}; {weight_text(need.share_bp)} of {traffic} brings "
        f"about {count_text(round(expected))} in {duration_text(need.window_ms)}"
    )
    step = f"in step `{need.step.name}` " if need.what.startswith("trigger") else ""
    lever = "`dual_run`" if need.unit == "comparisons" else "the weight"
    longer = duration_text(math.ceil(need.window_ms * need.samples / expected / 60_000) * 60_000) if expected else ""
    ways = []
    if longer:
        ways.append(f"look back `over {longer}`" if need.is_trailing else f"bake longer ({longer})")
    ways.append("lower `min_exposure`" if need.what == "exposure" else "lower `min_samples`")
    ways.append(f"raise {lever}")
    return Problem(need.path, f"{step}{message}: {need.consequence}", f"{', '.join(ways)}{doubt}")


def _exposure_need(step: Step, path: str) -> list[Need]:
    share_bp, unit = step.weight_bp, "requests"
    if not share_bp:
        share_bp, unit = step.dual_run_bp or 0, "comparisons"
    if not share_bp or not step.min_exposure:
        return []
    text = f"step `{step.name}`"
    return [
        Need(path, "exposure", text, step.min_exposure, unit, share_bp, step.bake_ms, False, step, "the step waits")
    ]


def _need(step: Step, path: str, item: Gate | Trigger, *, is_last: bool) -> list[Need]:
    rule, samples = item.rule, item.min_samples
    share_bp = _share_bp(step, rule)
    if isinstance(item, Trigger) and is_of_dual_runs(rule.metric) and rests_on_count(rule.metric):
        samples = step.min_exposure  # of requests that is the step's exposure
    # A gate that can never pass is told of by other advice, but for one on figures that a step of 0 % does not bring.
    gate_waits = isinstance(item, Gate) and rule.against is not Against.CONTROL and not is_of_dual_runs(rule.metric)
    never = not share_bp and not gate_waits
    if not samples or never or rule.metric.origin not in _OF_ARMS:
        return []
    reach_ms = 0 if rule.per_step or rests_on_count(rule.metric) else max(rule.over_ms, rule.hold_ms)
    is_trailing = 0 < reach_ms < step.bake_ms
    window_ms = reach_ms if is_trailing else step.bake_ms
    return [
        Need(
            path, f"{'gate' if isinstance(item, Gate) else 'trigger'} {item.name}", comparison_text(rule), samples,
            counted_in(rule.metric), share_bp, window_ms, is_trailing, step,
            _consequence(item, is_last=is_last),
        )
    ]  # fmt: skip


def _consequence(item: Gate | Trigger, *, is_last: bool) -> str:
    if isinstance(item, Gate):
        return "the gate stays INCONCLUSIVE"
    if not item.is_protective:
        return "it stays silent"
    if is_last or item.unjudged_allowed:
        return "it cannot act, and the step does not wait for it"
    return "the step waits"


def _share_bp(step: Step, rule: Rule) -> int:
    """The share of the requests that brings samples; of a comparison with control that of the smaller arm."""
    if is_of_dual_runs(rule.metric):
        return WEIGHT_FULL_BP if step.dual_run_bp is None and step.weight_bp else step.dual_run_bp or 0
    if rule.against is Against.CONTROL:
        return min(step.weight_bp, WEIGHT_FULL_BP - step.weight_bp)
    return step.weight_bp
