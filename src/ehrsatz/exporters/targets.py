"""Databases that tables are loaded into: PostgreSQL, SQLite and DuckDB, all or nothing.

Whatever ends the work before its last step (an error, a lost connection, a killed process) leaves the database as it
was: it is one transaction, and a file that is new is made under a hidden name and renamed. No error holds the address,
the password, a cell, or the driver's own words, which may quote each of them.
"""

from __future__ import annotations

import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from ehrsatz import extras
from ehrsatz.errors import EhrsatzError, OutputError, UnsupportedError, nearest
from ehrsatz.files import flush, writing

DIALECTS = ("postgresql", "sqlite", "duckdb")
TIME = "%Y-%m-%d %H:%M:%S%.f"
ROWS = 20_000  # a batch of SQLite
STEP = 500_000  # rows after which a new DuckDB file is written out: its index of keys lies in memory until then
GROUP = 122_880  # rows of one insert into DuckDB, and of its row groups
MEMORY = "384MB"  # that DuckDB may hold
_ALIASES = {"postgres": "postgresql"}
_FEATURE = "Loading into a database"


def connect(url: str) -> Target:
    """Open a database by address, ready to be filled.

    Parameters
    ----------
    url
        As in postgresql://user@host/name, sqlite:///file.db or duckdb:///file.duckdb;
        a driver after "+" is passed over.

    Raises
    ------
    OutputError
        When it cannot be read or reached.
    MissingExtraError
        When its driver is not installed.
    """
    scheme, mark, rest = url.partition("://")
    dialect = scheme.partition("+")[0].lower()
    dialect = _ALIASES.get(dialect, dialect)
    if not mark or dialect not in DIALECTS:
        raise OutputError(
            "Expected the address of a database: postgresql://user@host/name, sqlite:///file.db or duckdb:///file.duckdb.",
            f"It names none of these.{nearest(dialect, DIALECTS) if mark else ''}",
            "Correct the address.",
        )
    if dialect == "postgresql":
        return Postgres(f"postgresql://{rest}")
    if not rest.startswith("/") or rest == "/" or rest[1:] == ":memory:":
        raise OutputError(
            f"Expected the address of a database file, as {dialect}:///clinic.db.",
            "It names no file.",
            "Write three slashes before a relative path, four before an absolute one.",
        )
    path = Path(rest[1:])
    if not path.parent.is_dir():
        raise OutputError(
            f"Expected a folder for the database file '{path.name}'.", "There is none.", "Make it, or check the path."
        )
    return Sqlite(path) if dialect == "sqlite" else Duckdb(path)


