"""Who may do what: tokens with roles, and what is allowed while there are none."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from guardian.core.inputs import Actor
from guardian.errors import SettingsError
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Role, Settings, load_settings
from guardian.serve.access import RIGHTS, STRANGERS_A_SECOND, Access, Caller, Right
from guardian.serve.faults import Refused
from tests.brokers import settings_for
from tests.serve.running import Running, guardian, token_entry

OPEN = {"/livez", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"}
"""What needs no token: it tells of the process, never of a rollout."""
SECRETS = {role: f"secret-of-the-{role}" for role in Role}
TOKENS = [token_entry(f"anna-{role}", role, secret) for role, secret in SECRETS.items()]


@pytest.fixture(scope="module")
def closed(embedded: EmbeddedBroker) -> Iterator[Running]:
    """Serve alone, with a token of each role."""
    with guardian(settings_for(embedded, "tokens", tokens=TOKENS), roles=False) as running:
        with running.client(SECRETS[Role.ADMIN]) as client:
            running.until(lambda: client.post("/v1/rollouts/a/pause", json={"wait_ms": 0}).status_code == 202)
            running.until(lambda: client.get("/v1/rollouts").status_code == 200)
        yield running


READ = ("GET", "/v1/rollouts", {})
SEND = ("POST", "/v1/events", {"json": []})
OPERATE = ("POST", "/v1/rollouts/a/pause", {"json": {"wait_ms": 0}})


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("right", "request_"), [(Right.READ, READ), (Right.SEND, SEND), (Right.OPERATE, OPERATE)])
def test_each_role_may_do_what_its_row_says_and_nothing_else(
    closed: Running, role: Role, right: Right, request_: tuple[str, str, dict[str, Any]]
) -> None:
    method, path, body = request_
    with closed.client(SECRETS[role]) as client:
        answer = client.request(method, path, **body)
    if right in RIGHTS[role]:
        assert answer.status_code in (200, 202)
    else:
        assert (answer.status_code, answer.json()["reason"]) == (403, "forbidden")
        assert f"anna-{role} is {role}" in answer.json()["message"]


def every_route(running: Running) -> list[tuple[str, str]]:
    """Method and path of every route that serve has: those of its own document, and those that it leaves out."""
    with running.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    told = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    return [*told, ("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json")]


def right_of(method: str, path: str) -> Right:
    """What a route does, by its name alone."""
    if method in ("GET", "HEAD"):
        return Right.READ
    return Right.SEND if path == "/v1/events" else Right.OPERATE


def test_no_route_is_left_open_by_mistake(closed: Running) -> None:
    routes = every_route(closed)
    assert {("GET", "/v1/stream/flags"), ("POST", "/v1/kill"), ("POST", "/v1/events")} <= set(routes)
    assert {path for _, path in routes} >= OPEN
    for method, path in routes:
        place = path.replace("{flag}", "a")
        with closed.client() as client:
            answer = client.request(method, place)
        assert (answer.status_code != 401) is (path in OPEN), (method, path)
        for role, secret in SECRETS.items():
            if path not in OPEN and right_of(method, path) not in RIGHTS[role]:
                with closed.client(secret) as client:
                    assert client.request(method, place).status_code == 403, (method, path, role)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer wrong",
        "Bearer " + "x" * 10_000,
        "Basic !!!",
        "Basic " + "QUFB",
        "Digest x",
        "secret-of-the-admin",
    ],
)
def test_without_a_known_token_nothing_is_read_or_written(closed: Running, header: str) -> None:
    with closed.client() as client:
        for method, path, body in (READ, SEND, OPERATE, ("GET", "/", {}), ("GET", "/v1/stream/flags", {})):
            answer = client.request(method, path, headers={"Authorization": header}, **body)
            assert (answer.status_code, answer.json()["reason"]) == (401, "unauthorized")
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith("Basic "), "Chromium looks no further than the first"
            assert "Bearer " in challenge


def test_the_token_is_looked_at_before_the_body(closed: Running) -> None:
    with closed.client() as client:
        large = b" " * (closed.settings.serve_body_bytes + 1)
        assert client.post("/v1/events", content=large).status_code == 401


def test_health_and_figures_need_no_token(closed: Running) -> None:
    with closed.client() as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/metrics").status_code == 200
        assert client.get("/readyz").status_code == 503


def test_why_it_is_not_ready_is_told_to_who_may_read(closed: Running) -> None:
    for token, told in ((SECRETS[Role.VIEWER], True), (SECRETS[Role.SENDER], False), ("", False)):
        with closed.client(token) as client:
            answer = client.get("/readyz")
        assert answer.status_code == 503
        assert ("decide has given no sign of life" in answer.text) is told, answer.text
        assert answer.json()["reasons"]


def test_a_browser_reads_with_basic_and_writes_never_with_it(closed: Running) -> None:
    secret = base64.b64encode(b"anybody:" + SECRETS[Role.ADMIN].encode()).decode()
    with closed.client() as client:
        client.headers["Authorization"] = f"Basic {secret}"
        assert client.get("/").status_code == 200
        assert client.post("/v1/kill", json={"wait_ms": 0}).status_code == 401


def test_the_command_carries_the_name_of_the_token_as_proved() -> None:
    secret = SECRETS[Role.OPERATOR]
    access = Access(settings(tokens=[token_entry("anna", "operator", secret)]))
    assert admit(access, Right.OPERATE, authorization=f"Bearer {secret}") == Actor("anna", "http", authenticated=True)


def test_a_refusal_is_logged_without_the_token_and_without_line_breaks(
    closed: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), closed.client("a-token-that-nobody-has") as client:

        def refusals() -> list[str]:
            client.get("/v1/flags/a%0Ainjected")
            client.get("/v1/rollouts?x=%0Ainjected")
            return [record.getMessage() for record in caplog.records if record.name == "guardian.serve.access"]

        # Of strangers only some are written down each second, and other tests have been strange before.
        found = closed.until(refusals)
    assert not [text for text in found if "a-token-that-nobody-has" in text or "\n" in text]


def test_a_flood_of_strangers_fills_no_log_and_hides_nobody_with_a_token(caplog: pytest.LogCaptureFixture) -> None:
    clock = iter([0.0] * 1_000 + [1.5] * 10)
    found = settings(tokens=[token_entry("vic", "viewer", "secret")])
    access = Access(found, lambda: next(clock))

    def refused(**headers: str) -> None:
        with pytest.raises(Refused):
            admit(access, Right.OPERATE, **headers)

    with caplog.at_level(logging.WARNING, "guardian.serve.access"):
        for _ in range(1_000):
            refused()
        refused(authorization="Bearer secret")
        refused()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == STRANGERS_A_SECOND + 2
    assert lines[-2].endswith("vic is viewer and may not operate")
    assert lines[-1].endswith("no token (and 990 more refusals before)")


# Without tokens


def settings(**options: Any) -> Settings:
    return load_settings(environ={}, **options)


def admit(access: Access, right: Right, client: str = "127.0.0.1", /, *, version: str = "1.1", **headers: str) -> Actor:
    """Ask whether a request of this kind would be let in."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/kill",
        "raw_path": b"/v1/kill",
        "http_version": version,
        "client": (client, 50_000),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    return asyncio.run(access.need(right)(Request(scope)))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_without_tokens_a_program_on_this_machine_may_write(host: str) -> None:
    assert admit(Access(settings()), Right.OPERATE, host).authenticated is False


