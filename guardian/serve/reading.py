"""The routes that read: rollouts, flags, decisions, alerts, rollbacks, dead letters, and the streams of what is new."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Any, Final, Protocol, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from guardian.core.outputs import Alert, Decision, Rollback, RolloutStatus
from guardian.serve.access import Right
from guardian.serve.contract import ERRORS, Flag, listed, ref, says
from guardian.serve.faults import Refused, not_found
from guardian.serve.replies import json_reply
from guardian.serve.request_queue import caller_of
from guardian.serve.site import Site
from guardian.serve.streams import EventStream, Stream
from guardian.wire.dead_letters import Letter

MAX_LISTED: Final = 1_000
STREAMS: Final = "/v1/stream/"
"""What the paths of the streams begin with."""

OfFlag = Annotated[str, Query(max_length=128, description="Only those of this flag.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LISTED, description="How many at most, the newest first.")]
LastId = Annotated[str, Header(alias="Last-Event-ID", max_length=64, description="Goes on behind this event.")]


class OfOneFlag(Protocol):
    """What belongs to a flag."""

    @property
    def flag(self) -> str:
        """The flag's name."""
        ...


T = TypeVar("T", bound=OfOneFlag)


def reading_routes(site: Site) -> APIRouter:
    """Return the routes that read."""
    routes = APIRouter(prefix="/v1", dependencies=[Depends(site.access.need(Right.READ))], responses=ERRORS)
    _rollouts(routes, site)
    _flags(routes, site)
    _logs(routes, site)
    _streams(routes, site)
    return routes


def _whole(site: Site) -> None:
    """Refuse while the past is still being read: a part would look like the whole."""
    if not site.board.live:
        message = "the read models have not been read to their end yet"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", message, "see /readyz", headers={"Retry-After": "2"})


def _rollouts(routes: APIRouter, site: Site) -> None:
    @routes.get("/rollouts", tags=["rollouts"], responses=says(200, _listed_rollouts(), "All."))
    async def list_rollouts() -> Response:
        """The newest status of every rollout, by flag; `reasons` say why it may not be what stands now."""
        _whole(site)
        found = site.board.rollouts
        return json_reply({"rollouts": [found[flag] for flag in sorted(found)], "reasons": site.not_ready()})

    @routes.get("/rollouts/{flag}", tags=["rollouts"], responses=says(200, ref(RolloutStatus), "Its status."))
    async def get_rollout(flag: Flag) -> Response:
        """Where one rollout stands, why, and what is missing to move on; `reasons` as in the list."""
        _whole(site)
        if (status := site.board.rollouts.get(flag)) is None:
            raise not_found(f"no rollout of {flag!r}", "apply its spec first: POST /v1/rollouts")
        return json_reply({**msgspec.to_builtins(status), "reasons": site.not_ready()})


def _listed_rollouts() -> dict[str, Any]:
    schema = listed("rollouts", RolloutStatus)
    reasons = {"type": "array", "items": {"type": "string"}, "description": "as /readyz gives them"}
    return {**schema, "properties": {**schema["properties"], "reasons": reasons}}


def _flags(routes: APIRouter, site: Site) -> None:
    document: dict[str, Any] = {"type": "object", "description": "a flagd v0 flag definition"}
    every = {"type": "object", "properties": {"flags": {"type": "object", "additionalProperties": document}}}

    @routes.get("/flags", tags=["flags"], responses=says(200, every, "All."))
    async def list_flags() -> Response:
        """Every flag's document as SDKs obey it: a flagd flag set."""
        _whole(site)
        found = site.board.documents
        return json_reply({"flags": {flag: found[flag] for flag in sorted(found)}})

    @routes.get("/flags/{flag}", tags=["flags"], responses=says(200, document, "Its document."))
    async def get_flag(flag: Flag) -> Response:
        """One flag's document as SDKs obey it."""
        _whole(site)
        if (found := site.board.documents.get(flag)) is None:
            raise not_found(f"no flag {flag!r}", "apply a spec and start it: POST /v1/rollouts")
        return json_reply(found)


