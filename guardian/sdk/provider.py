"""The OpenFeature provider: never raises into the application, never blocks an evaluation."""

from __future__ import annotations

import copy
import logging
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata, ProviderStatus

from guardian.core.events import Assignment
from guardian.sdk.connection import Connection
from guardian.sdk.document import FlagDocument, Pair
from guardian.sdk.evaluate import evaluate
from guardian.sdk.events import Once
from guardian.sdk.following import Follower, News, Timing
from guardian.sdk.heart import Heart
from guardian.sdk.snapshot import read_snapshot
from guardian.sdk.store import Counts, Store

INIT_WITHIN_S: Final = 5.0
_log = logging.getLogger("guardian.sdk")
_NO_CONTEXT: Final = EvaluationContext()
_UNKNOWN: Final[dict[str, bool | int | float | str]] = {
    "flag_version": 0,
    "epoch": 0,
    "step": "",
    "weight_bp": 0,
    "assignment": str(Assignment.DEFAULT),
}
_EVENTS: Final = {
    ProviderStatus.READY: ProviderEvent.PROVIDER_READY,
    ProviderStatus.STALE: ProviderEvent.PROVIDER_STALE,
    ProviderStatus.ERROR: ProviderEvent.PROVIDER_ERROR,
}


@dataclass
class ProviderCounts(Counts):
    """What a provider has seen.

    Args:
        beats: guardian's signs of life.
        failures: connections that failed.
        unreadable: records of guardian.flags that were stepped over because their batch cannot be read.
        evaluation_errors: evaluations with a wrong type, or with targeting that could not be run.
        overrides_ignored: evaluations that met an override whose value says nothing.
    """

    beats: int = 0
    failures: int = 0
    unreadable: int = 0
    evaluation_errors: int = 0
    overrides_ignored: int = 0


@dataclass(frozen=True)
class ProviderOptions:
    """What few applications need to change.

    Args:
        init_within_s: how long `initialize` waits for the topic at most.
        kafka: further arguments of aiokafka's clients, such as `security_protocol`, `ssl_context`, `sasl_mechanism`;
            None for what the environment says of TLS and SASL.
        timing: how long things take; tests make them short.
        environ: where overrides are read at each evaluation; None for the process's environment.
    """

    init_within_s: float = INIT_WITHIN_S
    kafka: Mapping[str, Any] | None = None
    timing: Timing | None = None
    environ: Mapping[str, str] | None = None


