"""Faust's clients say to the brokers who they are exactly as all the others of guardian do."""

from __future__ import annotations

from faust.auth import SASLCredentials, SSLCredentials

from guardian.kafka.security import security
from guardian.kafka.settings import Settings


def credentials(settings: Settings) -> SASLCredentials | SSLCredentials | None:
    """Return what Faust calls aiokafka's arguments for TLS and SASL; None for PLAINTEXT.

    Args:
        settings: checked whole.

    Raises:
        SettingsError: a file of certificates or with the password cannot be used.
    """
    given = security(settings)
    if "sasl_mechanism" in given:
        return SASLCredentials(
            username=given["sasl_plain_username"],
            password=given["sasl_plain_password"],
            mechanism=given["sasl_mechanism"],
            ssl_context=given.get("ssl_context"),
        )
    return SSLCredentials(given["ssl_context"]) if given else None
