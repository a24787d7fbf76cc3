"""Does each column look like the real one? Margins, mean and worst, and the pictures of them.

Numbers and dates: one minus the Kolmogorov-Smirnov distance; categories: one minus the total variation distance; both
on present cells (missing cells are compared in missingness.py). 1 for identical data, 0 for data that share no value.

References: Massey, The Kolmogorov-Smirnov test for goodness of fit, JASA 1951, doi:10.1080/01621459.1951.10500769.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import deal, jackknife_interval
from ehrsatz.evaluation.pictures import picture
from ehrsatz.evaluation.space import Comparison, Feature, Sample, View


@dataclass(frozen=True)
class Margin:
    """How alike one column is: the similarity, and what it becomes without each jackknife group of either sample."""

    view: View
    feature: Feature
    value: float
    reference: float | None
    without_real: NDArray[np.float64]
    without_synthetic: NDArray[np.float64]


class Margins(Metric):
    """Mean similarity of single columns. Identical data 1, unrelated data near 0, more is better."""

    name = "margins"
    title = "Single columns"
    family = "fidelity"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = margins(comparison, seed)
        value = float(np.mean([one.value for one in found]))
        real, synthetic = _mean_without(found)
        references = [one.reference for one in found if one.reference is not None]
        return Score(
            self.name,
            value,
            jackknife_interval(value, real, synthetic),
            float(np.mean(references)) if references else None,
            comparison.views[0].samples["synthetic"].n,
            {"numbers": "1 - Kolmogorov-Smirnov", "categories": "1 - total variation", "columns": len(found)},
            meaning=f"Taken one by one, the columns agree with real ones to {100 * value:.1f} % on average.",
            details={
                "columns": [
                    {
                        "column": one.feature.name,
                        "table": one.feature.table,
                        "kind": one.feature.kind,
                        "similarity": one.value,
                        "reference": one.reference,
                        "picture": picture(one.view, one.feature),
                    }
                    for one in found
                ]
            },
        )


class WorstMargin(Metric):
    """Similarity of the least similar column. Identical data 1, unrelated data near 0, more is better."""

    name = "worst_margin"
    title = "Worst single column"
    family = "fidelity"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = margins(comparison, seed)
        worst = min(found, key=lambda one: one.value)
        references = [one.reference for one in found if one.reference is not None]
        return Score(
            self.name,
            worst.value,
            jackknife_interval(worst.value, worst.without_real, worst.without_synthetic),
            min(references) if references else None,
            worst.view.samples["synthetic"].n,
            {"columns": len(found)},
            meaning=f"The column that agrees least, '{worst.feature.name}', agrees to {100 * worst.value:.1f} %.",
            details={"column": worst.feature.name, "table": worst.feature.table},
        )


def margins(comparison: Comparison, seed: int) -> list[Margin]:
    """Return the similarity of every column that has a present cell in the holdout or the synthetic rows.

    Raises
    ------
    Unmeasured
        When no column has.
    """

    def make() -> list[Margin]:
        found = []
        for view in comparison.views:
            parts = {key: deal(s.group, view.rng(seed, "jackknife", key)) for key, s in view.samples.items()}
            for feature in view.features:
                if feature.own and (one := _margin(view, feature, parts)) is not None:
                    found.append(one)
        return found

    found: list[Margin] = comparison.once(("margins", seed), make)
    if not found:
        raise Unmeasured("Not measured: every column is empty, in the real and in the synthetic rows.")
    return found


def _margin(view: View, feature: Feature, parts: dict[str, NDArray[np.int64]]) -> Margin | None:
    tables = _tally(view, feature, parts)
    real, train, synthetic = tables["holdout"], tables["train"], tables["synthetic"]
    n_real, n_synthetic = real.sum(), synthetic.sum()
    if n_real == 0 and n_synthetic == 0:
        return None
    like = _ks if feature.is_number else _tv
    whole_real, whole_synthetic = real.sum(axis=1, keepdims=True), synthetic.sum(axis=1, keepdims=True)
    return Margin(
        view,
        feature,
        float(like(whole_real, whole_synthetic)[0]),
        float(like(train.sum(axis=1, keepdims=True), whole_real)[0]) if n_real and train.sum() else None,
        like(whole_real - real, whole_synthetic),
        like(whole_real, whole_synthetic - synthetic),
    )


def _tally(view: View, feature: Feature, parts: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.float64]]:
    """Count present cells by value (rows, in order) and jackknife group (columns), over one list of values."""
    cells: dict[str, NDArray[np.int64]] = {}
    present: dict[str, NDArray[np.bool_]] = {}
    if feature.is_number:
        raw = {key: s.raw[:, feature.slot] for key, s in view.samples.items()}
        present = {key: ~np.isnan(x) for key, x in raw.items()}
        values = np.unique(np.concatenate([x[present[key]] for key, x in raw.items()]))
        cells = {key: np.searchsorted(values, x[present[key]]) for key, x in raw.items()}
        size = len(values)
    else:
        codes = {key: s.codes[:, feature.slot] for key, s in view.samples.items()}
        present = {key: c > 0 for key, c in codes.items()}
        cells = {key: c[present[key]].astype(np.int64) - 1 for key, c in codes.items()}
        size = len(feature.levels) + 1
    out = {}
    for key, index in cells.items():
        n_groups = int(parts[key].max(initial=0)) + 1
        flat = np.bincount(index * n_groups + parts[key][present[key]], minlength=size * n_groups)
        out[key] = flat.reshape(size, n_groups).astype(np.float64)
    return out


def _ks(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 - KS for each pair of columns of counts (V, G); 0 where one of them counts nothing."""
    gap = np.abs(_shares(np.cumsum(a, axis=0), a.sum(axis=0)) - _shares(np.cumsum(b, axis=0), b.sum(axis=0)))
    return np.where((a.sum(axis=0) > 0) & (b.sum(axis=0) > 0), 1 - gap.max(axis=0, initial=0.0), 0.0)


def _tv(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 - total variation for each pair of columns of counts (V, G); 0 where one of them counts nothing."""
    gap = 0.5 * np.abs(_shares(a, a.sum(axis=0)) - _shares(b, b.sum(axis=0))).sum(axis=0)
    return np.where((a.sum(axis=0) > 0) & (b.sum(axis=0) > 0), 1 - gap, 0.0)


def _shares(a: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    return a / np.maximum(total, 1.0)


def _mean_without(found: list[Margin]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean similarity without each group; samples of several tables differ in size, so the fewest count."""
    n_real = min(len(one.without_real) for one in found)
    n_synthetic = min(len(one.without_synthetic) for one in found)
    return (
        np.mean([one.without_real[:n_real] for one in found], axis=0),
        np.mean([one.without_synthetic[:n_synthetic] for one in found], axis=0),
    )


def has_missing(sample: Sample, feature: Feature) -> NDArray[np.bool_]:
    """Say which rows have no value in this column."""
    if feature.is_number:
        return np.isnan(sample.raw[:, feature.slot])
    return sample.codes[:, feature.slot] == 0
