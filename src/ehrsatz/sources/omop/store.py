"""Where a CDM lies: a folder of CSV files, a SQLite or DuckDB file, PostgreSQL; rows of a table by the CDM's names.

Names are found in any case, tables in whichever schema of a database holds `person`. Columns that are not there are
missing cells; cells that are of another kind than the CDM's are counted.
"""

from __future__ import annotations

import io
import json
import sqlite3
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ehrsatz import extras
from ehrsatz.errors import EhrsatzError, SourceError
from ehrsatz.terminology.omop import cdm

SQLITE, DUCKDB = (".sqlite", ".sqlite3", ".db"), (".duckdb", ".ddb")
FETCH = 50_000
KINDS: dict[str, Any] = {
    "integer": pl.Int64,
    "number": pl.Float64,
    "date": pl.Date,
    "datetime": pl.Datetime("us"),
    "text": pl.String,
}
_FEATURE = "Reading an OMOP database"


@dataclass(frozen=True)
class Where:
    """Rows whose column holds one of some values.

    Parameters
    ----------
    column
        Its name in the CDM.
    values
        Numbers or texts.
    """

    column: str
    values: pl.Series


class Store(ABC):
    """A CDM that is open."""

    held: dict[str, dict[str, str]]  # table -> column of the CDM -> its name here
    others: list[str]  # tables that are none of the CDM
    ragged: Collection[str] = ()  # CSV files with lines that are longer than the first

    @abstractmethod
    def _rows(self, table: str, columns: Sequence[str], where: Where | None) -> pl.DataFrame:
        """Return rows with columns by their names here."""

    @abstractmethod
    def filled(self, table: str, columns: Sequence[str]) -> dict[str, int]:
        """Return how many cells of some columns are filled, other than with 0."""

    def close(self) -> None:
        return

    def has(self, table: str) -> bool:
        """Whether a table is there."""
        return table in self.held

    def frame(self, table: str, left: Counter[str], where: Where | None = None) -> pl.DataFrame:
        """Return rows of a table with all columns of the CDM, in its kinds.

        Parameters
        ----------
        table
            Name in the CDM; no rows where it is not there.
        left
            Counts cells of another kind.
        where
            Which rows; all where None.
        """
        fields = cdm.tables()[table]
        if table not in self.held:
            return pl.DataFrame(schema={field.name: KINDS[field.kind] for field in fields})
        here = self.held[table]
        if where is not None and where.column not in here:
            return pl.DataFrame(schema={field.name: KINDS[field.kind] for field in fields})
        present = [field for field in fields if field.name in here]
        rows = self._rows(table, [here[field.name] for field in present], where)
        rows.columns = [field.name for field in present]
        typed = rows.select(cell(field.name, rows.schema[field.name], field.kind) for field in present)
        for field in present:
            lost = rows[field.name].null_count() - typed[field.name].null_count()
            if lost and not _is_blank(rows[field.name], typed[field.name]):
                left[f"{table}.{field.name}: cells of another kind"] -= lost
        return typed.select(
            pl.col(field.name) if field.name in here else pl.lit(None, KINDS[field.kind]).alias(field.name)
            for field in fields
        )


def _is_blank(held: pl.Series, typed: pl.Series) -> bool:
    """Whether the cells that were lost hold nothing but blanks."""
    gone = held.filter(held.is_not_null() & typed.is_null())
    return gone.dtype == pl.String and bool((gone.str.strip_chars() == "").all())


def cell(name: str, held: pl.DataType, kind: str) -> pl.Expr:
    """Return a column in a kind of the CDM; what cannot be is missing."""
    one, wanted = pl.col(name), KINDS[kind]
    if isinstance(held, pl.Datetime) and held.time_zone is not None:
        one = one.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if held == pl.String and wanted != pl.String:
        text = one.str.strip_chars()
        if kind in {"integer", "number"}:
            number = text.cast(pl.Float64, strict=False)
            whole = text.cast(pl.Int64, strict=False)
            return (pl.coalesce(whole, number.cast(pl.Int64, strict=False)) if kind == "integer" else number).alias(
                name
            )
        day = text.str.slice(0, 10).str.strip_chars("T ")
        dates = pl.coalesce(day.str.to_date("%Y-%m-%d", strict=False), day.str.to_date("%Y%m%d", strict=False))
        if kind == "date":
            return dates.alias(name)
        plain = text.str.replace("T", " ", literal=True).str.replace(r"(Z|[+-]00(:?00)?)$", "")
        times = pl.coalesce(
            plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us"),
            plain.str.to_datetime("%Y-%m-%d %H:%M", strict=False, time_unit="us"),
            dates.cast(pl.Datetime("us")),
        )
        return times.alias(name)
    if held == wanted:
        return one
    if wanted == pl.String and held.is_float():
        return one.cast(pl.String).str.strip_suffix(".0")
    return one.cast(wanted, strict=False)


