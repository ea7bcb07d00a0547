"""Through serve: the same answers over HTTP, for those who have no way, or no rights, to Kafka."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import httpx
import msgspec
from msgspec.structs import replace

from guardian.cli.door import Answers, Sayings, Seen, Topic
from guardian.cli.http_faults import document_of, fault_of, no_answer
from guardian.cli.http_following import Following, may_heal
from guardian.cli.http_logs import Past
from guardian.cli.http_sending import send_chunks
from guardian.cli.reading import REACH_S, Present
from guardian.cli.sending import Sent
from guardian.core.inputs import Command
from guardian.core.outputs import Decision, RolloutStatus
from guardian.core.words import ALL_FLAGS
from guardian.errors import GuardianError, SettingsError

MAX_WAIT_S: Final = 60.0
"""Serve waits no longer for an answer."""
_LATE_S: Final = 15.0
_QUIET_S: Final = 60.0
"""Serve says every 15 s that it is still there."""
_WATCH_S: Final = 1.0


class ServeDoor:
    """The door that needs serve's address, and a token where serve wants one.

    Args:
        url: such as `http://127.0.0.1:8620`.
        token: empty for none.

    Raises:
        SettingsError: the address is none.
    """

    def __init__(self, url: str, token: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingsError(f"{url!r} is no address of serve", "write it whole: http://127.0.0.1:8620")
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def present(self) -> Present:
        """Return the newest status of every rollout."""
        async with self._client() as client:
            return await self._present(client)

    async def watch(self) -> AsyncGenerator[Present, None]:
        """Yield the statuses as they stand, about once a second, for ever."""
        async with self._client() as client:
            present = await self._present(client)
            while True:
                yield present
                await asyncio.sleep(_WATCH_S)
                try:
                    present = await self._present(client)
                except (httpx.HTTPError, GuardianError) as error:
                    if not may_heal(error):
                        raise
                    # What was known stays on the screen, and beside it that it may be old.
                    doubt = f"no answer from serve at {self._url}: what stands here may be old"
                    present = dataclasses.replace(present, doubts=[doubt])

    async def seen(self, flag: str) -> Seen:
        """Return what stands now of one rollout."""
        async with self._client() as client:
            reply = await client.get(f"/v1/rollouts/{flag}")
        if reply.status_code == HTTPStatus.NOT_FOUND:
            return Seen(revision="")
        status = document_of(reply, self._url)
        return Seen(status.get("turn"), status.get("revision"))

    async def ask(self, given: Command, wait_s: float) -> Answers:
        """Send a command and collect its answers."""
        wait_ms = int(min(wait_s, MAX_WAIT_S) * 1_000)
        async with self._client(REACH_S + wait_ms / 1_000 + _LATE_S) as client:
            if given.command == "apply":
                words: dict[str, Any] = {"reason": given.reason, "wait_ms": wait_ms}
                if given.seen_revision is not None:
                    words["seen_revision"] = given.seen_revision
                if given.seen_turn is not None:
                    words["seen_turn"] = given.seen_turn
                reply = await client.post("/v1/rollouts", params=words, json=given.spec)
            else:
                place = "" if given.flag == ALL_FLAGS else f"/rollouts/{given.flag}"
                reply = await client.post(f"/v1{place}/{given.command}", json=_order(given, wait_ms))
        body = _json(reply)
        if "decisions" not in body:
            raise fault_of(reply, self._url)
        sent = replace(given, id=body["command_id"])
        if not wait_ms:
            return Answers(sent, waited=False)
        decisions = msgspec.convert(body["decisions"], list[Decision])
        return Answers(sent, decisions, body["silent"], body.get("unshown", []))

    async def follow(self, topic: Topic, *, past: bool, flag: str = "", since_ms: int = 0) -> Sayings:
        """Yield what is said, for ever; None once, where the past ends. The past is as long as serve remembers."""
        log = Past(topic, flag)
        async with self._client(_QUIET_S) as client, aclosing(Following(client, self._url, log).follow()) as found:
            async for one in found:
                if one is None or past or log.ended:
                    yield one

    async def send(self, lines: Iterable[bytes], topic: str) -> Sent:
        """Send every line that is an event; serve judges each."""
        if topic:
            raise SettingsError(
                "serve tells by the event itself which topic it is for", "leave out --to, or leave out --server"
            )
        async with self._client(_QUIET_S) as client:
            return await send_chunks(client, lines, self._url)

    async def _present(self, client: httpx.AsyncClient) -> Present:
        body = document_of(await client.get("/v1/rollouts"), self._url)
        ready = _json(await client.get("/readyz"))
        found = {}
        unreadable = []
        for one in body.get("rollouts", []):
            try:
                status = msgspec.convert(one, RolloutStatus)
                found[status.state.flag] = status
            except msgspec.ValidationError:
                unreadable.append(str(one.get("state", {}).get("flag", "")))
        doubts = [f"serve is not ready: {reason}" for reason in ready.get("reasons", [])]
        return Present(found, unreadable, None, doubts)

    @asynccontextmanager
    async def _client(self, read_s: float = REACH_S) -> AsyncIterator[httpx.AsyncClient]:
        """A client whose every failure is a TransportError."""
        timeout = httpx.Timeout(REACH_S, read=read_s)
        try:
            async with httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=timeout) as client:
                yield client
        except httpx.InvalidURL as error:
            raise SettingsError(f"{self._url!r} is no address of serve: {error}", "write it whole") from error
        except httpx.HTTPError as error:
            raise no_answer(self._url, str(error) or type(error).__name__) from error


def _order(given: Command, wait_ms: int) -> dict[str, Any]:
    """The body of a command; what it does not need is left out."""
    body: dict[str, Any] = {"reason": given.reason, "wait_ms": wait_ms}
    if given.to:
        body["to"] = given.to
    if given.force:
        body["force"] = True
    if given.seen_turn is not None:
        body["seen_turn"] = given.seen_turn
    if given.name:
        body |= {"name": given.name, "value": given.value}
    return body


def _json(reply: httpx.Response) -> dict[str, Any]:
    """The body as an object; an empty one when it is none."""
    try:
        body = reply.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
