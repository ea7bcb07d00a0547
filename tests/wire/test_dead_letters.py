"""Dead letters are read as far as they can be, whatever they are."""

from __future__ import annotations

import pytest

from guardian.errors import DecodeError
from guardian.wire.dead_letters import Letter, decode_letter, read_letter

HEADERS = [
    ("guardian-reason", b"bad_value"),
    ("guardian-detail", b"outcome is unknown"),
    ("guardian-source", b"guardian.telemetry/3/812"),
]


def test_a_letter_says_why_who_whose_and_where() -> None:
    letter = read_letter("0/7", 5, HEADERS, b'{"service": "shop", "flag": "a", "flags": {"b": "on", "c": 1}}')
    assert letter == Letter(
        "0/7", 5, "bad_value", "outcome is unknown", "shop", ["a", "b", "c"], "guardian.telemetry", 3, 812, 62
    )
    assert letter.source == "guardian.telemetry/3/812"


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"[" * 100_000, b"no json", b'{"service": 7, "flag": {}}'])
def test_a_value_of_any_kind_does_no_harm(value: bytes | None) -> None:
    letter = read_letter("0/7", 5, [("guardian-reason", b"malformed_json"), ("guardian-detail", b"\xff")], value)
    assert (letter.reason, letter.detail, letter.service, letter.flags) == ("malformed_json", "\ufffd", "", [])
    assert (letter.topic, letter.partition, letter.offset, letter.source) == ("", -1, -1, "")
    assert letter.size == len(value or b"")


def test_a_service_is_read_beside_a_field_of_a_wrong_type() -> None:
    letter = read_letter("0/7", 5, HEADERS, b'{"service": "shop", "flag": 7, "flags": "all", "ts": "now"}')
    assert (letter.service, letter.flags) == ("shop", [])


def test_a_letter_that_was_cut_tells_the_whole_size() -> None:
    assert read_letter("0/7", 5, [*HEADERS, ("guardian-truncated", b"10000000")], b"{").size == 10_000_000


def test_names_are_bounded() -> None:
    flags = ",".join(f'"f{number}": "on"' for number in range(1_000))
    letter = read_letter("0/7", 5, HEADERS, b'{"service": "%s", "flags": {%s}}' % (b"s" * 9_000, flags.encode()))
    assert (len(letter.service), len(letter.flags)) == (200, 16)


@pytest.mark.parametrize("source", [b"", b"/", b"t", b"t/x/-1", "t/\u0662/1".encode(), b"t/1/" + b"9" * 400])
def test_a_place_that_is_none_is_told_as_none(source: bytes) -> None:
    letter = read_letter("0/7", 5, [("guardian-source", source)], b"{}")
    assert -1 in (letter.partition, letter.offset)


def test_what_is_no_letter_is_refused() -> None:
    with pytest.raises(DecodeError, match="dead letter"):
        decode_letter(b'{"id": 7}')
