"""The split is the same in every language and for ever: these numbers were made with md5sum and Perl."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.core.split import split_of


@pytest.mark.parametrize(
    ("salt", "key", "split"),
    [("new-pricing", "u-102938", 8_472), ("none", "u-102938", 772), ("größe", "ÿ-7", 9_362)],
)
def test_a_subject_has_this_split_in_every_language(salt: str, key: str, split: int) -> None:
    assert split_of(salt, key) == split


@given(st.text(max_size=40), st.integers(0, 100))
def test_without_a_salt_whole_per_cents_are_md5_of_the_user_modulo_a_hundred(user: str, percentage: int) -> None:
    in_plan = int(hashlib.md5(user.encode(), usedforsecurity=False).hexdigest(), 16) % 100 < percentage
    assert (split_of("none", user) < percentage * 100) is in_plan


@given(st.text(max_size=20), st.text(max_size=40))
def test_every_split_is_one_of_ten_thousand(salt: str, key: str) -> None:
    assert 0 <= split_of(salt, key) < 10_000
