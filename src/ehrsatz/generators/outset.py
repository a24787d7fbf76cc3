"""Where a generator network starts: a Gaussian copula of the signals, which training then bends.

Every value channel and every level channel has a latent normal. A value channel's latent is its normal score; a level
channel's latent falls between thresholds, the entries ordered along their first principal coordinate. Of a level
channel's latent a small part of the variance (`NUGGET`) is a logistic noise of the channel's own, so that the
probability of each entry is a smooth function of the rest, which a gradient can pass.

References
----------
Fan, Liu, Ning and Zou, JRSS B 79 (2017), doi:10.1111/rssb.12168 (latent Gaussian copula of mixed columns).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ehrsatz.codecs.signals import SignalCode, smooth_cells
from ehrsatz.generators.gaussian import latent_correlation, positive_definite
from ehrsatz.generators.linear import coordinates

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

NUGGET = 0.1  # share of a level channel's latent variance that is noise of its own
_BINS = 32  # ranks of a value channel
_COARSE = 6  # ... where levels are ordered by the other channels
_LEAST = 1e-4  # smallest eigenvalue
_FAR = 8.0  # latents end here


@dataclass(frozen=True)
class Outset:
    """What `learn_outset` found, for C value channels, K level channels and E entries; M = C + K.

    factor: Cholesky factor of the latents' covariance without the nuggets, (M, M); low, high: thresholds between which
    a level channel's latent stands for an entry, (E,).
    """

    factor: Floats
    low: Floats
    high: Floats


def learn_outset(code: SignalCode, values: NDArray[np.float32], levels: Ints) -> Outset:
    """Learn the copula of signals from values (R, C) and levels (R, K); codes of many levels must be whole."""
    assert not code.below, "a place within a group has no latent of its own"
    smooth = smooth_cells(code, levels)
    n, n_values = len(levels), len(code.values)
    place = ndtr(values.astype(np.float64))
    coarse = [(_binned(place[:, c], smooth[:, c], _COARSE), _COARSE + 1) for c in range(n_values)]
    coarse += [(levels[:, k], size) for k, size in enumerate(code.sizes)]
    ranks = np.full((n, n_values + len(code.sizes)), -1, dtype=np.int32)
    ranks[:, :n_values] = np.where(smooth, _binned(place, smooth, _BINS), -1)
    shares: list[Floats] = [np.full(_BINS, 1 / _BINS)] * n_values
    low, high = [np.zeros(0)], [np.zeros(0)]
    for k, size in enumerate(code.sizes):
        order = np.arange(size)
        if size > 2:
            others = [one for i, one in enumerate(coarse) if i != n_values + k]
            order = np.argsort(np.round(coordinates(levels[:, k], size, others)[:, 0], 6), kind="stable")
        rank = np.argsort(order).astype(np.int32)
        ranks[:, n_values + k] = rank[levels[:, k]]
        share = np.bincount(levels[:, k], minlength=size)[order] / max(n, 1)
        ends = np.clip(ndtri(np.clip(np.concatenate([[0.0], np.cumsum(share)]), 0, 1)), -_FAR, _FAR)
        low.append(ends[:-1][rank])
        high.append(ends[1:][rank])
        shares.append(share)
    latent = positive_definite(latent_correlation(ranks, tuple(shares)), n)
    return Outset(_without_nugget(latent, n_values), np.concatenate(low), np.concatenate(high))


def _binned(place: Floats, smooth: NDArray[np.bool_], n_bins: int) -> Ints:
    """Bins of equal mass; cells that are not smooth have the bin after the last."""
    return np.where(smooth, np.minimum((place * n_bins).astype(np.int32), n_bins - 1), n_bins).astype(np.int32)


def _without_nugget(latent: Floats, n_values: int) -> Floats:
    """Cholesky factor of what is left of the correlations without the noise of the level channels' own."""
    if not len(latent):
        return latent
    own = np.where(np.arange(len(latent)) < n_values, 0.0, NUGGET)
    spectrum, vectors = np.linalg.eigh(latent - np.diag(own))
    lifted = (vectors * np.maximum(spectrum, _LEAST)) @ vectors.T
    scale = np.sqrt((1 - own) / np.diag(lifted))
    return np.asarray(np.linalg.cholesky(lifted * scale[:, None] * scale), dtype=np.float64)
