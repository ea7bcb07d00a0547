"""What operators ask for: each command is answered by one decision, accepted or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from guardian.core.actions import (
    TO_ZERO,
    archive,
    enter_step,
    lower_weight,
    pause,
    resume,
    roll_back,
    rollback_target,
    switch,
)
from guardian.core.alerts import end_alert
from guardian.core.anew import acknowledge, change_watch, fired_triggers, keep_apart
from guardian.core.epochs import EPOCH_REFUSED, too_far_ahead
from guardian.core.flag_freeze import error_line
from guardian.core.fleet import ALL_INSTANCES, MAX_NAMED, name_of
from guardian.core.following import propagation
from guardian.core.freezing import too_small_for
from guardian.core.inputs import Command
from guardian.core.instant import Cause, Instant, change_flag, decide, stand
from guardian.core.machine import next_phase
from guardian.core.outputs import Decision
from guardian.core.progress import BLIND, find_whole_obstacle, go_on
from guardian.core.reasserting import note_emergency
from guardian.core.reported import MAX_BUG_CHARS, MAX_OUTSIDE, MAX_WHO_CHARS, Outside
from guardian.core.retention import retain
from guardian.core.rollout import RolloutSpec
from guardian.core.seen import is_repeated, overtaken
from guardian.core.spec_change import refuse_change, served_variants
from guardian.core.state import RolloutState, look_back_s
from guardian.core.status import retry_needs
from guardian.core.text import number_text, weight_text
from guardian.core.watching import judge_arrivals
from guardian.core.windows import Series
from guardian.core.words import Outcome, Phase, Reason, Signal
from guardian.errors import IllegalTransition, SpecError

ParseSpec = Callable[[dict[str, Any]], RolloutSpec]

FOR_ALL: Final = ("kill", "unkill", "pause", "resume", "rollback")
"""The commands that may be given for every flag at once."""


def answer(command: Command, outcome: Outcome, reason: Reason, text: str, *, accepted: bool = True) -> Cause:
    """Return the cause of what a command did."""
    return Cause(
        outcome, reason, text, actor=command.actor, command=command.command, command_id=command.id, accepted=accepted
    )


def refusal(command: Command, reason: Reason, text: str) -> Cause:
    """Return the cause of a refused command."""
    return answer(command, Outcome.ERROR, reason, text, accepted=False)


def obey(state: RolloutState, now: Instant, command: Command, parse_spec: ParseSpec) -> None:
    """Carry out a command on a rollout that exists, or refuse it with the reason."""
    if command.epoch and not command.only_lowers:
        decide(state, now, stand(state), refusal(command, Reason.REFUSED_EPOCH, EPOCH_REFUSED))
    elif command.epoch > state.epoch and not too_far_ahead(command.epoch, 0, now.log_ms):
        _obey_emergency(state, now, command)
    else:
        _carry_out(state, now, command, parse_spec)


def _obey_emergency(state: RolloutState, now: Instant, command: Command) -> None:
    """Adopt the epoch that the emergency path has raised: what was written before is ignored by readers.

    The flag is written once, with what the command has changed: a document in between would undo the emergency for a
    moment. Versions start at log time: one from before may be forged.
    """
    state.epoch, state.version = command.epoch, 0
    place = len(now.said)
    try:
        _HANDLERS[command.command](state, now, command)
    except IllegalTransition as error:
        # An archived rollout takes no rollback, and its document may serve the candidate to everybody.
        text = _said(command, f"killed, for it {error.message}")
        switch(state, now, killed=True, cause=answer(command, Outcome.PASS, Reason.KILLED, text))
    if not state.version:
        later, now.said[place:] = now.said[place:], []
        change_flag(state, now, Reason.EMERGENCY, same_content=True)
        written = {"epoch": state.epoch, "version": state.version, "change_id": state.change_id}
        now.said += [replace(said, **written) if isinstance(said, Decision) else said for said in later]
    who = f"{command.actor.name}: {command.reason or 'no reason given'}"
    note_emergency(state, now, f"{state.flag} was switched off by the emergency path, by {who}")


def _carry_out(state: RolloutState, now: Instant, command: Command, parse_spec: ParseSpec) -> None:
    try:
        if command.command == "apply":
            _reapply(state, now, command, parse_spec)
        elif handler := _HANDLERS.get(command.command):
            handler(state, now, command)
        else:
            raise IllegalTransition(
                state.phase, command.command, "a freeze is of whole partitions: it is for all flags"
            )
    except IllegalTransition as error:
        text = f"{error.message}: {error.fix}" if error.fix else error.message
        decide(state, now, stand(state), refusal(command, Reason.REFUSED_PHASE, text))


def _said(command: Command, what: str) -> str:
    return f"{what} by {command.actor.name}: {command.reason or 'no reason given'}"


def _done(command: Command, what: str) -> Cause:
    return answer(command, Outcome.PASS, Reason.OPERATOR, _said(command, what))


def _noted(command: Command, text: str) -> Cause:
    return answer(command, Outcome.PASS, Reason.REPORTED, text)


def _unchanged(state: RolloutState, now: Instant, command: Command, text: str) -> None:
    decide(state, now, stand(state), answer(command, Outcome.PASS, Reason.UNCHANGED, text))


def _is_overtaken(state: RolloutState, now: Instant, command: Command) -> bool:
    """Answer a command whose sender did not see the last move; False when it may be obeyed."""
    text = overtaken(state, command, now.log_ms)
    if text and is_repeated(state, command):
        _unchanged(state, now, command, f"{command.command} was obeyed already")
    elif text:
        decide(state, now, stand(state), refusal(command, Reason.REFUSED_OVERTAKEN, text))
    return bool(text)


def _start(state: RolloutState, now: Instant, command: Command) -> None:
    if _is_overtaken(state, now, command):
        return
    if state.phase is Phase.ROLLED_BACK:
        if needs := retry_needs(state, now.log_ms):
            text = f"a new attempt still needs {'; '.join(needs)}"
            decide(state, now, stand(state), refusal(command, Reason.REFUSED_WAIT, text))
            return
        # A new attempt goes on from the step that was rolled back to: nobody's variant moves down with it.
        enter_step(state, now, Signal.RETRY, max(state.step_index, 0), _done(command, "started anew"))
        return
    cause = answer(command, Outcome.PASS, Reason.STARTED, _said(command, "started"))
    enter_step(state, now, Signal.START, 0, cause)


def _promote(state: RolloutState, now: Instant, command: Command) -> None:
    if _is_overtaken(state, now, command):
        return
    if state.killed:
        raise IllegalTransition("killed", "promote", f"free the kill switch first: guardian unkill {state.flag}")
    obstacle = find_whole_obstacle(state, now) if state.phase is Phase.PROGRESSING else None
    missing = "; ".join(obstacle.missing) if obstacle else ""
    if obstacle and obstacle.reason in BLIND and not command.force:
        text = f"missing: {missing}; guardian promote {state.flag} --force goes on without it"
        decide(state, now, stand(state), refusal(command, Reason.REFUSED_EVIDENCE, text))
        return
    done = _done(command, "promoted")
    go_on(state, now, replace(done, text=f"{done.text}; what was missing: {missing}") if missing else done)


def _pause(state: RolloutState, now: Instant, command: Command) -> None:
    if state.phase is Phase.PAUSED:
        _unchanged(state, now, command, "it is paused already")
        return
    pause(state, now, _done(command, "paused"))


def _resume(state: RolloutState, now: Instant, command: Command) -> None:
    if state.phase is Phase.PROGRESSING:
        _unchanged(state, now, command, "it is not paused")
        return
    if _is_overtaken(state, now, command):
        return
    done, seen = _done(command, "resumed"), [trigger.name for trigger in fired_triggers(state)]
    resume(state, now, replace(done, text=f"{done.text}; acknowledged: {', '.join(seen)}") if seen else done)
    acknowledge(state, now, done.text)
    retain(state)
    keep_apart(state, now)


def _rollback(state: RolloutState, now: Instant, command: Command) -> None:
    target = rollback_target(state, command.to or TO_ZERO)
    if target is None:
        below = [step.name for step in state.spec.steps[: max(state.step_index, 0)]]
        text = f"{command.to!r} is not below the present step; below it: {', '.join([*below, 'zero'])}"
        decide(state, now, stand(state), refusal(command, Reason.REFUSED_TARGET, text))
        return
    if state.phase is Phase.ROLLED_BACK and state.weight_bp == 0:
        _unchanged(state, now, command, "it is rolled back to 0% already")
        return
    roll_back(state, now, target, _done(command, "rolled back"))


def _kill(state: RolloutState, now: Instant, command: Command) -> None:
    if state.killed:
        _unchanged(state, now, command, "the kill switch is on already")
        return
    text = _said(command, "killed")
    switch(state, now, killed=True, cause=answer(command, Outcome.PASS, Reason.KILLED, text))


def _unkill(state: RolloutState, now: Instant, command: Command) -> None:
    if not state.killed:
        _unchanged(state, now, command, "the kill switch is off already")
        return
    if _is_overtaken(state, now, command):
        return
    text = _said(command, "freed") + f"; {weight_text(state.weight_bp)} again"
    switch(state, now, killed=False, cause=answer(command, Outcome.PASS, Reason.FREED, text))


def _resolve(state: RolloutState, now: Instant, command: Command) -> None:
    if state.phase is not Phase.ROLLED_BACK:
        raise IllegalTransition(state.phase, "resolve", "there is no rollback to resolve")
    state.resolved = True
    for watch in state.watches.values():
        end_alert(watch, now, _said(command, "resolved"))
    decide(state, now, stand(state), _done(command, "resolved"))


def _archive(state: RolloutState, now: Instant, command: Command) -> None:
    archive(state, now, _done(command, "archived"))


def _bug(state: RolloutState, now: Instant, command: Command) -> None:
    """A person has found a critical bug: a trigger on it acts at once."""
    if state.phase is Phase.ARCHIVED:
        raise IllegalTransition(state.phase, "bug", "the rollout is archived")
    state.reported.bugs += 1
    state.reported.last_bug = f"reported by {command.actor.name}: {command.reason or 'no reason given'}"[:MAX_BUG_CHARS]
    decide(state, now, stand(state), _noted(command, f"bug {state.reported.bugs} {state.reported.last_bug}"))
    judge_arrivals(state, now)


def _metric(state: RolloutState, now: Instant, command: Command) -> None:
    """An operator sets a figure from outside; it stands until it is replaced."""
    if state.phase is Phase.ARCHIVED:
        raise IllegalTransition(state.phase, "metric", "the rollout is archived")
    outside = state.reported.outside
    if command.value is None or not command.name:
        said = refusal(command, Reason.REFUSED_TARGET, "a figure needs a name and a value")
    elif command.name not in outside and len(outside) >= MAX_OUTSIDE:
        said = refusal(command, Reason.REFUSED_TARGET, f"{MAX_OUTSIDE} figures are set already, no room for more")
    else:
        outside[command.name] = Outside(command.value, now.log_ms, command.actor.name[:MAX_WHO_CHARS])
        text = f"{command.name} set to {number_text(command.value)} by {command.actor.name}"
        said = _noted(command, f"{text}: {command.reason}" if command.reason else text)
    decide(state, now, stand(state), said)


def _unfreeze(state: RolloutState, now: Instant, command: Command) -> None:
    """A frozen flag is handled by flag_freeze.py; this one is not frozen."""
    raise IllegalTransition(state.phase, command.command, "it is not frozen")


def _dismiss(state: RolloutState, now: Instant, command: Command) -> None:
    """A person has looked: an instance that fell silent before it followed is gone, and serves nobody."""
    keys = {name_of(key): key for key in propagation(state, now).unknown}
    chosen = sorted(keys) if command.to == ALL_INSTANCES else [command.to]
    unknown = [name for name in chosen if name in keys]
    if not unknown:
        text = f"{command.to} is not unknown; unknown: {', '.join(sorted(keys)[:MAX_NAMED]) or 'none'}"
        decide(state, now, stand(state), refusal(command, Reason.REFUSED_TARGET, text))
        return
    for name in unknown:
        state.fleet.leave(keys[name])
    more = f" and {len(unknown) - MAX_NAMED} more" if unknown[MAX_NAMED:] else ""
    text = _said(command, f"dismissed {', '.join(unknown[:MAX_NAMED])}{more}")
    decide(state, now, stand(state), _noted(command, text))


_HANDLERS: Final[dict[str, Callable[[RolloutState, Instant, Command], None]]] = {
    "start": _start,
    "promote": _promote,
    "pause": _pause,
    "resume": _resume,
    "rollback": _rollback,
    "kill": _kill,
    "unkill": _unkill,
    "resolve": _resolve,
    "archive": _archive,
    "bug": _bug,
    "metric": _metric,
    "unfreeze": _unfreeze,
    "dismiss": _dismiss,
}
_KEPT: Final = (
    "epoch", "version", "content_version", "content_ms", "attempt", "turn", "applied_turn", "moved_by", "moved_id",
    "fleet", "foreign", "folded_offset", "declared_offset", "declared_index", "id_offset", "ordinal", "unfrozen_offset",
)  # fmt: skip
"""What a new rollout of an archived flag goes on from."""
COMMANDS: Final = ("apply", *_HANDLERS, "release")
"""Every command that this version obeys."""


def declare(command: Command, now: Instant, parse_spec: ParseSpec) -> RolloutState | Cause:
    """Return the state of a rollout that is applied for the first time, or why its spec is refused."""
    if command.epoch:
        return refusal(command, Reason.REFUSED_EPOCH, EPOCH_REFUSED)
    spec = checked_spec(command, parse_spec)
    if isinstance(spec, Cause):
        return spec
    state = RolloutState(spec, command.spec or {}, Series(look_back_s(spec)), entered_ms=now.log_ms)
    state.declared_offset = now.offset
    retain(state)
    before = stand(state)
    change_flag(state, now, Reason.APPLIED)
    cause = answer(command, Outcome.PASS, Reason.APPLIED, _said(command, f"applied revision {spec.revision}"))
    decide(state, now, before, cause)
    return state


def checked_spec(command: Command, parse_spec: ParseSpec) -> RolloutSpec | Cause:
    """Return the spec of an apply command, or the refusal that names every problem."""
    try:
        spec = parse_spec(command.spec or {})
    except SpecError as error:
        text = "; ".join(f"{problem.path}: {problem.message}" for problem in error.problems)
        return refusal(command, Reason.REFUSED_SPEC, text)
    except MemoryError:
        raise
    except Exception as error:
        text = f"guardian's own code failed on this spec, nothing was changed: {error_line(error)}"
        return refusal(command, Reason.REFUSED_SPEC, text)
    if spec.flag != command.flag:
        return refusal(command, Reason.REFUSED_SPEC, f"flag: the spec is of {spec.flag!r}, not {command.flag!r}")
    return spec


def _reapply(state: RolloutState, now: Instant, command: Command, parse_spec: ParseSpec) -> None:
    """Apply a new revision: gates and triggers change at once; what would move people's variants is refused."""
    before = stand(state)
    spec = checked_spec(command, parse_spec)
    if isinstance(spec, Cause):
        decide(state, now, before, spec)
        return
    if spec.revision == state.spec.revision and state.phase is not Phase.ARCHIVED:
        _unchanged(state, now, command, f"revision {spec.revision} is applied already")
        return
    if _is_overtaken(state, now, command):
        return
    if refused := refuse_change(state.spec, state.flag_state(), spec):
        decide(state, now, before, refusal(command, Reason.REFUSED_CHANGE, refused))
        return
    if state.phase is Phase.ARCHIVED:
        _declare_again(state, now, command, spec)
        return
    _take_spec(state, now, command, spec)
    # A rule on a baseline that comes in mid-rollout finds what was kept for others, which may be nothing.
    small = too_small_for(state) if state.baseline is not None else []
    text = "; ".join([_said(command, f"applied revision {spec.revision}"), *small])
    decide(state, now, before, answer(command, Outcome.PASS, Reason.APPLIED, text))


