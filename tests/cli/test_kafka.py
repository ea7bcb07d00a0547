"""Operating guardian on a real Kafka: topics, roles in processes of their own, and Kafka's own console consumer."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from click.testing import Result
from typer.testing import CliRunner

from guardian.cli.main import app
from guardian.kafka.apache import ApacheKafka, fetch_jars
from guardian.kafka.clients import consumer, running
from guardian.kafka.settings import Settings
from tests.brokers import CACHE, settings_for
from tests.cli.servers import GUARDIAN, SPEC, soon

pytestmark = pytest.mark.kafka


@contextmanager
def role(name: str, where: list[str], errors: Path) -> Iterator[None]:
    """Run one role in a process of its own until the block ends, and insist that it ends cleanly."""
    with errors.open("w") as stderr:
        process = subprocess.Popen([GUARDIAN, "run", "--role", name, *where], stderr=stderr)
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0, errors.read_text()
        finally:
            process.kill()
            process.wait()


def guardian(*words: str) -> Result:
    """Run one command in this process."""
    return CliRunner().invoke(app, list(words))


def test_topics_roles_and_commands_on_a_real_kafka(kafka: ApacheKafka, tmp_path: Path) -> None:
    settings = settings_for(kafka, "cli")
    where = ["--bootstrap", settings.bootstrap, "--prefix", settings.prefix]
    missing = guardian("topics", "check", *where)
    assert missing.exit_code == 1
    assert settings.topic("inputs") in missing.stderr
    assert guardian("topics", "create", *where).exit_code == 0
    assert guardian("topics", "check", *where).exit_code == 0
    nobody = guardian("doctor", *where)
    assert nobody.exit_code == 1
    assert f"nobody is in {settings.group('decide')}" in nobody.stdout
    spec = tmp_path / "real.yaml"
    spec.write_text(SPEC.format(flag="real"))
    with ExitStack() as stack:
        for name in ("ingest", "decide"):
            stack.enter_context(role(name, where, tmp_path / name))
        applied = guardian("apply", str(spec), "--wait", "40s", *where)
        assert applied.exit_code == 0, applied.output
        assert guardian("start", "real", *where).exit_code == 0
        assert "canary" in guardian("status", "real", *where).stdout
        soon(lambda: guardian("doctor", *where).exit_code == 0)  # every partition beats within five seconds
        assert f"{settings.group('ingest')}: 1 in it" in guardian("doctor", *where).stdout
        assert guardian("kill", "--all", *where).exit_code == 0
        assert guardian("rollback", "real", "--reason", "for the console", *where).exit_code == 0
        for topic, field in (
            ("commands", "actor"),
            ("decisions", "reason"),
            ("rollouts", "steps"),
            ("rollbacks", "change_id"),
            ("flags", "variants"),
        ):
            documents = [json.loads(line) for line in consumed(settings, settings.topic(topic))]
            assert any(field in document for document in documents), topic


def consumed(settings: Settings, topic: str) -> list[str]:
    """Return what Kafka's own console consumer prints of everything on a topic."""
    java = shutil.which("java")
    assert java is not None
    consumer_class = "org.apache.kafka.tools.consumer.ConsoleConsumer"
    there = asyncio.run(count(settings, topic))
    words = ["--bootstrap-server", settings.bootstrap, "--topic", topic, "--from-beginning"]
    done = subprocess.run(
        [java, "-Xmx128m", "-cp", f"{fetch_jars(CACHE)}/*", consumer_class, *words, "--max-messages", str(there)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def count(settings: Settings, topic: str) -> int:
    """Return how many records stand on a topic."""
    async with running(consumer(settings), settings) as reader:
        places = [TopicPartition(topic, number) for number in range(settings.partitions)]
        reader.assign(places)
        ends, starts = await reader.end_offsets(places), await reader.beginning_offsets(places)
        return sum(ends.values()) - sum(starts.values())
