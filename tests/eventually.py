"""The only place in the tests that sleeps: waiting for a condition, with a deadline."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

POLL_S = 0.02
HANG_S = 60.0
"""It protects from hanging. How long something takes is for bench/ to say, not for tests, which
run on busy machines."""


async def eventually(condition: Callable[[], Any | Awaitable[Any]], within: float = HANG_S) -> Any:
    """Wait until a condition holds.

    Args:
        condition: a function, sync or async, asked again and again; an AssertionError that it raises counts as no.
        within: seconds after which the wait has failed; given only where something may rightly take longer than HANG_S.

    Returns:
        the first true value that the condition gave.

    Raises:
        AssertionError: it did not come true in time; the message names the condition and what it gave last.
    """
    clock = asyncio.get_running_loop().time
    give_up_at = clock() + within
    while True:
        last: Any
        try:
            last = condition()
            if inspect.isawaitable(last):
                last = await asyncio.wait_for(last, timeout=max(give_up_at - clock(), POLL_S))
            if last:
                return last
        except (AssertionError, TimeoutError) as error:
            last = error
        if clock() >= give_up_at:
            name = getattr(condition, "__qualname__", repr(condition))
            raise AssertionError(f"not within {within} s: {name}; it last gave {last!r}")
        await asyncio.sleep(POLL_S)