@pytest.mark.parametrize("host", ["10.0.0.9", "192.168.1.4", "::ffff:10.0.0.9", "2001:db8::1", "testclient", ""])
def test_without_tokens_other_machines_may_read_and_not_write(host: str) -> None:
    access = Access(settings())
    assert admit(access, Right.READ, host).name == "anonymous"
    for right in (Right.SEND, Right.OPERATE):
        with pytest.raises(Refused, match="from another machine") as refusal:
            admit(access, right, host)
        assert refusal.value.status == 403


@pytest.mark.parametrize(
    ("header", "value", "word"),
    [
        ("x_forwarded_for", "127.0.0.1", "through a proxy"),
        ("forwarded", "for=127.0.0.1", "through a proxy"),
        ("x_real_ip", "127.0.0.1", "through a proxy"),
        ("origin", "http://127.0.0.1:8620", "from a web page"),
        ("origin", "null", "from a web page"),
        ("sec_fetch_site", "cross-site", "from a web page"),
        ("sec_fetch_site", "none", "from a web page"),
        ("via", "1.1 somebody", "through a proxy"),
        ("host", "rebound.example:8620", "the Host header names another machine"),
    ],
)
def test_without_tokens_neither_a_proxy_nor_a_web_page_may_write(header: str, value: str, word: str) -> None:
    with pytest.raises(Refused, match=word):
        admit(Access(settings()), Right.OPERATE, **{header: value})


