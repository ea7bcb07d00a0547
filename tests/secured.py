"""A real Kafka with users and TLS, and certificates that live as long as a test run."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guardian.cli.ports import free_port
from guardian.kafka.apache import PROPERTIES, ApacheKafka, fetch_jars
from tests.brokers import CACHE

USER = "roles"
PASSWORD = "correct-horse-battery"

_LISTENERS = r"""
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller_port}},USERS://127.0.0.1:{users},CERTS://127.0.0.1:{certs}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},USERS://127.0.0.1:{users},CERTS://127.0.0.1:{certs}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_SSL,CERTS:SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.both
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.certs.ssl.client.auth=required
listener.name.users.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.users.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.users.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  user_{user}="{password}";
"""


class SecuredKafka:
    """The broker's ports and everything a client needs.

    Args:
        kafka: the broker; its own address speaks PLAINTEXT.
        folder: holds ca.pem, other.pem (an authority that it does not know), client.pem and client.key.
        users: the address that speaks SASL_SSL, with PLAIN and SCRAM-SHA-512.
        certs: the address that speaks SSL and wants a certificate.
    """

    def __init__(self, kafka: ApacheKafka, folder: Path, users: str, certs: str) -> None:
        self.kafka, self.folder, self.users, self.certs = kafka, folder, users, certs

    def environment(self, **changed: str) -> dict[str, str]:
        """Return GUARDIAN_* for the port with users; an empty text takes a variable away."""
        given = {
            "bootstrap": self.users,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": USER,
            "sasl_password": PASSWORD,
            "ssl_cafile": str(self.folder / "ca.pem"),
            **changed,
        }
        return {f"GUARDIAN_{name.upper()}": value for name, value in given.items() if value}


@contextmanager
def secured_kafka(folder: Path) -> Iterator[SecuredKafka]:
    """Run a broker with three ports until the block ends.

    Args:
        folder: for the certificates.
    """
    make_certificates(folder)
    users, certs = free_port(), free_port()
    listeners = _LISTENERS.format(users=users, certs=certs, folder=folder, user=USER, password=PASSWORD)
    kafka = ApacheKafka(CACHE, heap_mb=256, properties=PROPERTIES + listeners)
    asyncio.run(kafka.start())
    try:
        _add_user(kafka.bootstrap)
        yield SecuredKafka(kafka, folder, f"127.0.0.1:{users}", f"127.0.0.1:{certs}")
    finally:
        asyncio.run(kafka.stop())
        kafka.forget()


def make_certificates(folder: Path) -> None:
    """Make two authorities, and of the first one a certificate for the broker and one for a client."""
    for name in ("ca", "other"):
        _openssl(folder, name, "-subj", f"/CN={name}")
    signed = ["-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key")]
    leaf = ["-addext", "basicConstraints=critical,CA:false"]
    _openssl(folder, "broker", "-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1", *leaf, *signed)
    _openssl(folder, "client", "-subj", "/CN=client", *leaf, *signed)
    (folder / "broker.both").write_text((folder / "broker.key").read_text() + (folder / "broker.pem").read_text())


def _openssl(folder: Path, name: str, *words: str) -> None:
    """Make NAME.key and NAME.pem, good for two days."""
    program = shutil.which("openssl")
    assert program is not None, "install openssl"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(folder / f"{name}.key")]
    done = subprocess.run(
        [program, "req", "-x509", "-days", "2", *key, "-out", str(folder / f"{name}.pem"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _add_user(bootstrap: str) -> None:
    """Make the user known for SCRAM, as an operator does it with Kafka's own tool."""
    java = shutil.which("java")
    assert java is not None
    words = ["--bootstrap-server", bootstrap, "--alter", "--entity-type", "users", "--entity-name", USER]
    words += ["--add-config", f"SCRAM-SHA-512=[password={PASSWORD}]"]
    done = subprocess.run(
        [java, "-Xmx128m", "-cp", f"{fetch_jars(CACHE)}/*", "kafka.admin.ConfigCommand", *words],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
