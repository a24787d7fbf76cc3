"""What makes the clinical tables in a database: columns, keys, links, words of categories, indexes.

The types are words that PostgreSQL, SQLite and DuckDB all know. PostgreSQL gets its keys and links after the rows; the
two others can only take them with the table. DuckDB checks a link of a table to itself within one insert row by row, so
that one is left out there, as are its indexes on links, which it makes by itself, and on times, which lie in order.
"""

from __future__ import annotations

from functools import cache

from ehrsatz import __version__, clinical, loose
from ehrsatz.clinical import WORLD
from ehrsatz.exporters.load import Statements
from ehrsatz.exporters.targets import quoted
from ehrsatz.provenance import Origin
from ehrsatz.schema import Column, Link, Schema, Table

ABOUT = "about"  # table that says what the database holds
TYPES = {
    "integer": "BIGINT",
    "number": "DOUBLE PRECISION",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "datetime": "TIMESTAMP",
}  # all others are TEXT


@cache
def ordered() -> tuple[Table, ...]:
    """Return the clinical tables, those that others link to first."""
    left = {table.name: table for table in loose.schema().tables}
    out: list[Table] = []
    while left:
        ready = [
            table
            for table in left.values()
            if all(link.to_table == table.name or link.to_table not in left for link in table.links)
        ]
        ready.sort(key=lambda table: (table.name not in WORLD, table.name != "patient"))
        out.append(ready[0])
        del left[ready[0].name]
    return tuple(out)


def statements(dialect: str, *, strict: bool = False) -> Statements:
    """Return what makes the clinical tables in one dialect.

    Parameters
    ----------
    dialect
        "postgresql", "sqlite" or "duckdb"; any other word: what all three understand, links with the tables.
    strict
        Whether columns that simulated records always fill must not be empty, and amounts not negative.
    """
    later = dialect == "postgresql"
    create, constrain, index = [_about()], [], []
    for table in ordered():
        create.append(_create(table, dialect, strict=strict, later=later))
    for table in ordered() if later else ():
        constrain.append(f"ALTER TABLE {quoted(table.name)} ADD {_primary(table)}")
    for table in ordered():
        if later:
            constrain += [f"ALTER TABLE {quoted(table.name)} ADD {_foreign(table, link)}" for link in table.links]
        if dialect != "duckdb":
            index += [_index(table, name) for name in _indexed(table)]
    return Statements(tuple(create), tuple(constrain), tuple(index))


def script(*, strict: bool) -> str:
    """Return one script for any database of the three, and others that know these words."""
    lines = [
        "-- Clinical tables of ehrsatz: records of patients who do not exist.",
        "-- Rows that others link to come first: load the tables in this order.",
    ]
    plan = statements("any", strict=strict)
    return "\n".join([*lines, *(f"{one};" for one in (*plan.create, *plan.index))]) + "\n"


def about(origin: Origin) -> list[tuple[str, str]]:
    """Return the rows of the table that says what the database holds."""
    made = origin in {"generated", "simulated"}
    word = "synthetic: fabricated records, no real patient" if made else "real: records of persons"
    return [("content", word), ("schema", "clinical 1"), ("ehrsatz", __version__)]


def _about() -> str:
    return f'CREATE TABLE {quoted(ABOUT)} (\n  "name" TEXT PRIMARY KEY,\n  "value" TEXT NOT NULL\n)'


def _create(table: Table, dialect: str, *, strict: bool, later: bool) -> str:
    lines = [_column(table, column, dialect, strict=strict) for column in table.columns]
    if not later:
        lines.append(_primary(table))
        lines += [_foreign(table, link) for link in table.links if dialect != "duckdb" or link.to_table != table.name]
    return f"CREATE TABLE {quoted(table.name)} (\n  " + ",\n  ".join(lines) + "\n)"


def _column(table: Table, column: Column, dialect: str, *, strict: bool) -> str:
    text = f"{quoted(column.name)} {TYPES.get(column.kind, 'TEXT')}"
    meant = _strict(clinical.schema(), table, column) if strict else column
    if not meant.nullable:
        text += " NOT NULL"
    if meant.values is not None:
        one_of = _one_of(quoted(column.name), meant.values, dialect)
        text += f" CONSTRAINT {quoted(f'{table.name}_{column.name}_words')} CHECK ({one_of})"
    if isinstance(meant.minimum, (int, float)):
        least = f"{quoted(column.name)} >= {meant.minimum:g}"
        text += f" CONSTRAINT {quoted(f'{table.name}_{column.name}_least')} CHECK ({least})"
    return text


def _one_of(cell: str, values: tuple[str, ...], dialect: str) -> str:
    words = ["'" + word.replace("'", "''") + "'" for word in values]
    if dialect == "sqlite":  # it builds the list of an IN anew for each row: half the speed
        return " OR ".join(f"{cell} = {word}" for word in words)
    return f"{cell} IN ({', '.join(words)})"


def _strict(schema: Schema, table: Table, column: Column) -> Column:
    names = schema[table.name].names
    return schema[table.name][column.name] if column.name in names else column


def _primary(table: Table) -> str:
    return f"CONSTRAINT {quoted(f'{table.name}_pk')} PRIMARY KEY ({quoted(table.columns[0].name)})"


def _foreign(table: Table, link: Link) -> str:
    name = quoted(f"{table.name}_{link.column}_fk")
    target = f"{quoted(link.to_table)} ({quoted(link.to_column)})"
    return f"CONSTRAINT {name} FOREIGN KEY ({quoted(link.column)}) REFERENCES {target}"


def _indexed(table: Table) -> list[str]:
    links = [link.column for link in table.links]
    return list(dict.fromkeys([*links, *([table.time] if table.time else [])]))


def _index(table: Table, column: str) -> str:
    return f"CREATE INDEX {quoted(f'{table.name}_{column}_ix')} ON {quoted(table.name)} ({quoted(column)})"
