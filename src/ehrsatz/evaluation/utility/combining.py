"""Combining rules: one estimate and one honest interval from m synthetic copies.

Each copy l gives an estimate q_l and its usual variance u_l. With q = mean of q_l, u = mean of u_l, b = variance of the
q_l (divisor m - 1), k subjects in each copy and n real ones behind them:

    rule         total variance T                    degrees of freedom           copies come from
    plug-in      u (k/n + 1/m)                       infinite                     one fitted model, all columns
    proper       u (k/n + (1 + k/n)/m)               infinite                     a new draw of the model per copy
    fully        (1 + 1/m) b - u, or u k/n if < 0    (m-1) (1 - u/((1+1/m) b))^2  a new draw of the model per copy
    partially    u + b/m                             (m-1) (1 + m u/b)^2          real rows, some cells replaced; k = n

Which one holds for the copies of this package: "plug-in". A generator is fitted once and all copies are drawn from
that one fit, every column of them, so copies differ by the draw of rows alone. "fully" takes their difference for what
was not known of the model: b is then about u, T is about zero, and the interval is anything from too short to endless.
"partially" holds too, while k = n. "fully" itself wants many copies or large ones: with ten of k = n it covers 99 %.
"partially" wants the model of a replaced cell fitted to the replaced rows. No rule knows of an effect that the
generator has not learned: it widens intervals, it does not move them. `benchmarks/evidence/coverage.py` shows all this.

References: Raghunathan, Reiter & Rubin, Multiple imputation for statistical disclosure limitation, Journal of Official
Statistics 19(1), 2003 (fully); Reiter, Satisfying disclosure restrictions with synthetic data sets, Journal of Official
Statistics 18(4), 2002 (the variance when T < 0); Reiter, Inference for partially synthetic, public use microdata sets,
Survey Methodology 29(2), 2003 (partially); Raab, Nowok & Dibben, Practical data synthesis for large samples, Journal of
Privacy and Confidentiality 7(3), 2016, doi:10.29012/jpc.v7i3.407 (plug-in, proper).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.errors import DataError, UnknownNameError, nearest

Rule = Literal["plug-in", "proper", "fully", "partially"]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True)
class Combined:
    """What m copies say together.

    Parameters
    ----------
    rule
        The combining rule.
    copies
        m.
    estimate, variance
        Shape (K,): mean of the estimates, total variance T.
    freedom
        Shape (K,): degrees of freedom of Student's t; infinite for the normal distribution.
    within, between
        Shape (K,): mean of the variances u, variance b of the estimates (0 for one copy).
    adjusted
        Shape (K,): whether "fully" came out negative and Reiter's adjusted variance stands instead.
    """

    rule: Rule
    copies: int
    estimate: NDArray[np.float64]
    variance: NDArray[np.float64]
    freedom: NDArray[np.float64]
    within: NDArray[np.float64]
    between: NDArray[np.float64]
    adjusted: NDArray[np.bool_]

    @property
    def error(self) -> NDArray[np.float64]:
        """Standard errors (K,)."""
        return np.sqrt(self.variance)

    def interval(self, level: float = 0.95) -> NDArray[np.float64]:
        """Return the intervals (K, 2).

        Parameters
        ----------
        level
            Confidence, in (0, 1).
        """
        reach = stats.t.ppf((1 + level) / 2, self.freedom) * self.error
        return np.column_stack([self.estimate - reach, self.estimate + reach])

    def p_value(self) -> NDArray[np.float64]:
        """Return the two-sided p-values (K,) of no effect."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(self.variance > 0, self.estimate / self.error, np.where(self.estimate == 0, 0.0, np.inf))
        return np.asarray(2 * stats.t.sf(np.abs(t), self.freedom))


