"""Do columns go together as in the real rows? Strength of association and contingency, pair by pair.

Strength: Spearman's rank correlation for two numbers, the bias-corrected Cramer's V for two categories, the
bias-corrected correlation ratio of ranks for a mixed pair (strengths.py). `pairs` bins every number in tenths and
compares the whole contingency table, missing cells as a level (contingencies.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fidelity.contingencies import BINS, tables
from ehrsatz.evaluation.fidelity.strengths import MAX_COLUMNS, MAX_ROWS, Grids, strengths
from ehrsatz.evaluation.intervals import jackknife_interval
from ehrsatz.evaluation.space import Comparison

MAPPED = 40  # columns of a difference map
LISTED = 10  # pairs named in the details, the worst first


class Association(Metric):
    """Mean difference of strength of association. Identical data 0, at most 2, less is better."""

    name = "association"
    title = "Columns going together"
    family = "fidelity"
    theme = "Pairs of columns"
    goal = "minimise"
    low, high, ideal = 0.0, 2.0, 0.0
    needs = frozenset({"rows"})
    what = (
        "The strength with which two columns go together, by the measure that fits their kinds, compared pair by pair."
    )
    blind = "Relations that no rank or level shows, such as U-shapes; relations of three and more columns."
    reference = "Bergsma 2013, doi:10.1016/j.jkss.2012.10.002; Kelley 1935, doi:10.1073/pnas.21.9.554"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = [strengths(comparison, view, seed) for view in comparison.joint if len(view.features) > 1]
        return gap_score(
            self,
            found,
            nothing="Not measured: no two columns vary together in rows where both are present.",
            meaning="The strength with which two columns go together is off by {value:.3f} on average, on a scale "
            "where 0 is no association and 1 a perfect one.",
        )


class Pairs(Metric):
    """Mean overlap of the contingency tables of pairs of columns. Identical data 1, unrelated 0, more is better."""

    name = "pairs"
    title = "Pairs of columns"
    family = "fidelity"
    theme = "Pairs of columns"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})
    what = "How much the contingency tables of two columns overlap, numbers in tenths, averaged over all pairs."
    blind = "Differences within a tenth of a number; relations of three and more columns."
    reference = "Gibbs & Su 2002, doi:10.1111/j.1751-5823.2002.tb00178.x"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        views = [view for view in comparison.joint if len(view.features) > 1]
        if not views:
            raise Unmeasured("Not measured: no table has two columns to compare.")
        found = {view.name: tables(comparison, view, seed)[0] for view in views}
        worst = min(views, key=lambda view: float(found[view.name].value.mean()))
        one = found[worst.name]
        value = float(one.value.mean())
        order = np.argsort(one.value, kind="stable")[:LISTED].tolist()
        n = min(MAX_ROWS, worst.samples["synthetic"].n)
        return Score(
            self.name,
            value,
            jackknife_interval(value, one.without_real, one.without_synthetic),
            float(one.reference.mean()),
            n,
            {"pairs": len(one.value), "bins": BINS, "most_columns": MAX_COLUMNS, "rows": n, "table": worst.name},
            meaning=f"Taken two by two, the columns agree with real ones to {100 * value:.1f} % on average.",
            details={"worst": [{"columns": list(one.names[i]), "similarity": float(one.value[i])} for i in order]},
            baseline=float(one.alone.mean()),
        )


def gap_score(metric: Metric, found: list[Grids], *, nothing: str, meaning: str) -> Score:
    """Return the mean gap of strengths between holdout and synthetic, in the table where it is largest.

    The baseline is the gap of columns that go together in no way: the mean strength in the holdout itself.

    Parameters
    ----------
    metric
        Whose score it is.
    found
        Strengths of the pairs of each table.
    nothing
        Said when no pair is defined in both.
    meaning
        Sentence with places for {value}, {pairs}, and {first} and {second}, the two columns that differ most.

    Raises
    ------
    Unmeasured
        When no pair is defined in both.
    """
    usable = [one for one in found if np.isfinite(one.gap("holdout", "synthetic")).any()]
    if not usable:
        raise Unmeasured(nothing)
    worst = max(usable, key=lambda one: float(np.nanmean(one.gap("holdout", "synthetic"))))
    gap, reference = worst.gap("holdout", "synthetic"), worst.gap("train", "holdout")
    value = float(np.nanmean(gap))
    i, j = worst.pairs()
    real = worst.of["holdout"][-1, i, j]
    listed = _worst_pairs(worst)
    first, second = listed[0]["columns"]
    n = min(MAX_ROWS, worst.view.samples["synthetic"].n)
    pairs = int(np.isfinite(gap).sum())
    return Score(
        metric.name,
        value,
        jackknife_interval(value, *(worst.without(key) for key in ("holdout", "synthetic")), high=metric.high),
        float(np.nanmean(reference)) if np.isfinite(reference).any() else None,
        n,
        {"pairs": pairs, "most_columns": MAX_COLUMNS, "rows": n, "table": worst.view.name},
        meaning=meaning.format(value=value, first=first, second=second, pairs=pairs),
        details={
            "tables": {one.view.name: float(np.nanmean(one.gap("holdout", "synthetic"))) for one in usable},
            "worst": listed,
            "maps": [difference_map(one) for one in usable],
        },
        baseline=float(np.abs(real[np.isfinite(gap)]).mean()),
    )


def _worst_pairs(one: Grids) -> list[dict[str, Any]]:
    gap = one.gap("holdout", "synthetic")
    i, j = one.pairs()
    order = np.argsort(np.where(np.isfinite(gap), -gap, np.inf), kind="stable")[:LISTED]
    return [
        {
            "columns": [one.down[i[k]].name, one.across[j[k]].name],
            "real": float(one.of["holdout"][-1, i[k], j[k]]),
            "synthetic": float(one.of["synthetic"][-1, i[k], j[k]]),
            "gap": float(gap[k]),
        }
        for k in order.tolist()
        if np.isfinite(gap[k])
    ]


def difference_map(one: Grids) -> dict[str, Any]:
    """Return strengths for a map, real and synthetic, of at most 40 columns: those that differ most, in their order."""
    gap = np.abs(one.of["holdout"][-1] - one.of["synthetic"][-1])
    known = np.isfinite(gap)

    def most(axis: int) -> list[int]:
        mean = np.where(known, gap, 0).sum(axis=axis) / np.maximum(known.sum(axis=axis), 1)
        return sorted(np.argsort(-mean, kind="stable")[:MAPPED].tolist())

    down, across = most(1), most(0)

    def cells(key: str) -> list[list[float | None]]:
        grid = one.of[key][-1][np.ix_(down, across)]
        return [[None if np.isnan(x) else round(float(x), 3) for x in line] for line in grid]

    out: dict[str, Any] = {"table": one.view.name, "columns": [one.across[j].name for j in across]}
    if not one.is_symmetric:
        out["rows"] = [one.down[i].name for i in down]
    return out | {"real": cells("holdout"), "synthetic": cells("synthetic")}
