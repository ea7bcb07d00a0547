"""Which rollouts there are, as hints for senders of events want to know it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

from guardian.core.outputs import RolloutStatus
from guardian.core.rollout import DEFAULT_SETTLE_MS


class Declared:
    """The rollouts that are known, for the time of one request.

    Args:
        rollouts: their statuses, by flag.
    """

    def __init__(self, rollouts: Mapping[str, RolloutStatus]) -> None:
        self._rollouts = rollouts

    def variants(self, flag: str) -> Collection[str] | None:
        """Return the variants of a flag's rollout, None when there is none."""
        status = self._rollouts.get(flag)
        return None if status is None else (status.state.control, status.state.candidate)

    def is_settling(self, flag: str, at_s: float) -> bool:
        """Return whether an event of this time comes too soon after a change of the flag to count without a version.

        A spec with a `settle` of its own is not looked into: then the answer is no.
        """
        status = self._rollouts.get(flag)
        if status is None or "settle" in status.spec:
            return False
        return at_s * 1_000 < status.state.changed_ms + DEFAULT_SETTLE_MS

    def has_component(self, component: str) -> bool:
        """Return whether a rollout names this component."""
        return component in self._components

    @cached_property
    def _components(self) -> set[str]:
        lists = (status.spec.get("components") for status in self._rollouts.values())
        return {name for names in lists if isinstance(names, list) for name in names if isinstance(name, str)}
