"""A straddle freezes promotions until a person has looked and releases it, with the command that the alert names."""

from __future__ import annotations

import asyncio
import re

from guardian.core.inputs import Batch, Source
from guardian.kafka.clients import producer, running
from guardian.kafka.settings import load_settings
from guardian.wire.inputs import encode_payload
from tests.cli.servers import Server, soon

SOURCE = Source("guardian.elsewhere", "0a1b2c", 3)
NAME, SPAN = "guardian.elsewhere/0a1b2c/3", "150..260"


async def straddle(server: Server, partition: int) -> None:
    """Write what an ingest would whose offsets somebody has set back."""
    settings = load_settings(None, bootstrap=server.environment["GUARDIAN_BOOTSTRAP"])
    async with running(producer(settings), settings) as client:
        for start, end in ((100, 200), (150, 260)):
            payload = encode_payload(Batch(SOURCE, start, end))
            await client.send_and_wait(settings.topic("inputs"), payload, partition=partition)


def test_the_command_that_the_alert_names_releases_the_freeze_and_without_yes_it_only_shows_it(server: Server) -> None:
    asyncio.run(straddle(server, 2))
    soon(lambda: "straddles 200" in server.guardian("checkpoint", "release", NAME, SPAN).stdout)
    shown = server.guardian("checkpoint", "release", NAME, SPAN)
    assert shown.exit_code == 1
    assert "nothing was done yet" in shown.stderr
    named = re.search(r"guardian (checkpoint release .*)", shown.stdout)
    assert named is not None

    other = server.guardian("checkpoint", "release", NAME, "1..2", "--yes")
    assert (other.exit_code, f"{NAME} {SPAN}" in other.stdout) == (1, True)

    released = server.guardian(*named[1].split(), "--reason", "a tool had reset them", "--actor", "ada")
    assert released.exit_code == 0, released.output
    assert "partition 2 by ada: a tool had reset them" in released.stdout
    soon(lambda: "nothing to release" in server.guardian("checkpoint", "release", NAME, SPAN).stdout)
    again = server.guardian("checkpoint", "release", NAME, SPAN, "--yes")
    assert (again.exit_code, "nothing is frozen by" in again.stdout) == (0, True)


def test_what_is_no_range_is_a_usage_error(server: Server) -> None:
    assert server.guardian("checkpoint", "release", NAME, "150", "--yes").exit_code == 2
