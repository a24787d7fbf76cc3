"""SQL folders and database files: the scripts run in psql, sqlite3 and DuckDB, and what they load reads back equal."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import polars as pl
import pytest

from ehrsatz import clinical, loose
from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError, SourceError
from ehrsatz.exporters.sql.ddl import ordered, script, statements
from ehrsatz.exporters.sql.files import DuckdbFile, SqliteFile
from ehrsatz.exporters.sql.folder import SqlFolder
from ehrsatz.reconcile.compare import compare
from ehrsatz.sources.database import DatabaseSource
from ehrsatz.sources.detect import clinical_source

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("psycopg")
from sources.test_postgres import PASSWORD, Server, binaries, server  # noqa: E402

__all__ = ["server"]

NASTY = ('"', "a,b", "line\nline", "'); DROP TABLE patient; --", "é😀", "שלום", "N" * 200, "NULL", "\\N", " x ", "0012")


@pytest.fixture(scope="module")
def nasty(cohort: Dataset) -> Dataset:
    """The cohort with names that break naive writers."""
    patient = cohort.tables["patient"]
    names = [NASTY[i % len(NASTY)] for i in range(patient.height)]
    tables = {**cohort.tables, "patient": patient.with_columns(pl.Series("family_name", names))}
    return Dataset(cohort.schema, tables, cohort.provenance)


@pytest.fixture(scope="module")
def folder(nasty: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cohort as SQL, in two parts."""
    place = tmp_path_factory.mktemp("sql")
    write_in_parts(SqlFolder(), nasty, place)
    return place / "sql"


def write_in_parts(exporter: SqlFolder | SqliteFile | DuckdbFile, whole: Dataset, place: Path) -> None:
    own = [table.name for table in whole.schema.tables if table.name not in WORLD]
    for number, patients in enumerate((whole.subjects[:120], whole.subjects[120:])):
        among = pl.col("relative_id").is_in(patients.implode())
        tables = {**whole.tables, "relation": whole.tables["relation"].filter(among)}
        exporter.write(
            Dataset(whole.schema, tables, whole.provenance).take_subjects(patients), place, part=number, tables=own
        )
    exporter.write(whole, place, tables=WORLD)
    exporter.finish(place)


def differences(whole: Dataset, found: Dataset) -> list[str]:
    """What differs, apart from relatives in the other part."""
    return [f"{a.table}.{a.column}" for a in compare(whole, found) if a.n_differ and a.table != "relation"]


