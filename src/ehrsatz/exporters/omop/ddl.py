"""What makes the tables of the CDM 5.4 in a database, in our own words, from the facts of `terminology.omop`.

DuckDB holds NUMERIC to three decimals only, so that numbers are DOUBLE there; it also refuses tables that link to each
other in a circle, as concept and domain do, so that it gets keys alone. SQLite takes keys and links with the table, and
does not check the length of a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import polars as pl

from ehrsatz.exporters.load import Statements
from ehrsatz.exporters.omop.vocabulary import TYPES
from ehrsatz.exporters.targets import TIME, quoted
from ehrsatz.terminology.omop import cdm
from ehrsatz.terminology.omop.cdm import Field

_SOUGHT = {("person", "person_source_value"), ("fact_relationship", "fact_id_1")}  # by what reads some patients
ROWS = 100_000  # of a CSV file, at a time


def statements(dialect: str) -> Statements:
    """Return what makes the tables, keys, links and indexes.

    Parameters
    ----------
    dialect
        "postgresql", "sqlite" or "duckdb".
    """
    create, constrain, index = [], [], []
    later = dialect == "postgresql"
    for table, fields in cdm.tables().items():
        lines = [
            f"  {quoted(field.name)} {_type(field, dialect)}{' NOT NULL' if field.required else ''}" for field in fields
        ]
        key = cdm.key(table)
        if key is not None and dialect == "sqlite":
            lines.append(f"  PRIMARY KEY ({quoted(key)})")
        if dialect == "sqlite":
            lines += [f"  {_link(field)}" for field in fields if field.links_to and _is_unique(*field.links_to)]
        create.append(f"CREATE TABLE {quoted(table)} (\n" + ",\n".join(lines) + "\n)")
        if key is not None and dialect != "sqlite":
            constrain.append(f"ALTER TABLE {quoted(table)} ADD PRIMARY KEY ({quoted(key)})")
        for field in fields:
            sought = field.indexed or (table, field.name) in _SOUGHT
            if sought and not field.key and dialect != "duckdb":
                index.append(
                    f"CREATE INDEX {quoted(f'{table}_{field.name}_ix')} ON {quoted(table)} ({quoted(field.name)})"
                )
    constrain += [_unique(table, column) for table, column in _unkeyed() if later]
    if later:
        for table, fields in cdm.tables().items():
            for field in fields:
                if field.links_to:
                    name = quoted(f"{table}_{field.name}_fk"[:63])
                    constrain.append(f"ALTER TABLE {quoted(table)} ADD CONSTRAINT {name} {_link(field)}")
    return Statements(tuple(create), tuple(constrain), tuple(index))


@cache
def _unkeyed() -> tuple[tuple[str, str], ...]:
    """Columns that others link to though they are no key in the specification."""
    wanted = {field.links_to for fields in cdm.tables().values() for field in fields if field.links_to}
    return tuple(sorted((table, column) for table, column in wanted if cdm.key(table) != column))


def _is_unique(table: str, column: str) -> bool:
    return cdm.key(table) == column


def _unique(table: str, column: str) -> str:
    return f"ALTER TABLE {quoted(table)} ADD UNIQUE ({quoted(column)})"


def _link(field: Field) -> str:
    assert field.links_to is not None
    table, column = field.links_to
    return f"FOREIGN KEY ({quoted(field.name)}) REFERENCES {quoted(table)} ({quoted(column)})"


def _type(field: Field, dialect: str) -> str:
    if field.kind == "number":
        return {"duckdb": "DOUBLE", "sqlite": "REAL"}.get(dialect, "NUMERIC")
    if field.kind == "text":
        return "TEXT" if field.length is None else f"VARCHAR({field.length})"
    return {"integer": "INTEGER", "date": "DATE", "datetime": "TIMESTAMP"}[field.kind]


def frames(folder: str | Path) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give the rows of a finished folder of CSV files, table by table and block by block, for `load`.

    Parameters
    ----------
    folder
        That holds person.csv and the others, as the exporter `omop` writes them.
    """
    for table, fields in cdm.tables().items():
        path = Path(folder) / f"{table}.csv"
        if not path.is_file():
            continue
        reader = pl.scan_csv(path, infer_schema=False)
        n = int(reader.select(pl.len()).collect().item())
        for start in range(0, n, ROWS):
            block = reader.slice(start, ROWS).collect()
            yield table, block.select(_typed(field) for field in fields)


def _typed(field: Field) -> pl.Expr:
    cell = pl.col(field.name)
    if field.kind == "date":
        return cell.str.to_date("%Y-%m-%d")
    if field.kind == "datetime":
        return cell.str.to_datetime(TIME, time_unit="us")
    return cell.cast(TYPES[field.kind])
