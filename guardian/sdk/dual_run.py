"""`@dual_run`: the old and the new implementation side by side, compared, while the request waits for one of them only.

    @dual_run("pricing_engine", flag="new-pricing", subject="customer_id", ignore=["$.trace_id"])
    def price(cart, customer_id): ...       # the old implementation: control

    @price.candidate
    def new_price(cart, customer_id): ...   # the new one

    price(cart, "u-1")                      # serves by the flag; the other one runs afterwards, on another thread

Both really run: see `dual_run` for what that means.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import copy
import functools
import inspect
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, Protocol, TypeVar, Unpack

from openfeature import api

from guardian.sdk.aside import Aside, end_all
from guardian.sdk.copying import Arguments, copied
from guardian.sdk.drawing import Drawn
from guardian.sdk.dual_options import DualRunOptions, Plan, Sampler, context_of, subject_of
from guardian.sdk.dual_report import DualRunCounts, Reporter, named
from guardian.sdk.dual_result import OutOfTime, Result, given, run, run_async, run_within
from guardian.sdk.sending import FLUSH_AT_EXIT_S
from guardian.sdk.served import Served

MAX_TASKS: Final = 64
"""So many coroutines run aside at once in this process."""

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])
_aside: Final = Aside()
_tasks: Final[dict[asyncio.Task[None], _Other]] = {}


class DualRunFunction(Protocol[P, R_co]):
    """A decorated function: called like the old one."""

    counts: DualRunCounts
    """What became of its calls."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the implementation that the flag says."""

    def __get__(self, instance: Any, owner: Any = None) -> Callable[..., R_co]: ...  # a method is one, too

    def candidate(self, function: F, /) -> F:
        """Register the new implementation; a decorator, which leaves the function as it is."""


def dual_run(
    component: str, candidate: Callable[..., Any] | None = None, **options: Unpack[DualRunOptions]
) -> Callable[[Callable[P, R_co]], DualRunFunction[P, R_co]]:
    """Compare a new implementation of a function, or of a coroutine function, with the old one, which is decorated.

    A call is served by the new one when the flag is on for its subject, else by the old one. When it has been served,
    the other one runs with the same arguments, on another thread or as another task, and both results are compared.
    Guardian is told: `success` or `failure` of the one that served, `fallback` when the old one had to step in, and
    `dual_run` with what the comparison found; a trigger such as `dual_run assertions fail > 100/hour` acts on it.
    A call that is cancelled is a `failure` with the error type `cancelled`, and its comparison a `dual_run` with
    `cancelled` and without `match`. An exception that is an answer, such as a 404, is a `success`.

    For whom both run is said by the rollout's step, `dual_run: 20%`, while it lasts. Before the start, after a rollback
    and under the kill switch nothing runs twice. Where guardian says nothing of it, `sample` does.

    **Both run for real.** What they do beside returning a result, such as writing to a database, sending a mail or
    changing their arguments, is done twice. Guard that yourself, and say `copy=True` when they change arguments.

    The request waits for the one that serves and no longer; the other one's exceptions never reach it, and neither do
    those of the comparison. Equal types of exceptions on both sides are a match. Whoever was taken out by the kill
    switch, an override, a deny list or an opt-out does not run the new one at all.

    Args:
        component: its name; the spec's `components` say which flag it belongs to.
        candidate: the new implementation; or register it with `@name.candidate`.
        options: see DualRunOptions.

    Returns:
        a decorator for the old implementation. The function that it returns has `candidate` and `counts`.

    Raises:
        ValueError, TypeError: an option or a function that cannot be meant; when the decorator runs, never in a call.
    """
    plan = Plan(component, **options)

    def decorate(control: Callable[P, R_co]) -> DualRunFunction[P, R_co]:
        pair = _Pair(plan, control)
        function: Any
        if pair.is_async:

            @functools.wraps(control)
            async def function(*args: Any, **kwargs: Any) -> Any:
                return await pair.call_async(args, kwargs)
        else:

            @functools.wraps(control)
            def function(*args: Any, **kwargs: Any) -> Any:
                return pair.call(args, kwargs)

        function.candidate = pair.register
        function.counts = pair.reporter.counts
        if candidate is not None:
            pair.register(candidate)
        found: DualRunFunction[P, R_co] = function
        return found

    return decorate


def flush_dual_runs(timeout_s: float = FLUSH_AT_EXIT_S) -> bool:
    """Wait until the functions that run aside have ended and are compared; false when the time was up first.

    Done by itself when the process ends, for two seconds at most.
    """
    return _aside.wait(timeout_s)


