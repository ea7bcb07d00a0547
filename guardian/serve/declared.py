"""Which rollouts there are, as hints for senders of events want to know it."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

from guardian.serve.board import Board


class Declared:
    """The rollouts of the read models, for the time of one request.

    Args:
        board: the read models.
    """

    def __init__(self, board: Board) -> None:
        self._rollouts = board.rollouts

    def variants(self, flag: str) -> Collection[str] | None:
        """Return the variants of a flag's rollout, None when there is none."""
        status = self._rollouts.get(flag)
        return None if status is None else (status.state.control, status.state.candidate)

    def has_component(self, component: str) -> bool:
        """Return whether a rollout names this component."""
        return component in self._components

    @cached_property
    def _components(self) -> set[str]:
        lists = (status.spec.get("components") for status in self._rollouts.values())
        return {name for names in lists if isinstance(names, list) for name in names if isinstance(name, str)}
