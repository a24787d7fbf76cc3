"""Is the variety of real rows there? Diversity, collapsed modes, and rows that are new.

Diversity is the Vendi score: the exponential of the entropy of the eigenvalues of the similarity matrix, the number of
clearly different rows that the sample is worth. It is chosen over the mean distance of two rows because two rows far
apart, repeated a thousand times, have a large mean distance. Modes are groups of like training rows (k-means). Rows
are equal when every compared column is; levels that no real row has count as one level.

References: Friedman & Dieng, The Vendi score, TMLR 2023, arXiv:2210.02410.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fidelity.clusters import centres
from ehrsatz.evaluation.fidelity.embedding import INDEPENDENT, nearest_points, points, squared_distances
from ehrsatz.evaluation.fidelity.mmd import WIDTH_ROWS, median_distance
from ehrsatz.evaluation.fidelity.traits import descriptions
from ehrsatz.evaluation.intervals import deal, jackknife_interval, share_interval
from ehrsatz.evaluation.space import Comparison, Sample, View

DIVERSE_ROWS = 500
PARTS = 10  # jackknife groups of the Vendi score
MAX_ROWS = 5000
MODES, ROWS_PER_MODE = 30, 50
LOST = 0.2  # of its real share, below which a mode has collapsed
ALPHA = 0.01  # chance, over all modes, that a good sample loses one
MAX_NAMED = 12


@dataclass(frozen=True)
class Modes:
    """Rows of holdout and of another sample in each mode of the training rows."""

    real: NDArray[np.int64]
    other: NDArray[np.int64]
    k: int

    @property
    def shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Share of each mode among the rows of the holdout and of the other sample."""
        return (
            np.bincount(self.real, minlength=self.k) / len(self.real),
            np.bincount(self.other, minlength=self.k) / len(self.other),
        )

    @property
    def lost(self) -> NDArray[np.bool_]:
        """Which modes the other sample visits less than a fifth as often, beyond chance."""
        real, other = self.shares
        chance = stats.binom.cdf(np.bincount(self.other, minlength=self.k), len(self.other), real)
        return (other < LOST * real) & (chance < ALPHA / self.k)


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
        "The effective number of different rows (Vendi score, Gaussian kernel) of 500 synthetic rows over that of as "
        "many real ones."
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


class ModeCollapse(Metric):
    """Share of real variety that is lost. Same distribution 0, one row repeated about 1, less is better."""

    name = "mode_collapse"
    title = "Collapsed modes"
    family = "fidelity"
    theme = "Variety"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    needs = frozenset({"rows"})
    what = (
        "The larger of two shares: real rows in groups of like rows that synthetic rows hardly visit (less than a "
        "fifth as often, beyond chance), and synthetic rows that repeat another beyond what real rows do."
    )
    blind = "Groups smaller than a thirtieth of the rows, and variety lost within a group without repetition."
    tells = frozenset()
    reference = "Groups: Lloyd 1982, doi:10.1109/TIT.1982.1056489"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        views = comparison.joint
        lost = {view.name: lost_share(modes(comparison, view, "synthetic", seed)) for view in views}
        twice = {view.name: repeated(comparison, view, seed) for view in views}
        value_of = {name: max(lost[name], twice[name][0]) for name in lost}
        worst = max(views, key=lambda view: value_of[view.name])
        found = modes(comparison, worst, "synthetic", seed)
        excess, in_synthetic, in_real = twice[worst.name]
        value = value_of[worst.name]
        named = _named(comparison, worst, found, seed)
        n_lost, real, made = int(found.lost.sum()), *found.shares
        marks = [" and ".join(one["marks"]) for one in named if one["marks"]]
        which = f": {'; '.join(marks[:3])}" if marks else ""
        if value < 0.01:
            said = f"No group of like real rows is lost, of {found.k}."
        elif lost[worst.name] >= excess:
            said = (
                f"Synthetic rows hardly visit {n_lost} of {found.k} groups of like real rows, "
                f"{100 * value:.0f} of 100 real rows{which}."
            )
        else:
            said = (
                f"{100 * in_synthetic:.0f} of 100 synthetic rows repeat another one, of as many real rows "
                f"{100 * in_real:.0f}."
            )
        n = len(found.other)
        return Score(
            self.name,
            value,
            self._interval(comparison, worst, found, value, seed) if lost[worst.name] >= excess else None,
            lost_share(modes(comparison, worst, "train", seed)),
            n,
            {"modes": found.k, "lost_below": LOST, "rows": n, "table": worst.name},
            meaning=said,
            details={
                "collapsed": named,
                "effective_modes": {"real": effective(real), "synthetic": effective(made)},
                "lost": lost[worst.name],
                "repeated": {"synthetic": in_synthetic, "real": in_real, "excess": excess},
                "tables": value_of,
            },
        )

    def _interval(
        self, comparison: Comparison, view: View, found: Modes, value: float, seed: int
    ) -> tuple[float, float]:
        """Return the interval of the lost share, the lost modes being what they are."""
        group = points(comparison, view, "holdout", seed).first(len(found.real)).group
        hit = found.lost[found.real].astype(np.float64)
        low, high = share_interval(hit, group, view.rng(seed, "modes", "jackknife"))
        return min(low, value), max(high, value)


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
            meaning=f"{100 * value:.1f} of 100 synthetic rows are new: neither a training row nor one that came "
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


def modes(comparison: Comparison, view: View, other: str, seed: int) -> Modes:
    """Find the groups of like training rows, and count holdout and another sample in them.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    other
        "synthetic" or "train".
    seed
        Decides subsamples and starting centres.
    """

    def make() -> NDArray[np.float32]:
        train = points(comparison, view, "train", seed).first(MAX_ROWS)
        return centres(train.x, max(2, min(MODES, train.n // ROWS_PER_MODE)), seed)[1]

    def make_modes() -> Modes:
        middle = comparison.once(("mode centres", view.name, seed), make)
        real, one = (points(comparison, view, key, seed).first(MAX_ROWS) for key in ("holdout", other))
        return Modes(nearest_points(real.x, middle)[1], nearest_points(one.x, middle)[1], len(middle))

    out: Modes = comparison.once(("modes", view.name, other, seed), make_modes)
    return out


def lost_share(found: Modes) -> float:
    """Return the share of real rows that lie in lost modes."""
    return float(found.shares[0][found.lost].sum())


def repeated(comparison: Comparison, view: View, seed: int) -> tuple[float, float, float]:
    """Return the share of synthetic rows that repeat another beyond that of real ones, and both shares.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    seed
        Decides the subsamples.
    """
    n = min(view.samples["train"].n, view.samples["synthetic"].n)
    shares = []
    for key in ("synthetic", "train"):
        (number,) = numbered(view.samples[key].pick(n, view.rng(seed, "repeated", key)))
        shares.append(1 - len(np.unique(number)) / len(number))
    made, real = shares
    return (max(0.0, (made - real) / (1 - real)) if real < 1 else 0.0), made, real


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


def _named(comparison: Comparison, view: View, found: Modes, seed: int) -> list[dict[str, Any]]:
    """Return the lost modes with five real subjects or more, the largest first, and what marks them."""
    real = points(comparison, view, "holdout", seed).first(len(found.real)).sample
    share, other = found.shares
    marks = descriptions(view, real, found.real, found.k)
    out: list[dict[str, Any]] = [
        {"marks": marks[j], "real": round(float(share[j]), 3), "synthetic": round(float(other[j]), 3)}
        for j in np.flatnonzero(found.lost).tolist()
        if j in marks
    ]
    return sorted(out, key=lambda one: (-one["real"], one["marks"]))[:MAX_NAMED]
