"""What a request carries: read within its bounds of size and time, whatever the client promises or withholds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from fastapi import Request
from starlette.requests import ClientDisconnect

from guardian.serve import metrics
from guardian.serve.access import Caller
from guardian.serve.faults import Refused

T = TypeVar("T", bound=msgspec.Struct)

READ_WITHIN_S: Final = 30.0
RATE_WINDOW_S: Final = 5.0


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


class Place:
    """What one body holds of the room.

    Args:
        key: whose body it is.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.size = 0
        self._began_s = time.monotonic()
        self.deadline: asyncio.Timeout | None = None
        """Set while the body is being read."""
        self.was_spared = False

    @property
    def is_read(self) -> bool:
        """Whether the body is still being read: afterwards it goes soon, and by itself."""
        return self.deadline is not None

    @property
    def rate(self) -> float:
        """Bytes a second since it began."""
        return self.size / max(time.monotonic() - self._began_s, 1e-3)

    def give_way(self) -> None:
        """Give the body up: its reader hears of it at once."""
        self.was_spared = True
        if self.deadline is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time())


class Room:
    """What all large bodies together may hold in memory.

    A body that finds it full takes the place of one that is still being read: of the client that holds most, the
    slowest. So bodies that come slowly keep nobody out.

    Args:
        at_most: bytes.
        of_one_client: bytes of one token or address.
        bodies: of one client, at a time.
    """

    def __init__(self, at_most: int, of_one_client: int, bodies: int) -> None:
        self._left = at_most
        self._of_one_client = of_one_client
        self._bodies = bodies
        self._places: dict[str, dict[Place, None]] = {}
        self._held: dict[str, int] = {}

    @contextmanager
    def place(self, caller: Caller) -> Iterator[Place]:
        """Give a body its place until the block ends.

        Args:
            caller: whose it is.

        Raises:
            Refused: this client sends too many bodies at a time.
        """
        places = self._places.setdefault(caller.key, {})
        if len(places) >= self._bodies:
            raise _busy(f"{self._bodies} bodies of this client are being read", HTTPStatus.TOO_MANY_REQUESTS)
        place = Place(caller.key)
        places[place] = None
        try:
            yield place
        finally:
            self._free(place)
            places.pop(place, None)
            if not places and self._places.get(caller.key) is places:
                del self._places[caller.key]

    def take(self, place: Place, size: int) -> None:
        """Take so many bytes more for a body.

        Raises:
            Refused: there is no room for them.
        """
        while self._held.get(place.key, 0) + size > self._of_one_client:
            self._spare([place.key], place, "this client's bodies fill the memory that it may use")
        while size > self._left:
            by_weight = sorted(self._held, key=lambda key: -self._held[key])
            self._spare(by_weight, place, "as many bodies as fit into memory are being read")
        self._left -= size
        self._held[place.key] = self._held.get(place.key, 0) + size
        place.size += size

    def _spare(self, keys: list[str], newcomer: Place, message: str) -> None:
        """Give up the slowest body of the first client that has one that is still being read.

        Raises:
            Refused: that is the newcomer itself, or there is none.
        """
        reading = ([place for place in self._places[key] if place.is_read and place.size] for key in keys)
        slowest = min(next(filter(None, reading), [newcomer]), key=lambda place: place.rate)
        metrics.SHED.labels("body").inc()
        if slowest is newcomer:
            raise _busy(message)
        self._free(slowest)
        slowest.give_way()

    def _free(self, place: Place) -> None:
        self._left += place.size
        if place.size and (left := self._held.pop(place.key) - place.size):
            self._held[place.key] = left
        place.size = 0


class _Pace:
    """The end of a body that comes too slowly: so many bytes must have come in each window.

    Args:
        rate: bytes a second.
    """

    def __init__(self, rate: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._window_bytes = rate * RATE_WINDOW_S
        self._came = 0
        now_s = self._loop.time()
        self._until_s = now_s + RATE_WINDOW_S
        self._end_s = now_s + READ_WITHIN_S

    @property
    def deadline_s(self) -> float:
        """When it is too slow unless more comes."""
        return min(self._until_s, self._end_s)

    def came(self, size: int) -> None:
        """Note a part. A window's bytes within the window begin the next one."""
        self._came += size
        if self._came >= self._window_bytes:
            self._came, self._until_s = 0, self._loop.time() + RATE_WINDOW_S


async def read_body(
    request: Request, at_most: int, rate: int, room: Room | None = None, place: Place | None = None
) -> bytes:
    """Return the whole body.

    Args:
        request: not read yet.
        at_most: bytes.
        rate: bytes a second, below which it is given up.
        room: where large bodies have their place; None for a small one.
        place: the body's own.

    Raises:
        Refused: it is larger, compressed, does not come, comes too slowly, or its place was needed.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "bad_encoding", f"content-encoding {encoding!r}", "send it plain"
        )
    promised = request.headers.get("content-length", "")
    if promised.isdecimal() and int(promised) > at_most:
        raise _too_large(at_most)
    place = place or Place("")
    pace = _Pace(rate)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout_at(pace.deadline_s) as place.deadline:
            async for part in request.stream():
                size += len(part)
                if size > at_most:
                    raise _too_large(at_most)
                if room is not None and not place.was_spared:
                    room.take(place, len(part))
                parts.append(part)
                pace.came(len(part))
                if not place.was_spared:
                    place.deadline.reschedule(pace.deadline_s)
    except ClientDisconnect:
        # Nobody hears the answer; but it is no fault of ours, and not one for the log.
        raise Refused(HTTPStatus.BAD_REQUEST, "incomplete", "the client hung up within the body") from None
    except TimeoutError:
        if place.was_spared:
            raise _busy("the memory for bodies is full, and this one came slowly") from None
        metrics.SHED.labels("body").inc()
        message = f"the body came too slowly: under {rate:,} bytes a second, or longer than {READ_WITHIN_S:.0f} s"
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "timeout", message) from None
    finally:
        place.deadline = None
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


def _busy(message: str, status: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE) -> Refused:
    return Refused(status, "busy", message, "send it again soon", headers={"Retry-After": "1"})


def _too_large(at_most: int) -> Refused:
    fix = "send less at a time; serve_body_bytes in guardian.toml is the bound"
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"the body has more than {at_most:,} bytes", fix)
