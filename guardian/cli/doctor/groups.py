"""Who works: the members of each group, and how far each is behind its sources."""

from __future__ import annotations

from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient

from guardian.cli.doctor.finding import Asking, Finding, Level, denied, ok
from guardian.core.text import count_text
from guardian.kafka.catalogue import TOPICS
from guardian.kafka.clients import admin, consumer, running
from guardian.kafka.settings import Settings

LAG_RECORDS: Final = 50_000
"""Ingest takes hundreds of thousands a second; whoever is so far behind is not keeping up."""
_GROUPS: Final = {"ingest": ("telemetry", "migrations"), "ingest-commands": ("commands",), "decide": ()}
_ROLES: Final = {"ingest": "ingest", "ingest-commands": "ingest", "decide": "decide"}
_SHOWN: Final = 8


async def examine_groups(settings: Settings) -> list[Finding]:
    """Look at the groups and at their lag."""
    asking = Asking(settings)
    work = _examine(settings, asking)
    await asking.ask("groups", "look at the groups", work)
    return asking.findings


async def _examine(settings: Settings, asking: Asking) -> None:
    async with running(admin(settings), settings) as client, running(consumer(settings), settings) as reader:
        for name, topics in _GROUPS.items():
            group = settings.group(name)
            if not settings.embedded:  # which knows no DescribeGroups
                members = await asking.ask(
                    "groups", f"describe the group {group}", client.describe_consumer_groups([group])
                )
                asking.findings += members_findings(members, group, _ROLES[name])
            for topic in topics:
                what = f"ask how far {group} is in {settings.topic(topic)}"
                lags = await asking.ask("lag", what, _lags(settings, client, reader, group, topic))
                if lags is not None:
                    asking.findings.append(lag_finding(settings.topic(topic), lags))
    if settings.embedded:
        asking.findings.append(ok("groups", "the embedded broker cannot tell who is in a group; beats and lag do"))


def members_findings(answers: list[Any] | None, group: str, role: str) -> list[Finding]:
    """Return what an answer to DescribeGroups means.

    Args:
        answers: as aiokafka gives them; None when nobody answered.
        group: the group's full name.
        role: who should be in it.
    """
    found = []
    for code, name, state, _, _, members, *_ in (one for answer in answers or [] for one in answer.groups):
        if code:
            found.append(_not_told(name, kafka_errors.for_code(code)))
        elif not members:
            text = f"nobody is in {group}: no {role} runs"
            found.append(Finding("groups", Level.PROBLEM, text, f"guardian run --role {role}"))
        else:
            hosts = sorted({f"{client} at {host.removeprefix('/')}" for _, client, host, *_ in members})
            text = f"{group}: {len(members)} in it ({', '.join(hosts[:_SHOWN])}), {state}"
            steady = state == "Stable"
            fix = "" if steady else "ask again in a few seconds; a group that stays so has members that come and go"
            found.append(Finding("groups", Level.OK if steady else Level.WARNING, text, fix))
    return found


def _not_told(group: str, error: type[kafka_errors.KafkaError]) -> Finding:
    """Why Kafka does not say who is in a group: no right, or the broker that keeps it has just changed."""
    if issubclass(error, kafka_errors.GroupAuthorizationFailedError):
        return denied(f"describe the group {group}", error.__name__)
    text = f"Kafka does not say who is in {group}: {error.__name__}"
    fix = "ask again in a few seconds; if it stays so, look at the brokers: they keep the groups"
    return Finding("groups", Level.WARNING, text, fix)


async def _lags(
    settings: Settings, client: AIOKafkaAdminClient, reader: AIOKafkaConsumer, group: str, topic: str
) -> dict[int, int]:
    """How many records of each partition lie behind the committed place."""
    name = settings.topic(topic)
    places = [TopicPartition(name, number) for number in range(TOPICS[topic].partitions(settings))]
    starts, ends = await reader.beginning_offsets(places), await reader.end_offsets(places)
    committed = await client.list_consumer_group_offsets(group, partitions=places)
    lags = {}
    for place in places:
        offset = committed[place].offset if place in committed else -1
        lags[place.partition] = max(ends[place] - max(offset, starts[place]), 0)
    return lags


def lag_finding(topic: str, lags: dict[int, int]) -> Finding:
    """Return what the lags of a topic mean.

    Args:
        topic: its full name.
        lags: records behind the committed place, by partition; what ingest holds counts until its next tick.
    """
    total = sum(lags.values())
    behind = {number: lag for number, lag in lags.items() if lag}
    worst = sorted(behind.items(), key=lambda item: -item[1])[:_SHOWN]
    each = f" ({', '.join(f'partition {number}: {count_text(lag)}' for number, lag in worst)})" if behind else ""
    text = f"{topic}: {count_text(total)} records behind in {len(lags)} partitions{each}"
    if max(lags.values(), default=0) < LAG_RECORDS:
        return ok("lag", text)
    fix = "is ingest alive? one that is but does not keep up wants more processes: guardian run --role ingest"
    return Finding("lag", Level.WARNING, text, fix)
