"""Read tables as a schema says; the schema wins over every guess, and all disagreements are reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, SchemaError, nearest
from ehrsatz.provenance import Provenance
from ehrsatz.schema import UNREADABLE, Schema, Table
from ehrsatz.sources import cells
from ehrsatz.sources.infer import refuse_unreadable


def apply(frames: Mapping[str, pl.DataFrame], schema: Schema, provenance: Provenance) -> Dataset:
    """Convert raw tables to the kinds of a schema.

    A single table takes the name that the schema gives its single table. Columns may stand in another order than in
    the schema. Cells that cannot be read as their kind are a disagreement, except where the column lists
    "<unreadable>" among its marks for missing.

    Raises
    ------
    SchemaError
        With every disagreement: tables, columns, cells that cannot be read, missing cells, bounds, levels, keys, links.
    """
    refuse_unreadable(frames)
    if len(frames) == 1 and len(schema.tables) == 1:
        frames = {schema.tables[0].name: next(iter(frames.values()))}
    problems = [
        f"the schema has no table '{name}'{nearest(name, [t.name for t in schema.tables])}"
        for name in frames
        if name not in {table.name for table in schema.tables}
    ]
    out: dict[str, pl.DataFrame] = {}
    complete = not problems
    for table in schema.tables:
        if table.name not in frames:
            problems.append(f"table '{table.name}' of the schema is absent from the data")
            complete = False
            continue
        typed, found, fits = _table(table, frames[table.name])
        problems += found
        complete = complete and fits
        out[table.name] = typed
    dataset = None
    if complete:
        try:
            dataset = Dataset(schema, out, provenance)
        except DataError as error:
            problems += error.problems
    if problems or dataset is None:
        raise SchemaError(
            f"Expected data that agree with the schema '{schema.name}'.",
            f"{len(problems)} disagreement{'s' if len(problems) != 1 else ''} found.",
            "Edit the schema file, or clean the data.",
            problems=problems,
        )
    return dataset


def _table(table: Table, frame: pl.DataFrame) -> tuple[pl.DataFrame, Sequence[str], bool]:
    absent = [name for name in table.names if name not in frame.columns]
    extra = [name for name in frame.columns if name not in table.names]
    problems = [f"{table.name}: the data lack the column '{name}'.{nearest(name, extra)}" for name in absent]
    problems += [f"{table.name}: the schema lacks the column '{name}' of the data" for name in extra]
    columns = []
    for column in table.columns:
        if column.name in absent:
            continue
        raw = frame[column.name]
        typed, n_bad = cells.typed(raw, cells.distinct(raw), column)
        if n_bad and UNREADABLE not in column.missing:
            problems.append(
                f"{table.name}.{column.name}: {n_bad:,} of {len(raw):,} cells cannot be read as {column.kind}"
                + (f" written '{column.format}'" if column.format else "")
            )
        columns.append(typed)
    return pl.DataFrame(columns), problems, not absent and not extra