def _declare_again(state: RolloutState, now: Instant, command: Command, spec: RolloutSpec) -> None:
    """Begin a new rollout of a flag whose last one is archived: versions and attempts go on, all else starts new."""
    before = stand(state)
    fresh = RolloutState(spec, command.spec or {}, Series(look_back_s(spec)), entered_ms=now.log_ms)
    fresh.phase = next_phase(state.phase, Signal.DECLARE)
    kept = {name: getattr(state, name) for name in _KEPT}
    for name in RolloutState.__struct_fields__:
        setattr(state, name, kept.get(name, getattr(fresh, name)))
    retain(state)
    change_flag(state, now, Reason.APPLIED)
    text = _said(command, f"applied revision {spec.revision}, a new rollout")
    decide(state, now, before, answer(command, Outcome.PASS, Reason.APPLIED, text))


def _take_spec(state: RolloutState, now: Instant, command: Command, spec: RolloutSpec) -> None:
    """Replace the spec; a changed trigger starts its evidence anew, an unchanged one goes on."""
    old_triggers = {trigger.name: trigger for trigger in state.triggers()}
    step_name, old, dual_run_bp = state.step_name, state.spec, state.dual_run_bp
    state.spec, state.document = spec, command.spec or {}
    names = [step.name for step in spec.steps]
    state.step_index = names.index(step_name) if step_name in names else -1
    for trigger in state.triggers():
        if old_triggers.get(trigger.name) != trigger:
            change_watch(state, now, trigger, old_triggers.get(trigger.name))
    kept = {trigger.name for trigger in state.triggers()}
    for name in [name for name in state.watches if name not in kept]:
        end_alert(state.watches.pop(name), now, "the trigger was removed")
    retain(state)
    keep_apart(state, now)
    weight_bp = state.step.weight_bp if state.step else 0
    if weight_bp < state.weight_bp:
        lower_weight(state, now, weight_bp, Reason.APPLIED)
    elif served_variants(spec) != served_variants(old) or spec.salt != old.salt or spec.env_prefix != old.env_prefix:
        change_flag(state, now, Reason.APPLIED)
    elif state.dual_run_bp != dual_run_bp:
        # Who is compared changes, and nobody's variant: the evidence goes on.
        change_flag(state, now, Reason.APPLIED, same_content=True)