class Target(ABC):
    """A database in one transaction, from `begin` to `commit`; `abandon` leaves it as it was."""

    dialect: ClassVar[str]

    @abstractmethod
    def begin(self, schema: str | None) -> None:
        """Start the transaction, in a schema of this name where one is given; it is made where it lacks."""

    @abstractmethod
    def held(self) -> set[str]:
        """Return the names of the tables and views of the schema."""

    @abstractmethod
    def execute(self, statement: str) -> None:
        """Run one statement."""

    @abstractmethod
    def insert(self, table: str, frame: pl.DataFrame) -> int:
        """Append rows, columns by name; return how many."""

    def settle(self) -> None:
        """Write out what was inserted, where that keeps memory small and nothing can be seen of it."""
        return

    def check(self) -> None:
        """Look before the end for what the database does not check by itself."""
        return

    @abstractmethod
    def commit(self) -> None:
        """End the transaction, and close."""

    @abstractmethod
    def abandon(self) -> None:
        """Undo everything, and close."""

    @abstractmethod
    def reason(self, error: Exception) -> str | None:
        """Return what a driver's error says, without its words; None where it is no driver's error."""

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Turn the driver's refusal into an `OutputError`.

        Parameters
        ----------
        what
            As in "load the table 'patient'".
        """
        try:
            yield
        except EhrsatzError:
            raise
        except Exception as error:
            found = self.reason(error)
            if found is None:
                raise
            raise OutputError(
                f"Expected to {what}.", found, "Nothing was loaded: correct that, and load again."
            ) from None


def quoted(name: str) -> str:
    """Return a name as SQL writes it between quotes.

    Examples
    --------
    >>> quoted("order")
    '"order"'
    """
    return '"' + name.replace('"', '""') + '"'


def _columns(frame: pl.DataFrame) -> str:
    return ", ".join(map(quoted, frame.columns))


# ---------------------------------------------------------------------- PostgreSQL
_STATES = {  # of https://www.postgresql.org/docs/current/errcodes-appendix.html, by their first characters
    "23503": "A row links to a row that is not there.",
    "23505": "A key stands twice.",
    "23502": "A cell that must be filled is empty.",
    "23514": "A cell breaks a check, as of the words of a category.",
    "22": "A cell is of another kind than its column.",
    "28": "The database refused the user or the password.",
    "3D": "There is no database of that name.",
    "42501": "The user has not the right.",
    "42P07": "A table of that name is there already.",
    "42": "A statement does not fit this database.",
    "25006": "The database takes no changes.",
    "53": "The server's disk or memory is used up.",
    "57": "The server ended the connection.",
    "08": "The connection was lost.",
}


class Postgres(Target):
    """PostgreSQL through COPY."""

    dialect: ClassVar[str] = "postgresql"

    def __init__(self, address: str) -> None:
        self._driver: Any = extras.require("psycopg", extra="sql", feature=_FEATURE)
        with self.doing("open the database"):
            self._base = self._driver.connect(address, autocommit=False)

    def begin(self, schema: str | None) -> None:
        with self.doing("start a transaction"):
            self._base.execute("SET LOCAL client_encoding TO 'UTF8'")
            self._base.execute("SET LOCAL DateStyle TO 'ISO'")
        if schema is not None:
            with self.doing("make the schema"):
                self._base.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
                self._base.execute(f"SET LOCAL search_path TO {quoted(schema)}")

    def held(self) -> set[str]:
        with self.doing("list the tables"):
            rows = self._base.execute(
                "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'v', 'm', 'p', 'f')"
            ).fetchall()
        return {row[0] for row in rows}

    def execute(self, statement: str) -> None:
        with self.doing(f"run {_named(statement)}"):
            self._base.execute(statement)

    def insert(self, table: str, frame: pl.DataFrame) -> int:
        with self.doing(f"load the table '{table}'"), self._base.cursor() as cursor:
            text = f"COPY {quoted(table)} ({_columns(frame)}) FROM STDIN WITH (FORMAT csv)"
            with cursor.copy(text) as copy:
                for block in frame.iter_slices(65_536):
                    copy.write(block.write_csv(include_header=False, datetime_format=TIME).encode())
            return int(cursor.rowcount)

    def commit(self) -> None:
        with self.doing("end the transaction"):
            self._base.commit()
        self._base.close()

    def abandon(self) -> None:
        self._base.close()  # the server undoes what was not committed

    def reason(self, error: Exception) -> str | None:
        if not isinstance(error, self._driver.Error):
            return None
        state = getattr(error, "sqlstate", None) or ""
        said = next((_STATES[state[:n]] for n in (5, 2) if state[:n] in _STATES), None)
        if said is not None:
            named = getattr(getattr(error, "diag", None), "constraint_name", None)
            return said if not named else f"{said[:-1]} ({named})."
        text = str(error).lower()
        if "password authentication" in text or "no password supplied" in text:
            return _STATES["28"]
        if not hasattr(self, "_base"):
            return "The database could not be reached."
        if isinstance(error, self._driver.OperationalError):
            return _STATES["08"]
        return f"The database reported {type(error).__name__}{f' (SQLSTATE {state})' if state else ''}."


# ---------------------------------------------------------------------- files
class _File(Target):
    """A database in a file. A new one is made aside, under a hidden name, and renamed at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = not path.exists() or path.stat().st_size == 0
        self._place = path.with_name(f".{path.name}.part") if self._new else path
        self._closed = False
        if self._new:
            self._remove()  # of a process that was killed

    def _remove(self) -> None:
        with writing(self._path.name):
            for end in ("", ".wal", "-journal"):
                self._place.with_name(self._place.name + end).unlink(missing_ok=True)

    def commit(self) -> None:
        with self.doing("end the transaction"):
            self._commit()
        self._close()
        if self._new:
            with writing(self._path.name):
                flush(self._place)
                self._place.rename(self._path)

    def abandon(self) -> None:
        if not self._closed:
            self._close()  # what was not committed is gone
        if self._new:
            self._remove()

    def _close(self) -> None:
        self._closed = True
        self._base.close()

    _base: Any

    @abstractmethod
    def _commit(self) -> None: ...


