"""What a subject gets of a flag, and why: a pure function of the document, the subject, its attributes and overrides.

The order is design.md's section 9, as far as the document carries it today. Nothing beats a kill towards the candidate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from openfeature.flag_evaluation import Reason

from guardian.core.events import SPLIT_VARIABLE, Assignment
from guardian.core.split import split_of
from guardian.sdk.document import FlagDocument
from guardian.sdk.rules import Rule

OPT_ATTRIBUTE: Final = "guardian_opt"
"""The context attribute by which a call opts in (`"in"`) or out (`"out"`); anything else is no opinion."""
TARGETING_KEY: Final = "targetingKey"
"""The name by which targeting rules read the subject."""
_SPLITS: Final = 10_000

_ON: Final = frozenset({"true", "on", "1"})
_OFF: Final = frozenset({"false", "off", "0"})

_STATIC, _DEFAULT, _DISABLED = str(Reason.STATIC), str(Reason.DEFAULT), str(Reason.DISABLED)
_MATCH, _SPLIT = str(Reason.TARGETING_MATCH), str(Reason.SPLIT)


class Answer(NamedTuple):
    """What one evaluation says.

    Args:
        variant: the variant's name; None for the application's own default.
        reason: OpenFeature's word.
        assignment: guardian's word: why the subject got its variant.
        fault: what went wrong on the way; the answer holds all the same. Empty when nothing did.
        override_ignored: an environment variable of the right name had a value that says nothing.
    """

    variant: str | None
    reason: str
    assignment: str
    fault: str = ""
    override_ignored: bool = False


def evaluate(
    document: FlagDocument, key: str | None, attributes: Mapping[str, Any], environ: Mapping[str, str]
) -> Answer:
    """Return what a subject gets.

    Args:
        document: what guardian says about the flag.
        key: the targeting key, such as a user's id; None or empty for nobody in particular.
        attributes: the evaluation context; its `guardian_split` is never looked at.
        environ: where overrides are read, the process's environment as a rule.
    """
    if not document.enabled:
        return Answer(None, _DISABLED, Assignment.DEFAULT)
    override = environ.get(document.override_name)
    if override is None:
        return _without_override(document, key, attributes)
    wanted = _wanted(document, override)
    # Step 1: an override to control comes first, so that a host can always get out.
    if wanted == document.control and wanted:
        return Answer(wanted, _STATIC, Assignment.OVERRIDE)
    # Step 2: the kill switch. (Step 3, deny, is part of the targeting once documents carry it.)
    # Step 4: an override to the candidate.
    if wanted and not document.killed:
        return Answer(wanted, _STATIC, Assignment.OVERRIDE)
    answer = _without_override(document, key, attributes)
    return answer if wanted else answer._replace(override_ignored=True)


def _without_override(document: FlagDocument, key: str | None, attributes: Mapping[str, Any]) -> Answer:
    # Step 2: the kill switch.
    if document.killed:
        return Answer(document.control or None, _STATIC, Assignment.KILLED)
    # Step 5: opting in or out, per call. What was rolled back protects: nobody opts in until a new attempt.
    opt = attributes.get(OPT_ATTRIBUTE) if attributes else None
    if opt == "out" and document.control:
        return Answer(document.control, _MATCH, Assignment.OPT)
    if opt == "in" and document.candidate and not document.rolled_back:
        return Answer(document.candidate, _MATCH, Assignment.OPT)
    # Step 6: allow, audience, enrolment and split are the targeting. Step 7: the default.
    if document.rule is None:
        reason = _DEFAULT if document.rule_fault or not document.default_variant else _STATIC
        return Answer(document.default_variant or None, reason, Assignment.DEFAULT, document.rule_fault)
    try:
        return _targeted(document, document.rule, key, attributes)
    except Exception as error:  # an attribute may be any object, and raise when it is compared
        return _defaulted(document, f"{type(error).__name__}: {error}")


def _targeted(document: FlagDocument, rule: Rule, key: str | None, attributes: Mapping[str, Any]) -> Answer:
    split = split_of(document.salt, str(key)) if key else None
    context: dict[str, Any] = {}
    if not document.split_only:
        context = {**attributes, TARGETING_KEY: key}
        # The application's own value is never taken, also where there is no split to write over it.
        context.pop(SPLIT_VARIABLE, None)
    if split is not None:
        context[SPLIT_VARIABLE] = split
    variant = _variant_name(rule.run(context))
    if variant is None:
        if not document.default_variant:
            return Answer(None, _DEFAULT, Assignment.DEFAULT)
        variant = document.default_variant
    elif variant not in document.variants:
        return _defaulted(document, f"the targeting names {variant[:64]!r}, which is not a variant")
    assignment = _assignment(document, rule, variant, context)
    return Answer(variant, _REASONS[assignment], assignment)


def _assignment(document: FlagDocument, rule: Rule, variant: str, context: dict[str, Any]) -> Assignment:
    """Why: found by asking the same rule as if the subject had the lowest, and no, share in the split."""
    known = SPLIT_VARIABLE in context
    if document.split_only:
        return Assignment.SPLIT if known else Assignment.DEFAULT
    if variant == document.candidate:
        always = _variant_name(rule.run({**context, SPLIT_VARIABLE: _SPLITS})) == variant
        return Assignment.ALLOW if always else Assignment.SPLIT
    if _variant_name(rule.run({**context, SPLIT_VARIABLE: 0})) == variant:
        return Assignment.OUTSIDE
    return Assignment.SPLIT if known else Assignment.DEFAULT


def _defaulted(document: FlagDocument, fault: str) -> Answer:
    return Answer(document.default_variant or None, _DEFAULT, Assignment.DEFAULT, fault)


def _variant_name(found: Any) -> str | None:
    """A rule's result as a variant's name: flagd lets it be a boolean."""
    if isinstance(found, str) or found is None:
        return found
    return str(found).lower() if isinstance(found, bool) else str(found)


def _wanted(document: FlagDocument, override: str) -> str:
    """The variant that an override asks for; empty when it says nothing. Names come before words."""
    text = override.strip()
    for name in (document.control, document.candidate):
        if name and text == name:
            return name
    word = text.lower()
    if word in _OFF:
        return document.control
    return document.candidate if word in _ON else ""


_REASONS: Final[dict[Assignment, str]] = {
    Assignment.SPLIT: _SPLIT,
    Assignment.ALLOW: _MATCH,
    Assignment.OUTSIDE: _MATCH,
    Assignment.DEFAULT: _DEFAULT,
}
