"""The real Kafka comes by Maven, says what it lacks, keeps what it was told to keep, and never outlives its owner."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from guardian.errors import SettingsError, TransportError
from guardian.kafka.admin import create_topics, describe_topics
from guardian.kafka.apache import ApacheKafka, fetch_jars, jars_folder
from guardian.kafka.clients import producer, running
from guardian.wire.outputs import encode_output
from tests.brokers import CACHE, settings_for
from tests.eventually import eventually
from tests.wire.samples import DECISION

OWNER = """
import asyncio, sys
from pathlib import Path
from guardian.kafka.apache import ApacheKafka

async def own():
    broker = ApacheKafka(Path(sys.argv[1]), heap_mb=256)
    print(await broker.start(), broker.log.parent, flush=True)
    await asyncio.Event().wait()

asyncio.run(own())
"""


def test_without_maven_the_fetch_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="mvn is not installed") as caught:
        fetch_jars(tmp_path / "cache")
    assert caught.value.fix == "install Apache Maven"


def test_without_java_the_start_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jars_folder(tmp_path, "0").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="java is not installed") as caught:
        asyncio.run(ApacheKafka(tmp_path, version="0").start())
    assert "Java runtime, version 17" in caught.value.fix


@pytest.mark.kafka
def test_a_version_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"could not fetch Kafka 0\.0\.0") as caught:
        fetch_jars(tmp_path, "0.0.0")
    assert caught.value.retriable
    assert list(tmp_path.iterdir()) == []


def test_a_broker_that_was_never_started_has_no_address(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="was not started"):
        _ = ApacheKafka(tmp_path).bootstrap


@pytest.mark.kafka
def test_kafkas_own_console_consumer_is_enough_to_follow_a_topic(kafka: ApacheKafka) -> None:
    settings = settings_for(kafka, "console")
    message = encode_output(DECISION)

    async def scene() -> None:
        await create_topics(settings)
        async with running(producer(settings), settings) as writer:
            topic = settings.topic(message.topic)
            await writer.send_and_wait(topic, message.value, key=message.key, headers=message.headers)

    asyncio.run(scene())
    options = ["--property", "print.headers=true", "--property", "print.key=true", "--timeout-ms", "20000"]
    where = ["--bootstrap-server", settings.bootstrap, "--topic", settings.topic("decisions")]
    jars = f"{fetch_jars(CACHE)}/*"
    console = ["java", "-Xmx128m", "-cp", jars, "org.apache.kafka.tools.consumer.ConsoleConsumer"]
    done = subprocess.run(
        [*console, *where, "--from-beginning", "--max-messages", "1", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    headers, key, value = done.stdout.strip().split("\t")
    assert "ce_type:guardian.decision.made" in headers
    assert key == "new-pricing"
    assert json.loads(value) == json.loads(message.value)


@pytest.mark.kafka
def test_a_pinned_broker_with_kept_data_has_its_topics_again(tmp_path: Path) -> None:
    async def scene() -> None:
        async with ApacheKafka(CACHE, heap_mb=256, cpus="0", data=tmp_path / "kept") as first:
            assert os.sched_getaffinity(first.pid) == {0}
            settings = settings_for(first, "kept")
            await create_topics(settings)
        async with ApacheKafka(CACHE, heap_mb=256, data=tmp_path / "kept") as second:
            moved = settings.model_copy(update={"bootstrap": second.bootstrap})
            assert all(state.exists for state in await describe_topics(moved))

    asyncio.run(scene())


@pytest.mark.kafka
def test_the_broker_ends_with_its_owner_even_when_that_one_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(CACHE)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        address, home = owner.stdout.readline().split()
        owner.send_signal(signal.SIGKILL)
    host, port = address.split(":")

    def gone() -> bool:
        with socket.socket() as knock:
            return knock.connect_ex((host, int(port))) != 0 and not Path(home).exists()

    asyncio.run(eventually(gone))
