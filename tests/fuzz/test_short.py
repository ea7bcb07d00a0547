"""The short form of `make fuzz`: nothing raises, and the brake of another flag works all along."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.fuzz.fold import Fold
from tests.fuzz.readers import Readers
from tests.fuzz.way import Way


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What is refused is logged, and it is refused thousands of times."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_B1_hostile_records_of_the_log_stop_nothing_and_another_flag_is_killed_among_them() -> None:
    fold = Fold(1)
    assert list(fold.run(2_000)) == [1_000, 2_000]
    assert fold.unreadable < fold.count, "most of them are folded"


def test_B6_hostile_events_and_commands_go_the_whole_way() -> None:
    way = Way(2)
    way.run(5_000)
    assert way.folded > 0


def test_hostile_records_on_guardians_own_topics_stop_no_reader() -> None:
    readers = Readers(3)
    readers.run(2_000)
    assert readers.count == 2_000
