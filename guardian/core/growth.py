"""Growth of a gauge within one instance's life, as a rule such as `memory growing 10%/hour` looks at it."""

from __future__ import annotations

from guardian.core.finding import Finding
from guardian.core.instance_gauges import GONE_S, MAX_OF_SERVICE, WARM_UP_S, Instances, Life
from guardian.core.rollout import Rule
from guardian.core.text import duration_text
from guardian.core.words import Reason

BY_MEAN = f"mean of the service, it has more than {MAX_OF_SERVICE} instances or others take the room"


def find_growth(instances: Instances, rule: Rule, service: str, since_ms: int, at_ms: int) -> list[Finding]:
    """Return what is found of each instance that can be judged; else of the one that has lived longest.

    Args:
        since_ms: what led to a flag change before it must not lead to the next one too.
        at_ms: event time of the evaluation.
    """
    over_ms = max(rule.over_ms, instances.slice_s * 1_000)
    alive = [
        (name, life)
        for name, life in sorted(instances.lives.get(rule.metric.key, {}).get(service, {}).items())
        if at_ms - life.newest_s * 1_000 < max(over_ms, GONE_S * 1_000)
    ]
    found = [_of_life(rule, f"{service}/{name}", life, (max(at_ms - over_ms, since_ms), at_ms)) for name, life in alive]
    judged = [each for each in found if each.doubt is None and each.value is not None]
    if judged or not alive:
        return judged
    oldest = min(range(len(alive)), key=lambda i: alive[i][1].first_s)
    return [found[oldest]]


def has_untracked(instances: Instances, rule: Rule, service: str, at_ms: int) -> bool:
    """Return whether an instance of this service found no room, so that the mean has to speak for it."""
    at_s = instances.untracked.get(rule.metric.key, {}).get(service)
    return at_s is not None and at_ms - at_s * 1_000 <= rule.over_ms + rule.period_ms


def _of_life(rule: Rule, name: str, life: Life, present_ms: tuple[int, int]) -> Finding:
    (start_ms, end_ms), over_ms = present_ms, rule.over_ms
    n, value = life.mean(start_ms, end_ms)
    reference_n, reference = life.mean(start_ms - rule.period_ms, end_ms - rule.period_ms)
    found = Finding(value, n, end_ms - over_ms, end_ms, reference, reference_n, service=name)
    if value is not None and reference is not None:
        return found
    needed_ms = WARM_UP_S * 1_000 + rule.period_ms + over_ms
    known_ms = max(0, end_ms - life.first_s * 1_000)
    note = (
        f"it is known for {duration_text(known_ms)}, {duration_text(needed_ms)} are needed, "
        f"{duration_text(WARM_UP_S * 1_000)} of warm-up among them"
    )
    return Finding(
        life.last, max(n, 1), end_ms - over_ms, end_ms, service=name, doubt=Reason.TOO_FEW_SAMPLES, note=note
    )
