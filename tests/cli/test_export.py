"""`ehrsatz export` and `ehrsatz reconcile` from the command line: what they write, tell and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from ehrsatz.cli.main import main
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.csv import CsvExporter
from ehrsatz.exporters.parquet import ParquetExporter


@pytest.fixture(scope="module")
def both(cohort: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both") / "data"
    CsvExporter().write(cohort, folder)
    ParquetExporter().write(cohort, folder)
    return folder


def test_formats_that_agree(both: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconcile", str(both)]) == 0
    out, told = capsys.readouterr()
    assert out.splitlines()[1].startswith("csv\t") and "they agree" in told


def test_formats_that_differ_exit_1_and_name_the_place_alone(both: Path, cohort: Dataset, tmp_path: Path) -> None:
    CsvExporter().write(cohort, tmp_path / "x")
    seen = cohort.tables["observation"]
    changed = seen.with_columns(
        pl.when(pl.int_range(pl.len()) < 3).then(pl.lit(4711.25)).otherwise("value").alias("value")
    )
    tables = {**cohort.tables, "observation": changed}
    ParquetExporter().write(Dataset(cohort.schema, tables, cohort.provenance), tmp_path / "x")
    assert main(["reconcile", str(tmp_path / "x"), "--out", str(tmp_path / "proof.json")]) == 1
    text = (tmp_path / "proof.json").read_text()
    proof = json.loads(text)
    assert proof["n_differ"] == 3 and "4711.25" not in text
    assert proof["formats"][0]["tables"]["observation"]["columns"] == {"value": 3}


def test_export_writes_whole_and_proves(both: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(both), "--format", "csv,parquet", "--out", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n_patients"] == 200 and told["proof"]["n_differ"] == 0 and told["read_as"] == "clinical"
    assert (tmp_path / "out" / "reconciliation.json").is_file()


@pytest.mark.parametrize(
    "words, message",
    [
        (["reconcile", "{only}"], "at least two formats"),
        (["export", "{only}", "--format", "parquet", "--out", "{new}"], "Nothing says that these are"),
        (["export", "{both}", "--format", "parqet", "--out", "{new}"], "Did you mean 'parquet'"),
        (["export", "{both}", "--format", "csv", "--out", "{both}"], "not empty"),
        (["export", "{both}", "--from-format", "fihr", "--out", "{new}"], "is none of them"),
        (["export", "{nothing}", "--out", "{new}"], "no such path"),
        (["export", "{empty}", "--out", "{new}"], "of none of them"),
    ],
)
def test_bad_input(
    words: list[str], message: str, both: Path, cohort: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {name: tmp_path / name for name in ("only", "new", "nothing", "empty")}
    CsvExporter().write(cohort, places["only"])
    places["empty"].mkdir()
    assert main([word.format(both=both, **places) for word in words]) == 2
    assert message in capsys.readouterr().err
    assert not places["new"].exists()


def test_what_is_exported_is_real_without_a_mark_but_may_leave_when_told(cohort: Dataset, tmp_path: Path) -> None:
    CsvExporter().write(cohort, tmp_path / "a")
    assert main(["export", str(tmp_path / "a"), "--format", "csv", "--out", str(tmp_path / "b"), "--allow-real"]) == 0
    assert (tmp_path / "b" / "patient.csv").read_bytes() == (tmp_path / "a" / "patient.csv").read_bytes()


@pytest.mark.parametrize(
    "words, message",
    [
        (["--format", "layout"], "Expected a mapping file"),
        (["--format", "csv,omop", "--athena", "{nowhere}"], "CONCEPT.csv"),
    ],
)
def test_settings_that_cannot_be_used_are_told_before_any_work(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [word.format(nowhere=tmp_path / "nowhere") for word in words]
    assert main(["fabricate", "--n", "5", *told, "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert message in err and "simulate" not in err and list(tmp_path.iterdir()) == []


def test_a_package_that_lacks_is_told_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ehrsatz.extras.is_available", lambda module: module != "duckdb")
    assert main(["fabricate", "--n", "5", "--format", "csv,omop_duckdb", "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "pip install 'ehrsatz[sql]'" in err and "simulate" not in err and list(tmp_path.iterdir()) == []


def test_a_study_has_its_drug(both: Path, tmp_path: Path) -> None:
    words = ["export", str(both), "--format", "parquet,sdtm", "--study-drug", "metformin", "--out", str(tmp_path / "s")]
    assert main([*words]) == 0  # and what is read back agrees
    given = pl.read_csv(tmp_path / "s" / "sdtm" / "ex.csv", infer_schema=False)
    assert given.height and given["EXTRT"].str.to_lowercase().str.contains("metformin").all()
    taken = pl.read_csv(tmp_path / "s" / "sdtm" / "cm.csv", infer_schema=False)
    assert not taken["CMTRT"].str.to_lowercase().str.contains("metformin").any()
