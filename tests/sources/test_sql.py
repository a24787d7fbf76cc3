"""Databases in a file: SQLite and DuckDB."""

from __future__ import annotations

import sqlite3
from datetime import date
from pathlib import Path

import pytest

from ehrsatz.errors import DataError, SourceError
from ehrsatz.sources.base import kind_of

pytest.importorskip("sqlalchemy")
from ehrsatz.sources.sql import SqlSource

TABLES = """
create table patients (patient_id integer primary key, sex text, born date);
create table visits (
    visit_id integer primary key, patient_id integer not null references patients (patient_id), day date, sbp real);
"""


def rows() -> tuple[list[tuple[int, str, str]], list[tuple[int, int, str, float]]]:
    patients = [(i, "FM"[i % 2], f"19{50 + i}-03-01") for i in range(40)]
    visits = [(i, i // 3, f"2020-{1 + i % 12:02d}-{1 + i % 27:02d}", 100 + i % 50 + 0.5) for i in range(120)]
    return patients, visits


@pytest.fixture
def sqlite(tmp_path: Path) -> Path:
    path = tmp_path / "clinic.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(TABLES)
        patients, visits = rows()
        connection.executemany("insert into patients values (?, ?, ?)", patients)
        connection.executemany("insert into visits values (?, ?, ?, ?)", visits)
    connection.close()
    return path


def test_tables_and_foreign_keys(sqlite: Path) -> None:
    for address in (f"sqlite:///{sqlite}", sqlite):
        assert kind_of(address) == "sql"
        data = SqlSource().read(address)
        assert data.schema.parent.name == "patients" and data.n_subjects == 40
        assert [(link.column, link.to_table) for link in data.schema["visits"].links] == [("patient_id", "patients")]
        assert data.tables["patients"]["born"][0] == date(1950, 3, 1)
        assert data.schema["visits"].time == "day"


def test_one_table_sample_and_limit(sqlite: Path) -> None:
    data = SqlSource().read(f"sqlite:///{sqlite}", table="visits", subject="patient_id", sample_subjects=7, seed=2)
    assert data.n_subjects == 7 and data.table.height == 21
    with pytest.raises(DataError, match="rows fit"):
        SqlSource().read(f"sqlite:///{sqlite}", max_memory_bytes=100)


def test_columns_of_mixed_types_become_text(sqlite: Path) -> None:
    with sqlite3.connect(sqlite) as connection:
        connection.execute("create table odd (x, y)")
        connection.executemany("insert into odd values (?, ?)", [(i % 9 if i % 2 else "word", None) for i in range(60)])
    connection.close()
    data = SqlSource().read(f"sqlite:///{sqlite}", table="odd")
    assert data.schema.tables[0]["x"].kind == "category" and data.table["y"].null_count() == 60


def test_duckdb(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("duckdb_engine")
    path = tmp_path / "clinic.duckdb"
    with duckdb.connect(str(path)) as connection:
        for statement in TABLES.split(";"):
            connection.execute(statement)
        patients, visits = rows()
        connection.executemany("insert into patients values (?, ?, ?)", patients)
        connection.executemany("insert into visits values (?, ?, ?, ?)", visits)
    for address in (f"duckdb:///{path}", path):
        data = SqlSource().read(address)
        assert data.schema.parent.name == "patients" and data.n_subjects == 40
        assert [(link.column, link.to_table) for link in data.schema["visits"].links] == [("patient_id", "patients")]
        assert data.tables["patients"]["born"][0] == date(1950, 3, 1)


def test_wrong_addresses(sqlite: Path, tmp_path: Path) -> None:
    for address, words in (
        (f"sqlite:///{tmp_path}/absent.sqlite", "no such file"),
        ("nonsense://user:hidden-pw@host/db", "address"),
        ("postgresql://user:hidden-pw@127.0.0.1:1/db", "reached"),
        ("://", "address"),
    ):
        with pytest.raises(SourceError) as caught:
            SqlSource().read(address)
        text = f"{caught.value!s} {caught.value!r}"
        assert words in text and "hidden-pw" not in text
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None or caught.value.__suppress_context__
    with pytest.raises(SourceError, match="Did you mean 'visits'"):
        SqlSource().read(f"sqlite:///{sqlite}", table="visit")
