"""TLS and SASL: what aiokafka is given for them, and in one sentence why a broker does not let us in."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any, Final

from aiokafka import errors as kafka_errors
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.protocol.api import RequestStruct
from aiokafka.protocol.metadata import MetadataRequest

from guardian.errors import SettingsError, TransportError
from guardian.kafka.settings import Settings

LOOK_WITHIN_S: Final = 3.0
"""How long each address is asked why, after a client could not be started."""
_SASL_AUTHENTICATE: Final = 36
"""The number of that request in Kafka's protocol."""
_CLIENT_CERTIFICATE: Final = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "CERTIFICATE_UNKNOWN")
"""The alerts of a broker that is not content with our certificate, or with none."""


def security(settings: Settings) -> dict[str, Any]:
    """Return aiokafka's arguments for TLS and SASL; none for PLAINTEXT.

    Args:
        settings: checked whole; the files that they name are read now.

    Raises:
        SettingsError: a file cannot be read, or holds something else.
    """
    if settings.security_protocol == "PLAINTEXT":
        return {}
    given: dict[str, Any] = {"security_protocol": str(settings.security_protocol)}
    if settings.security_protocol.has_tls:
        given["ssl_context"] = _context(settings)
    if settings.security_protocol.has_users:
        # At debug aiokafka logs every request as it is, and with PLAIN this one is the password.
        logging.getLogger("aiokafka.conn").addFilter(_shows_no_password)
        given["sasl_mechanism"] = str(settings.sasl_mechanism)
        given["sasl_plain_username"] = settings.sasl_username
        given["sasl_plain_password"] = _password(settings)
    return given


async def connect(settings: Settings, host: str, port: int, within_s: float) -> AIOKafkaConnection:
    """Return a connection to one broker with which nothing was asked yet but who it is, and who we are.

    Args:
        settings: how to connect.
        host: its name.
        port: its port.
        within_s: how long TLS, SASL and every later answer may take.

    Raises:
        KafkaError: the broker refused.
        OSError: nobody is there, or TLS failed.
        TimeoutError: no answer in time.
    """
    async with asyncio.timeout(within_s):
        return await create_conn(host, port, request_timeout_ms=int(within_s * 1_000), **security(settings))


def places(settings: Settings) -> list[tuple[str, int]]:
    """Return host and port of every address in the settings."""
    return [_split(address) for address in settings.bootstrap.split(",")]


async def refusal(settings: Settings) -> TransportError | None:
    """Ask every address why it does not let us in, because aiokafka says of all reasons that it could not connect.

    Args:
        settings: how to connect.

    Returns:
        what is wrong and what to do, of the first address that refused us; None when none did.
    """
    for host, port in places(settings):
        try:
            connection = await connect(settings, host, port, LOOK_WITHIN_S)
            try:
                # Before a user is known a broker answers who it is, and nothing else: so it is asked for more.
                await connection.send(MetadataRequest([]))
            finally:
                connection.close()
        except (kafka_errors.KafkaError, TimeoutError, OSError) as error:
            if (told := refused(error, settings, f"{host}:{port}")) is not None:
                return told
    return None


def refused(error: Exception, settings: Settings, address: str) -> TransportError | None:
    """Return what TLS or SASL has against us; None when it is neither of them.

    Args:
        error: what connecting raised.
        settings: how it was tried.
        address: the broker's host and port.
    """
    if isinstance(failed := error.__cause__ or error, ssl.SSLError):
        # A broker refuses our certificate only after the connection stands: then it is the cause of its end.
        return _tls_failed(failed, settings, address)
    user = f"{settings.sasl_username!r} ({settings.sasl_mechanism})"
    if isinstance(error, kafka_errors.SaslAuthenticationFailed | kafka_errors.AuthenticationFailedError):
        return TransportError(
            f"Kafka at {address} refused the user {user}: wrong name or wrong password",
            "check sasl_username and sasl_password (or sasl_password_file), and that the brokers know this user for"
            " this mechanism",
            retriable=False,
        )
    if isinstance(error, kafka_errors.UnsupportedSaslMechanismError):
        return TransportError(
            f"Kafka at {address} does not take sasl_mechanism {settings.sasl_mechanism}",
            "set sasl_mechanism to one of the brokers' sasl.enabled.mechanisms",
            retriable=False,
        )
    if isinstance(error, kafka_errors.IllegalSaslStateError):
        return TransportError(
            f"Kafka at {address} has no users on this port, and security_protocol is {settings.security_protocol}",
            "set security_protocol to what this port speaks (SSL or PLAINTEXT), or bootstrap to the port with SASL",
            retriable=False,
        )
    if isinstance(error, kafka_errors.KafkaConnectionError | ConnectionResetError | ConnectionAbortedError):
        # It may as well be a broker that is just going down.
        return TransportError(
            f"{address} takes connections and closes them at once: security_protocol is {settings.security_protocol},"
            " and this port seems to speak another",
            "set security_protocol to what this port of the brokers speaks (PLAINTEXT, SSL, SASL_PLAINTEXT or"
            " SASL_SSL), or bootstrap to the right port",
            retriable=True,
        )
    return None


