"""The provider follows guardian.flags, on either broker alike, and never fails its application."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails
from openfeature.provider import ProviderStatus

from guardian.kafka.admin import create_topics
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings
from guardian.sdk import GuardianProvider
from tests.brokers import Broker, settings_for
from tests.eventually import eventually
from tests.sdk.documents import FLAG, written
from tests.sdk.scenes import CALM, QUICK, closed_port, guardian, installed, provider_for

EVERYONE = EvaluationContext("u-1")


@pytest.fixture
def settings(broker: Broker) -> Settings:
    """Fresh topics on each broker in turn."""
    made = settings_for(broker, "provider")
    asyncio.run(create_topics(made))
    return made


@pytest.fixture
def on_embedded(embedded: EmbeddedBroker) -> Settings:
    """Fresh topics where the kind of broker does not matter."""
    made = settings_for(embedded, "provider")
    asyncio.run(create_topics(made))
    return made


def details(client: OpenFeatureClient, context: EvaluationContext = EVERYONE) -> FlagEvaluationDetails[bool]:
    return client.get_boolean_details(FLAG, False, context)


def version_is(client: OpenFeatureClient, version: int) -> Callable[[], bool]:
    return lambda: details(client).flag_metadata["flag_version"] == version


def test_what_was_written_before_is_known_and_a_change_is_seen(settings: Settings) -> None:
    async def scene() -> None:
        async with guardian(settings) as writer:
            await writer.write(written(version=1, weight_bp=10_000))
            with installed(provider_for(settings)) as client:
                first = details(client)
                assert (first.value, first.variant, first.reason) == (True, "on", "SPLIT")
                assert first.flag_metadata == {
                    "flag_version": 1, "epoch": 0, "assignment": "split", "step": "canary", "weight_bp": 10_000,
                }  # fmt: skip
                await writer.write(written(version=2, weight_bp=0))
                await eventually(version_is(client, 2))
                assert (details(client).value, details(client).variant) == (False, "off")

    asyncio.run(scene())


def test_a_late_older_record_changes_nothing_and_a_higher_epoch_wins(settings: Settings) -> None:
    async def scene() -> None:
        async with guardian(settings) as writer:
            await writer.write(written(version=50, weight_bp=0))
            provider = provider_for(settings)
            with installed(provider) as client:
                await writer.write(written(version=49, weight_bp=10_000))
                await writer.write(b"rubbish")
                await eventually(lambda: provider.counts().garbage == 1)
                assert provider.counts().not_newer == 1
                assert details(client).flag_metadata["flag_version"] == 50
                await writer.write(written(epoch=1, version=3, weight_bp=10_000))
                await eventually(version_is(client, 3))
                await writer.write(written(epoch=0, version=99, weight_bp=0))
                await writer.write(b"rubbish")
                await eventually(lambda: provider.counts().garbage == 2)
                assert details(client).flag_metadata["flag_version"] == 3
            # Who starts only now, and reads the late one last, comes to the same answer.
            with installed(provider_for(settings)) as client:
                assert details(client).flag_metadata["flag_version"] == 3

    asyncio.run(scene())


def test_B5_a_version_beyond_all_is_not_obeyed_and_a_kill_after_it_is(on_embedded: Settings) -> None:
    async def scene() -> None:
        async with guardian(on_embedded) as writer:
            await writer.write(written(version=1, weight_bp=0))
            provider = provider_for(on_embedded)
            with installed(provider) as client:
                await writer.write(written(version=2**63 - 1, weight_bp=10_000))
                await eventually(lambda: provider.counts().too_far_ahead == 1)
                assert details(client).value is False
                await writer.write(written(version=2, killed=True))
                await eventually(version_is(client, 2))
                assert details(client).flag_metadata["assignment"] == "killed"
            with installed(provider_for(on_embedded)) as client:
                assert (details(client).value, details(client).flag_metadata["flag_version"]) == (False, 2)

    asyncio.run(scene())


def test_a_machine_whose_clock_is_behind_learns_the_time_from_the_beats(on_embedded: Settings) -> None:
    async def scene() -> None:
        async with guardian(on_embedded) as writer:
            await writer.write(written(weight_bp=10_000))
            await writer.beat()
            lagging = replace(CALM, wall_clock=lambda: 0.0)
            with installed(provider_for(on_embedded, lagging)) as client:
                assert details(client).value is True

    asyncio.run(scene())


def test_a_deleted_flag_leaves_the_application_its_own_default(on_embedded: Settings) -> None:
    async def scene() -> None:
        async with guardian(on_embedded) as writer:
            await writer.write(written(weight_bp=10_000))
            with installed(provider_for(on_embedded)) as client:
                assert details(client).value is True
                await writer.write(None)
                await eventually(lambda: details(client).error_code is not None)
                assert client.get_boolean_value(FLAG, True, EVERYONE) is True
                assert details(client).flag_metadata["assignment"] == "default"

    asyncio.run(scene())


def test_events_tell_what_changed_and_when_guardian_fell_silent_and_came_back(on_embedded: Settings) -> None:
    heard: list[tuple[ProviderEvent, EventDetails]] = []

    def hear(event: ProviderEvent) -> Callable[[EventDetails], None]:
        return lambda details: heard.append((event, details))

    async def scene() -> None:
        async with guardian(on_embedded) as writer:
            await writer.write(written(version=1, weight_bp=10_000))
            await writer.beat()
            provider = provider_for(on_embedded, QUICK)
            with installed(provider) as client:
                assert provider.counts().garbage == 0
                for event in ProviderEvent:
                    client.add_handler(event, hear(event))
                await eventually(lambda: client.get_provider_status() is ProviderStatus.STALE)
                assert details(client).value is True
                # One partition without a beat is enough to be stale.
                await writer.beat(0, 1, 2)
                assert provider.status is ProviderStatus.STALE

                async def alive() -> bool:
                    await writer.beat()
                    return client.get_provider_status() is ProviderStatus.READY

                await eventually(alive)
                await writer.write(written(version=2, weight_bp=0))
                await eventually(lambda: [details.flags_changed for _, details in heard].count([FLAG]) == 1)
        stale = [details.message for event, details in heard if event is ProviderEvent.PROVIDER_STALE]
        assert stale
        assert "no beat" in str(stale[0])
        assert [event for event, _ in heard if event is ProviderEvent.PROVIDER_ERROR] == []

    asyncio.run(scene())


def test_a_snapshot_answers_when_there_is_no_broker(
    on_embedded: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "flags.json"

    async def scene() -> None:
        async with guardian(on_embedded) as writer:
            await writer.write(written(version=7, weight_bp=10_000))
            with installed(provider_for(on_embedded, snapshot=path)):
                await eventually(path.exists)
                await writer.write(written(version=8, weight_bp=10_000))
                await eventually(lambda: json.loads(path.read_bytes())["flags"][FLAG]["metadata"]["version"] == 8)
        nowhere = on_embedded.model_copy(update={"bootstrap": f"127.0.0.1:{closed_port()}"})
        with installed(provider_for(nowhere, snapshot=path, init_within_s=0.1)) as client:
            assert "until it answers, 1 of the snapshot hold" in caplog.text
            assert details(client).value is True
            assert details(client).flag_metadata["flag_version"] == 8
            await eventually(lambda: client.get_provider_status() is ProviderStatus.STALE)

    asyncio.run(scene())


def test_with_neither_broker_nor_snapshot_the_application_s_default_holds_and_nothing_is_raised(
    on_embedded: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = on_embedded.model_copy(update={"bootstrap": f"127.0.0.1:{closed_port()}"})

    async def scene() -> None:
        provider = provider_for(nowhere, init_within_s=0.1)
        with installed(provider) as client:
            assert "within 0.1 s; until it answers, the application's own defaults hold" in caplog.text
            assert client.get_boolean_value(FLAG, True) is True
            assert client.get_string_value(FLAG, "mine") == "mine"
            await eventually(lambda: client.get_provider_status() is ProviderStatus.ERROR)
            await eventually(lambda: provider.counts().failures > 1)
            assert client.get_boolean_value(FLAG, True) is True

    asyncio.run(scene())


def test_a_topic_that_comes_later_is_found(embedded: EmbeddedBroker) -> None:
    settings = settings_for(embedded, "later")

    async def scene() -> None:
        with installed(provider_for(settings, init_within_s=0.1)) as client:
            assert details(client).value is False
            async with guardian(settings) as writer:
                await writer.write(written(weight_bp=10_000))
                await eventually(lambda: details(client).value is True)

    asyncio.run(scene())


VALUES: list[tuple[str, Any, Any]] = [
    ("boolean", True, False),
    ("string", "blue", "red"),
    ("integer", 7, 1),
    ("float", 1.5, 0.5),
    ("float", 3, 0.5),
]


@pytest.mark.parametrize(("kind", "value", "other"), VALUES)
def test_each_type_resolves_and_another_type_gives_the_default(
    on_embedded: Settings, kind: str, value: Any, other: Any
) -> None:
    async def scene() -> None:
        async with guardian(on_embedded) as writer:
            values = {"on": value, "off": value}
            await writer.write(written(values=values))
            provider = provider_for(on_embedded)
            with installed(provider) as client:
                found = getattr(client, f"get_{kind}_details")(FLAG, other, EVERYONE)
                assert (found.value, type(found.value)) == (value, type(other))
                wrong = client.get_object_details(FLAG, {"mine": 1}, EVERYONE)
                assert (wrong.value, wrong.error_code) == ({"mine": 1}, ErrorCode.TYPE_MISMATCH)
                assert provider.counts().evaluation_errors == 1

    asyncio.run(scene())


def test_an_override_is_read_at_each_evaluation(
    on_embedded: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with guardian(on_embedded) as writer:
            await writer.write(written(weight_bp=0, env_prefix="SHOP"))
            provider = GuardianProvider(on_embedded.bootstrap, on_embedded.prefix)
            with installed(provider) as client:
                assert details(client).variant == "off"
                monkeypatch.setenv("SHOP_NEW_PRICING", "on")
                assert details(client).flag_metadata["assignment"] == "override"
                assert details(client).variant == "on"
                monkeypatch.setenv("SHOP_NEW_PRICING", "what")
                assert details(client).variant == "off"
                assert details(client).variant == "off"
                assert provider.counts().overrides_ignored == 2
                warning = "SHOP_NEW_PRICING overrides nothing: write on, off or a variant's name"
                assert caplog.messages.count(warning) == 1

    asyncio.run(scene())


def test_nothing_that_an_application_passes_makes_an_evaluation_raise(on_embedded: Settings) -> None:
    class Hostile:
        def __eq__(self, other: object) -> bool:
            raise ValueError("no comparison with me")

        __hash__ = None  # type: ignore[assignment]

    async def scene() -> None:
        async with guardian(on_embedded) as writer:
            await writer.write(written(weight_bp=5_000))
            provider = provider_for(on_embedded)
            with installed(provider):
                strange: list[Any] = [
                    EvaluationContext("\ud800"),
                    EvaluationContext("u", {"guardian_opt": Hostile()}),  # type: ignore[dict-item]
                    EvaluationContext(12345),  # type: ignore[arg-type]
                    EvaluationContext("u", None),  # type: ignore[arg-type]
                ]
                for context in strange:
                    assert provider.resolve_boolean_details(FLAG, False, context).value in (True, False)
                assert provider.resolve_boolean_details([], False).value is False  # type: ignore[arg-type]

    asyncio.run(scene())


def test_versions_in_use_are_those_of_the_flags_that_were_evaluated(on_embedded: Settings) -> None:
    async def scene() -> None:
        async with guardian(on_embedded) as writer:
            await writer.write(written(version=5))
            await writer.write(written(version=6, flag="other"), flag="other")
            provider = provider_for(on_embedded)
            with installed(provider) as client:
                assert provider.known() == {FLAG: (0, 5), "other": (0, 6)}
                assert provider.versions_in_use() == {}
                details(client)
                assert provider.versions_in_use() == {FLAG: 5}

    asyncio.run(scene())


def test_a_forked_process_goes_on_following_by_itself(on_embedded: Settings) -> None:
    async def write(version: int) -> None:
        async with guardian(on_embedded) as writer:
            await writer.write(written(version=version))

    asyncio.run(write(1))
    with installed(provider_for(on_embedded)) as client:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(eventually(version_is(client, 2)))
                os.write(writing, b"2")
            finally:
                os._exit(0)
        os.close(writing)
        asyncio.run(write(2))
        answer = os.read(reading, 100)
        os.close(reading)
        os.waitpid(child, 0)
        assert answer == b"2"
