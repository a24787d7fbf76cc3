"""Which column comes when, and which earlier columns it may look at.

Dependence is measured once for all pairs, as mutual information between columns coarsened to at most 20 groups.
Columns of many levels come first, the richest before the others: drawn early they follow few conditions, so that a
rare code is drawn from many subjects and not from the handful that share a long chain of earlier cells. The other
columns keep the order of the table, where outcomes mostly stand last.

References
----------
Chow & Liu, Approximating discrete probability distributions with dependence trees, IEEE Trans. Information Theory 14
(1968), doi:10.1109/TIT.1968.1054142 (mutual information as the measure of dependence between columns).
Miller, Note on the bias of information estimates, in: Information Theory in Psychology (1955) (the correction).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Atoms = NDArray[np.int32]
Floats = NDArray[np.float64]

GROUPS = 20
MANY_LEVELS = 60
_ROWS = 20_000  # dependence is measured on at most so many rows
_CELLS = 40_000_000  # ... and fewer when there are very many pairs


def coarsen(atoms: Atoms, size: int, is_number: bool, groups: int = GROUPS) -> tuple[Atoms, int]:
    """Return codes of at most `groups` values and how many there are; missing (-1) is the last.

    Numbers fall in groups of about equal counts in value order; of levels, the most frequent keep a group each.

    Parameters
    ----------
    atoms : shape (R,), -1 where missing.
    size : number of atoms.
    is_number : whether atoms are in value order.
    groups : most groups, missing included.
    """
    table = groups_of(np.bincount(np.where(atoms < 0, size, atoms), minlength=size + 1), is_number, groups)
    return table[np.where(atoms < 0, size, atoms)], int(table.max()) + 1


def groups_of(counts: NDArray[np.int64], is_number: bool, groups: int = GROUPS) -> Atoms:
    """Return the group of each atom, the last entry being that of missing; shape (n_atoms + 1,)."""
    size = len(counts) - 1
    if size + 1 <= groups:
        return np.arange(size + 1, dtype=np.int32)
    table = np.full(size + 1, groups - 1, dtype=np.int32)
    if is_number:
        middle = np.cumsum(counts[:size]) - counts[:size] / 2
        table[:size] = np.minimum((middle / max(1, counts[:size].sum()) * (groups - 1)).astype(np.int32), groups - 2)
        return table
    top = np.argsort(-counts[:size], kind="stable")[: groups - 2]
    table[:size] = groups - 2
    table[top] = np.arange(len(top))
    return table


def mutual_information(codes: list[tuple[Atoms, int]]) -> Floats:
    """Return the bias-corrected mutual information of all pairs in nats, shape (D, D), 0 on the diagonal.

    Rows beyond the first 20,000 are left out: callers pass rows in random order or have fewer.
    """
    d = len(codes)
    n_rows = len(codes[0][0]) if d else 0
    n = max(min(n_rows, _ROWS, _CELLS // max(1, d * d)), min(n_rows, 2_000))
    part = [(code[:n].astype(np.int64), size) for code, size in codes]
    single = [np.bincount(code, minlength=size) for code, size in part]
    entropies = [_entropy(count) for count in single]
    present = [int((count > 0).sum()) for count in single]
    out = np.zeros((d, d))
    for i in range(d):
        if present[i] < 2:
            continue
        for j in range(i + 1, d):
            if present[j] < 2:
                continue
            joint = np.bincount(part[i][0] * part[j][1] + part[j][0], minlength=part[i][1] * part[j][1])
            bias = (present[i] - 1) * (present[j] - 1) / (2 * n)
            out[i, j] = out[j, i] = max(0.0, entropies[i] + entropies[j] - _entropy(joint) - bias)
    return out


def column_order(sizes: list[int], entropies: list[float], is_number: list[bool], fixed: int = 0) -> list[int]:
    """Return the columns in the order in which they are drawn.

    Parameters
    ----------
    sizes, entropies, is_number
        Per column: number of atoms, entropy in nats, whether it is a number.
    fixed
        The first so many columns are given from outside and stay first, in their order.
    """
    free = range(fixed, len(sizes))
    rich = [d for d in free if sizes[d] > MANY_LEVELS and not is_number[d]]
    rich.sort(key=lambda d: (-round(entropies[d], 6), d))
    return [*range(fixed), *rich, *(d for d in free if d not in rich)]


def parents(information: Floats, column: int, earlier: list[int], most: int) -> list[int]:
    """Return the earlier columns that tell most about a column, at most `most` of them, the strongest first."""
    telling = [d for d in earlier if information[column, d] > 0]
    telling.sort(key=lambda d: (-information[column, d], d))
    return telling[:most]


def entropy(atoms: Atoms, size: int) -> float:
    """Return the entropy of a column in nats, missing counted as one more atom."""
    return _entropy(np.bincount(np.where(atoms < 0, size, atoms), minlength=size + 1))


def _entropy(counts: NDArray[np.int64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
