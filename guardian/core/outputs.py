"""What the fold says: flag changes, and the records that explain them. Ids are deterministic."""

from __future__ import annotations

from msgspec import Struct, field

from guardian.core.inputs import Actor
from guardian.core.words import Action, Outcome, Phase, Reason, Severity

Number = int | float


class FlagState(Struct, frozen=True):
    """Everything that decides what a subject gets; wire/flagd.py renders it as a flagd document.

    Args:
        flag: its name.
        epoch, version: ordered as a pair; readers ignore what is not newer.
        change_id: the deterministic id of the change that made it.
        changed_ms: log time of the change.
        attempt: which run, from 1; 0 before the first start.
        phase, step: where the machine is; the step's name, empty before the first.
        weight_bp: the candidate's share.
        control, candidate, values: the variants.
        salt: what the split is salted with.
        killed: the kill switch.
        env_prefix: where overrides are read from.
        reason: why it changed.
        dual_run_bp: the share of the subjects for whom both implementations run now, in basis points; None when the
            spec says nothing of it, and the application's own share holds.
    """

    flag: str
    epoch: int
    version: int
    change_id: str
    changed_ms: int
    attempt: int
    phase: Phase
    step: str
    weight_bp: int
    control: str
    candidate: str
    values: dict[str, bool | int | float | str]
    salt: str
    killed: bool
    env_prefix: str
    reason: Reason
    dual_run_bp: int | None = None


class Evidence(Struct, frozen=True):
    """The numbers behind a verdict.

    Args:
        metric: what was looked at, empty when no metric was.
        value: what was found, in the metric's unit; None without data.
        limit: what it was compared with; a multiple when there is a reference.
        op: how.
        n: requests that `value` rests on.
        needed: requests needed for a judgement.
        window_start_ms, window_end_ms: event time, half open; the start is where the summed buckets begin.
        held_ms, hold_ms: for how long it has been so, and for how long it must be.
        partition, offset: the input record that completed the evidence.
        reference: what the limit is a multiple of, in the metric's unit; None when the limit stands alone.
        reference_n: requests that the reference rests on; 0 for a declared one.
        against: `control`, `baseline` or `past`; empty when the limit stands alone.
        service: the service that was looked at; empty when the figures are an arm's.
    """

    metric: str = ""
    value: Number | None = None
    limit: Number | None = None
    op: str = ""
    n: int = 0
    needed: int = 0
    window_start_ms: int = 0
    window_end_ms: int = 0
    held_ms: int = 0
    hold_ms: int = 0
    partition: int = -1
    offset: int = -1
    reference: Number | None = None
    reference_n: int = 0
    against: str = ""
    service: str = ""


class Verdict(Struct, frozen=True):
    """Outcome, reason, evidence; `text` shows both numbers: `error_rate 7.3% > 5% for 5m (n=4,120)`."""

    outcome: Outcome
    reason: Reason
    text: str
    evidence: Evidence = Evidence()


class RuleStatus(Struct, frozen=True):
    """How one gate or trigger stands, for `guardian status`."""

    name: str
    rule: str
    verdict: Verdict


class StepStatus(Struct, frozen=True):
    """How one declared step stands: `done`, `current`, or `ahead`.

    Args:
        dual_run_bp: for how many of the subjects both implementations run in it, in basis points.
    """

    name: str
    weight_bp: int
    bake_ms: int
    state: str
    dual_run_bp: int | None = None


class Figures(Struct, frozen=True):
    """Step figures of one variant since the step began."""

    n: int = 0
    errors: int = 0
    crashes: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class FlagChange(Struct, frozen=True):
    """A new document for guardian.flags."""

    state: FlagState


class Lost(Struct, frozen=True):
    """What an instance could not tell or evaluate, so that the figures lack it.

    Args:
        instance: service/instance.
        dropped: events that its SDK dropped, over all its restarts.
        evaluation_errors: flag evaluations that failed, which gave the code's default.
        since_ms, at_ms: event time of the heartbeats that told of the first and of the newest.
    """

    instance: str
    dropped: int
    evaluation_errors: int
    since_ms: int
    at_ms: int


class UnknownInstance(Struct, frozen=True):
    """An instance that fell silent, without a goodbye, before it followed the published document.

    Args:
        instance: service/instance.
        version: the flag document's version that it was last seen to serve.
        heard_ms: when it was last heard of, in Unix milliseconds.
    """

    instance: str
    version: int
    heard_ms: int


