"""Is the variety of real rows there? Diversity, and rows that are new.

Diversity is the Vendi score: the exponential of the entropy of the eigenvalues of the similarity matrix, the number of
clearly different rows that the sample is worth. It is chosen over the mean distance of two rows because two rows far
apart, repeated a thousand times, have a large mean distance. Rows are equal when every compared column is; levels that
no real row has count as one level.

References: Friedman & Dieng, The Vendi score, TMLR 2023, arXiv:2210.02410.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fidelity.embedding import INDEPENDENT, points, squared_distances
from ehrsatz.evaluation.fidelity.mmd import WIDTH_ROWS, median_distance
from ehrsatz.evaluation.intervals import deal, jackknife_interval, share_interval
from ehrsatz.evaluation.space import Comparison, Sample, View

DIVERSE_ROWS = 500
PARTS = 10  # jackknife groups of the Vendi score


class Diversity(Metric):
    """Effective number of different rows over the real one. Same distribution 1, one row repeated 0, noise above 1."""

    name = "diversity"
    title = "Variety of rows"
    family = "fidelity"
    theme = "Variety"
    goal = "target"
    low, high, ideal = 0.0, float(DIVERSE_ROWS), 1.0
    needs = frozenset({"rows"})
    what = (
        "The effective number of different rows (Vendi score, Gaussian kernel) of at most 500 synthetic rows over that "
        "of as many real ones."
    )
    blind = "Which rows they are: as much variety elsewhere scores 1, and so do copies."
    reference = "Friedman & Dieng 2023, arXiv:2210.02410"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        views = comparison.joint
        found = {view.name: self._ratio(comparison, view, "synthetic", seed) for view in views}
        worst = max(views, key=lambda view: abs(np.log(max(found[view.name][0], 1e-9))))
        value, parts, effective, n = found[worst.name]
        real, _, _, _ = self._ratio(comparison, worst, "train", seed, interval=False)
        nothing, _, _, _ = self._ratio(comparison, worst, INDEPENDENT, seed, interval=False)
        word = "less" if value < 0.95 else "more" if value > 1.05 else "as much"
        return Score(
            self.name,
            value,
            jackknife_interval(value, *parts, high=self.high),
            real,
            n,
            {"kernel": "Gaussian, median distance of real rows", "rows": n, "table": worst.name},
            meaning=f"{n} synthetic rows are worth {effective[1]:.1f} clearly different ones, {n} real rows "
            f"{effective[0]:.1f}: {word} variety{' as' if word == 'as much' else ' than'} in real data.",
            details={
                "effective_rows": {"real": effective[0], "synthetic": effective[1]},
                "tables": {name: one[0] for name, one in found.items()},
            },
            baseline=nothing,
        )

    def _ratio(
        self, comparison: Comparison, view: View, other: str, seed: int, *, interval: bool = True
    ) -> tuple[float, list[NDArray[np.float64]], tuple[float, float], int]:
        a, b = points(comparison, view, "holdout", seed), points(comparison, view, other, seed)
        n = min(DIVERSE_ROWS, a.n, b.n)
        width = comparison.once(("width", view.name, seed), lambda: median_distance(a.x[:WIDTH_ROWS]))
        if width <= 0:
            raise Unmeasured("Not measured: most real rows are equal, so that no distance between rows is typical.")
        a, b = a.first(n), b.first(n)
        real, made = kernel(a.x, width), kernel(b.x, width)
        whole = vendi(real), vendi(made)
        parts: list[NDArray[np.float64]] = []
        if interval:
            for k, (matrix, group) in enumerate(((real, a.group), (made, b.group))):
                part = deal(group, view.rng(seed, "diversity", k), PARTS)
                left = np.array(
                    [vendi(matrix[np.ix_(part != g, part != g)]) for g in np.unique(part) if (part != g).any()]
                )
                parts.append(whole[1] / left if k == 0 else left / whole[0])
        return whole[1] / whole[0], parts, whole, n


class Novelty(Metric):
    """Share of rows that are new. Unrelated rows 1, copies of training rows or one row repeated 0."""

    name = "novelty"
    title = "New rows"
    family = "fidelity"
    theme = "Variety"
    goal = "target"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})
    what = (
        "The share of synthetic rows that equal no training row and no earlier synthetic row in every compared column; "
        "the reference is the same of as many unseen real rows."
    )
    blind = "A copy changed in one digit is new; in tables of few columns real rows repeat too: see the reference."
    tells = frozenset({"copies"})

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        views = comparison.joint
        found = {view.name: self._new(view, "synthetic", seed) for view in views}
        real = {view.name: self._new(view, "holdout", seed) for view in views}
        worst = max(views, key=lambda v: abs(found[v.name][0].mean() - real[v.name][0].mean()))
        hit, copied, group = found[worst.name]
        value, reference = float(hit.mean()), float(real[worst.name][0].mean())
        return Score(
            self.name,
            value,
            share_interval(hit, group, worst.rng(seed, "novelty", "jackknife")),
            reference,
            len(hit),
            {"rows": len(hit), "training_rows": worst.samples["train"].n, "table": worst.name},
            meaning=f"{100 * value:.3g} of 100 synthetic rows are new: neither a training row nor one that came "
            f"before. Of as many unseen real rows it is {100 * reference:.1f}.",
            details={
                "copies_of_training_rows": float(copied.mean()),
                "repeated": float(1 - hit.mean() - copied.mean()),
                "tables": {name: float(one[0].mean()) for name, one in found.items()},
            },
        )

    def _new(
        self, view: View, key: str, seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        n = min(view.samples["holdout"].n, view.samples["synthetic"].n)
        sample = view.samples[key].pick(n, view.rng(seed, "novelty", key))
        train, mine = numbered(view.samples["train"], sample)
        copied = np.isin(mine, train)
        first = np.zeros(sample.n, bool)
        first[np.unique(mine, return_index=True)[1]] = True
        return (first & ~copied).astype(np.float64), copied.astype(np.float64), sample.group


def kernel(x: NDArray[Any], width: float) -> NDArray[np.float64]:
    """Return the Gaussian similarity of all pairs of rows (R, R)."""
    wide = x.astype(np.float64)
    out: NDArray[np.float64] = np.exp(squared_distances(wide, wide) / (-2 * width**2))
    return out


def vendi(similarity: NDArray[np.float64]) -> float:
    """Return the effective number of different rows, from 1 (all equal) to R (all different).

    Parameters
    ----------
    similarity
        (R, R), ones on the diagonal.

    Examples
    --------
    >>> round(vendi(np.eye(4)), 6), round(vendi(np.ones((4, 4))), 6)
    (4.0, 1.0)
    """
    share = np.clip(np.linalg.eigvalsh(similarity / len(similarity)), 0, None)
    return effective(share)


def effective(share: NDArray[np.float64]) -> float:
    """Return the exponential of the entropy of shares: how many equal ones they are worth."""
    p = share[share > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def numbered(*samples: Sample) -> list[NDArray[np.uint64]]:
    """Return a number for each row, equal exactly for rows that agree in every column.

    Two different rows get one number with a chance of 2^-64.
    """
    out = []
    for sample in samples:
        raw = np.where(np.isnan(sample.raw), np.inf, sample.raw) + 0.0  # -0.0 becomes 0.0
        number = np.zeros(sample.n, np.uint64)
        columns = [np.ascontiguousarray(raw[:, i]).view(np.uint64) for i in range(raw.shape[1])]
        columns += [sample.codes[:, i].astype(np.uint64) for i in range(sample.codes.shape[1])]
        for column in columns:
            number = _mixed(number * np.uint64(0x9E3779B97F4A7C15) + _mixed(column + np.uint64(0x632BE59BD9B4E019)))
        out.append(number)
    return out


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finalise as splitmix64 does (Steele, Lea & Flood, OOPSLA 2014, doi:10.1145/2660193.2660195)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