# ---------------------------------------------------------------------- scripts in the real programs
@pytest.mark.postgres
def test_psql_runs_the_script(folder: Path, nasty: Dataset, server: Server) -> None:
    found = binaries()
    psql = shutil.which("psql") or (str(found / "psql") if found else None)
    if psql is None:
        pytest.skip("psql is not installed")
    environment = {"PGPASSWORD": PASSWORD, "PGOPTIONS": "-c search_path=script", "PATH": "/usr/bin:/bin"}
    command = [psql, "-h", "127.0.0.1", "-p", str(server.port), "-U", "ehr", "-d", "clinic", "-q", "-X"]
    subprocess.run([*command, "-c", "create schema script"], env=environment, check=True)
    done = subprocess.run(
        [*command, "-f", "load.postgresql.sql"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    back = DatabaseSource().read(f"{server.url()}?options=-csearch_path%3Dscript", origin="simulated")
    assert differences(nasty, back) == []


def test_sqlite3_runs_the_script(folder: Path, nasty: Dataset, tmp_path: Path) -> None:
    if shutil.which("sqlite3") is None:
        pytest.skip("the program sqlite3 is not installed")
    with (folder / "load.sqlite.sql").open("rb") as text:
        done = subprocess.run(
            ["sqlite3", str(tmp_path / "a.db")], stdin=text, cwd=folder, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0 and not done.stderr, done.stderr[-1000:]
    assert differences(nasty, DatabaseSource().read(tmp_path / "a.db", origin="simulated")) == []


def test_duckdb_runs_the_script(folder: Path, nasty: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with duckdb.connect(str(tmp_path / "a.duckdb")) as base:
        base.execute((folder / "load.duckdb.sql").read_text())
    assert differences(nasty, DatabaseSource().read(tmp_path / "a.duckdb", origin="simulated")) == []


def test_the_one_schema_script_runs_everywhere(folder: Path) -> None:
    text = (folder / "schema.sql").read_text()
    assert text == script(strict=True) and "patients who do not exist" in text
    base = sqlite3.connect(":memory:")
    base.executescript(text)
    assert base.execute("select count(*) from sqlite_master where type = 'table'").fetchone() == (23,)
    base.close()
    with duckdb.connect() as other:
        other.execute(text)
        assert other.execute("select count(*) from duckdb_tables()").fetchone() == (23,)


@pytest.mark.postgres
def test_the_one_schema_script_runs_in_postgres(server: Server) -> None:
    import psycopg

    with psycopg.connect(server.url()) as base:
        base.execute("create schema plain")
        base.execute("set search_path to plain")
        for strict in (True, False):
            base.execute(script(strict=strict))
            base.execute("drop schema plain cascade")
            base.execute("create schema plain")
        base.rollback()


# ---------------------------------------------------------------------- statements
def test_tables_come_after_those_they_link_to() -> None:
    names = [table.name for table in ordered()]
    assert sorted(names) == sorted(table.name for table in loose.schema().tables)
    for table in ordered():
        for link in table.links:
            assert names.index(link.to_table) <= names.index(table.name)


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_every_key_link_word_and_time_has_its_line(dialect: str) -> None:
    plan = statements(dialect, strict=True)
    text = "\n".join((*plan.create, *plan.constrain, *plan.index))
    for table in clinical.schema().tables:
        assert f'CONSTRAINT "{table.name}_pk" PRIMARY KEY' in text
        for link in table.links:
            assert f'"{table.name}_{link.column}_fk" FOREIGN KEY' in text and f'"{table.name}_{link.column}_ix"' in text
        for column in table.columns:
            line = re.search(rf'^  "{column.name}" .*$', plan.create[plan.tables.index(table.name)], flags=re.M)
            assert line is not None and ("NOT NULL" in line[0]) == (not column.nullable), (table.name, column.name)
            assert ("_words" in line[0]) == (column.values is not None), (table.name, column.name)
        assert table.time is None or f'"{table.name}_{table.time}_ix"' in text


def test_records_that_were_read_need_keys_alone(folder: Path, nasty: Dataset, tmp_path: Path) -> None:
    back = DatabaseSource().read(folder, origin="simulated")
    SqlFolder().write(back, tmp_path)
    text = (tmp_path / "sql" / "schema.sql").read_text()
    assert text == script(strict=False) and text.count("NOT NULL") < script(strict=True).count("NOT NULL")
    assert differences(back, DatabaseSource().read(tmp_path / "sql", origin="simulated")) == []


# ---------------------------------------------------------------------- files
@pytest.mark.parametrize("exporter", [SqliteFile(), DuckdbFile()], ids=["sqlite", "duckdb"])
def test_a_database_file_is_one_file_the_same_each_time(
    exporter: SqliteFile | DuckdbFile, nasty: Dataset, tmp_path: Path
) -> None:
    for place in ("one", "two"):
        write_in_parts(exporter, nasty, tmp_path / place)
    one, two = ([path for path in (tmp_path / place).rglob("*") if path.is_file()] for place in ("one", "two"))
    assert [path.name for path in one] == [f"clinical{exporter.suffix}"]
    assert one[0].read_bytes() == two[0].read_bytes()
    assert exporter.check(tmp_path / "one") == []
    found = DatabaseSource().read(tmp_path / "one" / exporter.place, origin="simulated")
    assert differences(nasty, found) == []
    with pytest.raises(OutputError, match="there already"):
        exporter.write(nasty, tmp_path / "one")
        exporter.finish(tmp_path / "one")


def test_a_database_says_that_it_is_synthetic(nasty: Dataset, tmp_path: Path) -> None:
    SqliteFile().write(nasty, tmp_path)
    SqliteFile().finish(tmp_path)
    base = sqlite3.connect(tmp_path / "sqlite" / "clinical.sqlite")
    told = dict(base.execute("select name, value from about").fetchall())
    base.close()
    assert told["content"].startswith("synthetic")


@pytest.mark.parametrize("exporter", [SqliteFile(), DuckdbFile()], ids=["sqlite", "duckdb"])
def test_a_lacking_part_is_seen(exporter: SqliteFile | DuckdbFile, cohort: Dataset, tmp_path: Path) -> None:
    own = [table.name for table in cohort.schema.tables if table.name not in WORLD]
    exporter.write(cohort, tmp_path, tables=WORLD)
    for number in (0, 2):
        exporter.write(cohort, tmp_path, part=number, tables=own)
    assert any("absent between" in one for one in exporter.check(tmp_path))
    with pytest.raises(OutputError, match="all parts"):
        exporter.finish(tmp_path)
    assert not (tmp_path / exporter.place / f"clinical{exporter.suffix}").exists()


@pytest.mark.parametrize("exporter", [SqliteFile(), DuckdbFile()], ids=["sqlite", "duckdb"])
def test_a_damaged_file_is_seen(exporter: SqliteFile | DuckdbFile, cohort: Dataset, tmp_path: Path) -> None:
    exporter.write(cohort, tmp_path)
    (path,) = exporter.finish(tmp_path)
    path.write_bytes(path.read_bytes()[:10_000])
    assert len(exporter.check(tmp_path)) == 1
    path.unlink()
    assert exporter.check(tmp_path) == [f"no {path.name} found"]


# ---------------------------------------------------------------------- the reader
def test_what_is_of_clinical_tables_is_found_by_its_tables(folder: Path, cohort: Dataset, tmp_path: Path) -> None:
    SqliteFile().write(cohort, tmp_path)
    SqliteFile().finish(tmp_path)
    assert DatabaseSource.fits(folder)
    for what in (tmp_path / "sqlite", tmp_path / "sqlite" / "clinical.sqlite"):
        assert isinstance(clinical_source(what), DatabaseSource)
    assert DatabaseSource.fits(f"sqlite:///{tmp_path / 'sqlite' / 'clinical.sqlite'}")
    base = sqlite3.connect(tmp_path / "other.db")
    base.execute("create table patient (name text)")
    base.close()
    assert not DatabaseSource.fits(tmp_path / "other.db")
    (tmp_path / "text.db").write_text("no database")
    assert not DatabaseSource.fits(tmp_path / "text.db") and not DatabaseSource.fits(tmp_path / "absent.db")


def test_other_tables_and_columns_are_counted(tmp_path: Path) -> None:
    base = sqlite3.connect(tmp_path / "a.db")
    base.executescript(
        "create table patient (patient_id, birth_date, sex, shoe_size); insert into patient values (7, '1970-01-02', "
        "'female', 41), ('x', '1980-03-04T00:00:00', 'divers', null);"
        "create table encounter (encounter_id primary key, patient_id, start) without rowid;"
        "insert into encounter values ('e', 7, '2020-01-01T08:30:00Z'); create table notes (t);"
    )
    base.close()
    with pytest.warns(UserWarning, match="shoe_size"):
        found = DatabaseSource().read(tmp_path / "a.db")
    assert found.tables["patient"]["patient_id"].to_list() == ["7", "x"]
    assert found.tables["patient"]["sex"].to_list() == ["female", None]
    assert str(found.tables["encounter"]["start"][0]) == "2020-01-01 08:30:00"
    left = found.provenance.steps[0].params["unplaced"]
    assert left == {
        "patient.sex: other words": 1,
        "patient.shoe_size: column of no clinical table": 1,
        "table notes": 1,
    }


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("no database at all\n" * 100)
    for what in (tmp_path / "a.db", tmp_path, "sqlite:///absent.db", tmp_path / "absent"):
        with pytest.raises(SourceError):
            DatabaseSource().read(what)
    base = sqlite3.connect(tmp_path / "b.sqlite")
    base.executescript(
        "create table patient (patient_id, birth_date); insert into patient values ('a', 'soon');"
        "create table encounter (encounter_id, patient_id)"
    )
    base.close()
    with pytest.raises(ValueError, match="another kind") as caught:
        DatabaseSource().read(tmp_path / "b.sqlite")
    assert "soon" not in str(caught.value)
