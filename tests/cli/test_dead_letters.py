"""`guardian tail dead-letters`: what could not be read, and why, straight from Kafka and through serve."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from guardian.cli.door import Said, Topic
from guardian.cli.sayings import line_markup, read
from guardian.kafka.clients import producer, running
from guardian.kafka.settings import Settings
from tests.cli.servers import Server, soon

SECRET = "card-4711"


def settings_of(server: Server) -> Settings:
    return Settings.model_validate(
        {"bootstrap": server.environment["GUARDIAN_BOOTSTRAP"], "prefix": "guardian", "embedded": True}
    )


def spoil(server: Server, *values: bytes) -> None:
    """Put what nobody can read onto the telemetry topic."""

    async def send() -> None:
        settings = settings_of(server)
        async with running(producer(settings), settings) as sender:
            for value in values:
                await sender.send_and_wait(settings.topic("telemetry"), value)

    asyncio.run(send())


def event(service: str, **fields: Any) -> bytes:
    whole = {"ts": time.time(), "variant": "on", "outcome": "ok", "service": service, "subject": SECRET, **fields}
    return json.dumps(whole).encode()


@pytest.mark.parametrize("through", ["kafka", "serve"])
def test_each_letter_says_why_who_and_where_and_never_what_it_holds(server: Server, through: str) -> None:
    service, flag = f"shop-{through}", f"dead-{through}"
    run = server.served if through == "serve" else server.guardian
    spoil(server, event(service, flag=flag, outcome="broken"), event(service, flag=flag, outcome="worse"))
    words = ("tail", "dead-letters", "--no-follow", "--service", service)
    soon(lambda: len(run(*words).stdout.splitlines()) == 2)

    lines = [json.loads(line) for line in run(*words, "--json").stdout.splitlines()]
    assert {(line["reason"], line["service"], *line["flags"]) for line in lines} == {("bad_value", service, flag)}
    assert all(line["detail"] and line["offset"] >= 0 and line["topic"] == "guardian.telemetry" for line in lines)
    assert all(abs(line["at_ms"] / 1_000 - time.time()) < 600 for line in lines)

    text = run(*words, "--flag", flag, "--reason", "bad-value", "--since", "10m").stdout
    assert text.count(f"{flag} bad_value, ") == 2
    assert text.count(f"from {service}, guardian.telemetry/") == 2
    assert SECRET not in text + str(lines)

    for others in (("--flag", "another"), ("--reason", "too_large"), ("--since", "0s"), ("--last", "0")):
        assert run(*words, *others).stdout == ""


def test_the_values_are_shown_straight_from_kafka_when_they_are_asked_for(server: Server) -> None:
    spoil(server, event("valued", flag="x", outcome="bro\x1bken"), b"valued, \xff no json \x1b[2J")
    words = ("tail", "dead-letters", "--values", "--last", "5", "--no-follow")
    soon(lambda: "no json" in server.guardian(*words).stdout)
    text = server.guardian(*words).stdout
    assert SECRET in text
    assert "valued, \\xff no json \\x1b[2J" in text
    assert "\x1b" not in text
    lines = [json.loads(line) for line in server.guardian(*words, "--json").stdout.splitlines()]
    assert "valued, \\xff no json \x1b[2J" in [line["value"] for line in lines]


def test_serve_gives_no_values(server: Server) -> None:
    refused = server.served("tail", "dead-letters", "--values", "--no-follow")
    assert refused.exit_code == 2
    assert "--server" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dead-letters", "--reason", "TRIGGER_FIRED"), "dead-letters have no reason TRIGGER_FIRED"),
        (("decisions", "--reason", "too_large"), "decisions have no reason TOO_LARGE"),
        (("decisions", "--service", "shop"), "decisions have no service"),
        (("flags", "--values"), "flags have no values"),
        (("dead-letters", "--reason", "because"), "malformed_json".upper()),
    ],
)
def test_words_that_would_do_nothing_are_refused(server: Server, words: tuple[str, ...], said: str) -> None:
    refused = server.guardian("tail", *words)
    assert refused.exit_code == 2
    assert said in refused.stderr


@pytest.mark.parametrize("through", ["kafka", "serve"])
def test_what_dies_while_one_looks_is_told(server: Server, through: str) -> None:
    service = f"news-{through}"
    way = ["--server", server.url] if through == "serve" else ["--bootstrap", server.environment["GUARDIAN_BOOTSTRAP"]]
    process = server.start("tail", "dead-letters", "--service", service, "--from-beginning", "--limit", "2", *way)
    assert process.stdout is not None
    spoil(server, event(service, outcome="first"))
    assert f"from {service}" in process.stdout.readline()
    spoil(server, event(service, outcome="second"))
    assert f"from {service}" in process.stdout.readline()
    process.communicate(timeout=120)
    assert process.returncode == 0


def test_a_letter_of_no_flag_and_one_of_many_have_their_place_in_a_line() -> None:
    letter = {
        "id": "0/1", "at_ms": 1, "reason": "", "detail": "", "service": "", "flags": ["a", "b", "c", "d"],
        "topic": "", "partition": -1, "offset": -1, "size": 9_000,
    }  # fmt: skip
    several = read(Topic.DEAD_LETTERS, Said("0/1", json.dumps(letter).encode(), b"[red]" * 1_800))
    assert several is not None
    line = line_markup(several)
    assert "[bold]a, b, c, ...[/] without a reason: \\[red]" in line
    assert line.endswith("... (9,000 bytes)")
    nobody = read(Topic.DEAD_LETTERS, Said("0/1", json.dumps({**letter, "flags": []}).encode()))
    assert nobody is not None
    assert line_markup(nobody).endswith("[bold]-[/] without a reason")
