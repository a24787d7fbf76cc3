"""From groups of subjects to the components of a mixture.

A component holds at least five subjects. Its normals' means and spreads are drawn towards those of all, by as much as
makes each subject most likely given the others of its component: where a grouping says nothing of a column, the
column's distribution is that of all subjects, and noise of small groups is neither learned nor reproduced.

Reference: Efron and Morris, Stein's estimation rule and its competitors, JASA 68 (1973),
doi:10.1080/01621459.1973.10481350 (shrinkage of group means); Silverman, Density Estimation (1986), section 3.4.4
(the likelihood of left-out points as the measure of smoothing).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ehrsatz.generators.latents import Floats, Ints, Latents, positive
from ehrsatz.generators.levels import learn_levels
from ehrsatz.generators.mixture import Mixture

_TOWARDS = (0.0, 0.5, 1.5, 5.0, 20.0, 1e6)  # subjects' worth of the overall mean
_STEADY = (1.0, 4.0, 16.0, 1e6)  # subjects' worth of the overall spread
_TRIAL_ROWS = 20_000
_LEAST_SPREAD = 0.02


def learn_mixture(
    latents: Latents,
    codes: Ints,
    scores: Floats,
    groups: list[tuple[Ints, Ints]],
    *,
    boxes: list[tuple[Ints, Ints]] | None = None,
    correlated: bool = True,
) -> Mixture:
    """Learn a mixture from one or more groupings of the rows.

    Parameters
    ----------
    latents : of the table.
    codes, scores : shape (N, D) and (N, S), the scores not turned.
    groups : per grouping the rows that it counts and the group of each, numbered from 0.
    boxes : per grouping the lowest and highest code of each column that the margin may lend to each group, (G, D).
    correlated : whether scores keep, in each component, the covariance that components have on average.
    """
    sizes = [int(own.max(initial=-1)) + 1 for _, own in groups]
    first = np.cumsum([0, *sizes])
    whose = np.concatenate([own + start for (_, own), start in zip(groups, first)])
    rows = np.concatenate([some for some, _ in groups])
    n = int(first[-1])
    low = high = None
    if boxes is not None:
        low, high = np.concatenate([one for one, _ in boxes]), np.concatenate([one for _, one in boxes])
    levels = []
    for d, margin in enumerate(latents.margins):
        here = codes[rows, d] > 0
        some = rows[here] if d not in latents.smooth else rows[:0]
        if low is None or high is None or len(margin) < 3:
            ends = (None, None)
        else:
            ends = (np.maximum(low[:, d], 1), np.maximum(high[:, d], 1))
        levels.append(learn_levels(codes[some, d], whose[here][: len(some)], n, margin, low=ends[0], high=ends[1]))
    gates = []
    for g in range(latents.missing.n_groups):
        gone = (codes[:, latents.missing.groups.index(g)] == 0).astype(np.int64)
        gates.append(learn_levels(gone[rows], whose, n, np.array([1 - gone.mean(), gone.mean()])))
    root = _root(scores[rows], whose, n, len(scores)) if correlated else np.eye(scores.shape[1])
    latents = replace(latents, root=root)
    mean, spread = learn_normals(latents.turn(scores)[rows], whose, n)
    counted = np.repeat([len(own) for _, own in groups], sizes)  # rows of each component's grouping, (C,)
    share = np.bincount(whose, minlength=n) / counted / len(groups)
    return Mixture(latents, share, tuple(levels), tuple(gates), mean, spread)


def _root(scores: Floats, whose: Ints, n: int, n_subjects: int) -> Floats:
    """Return the symmetric root of the covariance within components, shrunk."""
    held = np.maximum(np.bincount(whose, minlength=n), 1)
    inner = np.empty_like(scores)
    for s in range(scores.shape[1]):
        inner[:, s] = scores[:, s] - (np.bincount(whose, scores[:, s], minlength=n) / held)[whose]
    free = max(len(whose) - n, 1)
    covariance = inner.T @ inner / free
    spread = np.sqrt(np.maximum(np.diag(covariance), _LEAST_SPREAD**2))
    observed = np.clip(covariance / spread[:, None] / spread, -1, 1)
    shrunk = positive(observed, max(2.0, n_subjects * free / len(whose)))  # a row in several groupings counts once
    values, vectors = np.linalg.eigh(shrunk * spread[:, None] * spread)
    return np.round((vectors * np.sqrt(np.maximum(values, 1e-8))) @ vectors.T, 9)


def learn_normals(turned: Floats, whose: Ints, n: int) -> tuple[Floats, Floats]:
    """Return mean and spread of each score in each component, (C, S) each.

    Parameters
    ----------
    turned : shape (R, S).
    whose : shape (R,), component of each row.
    n : number of components.
    """
    held = np.bincount(whose, minlength=n).astype(np.float64)
    mean, spread = np.zeros((n, turned.shape[1])), np.ones((n, turned.shape[1]))
    some = np.arange(0, len(whose), max(1, len(whose) // _TRIAL_ROWS))
    for s in range(turned.shape[1]):
        first: Floats = np.bincount(whose, turned[:, s], minlength=n).astype(np.float64)
        second: Floats = np.bincount(whose, turned[:, s] ** 2, minlength=n).astype(np.float64)
        centre = turned[:, s].mean()
        inside = np.maximum(second - first**2 / np.maximum(held, 1), 0.0).sum()
        within = max(inside / max(len(whose) - n, 1), _LEAST_SPREAD**2)
        towards, steady = _choose(
            turned[some, s], first[whose[some]], second[whose[some]], held[whose[some]], centre, within
        )
        mean[:, s], spread[:, s] = _estimate(first, second, held, centre, within, towards, steady)
    return np.asarray(np.round(mean, 5)), np.asarray(np.round(np.maximum(spread, _LEAST_SPREAD), 5), dtype=np.float64)


def _estimate(
    first: Floats, second: Floats, held: Floats, centre: float, within: float, towards: float, steady: float
) -> tuple[Floats, Floats]:
    """Mean and spread from sums and sums of squares, drawn towards those of all."""
    mean = (first + towards * centre) / np.maximum(held + towards, 1e-9)
    around = np.maximum(second - 2 * mean * first + held * mean**2, 0.0)
    # the spread within components, and what their means leave out by being drawn together
    base = within * (1 + 1 / np.maximum(held + towards, 1.0))
    return mean, np.sqrt((around + steady * base) / (held + steady))


def _choose(
    cells: Floats, first: Floats, second: Floats, held: Floats, centre: float, within: float
) -> tuple[float, float]:
    """Return the shrinkage of mean and spread under which each cell is likeliest given the others of its component."""
    best, chosen = -np.inf, (_TOWARDS[-1], _STEADY[-1])
    for towards in _TOWARDS:
        for steady in _STEADY:
            total = within + (towards > 1e3) * max(float(cells.var()) - within, 0.0)
            mean, spread = _estimate(first - cells, second - cells**2, held - 1, centre, total, towards, steady)
            fit = round(float((-(((cells - mean) / spread) ** 2) / 2 - np.log(spread)).mean()), 7)
            if fit > best:
                best, chosen = fit, (towards, steady)
    return chosen
