"""A command goes into the log; its answer is the decision that carries the command's id."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from guardian.core.inputs import Command
from guardian.core.outputs import Decision
from guardian.core.words import Reason
from guardian.errors import DecodeError
from guardian.kafka.answers import Gathering
from guardian.kafka.partition import partition_of
from guardian.kafka.settings import Settings
from guardian.kafka.signing import SigningKeys
from guardian.serve import metrics
from guardian.serve.faults import Refused
from guardian.serve.replies import json_reply
from guardian.serve.writing import Writer
from guardian.wire.commands import encode_command
from guardian.wire.outputs import Message

DEFAULT_WAIT_MS: Final = 10_000
MAX_WAIT_MS: Final = 60_000
NO_REASON: Final = "no reason given"
"""What is recorded when nobody said why: an emergency is never held up by a missing word."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    Args:
        command: what was sent.
        decisions: one per flag that answered.
        silent: who should have answered in time and did not.
    """

    command: Command
    decisions: list[Decision]
    silent: list[str]

    @property
    def word(self) -> str:
        """What became of it: `accepted`, `refused`, `unknown_flag` or `silent`; refused counts for more than silent."""
        refused = [decision for decision in self.decisions if not decision.accepted]
        if any(decision.reason is Reason.REFUSED_UNKNOWN_FLAG for decision in refused):
            return "unknown_flag"
        if refused:
            return "refused"
        return "silent" if self.silent else "accepted"

    def reply(self) -> Response:
        """Return it as the answer of HTTP."""
        word = self.word
        body: dict[str, Any] = {
            "ok": word == "accepted",
            "command": self.command.command,
            "command_id": self.command.id,
            "flag": self.command.flag,
            "decisions": self.decisions,
            "silent": self.silent,
        }
        body.update(self._why(word))
        return json_reply(body, _STATUS[word])

    def _why(self, word: str) -> dict[str, str]:
        """Reason, message and fix of an answer that is not yes."""
        if word == "accepted":
            return {}
        if word == "silent":
            return {
                "reason": "no_answer",
                "message": f"the command was sent, but no answer came for {', '.join(self.silent)}",
                "fix": "it may still happen: look at /v1/decisions and /readyz",
            }
        refused = [decision for decision in self.decisions if not decision.accepted]
        return {"reason": refused[0].reason, "message": "; ".join(one.text for one in refused), "fix": ""}


_STATUS: Final = {
    "accepted": HTTPStatus.OK,
    "refused": HTTPStatus.CONFLICT,
    "unknown_flag": HTTPStatus.NOT_FOUND,
    "silent": HTTPStatus.ACCEPTED,
}


def new_command(kind: str, flag: str, **fields: Any) -> Command:
    """Return a command with an id and the time.

    Args:
        kind: the command's word, such as `pause`.
        flag: the flag, or `*` for all.
        fields: further fields of `Command`.
    """
    reason = fields.pop("reason", "") or NO_REASON
    return Command(id=uuid.uuid4().hex, command=kind, flag=flag, reason=reason, ts=time.time(), **fields)


class Desk:
    """Takes commands, and matches decisions with them.

    Args:
        settings: the installation.
        writer: the way to Kafka.
    """

    def __init__(self, settings: Settings, writer: Writer) -> None:
        self._settings = settings
        self._writer = writer
        self._keys = SigningKeys.of(settings)
        self._open: dict[str, Gathering] = {}

    def on_decision(self, decision: Decision) -> None:
        """Look whether somebody waits for this decision."""
        if (gathering := self._open.get(decision.command_id)) is not None:
            gathering.take(decision)

    async def ask(self, command: Command, wait_ms: int) -> Answer:
        """Send a command and collect its answers.

        Args:
            command: checked here before it is sent.
            wait_ms: how long to wait for the answer once it was sent; 0 for not at all.

        Raises:
            Refused: not a command that can be put into the log.
            TransportError: Kafka did not take it.
        """
        gathering = Gathering(command, self._settings.partitions)
        message = self._message(command)
        # Step 1: be there for the answer before the command is sent.
        self._open[command.id] = gathering
        try:
            # Step 2: send, before anything else is looked up: it may be an emergency.
            await self._writer.send([message])
            # Step 3: wait for everybody who must answer.
            await gathering.wait(wait_ms / 1_000)
        finally:
            del self._open[command.id]
        answer = Answer(command, gathering.decisions, gathering.silent)
        metrics.COMMANDS.labels(command.command, answer.word).inc()
        return answer

    def _message(self, command: Command) -> Message:
        """The record; refused here is better than found among the dead letters."""
        try:
            message = encode_command(command)
        except DecodeError as error:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, error.reason, error.message, error.fix) from error
        number = partition_of(message.key, self._settings.partitions)
        # Only what a token has proved: a signature on anything else would make a claim a proof.
        proof = self._keys.sign(message.value) if command.actor.authenticated else []
        return Message(message.topic, message.key, message.value, [*message.headers, *proof], number)
