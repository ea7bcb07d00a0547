"""What was declared: a rollout spec after it was checked whole. Frozen; durations are numbers, weights basis points."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct, field

from guardian.core.words import Action, Severity

DEFAULT_MIN_SAMPLES: Final = 100
DEFAULT_OVER_MS: Final = 60_000
DEFAULT_SETTLE_MS: Final = 15_000
DEFAULT_CLEAR_MS: Final = 300_000
"""Event time for which a rule without a hold must pass before its alert ends."""
DEFAULT_BASELINE_WINDOW_MS: Final = 86_400_000
GATE_TIMEOUT_BAKES: Final = 3
DEFAULT_MIN_EXPOSURE: Final = 20
"""Requests of the candidate without which a step is not left upwards."""

CANARY_LADDER_BP: Final = (100, 500, 1_000, 2_500, 5_000, 10_000)
PERCENTAGE_LADDER_BP: Final = (1_000, 2_500, 5_000, 7_500, 10_000)


class Strategy(StrEnum):
    """How the ladder of steps comes about when the spec declares none."""

    CANARY = "canary"
    PERCENTAGE = "percentage"


class Unit(StrEnum):
    """What a metric's numbers are."""

    RATE = "rate"  # 0..1
    LATENCY_MS = "ms"
    COUNT = "count"
    BYTES = "bytes"
    NUMBER = "number"  # whatever the application means by it


class Origin(StrEnum):
    """Where a metric's numbers come from."""

    REQUESTS = "requests"  # outcomes and latencies of an arm
    FIGURES = "figures"  # named sums of an arm: dual runs, migrations, the events' own metrics
    GAUGES = "gauges"  # of a service: heartbeats and gauge events
    HEARTBEATS = "heartbeats"  # of a service: for how long it has been silent
    PEOPLE = "people"  # reported bugs


class Metric(Struct, frozen=True):
    """A figure that a rule looks at.

    Args:
        name: as written in the spec: `error_rate`, `p99_latency`, `crash_count`.
        unit: what its numbers are.
        outcomes: the outcomes that it counts (rates and counts); empty for latency.
        quantile: 0..1 for a latency percentile, None for a mean or another unit.
        origin: where its numbers come from.
        key: the figure or gauge that is looked at; empty for another origin.
    """

    name: str
    unit: Unit
    outcomes: tuple[str, ...] = ()
    quantile: float | None = None
    origin: Origin = Origin.REQUESTS
    key: str = ""


_BAD: Final = ("error", "timeout", "crash", "hang")

METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric("error_rate", Unit.RATE, _BAD),
        Metric("timeout_rate", Unit.RATE, ("timeout",)),
        Metric("crash_rate", Unit.RATE, ("crash",)),
        Metric("hang_rate", Unit.RATE, ("hang",)),
        Metric("request_count", Unit.COUNT, ("ok", *_BAD)),
        Metric("error_count", Unit.COUNT, _BAD),
        Metric("timeout_count", Unit.COUNT, ("timeout",)),
        Metric("crash_count", Unit.COUNT, ("crash",)),
        Metric("hang_count", Unit.COUNT, ("hang",)),
        Metric("mean_latency", Unit.LATENCY_MS),
        Metric("p50_latency", Unit.LATENCY_MS, quantile=0.50),
        Metric("p75_latency", Unit.LATENCY_MS, quantile=0.75),
        Metric("p90_latency", Unit.LATENCY_MS, quantile=0.90),
        Metric("p95_latency", Unit.LATENCY_MS, quantile=0.95),
        Metric("p99_latency", Unit.LATENCY_MS, quantile=0.99),
        Metric("p999_latency", Unit.LATENCY_MS, quantile=0.999),
        Metric("mismatch_rate", Unit.RATE, origin=Origin.FIGURES, key="mismatch"),
        Metric("mismatch_count", Unit.COUNT, origin=Origin.FIGURES, key="mismatch"),
        Metric("migration_failure_rate", Unit.RATE, origin=Origin.FIGURES, key="migration_failure"),
        Metric("fallback_rate", Unit.RATE, origin=Origin.FIGURES, key="fallback"),
    )
}
"""Every metric that is made of events. error_rate = (error + timeout + crash + hang) / all."""

