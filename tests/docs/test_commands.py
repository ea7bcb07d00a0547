"""Every page is followed from top to bottom: its files are saved, its commands typed, its outputs compared."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.docs.pages import MAIN, ROOT, TUTORIAL, Page, Run, all_pages, read_page
from tests.docs.reader import Reader

PAGES = all_pages()


def name_of(page: Page) -> str:
    return str(page.path.relative_to(ROOT))


FOLLOWED = [
    pytest.param(page, id=name_of(page), marks=[pytest.mark.kafka] if page.needs_kafka else [])
    for page in PAGES
    if page.runs and page.path != TUTORIAL
]


@pytest.mark.parametrize("page", FOLLOWED)
def test_the_page_can_be_followed_word_by_word(page: Page, tmp_path: Path) -> None:
    asyncio.run(Reader(page, tmp_path).follow())


def test_every_console_block_says_what_is_done_with_it() -> None:
    assert [fault for page in PAGES for fault in page.faults] == []


def test_a_block_without_a_comment_or_without_commands_is_a_fault() -> None:
    bare = read_page(Path("a.md"), "```console\n$ ls\n```\n")
    stale = read_page(Path("a.md"), "<!-- run -->\nwords between\n\n```console\n$ ls\n```\n")
    empty = read_page(Path("a.md"), "<!-- run -->\n```console\nls\n```\n")
    wrong = read_page(Path("a.md"), "<!-- run, perhaps -->\n```console\n$ ls\n```\n")
    assert [len(page.faults) for page in (bare, stale, empty, wrong)] == [1, 1, 1, 1]


def test_a_page_that_lies_is_found_out(tmp_path: Path) -> None:
    lies = {
        "printed": "<!-- run -->\n```console\n$ echo one\ntwo\n```\n",
        "ended with 1, expected 0": "<!-- run -->\n```console\n$ false\n```\n",
        "ended with 0, expected 2": "<!-- run, exit 2 -->\n```console\n$ true\n```\n",
    }
    for number, (fault, text) in enumerate(lies.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(AssertionError, match=fault):
            asyncio.run(Reader(read_page(Path("a.md"), text), folder).follow())


def test_a_page_may_save_files_continue_lines_and_leave_out_output(tmp_path: Path) -> None:
    text = (
        "<!-- file: a/b.txt -->\n```\none\ntwo\nthree\n```\n\n<!-- run in other -->\n```console\n"
        "$ export WHAT=a\n$ cat $WHAT/b.txt\none\n...\nth...ee\n$ cat <<END\n> x\n> END\nx\n```\n"
    )
    page = read_page(Path("a.md"), text)
    assert isinstance(page.deeds[1], Run)
    assert page.deeds[1].terminal == "other" != MAIN
    asyncio.run(Reader(page, tmp_path).follow())
