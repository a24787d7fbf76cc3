"""What every measure of single columns shares: one tally per column, and the way from columns to a score.

A tally counts the present cells of a column value by value in all three datasets; missing cells are compared in
missingness.py. A measure is a function of two tallies that also gives its slopes: how much the value moves per unit
of share that is added at each value. From the slopes comes the interval, a delete-a-group jackknife by subject that is
linearised (the infinitesimal jackknife of Efron), which costs one pass over the rows. It tells how far the value would
move with other rows of the same number. Distances are never below zero, so few rows alone make them larger, in the
value and in the reference alike: a value is read beside its reference.

References: Efron, The Jackknife, the Bootstrap and Other Resampling Plans, SIAM 1982, chapter 6,
doi:10.1137/1.9781611970319; Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
Statistics 6(2), 1979, 65-70.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import deal, jackknife_interval
from ehrsatz.evaluation.space import Comparison, Feature, View

LISTED = 100  # columns named in the details, the worst first
LEVEL = 0.05  # of the tests, after Holm's correction over columns

Counts = NDArray[np.float64]  # (V,): present cells at each value


@dataclass(frozen=True)
class Tally:
    """One column counted in three datasets.

    Parameters
    ----------
    view, feature
        Where the column stands.
    values
        (V,) the numbers in ascending order; for a category the codes 1..K + 1.
    place
        Per dataset, for each row the position of its value in `values`, -1 where missing: (R,).
    counts
        Per dataset, cells at each value: (V,).
    sizes
        Per dataset, present cells in each jackknife group: (G,).
    subjects
        Per dataset, subjects with a present cell.
    """

    view: View
    feature: Feature
    values: NDArray[np.float64]
    place: dict[str, NDArray[np.int32]]
    counts: dict[str, Counts]
    sizes: dict[str, NDArray[np.float64]]
    subjects: dict[str, int]

    def n(self, key: str) -> int:
        """Present cells of a dataset."""
        return int(self.sizes[key].sum())


@dataclass(frozen=True)
class Measure:
    """One measure of one column.

    value
        On the metric's scale.
    slope_a, slope_b
        (V,) change of the value per unit of share added at each value, in the first and in the second dataset.
    statistic
        Of the test, where there is one.
    extra
        What the details show beside it.
    """

    value: float
    slope_a: Counts
    slope_b: Counts
    statistic: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def parts(comparison: Comparison, view: View, seed: int) -> dict[str, NDArray[np.int64]]:
    """Return the jackknife group of each row of each dataset: whole subjects, dealt once for all measures."""

    def make() -> dict[str, NDArray[np.int64]]:
        return {key: deal(s.group, view.rng(seed, "jackknife", key)) for key, s in view.samples.items()}

    out: dict[str, NDArray[np.int64]] = comparison.once(("parts", view.name, seed), make)
    return out


def tallies(comparison: Comparison, seed: int) -> list[Tally]:
    """Return the tally of every column of every view, each column once, counted once for all measures."""

    def make() -> list[Tally]:
        out = []
        for view in comparison.views:
            dealt = parts(comparison, view, seed)
            repeats = {key: sample.is_grouped for key, sample in view.samples.items()}
            out += [_tally(view, one, dealt, repeats) for one in view.features if one.own]
        return out

    out: list[Tally] = comparison.once(("tallies", seed), make)
    return out


def _tally(view: View, feature: Feature, dealt: dict[str, NDArray[np.int64]], repeats: dict[str, bool]) -> Tally:
    if feature.is_number:
        raw = {key: np.ascontiguousarray(s.raw[:, feature.slot]) for key, s in view.samples.items()}
        values, place = _placed(raw)
    else:
        values = np.arange(1.0, len(feature.levels) + 2)
        place = {key: s.codes[:, feature.slot] - np.int32(1) for key, s in view.samples.items()}
    there = {key: one >= 0 for key, one in place.items()}
    counts, sizes, subjects = {}, {}, {}
    for key, one in place.items():
        whole = bool(there[key].all())
        counts[key] = np.bincount(one if whole else one[there[key]], minlength=len(values)).astype(np.float64)
        group = dealt[key] if whole else dealt[key][there[key]]
        sizes[key] = np.bincount(group, minlength=int(dealt[key].max(initial=0)) + 1).astype(np.float64)
        held = view.samples[key].group[there[key]] if repeats[key] else None
        subjects[key] = int(counts[key].sum()) if held is None else int((np.bincount(held) > 0).sum())
    return Tally(view, feature, values, place, counts, sizes, subjects)


def _placed(raw: dict[str, NDArray[np.float64]]) -> tuple[NDArray[np.float64], dict[str, NDArray[np.int32]]]:
    """Return the distinct numbers in order, and where each row's stands among them, -1 for a missing one."""
    pool = np.concatenate(list(raw.values()))
    order = np.argsort(pool)  # missing ones (NaN) go last
    ordered = pool[order]
    n = int(np.searchsorted(ordered, np.inf, "right"))
    first = np.ones(n, bool)
    np.not_equal(ordered[1:n], ordered[: max(n - 1, 0)], out=first[1:])
    place = np.full(len(pool), -1, np.int32)
    place[order[:n]] = np.cumsum(first, dtype=np.int32) - np.int32(1)
    ends = np.cumsum([len(x) for x in raw.values()])
    return ordered[:n][first], dict(zip(raw, np.split(place, ends[:-1])))


