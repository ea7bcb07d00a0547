"""Rights in Kafka: each role's are complete for what it reads and writes, and a refusal names them."""

from __future__ import annotations

import shlex

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from guardian.kafka.catalogue import TOPICS
from guardian.kafka.clients import transport_error
from guardian.kafka.rights import User, grants
from guardian.kafka.settings import load_settings

SETTINGS = load_settings(environ={}, prefix="shop", bootstrap="kafka-1:9092")
ENTERED = load_settings(
    environ={},
    prefix="shop",
    security_protocol="SASL_PLAINTEXT",
    sasl_mechanism="PLAIN",
    sasl_username="alice",
    sasl_password="secret",
)


def test_B11_every_topic_has_who_may_write_it_and_who_may_read_it() -> None:
    told = {
        operation: {topic for user in User for grant in grants(SETTINGS, user) if operation in grant.operations
                    for topic in grant.topics}
        for operation in ("Read", "Write")
    }  # fmt: skip
    for name in TOPICS:
        assert SETTINGS.topic(name) in told["Read"], name
        assert SETTINGS.topic(name) in told["Write"], name


def test_the_catalogue_and_the_rights_name_the_same_stages() -> None:
    for topic in TOPICS.values():
        for user in (User.INGEST, User.DECIDE, User.SERVE):
            for operation, stages in (("Read", topic.readers), ("Write", topic.writers)):
                if user in stages.split(", "):
                    names = [name for grant in grants(SETTINGS, user) if operation in grant.operations
                             for name in grant.topics]  # fmt: skip
                    assert SETTINGS.topic(topic.name) in names, (user, operation, topic.name)


@pytest.mark.parametrize("user", User)
def test_a_command_is_one_line_of_a_shell(user: User) -> None:
    for grant in grants(SETTINGS, user):
        words = shlex.split(grant.command("User:CN=ann, O=shop", "kafka-1:9092"))
        assert words[:5] == ["kafka-acls.sh", "--bootstrap-server", "kafka-1:9092", "--add", "--allow-principal"]
        assert words[5] == "User:CN=ann, O=shop"


def test_only_decide_and_who_creates_topics_may_create_and_only_emergency_and_decide_write_flags() -> None:
    creates = {user for user in User for grant in grants(SETTINGS, user) if "Create" in grant.operations}
    assert creates == {User.DECIDE, User.ADMIN}
    writes = {user for user in User for grant in grants(SETTINGS, user)
              if "Write" in grant.operations and SETTINGS.topic("flags") in grant.topics}  # fmt: skip
    assert writes == {User.DECIDE, User.EMERGENCY}


def test_B11_a_refusal_names_user_topic_right_and_command() -> None:
    told = transport_error(TopicAuthorizationFailedError("shop.telemetry"), ENTERED)
    assert not told.retriable
    assert "refused User:alice: TopicAuthorizationFailed on shop.telemetry" in told.message
    assert "ingest needs Read on shop.telemetry" in told.message
    assert "sdk needs Write on shop.telemetry" in told.message
    assert "guardian topics acls --role ROLE --principal User:alice" in told.fix
    several = transport_error(TopicAuthorizationFailedError({"shop.inputs", "shop.flags"}), ENTERED)
    assert "decide needs Read and Write on shop.flags" in several.message
    assert "ingest needs Write on shop.inputs" in several.message
    group = transport_error(GroupAuthorizationFailedError("shop.decide"), SETTINGS)
    assert "decide needs Read on shop.decide" in group.message
    assert "this user" in group.message
