"""Proportional hazards regression (Cox) with Efron's ties, and the concordance index.

Newton's method on the partial likelihood. Sums over risk sets are running sums over rows sorted by time, and the second
derivative is one weighted product of matrices, so that a step costs as much as one of logistic regression. Where
subjects have several rows, the covariance is the sandwich of score residuals by subject.

References: Cox, JRSS B 34, 1972, doi:10.1111/j.2517-6161.1972.tb00899.x; Efron, The efficiency of Cox's likelihood
function for censored data, JASA 72, 1977, doi:10.1080/01621459.1977.10480613 (ties); Lin & Wei, The robust inference
for the Cox proportional hazards model, JASA 84, 1989, doi:10.1080/01621459.1989.10478874 (clusters); Harrell, Lee &
Mark, Multivariable prognostic models, Statistics in Medicine 15, 1996 (concordance).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.utility.glm import (
    MAX_STEPS,
    Array,
    Fit,
    NoEstimate,
    cluster_sums,
    independent_columns,
    separated,
)


@dataclass(frozen=True)
class _Times:
    """Rows sorted by time, and the single deaths as (time, place among the deaths of that time)."""

    order: NDArray[np.int64]
    died: NDArray[np.bool_]  # (N,) in sorted order
    start: NDArray[np.int64]  # (N,) first row with the same time
    which: NDArray[np.int64]  # (N,) number of the time at or before the row's time with deaths, from 1 on; 0: none
    own: NDArray[np.int64]  # (T,) first row of each time with deaths
    deaths: NDArray[np.int64]  # (T,) number of deaths
    time: NDArray[np.int64]  # (E,) time number of each death
    share: Array  # (E,) l / d, l = 0 .. d - 1

    @classmethod
    def of(cls, duration: Array, event: NDArray[np.bool_]) -> _Times:
        order = np.lexsort((~event, duration))
        t, died = duration[order], event[order]
        first = np.r_[True, t[1:] != t[:-1]]
        start = np.maximum.accumulate(np.where(first, np.arange(len(t)), 0))
        own, deaths = np.unique(start[died], return_counts=True)
        which = np.searchsorted(own, start, "right")
        time = np.repeat(np.arange(len(own)), deaths)
        place = np.arange(len(time)) - np.repeat(np.cumsum(deaths) - deaths, deaths)
        return cls(order, died, start, which, own, deaths, time, place / deaths[time])


def fit_hazards(
    x: Array,
    duration: Array,
    event: NDArray[np.bool_],
    names: tuple[str, ...],
    *,
    group: NDArray[np.int64] | None = None,
) -> Fit:
    """Fit a proportional hazards regression; coefficients are log hazard ratios.

    Parameters
    ----------
    x
        Shape (N, K), without a column of ones.
    duration
        Shape (N,), any unit.
    event
        Shape (N,): whether follow-up ended in the event; otherwise it was censored.
    names
        K names, for messages and the result.
    group
        Shape (N,): subject of each row; standard errors are by subject where one has several rows.

    Raises
    ------
    NoEstimate
        Without events, with fewer events than columns, or when columns separate those with early events.
    """
    if not event.any():
        raise NoEstimate("there is no event")
    centre = x.mean(axis=0)
    try:
        z, names, dropped = independent_columns(x - centre, names)
    except NoEstimate:
        raise NoEstimate("no column has more than one value") from None
    k = z.shape[1]
    dropped = {name: "has one value only" if why == "no row has it" else why for name, why in dropped.items()}
    if event.sum() <= k:
        raise NoEstimate(f"{int(event.sum())} events cannot estimate {k} coefficients")
    scale = z.std(axis=0)
    times = _Times.of(duration, event)
    z = (z / scale)[times.order]
    beta, step = np.zeros(k), np.full(k, np.inf)
    value, gradient, curvature = _partial(z, beta, times)
    for _ in range(MAX_STEPS):
        try:
            step = np.linalg.solve(curvature, gradient)
        except np.linalg.LinAlgError:
            break
        for _ in range(30):
            after, slope, bend = _partial(z, beta + step, times)
            if np.isfinite(after) and after >= value - 1e-9 * (1 + abs(value)):
                break
            step = step / 2
        beta, value, gradient, curvature = beta + step, after, slope, bend
        if np.abs(step).max() <= 1e-9 * max(1.0, np.abs(beta).max()):
            break
    if not np.isfinite(step).all() or np.abs(step).max() > 1e-5 * max(1.0, np.abs(beta).max()):
        raise NoEstimate(separated(names, step))
    covariance, how = np.linalg.inv(curvature), "classical"
    spread = np.diag(covariance)
    if not (np.isfinite(spread) & (spread > 0) & (spread < 1e6)).all():
        raise NoEstimate(separated(names, np.abs(beta)))
    subjects = len(z)
    if group is not None and len(np.unique(group)) < len(group):
        clusters = np.unique(group[times.order], return_inverse=True)[1].astype(np.int64)
        sums = cluster_sums(_score_residuals(z, beta, times), clusters)
        subjects = len(sums)
        if subjects <= k:
            raise NoEstimate(f"{subjects} subjects cannot give standard errors of {k} coefficients")
        covariance, how = covariance @ (sums.T @ sums) @ covariance, "by subject"
    return Fit(
        "hazards",
        names,
        beta / scale,
        covariance / np.outer(scale, scale),
        float("inf"),
        len(z),
        subjects,
        int(event.sum()),
        dropped,
        how,
        value,
    )


def _partial(z: Array, beta: Array, times: _Times) -> tuple[float, Array, Array]:
    """Return Efron's log partial likelihood, its gradient (K,) and minus its second derivative (K, K)."""
    eta = z @ beta
    top = float(eta.max())
    risk = np.exp(eta - top)
    denominator, mean = _sets(z, risk, times)
    if not (denominator > 0).all():
        return -np.inf, np.zeros(len(beta)), np.eye(len(beta))
    value = float(eta[times.died].sum() - (np.log(denominator) + top).sum())
    weight = risk * _exposure(1 / denominator, times)
    gradient = z[times.died].sum(axis=0) - mean.sum(axis=0)
    curvature = z.T @ (z * weight[:, None]) - mean.T @ mean
    return value, gradient, curvature


