"""What `ehrsatz inspect` shows of a column: counts and coarse shapes, nothing that fewer than five subjects share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from ehrsatz.dataset import Dataset, subject_key
from ehrsatz.schema import MIN_SUBJECTS, Column
from ehrsatz.sources.bounds import holders, outward

TOP_LEVELS = 5
BINS = 10


@dataclass(frozen=True)
class Summary:
    """One column in numbers that tell about no single subject.

    missing is a share in [0, 1], distinct the number of distinct present cells. `bins` holds (from, to, share) of a
    numeric or dated column: at most ten bins of about equal count, edges rounded, the outer ones as far out as the
    bounds of the schema, each bin holding at least MIN_SUBJECTS subjects. `top` holds (level, share) of the most held
    levels, each held by at least MIN_SUBJECTS subjects.
    """

    table: str
    name: str
    kind: str
    role: str
    disclosure: str
    missing: float
    distinct: int
    bins: tuple[tuple[float | str, float | str, float], ...]
    top: tuple[tuple[str, float], ...]
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as plain JSON types."""
        return asdict(self)


def profile(dataset: Dataset) -> list[Summary]:
    """Summarise every column of every table, in the order of the schema.

    Direct identifiers, keys and links get counts only.
    """
    out = []
    for table in dataset.schema.tables:
        frame = dataset.tables[table.name]
        key = subject_key(dataset.schema, table)
        subjects = frame[key] if key is not None else None
        for column in table.columns:
            cells = frame[column.name]
            hidden = column.disclosure == "direct" or column.role in {"subject", "key", "link"}
            present = cells.drop_nulls()
            out.append(
                Summary(
                    table=table.name,
                    name=column.name,
                    kind=column.kind,
                    role=column.role,
                    disclosure=column.disclosure,
                    missing=round(cells.null_count() / max(1, len(cells)), 4),
                    distinct=present.n_unique() if len(present) else 0,
                    bins=_bins(column, cells, subjects) if column.is_numeric and not hidden else (),
                    top=_top(cells, subjects) if not column.is_numeric and not hidden and column.kind != "text" else (),
                    why=column.why,
                )
            )
    return out


def _bins(
    column: Column, cells: pl.Series, subjects: pl.Series | None
) -> tuple[tuple[float | str, float | str, float], ...]:
    """Return bins of about equal count with rounded edges; neighbours are joined until each holds enough subjects."""
    frame = pl.DataFrame(
        {"cell": cells, "s": subjects if subjects is not None else pl.int_range(len(cells), eager=True)}
    )
    frame = frame.drop_nulls("cell")
    if frame["s"].n_unique() < MIN_SUBJECTS:
        return ()
    dated = column.kind in {"date", "datetime"}
    numbers = frame["cell"].dt.year().cast(pl.Float64) if dated else frame["cell"].cast(pl.Float64)
    values = numbers.to_numpy()
    step = 1.0 if dated else _step(values)
    whole = np.floor(values / step)
    cuts = np.unique(np.floor(np.quantile(whole, np.linspace(0, 1, BINS + 1))))
    place = np.clip(np.searchsorted(cuts, whole, side="right") - 1, 0, max(0, len(cuts) - 2))
    bins: list[tuple[float | str, float | str, float]] = []
    start, rows, who = 0, 0, pl.Series(dtype=frame["s"].dtype)
    last = max(0, len(cuts) - 2)
    for i in range(last + 1):
        mask = pl.Series(place == i)
        rows += int(mask.sum())
        who = pl.concat([who, frame["s"].filter(mask)]).unique()
        rest = frame["s"].filter(pl.Series(place > i)).n_unique()
        if len(who) >= MIN_SUBJECTS and (rest >= MIN_SUBJECTS or i == last):
            low = cuts[start] * step
            high = (cuts[i + 1] if i < last else cuts[-1] + 1) * step
            bins.append((_edge(low, dated), _edge(high, dated), round(rows / len(values), 4)))
            start, rows, who = i + 1, 0, pl.Series(dtype=frame["s"].dtype)
    if bins:  # the outer edges are the coarse bounds, not the extremes
        low, high = outward(column, cells)
        if dated:
            low, high = low[:4], f"{int(high[:4]) + 1:04d}"
        bins[0] = (low, *bins[0][1:])
        bins[-1] = (bins[-1][0], high, bins[-1][2])
    return tuple(bins)


def _step(values: np.ndarray) -> float:
    """A round number, about a hundredth of the middle range."""
    low, high = np.quantile(values, [0.05, 0.95])
    span = float(high - low) or float(values.max() - values.min()) or 1.0
    return float(10.0 ** np.floor(np.log10(span / 20)))


def _edge(value: float, dated: bool) -> float | str:
    return f"{int(value):04d}" if dated else float(f"{value:.10g}")


def _top(cells: pl.Series, subjects: pl.Series | None) -> tuple[tuple[str, float], ...]:
    text = cells.cast(pl.String)
    held = holders(text, subjects).filter(pl.col("n") >= MIN_SUBJECTS).head(TOP_LEVELS)
    n = max(1, len(text) - text.null_count())
    counted = text.value_counts(name="rows").rename({text.name: "level"})
    rows = dict(zip(counted["level"].to_list(), counted["rows"].to_list()))
    return tuple((level, round(rows[level] / n, 4)) for level in held["level"].to_list())
