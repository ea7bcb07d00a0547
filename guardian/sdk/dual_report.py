"""What a dual run tells: migration events for guardian, and counts for the application; it never raises."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from guardian.sdk.answers import is_answer
from guardian.sdk.comparing import Comparison, compare
from guardian.sdk.dual_options import Plan
from guardian.sdk.dual_result import Result
from guardian.sdk.events import Once
from guardian.sdk.migrations import log_migration_event
from guardian.sdk.served import Served

_once: Final = Once()


def named(function: Callable[..., Any]) -> str:
    """Return the name of a function, or what stands for it."""
    return getattr(function, "__qualname__", "") or repr(function)


@dataclass
class DualRunCounts:
    """What became of the calls so far.

    Args:
        calls: all of them.
        matched, mismatched: comparisons that were told.
        sampled_out: calls that were not to be compared.
        over_rate: comparisons left out, as this second had enough of them.
        over_capacity: comparisons left out, as too many ran or waited already.
        not_copied: comparisons left out, as the arguments could not be copied.
        late: other implementations that took longer than `limit_ms`.
        cancelled: calls that were cancelled, and other implementations that were, such as at the end of the event
            loop; also those that hang when the process ends, or that never get a thread because others hang.
        compare_errors: comparisons that failed themselves, or met what cannot be compared.
        fallbacks: calls that the old implementation served because the new one failed.
    """

    calls: int = 0
    matched: int = 0
    mismatched: int = 0
    sampled_out: int = 0
    over_rate: int = 0
    over_capacity: int = 0
    not_copied: int = 0
    late: int = 0
    cancelled: int = 0
    compare_errors: int = 0
    fallbacks: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def add(self, name: str) -> None:
        """Count one."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)


class Reporter:
    """Tells about one decorated function.

    Args:
        plan: its options.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._leniency = plan.leniency()
        self.counts = DualRunCounts()

    def served(self, served: Served, result: Result) -> None:
        """Tell how the implementation that served did."""
        kind = "failure" if result.error is not None and not is_answer(result.error) else "success"
        self._tell(kind, served, result, duration=result.took_s)

    def agreed(self, served: Served, candidate: Result) -> None:
        """Tell that the new implementation served by raising what the old one raises: it does as it should."""
        self._tell("success", served, candidate, duration=candidate.took_s)

    def fell_back(self, served: Served, candidate: Result, reason: str) -> None:
        """Tell that the old implementation served, as the new one failed."""
        self.counts.add("fallbacks")
        self._tell("failure", served, candidate, duration=candidate.took_s)
        self._tell("fallback", served, candidate, reason=reason)

    def compared(self, served: Served, control: Result, candidate: Result) -> None:
        """Compare both, and tell it.

        Args:
            served: the evaluation.
            control, candidate: what both gave.
        """
        try:
            found = self._compare(control, candidate)
        except Exception as error:
            self.failed(error)
            return
        self._tell_pair(served, found, control.took_ms, candidate.took_ms)

    def late(self, served: Served, took_ms: float) -> None:
        """Tell that the candidate did not answer in time: no match, although nothing was compared."""
        found = Comparison(False, None, f"$: no answer from the candidate within {self._plan.limit_ms:g} ms")
        self._tell_pair(served, found, took_ms, self._plan.limit_ms)

    def cancelled(self, served: Served, result: Result, *, compared: bool) -> None:
        """Tell that a call did not end: it was cancelled, or the process ends.

        For guardian this is a failure of the one that served. Otherwise an implementation that hangs looks the better
        the more of its calls are given up.

        Args:
            served: the evaluation.
            result: of the implementation that the flag chose.
            compared: whether both would have been compared.
        """
        self.counts.add("cancelled")
        self._tell("failure", served, result, duration=result.took_s)
        if compared:
            by_candidate = served.value is True
            times = (None, result.took_ms) if by_candidate else (result.took_ms, None)
            self._event("dual_run", served, cancelled=True, control_ms=times[0], candidate_ms=times[1])

    def cancelled_aside(self, served: Served, first_ms: float, other_ms: float) -> None:
        """Tell that the implementation that did not serve was cancelled, or never ended.

        Args:
            served: the evaluation.
            first_ms: how long the one that served took.
            other_ms: how long the other one had run until then.
        """
        self.counts.add("cancelled")
        control_ms, candidate_ms = (other_ms, first_ms) if served.value is True else (first_ms, other_ms)
        self._event("dual_run", served, cancelled=True, control_ms=control_ms, candidate_ms=candidate_ms)

    def failed(self, error: BaseException) -> None:
        """Count a comparison that did not come about."""
        self.counts.add("compare_errors")
        _once.warn("a dual run of %s was not compared: %s: %s", self._plan.component, type(error).__name__, error)

    def without_candidate(self, control: Callable[..., Any]) -> None:
        """Say that the old implementation is called, and no new one is known."""
        name = named(control).rpartition(".")[2]
        text = "%s has no candidate: the old one serves alone, whatever the flag says; register one by @%s.candidate"
        _once.warn(text, self._plan.component, name)

    def not_copied(self, error: Exception) -> None:
        """Count a call that is not compared, as its arguments could not be copied."""
        self.counts.add("not_copied")
        _once.warn("arguments of %s are not copied, and it is not compared: %s", self._plan.component, error)

    def _compare(self, control: Result, candidate: Result) -> Comparison:
        own = self._plan.compare
        if own is None or control.error is not None or candidate.error is not None:
            most = self._plan.max_nodes
            return compare(control.draw(most), candidate.draw(most), self._leniency)
        try:
            said = own(control.value, candidate.value)
        except AssertionError as error:
            said = str(error).strip().partition("\n")[0]
        if isinstance(said, str):
            return Comparison(False, None, said[:300] or "the comparison says so")
        if said is None:
            raise TypeError("compare returned None, neither true nor false")
        return Comparison(bool(said), None, "" if said else "the comparison says so")

    def _tell_pair(self, served: Served, found: Comparison, control_ms: float, candidate_ms: float) -> None:
        self.counts.add("matched" if found.match else "mismatched")
        self._event(
            "dual_run",
            served,
            match=found.match,
            control_ms=control_ms,
            candidate_ms=candidate_ms,
            deviation=found.deviation,
            difference=found.difference,
            whole=None if found.whole else False,
        )

    def _tell(self, kind: str, served: Served, result: Result, duration: float | None = None, reason: str = "") -> None:
        metadata = {"reason": reason} if reason else {}
        self._event(kind, served, duration, metadata, error_type=result.error_type)

    def _event(
        self,
        kind: str,
        served: Served,
        duration: float | None = None,
        metadata: dict[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        metadata = {"feature_flag_enabled": served.value is True, **(metadata or {})}
        # The spec's `components` say whose event it is, unless the flag was named here or is known.
        flag = self._plan.flag or (served.flag if served.variant else None)
        stamp = {"flag": flag, "variant": served.variant, "assignment": served.assignment if served.variant else None}
        version = served.version or None
        log_migration_event(self._plan.component, kind, duration, metadata, **stamp, flag_version=version, **fields)
