"""The environment variable that overrides a flag: named once, for the SDK that reads it and for people who set it."""

from __future__ import annotations

import re


def override_name(flag: str, env_prefix: str) -> str:
    """Return the environment variable that overrides a flag, such as SCOUT_MULTIVARIATE_TPE for multivariate-tpe."""
    name = re.sub(r"[^A-Z0-9]", "_", flag.upper())
    return f"{env_prefix}_{name}" if env_prefix else name
