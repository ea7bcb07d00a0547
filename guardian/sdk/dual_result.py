"""One implementation, run once: timed, its exceptions caught, and within a limit where there is one."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from guardian.sdk.aside import Aside
from guardian.sdk.copying import Arguments
from guardian.sdk.drawing import Drawn, Raised, draw

CANCELLED: Final = "cancelled"
_SERVING_THREADS: Final = 16
_serving: Final = Aside(_SERVING_THREADS, waiting=0)


class Result:
    """What one implementation gave.

    Args:
        value: the result; None when it raised.
        error: what it raised.
        took_ms: how long it took.
        picture: its picture, when it was taken already.
    """

    __slots__ = ("error", "picture", "took_ms", "value")

    def __init__(self, value: Any, error: BaseException | None, took_ms: float, picture: Drawn | None = None) -> None:
        self.value = value
        self.error = error
        self.took_ms = round(took_ms, 3)
        self.picture = picture

    @property
    def took_s(self) -> float:
        """The same in seconds, as migration events count it."""
        return round(self.took_ms / 1000, 6)

    @property
    def error_type(self) -> str | None:
        """The name of what it raised; `cancelled` for every way not to end, None for a result."""
        if self.error is None:
            return None
        return CANCELLED if self.was_cancelled else type(self.error).__name__

    @property
    def was_cancelled(self) -> bool:
        """Whether it was cancelled, or ended with the process, and gave nothing."""
        return self.error is not None and not isinstance(self.error, Exception)

    def draw(self, max_nodes: int) -> Drawn:
        """Return its picture, taken now if it was not before.

        Raises:
            NotComparable: it holds a generator, a coroutine or a function.
        """
        if self.picture is not None:
            return self.picture
        return Drawn(Raised(type(self.error))) if self.error is not None else draw(self.value, max_nodes)


class OutOfTime(TimeoutError):
    """An implementation took longer than it may."""


class _Serving:
    """The new implementation serving on a thread of ours, so that the request can stop waiting for it."""

    def __init__(self, function: Callable[..., Any], arguments: Arguments) -> None:
        self._function = function
        self._arguments = arguments
        self._context = contextvars.copy_context()
        self.ended = threading.Event()
        self.result: Result | None = None

    def run(self) -> None:
        """Run it."""
        self.result = self._context.run(run, self._function, self._arguments)
        self.ended.set()

    def look(self, now_s: float) -> bool:
        """Nothing to tell: the request waits for itself."""
        return False

    def give_up(self) -> None:
        """Nothing to tell: the request has told that it stopped waiting."""


def run(function: Any, arguments: Arguments) -> Result:
    """Run a function here; whatever it raises is its result."""
    began_s = time.perf_counter()
    try:
        value = function(*arguments[0], **arguments[1])
    except BaseException as error:
        return Result(None, error, (time.perf_counter() - began_s) * 1000)
    return Result(value, None, (time.perf_counter() - began_s) * 1000)


def run_within(function: Any, arguments: Arguments, limit_ms: float) -> Result:
    """Run a function on another thread, and wait for it no longer than `limit_ms`."""
    job = _Serving(function, arguments)
    if not _serving.put(job):
        return Result(None, OutOfTime("no thread is free"), 0.0)
    job.ended.wait(limit_ms / 1000)
    return job.result or Result(None, OutOfTime(f"no answer within {limit_ms:g} ms"), limit_ms)


async def run_async(function: Any, arguments: Arguments, limit_ms: float | None = None) -> Result:
    """Run a coroutine here; it is cancelled when `limit_ms` are over, None for no limit.

    Whatever it raises is its result, a cancellation of the caller too: the caller must raise that again, and must not
    wait for anything before.
    """
    began_s = time.perf_counter()
    try:
        async with asyncio.timeout(None if limit_ms is None else limit_ms / 1000) as limit:
            value = await function(*arguments[0], **arguments[1])
    except BaseException as error:
        took_ms = (time.perf_counter() - began_s) * 1000
        out_of_time = isinstance(error, TimeoutError) and limit.expired()
        return Result(None, OutOfTime(f"no answer within {limit_ms} ms") if out_of_time else error, took_ms)
    return Result(value, None, (time.perf_counter() - began_s) * 1000)


def given(result: Result) -> Any:
    """Return what it gave, or raise what it raised."""
    if result.error is None:
        return result.value
    try:
        raise result.error
    finally:
        # An exception that knows a frame that knows the exception would wait for the garbage collector.
        result.error = None
