"""Distances between the distribution functions of a number column, real against synthetic, with their tests.

Kolmogorov-Smirnov, Anderson-Darling, Cramer-von Mises and the first Wasserstein distance, each from counts in the
order of the values, so in linear time once the column is sorted. The first three are scaled to [0, 1] in a way that
does not depend on the number of rows; the statistics of the tests, which do, stand in the details.

References: Massey, The Kolmogorov-Smirnov test for goodness of fit, JASA 1951, doi:10.1080/01621459.1951.10500769;
Scholz & Stephens, K-sample Anderson-Darling tests, JASA 1987, doi:10.1080/01621459.1987.10478517; Anderson, On the
distribution of the two-sample Cramer-von Mises criterion, Ann. Math. Statist. 1962, doi:10.1214/aoms/1177704477;
Villani, Optimal Transport, Springer 2009, doi:10.1007/978-3-540-71050-9.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.evaluation.fidelity.columns import ColumnMetric, Counts, Measure, Tally
from ehrsatz.evaluation.fidelity.tails import anderson_darling_p, anderson_darling_statistic, cramer_von_mises_p

EXACT = 100  # rows in the larger sample up to which the p-value of Kolmogorov-Smirnov is exact
MOST = 100.0  # a column's Wasserstein distance is cut here, so that one wild column does not make the mean


class KolmogorovSmirnov(ColumnMetric):
    """Mean Kolmogorov-Smirnov distance of number columns. Identical data 0, no common range 1, less is better.

    The p-value is exact up to 100 rows, asymptotic beyond; with ties it is cautious.
    """

    name = "kolmogorov_smirnov"
    title = "Kolmogorov-Smirnov distance"
    reads = "numbers"
    tested = True
    what = "The largest gap between the two distribution functions of a number column, averaged over columns."
    blind = "Differences in the far tails, where both functions are near 0 or 1; how columns go together."
    reference = "Massey 1951, doi:10.1080/01621459.1951.10500769"

    def _measure(self, tally: Tally, a: str, b: str) -> Measure:
        value, up = ks(tally.counts[a], tally.counts[b])
        return Measure(value, up, -up, value)

    def _p(self, found: list[tuple[Tally, Measure | None]]) -> list[float | None]:
        sizes = [(one.subjects["holdout"], one.subjects["synthetic"]) for one, _ in found]
        even = np.array([max(1.0, round(n * m / max(1, n + m))) for n, m in sizes])
        d = np.array([0.0 if one is None else one.value for _, one in found])
        p = np.clip(stats.kstwo.sf(d, even), 0.0, 1.0)
        out: list[float | None] = []
        for (tally, measure), far, (n, m) in zip(found, p.tolist(), sizes, strict=True):
            exact = max(n, m) <= EXACT and (n, m) == (tally.n("holdout"), tally.n("synthetic"))
            if measure is not None and exact:
                x, y = (np.repeat(tally.values, tally.counts[key].astype(int)) for key in ("holdout", "synthetic"))
                far = float(stats.ks_2samp(x, y, method="exact").pvalue)
            out.append(None if measure is None else far)
        return out

    def _sentence(self, value: float, worst: str, n: int) -> str:
        return (
            f"At the point where they differ most, the shares of real and synthetic rows below it are "
            f"{100 * value:.1f} percentage points apart on average over {n:,} number columns, most in '{worst}'."
        )


class AndersonDarling(ColumnMetric):
    """Mean Anderson-Darling distance of number columns. Identical data 0, at most 1, less is better.

    At every value the rows fall into below and above, which with real and synthetic makes a table of two by two; the
    distance is the root mean square of its phi coefficient over all values (ties half below), sqrt(A2 / (N - 1)).
    Samples of equal size without a common range score 0.62, and 1 where each has one value. The statistic in the
    details is that of Scholz and Stephens for two samples, midrank version, normalised as SciPy does; its p-value
    comes from the limiting distribution, with ties and in the far tail too (tails.py).
    """

    name = "anderson_darling"
    title = "Anderson-Darling distance"
    reads = "numbers"
    tested = True
    what = "The gap between two distribution functions, weighted so that the tails count as much as the middle."
    blind = "Which way the values moved; how columns go together."
    reference = "Scholz & Stephens 1987, doi:10.1080/01621459.1987.10478517"

    def _measure(self, tally: Tally, a: str, b: str) -> Measure:
        x, y = tally.counts[a], tally.counts[b]
        sizes = tally.n(a), tally.n(b)
        share, up, down = anderson_darling(x, y)
        value = math.sqrt(share)
        half = 0.5 / value if value > 0 else 0.0
        return Measure(value, half * up, half * down, anderson_darling_statistic(share * (sum(sizes) - 1), *sizes))

    def _p(self, found: list[tuple[Tally, Measure | None]]) -> list[float | None]:
        out: list[float | None] = []
        for tally, measure in found:
            n, m = tally.subjects["holdout"], tally.subjects["synthetic"]
            both = tally.counts["holdout"] + tally.counts["synthetic"]
            out.append(None if measure is None else anderson_darling_p(measure.value**2 * (n + m - 1), both, n, m))
        return out

    def _sentence(self, value: float, worst: str, n: int) -> str:
        return (
            f"Tails counted as much as the middle, {n:,} number columns lie {value:.3f} from the real ones on average "
            f"(0: alike, 0.62: no common range), farthest '{worst}'."
        )


class CramerVonMises(ColumnMetric):
    """Mean Cramer-von Mises distance of number columns. Identical data 0, no common range 1, less is better.

    The distance is sqrt(3 x integral of (F - G)^2 dH) with H of both samples together, ties broken evenly. The
    statistic in the details is Anderson's T with midranks, as SciPy gives it; its p-value is the asymptotic one, which
    for a column with ties is that of its own limiting distribution and not SciPy's (tails.py).
    """

    name = "cramer_von_mises"
    title = "Cramer-von Mises distance"
    reads = "numbers"
    tested = True
    what = "The gap between two distribution functions, squared and averaged over all values of a column."
    blind = "Differences in the far tails; how columns go together."
    reference = "Anderson 1962, doi:10.1214/aoms/1177704477"

    def _measure(self, tally: Tally, a: str, b: str) -> Measure:
        value, up, down = cramer_von_mises(tally.counts[a], tally.counts[b])
        return Measure(value, up, down, cramer_von_mises_statistic(tally.counts[a], tally.counts[b]))

    def _p(self, found: list[tuple[Tally, Measure | None]]) -> list[float | None]:
        out: list[float | None] = []
        for tally, measure in found:
            if measure is None or measure.statistic is None:
                out.append(None)
                continue
            a, b = tally.counts["holdout"], tally.counts["synthetic"]
            n, m = tally.subjects["holdout"], tally.subjects["synthetic"]
            scaled = measure.statistic * (n + m) / (a.sum() + b.sum())
            out.append(cramer_von_mises_p(scaled, a, b, n, m))
        return out

    def _sentence(self, value: float, worst: str, n: int) -> str:
        return (
            f"Over the whole range of values, {n:,} number columns lie {value:.3f} from the real ones on average "
            f"(0: alike, 1: no common range), farthest '{worst}'."
        )


class Wasserstein(ColumnMetric):
    """Mean first Wasserstein distance of number columns. Identical data 0, unbounded, less is better.

    In units of the interquartile range of the holdout; of its standard deviation where that range is zero; of the
    standard deviation of both datasets together where the holdout holds one value only. Cut at 100 per column.
    """

    name = "wasserstein"
    title = "Wasserstein distance"
    high = MOST
    reads = "numbers"
    absent = None
    what = "How far values must be moved, on average, to turn the synthetic column into the real one."
    blind = "Whether many values moved a little or a few moved far; how columns go together."
    reference = "Villani 2009, doi:10.1007/978-3-540-71050-9"

    def _settings(self) -> dict[str, Any]:
        return {"unit": "interquartile range of the holdout; its standard deviation where that is 0", "most": MOST}

    def _measure(self, tally: Tally, a: str, b: str) -> Measure:
        x, y = tally.counts[a], tally.counts[b]
        unit, name = scale(tally.values, tally.counts["holdout"], y if a == "holdout" else x)
        value, up = wasserstein(tally.values, x, y)
        if value > MOST * unit:
            return Measure(MOST, np.zeros_like(up), np.zeros_like(up), extra={"unit": name})
        return Measure(value / unit, up / unit, -up / unit, extra={"unit": name})

    def _sentence(self, value: float, worst: str, n: int) -> str:
        return (
            f"Values of {n:,} number columns would have to move by {value:.3f} of the width of the real middle half "
            f"on average to match, farthest in '{worst}'."
        )


# ---------------------------------------------------------------- distances, from counts in the order of the values
def ks(a: Counts, b: Counts) -> tuple[float, Counts]:
    """Return the Kolmogorov-Smirnov distance of two counts, and its slope in the first (minus that in the second)."""
    gap = np.cumsum(a) / a.sum() - np.cumsum(b) / b.sum()
    top = int(np.argmax(np.abs(gap)))
    slope = np.zeros(len(a))
    slope[: top + 1] = np.sign(gap[top])
    return float(abs(gap[top])), slope


def anderson_darling(a: Counts, b: Counts) -> tuple[float, Counts, Counts]:
    """Return A2akN / (N - 1) of Scholz and Stephens, equation 7, and its slopes in both samples.

    It is the mean, over all N cells, of the squared correlation between the dataset and standing below that cell.
    """
    n, m = a.sum(), b.sum()
    w, v = n / (n + m), m / (n + m)
    p, q = a / n, b / m
    h = w * p + v * q
    f, g = np.cumsum(p) - p / 2, np.cumsum(q) - q / 2
    middle = w * f + v * g
    spread = middle * (1 - middle) - h / 4
    safe = np.where(spread > 1e-15, spread, np.inf)
    gap = f - g
    eta = w * v * gap**2 / safe
    value = float(h @ eta)
    per_gap = h * 2 * w * v * gap / safe
    per_middle = -h * eta / safe * (1 - 2 * middle)
    here = eta + h * eta / (4 * safe)
    slopes = []
    for sign, weight in ((1, w), (-1, v)):
        cut = sign * per_gap + weight * per_middle
        slopes.append(_after(cut) - cut / 2 + weight * here)  # half of a value's own cells stand below it
    return value, slopes[0], slopes[1]


def cramer_von_mises(a: Counts, b: Counts) -> tuple[float, Counts, Counts]:
    """Return sqrt(3 x integral (F - G)^2 dH), F and G rising evenly within a tie, and its slopes in both samples."""
    n, m = a.sum(), b.sum()
    w, v = n / (n + m), m / (n + m)
    p, q = a / n, b / m
    h = w * p + v * q
    gap = np.cumsum(p - q)
    gap[-1] = 0.0
    last = np.append(0.0, gap[:-1])
    square = last**2 + last * gap + gap**2
    value = math.sqrt(max(0.0, float(h @ square)))
    if value < 1e-12:
        return 0.0, np.zeros(len(a)), np.zeros(len(a))
    cut = h * (2 * gap + last)
    cut[:-1] += (h * (2 * last + gap))[1:]
    slope = _after(cut)
    return value, (slope + w * square) / (2 * value), (-slope + v * square) / (2 * value)


def cramer_von_mises_statistic(a: Counts, b: Counts) -> float:
    """Return Anderson's T of two counts, with midranks for ties."""
    n, m = a.sum(), b.sum()
    both = np.cumsum(a + b)
    rank = both - (a + b) / 2 + 0.5
    u = 0.0
    for one, size in ((a, n), (b, m)):
        own = np.cumsum(one) - one / 2 + 0.5
        u += float(size * (one * (rank - own) ** 2 + (one**3 - one) / 12).sum())
    return float(u / (n * m * (n + m)) - (4 * n * m - 1) / (6 * (n + m)))


