"""Who was served what since the step's evidence began: the counts that say whether the evidence can be trusted.

Rules look at figures of an arm. These counts are about the arms themselves: how often the candidate was served, how
requests are shared out between the arms, which requests do not say their assignment, and which name no declared arm.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from guardian.core.events import Assignment
from guardian.core.outputs import Alert

MAX_UNKNOWN: Final = 8
"""Undeclared variants that are kept by name; the others share one name."""
OTHERS: Final = "(others)"
MAX_VARIANT_CHARS: Final = 64
RECENT_S: Final = 300
"""Recent is the present slice of so much event time and the one before it."""


class ShareCounts(Struct):
    """Requests of both arms, by what they say of their assignment; allowed, denied and overridden ones are left out.

    Args:
        control, candidate: requests of assignment `split`.
        control_unattributed, candidate_unattributed: requests that do not say their assignment.
    """

    control: int = 0
    candidate: int = 0
    control_unattributed: int = 0
    candidate_unattributed: int = 0

    def add(self, assignment: str, n: int, *, is_candidate: bool) -> None:
        """Count requests of one arm."""
        if assignment == Assignment.SPLIT:
            self.candidate += n if is_candidate else 0
            self.control += 0 if is_candidate else n
        elif assignment == Assignment.UNATTRIBUTED:
            self.candidate_unattributed += n if is_candidate else 0
            self.control_unattributed += 0 if is_candidate else n

    def pair(self) -> tuple[int, int]:
        """Return control's and the candidate's requests: of the split where any say so, else those that do not say."""
        if self.control or self.candidate:
            return self.control, self.candidate
        return self.control_unattributed, self.candidate_unattributed

    def plus(self, other: ShareCounts) -> ShareCounts:
        """Return the sum of both."""
        return ShareCounts(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


class Exposure(Struct):
    """What the present step's events say about the arms themselves.

    Args:
        known: requests and migration calls of declared arms.
        calls: migration calls of the candidate.
        pairs: dual runs.
        step: both arms since the step's evidence began.
        settled: both arms since the step's flag change has had time to reach everybody.
        slot: which slice of RECENT_S the newest of those requests belongs to.
        recent, older: both arms in that slice and in the one before it.
        newest_s: the newest second with a request of the candidate, 0 without any.
        since_newest: control's requests in later seconds than that one.
        unknown: requests by a variant that the spec does not declare.
        unknown_ms: log time of the last of them; no flag change empties it.
        alerts: the active alerts on doubts about the evidence, by name; no flag change empties them.
        tells_control: whether the application has ever told of control; no flag change forgets it.
    """

    known: int = 0
    calls: int = 0
    pairs: int = 0
    step: ShareCounts = field(default_factory=ShareCounts)
    settled: ShareCounts = field(default_factory=ShareCounts)
    slot: int = 0
    recent: ShareCounts = field(default_factory=ShareCounts)
    older: ShareCounts = field(default_factory=ShareCounts)
    newest_s: int = 0
    since_newest: ShareCounts = field(default_factory=ShareCounts)
    unknown: dict[str, int] = field(default_factory=dict)
    unknown_ms: int = 0
    alerts: dict[str, Alert] = field(default_factory=dict)
    tells_control: bool = False

    def take_requests(self, assignment: str, second: int, n: int, *, is_candidate: bool, settled_s: int) -> None:
        """Count requests of one arm in one second.

        Args:
            assignment: as the events say.
            second: of event time.
            n: how many.
            is_candidate: whose.
            settled_s: event time from which everybody has had time to follow the flag change.
        """
        self.step.add(assignment, n, is_candidate=is_candidate)
        if second >= settled_s:
            self.settled.add(assignment, n, is_candidate=is_candidate)
            self._turn(second // RECENT_S)
            self.recent.add(assignment, n, is_candidate=is_candidate)
        if is_candidate:
            if second > self.newest_s:
                self.newest_s, self.since_newest = second, ShareCounts()
            return
        self.tells_control = True
        if second > self.newest_s:
            self.since_newest.add(assignment, n, is_candidate=False)

    def _turn(self, slot: int) -> None:
        if slot > self.slot:
            self.older = self.recent if slot == self.slot + 1 else ShareCounts()
            self.recent, self.slot = ShareCounts(), slot

    def recent_pair(self, watermark_s: int) -> tuple[int, int]:
        """Return control's and the candidate's settled requests of the last five to ten minutes."""
        slot = watermark_s // RECENT_S
        if slot <= self.slot:
            return self.recent.plus(self.older).pair()
        return self.recent.pair() if slot == self.slot + 1 else (0, 0)

    def take_unknown(self, variant: str, n: int, log_ms: int) -> None:
        """Count requests that name no declared arm."""
        name = variant[:MAX_VARIANT_CHARS]
        if name not in self.unknown and len(self.unknown) >= MAX_UNKNOWN:
            name = OTHERS
        self.unknown[name] = self.unknown.get(name, 0) + n
        self.unknown_ms = log_ms

    def clear(self) -> None:
        """Forget every count: a flag change begins new evidence."""
        self.known = self.calls = self.pairs = self.newest_s = self.slot = 0
        self.step, self.settled, self.recent, self.older, self.since_newest = (ShareCounts() for _ in range(5))
        self.unknown = {}
