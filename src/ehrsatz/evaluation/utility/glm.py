"""Linear, logistic and Poisson regression with standard errors, by subject where subjects have several rows.

Linear: least squares by QR, variances of the textbook (as R's lm), Student's t. Logistic and Poisson: Newton's method
on the canonical link (iteratively reweighted least squares), normal distribution. Where subjects repeat, the covariance
is the cluster sandwich with the factor G/(G-1) (N-1)/(N-K). No penalty, no silent rescue: columns that follow from
others are left out by name, and an outcome that columns separate has no estimate and says so.

References: McCullagh & Nelder, Generalized Linear Models, 1989, section 2.5 (fitting); Albert & Anderson, On the
existence of maximum likelihood estimates in logistic regression models, Biometrika 71, 1984, doi:10.1093/biomet/71.1.1
(separation); Liang & Zeger, Biometrika 73, 1986, doi:10.1093/biomet/73.1.13 (clusters); MacKinnon & White, Journal of
Econometrics 29, 1985, doi:10.1016/0304-4076(85)90158-7 (HC3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import expit, gammaln

Array = NDArray[np.float64]
Model = Literal["linear", "logistic", "poisson", "hazards"]
INTERCEPT = "Intercept"
MAX_STEPS = 25  # a coefficient without end grows by about 1 a step, and is still growing then
RANK_TOLERANCE = 1e-8


class NoEstimate(Exception):
    """There is no estimate, and the reason says why in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Fit:
    """A fitted regression.

    Parameters
    ----------
    model
        linear, logistic, poisson or hazards.
    names
        K estimated columns, in order.
    estimate, covariance
        Shapes (K,) and (K, K).
    freedom
        Degrees of freedom of Student's t; infinite for the normal distribution.
    n, subjects, events
        Rows, distinct subjects, and rows with the event (None for numbers).
    dropped
        Column -> why it has no estimate.
    errors
        How standard errors were had: "classical", "HC3" or "by subject".
    likelihood
        Logarithm of the likelihood at the estimate.
    """

    model: Model
    names: tuple[str, ...]
    estimate: Array
    covariance: Array
    freedom: float
    n: int
    subjects: int
    events: int | None = None
    dropped: dict[str, str] = field(default_factory=dict)
    errors: str = "classical"
    likelihood: float = 0.0

    @property
    def error(self) -> Array:
        """Standard errors (K,)."""
        return np.sqrt(np.diag(self.covariance))

    def interval(self) -> Array:
        """Return the 95 % intervals (K, 2)."""
        from scipy import stats  # late: it takes half a second, and a run of simulated patients needs none of it

        reach = stats.t.ppf(0.975, self.freedom) * self.error
        return np.column_stack([self.estimate - reach, self.estimate + reach])

    def p_value(self) -> Array:
        """Return the two-sided p-values (K,) of no effect."""
        from scipy import stats  # late, as above

        return np.asarray(2 * stats.t.sf(np.abs(self.estimate / self.error), self.freedom))


def fit_linear(
    x: Array,
    y: Array,
    names: tuple[str, ...],
    *,
    group: NDArray[np.int64] | None = None,
    errors: Literal["classical", "HC3"] = "classical",
) -> Fit:
    """Fit a linear regression by least squares.

    Parameters
    ----------
    x
        Shape (N, K), with a column of ones where there is an intercept.
    y
        Shape (N,).
    names
        K names, for messages and the result.
    group
        Shape (N,): subject of each row; standard errors are by subject where one has several rows.
    errors
        "classical": equal variance; "HC3": any variance, small samples; not used where subjects repeat.

    Raises
    ------
    NoEstimate
        With fewer rows than columns, or an outcome that follows exactly from the columns.
    """
    x, names, dropped = independent_columns(x, names)
    n, k = x.shape
    if n <= k:
        raise NoEstimate(f"{n} rows cannot estimate {k} coefficients")
    scale = _scale(x)
    q, r = np.linalg.qr(x / scale)
    beta = solve_triangular(r, q.T @ y)
    residual = y - x @ (beta / scale)
    squares = float(residual @ residual)
    if squares <= 1e-24 * float(y @ y):
        raise NoEstimate("the outcome is constant, or follows exactly from the columns")
    inverse = solve_triangular(r, np.eye(k))
    bread = inverse @ inverse.T  # (X'X)^-1, scaled
    clusters = None if group is None else _clusters(group)
    freedom, how = float(n - k), "classical"
    if clusters is not None:
        covariance, how = _sandwich(bread, (x / scale) * residual[:, None], clusters), "by subject"
        freedom = float(clusters.max())  # G - 1
    elif errors == "HC3":
        leverage = (q**2).sum(axis=1)
        scores = (x / scale) * (residual / np.maximum(1 - leverage, 1e-12))[:, None]
        covariance, how = bread @ (scores.T @ scores) @ bread, "HC3"
    else:
        covariance = bread * (squares / (n - k))
    likelihood = -n / 2 * (np.log(2 * np.pi * squares / n) + 1)
    return Fit(
        "linear",
        names,
        beta / scale,
        covariance / np.outer(scale, scale),
        freedom,
        n,
        n if clusters is None else int(clusters.max()) + 1,
        None,
        dropped,
        how,
        float(likelihood),
    )


