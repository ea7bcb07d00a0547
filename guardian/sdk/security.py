"""TLS and SASL of an application that gives no arguments for them: by the names that guardian's own processes read."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from guardian.errors import SettingsError

PROTOCOL_VARIABLE: Final = "GUARDIAN_SECURITY_PROTOCOL"
_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


def security(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return aiokafka's arguments for what the environment says; none for PLAINTEXT, and if it says nothing.

    Args:
        environ: GUARDIAN_SECURITY_PROTOCOL, and as it demands GUARDIAN_SASL_* and GUARDIAN_SSL_*.

    Raises:
        SettingsError: something is missing or cannot be used. Never is less protected than what was asked for.
    """
    protocol = environ.get(PROTOCOL_VARIABLE, _PROTOCOLS[0])
    if protocol not in _PROTOCOLS:
        raise SettingsError(f"{PROTOCOL_VARIABLE} is {protocol!r}", f"set it to one of {', '.join(_PROTOCOLS)}")
    given: dict[str, Any] = {} if protocol == _PROTOCOLS[0] else {"security_protocol": protocol}
    try:
        if protocol.endswith("SSL"):
            given["ssl_context"] = _context(environ)
        if protocol.startswith("SASL"):
            given["sasl_mechanism"] = environ["GUARDIAN_SASL_MECHANISM"]
            given["sasl_plain_username"] = environ["GUARDIAN_SASL_USERNAME"]
            given["sasl_plain_password"] = _password(environ)
    except KeyError as error:
        raise SettingsError(f"{PROTOCOL_VARIABLE} is {protocol}, but {error.args[0]} is not set", "set it") from None
    except (OSError, UnicodeDecodeError) as error:
        # ssl.SSLError is one too. Not chained: what could not be decoded may be the password.
        raise SettingsError(
            f"a file of GUARDIAN_SSL_* or GUARDIAN_SASL_PASSWORD_FILE cannot be used: {type(error).__name__}",
            "check that it is there, that this user may read it, and that it holds PEM, or the password",
        ) from None
    return given


def _context(environ: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=environ.get("GUARDIAN_SSL_CAFILE"))
    if (certificate := environ.get("GUARDIAN_SSL_CERTFILE")) is not None:
        # Without a password OpenSSL would ask for it on the terminal.
        password = environ.get("GUARDIAN_SSL_KEYFILE_PASSWORD", "")
        context.load_cert_chain(certificate, environ.get("GUARDIAN_SSL_KEYFILE"), password)
    return context


def _password(environ: Mapping[str, str]) -> str:
    if (path := environ.get("GUARDIAN_SASL_PASSWORD_FILE")) is not None:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    return environ["GUARDIAN_SASL_PASSWORD"]
