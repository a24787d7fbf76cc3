"""How far raters agree, and whether they can tell: kappa and equivalence, each with what it rests on.

References: Cohen, A coefficient of agreement for nominal scales, 1960, doi:10.1177/001316446002000104; Fleiss, Cohen &
Everitt, Large sample standard errors of kappa and weighted kappa, 1969, doi:10.1037/h0028106; Fleiss, Measuring nominal
scale agreement among many raters, 1971, doi:10.1037/h0031619; Schuirmann, A comparison of the two one-sided tests
procedure, 1987, doi:10.1007/BF01068419; Newcombe, Interval estimation for the difference between independent
proportions, 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I (method 10).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.evaluation.intervals import Z

Interval = tuple[float, float]


def cohen_kappa(first: Sequence[int], second: Sequence[int]) -> tuple[float, Interval] | None:
    """Return Cohen's kappa of two raters on the same records, with its 95 % interval (Fleiss, Cohen & Everitt).

    Parameters
    ----------
    first, second
        Answers as 0, 1, ..., one per record.

    Returns
    -------
    None where both gave one and the same answer throughout: agreement beyond chance cannot be told.

    Examples
    --------
    >>> value, _ = cohen_kappa([0, 0, 1, 1, 0], [0, 1, 1, 1, 0])
    >>> round(value, 3)
    0.615
    """
    a, b = np.asarray(first, np.int64), np.asarray(second, np.int64)
    k, n = int(max(a.max(initial=0), b.max(initial=0))) + 1, len(a)
    if n == 0:
        return None
    table = np.bincount(a * k + b, minlength=k * k).reshape(k, k) / n  # (k, k)
    row, column = table.sum(1), table.sum(0)
    agreed, expected = float(np.trace(table)), float(row @ column)
    if expected >= 1.0:
        return None
    kappa = (agreed - expected) / (1 - expected)
    diagonal = float((np.diag(table) * (1 - (row + column) * (1 - kappa)) ** 2).sum())
    off = (table * (column[:, None] + row[None, :]) ** 2).sum() - (np.diag(table) * (row + column) ** 2).sum()
    rest = diagonal + (1 - kappa) ** 2 * float(off) - (kappa - expected * (1 - kappa)) ** 2
    reach = Z * math.sqrt(max(0.0, rest) / n) / (1 - expected)
    return kappa, (max(-1.0, kappa - reach), min(1.0, kappa + reach))


def fleiss_kappa(counts: NDArray[np.int64]) -> tuple[float, Interval] | None:
    """Return Fleiss' kappa of three or more raters, with a 95 % interval from leaving out one record at a time.

    Parameters
    ----------
    counts
        (N records, K answers): how many raters gave each answer; the same number of raters for each record.

    Returns
    -------
    None where all gave one and the same answer throughout, or there are fewer than two records.
    """
    value = _fleiss(counts)
    n = len(counts)
    if value is None or n < 2:
        return None
    parts = [_fleiss(np.delete(counts, i, axis=0)) for i in range(n)]
    known = np.array([value if part is None else part for part in parts])
    reach = Z * math.sqrt((n - 1) / n * float(((known - known.mean()) ** 2).sum()))
    return value, (max(-1.0, value - reach), min(1.0, value + reach))


def _fleiss(counts: NDArray[np.int64]) -> float | None:
    raters = int(counts[0].sum())
    share = counts.sum(0) / counts.sum()
    expected = float(share @ share)
    if expected >= 1.0:
        return None
    agreed = float(((counts * counts).sum(1) - raters).mean()) / (raters * (raters - 1))
    return (agreed - expected) / (1 - expected)


def equivalence(hits: int, n: int, margin: float) -> float:
    """Return the p-value of two one-sided exact binomial tests: is the share right within 0.5 -/+ margin?

    Small: readers do no better and no worse than a coin, by at most the margin. Large: not shown, which with few
    records says nothing.

    Parameters
    ----------
    hits, n
        Right answers, and all.
    margin
        In (0, 0.5).

    Examples
    --------
    >>> round(equivalence(100, 200, 0.1), 4)
    0.0026
    """
    above = float(stats.binom.sf(hits - 1, n, 0.5 - margin))  # the share is not as low as 0.5 - margin
    below = float(stats.binom.cdf(hits, n, 0.5 + margin))
    return min(1.0, max(above, below))


def clustered_equivalence(right: NDArray[np.float64], record: NDArray[np.int64], margin: float) -> float | None:
    """Return the p-value of the same two tests for several raters, whose answers to one record go together.

    A t test on the share, with the variance over records.

    Returns
    -------
    None with fewer than two records, or where every record was answered alike.
    """
    size = np.bincount(record).astype(np.float64)
    total = np.bincount(record, right)[size > 0]
    size = size[size > 0]
    n = len(size)
    share = float(total.sum() / size.sum())
    rest = total - share * size
    if n < 2 or not rest.any():
        return None
    error = math.sqrt(n / (n - 1) * float((rest**2).sum())) / float(size.sum())
    above = float(stats.t.sf((share - 0.5 + margin) / error, n - 1))
    below = float(stats.t.cdf((share - 0.5 - margin) / error, n - 1))
    return max(above, below)


def difference(first: float, of_first: Interval, second: float, of_second: Interval) -> Interval:
    """Return the 95 % interval of the difference of two independent shares from the interval of each (Newcombe)."""
    far = first - second
    down = math.hypot(first - of_first[0], of_second[1] - second)
    up = math.hypot(of_first[1] - first, second - of_second[0])
    return max(-1.0, far - down), min(1.0, far + up)
