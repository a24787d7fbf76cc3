"""Columns of few levels as codes, counted in pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.rules.cells import MAX_LEVELS, as_numbers, plain
from ehrsatz.schema import Column

_MANY_LEVELS = 4000  # levels that the determining column of a dependency may have
_ROWS_PER_LEVEL = 10
_SPIKE_LEVELS = 20
_SPIKE_SHARE = 0.05  # of the rows that hold a spike, at least
_SPIKE_HEIGHT = 5  # times as frequent as the next value


@dataclass(frozen=True)
class Coded:
    """One column as codes: level i of `levels`, and len(levels) where missing.

    held: subjects per level, shape (levels,). public: levels that may be named. gap: whether this stands for a
    column's being missing (level 0) or present (level 1) rather than for its cells. spike: whether this stands for a
    number's one outstanding value (level 0) or any other (level 1). whole: false for numbers with a fraction, whose
    levels are no categories.
    """

    column: Column
    codes: NDArray[np.int64]
    levels: tuple[Any, ...]
    held: NDArray[np.int64]
    public: NDArray[np.bool_]
    floor: int
    gap: bool = False
    spike: bool = False
    whole: bool = True

    @property
    def n(self) -> int:
        """Number of levels."""
        return len(self.levels)

    @property
    def has_missing(self) -> bool:
        """Whether any row has no level."""
        return bool((self.codes == self.n).any())

    def named(self, which: NDArray[np.bool_]) -> Any:
        """Return the marked levels as a constraint writes them: JSON types, or the word for a gap."""
        marked = np.flatnonzero(which)
        return self.levels[marked[0]] if self.gap else [plain(self.levels[i]) for i in marked]


def code(column: Column, cells: pl.Series, subjects: pl.Series, floor: int) -> Coded | None:
    """Return the column as codes, or None where it has too many levels to say anything about them."""
    present = cells.drop_nulls().unique().sort()
    limit = MAX_LEVELS if column.is_numeric else max(MAX_LEVELS, min(_MANY_LEVELS, len(cells) // _ROWS_PER_LEVEL))
    if not 1 < len(present) <= limit:
        return None
    codes = cells.rank("dense").cast(pl.Int64).fill_null(len(present) + 1).to_numpy() - 1
    held = _held(codes, subjects, len(present))
    numbers = as_numbers(present) if column.is_numeric else np.zeros(1)
    whole = bool((numbers == np.rint(numbers)).all())
    return Coded(column, codes, tuple(present), held, held >= floor, floor, whole=whole)


def code_gap(column: Column, cells: pl.Series, subjects: pl.Series, floor: int) -> Coded | None:
    """Return whether the column is missing as codes, or None where it always or never is."""
    if cells.null_count() in {0, len(cells)}:
        return None
    codes = cells.is_not_null().cast(pl.Int64).to_numpy()
    held = _held(codes, subjects, 2)
    return Coded(column, codes, ("missing", "present"), held, held >= floor, floor, gap=True)


def code_spike(column: Column, cells: pl.Series, subjects: pl.Series, floor: int) -> Coded | None:
    """Return whether a number of many values has its one outstanding value as codes, or None where it has none.

    The spike is level 0; all other values are level 1, which stands for no single value and is never named.
    """
    counts = cells.drop_nulls().value_counts(sort=True).sort(["count", column.name], descending=[True, False])
    if counts.height <= _SPIKE_LEVELS:
        return None
    most, second = int(counts["count"][0]), int(counts["count"][1])
    if most < _SPIKE_SHARE * len(cells) or most < _SPIKE_HEIGHT * second:
        return None
    spike = counts[column.name][0]
    codes = (cells != spike).cast(pl.Int64).fill_null(2).to_numpy()
    held = _held(codes, subjects, 2)
    return Coded(column, codes, (spike, None), held, np.array([held[0] >= floor, False]), floor, spike=True)


def count(a: Coded, b: Coded) -> NDArray[np.int64]:
    """Count rows by level, missing last: shape (levels of a + 1, levels of b + 1)."""
    size = (a.n + 1) * (b.n + 1)
    return np.bincount(a.codes * (b.n + 1) + b.codes, minlength=size).reshape(a.n + 1, b.n + 1)


def _held(codes: NDArray[np.int64], subjects: pl.Series, n: int) -> NDArray[np.int64]:
    pairs = pl.DataFrame({"code": codes, "subject": subjects}).unique()
    return np.bincount(pairs["code"].to_numpy(), minlength=n + 1)[:n]
