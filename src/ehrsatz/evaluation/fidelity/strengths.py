"""How strongly two columns go together, for all pairs of a table at once, and without each jackknife group.

Two numbers: Pearson's or Spearman's correlation (ranks within each sample). Two categories: the bias-corrected
Cramer's V. A number and a category: the bias-corrected correlation ratio, of values or of ranks. Every strength is
taken over the rows where both cells are present; levels with few real rows are pooled. Tables are computed once and
shared by all measures of pairs.

References: Bergsma, A bias-correction for Cramer's V and Tschuprow's T, J. Korean Stat. Soc. 2013,
doi:10.1016/j.jkss.2012.10.002; Kelley, An unbiased correlation ratio measure, PNAS 21, 1935, doi:10.1073/pnas.21.9.554.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.stats import rankdata

from ehrsatz.evaluation.intervals import deal
from ehrsatz.evaluation.learners import pooled
from ehrsatz.evaluation.space import Comparison, Feature, Sample, View

MAX_COLUMNS = 80
MAX_ROWS = 20_000
MAX_LEVELS = 20
LEAST = 10  # rows with both present, below which no strength is given

Grid = NDArray[np.float64]  # (groups + 1, rows, columns): without each jackknife group, the whole last; NaN undefined


@dataclass(frozen=True)
class Grids:
    """Strengths of pairs of columns in each dataset: `down` x `across`; the same columns for a symmetric measure."""

    view: View
    down: tuple[Feature, ...]
    across: tuple[Feature, ...]
    of: dict[str, Grid]

    @property
    def is_symmetric(self) -> bool:
        """Whether rows and columns are the same features."""
        return self.down == self.across

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the positions of the pairs, each once."""
        if self.is_symmetric:
            return np.triu_indices(len(self.down), 1)
        i, j = np.indices((len(self.down), len(self.across)))
        return i.reshape(-1), j.reshape(-1)

    def gap(self, a: str, b: str) -> NDArray[np.float64]:
        """Return |strength in a - strength in b| of each pair, NaN where it is undefined in one of them."""
        i, j = self.pairs()
        return np.asarray(np.abs(self.of[a][-1, i, j] - self.of[b][-1, i, j]))

    def without(self, key: str) -> NDArray[np.float64]:
        """Return the mean gap of holdout and synthetic without each jackknife group of one of them: (groups,)."""
        i, j = self.pairs()
        other = self.of["synthetic" if key == "holdout" else "holdout"][-1, i, j]
        mine = self.of[key][:, i, j]
        used = np.isfinite(other) & np.isfinite(mine).all(axis=0)
        if not used.any():
            return np.empty(0)
        return np.asarray(np.abs(mine[:-1, used] - other[used]).mean(axis=1))


@dataclass(frozen=True)
class Coded:
    """Rows of one dataset in the form that strengths are computed from.

    there
        (R, numbers) whether a number is present.
    values, ranks
        (R, numbers) centred, 0 where missing; values in standard deviations.
    codes
        (R,) per category: 0 missing, then pooled levels.
    part
        (R,) jackknife group.
    """

    there: NDArray[np.bool_]
    values: NDArray[np.float64]
    ranks: NDArray[np.float64]
    codes: tuple[NDArray[np.int32], ...]
    part: NDArray[np.int64]

    @property
    def n_groups(self) -> int:
        """Number of jackknife groups."""
        return int(self.part.max(initial=0)) + 1


def compared(view: View) -> tuple[tuple[Feature, ...], tuple[Feature, ...]]:
    """Return the numbers and the categories of a view whose pairs are compared: among its first 80 columns."""
    features = view.features[:MAX_COLUMNS]
    return tuple(one for one in features if one.is_number), tuple(one for one in features if not one.is_number)


def rows(comparison: Comparison, view: View, seed: int) -> dict[str, tuple[Sample, NDArray[np.int64]]]:
    """Return at most 20,000 rows of each dataset, and the jackknife group of each."""

    def make() -> dict[str, tuple[Sample, NDArray[np.int64]]]:
        out = {}
        for key, whole in view.samples.items():
            sample = whole.pick(MAX_ROWS, view.rng(seed, "association", "rows", key))
            out[key] = sample, deal(sample.group, view.rng(seed, "jackknife", key))
        return out

    out: dict[str, tuple[Sample, NDArray[np.int64]]] = comparison.once(("rows of pairs", view.name, seed), make)
    return out


