"""Alpha-precision, beta-recall and authenticity, in a fixed space instead of a learned one.

Alpha-precision: does the ball that holds the share alpha of the real (holdout) rows hold the share alpha of the
synthetic ones? Beta-recall: what share of real rows has, within the reach of its nearest real neighbour, a nearest
synthetic row that is among the share beta of synthetic rows nearest to their centre? Both are integrated over
all levels: 1 - 2 times the mean distance from the diagonal. Authenticity: is a synthetic row farther from its nearest
training row than that row's nearest other training row is?

What differs from the paper: it learns, by a neural network, a space in which the real rows fill a ball. Here the
space is fixed (embedding.py), and for alpha-precision the ball is an ellipsoid whose shape half of the training rows
teach (their covariance, a tenth of the mean variance added to each direction), so that rows which break how columns
go together lie outside. Levels are the shares that lie inside in fact, which are the paper's where no distances tie,
and the integral is taken over all of them, not thirty. The paper leaves open which real neighbour sets the reach of
beta-recall; its code takes the nearest, and so do we: a fresh real sample then scores about one half.

References: Alaa, van Breugel, Saveliev & van der Schaar, How faithful is your synthetic data? ICML 2022,
arXiv:2102.08921, sections 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fidelity.embedding import INDEPENDENT, TIE, Points, nearest_points, points
from ehrsatz.evaluation.intervals import deal, jackknife_interval, share_interval
from ehrsatz.evaluation.space import Comparison, View

NEIGHBOURS = 1
MAX_REACHED = 2500  # rows of each side that beta-recall compares
MAX_ASKED = 2000  # synthetic rows whose nearest training row is looked for
RIDGE = 0.1
_LEVELS = 20  # points of a published curve


@dataclass(frozen=True)
class Curve:
    """An integrated measure with what it becomes without each jackknife group of either sample."""

    value: float
    without_real: NDArray[np.float64]
    without_other: NDArray[np.float64]
    levels: NDArray[np.float64]
    shares: NDArray[np.float64]
    n: int


class AlphaPrecision(Metric):
    """Agreement of nested supports. Same distribution 1, all rows outside 0, more is better."""

    name = "alpha_precision"
    title = "Typical and odd rows in right shares"
    family = "fidelity"
    theme = "Whole rows"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})
    what = (
        "Rows are ordered from typical to odd, in a fixed space (the paper learns one): shares of synthetic rows among "
        "the most typical real rows, over all shares, against the same of real ones."
    )
    blind = "It sees how far rows lie from the centre, not on which side; copies score 1."
    reference = "Alaa et al. 2022, arXiv:2102.08921"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: alpha_curve(comparison, view, "synthetic", seed) for view in comparison.joint}
        worst = min(comparison.joint, key=lambda view: found[view.name].value)
        one = found[worst.name]
        less = float((one.shares - one.levels).mean())
        word = "odder than" if less < -0.02 else "more typical than" if less > 0.02 else "about as typical as"
        return Score(
            self.name,
            one.value,
            jackknife_interval(one.value, one.without_real, one.without_other),
            alpha_curve(comparison, worst, "train", seed).value,
            one.n,
            {"space": "fixed, shaped by half of the training rows", "rows": one.n, "table": worst.name},
            meaning=f"From typical to odd, synthetic rows agree with real ones to {100 * one.value:.0f} %; they are "
            f"{word} real ones.",
            details={"tables": {name: r.value for name, r in found.items()}, "curve": _published(one)},
            baseline=alpha_curve(comparison, worst, INDEPENDENT, seed).value,
        )


class BetaRecall(Metric):
    """Real rows reached by typical synthetic ones. Same distribution about 0.5, unrelated 0, more is better."""

    name = "beta_recall"
    title = "Real variety reached by typical synthetic rows"
    family = "fidelity"
    theme = "Whole rows"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})
    what = (
        "Real rows with a synthetic row as near as their nearest real one, counted again as the synthetic rows are "
        "cut to the most typical, over all shares; in a fixed space (the paper learns one)."
    )
    blind = "A fresh real sample reaches about half of the real rows: compare with the reference. Copies reach as well."
    reference = "Alaa et al. 2022, arXiv:2102.08921"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: beta_curve(comparison, view, "synthetic", seed) for view in comparison.joint}
        worst = min(comparison.joint, key=lambda view: found[view.name].value)
        one = found[worst.name]
        return Score(
            self.name,
            one.value,
            jackknife_interval(one.value, one.without_real, one.without_other),
            beta_curve(comparison, worst, "train", seed).value,
            one.n,
            {"neighbour": NEIGHBOURS, "space": "fixed", "rows": one.n, "table": worst.name},
            meaning=f"Synthetic rows, from the most typical to all, reach {100 * one.shares[-1]:.0f} of 100 real rows; "
            f"over all shares of them the agreement is {100 * one.value:.0f} %.",
            details={"tables": {name: r.value for name, r in found.items()}, "curve": _published(one)},
            baseline=beta_curve(comparison, worst, INDEPENDENT, seed).value,
        )


class Authenticity(Metric):
    """Share of rows that are no near copies. Fresh real rows about 0.5, copies of training rows 0, unrelated rows 1."""

    name = "authenticity"
    title = "Rows made, not copied"
    family = "fidelity"
    theme = "Variety"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})
    what = (
        "The share of synthetic rows that lie farther from their nearest training row than that row's nearest other "
        "training row does."
    )
    blind = "Noise that spoils a row makes it authentic; rows of few columns coincide by chance: see the reference."
    tells = frozenset({"copies"})
    reference = "Alaa et al. 2022, arXiv:2102.08921"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: authentic(comparison, view, "synthetic", seed) for view in comparison.joint}
        worst = min(comparison.joint, key=lambda view: float(found[view.name][0].mean()))
        hit, group = found[worst.name]
        real, _ = authentic(comparison, worst, "holdout", seed)
        value, reference = float(hit.mean()), float(real.mean())
        return Score(
            self.name,
            value,
            share_interval(hit, group, worst.rng(seed, "authenticity", "jackknife")),
            reference,
            len(hit),
            {
                "space": "fixed",
                "rows": len(hit),
                "training_rows": points(comparison, worst, "train", seed).n,
                "table": worst.name,
            },
            meaning=f"{100 * value:.0f} of 100 synthetic rows keep a greater distance from their nearest training row "
            f"than training rows keep among themselves; of unseen real rows it is {100 * reference:.0f}.",
            details={"tables": {name: float(r[0].mean()) for name, r in found.items()}},
            baseline=float(authentic(comparison, worst, INDEPENDENT, seed)[0].mean()),
        )


def alpha_curve(comparison: Comparison, view: View, other: str, seed: int) -> Curve:
    """Return integrated alpha-precision of a sample against the holdout, in the shape that half of train teaches.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    other
        "synthetic", "independent", or "train": then the half that does not teach the shape.
    seed
        Decides the subsamples.

    Raises
    ------
    Unmeasured
        When the halves are too small.
    """

    def make() -> Curve:
        train = points(comparison, view, "train", seed)
        half = np.isin(train.group, np.unique(train.group)[_coin(view, train, seed)])
        if min(half.sum(), (~half).sum()) < 2:
            raise Unmeasured("Not measured: four or more training subjects are needed.")
        shape = Ellipsoid.learn(train.x[half].astype(np.float64))
        real, one = points(comparison, view, "holdout", seed), points(comparison, view, other, seed)
        x, group = (one.x[~half], one.group[~half]) if other == "train" else (one.x, one.group)
        n = min(real.n, len(x))
        r, s = shape.radius(real.x[:n]), shape.radius(x[:n])
        parts = deal(real.group[:n], view.rng(seed, "alpha", "real")), deal(group[:n], view.rng(seed, "alpha", other))
        levels, shares = alpha_shares(r, s)
        return Curve(
            integrated(levels, shares),
            np.array([integrated(*alpha_shares(r[parts[0] != g], s)) for g in np.unique(parts[0])]),
            np.array([integrated(*alpha_shares(r, s[parts[1] != g])) for g in np.unique(parts[1])]),
            levels,
            shares,
            n,
        )

    out: Curve = comparison.once(("alpha", view.name, other, seed), make)
    return out


def beta_curve(comparison: Comparison, view: View, other: str, seed: int) -> Curve:
    """Return integrated beta-recall of a sample against the holdout.

    Neighbours are held as they are in its jackknife; only who counts changes.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    other
        "synthetic", "train" or "independent".
    seed
        Decides the subsamples.
    """

    def make() -> Curve:
        real, one = points(comparison, view, "holdout", seed), points(comparison, view, other, seed)
        n = min(MAX_REACHED, real.n, one.n)
        real, one = real.first(n), one.first(n)
        key = ("reach of points", view.name, n, seed)
        reach = comparison.once(key, lambda: nearest_points(real.x, real.x, NEIGHBOURS, itself=np.arange(n))[0])
        distance, place = nearest_points(real.x, one.x)
        covered = distance <= reach + TIE
        radius = np.sqrt(((one.x - one.x.mean(axis=0, dtype=np.float64)) ** 2).sum(axis=1))
        parts = deal(real.group, view.rng(seed, "beta", "real")), deal(one.group, view.rng(seed, "beta", other))
        levels, shares = beta_shares(covered, radius[place], radius)
        return Curve(
            integrated(levels, shares),
            np.array(
                [
                    integrated(*beta_shares(covered[parts[0] != g], radius[place][parts[0] != g], radius))
                    for g in np.unique(parts[0])
                ]
            ),
            np.array(
                [integrated(*beta_shares(covered, radius[place], radius[parts[1] != g])) for g in np.unique(parts[1])]
            ),
            levels,
            shares,
            n,
        )

    out: Curve = comparison.once(("beta", view.name, other, seed), make)
    return out


def authentic(
    comparison: Comparison, view: View, other: str, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return for each row of a sample whether it is authentic, and whose row it is.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    other
        "synthetic", "holdout" or "independent".
    seed
        Decides the subsamples.
    """

    def make() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        train, one = points(comparison, view, "train", seed), points(comparison, view, other, seed)
        one = one.first(MAX_ASKED)
        distance, place = nearest_points(one.x, train.x)
        owners, back = np.unique(place, return_inverse=True)
        own, _ = nearest_points(train.x[owners], train.x, itself=owners)
        return (distance > own[back] + TIE).astype(np.float64), one.group

    out: tuple[NDArray[np.float64], NDArray[np.int64]] = comparison.once(("authentic", view.name, other, seed), make)
    return out


