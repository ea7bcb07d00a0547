"""The Kafka rights of every role: printed as kafka-acls commands, named in refusals, tested on a broker."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiokafka import errors as kafka_errors

from guardian.errors import TransportError
from guardian.kafka.catalogue import TOPICS, checkpoint_topic
from guardian.kafka.settings import Settings

REFUSALS: Final = (
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.GroupAuthorizationFailedError,
    kafka_errors.ClusterAuthorizationFailedError,
)
"""What a broker answers to a user who is known and lacks a right."""
FEW: Final = 2
"""With more topics in one refusal the rights of each are not repeated."""
ANY_ROLE: Final = "--role ROLE"


class User(StrEnum):
    """Who needs rights of its own in Kafka."""

    INGEST = "ingest"
    DECIDE = "decide"
    SERVE = "serve"
    SDK = "sdk"  # applications
    OPERATOR = "operator"  # a person with the command line, without serve
    EMERGENCY = "emergency"  # a person who may write flags past decide
    ADMIN = "admin"  # topics create, checkpoint reset, inputs


@dataclass(frozen=True)
class Grant:
    """One kafka-acls command.

    Args:
        operations: as kafka-acls names them.
        topics, groups: full names; `operations` hold for each of them.
        prefixed: whether the names are beginnings of names.
    """

    operations: tuple[str, ...]
    topics: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    prefixed: bool = False

    def command(self, principal: str, bootstrap: str) -> str:
        """Return the command that grants it.

        Args:
            principal: as Kafka writes it, such as `User:guardian-ingest`.
            bootstrap: of the brokers.
        """
        words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--add", "--allow-principal", principal]
        for name, values in (("operation", self.operations), ("topic", self.topics), ("group", self.groups)):
            words += [word for value in values for word in (f"--{name}", value)]
        if self.prefixed:
            words += ["--resource-pattern-type", "prefixed"]
        return shlex.join(words)


_READS: Final[dict[User, tuple[str, ...]]] = {
    User.INGEST: ("telemetry", "migrations", "commands", "rollouts"),
    User.DECIDE: ("inputs", "flags", "rollouts"),
    User.SERVE: ("flags", "rollouts", "decisions", "rollbacks", "alerts", "dead-letters"),
    User.SDK: ("flags",),
    User.OPERATOR: ("inputs", "flags", "rollouts", "decisions", "rollbacks", "alerts", "dead-letters"),
    User.EMERGENCY: ("flags", "rollouts"),
    User.ADMIN: ("inputs", "alerts"),
}
_WRITES: Final[dict[User, tuple[str, ...]]] = {
    User.INGEST: ("inputs", "dead-letters"),
    User.DECIDE: ("inputs", "flags", "rollouts", "rollbacks", "alerts", "decisions", "dead-letters"),
    User.SERVE: ("commands", "telemetry", "migrations"),
    User.SDK: ("telemetry", "migrations"),
    User.OPERATOR: ("commands", "telemetry", "migrations"),
    User.EMERGENCY: ("flags", "commands"),
    User.ADMIN: (),
}
_GROUPS: Final[dict[User, tuple[str, ...]]] = {
    User.INGEST: ("ingest", "ingest-commands"),
    User.DECIDE: ("decide",),
    User.ADMIN: ("ingest", "ingest-commands", "decide"),
}
"""The groups that a user enters, or whose offsets it commits."""


def grants(settings: Settings, user: User) -> list[Grant]:
    """Return the rights that a user needs, and no more.

    Args:
        settings: prefix and names of the topics.
        user: whose.
    """
    reads, writes = ([settings.topic(name) for name in names[user]] for names in (_READS, _WRITES))
    groups = tuple(settings.group(name) for name in _GROUPS.get(user, ()))
    checkpoint = checkpoint_topic(settings)
    own = [checkpoint] if user in (User.DECIDE, User.ADMIN) else []
    found = [Grant(("Read",), (*reads, *own), groups)]
    if writes or own:
        found.append(Grant(("Write",), (*writes, *own)))
    if user not in (User.SDK, User.EMERGENCY):
        # Every topic is held to the catalogue, at the start of a role and by doctor.
        found.append(Grant(("Describe", "DescribeConfigs"), (settings.topic(""),), prefixed=True))
    if user is User.DECIDE:
        # Faust makes the topic of its table itself.
        found.append(Grant(("Create",), (checkpoint,)))
    if user is User.ADMIN:
        found.append(Grant(("Create",), (settings.topic(""),), prefixed=True))
    if user is User.OPERATOR:
        found.append(Grant(("Describe",), groups=tuple(settings.group(name) for name in _GROUPS[User.ADMIN])))
    return found


def refused_right(error: BaseException | None, settings: Settings) -> TransportError | None:
    """Return which right is missing and how it is granted; None when the error is no refusal.

    Args:
        error: what aiokafka raised.
        settings: whose Kafka it was, and who we are there.
    """
    if not isinstance(error, REFUSALS):
        return None
    us = f"User:{settings.sasl_username}" if settings.sasl_username else "this user"
    what = str(error.args[0]) if error.args else ""
    names = sorted(name for name in _named(settings) if name in _words(what))
    needed = "; ".join(
        f"{user} needs {right} on {name}"
        for name in (names if len(names) <= FEW else [])
        for user, right in _needs(settings, name)
    )
    kind = type(error).__name__.removesuffix("Error")
    whose = f" --principal {shlex.quote(us)}" if settings.sasl_username else ""
    return TransportError(
        f"Kafka at {settings.bootstrap} refused {us}: {kind}{f' on {what}' if what else ''}"
        + (f" ({needed})" if needed else ""),
        f"grant the right, then start the role again: guardian topics acls {ANY_ROLE}{whose} prints the commands",
        retriable=False,
    )


def _words(text: str) -> set[str]:
    return set(text.translate(str.maketrans("{}[]()',:;", " " * 10)).split())


def _named(settings: Settings) -> Iterator[str]:
    yield from (settings.topic(name) for name in TOPICS)
    yield checkpoint_topic(settings)
    yield from (settings.group(name) for name in _GROUPS[User.ADMIN])


def _needs(settings: Settings, name: str) -> Iterator[tuple[User, str]]:
    """Which users need which rights on a topic or a group."""
    for user in User:
        rights = [
            operation
            for grant in grants(settings, user)
            if not grant.prefixed and name in (*grant.topics, *grant.groups)
            for operation in grant.operations
        ]
        if rights:
            yield user, " and ".join(rights)
