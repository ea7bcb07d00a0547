"""A real Kafka with TLS and users: everything runs through it, and who is not let in is told why in one sentence."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from openfeature.evaluation_context import EvaluationContext
from typer.testing import CliRunner

from guardian.cli.main import app
from guardian.cli.ports import free_port
from guardian.sdk import GuardianProvider, ProviderOptions
from tests.cli.servers import GUARDIAN, SPEC, soon
from tests.secured import PASSWORD, USER, SecuredKafka, secured_kafka

pytestmark = pytest.mark.kafka

WAITS = ProviderOptions(init_within_s=20)
WRONG = "not-the-password"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """One broker for this file."""
    with secured_kafka(tmp_path_factory.mktemp("certificates")) as found:
        yield found


@contextmanager
def role(name: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run one role in a process of its own until the block ends, and insist that it ends cleanly."""
    with log.open("w") as stderr:
        process = subprocess.Popen([GUARDIAN, "run", "--role", name], stderr=stderr, env={**os.environ, **environment})
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()


def guardian(environment: dict[str, str], *words: str, stdin: str | None = None) -> Result:
    """Run one command in this process."""
    return CliRunner(env=environment).invoke(app, list(words), input=stdin)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_from_event_to_flipped_flag_everything_goes_through_tls_with_a_user(
    broker: SecuredKafka, tmp_path: Path, mechanism: str
) -> None:
    prefix, port = f"secured-{mechanism.lower()}", free_port()
    environment = broker.environment(sasl_mechanism=mechanism, prefix=prefix, serve_port=str(port), log_level="debug")
    if mechanism == "PLAIN":
        (tmp_path / "password").write_text(PASSWORD + "\n")
        del environment["GUARDIAN_SASL_PASSWORD"]
        environment["GUARDIAN_SASL_PASSWORD_FILE"] = str(tmp_path / "password")
    served = {"GUARDIAN_SERVER": f"http://127.0.0.1:{port}"}
    assert guardian(environment, "topics", "create").exit_code == 0
    (tmp_path / "spec.yaml").write_text(SPEC.format(flag="shop"))
    logs = {name: tmp_path / f"{name}.log" for name in ("ingest", "decide", "serve")}
    with ExitStack() as stack:
        for name, log in logs.items():
            stack.enter_context(role(name, environment, log))
        applied = guardian(environment, "apply", str(tmp_path / "spec.yaml"), "--wait", "40s")
        assert applied.exit_code == 0, applied.output
        soon(lambda: ready(port))
        started = guardian(served, "start", "shop", "--wait", "20s")
        assert started.exit_code == 0, started.output
        event = {"flag": "shop", "variant": "on", "outcome": "error", "assignment": "split", "latency_ms": 5.0}
        event["flag_version"] = state(served)["version"]
        lines = "\n".join(json.dumps({**event, "ts": time.time()}) for _ in range(20))
        assert guardian(environment, "send", "-", stdin=lines).exit_code == 0
        soon(lambda: state(served)["phase"] == "rolled_back")
        flipped = state(environment)
        assert (flipped["phase"], flipped["weight_bp"]) == ("rolled_back", 0)
        examined = guardian(environment, "doctor")
        assert not [line for line in examined.stdout.splitlines() if line.startswith("problem")], examined.stdout
    for said in (examined.output, *(log.read_text() for log in logs.values())):
        assert PASSWORD not in said