def alpha_shares(
    real: NDArray[np.float64], other: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each real radius the share of real rows and of other rows within it.

    Parameters
    ----------
    real, other
        Distances from the centre.
    """
    ordered = np.sort(real)
    return (
        np.searchsorted(ordered, ordered, "right") / len(real),
        np.searchsorted(np.sort(other), ordered, "right") / len(other),
    )


def beta_shares(
    covered: NDArray[np.bool_], nearest_radius: NDArray[np.float64], radius: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each synthetic radius the share of synthetic rows within it, and of real rows that those reach.

    Parameters
    ----------
    covered
        Per real row whether its nearest synthetic row is within its reach.
    nearest_radius
        Per real row the distance of that synthetic row from the synthetic centre.
    radius
        Per synthetic row its distance from the synthetic centre.
    """
    ordered = np.sort(radius)
    return (
        np.searchsorted(ordered, ordered, "right") / len(radius),
        np.searchsorted(np.sort(nearest_radius[covered]), ordered, "right") / len(covered),
    )


def integrated(levels: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    """Return 1 - 2 times the mean distance of a curve from the diagonal, at least 0."""
    return max(0.0, 1 - 2 * float(np.abs(shares - levels).mean()))


@dataclass(frozen=True)
class Ellipsoid:
    """The shape of nested supports: a centre and axes (P, P), each divided by the spread along it."""

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]

    @classmethod
    def learn(cls, x: NDArray[np.float64]) -> Ellipsoid:
        """Return centre and shape of rows (R, P)."""
        centre = x.mean(axis=0)
        spread, axes = np.linalg.eigh((x - centre).T @ (x - centre) / len(x))
        floor = RIDGE * max(float(spread.mean()), 1e-9)
        return cls(centre, axes / np.sqrt(np.maximum(spread, 0) + floor))

    def radius(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distance of each row from the centre, in the spread along each axis."""
        out: NDArray[np.float64] = np.sqrt((((x - self.centre) @ self.axes) ** 2).sum(axis=1))
        return out


def _coin(view: View, train: Points, seed: int) -> NDArray[np.bool_]:
    return view.rng(seed, "alpha", "halves").permutation(len(np.unique(train.group))) % 2 == 0


def _published(one: Curve) -> dict[str, list[float]]:
    """Return the curve at twenty levels."""
    at = np.searchsorted(one.levels, np.arange(1, _LEVELS + 1) / _LEVELS - 1e-9).clip(0, len(one.levels) - 1)
    return {
        "level": [round(float(x), 4) for x in one.levels[at]],
        "share": [round(float(x), 4) for x in one.shares[at]],
    }
