"""A scene: one partition's engine, specs in a line, events in a line, log time that only the scene moves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec.structs import replace

from guardian.core.bake import baked_ms
from guardian.core.engine import Engine
from guardian.core.histogram import bins_of
from guardian.core.inputs import (
    Actor,
    Batch,
    Bucket,
    Cell,
    Command,
    Payload,
    Record,
    Source,
    SourceMark,
    Tick,
    Watermarks,
)
from guardian.core.instant import Instant
from guardian.core.outputs import Alert, Decision, FlagChange, FlagState, Output, Rollback, RolloutStatus
from guardian.core.rollout import (
    METRICS,
    Gate,
    Op,
    RollbackPolicy,
    RolloutSpec,
    Rule,
    Step,
    Trigger,
    Unit,
)
from guardian.core.state import RolloutState
from guardian.core.words import Action
from guardian.errors import Problem, SpecError

FLAG = "pricing"
T0 = 1_763_700_000_000
DISORDER_MS = 1_000
TELEMETRY = Source("telemetry", "id-1", 0)
COMMANDS = Source("commands", "id-2", 0)
ANN = Actor("ann", "cli", True)

Kind = TypeVar("Kind")


# What is declared


def above(metric: str, limit: float, *, over_s: int = 60, hold_s: int = 0) -> Rule:
    """`metric > limit over .. for ..`; over_s = 0 is `per step`."""
    return Rule(f"{metric} > {limit}", METRICS[metric], Op.ABOVE, float(limit), over_s * 1_000, hold_s * 1_000)


def below(metric: str, limit: float, *, over_s: int = 0) -> Rule:
    """`metric < limit`; over_s = 0 is since the step began."""
    return Rule(f"{metric} < {limit}", METRICS[metric], Op.BELOW, float(limit), over_s * 1_000)


def trigger(rule: Rule, do: Action = Action.ROLLBACK, **fields: Any) -> Trigger:
    """A trigger named after its metric; counts need no samples, others ten."""
    fields = {"name": rule.metric.name, "min_samples": 0 if rule.metric.unit is Unit.COUNT else 10, **fields}
    return Trigger(rule=rule, do=do, **fields)


def gate(rule: Rule, *, min_samples: int = 10) -> Gate:
    return Gate(rule.metric.name, rule, min_samples)


def step(name: str, weight_bp: int, *, bake_s: int = 10, timeout_s: int = 30, **fields: Any) -> Step:
    return Step(name, weight_bp, bake_s * 1_000, gate_timeout_ms=timeout_s * 1_000, **fields)


LADDER = (step("canary", 500), step("half", 5_000), step("full", 10_000))


def spec(*steps: Step, flag: str = FLAG, revision: str = "r1", **fields: Any) -> RolloutSpec:
    """A rollout, by default canary 5 %, half 50 %, full 100 %, ten seconds each."""
    return RolloutSpec(flag, revision, steps or LADDER, **fields)


def document_of(declared: RolloutSpec) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(declared))
    return document


def parse(document: dict[str, Any]) -> RolloutSpec:
    """The stand-in of guardian.spec: a document is the spec's own fields."""
    try:
        return msgspec.convert(document, RolloutSpec)
    except msgspec.ValidationError as error:
        raise SpecError([Problem("steps", str(error))]) from error


WAIT = RollbackPolicy(to="previous", wait_ms=60_000, resolve_required=True)
PREVIOUS = RollbackPolicy(to="previous")


# What happens


def bucket(
    second: int, *, ok: int = 0, error: int = 0, crash: int = 0, timeout: int = 0, latency_ms: Iterable[float] = ()
) -> Bucket:
    values = np.array(list(latency_ms), dtype=np.float64)
    index, count = np.unique(bins_of(values), return_counts=True)
    return Bucket(
        second,
        n=ok + error + crash + timeout,
        ok=ok,
        error=error,
        timeout=timeout,
        crash=crash,
        latency_n=len(values),
        latency_sum_us=int(values.sum() * 1_000),
        bins=index.tolist(),
        bin_counts=count.tolist(),
    )


