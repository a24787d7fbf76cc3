"""Maximum mean discrepancy of real and synthetic rows, with a test.

The unbiased estimate of the squared discrepancy under a Gaussian kernel on the rows as points (embedding.py), whose
width is the median distance of real rows. Up to 1,000 rows a side the kernel is exact; above, it is the mean of 512
random Fourier features, so that memory stays linear in rows and all rows (at most 10,000 a side) take part. The
p-value comes from 200 permutations of subjects between the two sides, the interval from a jackknife over subjects.

References: Gretton et al., A kernel two-sample test, JMLR 13, 2012 (lemma 6, the unbiased estimate; section 8, the
median heuristic); Rahimi & Recht, Random features for large-scale kernel machines, NeurIPS 2007.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fidelity.embedding import INDEPENDENT, points, squared_distances
from ehrsatz.evaluation.intervals import deal, jackknife_interval
from ehrsatz.evaluation.space import Comparison, View

EXACT_ROWS = 1000  # a side
FREQUENCIES = 256  # a cosine and a sine each: 512 features
WIDTH_ROWS = 1000
PERMUTATIONS = 200


@dataclass(frozen=True)
class Discrepancy:
    """Squared discrepancy of two samples, what it becomes without each jackknife group, and the test.

    `p` is None where the test was not asked for.
    """

    value: float
    without: tuple[NDArray[np.float64], NDArray[np.float64]]
    p: float | None
    n: int
    exact: bool


class Mmd(Metric):
    """Squared discrepancy of rows. Same distribution 0 on average, no overlap up to 2, less is better."""

    name = "mmd"
    title = "Maximum mean discrepancy"
    family = "fidelity"
    theme = "Whole rows"
    goal = "minimise"
    low, high, ideal = -1.0, 2.0, 0.0
    needs = frozenset({"rows"})
    what = (
        "Mean likeness within each sample less that between them (Gaussian kernel as wide as the median distance of "
        "real rows); p is the share of random regroupings that differ as much."
    )
    blind = (
        "One kernel width: differences much finer than the typical distance of two rows hardly count; nor do copies."
    )
    reference = "Gretton et al. 2012, JMLR 13"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: discrepancy(comparison, view, "synthetic", seed) for view in comparison.joint}
        worst = max(comparison.joint, key=lambda view: found[view.name].value)
        one = found[worst.name]
        real = discrepancy(comparison, worst, "train", seed, test=False)
        nothing = discrepancy(comparison, worst, INDEPENDENT, seed, test=False)
        assert one.p is not None
        odds = "less than 1" if one.p < 0.01 else f"{100 * one.p:.0f}"
        return Score(
            self.name,
            one.value,
            jackknife_interval(one.value, *one.without, low=self.low, high=self.high),
            real.value,
            one.n,
            {
                "kernel": "exact" if one.exact else f"{2 * FREQUENCIES} random Fourier features",
                "permutations": PERMUTATIONS,
                "rows": one.n,
                "table": worst.name,
            },
            meaning=f"The discrepancy of real and synthetic rows is {max(0.0, one.value):.4f}; regrouping them at "
            f"random gives as much in {odds} of 100 draws, so they {'can' if one.p < 0.05 else 'cannot'} be told "
            "apart this way.",
            details={
                "p_value": one.p,
                "tables": {name: r.value for name, r in found.items()},
                "p_values": {name: r.p for name, r in found.items()},
            },
            baseline=nothing.value,
        )


def discrepancy(comparison: Comparison, view: View, other: str, seed: int, *, test: bool = True) -> Discrepancy:
    """Measure one sample against the holdout.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    other
        "synthetic", "train" or "independent".
    seed
        Decides subsamples, features and permutations.
    test
        Whether to permute.

    Raises
    ------
    Unmeasured
        When all real rows are equal.
    """
    real, one = points(comparison, view, "holdout", seed), points(comparison, view, other, seed)
    n = min(real.n, one.n)
    width = comparison.once(("width", view.name, seed), lambda: median_distance(real.x[:WIDTH_ROWS]))
    if width <= 0:
        raise Unmeasured("Not measured: most real rows are equal, so that no distance between rows is typical.")
    x = np.concatenate([real.x[:n], one.x[:n]]).astype(np.float64)
    subject = np.concatenate([real.group[:n], one.group[:n] + real.group.max() + 1])
    side = np.repeat([0, 1], n)
    exact = n <= EXACT_ROWS
    if exact:
        kernel = np.exp(squared_distances(x, x) / (-2 * width**2))
        sums = _Sums(kernel, None, kernel.diagonal())
    else:
        features = fourier(x / width, view.rng(seed, "mmd", "frequencies"))
        sums = _Sums(None, features, np.einsum("ij,ij->i", features, features, dtype=np.float64))
    value = float(sums.unbiased(side[:, None] == 1)[0])
    draws = view.rng(seed, "mmd", "jackknife", other)
    parts = [deal(subject[side == k], draws) for k in (0, 1)]
    without = tuple(sums.without(side, k, part) for k, part in enumerate(parts))
    p = None
    if test:
        null = sums.unbiased(_permuted(subject, side, view.rng(seed, "mmd", "permutations")))
        p = float((1 + (null >= value).sum()) / (1 + PERMUTATIONS))
    return Discrepancy(value, (without[0], without[1]), p, n, exact)


def median_distance(x: NDArray[np.floating]) -> float:
    """Return the median distance of two different rows, 0 for fewer than two."""
    if len(x) < 2:
        return 0.0
    d = squared_distances(x.astype(np.float64), x.astype(np.float64))
    return float(np.sqrt(np.median(d[np.triu_indices(len(x), 1)])))


def fourier(x: NDArray[np.float64], rng: np.random.Generator, n: int = FREQUENCIES) -> NDArray[np.float32]:
    """Return features (R, 2 n) whose inner products approach exp(-|x - y|^2 / 2).

    Parameters
    ----------
    x
        (R, P), divided by the kernel's width.
    rng
        Draws the frequencies.
    n
        Frequencies.
    """
    angle = (x @ rng.standard_normal((x.shape[1], n))).astype(np.float32)
    out: NDArray[np.float32] = np.hstack([np.cos(angle), np.sin(angle)]) * np.float32(n**-0.5)
    return out


@dataclass(frozen=True)
class _Sums:
    """Sums of kernel values over sets of rows, from the kernel itself or from features."""

    kernel: NDArray[np.float64] | None
    features: NDArray[np.float32] | None
    diagonal: NDArray[np.float64]

    def unbiased(self, is_other: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the unbiased estimate for each column of a mask (R, B) that says which rows are on the other side."""
        b = is_other.astype(np.float64)
        if self.kernel is not None:
            row = self.kernel @ b  # (R, B)
            total = float(self.kernel.sum())
            bb = (b * row).sum(axis=0)
            ab = row.sum(axis=0) - bb
        else:
            assert self.features is not None
            other = (self.features.T @ is_other.astype(np.float32)).astype(np.float64)  # (F, B)
            whole = self.features.sum(axis=0, dtype=np.float64)
            total = float(whole @ whole)
            bb = (other**2).sum(axis=0)
            ab = whole @ other - bb
        n, m = len(b) - b.sum(axis=0), b.sum(axis=0)
        diagonal = self.diagonal @ b
        return _estimate(total - 2 * ab - bb - (self.diagonal.sum() - diagonal), bb - diagonal, ab, n, m)

    def without(self, side: NDArray[np.int64], k: int, part: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the estimate without each jackknife group of side k."""
        out = []
        rows = np.flatnonzero(side == k)
        groups = np.unique(part)
        member = np.zeros((len(side), len(groups) + 2))  # a column per group, then the two sides
        member[rows[:, None], np.arange(len(groups))[None, :]] = part[:, None] == groups[None, :]
        member[np.arange(len(side)), len(groups) + side] = 1
        if self.kernel is not None:
            table = member.T @ (self.kernel @ member)
        else:
            assert self.features is not None
            sums = (self.features.T @ member.astype(np.float32)).astype(np.float64)
            table = sums.T @ sums
        diagonal = self.diagonal @ member
        mine, yours = len(groups) + k, len(groups) + 1 - k
        size, other = len(rows), len(side) - len(rows)
        for g in range(len(groups)):
            left = size - int((part == groups[g]).sum())
            own = table[mine, mine] - 2 * table[g, mine] + table[g, g] - (diagonal[mine] - diagonal[g])
            far = table[yours, yours] - diagonal[yours]
            across = table[mine, yours] - table[g, yours]
            if left >= 2 and other >= 2:
                out.append(float(_estimate(own, far, across, left, other)))
        return np.array(out)


def _estimate(aa, bb, ab, n, m):  # type: ignore[no-untyped-def]
    """Gretton et al., lemma 6, from sums over different pairs."""
    return aa / np.maximum(n * (n - 1), 1) + bb / np.maximum(m * (m - 1), 1) - 2 * ab / np.maximum(n * m, 1)


def _permuted(subject: NDArray[np.int64], side: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return masks (R, B): whole subjects dealt to the two sides in their numbers."""
    names, number = np.unique(subject, return_inverse=True)
    n_other = len(np.unique(subject[side == 1]))
    out = np.zeros((len(names), PERMUTATIONS), bool)
    for b in range(PERMUTATIONS):
        out[rng.permutation(len(names))[:n_other], b] = True
    return out[number]
