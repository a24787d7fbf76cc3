"""The pytest plugin: fixtures, the cache, what a failing test says, and the example app that is tested with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from ehrsatz.pytest_plugin import Wish


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a folder in a process of its own, with this plugin alone."""
    words = [sys.executable, "-m", "pytest", "-p", "ehrsatz.pytest_plugin", "-p", "no:xdist", "-q", *arguments]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


def test_fixtures_hold_the_cohort_that_the_marker_asks_for(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        """
import pytest

@pytest.mark.ehrsatz("clinic", n=12, seed=3, record_years=1)
def test_dataset(ehrsatz_dataset, ehrsatz_sqlite, ehrsatz_hl7, ehrsatz_fhir):
    assert ehrsatz_dataset.n_subjects == 12
    assert ehrsatz_sqlite.execute("SELECT count(*) FROM patient").fetchone() == (12,)
    ehrsatz_sqlite.execute("DELETE FROM payment")
    assert all(message.startswith("MSH|") and message.endswith("\\r") for message in ehrsatz_hl7)
    assert len(list(ehrsatz_fhir.rglob("*.json"))) > 12

@pytest.mark.ehrsatz("clinic", n=12, seed=3, record_years=1)
def test_copies_are_own(ehrsatz_sqlite):
    assert ehrsatz_sqlite.execute("SELECT count(*) FROM payment").fetchone()[0] > 0

def test_defaults(ehrsatz_dataset):
    assert ehrsatz_dataset.n_subjects == 7

def test_failing(ehrsatz_wish):
    assert ehrsatz_wish.seed == 11
    raise AssertionError("broken")

def test_postgres(ehrsatz_postgres):
    raise AssertionError("never reached without an address")
"""
    )
    done = run(tmp_path, "--ehrsatz-n", "7", "--ehrsatz-seed", "11", "-rs")
    assert "3 passed, 1 skipped" in done.stdout and "1 failed" in done.stdout, done.stdout + done.stderr
    assert "seed 11; the same patients again:" in done.stdout
    assert "ehrsatz fabricate clinic --n 7 --seed 11 --out cohort/" in done.stdout
    assert "ehrsatz.simulate('clinic', n=7, seed=11)" in done.stdout
    assert "--ehrsatz-postgres postgresql://" in done.stdout
    kept = sorted(path.name.partition("-")[2] for path in (tmp_path / ".pytest_cache" / "d" / "ehrsatz").iterdir())
    assert kept == ["fhir_bundle", "hl7v2", "parquet", "parquet", "sqlite"]  # two cohorts, each made once


def test_a_second_run_takes_them_from_the_cache(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.ehrsatz(n=5, record_years=1)\ndef test_a(ehrsatz_dataset):\n    pass\n"
    )
    assert "1 passed" in run(tmp_path).stdout
    (place,) = (tmp_path / ".pytest_cache" / "d" / "ehrsatz").iterdir()
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    assert "1 passed" in run(tmp_path).stdout
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


def test_the_lines_make_the_same_cohort() -> None:
    groups = [{"n": 40, "age": [50, 80], "conditions": ["type2_diabetes"]}]
    wish = Wish("clinic", 40, 7, {"record_years": 3, "edge_cases": ["twins", "110 years"], "groups": groups})
    assert wish.line() == (
        "ehrsatz fabricate clinic --n 40 --seed 7 --group-of 'n=40 age=50..80 conditions=type2_diabetes' "
        "--record-years 3 --edge-cases twins --edge-cases '110 years' --out cohort/"
    )
    assert "record_years=3, edge_cases=['twins', '110 years'], groups=" in wish.python()


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    code = "import sys, ehrsatz.pytest_plugin; print([m for m in ('polars', 'numpy', 'pydantic') if m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_example_app_passes(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(ROOT / "examples" / "triage", tmp_path / "triage")
    done = run(tmp_path / "triage")
    assert "4 passed" in done.stdout, done.stdout + done.stderr
