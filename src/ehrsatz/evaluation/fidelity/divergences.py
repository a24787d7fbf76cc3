"""Divergences between the shares of a column's levels, real against synthetic; numbers in bins of real quantiles.

Chi-squared for categories; Kullback-Leibler, Jensen-Shannon and total variation for all columns. A number falls in one
of twenty bins by its mid-rank among the real rows (train and holdout), so that ties stay together.

References: Pearson, On the criterion that a given system of deviations ..., Phil. Mag. 1900,
doi:10.1080/14786440009463897; Cochran, Some methods for strengthening the common chi-squared tests, Biometrics 1954,
doi:10.2307/3001616; Kullback & Leibler, On information and sufficiency, Ann. Math. Statist. 1951,
doi:10.1214/aoms/1177729694; Krichevsky & Trofimov, The performance of universal encoding, IEEE Trans. Inf. Theory 1981,
doi:10.1109/TIT.1981.1056331 (adding one half); Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf.
Theory 1991, doi:10.1109/18.61115; Endres & Schindelin, A new metric for probability distributions, IEEE Trans. Inf.
Theory 2003, doi:10.1109/TIT.2003.813506; Gibbs & Su, On choosing and bounding probability metrics, Int. Stat. Rev.
2002, doi:10.1111/j.1751-5823.2002.tb00178.x.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.evaluation.fidelity.columns import ColumnMetric, Counts, Measure, Tally

BINS = 20
LEAST_EXPECTED = 5.0  # cells expected in either sample, below which a level is pooled for the test (Cochran)
ADDED = 0.5  # to every count, for Kullback-Leibler
MOST = 50.0  # no count that fits in memory gives a larger divergence


class ChiSquared(ColumnMetric):
    """Mean size of the chi-squared difference of category columns. Identical data 0, no common level 1, less is better.

    The size is sqrt(chi-squared / N) of the table dataset x level, Cramer's V where one side has two rows: unlike the
    statistic and its p-value, which stand in the details, it does not grow with the number of rows. Levels with fewer
    than five expected cells in either dataset are pooled; no continuity correction.
    """

    name = "chi_squared"
    title = "Chi-squared difference of levels"
    reads = "categories"
    tested = True
    what = "How strongly the levels of a category column depend on whether a row is real or synthetic."
    blind = "Which levels differ, where they are rare; how columns go together."
    reference = "Pearson 1900, doi:10.1080/14786440009463897"

    def _settings(self) -> dict[str, Any]:
        return {"least_expected": LEAST_EXPECTED}

    def _measure(self, tally: Tally, a: str, b: str) -> Measure:
        level, size = _pooled_levels(tally.counts[a], tally.counts[b])
        x, y = _sums(tally.counts[a], level, size), _sums(tally.counts[b], level, size)
        share, up, down = chi_squared(x, y)
        value = math.sqrt(share)
        half = 0.5 / value if value > 0 else 0.0
        used = int(((x + y) > 0).sum())
        statistic = share * (tally.n(a) + tally.n(b))
        return Measure(value, half * up[level], half * down[level], statistic, {"degrees_of_freedom": used - 1})

    def _p(self, found: list[tuple[Tally, Measure | None]]) -> list[float | None]:
        out: list[float | None] = []
        for tally, one in found:
            if one is None or one.statistic is None:
                out.append(None)
                continue
            rows = tally.n("holdout") + tally.n("synthetic")
            subjects = tally.subjects["holdout"] + tally.subjects["synthetic"]
            free = one.extra["degrees_of_freedom"]
            out.append(float(stats.chi2.sf(one.statistic * subjects / rows, free)) if free > 0 else 1.0)
        return out

    def _sentence(self, value: float, worst: str, n: int) -> str:
        return (
            f"Over {n:,} category columns, the levels tell real from synthetic rows with a strength of {value:.3f} "
            f"on average (0: not at all, 1: no level in common), most in '{worst}'."
        )


class KlDivergence(ColumnMetric):
    """Mean Kullback-Leibler divergence of the real shares from the synthetic ones. Identical data 0, less is better.

    In nats; one half is added to every count of the levels or bins that either dataset has, so that a level which the
    synthetic rows lack costs much, and not infinitely much. Unrelated data have no upper end; no value exceeds 50.
    """

    name = "kl_divergence"
    title = "Kullback-Leibler divergence"
    high = MOST
    absent = None
    what = "How surprised one would be by the real levels after reading the synthetic ones."
    blind = "Differences within a bin; levels that only the synthetic rows have weigh little; how columns go together."
    reference = "Kullback & Leibler 1951, doi:10.1214/aoms/1177729694"

    def _settings(self) -> dict[str, Any]:
        return {"bins": BINS, "added_to_counts": ADDED, "unit": "nat"}

    def _measure(self, tally: Tally, a: str, b: str) -> Measure:
        bins, x, y = binned(tally, a, b)
        if a == "train":  # the reference too is the divergence of the holdout from what is held against it
            x, y = y, x
        value, up, down = kl_divergence(x, y)
        back, _, _ = kl_divergence(y, x)
        up, down = (down, up) if a == "train" else (up, down)
        return Measure(value, up[bins], down[bins], extra={"reverse": back})

    def _sentence(self, value: float, worst: str, n: int) -> str:
        return (
            f"The synthetic shares of levels and ranges describe the real ones with a loss of {value:.3f} nat on "
            f"average over {n:,} columns (0: none), the largest in '{worst}'."
        )


class JensenShannon(ColumnMetric):
    """Mean Jensen-Shannon distance of levels and bins. Identical data 0, nothing in common 1, less is better.

    The square root of the divergence with logarithms to base two: a metric. Nothing is added to the counts.
    """

    name = "jensen_shannon"
    title = "Jensen-Shannon distance"
    what = "How far the shares of levels, or of twenty ranges of a number, lie from the real ones, on an even scale."
    blind = "Differences within a bin; how columns go together."
    reference = "Lin 1991, doi:10.1109/18.61115"

    def _settings(self) -> dict[str, Any]:
        return {"bins": BINS}

    def _measure(self, tally: Tally, a: str, b: str) -> Measure:
        bins, x, y = binned(tally, a, b)
        value, up, down = jensen_shannon(x, y)
        return Measure(value, up[bins], down[bins])

    def _sentence(self, value: float, worst: str, n: int) -> str:
        return (
            f"Shares of levels and ranges lie {value:.3f} from the real ones on average over {n:,} columns (0: alike, "
            f"1: nothing in common), farthest in '{worst}'."
        )


class TotalVariation(ColumnMetric):
    """Mean total variation distance of levels and bins. Identical data 0, nothing in common 1, less is better."""

    name = "total_variation"
    title = "Total variation distance"
    what = "The share of rows that would have to change their level, or their range of a number, to match."
    blind = "How far values would have to move; differences within a bin; how columns go together."
    reference = "Gibbs & Su 2002, doi:10.1111/j.1751-5823.2002.tb00178.x"

    def _settings(self) -> dict[str, Any]:
        return {"bins": BINS}

    def _measure(self, tally: Tally, a: str, b: str) -> Measure:
        bins, x, y = binned(tally, a, b)
        value, up = total_variation(x, y)
        return Measure(value, up[bins], -up[bins])

    def _sentence(self, value: float, worst: str, n: int) -> str:
        return (
            f"{100 * value:.1f} % of the synthetic rows would have to change their level or range to match the real "
            f"shares, on average over {n:,} columns, most in '{worst}'."
        )


# ---------------------------------------------------------------- levels and bins
def bins_of(tally: Tally, n_bins: int = BINS) -> NDArray[np.int64]:
    """Return the level or bin of each value of a column: bins by mid-rank among train and holdout."""
    if not tally.feature.is_number:
        return np.arange(len(tally.values))
    real = tally.counts["train"] + tally.counts["holdout"]
    rank = (np.cumsum(real) - real / 2) / max(1.0, real.sum())
    return np.minimum((rank * n_bins).astype(np.int64), n_bins - 1)


def binned(tally: Tally, a: str, b: str) -> tuple[NDArray[np.int64], Counts, Counts]:
    """Return the level or bin of each value, and the counts of two datasets in them."""
    bins = bins_of(tally)
    size = int(bins.max(initial=0)) + 1
    return bins, _sums(tally.counts[a], bins, size), _sums(tally.counts[b], bins, size)


def _sums(counts: Counts, place: NDArray[np.int64], size: int) -> Counts:
    return np.bincount(place, counts, minlength=size).astype(np.float64)


def _pooled_levels(a: Counts, b: Counts) -> tuple[NDArray[np.int64], int]:
    """Return the place of each level after pooling those expected too rarely in the smaller sample (the last place)."""
    both = a + b
    rare = both * min(a.sum(), b.sum()) / both.sum() < LEAST_EXPECTED
    kept = int((~rare).sum())
    place = np.full(len(a), kept, np.int64)
    place[~rare] = np.arange(kept)
    return place, kept + 1


# ---------------------------------------------------------------- divergences of counts, with slopes in both samples
def chi_squared(a: Counts, b: Counts) -> tuple[float, Counts, Counts]:
    """Return chi-squared / N of the table with the rows a and b, and its slopes."""
    n, m = a.sum(), b.sum()
    w, v = n / (n + m), m / (n + m)
    p, q = a / n, b / m
    both = w * p + v * q
    safe = np.where(both > 0, both, 1.0)
    gap = (p - q) / safe
    up = w * v * (2 * gap - w * gap**2)
    down = w * v * (-2 * gap - v * gap**2)
    return float(w * v * (gap**2 * both).sum()), up, down


def kl_divergence(a: Counts, b: Counts, added: float = ADDED) -> tuple[float, Counts, Counts]:
    """Return the divergence of the shares of a from those of b in nats, and its slopes.

    Only levels that one of them has take part; `added` is added to each of their counts.
    """
    used = (a + b) > 0
    n, m = a.sum() + added * used.sum(), b.sum() + added * used.sum()
    p = np.where(used, (a + added) / n, 1.0)
    q = np.where(used, (b + added) / m, 1.0)
    log = np.log(p / q)
    return max(0.0, float((p * log)[used].sum())), log * (a.sum() / n), -p / q * (b.sum() / m)


def jensen_shannon(a: Counts, b: Counts) -> tuple[float, Counts, Counts]:
    """Return the Jensen-Shannon distance to base two, and its slopes."""
    p, q = a / a.sum(), b / b.sum()
    middle = np.where(p + q > 0, (p + q) / 2, 1.0)
    up = 0.5 * np.log2(np.where(p > 0, p / middle, 1.0))
    down = 0.5 * np.log2(np.where(q > 0, q / middle, 1.0))
    value = math.sqrt(min(1.0, max(0.0, float(p @ up + q @ down))))
    half = 0.5 / value if value > 1e-9 else 0.0
    return value, half * up, half * down


def total_variation(a: Counts, b: Counts) -> tuple[float, Counts]:
    """Return the total variation distance, and its slope in the first sample (minus that in the second)."""
    gap = a / a.sum() - b / b.sum()
    return min(1.0, float(0.5 * np.abs(gap).sum())), 0.5 * np.sign(gap)