def without(tally: Tally, key: str, slope: Counts, dealt: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return by how much a value moves when each jackknife group of one dataset is left out, to first order: (G,)."""
    size, n = tally.sizes[key], tally.sizes[key].sum()
    if n <= 0:
        return np.zeros(len(size))
    centre = float(tally.counts[key] @ slope) / n
    padded = np.append(slope, 0.0)  # a missing cell stands at -1
    held = np.bincount(dealt, padded[tally.place[key]], minlength=len(size))
    return np.asarray((size * centre - held) / np.maximum(n - size, 1.0))


def holm(p: list[float | None]) -> list[float | None]:
    """Return Holm's adjusted p-values in the same order; what is None stays so.

    Examples
    --------
    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    known = sorted((one, i) for i, one in enumerate(p) if one is not None)
    out: list[float | None] = [None] * len(p)
    top = 0.0
    for rank, (one, i) in enumerate(known):
        top = max(top, min(1.0, (len(known) - rank) * one))
        out[i] = top
    return out


class ColumnMetric(Metric):
    """Mean over columns of a measure that compares one column of the holdout with the synthetic one.

    A subclass says which columns it reads (`reads`), what a column scores that only one of the two datasets has values
    in (`absent`; None leaves it out), and `_measure`. `tested` metrics have a statistic and a p-value. P-values take
    rows as independent; where a subject has several rows, subjects are counted in place of rows, which is cautious.
    """

    family = "fidelity"
    theme = "Single columns"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    reads: ClassVar[Literal["numbers", "categories", "all"]] = "all"
    absent: ClassVar[float | None] = 1.0
    tested: ClassVar[bool] = False

    @abstractmethod
    def _measure(self, tally: Tally, a: str, b: str) -> Measure | None: ...

    def _p(self, found: list[tuple[Tally, Measure | None]]) -> list[float | None]:
        """Return the p-value of each column, None where there is no test."""
        return [None] * len(found)

    def _settings(self) -> dict[str, Any]:
        return {}

    @abstractmethod
    def _sentence(self, value: float, worst: str, n: int) -> str: ...

    def _columns(self, comparison: Comparison, seed: int) -> list[Tally]:
        kind = {"numbers": "number", "categories": "category", "all": "column"}[self.reads]
        chosen = [
            one
            for one in tallies(comparison, seed)
            if self.reads == "all" or one.feature.is_number == (self.reads == "numbers")
        ]
        if not chosen:
            raise Unmeasured(f"Not measured: no {kind} column can be compared.")
        held = [one for one in chosen if one.n("holdout") or one.n("synthetic")]
        if not held:
            raise Unmeasured(f"Not measured: every {kind} column is empty, in the real and in the synthetic rows.")
        return held

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        columns = self._columns(comparison, seed)
        found = [(one, self._pair(one, "holdout", "synthetic")) for one in columns]
        values = [self.absent if one is None else one.value for _, one in found]
        left_out = sum(value is None for value in values)
        if left_out == len(found):
            raise Unmeasured("Not measured: no column has values in the real rows and in the synthetic ones.")
        value = float(np.mean([one for one in values if one is not None]))
        references = [None if (pair := self._pair(one, "train", "holdout")) is None else pair.value for one in columns]
        known = [one for one in references if one is not None]
        p = self._p(found)
        adjusted = holm(p)
        far = [-1.0 if one is None else one for one in values]
        order = sorted(range(len(found)), key=lambda i: (-far[i], i))
        worst = found[order[0]][0].feature.name
        beyond = sum(one is not None and one < LEVEL for one in adjusted)
        sentence = self._sentence(value, worst, len(found) - left_out)
        if self.tested and any(one is not None for one in p):
            tests = sum(one is not None for one in p)
            sentence += f" In {beyond:,} of {tests:,} columns the difference is larger than chance alone would make it."
        params: dict[str, Any] = {"columns": len(found) - left_out, **self._settings()}
        if left_out:
            params["columns_with_values_on_one_side_only"] = left_out
        if self.tested:
            grouped = any(one.view.samples[key].is_grouped for one in columns[:1] for key in ("holdout", "synthetic"))
            params["tests"] = "Holm over columns, " + ("subjects counted in place of rows" if grouped else "by row")
        return Score(
            self.name,
            value,
            self._interval(comparison, found, value, seed),
            float(np.mean(known)) if known else None,
            comparison.views[0].samples["synthetic"].n,
            params,
            meaning=sentence,
            details={
                "worst": worst,
                **({"beyond_chance": beyond} if self.tested else {}),
                "columns": [self._line(found[i], values[i], references[i], p[i], adjusted[i]) for i in order[:LISTED]],
            },
        )

    def _pair(self, tally: Tally, a: str, b: str) -> Measure | None:
        return self._measure(tally, a, b) if tally.n(a) and tally.n(b) else None

    def _line(
        self,
        one: tuple[Tally, Measure | None],
        value: float | None,
        reference: float | None,
        p: float | None,
        adjusted: float | None,
    ) -> dict[str, Any]:
        tally, measure = one
        line: dict[str, Any] = {
            "column": tally.feature.name,
            "table": tally.feature.table,
            "kind": tally.feature.kind,
            "value": value,
            "reference": reference,
        }
        if self.tested:
            statistic = None if measure is None else measure.statistic
            line |= {"statistic": statistic, "p": p, "p_holm": adjusted}
        return line | ({} if measure is None else measure.extra)

    def _interval(
        self, comparison: Comparison, found: list[tuple[Tally, Measure | None]], value: float, seed: int
    ) -> tuple[float, float] | None:
        used = max(1, sum(one is not None or self.absent is not None for _, one in found))
        moved: dict[tuple[str, str], NDArray[np.float64]] = {}
        for tally, measure in found:
            if measure is None:
                continue
            dealt = parts(comparison, tally.view, seed)
            for key, slope in (("holdout", measure.slope_a), ("synthetic", measure.slope_b)):
                place = (tally.view.name, key)
                step = without(tally, key, slope, dealt[key])
                moved[place] = moved[place] + step if place in moved else step
        if not moved:
            return None
        arrays = [value + one / used for one in moved.values()]
        return jackknife_interval(value, *arrays, low=self.low, high=self.high)
