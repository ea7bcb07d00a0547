"""What a check has found, and how Kafka is asked so that a refusal is a finding and not the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from aiokafka import errors as kafka_errors

from guardian.errors import GuardianError
from guardian.kafka.clients import transport_error
from guardian.kafka.rights import REFUSALS
from guardian.kafka.settings import Settings

T = TypeVar("T")

ASK_WITHIN_S: Final = 15.0


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # it works, but not for long or not for all
    PROBLEM = "problem"  # it does not work


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        check: what, in one word.
        level: how bad it is.
        text: what was found, or what is wrong.
        fix: what to do about it; empty when there is nothing to do.
    """

    check: str
    level: Level
    text: str
    fix: str = ""


def ok(check: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check, Level.OK, text)


def denied(what: str, error: str) -> Finding:
    """Return the finding that Kafka refused a request.

    Args:
        what: the request in words, such as `describe the group guardian.ingest`.
        error: what Kafka called it.
    """
    return Finding(
        "rights", Level.PROBLEM, f"denied: {what} ({error})", "guardian topics acls prints the commands that grant it"
    )


class Asking:
    """Asks Kafka one thing after the other; what goes wrong becomes a finding.

    Args:
        settings: where Kafka is.
    """

    def __init__(self, settings: Settings) -> None:
        self.findings: list[Finding] = []
        self._settings = settings

    async def ask(self, check: str, what: str, work: Awaitable[T]) -> T | None:
        """Return what came of it, None when nothing did.

        Args:
            check: the word of a finding.
            what: the request in words.
            work: the request.
        """
        try:
            async with asyncio.timeout(ASK_WITHIN_S):
                return await work
        except REFUSALS as error:
            self.findings.append(denied(what, type(error).__name__))
        except GuardianError as error:
            if isinstance(error.__cause__, REFUSALS):
                self.findings.append(denied(what, type(error.__cause__).__name__))
                return None
            self.findings.append(Finding(check, Level.PROBLEM, f"{what}: {error.message}", error.fix))
        except (kafka_errors.KafkaError, TimeoutError, OSError) as error:
            known = transport_error(error, self._settings)
            self.findings.append(Finding(check, Level.PROBLEM, f"{what}: {known.message}", known.fix))
        return None
