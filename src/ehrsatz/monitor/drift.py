"""What moved between two releases: columns by the population stability index, scores beyond what chance explains.

References: Siddiqi, Credit Risk Scorecards, Wiley, 2006 (index below 0.1: stable, above 0.25: shifted); Yurdakul &
Naranjo, Statistical properties of the population stability index, Journal of Risk Model Validation 14(4), 2020,
doi:10.21314/JRMV.2020.227 (under no change the index is about chi-squared with bins - 1 degrees of freedom, times
1/n + 1/m).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.base import Score

STABLE, SHIFTED = 0.1, 0.25
BINS = 10
CHANCE = 0.999  # of the index under no change; a table of a hundred columns then raises one false alarm in ten


@dataclass(frozen=True)
class Moved:
    """One column in two releases: the index, what chance alone reaches, and the word for it."""

    column: str
    psi: float
    by_chance: float

    @property
    def state(self) -> str:
        """stable, moved (above 0.1) or shifted (above 0.25), as long as chance does not explain it."""
        if self.psi < STABLE or self.psi <= self.by_chance:
            return "stable"
        return "shifted" if self.psi >= SHIFTED else "moved"


@dataclass(frozen=True)
class Changed:
    """One score in two releases.

    `state` is better, worse, same (within what the intervals allow), or unknown where there are no intervals.
    """

    metric: str
    before: float
    after: float
    state: str


def columns(before: Dataset, after: Dataset) -> list[Moved]:
    """Hold the columns of two releases of the same tables against each other, those that moved most first.

    Parameters
    ----------
    before, after
        The earlier and the later release. Columns that only one of them has are left out.
    """
    found = []
    for table in before.schema.tables:
        if table.name not in {one.name for one in after.schema.tables}:
            continue
        names = set(after.schema[table.name].names)
        for column in table.columns:
            if (
                column.name not in names
                or column.kind in {"id", "text"}
                or column.role in {"subject", "key", "link"}
                or column.disclosure == "direct"
                or after.schema[table.name][column.name].kind != column.kind
            ):
                continue
            pair = before.tables[table.name][column.name], after.tables[table.name][column.name]
            found.append(_moved(f"{table.name}.{column.name}", *pair))
    return sorted(found, key=lambda one: (-one.psi, one.column))


def psi(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the population stability index of two histograms; half a row is added to each bin that is empty.

    0 for equal shares; symmetric.

    Examples
    --------
    >>> round(psi(np.array([50.0, 50.0]), np.array([50.0, 50.0])), 6)
    0.0
    """
    used = (a + b) > 0
    a, b = np.maximum(a[used], 0.5), np.maximum(b[used], 0.5)
    p, q = a / a.sum(), b / b.sum()
    return float(((p - q) * np.log(p / q)).sum())


def _moved(name: str, before: pl.Series, after: pl.Series) -> Moved:
    n, m = len(before), len(after)
    if not n or not m:
        return Moved(name, 0.0, 0.0)
    if before.dtype.is_numeric() or before.dtype.is_temporal():
        x, y = (one.to_physical().cast(pl.Float64) for one in (before, after))
        present = x.drop_nulls().to_numpy()
        cuts = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1])) if len(present) else np.empty(0)
        counts = [np.bincount(_place(one, cuts), minlength=len(cuts) + 2) for one in (x, y)]
    else:
        texts = [one.cast(pl.String).fill_null("\x00missing") for one in (before, after)]
        common = texts[0].value_counts(sort=True, name="n").sort(["n", before.name], descending=[True, False])
        levels = common[before.name].head(2 * BINS).to_list()
        place = {level: i for i, level in enumerate(levels)}
        counts = [
            np.bincount([place.get(cell, len(levels)) for cell in one.to_list()], minlength=len(levels) + 1)
            for one in texts
        ]
    a, b = (one.astype(np.float64) for one in counts)
    free = max(1, int(((a + b) > 0).sum()) - 1)
    return Moved(name, psi(a, b), float(stats.chi2.ppf(CHANCE, free)) * (1 / n + 1 / m))


def _place(cells: pl.Series, cuts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number the bin of each cell; the last one is for missing cells."""
    x = cells.fill_null(float("nan")).to_numpy()
    return np.where(np.isnan(x), len(cuts) + 1, np.searchsorted(cuts, x, "right")).astype(np.int64)


def scores(before: Sequence[Score], after: Sequence[Score], about: Mapping[str, Mapping[str, Any]]) -> list[Changed]:
    """Hold the scores of two releases against each other, the worse ones first.

    Parameters
    ----------
    before, after
        Scores of the earlier and the later release.
    about
        Name of a metric -> its goal and ideal value.
    """
    old = {one.metric: one for one in before if one.value is not None}
    found = []
    for one in after:
        was = old.get(one.metric)
        if was is None or one.value is None or was.value is None or one.metric not in about:
            continue
        found.append(Changed(one.metric, was.value, one.value, _state(was, one, about[one.metric])))
    order = {"worse": 0, "better": 1, "unknown": 2, "same": 3}
    return sorted(found, key=lambda one: (order[one.state], one.metric))


def _state(was: Score, now: Score, about: Mapping[str, Any]) -> str:
    assert was.value is not None and now.value is not None
    gap = now.value - was.value
    if was.interval is None or now.interval is None:
        return "same" if abs(gap) < 1e-9 else "unknown"
    reach = np.hypot((was.interval[1] - was.interval[0]) / 2, (now.interval[1] - now.interval[0]) / 2)
    if abs(gap) <= reach:
        return "same"
    goal, ideal = about.get("goal"), float(about.get("ideal", 0.0))
    if goal == "target":
        gap = abs(now.value - ideal) - abs(was.value - ideal)
    return "worse" if (gap < 0) == (goal == "maximise") else "better"
