"""What is running: the state of one rollout, whole in one struct so that a snapshot of it is a copy of it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from guardian.core.arms import Arms
from guardian.core.baseline import Baseline
from guardian.core.exposure import Exposure
from guardian.core.finding import EVER, Since
from guardian.core.fleet import Fleet, Published
from guardian.core.foreign import ForeignDocument
from guardian.core.gauges import Gauges
from guardian.core.inputs import Actor
from guardian.core.judge import Hold
from guardian.core.outputs import Alert, Evidence, FlagState, Verdict
from guardian.core.reported import Reported
from guardian.core.rollout import Origin, RolloutSpec, Step, Trigger
from guardian.core.windows import Series, Tally
from guardian.core.words import Outcome, Phase, Reason

_LASTING = (Phase.PROGRESSING, Phase.WAITING, Phase.PAUSED)
"""The phases in which a step lasts."""

GUARDIAN = Actor(name="guardian", via="guardian", authenticated=True)
"""The actor of what guardian does by itself."""


class FlagFreeze(Struct):
    """Guardian's own code has failed on this flag, and its evidence is not judged until a person lifts the freeze.

    Args:
        offset: the input at which the code failed.
        at_ms: log time of the freeze.
        build: the version of guardian that failed.
        error: what was raised, one line.
        alert: the alert that is active.
    """

    offset: int
    at_ms: int
    build: str
    error: str
    alert: Alert | None = None


class Watch(Struct):
    """One trigger while it runs.

    Args:
        hold: its clock.
        verdict: the last one; None before any.
        alert: the alert that is active, None for none.
        onset_ms: log time of the last alert's onset, 0 before any.
        since: from where its evidence counts, when an apply has changed it in mid-step.
        passed_ms: event time for which its rule has passed while the alert is active.
        passed_at_ms: event time of the last evaluation, when that passed; 0 otherwise.
    """

    hold: Hold = field(default_factory=Hold)
    verdict: Verdict | None = None
    alert: Alert | None = None
    onset_ms: int = 0
    since: Since = EVER
    passed_ms: int = 0
    passed_at_ms: int = 0


def look_back_s(spec: RolloutSpec) -> int:
    """Return how far back any rule of a spec looks into an arm's buckets, in seconds."""
    rules = [rule for rule in spec.rules() if rule.metric.origin in (Origin.REQUESTS, Origin.FIGURES)]
    return max((max(rule.over_ms, rule.hold_ms) + rule.period_ms for rule in rules), default=0) // 1_000 + 1


