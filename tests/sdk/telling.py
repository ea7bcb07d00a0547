"""A telemetry client whose events go to a file, read back as the application's tests would read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from guardian.sdk import Served, Telemetry, TelemetryOptions
from guardian.wire.events import decode_telemetry

SERVED = Served("new-pricing", "on", 1, "split")


class Client(Telemetry):
    """Telemetry into a file.

    Args:
        path: the file.
        answers: as Telemetry takes it.
        options: of TelemetryOptions.
    """

    def __init__(self, path: Path, answers: tuple[type[BaseException], ...] = (), **options: Any) -> None:
        self.path = path
        super().__init__("shop", options=TelemetryOptions(path=path, linger_s=0.01, **options), answers=answers)

    def told(self) -> list[dict[str, Any]]:
        """What was told so far, each line of it one that ingest takes."""
        assert self.flush(30)
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        for line in lines:
            decode_telemetry(line)
        return [orjson.loads(line) for line in lines]

    def outcomes(self) -> list[tuple[str, str | None]]:
        """Outcome and error type of what was told so far."""
        return [(event["outcome"], event.get("error_type")) for event in self.told()]


@contextmanager
def client(folder: Path, **options: Any) -> Iterator[Client]:
    with Client(folder / "events.jsonl", **options) as telemetry:
        yield telemetry