def fit_logistic(x: Array, y: Array, names: tuple[str, ...], *, group: NDArray[np.int64] | None = None) -> Fit:
    """Fit a logistic regression by maximum likelihood.

    Parameters
    ----------
    x
        Shape (N, K), with a column of ones where there is an intercept.
    y
        Shape (N,) of zeros and ones.
    names
        K names, for messages and the result.
    group
        Shape (N,): subject of each row; standard errors are by subject where one has several rows.

    Raises
    ------
    NoEstimate
        When the outcome has one value, or columns separate its two values.
    """
    events = int(y.sum())
    if events in {0, len(y)}:
        raise NoEstimate("the outcome has one value only")
    return _newton("logistic", x, y, names, group, events)


def fit_poisson(x: Array, y: Array, names: tuple[str, ...], *, group: NDArray[np.int64] | None = None) -> Fit:
    """Fit a log-linear regression of counts by maximum likelihood.

    Parameters
    ----------
    x
        Shape (N, K), with a column of ones where there is an intercept.
    y
        Shape (N,) of whole numbers from 0 on.
    names
        K names, for messages and the result.
    group
        Shape (N,): subject of each row; standard errors are by subject where one has several rows.

    Raises
    ------
    NoEstimate
        When all counts are zero, or a column has none but zeros.
    """
    if not y.any():
        raise NoEstimate("all counts are zero")
    return _newton("poisson", x, y, names, group, int(y.sum()))


def _newton(
    model: Literal["logistic", "poisson"],
    x: Array,
    y: Array,
    names: tuple[str, ...],
    group: NDArray[np.int64] | None,
    events: int,
) -> Fit:
    x, names, dropped = independent_columns(x, names)
    n, k = x.shape
    if n <= k:
        raise NoEstimate(f"{n} rows cannot estimate {k} coefficients")
    scale = _scale(x)
    z = x / scale
    beta: Array = np.zeros(k)
    if model == "poisson":
        mean = float(y.mean())
        beta = np.asarray(np.linalg.lstsq(z, np.log(np.maximum(y, 0.1 * mean)), rcond=None)[0], np.float64)
    value, step = _likelihood(model, z @ beta, y), np.full(k, np.inf)
    for _ in range(MAX_STEPS):
        mu, weight = _mean(model, z @ beta)
        root = np.sqrt(np.maximum(weight, 1e-150))
        q, r = np.linalg.qr(z * root[:, None])
        if np.abs(np.diag(r)).min() <= 1e-12 * np.abs(np.diag(r)).max():
            break  # no curvature is left in a direction: separated
        step = solve_triangular(r, q.T @ ((y - mu) / root))
        for _ in range(30):  # halve while the likelihood falls
            after = _likelihood(model, z @ (beta + step), y)
            if np.isfinite(after) and after >= value - 1e-9 * (1 + abs(value)):
                break
            step = step / 2
        beta, value = beta + step, after
        if np.abs(step).max() <= 1e-9 * max(1.0, np.abs(beta).max()):
            break
    eta = z @ beta
    mu, weight = _mean(model, eta)
    if np.abs(step).max() > 1e-5 * max(1.0, np.abs(beta).max()):
        raise NoEstimate(separated(names, step))
    _, r = np.linalg.qr(z * np.sqrt(weight)[:, None])
    inverse = solve_triangular(r, np.eye(k))
    covariance, how = inverse @ inverse.T, "classical"
    far = np.sqrt(((z @ inverse) ** 2).sum(axis=1))  # standard error of each row's predictor
    if not np.isfinite(covariance).all() or ((np.abs(eta) > 15) & (far > 10 * np.abs(eta))).any():
        raise NoEstimate(separated(names, np.sqrt(np.diag(covariance))))
    clusters = None if group is None else _clusters(group)
    if clusters is not None:
        covariance, how = _sandwich(covariance, z * (y - mu)[:, None], clusters), "by subject"
    return Fit(
        model,
        names,
        beta / scale,
        covariance / np.outer(scale, scale),
        float("inf"),
        n,
        n if clusters is None else int(clusters.max()) + 1,
        events,
        dropped,
        how,
        value,
    )