MEMORY: Final = Metric("memory", Unit.BYTES, origin=Origin.GAUGES, key="memory_bytes")
CPU: Final = Metric("cpu", Unit.RATE, origin=Origin.GAUGES, key="cpu_pct")
SILENCE: Final = Metric("silence", Unit.LATENCY_MS, origin=Origin.HEARTBEATS)
BUG_COUNT: Final = Metric("bug_count", Unit.COUNT, origin=Origin.PEOPLE)
OTHER_METRICS: Final[dict[str, Metric]] = {metric.name: metric for metric in (MEMORY, CPU, BUG_COUNT, SILENCE)}
"""Metrics of services and of people: no event of an arm carries them."""

NAMED_PREFIX: Final = "metric:"
"""Before the name of a figure that events or operators name, so that it is never taken for one of guardian's own."""


def named_metric(name: str) -> Metric:
    """Return the metric of a figure that the events' `metrics` name, or that an operator sets."""
    return Metric(name, Unit.NUMBER, origin=Origin.FIGURES, key=f"{NAMED_PREFIX}{name}")


def named_gauge(name: str) -> Metric:
    """Return the metric of a gauge by its name in heartbeats and gauge events."""
    return Metric(name, Unit.NUMBER, origin=Origin.GAUGES, key=name)


class Op(StrEnum):
    """How a metric is compared with its limit. A trigger fires, a gate passes, when it is true."""

    ABOVE = ">"
    BELOW = "<"
    AT_LEAST = ">="
    AT_MOST = "<="


class Against(StrEnum):
    """What a metric is compared with; of all but NONE the limit is a multiple."""

    NONE = "none"  # the limit itself
    CONTROL = "control"  # the other arm's figures of the same time
    BASELINE = "baseline"  # control's own past; a gauge's: its service's own past
    PAST = "past"  # the same figures a period before; the limit is the growth


class Rule(Struct, frozen=True):
    """A comparison in the trigger language, such as `error_rate > 5% for 5 minutes`.

    Args:
        text: as the person wrote it.
        metric: what is looked at: the candidate's, any assignment (against control: assignment `split` only).
        op: the comparison.
        limit: 0..1 for a rate, milliseconds for a latency, a number for a count; a ratio against control or baseline;
            the growth in a period against the past, 0.1 for 10 %.
        over_ms: the trailing window; 0 means since the step began (`per step`, or a gate without `over`).
        hold_ms: for how long every evaluation must be true; 0 for at once.
        against: what the limit is a multiple of.
        period_ms: how far back the past lies; 0 unless it is compared with.
    """

    text: str
    metric: Metric
    op: Op
    limit: float
    over_ms: int
    hold_ms: int = 0
    against: Against = Against.NONE
    period_ms: int = 0

    def bound(self, reference: float | None) -> float | None:
        """Return what the metric's value is compared with, None when that takes a reference and there is none.

        A reference of zero bounds at zero: the first error above it crosses any multiple.
        """
        if self.against is Against.NONE:
            return self.limit
        if reference is None:
            return None
        return reference * (1 + self.limit if self.against is Against.PAST else self.limit)

    @property
    def per_step(self) -> bool:
        """True when the figures are those since the step began."""
        return self.over_ms == 0

    @property
    def is_low_count(self) -> bool:
        """True for a trailing count that crosses when there is too little of it."""
        return self.metric.unit is Unit.COUNT and self.op in (Op.BELOW, Op.AT_MOST) and not self.per_step


class Trigger(Struct, frozen=True):
    """Must we act?

    Args:
        name: unique in the rollout; derived from the rule when the spec gives none.
        rule: when it fires.
        do: what it does.
        tell: who should know, a person or a group, for the alert; empty for nobody in particular.
        severity: how loud.
        min_samples: requests needed before a rate or a latency is judged; 0 for counts, which are exempt.
        to: overrides the rollback policy's target (`previous` or `zero`); empty for the policy's.
        clear_ms: event time for which the rule must pass before its alert ends; 0 for none.
        unjudged_allowed: a step may be left upwards although this trigger cannot judge (`unjudged: allow`).
    """

    name: str
    rule: Rule
    do: Action
    tell: str = ""
    severity: Severity = Severity.CRITICAL
    min_samples: int = DEFAULT_MIN_SAMPLES
    to: str = ""
    clear_ms: int = 0
    unjudged_allowed: bool = False

    @property
    def is_protective(self) -> bool:
        """True for a trigger that rolls back or pauses."""
        return self.do is not Action.NOTIFY


