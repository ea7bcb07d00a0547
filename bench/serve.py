"""How long `kill` over HTTP takes while serve is flooded: `python -m bench.serve`.

Guardian runs as processes of its own on the embedded broker: all roles in one, and the serve that is attacked in
another. A third process is the operator: every command on a new connection, as a person's would be. The floods come
from here, from addresses of 127.0.0.0/8. With --one-core all of them share one core, the attacker's too.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import http.client
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from guardian.cli.ports import free_port

GUARDIAN: Final = str(Path(sys.executable).with_name("guardian"))
GOAL_S: Final = 1.0
FLAG: Final = "bench-kill"
SPEC: Final = {
    "flag": FLAG,
    "steps": [{"name": "full", "weight": "100%", "bake": "1h"}],
    "triggers": [{"when": "crash_count > 0 per step", "do": "rollback"}],
}
ROLES: Final = ("viewer", "sender", "operator")
PAUSE_S: Final = 0.1
READY_WITHIN_S: Final = 60.0


@dataclass(frozen=True)
class Target:
    """The serve that is flooded."""

    port: int

    def command(self, word: str, body: Any, timeout_s: float = 60.0) -> int:
        """Give a command on a connection of its own; returns the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request("POST", f"/v1/rollouts{word}", json.dumps(body), bearer("operator"))
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    @asynccontextmanager
    async def connected(self, number: int = 0) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Connect from one of many addresses of this machine."""
        source = f"127.0.{1 + number // 200}.{1 + number % 200}"
        found = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        try:
            yield found
        finally:
            found[1].transport.abort()


def bearer(role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer bench-{role}"}


def head(method: str, path: str, role: str, *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer bench-{role}", *more, "", ""]
    return "\r\n".join(lines).encode()


def start_guardian(**settings: str) -> tuple[Target, list[subprocess.Popen[str]]]:
    """Start a whole guardian, and a serve of its own with tokens; returns it, and what must be stopped."""
    processes: list[subprocess.Popen[str]] = []
    try:
        return _start_guardian(processes, **settings), processes
    except BaseException:
        stop(processes)
        raise


def _start_guardian(processes: list[subprocess.Popen[str]], **settings: str) -> Target:
    whole = subprocess.Popen(
        [GUARDIAN, "dev", "--prefix", "bench", "--http-port", "0", "--json"], stdout=subprocess.PIPE, text=True
    )
    processes.append(whole)
    assert whole.stdout is not None
    text = ""
    while not text.rstrip().endswith("}") or text.count("{") != text.count("}"):
        if not (line := whole.stdout.readline()):
            raise SystemExit("guardian dev did not start")
        text += line
    port = free_port()
    tokens = [
        {"name": role, "role": role, "sha256": hashlib.sha256(f"bench-{role}".encode()).hexdigest()} for role in ROLES
    ]
    environ = {
        **os.environ,
        **json.loads(text)["environment"],
        "GUARDIAN_TOKENS": json.dumps(tokens),
        "GUARDIAN_SERVE_PORT": str(port),
        "GUARDIAN_LOG_LEVEL": "error",
        **{f"GUARDIAN_{name.upper()}": value for name, value in settings.items()},
    }
    serve = subprocess.Popen([GUARDIAN, "run", "--role", "serve"], env=environ, text=True)
    processes.insert(0, serve)
    target = Target(port)
    give_up_at = time.monotonic() + READY_WITHIN_S
    while not target.is_ready():
        if time.monotonic() > give_up_at:
            raise SystemExit("serve did not become ready")
        time.sleep(0.1)
    assert target.command("", SPEC) == 200
    assert target.command(f"/{FLAG}/start", {}) == 200
    return target


def stop(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()


def operate(port: int) -> None:
    """The operator: `kill` again and again until told to stop, then the seconds that each took, as JSON."""
    took, failed, going = list[float](), 0, [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    target, parent = Target(port), os.getppid()
    print("up", flush=True)
    while going and os.getppid() == parent:
        began_s = time.perf_counter()
        try:
            failed += target.command(f"/{FLAG}/kill", {"reason": "bench"}) != 200
        except (OSError, http.client.HTTPException):
            failed += 1
        took.append(time.perf_counter() - began_s)
        time.sleep(PAUSE_S)
    print(json.dumps({"took": took, "failed": failed}))


class Operator:
    """The operator's process."""

    def __init__(self, target: Target) -> None:
        words = [sys.executable, "-m", "bench.serve", "--operate", str(target.port)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    async def is_up(self) -> None:
        """Return once it gives commands."""
        assert self._process.stdout is not None
        await asyncio.to_thread(self._process.stdout.readline)

    async def ends(self) -> tuple[list[float], int]:
        """What each kill took, in seconds, and how many failed."""
        self._process.send_signal(signal.SIGTERM)
        text, _ = await asyncio.to_thread(self._process.communicate)
        found = json.loads(text)
        return found["took"], found["failed"]


async def hold(target: Target, count: int, clients: int, play: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """Hold so many connections of so many clients; one that is ended comes back."""

    async def one(number: int) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                async with target.connected(number % clients) as (reader, writer):
                    await play(reader, writer)
            await asyncio.sleep(random.random())

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))


