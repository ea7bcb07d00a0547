"""Kafka rights (case B11): what `guardian topics acls` prints is what every role needs, and a refusal is called one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from openfeature.evaluation_context import EvaluationContext

from guardian.cli.ports import free_port
from guardian.kafka.rights import User
from guardian.sdk import GuardianProvider, ProviderOptions, Telemetry
from tests.authorized import AuthorizedKafka, authorized_kafka
from tests.cli.servers import GUARDIAN, SPEC, soon
from tests.cli.test_secured import guardian, ready, role
from tests.sdk.scenes import installed

pytestmark = pytest.mark.kafka

ROLES = ("ingest", "decide", "serve")
STRANGER = "stranger"
ANYBODY = EvaluationContext("u")


@pytest.fixture(scope="module")
def broker() -> Iterator[AuthorizedKafka]:
    """One broker for this file; nothing is granted yet."""
    with authorized_kafka([*User, STRANGER]) as found:
        yield found


def granted(broker: AuthorizedKafka, prefix: str, *users: User) -> None:
    """Grant what the command prints, to users named after the roles."""
    plain = {"GUARDIAN_BOOTSTRAP": broker.kafka.bootstrap, "GUARDIAN_PREFIX": prefix}
    commands = []
    for user in users:
        printed = guardian(plain, "topics", "acls", "--role", user, "--principal", f"User:{user}")
        assert printed.exit_code == 0, printed.output
        commands += [line for line in printed.stdout.splitlines() if not line.startswith("#")]
    broker.grant(commands)


def test_B11_with_exactly_the_printed_rights_every_role_the_sdk_and_a_kill_work(
    broker: AuthorizedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix, port = "granted", free_port()
    granted(broker, prefix, *User)
    as_user = {user: broker.environment(user, prefix, serve_port=str(port)) for user in User}
    made = guardian(as_user[User.ADMIN], "topics", "create")
    assert made.exit_code == 0, made.output
    (tmp_path / "spec.yaml").write_text(SPEC.format(flag="shop"))
    for name, value in broker.environment(User.SDK, prefix).items():
        monkeypatch.setenv(name, value)
    logs = {name: tmp_path / f"{name}.log" for name in ROLES}
    with ExitStack() as stack:
        for name in ROLES:
            stack.enter_context(role(name, as_user[User(name)], logs[name]))
        soon(lambda: ready(port))
        operator = as_user[User.OPERATOR]
        applied = guardian(operator, "apply", str(tmp_path / "spec.yaml"), "--wait", "40s")
        assert applied.exit_code == 0, applied.output
        started = guardian(operator, "start", "shop", "--wait", "20s")
        assert started.exit_code == 0, started.output
        provider = GuardianProvider(options=ProviderOptions(init_within_s=20))
        client = stack.enter_context(installed(provider))
        telemetry = Telemetry("checkout", provider)
        soon(lambda: client.get_boolean_details("shop", False, ANYBODY).variant)
        with telemetry.measure(client.get_boolean_details("shop", False, ANYBODY), subject="u"):
            pass
        assert telemetry.flush(30)
        assert telemetry.dropped == 0
        sent = "\n".join(json.dumps({"flag": "shop", "variant": "on", "outcome": "ok", "ts": 1.0}) for _ in range(3))
        assert guardian(operator, "send", "-", stdin=sent).exit_code == 0
        served = {"GUARDIAN_SERVER": f"http://127.0.0.1:{port}"}
        assert guardian(served, "pause", "shop", "--wait", "20s").exit_code == 0, "serve may write commands"
        killed = guardian(operator, "kill", "shop", "--wait", "20s")
        assert killed.exit_code == 0, killed.output
        soon(lambda: client.get_boolean_value("shop", True, ANYBODY) is False)
        examined = guardian(operator, "doctor")
        assert not [line for line in examined.stdout.splitlines() if line.startswith("problem")], examined.stdout
    for log in logs.values():
        assert "AuthorizationFailed" not in log.read_text()


@pytest.mark.parametrize("name", ["ingest", "decide"])
def test_B11_a_role_without_rights_ends_and_names_the_right_and_the_command(broker: AuthorizedKafka, name: str) -> None:
    environment = broker.environment(STRANGER, "granted")
    done = subprocess.run(
        [GUARDIAN, "run", "--role", name],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert f"refused User:{STRANGER}" in done.stderr
    assert "TopicAuthorizationFailed on granted.alerts" in done.stderr
    assert f"guardian topics acls --role {name} --principal User:{STRANGER}" in done.stderr
    assert "topics create" not in done.stderr


def test_B11_commands_without_rights_say_refused_and_never_topics_create(broker: AuthorizedKafka) -> None:
    environment = broker.environment(STRANGER, "granted")
    for words in (["list"], ["topics", "check"], ["tail", "alerts"], ["kill", "shop", "--wait", "5s"]):
        told = guardian(environment, *words)
        assert told.exit_code == 3, told.output
        assert f"refused User:{STRANGER}" in told.stderr, (words, told.stderr)
        assert "guardian topics acls" in told.stderr
        assert "topics create" not in told.stderr