def _sets(z: Array, risk: Array, times: _Times) -> tuple[Array, Array]:
    """Return for each death the denominator (E,) and the weighted mean of z over its risk set (E, K)."""
    at_risk = np.cumsum(risk[::-1])[::-1][times.own]
    weighted = z * risk[:, None]
    sums = np.cumsum(weighted[::-1], axis=0)[::-1][times.own]
    number = times.which[times.died] - 1
    dying = np.bincount(number, risk[times.died], minlength=len(times.own))
    dying_sums = np.column_stack(
        [np.bincount(number, weighted[times.died, j], minlength=len(times.own)) for j in range(z.shape[1])]
    )
    denominator = at_risk[times.time] - times.share * dying[times.time]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (sums[times.time] - times.share[:, None] * dying_sums[times.time]) / denominator[:, None]
    return denominator, mean


def _exposure(per_death: Array, times: _Times) -> Array:
    """Add up what each death puts on each row that is at risk then: less, by share, on those who die at that time."""
    whole = np.bincount(times.time, per_death, minlength=len(times.own))
    part = np.bincount(times.time, per_death * times.share, minlength=len(times.own))
    out = np.r_[0.0, np.cumsum(whole)][times.which]
    out[times.died] -= part[times.which[times.died] - 1]
    return out


def _score_residuals(z: Array, beta: Array, times: _Times) -> Array:
    """Return each row's part (N, K) of the gradient, in sorted order; a change of centre leaves it as it is."""
    eta = z @ beta
    risk = np.exp(eta - eta.max())
    denominator, mean = _sets(z, risk, times)
    hazard = _exposure(1 / denominator, times)
    drift = np.column_stack([_exposure(mean[:, j] / denominator, times) for j in range(z.shape[1])])
    own = np.column_stack([np.bincount(times.time, mean[:, j], minlength=len(times.own)) for j in range(z.shape[1])])
    out = risk[:, None] * (drift - z * hazard[:, None])
    number = times.which[times.died] - 1
    out[times.died] += z[times.died] - (own / times.deaths[:, None])[number]
    return out