class RolloutState(Struct):
    """A rollout while it runs.

    Args:
        spec: what was declared; replaced whole by an apply.
        document: the JSON it was parsed from, for the status.
        phase: where the machine is; moved by machine.next_phase only.
        epoch, version, change_id, changed_ms: of the last flag document.
        content_version, content_ms: version and log time since which the document says what it says;
            evidence of it counts.
        flag_reason: why the document was last changed.
        attempt: which run, 0 before the first start.
        step_index: the current step; -1 before the first and after a rollback to zero.
        weight_bp: the candidate's share.
        killed: the kill switch.
        entered_ms: log time when phase or step was entered.
        baked_ms: bake of this step, as it stood when it last began or ceased to count.
        bake_from_ms: the partition's fresh time from which the bake counts.
        gate_wait_ms: how long gates have been waited for since the bake ended.
        resolved: a person has resolved the last rollback.
        rolled_back_ms: log time of the last rollback.
        series: the candidate's buckets.
        step_tallies: by variant, since the step began.
        watches: by trigger name.
        totals: everything that ever arrived, by `variant` and `variant:outcome`; never reset.
        late_count, stale_version_count: what arrived and did not count.
        outcome, reason, text: how the rollout stands, as last decided.
        summary_ms, status_ms: log time of the last summary and status.
        promote_after_ms: event time that must be reached before a promotion, after evidence was lost.
        folded_offset: the last input that this state includes.
        declared_offset, declared_index: the input that declared it, and how many rollouts there were before.
        id_offset, ordinal: how many ids were made at which offset.
        touched: something arrived since the last status.
        tracked: the named figures that a rule looks at.
        arms: both arms by split only; None unless a rule compares with control, or fires on a low count.
        past: control's buckets, which no flag change empties; None unless a rule compares with a baseline of them.
        baseline: what was frozen when this attempt's first step above zero began; None before.
        gauges: of services; None unless a rule looks at one.
        fleet: which instance serves which version of the flag's document.
        reported: what people have said.
        turn: grows with each change of phase, step, weight, kill switch or spec, and when a trigger fires.
        applied_turn: the turn of the last apply.
        moved_by, moved_id: who or what made the last of them, and the command's id; empty for none.
        freeze: guardian's own code has failed on this flag; None when it has not.
        unfrozen_offset: the input that lifted the last freeze; -1 before any.
        foreign: what somebody else has written in our document's place; None for nothing.
        evidence, fired: the numbers of the decision by which the rollout stands, and the trigger that fired.
        samples: by variant: error signatures with their counts, of the evidence that counts.
        rollback_samples: the candidate's, as they stood when it was last rolled back.
        exposure: who was served what since the step's evidence began.
    """

    spec: RolloutSpec
    document: dict[str, Any]
    series: Series
    phase: Phase = Phase.DRAFT
    epoch: int = 0
    version: int = 0
    content_version: int = 0
    content_ms: int = 0
    change_id: str = ""
    changed_ms: int = 0
    flag_reason: Reason = Reason.APPLIED
    attempt: int = 0
    step_index: int = -1
    weight_bp: int = 0
    killed: bool = False
    entered_ms: int = 0
    baked_ms: int = 0
    bake_from_ms: int = 0
    gate_wait_ms: int = 0
    resolved: bool = False
    rolled_back_ms: int = 0
    step_tallies: dict[str, Tally] = field(default_factory=dict)
    watches: dict[str, Watch] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    late_count: int = 0
    stale_version_count: int = 0
    outcome: Outcome = Outcome.INCONCLUSIVE
    reason: Reason = Reason.APPLIED
    text: str = ""
    summary_ms: int = 0
    status_ms: int = 0
    promote_after_ms: int = 0
    folded_offset: int = -1
    declared_offset: int = -1
    declared_index: int = 0
    id_offset: int = -1
    ordinal: int = 0
    touched: bool = True
    tracked: tuple[str, ...] = ()
    arms: Arms | None = None
    past: Series | None = None
    baseline: Baseline | None = None
    gauges: Gauges | None = None
    fleet: Fleet = field(default_factory=Fleet)
    reported: Reported = field(default_factory=Reported)
    turn: int = 0
    applied_turn: int = 0
    moved_by: str = ""
    moved_id: str = ""
    freeze: FlagFreeze | None = None
    unfrozen_offset: int = -1
    foreign: ForeignDocument | None = None
    evidence: Evidence = Evidence()
    fired: str = ""
    samples: dict[str, dict[str, int]] = field(default_factory=dict)
    rollback_samples: dict[str, int] = field(default_factory=dict)
    exposure: Exposure = field(default_factory=Exposure)

    @property
    def flag(self) -> str:
        """The flag's name."""
        return self.spec.flag

    @property
    def step(self) -> Step | None:
        """The current step, None before the first and at zero."""
        return self.spec.steps[self.step_index] if self.step_index >= 0 else None

    @property
    def step_name(self) -> str:
        """The current step's name, empty without one."""
        return self.step.name if self.step else ""

    @property
    def dual_run_bp(self) -> int | None:
        """For how many of the subjects both implementations run now; None when the spec says nothing of it.

        Only while a step lasts, a paused one too. Before the start, after a rollback and under the kill switch nobody
        runs the candidate at cost; after completion nobody needs to run control.
        """
        step = self.step
        if step is None or self.killed:
            return 0
        if self.phase in _LASTING:
            return step.dual_run_bp
        return None if self.phase is Phase.COMPLETED and step.dual_run_bp is None else 0

    @property
    def runs_candidate(self) -> bool:
        """Whether somebody is served by the candidate, or runs it beside control because the step says so."""
        return self.weight_bp > 0 or bool(self.dual_run_bp)

    @property
    def published(self) -> Published:
        """The versions of the flag document that say what it says now."""
        return self.content_version, self.version

    def triggers(self) -> list[Trigger]:
        """Return the triggers that watch now: the rollout's and the current step's."""
        return [*self.spec.triggers, *(self.step.triggers if self.step else ())]

    def candidate_tally(self) -> Tally:
        """Return the candidate's figures since the step began, to be read."""
        return self.step_tallies.get(self.spec.variants.candidate) or Tally()

    def flag_state(self) -> FlagState:
        """Return what decides what a subject gets, with the present phase."""
        variants = self.spec.variants
        return FlagState(
            flag=self.flag,
            epoch=self.epoch,
            version=self.version,
            change_id=self.change_id,
            changed_ms=self.changed_ms,
            attempt=self.attempt,
            phase=self.phase,
            step=self.step_name,
            weight_bp=self.weight_bp,
            control=variants.control,
            candidate=variants.candidate,
            values=variants.values,
            salt=self.spec.salt or self.flag,
            killed=self.killed,
            env_prefix=self.spec.env_prefix,
            reason=self.flag_reason,
            dual_run_bp=self.dual_run_bp,
        )

    def start_evidence_anew(self) -> None:
        """Empty windows, step figures and hold clocks: a flag change begins new evidence."""
        self.series.clear()
        self.step_tallies.clear()
        self.samples.clear()
        if self.arms is not None:
            self.arms.clear()
        self.exposure.clear()
        self.reported.bugs, self.reported.last_bug = 0, ""
        for watch in self.watches.values():
            watch.hold = Hold()
            watch.verdict = None
            watch.since = EVER
