"""The read models: the newest of every rollout and flag, and the latest decisions, alerts and rollbacks."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiokafka import ConsumerRecord

from guardian.core.epochs import too_far_ahead
from guardian.core.events import BEAT_KEY
from guardian.core.outputs import Alert, Decision, FlagState, Rollback, RolloutStatus
from guardian.core.served import serves_nobody
from guardian.errors import DecodeError, DecodeReason
from guardian.serve import metrics
from guardian.serve.streams import Hub, Stream
from guardian.wire.flagd import document_state
from guardian.wire.outputs import decode_alert, decode_decision, decode_rollback, decode_status

log = logging.getLogger(__name__)

KEPT_DECISIONS: Final = 10_000
KEPT_ROLLBACKS: Final = 2_000
KEPT_ALERTS: Final = 5_000

_BEAT: Final = BEAT_KEY.encode()


class Board:
    """What guardian has said, in memory, bounded.

    Args:
        hub: is told of what is new, once the past has been read.
        on_decision: is told of every decision.
    """

    def __init__(self, hub: Hub, on_decision: Callable[[Decision], None]) -> None:
        self.rollouts: dict[str, RolloutStatus] = {}
        self.states: dict[str, FlagState] = {}
        self.documents: dict[str, dict[str, Any]] = {}
        self.decisions: deque[Decision] = deque(maxlen=KEPT_DECISIONS)
        self.rollbacks: deque[Rollback] = deque(maxlen=KEPT_ROLLBACKS)
        self.alerts: dict[str, Alert] = {}
        self.beats: dict[int, float] = {}
        self._pairs: dict[str, tuple[int, int]] = {}
        self._beat_ms = 0
        self.live = False
        """Whether the past has been read: before, what is here is not the whole."""
        self._hub = hub
        self._on_decision = on_decision
        self._takers: dict[str, Callable[[ConsumerRecord], None]] = {
            "rollouts": self._take_rollout,
            "flags": self._take_flag,
            "decisions": self._take_decision,
            "alerts": self._take_alert,
            "rollbacks": self._take_rollback,
        }
        for topic in self._takers:
            metrics.RECORDS.labels(topic)
            metrics.RUBBISH.labels(topic)

    @property
    def topics(self) -> list[str]:
        """The short names of the topics that the models are made of."""
        return list(self._takers)

    def take(self, topic: str, record: ConsumerRecord) -> None:
        """Take one record; one that cannot be read is counted and left out.

        Args:
            topic: its short name.
            record: from there.
        """
        metrics.RECORDS.labels(topic).inc()
        try:
            self._takers[topic](record)
        except DecodeError as error:
            metrics.RUBBISH.labels(topic).inc()
            log.warning("%s, partition %d, offset %d: %s", record.topic, record.partition, record.offset, error.message)

    def past_is_read(self) -> None:
        """Put in order of time what came partition by partition; from here on what comes is news."""
        self.decisions = deque(sorted(self.decisions, key=lambda one: one.at_ms), maxlen=KEPT_DECISIONS)
        self.rollbacks = deque(sorted(self.rollbacks, key=lambda one: one.at_ms), maxlen=KEPT_ROLLBACKS)
        self.alerts = dict(sorted(self.alerts.items(), key=lambda item: item[1].at_ms))
        self.live = True

    def beat_ages_s(self, partitions: int) -> dict[int, float | None]:
        """Return how long ago each partition gave a sign of life, in seconds; None for never."""
        now_s = time.monotonic()
        return {number: now_s - self.beats[number] if number in self.beats else None for number in range(partitions)}

    def _take_rollout(self, record: ConsumerRecord) -> None:
        if record.value is None:
            self.rollouts.pop(_text(record.key), None)
            return
        status = decode_status(record.value)
        present = self.rollouts.get(status.state.flag)
        # A worker that was replaced may write once more: what is older than what is here changes nothing.
        if present is None or _age(status) >= _age(present):
            self.rollouts[status.state.flag] = status

    def _take_flag(self, record: ConsumerRecord) -> None:
        if record.key == _BEAT:
            self._take_beat(record)
            return
        flag = _text(record.key)
        if record.value is None:
            for known in (self.states, self.documents, self._pairs):
                known.pop(flag, None)
            self._hub.publish(Stream.FLAGS, {"flag": flag, "document": None})
            return
        document = _json(record.value)
        state = document_state(flag, document)
        if self._is_news(state):
            self.states[flag], self.documents[flag] = state, document
            self._hub.publish(Stream.FLAGS, {"flag": flag, "document": document})

    def _is_news(self, state: FlagState) -> bool:
        """Whether a document replaces what is here; as the SDK decides it, so that both show the same."""
        pair, present = (state.epoch, state.version), self._pairs.get(state.flag, (-1, -1))
        if too_far_ahead(*pair, max(int(time.time() * 1_000), self._beat_ms)):
            if not serves_nobody(state):
                raise DecodeError(DecodeReason.BAD_VALUE, f"flag document of {state.flag}: version {pair} is absurd")
            # It is obeyed, and the next one replaces it although its pair is lower.
            return self.states.get(state.flag) != state
        if pair > present:
            self._pairs[state.flag] = pair
        return pair > present

    def _take_beat(self, record: ConsumerRecord) -> None:
        """Note when it came. One from before we read is as old as the writer's clock says, a later one is new."""
        if record.value is None:
            return
        self._beat_ms = max(self._beat_ms, record.timestamp)
        now_s = time.monotonic()
        age_s = 0.0 if self.live else max(0.0, time.time() - record.timestamp / 1_000)
        self.beats[record.partition] = now_s - age_s

    def _take_decision(self, record: ConsumerRecord) -> None:
        if record.value is None:
            return
        decision = decode_decision(record.value)
        self.decisions.append(decision)
        self._on_decision(decision)
        if self.live:
            self._hub.publish(Stream.DECISIONS, decision)

    def _take_alert(self, record: ConsumerRecord) -> None:
        if record.value is None:
            self.alerts.pop(_text(record.key), None)
            self._hub.changed(Stream.ALERTS)
            return
        alert = decode_alert(record.value)
        self.alerts.pop(alert.id, None)
        self.alerts[alert.id] = alert
        if len(self.alerts) > KEPT_ALERTS:
            # The oldest that is over; if none is, the oldest.
            over = next((known for known, found in self.alerts.items() if not found.active), next(iter(self.alerts)))
            del self.alerts[over]
        if self.live:
            self._hub.publish(Stream.ALERTS, alert)

    def _take_rollback(self, record: ConsumerRecord) -> None:
        if record.value is None:
            return
        rollback = decode_rollback(record.value)
        self.rollbacks.append(rollback)
        if self.live:
            self._hub.publish(Stream.ROLLBACKS, rollback)


def _age(status: RolloutStatus) -> tuple[int, int, int]:
    return status.state.epoch, status.updated_ms, status.state.version


def _text(key: bytes | None) -> str:
    return (key or b"").decode("utf-8", "replace")


def _json(value: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(DecodeReason.MALFORMED_JSON, f"flag document: {error}") from error
