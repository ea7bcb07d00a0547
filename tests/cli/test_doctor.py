"""`guardian doctor`: all is well where it is, and everything that is not has a name and a way out."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import pytest
from aiokafka import errors as kafka_errors
from msgspec.structs import replace
from typer.testing import CliRunner

from guardian.cli.doctor.alerts import FRESH_MS, alert_findings
from guardian.cli.doctor.finding import Asking, Finding, Level
from guardian.cli.doctor.groups import LAG_RECORDS, lag_finding, members_findings
from guardian.cli.doctor.log import clock_finding, decide_finding
from guardian.cli.doctor.machine import examine_machine
from guardian.cli.doctor.rollouts import document_findings, rollout_findings
from guardian.cli.main import app
from guardian.cli.reading import Present
from guardian.core.outputs import Alert, Evidence
from guardian.core.words import Action, Phase, Severity
from guardian.kafka.clients import producer, running
from guardian.kafka.embedded import EmbeddedBroker
from guardian.kafka.settings import Settings, load_settings
from tests.brokers import settings_for
from tests.cli.samples import AT_MS, flag_state, status
from tests.cli.servers import Server, soon

CHECKS = {"versions", "namespace", "broker", "topics", "groups", "lag", "decide", "clocks", "dead letters", "rollouts",
          "alerts", "flags"}  # fmt: skip


def found_by(*words: str) -> list[dict[str, str]]:
    """Return what the doctor finds."""
    result = CliRunner().invoke(app, ["doctor", *words, "--json"])
    told = json.loads(result.stdout)
    assert result.exit_code == (0 if told["ok"] else 1)
    findings: list[dict[str, str]] = told["findings"]
    assert all(one["fix"] for one in findings if one["level"] != "ok")
    return findings


def test_a_guardian_that_runs_has_no_problems(server: Server) -> None:
    soon(lambda: server.guardian("doctor").exit_code == 0)
    text = server.guardian("doctor").stdout
    assert "answers within" in text
    assert {one["check"] for one in server.json("doctor")["findings"]} >= CHECKS


def test_what_lies_among_the_dead_letters_is_told_with_its_reason(server: Server) -> None:
    settings = load_settings(environ=server.environment)

    async def spoil() -> None:
        async with running(producer(settings), settings) as sender:
            event = b'{"ts": 1, "flag": "x", "variant": "on", "service": "checkout"}'
            await sender.send_and_wait(settings.topic("telemetry"), event)

    asyncio.run(spoil())

    def told() -> bool:
        letters = [one for one in server.json("doctor")["findings"] if one["check"] == "dead letters"]
        told = "missing_field, outcome is missing, from checkout, " + settings.topic("telemetry")
        named = "guardian tail dead-letters" in letters[0].get("fix", "")
        return told in letters[0]["text"] and letters[0]["level"] == "warning" and named

    soon(told)


def test_missing_topics_are_one_problem_with_every_name(embedded: EmbeddedBroker) -> None:
    settings = settings_for(embedded, "sick")
    findings = found_by("--bootstrap", settings.bootstrap, "--prefix", settings.prefix)
    (problem,) = [one for one in findings if one["level"] == "problem"]
    assert settings.topic("flags") in problem["text"]
    assert "guardian topics create" in problem["fix"]


def test_topics_without_anybody_who_decides_are_a_problem(embedded: EmbeddedBroker) -> None:
    settings = settings_for(embedded, "lonely")
    where = ("--bootstrap", settings.bootstrap, "--prefix", settings.prefix)
    assert CliRunner(env={"GUARDIAN_EMBEDDED": "true"}).invoke(app, ["topics", "create", *where]).exit_code == 0
    levels = {one["check"]: one for one in found_by(*where) if one["level"] != "ok"}
    assert "guardian run --role decide" in levels["decide"]["fix"]
    assert levels["clocks"]["level"] == "warning"


def test_a_broker_that_is_away_is_named_and_nothing_more_is_tried() -> None:
    findings = found_by("--bootstrap", "127.0.0.1:1")
    (problem,) = [one for one in findings if one["level"] == "problem"]
    assert "127.0.0.1:1" in problem["text"]
    assert {one["check"] for one in findings} == {"versions", "namespace", "broker"}


def test_one_of_several_addresses_that_is_away_is_a_warning(embedded: EmbeddedBroker) -> None:
    findings = found_by("--bootstrap", f"127.0.0.1:1,{embedded.bootstrap}", "--prefix", "two-ways")
    levels = [one["level"] for one in findings if one["check"] == "broker"]
    assert levels == ["warning", "ok"]


def test_this_machine_is_told_by_its_versions() -> None:
    versions, namespace = examine_machine()
    assert "aiokafka 0." in versions.text
    assert namespace.level is Level.OK


@pytest.mark.parametrize(
    ("difference_ms", "level"),
    [(0, "ok"), (-1_900, "ok"), (2_100, "warning"), (-10_000, "warning"), (31_000, "problem"), (None, "warning")],
)
def test_a_clock_is_judged_by_its_difference_either_way(difference_ms: float | None, level: str) -> None:
    finding = clock_finding(difference_ms)
    assert finding.level == level
    assert bool(finding.fix) == (level != "ok")


@pytest.mark.parametrize(
    ("beats_ms", "ends_ms", "level", "words"),
    [
        ({0: 99_000.0, 1: 98_000.0}, {0: 99_500}, "ok", "a beat from each of 2"),
        ({0: 99_000.0}, {}, "problem", "ever from partitions 1"),
        ({0: 99_000.0, 1: 70_000.0}, {}, "problem", "for 30s from partitions 1"),
        ({1: 70_000.0, 0: 70_000.0}, {}, "problem", "for 30s from partitions 0, 1"),
        ({0: 99_000.0, 1: 90_000.0}, {1: 106_000}, "warning", "16s behind the end of the log in partitions 1"),
    ],
)
def test_decide_is_judged_by_its_beats_and_by_the_end_of_the_log(
    beats_ms: dict[int, float], ends_ms: dict[int, int], level: str, words: str
) -> None:
    finding = decide_finding(beats_ms, ends_ms, 2, 100_000.0)
    assert (finding.level, words in finding.text) == (level, True), finding


def test_lag_is_told_by_partition_the_worst_first() -> None:
    assert lag_finding("t", {0: 0, 1: 0}) == Finding("lag", Level.OK, "t: 0 records behind in 2 partitions")
    far = lag_finding("t", {0: 5, 1: LAG_RECORDS})
    assert far.level is Level.WARNING
    assert "(partition 1: 50,000, partition 0: 5)" in far.text


class Described:
    """An answer to DescribeGroups as aiokafka gives it, about one group."""

    def __init__(self, code: int, state: str = "Stable", members: int = 1) -> None:
        people = [(f"m-{number}", "guardian", "/10.0.0.7", b"", b"") for number in range(members)]
        self.groups = [(code, "guardian.ingest", state, "consumer", "range", people, 0)]


@pytest.mark.parametrize(
    ("answer", "check", "level", "words"),
    [
        (Described(0, members=2), "groups", "ok", "2 in it"),
        (Described(0, "PreparingRebalance"), "groups", "warning", "PreparingRebalance"),
        (Described(0, "Empty", members=0), "groups", "problem", "no ingest runs"),
        (Described(16), "groups", "warning", "does not say who is in guardian.ingest: NotCoordinatorForGroupError"),
        (Described(30), "rights", "problem", "denied: describe the group guardian.ingest"),
    ],
)
def test_only_a_refusal_is_a_matter_of_rights_a_coordinator_that_moves_is_waited_for(
    answer: Described, check: str, level: str, words: str
) -> None:
    (finding,) = members_findings([answer], "guardian.ingest", "ingest")
    assert (finding.check, finding.level) == (check, level)
    assert words in finding.text


def levels(*statuses: Any, unreadable: list[str] | None = None) -> list[tuple[str, str]]:
    """Return check and level of what is found about statuses."""
    present = Present({one.state.flag: one for one in statuses}, unreadable or [], 1.0)
    return [(one.check, str(one.level)) for one in rollout_findings(present)]


def test_a_guardian_that_is_blind_now_is_a_problem_but_not_one_that_was() -> None:
    well = status()
    blind = status(flag_state(flag="dark"), lag_ms=-1)
    assert ("watermarks", "problem") in levels(well, blind)
    assert ("watermarks", "ok") in levels(well, replace(blind, updated_ms=AT_MS - 60_000))
    assert ("watermarks", "warning") in levels(status(lag_ms=31_000))
    assert levels(status(flag_state(phase=Phase.DRAFT), lag_ms=-1)) == [("rollouts", "ok")]


def test_a_flag_without_the_document_that_sdks_obey_is_a_problem_but_one_that_never_had_any_is_not() -> None:
    lost, kept = flag_state(flag="lost"), flag_state(flag="kept")
    draft = flag_state(flag="draft", version=0, phase=Phase.DRAFT)
    present = Present({state.flag: status(state) for state in (lost, kept, draft)}, [], 1.0)
    (finding,) = document_findings(present, {"kept", "_beat"})
    assert (finding.level, "no document of lost:" in finding.text) == (Level.PROBLEM, True)
    (finding,) = document_findings(present, {"kept", "lost"})
    assert (finding.level, "2 of 2" in finding.text) == (Level.OK, True)


def own(trigger: str, text: str, onset_ms: int = AT_MS) -> Alert:
    """Return an active alert about guardian itself."""
    id_ = f"guardian/0/{trigger}/7"
    return Alert(id_, "*", 0, trigger, Severity.CRITICAL, "", Action.NOTIFY, True, onset_ms, onset_ms, text, Evidence())


def test_a_source_that_was_made_anew_is_a_problem_with_the_way_out_for_all_its_partitions_at_once() -> None:
    alerts = [own(f"recreated shop.telemetry/{n}", f"shop.telemetry/{n} was recreated") for n in range(16)]
    (finding,) = alert_findings(alerts, "shop", AT_MS + 90_000)
    assert finding.level is Level.PROBLEM
    assert finding.text.startswith("1m30s ago: shop.telemetry/0 was recreated (and 15 more)")
    assert "guardian checkpoint reset telemetry --yes" in finding.fix


def test_what_happened_once_to_the_log_is_a_warning_for_a_day() -> None:
    lost = own("inputs_lost", "inputs 3 to 9 of partition 0 were lost")
    (finding,) = alert_findings([lost], "shop", AT_MS + 5_000)
    assert (finding.level, "lost" in finding.text) == (Level.WARNING, True)
    (finding,) = alert_findings([lost], "shop", AT_MS + FRESH_MS)
    assert finding.level is Level.OK


def test_statuses_of_another_version_are_a_warning() -> None:
    assert ("rollouts", "warning") in levels(status(), unreadable=["from-the-future"])


def test_a_denied_request_is_named() -> None:
    async def refuse() -> None:
        raise kafka_errors.GroupAuthorizationFailedError("guardian.ingest")

    async def scene() -> list[Finding]:
        asking = Asking(Settings())
        assert await asking.ask("groups", "describe the group guardian.ingest", refuse()) is None
        return asking.findings

    (finding,) = asyncio.run(scene())
    assert (finding.check, finding.level) == ("rights", Level.PROBLEM)
    assert "describe the group guardian.ingest" in finding.text
    assert "guardian topics acls" in finding.fix


def test_a_broker_of_another_time_is_named_with_what_it_lacks() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak no more of Kafka's protocol than to know ApiVersions alone."""
        while size := await reader.read(4):
            request = await reader.readexactly(struct.unpack(">i", size)[0])
            correlation = request[4:8]
            body = correlation + struct.pack(">hi", 0, 1) + struct.pack(">hhh", 18, 0, 0)
            writer.write(struct.pack(">i", len(body)) + body)
        writer.close()

    async def scene() -> list[Finding]:
        from guardian.cli.doctor.broker import examine_broker

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as old:
            port = old.sockets[0].getsockname()[1]
            return await examine_broker(Settings(bootstrap=f"127.0.0.1:{port}"))

    (finding,) = asyncio.run(scene())
    assert finding.level is Level.PROBLEM
    assert "does not know Produce, Fetch" in finding.text
