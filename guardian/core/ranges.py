"""Which batches count: every range of a source partition once, and none when the protocol was broken.

Ingest announces a range before it writes it (design.md, section 5); so a batch that starts before the end of
what is applied is a repetition of the whole range, unless offsets were reset or a topic was recreated.
"""

from __future__ import annotations

from guardian.core.alerts import alert_on_guardian, end_alert_on_guardian, tell_of_guardian
from guardian.core.inputs import Batch, Source
from guardian.core.instant import Instant
from guardian.core.snapshot import PartitionState


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
        text = (
            f"{key}: the range [{batch.start}, {batch.end}) straddles {applied}, the end of what is applied; "
            f"offsets were reset or metadata was lost; the range was not applied"
        )
        _freeze(state, now, f"straddle {key}", text)
    return False


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
        if raised := state.frozen_at.pop(what, None):
            end_alert_on_guardian(now, what, raised, text)
    tell_of_guardian(now, f"accepted {name}", text)


def _freeze(state: PartitionState, now: Instant, what: str, text: str) -> None:
    if what not in state.frozen:
        state.frozen[what] = text
        state.frozen_at[what] = alert_on_guardian(now, what, text)
