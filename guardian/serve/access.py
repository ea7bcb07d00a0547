"""Rights of requests: tokens with roles; without any token, only programs on this machine may write."""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import math
import re
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request

from guardian.core.inputs import Actor
from guardian.kafka.settings import Role, Settings, Token, digest_of
from guardian.serve import metrics
from guardian.serve.client_address import ClientAddresses, is_forwarded, is_loopback, parse_address
from guardian.serve.faults import Refused

log = logging.getLogger(__name__)

VIA: Final = "http"
ANONYMOUS: Final = "anonymous"
MAX_TOKEN_CHARS: Final = 512
_EVENTS_PATH: Final = "/v1/events"
_BROWSERS: Final = ("origin", "sec-fetch-site")
_OLD_HTTP: Final = "1.0"
STRANGERS_A_SECOND: Final = 10
"""Refusals of people without any token that are written down in a second; the others are only counted. Those of people
with a token are written down all."""
_SHOWN_PATH_CHARS: Final = 200


class Right(Enum):
    """What a request wants to do."""

    READ = auto()
    SEND = auto()
    OPERATE = auto()


RIGHTS: Final = {
    Role.VIEWER: frozenset({Right.READ}),
    Role.SENDER: frozenset({Right.SEND}),
    Role.OPERATOR: frozenset({Right.READ, Right.OPERATE}),
    Role.ADMIN: frozenset(Right),
}
"""An operator cannot send events: who may judge a rollout must not be able to make up its evidence."""


@dataclass(frozen=True)
class _Doubt:
    """Why a request without a token is refused, and the way out."""

    message: str
    fix: str


_WAY_OUT: Final = "guardian token new NAME --role ROLE prints the [[tokens]] entry to put into guardian.toml"
_FOREIGN_HOST: Final = _Doubt(
    "the Host header names another machine, and no tokens are configured",
    "call serve by its address, or add the name to serve_names in guardian.toml, or configure tokens",
)
_PROXIED: Final = _Doubt("no tokens are configured, so serve takes no writes through a proxy", _WAY_OUT)
_REMOTE: Final = _Doubt("no tokens are configured, so serve takes no writes from another machine", _WAY_OUT)
_EXPOSED: Final = _Doubt(
    "no tokens are configured, and serve listens on more than this machine, so it takes no writes",
    _WAY_OUT + ", or set serve_host to 127.0.0.1",
)
_WEB_PAGE: Final = _Doubt("no tokens are configured, so serve takes no writes from a web page", _WAY_OUT)


@dataclass(frozen=True)
class Caller:
    """Who a request is from, as far as limits are concerned.

    Args:
        key: the token's name, or the client's address: what limits count by.
        is_operator: whether the request has the right to give commands, and therefore goes first.
    """

    key: str
    is_operator: bool


