"""TLS and SASL of an application: from the environment unless it gives arguments, and never less than was asked for."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from guardian.errors import SettingsError
from guardian.kafka.clients import connection
from guardian.kafka.settings import load_settings
from guardian.sdk.connection import Connection
from guardian.sdk.security import security
from tests.secured import make_certificates

SECRET = "hunter2-hunter2"
USER = {
    "GUARDIAN_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "GUARDIAN_SASL_MECHANISM": "SCRAM-SHA-256",
    "GUARDIAN_SASL_USERNAME": "shop",
}


def test_the_same_variables_give_the_same_arguments_as_to_guardians_own_processes(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    (tmp_path / "password").write_text(SECRET + "\n")
    environ = {
        **USER,
        "GUARDIAN_SECURITY_PROTOCOL": "SASL_SSL",
        "GUARDIAN_SASL_PASSWORD_FILE": str(tmp_path / "password"),
        "GUARDIAN_SSL_CAFILE": str(tmp_path / "ca.pem"),
        "GUARDIAN_SSL_CERTFILE": str(tmp_path / "client.pem"),
        "GUARDIAN_SSL_KEYFILE": str(tmp_path / "client.key"),
    }
    ours, theirs = security(environ), connection(load_settings(environ=environ))
    context = ours.pop("ssl_context")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.get_ca_certs() == theirs["ssl_context"].get_ca_certs()
    assert ours == {name: theirs[name] for name in ours}
    assert ours["sasl_plain_password"] == SECRET


def test_arguments_of_its_own_leave_the_environment_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDIAN_SECURITY_PROTOCOL", "nonsense")
    assert "security_protocol" not in Connection.find("here:1", None, {}).arguments()
    with pytest.raises(SettingsError, match="nonsense"):
        Connection.find("here:1", None).arguments()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "GUARDIAN_SASL_PASSWORD is not set"),
        ({"GUARDIAN_SECURITY_PROTOCOL": "TLS"}, "set it to one of PLAINTEXT"),
        ({"GUARDIAN_SASL_PASSWORD_FILE": "nowhere"}, "FileNotFoundError"),
        ({"GUARDIAN_SECURITY_PROTOCOL": "SSL", "GUARDIAN_SSL_CAFILE": "nowhere"}, "FileNotFoundError"),
    ],
)
def test_what_is_missing_is_an_error_and_never_a_connection_in_the_clear(changed: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        security({**USER, **changed})
    assert words in f"{raised.value.message} {raised.value.fix}"


def test_nothing_said_is_plaintext() -> None:
    assert security({}) == {}
    assert security({**USER, "GUARDIAN_SECURITY_PROTOCOL": "PLAINTEXT"}) == {}
