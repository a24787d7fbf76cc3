"""Does each column look like the real one? Margins, mean and worst, and the pictures of them.

Numbers and dates: one minus the Kolmogorov-Smirnov distance; categories: one minus the total variation distance; both
on present cells (missing cells are compared in missingness.py). 1 for identical data, 0 for data that share no value.
Intervals are linearised jackknives by subject (columns.py).

References: Massey, The Kolmogorov-Smirnov test for goodness of fit, JASA 1951, doi:10.1080/01621459.1951.10500769.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fidelity.columns import Tally, parts, tallies, without
from ehrsatz.evaluation.fidelity.distributions import ks
from ehrsatz.evaluation.fidelity.divergences import total_variation
from ehrsatz.evaluation.intervals import jackknife_interval
from ehrsatz.evaluation.pictures import picture
from ehrsatz.evaluation.space import Comparison, Feature, View


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
    theme = "Single columns"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    what = "1 - Kolmogorov-Smirnov distance (numbers, dates) or 1 - total variation (levels), averaged over columns."
    blind = "How columns go together, and which cells are missing."
    reference = "Massey 1951, doi:10.1080/01621459.1951.10500769"

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
    theme = "Single columns"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    what = "The same similarity of the one column that has the least."
    blind = "The other columns; with many columns the least is low by chance alone."
    reference = "Massey 1951, doi:10.1080/01621459.1951.10500769"

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
        found = [_margin(one, parts(comparison, one.view, seed)) for one in tallies(comparison, seed)]
        return [one for one in found if one is not None]

    found: list[Margin] = comparison.once(("margins", seed), make)
    if not found:
        raise Unmeasured("Not measured: every column is empty, in the real and in the synthetic rows.")
    return found


def _margin(tally: Tally, dealt: dict[str, NDArray[np.int64]]) -> Margin | None:
    if not tally.n("holdout") and not tally.n("synthetic"):
        return None
    distance, slope = _distance(tally, "holdout", "synthetic") or (1.0, np.zeros(len(tally.values)))
    reference = _distance(tally, "train", "holdout")
    return Margin(
        tally.view,
        tally.feature,
        1 - distance,
        None if reference is None else 1 - reference[0],
        1 - distance - without(tally, "holdout", slope, dealt["holdout"]),
        1 - distance + without(tally, "synthetic", slope, dealt["synthetic"]),
    )


def _distance(tally: Tally, a: str, b: str) -> tuple[float, NDArray[np.float64]] | None:
    """Return the distance of a column in two datasets and its slope; None where one of them has no value."""
    if not tally.n(a) or not tally.n(b):
        return None
    return (ks if tally.feature.is_number else total_variation)(tally.counts[a], tally.counts[b])


def _mean_without(found: list[Margin]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean similarity without each group; samples of several tables differ in size, so the fewest count."""
    n_real = min(len(one.without_real) for one in found)
    n_synthetic = min(len(one.without_synthetic) for one in found)
    return (
        np.mean([one.without_real[:n_real] for one in found], axis=0),
        np.mean([one.without_synthetic[:n_synthetic] for one in found], axis=0),
    )