class Scene:
    """One partition; `said` keeps every output, `log` every record."""

    def __init__(self, *specs: RolloutSpec, started: bool = True) -> None:
        self.engine = Engine(0, parse)
        self.t = T0
        self.said: list[Output] = []
        self.log: list[Record] = []
        self.ends = {TELEMETRY: 0, COMMANDS: 0}
        for declared in specs:
            self.apply(declared)
            if started:
                self.command("start", declared.flag)

    # the log

    def feed(self, payload: Payload | None, *, log_ms: int | None = None) -> list[Output]:
        """Fold one record at the present log time, or at the one given."""
        record = Record(self.engine.next_offset, self.t if log_ms is None else log_ms, payload)
        outputs = self.engine.fold(record)
        self.log.append(record)
        self.said += outputs
        return outputs

    def batch(self, *cells: Cell, commands: Iterable[Command] = (), source: Source = TELEMETRY) -> list[Output]:
        start = self.ends.get(source, 0)
        self.ends[source] = start + 10
        return self.feed(Batch(source, start, start + 10, list(cells), commands=list(commands)))

    def command(self, word: str, flag: str = FLAG, /, **fields: Any) -> Decision:
        """Give a command and return its answer."""
        given = Command(f"c{len(self.log)}", word, flag, ANN, "because", **fields)
        outputs = self.batch(commands=[given], source=COMMANDS)
        answers = [each for each in outputs if isinstance(each, Decision) and each.command_id == given.id]
        return answers[-1]

    def apply(self, declared: RolloutSpec) -> Decision:
        return self.command("apply", declared.flag, spec=document_of(declared))

    def events(
        self, *, flag: str = FLAG, variant: str = "on", second: int | None = None, version: int | None = None, **n: Any
    ) -> list[Output]:
        """Requests of one second (by default the last whole one), decided by the present flag document."""
        if version is None:
            version = self.flag(flag).version
        at_s = self.t // 1_000 - 1 if second is None else second
        return self.batch(Cell(flag, version, variant, "split", buckets=[bucket(at_s, **n)]))

    def marks(self, **fields: Any) -> list[Output]:
        """Everything was read to its end."""
        mark = replace(SourceMark(TELEMETRY, 0, 0, True), **fields)
        return self.feed(Watermarks("i-1", [mark], {"telemetry": 1}, DISORDER_MS))

    def tick(self) -> list[Output]:
        return self.feed(Tick("d-1"))

    def seconds(self, count: int, *, blind: bool = False, flag: str = FLAG, **n: Any) -> list[Output]:
        """So many seconds pass, each with these requests; `blind`: ingest reports nothing."""
        outputs: list[Output] = []
        for _ in range(count):
            self.t += 1_000
            if n:
                outputs += self.events(flag=flag, **n)
            if not blind:
                outputs += self.marks()
            outputs += self.tick()
        return outputs

    # what came of it

    def flag(self, flag: str = FLAG) -> FlagState:
        return next(state for state in self.engine.flags() if state.flag == flag)

    def state(self, flag: str = FLAG) -> RolloutState:
        """The state itself, for what no output shows."""
        return self.engine._rollouts[flag]

    @property
    def baked_ms(self) -> int:
        """The bake as of the last tick."""
        return baked_ms(self.state(), Instant(0, 0, self.t, 0, "", 0, fresh_ms=self.engine._state.fresh_ms))

    @property
    def where(self) -> str:
        """Phase, step and weight in a word, as `progressing canary 500`."""
        state = self.flag()
        return f"{state.phase} {state.step or '-'} {state.weight_bp}"

    def all(self, kind: type[Kind]) -> list[Kind]:
        return [each for each in self.said if isinstance(each, kind)]

    def reasons(self) -> list[str]:
        return [decision.reason.value for decision in self.all(Decision)]

    def decision(self) -> Decision:
        return self.all(Decision)[-1]

    def alerts(self) -> list[tuple[str, bool]]:
        return [(alert.trigger, alert.active) for alert in self.all(Alert)]

    def status(self) -> RolloutStatus:
        return self.all(RolloutStatus)[-1]

    def verdict(self, name: str) -> tuple[str, str]:
        """Outcome and reason of a trigger, as the last status shows them."""
        shown = next(each.verdict for each in self.status().triggers if each.name == name)
        return shown.outcome.value, shown.reason.value

    def changes(self) -> list[FlagState]:
        return [change.state for change in self.all(FlagChange)]

    def rollbacks(self) -> list[Rollback]:
        return self.all(Rollback)
