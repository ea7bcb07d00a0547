"""What is installed here: versions, and whether another package has taken guardian's name."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Final

from guardian import __version__
from guardian.cli.doctor.finding import Finding, Level, ok
from guardian.errors import SettingsError, check_namespace

_STRANGER: Final = "django-guardian"


def examine_machine() -> list[Finding]:
    """Look at this Python and its packages."""
    return [ok("versions", f"guardian {__version__}, Python {platform.python_version()}, {_packages()}"), _namespace()]


def _packages() -> str:
    return ", ".join(f"{name} {version_of(name) or 'not installed'}" for name in ("aiokafka", "faust-streaming"))


def version_of(name: str) -> str:
    """Return the version of an installed package; empty when it is not there."""
    try:
        return installed(name)
    except PackageNotFoundError:
        return ""


def _namespace() -> Finding:
    fix = "give rollout-guardian an environment of its own"
    try:
        check_namespace()
    except SettingsError as error:
        return Finding("namespace", Level.PROBLEM, error.message, error.fix)
    if found := version_of(_STRANGER):
        text = f"{_STRANGER} {found} is installed beside rollout-guardian: both own the package 'guardian'"
        return Finding("namespace", Level.WARNING, text, fix)
    return ok("namespace", f"the package 'guardian' is rollout-guardian's; {_STRANGER} is not here")
