"""Estimates with their sampling error: shares, counts, life expectancy, quantiles of histograms, odds ratios.

References
----------
Wilson EB, J Am Stat Assoc 1927;22:209 (shares). Garwood F, Biometrika 1936;28:437 (counts). Chiang CL, The life table
and its applications, 1984 (life expectancy). Robins J, Breslow N, Greenland S, Biometrics 1986;42:311 (odds ratios).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Z = 1.959964  # 95 %
LEAST = 5.0  # people of a cell that is told


def wilson(cases: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of a share."""
    middle = (cases + Z * Z / 2) / (n + Z * Z)
    reach = Z / (n + Z * Z) * np.sqrt(cases * (n - cases) / n + Z * Z / 4)
    return max(float(middle - reach), 0.0), min(float(middle + reach), 1.0)


def garwood(cases: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a count."""
    from scipy.stats import chi2  # late: it takes half a second

    low = 0.0 if cases == 0 else float(chi2.ppf(0.025, 2 * cases) / 2)
    return low, float(chi2.ppf(0.975, 2 * cases + 2) / 2)


def expectancy(deaths: Floats, years: Floats, at: int = 0) -> tuple[float, float]:
    """Return life expectancy and its standard error from deaths and person-years by whole age (A,).

    Ages after the first without person-years are left out: who lives to see it goes on at the last rate seen.

    Parameters
    ----------
    deaths, years
        From age 0.
    at
        Age at which it is wanted.

    Returns
    -------
    Years and years; NaN where nobody of that age was seen.
    """
    deaths, years = deaths[at:], years[at:]
    lived = np.flatnonzero(years > 0)
    last = int(lived[-1]) + 1 if len(lived) and lived[0] == 0 else 0
    gap = np.flatnonzero(years[:last] <= 0)
    last = int(gap[0]) if len(gap) else last
    if last == 0:
        return float("nan"), float("nan")
    rate = deaths[:last] / years[:last]
    share = np.where(
        (np.arange(last) == 0) & (at == 0), 0.1, 0.5
    )  # of the last year lived by the dying: infants die early
    q = np.minimum(rate / (1 + (1 - share) * rate), 1.0)
    open_rate = max(float(rate[-5:].mean()), 1e-3)
    alive = np.r_[1.0, np.cumprod(1 - q)]
    spent = alive[1:] + share * (alive[:-1] - alive[1:])
    spent[-1] = alive[-2] / open_rate
    left = np.cumsum(spent[::-1])[::-1]
    onward = np.r_[left[1:] / np.maximum(alive[1:-1], 1e-12), 0.0]
    variance = q[:-1] ** 2 * (1 - q[:-1]) / np.maximum(deaths[: last - 1], 1)
    spread = (alive[:-2] ** 2 * ((1 - share[:-1]) + onward[:-1]) ** 2 * variance).sum()
    return float(left[0]), float(np.sqrt(spread))


def quantile(counts: Floats, grid: Floats, probability: float) -> float:
    """Return a quantile of a histogram (B,) with edges (B + 1,), linear within bins; open ends at their edge."""
    ends = grid.copy()
    ends[0], ends[-1] = ends[1], ends[-2]
    cumulated = np.r_[0, np.cumsum(counts)]
    wanted = probability * cumulated[-1]
    k = min(max(int(np.searchsorted(cumulated, wanted, side="left")) - 1, 0), len(counts) - 1)
    part = (wanted - cumulated[k]) / max(cumulated[k + 1] - cumulated[k], 1e-12)
    return float(ends[k] + min(max(part, 0.0), 1.0) * (ends[k + 1] - ends[k]))


def mantel(tables: Floats) -> tuple[float | None, tuple[float, float] | None]:
    """Return the odds ratio within strata (S, 2, 2) and its interval; None where a cell is too small to tell."""
    some = tables[tables.sum(axis=(1, 2)) > 0]
    if not len(some) or some.sum(axis=0).min() < LEAST:
        return None, None
    d, c, b, a = some[:, 0, 0], some[:, 0, 1], some[:, 1, 0], some[:, 1, 1]
    n = a + b + c + d
    r, s, p, q = a * d / n, b * c / n, (a + d) / n, (b + c) / n
    if r.sum() == 0 or s.sum() == 0:
        return None, None
    ratio = float(r.sum() / s.sum())
    variance = (
        (p * r).sum() / (2 * r.sum() ** 2)
        + (p * s + q * r).sum() / (2 * r.sum() * s.sum())
        + (q * s).sum() / (2 * s.sum() ** 2)
    )
    step = float(np.exp(Z * np.sqrt(variance)))
    return ratio, (ratio / step, ratio * step)
