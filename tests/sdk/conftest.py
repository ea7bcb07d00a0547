"""Fixtures of the SDK's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from guardian.sdk import flush_dual_runs
from tests.sdk.dual import KnowingProvider, Told, knowing, telling


@pytest.fixture
def flags() -> Iterator[KnowingProvider]:
    """A provider that knows what it was told; no dual run outlives the test."""
    with knowing() as provider:
        yield provider
    assert flush_dual_runs(10)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Told]:
    """The migration events of this test."""
    with telling(monkeypatch, tmp_path) as found:
        yield found