async def drain_dual_runs() -> None:
    """Wait until the coroutines that run aside on this event loop have ended, each within its limit.

    To be awaited before the loop ends; what runs then is cancelled.
    """
    loop = asyncio.get_running_loop()
    while mine := [task for task in _tasks if task.get_loop() is loop]:
        await asyncio.wait(mine)


@dataclass(slots=True)
class _Call:
    """One call.

    Args:
        served: the evaluation.
        arguments: of the implementation that runs second.
        compared: whether the other one runs.
        context: the context variables as they were when the call came.
    """

    served: Served
    arguments: Arguments
    compared: bool
    context: contextvars.Context

    @property
    def by_candidate(self) -> bool:
        """Whether the new implementation serves."""
        return self.served.value is True


class _Pair:
    """Both implementations of one function.

    Args:
        plan: the options.
        control: the old one.
    """

    def __init__(self, plan: Plan, control: Callable[..., Any]) -> None:
        if inspect.isgeneratorfunction(control) or inspect.isasyncgenfunction(control):
            raise TypeError(f"{control.__qualname__} is a generator: its results are used up by looking at them")
        self.plan = plan
        self.control = control
        self.candidate: Callable[..., Any] | None = None
        self.is_async = inspect.iscoroutinefunction(control)
        self.reporter = Reporter(plan)
        self._find_context = context_of(plan.subject, control)
        self._sampler = Sampler(plan)
        self._client = api.get_client(plan.domain)

    def register(self, candidate: F) -> F:
        """Take the new implementation."""
        if inspect.iscoroutinefunction(candidate) is not self.is_async:
            one, other = (self.control, candidate) if self.is_async else (candidate, self.control)
            text = f"{named(one)} is a coroutine function and {named(other)} is none; both must be, or neither"
            raise TypeError(f"{self.plan.component}: {text}")
        if self.candidate is not None:
            raise ValueError(f"{self.plan.component} has a candidate already")
        self.candidate = candidate
        return candidate

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Serve a call of a function."""
        if self.candidate is None:
            self.reporter.without_candidate(self.control)
            return self.control(*args, **kwargs)
        call = self._begin(args, kwargs)
        if not call.by_candidate:
            result = run(self.control, (args, kwargs))
        elif self.plan.serve_limit_ms is None:
            result = run(self.candidate, (args, kwargs))
        else:
            result = run_within(self.candidate, (args, kwargs), self.plan.serve_limit_ms)
        if result.was_cancelled:
            self.reporter.cancelled(call.served, result, compared=call.compared)
        elif self._must_fall_back(call, result):
            result = self._fell_back(call, result, run(self.control, call.arguments))
        else:
            self.reporter.served(call.served, result)
            self._put_aside(call, result)
        return given(result)

    async def call_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Serve a call of a coroutine function."""
        if self.candidate is None:
            self.reporter.without_candidate(self.control)
            return await self.control(*args, **kwargs)
        call = self._begin(args, kwargs)
        began_s = time.perf_counter()
        result = None
        try:
            if call.by_candidate:
                result = await run_async(self.candidate, (args, kwargs), self.plan.serve_limit_ms)
            else:
                result = await run_async(self.control, (args, kwargs))
            if result.was_cancelled:
                self.reporter.cancelled(call.served, result, compared=call.compared)
            elif self._must_fall_back(call, result):
                result = self._fell_back(call, result, await run_async(self.control, call.arguments))
            else:
                self.reporter.served(call.served, result)
                self._start_aside(call, result)
        except GeneratorExit as error:  # this coroutine is destroyed: what it waits for cannot return any more
            destroyed = result or Result(None, error, (time.perf_counter() - began_s) * 1000)
            self.reporter.cancelled(call.served, destroyed, compared=call.compared)
            raise
        return given(result)

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
        """Ask the flag, and settle whether this call is compared. Never raises: then control serves alone."""
        self.reporter.counts.add("calls")
        call = _Call(Served(self.plan.flag_key, ""), (args, kwargs), False, contextvars.copy_context())
        try:
            context = self._find_context(args, kwargs)
            call.served = Served.of(self._client.get_boolean_details(self.plan.flag_key, False, context))
            refused = self._sampler.refuses(call.served, lambda: subject_of(context))
            if refused:
                self.reporter.counts.add(refused)
            call.compared = not refused
            if self.plan.copy and (call.compared or call.by_candidate):
                self._copy(call)
        except Exception as error:
            self.reporter.failed(error)
        return call

    def _copy(self, call: _Call) -> None:
        try:
            call.arguments = copied(call.arguments)
        except Exception as error:
            call.compared = False
            self.reporter.not_copied(error)

    def _must_fall_back(self, call: _Call, result: Result) -> bool:
        return call.by_candidate and result.error is not None and self.plan.fallback

    def _fell_back(self, call: _Call, candidate: Result, control: Result) -> Result:
        """Tell what became of a call that the new implementation failed; returns what serves."""
        if control.was_cancelled:
            self.reporter.cancelled(call.served, candidate, compared=call.compared)
            return control
        if type(control.error) is type(candidate.error):
            self.reporter.agreed(call.served, candidate)
        else:
            reason = "timeout" if isinstance(candidate.error, OutOfTime) else "exception"
            self.reporter.fell_back(call.served, candidate, reason)
        if call.compared:
            self.reporter.compared(call.served, control, candidate)
        return control

    def _put_aside(self, call: _Call, result: Result) -> None:
        if call.compared and (first := self._kept(result)) is not None and not _aside.put(_Other(self, call, first)):
            self.reporter.counts.add("over_capacity")

    def _start_aside(self, call: _Call, result: Result) -> None:
        if not call.compared:
            return
        if len(_tasks) >= MAX_TASKS:
            _give_up_tasks(of_closed_loops=True)
        if len(_tasks) >= MAX_TASKS:
            self.reporter.counts.add("over_capacity")
        elif (first := self._kept(result)) is not None:
            other = _Other(self, call, first)
            task = asyncio.get_running_loop().create_task(other.run_async(), context=call.context)
            _tasks[task] = other
            task.add_done_callback(lambda done: _tasks.pop(done, None))

    def _kept(self, result: Result) -> Result | None:
        """What is compared later: a picture, as the caller may change the result; or the result for `compare`."""
        try:
            if self.plan.compare is None or result.error is not None:
                return Result(None, result.error, result.took_ms, result.draw(self.plan.max_nodes))
            value = copy.deepcopy(result.value) if self.plan.copy else result.value
            return Result(value, None, result.took_ms, Drawn(None))
        except Exception as error:
            self.reporter.failed(error)
            return None


