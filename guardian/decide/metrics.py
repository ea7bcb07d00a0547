"""What Prometheus sees of decide."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from guardian.core.words import Reason
from guardian.decide.dense import Place
from guardian.kafka.catalogue import TOPICS

INPUTS: Final = Counter("guardian_decide_inputs", "Input records folded", ["partition"])
RUBBISH: Final = Counter("guardian_decide_rubbish_inputs", "Input records that could not be read", ["partition"])
OUTPUTS: Final = Counter("guardian_decide_outputs", "Records published and acked", ["topic"])
DROPPED: Final = Counter("guardian_decide_dropped_outputs", "Records too large for their topic", ["topic"])
DECISIONS: Final = Counter("guardian_decide_decisions", "Decisions made", ["reason"])
TICK_SECONDS: Final = Histogram(
    "guardian_decide_tick_seconds",
    "Time to fold one tick",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
INPUT_LAG: Final = Gauge(
    "guardian_decide_input_lag_records",
    "Records known to be in the log, not yet folded",
    ["partition"],
)
INPUT_AGE: Final = Gauge("guardian_decide_input_age_seconds", "Age of the newest record folded", ["partition"])
WATERMARK_LAG: Final = Gauge(
    "guardian_watermark_lag_seconds",
    "Now less the event time up to which the evidence is in; +Inf when guardian is blind",
    ["partition"],
)
LATE: Final = Counter("guardian_decide_late_events", "Events too late for a bucket of their own", ["partition"])
CHECKPOINT_AGE: Final = Gauge("guardian_decide_checkpoint_age_seconds", "Age of the last acked mark", ["partition"])
REWINDS: Final = Counter("guardian_decide_rewinds", "Gaps in the delivery that were read again", ["partition"])
JUMPS: Final = Counter("guardian_decide_jumps", "Gaps in the log itself: evidence started anew", ["partition", "why"])
REASSERTS: Final = Counter(
    "guardian_decide_reasserts",
    "Reports to the fold that a flag's document or status is not there as it was asserted",
    [],
)
RESTARTS: Final = Counter("guardian_decide_restarts", "Starts anew after an error", [])


OWNED: Final = Gauge("guardian_decide_owned_partitions", "Input partitions that this process folds", [])

# From nothing to one is no growth to Prometheus: the first of anything shows only where a zero stood.
for _reason in Reason:
    DECISIONS.labels(_reason.value)
for _topic in TOPICS.values():
    if "decide" in _topic.writers:
        OUTPUTS.labels(_topic.name)
        DROPPED.labels(_topic.name)


class Shown:
    """What is shown of a partition that is ours, worked out when it is asked for: it must age also when nothing moves.

    Args:
        partition: of guardian.inputs.
        lag_records: says how many records are known to be in the log and not folded.
        saved_s: says when the last mark was acked, on the steady clock.
    """

    def __init__(self, partition: str, lag_records: Callable[[], int], saved_s: Callable[[], float]) -> None:
        self._partition = partition
        self._log_s = -math.inf
        self._watermark_lag_s = math.inf
        self._ticked_s = 0.0
        self._inputs = INPUTS.labels(partition)
        for counter in (RUBBISH, LATE, REWINDS):
            counter.labels(partition)
        for place in set(Place) - {Place.INSIDE}:
            JUMPS.labels(partition, place.name.lower())
        INPUT_LAG.labels(partition).set_function(lag_records)
        INPUT_AGE.labels(partition).set_function(lambda: max(0.0, time.time() - self._log_s))
        CHECKPOINT_AGE.labels(partition).set_function(lambda: time.monotonic() - saved_s())
        WATERMARK_LAG.labels(partition).set_function(lambda: self._watermark_lag_s + time.monotonic() - self._ticked_s)
        OWNED.inc()

    def fold(self, log_ms: int) -> None:
        """Note the timestamp of a record that was folded, in Unix milliseconds."""
        self._inputs.inc()
        self._log_s = log_ms / 1_000

    def tick(self, lag_ms: int, took_s: float) -> None:
        """Note a tick that was folded.

        Args:
            lag_ms: log time less watermark; -1 when guardian is blind.
            took_s: to fold it.
        """
        TICK_SECONDS.observe(took_s)
        self._watermark_lag_s = lag_ms / 1_000 if lag_ms >= 0 else math.inf
        self._ticked_s = time.monotonic()

    def forget(self) -> None:
        """Stop showing the partition: it is no longer ours, another process shows it."""
        for gauge in (INPUT_LAG, INPUT_AGE, WATERMARK_LAG, CHECKPOINT_AGE):
            gauge.remove_by_labels({"partition": self._partition})
        OWNED.dec()
