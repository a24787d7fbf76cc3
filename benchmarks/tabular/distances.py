"""Distances between rows, and what they say: nearest records, membership attacks, coverage.

One distance for all: the mean over columns of |difference of mid-ranks| (numbers, ranks in train and holdout together)
or mismatch (categories). A missing cell is at distance 1 from any value and 0 from another missing cell (Gower 1971,
doi:10.2307/2528823, on ranks). Fitting the ranks on both halves favours neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.tabular.frames import Spec
from benchmarks.tabular.learners import boosted, code_frames

BLOCK = 64  # rows at a time: the working arrays stay in the processor's cache
MISSING_RANK = 9.0  # farther than 1 from any rank; distances are cut at 1
N_DRAWN, N_REAL, N_ATTACKED, N_MANIFOLD = 2_000, 20_000, 1_500, 3_000
NEIGHBOURS = 5
TIE = 1e-7


@dataclass(frozen=True)
class Coded:
    """Rows ready for distances: numbers (Dn, N) float32, categories (Dc, N) int16."""

    numbers: NDArray[np.float32]
    categories: NDArray[np.int16]

    def __len__(self) -> int:
        return self.numbers.shape[1]

    def take(self, rows: NDArray[np.int64]) -> Coded:
        """Return these rows."""
        return Coded(self.numbers[:, rows], self.categories[:, rows])

    def join(self, other: Coded) -> Coded:
        """Return both tables' rows."""
        return Coded(
            np.concatenate([self.numbers, other.numbers], axis=1),
            np.concatenate([self.categories, other.categories], axis=1),
        )


class Space:
    """Ranks and level codes, learned from real rows."""

    def __init__(self, frames: list[pd.DataFrame], spec: Spec) -> None:
        real = pd.concat(frames, ignore_index=True)
        self.sorted: dict[str, NDArray[np.float64]] = {}
        self.levels: dict[str, dict[str, int]] = {}
        for name, kind in spec["columns"].items():
            cells = real[name].dropna()
            if kind == "cat":
                self.levels[name] = {level: i for i, level in enumerate(cells.unique())}
            else:
                self.sorted[name] = np.sort(cells.to_numpy(float))

    def code(self, frame: pd.DataFrame) -> Coded:
        """Return a table's rows in this space."""
        numbers = np.full((len(self.sorted), len(frame)), MISSING_RANK, np.float32)
        for i, (name, known) in enumerate(self.sorted.items()):
            cells = frame[name].to_numpy(float)
            rank = np.searchsorted(known, cells, "left") + np.searchsorted(known, cells, "right")
            numbers[i] = np.where(np.isnan(cells), MISSING_RANK, rank / 2 / max(len(known), 1))
        categories = np.empty((len(self.levels), len(frame)), np.int16)
        for i, (name, codes) in enumerate(self.levels.items()):
            found = frame[name].map(codes).fillna(-2)  # -2: a level that no real row has
            categories[i] = found.where(frame[name].notna(), -1).to_numpy(np.int16)
        return Coded(numbers, categories)


