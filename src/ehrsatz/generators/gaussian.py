"""The latent normals of a Gaussian copula: their correlations from ranks, for every pair of columns at once.

The latent correlation of a pair is the one under which the normal scores of its two margins would have the
correlation that the data show. The scores are step functions of the latents, so by Mehler's identity their covariance
is a power series in the latent correlation, whose coefficients are products of Hermite coefficients.

References
----------
Mehler 1866; Fan, Liu, Ning and Zou, High dimensional semiparametric latent graphical model for mixed data, JRSS B 79
(2017), doi:10.1111/rssb.12168; Schäfer and Strimmer, SAGMB 4 (2005), doi:10.2202/1544-6115.1175 (shrinkage).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]

_TERMS = 120  # of the Hermite series; fewer where there are many pairs
_FEW_TERMS, _MANY_COLUMNS = 40, 400
_NOISE = 2.0  # squared standard errors that each correlation gives up
_LARGEST = 0.9995  # of a latent correlation


def latent_correlation(ranks: NDArray[np.int32], shares: tuple[Floats, ...]) -> Floats:
    """Return the latent correlation of every pair, shape (M, M), from ranks (N, M), -1 where missing."""
    scores = normal_scores(ranks, list(shares))
    seen = (ranks >= 0).astype(np.float64)
    n = np.maximum(seen.T @ seen, 1.0)
    # pairwise: means, variances and covariances over the rows where both are present
    mean = (scores.T @ seen) / n
    second = ((scores**2).T @ seen) / n
    spread = np.sqrt(np.maximum(second - mean**2, 0))
    covariance = (scores.T @ scores) / n - mean * mean.T
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = np.where((spread > 1e-9) & (spread.T > 1e-9), covariance / (spread * spread.T), 0.0)
    n_terms = _TERMS if len(shares) <= _MANY_COLUMNS else _FEW_TERMS
    hermite = np.array([_hermite(share, n_terms) for share in shares]).reshape(len(shares), n_terms)
    size = np.array([np.sqrt((share * _cell_means(share) ** 2).sum()) for share in shares])
    wanted = np.clip(observed, -1, 1) * size[:, None] * size
    latent = np.eye(len(shares))
    step = max(1, 2_000_000 // max(1, len(shares) * n_terms))
    for start in range(0, len(shares), step):
        stop = min(len(shares), start + step)
        latent[start:stop] = _solve(wanted[start:stop], hermite[start:stop, None, :] * hermite[None])
    np.fill_diagonal(latent, 1.0)
    return (latent + latent.T) / 2


def positive_definite(latent: Floats, n: int, least: float = 1e-4) -> Floats:
    """Shrink a correlation matrix towards the identity and lift its eigenvalues to at least `least`."""
    if len(latent) < 2:
        return latent
    off = latent[~np.eye(len(latent), dtype=bool)]
    total = float((off**2).sum())
    weight = min(1.0, float(((1 - off**2) ** 2).sum()) / max(n - 1, 1) / total) if total > 0 else 1.0
    keep = 1 - _NOISE / np.maximum(n * latent**2, _NOISE)  # what is no larger than chance goes
    shrunk = (1 - weight) * latent * keep + weight * np.eye(len(latent))
    np.fill_diagonal(shrunk, 1.0)
    values, vectors = np.linalg.eigh(shrunk)
    lifted = (vectors * np.maximum(values, least)) @ vectors.T
    scale = np.sqrt(np.diag(lifted))
    out = lifted / scale[:, None] / scale
    np.fill_diagonal(out, 1.0)
    return out


def normal_scores(ranks: NDArray[np.int32], shares: list[Floats]) -> Floats:
    """Return the mean of the latent within the cell of each rank, 0 where missing, shape (N, M)."""
    scores = np.zeros(ranks.shape)
    for m, share in enumerate(shares):
        if len(share):
            scores[:, m] = np.where(ranks[:, m] >= 0, _cell_means(share)[np.maximum(ranks[:, m], 0)], 0.0)
    return scores


def _cell_means(share: Floats) -> Floats:
    bounds = ndtri(np.clip(np.concatenate([[0.0], np.cumsum(share)]), 0, 1))
    density = np.exp(-(bounds**2) / 2) / np.sqrt(2 * np.pi)
    return np.where(share > 0, (density[:-1] - density[1:]) / np.maximum(share, 1e-300), 0.0)


def _hermite(share: Floats, n_terms: int) -> Floats:
    """Coefficients of the score function on normalised Hermite polynomials 1 .. n_terms, shape (n_terms,)."""
    if len(share) < 2:
        return np.zeros(n_terms)
    jump = np.diff(_cell_means(share))
    at = ndtri(np.clip(np.cumsum(share)[:-1], 0, 1))
    use = np.isfinite(at)
    at, jump = at[use], jump[use]
    weight = jump * np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi)
    out, before, now = np.empty(n_terms), np.zeros_like(at), np.ones_like(at)
    for m in range(1, n_terms + 1):
        out[m - 1] = (weight * now).sum() / np.sqrt(m)
        before, now = now, (at * now - np.sqrt(m - 1) * before) / np.sqrt(m)  # he_m from he_(m-1), he_(m-2)
    return out


def _solve(wanted: Floats, product: Floats) -> Floats:
    """Latent correlations at which the series with these coefficients (a, M, terms) takes the wanted values (a, M)."""
    low, high = np.full(wanted.shape, -_LARGEST), np.full(wanted.shape, _LARGEST)
    for _ in range(28):
        middle = (low + high) / 2
        value = np.zeros(wanted.shape)
        for m in range(product.shape[-1] - 1, -1, -1):
            value = (value + product[..., m]) * middle
        low, high = np.where(value < wanted, middle, low), np.where(value < wanted, high, middle)
    return np.where(np.abs(product).sum(axis=-1) > 1e-9, (low + high) / 2, 0.0)
