"""Log lines: what guardian says is said each time, what its libraries say again and again is said once in a while."""

from __future__ import annotations

import logging

from guardian.cli.logs import SPARING_S, Sparing


class Clock:
    """Seconds that pass when the test says so."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def said(name: str, text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "here.py", 1, text, args, None)


def test_a_library_says_a_thing_once_and_then_how_often_it_wanted_to() -> None:
    clock = Clock()
    sparing = Sparing(clock)
    shown = []
    for node in range(2_561):
        record = said("aiokafka", "Unable connect to node with id %s", node)
        if sparing.filter(record):
            shown.append(record.getMessage())
        clock.now_s += SPARING_S / 1_280
    assert shown == [
        "Unable connect to node with id 0",
        "Unable connect to node with id 1280 (and 1,279 more since)",
        "Unable connect to node with id 2560 (and 1,279 more since)",
    ]


def test_different_things_and_different_libraries_do_not_silence_one_another() -> None:
    sparing = Sparing(Clock())
    assert sparing.filter(said("aiokafka", "no connection to %s", 1))
    assert sparing.filter(said("aiokafka", "no metadata from %s", 1))
    assert sparing.filter(said("aiokafka.producer.sender", "no connection to %s", 1))
    assert not sparing.filter(said("aiokafka", "no connection to %s", 2))


def test_what_guardian_says_is_always_said() -> None:
    sparing = Sparing(Clock())
    assert all(sparing.filter(said("guardian.ingest.loop", "ingest starts anew in %.1f s", 5)) for _ in range(100))


def test_a_library_that_never_says_the_same_twice_takes_no_memory() -> None:
    sparing = Sparing(Clock())
    assert all(sparing.filter(said("aiokafka", f"request {number}")) for number in range(3_000))
    assert len(sparing._said) <= 1_000
