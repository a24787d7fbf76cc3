"""Watch a generator for lost modes: how many held-out rows lie among its rows, and how often its rows repeat.

References
----------
Naeem, Oh, Uh, Choi and Yoo, Reliable fidelity and diversity metrics for generative models, ICML 2020,
arXiv:2002.09797 (coverage: share of real rows whose k-th nearest real neighbour is farther than a generated row).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.codecs.category import CategoryCode
from ehrsatz.codecs.table import TableCode, frequencies

Ints = NDArray[np.int32]

_K = 5
_ROWS = 800  # of each side
FAIR = 0.8  # coverage below which modes count as lost
_CERTAIN = 2.0  # standard errors by which it must be below


@dataclass(frozen=True)
class Seen:
    """Coverage of real rows by generated rows and its largest error by chance, and shares of repeated rows."""

    coverage: float
    chance: float
    repeated: float
    natural: float

    @property
    def is_lost(self) -> bool:
        """Whether modes were lost, beyond what chance explains."""
        return self.coverage < FAIR - self.chance


class Watch:
    """Real rows, ready to be compared with generated ones.

    The distance is that of Gower, on the middles of the ranks of atoms: the mean over columns of how far two ranks lie
    apart, 1 for unequal levels and for a cell that is missing in one row alone. Columns that never vary say nothing.

    Parameters
    ----------
    code : the table's code.
    learn, held : atoms of the rows learned from and of held-out ones, shapes (R, D) and (S, D).
    """

    def __init__(self, code: TableCode, learn: Ints, held: Ints) -> None:
        both = np.concatenate([held, learn])  # held-out rows first, then as many others as make the space as full
        self.place = [
            None if isinstance(one, CategoryCode) else (np.cumsum(share) - share / 2).astype(np.float32)
            for one, share in zip(code.codes, frequencies(code, both))
        ]
        self.real = both[:_ROWS]
        self.n_wanted = len(self.real)
        gaps = self._distances(self.real, self.real)
        np.fill_diagonal(gaps, np.inf)
        self.radius = np.sort(gaps, axis=1)[:, min(_K, self.n_wanted) - 1] + 1e-6
        self.natural = _repeated(learn[:_ROWS])

    def look(self, atoms: Ints) -> Seen:
        """Compare generated rows, shape (R, D), best as many as `n_wanted`."""
        near = self._distances(self.real, atoms).min(axis=1)
        coverage = float((near <= self.radius).mean())
        chance = _CERTAIN * (FAIR * (1 - FAIR) / self.n_wanted) ** 0.5
        return Seen(coverage, chance, _repeated(atoms), self.natural)

    def _distances(self, a: Ints, b: Ints) -> NDArray[np.float32]:
        """Sums of distances over columns, shape (len(a), len(b))."""
        total = np.zeros((len(a), len(b)), dtype=np.float32)
        for d, place in enumerate(self.place):
            one, two = a[:, d], b[:, d]
            if place is None:
                total += one[:, None] != two[None]
                continue
            ranks = [np.where(atoms < 0, np.float32(9), place[np.maximum(atoms, 0)]) for atoms in (one, two)]
            total += np.minimum(np.abs(ranks[0][:, None] - ranks[1][None]), 1)
        return total


def _repeated(atoms: Ints) -> float:
    """Share of rows that are like an earlier one in every atom."""
    return 1.0 - len(np.unique(atoms, axis=0)) / max(len(atoms), 1)
