"""`guardian topics`: create what is missing, check what is there, describe both, print the rights."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from guardian.cli.faults import problem_document, problem_text
from guardian.cli.options import Json, KafkaOptions, command
from guardian.cli.reading import finish, reaching
from guardian.cli.screen import answers, notes, print_json, print_page
from guardian.errors import Exit, Problem
from guardian.kafka.admin import TopicState, check_topics, create_topics, describe_topics
from guardian.kafka.rights import User, grants
from guardian.kafka.settings import Settings


def create(kafka: KafkaOptions, as_json: Json = False) -> Exit:
    """Create the topics that are missing and leave the others as they are; then check all."""
    settings = kafka.load()
    created, problems = finish(_create(settings))
    if as_json:
        listed = [problem_document(problem, settings.bootstrap) for problem in problems]
        print_json({"ok": not problems, "created": created, "problems": listed})
        return Exit.NO if problems else Exit.OK
    for name in created:
        answers().print(f"created {name}", markup=False)
    if not created:
        answers().print("every topic was there already")
    return _show(problems, settings)


def check(kafka: KafkaOptions, as_json: Json = False) -> Exit:
    """Check that every topic is there with the settings that correctness rests on."""
    settings = kafka.load()
    problems = finish(_check(settings))
    if as_json:
        listed = [problem_document(problem, settings.bootstrap) for problem in problems]
        print_json({"ok": not problems, "problems": listed})
        return Exit.NO if problems else Exit.OK
    if not problems:
        answers().print("every topic is as it must be")
    return _show(problems, settings)


def describe(kafka: KafkaOptions, as_json: Json = False) -> None:
    """Show every topic: partitions, clean-up, who writes and reads it, and whether it is there."""
    states = finish(_describe(kafka.load()))
    if as_json:
        print_json({"topics": [_document(state) for state in states]})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("TOPIC", "PARTITIONS", "REPLICAS", "CLEAN-UP", "KEY", "VALUE", "WRITTEN BY", "READ BY"):
        table.add_column(column)
    for state in states:
        topic = state.topic
        there = str(state.partitions) if state.exists else "[red]not there[/]"
        words = (topic.cleanup, topic.key, topic.value, topic.writers, topic.readers)
        table.add_row(escape(state.name), there, str(state.replication or "-"), *(escape(word) for word in words))
    print_page(table)


def acls(
    kafka: KafkaOptions,
    role: Annotated[
        list[User] | None, typer.Option("--role", help="Whose rights; may be given several times. All unless said.")
    ] = None,
    principal: Annotated[
        str, typer.Option("--principal", help="Who gets them, such as User:alice. User:guardian-ROLE unless said.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Print the Kafka rights of every role as kafka-acls commands; asks no broker."""
    settings = kafka.load()
    chosen = [(user, principal or f"User:guardian-{user}") for user in role or list(User)]
    if as_json:
        print_json({"acls": [_rights(settings, user, who) for user, who in chosen]})
        return
    for user, who in chosen:
        answers().print(f"# {user}", markup=False)
        for grant in grants(settings, user):
            answers().print(grant.command(who, settings.bootstrap), markup=False, soft_wrap=True)


def _rights(settings: Settings, user: User, principal: str) -> dict[str, object]:
    """One role's rights as JSON."""
    given = grants(settings, user)
    return {
        "role": user,
        "principal": principal,
        "grants": [asdict(grant) for grant in given],
        "commands": [grant.command(principal, settings.bootstrap) for grant in given],
    }


async def _create(settings: Settings) -> tuple[list[str], list[Problem]]:
    """Create, then check."""
    async with reaching(settings, 60.0):
        created = await create_topics(settings)
        return created, await check_topics(settings)


async def _check(settings: Settings) -> list[Problem]:
    """Check in a bounded time."""
    async with reaching(settings):
        return await check_topics(settings)


async def _describe(settings: Settings) -> list[TopicState]:
    """Describe in a bounded time."""
    async with reaching(settings):
        return await describe_topics(settings)


def _show(problems: list[Problem], settings: Settings) -> Exit:
    """Print the problems; the exit code says whether there were any."""
    for problem in problems:
        notes().print(problem_text(problem, settings.bootstrap), soft_wrap=True)
    return Exit.NO if problems else Exit.OK


def _document(state: TopicState) -> dict[str, object]:
    """One topic as JSON."""
    return {
        "topic": state.name,
        "there": state.exists,
        "partitions": state.partitions,
        "wanted_partitions": state.wanted_partitions,
        "replication": state.replication,
        "config": state.config,
        "wanted": state.wanted,
        "key": state.topic.key,
        "value": state.topic.value,
        "written_by": state.topic.writers,
        "read_by": state.topic.readers,
    }


topics = typer.Typer(help="Create, check or describe the topics; print the rights on them.", no_args_is_help=True)
topics.command("create")(command(create))
topics.command("check")(command(check))
topics.command("describe")(command(describe))
topics.command("acls")(command(acls))
