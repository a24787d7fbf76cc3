"""Dates and times <-> atoms, by way of numbers: days or microseconds since 1970.

The number codec does the rest: its grid finds whether times are to the day, hour, minute or second, its lattices
learn weekdays of dates and round clock times.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.codecs.number import NumberCode, decode_number, describe_number, encode_number, learn_number
from ehrsatz.schema import MIN_SUBJECTS

Floats = NDArray[np.float64]
_EPOCH = datetime(1970, 1, 1)


def to_number(values: pl.Series) -> Floats:
    """Return days (Date) or microseconds (Datetime) since 1970 as floats, NaN where missing, shape (R,)."""
    return values.to_physical().cast(pl.Float64).fill_null(float("nan")).to_numpy()


def to_moment(values: Floats, kind: str) -> pl.Series:
    """Return days or microseconds since 1970 as Date or Datetime("us"), null where NaN."""
    whole = pl.Series(np.rint(np.where(np.isnan(values), 0, values)).astype(np.int64))
    moments = whole.cast(pl.Int32).cast(pl.Date) if kind == "date" else whole.cast(pl.Datetime("us"))
    return moments.set(pl.Series(np.isnan(values)), None)


def bound_number(limit: Any, kind: str) -> float | None:
    """Return a bound (date, datetime or ISO text) as days or microseconds since 1970, None for None."""
    if limit is None:
        return None
    if isinstance(limit, str):
        limit = datetime.fromisoformat(limit)
    if isinstance(limit, date) and not isinstance(limit, datetime):
        limit = datetime(limit.year, limit.month, limit.day)
    since = limit.replace(tzinfo=None) - _EPOCH
    return (
        float(since.days)
        if kind == "date"
        else float(since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds)
    )


def learn_datetime(
    values: pl.Series,
    *,
    subjects: NDArray[np.int64] | None = None,
    min_subjects: int = MIN_SUBJECTS,
    kind: str = "date",
    minimum: Any = None,
    maximum: Any = None,
    max_bins: int = 256,
    nullable: bool = True,
) -> NumberCode:
    """Learn the atoms of a column of dates or datetimes; see `learn_number`.

    Parameters
    ----------
    values : Date or Datetime("us") series of R rows.
    subjects : shape (R,), whose row it is; None means each row is its own subject.
    min_subjects : fewest subjects behind a spike or bin.
    kind : date or datetime.
    minimum, maximum : closed bounds of the schema: date, datetime or ISO text.
    max_bins : about the most atoms.
    nullable : whether a draw may be missing where nothing else is known.
    """
    return learn_number(
        to_number(values),
        subjects=subjects,
        min_subjects=min_subjects,
        kind=kind,
        minimum=bound_number(minimum, kind),
        maximum=bound_number(maximum, kind),
        max_bins=max_bins,
        nullable=nullable,
    )


def encode_datetime(code: NumberCode, values: pl.Series) -> NDArray[np.int32]:
    """Return the atom of each value, shape (R,); -1 where missing."""
    return encode_number(code, to_number(values))


def decode_datetime(code: NumberCode, atoms: NDArray[np.int32], u: Floats) -> pl.Series:
    """Return one Date or Datetime per atom, null for atom -1; u as in `decode_number`."""
    return to_moment(decode_number(code, atoms, u), code.kind)


def describe_datetime(code: NumberCode) -> dict[str, Any]:
    """Return what a person wants to know of the code; see `describe_number`."""
    return describe_number(code)
