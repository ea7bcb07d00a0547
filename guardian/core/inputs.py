"""What comes in through the log: everything that decide knows, time and commands too.

One record of guardian.inputs is one `Record`. A batch sums one range of one source partition, never two.
The positional layout (array_like) is format 1: fields are only ever added at the end, with a default.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, field

INPUT_FORMAT: Final = 1
MAX_CELLS_PER_FLAG: Final = 256
MAX_SIGNATURES: Final = 8
OTHER: Final = "other"
"""The service and segment of the cell that takes what exceeds MAX_CELLS_PER_FLAG."""


class Bucket(Struct, array_like=True):
    """The figures of one cell in one second of event time; they merge by adding.

    Args:
        second: Unix second in which the events happened.
        n: requests.
        ok, error, timeout, crash, hang: requests by outcome; they add up to n.
        latency_n: requests that carried a latency.
        latency_sum_us: their sum in whole microseconds, so that merging is exact.
        bins: indices of the latency histogram's bins that are not empty, rising.
        bin_counts: requests in each of those.
        exposures: exposure events.
        feedback: feedback events by severity.
        migrations: success, failure and fallback events.
        pairs: dual runs: [n, mismatches, control_us, candidate_us, pairs with a deviation].
        deviation_sum: sum of the deviations.
        metrics: named figures: [n, sum, sum of squares, last].
        subjects: sketch of distinct subjects; empty until a capability needs it.
        failing: sketch of subjects with a failure; empty until a capability needs it.
        signatures: up to 8 error types with their counts.
        cancelled_pairs: dual runs that were cancelled before both had answered; they are no pairs.
    """

    second: int
    n: int = 0
    ok: int = 0
    error: int = 0
    timeout: int = 0
    crash: int = 0
    hang: int = 0
    latency_n: int = 0
    latency_sum_us: int = 0
    bins: list[int] = field(default_factory=list)
    bin_counts: list[int] = field(default_factory=list)
    exposures: int = 0
    feedback: dict[str, int] = field(default_factory=dict)
    migrations: list[int] = field(default_factory=list)
    pairs: list[int] = field(default_factory=list)
    deviation_sum: float = 0.0
    metrics: dict[str, list[float]] = field(default_factory=dict)
    subjects: bytes = b""
    failing: bytes = b""
    signatures: dict[str, int] = field(default_factory=dict)
    cancelled_pairs: int = 0


class Cell(Struct, array_like=True):
    """The figures of one (flag, flag_version, variant, assignment, service, segment, overlap), by second.

    Args:
        flag: the flag's name.
        flag_version: the version that the application decided by; 0 when the event did not say.
        variant: the variant served.
        assignment: why; `unattributed` when the event did not say.
        service: the service; empty when the event did not say.
        segment: `attribute=value` of one declared attribute; empty for none.
        overlap: `flag=variant` of at most three other flags in rollout, sorted; empty for none.
        buckets: one per second, rising.
    """

    flag: str
    flag_version: int
    variant: str
    assignment: str
    service: str = ""
    segment: str = ""
    overlap: tuple[str, ...] = ()
    buckets: list[Bucket] = field(default_factory=list)


class Heartbeat(Struct, array_like=True):
    """The newest sign of life of one instance in a range, as far as it concerns this partition's flags.

    Args:
        service, instance: who.
        at_ms: event time.
        flags: the version of each flag's document that it serves.
        dropped, evaluation_errors: since its start.
        metrics: named figures, memory and processor among them.
        bye: its last one, as it ends in good order.
        open: measurements begun and not told yet.
        open_max_ms: how long the oldest of these has been open, in milliseconds.
    """

    service: str
    instance: str
    at_ms: int
    flags: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    evaluation_errors: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    bye: bool = False
    open: int = 0
    open_max_ms: float = 0.0


class Gauge(Struct, array_like=True):
    """The newest gauges of one instance in a range."""

    flag: str
    service: str
    instance: str
    at_ms: int
    metrics: dict[str, float] = field(default_factory=dict)


class Actor(Struct, frozen=True):
    """Who gave a command.

    Args:
        name: the person or machine.
        via: `cli`, `http`, `console`, `emergency`, `guardian`.
        authenticated: whether `name` was proved rather than claimed; of a command, ingest says so, not its sender.
    """

    name: str
    via: str = "cli"
    authenticated: bool = False


class Command(Struct):
    """An operator's command as it stands in the log; the JSON on guardian.commands has the same fields.

    Args:
        id: the sender's id; answers carry it.
        command: apply, start, promote, pause, resume, rollback, kill, unkill, resolve, archive, bug, metric, dismiss,
            unfreeze or release.
        flag: the flag's name, `*` for all.
        actor: who.
        reason: why, in words.
        ts: Unix seconds when it was given; shown, never judged by.
        spec: the rollout document for `apply`, as JSON.
        to: the target of `rollback`: `zero` (default), `previous`, or a step's name; of `dismiss`: the instance that
            fell silent, as `service/instance`, `*` for all of them.
        epoch: raised by the emergency path only, on `kill` and `rollback` to zero; decide adopts it.
        name: the figure that `metric` sets.
        value: what it is set to; null for every other command.
        force: of `promote`: also on stale or lost evidence.
        seen_turn: the `turn` of the status that the sender saw; a command that climbs (start, promote, resume, unkill)
            is refused when it is no longer that, `apply` when a spec was applied after it. Null for unconditional.
        seen_revision: of `apply`: the revision that the sender saw, empty for no rollout; null for unconditional.
        freeze: of `release`, which is for all flags: the straddle as its alert names it,
            `topic/topic id/partition start..end`.
    """

    id: str
    command: str
    flag: str
    actor: Actor
    reason: str = ""
    ts: float = 0.0
    spec: dict[str, Any] | None = None
    to: str = ""
    epoch: int = 0
    name: str = ""
    value: float | None = None
    force: bool = False
    seen_turn: int | None = None
    seen_revision: str | None = None
    freeze: str = ""

    @property
    def only_lowers(self) -> bool:
        """Whether it can only lower exposure: the emergency path's commands, whose sender need not be proved."""
        return self.command == "kill" or (self.command == "rollback" and self.to in ("", "zero"))