def coded(comparison: Comparison, view: View, seed: int) -> dict[str, Coded]:
    """Return the rows of each dataset, coded for strengths."""

    def make() -> dict[str, Coded]:
        numbers, categories = compared(view)
        out = {}
        for key, (sample, part) in rows(comparison, view, seed).items():
            raw = sample.raw[:, [one.slot for one in numbers]]
            codes = tuple(pooled(view, one, sample.codes[:, one.slot], MAX_LEVELS) for one in categories)
            out[key] = _coded(raw, codes, part)
        return out

    out: dict[str, Coded] = comparison.once(("coded", view.name, seed), make)
    return out


def _coded(raw: NDArray[np.float64], codes: tuple[NDArray[np.int32], ...], part: NDArray[np.int64]) -> Coded:
    there = ~np.isnan(raw)
    values, ranks = np.zeros(raw.shape), np.zeros(raw.shape)
    for j in range(raw.shape[1]):
        x = raw[there[:, j], j]
        if len(x):
            spread = float(x.std())
            values[there[:, j], j] = (x - x.mean()) / spread if spread > 0 else 0.0
            ranks[there[:, j], j] = (rankdata(x) - 0.5) / len(x) - 0.5
    return Coded(there, values, ranks, codes, part)


# ---------------------------------------------------------------- tables of all pairs, once for a comparison
def correlations(comparison: Comparison, view: View, seed: int, *, ranks: bool) -> Grids:
    """Return the correlations of all pairs of numbers, of values (Pearson) or of ranks (Spearman)."""

    def make() -> Grids:
        numbers, _ = compared(view)
        found = coded(comparison, view, seed)
        of = {
            key: correlation(one.ranks if ranks else one.values, one.there, one.part, one.n_groups)
            for key, one in found.items()
        }
        return Grids(view, numbers, numbers, of)

    out: Grids = comparison.once(("correlations", view.name, ranks, seed), make)
    return out


def ratios(comparison: Comparison, view: View, seed: int, *, ranks: bool) -> Grids:
    """Return the correlation ratios of all numbers, their values or their ranks, given each category."""

    def make() -> Grids:
        numbers, categories = compared(view)
        of = {}
        for key, one in coded(comparison, view, seed).items():
            x = one.ranks if ranks else one.values
            found = [correlation_ratio(code, x, one.there, one.part, one.n_groups) for code in one.codes]
            of[key] = np.stack(found, axis=1) if found else np.empty((one.n_groups + 1, 0, len(numbers)))
        return Grids(view, categories, numbers, of)

    out: Grids = comparison.once(("ratios", view.name, ranks, seed), make)
    return out


def cramers(comparison: Comparison, view: View, seed: int) -> Grids:
    """Return the bias-corrected Cramer's V of all pairs of categories."""

    def make() -> Grids:
        _, categories = compared(view)
        of = {}
        for key, one in coded(comparison, view, seed).items():
            grid = np.full((one.n_groups + 1, len(categories), len(categories)), np.nan)
            for i, a in enumerate(one.codes):
                for j in range(i):
                    grid[:, i, j] = grid[:, j, i] = cramer(a, one.codes[j], one.part, one.n_groups)
            of[key] = grid
        return Grids(view, categories, categories, of)

    out: Grids = comparison.once(("cramers", view.name, seed), make)
    return out


def strengths(comparison: Comparison, view: View, seed: int) -> Grids:
    """Return the strengths of all pairs, each by the measure that fits its kinds, ranks for numbers."""

    def make() -> Grids:
        features = view.features[:MAX_COLUMNS]
        numbers = np.array([i for i, one in enumerate(features) if one.is_number], np.int64)
        others = np.array([i for i, one in enumerate(features) if not one.is_number], np.int64)
        r, eta, v = (
            correlations(comparison, view, seed, ranks=True),
            ratios(comparison, view, seed, ranks=True),
            cramers(comparison, view, seed),
        )
        of = {}
        for key in r.of:
            grid = np.full((len(r.of[key]), len(features), len(features)), np.nan)
            grid[:, numbers[:, None], numbers[None, :]] = r.of[key]
            grid[:, others[:, None], others[None, :]] = v.of[key]
            grid[:, others[:, None], numbers[None, :]] = eta.of[key]
            grid[:, numbers[:, None], others[None, :]] = eta.of[key].transpose(0, 2, 1)
            grid[:, np.arange(len(features)), np.arange(len(features))] = np.nan
            of[key] = grid
        return Grids(view, features, features, of)

    out: Grids = comparison.once(("strengths", view.name, seed), make)
    return out


