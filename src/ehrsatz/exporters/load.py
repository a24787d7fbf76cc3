"""Load tables into a database, all of them or nothing: tables, rows, constraints and indexes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl

from ehrsatz.errors import OutputError
from ehrsatz.exporters.targets import connect

Progress = Callable[[str, int, int], None]

_CREATED = re.compile(
    r'\bCREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:"?\w+"?\.)?(?:"(?P<quoted>[^"]+)"|(?P<bare>\w+))', re.I
)


@dataclass(frozen=True)
class Statements:
    """What makes a database's tables, in the words of one dialect.

    Parameters
    ----------
    create
        One statement per table, without the name of a schema.
    constrain
        Run after the rows: what a dialect can add later and checks faster then, such as keys and links.
    index
        Run last.
    """

    create: tuple[str, ...]
    constrain: tuple[str, ...] = ()
    index: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are made, in order."""
        found = (_CREATED.search(one) for one in self.create)
        return tuple(match["quoted"] or match["bare"] for match in found if match)


def load(
    url: str,
    statements: Callable[[str], Statements],
    tables: Iterable[tuple[str, pl.DataFrame]],
    *,
    schema: str | None = None,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Load tables into PostgreSQL, SQLite or DuckDB.

    Nothing is half loaded: when the connection is lost, the process killed or a constraint broken, the database is as
    it was. Memory grows with one frame, not with all of them; but for the keys of a DuckDB file that is there already,
    which are in memory until the end.

    Parameters
    ----------
    url
        Address of the database, as in postgresql://user@host/name, sqlite:///file.db or duckdb:///file.duckdb.
    statements
        Dialect ("postgresql", "sqlite", "duckdb") -> what makes the tables.
    tables
        Name of a table and some of its rows, columns by name; as often as there are parts. In DuckDB a row comes after
        those that it links to.
    schema
        Name of the schema within the database; made where it lacks. The database's own default where None.
    progress
        Called as progress("load", tables begun, tables) while rows go in.

    Returns
    -------
    Table -> rows, for every table that was made.

    Raises
    ------
    OutputError
        When the database cannot be reached or written, holds one of the tables already, or refuses rows.
    UnsupportedError
        When a SQLite file is to have a schema.
    """
    show = progress or (lambda what, done, total: None)
    target = connect(url)
    try:
        target.begin(schema)
        plan = statements(target.dialect)
        _check_empty(plan.tables, target.held())
        for one in plan.create:
            target.execute(one)
        rows = dict.fromkeys(plan.tables, 0)
        begun: set[str] = set()
        for name, frame in tables:
            begun.add(name)
            show("load", len(begun), len(rows) + 1)
            if frame.height:
                rows[name] = rows.get(name, 0) + target.insert(name, frame)
                target.settle()
        for one in (*plan.constrain, *plan.index):
            target.execute(one)
        target.check()
        target.commit()
    except BaseException:  # also an interrupt: nothing half loaded stays
        target.abandon()
        raise
    show("load", 1, 1)
    return rows


def _check_empty(wanted: Iterable[str], held: set[str]) -> None:
    folded = {name.casefold() for name in held}
    taken = [name for name in wanted if name.casefold() in folded]
    if taken:
        raise OutputError(
            "Expected a database or schema without these tables.",
            f"Present already: {', '.join(taken[:10])}{' and more' if len(taken) > 10 else ''}.",
            "Nothing was loaded: name another database or schema, or take the tables away.",
        )
