"""What all readers of databases share: whose address it is, and errors of drivers without the drivers' own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from ehrsatz.errors import EhrsatzError, SourceError

DRIVERS = ("sqlite3", "duckdb", "psycopg")


def dialect_of(address: str) -> str | None:
    """Return postgresql, sqlite or duckdb for the address of such a database, None for any other text."""
    if "://" not in address:
        return None
    scheme = address.partition("://")[0].partition("+")[0].lower()
    scheme = "postgresql" if scheme == "postgres" else scheme
    return scheme if scheme in {"postgresql", "sqlite", "duckdb"} else None


def quoted(name: str) -> str:
    """Return a name as SQL writes it between quotes."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Turn what a driver or a file says into an error that quotes nothing of it.

    Parameters
    ----------
    what
        What is read, as in "an OMOP database".

    Raises
    ------
    SourceError
        With what went wrong, by kind.
    """
    try:
        yield
    except EhrsatzError:
        raise
    except (pl.exceptions.PolarsError, OSError, UnicodeError):
        raise SourceError(f"Expected to read tables of {what}.", "One is damaged.", "Export it again.") from None
    except Exception as error:
        module, state = type(error).__module__.partition(".")[0].lstrip("_"), getattr(error, "sqlstate", None)
        if module not in DRIVERS:
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
        raise SourceError(
            f"Expected to read {what}.", found, "Check the path or address, and the user's rights."
        ) from None
