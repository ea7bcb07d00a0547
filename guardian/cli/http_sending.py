"""Lines of JSON go to serve in bounded chunks; what it refuses is told by the line."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import httpx

from guardian.cli.http_faults import fault_of
from guardian.cli.sending import Progress, Sent, problem_text, read_event

MAX_LINES: Final = 1_000
"""Of one request; serve names no more refusals than that."""
MAX_BYTES: Final = 500_000
_MOST_HINTS: Final = 20


async def send_chunks(client: httpx.AsyncClient, lines: Iterable[bytes], url: str) -> Sent:
    """Send every line that is an event; empty lines are left out.

    Args:
        client: for serve.
        lines: JSON Lines.
        url: named in errors.

    Raises:
        GuardianError: serve did not take a chunk.
    """
    sent, progress = Sent(), Progress()
    chunk: list[tuple[int, bytes, str]] = []
    size = 0
    for number, line in enumerate(lines, 1):
        if not (text := line.strip()):
            continue
        event, problem = read_event(text)
        if event is None:
            sent.refuse(number, problem)
            continue
        if len(chunk) == MAX_LINES or size + len(text) > MAX_BYTES:
            await _post(client, chunk, sent, url)
            progress.show(sent)
            chunk, size = [], 0
        chunk.append((number, text, "migrations" if "event_type" in event else "telemetry"))
        size += len(text) + 1
    if chunk:
        await _post(client, chunk, sent, url)
    return sent


async def _post(client: httpx.AsyncClient, chunk: list[tuple[int, bytes, str]], sent: Sent, url: str) -> None:
    """Send one chunk; count what was taken, and name what was not."""
    body = b"\n".join(text for _, text, _ in chunk)
    reply = await client.post("/v1/events", content=body, headers={"Content-Type": "application/x-ndjson"})
    if reply.status_code not in (HTTPStatus.ACCEPTED, HTTPStatus.UNPROCESSABLE_ENTITY):
        raise fault_of(reply, url)
    answer = reply.json()
    if "accepted" not in answer:
        raise fault_of(reply, url)
    refused = {one["index"]: problem_text(one["message"], one["fix"]) for one in answer["refused"]}
    sent.hints.extend(hint for hint in answer.get("hints", ()) if len(sent.hints) < _MOST_HINTS)
    for index, (number, _, target) in enumerate(chunk):
        if index in refused:
            sent.refuse(number, refused[index])
        else:
            sent.count(target)
