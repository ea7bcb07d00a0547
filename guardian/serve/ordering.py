"""The routes that write: specs, commands, events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from guardian.core.commands import FOR_ALL
from guardian.core.inputs import Actor
from guardian.core.outputs import Decision
from guardian.core.rollout import RolloutSpec
from guardian.core.words import ALL_FLAGS
from guardian.errors import Problem, SpecError
from guardian.serve.access import Right
from guardian.serve.asking import DEFAULT_WAIT_MS, MAX_WAIT_MS, Answer, new_command
from guardian.serve.bodies import Order, media_type, read_body, read_struct
from guardian.serve.contract import ERRORS, Flag, Responses, fault, ref, says
from guardian.serve.faults import Refused
from guardian.serve.replies import JSON, json_reply
from guardian.serve.request_queue import caller_of
from guardian.serve.site import Site
from guardian.serve.taking import split_events, take_events
from guardian.spec.advice import advice
from guardian.spec.changes import changes
from guardian.spec.load import load_spec
from guardian.wire.commands import COMMANDS, MAX_COMMAND_BYTES, MAX_NAME_BYTES, MAX_REASON_BYTES

ORDER_BYTES: Final = 65_536
VERBS: Final = tuple(command for command in COMMANDS if command not in ("apply", "release"))
"""`apply` has a route of its own; what concerns guardian's own log, and not a rollout, goes straight to Kafka."""

Reason = Annotated[str, Query(max_length=MAX_REASON_BYTES, description="Why; kept in the audit.")]
WaitMs = Annotated[int, Query(ge=0, le=MAX_WAIT_MS, description="How long to wait for the answer, in milliseconds.")]
SeenRevision = Annotated[
    str | None,
    Query(
        max_length=MAX_NAME_BYTES,
        description="The revision that is applied as far as you know, empty for none: the spec is refused when it is "
        "another. Left out, the spec is applied whatever there is.",
    ),
]
SeenTurn = Annotated[
    int | None,
    Query(ge=0, description="The turn of the status that you saw: refused when another spec was applied after it."),
]
DryRun = Annotated[bool, Query(description="Say what would change, and send nothing.")]


@dataclass(frozen=True)
class Seen:
    """What the sender of a spec saw."""

    seen_revision: SeenRevision = None
    seen_turn: SeenTurn = None


_SEEN: Final = Depends(Seen)
_ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "ok": {"type": "boolean"},
        "command": {"type": "string"},
        "command_id": {"type": "string"},
        "flag": {"type": "string"},
        "decisions": {"type": "array", "items": ref(Decision)},
        "silent": {"type": "array", "items": {"type": "string"}, "description": "who did not answer in time"},
        "unshown": {
            "type": "array",
            "items": {"type": "string"},
            "description": "flags that answered and whose status does not show it yet",
        },
        "reason": {"type": "string", "description": "why not, when it is not ok"},
        "message": {"type": "string"},
        "fix": {"type": "string"},
    },
}
ANSWERS: Final[Responses] = {
    **ERRORS,
    **says(200, _ANSWER, "Accepted, or it was so already."),
    **says(202, _ANSWER, "Sent, but nobody answered in time: it may still happen."),
    **says(404, _ANSWER, "No rollout of this flag."),
    **says(409, _ANSWER, "Refused, with the reason."),
}


