"""The same commands through serve: the same answers, and clear words when serve says no or is not there."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from guardian.cli.main import app
from tests.cli.servers import SPEC, Server, apply, soon

TOPICS = ("decisions", "flags", "alerts", "rollbacks")


def test_a_rollout_goes_through_its_life_by_commands_through_serve(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "served.yaml"
    file.write_text(SPEC.format(flag="served"))
    assert "a new rollout of 3 steps" in server.served("apply", str(file), "--dry-run").stdout
    for words, phase, weight_bp in (
        (["apply", str(file)], "draft", 0),
        (["start", "served", "--reason", "it is Tuesday"], "progressing", 500),
        (["promote", "served"], "progressing", 5_000),
        (["pause", "served"], "paused", 5_000),
        (["rollback", "served", "--to", "canary"], "rolled_back", 500),
        (["metric", "set", "served", "csat", "4.2"], "rolled_back", 500),
        (["bug", "served"], "rolled_back", 500),
        (["archive", "served"], "archived", 0),
    ):
        answer = json.loads(server.served(*words, "--json").stdout)
        assert answer["ok"] is True, (words, answer)
        (decision,) = answer["decisions"]
        assert decision["phase"] == phase, words
        assert decision["command_id"] == answer["command_id"]
        assert decision["actor"] == {"name": "anonymous", "via": "http", "authenticated": False}
        assert weight_bp in (decision["weight_bp"], 0)


def test_kill_all_and_no_wait_go_through_serve(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "served-many")
    killed = json.loads(server.served("kill", "--all", "--json").stdout)
    assert killed["ok"] is True
    assert "served-many" in {decision["flag"] for decision in killed["decisions"]}
    assert json.loads(server.served("unkill", "--all", "--json").stdout)["ok"] is True
    hurried = json.loads(server.served("start", "served-many", "--no-wait", "--json").stdout)
    assert (hurried["waited"], hurried["exit_code"]) == (False, 0)


def test_what_is_refused_exits_1_and_what_is_wrong_exits_2(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "served-no")
    refused = server.served("promote", "served-no")
    assert refused.exit_code == 1
    assert "REFUSED_PHASE" in refused.stdout
    assert "REFUSED_UNKNOWN_FLAG" in server.served("start", "nobody-applied-it").stdout
    named = server.served("pause", "served-no", "--actor", "ada")
    assert named.exit_code == 2
    assert "--actor" in named.stderr
    assert server.served("metric", "set", "served-no", "9 lives", "1").exit_code == 2


def test_statuses_are_the_same_both_ways(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "served-same")
    straight = server.json("status", "served-same")

    def told() -> bool:
        return json.loads(server.served("status", "served-same", "--json").stdout).get("state") == straight["state"]

    soon(told)
    assert "served-same" in server.served("list").stdout
    assert "ladder" in server.served("status", "served-same").stdout
    unknown = server.served("status", "served-nothing")
    assert unknown.exit_code == 1
    assert "known flags" in unknown.stderr


@pytest.mark.parametrize("topic", TOPICS)
def test_tail_tells_the_same_past_both_ways(server: Server, tmp_path: Path, topic: str) -> None:
    flag = f"served-past-{topic}"
    bugs = 'triggers:\n  - {{name: bugs, when: "a critical bug is reported", do: rollback}}'
    apply(server, tmp_path, flag, SPEC.replace("triggers:", bugs))
    assert server.guardian("start", flag).exit_code == 0
    assert server.guardian("bug", flag).exit_code == 0
    words = ("tail", topic, "--flag", flag, "--no-follow", "--json")

    def lines(result: Result) -> list[object]:
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    soon(lambda: lines(server.served(*words))[-1:] == lines(server.guardian(*words))[-1:] != [])


@pytest.mark.parametrize("through", ["serve", "kafka"])
@pytest.mark.parametrize("topic", ["decisions", "rollbacks"])
def test_tail_goes_on_with_what_is_new(server: Server, tmp_path: Path, topic: str, through: str) -> None:
    flag = f"tail-{topic}-{through}"
    apply(server, tmp_path, flag)
    assert server.guardian("start", flag).exit_code == 0
    assert server.guardian("rollback", flag, "--to", "zero").exit_code == 0
    way = ["--server", server.url] if through == "serve" else ["--bootstrap", server.environment["GUARDIAN_BOOTSTRAP"]]
    process = server.start("tail", topic, "--flag", flag, "--from-beginning", "--reason", "operator", *way)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert "rolled back" in next(lines)
    for words in (["resolve", flag], ["start", flag], ["rollback", flag, "--reason", "again"]):
        assert server.guardian(*words).exit_code == 0
    assert any("rolled back by" in line and "again" in line for line in lines)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_events_are_sent_through_serve_and_the_bad_ones_named_by_their_line(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "mixed.jsonl"
    good = '{"ts": 1, "flag": "x", "variant": "on", "outcome": "ok"}'
    file.write_text(f'{good}\n\nnot json\n{{"flag": 3}}\n{{"component": "c", "event_type": "success"}}\n')
    result = server.served("send", str(file))
    assert result.exit_code == 1
    assert "1 telemetry and 1 migration" in result.stdout
    places = re.findall(rf"{file}:(\d+):", result.stderr)
    assert places == ["3", "4"]
    many = server.served("send", "-", "--json", stdin=(good + "\n") * 2_500)
    counts = {"telemetry": 2_500, "migrations": 0, "bad": 0}
    told = json.loads(many.stdout)
    assert told == {"ok": True, **counts, "problems": [], "hints": told["hints"]}
    assert any("no rollout of 'x'" in hint for hint in told["hints"])
    assert server.served("send", str(file), "--to", "migrations").exit_code == 2


def test_explain_goes_through_serve(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "served-why")
    assert server.guardian("promote", "served-why").exit_code == 1
    soon(lambda: "guardian start served-why" in server.served("explain", "served-why").stdout)


@pytest.mark.parametrize(
    "words", [["list"], ["kill", "x"], ["tail", "decisions"], ["status", "--watch"], ["send", "-"]]
)
def test_a_serve_that_is_away_is_exit_3_with_a_way_out(words: list[str]) -> None:
    good = '{"ts": 1, "flag": "x", "variant": "on", "outcome": "ok"}\n'
    result = CliRunner().invoke(app, [*words, "--server", "http://127.0.0.1:1"], input=good)
    assert result.exit_code == 3, result.output
    assert "http://127.0.0.1:1" in result.stderr
    assert "fix:" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("words", [["list"], ["kill", "x"], ["tail", "flags"]])
def test_something_else_at_that_address_is_named_as_such(words: list[str], tmp_path: Path) -> None:
    with a_web_server(tmp_path) as url:
        result = CliRunner().invoke(app, [*words, "--server", url])
    assert result.exit_code == 3, result.output
    assert "is not guardian's serve" in result.stderr


@contextmanager
def a_web_server(folder: Path) -> Iterator[str]:
    """Serve a folder, which has nothing to do with guardian."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


