"""Every reason as a sentence, and the way out of what was refused."""

from __future__ import annotations

from typing import Final

from guardian.core.machine import legal_signals
from guardian.core.outputs import Decision, RolloutStatus
from guardian.core.words import Phase, Reason, Signal

MEANINGS: Final[dict[Reason, str]] = {
    Reason.WITHIN_LIMIT: "the rule's limit was kept",
    Reason.OVER_LIMIT: "the rule's limit was crossed",
    Reason.HOLDING: "a trigger's limit is crossed, but not yet for as long as the rule says; nothing is promoted",
    Reason.TOO_FEW_SAMPLES: "there were too few requests to judge by",
    Reason.NO_DATA: "there was no data to judge by, which never counts as good",
    Reason.STALE_EVIDENCE: "guardian was blind: evidence was missing or late, so nothing is promoted",
    Reason.SETTLING: "the flag had just changed, and what was decided before it must not be counted",
    Reason.APPLIED: "a person declared the rollout, or changed its declaration",
    Reason.STARTED: "a person started the rollout",
    Reason.BAKING: "the step is held and watched for as long as the spec says",
    Reason.BAKE_OVER: "the step was held for as long as the spec says, and no gate stood in the way",
    Reason.GATES_PASSED: "the step was held for as long as the spec says, and every gate passed",
    Reason.GATE_WAITING: "the step was held for as long as the spec says, but a gate does not pass yet",
    Reason.GATE_TIMED_OUT: "a gate did not pass within the time that the spec gives it",
    Reason.TRIGGER_FIRED: "a trigger's rule became true, and guardian did what the trigger says",
    Reason.OPERATOR: "a person gave a command",
    Reason.KILLED: "a person pressed the kill switch: everybody gets control",
    Reason.FREED: "a person released the kill switch: the rollout's own weight counts again",
    Reason.COMPLETED: "the last step is over; the rollout is complete, and its triggers watch on",
    Reason.REASSERTED: "guardian's flag document was missing, or another one had landed over it: it was written again",
    Reason.EMERGENCY: "an emergency change that was made past guardian was adopted: everybody gets control",
    Reason.FOREIGN_DOCUMENT: "somebody else's document served the candidate: guardian's was written over it",
    Reason.EVIDENCE_LOST: "a part of the log was deleted before it was read: windows start anew, promotions wait",
    Reason.SUMMARY: "nothing changed; this is the five-minute record",
    Reason.REFUSED_PHASE: "the rollout's phase does not allow this command; nothing was changed",
    Reason.REFUSED_UNKNOWN_FLAG: "nobody has applied a rollout of this flag",
    Reason.REFUSED_SPEC: "the spec is wrong; nothing was changed",
    Reason.REFUSED_CHANGE: "this part of a spec may not change within an attempt; nothing was changed",
    Reason.REFUSED_WAIT: "after a rollback a new attempt takes more than was there",
    Reason.REFUSED_EVIDENCE: "nobody can see now how the candidate does; nothing was changed",
    Reason.REFUSED_TARGET: "there is no such target; nothing was changed",
    Reason.REFUSED_OVERTAKEN: "somebody moved the rollout after what the sender had seen; nothing was changed",
    Reason.REFUSED_EPOCH: "only the emergency path raises an epoch, and it only kills or rolls back to zero",
    Reason.UNCHANGED: "it was so already; nothing was changed",
    Reason.NO_CONTROL: "everybody has the candidate: there is no control to compare with",
    Reason.BASELINE_TOO_SMALL: "too little of the past was kept before the first step to compare with",
    Reason.REPORTED: "a person reported a bug, or set a figure",
    Reason.EFFECTIVE: "every instance that is heard of follows the flag's newest document",
}

_COMMANDS: Final = {
    Signal.START: "start",
    Signal.RETRY: "start",
    Signal.ADVANCE: "promote",
    Signal.FINISH: "promote",
    Signal.PAUSE: "pause",
    Signal.RESUME: "resume",
    Signal.ROLL_BACK: "rollback",
    Signal.ARCHIVE: "archive",
}


def way_out(decision: Decision, status: RolloutStatus | None) -> list[str]:
    """Return what can be done about a decision now, as sentences; empty when there is nothing to do.

    Args:
        decision: what was decided.
        status: where the rollout stands now; None when nothing is known of it.
    """
    flag = decision.flag
    if not decision.accepted and decision.command:
        return _of_refused(decision, status)
    if status is None:
        return []
    if decision.reason is Reason.TRIGGER_FIRED and status.state.phase is Phase.ROLLED_BACK:
        return [f"mend the candidate; then it takes {need}" for need in status.missing]
    if status.state.phase is Phase.PAUSED and decision.phase is Phase.PAUSED:
        return [f"guardian resume {flag}, or guardian rollback {flag}"]
    return []


def _of_refused(decision: Decision, status: RolloutStatus | None) -> list[str]:
    flag = decision.flag
    always = {
        Reason.REFUSED_UNKNOWN_FLAG: [
            f"guardian init {flag}, then guardian apply; guardian list shows the flags that are there"
        ],
        Reason.REFUSED_SPEC: ["guardian check FILE names every problem with its line; mend them and apply again"],
        Reason.REFUSED_CHANGE: [
            "leave this part of the spec as it is applied (guardian apply FILE --dry-run shows the difference)",
            f"or guardian rollback {flag}, then apply: a new attempt may change everything",
        ],
        Reason.REFUSED_OVERTAKEN: [
            f"guardian status {flag} shows where it stands now; give the command again if it is still right"
        ],
    }
    if decision.reason is Reason.REFUSED_EVIDENCE:
        return [
            "guardian doctor says what keeps the evidence away",
            f"or guardian promote {flag} --force, which goes on without seeing",
        ]
    if decision.reason in always:
        return always[decision.reason]
    if decision.reason is Reason.REFUSED_WAIT:
        needs = status.missing if status and status.state.phase is Phase.ROLLED_BACK else []
        return [f"missing now: {need}" for need in needs] or [f"guardian resolve {flag}, and wait as the spec says"]
    if decision.reason is Reason.REFUSED_TARGET and decision.command == "rollback":
        return [f"name one of the steps below, or zero: guardian rollback {flag} --to zero"]
    if decision.reason is Reason.REFUSED_PHASE:
        phase = status.state.phase if status else decision.phase
        words = dict.fromkeys(_COMMANDS[signal] for signal in legal_signals(phase) if signal in _COMMANDS)
        allowed = ", ".join(f"guardian {word} {flag}" for word in words) or "nothing more"
        return [f"what it takes while {phase}: {allowed}"]
    return []