class RolloutStatus(Struct, frozen=True):
    """The compacted status of a rollout: spec, attempt, phase, step, figures, and why it stands there.

    Args:
        spec: the document as it was applied.
        missing: what is missing to move on, as sentences.
        baked_ms, bake_ms: how much of the bake is over, and how long it is.
        since_ms: log time when the phase or step was entered.
        lag_ms: log time less watermark at this moment; -1 when guardian is blind.
        late_count: events too late for their buckets, since the rollout was declared.
        stale_version_count: events decided by an older flag version, not counted, since the rollout was declared.
        evidence_from_ms: event time from which windows are filled without a gap; 0 for always.
        baseline: what rules compare with as the baseline, as a sentence; empty when none does.
        live_count: instances that were heard of in the last minute.
        behind: instances and services that still serve an older flag document, at most 20.
        turn: grows with each change of phase, step, weight, kill switch or spec, and when a trigger fires; a command
            that names it as seen is refused once it is another.
        lost: what instances dropped or could not evaluate, where something was added within a day; at most 20.
        behind_count: how many instances and services still serve another document, also beyond those that are named.
        unknown: instances that fell silent before they followed the newest document; at most 20. They may still
            serve the version that is named.
        unknown_count: how many there are, with the instances that guardian has no room to follow.
        evidence: the numbers of the decision by which the rollout stands.
        trigger: the trigger that fired for it; empty for none.
        samples: by variant: error signatures with their counts since the evidence began, at most 8 and `other`.
        rollback_samples: the candidate's, as they stood when it was last rolled back.
    """

    state: FlagState
    spec: dict[str, object]
    revision: str
    owner: str
    outcome: Outcome
    reason: Reason
    text: str
    steps: list[StepStatus]
    missing: list[str]
    gates: list[RuleStatus]
    triggers: list[RuleStatus]
    figures: dict[str, Figures]
    baked_ms: int
    bake_ms: int
    since_ms: int
    updated_ms: int
    watermark_ms: int
    lag_ms: int
    totals: dict[str, int] = field(default_factory=dict)
    late_count: int = 0
    stale_version_count: int = 0
    evidence_from_ms: int = 0
    baseline: str = ""
    live_count: int = 0
    behind: list[str] = field(default_factory=list)
    turn: int = 0
    lost: list[Lost] = field(default_factory=list)
    behind_count: int = 0
    unknown: list[UnknownInstance] = field(default_factory=list)
    unknown_count: int = 0
    evidence: Evidence = Evidence()
    trigger: str = ""
    samples: dict[str, dict[str, int]] = field(default_factory=dict)
    rollback_samples: dict[str, int] = field(default_factory=dict)


class Decision(Struct, frozen=True):
    """One entry of the audit: written when outcome, reason, phase or weight changes, and for every command.

    Args:
        id: deterministic: flag/attempt/offset/ordinal.
        command_id: the command that this answers, empty for guardian's own.
        accepted: false for a refused command.
        from_phase, phase, from_weight_bp, weight_bp: before and after.
        from_dual_run_bp, dual_run_bp: the share for whom both implementations run, before and after.
        turn: the rollout's, after it: what the next command may name as seen.
    """

    id: str
    flag: str
    attempt: int
    at_ms: int
    outcome: Outcome
    reason: Reason
    text: str
    from_phase: Phase
    phase: Phase
    step: str
    from_weight_bp: int
    weight_bp: int
    epoch: int
    version: int
    change_id: str
    actor: Actor
    command: str
    command_id: str
    accepted: bool
    trigger: str
    evidence: Evidence
    partition: int
    offset: int
    from_dual_run_bp: int | None = None
    dual_run_bp: int | None = None
    turn: int = 0


class Alert(Struct, frozen=True):
    """A trigger fired, or guardian itself is in need; the same id again with `active: false` when it is over.

    Args:
        id: flag/attempt/trigger/onset, with the onset in log milliseconds.
        tell: whom.
        do: what guardian did about it.
    """

    id: str
    flag: str
    attempt: int
    trigger: str
    severity: Severity
    tell: str
    do: Action
    active: bool
    onset_ms: int
    at_ms: int
    text: str
    evidence: Evidence


class Rollback(Struct, frozen=True):
    """A protective action, for people and bridges; names the flag change by id. Never obeyed by itself.

    Args:
        from_dual_run_bp, to_dual_run_bp: the share for whom both implementations ran, and run from now on.
    """

    id: str
    flag: str
    attempt: int
    at_ms: int
    change_id: str
    epoch: int
    version: int
    from_step: str
    to_step: str
    from_weight_bp: int
    to_weight_bp: int
    trigger: str
    reason: Reason
    text: str
    actor: Actor
    evidence: Evidence
    from_dual_run_bp: int | None = None
    to_dual_run_bp: int | None = None


class Beat(Struct, frozen=True):
    """Guardian is alive: written by the owner of an input partition to the same partition of guardian.flags.

    Args:
        partition: the input partition.
        at_ms: log time.
        lag_ms: log time less watermark; -1 when guardian is blind.
        blind: why the evidence is stale; empty when it is fresh.
    """

    partition: int
    at_ms: int
    lag_ms: int = 0
    blind: str = ""


class FlagFrozen(Struct, frozen=True):
    """Guardian's own code failed on a flag: the log must say so, so that a replay by another build agrees.

    Args:
        flag: which.
        partition, offset: the input at which the code failed.
        build: the version of guardian that failed.
        error: what was raised, one line.
    """

    flag: str
    partition: int
    offset: int
    build: str
    error: str


class InputLeftOut(Struct, frozen=True):
    """An input record could not be folded: it changes nothing, and its bytes are kept among the dead letters.

    Args:
        partition, offset: its place.
        error: what was raised, one line.
    """

    partition: int
    offset: int
    error: str


Output = FlagChange | RolloutStatus | Decision | Alert | Rollback | Beat | FlagFrozen | InputLeftOut
