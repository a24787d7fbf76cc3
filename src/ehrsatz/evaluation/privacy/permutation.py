"""An exact test of many statistics at once, by exchanging the labels of whole subjects.

Where nothing leaks, whether a real subject was trained on or held out says nothing about where the synthetic rows lie:
all assignments of the labels are equally likely. Each statistic is a sum over real subjects of a weight that was fixed
without looking at the labels; it is compared with its own values under random assignments. Statistics come in families.
Within a family the largest standardised statistic counts (Westfall & Young's max-T), between families the smallest of
the families' p-values (min-P), and the p-value of that minimum is read off the same assignments. So the final p-value
is exact whatever the number of statistics and however they depend on each other.

References: Westfall & Young, Resampling-Based Multiple Testing, 1993; Phipson & Smyth, Permutation p-values should
never be zero, SAGMB 9, 2010, doi:10.2202/1544-6115.1585; Clopper & Pearson, Biometrika 26, 1934,
doi:10.1093/biomet/26.4.404.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CHUNK = 100


@dataclass(frozen=True)
class Test:
    """What a permutation test found.

    Parameters
    ----------
    value
        Final p-value: smallest family p-value, calibrated.
    hits, n
        Assignments (the true one included) whose smallest family p-value is as small, of how many.
    observed, expected, z
        (K,) per statistic; expected under no leak.
    p
        (K,) p-value of each statistic on its own.
    within, adjusted
        (K,) p-value of each statistic, corrected for its family, and for all families.
    family
        p-value of each family, corrected within the family.
    """

    value: float
    hits: int
    n: int
    observed: NDArray[np.float64]
    expected: NDArray[np.float64]
    z: NDArray[np.float64]
    p: NDArray[np.float64]
    within: NDArray[np.float64]
    adjusted: NDArray[np.float64]
    family: NDArray[np.float64]

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's 95 % interval of the p-value that all assignments would give."""
        low = float(stats.beta.ppf(0.025, self.hits, self.n - self.hits + 1)) if self.hits else 0.0
        high = float(stats.beta.ppf(0.975, self.hits + 1, self.n - self.hits)) if self.hits < self.n else 1.0
        return min(low, self.value), max(high, self.value)


def permute(
    weights: NDArray[np.float32],
    family: NDArray[np.int64],
    is_train: NDArray[np.bool_],
    sizes: tuple[int, int],
    rng: np.random.Generator,
    n: int = 999,
) -> Test:
    """Test whether trained-on subjects weigh more than held-out ones.

    Parameters
    ----------
    weights
        (K, U) weight of each subject in each statistic, fixed without regard to the labels.
    family
        (K,) family of each statistic, 0 up without gaps.
    is_train
        (U,) the true labels.
    sizes
        All subjects of train and of holdout; U of them are here, chosen without regard to the labels.
    rng
        Draws the assignments.
    n
        Assignments beside the true one.
    """
    n_train, n_holdout = sizes
    total = n_train + n_holdout
    share = n_train / total
    sums = weights.sum(axis=1, dtype=np.float64)
    squares = np.einsum("ku,ku->k", weights, weights, dtype=np.float64)
    expected = share * sums
    variance = share * (1 - share) * total / max(1, total - 1) * (squares - sums**2 / total)
    spread = np.where(variance > 1e-9 * np.maximum(squares, 1e-30), np.sqrt(np.maximum(variance, 0)), np.inf)
    z = np.empty((len(weights), n + 1), np.float32)
    observed = (weights @ is_train.astype(np.float32)).astype(np.float64)
    z[:, 0] = (observed - expected) / spread
    u = len(is_train)
    for start in range(1, n + 1, CHUNK):
        m = min(CHUNK, n + 1 - start)
        ones = rng.hypergeometric(n_train, n_holdout, u, size=m) if u < total else np.full(m, n_train)
        labels = (np.arange(u)[None, :] < ones[:, None]).astype(np.uint8)
        drawn = rng.permuted(labels, axis=1).astype(np.float32)
        z[:, start : start + m] = (weights @ drawn.T - expected[:, None]) / spread[:, None]
    z = np.round(z, 4)  # equal sums in another order of addition are equal
    p = (z >= z[:, :1]).mean(axis=1)
    tops, ranks = [], []
    for one in range(int(family.max()) + 1):
        top = z[family == one].max(axis=0)
        tops.append(np.sort(top))
        ranks.append(_share_above(tops[-1], top))
    least = np.min(ranks, axis=0)  # (n + 1,) smallest family p-value of each assignment
    ordered = np.sort(least)
    within = np.array([_share_above(tops[one], z[k : k + 1, 0])[0] for k, one in enumerate(family)])
    adjusted = np.searchsorted(ordered, within + 1e-12, "right") / (n + 1)
    hits = int((least <= least[0] + 1e-12).sum())
    return Test(
        hits / (n + 1),
        hits,
        n + 1,
        observed,
        expected,
        z[:, 0].astype(np.float64),
        p,
        within,
        adjusted,
        np.array([one[0] for one in ranks]),
    )


def _share_above(ordered: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the share of assignments whose largest statistic is at least each value."""
    return 1 - np.searchsorted(ordered, values, "left") / len(ordered)
