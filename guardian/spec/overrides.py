"""The environment variable by which one host overrides a flag, and whether it is one that means something already."""

from __future__ import annotations

from typing import Final

_KNOWN: Final = frozenset(
    {
        "CI", "COLUMNS", "DATABASE_URL", "DEBUG", "DISPLAY", "EDITOR", "ENV", "ENVIRONMENT", "HOME", "HOST", "HOSTNAME",
        "HTTPS_PROXY", "HTTP_PROXY", "IFS", "JAVA_HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LD_PRELOAD", "LINES",
        "LOGNAME", "LOG_LEVEL", "MAIL", "NODE_ENV", "NO_COLOR", "NO_PROXY", "OLDPWD", "PAGER", "PATH", "PORT", "PS1",
        "PWD", "RANDOM", "REDIS_URL", "SHELL", "SHLVL", "TEMP", "TERM", "TEST", "TMP", "TMPDIR", "TZ", "UID", "USER",
        "USERNAME", "VERBOSE", "VERSION", "VIRTUAL_ENV",
    }
)  # fmt: skip
_KNOWN_BEGINNINGS: Final = ("AWS_", "DOCKER_", "GUARDIAN_", "KAFKA_", "KUBERNETES_", "LC_", "PYTHON", "SSL_", "XDG_")


def means_something_else(name: str) -> bool:
    """Return whether an environment variable of this name is likely to be there for another reason."""
    return name in _KNOWN or name.startswith(_KNOWN_BEGINNINGS)
