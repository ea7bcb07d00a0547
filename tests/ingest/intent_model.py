"""A model of the intent protocol: every order of steps and faults up to a bound, with any one rule left out.

Two ingest members, a group that fences by generation, source partitions of a few events each, input partitions to
which events go by their number. Faults: a member dies at any moment, freezes and comes back as a zombie, a commit's
outcome is not known (refused, applied, or applied later), a part fails with or without having been written.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import pairwise


class Rule(Enum):
    """The rules of design.md, section 5, that the model can leave out."""

    ONE_SOURCE_PER_RECORD = auto()
    ALL_PARTS_ACKED = auto()
    SAME_GENERATION = auto()
    LEAVE_WHEN_IN_DOUBT = auto()
    DROP_ON_REVOCATION = auto()
    SETTLE_WHAT_IS_ACKED = auto()


@dataclass(frozen=True)
class Bound:
    """How far the search goes: events per source partition, sources, input partitions, rebalances, faults."""

    events: int
    sources: int
    inputs: int
    rebalances: int
    faults: int


Event = tuple[int, int]  # source, offset


@dataclass(frozen=True, order=True)
class Written:
    """A record of the log: its label, and what it sums."""

    source: int
    start: int
    end: int
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Lane:
    base: int
    next: int
    announced: int | None


@dataclass(frozen=True)
class Tick:
    generation: int
    ranges: tuple[tuple[int, int, int], ...]  # source, start, end
    parts: tuple[tuple[int, Written], ...] | None = None  # still to be written; None before the commit


@dataclass(frozen=True)
class Member:
    generation: int = 0  # 0: in no group; -1: told that the group has forgotten it
    since: int = 0  # the generation under which the lanes were assigned
    lanes: tuple[Lane | None, ...] | None = None
    tick: Tick | None = None


@dataclass(frozen=True)
class Late:
    """A commit that is still on its way."""

    member: int
    generation: int
    offsets: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class State:
    generation: int
    inside: frozenset[int]
    owners: tuple[int, ...]
    committed: tuple[tuple[int, int], ...]  # by source: offset, end of what is announced
    members: tuple[Member, ...]
    logs: tuple[tuple[Written, ...], ...]
    late: tuple[Late, ...]
    rebalances: int
    faults: int


class Model:
    """The protocol with some rules left out.

    Args:
        bound: how far the search goes.
        without: the rules that the members do not keep.
    """

    def __init__(self, bound: Bound, without: frozenset[Rule] = frozenset()) -> None:
        self.bound, self.without = bound, without

    def counterexample(self) -> tuple[list[str], str] | None:
        """Return the shortest way to a loss, a double count or a straddle, and what it is; None when there is none."""
        first = State(
            1, frozenset(), (-1,) * self.bound.sources, ((0, 0),) * self.bound.sources, (Member(), Member()),
            ((),) * self.bound.inputs, (), 0, 0,
        )  # fmt: skip
        came: dict[State, tuple[State, str] | None] = {first: None}
        todo = deque([first])
        while todo:
            state = todo.popleft()
            if wrong := self.wrong(state):
                return _way(came, state), wrong
            for name, after in self.steps(state):
                if after not in came:
                    came[after] = (state, name)
                    todo.append(after)
        self.seen = len(came)
        return None

    def wrong(self, state: State) -> str:
        """What is wrong if everybody dies now and one successor finishes the work; empty when nothing is."""
        logs = [list(log) for log in state.logs]
        for source, (start, announced) in enumerate(state.committed):
            cuts = [start, announced, self.bound.events] if announced else [start, self.bound.events]
            for begin, end in pairwise(cuts):
                for place, part in self._parts(((source, begin, end),)):
                    logs[place].append(part)
        counts: Counter[Event] = Counter()
        for log in logs:
            ends = [0] * self.bound.sources
            for record in log:
                if record.start < ends[record.source]:
                    if record.end > ends[record.source]:
                        return f"{record} straddles {ends[record.source]}"
                    continue
                ends[record.source] = record.end
                counts.update(record.events)
        for source in range(self.bound.sources):
            for offset in range(self.bound.events):
                if counts[source, offset] != 1:
                    return f"event {offset} of source {source} counts {counts[source, offset]} times"
        return ""

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        """Everything that can happen next."""
        yield from self._rebalances(state)
        for number, member in enumerate(state.members):
            yield from self._faults_of(state, number, member)
            yield from self._lane_steps(state, number, member)
            if member.tick is not None:
                yield from self._tick_steps(state, number, member, member.tick)
        for at, late in enumerate(state.late):
            rest = state.late[:at] + state.late[at + 1 :]
            after = replace(state, late=rest)
            if self._accepts(state, late.member, late.generation):
                after = self._committed(after, late.offsets)
            yield f"the late commit of {late.member} arrives", after

    def _rebalances(self, state: State) -> Iterator[tuple[str, State]]:
        if state.rebalances >= self.bound.rebalances:
            return
        choices = [(0,) * self.bound.sources, (1,) * self.bound.sources]
        if self.bound.sources > 1:
            choices.append((0, 1))
        for owners in choices:
            generation = state.generation + 1
            members = list(state.members)
            for number in set(owners):
                lanes = members[number].lanes if Rule.DROP_ON_REVOCATION in self.without else None
                members[number] = replace(members[number], generation=generation, since=generation, lanes=lanes)
            yield f"rebalance: {owners}", replace(
                state, generation=generation, inside=frozenset(owners), owners=owners, members=tuple(members),
                rebalances=state.rebalances + 1,
            )  # fmt: skip

    def _faults_of(self, state: State, number: int, member: Member) -> Iterator[tuple[str, State]]:
        if number in state.inside and state.faults < self.bound.faults:
            inside = state.inside - {number}
            generation = state.generation if inside else state.generation + 1
            yield (
                f"the group forgets {number}",
                replace(state, inside=inside, generation=generation, faults=state.faults + 1),
            )
        if member.generation > 0 and number not in state.inside:
            # aiokafka resets the generation first, and calls back later.
            yield f"{number} hears that it is forgotten", _with(state, number, replace(member, generation=-1))
        if member.generation == -1:
            kept = member.lanes if Rule.DROP_ON_REVOCATION in self.without else None
            yield f"{number} is revoked", _with(state, number, replace(member, generation=0, lanes=kept))
        # Dying is covered at every moment: `wrong` lets everybody die, `forgets` with a rebalance lets one.

    def _lane_steps(self, state: State, number: int, member: Member) -> Iterator[tuple[str, State]]:
        current = member.generation == state.generation and number in state.inside
        if member.lanes is None:
            if current and member.tick is None:
                lanes = tuple(
                    Lane(state.committed[source][0], state.committed[source][0], state.committed[source][1] or None)
                    if owner == number
                    else None
                    for source, owner in enumerate(state.owners)
                )
                yield f"{number} recovers", _with(state, number, replace(member, lanes=lanes))
            return
        for source, lane in enumerate(member.lanes):
            if lane is not None and lane.next < (lane.announced or self.bound.events):
                folded = _set(member.lanes, source, replace(lane, next=lane.next + 1))
                yield f"{number} folds {lane.next} of {source}", _with(state, number, replace(member, lanes=folded))
        if member.tick is None:
            yield from self._settle_steps(state, number, member)
        ready = [
            (source, lane)
            for source, lane in enumerate(member.lanes)
            if lane is not None and lane.next > lane.base and lane.announced in (None, lane.next)
        ]
        if ready and member.tick is None:
            lanes = member.lanes
            for source, lane in ready:
                lanes = _set(lanes, source, Lane(lane.next, lane.next, None))
            ranges = tuple((source, lane.base, lane.next) for source, lane in ready)
            tick = Tick(member.since, ranges)
            yield f"{number} begins {ranges}", _with(state, number, replace(member, lanes=lanes, tick=tick))

    def _settle_steps(self, state: State, number: int, member: Member) -> Iterator[tuple[str, State]]:
        """An announcement is taken back when all of it is in the log; without the rule also when it is not known."""
        if member.generation != member.since or not self._accepts(state, number, member.generation):
            return
        for source, lane in enumerate(member.lanes or ()):
            known = lane is not None and (lane.announced is None or Rule.SETTLE_WHAT_IS_ACKED in self.without)
            if lane is not None and known and lane.base == lane.next and state.committed[source][1]:
                yield f"{number} settles {source} at {lane.base}", self._committed(state, ((source, lane.base, 0),))

    def _tick_steps(self, state: State, number: int, member: Member, tick: Tick) -> Iterator[tuple[str, State]]:
        if tick.parts is None:
            yield from self._commit_steps(state, number, member, tick)
            return
        if not tick.parts:
            yield f"{number} is through", _with(state, number, replace(member, tick=None))
        for at, (place, record) in enumerate(tick.parts):
            rest = replace(tick, parts=tick.parts[:at] + tick.parts[at + 1 :])
            logs = _set(state.logs, place, (*state.logs[place], record))
            done = _with(replace(state, logs=logs), number, replace(member, tick=rest))
            yield f"{number} writes {record}", done
            if state.faults < self.bound.faults:
                # A part that failed is written again; without the rule the member goes on.
                again = rest if Rule.ALL_PARTS_ACKED in self.without else tick
                failed = _with(replace(state, faults=state.faults + 1), number, replace(member, tick=again))
                yield f"{number} fails to write {record}", failed
                yield f"{number} writes {record}, told it failed", replace(failed, logs=logs)

    def _commit_steps(self, state: State, number: int, member: Member, tick: Tick) -> Iterator[tuple[str, State]]:
        if Rule.SAME_GENERATION not in self.without and member.generation != tick.generation:
            # Another generation, or -1: nothing is announced, and all of it is dropped.
            yield f"{number} gives up", _with(state, number, replace(member, tick=None, lanes=None))
            return
        accepted = self._accepts(state, number, member.generation)
        if accepted:
            written = replace(tick, parts=self._parts(tick.ranges))
            announced = self._committed(state, tick.ranges)
            yield f"{number} announces {tick.ranges}", _with(announced, number, replace(member, tick=written))
        else:
            dropped = replace(member, tick=None, lanes=None, generation=-1)
            yield f"{number} is refused", _with(state, number, dropped)
        if state.faults < self.bound.faults:
            in_doubt = self._in_doubt(replace(state, faults=state.faults + 1), number, member, tick)
            late = Late(number, member.generation, tick.ranges)
            yield f"{number} does not know; not applied", in_doubt
            yield f"{number} does not know; on its way", replace(in_doubt, late=(*in_doubt.late, late))
            if accepted:
                yield f"{number} does not know; applied", self._committed(in_doubt, tick.ranges)

    def _in_doubt(self, state: State, number: int, member: Member, tick: Tick) -> State:
        if Rule.LEAVE_WHEN_IN_DOUBT not in self.without:
            inside = state.inside - {number}
            generation = state.generation if inside else state.generation + 1
            return _with(replace(state, inside=inside, generation=generation), number, Member())
        # It takes the commit for failed, takes its ranges back, and goes on.
        lanes = member.lanes
        for source, start, _ in tick.ranges:
            if lanes is not None and (lane := lanes[source]) is not None:
                lanes = _set(lanes, source, replace(lane, base=start))
        return _with(state, number, replace(member, tick=None, lanes=lanes))

    def _accepts(self, state: State, number: int, generation: int) -> bool:
        if generation <= 0:
            return not state.inside  # the broker takes it for somebody outside of an empty group
        return number in state.inside and generation == state.generation

    def _committed(self, state: State, ranges: tuple[tuple[int, int, int], ...]) -> State:
        committed = state.committed
        for source, start, end in ranges:
            committed = _set(committed, source, (start, end))
        return replace(state, committed=committed)

    def _parts(self, ranges: tuple[tuple[int, int, int], ...]) -> tuple[tuple[int, Written], ...]:
        parts: list[tuple[int, Written]] = []
        for place in range(self.bound.inputs):
            found = [
                (source, start, end, tuple((source, n) for n in range(start, end) if n % self.bound.inputs == place))
                for source, start, end in ranges
            ]
            if Rule.ONE_SOURCE_PER_RECORD in self.without and len(found) > 1:
                source, start, end, _ = found[0]
                found = [(source, start, end, tuple(event for *_, events in found for event in events))]
            parts.extend((place, Written(*label)) for label in found if label[3])
        return tuple(parts)


def _set(items: tuple, at: int, item: object) -> tuple:  # type: ignore[type-arg]
    return (*items[:at], item, *items[at + 1 :])


def _with(state: State, number: int, member: Member) -> State:
    return replace(state, members=_set(state.members, number, member))


def _way(came: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    way: list[str] = []
    while (step := came[state]) is not None:
        state, name = step
        way.append(name)
    return way[::-1]
