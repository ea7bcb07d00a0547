"""What the tests of dual runs share: a provider that knows what it was told, and the migration events that came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from guardian.sdk import (
    GuardianProvider,
    ProviderOptions,
    configure,
    dual_run,
    flush_dual_runs,
    flush_migration_events,
    migrations,
)
from guardian.wire.events import decode_migration
from tests.sdk.documents import FLAG, written

ON, OFF = 10_000, 0
COMPONENT = "pricing_engine"


class KnowingProvider(GuardianProvider):
    """Guardian's provider without its thread: it knows the documents that it was given."""

    def __init__(self) -> None:
        self.environ: dict[str, str] = {}
        super().__init__("127.0.0.1:1", options=ProviderOptions(environ=self.environ))
        self._version = 1

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Nothing to follow."""

    def says(self, **changes: Any) -> None:
        """Take a newer document."""
        self._version += 1
        self._store.apply(FLAG.encode(), written(version=self._version, **changes), self._version)


class Told:
    """The migration events of this test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return what was told so far, checked as ingest checks it."""
        assert flush_migration_events(10)
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        found = [orjson.loads(line) for line in lines]
        for line in lines:
            decode_migration(line)
        return [event for event in found if kind in ("", event["event_type"])]

    def kinds(self) -> list[str]:
        """Return their types, in order."""
        return [event["event_type"] for event in self.events()]

    def one(self, kind: str) -> dict[str, Any]:
        """Return the only one of a type."""
        (found,) = self.events(kind)
        return found


@contextmanager
def knowing() -> Iterator[KnowingProvider]:
    """The provider in OpenFeature's hands, for all domains."""
    provider = KnowingProvider()
    api.set_provider_and_wait(provider)
    try:
        yield provider
    finally:
        api.shutdown()
        api.clear_providers()


@contextmanager
def telling(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Told]:
    """A process whose migration events go to a file."""
    client = migrations._Migrations()
    monkeypatch.setattr(migrations, "_default", client)
    monkeypatch.delenv("GUARDIAN_BOOTSTRAP", raising=False)
    configure(path=folder / "migrations.jsonl", service="shop")
    yield Told(folder / "migrations.jsonl")
    if client._sink is not None:
        client._sink.close(2.0)


def pair(old: Callable[..., Any], new: Callable[..., Any], **options: Any) -> Any:
    return dual_run(COMPONENT, candidate=new, **{"flag": FLAG, "subject": somebody, **options})(old)


def somebody(*args: Any, **kwargs: Any) -> str:
    return "u-1"


def raising(error: BaseException) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise error

    return function


def answered(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a call, once the other implementation is compared, too."""
    found = function(*args)
    assert flush_dual_runs(10)
    return found
