"""Nearest rows of a mixed table by matrix products, for many rows in bounded memory.

A row becomes a point: a number its normal score halved (so that two random values lie 0.5 apart, squared, on average),
a category one axis per level (two levels lie 1 apart, squared), a missing number its own axis. Variables with many
levels, and tables with more axes than `MAX_AXES`, are projected at random, which keeps distances within about a tenth
and equal rows equal. Candidates are found on the leading principal components where a table has many axes, and measured
in full: the nearest rows are then those of the candidates. All of it is learned from train and holdout together.

References: Johnson & Lindenstrauss, Contemporary Mathematics 26, 1984, doi:10.1090/conm/026/737400 (projection);
Halko, Martinsson & Tropp, SIAM Review 53, 2011, doi:10.1137/090771806 (candidates on a sketch).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ehrsatz.evaluation.space import MISSING_RANK, Comparison, Feature, Sample, View
from ehrsatz.seeds import stream

MAX_AXES = 192
SKETCH = 32
ONE_HOT = 16
HASHED = 12
FURTHEST = 4.0  # normal scores are cut here
WIDTH = 32
CELLS = 1 << 21
FAR = np.float32(1e30)


@dataclass(frozen=True)
class Points:
    """Rows as points.

    full
        (R, P) float32.
    sketch
        (R, Q) float32, Q at most P: what candidates are searched on.
    group
        (R,) subject of each row; subjects of train and of holdout have different numbers.
    """

    full: NDArray[np.float32]
    sketch: NDArray[np.float32]
    group: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.full)

    def take(self, rows: NDArray[np.int64]) -> Points:
        """Return some rows."""
        return Points(self.full[rows], self.sketch[rows], self.group[rows])


def points(comparison: Comparison, view: View) -> dict[str, Points]:
    """Return the rows of train, holdout and synthetic as points, all columns together."""
    out: dict[str, Points] = comparison.once(("points", view.name), lambda: embed(view, view.features))
    return out


def embed(view: View, features: tuple[Feature, ...], weights: NDArray[np.float64] | None = None) -> dict[str, Points]:
    """Return the rows of each dataset as points in the space of some columns.

    Parameters
    ----------
    view
        Where the columns stand.
    features
        Which columns take part.
    weights
        (features,) factor of each column's squared distance; 1 where None.
    """
    factors = np.ones(len(features)) if weights is None else np.sqrt(weights)
    whole = sum(len(_occurring(view, one)) for one in features)
    full: dict[str, NDArray[np.float32]] = {}
    for key, sample in view.samples.items():
        parts = [np.zeros((sample.n, 1), np.float32)] if not whole else []
        for place, one in enumerate(features):
            axes = _axes(view, one, sample) * np.float32(factors[place])
            parts.append(axes)
        full[key] = np.hstack(parts) if whole <= MAX_AXES else _project(view, features, parts)
    turn = _components(np.concatenate([full["train"], full["holdout"]]))
    shift = int(view.samples["train"].group.max(initial=-1)) + 1
    return {
        key: Points(one, one if turn is None else one @ turn, view.samples[key].group + shift * (key == "holdout"))
        for key, one in full.items()
    }


def join(*parts: Points) -> Points:
    """Put points one after the other."""
    return Points(
        np.concatenate([one.full for one in parts]),
        np.concatenate([one.sketch for one in parts]),
        np.concatenate([one.group for one in parts]),
    )


def search(a: Points, b: Points, k: int = 1, *, others: bool = False) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the k nearest rows of b for each row of a.

    Parameters
    ----------
    a, b
        Points of one space.
    k
        Neighbours, cut to the rows of b.
    others
        Whether rows of b of the same subject are left out (the row itself, where b is a).

    Returns
    -------
    Distances (R_a, k), nearest first, infinite where there is no k-th; and rows of b (R_a, k).
    """
    k = min(k, b.n)
    spare = 0
    if others:
        spare = min(24, int(np.bincount(np.unique(b.group, return_inverse=True)[1]).max(initial=0)))
    is_exact = b.sketch is b.full or b.sketch.shape[1] == b.full.shape[1]
    c = min(b.n, k + spare + (2 if is_exact else max(6, 2 * k)))
    near = np.empty((a.n, k), np.float32)
    which = np.empty((a.n, k), np.int64)
    left = np.hstack([-2 * a.sketch, np.ones((a.n, 1), np.float32)])
    right = np.hstack([b.sketch, np.square(b.sketch).sum(axis=1, keepdims=True)])
    pad = -b.n % WIDTH
    if pad:
        empty = np.zeros((pad, right.shape[1]), np.float32)
        empty[:, -1] = FAR
        right = np.vstack([right, empty])
    right = np.ascontiguousarray(right.T)
    step = max(1, CELLS // right.shape[1])
    for start in range(0, a.n, step):
        stop = min(a.n, start + step)
        found = _candidates(left[start:stop] @ right, c)
        gap = b.full[found] - a.full[start:stop, None, :]  # (m, c, P)
        d = np.einsum("mcp,mcp->mc", gap, gap)
        d[found >= b.n] = np.inf
        if others:
            d[b.group[found] == a.group[start:stop, None]] = np.inf
        order = np.lexsort((found, d), axis=1)[:, :k]
        near[start:stop] = np.sqrt(np.take_along_axis(d, order, axis=1))
        which[start:stop] = np.take_along_axis(found, order, axis=1)
    return near, which


def _candidates(d: NDArray[np.float32], c: int) -> NDArray[np.int64]:
    """Return the c smallest cells of each row, exactly: they lie in the c blocks of smallest minimum."""
    m, n = d.shape
    if c == n:
        return np.tile(np.arange(n), (m, 1))
    n_blocks = n // WIDTH
    if c < n_blocks:
        blocks = d.reshape(m, WIDTH, n_blocks)  # block j: the cells j, j + n_blocks, ...
        chosen = np.argpartition(blocks.min(axis=1), c - 1, axis=1)[:, :c]
        where = (np.arange(WIDTH)[None, :, None] * n_blocks + chosen[:, None, :]).reshape(m, WIDTH * c)
        place = np.argpartition(np.take_along_axis(d, where, axis=1), c - 1, axis=1)[:, :c]
        return np.take_along_axis(where, place, axis=1)
    return np.argpartition(d, c - 1, axis=1)[:, :c]


def _project(view: View, features: tuple[Feature, ...], parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Project at random to `MAX_AXES` axes, some columns at a time."""
    total = np.zeros((len(parts[0]), MAX_AXES), np.float32)
    start = 0
    while start < len(parts):
        stop = start + 1
        while stop < len(parts) and sum(one.shape[1] for one in parts[start : stop + 1]) <= 2 * MAX_AXES:
            stop += 1
        block = np.hstack(parts[start:stop])
        rng = stream(0, "neighbours", view.name, features[start].table, features[start].name)
        turn = rng.standard_normal((block.shape[1], MAX_AXES)) / np.sqrt(MAX_AXES)
        total += block @ turn.astype(np.float32)
        start = stop
    return total


def _components(real: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return the axes of the leading principal components, or None where all axes are few."""
    if real.shape[1] <= SKETCH + 8:
        return None
    some = real[:: max(1, len(real) // 4000)].astype(np.float64)
    _, turn = np.linalg.eigh(np.atleast_2d(np.cov(some, rowvar=False)) if len(some) > 1 else np.eye(real.shape[1]))
    return np.ascontiguousarray(turn[:, ::-1][:, :SKETCH]).astype(np.float32)


def _occurring(view: View, feature: Feature) -> NDArray[np.int64]:
    """Return the axes of a column along which rows differ: for a number itself (0) and its being missing (1)."""
    if feature.is_number:
        ranks = [one.rank[:, feature.slot] for one in view.samples.values()]
        gone = any(bool((one == MISSING_RANK).any()) for one in ranks)
        return np.arange(1 + gone)
    n = len(feature.levels) + 2
    if n > ONE_HOT:
        return np.arange(HASHED)
    tally = sum(np.bincount(one.codes[:, feature.slot], minlength=n) for one in view.samples.values())
    found = np.flatnonzero(tally)
    return found if len(found) > 1 else found[:0]


def _axes(view: View, feature: Feature, sample: Sample) -> NDArray[np.float32]:
    """Return the coordinates (R, width) of one column."""
    used = _occurring(view, feature)
    if feature.is_number:
        z, gone = scores(sample.rank[:, feature.slot])
        return np.column_stack([z / 2, gone][: len(used)]).astype(np.float32)
    codes = sample.codes[:, feature.slot]
    if len(feature.levels) + 2 <= ONE_HOT:
        return (codes[:, None] == used[None, :]).astype(np.float32) * np.float32(np.sqrt(0.5))
    signs = stream(0, "levels", view.name, feature.table, feature.name).choice(
        [-1.0, 1.0], (len(feature.levels) + 2, HASHED)
    )
    return (signs / np.sqrt(2 * HASHED)).astype(np.float32)[codes]


def scores(rank: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return normal scores of ranks in [0, 1], 0 where missing, and where that is."""
    gone = rank == MISSING_RANK
    inside = np.clip(np.where(gone, 0.5, rank).astype(np.float64), 1e-9, 1 - 1e-9)
    return np.clip(ndtri(inside), -FURTHEST, FURTHEST), gone


def keys(view: View, features: tuple[Feature, ...] | None = None) -> dict[str, NDArray[np.uint64]]:
    """Return a 64-bit key of each row that equal rows share, over some columns or all.

    Unequal rows share a key with a chance of about 1 in 10^19.
    """
    chosen = view.features if features is None else features
    out = {}
    for key, sample in view.samples.items():
        total = np.full(sample.n, 0x9E3779B97F4A7C15, np.uint64)
        for one in chosen:
            if one.is_number:
                cells = sample.raw[:, one.slot] + 0.0  # minus zero becomes zero
                bits = np.where(np.isnan(cells), np.nan, cells).view(np.uint64)
            else:
                bits = sample.codes[:, one.slot].astype(np.uint64)
            total = _mix(total ^ _mix(bits + np.uint64(0x632BE59BD9B4E019)))
        out[key] = total
    return out


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words (the finalizer of SplitMix64); order of columns matters through the running total."""
    with np.errstate(over="ignore"):
        words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
