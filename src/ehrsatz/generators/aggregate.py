"""The aggregate posterior of an autoencoder as a mixture of normals, learned once training is done.

Codes drawn from the prior N(0, I) land where the encoder puts no row, or too rarely where it puts many. A mixture of
a few normals, fitted to codes of the rows, is what latents are drawn from instead. Its number of components is
the one under which held-out codes are likeliest, and every component stands for `LEAST` subjects or more.

References
----------
Ghosh, Sajjadi, Vergari, Black and Schölkopf, From variational to deterministic autoencoders, ICLR 2020,
arXiv:1903.12436, section 4 (ex-post density estimation); Fraley and Raftery, Bayesian regularization for normal
mixture estimation, Journal of Classification 24 (2007), doi:10.1007/s00357-007-0004-5 (the prior on covariances).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST = 30  # subjects behind a component
_COMPONENTS = (1, 2, 4, 8)
_CODES = 2_000  # about so many codes are drawn; more where there are more rows
_MOST_ROWS = 5_000  # rows that a mixture is learned from
_ROUNDS = 15


@dataclass(frozen=True)
class Aggregate:
    """Weights (M,), centres (M, L) and lower triangular roots of the covariances (M, L, L)."""

    weight: Floats
    mean: Floats
    root: Floats

    def draw(self, noise: Floats, u: Floats) -> Floats:
        """Return codes (R, L) from standard normal noise (R, L) and uniforms (R,) that choose the component."""
        bounds = np.cumsum(self.weight)
        which = np.minimum(np.searchsorted(bounds, u * bounds[-1], side="right"), len(bounds) - 1)
        return self.mean[which] + np.einsum("rij,rj->ri", self.root[which], noise)

    def likelihood(self, codes: Floats) -> Floats:
        """Return the log density of codes (R, L) within each component, weight included, up to a constant: (R, M)."""
        out = np.empty((len(codes), len(self.weight)))
        for m, (weight, mean, root) in enumerate(zip(self.weight, self.mean, self.root)):
            turned = np.linalg.solve(root, (codes - mean).T)  # (L, R)
            out[:, m] = np.log(weight) - 0.5 * (turned**2).sum(axis=0) - np.log(np.diag(root)).sum()
        return out


def learn_aggregate(mean: Floats, spread: Floats, rng: np.random.Generator) -> Aggregate:
    """Fit a mixture to codes of rows.

    Parameters
    ----------
    mean, spread : shapes (R, L), of each row's posterior; a spread of 0 is a deterministic code.
    rng : draws codes from the posteriors, parts the rows and starts the components.
    """
    order = rng.permutation(len(mean))[:_MOST_ROWS]
    n_draws = max(1, min(8, _CODES // len(order)))

    def codes(rows: NDArray[np.int64]) -> Floats:
        many = np.tile(rows, n_draws)
        return mean[many] + spread[many] * rng.normal(size=(len(many), mean.shape[1]))

    held, rest = order[: len(order) // 5], order[len(order) // 5 :]
    learn, test = codes(rest), codes(held)
    best, best_score = 1, -np.inf
    for n_components in _COMPONENTS if len(held) else ():
        if n_components > 1 and len(rest) < n_components * LEAST:
            break
        found = _fit(learn, n_components, n_draws, rng)
        score = float(np.logaddexp.reduce(found.likelihood(test), axis=1).mean())
        if score <= best_score:
            break
        best, best_score = n_components, score
    return _fit(codes(order), best, n_draws, rng)


def _fit(codes: Floats, n_components: int, n_draws: int, rng: np.random.Generator) -> Aggregate:
    """Fit by expectation and maximisation, from the nearest of some codes; n_draws codes count as one subject."""
    width = codes.shape[1]
    total = np.cov(codes.T, bias=True).reshape(width, width) + 1e-4 * np.eye(width)
    root = np.asarray(np.linalg.cholesky(total), dtype=np.float64)
    if n_components == 1:
        return Aggregate(np.ones(1), codes.mean(axis=0)[None], root[None])
    share = np.eye(n_components)[_nearest(np.asarray(np.linalg.solve(root, codes.T).T), n_components, rng)]  # (R, M)
    prior = width + 2.0  # subjects that the covariance of all is worth in each component
    for _ in range(_ROUNDS):
        share = share[:, share.sum(axis=0) >= LEAST * n_draws]  # a component of few subjects is given up
        if not share.shape[1]:
            return Aggregate(np.ones(1), codes.mean(axis=0)[None], root[None])
        held = share.sum(axis=0)
        mean = share.T @ codes / held[:, None]
        roots = []
        for m in range(share.shape[1]):
            apart = codes - mean[m]
            scatter = (apart * share[:, m : m + 1]).T @ apart / n_draws  # (L, L)
            roots.append(np.linalg.cholesky((scatter + prior * total) / (held[m] / n_draws + prior)))
        found = Aggregate(held / held.sum(), mean, np.stack(roots))
        log = found.likelihood(codes)
        share = np.exp(log - np.logaddexp.reduce(log, axis=1)[:, None])
    return found


def _nearest(codes: Floats, n_components: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Group codes (R, L) by k-means, a few rounds; shape (R,)."""
    centre = codes[rng.permutation(len(codes))[:n_components]]
    for _ in range(8):
        which = ((centre**2).sum(axis=1) - 2 * codes @ centre.T).argmin(axis=1)
        centre = np.stack(
            [codes[which == m].mean(axis=0) if (which == m).any() else centre[m] for m in range(n_components)]
        )
    return which