class Source(Struct, array_like=True, frozen=True):
    """One partition of a source topic. A recreated topic has another id.

    Args:
        topic: its full name.
        topic_id: 32 hex digits.
        partition: which.
        accepted: a person has looked and said that the topic of this id follows the one of this name before.
    """

    topic: str
    topic_id: str
    partition: int
    accepted: bool = False


class Batch(Struct, array_like=True, tag="batch"):
    """What the offsets [start, end) of one source partition mean for the flags of this input partition.

    Args:
        source: where from.
        start, end: the half-open range of source offsets.
        cells: telemetry and migrations, summed.
        heartbeats, gauges: the newest per instance.
        commands: operators' commands in the order of their offsets.
        other_cells: cells that were folded into `other` because a flag had too many.
        unreadable: offsets of the range whose record batch could not be read; told to input partition 0 only.
    """

    source: Source
    start: int
    end: int
    cells: list[Cell] = field(default_factory=list)
    heartbeats: list[Heartbeat] = field(default_factory=list)
    gauges: list[Gauge] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    other_cells: int = 0
    unreadable: int = 0


class SourceMark(Struct, array_like=True):
    """How far one source partition has been read and acked into the log.

    Args:
        source: which.
        watermark_ms: min(greatest event time, greatest arrival time) less the allowed disorder; 0 before any event.
        lag: records between what is acked and the end.
        to_end: true when everything up to the end is acked: log time less the disorder stands in for the watermark.
        stopped: why ingest does not read it although it owns it; empty while it does.
    """

    source: Source
    watermark_ms: int
    lag: int
    to_end: bool
    stopped: str = ""


class Watermarks(Struct, array_like=True, tag="marks"):
    """What one ingest process says once a second, to every input partition.

    Args:
        process: its member id.
        marks: the source partitions that it owns.
        expected: every source topic with its number of partitions; all of them must report before a promotion.
        disorder_ms: the allowed disorder.
    """

    process: str
    marks: list[SourceMark]
    expected: dict[str, int]
    disorder_ms: int


class Tick(Struct, array_like=True, tag="tick"):
    """A second has passed, says decide to itself through the log; the record's own timestamp is the time."""

    process: str


class Reassert(Struct, array_like=True, tag="reassert"):
    """What FlagReport replaced; records of it are still in the logs of installations that were upgraded.

    On guardian.flags an older document than ours lies on top: assert ours again.

    Args:
        flag: whose.
        epoch, version: of that document; below zero for a tombstone or none at all. Ours, as it should be: it is the
            status that is missing.
    """

    flag: str
    epoch: int
    version: int


class FreezeFlag(Struct, array_like=True, tag="freeze_flag"):
    """Guardian's own code failed on a flag: from here on it is frozen, whichever build reads the log.

    Args:
        flag: which.
        offset: the input at which the code failed.
        build: the version of guardian that failed.
        error: what was raised, one line.
    """

    flag: str
    offset: int
    build: str
    error: str


class FlagReport(Struct, array_like=True, tag="flag_report"):
    """What decide's watcher found on guardian.flags; the fold compares it with what it asserts at this record.

    Args:
        flag: whose.
        epoch, version: of the newest record; below zero for a tombstone, none at all, or one that no reader takes.
        content: hash of what readers serve by it: state, variants, default variant, targeting.
        everyone: hash of the one value that it gives to every subject; empty when there is no such value.
        signature: as it stands in the document; empty for none.
        expected_epoch, expected_version: what this process asserted when it looked.
    """

    flag: str
    epoch: int
    version: int
    content: str = ""
    everyone: str = ""
    signature: str = ""
    expected_epoch: int = -1
    expected_version: int = -1


Payload = Batch | Watermarks | Tick | Reassert | FlagReport | FreezeFlag


class Record(Struct):
    """One record of the log, as the fold takes it.

    Args:
        offset: its place in the partition; the fold insists on the next one.
        log_ms: the broker's timestamp.
        payload: what it says; None for rubbish, which takes its offset and changes nothing.
    """

    offset: int
    log_ms: int
    payload: Payload | None
