"""How a request fails: a status, a word for programs, a sentence for people, and the way out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from guardian.errors import GuardianError, SpecError, TransportError
from guardian.serve.replies import json_reply


class Refused(GuardianError):
    """The request is not carried out.

    Args:
        status: of the answer.
        reason: one word for programs, such as `unauthorized`.
        message: one sentence.
        fix: the way out.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        reason: str,
        message: str,
        fix: str = "",
        *,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, fix)
        self.status = status
        self.reason = reason
        self.headers = headers or {}


def not_found(what: str, fix: str = "") -> Refused:
    """Return the refusal for something that is not there."""
    return Refused(HTTPStatus.NOT_FOUND, "not_found", what, fix)


def fault_document(reason: str, message: str, fix: str = "", **more: Any) -> dict[str, Any]:
    """Return the body of every answer that says no."""
    return {"ok": False, "reason": reason, "message": message, "fix": fix, **more}


def install_faults(app: FastAPI) -> None:
    """Answer every error of a route in the same form."""
    handlers: dict[type[Exception], Any] = {
        Refused: _refused,
        SpecError: _spec,
        TransportError: _transport,
        RequestValidationError: _parameters,
        HTTPException: _http,
        Exception: _internal,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _refused(_: Request, error: Refused) -> Response:
    body = fault_document(error.reason, error.message, error.fix)
    return json_reply(body, error.status, headers=error.headers)


async def _spec(_: Request, error: SpecError) -> Response:
    problems = [
        {"path": one.path, "message": one.message, "fix": one.fix, "line": one.line, "column": one.column}
        for one in error.problems
    ]
    body = fault_document("bad_spec", error.message, error.fix, problems=problems)
    return json_reply(body, HTTPStatus.UNPROCESSABLE_ENTITY)


async def _transport(_: Request, error: TransportError) -> Response:
    headers = {"Retry-After": "2"} if error.retriable else {}
    body = fault_document("kafka", error.message, error.fix)
    return json_reply(body, HTTPStatus.SERVICE_UNAVAILABLE, headers=headers)


async def _parameters(_: Request, error: RequestValidationError) -> Response:
    problems = [
        {"path": ".".join(str(part) for part in one["loc"]), "message": one["msg"], "fix": "", "line": 0, "column": 0}
        for one in error.errors()
    ]
    body = fault_document("bad_request", "the request is wrong", "see /docs", problems=problems)
    return json_reply(body, HTTPStatus.UNPROCESSABLE_ENTITY)


async def _http(_: Request, error: HTTPException) -> Response:
    """What the router itself refuses: no such path, no such method."""
    reason = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    return json_reply(
        fault_document(reason, error.detail, "see /docs"), error.status_code, headers=dict(error.headers or {})
    )


async def _internal(_request: Request, _error: Exception) -> Response:
    """The server logs the error itself, with its traceback; the client learns nothing of it."""
    body = fault_document("internal", "a fault of guardian's own", "report it with guardian's log")
    return json_reply(body, HTTPStatus.INTERNAL_SERVER_ERROR)
