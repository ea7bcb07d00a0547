"""Every error guardian raises says whose fault it is and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path


class Exit(IntEnum):
    """Exit codes of the command line, the same for every command."""

    OK = 0
    NO = 1  # the answer is no: refused, a check failed, not healthy
    USAGE = 2  # wrong words: an option, a spec, a setting
    UNREACHABLE = 3  # the broker did not answer
    NO_ANSWER = 4  # sent, but no answer came in time: it may still happen
    INTERNAL = 70  # a fault of guardian's own


class GuardianError(Exception):
    """What went wrong, and the way out.

    Args:
        message: one sentence, without a full stop at the end being required.
        fix: what the reader can do about it; empty when there is nothing to add.
    """

    exit_code: Exit = Exit.NO

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file that a person wrote.

    Args:
        path: where in the document, as `steps[1].weight`; empty for the document itself.
        message: what is wrong.
        fix: what would be right.
        line: 1-based line in the file, 0 when unknown.
        column: 1-based column, 0 when unknown.
    """

    path: str
    message: str
    fix: str = ""
    line: int = 0
    column: int = 0


class SpecError(GuardianError):
    """The rollout spec is wrong: fix the file. Carries every problem, not the first alone."""

    exit_code = Exit.USAGE

    def __init__(self, problems: list[Problem], source: str = "") -> None:
        noun = "problem" if len(problems) == 1 else "problems"
        super().__init__(f"{source or 'spec'}: {len(problems)} {noun}", "correct the spec and try again")
        self.problems = problems
        self.source = source


class SettingsError(GuardianError):
    """A setting of this installation is wrong: guardian.toml, GUARDIAN_* or an option."""

    exit_code = Exit.USAGE


class DecodeReason(StrEnum):
    """Why a message went to the dead letters: the value of the header `guardian-reason`."""

    MALFORMED_JSON = "malformed_json"
    WRONG_TYPE = "wrong_type"
    MISSING_FIELD = "missing_field"
    BAD_FLAG_NAME = "bad_flag_name"
    BAD_VALUE = "bad_value"  # NaN, infinity, negative latency, unknown outcome or kind
    TIME_IN_MILLISECONDS = "time_in_milliseconds"
    TIME_IN_FUTURE = "time_in_future"
    TOO_LARGE = "too_large"
    UNKNOWN_COMMAND = "unknown_command"
    NOT_FOLDED = "not_folded"  # an input record on which guardian's own code failed
    UNREADABLE = "unreadable"  # a whole record batch: codec, checksum, size


class DecodeError(GuardianError):
    """The producer sent something that cannot be read: a dead letter, counted, and on we go."""

    def __init__(self, reason: DecodeReason, message: str, fix: str = "") -> None:
        super().__init__(message, fix)
        self.reason = reason


class TransportError(GuardianError):
    """Kafka did not do what was asked.

    Args:
        retriable: true when waiting and trying again may help.
    """

    exit_code = Exit.UNREACHABLE

    def __init__(self, message: str, fix: str = "", *, retriable: bool) -> None:
        super().__init__(message, fix)
        self.retriable = retriable


class TopicGone(TransportError):
    """A topic that is needed is not there, or is not the one that it was."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message, fix, retriable=False)


class IllegalTransition(GuardianError):
    """The rollout's phase does not allow this signal; nothing was changed."""

    def __init__(self, phase: str, signal: str, fix: str = "") -> None:
        super().__init__(f"cannot {signal} while {phase}", fix)
        self.phase = phase
        self.signal = signal


class InternalError(GuardianError):
    """A fault of guardian's own: stop rather than decide on a broken state."""

    exit_code = Exit.INTERNAL


def check_namespace() -> None:
    """Refuse to run when django-guardian is installed over this package.

    Both install a package named `guardian`; whichever came last overwrote files of the other.

    Raises:
        SettingsError: django-guardian's files stand in this package's folder.
    """
    here = Path(__file__).parent
    strangers = [name for name in ("shortcuts.py", "backends.py") if (here / name).exists()]
    if strangers:
        raise SettingsError(
            f"django-guardian is installed in the same environment: {', '.join(strangers)} in {here}",
            "both install a package named 'guardian'; give rollout-guardian an environment of its own",
        )