# ---------------------------------------------------------------------- SQLite
class Sqlite(_File):
    """A SQLite file; links are checked before the end, whatever the order of the rows."""

    dialect: ClassVar[str] = "sqlite"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self.doing("open the database file"):
            self._base = sqlite3.connect(self._place, isolation_level=None)
            self._base.execute("PRAGMA cache_size = -65536")  # KiB
            if self._new:  # nobody sees it before it is renamed: no journal is needed
                self._base.execute("PRAGMA journal_mode = OFF")
                self._base.execute("PRAGMA synchronous = OFF")

    def begin(self, schema: str | None) -> None:
        if schema is not None:
            raise UnsupportedError(
                "Expected no schema's name: a SQLite file has no schemas.", "One is given.", "Leave --schema out."
            )
        with self.doing("start a transaction"):
            self._base.execute("PRAGMA foreign_keys = OFF")  # all are checked at the end, at once
            self._base.execute("BEGIN IMMEDIATE")

    def held(self) -> set[str]:
        with self.doing("list the tables"):
            return {row[0] for row in self._base.execute("SELECT name FROM sqlite_master WHERE type <> 'index'")}

    def execute(self, statement: str) -> None:
        with self.doing(f"run {_named(statement)}"):
            self._base.execute(statement)

    def insert(self, table: str, frame: pl.DataFrame) -> int:
        times = [
            pl.col(name).dt.strftime("%Y-%m-%d" if kind == pl.Date else TIME)
            for name, kind in frame.schema.items()
            if kind.is_temporal()
        ]
        marks = ", ".join("?" * frame.width)
        with self.doing(f"load the table '{table}'"):
            into = f"INSERT INTO {quoted(table)} ({_columns(frame)}) VALUES ({marks})"
            for block in frame.iter_slices(ROWS):
                cells = (column.to_list() for column in block.with_columns(times).get_columns())
                self._base.executemany(into, zip(*cells))
        return frame.height

    def check(self) -> None:
        with self.doing("check the links"):
            lost = self._base.execute("PRAGMA foreign_key_check").fetchmany(1000)
        if lost:
            places = sorted({f"{row[0]} -> {row[2]}" for row in lost})
            raise OutputError(
                "Expected links that lead to rows.",
                f"Some lead nowhere: {', '.join(places)}.",
                "Nothing was loaded: correct the data, and load again.",
            )

    def _commit(self) -> None:
        self._base.execute("COMMIT")

    def reason(self, error: Exception) -> str | None:
        if not isinstance(error, sqlite3.Error):
            return None
        name = getattr(error, "sqlite_errorname", "") or ""
        for start, said in (
            ("SQLITE_FULL", "The disk is full, or the file may not grow."),
            ("SQLITE_IOERR", "The system refused to write: the disk may be full."),
            ("SQLITE_CONSTRAINT_FOREIGNKEY", _STATES["23503"]),
            ("SQLITE_CONSTRAINT_PRIMARYKEY", _STATES["23505"]),
            ("SQLITE_CONSTRAINT_UNIQUE", _STATES["23505"]),
            ("SQLITE_CONSTRAINT_NOTNULL", _STATES["23502"]),
            ("SQLITE_CONSTRAINT_CHECK", _STATES["23514"]),
            ("SQLITE_BUSY", "Another process works on the file."),
            ("SQLITE_LOCKED", "Another process works on the file."),
            ("SQLITE_READONLY", "The file may not be written."),
            ("SQLITE_CANTOPEN", "The file cannot be opened."),
            ("SQLITE_NOTADB", "The file is no SQLite database."),
        ):
            if name.startswith(start):
                return said
        return f"The database reported {name or type(error).__name__}."


