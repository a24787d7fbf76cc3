"""Kernel density estimates as SciPy's `gaussian_kde` gives them, in blocks.

References: Scott, Multivariate Density Estimation, 1992 (the bandwidth n^(-1 / (d + 4))).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = 1 << 20


def log_density(data: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the log density of the distribution that `data` came from.

    Parameters
    ----------
    data
        (N, D), of full rank.
    x
        (R, D), where to estimate.

    Returns
    -------
    Array (R,).

    Raises
    ------
    numpy.linalg.LinAlgError
        When the covariance of the data is singular.
    """
    n, d = data.shape
    cov = np.atleast_2d(np.cov(data, rowvar=False)) * n ** (-2 / (d + 4))
    root = np.linalg.cholesky(cov)
    a = np.linalg.solve(root, x.T).T
    b = np.linalg.solve(root, data.T).T
    constant = np.log(n) + d / 2 * np.log(2 * np.pi) + np.log(np.diag(root)).sum()
    out = np.empty(len(x))
    step = max(1, CELLS // n)
    square = (b**2).sum(axis=1)
    for start in range(0, len(x), step):
        some = a[start : start + step]
        far = (some**2).sum(axis=1, keepdims=True) + square - 2 * some @ b.T
        np.maximum(far, 0, out=far)
        least = far.min(axis=1, keepdims=True)
        np.exp(-0.5 * (far - least), out=far)
        out[start : start + step] = np.log(far.sum(axis=1)) - 0.5 * least[:, 0] - constant
    return out


def components(known: NDArray[np.float64], most: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the leading principal components (D, K) that hold 95 % of the variance, at most `most`."""
    mean = known.mean(axis=0)
    size, turn = np.linalg.eigh(np.atleast_2d(np.cov(known, rowvar=False)))
    size, turn = size[::-1], turn[:, ::-1]
    share = np.cumsum(np.maximum(size, 0)) / max(float(np.maximum(size, 0).sum()), 1e-30)
    k = min(most, int(np.searchsorted(share, 0.95)) + 1, int((size > 1e-8).sum()))
    return mean, turn[:, :k]
