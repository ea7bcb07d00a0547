"""Can the evidence of a step be trusted? Exposure, the share of each arm, a silent arm, undeclared variants.

Missing data never counts as a pass: each doubt says in numbers what is missing, and how the rollout goes on.
"""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct

from guardian.core.outputs import Evidence
from guardian.core.state import RolloutState
from guardian.core.text import count_text, counted, duration_text, number_text, weight_text
from guardian.core.words import WEIGHT_FULL_BP, Phase, Reason

SILENT_ARM: Final = 10
"""So many requests expected and none seen: by chance that happens once in 22,000 times, exp(10)."""
SILENT_MS: Final = 30_000
"""An arm that was heard of within this event time is not silent."""
FOLLOW_MS: Final = 15_000
"""Beyond `settle`, before the share of each arm is looked at: instances need time to follow a flag change."""
SHARE_FACTOR: Final = 2
"""A share is doubted from this factor between the odds expected and the odds seen."""
SHARE_Z: Final = 5.0
"""And from so many standard deviations, which chance exceeds once in 1.7 million times."""
SHARE_CLUSTER: Final = 4
"""Requests of one subject come together: their variance is taken as so many times that of single ones."""
STRAY_MIN: Final = 10
"""Requests of an arm that nobody should be served, from which they are an alert, if they are a STRAY_SHARE of all."""
STRAY_SHARE: Final = 100
UNKNOWN_MIN: Final = 10
"""Requests of undeclared variants that are more than a trace, if they are an UNKNOWN_SHARE of all."""
UNKNOWN_SHARE: Final = 100
UNKNOWN_QUIET_MS: Final = 300_000
"""After so much log time without one, undeclared variants are over."""


class Doubt(Struct, frozen=True):
    """Why the evidence of a step does not carry a promotion.

    Args:
        reason: in a word.
        text: in numbers, with the way out.
        evidence: the numbers.
    """

    reason: Reason
    text: str
    evidence: Evidence = Evidence()


def exposed(state: RolloutState) -> int:
    """Return how often the candidate was seen in this step: requests or calls, in a step of 0 % dual runs."""
    if not state.weight_bp:
        return state.exposure.pairs
    # An application may tell of one call twice, as a request and as a migration event.
    return max(state.candidate_tally().n, state.exposure.calls)


def find_no_exposure(state: RolloutState, elapsed_ms: int) -> Doubt | None:
    """Doubt a step in which the candidate was hardly seen.

    Args:
        elapsed_ms: event time since the step's evidence began.
    """
    step = state.step
    if step is None or not (state.weight_bp or step.dual_run_bp):
        return None
    n, needed = exposed(state), step.min_exposure
    if n >= needed:
        return None
    what = "requests of the candidate" if state.weight_bp else "dual runs"
    expected = _expected_text(state) if state.weight_bp and not n else ""
    text = f"{count_text(n)} of {count_text(needed)} {what} in this step{expected}{pace_text(n, needed, elapsed_ms)}"
    return Doubt(Reason.NO_EXPOSURE, text, Evidence(metric="request_count", value=n, n=n, needed=needed))


def pace_text(n: int, needed: int, elapsed_ms: int) -> str:
    """Return at which rate samples come and how long the rest takes: `; at 12/min about 7m more`."""
    if n <= 0 or elapsed_ms <= 0 or n >= needed:
        return ""
    rest_ms = math.ceil((needed - n) * elapsed_ms / n / 1_000) * 1_000
    return f"; at {per_minute_text(n, elapsed_ms)} about {duration_text(rest_ms)} more"


def per_minute_text(n: int, elapsed_ms: int) -> str:
    """Return a rate as people speak of it: `12/min`."""
    per_minute = n * 60_000 / max(1, elapsed_ms)
    return f"{number_text(round(per_minute) if per_minute >= 1 else round(per_minute, 2))}/min"


def _expected_text(state: RolloutState) -> str:
    control, _ = state.exposure.step.pair()
    expected = _expected_candidate(control, state.weight_bp)
    if expected < 1:
        return ""
    return f", where control's {count_text(control)} let expect about {count_text(round(expected))}"


def _expected_candidate(control: int, weight_bp: int) -> float:
    return control * weight_bp / (WEIGHT_FULL_BP - weight_bp) if weight_bp < WEIGHT_FULL_BP else 0.0


