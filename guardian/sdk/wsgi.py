"""WSGI middleware: responses are measured to the end of their body, streams too.

    app.wsgi_app = GuardianWsgiMiddleware(app.wsgi_app)   # Flask
    application = GuardianWsgiMiddleware(application)     # Django, any other

    telemetry.measure_response(details, subject=user)     # in the view

It needs no framework and adds nothing to the response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from guardian.sdk.responses import STALLED_AFTER_S, ResponseInProgress, leave

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class GuardianWsgiMiddleware:
    """Ends the measurements of `Telemetry.measure_response` with the response; adds nothing to it.

    The server sees the body as a plain iterable: it cannot hand a `wsgi.file_wrapper` to the kernel any more.

    Args:
        app: the application.
        stalled_after_s: see ResponseInProgress.
    """

    def __init__(self, app: Application, stalled_after_s: float | None = STALLED_AFTER_S) -> None:
        self._app = app
        self._stalled_after_s = stalled_after_s

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        response = ResponseInProgress(self._stalled_after_s)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            response.status = int(status[:3]) if status[:3].isdigit() else 0
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        token = response.enter()
        try:
            return _Body(response, self._app(environ, start))
        except BaseException as error:
            response.broken(error)
            raise
        finally:
            leave(token)


class _Body:
    """The application's body, chunk by chunk.

    Args:
        response: told about it.
        chunks: the application's own body.
    """

    def __init__(self, response: ResponseInProgress, chunks: Iterable[bytes]) -> None:
        self._response = response
        self._chunks = chunks
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        # A view that is a generator runs here, and may ask for a flag here.
        token = self._response.enter()
        try:
            self._response.waiting()
            if self._iterator is None:
                self._iterator = iter(self._chunks)
            chunk = next(self._iterator)
        except StopIteration:
            self._response.complete()
            raise
        except BaseException as error:
            self._response.broken(error)
            raise
        finally:
            leave(token)
        self._response.sent()
        self._response.sending()
        return chunk

    def close(self) -> None:
        """Close the application's body. In the middle of it, this means that the client went away."""
        if self._iterator is None:  # nobody wanted the body, as for HEAD
            self._response.complete()
        else:
            self._response.left()
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
