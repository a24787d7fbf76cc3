"""Who lies near whom, fixed without looking at who was trained on: what the leak detector sums over.

Train and holdout are pooled and shuffled first, so that ties are not broken by label. Of large tables at most
`MAX_POOL` real rows are looked at, by whole subjects; what is nearest to them is sought among all synthetic rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ehrsatz.evaluation.base import Unmeasured
from ehrsatz.evaluation.groups import Group, subgroups
from ehrsatz.evaluation.privacy.neighbours import Points, join, points, scores, search
from ehrsatz.evaluation.space import Comparison, Feature, View
from ehrsatz.evaluation.task import Task

MAX_POOL = 20_000
MAX_SYNTHETIC = 10_000  # whose nearest real row is sought
MOST_SYNTHETIC = 100_000  # among which the nearest of a real row is sought
LARGE = 50_000  # synthetic rows, above which half as many real rows are looked at
NEIGHBOURS = 5
OUTLIERS = 0.05
MAX_SUBSETS = 200
SUBSET_ROWS = 4000  # synthetic rows that are looked up in each subset of columns
LEADING = 12  # columns of which all triples are taken
SCREENED = 40  # columns whose pairs are screened
SCREENED_ROWS = 2000


@dataclass(frozen=True)
class Pool:
    """Real rows of both halves, shuffled.

    rows
        Per dataset, the rows of the view that are here, in the order of `train` and `holdout` within the pool.
    is_train
        (R,) label of each row.
    subject
        (R,) number of its subject, as in `subject_numbers`.
    place
        Where row i of [train rows, holdout rows] went: pool row of each.
    sizes
        All subjects of train and of holdout.
    coverage
        Share of all real rows that are here.
    """

    rows: dict[str, NDArray[np.int64]]
    is_train: NDArray[np.bool_]
    subject: NDArray[np.int64]
    place: NDArray[np.int64]
    sizes: tuple[int, int]
    coverage: float

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.is_train)

    def gather(self, train: NDArray, holdout: NDArray) -> NDArray:
        """Put what is known of each row of the view's train and holdout in the order of the pool."""
        both = np.concatenate([train[self.rows["train"]], holdout[self.rows["holdout"]]])
        out = np.empty_like(both)
        out[self.place] = both
        return out


@dataclass(frozen=True)
class Structure:
    """Distances in the pool, without labels.

    nearest, ratio, first
        Per synthetic row: its nearest pool row, distance to it over the distance to the nearest row of another
        subject (1 where both are 0), and that distance itself.
    reach, own
        Per pool row: distance to the nearest synthetic row, and mean distance to its own nearest real neighbours of
        other subjects.
    outlier
        Per pool row: whether `own` is among the largest 5 %.
    """

    pool: Pool
    nearest: NDArray[np.int64]
    ratio: NDArray[np.float64]
    first: NDArray[np.float64]
    reach: NDArray[np.float64]
    own: NDArray[np.float64]
    outlier: NDArray[np.bool_]
    n_synthetic: int

    @property
    def pull(self) -> NDArray[np.float64]:
        """How much nearer the synthetic rows come to a real row than real rows of other subjects do; larger: more."""
        return np.log(self.own + 1e-6) - np.log(self.reach + 1e-6)


def structure(comparison: Comparison, view: View, seed: int) -> Structure:
    """Measure the distances of a view, once for all metrics."""
    out: Structure = comparison.once(("structure", view.name, seed), lambda: _structure(comparison, view, seed))
    return out


def subject_numbers(view: View) -> NDArray[np.int64]:
    """Number the subjects of train and holdout, 0 up: one number per row of train, then of the holdout."""
    groups = [view.samples[key].group for key in ("train", "holdout")]
    shift = int(groups[0].max(initial=-1)) + 1
    return np.unique(np.concatenate([groups[0], groups[1] + shift]), return_inverse=True)[1].astype(np.int64)


