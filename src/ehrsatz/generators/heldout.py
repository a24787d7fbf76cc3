"""Small held-out scores by which `auto` compares methods: how far from a holdout, how near to the training rows.

All are counts of atoms and distances of ranks, so they are the same on any machine. They decide between methods and
claim nothing: the evaluation room judges a release.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ehrsatz.codecs.groups import count_groups, encode_groups, learn_groups
from ehrsatz.codecs.table import TableCode, encode_table, frequencies, learn_table
from ehrsatz.schema import Table
from ehrsatz.seeds import stream

Floats = NDArray[np.float64]

_SUBSETS = 300  # pairs, and triples, of columns that are looked at
_ROWS = 1_000  # rows of each side for distances
_CHUNK = 100
_CHANCE = 2.33  # standard errors above a limit that count as chance: one in a hundred


def slack_of_share(n: int) -> float:
    """Return how far above a limit chance brings a share near one half among n rows, once in a hundred times."""
    return _CHANCE * float(np.sqrt(1 / max(n, 1)) / 2)


def slack_of_auc(n: int) -> float:
    """Return how far above a limit chance brings an AUC near one half, of n rows on each side, once in a hundred."""
    return _CHANCE * float(np.sqrt(1 / (6 * max(n, 1))))


class Yardstick:
    """One table's holdout, coded once: `distance` and `nearness` compare a synthetic table with it.

    Parameters
    ----------
    table
        The table's columns.
    train, holdout
        Frames of the rows that a method saw and of others.
    min_subjects
        Fewest subjects behind an atom.
    seed
        Decides which columns and rows are looked at.
    """

    def __init__(
        self, table: Table, train: pl.DataFrame, holdout: pl.DataFrame, *, min_subjects: int, seed: int
    ) -> None:
        self.code: TableCode = learn_table(pl.concat([train, holdout]), table, min_subjects=min_subjects)
        self.seed = seed
        self.train, self.holdout = encode_table(self.code, train), encode_table(self.code, holdout)
        # margins of both halves together favour neither
        self.shares = frequencies(self.code, np.concatenate([self.train, self.holdout]))
        rng = stream(seed, "heldout", table.name)
        n_columns = len(self.code.names)
        self.subsets = [*_some(n_columns, 2, rng), *_some(n_columns, 3, rng)]
        equal = min(len(self.train), len(self.holdout), _ROWS)
        self.rows_train = np.sort(rng.permutation(len(self.train))[:equal])
        self.rows_holdout = np.sort(rng.permutation(len(self.holdout))[:equal])

    def distance(self, frame: pl.DataFrame | None) -> float:
        """Return the mean total variation over pairs and triples of columns to the holdout, 0 for equal tables.

        Pairs are compared in about 8 groups per column, triples in about 4. None compares the training rows, which is
        what a perfect method would score.
        """
        atoms = self.train if frame is None else encode_table(self.code, frame)
        if not self.subsets or not len(atoms) or not len(self.holdout):
            return 0.0
        total = 0.0
        for width, n_groups in ((2, 8), (3, 4)):
            maps = [learn_groups(share, n_groups) for share in self.shares]
            ours = [encode_groups(one, atoms[:, d]) for d, one in enumerate(maps)]
            real = [encode_groups(one, self.holdout[:, d]) for d, one in enumerate(maps)]
            for subset in (one for one in self.subsets if len(one) == width):
                sizes = [count_groups(maps[d]) for d in subset]
                total += _variation([ours[d] for d in subset], [real[d] for d in subset], sizes)
        return total / len(self.subsets)

    def nearness(self, frame: pl.DataFrame) -> tuple[float, float, int]:
        """Return how much nearer a synthetic table is to the training rows than to the holdout.

        Returns
        -------
        Share of synthetic rows that lie nearer to a training row than to a holdout row (0.5 without leak); AUC of the
        attack that calls a row a member if a synthetic row is near (0.5 without leak); rows on each side.
        """
        rows = np.arange(min(frame.height, _ROWS))
        place = [np.cumsum(share) - share / 2 for share in self.shares]
        sides = [
            _ranks(atoms, place)
            for atoms in (
                encode_table(self.code, frame[rows.tolist()]),
                self.train[self.rows_train],
                self.holdout[self.rows_holdout],
            )
        ]
        if not self.code.names or min(len(side) for side in sides) == 0:
            return 0.5, 0.5, 0
        is_level = np.array([not hasattr(one, "spikes") for one in self.code.codes])
        to_train, from_train = _nearest(sides[0], sides[1], is_level)
        to_holdout, from_holdout = _nearest(sides[0], sides[2], is_level)
        share = float(np.mean(to_train < to_holdout) + np.mean(to_train == to_holdout) / 2)
        return share, _auc(-from_train, -from_holdout), len(self.rows_train)


def _some(n_columns: int, width: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """All subsets of columns where they are few, else a fixed random choice."""
    if n_columns <= 12:
        every = list(combinations(range(n_columns), width))
        return every if len(every) <= _SUBSETS else [every[i] for i in np.sort(rng.permutation(len(every))[:_SUBSETS])]
    found = {tuple(sorted(int(d) for d in rng.permutation(n_columns)[:width])) for _ in range(_SUBSETS)}
    return sorted(found)


def _variation(ours: list[NDArray[np.int32]], real: list[NDArray[np.int32]], sizes: list[int]) -> float:
    codes = []
    for side in (ours, real):
        code = np.zeros(len(side[0]), dtype=np.int64)
        for column, size in zip(side, sizes):
            code = code * size + column
        codes.append(np.bincount(code, minlength=int(np.prod(sizes))) / len(code))
    return float(np.abs(codes[0] - codes[1]).sum() / 2)


def _ranks(atoms: NDArray[np.int32], place: list[Floats]) -> Floats:
    """Mid-rank of each cell in its margin, NaN where missing, shape (R, D)."""
    out = np.full(atoms.shape, np.nan)
    for d, ranks in enumerate(place):
        rows = atoms[:, d] >= 0
        out[rows, d] = ranks[atoms[rows, d]]
    return out


def _nearest(a: Floats, b: Floats, is_level: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Gower distance from each row of a to its nearest in b, and from each row of b to its nearest in a."""
    to_b, to_a = np.empty(len(a)), np.full(len(b), np.inf)
    for start in range(0, len(a), _CHUNK):
        part = a[start : start + _CHUNK]
        total = np.zeros((len(part), len(b)))
        for d in range(a.shape[1]):  # one column at a time keeps memory at chunk x rows
            x, y = part[:, d, None], b[None, :, d]
            gap = (x != y).astype(np.float64) if is_level[d] else np.abs(x - y)
            none_x, none_y = np.isnan(x), np.isnan(y)
            total += np.where(none_x | none_y, (none_x != none_y).astype(np.float64), gap)
        total = np.round(total, 9)
        to_b[start : start + _CHUNK] = total.min(axis=1)
        to_a = np.minimum(to_a, total.min(axis=0))
    return to_b, to_a


def _auc(members: Floats, others: Floats) -> float:
    """Chance that a member scores above another row, ties counted half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, members, side="left")
    equal = np.searchsorted(ordered, members, side="right") - below
    return float(np.mean(below + equal / 2) / max(len(others), 1))