def blocks(a: Coded, b: Coded) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield distances of some rows of a to all rows of b: (slice, (B, N_b))."""
    gaps = (a.numbers == MISSING_RANK).any(axis=1) | (b.numbers == MISSING_RANK).any(axis=1)
    n_columns = len(a.numbers) + len(a.categories)
    for begin in range(0, len(a), BLOCK):
        part = slice(begin, min(begin + BLOCK, len(a)))
        unequal = np.zeros((part.stop - begin, len(b)), np.uint8)
        for x, y in zip(a.categories, b.categories):
            unequal += x[part, None] != y[None, :]
        total = unequal.astype(np.float32)
        for x, y, has_gaps in zip(a.numbers, b.numbers, gaps):
            step = np.abs(x[part, None] - y[None, :])
            total += np.minimum(step, 1, out=step) if has_gaps else step
        yield part, total / n_columns


def nearest(a: Coded, b: Coded, k: int, itself: bool = False) -> NDArray[np.float32]:
    """Return the k smallest distances of each row of a to rows of b, ascending: (N_a, k)."""
    found = np.empty((len(a), k), np.float32)
    for part, distance in blocks(a, b):
        if itself:  # a is b: a row is not its own neighbour
            distance[np.arange(part.stop - part.start), np.arange(part.start, part.stop)] = np.inf
        found[part] = np.sort(np.partition(distance, k - 1, axis=1)[:, :k], axis=1)
    return found


def closest_records(space: Space, train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, seed: int):
    """Share of synthetic rows nearer to train than to holdout, ties as half. 0.5: no nearer; 1: copies of train."""
    rng = np.random.default_rng([seed, 1])
    some = space.code(synthetic.iloc[_pick(rng, len(synthetic), N_DRAWN)])
    to_train = nearest(some, space.code(train.iloc[_pick(rng, len(train), N_REAL)]), 1)[:, 0]
    to_holdout = nearest(some, space.code(holdout.iloc[_pick(rng, len(holdout), N_REAL)]), 1)[:, 0]
    tied = np.abs(to_train - to_holdout) <= TIE
    return {
        "dcr_share": float(((to_train < to_holdout) & ~tied).mean() + 0.5 * tied.mean()),
        "copies": _copies(synthetic, train),
        "copies_holdout": _copies(synthetic, holdout),
    }


def membership(
    space: Space, train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, spec: Spec, seed: int
) -> dict[str, float]:
    """AUC of three attacks that tell train rows from holdout rows by the synthetic table. 0.5: nothing is told.

    nearest: the nearer a synthetic row, the likelier a member. ratio: mean distance to the 5 nearest reference rows
    over that to the 5 nearest synthetic rows (van Breugel et al. 2023, DOMIAS, arXiv:2302.12580, with neighbours as
    the density). boosting: the density ratio of synthetic to reference as a classifier gives it. The reference is one
    half of the holdout, the attacked non-members are from the other half. The largest of three is a little above 0.5
    also where nothing leaks.
    """
    rng = np.random.default_rng([seed, 2])
    order = rng.permutation(len(holdout))
    reference, others = order[: len(holdout) // 2], order[len(holdout) // 2 :]
    n = min(N_ATTACKED, len(others), len(train))
    members, strangers = _pick(rng, len(train), n), others[:n]
    attacked = space.code(train.iloc[members]).join(space.code(holdout.iloc[strangers]))
    is_member = np.r_[np.ones(n), np.zeros(n)]
    pool = space.code(synthetic.iloc[_pick(rng, len(synthetic), N_REAL)])
    to_synthetic = nearest(attacked, pool, NEIGHBOURS)
    to_reference = nearest(attacked, space.code(holdout.iloc[reference[:N_REAL]]), NEIGHBOURS)
    ratio = np.log(to_reference.mean(1) + 1e-4) - np.log(to_synthetic.mean(1) + 1e-4)
    size = min(len(reference), len(synthetic), 8_000)
    rows = pd.concat(
        [
            synthetic.iloc[_pick(rng, len(synthetic), size)],
            holdout.iloc[reference[:size]],
            train.iloc[members],
            holdout.iloc[strangers],
        ],
        ignore_index=True,
    )
    (coded,), categories = code_frames([rows], spec, list(spec["columns"]))
    density = boosted(coded.iloc[: 2 * size], np.r_[np.ones(size), np.zeros(size)], categories, n_trees=100)
    scores = {
        "mia_nearest": -to_synthetic[:, 0],
        "mia_ratio": ratio,
        "mia_boosting": density.predict_proba(coded.iloc[2 * size :])[:, 1],
    }
    found = {name: float(roc_auc_score(is_member, score)) for name, score in scores.items()}
    return {**found, "mia_max": max(found.values()), "mia_n": n}


def coverage(space: Space, holdout: pd.DataFrame, synthetic: pd.DataFrame, seed: int) -> dict[str, float]:
    """Coverage and density of the holdout's neighbourhoods (Naeem et al. 2020, PRDC, arXiv:2002.09797; k = 5).

    Coverage: the share of holdout rows with a synthetic row inside the ball of their 5th nearest holdout row. Two real
    samples reach about 0.97; unrelated data 0.
    """
    rng = np.random.default_rng([seed, 3])
    n = min(N_MANIFOLD, len(holdout), len(synthetic))
    real = space.code(holdout.iloc[_pick(rng, len(holdout), n)])
    drawn = space.code(synthetic.iloc[_pick(rng, len(synthetic), n)])
    radius = nearest(real, real, NEIGHBOURS, itself=True)[:, -1] + TIE
    covered, inside = np.zeros(n, bool), 0
    for part, distance in blocks(real, drawn):
        within = distance <= radius[part, None]
        covered[part] = within.any(axis=1)
        inside += int(within.sum())
    return {"coverage": float(covered.mean()), "density": inside / (NEIGHBOURS * n)}


def _pick(rng: np.random.Generator, n: int, most: int) -> NDArray[np.int64]:
    return rng.permutation(n)[: min(n, most)]


def _copies(synthetic: pd.DataFrame, real: pd.DataFrame) -> float:
    def key(frame: pd.DataFrame) -> NDArray[np.uint64]:
        is_number = pd.api.types.is_numeric_dtype
        plain = frame.apply(lambda cells: cells.astype(float).round(6) if is_number(cells) else cells)
        return pd.util.hash_pandas_object(plain.astype(str), index=False).to_numpy()

    return float(np.isin(key(synthetic), key(real)).mean())
