"""Nearest rows in a mixed table, in bounded memory.

The distance of two rows is the mean over columns of |rank difference| (numbers) or mismatch (categories; missing is a
value like any other): Gower's coefficient on ranks. Rows are compared in blocks of about a quarter million pairs.

References: Gower, A general coefficient of similarity, Biometrics 27, 1971, doi:10.2307/2528823.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.space import MISSING_RANK, Sample

_PAIRS = 1 << 18
TIE = 1e-6


def blocks(a: Sample, b: Sample) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Yield (start, stop, distances of rows start .. stop - 1 of a to all rows of b), shape (stop - start, R_b)."""
    n_columns = a.rank.shape[1] + a.codes.shape[1]
    step = max(1, _PAIRS // max(1, b.n))
    pairs = [_numbers(a, b, i) for i in range(a.rank.shape[1])]
    codes = [_codes(a, b, i) for i in range(a.codes.shape[1])]
    work = np.empty((step, b.n), np.float32)
    unequal = np.empty((step, b.n), bool)
    for start in range(0, a.n, step):
        stop = min(a.n, start + step)
        m = stop - start
        total = np.zeros((m, b.n), np.float32)
        gap, differ = work[:m], unequal[:m]
        for x, y, has_missing in pairs:
            np.subtract(x[start:stop, None], y[None, :], out=gap)
            np.abs(gap, out=gap)
            if has_missing:
                np.minimum(gap, 1, out=gap)
            total += gap
        if codes:
            tally = np.zeros((m, b.n), np.uint8 if len(codes) < 256 else np.uint16)
            for c, d in codes:
                np.not_equal(c[start:stop, None], d[None, :], out=differ)
                tally += differ
            total += tally
        total /= max(1, n_columns)
        yield start, stop, total


def nearest(a: Sample, b: Sample, k: int = 1, *, skip_self: bool = False) -> NDArray[np.float32]:
    """Return the distances of each row of a to its k nearest rows of b, nearest first.

    Parameters
    ----------
    a, b
        Rows in one coding.
    k
        Neighbours, cut to what b holds.
    skip_self
        Whether row i of b is left out for row i of a (b is a).

    Returns
    -------
    Array of shape (R_a, k), distances in [0, 1].
    """
    k = min(k, b.n - int(skip_self))
    out = np.empty((a.n, k), np.float32)
    for start, stop, d in blocks(a, b):
        if skip_self:
            d[np.arange(stop - start), np.arange(start, stop)] = np.inf
        out[start:stop] = d.min(axis=1, keepdims=True) if k == 1 else np.sort(np.partition(d, k - 1, axis=1)[:, :k])
    return out


def _numbers(a: Sample, b: Sample, i: int) -> tuple[NDArray[np.float32], NDArray[np.float32], bool]:
    x, y = np.ascontiguousarray(a.rank[:, i]), np.ascontiguousarray(b.rank[:, i])
    return x, y, bool((x == MISSING_RANK).any() or (y == MISSING_RANK).any())


def _codes(a: Sample, b: Sample, i: int) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    x, y = a.codes[:, i], b.codes[:, i]
    top = max(x.max(initial=0), y.max(initial=0))
    kind = np.uint8 if top < 256 else np.uint16 if top < 65536 else np.int32
    return np.ascontiguousarray(x.astype(kind)), np.ascontiguousarray(y.astype(kind))
