"""What may be stored of a column's range and levels without telling about one subject.

Bounds are rounded outward to coarse round numbers, so that no extreme of the data is stored; levels are listed only
where at least MIN_SUBJECTS subjects hold each of them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl

from ehrsatz.schema import MIN_SUBJECTS, Column

MAX_LISTED = 50


def describe(column: Column, cells: pl.Series, subjects: pl.Series | None) -> Column:
    """Return the column with nullability, bounds and levels as its cells show them.

    Parameters
    ----------
    column
        Kind and role are decided.
    cells
        Typed cells, shape (R,).
    subjects
        Subject of each row, shape (R,); None where each row is its own subject.
    """
    column = replace(column, nullable=cells.null_count() > 0)
    if column.role in {"subject", "key", "link"} or column.disclosure == "direct":
        return column
    if column.is_numeric:
        low, high = outward(column, cells)
        return replace(column, minimum=low, maximum=high)
    if column.kind in {"category", "code"}:
        values, why = levels(cells, subjects)
        return replace(column, values=values, why=f"{column.why}; {why}" if why else column.why)
    return column


def outward(column: Column, cells: pl.Series) -> tuple[Any, Any]:
    """Return bounds outside the extremes: round numbers a tenth of the range apart, or ends of years;
    of every fifth or tenth year, where dates span more than 10 or 50 years.

    0 stays a bound of columns that never fall below it, and 0 and 1 of shares.
    """
    present = cells.drop_nulls()
    if present.is_empty():
        return None, None
    if column.kind in {"date", "datetime"}:
        days = present.cast(pl.Date)
        first, last = days.min(), days.max()
        assert isinstance(first, date) and isinstance(last, date)
        years = _years(last.year - first.year)
        at, end = first.year // years * years, (last.year // years + 1) * years  # the years `at` to `end` - 1
        at -= years * (first == date(at, 1, 1))
        end += years * (last == date(end - 1, 12, 31))
        low, high = date(max(1, at), 1, 1), date(min(9999, end - 1), 12, 31)
        return (low.isoformat(), high.isoformat()) if column.kind == "date" else (f"{low}T00:00:00", f"{high}T23:59:59")
    least, most = float(present.min()), float(present.max())  # type: ignore[arg-type]
    if column.kind == "number" and least >= 0 and most <= 1:
        return 0.0, 1.0
    span = most - least or abs(most) or 1.0
    unit = step = 10.0 ** math.floor(math.log10(span))
    for finer in (0.5, 0.2, 0.1):
        if step * finer >= span / 10:
            unit = step * finer
    if column.kind == "integer":
        unit = max(1.0, unit)
    low_at, high_at = math.floor(least / unit), math.ceil(most / unit)
    low_value, high_value = _tidy(low_at * unit), _tidy(high_at * unit)
    if low_value >= least:
        low_value = _tidy((low_at - 1) * unit)
    if high_value <= most:
        high_value = _tidy((high_at + 1) * unit)
    if least >= 0:
        low_value = max(0.0, low_value)
    elif most <= 0:
        high_value = min(0.0, high_value)
    if column.kind == "integer":
        return int(low_value), int(high_value)
    return low_value, high_value


def _years(span: int) -> int:
    """How many years the bounds of dates are rounded to: the oldest person's year of birth is no bound."""
    return 1 if span <= 10 else 5 if span <= 50 else 10


def levels(cells: pl.Series, subjects: pl.Series | None) -> tuple[tuple[str, ...] | None, str]:
    """Return the sorted levels, or None and the reason why they are not listed."""
    k = cells.drop_nulls().n_unique()
    if k == 0:
        return None, ""
    if k > MAX_LISTED:
        return None, f"levels not listed: more than {MAX_LISTED}"
    held = holders(cells, subjects)
    rare = held.filter(pl.col("n") < MIN_SUBJECTS).height
    if rare:
        return None, f"levels not listed: {rare} of {k} held by fewer than {MIN_SUBJECTS} subjects"
    return tuple(sorted(held["level"].to_list())), ""


def holders(cells: pl.Series, subjects: pl.Series | None) -> pl.DataFrame:
    """Return each level with the number of subjects that hold it: columns level and n, the most held first."""
    frame = pl.DataFrame({"level": cells})
    if subjects is None:
        counted = frame.drop_nulls().group_by("level").agg(pl.len().alias("n"))
    else:
        counted = (
            frame.with_columns(subjects.alias("s"))
            .drop_nulls("level")
            .group_by("level")
            .agg(pl.col("s").n_unique().alias("n"))
        )
    return counted.sort("n", "level", descending=[True, False])


def _tidy(value: float) -> float:
    return float(f"{value:.12g}")