def test_an_application_enters_by_the_same_variables(broker: SecuredKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = broker.environment(prefix="application")
    assert guardian(environment, "topics", "create").exit_code == 0
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    provider = GuardianProvider(options=WAITS)
    try:
        provider.initialize(EvaluationContext())
        # Nobody decides here, so nothing is fresh; but the topic was read to its end.
        assert provider.counts().failures == 0
        assert provider._follower is not None
        assert provider._follower.caught_up.is_set()
    finally:
        provider.shutdown()


def test_an_application_that_is_not_let_in_goes_on_and_shows_no_password(
    broker: SecuredKafka, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environment = broker.environment(prefix="application", sasl_mechanism="PLAIN", sasl_password=WRONG)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    provider = GuardianProvider(options=ProviderOptions(init_within_s=2))
    with ExitStack() as stack:
        for name in ("guardian.sdk", "aiokafka", "aiokafka.conn"):
            stack.enter_context(caplog.at_level(logging.DEBUG, name))
        try:
            provider.initialize(EvaluationContext())
            assert provider.resolve_boolean_details("shop", default_value=False).value is False
            assert provider.counts().failures > 0
        finally:
            provider.shutdown()
    assert "SaslAuthenticationFailed" in caplog.text
    assert WRONG not in caplog.text


def ready(port: int) -> bool:
    """Whether serve says that it is."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def state(environment: dict[str, str]) -> dict[str, object]:
    """The flag's state as `guardian status --json` has it."""
    result = guardian(environment, "status", "shop", "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)["state"]
    return found


def test_a_certificate_of_our_own_is_enough_where_brokers_want_one(broker: SecuredKafka) -> None:
    files = {name: str(broker.folder / name) for name in ("ca.pem", "client.pem", "client.key")}
    environment = {
        "GUARDIAN_BOOTSTRAP": broker.certs,
        "GUARDIAN_PREFIX": "certs",
        "GUARDIAN_SECURITY_PROTOCOL": "SSL",
        "GUARDIAN_SSL_CAFILE": files["ca.pem"],
    }
    without = guardian(environment, "topics", "create")
    assert without.exit_code == 3, without.output
    assert "wants a certificate" in without.stderr
    own = {"GUARDIAN_SSL_CERTFILE": files["client.pem"], "GUARDIAN_SSL_KEYFILE": files["client.key"]}
    made = guardian({**environment, **own}, "topics", "create")
    assert made.exit_code == 0, made.output


CASES = {
    "wrong password": ({"sasl_password": WRONG}, f"refused the user '{USER}' (SCRAM-SHA-512)", "sasl_password"),
    "wrong password, PLAIN": (
        {"sasl_password": WRONG, "sasl_mechanism": "PLAIN"},
        f"refused the user '{USER}' (PLAIN)",
        "sasl_password",
    ),
    "unknown user": ({"sasl_username": "nobody"}, "refused the user 'nobody'", "sasl_username"),
    "mechanism": ({"sasl_mechanism": "SCRAM-SHA-256"}, "does not take sasl_mechanism SCRAM-SHA-256", "sasl.enabled"),
    "wrong authority": ({"ssl_cafile": "other.pem"}, "is not trusted", "ssl_cafile"),
    "name": ({"bootstrap": "localhost:{users}"}, "is not trusted", "bootstrap"),
    "plaintext at TLS": ({"security_protocol": "PLAINTEXT"}, "security_protocol is PLAINTEXT", "security_protocol"),
    "SASL without TLS at TLS": (
        {"security_protocol": "SASL_PLAINTEXT"},
        "security_protocol is SASL_PLAINTEXT",
        "security_protocol",
    ),
    "TLS without user": ({"security_protocol": "SSL"}, "security_protocol is SSL", "security_protocol"),
    "TLS at plaintext": ({"bootstrap": "{plain}"}, "security_protocol is SASL_SSL", "security_protocol"),
    "SASL at plaintext": (
        {"bootstrap": "{plain}", "security_protocol": "SASL_PLAINTEXT"},
        "security_protocol is SASL_PLAINTEXT",
        "security_protocol",
    ),
}


def refused_environment(broker: SecuredKafka, changed: dict[str, str]) -> dict[str, str]:
    """The settings of a case, without what its protocol has no use for."""
    filled = {
        name: value.format(users=broker.users.rpartition(":")[2], plain=broker.kafka.bootstrap)
        for name, value in changed.items()
    }
    protocol = filled.get("security_protocol", "SASL_SSL")
    if "ssl_cafile" in filled:
        filled["ssl_cafile"] = str(broker.folder / filled["ssl_cafile"])
    if not protocol.endswith("SSL"):
        filled["ssl_cafile"] = ""
    if not protocol.startswith("SASL"):
        filled |= dict.fromkeys(("sasl_mechanism", "sasl_username", "sasl_password"), "")
    return broker.environment(prefix="refused", **filled)


@pytest.mark.parametrize("case", CASES)
def test_who_is_not_let_in_is_told_why_and_what_to_do(broker: SecuredKafka, case: str) -> None:
    changed, words, way_out = CASES[case]
    environment = refused_environment(broker, changed)
    told = guardian(environment, "list")
    assert told.exit_code == 3, told.output
    assert words in told.stderr
    assert way_out in told.stderr.partition("fix:")[2]
    assert "TimeoutError" not in told.stderr, "the refusal was seen, and not waited for until patience was over"
    examined = guardian(environment, "doctor")
    assert examined.exit_code == 1, examined.output
    (problem,) = [part for part in examined.stdout.split("\n") if part.startswith("problem")]
    assert words in problem
    for text in (told.output, examined.output):
        assert "Traceback" not in text
        assert WRONG not in text
        assert PASSWORD not in text


@pytest.mark.parametrize("name", ["ingest", "decide"])
def test_a_role_with_a_wrong_password_ends_and_says_why(broker: SecuredKafka, name: str) -> None:
    environment = broker.environment(prefix="refused", sasl_password=WRONG, log_level="debug")
    done = subprocess.run(
        [GUARDIAN, "run", "--role", name],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert f"refused the user '{USER}' (SCRAM-SHA-512): wrong name or wrong password" in done.stderr
    assert WRONG not in done.stderr