# ---------------------------------------------------------------- strengths
def leave_out(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn sums per group, first axis, into sums without each group, and of all in the last place."""
    total = counts.sum(axis=0, keepdims=True)
    return np.concatenate([total - counts, total])


def correlation(x: NDArray[np.float64], there: NDArray[np.bool_], part: NDArray[np.int64], n_groups: int) -> Grid:
    """Return the correlations of all pairs of columns of x, over rows where both are present; x is 0 elsewhere."""
    m = there.astype(np.float64)
    sums = np.zeros((4, n_groups, x.shape[1], x.shape[1]))
    for g in range(n_groups):
        a, b = x[part == g], m[part == g]
        sums[0, g], sums[1, g], sums[2, g], sums[3, g] = b.T @ b, a.T @ b, a.T @ a, (a * a).T @ b
    n, first, cross, square = (leave_out(one) for one in sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        mine = square - first**2 / n
        other = mine.transpose(0, 2, 1)
        r = (cross - first * first.transpose(0, 2, 1) / n) / np.sqrt(np.maximum(mine * other, 0))
        varies = (mine > 1e-10 * n) & (other > 1e-10 * n)
    return np.where((n >= LEAST) & varies & (mine * other > 1e-12), np.clip(r, -1, 1), np.nan)


def correlation_ratio(
    code: NDArray[np.int32],
    x: NDArray[np.float64],
    there: NDArray[np.bool_],
    part: NDArray[np.int64],
    n_groups: int,
    *,
    corrected: bool = True,
) -> NDArray[np.float64]:
    """Return the correlation ratio (eta) of each column of x given the levels, corrected for bias: (G + 1, numbers)."""
    size, wide = int(code.max(initial=0)) + 1, x.shape[1]
    held = csc_array(
        ((code > 0).astype(np.float64), part * size + code, np.arange(len(code) + 1)),
        shape=(n_groups * size, len(code)),
    )
    sums = held @ np.concatenate([there, x, x * x], axis=1)  # (R, 3 numbers) -> (G x levels, 3 numbers)
    n, s, q = (leave_out(sums[:, k * wide : (k + 1) * wide].reshape(n_groups, size, wide)) for k in range(3))
    used, levels = n.sum(axis=1), (n > 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = q.sum(axis=1) - s.sum(axis=1) ** 2 / used
        within = (q - np.where(n > 0, s**2 / np.maximum(n, 1), 0)).sum(axis=1)
        ratio = 1 - within / total * ((used - 1) / (used - levels) if corrected else 1.0)
    good = (used >= LEAST) & (used > levels) & (levels > 1) & (total > 1e-12)
    return np.where(good, np.sqrt(np.clip(ratio, 0, 1)), np.nan)


def cramer(
    a: NDArray[np.int32], b: NDArray[np.int32], part: NDArray[np.int64], n_groups: int, *, corrected: bool = True
) -> NDArray[np.float64]:
    """Return Cramer's V of two categories, corrected for bias, missing left out: (G + 1,)."""
    used = (a > 0) & (b > 0)
    table = leave_out(contingency(a[used], b[used], part[used], n_groups))
    n = table.sum(axis=(1, 2))
    row, column = table.sum(axis=2), table.sum(axis=1)
    r, c = (row > 0).sum(axis=1), (column > 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = row[:, :, None] * column[:, None, :] / n[:, None, None]
        phi = np.where(expected > 0, (table - expected) ** 2 / expected, 0).sum(axis=(1, 2)) / n
        least = np.minimum(r, c) - 1.0
        if corrected:
            phi = np.maximum(0, phi - (r - 1) * (c - 1) / (n - 1))
            least = np.minimum(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
        v = np.sqrt(phi / least)
    good = (n >= LEAST) & (r > 1) & (c > 1) & (least > 0)
    return np.where(good, np.clip(v, 0, 1), np.nan)


def contingency(
    a: NDArray[np.int32],
    b: NDArray[np.int32],
    part: NDArray[np.int64],
    n_groups: int,
    size: tuple[int, int] | None = None,
) -> NDArray[np.float64]:
    """Count pairs of codes per jackknife group: (G, K_a, K_b)."""
    high, wide = size or (int(a.max(initial=0)) + 1, int(b.max(initial=0)) + 1)
    flat = np.bincount((part * high + a) * wide + b, minlength=n_groups * high * wide)
    return flat.reshape(n_groups, high, wide).astype(np.float64)
