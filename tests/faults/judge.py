"""What must be true afterwards: what guardian says it counted and decided, held against what the source topics hold."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
from aiokafka import ConsumerRecord

from guardian.core.outputs import Decision, RolloutStatus
from guardian.kafka.settings import Settings
from guardian.wire.commands import decode_command
from guardian.wire.outputs import decode_decision, decode_status
from tests.faults.load import FLAGS
from tests.faults.topics import Records, read_all
from tests.ingest.log import MIGRATION_TYPES, Applied

SOURCES = ("telemetry", "migrations", "commands")
OUTPUTS = ("inputs", "flags", "rollouts", "rollbacks", "decisions", "dead-letters")
NO_FLAG = "*"
MAX_NAMED = 5


@dataclass
class Sent:
    """What the source topics hold, whatever their producers believe.

    Args:
        counts: events by (flag, `variant:outcome` or `variant:migration type`).
        answers: how often each command must be answered, by its id: once per record, one for all by each flag and by
            each partition.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)


@dataclass
class Verdict:
    """What a round came to.

    Args:
        events: events and commands that the source topics hold.
        lost, doubled: of those, by their counts and answers.
        repeated: what was said again with the same id and the same content, and batches dropped: harmless.
        problems: whatever else must not be.
    """

    events: int = 0
    lost: int = 0
    doubled: int = 0
    repeated: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """True when nothing is wrong."""
        return not (self.lost or self.doubled or self.problems)


async def read_sent(settings: Settings) -> Sent:
    """Count the source topics, record by record."""
    topics = await read_all(settings, *SOURCES)
    sent = Sent()
    for record in topics["telemetry"]:
        event = msgspec.json.decode(record.value)
        sent.counts[event["flag"], f"{event['variant']}:{event['outcome']}"] += 1
    for record in topics["migrations"]:
        event = msgspec.json.decode(record.value)
        sent.counts[event["component"].removeprefix("component-of-"), f"on:{event['event_type']}"] += 1
    for record in topics["commands"]:
        command = decode_command(record.value)
        sent.answers[command.id] += len(FLAGS) + settings.partitions if command.flag == NO_FLAG else 1
    return sent


def counted(rollouts: list[ConsumerRecord]) -> Counter[tuple[str, str]]:
    """Return what the newest status of each flag says was counted."""
    newest = {record.key: record.value for record in rollouts}
    counts: Counter[tuple[str, str]] = Counter()
    for status in map(decode_status, newest.values()):
        for name, count in status.totals.items():
            if ":" in name:
                counts[status.state.flag, name] = count
    return counts


def answered(decisions: list[ConsumerRecord], verdict: Verdict | None = None) -> Counter[str]:
    """Return how many decisions answer each command; a decision that was written again is one."""
    said = _once(decisions, verdict or Verdict())
    answers = Counter(decision.command_id for decision in said.values())
    del answers[""]
    return answers


async def judge(settings: Settings, sent: Sent) -> Verdict:
    """Read everything that guardian wrote, anew and from the beginning, and hold it against what was sent."""
    return hold(await read_all(settings, *OUTPUTS), sent)


def hold(topics: Records, sent: Sent) -> Verdict:
    """Hold what guardian wrote against what was sent.

    Args:
        topics: every topic of OUTPUTS, whole.
        sent: what the source topics hold.
    """
    verdict = Verdict(events=sent.counts.total() + sent.answers.total())
    found = Counter(counted(topics["rollouts"])) + answered(topics["decisions"], verdict)
    wanted = sent.counts + sent.answers
    lost, doubled = wanted - found, found - wanted
    verdict.lost, verdict.doubled = lost.total(), doubled.total()
    for name, wrong in (("lost", lost), ("doubled", doubled)):
        if wrong:
            verdict.problems.append(f"{name}: {wrong.most_common(MAX_NAMED)}")
    _check_inputs(topics, sent, verdict)
    _check_flags(topics, verdict)
    _check_chains(topics["decisions"], verdict)
    _check_rollbacks(topics["rollbacks"], verdict)
    if letters := topics["dead-letters"]:
        verdict.problems.append(f"{len(letters)} dead letters, the first: {letters[0].headers}")
    return verdict


