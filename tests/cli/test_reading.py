"""Statuses are read without a running guardian too: what stands there is shown, and what is doubtful is said."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from click.testing import Result
from typer.testing import CliRunner

from guardian.cli.main import app
from guardian.core.outputs import Beat, Output
from guardian.core.words import Phase
from guardian.kafka.admin import create_topics
from guardian.kafka.clients import producer, running
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from guardian.wire.outputs import encode_output
from tests.brokers import settings_for
from tests.cli.samples import flag_state, status


@pytest.fixture
def settings(embedded: EmbeddedBroker) -> Settings:
    """Fresh topics."""
    made = settings_for(embedded, "reading")
    asyncio.run(create_topics(made))
    return made


def write(settings: Settings, *outputs: Output, raw: tuple[bytes, bytes] | None = None) -> None:
    """Put outputs on their topics, and one raw record on guardian.rollouts."""

    async def scene() -> None:
        async with running(producer(settings), settings) as writer:
            for output in outputs:
                message = encode_output(output)
                at_ms = output.at_ms if isinstance(output, Beat) else None
                await writer.send_and_wait(
                    settings.topic(message.topic),
                    message.value,
                    key=message.key,
                    partition=message.partition,
                    timestamp_ms=at_ms,
                )
            if raw is not None:
                await writer.send_and_wait(settings.topic("rollouts"), raw[1], key=raw[0])

    asyncio.run(scene())


def guardian(settings: Settings, *words: str) -> Result:
    """Run one command."""
    where = {"GUARDIAN_BOOTSTRAP": settings.bootstrap, "GUARDIAN_PREFIX": settings.prefix, "GUARDIAN_EMBEDDED": "true"}
    return CliRunner(env=where).invoke(app, list(words))


def now_ms(ago_s: float = 0.0) -> int:
    """Return a moment in Unix milliseconds."""
    return int((time.time() - ago_s) * 1_000)


def test_without_any_rollout_the_way_to_the_first_is_shown(settings: Settings) -> None:
    result = guardian(settings, "list")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "guardian init" in result.stderr
    assert json.loads(guardian(settings, "list", "--json").stdout) == {"rollouts": [], "beat_age_s": None}


def test_a_guardian_that_never_showed_itself_is_said_beside_the_table(settings: Settings) -> None:
    write(settings, status())
    result = guardian(settings, "list")
    assert "new-pricing" in result.stdout
    assert "no sign of guardian" in result.stderr


def test_a_guardian_that_fell_silent_is_said_with_for_how_long(settings: Settings) -> None:
    write(settings, status(), Beat(0, now_ms()), Beat(1, now_ms(ago_s=120)))
    page = guardian(settings, "status", "new-pricing")
    assert "silent for 2m" in page.stderr
    assert "ladder" in page.stdout
    assert 110 < json.loads(guardian(settings, "status", "--json").stdout)["beat_age_s"] < 180


def test_nothing_is_said_of_a_guardian_that_beats(settings: Settings) -> None:
    write(settings, status(), Beat(0, now_ms()), Beat(1, now_ms()))
    assert guardian(settings, "list").stderr == ""


def test_a_record_of_another_version_does_not_hide_the_others(settings: Settings) -> None:
    write(settings, status(), Beat(0, now_ms()), raw=(b"from-the-future", b'{"format": 9}'))
    result = guardian(settings, "list")
    assert result.exit_code == 0
    assert "new-pricing" in result.stdout
    assert "from-the-future" in result.stderr


def test_the_newest_status_of_a_flag_is_shown(settings: Settings) -> None:
    write(settings, status(), status(flag_state(phase=Phase.PAUSED, weight_bp=500)))
    record = json.loads(guardian(settings, "status", "new-pricing", "--json").stdout)
    assert (record["state"]["phase"], record["state"]["weight_bp"]) == ("paused", 500)


def test_completion_offers_the_commands_that_begin_so() -> None:
    words = {"_GUARDIAN_COMPLETE": "complete_bash", "COMP_WORDS": "guardian pa", "COMP_CWORD": "1"}
    assert CliRunner(env=words).invoke(app, [], prog_name="guardian").stdout.split() == ["pause"]
