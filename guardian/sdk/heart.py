"""When an instance says that it is alive: every few seconds, and soon after a document that it uses was replaced.

Soon, and not at once: a flag change reaches a thousand instances in one moment, and they must not all answer in it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, runtime_checkable


class Heart:
    """Beats on the loop of whoever sends.

    Args:
        beat: says that this instance is alive; None for nothing.
        every_s: seconds between two beats; 0 for none at all.
        soon_s: after a change the next beat comes at a random moment within so many seconds.
    """

    def __init__(self, beat: Callable[[], None] | None, every_s: float, soon_s: float) -> None:
        self._beat = beat
        self._every_s = every_s
        self._soon_s = min(soon_s, every_s)
        self.rest()

    def rest(self) -> None:
        """Belong to no loop: before the first one, and in a forked child, which must not touch its parent's."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()

    def hurry(self) -> None:
        """A document in use was replaced; called from any thread. Between two connections nothing needs doing."""
        loop, changed = self._loop, self._changed
        if loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(changed.set)

    async def run(self) -> None:
        """Beat for as long as the connection lasts."""
        if self._beat is None or self._every_s <= 0:
            return
        self._changed = changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        while True:
            # Forgotten before the beat reads what is in use: a change that comes now has a beat of its own.
            changed.clear()
            self._beat()
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), self._every_s)
                await asyncio.sleep(random.uniform(0, self._soon_s))  # noqa: S311 (no secret, so that all spread)


@runtime_checkable
class TellsChanges(Protocol):
    """A provider that says when documents in use were replaced; GuardianProvider is one."""

    def tell_changes(self, heart: Heart) -> None:
        """Hurry this heart at every change, for as long as it lives."""
