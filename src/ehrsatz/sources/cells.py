"""From the cells of a source to the cells of a dataset, one distinct value at a time.

`distinct` gives the distinct texts of a column with their counts, whatever type the source has; `read` turns texts
into typed cells as a `Column` says; `typed` carries that back to all rows. Inference and an edited schema go the same
way, so a schema that was inferred reads the same rows again.
"""

from __future__ import annotations

import polars as pl

from ehrsatz.schema import UNREADABLE, Column, dtype_of
from ehrsatz.sources import dates, spelling


def is_readable(dtype: pl.DataType) -> bool:
    """Say whether a column of this Polars type holds cells that a table can have: no lists, structs or bytes."""
    return not (dtype.is_nested() or dtype in (pl.Binary, pl.Object, pl.Unknown))


def distinct(cells: pl.Series) -> pl.DataFrame:
    """Return the distinct present cells with their text and count, the commonest first.

    Returns
    -------
    Columns raw (the source's type), text (stripped; null where nothing remains) and n; shape (K, 3).
    """
    counted = cells.rename("raw").value_counts(name="n").filter(pl.col("raw").is_not_null())
    counted = counted.with_columns(text(counted["raw"]).alias("text"), pl.col("n").cast(pl.Int64))
    return counted.select("raw", "text", "n").sort("n", "text", descending=[True, False], nulls_last=True)


def text(raw: pl.Series) -> pl.Series:
    """Return cells as stripped text, as a CSV file would hold them; an empty one is null."""
    dtype = raw.dtype
    if dtype in (pl.Categorical, pl.Enum):
        raw = raw.cast(pl.String)
    elif dtype == pl.Duration:
        raw = (raw.dt.total_microseconds() / 1e6).cast(pl.String)
    elif isinstance(dtype, pl.Datetime):
        plain = raw.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else raw
        raw = plain.cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
    elif dtype == pl.Date:
        raw = raw.dt.strftime("%Y-%m-%d")
    elif dtype.is_float():
        raw = raw.fill_nan(None).cast(pl.String)
    elif dtype == pl.Null:
        return pl.Series(raw.name, [None] * len(raw), dtype=pl.String)
    elif dtype != pl.String:
        raw = raw.cast(pl.String)
    stripped = raw.str.strip_chars()
    return stripped.set(stripped == "", None)


def blank_marks(texts: pl.Series, column: Column) -> pl.Series:
    """Return texts with the column's marks for missing as null; numbers are compared as numbers."""
    marks = [mark for mark in column.missing if mark != UNREADABLE]
    out = texts
    if marks:
        out = out.set(out.is_in(marks).fill_null(False), None)
    if column.kind in {"integer", "number"} and marks:
        values = spelling.numbers(pl.Series(marks, dtype=pl.String), column.format).drop_nulls()
        if len(values):
            read_as = spelling.numbers(out, column.format)
            out = out.set(read_as.is_in(values.implode()).fill_null(False), None)
    return out


def read(texts: pl.Series, column: Column) -> pl.Series:
    """Read texts as the column says; null where a text is a mark for missing, or cannot be read.

    Parameters
    ----------
    texts
        Stripped texts, shape (K,).
    column
        Its kind, format and missing marks are used.

    Returns
    -------
    Cells of the kind's Polars type, shape (K,).
    """
    present = blank_marks(texts, column)
    if column.kind == "integer":
        return spelling.integers(present, column.format)
    if column.kind == "number":
        return spelling.numbers(present, column.format)
    if column.kind == "boolean":
        return spelling.booleans(present, column.format)
    if column.kind in {"date", "datetime"}:
        return dates.parse(present, column.format).cast(dtype_of(column.kind))
    return present


def typed(cells: pl.Series, values: pl.DataFrame, column: Column) -> tuple[pl.Series, int]:
    """Carry the reading of distinct values to all rows of a column.

    Parameters
    ----------
    cells
        The source's cells, shape (R,).
    values
        What `distinct` returned for them.
    column
        How to read them.

    Returns
    -------
    Typed cells, shape (R,), and the number of rows that are present but could not be read.
    """
    out = read(values["text"], column)
    present = blank_marks(values["text"], column)
    bad = present.is_not_null() & out.is_null()
    n_bad = int(values["n"].filter(bad).sum() or 0)
    if not values.height:
        return pl.Series(cells.name, [None] * len(cells), dtype=dtype_of(column.kind)), 0
    if cells.dtype == out.dtype and cells.dtype != pl.String and (out == values["raw"]).all():
        return cells.rename(column.name), n_bad
    mapped = cells.replace_strict(values["raw"], out, default=None, return_dtype=out.dtype)
    return mapped.rename(column.name), n_bad
