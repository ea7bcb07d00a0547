"""Exceptions that are answers: a web framework raises a 404 or a redirect as an exception, and nothing has failed."""

from __future__ import annotations

from typing import Any, Final

_STATUS_NAMES: Final = ("status_code", "code", "status")
_CLIENT_NAMES: Final = ("request", "response", "request_info")


def is_answer(error: BaseException, named: tuple[type[BaseException], ...] = ()) -> bool:
    """Return whether an exception is an answer, and no failure of the block that raised it.

    An answer is an exception with a whole number from 100 to 499 in `status_code`, `code` or `status`, as the HTTP
    exceptions of Starlette, FastAPI, Django REST framework, werkzeug, Flask and aiohttp have it. Exceptions of HTTP
    clients have such numbers too, but they report what another service refused: they carry a request or a response,
    or are OSErrors, and stay errors.

    Args:
        error: what was raised.
        named: further types that are answers.
    """
    if isinstance(error, named):
        return True
    if not isinstance(error, Exception) or isinstance(error, OSError | SyntaxError):
        return False
    return 100 <= _status_of(error) <= 499 and all(_attribute(error, name) is None for name in _CLIENT_NAMES)


def _status_of(error: Exception) -> int:
    for name in _STATUS_NAMES:
        status = _attribute(error, name)
        if isinstance(status, int) and not isinstance(status, bool):
            return status
    return 0


def _attribute(error: Exception, name: str) -> Any:
    try:
        return getattr(error, name, None)
    except Exception:  # a property of somebody else's exception
        return None
