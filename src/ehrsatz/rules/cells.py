"""Cells as numbers and levels: what checking, proposing and repairing share.

Dates count as days since 1970-01-01, so that a length of stay is the difference of two dates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.dataset import bound
from ehrsatz.schema import Column, Table, dtype_of

_DAY_US = 86_400_000_000
MAX_LEVELS = 60  # columns with more distinct values are no levels
_KNOTS = 20


def as_numbers(cells: pl.Series) -> NDArray[np.float64]:
    """Return cells as float64, missing as NaN, dates as days."""
    if cells.dtype == pl.Date:
        return cells.to_physical().cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if cells.dtype == pl.Datetime("us"):
        return (cells.to_physical().cast(pl.Float64) / _DAY_US).fill_null(float("nan")).to_numpy()
    return cells.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def from_numbers(values: NDArray[np.float64], column: Column, decimals: int | None = None) -> pl.Series:
    """Return numbers as cells of a column, inside its bounds, NaN as missing; the inverse of `as_numbers`."""
    absent = ~np.isfinite(values)
    clean = np.where(absent, 0.0, values)
    if column.kind == "number":
        out = pl.Series(column.name, clean if decimals is None else np.round(clean, decimals))
    elif column.kind == "datetime":
        out = pl.Series(column.name, np.rint(clean * _DAY_US).astype(np.int64)).cast(pl.Datetime("us"))
    else:
        whole = np.rint(np.clip(clean, -(2.0**62), 2.0**62)).astype(np.int64)
        out = pl.Series(column.name, whole)
        out = out.cast(pl.Int32).cast(pl.Date) if column.kind == "date" else out.cast(dtype_of(column.kind))
    low, high = bound(column, "minimum"), bound(column, "maximum")
    if low is not None or high is not None:
        out = out.clip(low, high)
    return out.set(pl.Series(absent), None) if absent.any() else out


def step_of(column: Column, decimals: int | None) -> float:
    """Return the smallest step between two different cells of a column, in the unit of `as_numbers`."""
    if column.kind in {"integer", "date"}:
        return 1.0
    if column.kind == "datetime":
        return 1.0 / 86_400  # a second
    return 10.0 ** -(6 if decimals is None else decimals)


def decimals_of(values: NDArray[np.float64], most: int = 10) -> int | None:
    """Return the number of decimals that all values have at most, or None beyond `most`."""
    clean = values[np.isfinite(values)]
    scale = np.maximum(1.0, np.abs(clean))
    for decimals in range(most + 1):
        if (np.abs(clean - np.round(clean, decimals)) <= 1e-12 * scale).all():
            return decimals
    return None


def plain(value: Any) -> Any:
    """Return a cell as a JSON type."""
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def typed(levels: Sequence[Any], column: Column) -> list[Any]:
    """Return levels as written in a schema file as cells of the column, None as None.

    Raises
    ------
    ValueError
        When a level cannot be read as the column's kind.
    """
    return [None if level is None else _typed(level, column.kind) for level in levels]


def _typed(level: Any, kind: str) -> Any:
    text = str(level)
    if kind == "boolean":
        if text.lower() in {"true", "1", "1.0"}:
            return True
        if text.lower() in {"false", "0", "0.0"}:
            return False
        raise ValueError
    if kind == "integer":
        number = float(text)
        if number != int(number):
            raise ValueError
        return int(number)
    if kind == "number":
        return float(text)
    if kind == "date":
        return date.fromisoformat(text[:10])
    if kind == "datetime":
        return datetime.fromisoformat(text)
    if isinstance(level, bool):
        raise ValueError  # an unquoted No or Yes in YAML
    return text


def structural(table: Table) -> tuple[str, ...]:
    """Return the columns of a table that number rows: of role subject, key and link."""
    linked = {link.column for link in table.links}
    return tuple(
        column.name for column in table.columns if column.role in {"subject", "key", "link"} or column.name in linked
    )


def put(cells: pl.Series, rows: NDArray[np.bool_], values: pl.Series) -> pl.Series:
    """Return cells with those of the marked rows replaced by `values`, one per marked row."""
    if not rows.any():
        return cells
    spread = values.cast(cells.dtype).gather(np.maximum(np.cumsum(rows) - 1, 0))
    return cells.zip_with(pl.Series(~rows), spread).alias(cells.name)


@dataclass(frozen=True)
class Fill:
    """The distribution of one column, rough and public: to draw a cell that a constraint asks for.

    Levels are held by at least MIN_SUBJECTS subjects; knots are means of groups of at least as many.
    """

    levels: tuple[Any, ...] = ()
    weights: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()
    decimals: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "levels": [plain(level) for level in self.levels],
            "weights": list(self.weights),
            "knots": list(self.knots),
            "decimals": self.decimals,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], column: Column) -> Fill:
        """Read what `to_dict` writes."""
        levels = tuple(typed(data["levels"], column))
        return cls(levels, tuple(data["weights"]), tuple(data["knots"]), data["decimals"])

    @classmethod
    def learn(cls, column: Column, cells: pl.Series, subjects: pl.Series, *, floor: int) -> Fill:
        """Learn from cells and whose row each is; levels and knots stand for at least `floor` subjects."""
        frame = pl.DataFrame({"cell": cells, "subject": subjects}).drop_nulls("cell")
        numeric = column.is_numeric
        decimals = decimals_of(as_numbers(frame["cell"])) if column.kind == "number" else 0
        few = not numeric or frame["cell"].n_unique() <= MAX_LEVELS
        if few:
            held = frame.group_by("cell").agg(pl.col("subject").n_unique().alias("k"), pl.len().alias("n"))
            public = held.filter(pl.col("k") >= floor).sort("cell")
            if public["n"].sum() >= 0.5 * frame.height and public.height:
                shares = public["n"] / public["n"].sum()
                return cls(tuple(public["cell"]), tuple(shares.round(4).to_list()), (), decimals)
        if not numeric or frame["subject"].n_unique() < 2 * floor:
            return cls((), (), (), decimals)
        values = np.sort(as_numbers(frame.unique("subject", keep="first", maintain_order=True)["cell"]))
        groups = np.array_split(values, min(_KNOTS, max(1, len(values) // floor)))
        knots = from_numbers(np.array([group.mean() for group in groups]), column, decimals)
        return cls((), (), tuple(as_numbers(knots).tolist()), decimals)

    def draw(self, column: Column, uniform: NDArray[np.float64], among: Sequence[Any] | None = None) -> pl.Series:
        """Draw one cell per uniform number, among these levels where they are given; missing where nothing is known."""
        levels, weights = list(self.levels), list(self.weights)
        if among is not None or (not levels and column.values):
            allowed = list(among) if among is not None else typed(column.values or (), column)
            known = dict(zip(levels, weights))
            weights = [known.get(level, 0.0) for level in allowed]
            levels = allowed
        if levels:
            share = np.array(weights) if sum(weights) > 0 else np.ones(len(levels))
            choice = np.searchsorted(np.cumsum(share) / share.sum(), uniform, side="right")
            cells = pl.Series(column.name, levels, dtype=dtype_of(column.kind))
            return cells.gather(np.minimum(choice, len(levels) - 1))
        if column.kind == "boolean":
            return pl.Series(column.name, uniform < 0.5)
        if column.is_numeric:
            knots = self.knots or self._between_bounds(column)
            if knots:
                values = np.interp(uniform, np.linspace(0, 1, len(knots)), knots)
                return from_numbers(values, column, self.decimals)
        return pl.Series(column.name, [None] * len(uniform), dtype=dtype_of(column.kind))

    @staticmethod
    def _between_bounds(column: Column) -> tuple[float, ...]:
        ends = pl.Series("end", [bound(column, "minimum"), bound(column, "maximum")], dtype=dtype_of(column.kind))
        return tuple(as_numbers(ends.drop_nulls()).tolist())