def separated(names: tuple[str, ...], step: Array) -> str:
    """Return the reason for coefficients that grow without end, naming the columns that grow most.

    Parameters
    ----------
    names
        K columns.
    step
        Shape (K,): their last steps, on a common scale.
    """
    size = np.abs(np.where(np.isfinite(step), step, 0.0))
    guilty = [name for name, one in zip(names, size) if one >= 0.2 * size.max() and name != INTERCEPT]
    listed = ", ".join(f"'{one}'" for one in guilty[:5]) or "the columns"
    return f"no estimate exists, because the outcome is certain in some rows by {listed} (separation)"


def independent_columns(x: Array, names: tuple[str, ...]) -> tuple[Array, tuple[str, ...], dict[str, str]]:
    """Leave out columns that are zero or follow from the columns before them, by name and with the reason.

    Parameters
    ----------
    x
        Shape (N, K).
    names
        K names.

    Returns
    -------
    The kept columns, their names, and name -> reason of the others.

    Raises
    ------
    NoEstimate
        When none is left.
    """
    basis = np.empty((len(x), 0))
    kept: list[int] = []
    dropped: dict[str, str] = {}
    for j, name in enumerate(names):
        column = x[:, j]
        norm = float(np.linalg.norm(column))
        if norm == 0:
            dropped[name] = "no row has it"
            continue
        rest = column / norm
        for _ in range(2):
            rest = rest - basis @ (basis.T @ rest)
        left = float(np.linalg.norm(rest))
        if left <= RANK_TOLERANCE:
            one = name != INTERCEPT and float(column.min()) == float(column.max())
            dropped[name] = "has one value only" if one else "follows from the columns before it"
            continue
        basis = np.column_stack([basis, rest / left])
        kept.append(j)
    if not kept or [names[j] for j in kept] == [INTERCEPT]:
        raise NoEstimate("no column has more than one value")
    return x[:, kept], tuple(names[j] for j in kept), dropped


def _scale(x: Array) -> Array:
    return np.sqrt((x**2).mean(axis=0))


def _clusters(group: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Number the subjects 0 .. G - 1; None where none has two rows."""
    subjects, number = np.unique(group, return_inverse=True)
    return number.astype(np.int64) if len(subjects) < len(group) else None


def _sandwich(bread: Array, scores: Array, clusters: NDArray[np.int64]) -> Array:
    n, k = scores.shape
    sums = cluster_sums(scores, clusters)
    g = len(sums)
    if g <= k:
        raise NoEstimate(f"{g} subjects cannot give standard errors of {k} coefficients")
    return np.asarray(bread @ (sums.T @ sums) @ bread * (g / (g - 1) * (n - 1) / (n - k)))


def cluster_sums(scores: Array, clusters: NDArray[np.int64]) -> Array:
    """Add up rows (N, K) by cluster number (N,), giving (G, K)."""
    return np.column_stack([np.bincount(clusters, scores[:, j]) for j in range(scores.shape[1])])


def _mean(model: str, eta: Array) -> tuple[Array, Array]:
    if model == "logistic":
        mu = expit(eta)
        return mu, mu * expit(-eta)
    mu = np.exp(np.minimum(eta, 300.0))
    return mu, mu


def _likelihood(model: str, eta: Array, y: Array) -> float:
    if model == "logistic":
        return float((y * eta - np.logaddexp(0.0, eta)).sum())
    return float((y * eta - np.exp(np.minimum(eta, 300.0)) - gammaln(y + 1)).sum())
