"""spec.md: every word of the spec with what it takes, what it means, its default and an example."""

from __future__ import annotations

from pathlib import Path

from docs.made.markdown import block, code, page, table
from guardian.core.text import weight_text
from guardian.spec.document import MAX_DEPTH, MAX_SPEC_CHARS
from guardian.spec.ladder import LADDERS_BP
from guardian.spec.section import MAX_ITEMS
from guardian.spec.vocabulary import LATER, LATER_VALUES, SECTIONS, Word

_ROOT = Path(__file__).parents[2]
_INTRO = f"""\
A spec says how one flag is rolled out. It is a YAML file.
`guardian init FLAG` writes one with a comment on every word. `guardian check FILE` reads it whole and names every
mistake with its line. `guardian apply FILE` hands it over.

- YAML 1.2: `on` and `off` are words, `true` and `false` are truth values.
- A word that this version does not act on is an error. It is never ignored.
- A bare number is an error for weights, rates and times: write `5%`, `200ms`, `1h`.
- Weights rise from step to step, in steps of `0.01%`, at most `100%`.
- A spec has at most {MAX_SPEC_CHARS:,} characters, {MAX_DEPTH} levels, and {MAX_ITEMS} values in a list.
- The rules of gates and triggers have [a page of their own](trigger-language.md).
"""
_TITLES = {
    "spec": "The spec",
    "variants": "`variants`",
    "step": "A step of `steps`",
    "gate": "A gate of `gates`",
    "trigger": "A trigger of `triggers`",
    "rollback": "`rollback`",
    "step rollback": "`rollback` of a step",
}
_NOTES = {
    "gate": 'A gate may be its rule alone, as a text: `gates: ["error_rate < 1%"]`.',
    "trigger": """\
A trigger may be its rule alone, as a text: `triggers: ["crash_count > 0 per step"]`.

A trigger that an apply changes or brings in mid-step starts its evidence at the apply.
What happened before does not count for it: no window of it begins earlier, `per step` means since the apply,
a hold runs anew, a reported bug or a figure that somebody set must come again.
A new trigger is no exception: one without a name is named after its rule, so that a changed one comes as a new one.
A change of `tell` or `severity` alone is no change of what it looks at, and its evidence goes on.
A trigger that stays as it was goes on, whatever else the apply changes.
The next flag change begins new evidence for all.""",
    "step rollback": "What it does not say, the rollout's `rollback` says.",
}


def render() -> str:
    """Return the page."""
    parts = [_INTRO, _whole_example(), _ladders()]
    for kind, words in SECTIONS.items():
        parts += [f"## {_TITLES.get(kind, kind)}", *([_NOTES[kind]] if kind in _NOTES else []), _words(words)]
    return page("The spec", *parts, _later())


def _whole_example() -> str:
    text = (_ROOT / "examples" / "specs" / "new-pricing.yaml").read_text(encoding="utf-8")
    return "## A whole one\n\n" + block("yaml", text)


def _ladders() -> str:
    rows = [
        [code(str(strategy)), " → ".join(weight_text(weight) for weight in weights)]
        for strategy, weights in LADDERS_BP.items()
    ]
    return "## Strategies\n\nWithout `steps` the strategy's ladder is climbed.\n\n" + table(
        ["strategy", "weights"], rows
    )


def _words(words: dict[str, Word]) -> str:
    rows = [
        [code(name), word.takes, word.meaning, word.default or "**required**", code(_example(name, word))]
        for name, word in words.items()
    ]
    return table(["word", "takes", "what it does", "unless said", "example"], rows)


def _example(name: str, word: Word) -> str:
    """The word as it stands in a file; sections and lists are shown in their own place."""
    return "" if "..." in word.example else f"{name}: {word.example}"


def _later() -> str:
    words = ", ".join(code(word) for word in sorted(LATER))
    values = ", ".join(code(value) for value in sorted(LATER_VALUES))
    head = "## Not yet\n\nThese belong to later versions. Here they are errors that say so."
    return f"{head}\n\n- Words: {words}.\n- Values: {values}."