def combine(
    estimates: Sequence[Any] | NDArray[np.float64],
    variances: Sequence[Any] | NDArray[np.float64],
    *,
    rule: Rule = "plug-in",
    n_real: int | None = None,
    n_synthetic: int | None = None,
) -> Combined:
    """Combine the estimates of m synthetic copies.

    Parameters
    ----------
    estimates
        Shape (m,) or (m, K): what each copy gives for each of K quantities.
    variances
        Same shape: the squared standard errors that each copy gives by itself.
    rule
        "plug-in" for copies of this package's generators; see the table at the top of this module.
    n_real
        Real subjects that the generator saw (n); needed by "plug-in", "proper" and, where T < 0, by "fully".
    n_synthetic
        Subjects in each copy (k).

    Returns
    -------
    Combined; "plug-in" and "proper" work with one copy, the other two need at least two.

    Raises
    ------
    DataError
        When shapes differ, a number is missing or negative where it cannot be, or one copy is too few for the rule.
    UnknownNameError
        When there is no such rule.

    References
    ----------
    Raghunathan, Reiter & Rubin 2003; Reiter 2003; Raab, Nowok & Dibben 2016, doi:10.29012/jpc.v7i3.407.

    Examples
    --------
    >>> both = combine([1.0, 1.2], [0.04, 0.04], n_real=500, n_synthetic=500)
    >>> round(float(both.estimate[0]), 3), round(float(both.variance[0]), 3)
    (1.1, 0.06)
    """
    q, u = np.asarray(estimates, np.float64), np.asarray(variances, np.float64)
    _check(q, u, rule, n_real, n_synthetic)
    q, u = (one[:, None] if one.ndim == 1 else one for one in (q, u))
    m = len(q)
    middle, within = q.mean(axis=0), u.mean(axis=0)
    between = q.var(axis=0, ddof=1) if m > 1 else np.zeros_like(middle)
    infinite, never = np.full_like(middle, np.inf), np.zeros(len(middle), bool)
    if rule in {"plug-in", "proper"}:
        total = within * spread(m, rule, n_real, n_synthetic)
        return Combined(rule, m, middle, total, infinite, within, between, never)
    if rule == "partially":
        with np.errstate(divide="ignore", over="ignore"):
            freedom = np.where(between > 0, (m - 1) * (1 + m * within / between) ** 2, np.inf)
        return Combined(rule, m, middle, within + between / m, freedom, within, between, never)
    wide = (1 + 1 / m) * between
    total = wide - within
    adjusted = total <= 0
    if adjusted.any() and (n_real is None or n_synthetic is None):
        raise DataError(
            "Expected the numbers of real and synthetic subjects for the rule 'fully'.",
            f"The variance is not positive for {int(adjusted.sum())} of {len(total)} estimates.",
            "Name n_real and n_synthetic, for Reiter's adjusted variance; or make more copies.",
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(adjusted, np.inf, (m - 1) * (1 - within / np.where(adjusted, 1.0, wide)) ** 2)
    if adjusted.any():
        assert n_real is not None and n_synthetic is not None
        total = np.where(adjusted, within * n_synthetic / n_real, total)
    return Combined(rule, m, middle, total, freedom, within, between, adjusted)


def spread(m: int, rule: Rule, n_real: int | None, n_synthetic: int | None) -> float:
    """Return T / u of the rules "plug-in" and "proper".

    Parameters
    ----------
    m
        Number of copies.
    rule
        "plug-in" or "proper".
    n_real, n_synthetic
        Subjects behind the generator and in each copy.

    Raises
    ------
    DataError
        When a number of subjects is not named.
    """
    if not n_real or not n_synthetic or n_real < 0 or n_synthetic < 0:
        raise DataError(
            f"Expected the numbers of real and synthetic subjects for the rule '{rule}'.",
            f"n_real is {n_real}, n_synthetic is {n_synthetic}.",
            "Name both: subjects that the generator saw, and subjects in each copy.",
        )
    ratio = n_synthetic / n_real
    return ratio + (1 + ratio if rule == "proper" else 1.0) / m


def _check(
    q: NDArray[np.float64], u: NDArray[np.float64], rule: str, n_real: int | None, n_synthetic: int | None
) -> None:
    if rule not in RULES:
        raise UnknownNameError(
            f"Expected one of the rules {', '.join(RULES)}.",
            f"'{rule}' is none of them.{nearest(rule, RULES)}",
            "Copies of one fitted generator: plug-in.",
        )
    if q.shape != u.shape or q.ndim not in {1, 2} or not q.size:
        raise DataError(
            "Expected as many variances as estimates, one row per copy.",
            f"The shapes are {q.shape} and {u.shape}.",
            "Give both as (copies,) or (copies, quantities).",
        )
    bad = int((~np.isfinite(q)).sum() + (~np.isfinite(u)).sum() + (u < 0).sum())
    if bad:
        raise DataError(
            "Expected finite estimates and variances that are not negative.",
            f"{bad} of {2 * q.size} numbers are not.",
            "Leave out quantities that a copy has no estimate for.",
        )
    if len(q) == 1 and rule in {"fully", "partially"}:
        raise DataError(
            f"Expected at least 2 copies for the rule '{rule}', which needs how much they differ.",
            "1 copy was given.",
            "Make more copies, or use 'plug-in', which works with one.",
        )
    for name, n in (("n_real", n_real), ("n_synthetic", n_synthetic)):
        if n is not None and (n <= 0 or math.isnan(n)):
            raise DataError(f"Expected {name} above 0.", f"It is {n}.", "Count subjects.")
