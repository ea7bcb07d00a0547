"""What serve's refusals mean to the person at the command line."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import httpx

from guardian.errors import Exit, GuardianError, Problem, SpecError, TransportError

_WRONG_WORDS: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


def fault_of(reply: httpx.Response, url: str) -> GuardianError:
    """Return the error that an answer of serve stands for.

    Args:
        reply: read whole.
        url: where serve was looked for.
    """
    try:
        body: Any = reply.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "message" not in body:
        return _error(
            f"what answers at {url} is not guardian's serve (HTTP {reply.status_code})",
            "check --server or GUARDIAN_SERVER",
            Exit.UNREACHABLE,
        )
    message, fix = str(body["message"]), str(body.get("fix", ""))
    where = f"serve at {url}: {message}"
    if reply.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        return TransportError(where, fix, retriable=True)
    if reply.status_code == HTTPStatus.UNAUTHORIZED:
        fix = "give --token or GUARDIAN_TOKEN"
    if problems := body.get("problems"):
        return SpecError([_problem(one) for one in problems])
    if reply.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _error(where, fix, Exit.INTERNAL)
    return _error(where, fix, Exit.USAGE if reply.status_code in _WRONG_WORDS else Exit.NO)


def document_of(reply: httpx.Response, url: str) -> dict[str, Any]:
    """Return the JSON object that serve has answered with.

    Args:
        reply: read whole.
        url: where serve was looked for.

    Raises:
        GuardianError: it says no, or is not serve.
    """
    if reply.status_code != httpx.codes.OK:
        raise fault_of(reply, url)
    try:
        body = reply.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise fault_of(reply, url)
    return body


def no_answer(url: str, what: str) -> TransportError:
    """Return the error for a serve that does not answer.

    Args:
        url: where it was looked for.
        what: what went wrong.
    """
    fix = "check --server or GUARDIAN_SERVER, and that guardian run --role serve is alive"
    return TransportError(f"no answer from serve at {url} ({what})", fix, retriable=True)


def _problem(one: dict[str, Any]) -> Problem:
    return Problem(one["path"], one["message"], one.get("fix", ""), one.get("line", 0), one.get("column", 0))


def _error(message: str, fix: str, code: Exit) -> GuardianError:
    error = GuardianError(message, fix)
    error.exit_code = code
    return error
