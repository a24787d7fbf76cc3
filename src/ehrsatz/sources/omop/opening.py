"""Open what holds a CDM, by path or address; what a driver says becomes an error without its words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ehrsatz.errors import SourceError
from ehrsatz.sources.drivers import dialect_of, guarded
from ehrsatz.sources.omop.databases import Duckdb, Postgres, Sqlite
from ehrsatz.sources.omop.folder import Folder
from ehrsatz.sources.omop.store import Store

SQLITE, DUCKDB = (".sqlite", ".sqlite3", ".db"), (".duckdb", ".ddb")


@contextmanager
def opened(what: str | Path, copies: Path | None = None) -> Iterator[Store]:
    """Open a CDM by path or address.

    Parameters
    ----------
    what
        Path of a file or folder, or address of a database.
    copies
        A folder for copies of CSV files, in which some people are found faster.

    Raises
    ------
    SourceError
        When it is not there, damaged, or cannot be reached; no error holds the address or the words of a driver.
    """
    with guarded("an OMOP database"):
        store = _store(what, copies)
        try:
            yield store
        finally:
            store.close()


def _store(what: str | Path, copies: Path | None) -> Store:
    dialect = dialect_of(str(what))
    if dialect == "postgresql":
        return Postgres(f"postgresql://{str(what).partition('://')[2]}")
    path = Path(str(what).partition(":///")[2]) if dialect else Path(what)
    if path.is_dir():
        if is_folder(path):
            return Folder(path, copies)
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
