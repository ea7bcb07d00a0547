"""Every command against a running guardian on the embedded broker: its success and its main failure."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.cli.servers import SPEC, Server, apply


def test_a_rollout_goes_through_its_life_by_commands(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "life")
    for words, phase, weight_bp in (
        (["start", "life"], "progressing", 500),
        (["promote", "life"], "progressing", 5_000),
        (["pause", "life"], "paused", 5_000),
        (["resume", "life"], "progressing", 5_000),
        (["rollback", "life"], "rolled_back", 0),
        (["resolve", "life"], "rolled_back", 0),
        (["start", "life"], "progressing", 500),
        (["kill", "life"], "progressing", 500),
        (["unkill", "life"], "progressing", 500),
        (["rollback", "life"], "rolled_back", 0),
        (["archive", "life", "--yes"], "archived", 0),
    ):
        answer = server.json(*words)
        assert answer["ok"] is True, (words, answer)
        (decision,) = answer["decisions"]
        assert (decision["phase"], decision["weight_bp"]) == (phase, weight_bp), words
        assert decision["command_id"] == answer["command_id"]


def test_a_rollback_goes_to_the_step_that_is_named(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "back")
    assert server.guardian("start", "back").exit_code == 0
    assert server.guardian("promote", "back").exit_code == 0
    refused = server.guardian("rollback", "back", "--to", "full")
    assert refused.exit_code == 1
    assert "REFUSED_TARGET" in refused.stdout
    assert server.json("rollback", "back", "--to", "canary")["decisions"][0]["weight_bp"] == 500


def test_reason_and_actor_stand_in_the_decision_and_a_missing_reason_is_recorded(
    server: Server, tmp_path: Path
) -> None:
    apply(server, tmp_path, "who")
    (said,) = server.json("start", "who", "--reason", "it is Tuesday", "--actor", "ada")["decisions"]
    assert said["actor"] == {"name": "ada", "via": "cli", "authenticated": False}
    assert "it is Tuesday" in said["text"]
    (silent,) = server.json("kill", "who")["decisions"]
    assert "no reason given" in silent["text"]
    assert silent["actor"]["name"]


def test_a_refused_command_exits_1_with_reason_and_text(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "refused")
    result = server.guardian("promote", "refused")
    assert result.exit_code == 1
    assert "refused" in result.stdout
    assert "REFUSED_PHASE" in result.stdout


@pytest.mark.parametrize(
    "command", ["start", "promote", "pause", "resume", "rollback", "kill", "unkill", "resolve", "archive"]
)
def test_a_command_for_a_flag_that_nobody_applied_is_refused(server: Server, command: str) -> None:
    answer = server.json(command, "nobody-applied-this", "--wait", "30s")
    assert answer["exit_code"] == 1
    assert answer["decisions"][0]["reason"] == "REFUSED_UNKNOWN_FLAG"


def test_a_mistyped_flag_is_no_draft_and_says_where_the_right_name_is_found(server: Server) -> None:
    result = server.guardian("kill", "nobody-applied-this")
    assert "draft" not in result.stdout
    assert "guardian list" in result.stderr


def test_a_file_where_a_flag_is_wanted_is_said_with_the_flag_that_it_declares(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = apply(server, tmp_path, "filed")
    for words in (("status", file.name), ("explain", file.name), ("start", file.name), ("start", str(file))):
        refused = server.guardian(*words)
        assert refused.exit_code != 0, (words, refused.output)
        said = " ".join(re.sub("[│╭╮╰╯─]", " ", refused.stderr).split())
        assert "a flag's name is wanted here, not a file's" in said, words
        assert said.endswith("declares filed"), words
    assert "guardian list shows" in server.guardian("start", "nowhere.yml").stderr
    Path("broken.yaml").write_text("flag: [")
    assert "guardian check broken.yaml" in server.guardian("pause", "broken.yaml").stderr


def test_a_flag_that_is_named_like_a_file_is_a_flag(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "flag.yaml")
    assert server.guardian("start", "flag.yaml").exit_code == 0


def test_the_answer_to_a_kill_says_who_gets_what_now_and_what_comes_back(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "braked")
    assert server.guardian("start", "braked").exit_code == 0
    for word in ("accepted", "unchanged"):
        said = server.guardian("kill", "braked").stdout
        assert word in said
        assert "[control for everybody; progressing at canary, 5% once it is freed]" in said
    assert "[progressing at canary, 5%]" in server.guardian("unkill", "braked").stdout


def test_applying_the_same_revision_again_changes_nothing_and_is_no_failure(server: Server, tmp_path: Path) -> None:
    file = apply(server, tmp_path, "same")
    again = server.guardian("apply", str(file))
    assert again.exit_code == 0
    assert "unchanged" in again.stdout


def test_a_dry_run_shows_what_would_change_and_sends_nothing(server: Server, tmp_path: Path) -> None:
    fresh = tmp_path / "dry.yaml"
    fresh.write_text(SPEC.format(flag="dry"))
    assert "a new rollout of 3 steps" in server.guardian("apply", str(fresh), "--dry-run").stdout
    assert server.json("apply", str(fresh), "--dry-run")["new"] is True
    assert server.guardian("status", "dry").exit_code == 1
    file = apply(server, tmp_path, "dry")
    assert "nothing would change" in server.guardian("apply", str(file), "--dry-run").stdout
    file.write_text(file.read_text().replace("50%", "40%"))
    changed = server.guardian("apply", str(file), "--dry-run").stdout
    assert "steps[half].weight: 50% -> 40%" in changed


@pytest.mark.parametrize(
    ("flag", "old", "new"),
    [
        ("renamed-candidate", '"on"', '"better"'),
        ("raised-step", "5%", "7%"),
        ("renamed-step", "name: canary", "name: pilot"),
    ],
)
def test_P3_a_dry_run_gives_the_answer_of_the_apply(
    server: Server, tmp_path: Path, flag: str, old: str, new: str
) -> None:
    file = apply(server, tmp_path, flag)
    assert server.guardian("start", flag).exit_code == 0
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    dry = server.json("apply", str(file), "--dry-run")
    real = server.json("apply", str(file))
    assert (dry["ok"], real["ok"]) == (False, False)
    assert dry["refused"] == real["decisions"][0]["text"]


def test_U7_the_last_records_are_shown_in_the_order_of_time_and_the_command_ends(
    server: Server, tmp_path: Path
) -> None:
    for flag in ("timed-a", "timed-b", "timed-c"):
        apply(server, tmp_path, flag)
    for _ in range(2):
        for flag in ("timed-a", "timed-b", "timed-c"):
            assert server.guardian("kill", flag).exit_code == 0
            assert server.guardian("unkill", flag).exit_code == 0
    shown = server.guardian("tail", "decisions", "-n", "8", "--json").stdout.splitlines()
    times = [json.loads(line)["at_ms"] for line in shown]
    assert len(times) == 8
    assert times == sorted(times)
    since = server.guardian("tail", "decisions", "--since", "yesterday", "--json", "--reason", "KILLED").stdout
    assert sum('"timed-a"' in line for line in since.splitlines()) == 2
    assert server.guardian("tail", "decisions", "--since", "2020-01-01", "-n", "1").exit_code == 0
    assert server.guardian("tail", "decisions", "--since", "soon").exit_code == 2


def test_U6_archive_says_what_it_costs_and_wants_a_yes(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "kept")
    asked = server.guardian("archive", "kept")
    assert asked.exit_code == 2
    assert "kept serves 0% on now, and goes on serving it" in asked.stderr
    assert "guardian archive kept --yes" in asked.stderr
    assert server.guardian("archive", "kept", "--yes").exit_code == 0


def test_kill_all_reaches_every_flag_and_unkill_all_frees_them(server: Server, tmp_path: Path) -> None:
    for flag in ("many-a", "many-b", "many-c"):
        apply(server, tmp_path, flag)
        assert server.guardian("start", flag).exit_code == 0
    killed = server.json("kill", "--all")
    assert killed["exit_code"] == 0
    assert killed["silent"] == []
    assert {"many-a", "many-b", "many-c"} <= {decision["flag"] for decision in killed["decisions"]}
    assert "KILLED" in server.guardian("list").stdout
    assert server.json("unkill", "--all")["exit_code"] == 0


def test_no_wait_sends_and_ends_at_once(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "hurry")
    answer = server.json("start", "hurry", "--no-wait")
    assert answer["waited"] is False
    assert answer["exit_code"] == 0
    # The answer to the next command comes after it: one flag, one order.
    assert server.json("pause", "hurry")["decisions"][0]["from_phase"] == "progressing"


def test_no_answer_in_time_exits_4_and_says_that_it_may_still_happen(server: Server) -> None:
    result = server.guardian("kill", "x", "--prefix", "nobody-runs-here", "--wait", "300ms")
    assert result.exit_code == 4
    assert "may still happen" in result.stderr
    answer = server.json("kill", "x", "--prefix", "nobody-runs-here", "--wait", "300ms")
    assert (answer["ok"], answer["exit_code"], answer["silent"]) == (False, 4, ["x"])


def test_status_of_one_flag_is_a_page_and_json_is_the_record(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "page")
    assert server.guardian("start", "page").exit_code == 0
    page = server.guardian("status", "page")
    assert page.exit_code == 0
    for words in ("page", "progressing", "canary", "5%", "missing", "ladder", "triggers", "errors", "attempt 1"):
        assert words in page.stdout
    assert all(line == line.rstrip() for line in page.stdout.splitlines())
    record = server.json("status", "page")
    assert record["state"]["flag"] == "page"
    known = {"name": "canary", "weight_bp": 500, "bake_ms": 3_600_000, "state": "current", "dual_run_bp": None}
    assert record["steps"][0] == known


def test_status_of_several_flags_and_list_are_tables(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "table-a")
    apply(server, tmp_path, "table-b")
    several = server.guardian("status", "table-a", "table-b")
    assert len(several.stdout.splitlines()) == 3
    listed = server.guardian("list").stdout
    assert "table-a" in listed
    assert "table-b" in listed
    flags = [found["state"]["flag"] for found in server.json("list")["rollouts"]]
    assert flags == sorted(flags)
    assert flags == [found["state"]["flag"] for found in server.json("status")["rollouts"]]


def test_an_archived_rollout_is_listed_only_when_asked_for(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "old-one")
    assert server.guardian("archive", "old-one", "--yes").exit_code == 0
    assert "old-one" not in server.guardian("list").stdout
    assert "old-one" in server.guardian("list", "--archived").stdout


def test_status_of_an_unknown_flag_exits_1_and_names_the_known_ones(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "a-known-one")
    result = server.guardian("status", "an-unknown-one")
    assert result.exit_code == 1
    assert "an-unknown-one" in result.stderr
    assert "known flags" in result.stderr
    assert server.json("status", "an-unknown-one")["exit_code"] == 1


def test_tail_follows_every_topic_as_text_and_as_json_lines(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "tailed")
    assert server.guardian("start", "tailed").exit_code == 0
    assert server.guardian("rollback", "tailed", "--reason", "for tail").exit_code == 0
    for what, words in (("decisions", "started"), ("flags", "on 5%"), ("rollbacks", "for tail")):
        count = {"decisions": 3, "flags": 3, "rollbacks": 1}[what]
        options = ("tail", what, "--flag", "tailed", "--from-beginning", "--limit", str(count))
        text = server.guardian(*options)
        assert text.exit_code == 0, text.output
        assert words in text.stdout
        lines = [json.loads(line) for line in server.guardian(*options, "--json").stdout.splitlines()]
        assert len(lines) == count
        assert all(line["flag"] == "tailed" for line in lines)


def test_a_flood_of_errors_sent_from_a_file_rolls_back_and_raises_an_alert(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "flood")
    assert server.guardian("start", "flood").exit_code == 0
    version = server.json("status", "flood")["state"]["version"]
    events = tmp_path / "events.jsonl"
    lines = [
        {"ts": time.time(), "flag": "flood", "variant": "on", "outcome": "error", "flag_version": version,
         "assignment": "split", "latency_ms": 5.0}
        for _ in range(20)
    ]  # fmt: skip
    events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    sent = server.guardian("send", str(events))
    assert sent.exit_code == 0, sent.output
    assert "20 telemetry" in sent.stdout
    (decided,) = server.guardian(
        "tail", "rollbacks", "--flag", "flood", "--from-beginning", "--limit", "1", "--json"
    ).stdout.splitlines()
    assert json.loads(decided)["trigger"] == "errors"
    alert = server.guardian("tail", "alerts", "--flag", "flood", "--from-beginning", "--limit", "1")
    assert "errors" in alert.stdout
    assert "rollback" in alert.stdout


def test_send_tells_telemetry_from_migrations_and_reads_stdin(server: Server) -> None:
    lines = [
        '{"ts": 1, "flag": "x", "variant": "on", "outcome": "ok"}',
        '{"component": "c", "event_type": "success"}',
        "",
    ]
    result = server.guardian("send", "-", "--json", stdin="\n".join(lines))
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["telemetry"], found["migrations"], found["bad"]) == (1, 1, 0)
    assert "1 event: older than two minutes, too late for the windows of triggers" in found["hints"]
    forced = server.guardian("send", "-", "--to", "migrations", "--json", stdin=lines[0])
    assert forced.exit_code == 1
    assert json.loads(forced.stdout)["problems"][0]["message"].endswith(
        "say one of success, failure, fallback, dual_run"
    )


def test_U8_send_names_every_bad_line_and_sends_nothing_unless_they_may_be_skipped(
    server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "mixed.jsonl"
    good = '{"ts": 1, "flag": "x", "variant": "on", "outcome": "ok"}'
    bad = ["not json", "[1]", '{"pad": "' + "x" * 70_000 + '"}', '{"ts": 1, "flag": "x", "variant": "on"}']
    file.write_text("\n".join([good, *bad]) + "\n")
    for words in ((), ("--skip-bad",)):
        result = server.guardian("send", str(file), *words)
        assert result.exit_code == 1
        assert f"sent {len(words)} telemetry" in result.stdout
    for line in (2, 3, 4, 5):
        assert f"{file}:{line}:" in result.stderr
    assert f"{file}:5: outcome is missing: say how the request ended: ok, error, timeout, crash, hang" in result.stderr
    assert "fix:" in result.stderr


def test_U8_send_gives_the_hints_that_http_gives(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "hinted")
    assert server.guardian("start", "hinted").exit_code == 0
    event = {"ts": time.time(), "flag": "hinted", "variant": "on", "outcome": "ok"}
    lines = [json.dumps(event), json.dumps({**event, "flag": "nobodys"})]
    found = json.loads(server.guardian("send", "-", "--json", stdin="\n".join(lines)).stdout)
    assert found["telemetry"] == 2
    assert any("so soon after a change of hinted: not counted before it has settled" in one for one in found["hints"])
    assert any("no rollout of 'nobodys'" in one for one in found["hints"])


def test_send_of_a_file_that_is_not_there_is_a_usage_error(server: Server) -> None:
    result = server.guardian("send", "/nowhere/events.jsonl")
    assert result.exit_code == 2
    assert "/nowhere/events.jsonl" in result.stderr


def test_topics_are_described_and_checked(server: Server) -> None:
    assert server.json("topics", "check") == {"ok": True, "problems": []}
    described = server.json("topics", "describe")["topics"]
    assert {topic["topic"] for topic in described} >= {"guardian.flags", "guardian.commands", "guardian.inputs"}
    assert all(topic["there"] for topic in described)
    assert "guardian.flags" in server.guardian("topics", "describe").stdout
    assert server.guardian("topics", "create").exit_code == 0


def test_missing_topics_are_problems_until_they_are_created(server: Server) -> None:
    missing = server.guardian("topics", "check", "--prefix", "elsewhere")
    assert missing.exit_code == 1
    assert "elsewhere.flags" in missing.stderr
    created = server.json("topics", "create", "--prefix", "elsewhere")
    assert "elsewhere.flags" in created["created"]
    assert server.guardian("topics", "check", "--prefix", "elsewhere").exit_code == 0


def test_a_reported_bug_is_a_trigger_and_a_figure_is_kept(server: Server, tmp_path: Path) -> None:
    bugs = 'triggers:\n  - {{name: bugs, when: "a critical bug is reported", do: rollback}}'
    apply(server, tmp_path, "reported", SPEC.replace("triggers:", bugs))
    assert server.guardian("start", "reported").exit_code == 0
    figure = server.json("metric", "set", "reported", "csat", "4.2")["decisions"][0]
    assert figure["reason"] == "REPORTED"
    assert "csat set to 4.2" in figure["text"]
    reported = server.json("bug", "reported", "--reason", "prices are wrong")["decisions"][0]
    assert "prices are wrong" in reported["text"]
    (back,) = server.guardian("tail", "rollbacks", "--flag", "reported", "--no-follow", "--json").stdout.splitlines()
    assert json.loads(back)["trigger"] == "bugs"


def test_a_figure_without_a_number_or_with_an_odd_name_is_a_usage_error(server: Server) -> None:
    assert server.guardian("metric", "set", "x", "csat", "much").exit_code == 2
    assert server.guardian("metric", "set", "x", "9 lives", "1").exit_code == 2
