"""What has happened in the demo so far: fed with facts, read by the screen, and without any I/O of its own."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from guardian.cli.shop.report import Report
from guardian.core.outputs import Decision, RolloutStatus
from guardian.core.text import count_text, duration_text, weight_text
from guardian.core.words import Phase, Reason

_DECISIONS_KEPT = 6
_BACK = (Phase.ROLLING_BACK, Phase.ROLLED_BACK)


@dataclass
class Scene:
    """The facts, as far as they are known.

    Args:
        status: the newest from guardian.rollouts.
        shop: the newest report of the shop.
        decisions: the last of guardian.decisions, the newest last.
        promotions: how often the candidate's share grew in this attempt.
        first_failure_ms: when the first request failed, by the shop's clock; 0 before.
        first_error: what it raised.
        rollback: the decision that took the candidate back.
        flipped_ms: when the shop's SDK answered control for every customer; 0 before.
        failed_at_flip: requests that had failed until then.
        attempt: which attempt this is, from 1.
        result_before, sentence_before: how the attempt before ended.
        began_s: when the curtain rose, on the monotonic clock.
    """

    status: RolloutStatus | None = None
    shop: Report | None = None
    decisions: deque[Decision] = field(default_factory=lambda: deque(maxlen=_DECISIONS_KEPT))
    promotions: int = 0
    first_failure_ms: float = 0.0
    first_error: str = ""
    rollback: Decision | None = None
    flipped_ms: float = 0.0
    failed_at_flip: int = 0
    attempt: int = 1
    result_before: dict[str, Any] | None = None
    sentence_before: str = ""
    began_s: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """Return the seconds since the curtain rose."""
        return time.monotonic() - self.began_s

    def decided(self, decision: Decision) -> None:
        """Take a decision in."""
        self.decisions.append(decision)
        if decision.phase in _BACK and decision.reason is Reason.TRIGGER_FIRED and self.rollback is None:
            self.rollback = decision
        elif decision.from_weight_bp < decision.weight_bp and not decision.command:
            self.promotions += 1

    def reported(self, report: Report) -> None:
        """Take a report of the shop in."""
        self.shop = report
        if report.attempt != self.attempt:
            return  # said before the repair was heard
        if report.first_failure_s and not self.first_failure_ms:
            self.first_failure_ms = report.first_failure_s * 1_000
            self.first_error = report.first_error
        if report.flipped_s and not self.flipped_ms:
            self.flipped_ms = report.flipped_s * 1_000
            self.failed_at_flip = report.failed

    @property
    def is_over(self) -> bool:
        """Whether the candidate is back: decided, and seen by every customer."""
        return self.rollback is not None and self.flipped_ms > 0

    @property
    def bad_to_decision_ms(self) -> float | None:
        """From the first failing request to the decision's log time, in milliseconds."""
        if self.rollback is None or not self.first_failure_ms:
            return None
        return round(self.rollback.at_ms - self.first_failure_ms, 1)

    @property
    def bad_to_sdk_flip_ms(self) -> float | None:
        """From the first failing request to the SDK's answer being control for everybody, in milliseconds."""
        if not self.flipped_ms or not self.first_failure_ms:
            return None
        return round(self.flipped_ms - self.first_failure_ms, 1)

    def sentence(self) -> str:
        """Return in plain words what happened and how long it took; empty before it is over for the first time."""
        if not self.is_over or self.rollback is None or self.bad_to_sdk_flip_ms is None:
            return self.sentence_before
        noticed = duration_text(round(self.bad_to_decision_ms or 0.0))
        back = duration_text(round(self.bad_to_sdk_flip_ms))
        share = weight_text(self.rollback.from_weight_bp)
        return (
            f"The new pricing, by then at {share} of the customers, began to fail with {self.first_error}; "
            f"guardian decided to take it back {noticed} after the first failed request ({self.rollback.text}), "
            f"and every customer had the old price again after {back}: "
            f"{count_text(self.failed_at_flip)} requests failed in all."
        )

    def result(self) -> dict[str, Any]:
        """Return the JSON object that `--json` ends with; what was not measured is null."""
        rollback = self.rollback
        if rollback is None and self.result_before is not None:
            return self.result_before
        return {
            "rolled_back": self.is_over,
            "events": self.shop.events if self.shop else 0,
            "bad_to_decision_ms": self.bad_to_decision_ms,
            "bad_to_sdk_flip_ms": self.bad_to_sdk_flip_ms,
            "trigger": rollback.trigger if rollback else None,
            "reason": str(rollback.reason) if rollback else None,
            "text": rollback.text if rollback else None,
            "failed_requests": self.failed_at_flip if self.is_over else self.shop.failed if self.shop else 0,
            "first_error": self.first_error or None,
            "promotions": self.promotions,
            "from_weight_bp": rollback.from_weight_bp if rollback else None,
            "weight_bp": rollback.weight_bp if rollback else None,
        }

    def begin_attempt(self) -> None:
        """Keep how the attempt ended, and begin anew."""
        self.sentence_before, self.result_before = self.sentence(), self.result()
        self.attempt += 1
        self.promotions = 0
        self.first_failure_ms = self.flipped_ms = 0.0
        self.first_error = ""
        self.rollback = None
        self.failed_at_flip = 0
