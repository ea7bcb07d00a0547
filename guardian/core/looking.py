"""What a rule finds in a rollout's state: its metric on its window, and what it is compared with."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from guardian.core.baseline import MIN_GAUGE_SAMPLES
from guardian.core.evidence_doubts import SILENT_ARM, unattributed_text
from guardian.core.finding import EVER, Finding, Since, find
from guardian.core.fleet import MAX_NAMED, name_of
from guardian.core.freezing import too_small
from guardian.core.gauges import Line
from guardian.core.growth import BY_MEAN, find_growth, has_untracked
from guardian.core.instant import Instant
from guardian.core.rollout import NAMED_PREFIX, Against, Op, Origin, Rule
from guardian.core.state import RolloutState
from guardian.core.text import count_text, duration_text
from guardian.core.windows import Series, Tally
from guardian.core.words import WEIGHT_FULL_BP, Phase, Reason

EVER_MS: Final = 1 << 62


def look(state: RolloutState, rule: Rule, needed: int, now: Instant, at_ms: int, since: Since = EVER) -> Finding:
    """Return what a rule finds at an event time.

    Args:
        rule: of a gate or a trigger.
        needed: requests needed on either side; a window below it widens to at most the hold.
        at_ms: the end of trailing windows, in event time.
        since: from where the evidence counts.
    """
    match rule.metric.origin:
        case Origin.PEOPLE:
            bugs = int(state.reported.bugs - since.mine[1])
            return Finding(bugs, 1, basis=(bugs and state.reported.last_bug) or "none reported")
        case Origin.HEARTBEATS:
            return _silence(state, rule, now, at_ms, max(state.content_ms, since.ms))
        case Origin.GAUGES:
            return _worst_service(state, rule, at_ms, max(state.content_ms, since.ms))
        case _:
            return _outside(state, rule, now, _of_arms(state, rule, needed, at_ms, since), since)


def look_on_arrival(state: RolloutState, rule: Rule, at_ms: int, since: Since) -> Finding:
    """Return a count on all that has arrived, what lies ahead of `at_ms` too."""
    start_ms = max(at_ms - rule.over_ms, since.ms)
    tally = state.series.window(start_ms, EVER_MS, latency=False, figure=rule.metric.key)
    return _summed(state.series, rule, find(rule.metric, tally, start_ms, at_ms), start_ms)


def doubt_low_count(state: RolloutState, rule: Rule, found: Finding) -> Finding:
    """Doubt a count that is low for another reason than the candidate's.

    A window that reaches back beyond the flag change, or that of its trigger, is not full yet. None at all is judged
    when by control's requests the candidate should have had the limit, and enough that none is no chance: then one arm
    is silent. Otherwise it is no traffic, which is no data.
    """
    if not state.weight_bp or state.killed:
        return replace(found, doubt=Reason.NO_DATA, note="nobody is served the candidate")
    is_cut = found.end_ms - found.start_ms < rule.over_ms  # its trigger was changed within the window
    is_fresh = found.start_ms < state.content_ms + state.spec.settle_ms or found.end_ms < state.promote_after_ms
    if is_cut or is_fresh:
        return replace(found, doubt=Reason.SETTLING, note=f"not {duration_text(rule.over_ms)} of evidence yet")
    if found.n or state.arms is None or rule.metric.origin is not Origin.REQUESTS:
        return found
    control = state.arms.series[state.spec.variants.control]
    n = control.window(found.start_ms, found.end_ms, latency=False, figure="").n
    if not n or n * state.weight_bp < max(rule.limit, SILENT_ARM) * (WEIGHT_FULL_BP - state.weight_bp):
        return found
    return replace(found, basis=f"control had {count_text(n)}")


# Arms


def _of_arms(state: RolloutState, rule: Rule, needed: int, at_ms: int, since: Since) -> Finding:
    over_ms = rule.over_ms
    while True:
        found = _on_window(state, rule, at_ms, over_ms, since)
        enough = min(found.n, found.reference_n if rule.against is Against.CONTROL else found.n) >= needed
        if enough or over_ms >= rule.hold_ms or rule.per_step:
            break
        over_ms = min(2 * over_ms, rule.hold_ms)
    match rule.against:
        case Against.CONTROL:
            return _doubt_control(state, found, needed)
        case Against.BASELINE:
            return _doubt_baseline(state, rule, found, needed)
        case Against.PAST:
            return _doubt_past(rule, found, needed)
        case _:
            return found


def _on_window(state: RolloutState, rule: Rule, at_ms: int, over_ms: int, since: Since) -> Finding:
    """The metric, and what it is compared with, on windows of this length.

    Of a step's figures what counted before `since` is subtracted. A quantile is no sum: after a change it is taken
    from the buckets that began since.
    """
    start_ms, end_ms = (0, 0) if rule.per_step else (max(at_ms - over_ms, since.ms), at_ms)
    if rule.per_step and since.ms and rule.metric.quantile is not None:
        start_ms, end_ms = since.ms, EVER_MS
    variants, arms = state.spec.variants, state.arms
    if rule.against is Against.CONTROL and arms is not None:
        both = (variants.candidate, variants.control)
        mine, other = (_part(arms.series[v], arms.tally(v), rule, start_ms, end_ms) for v in both)
    else:
        mine = _part(state.series, state.candidate_tally(), rule, start_ms, end_ms)
        other = Tally()
        if rule.against is Against.BASELINE and state.baseline is not None:
            other = state.baseline.tally
        elif rule.against is Against.PAST:
            past_ms = at_ms - rule.period_ms
            other = _part(state.series, other, rule, past_ms - over_ms, past_ms)
    shown_ms = (since.ms, max(at_ms, since.ms)) if rule.per_step and since.ms else (start_ms, end_ms)
    found = find(rule.metric, mine, *shown_ms, since.mine)
    if end_ms:
        of_arm = arms.series[variants.candidate] if rule.against is Against.CONTROL and arms else state.series
        found = _summed(of_arm, rule, found, start_ms)
    if rule.against is Against.NONE:
        return found
    reference = find(rule.metric, other, less=since.other)
    return replace(found, reference=reference.value, reference_n=reference.n)


def _part(series: Series, since_step: Tally, rule: Rule, start_ms: int, end_ms: int) -> Tally:
    if not end_ms:
        return since_step
    latency = rule.metric.quantile is not None
    return series.window(start_ms, end_ms, latency=latency, figure=rule.metric.key)


def _summed(series: Series, rule: Rule, found: Finding, start_ms: int) -> Finding:
    """Name from where a window was summed in truth, and what precision its figures have."""
    latency, figure = rule.metric.quantile is not None, rule.metric.key
    summed_ms = series.start_ms(start_ms, latency=latency, figure=figure)
    precision = series.precision(latency=latency, figure=figure)
    if summed_ms == start_ms and not precision:
        return found
    return replace(found, summed_ms=min(summed_ms, found.end_ms), precision=precision)


def _doubt_control(state: RolloutState, found: Finding, needed: int) -> Finding:
    if state.weight_bp >= WEIGHT_FULL_BP:
        return replace(found, doubt=Reason.NO_CONTROL, note="no control to compare with at 100%")
    if min(found.n, found.reference_n) < max(needed, 1) and (note := unattributed_text(state)):
        return replace(found, doubt=Reason.TOO_FEW_SAMPLES if found.n else Reason.NO_DATA, note=note)
    if found.reference is not None and found.reference_n < needed:
        return replace(found, doubt=Reason.TOO_FEW_SAMPLES)
    return found


def _doubt_baseline(state: RolloutState, rule: Rule, found: Finding, needed: int) -> Finding:
    declared = state.spec.baseline.get(rule.metric.name)
    if declared is not None:
        return replace(found, reference=declared, reference_n=0)
    if state.baseline is not None and found.reference is not None and found.reference_n >= needed:
        return found
    return replace(found, doubt=Reason.BASELINE_TOO_SMALL, note=too_small(state, found.reference_n, needed))


def _doubt_past(rule: Rule, found: Finding, needed: int) -> Finding:
    if found.reference is not None and found.reference_n >= needed:
        return found
    note = (
        f"{count_text(found.reference_n)} of {count_text(max(needed, 1))} requests are known from "
        f"{duration_text(rule.period_ms)} before"
    )
    return replace(found, doubt=Reason.TOO_FEW_SAMPLES, note=note)


def _outside(state: RolloutState, rule: Rule, now: Instant, found: Finding, since: Since) -> Finding:
    """What an operator has set stands where no event measures the figure itself."""
    name = rule.metric.key.removeprefix(NAMED_PREFIX)
    outside = state.reported.outside.get(name) if rule.metric.key.startswith(NAMED_PREFIX) else None
    if outside is None or found.n:
        return found
    if state.phase is Phase.ROLLED_BACK and outside.at_ms <= state.content_ms:
        # What led to the rollback must not lead to the next one too; what is set from now on may.
        note = "it was set before the rollback"
        return replace(found, value=outside.value, doubt=Reason.SETTLING, note=note)
    if outside.at_ms <= since.ms:
        return replace(
            found, value=outside.value, doubt=Reason.SETTLING, note="it was set before the trigger's evidence began"
        )
    if found.doubt not in (None, Reason.NO_DATA) and rule.against is not Against.NONE:
        return replace(found, value=outside.value)
    age = duration_text(max(0, now.log_ms - outside.at_ms) // 1_000 * 1_000)
    return replace(found, value=outside.value, n=1, basis=f"set by {outside.by} {age} ago")


# Services


def _silence(state: RolloutState, rule: Rule, now: Instant, at_ms: int, since_ms: int) -> Finding:
    if now.stale:
        return Finding(None, 0, doubt=Reason.STALE_EVIDENCE, note=f"guardian is blind: {now.stale}")
    services = state.fleet.quietest(at_ms, now.heard, since_ms)
    if not services:
        return Finding(None, 0, doubt=Reason.NO_DATA, note="no service has sent heartbeats for this flag")
    silent_ms, service, keys = services[0]
    names = ", ".join(name_of(key) for key in keys[:MAX_NAMED])
    more = f" and {len(keys) - MAX_NAMED} more" if len(keys) > MAX_NAMED else ""
    others = [name for other_ms, name, _ in services[1 : MAX_NAMED + 1] if other_ms >= rule.limit]
    too = f"; {', '.join(others)} too" if others else ""
    found = Finding(silent_ms, len(keys), at_ms - silent_ms, at_ms, service=service, basis=f"{names}{more}{too}")
    if found.start_ms <= since_ms and silent_ms < rule.limit:
        # Silence counts from the change of the flag or of the trigger; but who has not spoken since has not been shown
        # to be well.
        return replace(found, doubt=Reason.SETTLING, note="no heartbeat since the flag or the trigger changed")
    return found


def _worst_service(state: RolloutState, rule: Rule, at_ms: int, since_ms: int) -> Finding:
    """The service whose gauge is nearest to its bound, or furthest beyond it."""
    lines = state.gauges.lines.get(rule.metric.key, {}) if state.gauges else {}
    found = [each for service in sorted(lines) for each in _of_gauge(state, rule, lines, service, (since_ms, at_ms))]
    known = [each for each in found if each.value is not None]
    if not known:
        return Finding(None, 0, doubt=Reason.NO_DATA, note="no service has reported it in this time")
    fit = [each for each in known if each.doubt is None]
    return max(fit, key=lambda each: _excess(rule, each)) if fit else known[0]


def _of_gauge(
    state: RolloutState, rule: Rule, lines: dict[str, Line], service: str, present_ms: tuple[int, int]
) -> list[Finding]:
    """A service by its mean; growth by instances, and by the mean only where some of them found no room."""
    if rule.against is not Against.PAST or state.gauges is None:
        return [_of_service(state, rule, lines, service, present_ms)]
    found = find_growth(state.gauges.instances, rule, service, *present_ms)
    if has_untracked(state.gauges.instances, rule, service, present_ms[1]):
        found.append(replace(_of_service(state, rule, lines, service, present_ms), precision=BY_MEAN))
    return found


def _excess(rule: Rule, found: Finding) -> float:
    """By which share a value lies beyond its bound."""
    bound, value = rule.bound(found.reference), found.value
    if bound is None or value is None:
        return float("-inf")
    beyond = value - bound if rule.op in (Op.ABOVE, Op.AT_LEAST) else bound - value
    return beyond / abs(bound) if bound else beyond * EVER_MS


def _present(line: Line, rule: Rule, since_ms: int, at_ms: int) -> tuple[int, int, float | None]:
    """Return start, samples and mean of a gauge's window; one without samples widens to at most the hold.

    A service tells its gauges at its own pace. One sample alone never fills a hold: its minute is out of the window
    before the hold is over.
    """
    over_ms = rule.over_ms
    while True:
        start_ms = at_ms - over_ms + (1 if over_ms > rule.over_ms else 0)
        # What led to a flag change must not lead to the next one too: of the present, only what came since counts.
        n, value = line.window(max(start_ms, since_ms), at_ms)
        if n or over_ms >= rule.hold_ms:
            return at_ms - over_ms, n, value
        over_ms = min(2 * over_ms, rule.hold_ms)


def _of_service(
    state: RolloutState, rule: Rule, lines: dict[str, Line], service: str, present_ms: tuple[int, int]
) -> Finding:
    (since_ms, at_ms), line = present_ms, lines[service]
    start_ms, n, value = _present(line, rule, since_ms, at_ms)
    found = Finding(value, n, start_ms, at_ms, service=service)
    if rule.against is Against.NONE:
        return found
    if rule.against is Against.PAST:
        n, reference = line.window(start_ms - rule.period_ms, at_ms - rule.period_ms)
        found = replace(found, reference=reference, reference_n=n)
        if reference is None:
            note = f"its past begins {duration_text(max(0, at_ms - line.since_ms()))} ago, " + (
                f"{duration_text(rule.period_ms + rule.over_ms)} are needed"
            )
            return replace(found, doubt=Reason.TOO_FEW_SAMPLES, note=note)
        return found
    declared = state.spec.baseline.get(rule.metric.name)
    if declared is not None:
        return replace(found, reference=declared)
    n, reference = state.baseline.gauge(rule.metric.key, service) if state.baseline else (0, None)
    found = replace(found, reference=reference, reference_n=n)
    if n < MIN_GAUGE_SAMPLES:
        note = too_small(state, n, MIN_GAUGE_SAMPLES)
        return replace(found, doubt=Reason.BASELINE_TOO_SMALL, note=note)
    return found
