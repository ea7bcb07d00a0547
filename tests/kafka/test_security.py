"""TLS and SASL in the settings: a contradiction is told with the way out, and a password is shown nowhere."""

from __future__ import annotations

import logging
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from aiokafka.protocol.admin import SaslAuthenticateRequest
from faust.auth import SASLCredentials, SSLCredentials
from typer.testing import CliRunner

from guardian.cli.main import app
from guardian.decide.faust_credentials import credentials
from guardian.errors import SettingsError
from guardian.kafka.clients import connection
from guardian.kafka.security import places, security
from guardian.kafka.settings import Settings, load_settings
from tests.cli.servers import dev
from tests.secured import make_certificates

SECRET = "hunter2-hunter2"
SASL = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "roles"}
WHOLE = {**SASL, "sasl_password": SECRET}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, client.pem and client.key."""
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def load(**given: str) -> Settings:
    """Read the settings from the environment."""
    return load_settings(environ={f"GUARDIAN_{name.upper()}": value for name, value in given.items()})


def test_without_a_word_about_it_nothing_is_given_to_the_clients() -> None:
    assert security(load()) == {}
    assert set(connection(load())) == {"bootstrap_servers", "client_id", "request_timeout_ms"}
    assert credentials(load()) is None


def test_a_user_reaches_aiokafka_and_faust_alike() -> None:
    settings = load(**WHOLE)
    assert (
        connection(settings).items()
        >= {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": "roles",
            "sasl_plain_password": SECRET,
        }.items()
    )
    faust = credentials(settings)
    assert isinstance(faust, SASLCredentials)
    assert (faust.username, faust.password, faust.mechanism.value) == ("roles", SECRET, "PLAIN")
    assert faust.protocol.value == "SASL_PLAINTEXT"


def test_tls_checks_certificates_and_names(certificates: Path) -> None:
    settings = load(security_protocol="SSL", ssl_cafile=str(certificates / "ca.pem"))
    context = connection(settings)["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert isinstance(credentials(settings), SSLCredentials)


@pytest.mark.parametrize(
    ("given", "words", "way_out"),
    [
        ({"sasl_username": "roles"}, "sasl_username: of no use while security_protocol is PLAINTEXT", "SASL_SSL"),
        ({"ssl_cafile": "ca.pem"}, "ssl_cafile: of no use while security_protocol is PLAINTEXT", "to SSL or SASL_SSL"),
        ({"security_protocol": "SSL", "sasl_password": SECRET}, "sasl_password: of no use", "leave out sasl_password"),
        ({"security_protocol": "SASL_SSL"}, "sasl_mechanism is not set", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"}, "sasl_username is not set", "sasl_username"),
        (SASL, "sasl_password and sasl_password_file are both not set", "set one"),
        ({**WHOLE, "sasl_password_file": "p"}, "sasl_password and sasl_password_file are both set", "set one"),
        ({**SASL, "sasl_password_file": "nowhere"}, "there is no file nowhere", "sasl_password_file"),
        ({"security_protocol": "SSL", "ssl_cafile": "nowhere"}, "there is no file nowhere", "ssl_cafile"),
        (
            {"security_protocol": "SSL", "ssl_keyfile": "k"},
            "ssl_keyfile is set, but ssl_certfile is not",
            "certificate",
        ),
        ({"security_protocol": "TLS"}, "security_protocol: Input should be 'PLAINTEXT', 'SSL'", "guardian.toml"),
        ({**WHOLE, "sasl_mechanism": "GSSAPI"}, "sasl_mechanism: Input should be 'PLAIN', 'SCRAM", "guardian.toml"),
        ({**WHOLE, "embedded": "true"}, "the embedded broker has neither TLS nor SASL", "leave out embedded"),
    ],
)
def test_a_contradiction_is_an_error_with_the_way_out(given: dict[str, str], words: str, way_out: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(**given)
    assert words in raised.value.message
    assert way_out in raised.value.fix
    assert SECRET not in f"{raised.value} {raised.value.fix} {raised.value.__cause__}"


def test_files_that_hold_something_else_are_named(certificates: Path, tmp_path: Path) -> None:
    text, empty = tmp_path / "text", tmp_path / "empty"
    text.write_text("no certificate")
    empty.write_text("\n")
    tls = {"security_protocol": "SSL", "ssl_certfile": str(certificates / "client.pem")}
    for given, name in (
        ({"security_protocol": "SSL", "ssl_cafile": str(text)}, f"ssl_cafile {text} cannot be used"),
        ({**tls, "ssl_keyfile": str(certificates / "other.key")}, "ssl_certfile"),
        ({**SASL, "sasl_password_file": str(empty)}, f"sasl_password_file {empty} is empty"),
    ):
        with pytest.raises(SettingsError) as raised:
            security(load(**given))
        assert name in raised.value.message
        assert raised.value.fix


def test_the_later_place_beats_the_earlier_also_when_it_names_the_password_otherwise(tmp_path: Path) -> None:
    password, file = tmp_path / "password", tmp_path / "guardian.toml"
    password.write_text(SECRET + "\n")
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in {**WHOLE, "sasl_password": "old"}.items()))
    settings = load_settings(file, environ={"GUARDIAN_SASL_PASSWORD_FILE": str(password)})
    assert security(settings)["sasl_plain_password"] == SECRET
    assert security(load_settings(file, environ={}))["sasl_plain_password"] == "old"


def test_the_password_is_shown_by_nothing_that_shows_settings(caplog: pytest.LogCaptureFixture) -> None:
    settings = load(**WHOLE)
    shown = [repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()]
    shown.append(repr(credentials(settings)))
    assert not [text for text in shown if SECRET in text]
    security(settings)
    with caplog.at_level(logging.DEBUG, "aiokafka.conn"):
        request = SaslAuthenticateRequest(SECRET.encode()).prepare({36: (0, 1)})
        logging.getLogger("aiokafka.conn").debug("Request to %s:%d %d: %s", "here", 1, 2, request)
        logging.getLogger("aiokafka.conn").debug("Request to %s:%d", "there", 1)
    assert caplog.messages == ["Request to there:1"]


def test_a_wrong_setting_shows_no_password_even_with_debug() -> None:
    given = {f"GUARDIAN_{name.upper()}": value for name, value in WHOLE.items()}
    result = CliRunner(env={**given, "GUARDIAN_PARTITIONS": "many"}).invoke(app, ["--debug", "list"])
    assert "partitions" in result.output
    assert SECRET not in result.output


def test_the_broker_of_guardian_dev_has_neither_and_what_it_prints_says_nothing_of_them(tmp_path: Path) -> None:
    given = {f"GUARDIAN_{name.upper()}": value for name, value in WHOLE.items()}
    with dev("embedded", tmp_path / "errors", GUARDIAN_STATE_DIR=str(tmp_path), **given) as server:
        assert set(server.environment) == {"GUARDIAN_BOOTSTRAP", "GUARDIAN_PREFIX", "GUARDIAN_EMBEDDED"}


def test_a_key_with_a_password_is_read_with_it_and_nobody_is_asked_for_it(certificates: Path, tmp_path: Path) -> None:
    openssl, locked = shutil.which("openssl"), tmp_path / "locked.key"
    assert openssl is not None
    plain = str(certificates / "client.key")
    words = ["-aes256", "-passout", f"pass:{SECRET}", "-in", plain, "-out", str(locked)]
    subprocess.run([openssl, "ec", *words], check=True, capture_output=True)
    tls = {"security_protocol": "SSL", "ssl_certfile": str(certificates / "client.pem"), "ssl_keyfile": str(locked)}
    assert security(load(**tls, ssl_keyfile_password=SECRET))["ssl_context"]
    with pytest.raises(SettingsError, match="ssl_certfile") as raised:
        security(load(**tls))
    assert "ssl_keyfile_password" in raised.value.fix


def test_addresses_are_taken_apart() -> None:
    settings = load(bootstrap="one:1, [::1]:2,three")
    assert places(settings) == [("one", 1), ("::1", 2), ("three", 9092)]