async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def slow_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in head("GET", "/v1/rollouts", "viewer"):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.2)


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("POST", "/v1/events", "sender", "Content-Length: 4000000"))
    writer.write(b" " * 1_000_000)
    while True:
        writer.write(b" " * 2_000)
        await writer.drain()
        await asyncio.sleep(0.1)


async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("GET", "/v1/stream/flags", "viewer"))
    await reader.read()


def events(size: int) -> bytes:
    one = {"ts": time.time(), "flag": FLAG, "variant": "on", "outcome": "ok", "latency_ms": 12.5, "service": "bench-1"}
    return json.dumps([one] * (size // len(json.dumps(one)))).encode()


async def big_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = events(1_000_000)  # about 9,000 of them
    while True:
        writer.write(head("POST", "/v1/events", "sender", f"Content-Length: {len(body)}") + body)
        await answer(reader)


async def tiny_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("POST", "/v1/events", "nobody", "Transfer-Encoding: chunked"))
    while True:
        writer.write(b"1\r\nx\r\n" * 10_000)
        await writer.drain()


async def reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(head("GET", "/", "viewer"))
        await answer(reader)


async def pipelined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(head("GET", "/v1/rollouts", "viewer") * 100)
        for _ in range(100):
            await answer(reader)


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01" * 100 + b"\r\n\r\n")
    await reader.read()


async def answer(reader: asyncio.StreamReader) -> None:
    """Read one answer."""
    found = await reader.readuntil(b"\r\n\r\n")
    length = found.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    await reader.readexactly(int(length))


FLOODS: Final[dict[str, tuple[int, int, Callable[..., Coroutine[Any, Any, None]]] | None]] = {
    "quiet": None,
    "1,100 idle connections of one client": (1_100, 1, idle),
    "1,500 idle connections of 300 clients": (1_500, 300, idle),
    "1,100 heads that come byte by byte": (1_100, 50, slow_head),
    "64 slow bodies of 16 clients": (64, 16, slow_body),
    "200 streams of one token": (200, 1, stream),
    "8 clients that post 1 MB arrays": (8, 8, big_body),
    "50 bodies in chunks of one byte, 25 clients": (50, 25, tiny_chunks),
    "200 readers of the page, 50 clients": (200, 50, reading),
    "50 readers that send 100 requests at a time": (50, 50, pipelined),
    "500 peers that speak no HTTP": (500, 100, garbage),
}


async def measure(target: Target, flood: Any, for_s: float) -> tuple[list[float], int]:
    """Flood for a while, and return what the operator's kills took."""
    flooding = asyncio.create_task(hold(target, *flood) if flood else asyncio.sleep(for_s))
    await asyncio.sleep(1.0 if flood else 0.0)
    operator = Operator(target)
    await operator.is_up()
    await asyncio.sleep(for_s)
    found = await operator.ends()
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    return found


def waited_s(process: subprocess.Popen[str]) -> float:
    """How long a process has been ready to run and had no core: what this machine adds to every figure."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[1]) / 1e9


def line(name: str, took: list[float], failed: int) -> str:
    met = "met" if max(took) < GOAL_S and not failed else "MISSED"
    median_ms, worst_ms = statistics.median(took) * 1_000, max(took) * 1_000
    return f"{name:46} {median_ms:7.0f} {worst_ms:7.0f} {len(took):6} {failed:6}  {met:6}"


async def run(only: str, for_s: float) -> None:
    target, processes = await asyncio.to_thread(start_guardian)
    try:
        titles = f"{'kill over HTTP during':46} {'p50 ms':>7} {'max ms':>7} {'kills':>6} {'failed':>6}"
        print(f"{titles}  {GOAL_S} s   serve without a core")
        for name, flood in FLOODS.items():
            if only in name:
                before_s, began_s = waited_s(processes[0]), time.monotonic()
                found = line(name, *await measure(target, flood, for_s))
                share = (waited_s(processes[0]) - before_s) / (time.monotonic() - began_s)
                print(f"{found} {share:7.0%}", flush=True)
    finally:
        stop(processes)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--operate", type=int, default=0, help=argparse.SUPPRESS)
    options.add_argument("--only", default="", help="only floods whose name holds this")
    options.add_argument("--seconds", type=float, default=3.0, help="of each flood")
    options.add_argument("--one-core", action="store_true", help="all processes on one core")
    given = options.parse_args()
    if given.operate:
        operate(given.operate)
        return
    if given.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    asyncio.run(run(given.only, given.seconds))


if __name__ == "__main__":
    main()
