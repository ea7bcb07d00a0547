"""A rule's text becomes what is written in it, or one fault that says where reading ended and what belongs there."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Final

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from guardian.core.rollout import Against, Op
from guardian.spec.amounts import UNIT_MS, shown
from guardian.spec.rule_words import ALONE, EXPECTED, later_words

MAX_RULE_CHARS: Final = 300
NOT_YET_FIX: Final = "leave this rule out for now"

_PARSER: Final = Lark(
    (files("guardian.spec") / "rules.lark").read_text("utf-8"), start="rule", parser="lalr", propagate_positions=True
)
_OPS: Final = {"ABOVE": Op.ABOVE, "BELOW": Op.BELOW, "AT_LEAST": Op.AT_LEAST, "AT_MOST": Op.AT_MOST}
_UNITS: Final = {"PERCENT": "%", "MILLISECOND": "ms", "SECOND": "s"}
_REFERENCES: Final = {"CONTROL": Against.CONTROL, "BASELINE": Against.BASELINE}


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a rule.

    Args:
        message: what.
        fix: what would be right.
        offset: where, in characters from the rule's start.
    """

    message: str
    fix: str
    offset: int = 0


class RuleError(ValueError):
    """A rule cannot be acted on; carries every fault."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = faults


@dataclass(frozen=True)
class Clause:
    """What stands after the limit: `over`, `hold`, `per` (with milliseconds) or `per_step`."""

    kind: str
    ms: Decimal
    offset: int


@dataclass(frozen=True)
class Limit:
    """The number that the metric is compared with, and its unit: `%`, `ms`, `s`, `kb` to `tib`, `x` or none."""

    text: str
    number: Decimal
    unit: str
    offset: int


@dataclass(frozen=True)
class Written:
    """A rule as it is written, before it is asked what it means.

    Args:
        metric: letter by letter.
        against: what the limit is a multiple of; PAST for growth.
        period: of growth, None for any other rule.
        is_silence: `silent for`; limit and metric say nothing then but the time.
    """

    metric: str
    op: Op
    limit: Limit
    clauses: list[Clause]
    offset: int
    against: Against = Against.NONE
    period: Clause | None = None
    is_silence: bool = False


def read_rule(text: str) -> Written:
    """Read a rule's text.

    Args:
        text: as the person wrote it, whatever it is.

    Returns:
        what is written in it.

    Raises:
        RuleError: it does not follow the grammar.
    """
    tree = _tree_of(text)
    match str(tree.data):
        case "bug":
            return Written("bug_count", Op.ABOVE, Limit("0", Decimal(0), "", 0), [], 0)
        case "silent":
            span = _subtrees(tree)[0]
            limit = Limit(text[span.meta.start_pos : span.meta.end_pos], _span_ms(span), "ms", span.meta.start_pos)
            return Written("silence", Op.AT_LEAST, limit, [], 0, is_silence=True)
        case "growing":
            return _growing(tree, text)
        case form:
            return _comparing(tree, text, is_relative=form == "relative")


def _comparing(tree: Tree[Token], text: str, *, is_relative: bool) -> Written:
    metric, comparison, limit, *clauses = _subtrees(tree)
    return Written(
        metric=_words(metric, text),
        op=_OPS[_tokens(comparison)[0].type],
        limit=_limit_of(limit, text),
        clauses=[_clause_of(clause) for clause in clauses],
        offset=metric.meta.start_pos,
        against=_REFERENCES[_tokens(limit)[2].type] if is_relative else Against.NONE,
    )


def _growing(tree: Tree[Token], text: str) -> Written:
    metric, growth, *clauses = _subtrees(tree)
    period = _subtrees(growth)[0]
    return Written(
        metric=_words(metric, text),
        op=Op.AT_LEAST,
        limit=_limit_of(growth, text),
        clauses=[_clause_of(clause) for clause in clauses],
        offset=metric.meta.start_pos,
        against=Against.PAST,
        period=Clause("period", _span_ms(period), period.meta.start_pos),
    )


def _words(metric: Tree[Token], text: str) -> str:
    return " ".join(text[metric.meta.start_pos : metric.meta.end_pos].split())


def _tree_of(text: str) -> Tree[Token]:
    if len(text) > MAX_RULE_CHARS:
        raise RuleError([Fault(f"a rule of {len(text):,} characters", f"a rule has at most {MAX_RULE_CHARS}")])
    if not text.strip():
        raise RuleError([Fault("an empty rule", "write it as `error_rate > 5% for 5 minutes`")])
    strange = next((i for i, c in enumerate(text) if not (" " <= c <= "~" or c in "\t\n\r")), None)
    if strange is not None:
        raise RuleError(
            [Fault(f"cannot read {text[strange]!a} in a rule", "rules are written in plain ASCII", strange)]
        )
    try:
        return _PARSER.parse(text.lower())
    except UnexpectedInput as error:
        raise RuleError([_explained(text, error)]) from None


def _explained(text: str, error: UnexpectedInput) -> Fault:
    """Say in words where reading ended."""
    later = later_words(text)
    if later:
        return Fault(f"this version does not act on {later[0]} yet", NOT_YET_FIX, later[1])
    expected = _expected(error)
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return Fault(f"the rule ends too early: {shown(text)}", expected, len(text.rstrip()))
    offset = error.pos_in_stream or 0
    rest = text[offset:]
    if rest[:1].isdigit() or (rest[:1] in (",", "_") and text[offset - 1 : offset].isdigit()):
        return Fault(f"cannot read the number at {shown(rest)}", "write numbers plainly, as `1000` or `0.5`", offset)
    if rest[:1] == "-":
        return Fault(f"cannot read {shown(rest)}", "limits are not negative", offset)
    return Fault(f"cannot read {shown(rest)}", expected, offset)


def _expected(error: UnexpectedInput) -> str:
    """What would have been right there."""
    terminals: set[str] = set()
    if isinstance(error, UnexpectedToken):
        terminals = set(error.accepts or error.expected)
    elif isinstance(error, UnexpectedCharacters):
        terminals = set(error.allowed or ())
    if "WORD" in terminals and "ABOVE" not in terminals:
        return "here belongs a metric such as `error_rate`"
    phrases = [phrase for names, phrase in EXPECTED if names & terminals]
    if "OVER" not in terminals:
        phrases += [phrase for name, phrase in ALONE.items() if name in terminals]
    return f"here belongs {' or '.join(phrases)}" if phrases else "a rule reads like `error_rate > 5% for 5 minutes`"


def _limit_of(tree: Tree[Token], text: str) -> Limit:
    number, *unit = _tokens(tree)
    written = text[tree.meta.start_pos : tree.meta.end_pos]
    return Limit(written, Decimal(str(number)), _unit_of(unit[0]) if unit else "", tree.meta.start_pos)


def _unit_of(token: Token) -> str:
    if token.type == "TIMES":
        return "x"
    return _UNITS.get(token.type, str(token))


def _clause_of(tree: Tree[Token]) -> Clause:
    return Clause(str(tree.data), sum((_span_ms(part) for part in _subtrees(tree)), Decimal(0)), tree.meta.start_pos)


def _span_ms(tree: Tree[Token]) -> Decimal:
    """A duration, or a period that may be a bare unit: `per hour`."""
    total = sum((_span_ms(part) for part in _subtrees(tree)), Decimal(0))
    amount = Decimal(1)
    for token in _tokens(tree):
        if token.type == "NUMBER":
            amount = Decimal(str(token))
        else:
            total += amount * UNIT_MS[token[0]]
    return total


def _subtrees(tree: Tree[Token]) -> list[Tree[Token]]:
    return [child for child in tree.children if isinstance(child, Tree)]


def _tokens(tree: Tree[Token]) -> list[Token]:
    return [child for child in tree.children if isinstance(child, Token)]