# ---------------------------------------------------------------------- CSV
class Folder(Store):
    """A folder of CSV files, comma or tab between the cells."""

    def __init__(self, path: Path) -> None:
        self._files: dict[str, tuple[Path, str]] = {}
        self.ragged: set[str] = set()
        self.held = {}
        for file in sorted(path.iterdir()):
            table = file.name.lower().removesuffix(".csv")
            if not file.is_file() or not file.name.lower().endswith(".csv") or table not in cdm.tables():
                continue
            with file.open(encoding="utf-8-sig") as opened:
                head = opened.readline().rstrip("\r\n")
            mark = "\t" if head.count("\t") > head.count(",") else ","
            names = [one.strip().strip('"') for one in head.split(mark)]
            self._files[table] = (file, mark)
            self.held[table] = {one.lower(): one for one in names if one}
        self.others = [
            file.name
            for file in sorted(path.iterdir())
            if file.name.lower().endswith(".csv") and file.name.lower().removesuffix(".csv") not in cdm.tables()
        ]

    def _scan(self, table: str) -> pl.LazyFrame:
        file, mark = self._files[table]
        whole = pl.scan_csv(
            file,
            truncate_ragged_lines=table in self.ragged,
            separator=mark,
            infer_schema=False,
            quote_char='"' if mark == "," else None,
            encoding="utf8-lossy",
        )
        names = whole.collect_schema().names()
        return whole.rename({one: one.strip().strip('"').strip("\ufeff") for one in names})

    def _rows(self, table: str, columns: Sequence[str], where: Where | None) -> pl.DataFrame:
        rows = self._scan(table)
        if where is not None:
            name = self.held[table][where.column]
            if where.values.dtype.is_integer():
                rows = rows.filter(pl.col(name).cast(pl.Int64, strict=False).is_in(where.values.implode()))
            else:
                rows = rows.filter(pl.col(name).is_in(where.values.implode()))
        try:
            return rows.select(columns).collect()
        except pl.exceptions.ComputeError as error:
            if table in self.ragged or "more fields" not in str(error):
                raise
            self.ragged.add(table)  # lines with more cells than columns: those of columns are read
            return self._rows(table, columns, where)

    def filled(self, table: str, columns: Sequence[str]) -> dict[str, int]:
        here = self.held[table]
        counts = [((pl.col(here[one]) != "0") & (pl.col(here[one]) != "")).sum().alias(one) for one in columns]
        return self._scan(table).select(counts).collect(engine="streaming").to_dicts()[0] if counts else {}


# ---------------------------------------------------------------------- databases
class _Sql(Store):
    _places: dict[str, str]  # table -> its full name between quotes

    def _arrange(self, columns: Sequence[tuple[str, str, str]], own: str | None) -> None:
        """Take (schema, table, column) of all tables; those of the schema that holds `person` come first."""
        schemas: dict[str, dict[str, tuple[str, dict[str, str]]]] = {}
        for schema, table, column in columns:
            tables = schemas.setdefault(schema, {})
            _, names = tables.setdefault(table.lower(), (table, {}))
            names[column.lower()] = column
        holding = [one for one, tables in schemas.items() if "person" in tables]
        first = own if own in holding else next(iter(sorted(holding)), own)
        order = [first, *(one for one in sorted(schemas) if one != first and one not in holding)]
        self.held, self._places, self.others = {}, {}, []
        for place in order:
            schema = place or ""
            for table, (name, names) in schemas.get(schema, {}).items():
                if table not in cdm.tables():
                    if place == first:
                        self.others.append(name)
                elif table not in self.held:
                    self.held[table] = names
                    self._places[table] = f"{quoted(schema)}.{quoted(name)}" if schema else quoted(name)

    def _select(self, table: str, columns: Sequence[str]) -> str:
        return f"SELECT {', '.join(map(quoted, columns))} FROM {self._places[table]}"

    def _counting(self, table: str, columns: Sequence[str]) -> str:
        here = self.held[table]
        cells = (
            f"SUM(CASE WHEN CAST({quoted(here[one])} AS {self._text}) NOT IN ('0', '') THEN 1 ELSE 0 END)"
            for one in columns
        )
        return f"SELECT {', '.join(cells)} FROM {self._places[table]}"

    _text = "VARCHAR"


