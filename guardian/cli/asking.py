"""A command goes into the log; its answer is the decision that carries the command's id."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.markup import escape

from guardian.cli.options import NO_REASON, OrderOptions
from guardian.cli.reading import finish, reached, reaching
from guardian.cli.screen import answers, notes, print_json
from guardian.core.inputs import Command
from guardian.core.outputs import Decision
from guardian.core.text import weight_text
from guardian.core.words import ALL_FLAGS, Reason
from guardian.errors import DecodeError, Exit, SettingsError
from guardian.kafka.clients import consumer, producer
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings
from guardian.wire.commands import MAX_REASON_CHARS, encode_command
from guardian.wire.outputs import decode_decision

_POLL_S = 0.2


@dataclass
class Answers:
    """What came back.

    Args:
        command: what was sent.
        decisions: one per flag that answered.
        silent: who should have answered and did not, in time: the flag, or partitions for a command for all.
        waited: false for `--no-wait`.
    """

    command: Command
    decisions: list[Decision] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    waited: bool = True

    def code(self) -> Exit:
        """Return the exit code: refused counts for more than silent."""
        if any(not decision.accepted for decision in self.decisions):
            return Exit.NO
        return Exit.NO_ANSWER if self.silent else Exit.OK


def order(kind: str, flag: str, options: OrderOptions, **extra: Any) -> Exit:
    """Send one command, wait for the answer, print it.

    Args:
        kind: the command's word, such as `pause`.
        flag: the flag, or `*` for all.
        options: who, why, where, and for how long to wait.
        extra: further fields of `Command`: `spec`, `to`.

    Returns:
        OK when it was accepted or was so already, NO when refused, NO_ANSWER when nobody answered in time.
    """
    settings = options.load()
    given = _checked(
        Command(
            id=uuid.uuid4().hex,
            command=kind,
            flag=flag,
            actor=options.who(),
            reason=options.reason[:MAX_REASON_CHARS] or NO_REASON,
            ts=time.time(),
            **extra,
        )
    )
    wait_s = 0.0 if options.no_wait else options.wait_s
    result = finish(ask(settings, given, wait_s))
    show_answers(result, as_json=options.as_json)
    return result.code()


def _checked(given: Command) -> Command:
    """Refuse here what ingest would only put among the dead letters."""
    try:
        encode_command(given)
    except DecodeError as error:
        raise SettingsError(error.message, error.fix) from error
    return given


async def ask(settings: Settings, given: Command, wait_s: float) -> Answers:
    """Send a command and collect its answers.

    Args:
        settings: where Kafka is.
        given: the command.
        wait_s: seconds to wait for the answer once it was sent; 0 for not at all.

    Raises:
        TransportError: Kafka did not take the command.
    """
    if wait_s <= 0:
        await _send(settings, given)
        return Answers(given, waited=False)
    async with reached(consumer(settings), settings) as listener:
        # Step 1: stand at the end of the decisions before the command is sent, or the answer could be missed.
        async with reaching(settings):
            await _stand_at_end(listener, settings, given.flag)
        # Step 2: send, before anything else is looked up: it may be an emergency.
        await _send(settings, given)
        # Step 3: wait for everybody who must answer.
        return await _collect(listener, given, settings.partitions, wait_s)


async def _stand_at_end(listener: AIOKafkaConsumer, settings: Settings, flag: str) -> None:
    """Follow the decisions of this flag, or of all, from now on."""
    count = settings.partitions
    numbers = range(count) if flag == ALL_FLAGS else [partition_of(flag, count)]
    partitions = [TopicPartition(settings.topic("decisions"), number) for number in numbers]
    listener.assign(partitions)
    for partition, end in (await listener.end_offsets(partitions)).items():
        listener.seek(partition, end)


async def _send(settings: Settings, given: Command) -> None:
    """Write the command and wait until Kafka has it."""
    message = encode_command(given)
    number = partition_of(message.key, settings.partitions)
    async with reached(producer(settings), settings) as sender, reaching(settings):
        await sender.send_and_wait(
            settings.topic(message.topic), message.value, key=message.key, partition=number, headers=message.headers
        )


async def _collect(listener: AIOKafkaConsumer, given: Command, partitions: int, wait_s: float) -> Answers:
    """Read decisions until all who must answer have, or the time is over.

    A flag answers for itself. A command for all is answered by every partition, after the flags that it holds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    flags: dict[str, Decision] = {}
    answered: set[int] = set()
    for_all = given.flag == ALL_FLAGS
    while left_s := max(0.0, deadline - loop.time()):
        for decision in await _next_decisions(listener, min(_POLL_S, left_s)):
            if decision.command_id != given.id:
                continue
            if for_all and decision.flag == ALL_FLAGS:
                answered.add(decision.partition)
                if decision.accepted:
                    continue
            flags[decision.flag] = decision
        if len(answered) == partitions or (not for_all and flags):
            # The flags' answers and their partition's stand in different partitions: one more look.
            deadline = min(deadline, loop.time() + _POLL_S) if for_all else 0.0
    silent = [f"partition {number}" for number in range(partitions) if number not in answered] if for_all else []
    if not for_all and not flags:
        silent = [given.flag]
    return Answers(given, [flags[flag] for flag in sorted(flags)], silent)


async def _next_decisions(listener: AIOKafkaConsumer, within_s: float) -> list[Decision]:
    """What came within the time."""
    batches = await listener.getmany(timeout_ms=max(1, int(within_s * 1_000)))
    values = [record.value for records in batches.values() for record in records]
    return [decode_decision(value) for value in values if value is not None]


def show_answers(result: Answers, *, as_json: bool) -> None:
    """Print what came back: one line per flag, or one JSON object."""
    if as_json:
        print_json(answers_document(result))
        return
    given = result.command
    if not result.waited:
        answers().print(f"{given.command} sent ({given.id}); nobody waited for the answer")
        return
    for decision in result.decisions:
        answers().print(decision_line(decision), soft_wrap=True)
    if not result.decisions and not result.silent:
        answers().print(f"{given.command} sent ({given.id}); no rollout is there to answer")
    if result.silent:
        names = ", ".join(result.silent)
        notes().print(f"[bold red]error:[/] {escape(given.command)} was sent, but no answer came for {escape(names)}")
        notes().print(
            "[bold]  fix:[/] it may still happen: look with guardian status, and whether guardian run is alive; "
            f"the command's id is {given.id}",
            soft_wrap=True,
        )


def decision_line(decision: Decision) -> str:
    """Return one answer as a line of rich markup: accepted or refused, why, and where the flag stands now."""
    if decision.reason is Reason.UNCHANGED:
        word = "[dim]unchanged[/]"
    elif decision.accepted:
        word = "[green]accepted[/]"
    else:
        word = "[bold red]refused[/]"
    step = f" at {decision.step}" if decision.step else ""
    where = f"{decision.phase}{step}, {weight_text(decision.weight_bp)}"
    text = f": {escape(decision.text)}" if decision.text else ""
    return f"[bold]{escape(decision.flag)}[/] {word} {decision.reason}{text} \\[{escape(where)}]"


def answers_document(result: Answers) -> dict[str, Any]:
    """Return the answers as the JSON object that `--json` prints."""
    code = result.code()
    return {
        "ok": code is Exit.OK,
        "exit_code": int(code),
        "command": result.command.command,
        "command_id": result.command.id,
        "flag": result.command.flag,
        "waited": result.waited,
        "decisions": result.decisions,
        "silent": result.silent,
    }