def some_subjects(
    number: NDArray[np.int64], rows: NDArray[np.bool_], most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose whole subjects at random, whatever their half, until `most` of the marked rows are there; return these."""
    size = np.bincount(number, rows).astype(np.int64)
    order = rng.permutation(len(size))
    n = int(np.searchsorted(np.cumsum(size[order]), most, "right"))
    kept = np.zeros(len(size), bool)
    kept[order[: max(2, n)]] = True
    return np.flatnonzero(kept[number] & rows)


def _pool(view: View, seed: int) -> Pool:
    rng = view.rng(seed, "leak", "pool")
    number = subject_numbers(view)
    n = view.samples["train"].n
    most = MAX_POOL if view.samples["synthetic"].n <= LARGE else MAX_POOL // 2
    chosen = some_subjects(number, np.ones(len(number), bool), most, rng)
    place = rng.permutation(len(chosen))
    is_train = np.empty(len(chosen), bool)
    subject = np.empty(len(chosen), np.int64)
    is_train[place] = chosen < n
    subject[place] = number[chosen]
    rows = {"train": chosen[chosen < n], "holdout": chosen[chosen >= n] - n}
    sizes = (len(np.unique(number[:n])), len(np.unique(number[n:])))
    return Pool(rows, is_train, subject, place, sizes, len(chosen) / len(number))


def _structure(comparison: Comparison, view: View, seed: int) -> Structure:
    pool = _pool(view, seed)
    if pool.n < 4:
        raise Unmeasured("Not measured: at least four real rows are needed.")
    known = points(comparison, view)
    parts = join(known["train"].take(pool.rows["train"]), known["holdout"].take(pool.rows["holdout"]))
    back = np.empty(pool.n, np.int64)
    back[pool.place] = np.arange(pool.n)
    real = parts.take(back)
    real = Points(real.full, real.sketch, pool.subject)
    sample = view.samples["synthetic"]
    order = view.rng(seed, "leak", "synthetic").permutation(sample.n)
    every = known["synthetic"].take(order[:MOST_SYNTHETIC])
    made = known["synthetic"].take(order[:MAX_SYNTHETIC])
    k = 1 + min(4, pool.n - 1)
    d, which = search(made, real, k)
    other = np.where(pool.subject[which] == pool.subject[which[:, :1]], np.inf, d)
    second = other.min(axis=1)
    second = np.where(np.isfinite(second), second, d[:, -1])
    first = d[:, 0].astype(np.float64)
    ratio = np.where(second > 0, first / np.where(second > 0, second, 1), 1.0)
    reach = search(real, every, 1)[0][:, 0].astype(np.float64)
    some_real = real
    if pool.n > MAX_SYNTHETIC:
        some_real = real.take(view.rng(seed, "leak", "own").permutation(pool.n)[:MAX_SYNTHETIC])
    around = search(real, some_real, min(NEIGHBOURS, some_real.n), others=True)[0].astype(np.float64)
    around = np.where(np.isfinite(around), around, np.nan)
    filled = np.where(np.isnan(around).all(axis=1), 0.0, np.nansum(around, axis=1))
    own = filled / np.maximum(1, (~np.isnan(around)).sum(axis=1))
    cut = np.quantile(own, 1 - OUTLIERS)
    outlier = own > cut if (own > cut).any() else own >= cut
    return Structure(pool, which[:, 0], ratio, first, reach, own, outlier, every.n)


def group_masks(comparison: Comparison, task: Task, view: View, pool: Pool) -> list[tuple[Group, NDArray[np.bool_]]]:
    """Return the subgroups of a view, each with a mask over the pool."""
    found = [one for one in subgroups(comparison, task) if one.view.name == view.name]
    return [(one, pool.gather(one.rows["train"], one.rows["holdout"])) for one in found]


# ---------------------------------------------------------------------- a few columns at a time
def choose_subsets(
    view: View, task: Task, rng: np.random.Generator, most: int = MAX_SUBSETS
) -> list[tuple[Feature, ...]]:
    """Return triples of columns that single people out best, without regard to who was trained on.

    A fifth of them are those in which the synthetic rows repeat rare pairs of real values most (`suspicious`); then all
    triples of the leading columns, and others at random. Columns that the task or the schema calls quasi-identifying
    or sensitive lead, then those with the most different values.
    """
    named = {*task.quasi, *task.secrets}

    def richness(one: Feature) -> tuple[bool, int]:
        is_named = one.name in named or f"{one.table}.{one.name}" in named or one.disclosure in {"quasi", "sensitive"}
        n = distinct(view, one)
        return is_named and n > 4, n

    rich = {one: richness(one) for one in view.features}
    ordered = sorted((one for one in view.features if rich[one][1] > 1), key=lambda one: rich[one], reverse=True)
    if len(ordered) < 3:
        return [tuple(ordered)] if ordered else []
    first = ordered[: LEADING if len(ordered) <= LEADING else LEADING - 2]
    by_values = sorted(ordered, key=lambda one: rich[one][1], reverse=True)
    out = suspicious(view, tuple(by_values[:SCREENED]), rng, most // 5)
    seen = {frozenset(one) for one in out}
    for triple in combinations(first, 3):
        if frozenset(triple) not in seen and len(out) < most:
            seen.add(frozenset(triple))
            out.append(triple)
    while len(out) < min(most, comb(len(ordered), 3)):
        drawn = tuple(ordered[i] for i in sorted(rng.permutation(len(ordered))[:3]))
        if frozenset(drawn) not in seen:
            seen.add(frozenset(drawn))
            out.append(drawn)
    return out


def suspicious(
    view: View, features: tuple[Feature, ...], rng: np.random.Generator, most: int
) -> list[tuple[Feature, ...]]:
    """Return the triples of columns in which synthetic rows repeat rare real values more than other real rows do.

    For each pair of columns: how many synthetic rows have the values of exactly one row of a reference half of the real
    rows, against how many rows of the other half do. The halves are drawn over train and holdout alike. A triple counts
    by the sum over its three pairs.
    """
    real = np.concatenate([coordinates(view, features, key) for key in ("train", "holdout")])
    made = coordinates(view, features, "synthetic")
    n = min(SCREENED_ROWS, len(real) // 2, len(made))
    if n < 10 or len(features) < 3:
        return []
    order = rng.permutation(len(real))[: 2 * n]
    rows = np.concatenate([real[order], made[rng.permutation(len(made))[:n]]])
    codes = np.column_stack([np.unique(column, return_inverse=True)[1] for column in rows.T]).astype(np.int64)
    width = int(codes.max()) + 1
    excess = np.zeros((len(features), len(features)))
    for i, j in combinations(range(len(features)), 2):
        code = codes[:, i] * width + codes[:, j]
        known = np.sort(code[:n])
        fits = np.searchsorted(known, code[n:], "right") - np.searchsorted(known, code[n:], "left") == 1
        other, mine = int(fits[:n].sum()), int(fits[n:].sum())
        excess[i, j] = excess[j, i] = (mine - other) / np.sqrt(mine + other + 1)
    leading = np.argsort(-np.sort(excess, axis=1)[:, -2:].sum(axis=1), kind="stable")[:LEADING]
    triples = list(combinations(sorted(leading.tolist()), 3))
    order = np.argsort([-(excess[i, j] + excess[i, k] + excess[j, k]) for i, j, k in triples], kind="stable")
    return [tuple(features[i] for i in triples[t]) for t in order[:most]]


def distinct(view: View, feature: Feature) -> int:
    """Return how many different values a column has among real rows, of numbers at most 10,000 looked at."""
    if not feature.is_number:
        return len(feature.levels)
    real = [view.samples[key].raw[:5000, feature.slot] for key in ("train", "holdout")]
    return len(np.unique(np.concatenate(real)))


def coordinates(view: View, features: tuple[Feature, ...], key: str) -> NDArray[np.float64]:
    """Return the rows of one dataset as points (R, D) for searches in a few columns."""
    columns = []
    for one in features:
        if one.is_number:
            z, gone = scores(view.samples[key].rank[:, one.slot])
            columns.append(np.where(gone, 9.0, z / 2))
        else:
            columns.append(view.samples[key].codes[:, one.slot].astype(np.float64))
    return np.column_stack(columns)


@dataclass(frozen=True)
class Table:
    """Real rows in columns of which a few are looked at at a time.

    places
        (R, D) coordinates.
    codes
        (R, D) number of each value in its column, 0 up.
    """

    places: NDArray[np.float64]
    codes: NDArray[np.int64]

    @classmethod
    def of(cls, places: NDArray[np.float64]) -> Table:
        """Number the values of each column."""
        columns = [np.unique(column, return_inverse=True)[1] for column in places.T]
        return cls(places, np.column_stack(columns).astype(np.int64))

    def cells(self, columns: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the first row of each combination of values, and how many rows have it."""
        code = np.zeros(len(self.codes), np.int64)
        for one in columns:
            width = int(self.codes[:, one].max()) + 1
            if int(code.max()) > (1 << 62) // width:
                code = np.unique(code, return_inverse=True)[1].astype(np.int64)
            code = code * width + self.codes[:, one]
        _, first, count = np.unique(code, return_index=True, return_counts=True)
        return first, count


def in_subset(
    real: Table, made: NDArray[np.float64], columns: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Look synthetic rows up in a few columns of the pool.

    Returns
    -------
    The nearest pool row of each synthetic row, the ratio of the two smallest distances (1 where both are 0), and
    whether the nearest is equal and the only one that is.
    """
    first, count = real.cells(columns)
    if len(first) < 2:
        return np.full(len(made), first[0]), np.ones(len(made)), np.zeros(len(made), bool)
    tree = cKDTree(real.places[first][:, columns], balanced_tree=False, compact_nodes=False)
    d, which = tree.query(made[:, columns], 2)
    alone = count[which[:, 0]] == 1
    ratio = np.where(alone, d[:, 0] / d[:, 1], 1.0)
    return first[which[:, 0]], ratio, (d[:, 0] == 0) & alone