# ---------------------------------------------------------------------- DuckDB
class Duckdb(_File):
    """A DuckDB file; links are checked as rows come, so rows that others link to come first."""

    dialect: ClassVar[str] = "duckdb"

    def __init__(self, path: Path) -> None:
        self._driver: Any = extras.require("duckdb", extra="sql", feature=_FEATURE)
        super().__init__(path)
        self._since = 0
        with self.doing("open the database file"):
            self._base = self._driver.connect(str(self._place), config={"threads": 1, "memory_limit": MEMORY})

    def begin(self, schema: str | None) -> None:
        with self.doing("start a transaction"):
            self._base.execute("BEGIN TRANSACTION")
        if schema is not None:
            with self.doing("make the schema"):
                self._base.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
                self._base.execute(f"USE {quoted(schema)}")

    def held(self) -> set[str]:
        with self.doing("list the tables"):
            rows = self._base.execute(
                "SELECT table_name FROM information_schema.tables "
                "WHERE table_schema = current_schema() AND table_catalog = current_database()"
            ).fetchall()
        return {row[0] for row in rows}

    def execute(self, statement: str) -> None:
        with self.doing(f"run {_named(statement)}"):
            self._base.execute(statement)

    def insert(self, table: str, frame: pl.DataFrame) -> int:
        with self.doing(f"load the table '{table}'"):
            into = f"INSERT INTO {quoted(table)} ({_columns(frame)})"
            for block in frame.iter_slices(GROUP):
                self._base.register("(rows)", block.to_arrow())
                self._base.execute(f'{into} SELECT {_columns(frame)} FROM "(rows)"')
                self._base.unregister("(rows)")
        self._since += frame.height
        return frame.height

    def settle(self) -> None:
        if self._new and self._since >= STEP:
            with self.doing("write out the rows"):
                self._base.execute("COMMIT")
                self._base.execute("CHECKPOINT")
                self._base.execute("BEGIN TRANSACTION")
            self._since = 0

    def _commit(self) -> None:
        self._base.execute("COMMIT")
        self._base.execute("CHECKPOINT")

    def reason(self, error: Exception) -> str | None:
        if not isinstance(error, self._driver.Error):
            return None
        text = str(error).lower()
        for sign, said in (
            ("foreign key", _STATES["23503"]),
            ("duplicate key", _STATES["23505"]),
            ("unique constraint", _STATES["23505"]),
            ("not null constraint", _STATES["23502"]),
            ("check constraint", _STATES["23514"]),
            ("could not set lock", "Another process works on the file."),
            ("not a valid duckdb", "The file is no DuckDB database."),
            ("no space left", "The disk is full."),
            ("could not write", "The system refused to write: the disk may be full."),
            ("out of memory", "The memory that it may use is used up."),
        ):
            if sign in text:
                return said
        return f"The database reported {type(error).__name__}."


def _named(statement: str) -> str:
    """Say which statement, as CREATE TABLE "patient"."""
    head = re.match(r"\s*([A-Z ]+?\s+(?:IF NOT EXISTS\s+)?\"?[\w.]+\"?)", statement, flags=re.I)
    return re.sub(r"\s+", " ", head[1]) if head else "a statement"
