"""The judge of the fault tests finds what it is there for: each fault is put into a clean account, and told."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest
from aiokafka import ConsumerRecord
from msgspec.structs import replace

from guardian.core.outputs import Decision, FlagChange, Output, Rollback, RolloutStatus
from guardian.core.words import Phase
from guardian.wire.inputs import encode_payload
from guardian.wire.outputs import Message, encode_output
from tests.core.scenes import FLAG, Scene, above, spec, trigger
from tests.faults.judge import OUTPUTS, Sent, hold
from tests.faults.topics import Records

CRASH = trigger(above("crash_count", 0, over_s=0))


def play() -> Scene:
    """A rollout with everything that the judge looks at: promoted, paused, crashed, rolled back, killed."""
    scene = Scene(spec(triggers=(CRASH,)))
    scene.seconds(12, ok=20, error=1)
    scene.command("pause")
    scene.command("resume")
    scene.seconds(3, ok=5)
    scene.events(crash=1)
    scene.command("kill")
    scene.command("unkill")
    scene.seconds(2)
    return scene


def written(scene: Scene, outputs: list[Output]) -> Records:
    """What Kafka would hold."""
    topics: Records = defaultdict(list)
    for topic in OUTPUTS:
        topics[topic] = []
    messages = [encode_output(output) for output in outputs]
    messages += [Message("inputs", b"", encode_payload(each.payload)) for each in scene.log if each.payload]
    for at, message in enumerate(messages):
        record = ConsumerRecord(
            f"test.{message.topic}", 0, at, 0, 0, message.key, message.value, None, 0, len(message.value), ()
        )
        topics[message.topic].append(record)
    return topics


def sent_in(scene: Scene) -> Sent:
    totals = scene.status().totals
    commands = {decision.command_id: 1 for decision in scene.all(Decision) if decision.command_id}
    return Sent(Counter({(FLAG, name): n for name, n in totals.items() if ":" in name}), Counter(commands))


def test_a_clean_account_is_good_also_when_all_of_it_was_said_twice() -> None:
    scene = play()
    assert len(scene.changes()) > 4
    assert scene.rollbacks()
    clean = hold(written(scene, scene.said), sent_in(scene))
    assert (clean.problems, clean.lost, clean.doubled, clean.repeated) == ([], 0, 0, 0)
    said_again = hold(written(scene, [*scene.said, *scene.said]), sent_in(scene))
    assert said_again.good
    assert said_again.repeated > 10


@pytest.mark.parametrize("name", ["on:ok", "on:error", "on:crash"])
@pytest.mark.parametrize("difference", [1, -1])
def test_one_event_too_many_or_too_few_is_told(name: str, difference: int) -> None:
    scene = play()
    sent = sent_in(scene)
    sent.counts[FLAG, name] += difference
    verdict = hold(written(scene, scene.said), sent)
    assert (verdict.lost, verdict.doubled) == ((1, 0) if difference > 0 else (0, 1))
    assert not verdict.good


def change_last(kind: type[Output], change: Callable[[Output], list[Output]]) -> Callable[[list[Output]], list[Output]]:
    """Replace the last output of a kind."""

    def changed(said: list[Output]) -> list[Output]:
        at = max(at for at, output in enumerate(said) if isinstance(output, kind))
        return [*said[:at], *change(said[at]), *said[at + 1 :]]

    return changed


def answers(said: list[Output]) -> list[int]:
    return [at for at, output in enumerate(said) if isinstance(output, Decision) and output.command_id]


def without_an_answer(said: list[Output]) -> list[Output]:
    return [output for at, output in enumerate(said) if at != answers(said)[2]]


def answered_twice(said: list[Output]) -> list[Output]:
    again = replace(said[answers(said)[2]], id=f"{FLAG}/1/999/1", offset=999)
    return [*said, again]


def without_the_rollback(said: list[Output]) -> list[Output]:
    fired = [output for output in said if isinstance(output, Decision) and output.phase is Phase.ROLLED_BACK]
    return [output for output in said if output is not fired[0]]


def old_version_on_top(said: list[Output]) -> list[Output]:
    return [*said, next(output for output in said if isinstance(output, FlagChange))]


def version_out_of_row(said: list[Output]) -> list[Output]:
    """A change that reached the topic only after a greater one: no reader ever obeyed it."""
    one, other = [at for at, output in enumerate(said) if isinstance(output, FlagChange)][1:3]
    changed = list(said)
    changed[one], changed[other] = changed[other], changed[one]
    return changed


FAULTS = {
    "lost": without_an_answer,
    "doubled": answered_twice,
    "does not begin where": without_the_rollback,
    "lies on top of": old_version_on_top,
    "came after a greater one": version_out_of_row,
    "says two things": change_last(Decision, lambda output: [output, replace(output, text="something else")]),
    "rollback .* says two things": change_last(Rollback, lambda output: [output, replace(output, text="else")]),
    "has two documents": change_last(
        FlagChange, lambda output: [output, FlagChange(replace(output.state, weight_bp=output.state.weight_bp + 1))]
    ),
    "its status says": change_last(
        RolloutStatus, lambda output: [replace(output, state=replace(output.state, version=1))]
    ),
}


@pytest.mark.parametrize("problem", FAULTS)
def test_each_fault_of_what_was_decided_is_told(problem: str) -> None:
    scene = play()
    verdict = hold(written(scene, FAULTS[problem](scene.said)), sent_in(scene))
    assert not verdict.good
    assert re.search(problem, "\n".join(verdict.problems))


def test_a_batch_that_the_log_lacks_is_ingests_fault() -> None:
    scene = play()
    topics = written(scene, scene.said)
    topics["inputs"] = topics["inputs"][:-20]
    verdict = hold(topics, sent_in(scene))
    assert any("it was ingest" in problem for problem in verdict.problems)
