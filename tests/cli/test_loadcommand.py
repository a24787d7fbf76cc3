"""`ehrsatz load`: from releases and formats into databases; what it refuses, and its exit codes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ehrsatz import loading, registry
from ehrsatz.cli.main import USAGE, main
from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset

pytest.importorskip("duckdb")
pytest.importorskip("psycopg")
from sources.test_postgres import PASSWORD, Server, server

__all__ = ["server"]


@pytest.fixture(scope="module")
def records(cohort: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cohort as Parquet files that say that they are synthetic, in two parts."""
    folder = tmp_path_factory.mktemp("records")
    exporter = registry.find("exporters", "parquet")()
    own = [table.name for table in cohort.schema.tables if table.name not in WORLD]
    for number, patients in enumerate((cohort.subjects[:90], cohort.subjects[90:])):
        among = pl.col("relative_id").is_in(patients.implode())
        tables = {**cohort.tables, "relation": cohort.tables["relation"].filter(among)}
        part = Dataset(cohort.schema, tables, cohort.provenance).take_subjects(patients)
        exporter.write(part, folder, part=number, tables=own)
    exporter.write(cohort, folder, tables=WORLD)
    return folder


def count(path: Path, table: str) -> int:
    base = sqlite3.connect(path)
    try:
        return int(base.execute(f"select count(*) from {table}").fetchone()[0])
    finally:
        base.close()


def test_parts_are_loaded_and_counted(
    records: Path, cohort: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.db"
    assert main(["load", str(records), f"sqlite:///{path}", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    relation = rows.pop("relation")
    assert 0 < relation <= cohort.tables["relation"].height
    assert rows.pop("about") == 3
    assert rows == {name: frame.height for name, frame in cohort.tables.items() if name != "relation"}
    assert count(path, "observation") == rows["observation"]
    assert main(["load", str(records), f"sqlite:///{path}"]) == USAGE
    said = capsys.readouterr().err
    assert "Present already: about, organization" in said and count(path, "observation") == rows["observation"]


def test_into_duckdb_as_text(records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", str(records), f"duckdb:///{tmp_path / 'a.duckdb'}", "--schema", "ward"]) == 0
    told = capsys.readouterr()
    assert "patient\t200" in told.out and "rows in 23 tables" in told.err


def test_records_that_may_be_real_need_leave(
    cohort: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.find("exporters", "csv")().write(cohort, tmp_path / "csv")
    url = f"sqlite:///{tmp_path / 'a.db'}"
    assert main(["load", str(tmp_path / "csv"), url]) == USAGE
    assert "--allow-real" in capsys.readouterr().err and not (tmp_path / "a.db").exists()
    assert main(["load", str(tmp_path / "csv"), url, "--allow-real"]) == 0
    base = sqlite3.connect(tmp_path / "a.db")
    assert base.execute("select value from about where name = 'content'").fetchone()[0].startswith("real")
    base.close()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["absent", "sqlite:///a.db"], "Expected 'absent' to exist"),
        (["{records}", "nowhere.db"], "Expected the address of a database"),
        (["{records}", "sqlite:///a.db", "--as", "omp"], "Did you mean 'omop'?"),
        (["{records}", "sqlite:///a.db", "--schema", "x"], "has no schemas"),
        (["{records}", "sqlite:///a.db", "--from-format", "fihr"], "Expected a clinical format"),
        (["{here}", "sqlite:///a.db"], "of none of them"),
        (["{records}", "postgresql://me:secret-pw-1@127.0.0.1:1/x"], "could not be reached"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    message: str,
    records: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["load", *(one.format(records=records, here=tmp_path) for one in arguments)]) == USAGE
    said = capsys.readouterr().err
    assert message in said and "secret-pw" not in said and not list(tmp_path.iterdir())


@pytest.mark.postgres
def test_a_connection_lost_half_way_ends_with_code_2(
    records: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import psycopg

    def lost(*arguments: Any) -> Iterator[tuple[str, pl.DataFrame]]:
        for name, frame in given(*arguments):
            if name == "observation":
                with psycopg.connect(server.url()) as other:
                    other.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                    )
            yield name, frame

    given = loading._clinical
    monkeypatch.setattr(loading, "_clinical", lost)
    assert main(["load", str(records), server.url(), "--schema", "half"]) == USAGE
    said = capsys.readouterr().err
    assert "Nothing was loaded" in said and PASSWORD not in said
    monkeypatch.undo()
    assert main(["load", str(records), server.url(), "--schema", "half"]) == 0
    with psycopg.connect(server.url()) as base:
        assert base.execute("select count(*) from half.patient").fetchone() == (200,)


@pytest.mark.postgres
def test_as_omop_into_postgres(records: Path, cohort: Dataset, server: Server) -> None:
    import psycopg

    assert main(["load", str(records), server.url(), "--as", "omop", "--schema", "cdm"]) == 0
    with psycopg.connect(server.url()) as base:
        assert base.execute("select count(*) from cdm.person").fetchone() == (200,)
        links = base.execute(
            "select count(*) from pg_constraint where connamespace = 'cdm'::regnamespace and contype = 'f'"
        ).fetchone()
    assert links is not None and links[0] > 100
