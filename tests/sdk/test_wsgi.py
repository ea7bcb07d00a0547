"""Case H3 under WSGI: a response is measured to the end of its body."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from guardian.sdk.wsgi import GuardianWsgiMiddleware
from tests.sdk.telling import SERVED, Client, client

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@pytest.fixture
def telemetry(tmp_path: Path) -> Iterator[Client]:
    with client(tmp_path) as found:
        yield found


def served(app: Application, method: str = "GET") -> bytes:
    """What a server of the standard library makes of it, each step checked."""
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    out = io.BytesIO()
    handler = SimpleHandler(io.BytesIO(), out, io.StringIO(), environ)
    handler.run(validator(validator(GuardianWsgiMiddleware(app))))  # type: ignore[arg-type]
    return out.getvalue()


def begun(app: Application, **options: Any) -> Any:
    """The body as a server gets it, nothing of it read."""
    return GuardianWsgiMiddleware(app, **options)({}, lambda status, headers: None)


def streaming(telemetry: Client, status: str = "200 OK", fails: BaseException | None = None) -> Application:
    """An application that is a generator: its flags are asked for when the body is."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        telemetry.measure_response(SERVED)
        start_response(status, [("Content-Type", "text/plain")])
        yield b"1"
        assert telemetry.told() == []
        if fails is not None:
            raise fails
        yield b"2"

    return app


def test_H3_a_stream_is_ok_when_its_last_chunk_was_taken(telemetry: Client) -> None:
    assert served(streaming(telemetry)).endswith(b"12")
    assert telemetry.outcomes() == [("ok", None)]


def test_a_body_that_is_a_list_is_measured_as_well(telemetry: Client) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        telemetry.measure_response(SERVED)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no"]

    assert served(app).endswith(b"no")
    assert telemetry.outcomes() == [("ok", None)]


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ValueError(), ("error", "ValueError")), (SystemExit(), ("timeout", "SystemExit"))],
    ids=repr,
)
def test_H3_a_stream_that_breaks_in_the_middle_is_an_error(
    telemetry: Client, error: BaseException, expected: tuple[str, str]
) -> None:
    body = begun(streaming(telemetry, fails=error))
    assert next(body) == b"1"
    with pytest.raises(type(error)):
        next(body)
    body.close()
    assert telemetry.outcomes() == [expected]


def test_an_answer_of_500_is_an_error_and_an_exception_of_the_view_too(telemetry: Client) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        telemetry.measure_response(SERVED)
        raise KeyError

    served(streaming(telemetry, "503 Service Unavailable"))
    with pytest.raises(KeyError):
        begun(app)
    assert telemetry.outcomes() == [("error", "HTTP503"), ("error", "KeyError")]


def test_H3_a_client_that_leaves_in_the_middle_is_no_failure_and_the_body_is_closed(telemetry: Client) -> None:
    body = begun(streaming(telemetry))
    next(body)
    body.close()
    with pytest.raises(StopIteration):
        next(body._chunks)
    assert telemetry.outcomes() == [("ok", None)]


def test_a_body_that_nobody_wants_ends_with_its_status(telemetry: Client) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        telemetry.measure_response(SERVED)
        start_response("200 OK", [])
        return [b"x"]

    begun(app).close()
    assert telemetry.outcomes() == [("ok", None)]


def test_H3_a_body_that_the_server_forgets_is_told_as_abandoned(telemetry: Client) -> None:
    body = begun(streaming(telemetry))
    next(body)
    del body
    gc.collect()
    assert telemetry.outcomes() == [("timeout", "abandoned")]
