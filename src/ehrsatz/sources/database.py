"""The clinical tables in a database: SQLite and DuckDB files, PostgreSQL, or a folder of SQL with its CSV files.

Of a database only tables and columns of the clinical schema are read, the others are counted; rows are sought by the
key of their patient where only some patients are wanted. No error holds the address, the password or the words of a
driver.
"""

from __future__ import annotations

import io
import sqlite3
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from ehrsatz import extras, loose
from ehrsatz.clinical import WORLD
from ehrsatz.errors import DataError, EhrsatzError, SourceError
from ehrsatz.files import part_name, tables_of
from ehrsatz.schema import dtype_of
from ehrsatz.sources.clinical import ClinicalSource, Part
from ehrsatz.sources.drivers import dialect_of, guarded, quoted

ABOUT = "about"  # a table that says what the others are: nothing to read
NEEDED = ("patient", "encounter")  # what names a database as one of clinical tables
SQLITE, DUCKDB = (".sqlite", ".sqlite3", ".db"), (".duckdb",)
FETCH = 50_000
_FEATURE = "Reading from a database"


class DatabaseSource(ClinicalSource):
    """Tables of the clinical schema in a database."""

    name: ClassVar[str] = "database"

    @classmethod
    def fits(cls, what: str | Path) -> bool:
        text = str(what)
        if "://" not in text:
            path = Path(text)
            if path.is_dir() and _is_folder(path):
                return True
            file = _file(path)
            if file is None:
                return False
            text = _address(file)
        if dialect_of(text) is None:
            return False
        try:
            with _open(text) as base:
                held = base.tables()
        except EhrsatzError:
            if dialect_of(text) == "postgresql":
                raise  # it cannot be reached: to say that is of more help
            return False
        return all(name in held and f"{name}_id" in held[name] for name in NEEDED)

    def parts(self, what: str | Path) -> int:
        """Return in how many numbered parts the patients lie; 0 where they are not in parts."""
        if "://" in str(what) or not _is_folder(Path(what)):
            return 0
        files = tables_of(path.stem for path in Path(what).glob("*.csv"))[0]["patient"]
        return 0 if files == ["patient"] else len(files)

    def _read(self, what: str | Path, part: Part | None, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
        with _opened(what) as base:
            held = base.tables()
            known = {table.name for table in loose.schema().tables}
            for name in sorted(set(held) - known - {ABOUT}):
                left[f"table {name}"] += 1
            frames = {}
            for name in sorted(known & set(held)):
                if part is not None and name in WORLD and not part.world:
                    continue
                names = [column for column in loose.schema()[name].names if column in held[name]]
                for column in sorted(set(held[name]) - set(names)):
                    left[f"{name}.{column}: column of no clinical table"] += 1
                own = part if part is not None and "patient_id" in names else None
                frames[name] = base.frame(name, names, own)
            return frames


class _Base(ABC):
    """A database that is open: its tables, and rows of one of them."""

    _base: Any = None  # the driver's connection, where there is one

    @abstractmethod
    def tables(self) -> dict[str, list[str]]:
        """Return table -> columns."""

    @abstractmethod
    def frame(self, table: str, columns: Sequence[str], part: Part | None) -> pl.DataFrame:
        """Return rows of a table, of some patients where there is a part."""

    def close(self) -> None:
        """Let go of the connection."""
        if self._base is not None:
            self._base.close()


class _Sqlite(_Base):
    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)

    def tables(self) -> dict[str, list[str]]:
        names = self._base.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
        every = "SELECT name FROM pragma_table_info(?)"
        return {name: [row[0] for row in self._base.execute(every, (name,))] for (name,) in names}

    def frame(self, table: str, columns: Sequence[str], part: Part | None) -> pl.DataFrame:
        import json

        text = f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(table)}"
        asked: tuple[Any, ...] = ()
        if part is not None:
            text += " WHERE patient_id IN (SELECT value FROM json_each(?))"
            asked = (json.dumps(part.patients.to_list()),)
        cursor = self._base.execute(f"{text} ORDER BY rowid" if table in self._rowed() else text, asked)
        kinds = {column.name: column.kind for column in loose.schema()[table].columns}
        held = {"integer": pl.Int64(), "number": pl.Float64()}
        blocks = []
        while rows := cursor.fetchmany(FETCH):
            block = {}
            for name, cells in zip(columns, zip(*rows)):
                wanted = held.get(kinds[name], pl.String())
                try:
                    block[name] = pl.Series(name, cells, dtype=wanted)
                except TypeError:  # SQLite lets any kind into any column
                    block[name] = pl.Series(name, [None if one is None else str(one) for one in cells])
            blocks.append(pl.DataFrame(block))
        if not blocks:
            return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        return _typed(pl.concat(blocks, how="vertical_relaxed"), table)

    def _rowed(self) -> set[str]:
        if not hasattr(self, "_real"):
            found = self._base.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%WITHOUT ROWID%'"
            )
            self._real = {row[0] for row in found}
        return self._real


class _Duckdb(_Base):
    def __init__(self, path: Path) -> None:
        driver: Any = extras.require("duckdb", extra="sql", feature=_FEATURE)
        self._base = driver.connect(str(path), read_only=True)

    def tables(self) -> dict[str, list[str]]:
        rows = self._base.execute(
            "SELECT table_name, list(column_name ORDER BY ordinal_position) FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND table_catalog = current_database() GROUP BY table_name"
        ).fetchall()
        return dict(rows)

    def frame(self, table: str, columns: Sequence[str], part: Part | None) -> pl.DataFrame:
        text = f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(table)}"
        if part is not None:
            self._base.register("(wanted)", part.patients.to_frame("k").to_arrow())
            text += ' WHERE patient_id IN (SELECT k FROM "(wanted)")'
        result = self._base.sql(text).to_arrow_table()
        frame = pl.from_arrow(result)
        assert isinstance(frame, pl.DataFrame)
        return _typed(frame, table)


