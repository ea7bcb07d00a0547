"""`guardian dev` as a process of its own, and the command line pointed at it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from click.testing import Result
from typer.testing import CliRunner

from guardian.cli.main import app
from tests.eventually import HANG_S, eventually
from tests.serve.running import blind

GUARDIAN = str(Path(sys.executable).with_name("guardian"))
END_WITHIN_S = 60


class Server:
    """A running `guardian dev`.

    Args:
        environment: what it printed for other shells.
        process: it.
        url: of serve.
        errors: what it says on stderr.
    """

    def __init__(self, environment: dict[str, str], process: subprocess.Popen[str], url: str, errors: Path) -> None:
        self.environment = environment
        self.process = process
        self.url = url
        self.errors = errors

    def guardian(self, *words: str, stdin: str | None = None) -> Result:
        """Run one command against it, in this process."""
        return CliRunner(env=self.environment).invoke(app, list(words), input=stdin)

    def served(self, *words: str, stdin: str | None = None) -> Result:
        """Run one command through serve, in this process; it knows nothing of Kafka."""
        return CliRunner(env={"GUARDIAN_SERVER": self.url}).invoke(app, list(words), input=stdin)

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start one command in a process of its own."""
        return subprocess.Popen(
            [GUARDIAN, *words],
            text=True,
            env={**os.environ, **self.environment},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def json(self, *words: str) -> Any:
        """Run one command with `--json`, and return the one document that it prints."""
        return json.loads(self.guardian(*words, "--json").stdout)


def soon(condition: Callable[[], Any], within: float = HANG_S) -> Any:
    """Wait until a condition holds that runs commands, and therefore cannot stand in a running event loop itself."""
    return asyncio.run(eventually(lambda: asyncio.to_thread(condition), within=within))


SPEC = """\
flag: {flag}
owner: checkout-team
variants: {{control: "off", candidate: "on", values: {{"on": true, "off": false}}}}
steps:
  - {{name: canary, weight: 5%, bake: 1h}}
  - {{name: half, weight: 50%, bake: 1h}}
  - {{name: full, weight: 100%, bake: 1h}}
triggers:
  - {{name: errors, when: "error_count > 5 per step", do: rollback}}
rollback: {{to: zero, resolve: required}}
"""


def apply(server: Server, folder: Path, flag: str, text: str = SPEC) -> Path:
    """Apply the spec of a flag, and return its file."""
    file = folder / f"{flag}.yaml"
    file.write_text(text.format(flag=flag))
    result = server.guardian("apply", str(file), "--reason", "the test", "--wait", "30s")
    assert result.exit_code == 0, result.output
    return file


@contextmanager
def dev(broker: str, errors: Path, *, prefix: str = "guardian", **environment: str) -> Iterator[Server]:
    """Run `guardian dev` until the block ends, and insist that it ends cleanly.

    Args:
        broker: `embedded` or `kafka`.
        errors: a file for its stderr.
        prefix: of its topics.
        environment: further settings, such as GUARDIAN_STATE_DIR.
    """
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [GUARDIAN, "dev", "--broker", broker, "--prefix", prefix, "--http-port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, **environment},
        )
        try:
            line = process.stdout.readline() if process.stdout else ""
            assert line, errors.read_text()
            told = json.loads(line)
            soon(lambda: not blind(httpx.get(f"{told['status_page']}/metrics", trust_env=False).text))
            yield Server(told["environment"], process, told["status_page"], errors)
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_WITHIN_S) == 0, errors.read_text()
        finally:
            process.kill()
            process.communicate()
