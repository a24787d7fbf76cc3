"""Which cells mean "missing": empty ones, the usual words and marks, and numbers that stand for missing.

A number is taken for a mark only where it stands apart: a negative one among numbers of 0 or more, or a run of nines
far above all others, held by several rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CERTAIN = frozenset(
    {"?", "??", "na", "n/a", "n.a.", "#n/a", "#na", "nan", "<na>", "nat", "null", "(null)", "\\n", "#null!", "nil", "."}
)
POSSIBLE = frozenset({"none", "-", "--", "---", "missing", "not available", "not recorded", "not applicable", "unk"})
NEGATIVE_MARKS = (-9.0, -8.0, -7.0, -99.0, -98.0, -999.0, -9999.0, -99999.0, -1.0)
NINES = (99.0, 999.0, 9999.0, 99999.0, 999999.0, 9999999.0, 99.9, 999.9)


def is_mark(token: str) -> bool:
    """Say whether a cell's text is one of the usual marks for missing, certain or possible.

    Examples
    --------
    >>> is_mark("N/A"), is_mark("none"), is_mark("0")
    (True, True, False)
    """
    folded = token.casefold()
    return folded in CERTAIN or folded in POSSIBLE


def numeric_marks(values: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, ...]:
    """Return the numbers among the distinct values that stand for missing.

    Parameters
    ----------
    values
        Distinct finite numbers of a column, shape (K,).
    counts
        Rows that hold each, shape (K,).

    Returns
    -------
    Marks in the order found; at least three other distinct values (two, where they are 0 and 1) always remain.
    """
    found: list[float] = []
    total = int(counts.sum())
    rest = values >= 0
    if rest.sum() >= 2:
        negatives = values[~rest]
        if len(negatives) and np.isin(negatives, NEGATIVE_MARKS).all():
            binary = set(values[rest].tolist()) == {0.0, 1.0}
            for mark in negatives.tolist():
                n = int(counts[values == mark][0])
                apart = rest.sum() >= 5 or (rest.sum() >= 3 and float(values[rest].min()) >= 1)
                if mark == -1.0 and not (apart and n >= max(2, 0.002 * total)):
                    continue
                if rest.sum() >= 3 or (binary and mark != -1.0):
                    found.append(mark)
    for mark in sorted(NINES, reverse=True):
        if mark not in values:
            continue
        others = values[(values != mark) & ~np.isin(values, found)]
        if len(others) < 4 or (others > mark).any():
            continue
        n = int(counts[values == mark][0])
        spread = float(others.max() - others.min())
        if n >= 2 and mark - float(others.max()) > max(0.5 * spread, 5.0):
            found.append(mark)
    return tuple(found)
