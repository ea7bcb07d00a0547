"""Targeting rules: the part of JsonLogic that guardian's flag documents use, checked whole before it is ever run.

A rule is compiled once, when its document arrives, into nested functions; so an unknown operator or an absurd nesting
is found then, and an evaluation is bounded by what was counted then.
The meaning of the operators, coercions included, is the one that flagd's Python reference has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from guardian.errors import GuardianError

MAX_DEPTH: Final = 32
MAX_NODES: Final = 20_000
"""Operators and values of one rule; a deny list of 1,000 subjects fits many times."""
ANYTHING: Final = "*"
"""Stands in `Rule.variables` for a variable whose name is itself computed."""

Node = Callable[[Mapping[str, Any]], Any]
_Two = Callable[[Any, Any], bool]


class RuleError(GuardianError):
    """The rule cannot be run by this version: an unknown operator, or too much of it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that can be run.

    Args:
        run: takes the context (attribute name to value) and returns what the rule says, a variant's name as a rule.
        variables: the first names of the attributes that it reads; `*` when it cannot be told.
    """

    run: Node
    variables: frozenset[str]


def compile_rule(logic: Any) -> Rule:
    """Return the rule, ready to run.

    Args:
        logic: plain JSON values.

    Raises:
        RuleError: an operator that this version does not know, or a rule beyond MAX_DEPTH or MAX_NODES.
    """
    compiler = _Compiler()
    run = compiler.node(logic, 0)
    return Rule(run, frozenset(compiler.variables))


class _Compiler:
    """One pass over a rule; counts what it met."""

    def __init__(self) -> None:
        self.variables: set[str] = set()
        self._left = MAX_NODES
        self._builders: dict[str, Callable[[list[Any], int], Node]] = {
            "var": self._var,
            "if": self._if,
            "?:": self._if,
            "and": self._and,
            "or": self._or,
            "in": self._in,
        }

    def node(self, logic: Any, depth: int) -> Node:
        self._left -= 1
        if self._left < 0:
            raise RuleError(f"a targeting rule of more than {MAX_NODES} parts")
        if depth > MAX_DEPTH:
            raise RuleError(f"a targeting rule nested more than {MAX_DEPTH} deep")
        if isinstance(logic, list):
            return self._list(logic, depth)
        if not isinstance(logic, dict) or len(logic) != 1:
            return _constant(logic)
        ((name, given),) = logic.items()
        arguments = given if isinstance(given, list) else [given]
        if builder := self._builders.get(name):
            return builder(arguments, depth + 1)
        if compare := _COMPARISONS.get(name):
            return self._comparison(compare, arguments, depth + 1)
        if truth := _TRUTHS.get(name):
            value = self._argument(arguments, 0, depth + 1)
            return lambda context: truth(value(context))
        raise RuleError(f"the operator {name[:64]!r} is not known to this version")

    def _argument(self, arguments: list[Any], index: int, depth: int) -> Node:
        return self.node(arguments[index], depth) if index < len(arguments) else _constant(None)

    def _list(self, items: list[Any], depth: int) -> Node:
        if not any(isinstance(item, list | dict) for item in items):
            self._left -= len(items)
            return _constant(items)
        nodes = [self.node(item, depth + 1) for item in items]
        return lambda context: [node(context) for node in nodes]

    def _var(self, arguments: list[Any], depth: int) -> Node:
        default = self._argument(arguments, 1, depth)
        path = arguments[0] if arguments else None
        if isinstance(path, list | dict):
            self.variables.add(ANYTHING)
            computed = self.node(path, depth)
            return lambda context: _at(context, computed(context), default(context))
        if path is None or path == "":
            self.variables.add(ANYTHING)
            return lambda context: context
        name = _text(path)
        self.variables.add(name.partition(".")[0])
        if "." in name:
            return lambda context: _at(context, name, default(context))

        def plain(context: Mapping[str, Any]) -> Any:
            value = context.get(name)
            return default(context) if value is None else value

        return plain

    def _if(self, arguments: list[Any], depth: int) -> Node:
        nodes = [self.node(argument, depth) for argument in arguments]
        otherwise = nodes[-1] if len(nodes) % 2 else _constant(None)
        branches = list(zip(nodes[0::2], nodes[1::2], strict=False))
        if len(branches) == 1:
            ((condition, then),) = branches
            return lambda context: then(context) if _truth(condition(context)) else otherwise(context)

        def chain(context: Mapping[str, Any]) -> Any:
            for condition, then in branches:
                if _truth(condition(context)):
                    return then(context)
            return otherwise(context)

        return chain

    def _and(self, arguments: list[Any], depth: int) -> Node:
        return self._until(arguments, depth, stop_at=False)

    def _or(self, arguments: list[Any], depth: int) -> Node:
        return self._until(arguments, depth, stop_at=True)

    def _until(self, arguments: list[Any], depth: int, *, stop_at: bool) -> Node:
        nodes = [self.node(argument, depth) for argument in arguments]

        def walk(context: Mapping[str, Any]) -> Any:
            value = None
            for node in nodes:
                value = node(context)
                if _truth(value) is stop_at:
                    return value
            return value

        return walk

    def _in(self, arguments: list[Any], depth: int) -> Node:
        needle, haystack = self._argument(arguments, 0, depth), self._argument(arguments, 1, depth)
        listed = arguments[1] if len(arguments) > 1 else None
        if isinstance(listed, list) and all(isinstance(item, str) for item in listed):
            # A deny list is asked about at every evaluation: a set, so that its length costs nothing.
            names = frozenset(listed)
            return lambda context: (found := needle(context)).__class__ is str and found in names
        return lambda context: _contains(needle(context), haystack(context))

    def _comparison(self, compare: _Two, arguments: list[Any], depth: int) -> Node:
        left, right = self._argument(arguments, 0, depth), self._argument(arguments, 1, depth)
        if len(arguments) < 3 or compare not in _ORDERED:
            return lambda context: compare(left(context), right(context))
        third = self._argument(arguments, 2, depth)

        def between(context: Mapping[str, Any]) -> bool:
            middle, last = right(context), third(context)
            return compare(left(context), middle) and (last is None or compare(middle, last))

        return between


def _constant(value: Any) -> Node:
    return lambda context: value


def _at(data: Any, path: Any, default: Any) -> Any:
    """The value at a dotted path through objects, lists (by index) and texts, or the default."""
    if path is None or path == "":
        return data
    for part in _text(path).split(".")[:MAX_DEPTH]:
        if isinstance(data, Mapping):
            data = data.get(part)
        elif isinstance(data, list | tuple | str):
            data = _element(data, part)
        else:
            return default
    return default if data is None else data


def _element(data: list[Any] | tuple[Any, ...] | str, part: str) -> Any:
    if part == "length":
        return len(data)
    # Only the canonical form of an index counts: "01" and "+1" are no elements.
    if not part.isascii() or not part.isdigit() or len(part) > 9 or str(int(part)) != part or int(part) >= len(data):
        return None
    return data[int(part)]


def _truth(value: Any) -> bool:
    if value is True or value is False:
        return value
    if value is None:
        return False
    if isinstance(value, float):
        return value != 0 and not math.isnan(value)
    if isinstance(value, str | int | list):
        return bool(value)
    return True


def _number(value: Any) -> float:
    if isinstance(value, int | float):
        return value
    if value is None:
        return 0
    if isinstance(value, list):
        return 0 if not value else _number(value[0]) if len(value) == 1 else math.nan
    if isinstance(value, str) and value.strip().lstrip("+-").lower() not in ("inf", "infinity"):
        try:
            return float(value)
        except ValueError:
            return math.nan
    return math.nan


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, list):
        return ",".join(_text(item) for item in value)
    return "[object Object]" if isinstance(value, Mapping) else str(value)


def _pair(left: Any, right: Any) -> tuple[Any, Any]:
    """Both sides as they are compared: numbers as soon as one is a number, texts as soon as one is a text."""
    if isinstance(left, int | float) or isinstance(right, int | float):
        return _number(left), _number(right)
    if isinstance(left, str) or isinstance(right, str):
        return _text(left), _text(right)
    return _number(left), _number(right)


def _less(left: Any, right: Any) -> bool:
    first, second = _pair(left, right)
    return bool(first < second)


def _at_most(left: Any, right: Any) -> bool:
    first, second = _pair(left, right)
    return bool(first <= second)


def _more(left: Any, right: Any) -> bool:
    first, second = _pair(left, right)
    return bool(first > second)


def _at_least(left: Any, right: Any) -> bool:
    first, second = _pair(left, right)
    return bool(first >= second)


def _equal(left: Any, right: Any) -> bool:
    if type(left) is type(right):
        return left is right if isinstance(left, list | dict) else bool(left == right)
    if isinstance(left, int | float) or isinstance(right, int | float):
        return _number(left) == _number(right)
    if left is None or right is None:
        return False
    if isinstance(left, str) or isinstance(right, str):
        return _text(left) == _text(right)
    return False


def _same(left: Any, right: Any) -> bool:
    return bool(left == right)


def _contains(needle: Any, haystack: Any) -> bool:
    if isinstance(haystack, list | tuple):
        return needle in haystack
    return isinstance(haystack, str) and _text(needle) in haystack


_ORDERED: Final[frozenset[_Two]] = frozenset({_less, _at_most, _more, _at_least})
_COMPARISONS: Final[dict[str, _Two]] = {
    "<": _less,
    "<=": _at_most,
    ">": _more,
    ">=": _at_least,
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "===": _same,
    "!==": lambda left, right: not _same(left, right),
}
_TRUTHS: Final[dict[str, Callable[[Any], bool]]] = {"!": lambda value: not _truth(value), "!!": _truth}