@pytest.mark.parametrize("url", ["127.0.0.1:8620", "ftp://x", "http://x:port"])
def test_an_address_that_is_none_is_a_usage_error(url: str) -> None:
    result = CliRunner().invoke(app, ["list", "--server", url])
    assert result.exit_code == 2, result.output
    assert "fix:" in result.stderr


def test_two_addresses_are_a_usage_error_but_the_command_line_beats_the_environment(server: Server) -> None:
    both = CliRunner().invoke(app, ["list", "--server", server.url, "--bootstrap", "127.0.0.1:1"])
    assert both.exit_code == 2
    words = ["list", "--bootstrap", "127.0.0.1:1"]
    assert CliRunner(env={"GUARDIAN_SERVER": server.url}).invoke(app, words).exit_code == 3


def token(name: str, role: str) -> dict[str, str]:
    """Return the entry of a token that reads like its bearer's name."""
    return {"name": name, "role": role, "sha256": hashlib.sha256(name.encode()).hexdigest()}


@contextmanager
def guarded_serve(server: Server, errors: Path) -> Iterator[str]:
    """Run the role serve beside the running guardian, with tokens; give its address."""
    tokens = json.dumps([token("ada", "operator"), token("vic", "viewer")])
    with errors.open("w") as stderr:
        server.environment["GUARDIAN_TOKENS"] = tokens
        try:
            process = server.start("run", "--role", "serve", "--http-port", "0", stderr=stderr)
        finally:
            del server.environment["GUARDIAN_TOKENS"]
        try:
            find = re.compile(r"serve listens on (\S+);")
            (url,) = soon(lambda: find.findall(errors.read_text()))
            yield url
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, errors.read_text()
        finally:
            process.kill()
            process.communicate()


def test_a_token_says_who_gives_a_command_and_what_its_bearer_may(server: Server, tmp_path: Path) -> None:
    apply(server, tmp_path, "served-token")
    with guarded_serve(server, tmp_path / "stderr") as url:

        def guardian(*words: str, bearer: str = "") -> Result:
            return CliRunner(env={"GUARDIAN_SERVER": url, "GUARDIAN_TOKEN": bearer}).invoke(app, list(words))

        soon(lambda: guardian("list", bearer="vic").exit_code == 0)
        nobody = guardian("list")
        assert nobody.exit_code == 1
        assert "--token" in nobody.stderr
        viewer = guardian("kill", "served-token", bearer="vic")
        assert viewer.exit_code == 1
        assert "vic is viewer" in viewer.stderr
        operator = guardian("start", "served-token", "--json", bearer="ada")
        (decision,) = json.loads(operator.stdout)["decisions"]
        # Without a signing key serve cannot prove to the log what the token has proved to serve.
        assert decision["actor"] == {"name": "ada", "via": "http", "authenticated": False}
        assert guardian("list", "--token", "vic").exit_code == 0
