"""`ehrsatz tune` on the command line: what it writes and says, how it goes on after a stop, and bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from conftest import make_tidy
from ehrsatz.cli import main as cli

MARK = "SECRET123"

pytest.importorskip("optuna")


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = make_tidy(84).table.with_columns(pl.col("patient_id") + MARK, name=pl.col("patient_id") + f"{MARK} Miller")
    table.write_csv("patients.csv")


def tune(*more: str) -> list[str]:
    return ["tune", "--from", "patients.csv", "--subject", "patient_id", "--generator", "independent", *more]


def test_from_tune_to_a_release(capsys: pytest.CaptureFixture[str]) -> None:
    given = [*tune("--search", "max_bins=64", "--seed", "4", "--most-membership", "0.9", "--out", "tuned")]
    assert cli.main([*given, "--trials", "9", "--minutes", "30"]) == 0
    out, err = capsys.readouterr()
    assert "1 trial, 0 failed" in out and "utility was left out: no target" in err and MARK not in out + err
    assert {path.name for path in Path("tuned").iterdir()} == {"tuning.html", "tuning.json", "scenario.yaml"}
    told = json.loads(Path("tuned/tuning.json").read_text())
    assert told["stopped"] == "every setting was tried" and MARK not in json.dumps(told)
    assert MARK not in Path("tuned.study.jsonl").read_text() + Path("tuned/tuning.html").read_text()
    Path("policy.yaml").write_text("name: quick\nthresholds: [{metric: margins, at_least: 0.1}]\n")
    with Path("tuned/scenario.yaml").open("a") as file:
        file.write("evaluation: {metrics: [margins, detection, membership]}\n")
    made = ["fabricate", "tuned/scenario.yaml", "--from", "patients.csv", "--subject", "patient_id"]
    assert cli.main([*made, "--policy", "policy.yaml", "--out", "release"]) == 0
    scores = {one["metric"]: one for one in json.loads(Path("release/scores.json").read_text())["scores"]}
    judged = next(one for one in told["judged"] if one["trial"] == told["recommended"])["scores"]
    for name, metric in (("fidelity", "detection"), ("privacy", "membership")):  # what was judged is what comes out
        assert scores[metric]["value"] == pytest.approx(judged[name]["value"], abs=1e-9)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--trials", "0"], "trials"),
        (["--minutes", "0"], "--minutes"),
        (["--most-membership", "1.5"], "between 0.5 and 1"),
        (["--sampler", "baysian"], "Did you mean 'bayesian'"),
        (["--search", f"max_bins={MARK}"], "max_bins"),
        (["--search", "bins=2"], "Did you mean 'max_bins'"),
        (["--sampler", "grid", "--generator", "trees"], "trees.caution"),
        (["--generator", "auto"], "by itself"),
        (["--target", "outcom"], "Did you mean 'outcome'"),
        (["--out", "patients.csv"], "no folder"),
        (["--sample-subjects", "30"], "three parts"),
        (["--study", "patients.csv"], "something else"),
    ],
    ids=lambda one: one[0] if isinstance(one, list) else "",
)
def test_bad_input_is_refused_and_leaves_nothing(
    more: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("patients.csv").read_bytes()
    out = [] if "--out" in more else ["--out", "tuned"]
    assert cli.main([*tune(), *out, *more]) == 2
    told = capsys.readouterr()
    assert words in told.err and MARK not in told.err + told.out
    assert [path.name for path in Path.cwd().iterdir()] == ["patients.csv"]
    assert Path("patients.csv").read_bytes() == before


def test_nothing_within_the_limit_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ehrsatz.tuning.front.slack_of_auc", lambda n: -1.0)
    assert cli.main([*tune(), "--trials", "1", "--out", "tuned", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["recommended"] is None and not Path("tuned/scenario.yaml").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_keeps_the_trials_and_the_same_command_goes_on() -> None:
    run = "import sys; from ehrsatz.cli.main import run; sys.argv[0] = 'ehrsatz'; run()"
    command = [sys.executable, "-c", run, *tune("--search", "max_bins=2..99", "--trials", "400", "--out", "tuned")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as going:
        study = Path("tuned.study.jsonl")
        until = time.monotonic() + 120
        while time.monotonic() < until and (not study.exists() or study.read_bytes().count(b"\n") < 3):
            time.sleep(0.05)
        going.send_signal(signal.SIGINT)
        err = going.communicate(timeout=60)[1]
    assert going.returncode == 130 and "the same command goes on" in err
    kept = study.read_bytes()
    n = kept.count(b"\n") - 1
    assert n >= 2 and not Path("tuned").exists()
    assert cli.main([*tune("--search", "max_bins=2..99", "--trials", str(n), "--out", "tuned")]) in {0, 1}
    assert study.read_bytes() == kept and Path("tuned/tuning.html").exists()
