"""One round of mixed faults in which both stages lose processes under load; `make test-faults` is the long form."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from guardian.kafka.apache import ApacheKafka
from tests.faults.rounds import Player
from tests.faults.strikes import SHORT

SEED = "20261121"


@pytest.mark.kafka
def test_killed_frozen_and_replaced_under_load_both_stages_count_everything_once(
    kafka: ApacheKafka, tmp_path: Path
) -> None:
    player = Player(kafka, tmp_path / "faults", SEED, print_line)
    played = asyncio.run(player.play(SHORT, 1))
    assert played.verdict.problems == []
    assert played.verdict.good
    assert played.verdict.events > 1_000
    assert len(played.resumed) == len(SHORT.acts)


def print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
