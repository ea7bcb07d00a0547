"""The longest page, in a file of its own: so it is followed beside the others, not after them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.docs.pages import TUTORIAL, read_page
from tests.docs.reader import Reader


def test_the_tutorial_can_be_followed_word_by_word(tmp_path: Path) -> None:
    page = read_page(TUTORIAL, TUTORIAL.read_text(encoding="utf-8"))
    assert page.runs
    asyncio.run(Reader(page, tmp_path).follow())