# ---------------------------------------------------------------------- concordance
@dataclass(frozen=True)
class Concordance:
    """Pairs of rows whose order of events is known, and how many of them a score puts in order.

    right
        Shape (N,): pairs with this row that are in order, those with equal scores half.
    pairs
        Shape (N,): pairs with this row that can be compared.
    """

    right: Array
    pairs: Array

    @property
    def index(self) -> float | None:
        """Harrell's C: 0.5 for guessing, 1 for perfect order; None where no pair can be compared."""
        total = float(self.pairs.sum())
        return None if total <= 0 else float(self.right.sum()) / total

    def without(self, clusters: NDArray[np.int64]) -> Array:
        """Return the index without each cluster in turn (G,); pairs within a cluster of several rows go out twice."""
        right, pairs = np.bincount(clusters, self.right), np.bincount(clusters, self.pairs)
        left = self.pairs.sum() / 2 - pairs
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(left > 0, (self.right.sum() / 2 - right) / left, 0.5))


def concordance(duration: Array, event: NDArray[np.bool_], risk: Array) -> Concordance:
    """Count the pairs that a risk score puts in the order of their events, in O(N log^2 N).

    A pair can be compared when one has its event before the other's time, or at the same time at which the other is
    censored. Two events at one time are not compared. Equal scores count half.

    Parameters
    ----------
    duration, event
        Shapes (N,).
    risk
        Shape (N,): higher means an earlier event.

    References
    ----------
    Harrell, Lee & Mark 1996.
    """
    n = len(duration)
    order = np.lexsort((~event, duration))  # events before the censored of the same time
    died = event[order]
    level = np.unique(risk[order], return_inverse=True)[1].reshape(-1).astype(np.int64)
    t = duration[order]
    block = np.r_[True, (t[1:] != t[:-1]) | ~died[1:]] if n else np.empty(0, bool)  # deaths of one time are one block
    place = (np.cumsum(block) - 1).astype(np.int64)
    below, equal = _earlier(place, level, died)  # earlier deaths with lower and with equal risk
    total = np.r_[0, np.cumsum(died)][np.searchsorted(place, place, "left")].astype(np.float64)
    right = total - below - equal / 2
    pairs = total.copy()
    # and, for those who died, the later rows: count on the reversed order
    later_below, later_equal = _earlier(place.max(initial=0) - place[::-1], level[::-1], np.ones(n, bool))
    later = n - np.searchsorted(place, place, "right").astype(np.float64)
    right += np.where(died, later_below[::-1] + later_equal[::-1] / 2, 0.0)
    pairs += np.where(died, later, 0.0)
    back = np.empty(n, np.int64)
    back[order] = np.arange(n)
    return Concordance(right[back], pairs[back])


def _earlier(place: NDArray[np.int64], level: NDArray[np.int64], flag: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Count for each row the flagged rows of an earlier place with a lower, and with an equal, level.

    Halving places: rows in the right half of a block count the flagged ones in its left half, at every size of block.
    """
    n = len(place)
    below, equal = np.zeros(n), np.zeros(n)
    if not n:
        return below, equal
    by_level = np.argsort(level, kind="stable")
    p, v, f = place[by_level], level[by_level], flag[by_level]
    for bit in range(int(p.max()).bit_length()):
        pair = p >> (bit + 1)
        order = np.argsort(pair, kind="stable")
        pp, vv = pair[order], v[order]
        is_right = (p[order] >> bit) & 1 == 1
        counted = np.r_[0, np.cumsum(f[order] & ~is_right)]
        new_pair = np.r_[True, pp[1:] != pp[:-1]]
        new_value = new_pair | np.r_[True, vv[1:] != vv[:-1]]
        number = np.arange(n)
        pair_start = np.maximum.accumulate(np.where(new_pair, number, 0))
        value_start = np.maximum.accumulate(np.where(new_value, number, 0))
        starts = np.flatnonzero(new_value)
        value_end = np.r_[starts[1:], n][np.cumsum(new_value) - 1]
        rows = by_level[order[is_right]]
        below[rows] += (counted[value_start] - counted[pair_start])[is_right]
        equal[rows] += (counted[value_end] - counted[value_start])[is_right]
    return below, equal
