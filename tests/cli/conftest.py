"""One guardian for all tests of the command line that need a running one; each uses flags of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.servers import Server, dev


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`guardian dev` on the embedded broker."""
    with dev("embedded", tmp_path_factory.mktemp("dev") / "stderr") as running:
        yield running