def test_without_tokens_what_speaks_the_http_of_old_proxies_may_not_write() -> None:
    """Nginx speaks 1.0 to what stands behind it, and tells nobody that it is a proxy, unless told otherwise."""
    with pytest.raises(Refused, match="through a proxy"):
        admit(Access(settings()), Right.OPERATE, version="1.0")


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize("name", ["rebound.example", "rebound.example:8620", "localhost.example", "127.0.0.1.example"])
def test_a_page_that_has_moved_its_name_onto_this_machine_reads_nothing_here(right: Right, name: str) -> None:
    """A browser takes a page's own name for its own place, wherever the name points to by now."""
    with pytest.raises(Refused, match="the Host header names another machine") as refusal:
        admit(Access(settings()), right, host=name)
    assert refusal.value.status == 403


@pytest.mark.parametrize(
    "name", ["localhost", "localhost:8620", "LOCALHOST", "127.0.0.1:8620", "[::1]:8620", "guardian", "a.localhost", ""]
)
def test_the_names_of_this_machine_are_let_in(name: str) -> None:
    admit(Access(settings()), Right.OPERATE, host=name)


def test_a_name_that_serve_was_told_is_its_own() -> None:
    admit(Access(settings(serve_host="guardian.shop.example")), Right.READ, host="guardian.shop.example:8620")
    admit(Access(settings(serve_names="a.example, Guardian.Shop.example")), Right.READ, host="guardian.shop.example")


PROXY_HEADERS = [
    "forwarded",
    "via",
    "x-real-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "cf-connecting-ip",
    "cf-ray",
    "cf-visitor",
    "cdn-loop",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-anything",
    "x-original-host",
    "x-envoy-internal",
    "x-amzn-trace-id",
    "fastly-client-ip",
    "x-azure-clientip",
    "x-arr-ssl",
    "x-appengine-country",
]


@pytest.mark.parametrize("right", [Right.SEND, Right.OPERATE])
@pytest.mark.parametrize("header", PROXY_HEADERS)
def test_B9_without_tokens_every_sign_of_a_proxy_closes_writing(right: Right, header: str) -> None:
    with pytest.raises(Refused, match="takes no writes through a proxy") as refusal:
        admit(Access(settings()), right, **{header: "1"})
    assert "guardian token new" in refusal.value.fix
    admit(Access(settings()), Right.READ, **{header: "1"})


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize("header", ["", *PROXY_HEADERS])
@pytest.mark.parametrize("client", ["127.0.0.1", "10.0.0.9"])
def test_B9_no_header_switches_the_look_at_the_host_off(right: Right, header: str, client: str) -> None:
    headers = {header: "1"} if header else {}
    with pytest.raises(Refused, match="the Host header names another machine") as refusal:
        admit(Access(settings()), right, client, host="rebound.example", **headers)
    assert "serve_names" in refusal.value.fix


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "192.168.1.4"])
def test_B9_without_tokens_a_listener_beyond_this_machine_takes_no_writes(host: str) -> None:
    access = Access(settings(serve_host=host))
    for right in (Right.SEND, Right.OPERATE):
        with pytest.raises(Refused, match="listens on more than this machine") as refusal:
            admit(access, right)
        assert "serve_host" in refusal.value.fix
    admit(access, Right.READ)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
def test_B9_a_listener_of_this_machine_takes_the_writes_of_its_programs(host: str) -> None:
    admit(Access(settings(serve_host=host)), Right.OPERATE)


def test_B9_a_trusted_proxy_writes_only_with_a_token() -> None:
    """Also one that adds no header at all."""
    with pytest.raises(Refused, match="through a proxy"):
        admit(Access(settings(serve_trusted_proxies=["127.0.0.1"])), Right.OPERATE)
    found = settings(serve_trusted_proxies="127.0.0.0/8", tokens=[token_entry("anna", "operator", "secret")])
    assert admit(Access(found), Right.OPERATE, authorization="Bearer secret").authenticated


def test_with_tokens_the_name_does_not_matter() -> None:
    access = Access(settings(tokens=[token_entry("anna", "viewer", "secret")]))
    admit(access, Right.READ, host="rebound.example", authorization="Bearer secret")


