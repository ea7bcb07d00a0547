"""Case H4: an exception that is an answer, such as a 404 or a redirect, is no error."""

from __future__ import annotations

import urllib.error
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from aiohttp import web
from fastapi import HTTPException
from starlette.exceptions import HTTPException as StarletteHTTPException

from guardian.sdk.answers import is_answer
from guardian.sdk.measurement import Measurement
from tests.sdk.telling import SERVED, client


class WithCode(Exception):
    """As werkzeug's exceptions are."""

    code: Any = 404


class WithStatus(Exception):
    """As some frameworks' are."""

    def __init__(self, status: Any) -> None:
        self.status = status


class Odd(Exception):
    """A property that cannot be asked."""

    @property
    def status_code(self) -> int:
        """Fail."""
        raise RuntimeError


class MyNotFound(LookupError):
    """The application's own."""


def with_fields(**fields: Any) -> Exception:
    error = Exception()
    error.__dict__.update(fields)
    return error


RESPONSE = httpx.Response(404, request=httpx.Request("GET", "http://127.0.0.1"))
ANSWERS = [
    HTTPException(404), HTTPException(307), StarletteHTTPException(400), web.HTTPNotFound(), web.HTTPFound("/"),
    WithCode(), WithStatus(429), WithStatus(HTTPStatus.CONFLICT), WithStatus(100), WithStatus(499),
    with_fields(status_code=404, response=None),
]  # fmt: skip
ERRORS = [
    HTTPException(500), HTTPException(503), web.HTTPBadGateway(), WithStatus(99), WithStatus(500), WithStatus("404"),
    WithStatus(True), WithStatus(404.0), ValueError("no"), Odd(), KeyError(404),
    # Clients of other services: what they were refused is no answer of this block.
    httpx.HTTPStatusError("no", request=RESPONSE.request, response=RESPONSE),
    urllib.error.HTTPError("http://127.0.0.1", 404, "no", Message(), None),
    with_fields(status_code=429, response=SimpleNamespace()), with_fields(status=404, request_info=SimpleNamespace()),
]  # fmt: skip


@pytest.mark.parametrize("error", ANSWERS, ids=lambda error: f"{type(error).__name__} {error}"[:40])
def test_H4_a_status_below_500_is_an_answer(tmp_path: Path, error: Exception) -> None:
    with client(tmp_path) as telemetry:
        with pytest.raises(type(error)), telemetry.measure(SERVED):
            raise error
        assert telemetry.outcomes() == [("ok", None)]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__} {error}"[:40])
def test_H4_everything_else_is_an_error(tmp_path: Path, error: Exception) -> None:
    with client(tmp_path) as telemetry:
        with pytest.raises(type(error)), telemetry.measure(SERVED):
            raise error
        assert telemetry.outcomes() == [("error", type(error).__name__)]


def test_H4_further_answers_are_named_for_all_blocks_or_for_one(tmp_path: Path) -> None:
    def raising(block: Measurement, error: Exception) -> None:
        with pytest.raises(type(error)), block:
            raise error

    with client(tmp_path, answers=(MyNotFound,)) as telemetry:
        raising(telemetry.measure(SERVED), MyNotFound())
        raising(telemetry.measure(SERVED, answers=(TimeoutError,)), TimeoutError())
        raising(telemetry.measure(SERVED, answers=(TimeoutError,)), MyNotFound())
        raising(telemetry.measure(SERVED), TimeoutError())
        raising(telemetry.measure(SERVED), LookupError())
        raising(telemetry.measure(SERVED, outcome="crash"), MyNotFound())
        assert [outcome for outcome, _ in telemetry.outcomes()] == ["ok", "ok", "ok", "timeout", "error", "crash"]


def test_H4_a_cancellation_with_a_code_is_no_answer() -> None:
    assert not is_answer(SystemExit(200))
