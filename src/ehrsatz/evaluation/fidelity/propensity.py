"""Propensity score mean squared error: how far a logistic regression gets in telling real from synthetic rows.

A logistic regression with main effects alone (the coordinates of embedding.py) predicts which of the pooled real
(holdout) and synthetic rows are synthetic; pMSE is the mean squared distance of its predictions from the share of
synthetic rows, c. For two independent samples of one population, pMSE N / (c (1 - c)) is chi-squared with k - 1 degrees
of freedom, k the coefficients with the intercept: mean (k - 1) c (1 - c) / N, standard deviation sqrt(2 (k - 1)) c
(1 - c) / N. The paper compares synthetic rows with the rows they were made from, whose chance deviations they share;
there both are smaller by the factor 1 - c. Here real rows are ones that the generator did not see, so the former holds.

References: Snoke, Raab, Nowok, Dibben & Slavkovic, General and specific utility measures for synthetic data, JRSS A
181(3), 2018, doi:10.1111/rssa.12358, theorem 1; Woo, Reiter, Oganian & Karr 2009, doi:10.29012/jpc.v1i1.568.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fidelity.embedding import points
from ehrsatz.evaluation.intervals import deal, jackknife_interval
from ehrsatz.evaluation.space import Comparison, View

MAX_ROWS = 6000  # of each side
MAX_ITERATIONS = 30
ROWS_PER_COEFFICIENT = 10
_TOLERANCE = 1e-5  # of the log-likelihood


@dataclass(frozen=True)
class Fit:
    """A pMSE, what it is expected to be for two samples of one population, and what it becomes without each group.

    `k` counts the coefficients with the intercept, `c` is the share of synthetic rows, `rows` all rows.
    """

    value: float
    expected: float
    deviation: float
    without: tuple[NDArray[np.float64], NDArray[np.float64]]
    k: int
    c: float
    rows: int
    projected: bool


class Propensity(Metric):
    """Mean squared error of propensity scores. Same distribution near 0, always told apart 0.25, less is better."""

    name = "propensity"
    title = "Propensity score error (pMSE)"
    family = "fidelity"
    theme = "Whole rows"
    goal = "minimise"
    low, high, ideal = 0.0, 0.25, 0.0
    needs = frozenset({"rows"})
    what = (
        "Logistic regression with main effects says for each row how likely it is synthetic; the mean squared "
        "distance of that from the share of synthetic rows."
    )
    blind = "How columns go together: with main effects alone it sees averages of columns only. Copies score 0."
    tells = frozenset()
    reference = "Snoke et al. 2018, doi:10.1111/rssa.12358"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: fitted(comparison, view, "synthetic", seed) for view in comparison.joint}
        worst = max(comparison.joint, key=lambda view: found[view.name].value / found[view.name].expected)
        one = found[worst.name]
        ratio, z = one.value / one.expected, (one.value - one.expected) / one.deviation
        return Score(
            self.name,
            one.value,
            jackknife_interval(one.value, *one.without, high=self.high),
            fitted(comparison, worst, "train", seed).value,
            one.rows // 2,
            {
                "model": "logistic regression, main effects"
                + (" of random mixtures of columns" if one.projected else ""),
                "coefficients": one.k,
                "rows": one.rows,
                "table": worst.name,
            },
            meaning=f"Averages of columns tell synthetic from real rows {ratio:.1f} times as well as chance alone lets "
            f"two samples of one population differ ({z:+.1f} standard deviations).",
            details={
                "ratio": ratio,
                "standardised": z,
                "expected": one.expected,
                "standard_deviation": one.deviation,
                "paper": {
                    "expected": one.expected * (1 - one.c),
                    "standard_deviation": one.deviation * (1 - one.c),
                    "standardised": (one.value - one.expected * (1 - one.c)) / (one.deviation * (1 - one.c)),
                },
                "tables": {name: r.value for name, r in found.items()},
            },
        )


def fitted(comparison: Comparison, view: View, other: str, seed: int) -> Fit:
    """Return the pMSE of a sample against the holdout.

    Where there would be more coefficients than a tenth of the rows, the model takes that many random mixtures of the
    columns instead.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    other
        "synthetic" or "train".
    seed
        Decides subsamples and mixtures.

    Raises
    ------
    Unmeasured
        When all rows are equal.
    """

    def make() -> Fit:
        real, one = points(comparison, view, "holdout", seed), points(comparison, view, other, seed)
        n = min(MAX_ROWS, real.n, one.n)
        x = np.concatenate([real.x[:n], one.x[:n]]).astype(np.float64)
        is_other = np.repeat([0.0, 1.0], n)
        most = max(1, len(x) // ROWS_PER_COEFFICIENT - 1)
        mixed = x.shape[1] > most
        if mixed:
            x = x @ view.rng(seed, "propensity", "mixtures").standard_normal((x.shape[1], most))
        design = orthonormal(x)
        if design.shape[1] < 2:
            raise Unmeasured("Not measured: all rows are equal.")
        beta = logistic(design, is_other)
        parts = [deal(group[:n], view.rng(seed, "propensity", key)) for key, group in ((other, one.group),)]
        parts.insert(0, deal(real.group[:n], view.rng(seed, "propensity", "real")))
        c, rows, k = 0.5, len(x), design.shape[1]
        return Fit(
            pmse(design, beta, c),
            (k - 1) * c * (1 - c) / rows,
            float(np.sqrt(2 * (k - 1))) * c * (1 - c) / rows,
            (
                _without(design, is_other, beta, np.r_[parts[0], np.full(n, -1)]),
                _without(design, is_other, beta, np.r_[np.full(n, -1), parts[1]]),
            ),
            k,
            c,
            rows,
            mixed or real.projected,
        )

    out: Fit = comparison.once(("propensity", view.name, other, seed), make)
    return out


def orthonormal(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a column of ones and the directions in which rows differ, each of variance 1, without correlation.

    The model is the same as on the columns themselves, without those that others imply.

    Parameters
    ----------
    x
        (R, P).
    """
    centred = x - x.mean(axis=0)
    spread, axes = np.linalg.eigh(centred.T @ centred / len(x))
    kept = spread > 1e-9 * max(1e-12, float(spread[-1]))
    return np.column_stack([np.ones(len(x)), centred @ (axes[:, kept] / np.sqrt(spread[kept]))])