class GuardianProvider(AbstractProvider):
    """Follows guardian.flags on a thread of its own, and answers from memory.

    READY while guardian's beats come; STALE without them, then evaluation goes on with the last good documents; ERROR
    while nothing is known at all, then the application's own defaults hold.

    Args:
        bootstrap: Kafka's address; None for GUARDIAN_BOOTSTRAP, else 127.0.0.1:9092.
        prefix: prefix of the topics; None for GUARDIAN_PREFIX, else `guardian`.
        snapshot: a file for the last good documents, for a start without a broker; None for none.
            A flag that was deleted while the application was down for longer than Kafka keeps tombstones stays in it.
        options: what few applications need to change.
    """

    def __init__(
        self,
        bootstrap: str | None = None,
        prefix: str | None = None,
        snapshot: str | os.PathLike[str] | None = None,
        options: ProviderOptions | None = None,
    ) -> None:
        super().__init__()
        self._options = options or ProviderOptions()
        self._connection = Connection.find(bootstrap, prefix, self._options.kafka)
        self._snapshot = Path(snapshot) if snapshot is not None else None
        self._environ = os.environ if self._options.environ is None else self._options.environ
        self._store = Store()
        self._documents = self._store.documents
        self._follower: Follower | None = None
        self._used: dict[str, bool] = {}
        self._hearts: weakref.WeakSet[Heart] = weakref.WeakSet()
        self._evaluation_errors = 0
        self._overrides_ignored = 0
        self._once = Once()

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata(name="guardian")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Read the snapshot, start following, and wait a bounded time for the topic. Never raises.

        Args:
            evaluation_context: OpenFeature's global context; not needed.
        """
        try:
            self.shutdown()
            if self._snapshot is not None:
                self._store.adopt(read_snapshot(self._snapshot, self._connection.topic("flags")))
            follower = self._follow()
            if not follower.caught_up.wait(self._options.init_within_s):
                known = len(self._documents)
                _log.warning(
                    "no flags from %s within %.1f s; until it answers, %s",
                    self._connection.where,
                    self._options.init_within_s,
                    f"{known} of the snapshot hold" if known else "the application's own defaults hold",
                )
            follower.settle()
        except Exception:
            _log.exception("the provider did not start; the application's own defaults hold")

    def _follow(self) -> Follower:
        follower = Follower(self._connection, self._store, self._hear, self._snapshot, self._options.timing)
        self._follower = follower
        follower.start()
        _living.add(self)
        return follower

    def _follow_in_child(self) -> None:
        """A forked process inherits the documents, but no thread: it follows by itself."""
        if self._follower is not None:
            self._follow().settle()

    def shutdown(self) -> None:
        """Stop following; writes the snapshot. Evaluation goes on with what is known."""
        follower, self._follower = self._follower, None
        _living.discard(self)
        if follower is not None:
            follower.stop()

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Resolve a boolean; a value of another type gives the default and TYPE_MISMATCH."""
        return self._resolve(flag_key, default_value, evaluation_context, _is_bool)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Resolve a text; a value of another type gives the default and TYPE_MISMATCH."""
        return self._resolve(flag_key, default_value, evaluation_context, _is_str)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Resolve an integer; a value of another type, a boolean too, gives the default and TYPE_MISMATCH."""
        return self._resolve(flag_key, default_value, evaluation_context, _is_int)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Resolve a number; an integer is one, a boolean gives the default and TYPE_MISMATCH."""
        details = self._resolve(flag_key, default_value, evaluation_context, _is_number)
        if isinstance(details.value, int):
            details.value = float(details.value)
        return details

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Resolve an object or a list; the caller gets a copy, and may change it."""
        details = self._resolve(flag_key, default_value, evaluation_context, _is_object)
        if details.variant is not None:
            details.value = copy.deepcopy(details.value)
        return details

    @property
    def status(self) -> ProviderStatus:
        """READY, STALE or ERROR, as it is now; NOT_READY before `initialize` and after `shutdown`."""
        follower = self._follower
        return ProviderStatus.NOT_READY if follower is None else follower.status

    def counts(self) -> ProviderCounts:
        """Return what was seen so far."""
        seen = {field.name: getattr(self._store.counts, field.name) for field in fields(Counts)}
        follower = self._follower
        return ProviderCounts(
            **seen,
            beats=follower.beats if follower else 0,
            failures=follower.failures if follower else 0,
            unreadable=follower.unreadable if follower else 0,
            evaluation_errors=self._evaluation_errors,
            overrides_ignored=self._overrides_ignored,
        )

    def known(self) -> dict[str, Pair]:
        """Return every known flag with its (epoch, version)."""
        return {flag: document.pair for flag, document in self._documents.copy().items()}

    def versions_in_use(self) -> dict[str, int]:
        """Return the flags that this process has evaluated, with the version they are evaluated by now."""
        found = ((flag, self._documents.get(flag)) for flag in self._used.copy())
        return {flag: document.version for flag, document in found if document is not None}

    def tell_changes(self, heart: Heart) -> None:
        """Let the heartbeats of a telemetry client come soon after a flag that was evaluated here has changed."""
        self._hearts.add(heart)

    def _resolve(
        self, flag: str, default: Any, context: EvaluationContext | None, fits: Callable[[Any], bool]
    ) -> FlagResolutionDetails[Any]:
        try:
            document = self._documents.get(flag)
            if document is not None:
                return self._resolve_known(document, default, context or _NO_CONTEXT, fits)
        except Exception as error:
            self._evaluation_errors += 1
            return _defaulted(default, ErrorCode.GENERAL, f"{type(error).__name__}: {error}", Reason.ERROR)
        return _defaulted(default, ErrorCode.FLAG_NOT_FOUND, "guardian knows no such flag", Reason.DEFAULT)

    def _resolve_known(
        self, document: FlagDocument, default: Any, context: EvaluationContext, fits: Callable[[Any], bool]
    ) -> FlagResolutionDetails[Any]:
        self._used[document.flag] = True
        answer = evaluate(document, context.targeting_key, context.attributes, self._environ)
        if answer.fault:
            self._evaluation_errors += 1
        if answer.override_ignored:
            self._overrides_ignored += 1
            # Its value is not told: a variable of this name may be somebody else's.
            self._once.warn("%s overrides nothing: write on, off or a variant's name", document.override_name)
        metadata = document.metadata(answer.assignment)
        if answer.variant is None:
            return FlagResolutionDetails(default, reason=answer.reason, flag_metadata=metadata)
        value = document.variants[answer.variant]
        if not fits(value):
            self._evaluation_errors += 1
            metadata["assignment"] = str(Assignment.DEFAULT)
            message = f"variant {answer.variant} is a {type(value).__name__}"
            return FlagResolutionDetails(
                default, ErrorCode.TYPE_MISMATCH, message, Reason.ERROR, flag_metadata=metadata
            )
        return FlagResolutionDetails(value, None, None, answer.reason, answer.variant, metadata)

    def _hear(self, news: News) -> None:
        """Turn the follower's news into OpenFeature events, and into heartbeats; called from its thread."""
        if any(flag in self._used for flag in news.flags):
            for heart in list(self._hearts):
                heart.hurry()
        try:
            if news.flags:
                self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=list(news.flags)))
            if news.status is not None:
                error_code = ErrorCode.GENERAL if news.status is ProviderStatus.ERROR else None
                details = ProviderEventDetails(message=news.message or None, error_code=error_code)
                self.emit(_EVENTS[news.status], details)
        except RuntimeError as error:  # OpenFeature's event threads have ended, as the process has
            _log.debug("an event was not told: %s", error)


def _defaulted(default: Any, code: ErrorCode, message: str, reason: Reason) -> FlagResolutionDetails[Any]:
    """The application's own default, and why."""
    return FlagResolutionDetails(default, code, message, reason, flag_metadata=_UNKNOWN.copy())


def _is_bool(value: Any) -> bool:
    return value is True or value is False


def _is_str(value: Any) -> bool:
    return isinstance(value, str)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict | list)


_living: weakref.WeakSet[GuardianProvider] = weakref.WeakSet()


def _follow_in_child() -> None:
    for provider in list(_living):
        provider._follow_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_follow_in_child)
