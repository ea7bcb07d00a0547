"""The process ends within a bound once its end has begun, whatever its threads and clients wait for.

Faust's threads and aiokafka's clients may wait for a broker that is away, and Python waits for every thread that is no
daemon. To leave without them is safe: it is what kill -9 does, and every role recovers from that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from typing import Final

from guardian.errors import Exit

EXIT_WITHIN_S: Final = 24.0
"""From the signal, or the death of a role, to the end of the command."""
PYTHON_WITHIN_S: Final = 4.0
"""From there to the end of the process: 30 s in all are promised."""

log = logging.getLogger("guardian.run")


class ExitDeadline:
    """Ends this process when its own end takes too long.

    Args:
        within_s: seconds from `begin`.
        leave: ends the process with an exit code, without waiting for anything.
    """

    def __init__(self, within_s: float = EXIT_WITHIN_S, leave: Callable[[int], None] = os._exit) -> None:
        self._within_s, self._leave = within_s, leave
        self._code = int(Exit.OK)
        self._timer: threading.Timer | None = None

    def begin(self, code: int = Exit.OK) -> None:
        """Start the clock, once.

        Args:
            code: what the process exits with if it is late; the first one that is no success stays.
        """
        self._code = self._code or int(code)
        if self._timer is None:
            self._timer = threading.Timer(self._within_s, self._end)
            self._timer.daemon = True
            self._timer.start()

    async def begin_with(self, stop: asyncio.Event) -> None:
        """Start the clock when `stop` is set."""
        await stop.wait()
        self.begin()

    def cancel(self) -> None:
        """Stop the clock: the process goes on for a reason of its own."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        others = sorted(each.name for each in threading.enumerate() if each is not threading.current_thread())
        log.error(
            "not ended within %.0f s (threads: %s): exiting with code %d without waiting for them; the next start"
            " recovers as after kill -9",
            self._within_s,
            ", ".join(others),
            self._code,
        )
        self._leave(self._code)
