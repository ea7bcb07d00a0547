"""How each producer is started: it sends lines to a topic, compressed with a codec."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from confluent_kafka import Producer

from tests.brokers import CACHE
from tests.debian import unpacked

CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
PACKAGE: Final = Path(__file__).with_name("kafkajs")
SEND_WITHIN_S: Final = 60

Send = Callable[[str, str, str, Sequence[bytes], "bytes | None"], None]
"""Bootstrap, topic, codec, values and their key."""


def confluent(bootstrap: str, topic: str, codec: str, values: Sequence[bytes], key: bytes | None = None) -> None:
    """Send with librdkafka's Python client."""
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 50})
    for value in values:
        producer.produce(topic, value, key)
    assert producer.flush(SEND_WITHIN_S) == 0


def kcat(bootstrap: str, topic: str, codec: str, values: Sequence[bytes], key: bytes | None = None) -> None:
    """Send with kcat, this machine's own or the one in Debian's package."""
    program, environment = shutil.which("kcat"), dict(os.environ)
    if program is None:
        root = unpacked("kcat", "kcat", "librdkafka1", "libyajl2")
        program = str(root / "usr" / "bin" / "kcat")
        environment["LD_LIBRARY_PATH"] = str(root / "usr" / "lib" / f"{platform.machine()}-linux-gnu")
    words = ["-P", "-b", bootstrap, "-t", topic, "-z", codec, "-X", "queue.buffering.max.ms=50"]
    if key is not None:
        # Partitions as Kafka's own clients choose them; librdkafka's default is another hash.
        words += ["-k", key.decode(), "-X", "topic.partitioner=murmur2_random"]
    _run([program, *words], values, environment)


def kafkajs(bootstrap: str, topic: str, codec: str, values: Sequence[bytes], key: bytes | None = None) -> None:
    """Send with kafkajs, installed by npm into the cache."""
    node = shutil.which("node")
    assert node is not None, "install Node.js: kafkajs needs it"
    words = [node, "send.js", bootstrap, topic, codec, *([] if key is None else [key.decode()])]
    _run(words, values, dict(os.environ), cwd=_installed())


def _installed() -> Path:
    """The folder in the cache that holds the script and what it needs; another one when these change."""
    files = sorted(each for each in PACKAGE.iterdir() if each.is_file())
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()[:8]
    home = CACHE.with_name(f"kafkajs-{digest}")
    if home.exists():
        return home
    npm = shutil.which("npm")
    assert npm is not None, "install npm: kafkajs needs it"
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        made = Path(folder) / "kafkajs"
        made.mkdir()
        for each in files:
            shutil.copy(each, made)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        try:
            made.replace(home)
        except OSError:
            assert home.exists()
    return home


def _run(words: Sequence[str], values: Sequence[bytes], environment: dict[str, str], cwd: Path | None = None) -> None:
    done = subprocess.run(
        words,
        input=b"\n".join(values),
        env=environment,
        cwd=cwd,
        capture_output=True,
        timeout=SEND_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


PRODUCERS: Final[dict[str, Send]] = {"confluent-kafka": confluent, "kafkajs": kafkajs, "kcat": kcat}
