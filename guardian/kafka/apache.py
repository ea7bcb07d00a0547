"""A real Apache Kafka on this machine, fetched by Maven: one broker in KRaft mode on free ports."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from types import TracebackType
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from guardian.errors import SettingsError, TransportError
from guardian.kafka.free_ports import free_ports

VERSION: Final = "4.1.2"
POM: Final = Path(__file__).with_name("apache.xml")
FETCH_WITHIN_S: Final = 900.0
START_WITHIN_S: Final = 120.0
STOP_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.1
_LOG_TAIL_CHARS: Final = 2_000

PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
# Topics come from the catalogue only: a topic made by accident would have the wrong settings for life.
auto.create.topics.enable=false
num.partitions=4
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Tests must not wait for members that will never come, and must see a dead one soon.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# A small machine: the defaults reserve 128 MB for compaction and 10 MB of index for each partition.
log.cleaner.dedupe.buffer.size=16777216
log.index.size.max.bytes=1048576
num.network.threads=2
num.io.threads=4
"""


class ApacheKafka:
    """An async context manager: the broker lives as long as the block, or as its process at the longest.

    Args:
        directory: holds the fetched jars, shared by every broker that is given the same one, and the broker's data.
        heap_mb: the Java heap in MiB.
        cpus: the processors that the broker may use, as `taskset -c` takes them (`0` or `0,1`); None for all.
        version: the version of Apache Kafka; 4.0 or later.
        data: where the records are kept; None for a fresh folder that is removed at the end.
        properties: its server.properties, in which {port}, {controller_port} and {data} are filled in.
    """

    def __init__(
        self,
        directory: Path,
        heap_mb: int = 512,
        cpus: str | None = None,
        version: str = VERSION,
        data: Path | None = None,
        properties: str = PROPERTIES,
    ) -> None:
        self._directory = directory
        self._heap_mb = heap_mb
        self._cpus = cpus
        self._version = version
        self._kept = data
        self._properties = properties
        self._home: Path | None = None
        self._port = self._controller_port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address for clients; the same after a restart.

        Raises:
            TransportError: the broker was never started.
        """
        if not self._port:
            raise TransportError("Kafka was not started", "enter its block first", retriable=False)
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The broker's process id, 0 when it does not run."""
        return self._process.pid if self._process is not None else 0

    @property
    def log(self) -> Path:
        """What the broker prints.

        Raises:
            TransportError: the broker was never started.
        """
        if self._home is None:
            raise TransportError("Kafka was not started", "enter its block first", retriable=False)
        return self._home / "broker.log"

    async def start(self) -> str:
        """Fetch and format what is not there yet, start the broker, wait until it answers, and return its address.

        After `stop` or `kill` it comes back on the same ports with the same records.

        Raises:
            SettingsError: java, mvn or taskset is not installed.
            TransportError: fetching failed, or the broker did not come up; the end of its log is in the message.
        """
        if self._process is not None:
            raise TransportError(f"Kafka runs already at {self.bootstrap}", retriable=False)
        jars = await asyncio.to_thread(fetch_jars, self._directory, self._version)
        await asyncio.to_thread(self._prepare, jars)
        self._launch(jars)
        await self._wait_until_it_answers()
        return self.bootstrap

    async def restart(self) -> str:
        """Stop the broker if it runs, and start it on the same ports with the same records."""
        await self.stop()
        return await self.start()

    async def stop(self) -> None:
        """End the broker in good order, by force after STOP_WITHIN_S. Does nothing when it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """Take the broker's life, as kill -9 does; records that it acked are still there at the next start."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None

    def forget(self) -> None:
        """Remove the records of a broker that was stopped, unless the caller named their folder."""
        self.kill()
        if self._home is not None and self._kept is None:
            shutil.rmtree(self._home, ignore_errors=True)
        self._home = None
        self._port = self._controller_port = 0

    async def __aenter__(self) -> ApacheKafka:
        try:
            await self.start()
        except BaseException:
            self.forget()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        self.forget()

    def _prepare(self, jars: Path) -> None:
        """Choose the ports and format the storage, once."""
        if self._home is not None:
            return
        if self._kept is not None:
            self._kept.mkdir(parents=True, exist_ok=True)
        home = self._kept or Path(tempfile.mkdtemp(prefix="broker-", dir=self._directory))
        self._home = home
        self._port, self._controller_port = free_ports(2)
        properties = home / "server.properties"
        data = (home / "data").absolute()
        filled_in = self._properties.format(port=self._port, controller_port=self._controller_port, data=data)
        properties.write_text(filled_in, encoding="utf-8")
        if not (home / "data" / "meta.properties").exists():
            self._format(jars, properties)

    def _format(self, jars: Path, properties: Path) -> None:
        """Make an empty cluster of one."""
        tool = ["kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22], "-c", str(properties)]
        done = subprocess.run(  # noqa: S603 (our own words)
            [_program("java"), "-Xmx128m", "-cp", f"{jars}/*", *tool], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise TransportError(
                f"Kafka's storage could not be formatted: {_tail(done.stdout + done.stderr)}", retriable=False
            )

    def _launch(self, jars: Path) -> None:
        pinned = [] if self._cpus is None else [_program("taskset"), "-c", self._cpus]
        heap = [f"-Xms{self._heap_mb}m", f"-Xmx{self._heap_mb}m", "-XX:+ExitOnOutOfMemoryError"]
        command = [*pinned, _program("java"), *heap, "-Dlog4j2.level=WARN", "-cp", f"{jars}/*", "kafka.Kafka"]
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C is for guardian, which then ends the broker last.
            self._process = subprocess.Popen(  # noqa: S603 (our own words)
                [*command, str(self.log.with_name("server.properties"))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        leftover = str(self._home) if self._kept is None else ""
        # The watcher reads a pipe that only this process holds open: however this process ends, the broker ends too.
        self._watcher = subprocess.Popen(  # noqa: S603 (our own words)
            [_program("sh"), "-c", 'read -r _; kill -9 "$1"; rm -rf "$2"', "sh", str(self._process.pid), leftover],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    async def _wait_until_it_answers(self) -> None:
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + START_WITHIN_S
        while not await _answers(self._port):
            ended = self._process is not None and self._process.poll() is not None
            if ended or clock() > give_up_at:
                self.kill()
                what = "ended at once" if ended else f"did not answer within {START_WITHIN_S:.0f} s"
                tail = _tail(self.log.read_text(encoding="utf-8", errors="replace"))
                raise TransportError(f"Kafka {what}: {tail}", "Kafka 4 needs Java 17 or later", retriable=True)
            await asyncio.sleep(_POLL_S)


def jars_folder(directory: Path, version: str = VERSION) -> Path:
    """Return where the jars of a version are kept; another one when what is fetched changes."""
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:8]
    return (directory / f"jars-{version}-{digest}").absolute()


def fetch_jars(directory: Path, version: str = VERSION) -> Path:
    """Return the folder with Kafka's jars, fetched with Maven if they are not there.

    Args:
        directory: where they are kept; several processes may fetch into it at once.
        version: the version of Apache Kafka.

    Raises:
        SettingsError: mvn is not installed.
        TransportError: Maven failed.
    """
    jars = jars_folder(directory, version)
    if jars.exists():
        return jars
    directory.mkdir(parents=True, exist_ok=True)
    maven = _program("mvn")
    fetched = Path(tempfile.mkdtemp(prefix="fetching-", dir=directory)).absolute()
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={fetched}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(  # noqa: S603 (our own words)
            [maven, "-q", "-B", "-f", str(POM), f"-Dkafka.version={version}", *goal],
            capture_output=True,
            text=True,
            check=False,
            timeout=FETCH_WITHIN_S,
        )
        if done.returncode != 0 or not any(fetched.glob("kafka_*.jar")):
            raise TransportError(
                f"Maven could not fetch Kafka {version}: {_tail(done.stdout + done.stderr)}",
                "check the network and Maven's settings",
                retriable=True,
            )
        # The folder appears whole or not at all; who comes second finds it there and drops his own.
        try:
            fetched.rename(jars)
        except OSError:
            if not jars.exists():
                raise
    except subprocess.TimeoutExpired as error:
        raise TransportError(f"Maven took more than {FETCH_WITHIN_S:.0f} s", "try again", retriable=True) from error
    finally:
        shutil.rmtree(fetched, ignore_errors=True)
    return jars


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        package = {"java": "a Java runtime, version 17 or later", "mvn": "Apache Maven"}.get(name, name)
        raise SettingsError(f"{name} is not installed: a real Kafka needs it", f"install {package}")
    return found


async def _answers(port: int) -> bool:
    """Whether a broker that has joined its cluster answers."""
    try:
        # aiokafka logs every refused connection as an error; a plain socket asks first.
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
    except OSError:
        return False
    client = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}", request_timeout_ms=10_000)
    try:
        await client.start()
        return bool((await client.describe_cluster())["brokers"])
    except (KafkaError, TimeoutError, OSError):
        return False
    finally:
        await client.close()


def _tail(text: str) -> str:
    return text.strip()[-_LOG_TAIL_CHARS:] or "it said nothing"
