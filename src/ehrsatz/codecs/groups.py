"""Atoms -> few groups, for methods that count combinations.

Neighbouring atoms are pooled to about equal shares; an atom that fills a group alone keeps one. Levels without an
order are pooled in natural order, so that neighbouring codes fall together. Missing has a group of its own, the last,
where a column has gaps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def learn_groups(share: Floats, n_groups: int, *, keep_all: bool = False) -> NDArray[np.int32]:
    """Return the group of each atom and, last, of missing, shape (n_atoms + 1,).

    Parameters
    ----------
    share : share of each atom and, last, of missing, as `frequencies` gives them.
    n_groups : about how many groups of present atoms.
    keep_all : one group per atom, whatever their number.
    """
    present, groups = share[:-1], np.zeros(len(share), dtype=np.int32)
    total = present.sum()
    if len(present) and (keep_all or len(present) <= n_groups or total <= 0):
        groups[:-1] = np.arange(len(present)) if total > 0 else 0
    elif len(present):
        alone = present >= total / n_groups
        rest = np.where(alone, 0.0, present)
        left = max(1, n_groups - int(alone.sum()))
        middle = (np.cumsum(rest) - rest / 2) / max(rest.sum(), 1e-300)
        part = np.minimum((middle * left).astype(np.int64), left - 1)
        label = np.where(alone, left + np.arange(len(present)), part)
        groups[:-1] = _renumber(label)
    groups[-1] = groups[:-1].max(initial=-1) + 1 if share[-1] > 0 else groups[-1]
    return groups


def encode_groups(groups: NDArray[np.int32], atoms: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the group of each atom (-1: missing), shape (R,)."""
    return groups[np.where(atoms < 0, len(groups) - 1, atoms)]


def count_groups(groups: NDArray[np.int32]) -> int:
    """Return the number of groups."""
    return int(groups.max(initial=0)) + 1


def _renumber(label: NDArray[np.int64]) -> NDArray[np.int32]:
    """Number labels by first appearance, so that groups follow the order of their first atoms."""
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]