def find_silent_candidate(state: RolloutState, watermark_ms: int) -> Doubt | None:
    """Doubt evidence whose newest request of the candidate is old, when control's traffic says there should be some."""
    seen = state.exposure
    silent_ms = watermark_ms - (seen.newest_s + 1) * 1_000
    if not seen.newest_s or not state.weight_bp or silent_ms < SILENT_MS:
        return None
    if seen.step.control or seen.step.candidate:
        control = seen.since_newest.control
    else:
        control = seen.since_newest.control_unattributed
    expected = _expected_candidate(control, state.weight_bp)
    if expected < SILENT_ARM:
        return None
    text = (
        f"no request of the candidate for {duration_text(silent_ms)}, while control had {count_text(control)}: "
        f"about {count_text(round(expected))} were expected"
    )
    return Doubt(Reason.ONE_ARM_SILENT, text, Evidence(metric="request_count", value=0, reference_n=control))


def find_odd_share(state: RolloutState, watermark_ms: int) -> Doubt | None:
    """Doubt evidence whose requests are not shared out as the weight says, in either direction.

    Looked at are all requests of the step, and those of the last minutes, from the time on at which everybody has
    had time to follow the flag change. An application that has never told of control cannot be measured.
    """
    variants = state.spec.variants
    weight_bp = 0 if state.killed else state.weight_bp
    if not state.attempt or (weight_bp and not state.exposure.tells_control):
        return None
    recent = state.exposure.recent_pair(watermark_ms // 1_000)
    pairs = [recent] if weight_bp in (0, WEIGHT_FULL_BP) else [state.exposure.settled.pair(), recent]
    odd = next((pair for pair in pairs if is_odd_share(*pair, weight_bp)), None)
    if odd is None:
        return None
    control, candidate = odd
    seen = weight_text(round(WEIGHT_FULL_BP * candidate / (control + candidate)))
    text = (
        f"{count_text(candidate)} requests of {variants.candidate} beside {count_text(control)} of {variants.control} "
        f"are {seen}, where the weight is {weight_text(weight_bp)}"
    )
    evidence = Evidence(metric="share", value=candidate, n=control + candidate, reference_n=control)
    return Doubt(Reason.SHARE_MISMATCH, text, evidence)


def is_odd_share(control: int, candidate: int, weight_bp: int) -> bool:
    """Return whether requests are shared out far from the weight: by a factor, and beyond chance.

    Args:
        control, candidate: requests of each arm.
        weight_bp: the candidate's share as it should be.
    """
    n = control + candidate
    if weight_bp in (0, WEIGHT_FULL_BP):
        stray = control if weight_bp else candidate
        return stray >= STRAY_MIN and stray * STRAY_SHARE >= n
    share = weight_bp / WEIGHT_FULL_BP
    wanted, seen = control * share, candidate * (1 - share)
    if wanted <= SHARE_FACTOR * seen and seen <= SHARE_FACTOR * wanted:
        return False
    deviation = abs(candidate - n * share)
    return deviation > SHARE_Z * math.sqrt(SHARE_CLUSTER * n * share * (1 - share))


def is_followed(state: RolloutState, watermark_ms: int) -> bool:
    """Return whether everybody has had time to follow the last flag change."""
    return watermark_ms >= followed_ms(state)


def followed_ms(state: RolloutState) -> int:
    """Return the event time from which everybody has had time to follow the last flag change."""
    return state.content_ms + state.spec.settle_ms + FOLLOW_MS


def find_unknown_variants(state: RolloutState, log_ms: int) -> Doubt | None:
    """Doubt evidence beside which requests arrive that name no declared arm: nobody judges those."""
    seen = state.exposure
    if not seen.unknown or log_ms - seen.unknown_ms >= UNKNOWN_QUIET_MS or state.phase is Phase.ARCHIVED:
        return None
    n = sum(seen.unknown.values())
    if n < UNKNOWN_MIN or n * UNKNOWN_SHARE < n + seen.known:
        return None
    variants = state.spec.variants
    names = ", ".join(f"{name!r} ({count_text(m)})" for name, m in seen.unknown.items())
    text = (
        f"{counted(n, 'request')} of {count_text(n + seen.known)} name a variant that no rule looks at: {names}; "
        f"the spec declares {variants.control!r} and {variants.candidate!r}"
    )
    return Doubt(Reason.UNKNOWN_VARIANT, text, Evidence(metric="request_count", value=n, n=n + seen.known))


def unattributed_text(state: RolloutState) -> str:
    """Say how many requests are left out of comparisons because they do not say their assignment; empty for none."""
    step = state.exposure.step
    control, candidate = step.control_unattributed, step.candidate_unattributed
    if state.spec.assume_split or not (control or candidate):
        return ""
    parts = [f"{count_text(control)} control requests"] if control else []
    parts += [f"{count_text(candidate)} candidate requests"] if candidate else []
    return f"{' and '.join(parts)} do not say their assignment: send `assignment`, or declare `assume_split: true`"
