"""`guardian dev` as a process of its own, and the command line pointed at it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from guardian.cli.main import app

GUARDIAN = str(Path(sys.executable).with_name("guardian"))
END_WITHIN_S = 30


class Server:
    """A running `guardian dev`.

    Args:
        environment: what it printed for other shells.
        process: it.
    """

    def __init__(self, environment: dict[str, str], process: subprocess.Popen[str]) -> None:
        self.environment = environment
        self.process = process

    def guardian(self, *words: str, stdin: str | None = None) -> Result:
        """Run one command against it, in this process."""
        return CliRunner(env=self.environment).invoke(app, list(words), input=stdin)

    def json(self, *words: str) -> Any:
        """Run one command with `--json`, and return the one document that it prints."""
        return json.loads(self.guardian(*words, "--json").stdout)


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
            yield Server(json.loads(line)["environment"], process)
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_WITHIN_S) == 0, errors.read_text()
        finally:
            process.kill()
            process.communicate()
