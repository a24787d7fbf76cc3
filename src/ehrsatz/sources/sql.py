"""Tables of a database by SQLAlchemy address: SQLite, DuckDB, PostgreSQL and others that SQLAlchemy knows.

The tables of a schema are read as they stand, foreign keys become links. No error holds the address, the password or
the driver's own words, which may quote either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from ehrsatz import extras
from ehrsatz.errors import SourceError, nearest
from ehrsatz.schema import Link
from ehrsatz.sources.base import Raw, Source
from ehrsatz.sources.values import column_of

FETCH = 50_000
LOOK = 500  # rows that the size of a row is estimated from


@dataclass
class _Query(Raw):
    engine: Any = None
    table: Any = None

    def blocks(self) -> Iterator[pl.DataFrame]:
        sqlalchemy = _sqlalchemy()
        try:
            with self.engine.connect() as connection:
                result = connection.execution_options(stream_results=True).execute(sqlalchemy.select(self.table))
                empty = True
                while rows := result.fetchmany(FETCH):
                    empty = False
                    yield _frame(self.names, rows)
                if empty:
                    yield _frame(self.names, [])
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise _failed(error, f"read the table '{self.name}'") from None

    def whole(self) -> pl.DataFrame:
        """Return all rows as one frame; a column whose type differs from block to block becomes text."""
        parts = list(self.blocks())
        series = []
        for name in self.names:
            pieces = [part[name] for part in parts]
            kinds = {piece.dtype for piece in pieces if piece.dtype != pl.Null}
            if len(kinds) > 1:
                wide = pl.Float64 if all(kind.is_numeric() for kind in kinds) else pl.String
                pieces = [piece.cast(wide) for piece in pieces]
            elif kinds:
                pieces = [piece.cast(next(iter(kinds))) for piece in pieces]
            series.append(pl.concat(pieces, rechunk=True) if pieces else pl.Series(name, [], dtype=pl.Null))
        return pl.DataFrame(series)


class SqlSource(Source):
    """Read tables of a database.

    Options: `table` or `tables` name what is read, all tables of the default schema without either; `database_schema`
    names another schema of the database.
    """

    name: ClassVar[str] = "sql"

    def _open(  # type: ignore[override]
        self,
        what: Any,
        *,
        table: str | None = None,
        tables: Sequence[str] | None = None,
        database_schema: str | None = None,
    ) -> list[Raw]:
        sqlalchemy = _sqlalchemy()
        engine = _engine(what)
        wanted = [table] if table is not None else list(tables or ())
        try:
            inspector = sqlalchemy.inspect(engine)
            present = [*inspector.get_table_names(database_schema), *inspector.get_view_names(database_schema)]
            chosen = wanted or inspector.get_table_names(database_schema)
            absent = [one for one in chosen if one not in present]
            if absent or not chosen:
                raise SourceError(
                    "Expected tables that the database holds.",
                    f"Absent: {', '.join(absent)}.{nearest(absent[0], present)}" if absent else "It holds no table.",
                    f"It holds {len(present)} tables; name them with --table.",
                )
            parts: list[Raw] = []
            with engine.connect() as connection:
                for one in chosen:
                    parts.append(_part(engine, connection, inspector, one, database_schema, chosen))
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise _failed(error, "open the database") from None
        except ImportError as error:
            raise _no_driver(error) from None
        return parts


def _part(engine: Any, connection: Any, inspector: Any, name: str, schema: str | None, chosen: Sequence[str]) -> _Query:
    sqlalchemy = _sqlalchemy()
    bare = sqlalchemy.table(name, schema=schema)
    none = connection.execute(sqlalchemy.select(sqlalchemy.literal_column("*")).select_from(bare).limit(0))
    names = tuple(map(str, list(none.keys())))
    table = sqlalchemy.table(name, *(sqlalchemy.column(column) for column in names), schema=schema)
    n_rows = int(connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(table)).scalar_one())
    some = _frame(names, connection.execute(sqlalchemy.select(table).limit(LOOK)).fetchall())
    per_row = some.estimated_size() / max(1, some.height)
    links = []
    for key in _foreign_keys(connection, inspector, name, schema):
        columns, target, targets = key
        if len(columns) == 1 and target in chosen and target != name:
            links.append(Link(columns[0], target, targets[0]))
    return _Query(name, names, n_rows, max(per_row, 8.0 * len(names)), tuple(links), engine=engine, table=table)


def _foreign_keys(
    connection: Any, inspector: Any, name: str, schema: str | None
) -> list[tuple[list[str], str, list[str]]]:
    if connection.dialect.name == "duckdb":  # its SQLAlchemy dialect does not tell foreign keys
        text = _sqlalchemy().text(
            "select constraint_column_names, referenced_table, referenced_column_names from duckdb_constraints() "
            "where constraint_type = 'FOREIGN KEY' and table_name = :name order by constraint_index"
        )
        return [(list(own), other, list(theirs)) for own, other, theirs in connection.execute(text, {"name": name})]
    found = inspector.get_foreign_keys(name, schema)
    return [(key["constrained_columns"], key["referred_table"], key["referred_columns"]) for key in found]


def _engine(what: Any) -> Any:
    sqlalchemy = _sqlalchemy()
    text = str(what)
    if "://" not in text:
        path = Path(text)
        if not path.is_file():
            raise SourceError(f"Expected '{path.name}' to be a database file.", "There is none.", "Check the path.")
        text = f"{'duckdb' if path.suffix == '.duckdb' else 'sqlite'}:///{path}"
    scheme = text.split("://", 1)[0]
    if scheme == "postgresql":
        text = text.replace("postgresql://", "postgresql+psycopg://", 1)  # the driver that the extra installs
    try:
        url = sqlalchemy.engine.make_url(text)
        if url.get_backend_name() in {"sqlite", "duckdb"} and url.database not in {None, "", ":memory:"}:
            file = Path(str(url.database))
            if not file.is_file():
                raise SourceError(
                    f"Expected the database file '{file.name}'.", "There is no such file.", "Check the address."
                )
        options: dict[str, Any] = {"hide_parameters": True}
        if url.get_backend_name() == "duckdb":
            options["connect_args"] = {"read_only": True}
        return sqlalchemy.create_engine(url, **options)
    except (sqlalchemy.exc.SQLAlchemyError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            "Expected a database address such as postgresql://user@host/name or sqlite:///file.db.",
            "The address cannot be read, or names a kind of database that is not known here.",
            "Check its parts; escape marks in the password as %40 and the like.",
        ) from None
    except ImportError as error:
        raise _no_driver(error) from None


def _frame(names: Sequence[str], rows: Sequence[Any]) -> pl.DataFrame:
    columns = list(zip(*rows)) if rows else [()] * len(names)
    return pl.DataFrame([column_of(name, values) for name, values in zip(names, columns)])


def _failed(error: Exception, doing: str) -> SourceError:
    """Say that the database refused, without the driver's words."""
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    text = str(getattr(error, "orig", "")).lower()
    if code in {"28P01", "28000"} or "password authentication" in text or "access denied" in text:
        found = "The database refused the user or the password."
        advice = "Check user and password of the address."
    elif "connect" in text or "translate host" in text or "resolve" in text or "timeout" in text or "refused" in text:
        found = "The database could not be reached."
        advice = "Check host, port and database name of the address."
    else:
        found = f"The database reported {type(error).__name__}{f' (SQLSTATE {code})' if code else ''}."
        advice = "Check the address and the rights of the user."
    return SourceError(f"Expected to {doing}.", found, advice)


def _no_driver(error: ImportError) -> SourceError:
    name = error.name or "of this database"
    return SourceError(
        "Expected a driver for this kind of database.",
        f"The package '{name}' is not installed.",
        "Install it, or use sqlite, duckdb or postgresql with: pip install 'ehrsatz[sql]'",
    )


def _sqlalchemy() -> Any:
    return extras.require("sqlalchemy", extra="sql", feature="Reading from a database")
