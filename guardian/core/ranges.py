"""Which batches count: every range of a source partition once, and none when the protocol was broken.

Ingest announces a range before it writes it (design.md, section 5); so a batch that starts before the end of
what is applied is a repetition of the whole range, unless offsets were reset or a topic was recreated.
A person who has looked releases what was frozen for it.
"""

from __future__ import annotations

from guardian.core.alerts import alert_on_guardian, end_alert_on_guardian, tell_of_guardian
from guardian.core.commands import answer, refusal
from guardian.core.inputs import Batch, Command, Source
from guardian.core.instant import Cause, Instant
from guardian.core.snapshot import PartitionState
from guardian.core.words import Outcome, Reason


def is_next(state: PartitionState, batch: Batch, now: Instant) -> bool:
    """Return whether a batch counts, and take note of its end if it does.

    A range that straddles the end of what is applied, and a topic with another id than before, freeze promotions:
    a person has to look. When a person has, the source says so, and counts.
    """
    source = batch.source
    if not _same_topic(state, source, now):
        return False
    key = f"{source.topic}/{source.topic_id}/{source.partition}"
    applied = state.applied.get(key, 0)
    if batch.start >= applied:
        state.applied[key] = batch.end
        return True
    state.repeated_count += 1
    if batch.end > applied:
        _straddle(state, key, batch, applied, now)
    return False


def release(state: PartitionState, command: Command, now: Instant) -> Cause:
    """Let promotions go on that a straddle has frozen, and only that one; a later one freezes anew.

    Args:
        state: of the partition.
        command: names it as its alert does: `topic/topic id/partition start..end`.
        now: the moment.

    Returns:
        how the command is answered: most partitions may have nothing that is frozen by it.
    """
    source = command.freeze.partition(" ")[0]
    what = f"straddle {source}"
    if not source:
        return refusal(command, Reason.REFUSED_TARGET, "release names what its alert names: SOURCE START..END")
    if what not in state.frozen:
        text = f"nothing is frozen by {source} in partition {now.partition}"
        return answer(command, Outcome.PASS, Reason.UNCHANGED, text)
    # A checkpoint of an older version holds freezes that do not say their range.
    if state.straddles.get(what, command.freeze) != command.freeze:
        text = f"what stands in partition {now.partition} is {state.straddles[what]}: look at that range too"
        return refusal(command, Reason.REFUSED_TARGET, text)
    del state.frozen[what]
    state.straddles.pop(what, None)
    text = f"{command.freeze} released in partition {now.partition} by {command.actor.name}: {command.reason}"
    if raised := state.frozen_at.pop(what, None):
        end_alert_on_guardian(now, what, raised, text)
    tell_of_guardian(now, f"released {source}", text)
    return answer(command, Outcome.PASS, Reason.OPERATOR, text)


def _straddle(state: PartitionState, key: str, batch: Batch, applied: int, now: Instant) -> None:
    """Freeze for a range; one alert for as long as it lasts, whose way out grows with what straddles meanwhile."""
    what, start, end = f"straddle {key}", batch.start, batch.end
    if known := state.straddles.get(what):
        first, _, last = known.rpartition(" ")[2].partition("..")
        start, end = min(start, int(first)), max(end, int(last))
    state.straddles[what] = f"{key} {start}..{end}"
    text = (
        f"{key}: the range [{start}, {end}) straddles {applied}, the end of what is applied; "
        f"offsets were reset or metadata was lost; the range was not applied; "
        f"when a person has looked: guardian checkpoint release {state.straddles[what]} --yes"
    )
    _freeze(state, now, what, text)
    state.frozen[what] = text


def _same_topic(state: PartitionState, source: Source, now: Instant) -> bool:
    name = f"{source.topic}/{source.partition}"
    known = state.topic_ids.setdefault(name, source.topic_id)
    if known == source.topic_id:
        return True
    if source.accepted:
        _go_on(state, source, now, known)
        return True
    text = f"{name} was recreated: its id was {known}, now it is {source.topic_id}; its batches are not applied"
    _freeze(state, now, f"recreated {name}", text)
    return False


def _go_on(state: PartitionState, source: Source, now: Instant, known: str) -> None:
    """A person has looked at a recreated topic: what was said of the one before it holds no longer."""
    name = f"{source.topic}/{source.partition}"
    state.topic_ids[name] = source.topic_id
    before = f"{source.topic}/{known}/{source.partition}"
    state.applied.pop(before, None)
    text = f"{name} goes on with the topic of id {source.topic_id}: a person has accepted the end of {known}"
    for what in (f"recreated {name}", f"straddle {before}"):
        state.frozen.pop(what, None)
        state.straddles.pop(what, None)
        if raised := state.frozen_at.pop(what, None):
            end_alert_on_guardian(now, what, raised, text)
    tell_of_guardian(now, f"accepted {name}", text)


def _freeze(state: PartitionState, now: Instant, what: str, text: str) -> None:
    if what not in state.frozen:
        state.frozen[what] = text
        state.frozen_at[what] = alert_on_guardian(now, what, text)