def _check_inputs(topics: Records, sent: Sent, verdict: Verdict) -> None:
    """Tell which of the two stages was wrong: the log is read as decide must read it."""
    applied = Applied()
    for record in topics["inputs"]:
        applied.take(record.partition, record.value)
    verdict.repeated += applied.repeated
    if applied.straddles:
        verdict.problems.append(f"{len(applied.straddles)} straddling batches, the first: {applied.straddles[0]}")
    requests = sum(count for (_, name), count in sent.counts.items() if name.split(":")[1] in OUTCOMES)
    if applied.counts.total() != requests:
        verdict.problems.append(f"guardian.inputs holds {applied.counts.total()} requests of {requests}: it was ingest")
    migrations = Counter({(flag, name): sent.counts[flag, f"on:{name}"] for flag in FLAGS for name in MIGRATION_TYPES})
    if wrong := (migrations - applied.migrations) + (applied.migrations - migrations):
        verdict.problems.append(f"guardian.inputs has other migration events, so it was ingest: {wrong}")


OUTCOMES = ("ok", "error", "timeout", "crash", "hang")


def _check_flags(topics: Records, verdict: Verdict) -> None:
    """Versions grow as (epoch, version), none says two things, the newest lies on top and is what the status says."""
    rows: dict[str, list[tuple[tuple[int, int], bytes]]] = defaultdict(list)
    for record in topics["flags"]:
        if record.key != b"_beat":
            metadata = msgspec.json.decode(record.value)["metadata"]
            rows[record.key.decode()].append(((metadata["epoch"], metadata["version"]), record.value))
    statuses: dict[str, RolloutStatus] = {}
    for record in topics["rollouts"]:
        statuses[record.key.decode()] = decode_status(record.value)
    for flag, row in rows.items():
        said: dict[tuple[int, int], bytes] = {}
        for version, value in row:
            if said.setdefault(version, value) != value:
                verdict.problems.append(f"{flag}: version {version} has two documents")
        verdict.repeated += len(row) - len(said)
        # A version that is new to the topic is greater than all before it: else no reader would ever obey it.
        if any(earlier > later for earlier, later in pairwise(said)):
            verdict.problems.append(f"{flag}: a new version came after a greater one: {list(said)}")
        if row[-1][0] != max(said):
            verdict.problems.append(f"{flag}: {row[-1][0]} lies on top of {max(said)}")
        state = statuses[flag].state
        if (state.epoch, state.version) != max(said):
            verdict.problems.append(f"{flag}: its status says {state.version}, its newest document {max(said)}")


def _once(decisions: list[ConsumerRecord], verdict: Verdict) -> dict[str, Decision]:
    """Return the decisions by id; an id that says two things is doubled."""
    said: dict[str, bytes] = {}
    for record in decisions:
        decision = decode_decision(record.value)
        if decision.id in said:
            verdict.repeated += 1
        if said.setdefault(decision.id, record.value) != record.value:
            verdict.doubled += 1
            verdict.problems.append(f"decision {decision.id} says two things")
    return {name: decode_decision(value) for name, value in said.items()}


def _check_chains(decisions: list[ConsumerRecord], verdict: Verdict) -> None:
    """Each decision begins where the one before ended: none is missing, none was made twice under two ids."""
    chains: dict[str, list[Decision]] = defaultdict(list)
    for decision in _once(decisions, Verdict()).values():
        if decision.flag != NO_FLAG and decision.attempt + len(decision.change_id):
            chains[decision.flag].append(decision)
    for flag, chain in chains.items():
        chain.sort(key=lambda decision: (decision.offset, int(decision.id.rpartition("/")[2])))
        for before, after in pairwise(chain):
            if (before.phase, before.weight_bp) != (after.from_phase, after.from_weight_bp):
                verdict.problems.append(f"{flag}: {after.id} does not begin where {before.id} ended")


def _check_rollbacks(rollbacks: list[ConsumerRecord], verdict: Verdict) -> None:
    said: dict[str, bytes] = {}
    for record in rollbacks:
        name = msgspec.json.decode(record.value)["id"]
        verdict.repeated += name in said
        if said.setdefault(name, record.value) != record.value:
            verdict.problems.append(f"rollback {name} says two things")