def logistic(design: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coefficients of greatest likelihood, by Newton's method.

    Where a plane parts the classes, or a few rows from all others, likelihood has no maximum; the steps then end when
    they gain next to nothing, or no less than the one before, at predictions of almost 0 and 1.

    Parameters
    ----------
    design
        (R, K), uncorrelated columns.
    y
        (R,), 0 or 1.
    """
    beta = np.zeros(design.shape[1])
    loss, gain = _loss(design @ beta, y), np.inf
    for _ in range(MAX_ITERATIONS):
        p = _expit(design @ beta)
        step = np.linalg.solve(_information(design, p), design.T @ (y - p))
        scale = 1.0
        while scale > 1e-4:
            tried = beta + scale * step
            found = _loss(design @ tried, y)
            if found <= loss:
                break
            scale /= 2
        else:
            break
        last, gain = gain, loss - found
        beta, loss = tried, found
        if gain <= _TOLERANCE or gain >= last:
            break
    return beta


def pmse(design: NDArray[np.float64], beta: NDArray[np.float64], c: float) -> float:
    """Return the mean squared distance of the predictions from c.

    Parameters
    ----------
    design, beta
        (R, K) and (K,).
    c
        Share of synthetic rows.
    """
    return float(((_expit(design @ beta) - c) ** 2).mean())


def _without(
    design: NDArray[np.float64], y: NDArray[np.float64], beta: NDArray[np.float64], part: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the pMSE without each jackknife group, one Newton step from the whole fit; -1 is in no group."""
    p = _expit(design @ beta)
    whole = _information(design, p)
    out = []
    for g in np.unique(part[part >= 0]):
        gone = part == g
        some = design[gone]
        # the whole gradient is 0, so without the group it is minus the group's
        step = np.linalg.solve(whole - _information(some, p[gone], 0.0), -some.T @ (y[gone] - p[gone]))
        out.append(pmse(design[~gone], beta + step, float(y[~gone].mean())))
    return np.array(out)


def _information(design: NDArray[np.float64], p: NDArray[np.float64], ridge: float = 1e-9) -> NDArray[np.float64]:
    weighted = design * np.sqrt(p * (1 - p))[:, None]
    out: NDArray[np.float64] = weighted.T @ weighted
    out[np.diag_indices(len(out))] += ridge * len(design)
    return out


def _expit(eta: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(eta, -500, 500)))


def _loss(eta: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float((np.logaddexp(0, eta) - y * eta).sum())