class Sqlite(_Sql):
    """A SQLite file."""

    _text = "TEXT"

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        names = self._base.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
        columns = [
            ("", name, row[0])
            for (name,) in names
            for row in self._base.execute("SELECT name FROM pragma_table_info(?)", (name,))
        ]
        self._arrange(columns, "")

    def _rows(self, table: str, columns: Sequence[str], where: Where | None) -> pl.DataFrame:
        text = self._select(table, columns)
        asked: tuple[Any, ...] = ()
        if where is not None:
            text += f" WHERE {quoted(self.held[table][where.column])} IN (SELECT value FROM json_each(?))"
            asked = (json.dumps(where.values.to_list()),)
        kinds = {
            self.held[table][field.name]: field.kind for field in cdm.tables()[table] if field.name in self.held[table]
        }
        cursor = self._base.execute(text, asked)
        blocks = []
        while rows := cursor.fetchmany(FETCH):
            blocks.append(
                pl.DataFrame([_series(name, list(cells), kinds[name]) for name, cells in zip(columns, zip(*rows))])
            )
        if not blocks:
            return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        return pl.concat(blocks, how="vertical_relaxed")

    def filled(self, table: str, columns: Sequence[str]) -> dict[str, int]:
        if not columns:
            return {}
        row = self._base.execute(self._counting(table, columns)).fetchall()[0]
        return {name: n or 0 for name, n in zip(columns, row)}

    def close(self) -> None:
        self._base.close()


def _series(name: str, cells: list[Any], kind: str) -> pl.Series:
    """A column of SQLite, which lets any kind into any column."""
    try:
        return pl.Series(name, cells, dtype={"integer": pl.Int64, "number": pl.Float64}.get(kind, pl.String))
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(name, [None if one is None else str(one) for one in cells], dtype=pl.String)


class Duckdb(_Sql):
    """A DuckDB file."""

    def __init__(self, path: Path) -> None:
        driver: Any = extras.require("duckdb", extra="sql", feature=_FEATURE)
        self._base, self._asked = driver.connect(str(path), read_only=True), 0
        rows = self._base.execute(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns "
            "WHERE table_catalog = current_database()"
        ).fetchall()
        self._arrange(rows, self._base.execute("SELECT current_schema()").fetchall()[0][0])

    def _rows(self, table: str, columns: Sequence[str], where: Where | None) -> pl.DataFrame:
        text = self._select(table, columns)
        if where is not None:
            self._asked += 1  # a name is not free again while a result of it lives
            wanted = f"(wanted {self._asked})"
            self._base.register(wanted, where.values.to_frame("k").to_arrow())
            text += f" WHERE {quoted(self.held[table][where.column])} IN (SELECT k FROM {quoted(wanted)})"
        frame = pl.from_arrow(self._base.sql(text).to_arrow_table())
        assert isinstance(frame, pl.DataFrame)
        decimals = [one for one, held in frame.schema.items() if isinstance(held, pl.Decimal)]
        return frame.with_columns(pl.col(one).cast(pl.String) for one in decimals)

    def filled(self, table: str, columns: Sequence[str]) -> dict[str, int]:
        if not columns:
            return {}
        row = self._base.execute(self._counting(table, columns)).fetchall()[0]
        return {name: int(n or 0) for name, n in zip(columns, row)}

    def close(self) -> None:
        self._base.close()