class _Postgres(_Base):
    def __init__(self, address: str) -> None:
        driver: Any = extras.require("psycopg", extra="sql", feature=_FEATURE)
        self._base = driver.connect(address)
        self._base.execute("SET TimeZone TO 'UTC'")
        self._base.execute("SET DateStyle TO 'ISO'")
        self._base.execute("SET extra_float_digits TO 1")  # the shortest text that reads back equal

    def tables(self) -> dict[str, list[str]]:
        rows = self._base.execute(
            "SELECT table_name, array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns "
            "WHERE table_schema = current_schema() GROUP BY table_name"
        ).fetchall()
        return dict(rows)

    def frame(self, table: str, columns: Sequence[str], part: Part | None) -> pl.DataFrame:
        text = f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(table)}"
        asked: tuple[Any, ...] = ()
        if part is not None:
            text += " WHERE patient_id = ANY(%s)"
            asked = (part.patients.to_list(),)
        buffer = io.BytesIO()
        with (
            self._base.cursor() as cursor,
            cursor.copy(f"COPY ({text}) TO STDOUT WITH (FORMAT csv, HEADER)", asked) as copy,
        ):
            for block in copy:
                buffer.write(block)
        buffer.seek(0)
        return _typed(pl.read_csv(buffer, infer_schema=False), table)


class _Folder(_Base):
    """CSV files beside `schema.sql`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = tables_of(one.stem for one in path.glob("*.csv"))[0]

    def tables(self) -> dict[str, list[str]]:
        return {
            name: pl.read_csv(self._path / f"{files[0]}.csv", infer_schema=False, n_rows=0).columns
            for name, files in self._held.items()
        }

    def frame(self, table: str, columns: Sequence[str], part: Part | None) -> pl.DataFrame:
        files = self._held[table]
        if part is not None and part.number is not None and files != [table]:
            files = [part_name(table, part.number)]
        read = [pl.read_csv(self._path / f"{one}.csv", infer_schema=False).select(columns) for one in files]
        frame = _typed(pl.concat(read), table)
        if part is not None and part.number is None:
            frame = frame.filter(pl.col("patient_id").is_in(part.patients.implode()))
        return frame


# ---------------------------------------------------------------------- open
@contextmanager
def _opened(what: str | Path) -> Iterator[_Base]:
    text = str(what)
    if "://" not in text:
        path = Path(text)
        if path.is_dir() and _is_folder(path):
            with guarded("a database"):
                yield _Folder(path)
            return
        file = _file(path)
        if file is None:
            raise SourceError(
                "Expected a database file, a folder that holds one, or a folder of schema.sql and CSV files.",
                f"'{path.name}' is none of them.",
                "Check the path.",
            )
        text = _address(file)
    with _open(text) as base:
        yield base


@contextmanager
def _open(address: str) -> Iterator[_Base]:
    dialect, (_, _, rest) = dialect_of(address), address.partition("://")
    with guarded("a database"):
        if dialect == "postgresql":
            base: _Base = _Postgres(f"postgresql://{rest}")
        else:
            path = Path(rest[1:])
            if not path.is_file():
                raise SourceError(
                    f"Expected the database file '{path.name}'.", "There is no such file.", "Check the address."
                )
            base = _Sqlite(path) if dialect == "sqlite" else _Duckdb(path)
        try:
            yield base
        finally:
            base.close()


def _is_folder(path: Path) -> bool:
    return (path / "schema.sql").is_file() and "patient" in tables_of(one.stem for one in path.glob("*.csv"))[0]


def _file(path: Path) -> Path | None:
    """The database file that a path is, or the only one that it holds."""
    if path.is_file():
        return path if path.suffix.lower() in (*SQLITE, *DUCKDB) else None
    if not path.is_dir():
        return None
    inside = [one for one in sorted(path.iterdir()) if one.is_file() and one.suffix.lower() in (*SQLITE, *DUCKDB)]
    return inside[0] if len(inside) == 1 else None


def _address(path: Path) -> str:
    return f"{'duckdb' if path.suffix.lower() in DUCKDB else 'sqlite'}:///{path}"


# ---------------------------------------------------------------------- cells
def _typed(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """Cells in the kinds of the clinical schema; times with an offset as UTC without one."""
    kinds = {column.name: column.kind for column in loose.schema()[table].columns}
    try:
        return frame.select(_cell(name, frame.schema[name], kinds[name]) for name in frame.columns)
    except pl.exceptions.PolarsError:
        raise DataError(
            f"Expected the cells of the table '{table}' in the kinds of the clinical schema.",
            "Some are of another kind: text where a number or a time belongs.",
            "Correct them, or read the tables with a mapping (docs/formats/mapping.md).",
        ) from None


def _cell(name: str, held: pl.DataType, kind: str) -> pl.Expr:
    cell, wanted = pl.col(name), dtype_of(kind)
    if isinstance(held, pl.Datetime) and held.time_zone is not None:
        cell = cell.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if held != pl.String or wanted == pl.String:
        return cell.cast(wanted)
    if wanted == pl.Date:
        return cell.str.slice(0, 10).str.to_date("%Y-%m-%d")
    if wanted == pl.Datetime("us"):
        text = cell.str.replace("T", " ", literal=True).str.replace(r"(Z|\+00(:?00)?)$", "")
        return text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us")
    return cell.cast(wanted)
