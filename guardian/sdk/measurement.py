"""A timed block, told exactly once: at its end, or when it was cancelled, abandoned, or open for too long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from guardian.core.events import OutcomeWord
from guardian.sdk.answers import is_answer
from guardian.sdk.open_measurements import OpenMeasurements
from guardian.sdk.request_fields import MeasureFields, RequestFields
from guardian.sdk.served import ServedLike

Evaluations = ServedLike | Iterable[ServedLike] | None

_OK: Final[RequestFields] = {}
_HANG: Final[RequestFields] = {"outcome": "hang"}
ABANDONED: Final = "abandoned"
"""The `error_type` of a measurement that nobody could end any more."""


def failure_of(error: BaseException) -> OutcomeWord:
    """Return the outcome that an exception stands for.

    A cancellation is a timeout: somebody stopped waiting. That holds for the end of the process too (SystemExit,
    KeyboardInterrupt): servers end a worker that hangs by it, and in good order they end no worker with requests open.
    """
    return "error" if isinstance(error, Exception) and not isinstance(error, TimeoutError) else "timeout"


@dataclass(frozen=True, slots=True)
class MeasurementSetup:
    """What all measurements of one telemetry client share.

    Args:
        open: those that are not told yet.
        hang_after_s: seconds without progress after which a measurement is told as `hang`; None for never.
        answers: types of exceptions that are answers, beside those with a status.
        request: `Telemetry.request`.
        wake: called at each beginning; sees to it that somebody looks for hanging measurements.
    """

    open: OpenMeasurements
    hang_after_s: float | None
    answers: tuple[type[BaseException], ...]
    request: Callable[..., None]
    wake: Callable[[], None]


class Measurement:
    """A block that is being timed. In the block one may set what is known only then.

    Args:
        setup: where it is told, and how.
        served: the evaluation, or several, that the block depends on.
        fields: see MeasureFields.
    """

    __slots__ = (
        "__weakref__", "_answers", "_hang_after_s", "_key", "_moved_s", "_served", "_setup", "_untold", "began_s",
        "fields",
    )  # fmt: skip

    def __init__(self, setup: MeasurementSetup, served: Evaluations, fields: MeasureFields) -> None:
        self._untold: list[None] = []
        """One element while it is open. Taking it out is one step, so of several ends only one tells."""
        self._hang_after_s = fields.pop("hang_after_s", setup.hang_after_s)
        self._answers = setup.answers if "answers" not in fields else (*setup.answers, *fields.pop("answers"))
        self.fields: RequestFields = fields
        """What will be told; `measurement.fields["outcome"] = "crash"` says so."""
        self._setup = setup
        self._served = served
        self._key = 0
        self.began_s = 0.0
        self._moved_s = 0.0

    def begin(self) -> None:
        """Start the time."""
        self.began_s = self._moved_s = time.perf_counter()
        self._key = self._setup.open.add(self)
        self._untold.append(None)
        self._setup.wake()

    def end(self, error: BaseException | None = None) -> None:
        """Tell how it went, unless it is told already."""
        if error is None or is_answer(error, self._answers):
            self._tell(_OK)
        else:
            self.finish(failure_of(error), type(error).__name__)

    def finish(self, outcome: OutcomeWord = "ok", error_type: str | None = None) -> None:
        """Tell this outcome, unless it is told already; what stands in `fields` is kept."""
        self._tell({"outcome": outcome} if error_type is None else {"outcome": outcome, "error_type": error_type})

    def abandon(self) -> None:
        """Tell that nobody can end it any more."""
        self.finish("timeout", ABANDONED)

    def keep_alive(self, now_s: float | None = None) -> None:
        """Say that the block still makes progress: `hang_after_s` counts from here on.

        Args:
            now_s: time.perf_counter(), the default; infinite while the block waits for its client.
        """
        self._moved_s = time.perf_counter() if now_s is None else now_s

    def idle_s(self, now_s: float) -> float:
        """Return the seconds since it began or was last kept alive."""
        return now_s - self._moved_s

    def tell_hang(self, now_s: float) -> None:
        """Tell it as `hang` if it has made no progress for `hang_after_s`; its later end is then not told."""
        if self._hang_after_s is not None and self.idle_s(now_s) > self._hang_after_s:
            self._tell(_OK, _HANG)

    def disown(self) -> None:
        """Leave the telling to the parent process."""
        self._untold.clear()

    def _tell(self, default: RequestFields, certain: RequestFields = _OK) -> None:
        try:
            self._untold.pop()
        except IndexError:  # told already, or never begun
            return
        setup = self._setup
        setup.open.remove(self._key)
        told: RequestFields = {"latency_ms": (time.perf_counter() - self.began_s) * 1000, **default, **self.fields}
        if certain is not _OK:
            told.update(certain)
        setup.request(self._served, **told)

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    async def __aenter__(self) -> Self:
        self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    def __del__(self) -> None:
        try:
            if self._untold:
                self.abandon()
        except Exception:  # noqa: S110 - a finaliser, perhaps at the end of the interpreter: nobody could hear of it
            pass
