"""The rules for Prometheus: promtool takes them, their figures exist, and they fire when they should and only then."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from docs.made.metrics import names
from tests.deploy.files import ROOT
from tests.promtool import promtool

RULES = ROOT / "deploy" / "prometheus-rules.yml"

CASES = {
    "blind": ('guardian_watermark_lag_seconds{partition="3"}', "+Inf+0x20", "GuardianIsBlind"),
    "late": ('guardian_watermark_lag_seconds{partition="3"}', "61+0x20", "GuardianIsBlind"),
    "silent": ("guardian_serve_beat_age_seconds", "0+60x20", "GuardianGivesNoSignOfLife"),
    "behind": ('guardian_ingest_lag_records{topic="t",partition="0"}', "0+5000x40", "GuardianIngestFallsBehind"),
    "stopped": ('guardian_ingest_stopped_partitions{topic="t"}', "0 1+0x20", "GuardianSourceStopped"),
    "gap": ('guardian_decide_jumps_total{partition="0"}', "0+0x5 1+0x5", "GuardianLogHasAGap"),
}


def asked(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool(), *words], capture_output=True, text=True, check=False)


def test_promtool_takes_the_rules() -> None:
    done = asked("check", "rules", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_speak_of_figures_that_there_are() -> None:
    spoken_of = set(re.findall(r"guardian_\w+", RULES.read_text(encoding="utf-8")))
    assert spoken_of <= names()


def test_every_rule_stands_in_the_manual() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for figure in set(re.findall(r"guardian_\w+", RULES.read_text(encoding="utf-8"))) - {"guardian_serve_lag_records"}:
        assert figure in manual, figure


@pytest.mark.parametrize("case", CASES)
def test_a_rule_fires_on_what_it_is_made_for(case: str, tmp_path: Path) -> None:
    series, values, alert = CASES[case]
    (tmp_path / "rules.yml").write_text(RULES.read_text(encoding="utf-8"), encoding="utf-8")
    # What fires with which words is not asked: only that it fires, and that it does not on what is well.
    fires = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    (tmp_path / "case.yml").write_text(
        f"""\
rule_files: [rules.yml]
evaluation_interval: 30s
tests:
  - interval: 1m
    input_series: [{{series: '{series}', values: '{values}'}}]
    promql_expr_test:
      - {{expr: '{fires}', eval_time: {35 if case == "behind" else 7}m, exp_samples: [{{value: 1, labels: "{{}}"}}]}}
  - interval: 1m
    input_series: [{{series: '{series}', values: '0+0x40'}}]
    promql_expr_test:
      - {{expr: '{fires}', eval_time: 35m, exp_samples: []}}
""",
        encoding="utf-8",
    )
    done = asked("test", "rules", str(tmp_path / "case.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
