"""Guardian as a whole in this process: both ingests and decide on a broker, and what they have said so far."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer, ConsumerRecord
from click.testing import Result
from typer.testing import CliRunner

from guardian.cli.main import app
from guardian.core.inputs import Actor, Command
from guardian.core.outputs import Alert, RolloutStatus
from guardian.kafka.admin import create_topics
from guardian.kafka.clients import producer, running
from guardian.kafka.settings import Settings
from guardian.wire.commands import encode_command
from guardian.wire.outputs import decode_alert, decode_status
from tests.decide.feeding import Reader, deciding, reading
from tests.eventually import eventually
from tests.ingest.test_loop import ingest

SAID = ("flags", "rollouts", "decisions", "alerts", "dead-letters")


def spec_of(flag: str, **fields: Any) -> dict[str, Any]:
    """Return a rollout that goes back to zero at the first crash."""
    return {
        "flag": flag,
        "steps": [{"name": "canary", "weight": "5%", "bake": "1h"}, {"name": "full", "weight": "100%", "bake": "1h"}],
        "triggers": [{"when": "crash_count > 0 per step", "do": "rollback"}],
        "rollback": {"to": "zero"},
        **fields,
    }


def event(flag: str, version: int = 0, **fields: Any) -> bytes:
    """Return a request event of the candidate that went well."""
    document = {"ts": time.time(), "flag": flag, "variant": "on", "outcome": "ok", "flag_version": version}
    return json.dumps({**document, **fields}).encode()


class House:
    """What applications and operators do to a running guardian, and what it says.

    Args:
        settings: the installation.
        client: sends to any topic.
        reader: has read everything of SAID.
    """

    def __init__(self, settings: Settings, client: AIOKafkaProducer, reader: Reader) -> None:
        self.settings, self.client, self.reader = settings, client, reader
        self._commands = 0

    async def order(self, flag: str, command: str, spec: dict[str, Any] | None = None) -> None:
        """Send an operator's command."""
        self._commands += 1
        message = encode_command(Command(f"c-{self._commands}", command, flag, Actor("test"), spec=spec))
        await self.client.send_and_wait(self.settings.topic(message.topic), message.value, key=message.key)

    async def send(self, topic: str, values: Iterable[bytes | None], key: bytes | None = None) -> None:
        """Send raw values, acked."""
        sent = [await self.client.send(self.settings.topic(topic), value, key=key) for value in values]
        await asyncio.gather(*sent)

    async def begin(self, flag: str, spec: dict[str, Any] | None = None) -> int:
        """Apply and start a rollout; return the version of its document."""
        await self.order(flag, "apply", spec or spec_of(flag))
        await self.order(flag, "start")
        await eventually(lambda: self.weight(flag) == 500, within=90)
        return int(self.documents(flag)[-1]["metadata"]["version"])

    def documents(self, flag: str) -> list[dict[str, Any]]:
        """Every document of a flag so far."""
        return [json.loads(record.value) for record in self.reader.of("flags") if record.key == flag.encode()]

    def weight(self, flag: str) -> int | None:
        """The weight that the newest document says, None before any."""
        documents = self.documents(flag)
        return int(documents[-1]["metadata"]["weight_bp"]) if documents else None

    def status(self, flag: str) -> RolloutStatus | None:
        """The newest status of a flag, None before any."""
        found = [record.value for record in self.reader.of("rollouts") if record.key == flag.encode()]
        return decode_status(found[-1]) if found else None

    def total(self, flag: str, name: str = "on") -> int:
        """How many events of a variant decide has counted."""
        status = self.status(flag)
        return status.totals.get(name, 0) if status else 0

    def alerts(self) -> list[Alert]:
        """Every alert so far."""
        return [decode_alert(record.value) for record in self.reader.of("alerts") if record.value is not None]

    def dead(self) -> list[ConsumerRecord]:
        """Every dead letter so far."""
        return self.reader.of("dead-letters")


def guardian(settings: Settings, *words: str) -> Result:
    """Run one command of the command line in this process; from within a loop, in a thread."""
    where = ["--bootstrap", settings.bootstrap, "--prefix", settings.prefix]
    return CliRunner().invoke(app, [*words, *where])


@asynccontextmanager
async def inhabited(settings: Settings, *, telemetry: bool = True, decide: bool = True) -> AsyncIterator[House]:
    """Run guardian for the length of the block; whatever one of its loops raises is raised at the end.

    Args:
        settings: the installation.
        telemetry: False leaves the ingest of telemetry to the test.
        decide: False leaves decide to the test.
    """
    await create_topics(settings)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(running(producer(settings), settings))
        reader = await stack.enter_async_context(reading(settings, *SAID))
        if decide:
            await stack.enter_async_context(deciding(settings))
        await stack.enter_async_context(ingest(settings, "commands"))
        if telemetry:
            await stack.enter_async_context(ingest(settings))
        yield House(settings, client, reader)
