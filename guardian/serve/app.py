"""The HTTP application: routes, errors, and what every answer carries."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Query
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from guardian.core.words import FLAG_NAME_PATTERN
from guardian.serve import metrics
from guardian.serve.access import Right
from guardian.serve.contract import describe
from guardian.serve.docs import docs_page
from guardian.serve.faults import install_faults
from guardian.serve.health import health_routes
from guardian.serve.ordering import ordering_routes
from guardian.serve.page import POLICY, status_page
from guardian.serve.reading import STREAMS, reading_routes
from guardian.serve.request_queue import MAX_WAITING, Admission, RequestQueue
from guardian.serve.site import Site

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", POLICY.encode()),
)
"""On every answer. There is no CORS header: pages of other origins may read nothing here."""
_NO_STORE: Final = (b"cache-control", b"no-store")

OneFlag = Annotated[str, Query(pattern=f"^({FLAG_NAME_PATTERN})?$", description="Only this one.")]


def build_app(site: Site) -> ASGIApp:
    """Return the application.

    Args:
        site: the parts that the routes work with.
    """
    app = FastAPI(
        title="guardian",
        version=version("rollout-guardian"),
        description="Watches progressive rollouts and takes a bad one back.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    install_faults(app)
    for routes in (health_routes(site), reading_routes(site), ordering_routes(site)):
        app.include_router(routes)
    _pages(app, site)
    describe(app)
    # Around everything, also around what answers when a route dies.
    settings = site.settings
    # Requests that wait cannot be spared for a newcomer: they have a part of the connections only.
    queue = RequestQueue(settings.serve_client_requests, min(MAX_WAITING, settings.serve_connections // 4))
    return Frame(Admission(app, site.access, queue))


def _pages(app: FastAPI, site: Site) -> None:
    @app.get("/", include_in_schema=False, dependencies=[Depends(site.access.need(Right.READ))])
    async def status(flag: OneFlag = "") -> Response:
        return HTMLResponse(status_page(site, flag))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(docs_page(app.openapi()))


class Frame:
    """Around every request: the headers of each answer, and the count of each.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                _count(scope, message["status"], time.perf_counter() - began)
                present = {name for name, _ in message["headers"]}
                added = [header for header in (*_HEADERS, _NO_STORE) if header[0] not in present]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, framed)


def _count(scope: Scope, status: int, took_s: float) -> None:
    """Count an answer under its route, never under its path: there are few routes and any number of paths."""
    route = getattr(scope.get("route"), "path", "") or "none"
    method = scope["method"] if scope["method"] in _METHODS else "other"
    metrics.REQUESTS.labels(method, route, str(status)).inc()
    if not route.startswith(STREAMS):
        metrics.REQUEST_SECONDS.labels(route).observe(took_s)
