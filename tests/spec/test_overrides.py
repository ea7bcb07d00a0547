"""A flag whose override is a variable that every host has would be switched by accident: `check` says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.core.override_names import override_name
from guardian.sdk import document
from guardian.spec.advice import advice
from guardian.spec.load import load_spec

SPEC = """
flag: {flag}
steps:
  - {{weight: 5%, bake: 1h, gates: [error_rate < 1%]}}
  - {{weight: 100%, bake: 1d}}
triggers: [error_rate > 5% for 5 minutes, crash_count > 0 per step]
{more}
"""


def told(flag: str, more: str = "") -> list[str]:
    return [
        f"{problem.path}: {problem.message}" for problem in advice(load_spec(SPEC.format(flag=flag, more=more), "")[0])
    ]


@pytest.mark.parametrize("flag", ["path", "HOME", "debug", "log-level", "no.color", "lc-all", "python-path"])
def test_a_flag_named_like_a_variable_of_the_host_is_told(flag: str) -> None:
    name = override_name(flag, "")
    assert told(flag) == [
        f"env_prefix: the environment variable {name} overrides this flag, and hosts have it for other reasons"
    ]
    assert told(flag, "env_prefix: SHOP") == []


def test_a_prefix_may_make_such_a_name_too() -> None:
    assert told("bootstrap") == []
    assert "GUARDIAN_BOOTSTRAP" in told("bootstrap", "env_prefix: GUARDIAN")[0]


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True), st.sampled_from(["", "SHOP"]))
def test_the_name_is_the_one_that_the_sdk_reads(flag: str, env_prefix: str) -> None:
    assert override_name(flag, env_prefix) == document.override_name(flag, env_prefix)
