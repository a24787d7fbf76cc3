"""Loading into databases: all or nothing, whatever happens on the way; SQLite, DuckDB and a real PostgreSQL."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from ehrsatz import loose
from ehrsatz.dataset import Dataset
from ehrsatz.errors import EhrsatzError, OutputError, UnsupportedError
from ehrsatz.exporters.load import Statements, load
from ehrsatz.exporters.sql.ddl import ordered, statements
from ehrsatz.reconcile.compare import compare
from ehrsatz.sources.database import DatabaseSource

duckdb = pytest.importorskip("duckdb")
psycopg = pytest.importorskip("psycopg")
from sources.test_postgres import Server, server  # noqa: E402

__all__ = ["server"]

SMALL = Statements(
    (
        'CREATE TABLE "ward" (id BIGINT PRIMARY KEY, name TEXT NOT NULL)',
        'CREATE TABLE "bed" (id BIGINT PRIMARY KEY, ward BIGINT REFERENCES "ward" (id), kind TEXT '
        "CHECK (kind IN ('high', 'low')))",
    )
)
WARDS = pl.DataFrame({"id": [1, 2], "name": ["north", "south"]})
BEDS = pl.DataFrame({"id": [7, 8, 9], "ward": [1, 2, None], "kind": ["high", None, "low"]})


def rows_of(cohort: Dataset) -> Iterator[tuple[str, pl.DataFrame]]:
    wide = loose.widen(cohort)
    return ((table.name, wide.tables[table.name]) for table in ordered())


def strict(dialect: str) -> Statements:
    return statements(dialect, strict=True)


def held(path: Path) -> set[str]:
    """Names of tables that a database file has after somebody opens it again; none where there is no file."""
    if not path.exists():
        return set()
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path)) as base:
            return {row[0] for row in base.execute("select table_name from duckdb_tables()").fetchall()}
    base = sqlite3.connect(path)
    try:
        return {row[0] for row in base.execute("select name from sqlite_master where type = 'table'")}
    finally:
        base.close()


def address(path: Path) -> str:
    return f"{'duckdb' if path.suffix == '.duckdb' else 'sqlite'}:///{path}"


def make(path: Path) -> None:
    """Make a database that holds another table already."""
    load(address(path), lambda _: Statements(("CREATE TABLE other (x BIGINT)",)), [("other", pl.DataFrame({"x": [5]}))])


FILES = pytest.mark.parametrize("name", ["a.sqlite", "a.duckdb"])


# ---------------------------------------------------------------------- whole cohorts
@FILES
def test_a_cohort_loads_with_all_constraints_and_comes_back(name: str, cohort: Dataset, tmp_path: Path) -> None:
    rows = load(address(tmp_path / name), strict, rows_of(cohort))
    assert rows == {"about": 0, **{table.name: cohort.tables[table.name].height for table in ordered()}}
    back = DatabaseSource().read(address(tmp_path / name), origin="simulated")
    assert not [one for one in compare(cohort, back) if one.n_differ]
    assert {path.name for path in tmp_path.iterdir()} == {name}


@FILES
def test_into_a_file_that_holds_other_tables(name: str, tmp_path: Path) -> None:
    make(tmp_path / name)
    assert load(address(tmp_path / name), lambda _: SMALL, [("ward", WARDS), ("bed", BEDS)]) == {"ward": 2, "bed": 3}
    assert held(tmp_path / name) == {"other", "ward", "bed"}


def test_links_of_sqlite_are_enforced_after_loading(cohort: Dataset, tmp_path: Path) -> None:
    load(f"sqlite:///{tmp_path / 'a.db'}", strict, rows_of(cohort))
    base = sqlite3.connect(tmp_path / "a.db")
    base.execute("pragma foreign_keys = on")
    for statement in (
        "insert into allergy select 'new', patient_id, 'nowhere', system, code, display, category, null, null, null, "
        "onset from allergy limit 1",
        "update encounter set class = 'holiday'",
        "update encounter set start = null",
        "insert into patient select * from patient limit 1",
        "update payment set payer_part = -1",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            base.execute(statement)
            base.execute("commit")
    indexes = {row[0] for row in base.execute("select name from sqlite_master where type = 'index'")}
    assert {"observation_time_ix", "observation_patient_id_ix", "encounter_start_ix"} <= indexes
    base.close()


# ---------------------------------------------------------------------- refused
BAD: dict[str, tuple[str, pl.DataFrame]] = {
    "lead nowhere|not there": ("bed", BEDS.with_columns(pl.Series("ward", [1, 2, 99]))),
    "stands twice": ("bed", BEDS.with_columns(id=7)),
    "breaks a check": ("bed", BEDS.with_columns(kind=pl.lit("middle"))),
    "is empty": ("ward", WARDS.with_columns(pl.Series("id", [5, 6]), name=pl.lit(None, pl.String))),
}


@FILES
@pytest.mark.parametrize("message", BAD)
@pytest.mark.parametrize("new", [True, False])
def test_a_row_that_breaks_a_constraint_leaves_nothing(name: str, message: str, new: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    if not new:
        make(path)
    with pytest.raises(OutputError, match=message) as caught:
        load(address(path), lambda _: SMALL, [("ward", WARDS), BAD[message]])
    assert "middle" not in str(caught.value) and "99" not in str(caught.value)
    assert caught.value.__cause__ is None and (caught.value.__suppress_context__ or caught.value.__context__ is None)
    assert held(path) == (set() if new else {"other"})
    assert new == (not any(tmp_path.iterdir()))


@FILES
def test_a_database_that_holds_such_a_table_is_refused(name: str, tmp_path: Path) -> None:
    load(address(tmp_path / name), lambda _: SMALL, [("ward", WARDS)])
    before = (tmp_path / name).read_bytes()
    with pytest.raises(OutputError, match="Present already: ward, bed"):
        load(address(tmp_path / name), lambda _: SMALL, [("ward", WARDS)])
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize(
    "url, message",
    [
        ("oracle://user:secret-pw@host/x", "none of these"),
        ("postgresq://user:secret-pw@host/x", "Did you mean 'postgresql'"),
        ("clinic.db", "none of these"),
        ("sqlite://", "names no file"),
        ("duckdb:///:memory:", "names no file"),
        ("sqlite:////no/such/folder/a.db", "There is none"),
        ("postgresql://user:secret-pw@127.0.0.1:1/x", "could not be reached"),
        ("postgresql://user:secret-pw@127.0.0.1:1/x?no_such_option=1", "could not be reached"),
    ],
)
def test_addresses_that_lead_nowhere(url: str, message: str) -> None:
    with pytest.raises(OutputError, match=message) as caught:
        load(url, lambda _: SMALL, [])
    assert "secret-pw" not in str(caught.value) and "secret-pw" not in repr(caught.value.__cause__)


def test_what_is_no_database_stays_as_it_is(tmp_path: Path) -> None:
    for name in ("a.sqlite", "a.duckdb"):
        (tmp_path / name).write_text("letters of a text that is no database\n" * 200)
        with pytest.raises(OutputError, match=r"no SQLite|no DuckDB"):
            load(address(tmp_path / name), lambda _: SMALL, [])
        assert (tmp_path / name).read_text().startswith("letters")


def test_sqlite_has_no_schemas(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="has no schemas"):
        load(f"sqlite:///{tmp_path / 'a.db'}", lambda _: SMALL, [], schema="x")
    assert not list(tmp_path.iterdir())


def test_a_schema_of_duckdb_is_made(tmp_path: Path) -> None:
    for schema in ("one", "two"):  # the same tables, apart
        load(f"duckdb:///{tmp_path / 'a.duckdb'}", lambda _: SMALL, [("ward", WARDS)], schema=schema)
    with duckdb.connect(str(tmp_path / "a.duckdb")) as base:
        assert base.execute("select count(*) from two.ward").fetchone() == (2,)


def test_a_file_that_another_works_on(tmp_path: Path) -> None:
    make(tmp_path / "a.sqlite")
    other = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(OutputError, match="Another process works on the file"):
        load(f"sqlite:///{tmp_path / 'a.sqlite'}", lambda _: SMALL, [])
    other.close()


# ---------------------------------------------------------------------- ended half way
DIES = """
import os, resource, signal, sys
import polars as pl
from ehrsatz.errors import EhrsatzError
from ehrsatz.exporters import targets
from ehrsatz.exporters.load import Statements, load
url, how = sys.argv[1:]
targets.STEP = 1000
made = Statements(('CREATE TABLE ward (id BIGINT PRIMARY KEY, name TEXT)', 'CREATE TABLE bed (id BIGINT PRIMARY KEY)'))
def tables():
    rows = pl.select(id=pl.int_range(200_000)).with_columns(name=pl.col('id').hash(1).cast(pl.String))
    for block in rows.iter_slices(10_000):
        yield 'ward', block
    if how == 'killed':
        os.kill(os.getpid(), signal.SIGKILL)
    yield 'bed', rows.select('id')
