"""`ehrsatz load`: records into a database, all or nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from ehrsatz.cli import options
from ehrsatz.cli.export import Source
from ehrsatz.cli.screen import progress, say, show_json, show_table


def load(
    source: Source,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="postgresql://user@host/name, sqlite:///file.db, duckdb:///file.duckdb")
    ],
    form: Annotated[str, typer.Option("--as", metavar="FORM", help="Tables to make: clinical or omop.")] = "clinical",
    schema: Annotated[
        str | None, typer.Option("--schema", metavar="NAME", help="Schema of the database; made where it lacks.")
    ] = None,
    from_format: options.FromFormat = None,
    athena: options.Athena = None,
    allow_real: options.AllowReal = False,
    as_json: options.AsJson = False,
) -> None:
    """Load clinical records into PostgreSQL, SQLite or DuckDB, with keys, links, checks and indexes.

    All is loaded or nothing: a lost connection, a stopped command or a refused row leaves the database as it was. One
    that holds such a table already is refused. Leave a password to the driver (PGPASSWORD, ~/.pgpass), or put it into
    the address: it is never shown.

    \b
    Examples:
      ehrsatz load release/ sqlite:///clinic.db
      ehrsatz load release/ postgresql://me@localhost/test --as omop --schema cdm
      ehrsatz load fhir/ duckdb:///clinic.duckdb --allow-real

    Exit codes: 0 loaded, 2 wrong usage or bad input, 130 stopped.
    """
    from ehrsatz.loading import load_records

    with progress(quiet=as_json) as show:
        rows = load_records(
            source,
            url,
            form=form,
            schema=schema,
            from_format=from_format,
            athena=None if athena is None else str(athena),
            allow_real=allow_real,
            progress=show,
        )
    if as_json:
        show_json({"rows": rows})
        return
    show_table(("table", "rows"), [(name, f"{count:,}") for name, count in rows.items() if count])
    say(f"Loaded: {sum(rows.values()):,} rows in {len(rows)} tables.")
