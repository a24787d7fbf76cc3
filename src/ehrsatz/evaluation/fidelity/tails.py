"""Chances of the two-sample tests of Anderson-Darling and Cramer-von Mises, with and without ties.

Without ties the limiting distributions are those of the textbooks. With many ties they are not: a column of two levels
would be called different in a tenth of all cases by the usual Anderson-Darling table, and nearly always by the usual
Cramer-von Mises one. There the limit is computed for the column at hand: the gap of the two distribution functions at
midranks is a Gaussian vector whose covariance follows from the pooled shares, the statistic a weighted sum of
chi-squared variables with the eigenvalues as weights (as Scholz and Stephens derive it for the continuous case), and
its tail a saddlepoint approximation.

References: Scholz & Stephens, K-sample Anderson-Darling tests, JASA 1987, doi:10.1080/01621459.1987.10478517; Marsaglia
& Marsaglia, Evaluating the Anderson-Darling distribution, J. Stat. Softw. 9(2), 2004, doi:10.18637/jss.v009.i02;
Anderson, On the distribution of the two-sample Cramer-von Mises criterion, Ann. Math. Statist. 1962,
doi:10.1214/aoms/1177704477; Csorgo & Faraway, The exact and asymptotic distributions of Cramer-von Mises statistics,
JRSS B 1996, doi:10.1111/j.2517-6161.1996.tb02077.x; Kuonen, Saddlepoint approximations for distributions of quadratic
forms in normal variables, Biometrika 1999, doi:10.1093/biomet/86.4.929; Zolotarev, Concerning a certain probability
problem, Theory Probab. Appl. 1961, doi:10.1137/1106025 (far tails).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from ehrsatz.evaluation.fidelity.columns import Counts

BLOCKS = 60  # of neighbouring values, for the eigenvalues of a column with ties
LIMIT_SIGMA = math.sqrt(2 * (math.pi**2 - 9) / 3)  # of A2 for two samples without ties


@lru_cache(maxsize=4096)
def _harmonic(total: int) -> tuple[float, float]:
    steps = np.cumsum(1.0 / np.arange(total - 1, 1, -1))
    return float(steps[-1] + 1), float((steps / np.arange(2, total)).sum())


def anderson_darling_statistic(a2: float, n: int, m: int) -> float | None:
    """Return (A2akN - 1) / sigma_N of two samples of n and m rows, equation 4; None for fewer than eight together."""
    total = n + m
    if total < 8 or min(n, m) < 1:
        return None
    h, g = _harmonic(total)
    both = 1 / n + 1 / m
    a = (4 * g - 6) + (10 - 6 * g) * both
    b = (2 * g - 4) * 4 + 16 * h + (2 * g - 14 * h - 4) * both - 8 * h + 4 * g - 6
    c = (6 * h + 2 * g - 2) * 4 + (4 * h - 4 * g + 6) * 2 + (2 * h - 6) * both + 4 * h
    d = (2 * h + 6) * 4 - 8 * h
    variance = (a * total**3 + b * total**2 + c * total + d) / ((total - 1.0) * (total - 2.0) * (total - 3.0))
    return (a2 - 1) / math.sqrt(variance) if variance > 0 else None


def anderson_darling_tail(z: float) -> float:
    """Return the chance of an A2 above z in the limit, two samples of one distribution.

    The polynomials of Marsaglia and Marsaglia up to 5; beyond, Zolotarev's tail sqrt(3) erfc(sqrt(z)) times
    1 + 0.3 / z, a factor fitted to Imhof's exact inversion, which it meets within 1 % up to 8.
    """
    if z <= 0.01:
        return 1.0
    if z > 5:
        return math.sqrt(3) * math.erfc(math.sqrt(z)) * (1 + 0.3 / z)
    if z < 2:
        inner = 2.00012 + (0.247105 - (0.0649821 - (0.0347962 - (0.0116720 - 0.00168691 * z) * z) * z) * z) * z
        return 1 - math.exp(-1.2337141 / z) / math.sqrt(z) * inner
    inner = 1.0776 - (2.30695 - (0.43424 - (0.082433 - (0.008056 - 0.0003146 * z) * z) * z) * z) * z
    return 1 - math.exp(-math.exp(inner))


def cramer_von_mises_tail(statistic: float, n: int, m: int) -> float:
    """Return the asymptotic chance of a larger T, two samples of n and m rows of one distribution.

    T is brought to the mean and variance of its limit (Anderson 1962), whose distribution is the series of Csorgo and
    Faraway, equation 1.3; beyond 3 Zolotarev's tail sqrt(2) erfc(pi sqrt(t / 2)).
    """
    total, product = n + m, n * m
    mean = (1 + 1 / total) / 6
    variance = (total + 1) * (4 * product * total - 3 * (n * n + m * m) - 2 * product) / (45 * total**2 * 4 * product)
    if variance <= 0:
        return 1.0
    t = 1 / 6 + (statistic - mean) / math.sqrt(45 * variance)
    if t < 0.003:
        return 1.0
    if t > 3:
        return math.sqrt(2) * math.erfc(math.pi * math.sqrt(t / 2))
    k = np.arange(20)
    y = 4 * k + 1
    q = y**2 / (16 * t)
    weight = np.exp(special.gammaln(k + 0.5) - special.gammaln(k + 1)) / (math.pi**1.5 * math.sqrt(t))
    return float(np.clip(1 - (weight * np.sqrt(y) * np.exp(-2 * q) * special.kve(0.25, q)).sum(), 0.0, 1.0))


def anderson_darling_p(a2: float, both: Counts, n: int, m: int) -> float | None:
    """Return the chance of a larger A2akN of two samples of n and m rows; None for fewer than eight together.

    Parameters
    ----------
    a2
        The statistic before it is normalised.
    both
        Cells of both samples together at each value.
    n, m
        Rows, or subjects.
    """
    normal = anderson_darling_statistic(a2, n, m)
    if normal is None:
        return None
    z = 1 + normal * LIMIT_SIGMA
    return anderson_darling_tail(z) if both.max() <= 1 else weighted_tail(z, tie_weights(both, standardised=True)[0])


def cramer_von_mises_p(statistic: float, a: Counts, b: Counts, n: int, m: int) -> float | None:
    """Return the chance of a larger Cramer-von Mises statistic; None for fewer than two rows in a sample.

    Without ties from Anderson's T; with ties from (n m / N) times the mean squared gap at midranks, for n and m rows
    or subjects.
    """
    if min(n, m) < 2:
        return None
    both = a + b
    if both.max() <= 1:
        return cramer_von_mises_tail(statistic, n, m)
    p, q = a / a.sum(), b / b.sum()
    gap = np.cumsum(p) - p / 2 - np.cumsum(q) + q / 2
    square = float(both @ gap**2 / both.sum()) * n * m / (n + m)
    weights, rest = tie_weights(both, standardised=False)
    return weighted_tail(square * (1 - 1 / (n + m)) - rest, weights)


def tie_weights(both: Counts, *, standardised: bool) -> tuple[NDArray[np.float64], float]:
    """Return the weights of the chi-squared variables that make up a statistic in the limit, given the pooled cells.

    With more than 60 values neighbours are joined.

    Parameters
    ----------
    both
        Cells of both samples together at each value.
    standardised
        Whether each gap is divided by its standard deviation (Anderson-Darling) or not (Cramer-von Mises).

    Returns
    -------
    The weights, largest first, and the sum of the many small ones that are left out, which hardly vary.
    """
    h = both[both > 0] / both.sum()
    middle = np.cumsum(h) - h / 2
    whole = 1.0 if standardised else float(h @ (middle * (1 - middle) - h / 4))
    if len(h) > BLOCKS:
        h = np.bincount((middle * BLOCKS).astype(np.int64), h, minlength=BLOCKS)
        h = h[h > 0]
        middle = np.cumsum(h) - h / 2
    if len(h) < 2:
        return np.empty(0), 0.0
    cover = np.minimum.outer(middle, middle) * (1 - np.maximum.outer(middle, middle))
    spread = middle * (1 - middle) - h / 4
    np.fill_diagonal(cover, spread)
    side = np.sqrt(h / spread) if standardised else np.sqrt(h)
    weights = np.linalg.eigvalsh(cover * np.outer(side, side))[::-1]
    weights = weights[weights > 1e-9 * weights[0]]
    return weights, max(0.0, whole - float(weights.sum()))


def weighted_tail(z: float, weights: NDArray[np.float64]) -> float:
    """Return the chance that a sum of chi-squared variables of one degree of freedom, with these weights, exceeds z.

    Exact for one weight, Kuonen's saddlepoint approximation for more.
    """
    mean = float(weights.sum())
    if z <= 1e-6 * mean or not len(weights):
        return 1.0
    if len(weights) == 1:
        return float(stats.chi2.sf(z / weights[0], 1))
    if abs(z / mean - 1) < 0.01:  # the approximation is a limit there
        return 0.5 * (weighted_tail(0.985 * mean, weights) + weighted_tail(1.015 * mean, weights))
    top = 0.5 / float(weights[0])

    def slope(t: float) -> float:
        return float((weights / (1 - 2 * t * weights)).sum()) - z

    low = -0.5 * len(weights) / z - 1.0  # there every term is below z / len(weights)
    t = float(optimize.brentq(slope, low, top * (1 - 1e-12), xtol=1e-14))
    left = 1 - 2 * t * weights
    w = math.copysign(math.sqrt(max(0.0, 2 * t * z + float(np.log(left).sum()))), t)
    v = t * math.sqrt(float((2 * (weights / left) ** 2).sum()))
    return float(np.clip(special.ndtr(-(w + math.log(v / w) / w)), 0.0, 1.0))