def test_a_web_page_of_this_machine_is_refused_by_the_running_server(http: httpx.Client) -> None:
    answer = http.post("/v1/kill", headers={"Origin": "https://elsewhere.example"})
    assert (answer.status_code, answer.json()["reason"]) == (403, "forbidden")


# Who is in which lane


def scope(client: str, method: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "http_version": "1.1",
        "client": (client, 50_000),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


@pytest.mark.parametrize(
    ("role", "is_operator"),
    [(Role.VIEWER, False), (Role.SENDER, False), (Role.OPERATOR, True), (Role.ADMIN, True)],
)
def test_a_token_names_its_caller_and_operators_go_first(role: Role, is_operator: bool) -> None:
    access = Access(settings(tokens=TOKENS))
    headers = {"authorization": f"Bearer {SECRETS[role]}"}
    assert access.caller(scope("10.0.0.9", "GET", "/", headers)) == Caller(f"token anna-{role}", is_operator)
    assert access.caller(scope("10.0.0.9", "POST", "/v1/kill", {})) == Caller("10.0.0.9", is_operator=False)


@pytest.mark.parametrize(
    ("client", "method", "path", "headers", "is_operator"),
    [
        ("127.0.0.1", "POST", "/v1/kill", {}, True),
        ("127.0.0.1", "POST", "/v1/rollouts/a/rollback", {}, True),
        ("127.0.0.1", "POST", "/v1/events", {}, False),
        ("127.0.0.1", "GET", "/v1/rollouts", {}, False),
        ("127.0.0.1", "POST", "/v1/kill", {"x-forwarded-proto": "https"}, False),
        ("127.0.0.1", "POST", "/v1/kill", {"origin": "https://elsewhere.example"}, False),
        ("10.0.0.9", "POST", "/v1/kill", {}, False),
    ],
)
def test_without_tokens_a_command_that_may_be_given_goes_first(
    client: str, method: str, path: str, headers: dict[str, str], is_operator: bool
) -> None:
    found = Access(settings()).caller(scope(client, method, path, headers))
    assert found == Caller(client, is_operator)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.7", "203.0.113.7"),  # what is left is the client's own word
        ("10.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7:51234", "203.0.113.7"),
        ("10.0.0.1", "[2001:db8:1:2:3::4]:51234", "2001:db8:1:2::/64"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.9.0.1", "203.0.113.7", "10.9.0.1"),  # not a trusted one
        ("2001:db8:1:2::9", "", "2001:db8:1:2::/64"),
        ("::ffff:10.9.0.1", "", "10.9.0.1"),
        ("", "", "unknown"),
    ],
)
def test_B9_only_trusted_proxies_say_for_which_client_they_speak(peer: str, forwarded: str, client: str) -> None:
    access = Access(settings(serve_trusted_proxies=["10.0.0.0/24"]))
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    assert access.addresses.of_request(scope(peer, "GET", "/", headers)) == client


# Settings


@pytest.mark.parametrize("proxy", ["proxy.example", "10.0.0.0/99", "*", "10.0.0"])
def test_a_trusted_proxy_is_an_address(proxy: str) -> None:
    with pytest.raises(SettingsError, match="serve_trusted_proxies"):
        settings(serve_trusted_proxies=[proxy])


@pytest.mark.parametrize(
    ("tokens", "word"),
    [
        ([{"name": "a", "sha256": "plain text", "role": "admin"}], "sha256"),
        ([token_entry("a", "king", "x")], "role"),
        ([token_entry("a", "admin", "x"), token_entry("a", "admin", "y")], "same name"),
        ([token_entry("a", "admin", "x"), token_entry("b", "admin", "x")], "same sha256"),
        ([{**token_entry("a", "admin", "x"), "token": "x"}], "token"),
        ("not json", "JSON"),
    ],
)
def test_wrong_tokens_are_named_and_what_stands_there_is_not_shown(tokens: Any, word: str) -> None:
    with pytest.raises(SettingsError, match=word) as error:
        settings(tokens=tokens)
    assert "plain text" not in str(error.value)


def test_tokens_come_from_the_environment_as_json_and_are_never_part_of_a_text() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    found = load_settings(environ={"GUARDIAN_TOKENS": f'[{{"name": "ci", "sha256": "{digest}", "role": "sender"}}]'})
    assert found.tokens[0].role is Role.SENDER
    assert digest not in repr(found) + str(found) + repr(found.tokens)
