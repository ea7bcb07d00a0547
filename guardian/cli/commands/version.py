"""`guardian version`: what is installed here."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from guardian import __version__
from guardian.cli.options import Json
from guardian.cli.screen import answers, print_json

_SHOWN = ("aiokafka", "faust-streaming", "openfeature-sdk", "confluent-kafka")


def version(as_json: Json = False) -> None:
    """Show guardian's version and those of the packages that matter to it."""
    found = {"guardian": __version__, "python": platform.python_version()}
    for name in _SHOWN:
        try:
            found[name] = installed(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    if as_json:
        print_json(found)
    else:
        for name, number in found.items():
            answers().print(f"{name} {number}")
