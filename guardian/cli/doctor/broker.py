"""Whether Kafka answers, how fast, in which versions, and whether the names that it gives itself lead there too."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any, Final

from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import ApiVersionRequest

from guardian.cli.doctor.finding import Asking, Finding, Level, ok
from guardian.core.text import latency_text
from guardian.kafka.admin import check_topics
from guardian.kafka.catalogue import TOPICS
from guardian.kafka.clients import admin, running
from guardian.kafka.security import connect, places, refused
from guardian.kafka.settings import Settings

CONNECT_WITHIN_S: Final = 5.0
SLOW_MS: Final = 200.0
MISSING: Final = "is not there"
_LOOKS: Final = 5
_NEEDED: Final = {
    0: "Produce",
    1: "Fetch",
    2: "ListOffsets",
    3: "Metadata",
    8: "OffsetCommit",
    9: "OffsetFetch",
    10: "FindCoordinator",
    11: "JoinGroup",
    14: "SyncGroup",
    22: "InitProducerId",
}
"""The requests without which guardian cannot work, by their number in Kafka's protocol."""


async def examine_broker(settings: Settings) -> list[Finding]:
    """Look at every address of the settings, then at those that the brokers give themselves."""
    known = places(settings)
    found = await asyncio.gather(*(_look(settings, place) for place in known))
    if all(one.level is Level.PROBLEM for one in found):
        return list(found)
    if len(found) > 1:
        # One of several that is away is what several are for.
        found = [Finding(one.check, Level.WARNING, one.text, one.fix) if one.level is Level.PROBLEM else one
                 for one in found]  # fmt: skip
    return [*found, *await _advertised(settings, known)]


async def examine_topics(settings: Settings) -> list[Finding]:
    """Hold the topics to the catalogue."""
    asking = Asking(settings)
    problems = await asking.ask("topics", "look at the topics", check_topics(settings))
    if problems is None:
        return asking.findings
    if not problems:
        return [ok("topics", f"{len(TOPICS)} topics of {settings.prefix!r} are as they must be")]
    missing = [one for one in problems if one.message == MISSING]
    found = [
        Finding("topics", Level.PROBLEM, f"{one.path} {one.message}", one.fix) for one in problems if one not in missing
    ]
    if missing:
        names = ", ".join(one.path for one in missing)
        found.insert(0, Finding("topics", Level.PROBLEM, f"{names}: {MISSING}", missing[0].fix))
    return found


async def _look(settings: Settings, place: tuple[str, int]) -> Finding:
    """Connect to one address, and ask it a few times which versions it speaks."""
    host, port = place
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            connection = await connect(settings, host, port, CONNECT_WITHIN_S)
            try:
                took_ms, answer = await _timed(connection)
            finally:
                connection.close()
    except (KafkaError, TimeoutError, OSError) as error:
        if (told := refused(error, settings, f"{host}:{port}")) is not None:
            return Finding("broker", Level.PROBLEM, told.message, told.fix)
        text = f"nobody answers at {host}:{port} ({str(error) or type(error).__name__})"
        fix = "check bootstrap in guardian.toml, GUARDIAN_BOOTSTRAP or --bootstrap, and that the broker runs"
        return Finding("broker", Level.PROBLEM, text, fix)
    spoken = {key: most for key, _, most in answer.api_versions}
    if missing := [name for key, name in _NEEDED.items() if key not in spoken]:
        text = f"{host}:{port} does not know {', '.join(missing)}"
        return Finding(
            "broker", Level.PROBLEM, text, "guardian needs Apache Kafka 2.1 or later, or what speaks its protocol"
        )
    versions = (
        f"{len(spoken)} kinds of requests, Produce to v{spoken[0]}, Fetch to v{spoken[1]}, Metadata to v{spoken[3]}"
    )
    text = f"{host}:{port} answers within {latency_text(took_ms)}; it speaks {versions}"
    if took_ms > SLOW_MS:
        return Finding("broker", Level.WARNING, text, "guardian reacts no faster than its broker: look at the network")
    return ok("broker", text)


async def _timed(connection: Any) -> tuple[float, Any]:
    """The median time of a few answers, in milliseconds, and the last of them."""
    took_ms, answer = [], None
    for _ in range(_LOOKS):
        began = time.perf_counter()
        answer = await connection.send(ApiVersionRequest())
        took_ms.append((time.perf_counter() - began) * 1_000)
    return median(took_ms), answer


async def _advertised(settings: Settings, known: list[tuple[str, int]]) -> list[Finding]:
    """Clients go on with the names that the brokers give themselves: those must lead there from here as well."""
    asking = Asking(settings)

    async def names() -> list[tuple[str, int]]:
        async with running(admin(settings), settings) as client:
            return [(one["host"], one["port"]) for one in (await client.describe_cluster())["brokers"]]

    brokers = await asking.ask("broker", "ask for the cluster's brokers", names())
    found = asking.findings
    for host, port in brokers or []:
        if (host, port) in known or (found_there := await _look(settings, (host, port))).level is not Level.PROBLEM:
            continue
        text = f"a broker calls itself {host}:{port}, and from here {found_there.text}"
        found.append(
            Finding("broker", Level.PROBLEM, text, "correct advertised.listeners of the broker, or the names here")
        )
    return found