def _logs(routes: APIRouter, site: Site) -> None:
    @routes.get("/decisions", tags=["logs"], responses=says(200, listed("decisions", Decision), "The latest."))
    async def list_decisions(flag: OfFlag = "", limit: Limit = 100) -> Response:
        """The latest decisions with their evidence, the newest first; older ones are on guardian.decisions."""
        _whole(site)
        return json_reply({"decisions": _newest(reversed(site.board.decisions), flag, limit)})

    @routes.get("/rollbacks", tags=["logs"], responses=says(200, listed("rollbacks", Rollback), "The latest."))
    async def list_rollbacks(flag: OfFlag = "", limit: Limit = 100) -> Response:
        """The latest protective actions, the newest first."""
        _whole(site)
        return json_reply({"rollbacks": _newest(reversed(site.board.rollbacks), flag, limit)})

    @routes.get("/alerts", tags=["logs"], responses=says(200, listed("alerts", Alert), "The latest."))
    async def list_alerts(flag: OfFlag = "", active: bool | None = None, limit: Limit = 100) -> Response:
        """The newest state of the latest alerts, the newest first; `active` leaves out the others."""
        _whole(site)
        found = (alert for alert in reversed(site.board.alerts.values()) if active in (None, alert.active))
        return json_reply({"alerts": _newest(found, flag, limit)})

    answer = says(200, listed("dead_letters", Letter), "The latest.")

    @routes.get("/dead-letters", tags=["logs"], responses=answer)
    async def list_dead_letters(flag: OfFlag = "", limit: Limit = 100) -> Response:
        """The latest messages that could not be read, the newest first, and why; never their values."""
        found = (letter for letter in site.letters.newest() if not flag or flag in letter.flags)
        body = {"dead_letters": list(islice(found, limit)), "skipped_count": site.letters.skipped_count}
        return json_reply(body)


def _newest(found: Iterable[T], flag: str, limit: int) -> list[T]:
    return list(islice((one for one in found if not flag or one.flag == flag), limit))


def _streams(routes: APIRouter, site: Site) -> None:
    answer: dict[int | str, dict[str, Any]] = {
        200: {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    }

    def follow(request: Request, stream: Stream, last_id: str, state: Callable[[], list[Any]] = list) -> Response:
        caller = caller_of(request.scope)
        return EventStream(site.hub, stream, site.hub.join(stream, last_id, state, caller))

    def flags() -> list[Any]:
        return [{"flag": flag, "document": document} for flag, document in site.board.documents.items()]

    def alerts() -> list[Any]:
        return [alert for alert in site.board.alerts.values() if alert.active]

    @routes.get("/stream/flags", tags=["streams"], responses=answer, response_class=Response)
    async def stream_flags(request: Request, last_event_id: LastId = "") -> Response:
        """Every flag's document as it stands, then each change as it comes."""
        _whole(site)
        return follow(request, Stream.FLAGS, last_event_id, flags)

    @routes.get("/stream/alerts", tags=["streams"], responses=answer, response_class=Response)
    async def stream_alerts(request: Request, last_event_id: LastId = "") -> Response:
        """The active alerts, then each that is raised or resolved."""
        _whole(site)
        return follow(request, Stream.ALERTS, last_event_id, alerts)

    @routes.get("/stream/decisions", tags=["streams"], responses=answer, response_class=Response)
    async def stream_decisions(request: Request, last_event_id: LastId = "") -> Response:
        """Each decision from now on."""
        return follow(request, Stream.DECISIONS, last_event_id)

    @routes.get("/stream/rollbacks", tags=["streams"], responses=answer, response_class=Response)
    async def stream_rollbacks(request: Request, last_event_id: LastId = "") -> Response:
        """Each protective action from now on."""
        return follow(request, Stream.ROLLBACKS, last_event_id)

    @routes.get("/stream/dead-letters", tags=["streams"], responses=answer, response_class=Response)
    async def stream_dead_letters(request: Request, last_event_id: LastId = "") -> Response:
        """Each message that cannot be read, from now on; never its value."""
        return follow(request, Stream.DEAD_LETTERS, last_event_id)
