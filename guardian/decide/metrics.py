"""What Prometheus sees of decide."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

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
    "Log time less the event time up to which the evidence is in; +Inf when guardian is blind",
    ["partition"],
)
LATE: Final = Counter("guardian_decide_late_events", "Events too late for a bucket of their own", ["partition"])
CHECKPOINT_AGE: Final = Gauge("guardian_decide_checkpoint_age_seconds", "Age of the last acked mark", ["partition"])
REWINDS: Final = Counter("guardian_decide_rewinds", "Gaps in the delivery that were read again", ["partition"])
JUMPS: Final = Counter("guardian_decide_jumps", "Gaps in the log itself: evidence started anew", ["partition", "why"])
REASSERTS: Final = Counter("guardian_decide_reasserts", "Flag documents asserted again over an older one", [])
RESTARTS: Final = Counter("guardian_decide_restarts", "Starts anew after an error", [])


def forget(partition: str) -> None:
    """Stop reporting the state of a partition that is no longer ours: another process does."""
    for gauge in (INPUT_LAG, INPUT_AGE, WATERMARK_LAG, CHECKPOINT_AGE):
        gauge.remove_by_labels({"partition": partition})