class _Other:
    """The implementation that does not serve, running aside.

    Args:
        pair: both implementations.
        call: the call.
        first: what the one that served gave.
    """

    def __init__(self, pair: _Pair, call: _Call, first: Result) -> None:
        self._pair = pair
        self._call = call
        self._first = first
        self._function: Any = pair.control if call.by_candidate else pair.candidate
        self._began_s: float | None = None
        self._open = [True]
        """Emptied by whoever tells first: the end, or somebody who sees that it takes too long."""

    def run(self) -> None:
        """Run a function, on this thread."""
        self._began_s = time.monotonic()
        self._ended(self._call.context.run(run, self._function, self._call.arguments))

    async def run_async(self) -> None:
        """Run a coroutine, as the task that this is."""
        self._began_s = time.monotonic()
        try:
            found = await run_async(self._function, self._call.arguments, self._pair.plan.limit_ms)
        except GeneratorExit:  # this coroutine is destroyed: what it waits for cannot return any more
            self.give_up()
            raise
        if found.was_cancelled and not isinstance(found.error, SystemExit):
            self.give_up()
            given(found)
        self._ended(found)

    def look(self, now_s: float) -> bool:
        """Return whether it takes too long, and tell so; called from other threads while it runs."""
        began_s = self._began_s
        takes_too_long = began_s is not None and (now_s - began_s) * 1000 > self._pair.plan.limit_ms
        if takes_too_long and self._claim():
            self._late()
        return takes_too_long

    def give_up(self) -> None:
        """Tell that it did not end, and perhaps never began."""
        if self._claim():
            took_ms = 0.0 if self._began_s is None else (time.monotonic() - self._began_s) * 1000
            self._pair.reporter.cancelled_aside(self._call.served, self._first.took_ms, round(took_ms, 3))

    def _ended(self, other: Result) -> None:
        if not self._claim():
            return
        if isinstance(other.error, OutOfTime) or other.took_ms > self._pair.plan.limit_ms:
            self._late()
            return
        control, candidate = (other, self._first) if self._call.by_candidate else (self._first, other)
        self._pair.reporter.compared(self._call.served, control, candidate)

    def _late(self) -> None:
        self._pair.reporter.counts.add("late")
        if not self._call.by_candidate:
            self._pair.reporter.late(self._call.served, self._first.took_ms)

    def _claim(self) -> bool:
        with suppress(IndexError):
            return self._open.pop()
        return False


def _give_up_tasks(*, of_closed_loops: bool) -> None:
    """Tell the coroutines that run aside and will not end: those of event loops that are closed, or all of them."""
    for task, other in list(_tasks.items()):
        if not of_closed_loops or task.get_loop().is_closed():
            other.give_up()
            _tasks.pop(task, None)


def _end_all() -> None:
    end_all()
    _give_up_tasks(of_closed_loops=False)


# Registered after the telemetry's own, which the imports above have registered: so it is called before them, and what
# it tells is still sent.
atexit.register(_end_all)