def wasserstein(x: NDArray[np.float64], a: Counts, b: Counts) -> tuple[float, Counts]:
    """Return the first Wasserstein distance in the unit of x, and its slope in the first sample (minus the other's)."""
    gap = np.cumsum(a) / a.sum() - np.cumsum(b) / b.sum()
    width = np.append(np.diff(x), 0.0)
    return float(np.abs(gap) @ width), _after(np.sign(gap) * width)


def quantile(x: NDArray[np.float64], counts: Counts, p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quantiles of counted values, interpolated between neighbours (Hyndman and Fan's type 7)."""
    ends = np.cumsum(counts)
    at = p * (ends[-1] - 1)
    low = np.floor(at)
    left = x[np.searchsorted(ends, low, "right")]
    right = x[np.searchsorted(ends, np.minimum(low + 1, ends[-1] - 1), "right")]
    return np.asarray(left + (at - low) * (right - left))


def scale(x: NDArray[np.float64], real: Counts, other: Counts) -> tuple[float, str]:
    """Return a width to measure distances in, and its name."""
    if real.sum():
        low, high = quantile(x, real, np.array([0.25, 0.75]))
        if high > low:
            return float(high - low), "interquartile range"
    for counts, name in ((real, "standard deviation"), (real + other, "standard deviation of both")):
        n = counts.sum()
        if n:
            deviation = math.sqrt(max(0.0, float(counts @ (x - counts @ x / n) ** 2) / n))
            if deviation > 0:
                return deviation, name
    return 1.0, "one"


def _after(cut: Counts) -> Counts:
    """Return for each value the sum of what follows from it on: the slope of all that a distribution function moves."""
    return np.asarray(np.cumsum(cut[::-1])[::-1])
