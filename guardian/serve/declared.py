"""Which rollouts there are, as hints for senders of events want to know it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Final

from guardian.core.outputs import RolloutStatus
from guardian.core.rollout import DEFAULT_SETTLE_MS

_CONTROL: Final = re.compile(r"\bcontrol\b", re.IGNORECASE)


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

    def needs_assignment(self, flag: str) -> bool:
        """Return whether a flag's rollout compares with control, and takes no event that does not say its assignment.

        The rules are looked for in the document as it was applied, whatever else it says.
        """
        status = self._rollouts.get(flag)
        if status is None or status.spec.get("assume_split") is True:
            return False
        return any(_CONTROL.search(rule) for rule in _rules(status.spec))

    def has_component(self, component: str) -> bool:
        """Return whether a rollout names this component."""
        return component in self._components

    @cached_property
    def _components(self) -> set[str]:
        lists = (status.spec.get("components") for status in self._rollouts.values())
        return {name for names in lists if isinstance(names, list) for name in names if isinstance(name, str)}


def _rules(spec: Mapping[str, object]) -> Iterator[str]:
    """Yield the rules of a spec's document, as they are written."""
    steps = spec.get("steps")
    owners = [spec, *(step for step in (steps if isinstance(steps, list) else []) if isinstance(step, dict))]
    for owner in owners:
        for word in ("triggers", "gates"):
            items = owner.get(word)
            for item in items if isinstance(items, list) else []:
                rule = item.get("when") if isinstance(item, dict) else item
                if isinstance(rule, str):
                    yield rule
