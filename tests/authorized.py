"""A real Kafka with an authorizer: nobody may do anything unless it is granted, but for its own plain port."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from guardian.cli.ports import free_port
from guardian.kafka.apache import PROPERTIES, ApacheKafka, fetch_jars
from tests.brokers import CACHE

PASSWORD = "correct-horse-battery"
_ACLS = "org.apache.kafka.tools.AclCommand"

_LISTENERS = r"""
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller_port}},USERS://127.0.0.1:{users}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},USERS://127.0.0.1:{users}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
listener.name.users.sasl.enabled.mechanisms=PLAIN
listener.name.users.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  {names};
"""


class AuthorizedKafka:
    """The broker and its two ports.

    Args:
        kafka: the broker; at its own address everything is allowed.
        users: the address where a user has the rights that were granted.
    """

    def __init__(self, kafka: ApacheKafka, users: str) -> None:
        self.kafka, self.users = kafka, users

    def environment(self, user: str, prefix: str, **more: str) -> dict[str, str]:
        """Return GUARDIAN_* for a user."""
        given = {
            "bootstrap": self.users,
            "prefix": prefix,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_username": user,
            "sasl_password": PASSWORD,
            **more,
        }
        return {f"GUARDIAN_{name.upper()}": value for name, value in given.items()}

    def grant(self, commands: list[str]) -> None:
        """Run kafka-acls commands as `guardian topics acls` prints them."""
        with ThreadPoolExecutor(2) as pool:
            for done in pool.map(_run, commands):
                assert done.returncode == 0, done.stdout + done.stderr


def _run(command: str) -> subprocess.CompletedProcess[str]:
    program, *words = shlex.split(command)
    assert program == "kafka-acls.sh"
    java = shutil.which("java")
    assert java is not None
    light = ["-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    return subprocess.run(
        [java, *light, "-cp", f"{fetch_jars(CACHE)}/*", _ACLS, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def authorized_kafka(users: list[str]) -> Iterator[AuthorizedKafka]:
    """Run a broker that knows these users until the block ends."""
    port = free_port()
    names = " ".join(f'user_{user}="{PASSWORD}"' for user in users)
    listeners = _LISTENERS.format(users=port, names=names)
    kafka = ApacheKafka(CACHE, heap_mb=256, properties=PROPERTIES + listeners)
    asyncio.run(kafka.start())
    try:
        yield AuthorizedKafka(kafka, f"127.0.0.1:{port}")
    finally:
        asyncio.run(kafka.stop())
        kafka.forget()
