"""The words that more than one room speaks, each with one meaning (design.md, section 7)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

WEIGHT_FULL_BP: Final = 10_000
"""100 % in basis points."""

FLAG_NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
"""A flag's name, case kept."""

ALL_FLAGS: Final = "*"
"""The key of a command that is meant for every flag."""


class Phase(StrEnum):
    """Where the machine of a rollout is."""

    DRAFT = "draft"
    PROGRESSING = "progressing"
    WAITING = "waiting"  # for an approval
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"  # a gradual one
    ROLLED_BACK = "rolled_back"  # until resolved and waited
    COMPLETED = "completed"  # still guarded
    ARCHIVED = "archived"


class Signal(StrEnum):
    """What can happen to a rollout; the columns of the machine's table."""

    START = "start"
    ADVANCE = "advance"  # to the next step
    FINISH = "finish"  # the last step is over
    AWAIT_APPROVAL = "await_approval"
    PAUSE = "pause"
    RESUME = "resume"
    ROLL_BACK = "roll_back"
    ROLL_BACK_GRADUALLY = "roll_back_gradually"
    ROLLED_BACK = "rolled_back"  # the gradual way back has arrived
    RETRY = "retry"  # a new attempt
    ARCHIVE = "archive"
    DECLARE = "declare"  # a new rollout of an archived flag


class Outcome(StrEnum):
    """The first word of a verdict. Missing data never counts as PASS."""

    PASS = "PASS"  # noqa: S105 (a verdict, not a password)
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"


class Reason(StrEnum):
    """Why: the second word of a verdict and of a decision."""

    # of a judged rule
    WITHIN_LIMIT = "WITHIN_LIMIT"
    OVER_LIMIT = "OVER_LIMIT"  # the limit is crossed, in whichever direction the rule forbids
    HOLDING = "HOLDING"  # crossed, but not yet for as long as the rule says
    TOO_FEW_SAMPLES = "TOO_FEW_SAMPLES"
    NO_DATA = "NO_DATA"
    STALE_EVIDENCE = "STALE_EVIDENCE"  # guardian is blind: sources missing or lagging
    SETTLING = "SETTLING"  # shortly after a flag change
    # of a rollout
    APPLIED = "APPLIED"
    STARTED = "STARTED"
    BAKING = "BAKING"
    BAKE_OVER = "BAKE_OVER"
    GATES_PASSED = "GATES_PASSED"
    GATE_WAITING = "GATE_WAITING"
    GATE_TIMED_OUT = "GATE_TIMED_OUT"
    TRIGGER_FIRED = "TRIGGER_FIRED"
    OPERATOR = "OPERATOR"
    KILLED = "KILLED"
    FREED = "FREED"  # the kill switch was released
    COMPLETED = "COMPLETED"
    REASSERTED = "REASSERTED"  # an older flag document had landed over ours, or there was none
    EMERGENCY = "EMERGENCY"  # an emergency change was adopted, from the log or from guardian.flags
    FOREIGN_DOCUMENT = "FOREIGN_DOCUMENT"  # somebody else's document served the candidate: it was written over
    EVIDENCE_LOST = "EVIDENCE_LOST"  # a gap in the log: windows started anew
    SUMMARY = "SUMMARY"  # nothing changed; the five-minute record
    # of a refused command
    REFUSED_PHASE = "REFUSED_PHASE"
    REFUSED_UNKNOWN_FLAG = "REFUSED_UNKNOWN_FLAG"
    REFUSED_SPEC = "REFUSED_SPEC"
    REFUSED_CHANGE = "REFUSED_CHANGE"  # this part of a spec may not change within an attempt
    REFUSED_WAIT = "REFUSED_WAIT"  # rolled back: not resolved, or not waited long enough
    REFUSED_TARGET = "REFUSED_TARGET"  # no such step, or not below the present one
    REFUSED_EVIDENCE = "REFUSED_EVIDENCE"  # promote on stale or lost evidence, without force
    REFUSED_OVERTAKEN = "REFUSED_OVERTAKEN"  # somebody moved the rollout after what the sender saw
    REFUSED_EPOCH = "REFUSED_EPOCH"  # an epoch on a command that is not of the emergency path
    UNCHANGED = "UNCHANGED"  # the same revision, or already there
    # of a judged comparison
    NO_CONTROL = "NO_CONTROL"  # everybody has the candidate: there is nothing to compare with
    BASELINE_TOO_SMALL = "BASELINE_TOO_SMALL"  # too little of the past was kept before the first step
    REPORTED = "REPORTED"  # a person told of a bug, or set a figure
    # of a flag on which guardian's own code failed
    FROZEN = "FROZEN"  # its evidence is not judged; it obeys kill, rollback and emergency only
    REFUSED_FROZEN = "REFUSED_FROZEN"  # the command needs code that failed on this flag
    # of a flag change
    PROPAGATED = "PROPAGATED"  # every instance follows the published document, none is unknown
    # of evidence that does not carry a promotion
    NO_EXPOSURE = "NO_EXPOSURE"  # too few requests of the candidate in this step
    GUARD_BLIND = "GUARD_BLIND"  # a protective trigger cannot judge
    ONE_ARM_SILENT = "ONE_ARM_SILENT"  # control goes on, and the candidate has stopped
    SHARE_MISMATCH = "SHARE_MISMATCH"  # the arms' requests are not shared out as the weight says
    UNKNOWN_VARIANT = "UNKNOWN_VARIANT"  # requests name a variant that the spec does not declare


class Action(StrEnum):
    """What a trigger does."""

    ROLLBACK = "rollback"
    PAUSE = "pause"
    NOTIFY = "notify"


class Severity(StrEnum):
    """How loud an alert is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