class Postgres(_Sql):
    """PostgreSQL through COPY."""

    def __init__(self, address: str) -> None:
        driver: Any = extras.require("psycopg", extra="sql", feature=_FEATURE)
        self._base = driver.connect(address)
        for one in ("TimeZone TO 'UTC'", "DateStyle TO 'ISO'", "extra_float_digits TO 1"):
            self._base.execute(f"SET {one}")
        rows = self._base.execute(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        self._arrange(rows, self._base.execute("SELECT current_schema()").fetchall()[0][0])

    def _rows(self, table: str, columns: Sequence[str], where: Where | None) -> pl.DataFrame:
        text = self._select(table, columns)
        asked: tuple[Any, ...] = ()
        if where is not None:
            text += f" WHERE {quoted(self.held[table][where.column])} = ANY(%s)"
            asked = (where.values.to_list(),)
        buffer = io.BytesIO()
        with (
            self._base.cursor() as cursor,
            cursor.copy(f"COPY ({text}) TO STDOUT WITH (FORMAT csv, HEADER)", asked) as copy,
        ):
            for block in copy:
                buffer.write(block)
        buffer.seek(0)
        return pl.read_csv(buffer, infer_schema=False)

    def filled(self, table: str, columns: Sequence[str]) -> dict[str, int]:
        if not columns:
            return {}
        row = self._base.execute(self._counting(table, columns)).fetchall()[0]
        return {name: int(n or 0) for name, n in zip(columns, row)}

    def close(self) -> None:
        self._base.close()


# ---------------------------------------------------------------------- open
@contextmanager
def opened(what: str | Path) -> Iterator[Store]:
    """Open a CDM by path or address.

    Raises
    ------
    SourceError
        When it is not there, damaged, or cannot be reached; no error holds the address or the words of a driver.
    """
    with _guarded():
        store = _store(what)
        try:
            yield store
        finally:
            store.close()


def _store(what: str | Path) -> Store:
    dialect = dialect_of(str(what))
    if dialect == "postgresql":
        return Postgres(f"postgresql://{str(what).partition('://')[2]}")
    path = Path(str(what).partition(":///")[2]) if dialect else Path(what)
    if path.is_dir():
        if is_folder(path):
            return Folder(path)
        inside = [one for one in sorted(path.iterdir()) if one.is_file() and one.suffix.lower() in (*SQLITE, *DUCKDB)]
        path = inside[0] if len(inside) == 1 else path
    if not path.is_file():
        raise SourceError(
            "Expected a database file, or a folder with person.csv and the other tables of the CDM.",
            f"'{path.name}' is neither.",
            "Check the path.",
        )
    return Duckdb(path) if path.suffix.lower() in DUCKDB or dialect == "duckdb" else Sqlite(path)


def is_folder(path: Path) -> bool:
    """Whether a folder holds the table `person` as CSV."""
    return any(one.name.lower() == "person.csv" for one in path.iterdir())


def dialect_of(address: str) -> str | None:
    """Return "postgresql", "sqlite" or "duckdb", where it is an address of one."""
    if "://" not in address:
        return None
    scheme = address.partition("://")[0].partition("+")[0].lower()
    return (
        {"postgres": "postgresql"}.get(scheme, scheme)
        if scheme in {"postgres", "postgresql", "sqlite", "duckdb"}
        else None
    )


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except EhrsatzError:
        raise
    except (pl.exceptions.PolarsError, OSError, UnicodeError):
        raise SourceError("Expected to read tables of the CDM.", "One is damaged.", "Export it again.") from None
    except Exception as error:
        module, state = type(error).__module__.partition(".")[0].lstrip("_"), getattr(error, "sqlstate", None)
        if module not in {"sqlite3", "duckdb", "psycopg"}:
            raise
        text = str(error).lower()
        if state in {"28P01", "28000"} or "password authentication" in text or "no password supplied" in text:
            found = "The database refused the user or the password."
        elif module == "psycopg" and state is None:
            found = "The database could not be reached, or the connection was lost."
        elif "not a valid duckdb" in text or "not a database" in text:
            found = "The file is damaged, or no database of this kind."
        else:
            found = f"The database reported {type(error).__name__}{f' (SQLSTATE {state})' if state else ''}."
        raise SourceError("Expected to read an OMOP database.", found, "Check the path or address.") from None


def quoted(name: str) -> str:
    """Return a name as SQL writes it between quotes."""
    return '"' + name.replace('"', '""') + '"'