def _tls_failed(error: ssl.SSLError, settings: Settings, address: str) -> TransportError:
    """What is wrong between their certificate, ours, and a port that has no TLS at all."""
    if isinstance(error, ssl.SSLCertVerificationError):
        what = error.verify_message or error.reason
        fix = (
            "write into bootstrap a name that stands in the brokers' certificates"
            if "mismatch" in what
            else "set ssl_cafile to the certificate of the authority that signed the brokers' certificates"
        )
        return TransportError(f"the certificate of {address} is not trusted: {what}", fix, retriable=False)
    reason = str(error.reason or error)
    if any(alert in reason for alert in _CLIENT_CERTIFICATE):
        given = "did not accept ssl_certfile" if settings.ssl_certfile else "wants a certificate from us"
        return TransportError(
            f"{address} {given} ({reason})",
            "set ssl_certfile and ssl_keyfile to a certificate whose authority the brokers trust",
            retriable=False,
        )
    return TransportError(
        f"{address} does not speak TLS as we do ({reason}), and security_protocol is {settings.security_protocol}",
        "if this port has no TLS, set security_protocol to PLAINTEXT or SASL_PLAINTEXT, or bootstrap to the port that"
        " has it",
        retriable=False,
    )


def _context(settings: Settings) -> ssl.SSLContext:
    """Ours for every connection; the name of the broker is always checked."""
    try:
        context = ssl.create_default_context(cafile=_text(settings.ssl_cafile))
    except (ssl.SSLError, OSError) as error:
        raise _unreadable("ssl_cafile", settings.ssl_cafile, error, "a file of certificates in PEM") from error
    if settings.ssl_certfile is not None:
        secret = settings.ssl_keyfile_password
        # Without a password OpenSSL would ask for it on the terminal.
        password = secret.get_secret_value() if secret is not None else ""
        try:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, password)
        except (ssl.SSLError, OSError) as error:
            what = "a certificate and its key in PEM, and ssl_keyfile_password if the key has one"
            raise _unreadable("ssl_certfile", settings.ssl_certfile, error, what) from error
    return context


def _shows_no_password(record: logging.LogRecord) -> bool:
    """Whether a line of aiokafka's log may be written."""
    given = record.args if isinstance(record.args, tuple) else ()
    return not any(isinstance(one, RequestStruct) and one.API_KEY == _SASL_AUTHENTICATE for one in given)


def _password(settings: Settings) -> str:
    if settings.sasl_password is not None:
        return settings.sasl_password.get_secret_value()
    path = settings.sasl_password_file
    try:
        # An editor ends the line; no password ends with one.
        password = path.read_text(encoding="utf-8").rstrip("\r\n") if path is not None else ""
    except (OSError, UnicodeDecodeError):
        # Not chained: what could not be decoded is the password.
        raise SettingsError(
            f"sasl_password_file {path} cannot be read", "make it a text file that guardian's user may read"
        ) from None
    if not password:
        raise SettingsError(f"sasl_password_file {path} is empty", "write the password into it, and nothing else")
    return password


def _unreadable(name: str, path: Any, error: Exception, wanted: str) -> SettingsError:
    why = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    return SettingsError(f"{name} {path} cannot be used: {why}", f"give {wanted}")


def _text(path: Any) -> str | None:
    return None if path is None else str(path)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.strip().rpartition(":")
    return host.strip("[]") or address.strip(), int(port) if host and port.isdigit() else 9092
