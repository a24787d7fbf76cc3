"""Which columns models read where a table has very many: those that go with the target most, on either training side.

Each column is cut into ten bins by rank (or its ten most frequent levels) and missing, and scored by chi-squared with
the classes of the target, or its fourths, over what chance gives. Half of the places go to the columns that score best
among real training rows, half to those that score best among synthetic ones. No tested row is looked at.

References: Guyon & Elisseeff, An introduction to variable and feature selection, JMLR 3, 2003 (ranking one by one).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.space import MISSING_RANK, Feature, Sample

BINS = 10


def screened(
    inputs: tuple[Feature, ...],
    samples: dict[str, Sample],
    y: dict[str, NDArray[Any]],
    *,
    most: int,
    is_number: bool,
) -> frozenset[str]:
    """Return the names of the columns that are left out, so that at most `most` are read.

    Parameters
    ----------
    inputs
        Columns that may be read.
    samples, y
        Rows that models learn from, by side, and their target.
    most
        Columns to keep.
    is_number
        Whether the target is a number.
    """
    if len(inputs) <= most:
        return frozenset()
    orders = []
    for side in ("train", "synthetic"):
        target = np.searchsorted(np.quantile(y[side], [0.25, 0.5, 0.75]), y[side]) if is_number else y[side]
        score = np.array([excess(_bins(samples[side], one), target) for one in inputs])
        orders.append(np.argsort(-score, kind="stable"))
    kept: list[int] = []
    for pair in zip(*orders):  # the best of each side in turn, until all places are taken
        kept += [int(j) for j in pair if j not in kept]
        if len(kept) >= most:
            break
    read = set(kept[:most])
    return frozenset(one.name for j, one in enumerate(inputs) if j not in read)


def excess(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return chi-squared of two codes less its degrees of freedom, per row.

    Examples
    --------
    >>> excess(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]))
    0.75
    """
    if not len(a):
        return 0.0
    width = int(b.max()) + 1
    table = np.bincount(a * width + b, minlength=(int(a.max()) + 1) * width).reshape(-1, width).astype(np.float64)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / len(a)
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return float((((table - expected) ** 2 / expected).sum() - freedom) / len(a))


def _bins(sample: Sample, one: Feature) -> NDArray[np.int64]:
    if not one.is_number:
        return np.minimum(sample.codes[:, one.slot], BINS).astype(np.int64)
    rank = sample.rank[:, one.slot]
    return np.where(rank == MISSING_RANK, BINS, np.clip((rank * BINS).astype(np.int64), 0, BINS - 1)).astype(np.int64)
