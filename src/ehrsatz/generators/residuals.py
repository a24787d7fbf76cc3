"""What a decoder leaves undone: dependence between channels that its codes do not carry, as a Gaussian copula.

A decoder draws every channel on its own once the code is given. Numbers that hang together closely (radius, perimeter
and area of one tumour) then come apart. So the residuals of the rows, each channel's under its own distribution as
decoded, give one correlation matrix, and noise of that correlation is what all channels of a row are drawn with.
A level's residual is only known to lie in an interval of normal scores; its mean over the interval stands for it, and
products of means are divided by what they would be if the correlation were 1, to first order.

References
----------
Joe, Dependence Modeling with Copulas (2014), section 2.9 (normal scores, also of discrete variables); Dorta, Vicente,
Agapito, Campbell and Simpson, Structured uncertainty prediction networks, CVPR 2018, arXiv:1802.07079 (why residuals
of an autoencoder should be correlated; there the matrix depends on the code, here it is one for all).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ehrsatz.codecs.signals import SignalCode, smooth_cells

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

_DOUBT = 2.0  # squared standard errors by which each squared correlation is shrunk
_STRONGEST = 0.98
_FLOOR = 1e-3  # smallest eigenvalue kept


def learn_residuals(
    code: SignalCode, values: Floats, levels: Ints, mean: Floats, spread: Floats, logits: Floats
) -> tuple[Floats, Floats]:
    """Learn the correlation of residuals, and by how much spreads are off.

    Parameters
    ----------
    values, levels : shapes (R, C) and (R, K), the rows.
    mean, spread, logits : shapes (R, C), (R, C) and (R, sum of sizes), as decoded from a code of each row.

    Returns
    -------
    Lower triangular root of the correlation matrix, shape (C + K, C + K), and a factor on each spread, shape (C,).
    """
    n_values = len(code.values)
    score, power = np.zeros((2, len(levels), n_values + len(code.sizes)))
    smooth = smooth_cells(code, levels)
    gap = np.where(smooth, (values - mean) / spread, 0.0)
    factor = np.sqrt((gap**2).sum(axis=0) / np.maximum(smooth.sum(axis=0), 1))
    factor = np.where(factor > 0, factor, 1.0)
    score[:, :n_values], power[:, :n_values] = gap / factor, smooth
    start = 0
    for k, size in enumerate(code.sizes):
        if k not in code.below:  # a place's meaning changes from group to group
            column = n_values + k
            score[:, column], power[:, column] = _level_scores(logits[:, start : start + size], levels[:, k])
        start += size
    weight = power.T @ power  # pairs of residuals that both say something, as a number of rows
    correlation = score.T @ score / np.maximum(weight, 1e-9)
    certain = correlation**2 * weight  # squared correlation over its squared standard error
    correlation = np.clip(correlation, -_STRONGEST, _STRONGEST) * np.clip(1 - _DOUBT / np.maximum(certain, 1e-9), 0, 1)
    np.fill_diagonal(correlation, 1.0)
    return _root(correlation), factor


def _level_scores(logits: Floats, levels: Ints) -> tuple[Floats, Floats]:
    """Mean normal score of the interval of each row's level, and its variance under the logits; both (R,)."""
    chance = np.exp(logits - logits.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)  # (R, S)
    ends = ndtri(np.clip(np.cumsum(chance, axis=1)[:, :-1], 1e-9, 1 - 1e-9))
    height = np.pad(np.exp(-0.5 * ends**2) / np.sqrt(2 * np.pi), ((0, 0), (1, 1)))  # (R, S + 1)
    middle = (height[:, :-1] - height[:, 1:]) / np.maximum(chance, 1e-6)
    return middle[np.arange(len(levels)), levels], (chance * middle**2).sum(axis=1)


def _root(correlation: Floats) -> Floats:
    """Root of the nearest correlation matrix whose eigenvalues are at least `_FLOOR`, or near it."""
    size, vectors = np.linalg.eigh(correlation)
    whole = (vectors * np.maximum(size, _FLOOR)) @ vectors.T
    scale = np.sqrt(np.diag(whole))
    return np.linalg.cholesky(whole / np.outer(scale, scale))
