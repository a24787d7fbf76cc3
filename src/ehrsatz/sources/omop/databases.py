"""Databases that hold a CDM: SQLite and DuckDB files, PostgreSQL; in whichever schema `person` lies."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ehrsatz import extras
from ehrsatz.sources.drivers import quoted
from ehrsatz.sources.omop.store import Store, Where
from ehrsatz.terminology.omop import cdm

FETCH = 50_000
_FEATURE = "Reading an OMOP database"


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

    def filled(self, table: str, columns: Sequence[str]) -> dict[str, int]:
        if not columns:
            return {}
        row = self._base.execute(self._counting(table, columns)).fetchall()[0]
        return {name: int(n or 0) for name, n in zip(columns, row)}

    def close(self) -> None:
        self._base.close()

    _base: Any
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
