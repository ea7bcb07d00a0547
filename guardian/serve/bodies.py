"""What a request carries: read within its bounds of size and time, whatever the client promises or withholds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from fastapi import Request
from starlette.requests import ClientDisconnect

from guardian.serve.faults import Refused

T = TypeVar("T", bound=msgspec.Struct)

READ_WITHIN_S: Final = 30.0


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a command; every field may be left out, and so may the body.

    Args:
        reason: why, kept in the audit.
        to: the target of `rollback`: `zero` (default), `previous`, or a step's name.
        wait_ms: how long to wait for the answer, in milliseconds; 0 for not at all.
        name: the figure that `metric` sets.
        value: what it is set to.
        force: of `promote`: also on stale or lost evidence.
        seen_turn: the `turn` of the status that its sender saw: start, promote, resume and unkill are refused once it
            is another. Left out, the command is unconditional.
    """

    reason: str = ""
    to: str = ""
    wait_ms: int = 10_000
    name: str = ""
    value: float | None = None
    force: bool = False
    seen_turn: int | None = None


class Room:
    """What all large bodies together may hold in memory; who comes when it is full is asked to come again.

    Args:
        at_most: bytes.
    """

    def __init__(self, at_most: int) -> None:
        self._left = at_most

    @contextmanager
    def place(self) -> Iterator[Callable[[int], None]]:
        """Give a body its place: a function that takes so many bytes of the room, until the block ends.

        It raises Refused when the room is full.
        """
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if size > self._left:
                message = "as many bodies as fit into memory are being read"
                headers = {"Retry-After": "1"}
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy", message, "send it again soon", headers=headers)
            held += size
            self._left -= size

        try:
            yield take
        finally:
            self._left += held


async def read_body(request: Request, at_most: int, take: Callable[[int], None] | None = None) -> bytes:
    """Return the whole body.

    Args:
        request: not read yet.
        at_most: bytes.
        take: told of every part that comes; may refuse it. None for nobody.

    Raises:
        Refused: it is larger, compressed, or does not come.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "bad_encoding", f"content-encoding {encoding!r}", "send it plain"
        )
    promised = request.headers.get("content-length", "")
    if promised.isdecimal() and int(promised) > at_most:
        raise _too_large(at_most)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            async for part in request.stream():
                size += len(part)
                if size > at_most:
                    raise _too_large(at_most)
                if take is not None:
                    take(len(part))
                parts.append(part)
    except ClientDisconnect:
        # Nobody hears the answer; but it is no fault of ours, and not one for the log.
        raise Refused(HTTPStatus.BAD_REQUEST, "incomplete", "the client hung up within the body") from None
    except TimeoutError:
        raise Refused(
            HTTPStatus.REQUEST_TIMEOUT, "timeout", f"the body did not come within {READ_WITHIN_S:.0f} s"
        ) from None
    return b"".join(parts)


def read_struct(body: bytes, kind: type[T]) -> T:
    """Return a JSON body as a struct; an empty body is one with every default.

    Raises:
        Refused: not JSON (400), or not with these fields (422).
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_body", str(error)[:300], "see /docs") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "malformed_json", str(error)[:300], "send a JSON object") from error


def media_type(request: Request) -> str:
    """Return the content type without its parameters, in lower case; empty when there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(at_most: int) -> Refused:
    fix = "send less at a time; serve_body_bytes in guardian.toml is the bound"
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"the body has more than {at_most:,} bytes", fix)
