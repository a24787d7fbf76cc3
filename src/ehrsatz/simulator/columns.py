"""Arrays into columns of the clinical schema: times in whole minutes, numbers, money, and words by their position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.simulator.history import Floats
from ehrsatz.simulator.records import Rows

MINUTE = 60_000_000  # microseconds
SLACK = 1e-4  # minutes: a time on a whole minute stays there whatever its last bit


def minutes(days: Floats) -> Floats:
    """Return days as whole minutes, rounded down; NaN stays."""
    return np.floor(days * 1440.0 + SLACK)


def span(start: Floats, stop: Floats) -> tuple[Floats, Floats]:
    """Return beginnings and ends in whole minutes, an end at least one minute after its beginning; NaN stays."""
    begin, end = minutes(start), minutes(stop)
    with np.errstate(invalid="ignore"):
        return begin, np.where(end <= begin, begin + 1, end)


def moments(time: Floats, *, whole: bool = False) -> pl.Series:
    """Return times as Datetime("us"); NaN becomes null.

    Parameters
    ----------
    time
        Days, or with `whole` minutes.
    """
    time = np.asarray(time, np.float64)
    absent = np.isnan(time)
    gone = bool(absent.any())
    count = time if whole else minutes(time)
    micro = (np.where(absent, 0.0, count) if gone else count).astype(np.int64) * MINUTE
    out = pl.Series(micro).cast(pl.Datetime("us"))
    return out.to_frame("a").select(pl.when(pl.Series(~absent)).then(pl.col("a")))["a"].alias("") if gone else out


def days(day: Floats) -> pl.Series:
    """Return whole days as dates; NaN becomes null."""
    absent = np.isnan(day)
    whole = np.floor(np.where(absent, 0.0, day)).astype(np.int32)
    out = pl.Series(whole).cast(pl.Date)
    return out.to_frame("a").select(pl.when(pl.Series(~absent)).then(pl.col("a")))["a"].alias("")


def numbers(values: Floats) -> pl.Series:
    """Return numbers; NaN becomes null."""
    return pl.Series(values, nan_to_null=True)


def money(cents: NDArray[np.int64]) -> pl.Series:
    """Return whole cents as dollars."""
    return pl.Series(cents / 100.0)


def floats(rows: Rows, *names: str) -> list[Floats]:
    """Return columns of rows as floats."""
    return [np.asarray(rows[name], np.float64) for name in names]


def dictionary(words: Sequence[str | None]) -> pl.Series:
    """Return words with a null after them, so that position -1 means none."""
    return pl.Series([*words, None], dtype=pl.String)


def gather(words: pl.Series, positions: NDArray[np.generic]) -> pl.Series:
    """Return the words at positions (R,); -1 is null where the words are a `dictionary`."""
    place = np.asarray(positions, np.int64)
    return words.gather(pl.Series(np.where(place < 0, len(words) - 1, place).astype(np.uint32)))


def optional(ids: pl.Series, positions: NDArray[np.generic]) -> pl.Series:
    """Return the keys at positions (R,), null where the position is -1."""
    place = np.asarray(positions, np.int64)
    if not (place < 0).any():
        return ids.gather(place)
    return gather(pl.concat([ids.alias(""), pl.Series([None], dtype=pl.String)]), place)
