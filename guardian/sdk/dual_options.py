"""What `@dual_run` may be told, checked when the decorator runs, and who is compared: the same subjects every time."""

from __future__ import annotations

import inspect
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from guardian.core.events import Assignment
from guardian.core.split import split_of
from guardian.sdk.comparing import Leniency
from guardian.sdk.drawing import MAX_NODES
from guardian.sdk.served import Served

PER_SECOND: Final = 100
LIMIT_MS: Final = 5_000.0
_EVERYBODY_BP: Final = 10_000
_TAKEN_OUT: Final = frozenset({Assignment.KILLED, Assignment.OVERRIDE, Assignment.DENY, Assignment.OPT})
"""Whom somebody has taken out on purpose does not run the candidate in any way."""

Subject = str | Callable[..., Any] | None


class DualRunOptions(TypedDict, total=False):
    """What `dual_run` may be told beside the component.

    Args:
        flag: the boolean flag that says which implementation serves; by default the component's name.
        domain: OpenFeature's domain of the provider; by default the one for all.
        subject: whom the call is for: the name of a parameter, or a function of the call's arguments that returns a
            name or an EvaluationContext. Without it OpenFeature's own context says so; a call for nobody in particular
            is in no share, not in 100 % either.
        fallback: when the new implementation serves and raises, ask the old one and return its result (default true).
        sample: the share of the subjects whose calls are compared at most, 0 to 1. By default the step's `dual_run`
            alone says it, and everybody's calls are compared where no step says one. The same subject is always in or
            always out, and a greater share only adds subjects; calls for nobody in particular are spread evenly.
        per_second: so many calls are compared in a second at most (default 100).
        limit_ms: how long the implementation that does not serve may take, in milliseconds (default 5,000). A
            coroutine is cancelled then; a function cannot be, and keeps its thread until it ends. A candidate that
            takes longer counts as a mismatch.
        serve_limit_ms: how long the new implementation may take when it serves, in milliseconds; beyond it the old one
            is asked, as if the new one had raised. By default there is no limit. A function is then run on another
            thread when it serves.
        copy: give the implementation that runs second deep copies of the arguments, so that it does not see what the
            first has done to them (default false). Arguments of more than 10,000 values are not copied; such calls
            are not compared.
        ignore: what does not count: names such as `timestamp`, paths such as `$.trace_id` or `$.lines[*].id`.
        tolerance: numbers that differ by this share are the same, such as 0.01. By default whole numbers and decimals
            must be equal, and floats may differ by 1e-9.
        absolute: numbers that differ by no more than this are the same.
        compare: your own comparison of (control's result, candidate's result): true when they are the same, false or
            a text that says the difference, or AssertionError, when not.
        max_nodes: so many values of a result are compared at most (default 5,000). The picture of the served result
            is taken in the request: 0.05 µs for a number in a list to 1 µs for an object's field.
        show_values: false when results hold what must not stand in a log: a difference names its place only.
    """

    flag: str
    domain: str
    subject: Subject
    fallback: bool
    sample: float
    per_second: int
    limit_ms: float
    serve_limit_ms: float
    copy: bool
    ignore: Sequence[str]
    tolerance: float
    absolute: float
    compare: Callable[[Any, Any], bool | str]
    max_nodes: int
    show_values: bool


