"""The compose file keeps to its specification and to our own rules: bounded, healthy in order, nothing open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from docs.made.metrics import names
from guardian.kafka.apache import VERSION
from guardian.kafka.settings import ENV_PREFIX, load_settings
from tests.deploy.files import COMPOSE, ROOT, compose, stages

SERVICES: dict[str, Any] = compose()["services"]
ONE_SHOT = {"topics", "declare"}
OURS = [name for name in SERVICES if name != "kafka"]


def test_the_file_keeps_to_the_compose_specification() -> None:
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(COMPOSE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_word_would_be_found(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(COMPOSE.read_text(encoding="utf-8").replace("stop_grace_period", "stop_grace_time"))
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(wrong)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "stop_grace_time" in done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_stays_has_a_health_check_and_one_that_ends_has_not(name: str) -> None:
    service = SERVICES[name]
    assert ("healthcheck" in service) == (name not in ONE_SHOT)
    if name in ONE_SHOT:
        assert service["restart"].startswith("on-failure:")
    else:
        assert service["restart"] == "unless-stopped"
        assert {"test", "interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_it_needs_under_a_condition_that_can_come_true(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        ends = wait["condition"] == "service_completed_successfully"
        assert ends == (other in ONE_SHOT)
        assert ends or wait["condition"] == "service_healthy"
        assert set(SERVICES[other].get("profiles", [])) <= set(SERVICES[name].get("profiles", []))
    assert name == "kafka" or SERVICES[name].get("depends_on")


@pytest.mark.parametrize("name", OURS)
def test_our_services_may_not_do_more_than_they_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "user" not in service  # the image's own, which is not root


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_a_service_that_stays_is_bounded(name: str) -> None:
    assert SERVICES[name]["deploy"]["resources"]["limits"]["memory"]


def test_ports_are_open_to_this_machine_only_and_only_two() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert sorted(ports) == ["127.0.0.1:8000:8000", "127.0.0.1:8620:8620"]


def test_no_image_is_a_moving_one_and_kafka_is_the_version_that_the_tests_use() -> None:
    images = {service["image"] for service in SERVICES.values()}
    assert all(image.count(":") == 1 and not image.endswith(":latest") for image in images)
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{VERSION}"


@pytest.mark.parametrize("name", OURS)
def test_our_images_are_built_from_a_target_that_is_there_and_one_image_has_one_target(name: str) -> None:
    build = SERVICES[name]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).is_file()
    assert build["target"] in {stage.name for stage in stages()}
    targets = {
        one["build"]["target"] for one in map(SERVICES.get, OURS) if one and one["image"] == SERVICES[name]["image"]
    }
    assert targets == {build["target"]}


@pytest.mark.parametrize("name", OURS)
def test_every_setting_of_a_service_is_one_that_guardian_knows(name: str) -> None:
    given = SERVICES[name]["environment"]
    settings = load_settings(environ=given)
    for variable, value in given.items():
        field = variable.removeprefix(ENV_PREFIX).lower()
        assert str(getattr(settings, field)) in (value, "()"), variable


def test_health_checks_limit_metrics_that_the_role_has() -> None:
    for name in ("ingest", "decide"):
        limits = [word for word in SERVICES[name]["healthcheck"]["test"] if "<" in word]
        assert limits
        assert {limit.partition("<")[0] for limit in limits} <= {one for one in names() if f"_{name}_" in one}


def test_tokens_come_from_the_environment() -> None:
    tokens = '[{"name": "anna", "sha256": "' + 64 * "0" + '", "role": "operator"}]'
    given = compose({"GUARDIAN_TOKENS": tokens})["services"]["serve"]["environment"]
    assert load_settings(environ=given).tokens[0].name == "anna"


def test_the_roles_are_scaled_apart() -> None:
    roles = {name: SERVICES[name]["command"] for name in ("ingest", "decide", "serve")}
    assert {name: command[-1] for name, command in roles.items()} == {name: name for name in roles}
    assert all(SERVICES[name]["deploy"]["replicas"] == 2 for name in ("ingest", "decide"))