class Access:
    """Decides on every request.

    Args:
        settings: holds the tokens.
        clock: seconds that only grow.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = settings.tokens
        own_names = {settings.serve_host, socket.gethostname(), *settings.serve_names}
        self._own_names = frozenset(name.lower() for name in own_names)
        self.listens_locally = _is_local_name(settings.serve_host)
        self._strangers = _Sparing(clock)
        self.addresses = ClientAddresses(settings.serve_trusted_proxies)

    @property
    def is_open(self) -> bool:
        """Whether no token is configured."""
        return not self._tokens

    def need(self, right: Right) -> Callable[[Request], Coroutine[Any, Any, Actor]]:
        """Return what a route depends on: it gives the actor, or refuses with 401 or 403.

        Args:
            right: what the route does.
        """

        async def check(request: Request) -> Actor:
            try:
                return self._admit(request, right)
            except Refused as refusal:
                metrics.REFUSED.labels(refusal.reason).inc()
                self._write_down(request, refusal)
                raise

        return check

    def _write_down(self, request: Request, refusal: Refused) -> None:
        """Log a refusal; a flood of strangers fills no disk."""
        held_count = 0
        if self.is_open or refusal.status == HTTPStatus.UNAUTHORIZED:
            if (found := self._strangers.next()) is None:
                return
            held_count = found
        who = self.addresses.of_request(request.scope)
        # The path as it came, still percent-encoded: nothing in it can break a line of the log.
        path = request.scope.get("raw_path", b"").decode("ascii", "replace")[:_SHOWN_PATH_CHARS]
        more = f" (and {held_count:,} more refusals before)" if held_count else ""
        log.warning("refused %s %s from %s: %s%s", request.method, path, who, refusal.message, more)

    def allows(self, request: Request, right: Right) -> bool:
        """Return whether a request may do something, without refusing it: for what is told to some in more detail."""
        try:
            self._admit(request, right)
        except Refused:
            return False
        return True

    def caller(self, scope: Any) -> Caller:
        """Return who a request is from. Nothing is refused here: this says in which lane it waits.

        Args:
            scope: of ASGI.
        """
        request = Request(scope)
        address = self.addresses.of_request(scope)
        if self.is_open:
            is_command = scope["method"] == "POST" and scope["path"] != _EVENTS_PATH
            return Caller(address, is_command and self._doubt(request, Right.OPERATE) is None)
        try:
            token = self._find(_credential(request, Right.READ))
        except Refused:
            return Caller(address, is_operator=False)
        return Caller(f"token {token.name}", Right.OPERATE in RIGHTS[token.role])

    def _admit(self, request: Request, right: Right) -> Actor:
        if self.is_open:
            if (doubt := self._doubt(request, right)) is not None:
                raise Refused(HTTPStatus.FORBIDDEN, "forbidden", doubt.message, doubt.fix)
            return Actor(ANONYMOUS, VIA, authenticated=False)
        token = self._find(_credential(request, right))
        if right not in RIGHTS[token.role]:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "forbidden",
                f"{token.name} is {token.role} and may not {right.name.lower()}",
                f"a token with one of the roles {', '.join(role for role in RIGHTS if right in RIGHTS[role])}",
            )
        return Actor(token.name, VIA, authenticated=True)

    def _doubt(self, request: Request, right: Right) -> _Doubt | None:
        """Why a request without a token is not carried out; None when it is.

        A web page that has moved its own name to this address (DNS rebinding) still sends that name as Host, whatever
        other headers it adds. A reverse proxy on this machine makes every client look local: it shows by the headers
        that it adds, by the Host that it passes on, or by HTTP/1.0, which nginx speaks unless told otherwise.
        """
        if not self._is_own_name(request.headers.get("host", "")):
            return _FOREIGN_HOST
        if right is Right.READ:
            return None
        peer = request.client.host if request.client else ""
        is_old = request.scope.get("http_version") == _OLD_HTTP
        if is_old or is_forwarded(request.headers.keys()) or self.addresses.is_proxy(peer):
            return _PROXIED
        if not is_loopback(peer) or not self.listens_locally:
            return _EXPOSED if is_loopback(peer) else _REMOTE
        return _WEB_PAGE if any(name in request.headers for name in _BROWSERS) else None

    def _is_own_name(self, host: str) -> bool:
        """Whether a Host header is an address or a name that nobody can register: one without a dot, or our own."""
        name = host.lower().rpartition(":")[0] if re.search(r":\d*$", host) else host.lower()
        if "." not in name or name.endswith(".localhost") or name in self._own_names:
            return True
        return parse_address(name.strip("[]")) is not None

    def _find(self, credential: str) -> Token:
        """The token, compared in constant time; all are looked at, so that time tells nothing of which."""
        given = digest_of(credential)
        found = [token for token in self._tokens if hmac.compare_digest(token.sha256, given)]
        if not found:
            raise _unauthorized("unknown token", "ask who runs guardian for a token")
        return found[0]


class _Sparing:
    """Lets through STRANGERS_A_SECOND, and counts the others.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since_s = -math.inf
        self._let_count = 0
        self._held_count = 0

    def next(self) -> int | None:
        """Return how many were held back since the last that was let through, None to hold this one back, too."""
        now_s = self._clock()
        if now_s - self._since_s >= 1.0:
            self._since_s, self._let_count = now_s, 0
        if self._let_count >= STRANGERS_A_SECOND:
            self._held_count += 1
            return None
        self._let_count += 1
        held_count, self._held_count = self._held_count, 0
        return held_count


def _credential(request: Request, right: Right) -> str:
    """The token that the request carries.

    A browser can show pages with Basic (name: anything, password: the token). It sends that along by itself, also when
    a strange page asks it to; so it counts for reading only.
    """
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and 0 < len(value) <= MAX_TOKEN_CHARS:
        return value
    if scheme.lower() == "basic" and right is Right.READ and len(value) <= 2 * MAX_TOKEN_CHARS:
        try:
            _, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            colon = password = ""
        if colon and 0 < len(password) <= MAX_TOKEN_CHARS:
            return password
    raise _unauthorized("no token", "send the header Authorization: Bearer <token>")


def _unauthorized(message: str, fix: str) -> Refused:
    # Basic first: Chromium looks at the first of a header alone, and asks its user for nothing when that is Bearer.
    challenge = 'Basic realm="guardian", charset="UTF-8", Bearer realm="guardian"'
    return Refused(HTTPStatus.UNAUTHORIZED, "unauthorized", message, fix, headers={"WWW-Authenticate": challenge})


def _is_local_name(host: str) -> bool:
    """Whether a name or address to listen on is reached from this machine alone."""
    if parse_address(host) is not None:
        return is_loopback(host)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(is_loopback(str(address[0])) for *_, address in found)
