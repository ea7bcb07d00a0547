"""Liveness of the process, readiness of guardian as a whole or of serve alone, and the figures for Prometheus."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from guardian.serve.access import Right
from guardian.serve.contract import Responses, says
from guardian.serve.replies import json_reply
from guardian.serve.site import Site

_SENTENCES: Final = {"type": "array", "items": {"type": "string"}}


def _answer(ready: bool) -> dict[str, object]:
    properties = {"ready": {"const": ready}, "reasons": _SENTENCES, "warnings": _SENTENCES}
    return {"type": "object", "properties": properties}


_READY: Responses = {
    **says(200, _answer(True), "What is answered is what stands now; warnings say what is left out."),
    **says(503, _answer(False), "Not ready, with every reason."),
}

Part = Annotated[
    str, Query(pattern="^(serve)?$", description="`serve`: whether serve itself answers and takes commands.")
]


def health_routes(site: Site) -> APIRouter:
    """Return the routes that need no token: they tell of the process, not of the rollouts."""
    routes = APIRouter(tags=["health"])

    @routes.get("/livez")
    @routes.get("/healthz")
    async def alive() -> Response:
        """The process is alive: for what restarts it. Whether it is of use is what /readyz says."""
        return json_reply({"alive": True})

    @routes.get("/readyz", responses=_READY)
    async def ready(request: Request, part: Part = "") -> Response:
        """Kafka answers, the read models are caught up, decide gives signs of life for every partition, and sees.

        Guardian that has been blind for more than 30 seconds, because ingest is dead or stopped, is not ready.
        With `part=serve` only serve itself counts: for a load balancer, as commands must go through then too.
        Warnings are alerts on guardian itself that leave serve ready: records that cannot be read, a source that Kafka
        refuses. Reasons and warnings name addresses and topics: they are for who may read.
        """
        reasons, warnings = site.serve_problems() if part else site.not_ready(), site.warnings()
        if not site.access.allows(request, Right.READ):
            reasons, warnings = _hidden(reasons), _hidden(warnings)
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return json_reply({"ready": not reasons, "reasons": reasons, "warnings": warnings}, status)

    @routes.get("/metrics", responses={200: {"content": {"text/plain": {}}, "description": "In Prometheus's format."}})
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        """The figures of this process."""
        encode, kind = choose_encoder(accept)
        return Response(encode(REGISTRY), headers={"Content-Type": kind})

    return routes


def _hidden(sentences: list[str]) -> list[str]:
    return ["a token that may read is told why"] if sentences else []
