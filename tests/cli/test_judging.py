"""`ehrsatz gate` on the command line: policies by name, summaries for builds, and what cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
import yaml

from ehrsatz.cli import main as cli
from ehrsatz.gate import SHIPPED, Policy, named, policy_of
from ehrsatz.scenario import Scenario

SCORES = {
    "format": 1,
    "details": {"subjects": {"train": 400, "holdout": 400, "synthetic": 400}},
    "scores": [
        {"metric": "margins", "value": 0.95, "interval": [0.94, 0.96], "reference": 0.96, "status": "measured"},
        {"metric": "membership", "value": 0.52, "interval": [0.40, 0.64], "reference": 0.5, "status": "measured"},
    ],
}
POLICY = """
name: ours
thresholds:
  - {metric: margins, at_least: 0.9}
  - {metric: membership, at_most: 0.55, judge: lenient, power: {max_half_width: 0.05}}
"""


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scores.json").write_text(json.dumps(SCORES))
    Path("policy.yaml").write_text(POLICY)


def test_shipped_policies_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["gate", "--list"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()[1:]] == list(SHIPPED)
    assert cli.main(["gate", "--show", "public"]) == 0
    shown = capsys.readouterr().out
    assert Policy.from_dict(yaml.safe_load(shown)) == named("public")
    assert cli.main(["gate", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == Policy.json_schema()
    assert cli.main(["gate", "--list", "--json"]) == 0
    assert {one["name"] for one in json.loads(capsys.readouterr().out)} == set(SHIPPED)
    assert cli.main(["gate", "--show", "pubic"]) == 2
    assert "Did you mean 'public'" in capsys.readouterr().err


def test_summaries_for_builds(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["gate", "scores.json", "--policy", "policy.yaml"]
    assert cli.main([*command, "--junit", "gate.xml", "--markdown", "gate.md"]) == 1
    suite = Xml.parse("gate.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    text = Path("gate.md").read_text()
    assert text.startswith("## Held")
    capsys.readouterr()
    assert cli.main([*command, "--markdown", "-"]) == 1
    shown = capsys.readouterr()
    assert shown.out == text
    assert "HELD" in shown.err
    assert cli.main([*command, "--junit", "gate.xml"]) == 2  # it is there already
    assert not Path("-").exists()


def test_explanations_on_screen_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["gate", "scores.json", "--policy", "policy.yaml", "--explain"]
    assert cli.main(command) == 1
    assert "About 2,400 subjects in each half" in capsys.readouterr().out  # 400 x (0.12 / 0.05)^2 = 2,304, rounded up
    assert cli.main([*command, "--json"]) == 1
    (one,) = json.loads(capsys.readouterr().out)["explanations"]
    assert (one["metric"], one["state"], one["subjects"]) == ("membership", "inconclusive", 2400)


@pytest.mark.parametrize(
    ("policy", "hint"),
    [
        ("thresholds: [{metric: margns, at_least: 0.9}]", "Did you mean 'margins'"),
        ("thresholds: [{metric: margins, at_lest: 0.9}]", "Did you mean 'at_least'"),
        ("thresholds: [{metric: margins, at_least: 0.9, at_most: 1}]", "exactly one"),
        ("thresholds: []", "at least 1"),
        ("thresholds: [{metric: margins, at_least: 0.9, power: {half: 1}}]", "unknown key"),
        ("audience: everybody\nthresholds: [{metric: margins, at_least: 0.9}]", "audience"),
    ],
)
def test_a_policy_that_cannot_be_used_is_exit_code_2(
    policy: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("policy.yaml").write_text(policy)
    assert cli.main(["gate", "scores.json", "--policy", "policy.yaml", "--junit", "gate.xml"]) == 2
    assert hint in capsys.readouterr().err
    assert not Path("gate.xml").exists()


def test_no_scores_or_no_such_policy_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["gate"]) == 2
    assert cli.main(["gate", "scores.json", "--policy", "intern-test"]) == 2
    assert "Did you mean 'internal-test'" in capsys.readouterr().err


def test_a_scenario_names_a_policy_or_a_file_beside_it() -> None:
    Path("deep").mkdir()
    Path("deep/policy.yaml").write_text(POLICY)
    Path("deep/name.yaml").write_text("policy: public")
    Path("deep/file.yaml").write_text("policy: policy.yaml")
    assert policy_of(str(Scenario.from_file("deep/name.yaml").policy)) == named("public")
    assert policy_of(str(Scenario.from_file("deep/file.yaml").policy)).name == "ours"