if how == 'full':
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
try:
    load(url, lambda _: made, tables())
except EhrsatzError as error:
    sys.exit(f'{error}')
"""


def dies(url: str, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", DIES, url, how], capture_output=True, text=True, timeout=120)


@FILES
@pytest.mark.parametrize("new", [True, False])
def test_a_killed_process_leaves_nothing_and_loading_again_works(name: str, new: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    if not new:
        make(path)
    assert dies(address(path), "killed").returncode == -9
    assert held(path) == (set() if new else {"other"})
    load(address(path), lambda _: SMALL, [("ward", WARDS)])
    assert held(path) == {"ward", "bed"} | (set() if new else {"other"})
    assert {one.name for one in tmp_path.iterdir()} == {name}


@FILES
@pytest.mark.parametrize("new", [True, False])
def test_a_full_disk_leaves_nothing(name: str, new: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    if not new:
        make(path)
    done = dies(address(path), "full")
    assert done.returncode == 1 and "Expected to" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert held(path) == (set() if new else {"other"})
    assert new == (not any(tmp_path.iterdir()))


# ---------------------------------------------------------------------- PostgreSQL
def asked(server: Server, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url()) as base:
        return base.execute(statement).fetchall()


def tables_in(server: Server, schema: str) -> int:
    text = f"select count(*) from information_schema.tables where table_schema = '{schema}'"
    return int(str(asked(server, text)[0][0]))


@pytest.mark.postgres
def test_a_cohort_loads_into_postgres_with_all_constraints(server: Server, cohort: Dataset) -> None:
    rows = load(server.url(), strict, rows_of(cohort), schema="whole")
    assert (
        rows["observation"]
        == cohort.tables["observation"].height
        == asked(server, "select count(*) from whole.observation")[0][0]
    )
    kinds = "select contype, count(*) from pg_constraint where connamespace = 'whole'::regnamespace group by contype"
    found = {str(kind): int(str(n)) for kind, n in asked(server, kinds)}
    links = sum(len(table.links) for table in ordered())
    assert found["p"] == 23 and found["f"] == links and found["c"] > 40
    back = DatabaseSource().read(f"{server.url()}?options=-csearch_path%3Dwhole", origin="simulated")
    assert not [one for one in compare(cohort, back) if one.n_differ]


@pytest.mark.postgres
def test_some_patients_of_postgres(server: Server, cohort: Dataset) -> None:
    from ehrsatz.sources.clinical import Part

    load(server.url(), statements, rows_of(cohort), schema="some")
    wanted = cohort.subjects[:7]
    back = DatabaseSource().read(
        f"{server.url()}?options=-csearch_path%3Dsome", origin="simulated", part=Part(None, wanted, world=False)
    )
    assert back.tables["patient"]["patient_id"].to_list() == wanted.to_list()
    assert (
        back.tables["observation"].height
        == cohort.tables["observation"].filter(pl.col("patient_id").is_in(wanted.implode())).height
    )
    assert not back.tables["practitioner"].height


@pytest.mark.postgres
@pytest.mark.parametrize("message", BAD)
def test_a_row_that_postgres_refuses_leaves_nothing(server: Server, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        load(server.url(), lambda _: SMALL, [("ward", WARDS), BAD[message]], schema="refused")
    assert tables_in(server, "refused") == 0


@pytest.mark.postgres
def test_a_schema_of_postgres_that_is_not_empty(server: Server) -> None:
    load(server.url(), lambda _: SMALL, [("ward", WARDS)], schema="twice")
    with pytest.raises(OutputError, match="Present already: ward, bed"):
        load(server.url(), lambda _: SMALL, [("ward", WARDS)], schema="twice")
    assert asked(server, "select count(*) from twice.ward") == [(2,)]


@pytest.mark.postgres
def test_texts_come_back_as_they_were(server: Server) -> None:
    texts = ["", None, '"', "a,b", "line\nline", "\\N", "\\.", "é😀", " x ", "NULL", "\t", "'"]
    frame = pl.DataFrame({"id": range(len(texts)), "name": texts})
    made = Statements(("CREATE TABLE t (id BIGINT, name TEXT)",))
    load(server.url(), lambda _: made, [("t", frame)], schema="texts")
    assert [row[0] for row in asked(server, "select name from texts.t order by id")] == texts
    with pytest.raises(OutputError, match="another kind"):  # PostgreSQL holds no NUL
        load(server.url(), lambda _: made, [("t", pl.DataFrame({"id": [1], "name": ["a\0b"]}))], schema="nul")


@pytest.mark.postgres
def test_a_connection_lost_half_way_leaves_nothing(server: Server, cohort: Dataset) -> None:
    with pytest.raises(OutputError, match=r"ended the connection|connection was lost") as caught:
        load(server.url(), statements, lost(server)(rows_of(cohort)), schema="lost")
    assert "Nothing was loaded" in str(caught.value)
    assert tables_in(server, "lost") == 0


def lost(server: Server) -> Callable[[Iterator[tuple[str, pl.DataFrame]]], Iterator[tuple[str, pl.DataFrame]]]:
    """Wrap tables so that the server ends the other connections before the observations."""

    def wrap(tables: Iterator[tuple[str, pl.DataFrame]]) -> Iterator[tuple[str, pl.DataFrame]]:
        for name, frame in tables:
            if name == "observation":
                asked(server, "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
            yield name, frame

    return wrap


@pytest.mark.postgres
def test_a_killed_process_leaves_nothing_in_postgres(server: Server) -> None:
    assert dies(server.url(), "killed").returncode == -9
    assert not asked(
        server, "select 1 from information_schema.tables where table_name = 'ward' and table_schema = 'public'"
    )


@pytest.mark.postgres
def test_a_wrong_password_is_never_shown(server: Server) -> None:
    with pytest.raises(EhrsatzError, match="user or the password") as caught:
        load(server.url("wrong-pw-9134"), lambda _: SMALL, [])
    assert "wrong-pw-9134" not in str(caught.value) and caught.value.__cause__ is None
