"""Columns of Python values, as databases and object columns hand them over, turned into Polars columns."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl


def column_of(name: str, values: Sequence[Any]) -> pl.Series:
    """Return a typed column where all present values are of one kind, else their texts.

    Parameters
    ----------
    name
        The column's name.
    values
        Python values; None and NaN are missing, shape (R,).

    Returns
    -------
    Boolean, Int64, Float64, Date, Datetime("us"), Time, Duration, Binary or String, shape (R,).
    """
    present = [None if _is_missing(value) else value for value in values]
    kinds = {type(value) for value in present if value is not None}
    if not kinds:
        return pl.Series(name, [None] * len(present), dtype=pl.Null)
    if kinds <= {bool}:
        return pl.Series(name, present, dtype=pl.Boolean)
    if kinds <= {int}:
        small = all(value is None or -(2**63) <= value < 2**63 for value in present)
        return pl.Series(name, present, dtype=pl.Int64) if small else _texts(name, present)
    if kinds <= {int, float, Decimal}:
        return pl.Series(name, [None if v is None else float(v) for v in present], dtype=pl.Float64)
    if kinds == {date}:
        return pl.Series(name, present, dtype=pl.Date)
    if kinds == {time}:
        return pl.Series(name, present, dtype=pl.Time)
    if kinds == {timedelta}:
        return pl.Series(name, present, dtype=pl.Duration("us"))
    if all(issubclass(kind, datetime) for kind in kinds):
        zoned = [value.tzinfo is not None for value in present if value is not None]
        if all(zoned):
            return pl.Series(name, present).dt.cast_time_unit("us")
        if not any(zoned):
            return pl.Series(name, present, dtype=pl.Datetime("us"))
    if kinds <= {bytes, bytearray, memoryview}:
        return pl.Series(name, [None if v is None else bytes(v) for v in present], dtype=pl.Binary)
    return _texts(name, present)


def _texts(name: str, values: Sequence[Any]) -> pl.Series:
    return pl.Series(name, [None if value is None else _text(value) for value in values], dtype=pl.String)


def _text(value: Any) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value)


def _is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return type(value).__name__ in {"NAType", "NaTType"}
