"""A folder of CSV files with the SQL that loads them: psql, sqlite3 and DuckDB read the scripts as they are.

`schema.sql` makes the tables in any of them; `load.<database>.sql` makes and fills them in one transaction. A missing
cell is blank, an empty text is "".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl

from ehrsatz import loose
from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError
from ehrsatz.exporters.base import Clinical, Put, aside
from ehrsatz.exporters.sql.ddl import ABOUT, about, ordered, script, statements
from ehrsatz.exporters.sql.files import is_strict
from ehrsatz.exporters.targets import TIME, quoted
from ehrsatz.files import part_name, tables_of
from ehrsatz.schema import Table

SCHEMA = "schema.sql"
_HEAD = "-- Records of patients who do not exist, made by ehrsatz. Run in this folder:"


class SqlFolder(Clinical):
    """`schema.sql`, `load.*.sql` and one CSV file per table."""

    name: ClassVar[str] = "sql"
    place: ClassVar[str] = "sql"
    suffix: ClassVar[str] = ".csv"
    reader: ClassVar[str] = "database"
    gathers: ClassVar[bool] = True
    bytes_per_row: ClassVar[float] = 160.0

    def _files(self, dataset: Dataset, tables: Collection[Table], part: int | None) -> Mapping[str, Put]:
        files = dict(super()._files(dataset, tables, part))
        if any(table.name in WORLD for table in tables):
            text = script(strict=is_strict(dataset))
            files[SCHEMA] = lambda path: _say(text, path)
            rows = pl.DataFrame(about(dataset.provenance.origin), schema=["name", "value"], orient="row")
            files[f"{ABOUT}.csv"] = lambda path: _write(rows, path)
        return files

    def _records(self, dataset: Dataset, part: int | None, *, patients: bool, world: bool) -> Mapping[str, Put]:
        def put(name: str) -> Put:
            return lambda path: _write(dataset.tables[name], path)

        return {
            f"{part_name(table.name, None if table.name in WORLD else part)}.csv": put(table.name)
            for table in dataset.schema.tables
            if (world if table.name in WORLD else patients)
        }

    def finish(self, folder: str | Path) -> tuple[Path, ...]:
        """Write the scripts that load the files, now that all are there."""
        target = Path(folder) / self.place
        if not (target / SCHEMA).is_file():
            return ()
        strict = (target / SCHEMA).read_text(encoding="utf-8") == script(strict=True)
        held, lacking = tables_of(path.stem for path in target.glob("*.csv"))
        if lacking:
            raise OutputError(
                "Expected all parts of the tables.", f"Absent: {', '.join(lacking[:10])}.", "Export them again."
            )
        out = []
        for dialect, lines in (("postgresql", _psql), ("sqlite", _sqlite), ("duckdb", _duckdb)):
            path = target / f"load.{dialect}.sql"
            with aside(path) as partial:
                _say("\n".join(lines(held, strict)) + "\n", partial)
            out.append(path)
        return tuple(out)

    def _read_back(self, path: Path) -> str:
        try:
            frame = pl.read_csv(path, infer_schema=False)
        except pl.exceptions.NoDataError:
            return "it is empty"
        except pl.exceptions.PolarsError:
            return "it cannot be read as CSV"
        known = {**{table.name: table.names for table in ordered()}, ABOUT: ("name", "value")}
        ((table, _),) = tables_of([path.stem])[0].items()
        name = next((one for one in known if table == one or table.startswith(f"{one}-")), "")
        return "" if name and tuple(frame.columns) == known[name] else "it has other columns than its table"


def _say(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def _write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_csv(path, line_terminator="\n", datetime_format=TIME)


def _psql(held: Mapping[str, list[str]], strict: bool) -> Iterator[str]:
    plan = statements("postgresql", strict=strict)
    yield from (_HEAD, "--   psql DATABASE -f load.postgresql.sql", "\\set ON_ERROR_STOP on", "BEGIN;")
    yield from (f"{one};" for one in plan.create)
    for name, names in _in_order():
        columns = ", ".join(map(quoted, names))
        for one in held.get(name, []):
            yield f"\\copy {quoted(name)} ({columns}) FROM '{one}.csv' WITH (FORMAT csv, HEADER true)"
    yield from (f"{one};" for one in (*plan.constrain, *plan.index))
    yield "COMMIT;"


def _sqlite(held: Mapping[str, list[str]], strict: bool) -> Iterator[str]:
    plan = statements("sqlite", strict=strict)
    yield from (_HEAD, "--   sqlite3 FILE < load.sqlite.sql", "-- Blank cells and empty texts both become NULL.")
    yield from (".bail on", "PRAGMA foreign_keys = ON;", "BEGIN;")
    yield from (f"{one};" for one in plan.create)
    for name, names in _in_order():
        stage = quoted(f"({name})")
        yield f"CREATE TEMP TABLE {stage} ({', '.join(f'{quoted(column)} TEXT' for column in names)});"
        for one in held.get(name, []):
            yield f".import --csv --skip 1 --schema temp {one}.csv '({name})'"
        cells = ", ".join(f"NULLIF({quoted(column)}, '')" for column in names)
        yield f"INSERT INTO {quoted(name)} SELECT {cells} FROM temp.{stage};"
        yield f"DROP TABLE temp.{stage};"
    yield from (f"{one};" for one in plan.index)
    yield "COMMIT;"


def _duckdb(held: Mapping[str, list[str]], strict: bool) -> Iterator[str]:
    plan = statements("duckdb", strict=strict)
    yield from (_HEAD, "--   duckdb FILE < load.duckdb.sql", "BEGIN TRANSACTION;")
    yield from (f"{one};" for one in plan.create)
    kinds = {table.name: {column.name: column.kind for column in table.columns} for table in loose.schema().tables}
    words = {"integer": "BIGINT", "number": "DOUBLE", "date": "DATE", "datetime": "TIMESTAMP"}
    for name, names in _in_order():
        types = ", ".join(f"'{one}': '{words.get(kinds.get(name, {}).get(one, ''), 'VARCHAR')}'" for one in names)
        for one in held.get(name, []):
            yield (
                f"INSERT INTO {quoted(name)} SELECT * FROM read_csv('{one}.csv', header = true, nullstr = '', "
                f"allow_quoted_nulls = false, auto_detect = false, delim = ',', quote = '\"', escape = '\"', "
                f"columns = {{{types}}});"
            )
    yield "COMMIT;"


def _in_order() -> list[tuple[str, tuple[str, ...]]]:
    return [(ABOUT, ("name", "value")), *((table.name, table.names) for table in ordered())]