_REFUSED: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "index": {"type": "integer", "description": "from 0; in JSON Lines the line's"},
        "reason": {"type": "string"},
        "message": {"type": "string"},
        "fix": {"type": "string"},
    },
}
_TAKEN: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "ok": {"type": "boolean", "description": "nothing was refused"},
        "accepted": {"type": "integer", "description": "events that Kafka has"},
        "refused_count": {"type": "integer"},
        "refused": {"type": "array", "items": _REFUSED},
        "hints": {
            "type": "array",
            "items": {"type": "string"},
            "description": "what is odd about accepted events: a field that is not read, a flag without a rollout",
        },
    },
}
_EVENTS: Final[dict[str, Any]] = {
    JSON: {
        "schema": {"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]},
        "example": {"ts": 1763700000.5, "flag": "new-pricing", "variant": "on", "outcome": "ok", "latency_ms": 12.7},
    },
    "application/x-ndjson": {"schema": {"type": "string"}},
}
EVENT_ANSWERS: Final[Responses] = {
    **{status: answer for status, answer in ERRORS.items() if status != 404},
    **says(202, _TAKEN, "Kafka has all that were accepted."),
    **fault(400, "Not JSON."),
    **fault(413, "Too large, or too many events."),
    **says(422, _TAKEN, "Nothing was accepted: every event was refused."),
}


def ordering_routes(site: Site) -> APIRouter:
    """Return the routes that write."""
    routes = APIRouter(prefix="/v1")
    _specs(routes, site)
    for verb in VERBS:
        _verb(routes, site, verb)
    _events(routes, site)
    return routes


def _specs(routes: APIRouter, site: Site) -> None:
    operator = Depends(site.access.need(Right.OPERATE))
    document = {"description": "the spec as YAML 1.2 or JSON", "required": True}
    content = {"application/yaml": {"schema": {"type": "string"}}, JSON: {"schema": {"type": "object"}}}

    @routes.post(
        "/rollouts",
        tags=["rollouts"],
        responses=ANSWERS,
        openapi_extra={"requestBody": {**document, "content": content}},
    )
    async def apply(
        request: Request,
        actor: Actor = operator,
        dry_run: DryRun = False,
        reason: Reason = "",
        wait_ms: WaitMs = DEFAULT_WAIT_MS,
        seen: Seen = _SEEN,
    ) -> Response:
        """Check a spec and make it the rollout's declaration, in mid-rollout too."""
        spec, document = await _read_spec(
            site, await read_body(request, MAX_COMMAND_BYTES, site.settings.serve_body_rate)
        )
        if dry_run:
            return json_reply(_preview(site, spec, document))
        fields = {"reason": reason, "spec": document, "seen_revision": seen.seen_revision, "seen_turn": seen.seen_turn}
        command = new_command("apply", spec.flag, actor=actor, **fields)
        return (await site.desk.ask(command, wait_ms)).reply()


async def _read_spec(site: Site, body: bytes) -> tuple[RolloutSpec, dict[str, Any]]:
    """The spec in a body; JSON is YAML too, so both come the same way, with the place of every problem.

    Raises:
        SpecError: with every problem.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise SpecError([Problem("", f"not UTF-8 text: {error.reason}", "send it as UTF-8")]) from error
    async with site.turns:
        # In a thread: a large text keeps YAML busy for a while, and everybody else is waiting.
        return await asyncio.to_thread(load_spec, text, "")


def _preview(site: Site, spec: RolloutSpec, document: dict[str, Any]) -> dict[str, Any]:
    """What apply would do; whether it may is decide's to say, which knows the phase when it comes."""
    if not site.board.live:
        message = "the read models have not been read to their end yet"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", message, "see /readyz")
    present = site.board.rollouts.get(spec.flag)
    listed = changes(present.spec, document) if present else []
    return {
        "ok": True,
        "dry_run": True,
        "flag": spec.flag,
        "revision": spec.revision,
        "present_revision": present.revision if present else "",
        "new": present is None,
        "unchanged": present is not None and present.revision == spec.revision,
        "changes": [{"path": one.path, "before": one.before, "after": one.after} for one in listed],
        "advice": [{"path": one.path, "message": one.message, "fix": one.fix} for one in advice(spec)],
    }


def _verb(routes: APIRouter, site: Site, verb: str) -> None:
    """The routes of one command: for one flag, and for all where that is allowed."""
    operator = Depends(site.access.need(Right.OPERATE))
    extra = {"requestBody": {"content": {JSON: {"schema": ref(Order)}}}}

    async def order(request: Request, actor: Actor, flag: str) -> Response:
        return (
            await _ask(site, verb, flag, actor, await read_body(request, ORDER_BYTES, site.settings.serve_body_rate))
        ).reply()

    async def one(request: Request, flag: Flag, actor: Actor = operator) -> Response:
        return await order(request, actor, flag)

    async def every(request: Request, actor: Actor = operator) -> Response:
        return await order(request, actor, ALL_FLAGS)

    routes.add_api_route(
        f"/rollouts/{{flag}}/{verb}",
        one,
        methods=["POST"],
        tags=["commands"],
        name=verb,
        summary=f"{verb.capitalize()} one rollout",
        responses=ANSWERS,
        openapi_extra=extra,
    )
    if verb in FOR_ALL:
        routes.add_api_route(
            f"/{verb}",
            every,
            methods=["POST"],
            tags=["commands"],
            name=f"{verb}_all",
            summary=f"{verb.capitalize()} every rollout of this environment",
            responses=ANSWERS,
            openapi_extra=extra,
        )


async def _ask(site: Site, verb: str, flag: str, actor: Actor, body: bytes) -> Answer:
    given = read_struct(body, Order)
    if not 0 <= given.wait_ms <= MAX_WAIT_MS:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "bad_body", f"wait_ms is {given.wait_ms}, not 0 to {MAX_WAIT_MS}"
        )
    fields = {name: getattr(given, name) for name in ("reason", "to", "name", "value", "force", "seen_turn")}
    command = new_command(verb, flag, actor=actor, **fields)
    return await site.desk.ask(command, given.wait_ms)


def _events(routes: APIRouter, site: Site) -> None:
    @routes.post(
        "/events",
        tags=["events"],
        status_code=202,
        responses=EVENT_ANSWERS,
        openapi_extra={"requestBody": {"required": True, "content": _EVENTS}},
        dependencies=[Depends(site.access.need(Right.SEND))],
    )
    async def send_events(request: Request) -> Response:
        """Telemetry and migration events, in any order: one with an `event_type` is a migration event.

        An object, an array, or JSON Lines. A request that a flag served, with its time in Unix seconds:
        `{"ts": 1763700000.5, "flag": "new-pricing", "variant": "on", "outcome": "ok", "latency_ms": 12.7}`
        """
        with site.room.place(caller_of(request.scope)) as place:
            settings = site.settings
            body = await read_body(request, settings.serve_body_bytes, settings.serve_body_rate, site.room, place)
            async with site.turns:
                events = split_events(body, media_type(request))
                found = await take_events(events, site.settings, site.writer, site.board)
        nothing = found["refused_count"] and not found["accepted"]
        return json_reply(found, HTTPStatus.UNPROCESSABLE_ENTITY if nothing else HTTPStatus.ACCEPTED)
