"""The Dockerfile: pinned, hashed, not root, nothing of the build left; and the health check that is in the image."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from deploy.healthy import broken, main
from tests.deploy.files import ROOT, copies, last_said, lineage, stages

FINISHED = ("guardian", "example")
BUILD_TOOLS = ("gcc", "build-essential", "apt-get", "make ", "pip install", "git ")


def locked(path: Path) -> dict[str, set[str]]:
    """Return the hashes of every name==version of a lock."""
    lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return {line.split()[0]: set(re.findall(r"--hash=(\S+)", line)) for line in lines if "==" in line}


def test_bases_are_pinned_slim_pythons_and_all_the_same() -> None:
    names = {stage.name for stage in stages()}
    bases = {stage.base for stage in stages() if stage.base not in names}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases.pop())


@pytest.mark.parametrize("target", FINISHED)
def test_a_finished_image_does_not_run_as_root(target: str) -> None:
    user, _, group = last_said(target, "USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0


@pytest.mark.parametrize("target", FINISHED)
def test_a_finished_image_has_nothing_of_the_build(target: str) -> None:
    runs = [rest for stage in lineage(target) for rest in stage.said("RUN")]
    assert [run for run in runs for tool in BUILD_TOOLS if tool in run] == []
    assert "--without-pip" in stages()[0].said("RUN")[0]


def test_everything_that_is_installed_is_checked_against_a_hash_or_is_guardian_itself() -> None:
    installs = [
        part for stage in stages() for run in stage.said("RUN") for part in run.split("&&") if " install " in part
    ]
    assert installs
    for install in installs:
        hashed = "--require-hashes" in install and "--only-binary :all:" in install
        assert hashed or "--no-deps /wheels/*.whl" in install, install


def test_the_image_s_lock_is_a_part_of_requirements_lock() -> None:
    whole, part = locked(ROOT / "requirements.lock"), locked(ROOT / "deploy" / "image.lock")
    assert {"faust-streaming", "aiokafka", "fastapi", "uvicorn"} <= {name.split("==")[0] for name in part}
    assert {name for name, hashes in part.items() if not hashes or hashes != whole.get(name)} == set()


def test_the_build_s_lock_has_hashes() -> None:
    assert all(locked(ROOT / "deploy" / "build.lock").values())


def test_every_source_of_a_copy_is_there_and_let_through_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    passed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    sources = set()
    for stage in stages():
        for rest in stage.said("COPY"):
            words = [word for word in rest.split() if not word.startswith("--")]
            if "--from=" not in rest:
                sources |= set(words[:-1])
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    assert sources == passed


def test_copies_between_stages_name_a_stage() -> None:
    names = {stage.name for stage in stages()}
    assert {
        found for stage in stages() for rest in stage.said("COPY") for found in re.findall(r"--from=(\w+)", rest)
    } <= names


@pytest.mark.parametrize("target", FINISHED)
def test_entry_points_are_lists_so_that_signals_arrive(target: str) -> None:
    assert isinstance(json.loads(last_said(target, "ENTRYPOINT")), list)
    assert isinstance(json.loads(last_said(target, "CMD")), list)


def test_the_health_check_is_in_both_images() -> None:
    assert all(copies(target)["/opt/guardian/healthy.py"] == "deploy/healthy.py" for target in FINISHED)


PAGE = '# HELP age Age\nage{partition="0"} 3.5\nage{partition="1"} 31.0\nages 99\nage_total 99\n'


def test_a_limit_holds_for_every_sample_and_for_a_metric_without_samples() -> None:
    assert broken(PAGE, "age<30") == ['age{partition="1"} 31.0 is not < 30']
    assert broken(PAGE, "age<32") == []
    assert broken(PAGE, "unheard<1") == []
    assert broken("age NaN\n", "age<30") == ["age NaN is not < 30"]
    with pytest.raises(ValueError, match="not a limit"):
        broken(PAGE, "age>30")


def test_the_health_check_s_exit_code_says_whether_the_metrics_answer_and_keep_within_their_limits() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("stopped", "Stopped", registry=registry)
    server, thread = start_http_server(0, registry=registry)
    url = f"http://127.0.0.1:{server.server_port}/metrics"
    try:
        assert main([url, "stopped<1"]) == 0
        gauge.set(1)
        assert main([url, "stopped<1"]) == 1
        assert main([url, "stopped"]) == 1
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert main([url, "stopped<1"]) == 1
    assert main([]) == 1
