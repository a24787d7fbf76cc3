"""Rows of a mixed table as points, for measures of whole rows that need a Euclidean space.

The coding is the linear learner's: normal scores of ranks for numbers, a flag per column with missing cells, one
column per frequent level; beside it stands a flag per column in which synthetic rows have a gap or a level that no
real row has. It is fixed, not learned, but for ranks and levels. Tables that would give more than 256 coordinates are
projected to 256 random directions, in which distances keep their lengths to about one part in ten.

References: Johnson & Lindenstrauss, Extensions of Lipschitz mappings into a Hilbert space, Contemporary Mathematics 26,
1984, doi:10.1090/conm/026/737400.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.learners import linear_matrix
from ehrsatz.evaluation.space import MISSING_RANK, Comparison, Sample, View

MAX_ROWS = 10_000  # of each dataset
MAX_WIDTH = 256
_BLOCK = 16  # columns coded at a time where the whole is projected
_PAIRS = 1 << 20
TIE = 1e-6  # distances nearer than this are equal
INDEPENDENT = "independent"  # training rows whose columns are shuffled one by one: what a copy without skill looks like


@dataclass(frozen=True)
class Points:
    """Rows of one dataset in random order, so that the first n are a random sample.

    Parameters
    ----------
    x
        (R, P) Float32.
    sample
        The same rows in the coding of the view.
    projected
        Whether the coordinates are random directions.
    """

    x: NDArray[np.float32]
    sample: Sample
    projected: bool

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.x)

    @property
    def group(self) -> NDArray[np.int64]:
        """The subject of each row."""
        return self.sample.group

    def first(self, n: int) -> Points:
        """Return the first n rows."""
        return self if n >= self.n else Points(self.x[:n], self.sample.take(np.arange(n)), self.projected)


def points(comparison: Comparison, view: View, key: str, seed: int) -> Points:
    """Return at most 10,000 rows of "train", "holdout", "synthetic" or "independent" as points, made once.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    key
        Which rows.
    seed
        Decides the subsample and the projection.
    """

    def make() -> Points:
        whole = view.samples["train" if key == INDEPENDENT else key]
        sample = whole.take(view.rng(seed, "points", key).permutation(whole.n)[:MAX_ROWS])
        if key == INDEPENDENT:
            sample = independent(sample, view.rng(seed, "points", "shuffle"))
        x, projected = _coordinates(view, sample, seed)
        return Points(x, sample, projected)

    out: Points = comparison.once(("points", view.name, key, seed), make)
    return out


def independent(sample: Sample, rng: np.random.Generator) -> Sample:
    """Return the rows with each column shuffled on its own."""
    raw, rank, codes = sample.raw.copy(), sample.rank.copy(), sample.codes.copy()
    for i in range(raw.shape[1]):
        order = rng.permutation(sample.n)
        raw[:, i], rank[:, i] = raw[order, i], rank[order, i]
    for i in range(codes.shape[1]):
        codes[:, i] = codes[rng.permutation(sample.n), i]
    return Sample(raw, rank, codes, sample.group)


def squared_distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return squared Euclidean distances (R_a, R_b), never below 0."""
    d = a @ b.T
    d *= -2
    d += np.einsum("ij,ij->i", a, a)[:, None]
    d += np.einsum("ij,ij->i", b, b)[None, :]
    return np.maximum(d, 0, out=d)


def nearest_points(
    a: NDArray[Any], b: NDArray[Any], k: int = 1, *, itself: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distance from each row of a to its k-th nearest row of b, and which row of b is the nearest.

    Parameters
    ----------
    a, b
        (R_a, P) and (R_b, P), in one space.
    k
        Neighbour, cut to what b holds.
    itself
        Row of b that each row of a is, which is left out; None where a and b are different rows.

    Returns
    -------
    Arrays of shape (R_a,); memory is bounded, a million pairs at a time.
    """
    middle = b.mean(axis=0, dtype=np.float64)  # smaller numbers lose fewer digits
    a, b = a - middle, b - middle
    k = min(k, len(b) - (itself is not None))
    distance, place = np.empty(len(a)), np.empty(len(a), np.int64)
    step = max(1, _PAIRS // max(1, len(b)))
    for start in range(0, len(a), step):
        stop = min(len(a), start + step)
        d = squared_distances(a[start:stop], b)
        if itself is not None:
            d[np.arange(stop - start), itself[start:stop]] = np.inf
        place[start:stop] = d.argmin(axis=1)
        if k == 1:
            found = ((a[start:stop] - b[place[start:stop]]) ** 2).sum(axis=1)  # equal rows get exactly 0
        else:
            found = np.partition(d, k - 1, axis=1)[:, k - 1]
        distance[start:stop] = np.sqrt(found)
    return distance, place


def _coordinates(view: View, sample: Sample, seed: int) -> tuple[NDArray[np.float32], bool]:
    strange = _strange(view, sample)
    width = linear_matrix(view, sample.take(np.arange(min(1, sample.n)))).shape[1] + strange.shape[1]
    if width <= MAX_WIDTH:
        return np.column_stack([linear_matrix(view, sample), strange]).astype(np.float32), False
    rng = view.rng(seed, "points", "projection")
    names = [one.name for one in view.features]
    x = strange @ (rng.standard_normal((strange.shape[1], MAX_WIDTH)) / np.sqrt(MAX_WIDTH))
    for start in range(0, len(names), _BLOCK):
        others = frozenset(names[:start] + names[start + _BLOCK :])
        part = linear_matrix(view, sample, others)
        x += part @ (rng.standard_normal((part.shape[1], MAX_WIDTH)) / np.sqrt(MAX_WIDTH))
    return x.astype(np.float32), True


def _strange(view: View, sample: Sample) -> NDArray[np.float64]:
    """Return a flag (R, S) for each column in which synthetic rows have what no real row has: a gap, a new level."""
    columns = []
    for one in view.features:
        if one.is_number:
            gaps = {key: s.rank[:, one.slot] == MISSING_RANK for key, s in view.samples.items()}
            if gaps["synthetic"].any() and not (gaps["train"].any() or gaps["holdout"].any()):
                columns.append((sample.rank[:, one.slot] == MISSING_RANK).astype(np.float64))
        elif (view.samples["synthetic"].codes[:, one.slot] == len(one.levels) + 1).any():
            columns.append((sample.codes[:, one.slot] == len(one.levels) + 1).astype(np.float64))
    return np.column_stack(columns) if columns else np.empty((sample.n, 0))
