"""Kaplan-Meier curves, restricted means, and the log-rank test.

References: Kaplan & Meier, JASA 53, 1958, doi:10.1080/01621459.1958.10501452; Mantel, Cancer Chemotherapy Reports 50,
1966 (log-rank); Royston & Parmar, BMC Medical Research Methodology 13, 2013, doi:10.1186/1471-2288-13-152 (restricted
mean and its variance).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A product-limit estimate.

    time
        (T,) times with events, rising.
    survival
        (T,) share without event just after each.
    at_risk, deaths
        (T,) rows under observation just before, and rows with the event at each time.
    last
        End of the longest follow-up; the curve is carried on flat behind it.
    """

    time: Array
    survival: Array
    at_risk: Array
    deaths: Array
    last: float

    def at(self, times: Array) -> Array:
        """Return the share without event at these times."""
        return np.r_[1.0, self.survival][np.searchsorted(self.time, times, "right")]

    def restricted_mean(self, tau: float) -> tuple[float, float]:
        """Return the mean time without event up to tau, and its variance (Greenwood's)."""
        inside = self.time < tau
        edges = np.r_[0.0, self.time[inside], tau]
        pieces = np.diff(edges) * np.r_[1.0, self.survival[inside]]
        area = float(pieces.sum())
        after = area - np.cumsum(pieces)[:-1]  # area behind each event time
        y, d = self.at_risk[inside], self.deaths[inside]
        left = np.where(y > d, y * (y - d), np.inf)  # where all die nothing is behind
        return area, float((after**2 * d / left).sum())


def kaplan_meier(duration: Array, event: NDArray[np.bool_]) -> Curve:
    """Return the Kaplan-Meier curve of some rows.

    Parameters
    ----------
    duration
        Shape (N,), at least one row.
    event
        Shape (N,): whether follow-up ended in the event.
    """
    times, number = np.unique(duration, return_inverse=True)
    deaths = np.bincount(number, event, minlength=len(times))
    at_risk = len(duration) - np.r_[0, np.cumsum(np.bincount(number, minlength=len(times)))[:-1]]
    has = deaths > 0
    survival = np.cumprod(1 - deaths[has] / at_risk[has])
    return Curve(
        times[has], survival, at_risk[has].astype(np.float64), deaths[has].astype(np.float64), float(times[-1])
    )


def distance(a: Curve, b: Curve, tau: float) -> tuple[float, float]:
    """Return the mean absolute and the mean signed difference a - b of two curves up to tau, as shares of tau."""
    inner = np.unique(np.r_[a.time, b.time])
    edges = np.r_[0.0, inner[(inner > 0) & (inner < tau)], tau]
    gap = a.at(edges[:-1]) - b.at(edges[:-1])
    width = np.diff(edges) / tau
    return float((np.abs(gap) * width).sum()), float((gap * width).sum())


@dataclass(frozen=True)
class LogRank:
    """Log-rank test of two groups.

    statistic, p
        Chi-squared with one degree of freedom, and its p-value.
    hazard_ratio, low, high
        Peto's one-step estimate of the second group's hazard over the first one's, with its 95 % interval.
    """

    statistic: float
    p: float
    hazard_ratio: float
    low: float
    high: float


def log_rank(
    duration_a: Array, event_a: NDArray[np.bool_], duration_b: Array, event_b: NDArray[np.bool_]
) -> LogRank | None:
    """Test whether two groups have the same survival; None where no event tells.

    Parameters
    ----------
    duration_a, event_a
        First group, shapes (N,).
    duration_b, event_b
        Second group, shapes (M,).
    """
    duration, event = np.r_[duration_a, duration_b], np.r_[event_a, event_b]
    second = np.r_[np.zeros(len(duration_a)), np.ones(len(duration_b))]
    times, number = np.unique(duration, return_inverse=True)
    size = len(times)

    def risk_set(weight: Array) -> Array:
        return np.asarray(np.cumsum(np.bincount(number, weight, minlength=size)[::-1])[::-1], np.float64)

    deaths = np.bincount(number, event, minlength=size)
    y, y_b = risk_set(np.ones(len(duration))), risk_set(second)
    has = (deaths > 0) & (y > 1)
    d, y, y_b = deaths[has], y[has], y_b[has]
    observed = np.bincount(number, event * second, minlength=size)[has].sum()
    expected = (d * y_b / y).sum()
    variance = float((d * (y_b / y) * (1 - y_b / y) * (y - d) / (y - 1)).sum())
    if variance <= 0:
        return None
    gap = float(observed - expected)
    statistic = gap**2 / variance
    middle, reach = gap / variance, 1.959963984540054 / math.sqrt(variance)
    bounded = [math.exp(max(-50.0, min(50.0, one))) for one in (middle, middle - reach, middle + reach)]
    from scipy import stats  # late: it takes half a second, and a run of simulated patients needs none of it

    return LogRank(statistic, float(stats.chi2.sf(statistic, 1)), *bounded)
