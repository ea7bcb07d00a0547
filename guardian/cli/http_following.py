"""What serve says, for ever: its streams are followed through breaks and restarts, and nothing is told twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import httpx

from guardian.cli.door import Said, Sayings
from guardian.cli.http_faults import document_of, fault_of, no_answer
from guardian.cli.http_logs import MAX_LISTED, Past, events
from guardian.cli.screen import print_warnings
from guardian.errors import Exit, GuardianError, TransportError

BACK_OFF_S: Final = (0.5, 1.0, 2.0, 5.0)


def may_heal(error: Exception) -> bool:
    """Return whether a failure is one of a serve that is away, restarts, or is not ready yet."""
    if isinstance(error, GuardianError):
        return error.exit_code in (Exit.UNREACHABLE, Exit.INTERNAL)
    return isinstance(error, httpx.HTTPError)


class Following:
    """Follows one stream of serve.

    Args:
        client: for serve.
        url: named in errors.
        log: what was said, each record once.
    """

    def __init__(self, client: httpx.AsyncClient, url: str, log: Past) -> None:
        self._client, self._url, self._log = client, url, log
        self._last_id = ""
        self._failures = 0

    async def follow(self) -> Sayings:
        """Yield the past, None where it ends, and the news; a serve that was there once is waited for.

        Raises:
            GuardianError: serve says no, or has never been there.
        """
        while True:
            try:
                async with aclosing(self._connected()) as said:
                    async for one in said:
                        yield one
            except (httpx.HTTPError, GuardianError) as error:
                if not self._log.ended or not may_heal(error):
                    raise
                self._say_once(error)
            # All followers of a serve that restarts lose it at one moment: each comes back at its own.
            wait_s = BACK_OFF_S[min(self._failures, len(BACK_OFF_S)) - 1]
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))  # noqa: S311  # no secret

    async def _connected(self) -> AsyncGenerator[Said | None, None]:
        """One connection: listen first, then ask for what was before, so that nothing is missed between the two."""
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        log = self._log
        async with self._client.stream("GET", f"/v1/stream/{log.topic}", headers=headers) as reply:
            if reply.status_code != httpx.codes.OK:
                await reply.aread()
                raise fault_of(reply, self._url)
            listed = log.take(document_of(await self._client.get(log.path, params=log.query), self._url))
            self._say_that_it_is_back(len(listed))
            for said in listed:
                yield said
            if not log.ended:
                log.ended = True
                yield None
            async for event in events(reply.aiter_lines()):
                self._last_id = event.id or self._last_id
                if event.kind == "end":
                    reason = event.value.get("reason", "")
                    raise TransportError(f"serve at {self._url} ended the stream: {reason}", retriable=True)
                if event.kind == log.topic and (new := log.news(event.value)) is not None:
                    yield new
        raise no_answer(self._url, "the stream broke off")

    def _say_once(self, error: Exception) -> None:
        """Tell of the break, not of every attempt after it."""
        self._failures += 1
        if self._failures == 1:
            what = error.message if isinstance(error, GuardianError) else str(error) or type(error).__name__
            named = what if self._url in what else f"serve at {self._url}: {what}"
            print_warnings([f"{named}; trying again"])

    def _say_that_it_is_back(self, listed_count: int) -> None:
        if self._failures:
            print_warnings([f"serve at {self._url} answers again; what was said meanwhile follows"])
            if listed_count >= MAX_LISTED:
                print_warnings([f"more was said meanwhile than the {MAX_LISTED:,} records that serve lists"])
        self._failures = 0