@dataclass(frozen=True)
class Plan:
    """The options, checked; see DualRunOptions.

    Raises:
        ValueError: one that cannot be meant.
    """

    component: str
    flag: str = ""
    domain: str | None = None
    subject: Subject = None
    fallback: bool = True
    sample: float | None = None
    per_second: int = PER_SECOND
    limit_ms: float = LIMIT_MS
    serve_limit_ms: float | None = None
    copy: bool = False
    ignore: Sequence[str] = ()
    tolerance: float | None = None
    absolute: float = 0.0
    compare: Callable[[Any, Any], bool | str] | None = None
    max_nodes: int = MAX_NODES
    show_values: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.component, str) or not self.component:
            raise ValueError('dual_run needs a component: @dual_run("pricing_engine")')
        if self.sample is not None and not 0 <= self.sample <= 1:
            raise ValueError(f"sample={self.sample} is no share from 0 to 1")
        for name in ("limit_ms", "serve_limit_ms"):
            limit_ms = getattr(self, name)
            if limit_ms is not None and not (math.isfinite(limit_ms) and limit_ms > 0):
                raise ValueError(f"{name}={limit_ms} is no time")
        if self.per_second < 0 or self.max_nodes < 1:
            raise ValueError("per_second and max_nodes are numbers of calls and of values")
        self.leniency()

    @property
    def flag_key(self) -> str:
        """The flag that is asked for."""
        return self.flag or self.component

    def share_bp(self, declared_bp: int | None) -> float:
        """Return the share of the subjects whose calls are compared, in basis points.

        Args:
            declared_bp: what the flag's document says; None when it says nothing.
        """
        own_bp = _EVERYBODY_BP * (1.0 if self.sample is None else self.sample)
        return own_bp if declared_bp is None else min(own_bp, declared_bp)

    def leniency(self) -> Leniency:
        """Return which differences do not count."""
        return Leniency.of(self.ignore, self.tolerance, self.absolute, show_values=self.show_values)


def context_of(subject: Subject, function: Callable[..., Any]) -> Callable[..., EvaluationContext | None]:
    """Return how a call's evaluation context is found.

    Args:
        subject: the option of that name.
        function: the decorated function, whose parameters are looked through once.

    Raises:
        ValueError: the function has no such parameter.
    """
    if subject is None:
        return lambda args, kwargs: None
    if callable(subject):
        return lambda args, kwargs: _as_context(subject(*args, **kwargs))
    parameters = inspect.signature(function).parameters
    if subject not in parameters:
        raise ValueError(f"{function.__qualname__} has no parameter {subject!r} to be the subject")
    names = list(parameters)
    index, default = names.index(subject), parameters[subject].default

    def named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> EvaluationContext | None:
        found = kwargs.get(subject, args[index] if index < len(args) else default)
        return None if found is inspect.Parameter.empty else _as_context(found)

    return named


def subject_of(context: EvaluationContext | None) -> str:
    """Return whom a call is for: the context's targeting key, else OpenFeature's own; empty for nobody."""
    for found in (context, api.get_transaction_context(), api.get_evaluation_context()):
        if found is not None and found.targeting_key:
            return str(found.targeting_key)
    return ""


def _as_context(found: Any) -> EvaluationContext | None:
    if found is None or isinstance(found, EvaluationContext):
        return found
    return EvaluationContext(str(found))


class Sampler:
    """Who is compared.

    Args:
        plan: the component salts the split, so that the sample has nothing to do with the flag's own share.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._salt = f"dual_run:{plan.component}"
        self._lock = threading.Lock()
        self._owed_bp = 0.0
        self._second = 0
        self._taken = 0

    def refuses(self, served: Served, find_subject: Callable[[], str]) -> str:
        """Return why a call is not compared, as the name of its count; empty when it is, which takes its room.

        Args:
            served: the evaluation.
            find_subject: whom the call is for, empty for nobody in particular; asked only if it matters.
        """
        is_taken_out = served.assignment in _TAKEN_OUT and served.value is not True
        if is_taken_out or not self._takes(self._plan.share_bp(served.dual_run_bp), find_subject):
            return "sampled_out"
        return "" if self._has_room() else "over_rate"

    def _takes(self, share_bp: float, find_subject: Callable[[], str]) -> bool:
        if share_bp >= _EVERYBODY_BP or share_bp <= 0:
            return share_bp > 0
        # By subject, not by chance at each call: somebody's calls are compared all or not at all, so a candidate that
        # keeps something of one call for the next sees whole histories, and whoever repeats a call stays in.
        if subject := find_subject():
            return split_of(self._salt, subject) < share_bp
        with self._lock:
            self._owed_bp += share_bp
            if self._owed_bp < _EVERYBODY_BP:
                return False
            self._owed_bp -= _EVERYBODY_BP
            return True

    def _has_room(self) -> bool:
        second = int(time.monotonic())
        with self._lock:
            if second != self._second:
                self._second, self._taken = second, 0
            self._taken += 1
            return self._taken <= self._plan.per_second
