"""Areas under the ROC curve and 95 % intervals, by subject where subjects have several rows.

References: Wilson, Probable inference, JASA 1927, doi:10.1080/01621459.1927.10502953 (shares); Kott, The delete-a-group
jackknife, Journal of Official Statistics 17(4), 2001 (sums over rows); Efron & Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 6 (areas, resampling whole subjects).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_GROUPS = 20
N_BOOT = 200
Z = 1.959963984540054  # two-sided 95 %


class Ranked:
    """Scores of rows with a yes or no, sorted once, for many weighted areas under the ROC curve."""

    def __init__(self, positive: NDArray[np.bool_], score: NDArray[np.float64]) -> None:
        self.order = np.argsort(score, kind="stable")
        ordered = score[self.order]
        self.tie = np.cumsum(np.r_[True, ordered[1:] != ordered[:-1]]) - 1 if len(score) else np.empty(0, np.int64)
        self.positive = positive[self.order]

    def auc(self, weight: NDArray[np.float64] | None = None) -> float:
        """Return the share of (positive, negative) pairs in right order, ties half; 0.5 where a class is empty."""
        w = np.ones(len(self.order)) if weight is None else weight[self.order]
        up = np.bincount(self.tie, w * self.positive)
        down = np.bincount(self.tie, w * ~self.positive)
        pairs = up.sum() * down.sum()
        if pairs <= 0:
            return 0.5
        return float((up * (np.cumsum(down) - 0.5 * down)).sum() / pairs)


def auc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve: 0.5 for guessing, 1 for a perfect ranking.

    Examples
    --------
    >>> auc(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    return Ranked(positive, score).auc()


def auc_interval(
    positive: NDArray[np.bool_], score: NDArray[np.float64], group: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of an area, by resampling whole subjects within each class."""
    ranked = Ranked(positive, score)
    value = ranked.auc()
    draws = [ranked.auc(weight) for weight in weights(group, rng, positive)]
    return clipped(value, float(np.std(draws, ddof=1)) * Z, 0.0, 1.0)


def weights(
    group: NDArray[np.int64], rng: np.random.Generator, stratum: NDArray[np.bool_] | None = None, n_boot: int = N_BOOT
) -> list[NDArray[np.float64]]:
    """Return bootstrap weights of rows, resampling whole groups, within strata where given."""
    strata = np.zeros(len(group), np.int64) if stratum is None else stratum.astype(np.int64)
    _, number = np.unique(np.column_stack([strata, group]), axis=0, return_inverse=True)
    number = number.reshape(-1)
    cuts = [np.unique(number[strata == one]) for one in np.unique(strata)]
    out = []
    for _ in range(n_boot):
        tally = np.zeros(number.max(initial=-1) + 1)
        for members in cuts:
            drawn = np.bincount(rng.integers(len(members), size=len(members)), minlength=len(members))
            tally[members] = drawn
        out.append(tally[number])
    return out


def deal(group: NDArray[np.int64], rng: np.random.Generator, n_groups: int = N_GROUPS) -> NDArray[np.int64]:
    """Deal whole subjects to jackknife groups of equal size; return the group of each row."""
    subjects, number = np.unique(group, return_inverse=True)
    n = min(n_groups, len(subjects))
    return (rng.permutation(len(subjects)) % max(1, n))[number]


def jackknife_interval(
    value: float, *parts: NDArray[np.float64], low: float = 0.0, high: float = 1.0
) -> tuple[float, float] | None:
    """Return the 95 % interval of a value from what it becomes without each group, one array per independent sample.

    Returns
    -------
    None where a sample has fewer than two groups.
    """
    if any(len(part) < 2 for part in parts):
        return None
    variance = sum((len(part) - 1) / len(part) * float(((part - part.mean()) ** 2).sum()) for part in parts)
    from scipy import stats  # late: it takes half a second, and a run of simulated patients needs none of it

    reach = stats.t.ppf(0.975, min(len(part) for part in parts) - 1) * np.sqrt(variance)
    return clipped(value, float(reach), low, high)


def wilson(hits: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(5, 10)]
    [0.237, 0.763]
    """
    p = hits / n
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    reach = Z / (1 + Z * Z / n) * np.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return min(p, max(0.0, float(middle - reach))), max(p, min(1.0, float(middle + reach)))  # rounding at 0 and 1


def share_interval(hit: NDArray[np.float64], group: NDArray[np.int64], rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % interval of a mean of values in [0, 1], by subject where subjects repeat.

    Wilson's for zeros and ones; with values between (ties), the normal one after adding a 0 and a 1, which keeps it
    from shrinking to a point (Agresti & Caffo, The American Statistician 54, 2000, doi:10.1080/00031305.2000.10474560).
    """
    value, n = float(hit.mean()), len(hit)
    if ((hit == 0) | (hit == 1)).all():
        plain = wilson(float(hit.sum()), n)
    else:
        reach = Z * float(np.sqrt(np.append(hit, [0.0, 1.0]).var(ddof=1) / (n + 2)))
        plain = clipped(value, reach, 0.0, 1.0)
    if len(np.unique(group)) == n:
        return plain
    part = deal(group, rng)
    total, size = np.bincount(part, hit), np.bincount(part)
    if len(size) < 2:
        return plain
    out = jackknife_interval(value, (hit.sum() - total) / (n - size))
    return (min(plain[0], out[0]), max(plain[1], out[1])) if out else plain


def clipped(value: float, reach: float, low: float, high: float) -> tuple[float, float]:
    """Return value -/+ reach within the scale."""
    return max(low, value - reach), min(high, value + reach)
