"""Who may do what: tokens with roles; without any token, only programs on this machine may write."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import logging
import math
import re
import socket
import time
from collections.abc import Callable, Coroutine
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request

from guardian.core.inputs import Actor
from guardian.kafka.settings import Role, Settings, Token, digest_of
from guardian.serve import metrics
from guardian.serve.faults import Refused

log = logging.getLogger(__name__)

VIA: Final = "http"
ANONYMOUS: Final = "anonymous"
MAX_TOKEN_CHARS: Final = 512
_FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-real-ip")
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


class Access:
    """Decides on every request.

    Args:
        settings: holds the tokens.
        clock: seconds that only grow.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = settings.tokens
        self._own_names = frozenset({settings.serve_host.lower(), socket.gethostname().lower()})
        self._strangers = _Sparing(clock)

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
        who = request.client.host if request.client else "unknown"
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

    def _admit(self, request: Request, right: Right) -> Actor:
        if self.is_open:
            if stranger := self._stranger(request, right):
                raise Refused(
                    HTTPStatus.FORBIDDEN,
                    "forbidden",
                    f"no tokens are configured, so nobody {'reads' if right is Right.READ else 'writes'} {stranger}",
                    "guardian token new, and [[tokens]] in guardian.toml: name, sha256, role",
                )
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

    def _stranger(self, request: Request, right: Right) -> str:
        """From where a request comes that has no right to come from there; empty when all is well.

        A proxy on this machine makes everybody look local: its headers give it away, or the HTTP of old that nginx
        speaks. A browser on this machine may be driven by a strange page: it says so itself when that page writes, and
        when the page has moved its own name onto this machine, by the name that it asks for.
        """
        is_local = request.client is not None and _is_loopback(request.client.host)
        is_forwarded = any(name in request.headers for name in _FORWARDED)
        if is_local and not is_forwarded and not self._is_own_name(request.headers.get("host", "")):
            return "under the name of another machine"
        if right is Right.READ:
            return ""
        if not is_local:
            return "from another machine"
        if is_forwarded or request.scope.get("http_version") == _OLD_HTTP:
            return "through a proxy"
        return "from a web page" if any(name in request.headers for name in _BROWSERS) else ""

    def _is_own_name(self, host: str) -> bool:
        """Whether a Host header is an address or a name that nobody can register: one without a dot, or our own."""
        name = host.lower().rpartition(":")[0] if re.search(r":\d*$", host) else host.lower()
        if "." not in name or name.endswith(".localhost") or name in self._own_names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

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


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