class Gate(Struct, frozen=True):
    """May we go on? Judged when the bake of its step ends.

    Args:
        name: unique in its step.
        rule: passes when true.
        min_samples: requests needed; for a `<` gate on a rate also 3 / limit (the parser has taken the greater), for
            a `<=` gate on a count the step's `min_exposure`.
    """

    name: str
    rule: Rule
    min_samples: int = DEFAULT_MIN_SAMPLES


class Step(Struct, frozen=True):
    """One declared step of the ladder.

    Args:
        name: unique in the rollout; derived from the weight when the spec gives none.
        weight_bp: the candidate's share in basis points.
        bake_ms: how long the step is held and watched; 0 for not at all.
        gates: what must hold before the next step.
        triggers: watched while this step is the current one, beside the rollout's.
        gate_timeout_ms: how long after the bake a gate that does not pass is waited for.
        on_gate_fail: PAUSE or ROLLBACK once that time is over.
        rollback_to: overrides the policy's target while this step is current; empty for the policy's.
        dual_run_bp: the share of the subjects for whom both implementations run, in basis points; None when no step
            of the spec says one: then it is the application's own affair.
        min_exposure: requests of the candidate needed in this step before it is left upwards (dual runs in a step of
            0 %); 0 for none.
    """

    name: str
    weight_bp: int
    bake_ms: int
    gates: tuple[Gate, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    gate_timeout_ms: int = 0
    on_gate_fail: Action = Action.PAUSE
    rollback_to: str = ""
    dual_run_bp: int | None = None
    min_exposure: int = DEFAULT_MIN_EXPOSURE


class Variants(Struct, frozen=True):
    """The two arms by name, and what the application is given for each."""

    control: str = "off"
    candidate: str = "on"
    values: dict[str, bool | int | float | str] = field(default_factory=lambda: {"on": True, "off": False})


class RollbackPolicy(Struct, frozen=True):
    """How a protective rollback is made and what a retry needs.

    Args:
        to: `zero`, or the `previous` step.
        wait_ms: how long after a rollback no new attempt may start.
        resolve_required: whether a person must resolve the rollback first.
    """

    to: str = "zero"
    wait_ms: int = 0
    resolve_required: bool = False


class RolloutSpec(Struct, frozen=True):
    """A whole rollout as declared, checked, one per flag.

    Args:
        flag: the flag's name.
        revision: the content hash of the document it came from, 16 hex digits.
        owner: free text; shown.
        variants: the arms.
        strategy: where the ladder came from.
        steps: at least one, weights rising strictly.
        triggers: watched in every phase.
        rollback: the policy.
        components: migration events of these components belong to this flag.
        count_migrations: `sources` names migrations: success and failure count as ok and error.
        salt: what the split is salted with.
        env_prefix: overrides are read from `<env_prefix>_<FLAG>`; empty for `FLAG` alone.
        settle_ms: event time after a flag change in which events without a flag version do not count.
        count_telemetry: `sources` names telemetry, or says nothing: requests count.
        baseline: declared figures of control, or of the services, by metric name, in the metric's unit.
        baseline_window_ms: how much of control's past before the first step makes the baseline.
        assume_split: events that do not say why the subject got its variant count as split.
    """

    flag: str
    revision: str
    steps: tuple[Step, ...]
    owner: str = ""
    variants: Variants = Variants()
    strategy: Strategy = Strategy.CANARY
    triggers: tuple[Trigger, ...] = ()
    rollback: RollbackPolicy = RollbackPolicy()
    components: tuple[str, ...] = ()
    count_migrations: bool = False
    salt: str = ""
    env_prefix: str = ""
    settle_ms: int = DEFAULT_SETTLE_MS
    count_telemetry: bool = True
    baseline: dict[str, float] = field(default_factory=dict)
    baseline_window_ms: int = DEFAULT_BASELINE_WINDOW_MS
    assume_split: bool = False

    def rules(self) -> list[Rule]:
        """Return every rule of the rollout: triggers, and triggers and gates of its steps."""
        owners = [self.triggers, *(items for step in self.steps for items in (step.gates, step.triggers))]
        return [item.rule for items in owners for item in items]
