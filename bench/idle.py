"""What guardian costs while nothing happens: `python -m bench.idle`.

`guardian dev` on its embedded broker, and each role alone on a real Kafka, all at once, without any traffic. What is
counted are the CPU seconds of each process by /proc, after it has settled; other work on the machine adds little to
them, as a process that waits for a core spends nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from guardian.kafka.admin import create_topics
from guardian.kafka.apache import ApacheKafka
from guardian.kafka.free_ports import free_ports
from guardian.kafka.settings import load_settings

CACHE = Path(__file__).parents[1] / ".cache" / "kafka"
GUARDIAN = Path(sys.executable).with_name("guardian")
GOAL_DEV_PERCENT = 3.0
GOAL_ROLE_PERCENT = 1.0
ROLES = ("ingest", "decide", "serve")
SETTLE_S = 20.0
READY_WITHIN_S = 60.0
WATCH_S = 40.0
QUICK_WATCH_S = 15.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, its threads included."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS_PER_S


@contextmanager
def process(log: Path, *words: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A guardian for the length of the block."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GUARDIAN_")}
    with log.open("wb") as output:
        running = subprocess.Popen([GUARDIAN, *words], stdout=output, stderr=output, env={**environ, **environment})
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(20)
        finally:
            running.kill()


async def ready(port: int) -> None:
    """Wait until serve follows Kafka and hears of every partition from decide."""
    give_up_at = time.monotonic() + READY_WITHIN_S
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        while time.monotonic() < give_up_at:
            with suppress(httpx.HTTPError):
                if (await client.get("/readyz")).is_success:
                    return
            await asyncio.sleep(0.2)
    raise SystemExit(f"serve at port {port} is not ready within {READY_WITHIN_S:.0f} s")


async def measure(watch_s: float) -> dict[str, Any]:
    """Start everything, let it settle, and count."""
    async with ApacheKafka(CACHE) as kafka:
        settings = load_settings(environ={}, bootstrap=kafka.bootstrap, prefix="idle")
        await create_topics(settings)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            where = ("--bootstrap", settings.bootstrap, "--prefix", settings.prefix)
            ports = [str(port) for port in free_ports(2)]
            own = {"GUARDIAN_SERVE_PORT": ports[0]}
            running = {
                role: stack.enter_context(process(folder / role, "run", "--role", role, *where, **own))
                for role in ROLES
            }
            own = {"GUARDIAN_SERVE_PORT": ports[1], "GUARDIAN_STATE_DIR": str(folder)}
            running["dev"] = stack.enter_context(process(folder / "dev", "dev", **own))
            for port in ports:
                await ready(int(port))
            await asyncio.sleep(SETTLE_S)
            before = {name: cpu_s(each.pid) for name, each in running.items()}
            began_s = time.monotonic()
            await asyncio.sleep(watch_s)
            took_s = time.monotonic() - began_s
            ended = [name for name, each in running.items() if each.poll() is not None]
            if ended:
                raise SystemExit(f"{ended[0]} ended: {(folder / ended[0]).read_text(encoding='utf-8')[-2_000:]}")
            spent = {name: 100 * (cpu_s(each.pid) - before[name]) / took_s for name, each in running.items()}
    return {name: {"percent": round(spent[name], 2), **_goal(name, spent[name])} for name in spent}


def _goal(name: str, percent: float) -> dict[str, Any]:
    goal = GOAL_DEV_PERCENT if name == "dev" else GOAL_ROLE_PERCENT
    return {"goal_percent": goal, "met": percent < goal}


def show(found: dict[str, Any]) -> None:
    print("\nwithout traffic, in per cent of one core")
    print(f"{'':18}{'spent':>8}{'goal':>8}")
    for name, row in found.items():
        title = "guardian dev" if name == "dev" else f"{name} alone"
        print(f"{title:18}{row['percent']:>8.2f}{row['goal_percent']:>8.2f}   {'met' if row['met'] else 'NOT met'}")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--quick", action="store_true", help=f"watch for {QUICK_WATCH_S:.0f} s instead of {WATCH_S:.0f}")
    words.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = words.parse_args()
    found = asyncio.run(measure(QUICK_WATCH_S if given.quick else WATCH_S))
    show(found)
    if given.json:
        print(json.dumps({"bench": "idle", "quick": given.quick, **found}))


if __name__ == "__main__":
    main()
