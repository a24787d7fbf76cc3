"""Contingency tables of pairs of columns, counted once: how much they overlap, how much one column tells of another.

Every number falls in tenths by rank among the real rows; levels beyond the twenty most frequent, or with fewer than
ten real rows, are pooled. For the overlap a missing cell is a level of its own, for the information it takes no part.

References: Cover & Thomas, Elements of Information Theory, Wiley 2006, doi:10.1002/047174882X; Miller, Note on the bias
of information estimates, in Information Theory in Psychology, 1955 (the correction); Press et al., Numerical Recipes,
Cambridge 2007, section 14.7.4 (the symmetric uncertainty coefficient).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.fidelity.strengths import (
    LEAST,
    MAX_COLUMNS,
    MAX_LEVELS,
    Grids,
    contingency,
    leave_out,
    rows,
)
from ehrsatz.evaluation.learners import pooled
from ehrsatz.evaluation.space import MISSING_RANK, Comparison, Feature, Sample, View

BINS = 10


@dataclass(frozen=True)
class Overlaps:
    """Overlap of the contingency tables of each pair: (pairs,), and the mean without each jackknife group.

    `alone` is the overlap of the holdout with training rows whose columns are shuffled one by one: as many rows as the
    reference has, so that both have the same part of chance.
    """

    names: tuple[tuple[str, str], ...]
    value: NDArray[np.float64]
    reference: NDArray[np.float64]
    alone: NDArray[np.float64]
    without_real: NDArray[np.float64]
    without_synthetic: NDArray[np.float64]


def tables(comparison: Comparison, view: View, seed: int) -> tuple[Overlaps, Grids]:
    """Return the overlaps of all pairs of a view, and their normalised mutual information in each dataset."""

    def make() -> tuple[Overlaps, Grids]:
        return _tables(comparison, view, seed)

    out: tuple[Overlaps, Grids] = comparison.once(("tables of pairs", view.name, seed), make)
    return out


def _tables(comparison: Comparison, view: View, seed: int) -> tuple[Overlaps, Grids]:
    features = view.features[:MAX_COLUMNS]
    drawn = rows(comparison, view, seed)
    part = {key: one for key, (_, one) in drawn.items()}
    groups = {key: int(one.max(initial=0)) + 1 for key, one in part.items()}
    codes = {key: [binned(view, one, sample) for one in features] for key, (sample, _) in drawn.items()}
    sizes = [max(int(codes[key][i].max(initial=0)) for key in codes) + 1 for i in range(len(features))]
    apart = shuffled(codes["train"], view.rng(seed, "pairs", "shuffle"))
    log = _n_log_n(max(sample.n for sample, _ in drawn.values()))
    told = {key: np.full((groups[key] + 1, len(features), len(features)), np.nan) for key in codes}
    value, reference, alone, names = [], [], [], []
    real, synthetic = np.zeros(groups["holdout"]), np.zeros(groups["synthetic"])
    for i in range(len(features)):
        for j in range(i):
            table = {
                key: leave_out(contingency(one[i], one[j], part[key], groups[key], (sizes[i], sizes[j])))
                for key, one in codes.items()
            }
            share = {key: one / np.maximum(one.sum(axis=(1, 2), keepdims=True), 1) for key, one in table.items()}
            whole = {key: one[-1] for key, one in share.items()}
            value.append(overlap(whole["holdout"], whole["synthetic"]))
            reference.append(overlap(whole["train"], whole["holdout"]))
            mixed = np.bincount(apart[i] * sizes[j] + apart[j], minlength=sizes[i] * sizes[j])
            alone.append(overlap(whole["holdout"].reshape(-1), mixed / max(1, len(apart[i]))))
            names.append((features[j].name, features[i].name))
            real += _overlaps(share["holdout"][:-1], whole["synthetic"])
            synthetic += _overlaps(share["synthetic"][:-1], whole["holdout"])
            for key, one in table.items():
                told[key][:, i, j] = told[key][:, j, i] = _told(one[:, 1:, 1:].astype(np.int64), log)
    n = max(1, len(value))
    overlaps = Overlaps(tuple(names), np.array(value), np.array(reference), np.array(alone), real / n, synthetic / n)
    return overlaps, Grids(view, features, features, told)


def binned(
    view: View, feature: Feature, sample: Sample, n_bins: int = BINS, most: int = MAX_LEVELS
) -> NDArray[np.int32]:
    """Return codes of a column: 0 missing; equal parts by rank among the real rows, or the frequent levels."""
    if not feature.is_number:
        return pooled(view, feature, sample.codes[:, feature.slot], most)
    rank = sample.rank[:, feature.slot]
    part = np.minimum((rank * n_bins).astype(np.int32), n_bins - 1) + 1
    return np.where(rank == MISSING_RANK, 0, part).astype(np.int32)


def shuffled(codes: list[NDArray[np.int32]], rng: np.random.Generator) -> list[NDArray[np.int32]]:
    """Return columns whose cells are each dealt anew to the rows: the same margins, no column tells of another."""
    return [rng.permutation(one) for one in codes]


def overlap(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Return the share that two tables of shares have in common: one minus their total variation."""
    return float(1 - 0.5 * np.abs(p - q).sum())


def _overlaps(shares: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 - 0.5 * np.abs(shares - other).sum(axis=(1, 2)))


def _n_log_n(most: int) -> NDArray[np.float64]:
    n = np.arange(most + 1, dtype=np.float64)
    return n * np.log(np.maximum(n, 1))


def information(table: NDArray[np.int64], log: NDArray[np.float64] | None = None) -> tuple[NDArray[np.float64], ...]:
    """Return mutual information and both entropies, in nats, of tables of counts (T, K_a, K_b).

    Parameters
    ----------
    table
        Counts.
    log
        n log n for each n up to the number of rows, where it is at hand.
    """
    a, b = table.sum(axis=2), table.sum(axis=1)
    n = a.sum(axis=1)
    f = _n_log_n(int(n.max(initial=0))) if log is None else log
    with np.errstate(invalid="ignore", divide="ignore"):
        first = np.log(n) - f[a].sum(axis=1) / n
        second = np.log(n) - f[b].sum(axis=1) / n
        both = np.log(n) - f[table].sum(axis=(1, 2)) / n
    return first + second - both, first, second


def _told(table: NDArray[np.int64], log: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 2 I / (H_a + H_b), each corrected for bias by Miller, NaN where a column does not vary: (T,)."""
    shared, first, second = information(table, log)
    a, b = (table.sum(axis=2) > 0).sum(axis=1), (table.sum(axis=1) > 0).sum(axis=1)
    n, cells = table.sum(axis=(1, 2)), (table > 0).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = shared + (a + b - cells - 1) / (2 * n)
        told = 2 * shared / (first + second + (a + b - 2) / (2 * n))
    return np.where((n >= LEAST) & (a > 1) & (b > 1), np.clip(told, 0, 1), np.nan)
