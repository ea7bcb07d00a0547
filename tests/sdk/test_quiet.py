"""An application's log while Kafka is away: guardian says once what is wrong, and aiokafka's tries are not in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiokafka.errors import KafkaConnectionError

from guardian.sdk import GuardianProvider, ProviderOptions, Served, Telemetry, TelemetryOptions
from guardian.sdk.connection import Connection
from guardian.sdk.quiet import said
from tests.eventually import eventually
from tests.sdk.scenes import QUICK, closed_port, installed


@pytest.fixture(autouse=True)
def _as_in_an_application(caplog: pytest.LogCaptureFixture) -> None:
    """The commands that other tests ran in this process keep aiokafka quiet; an application does not."""
    caplog.set_level(logging.INFO, logger="aiokafka")


@contextmanager
def away() -> Iterator[tuple[GuardianProvider, Telemetry]]:
    """A provider and a telemetry client that have tried to reach a broker several times."""
    nowhere = f"127.0.0.1:{closed_port()}"
    provider = GuardianProvider(nowhere, options=ProviderOptions(timing=QUICK, init_within_s=0.1, environ={}))
    options = TelemetryOptions(heartbeat_s=0, backoff_s=0.02, backoff_most_s=0.05)
    with installed(provider):
        telemetry = Telemetry("checkout", bootstrap=nowhere, options=options)
        telemetry.request(Served("pricing", "on"))
        asyncio.run(eventually(lambda: provider.counts().failures > 3 and telemetry.failures > 3))
        yield provider, telemetry
        telemetry.close(0.1)


def test_a_broker_that_is_away_is_told_once_by_each_side_and_by_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), away():
        pass
    assert {record.name for record in caplog.records} == {"guardian.sdk"}
    lines = [record.getMessage() for record in caplog.records]
    assert sum("following guardian.flags: KafkaConnectionError: Unable" in line for line in lines) == 1
    assert sum("sending to 127.0.0.1" in line for line in lines) == 1
    assert "events that were not sent before the end, and are dropped: 1" in lines


def test_aiokafkas_tries_are_there_for_who_asks_for_the_details(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="guardian.sdk"), away():
        pass
    assert "aiokafka" in {record.name for record in caplog.records}


def test_the_applications_own_use_of_aiokafka_keeps_its_log(caplog: pytest.LogCaptureFixture) -> None:
    with away():
        logging.getLogger("aiokafka.conn").error("mine")
    assert ("aiokafka.conn", logging.ERROR, "mine") in caplog.record_tuples


def test_who_forgot_to_say_where_kafka_is_reads_it_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GUARDIAN_BOOTSTRAP", raising=False)
    assert Connection.find(None, None).where == "127.0.0.1:9092 (GUARDIAN_BOOTSTRAP is not set)"
    assert Connection.find("kafka:9092", None).where == "kafka:9092"
    monkeypatch.setenv("GUARDIAN_BOOTSTRAP", "kafka-1:9092")
    assert Connection.find(None, None).where == "kafka-1:9092"


def test_an_error_is_said_with_its_kind_and_that_once() -> None:
    assert said(KafkaConnectionError("no way")) == "KafkaConnectionError: no way"
    assert said(OSError("disk")) == "OSError: disk"
    assert said(TimeoutError()) == "TimeoutError"
