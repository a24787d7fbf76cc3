"""Do columns go together as in the real rows? Strength of association and contingency, pair by pair.

Strength: Spearman's rank correlation for two numbers (ranks within each sample, rows where both are present), the
bias-corrected Cramer's V for two categories, the bias-corrected correlation ratio of ranks for a mixed pair. `pairs`
bins every number in tenths and compares the whole contingency table, missing cells as a level.

References: Bergsma, A bias-correction for Cramer's V and Tschuprow's T, J. Korean Stat. Soc. 2013,
doi:10.1016/j.jkss.2012.10.002; Kelley, An unbiased correlation ratio measure, PNAS 21, 1935, doi:10.1073/pnas.21.9.554.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import deal, jackknife_interval
from ehrsatz.evaluation.learners import pooled
from ehrsatz.evaluation.space import MISSING_RANK, Comparison, Feature, Sample, View

MAX_COLUMNS = 80
MAX_ROWS = 20_000
MAX_LEVELS = 20
BINS = 10
LEAST = 10  # rows with both present, below which no strength is given

Grid = NDArray[np.float64]  # (groups + 1, D, D): without each jackknife group, the whole last; NaN where undefined


@dataclass(frozen=True)
class Strengths:
    """The compared features of a view, and their strengths of association in each sample."""

    view: View
    features: tuple[Feature, ...]
    grids: dict[str, Grid]


class Association(Metric):
    """Mean difference of strength of association. Identical data 0, at most 2, less is better."""

    name = "association"
    title = "Columns going together"
    family = "fidelity"
    goal = "minimise"
    low, high, ideal = 0.0, 2.0, 0.0
    needs = frozenset({"rows"})

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = [_strengths(view, seed) for view in comparison.joint if len(view.features) > 1]
        found = [one for one in found if np.isfinite(_gap(one, "holdout", "synthetic")).any()]
        if not found:
            raise Unmeasured("Not measured: no two columns vary together in rows where both are present.")
        worst = max(found, key=lambda one: float(np.nanmean(_gap(one, "holdout", "synthetic"))))
        gap = _gap(worst, "holdout", "synthetic")
        value = float(np.nanmean(gap))
        reference = _gap(worst, "train", "holdout")
        n = min(MAX_ROWS, worst.view.samples["synthetic"].n)
        return Score(
            self.name,
            value,
            jackknife_interval(value, *(_without(worst, key) for key in ("holdout", "synthetic")), high=2.0),
            float(np.nanmean(reference)) if np.isfinite(reference).any() else None,
            n,
            {"pairs": int(np.isfinite(gap).sum()), "most_columns": MAX_COLUMNS, "rows": n, "table": worst.view.name},
            meaning=f"The strength with which two columns go together is off by {value:.3f} on average, on a scale "
            "where 0 is no association and 1 a perfect one.",
            details={
                "tables": {one.view.name: float(np.nanmean(_gap(one, "holdout", "synthetic"))) for one in found},
                "maps": [_map(one) for one in found],
            },
        )


class Pairs(Metric):
    """Mean overlap of the contingency tables of pairs of columns. Identical data 1, unrelated 0, more is better."""

    name = "pairs"
    title = "Pairs of columns"
    family = "fidelity"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        views = [view for view in comparison.joint if len(view.features) > 1]
        if not views:
            raise Unmeasured("Not measured: no table has two columns to compare.")
        found = {view.name: _overlaps(view, seed) for view in views}
        worst = min(views, key=lambda view: float(found[view.name]["value"].mean()))
        one = found[worst.name]
        value = float(one["value"].mean())
        order = np.argsort(one["value"], kind="stable")[:10]
        n = min(MAX_ROWS, worst.samples["synthetic"].n)
        return Score(
            self.name,
            value,
            jackknife_interval(value, one["without_real"], one["without_synthetic"]),
            float(one["reference"].mean()),
            n,
            {"pairs": len(one["value"]), "bins": BINS, "most_columns": MAX_COLUMNS, "rows": n, "table": worst.name},
            meaning=f"Taken two by two, the columns agree with real ones to {100 * value:.1f} % on average.",
            details={
                "worst": [
                    {"columns": list(one["names"][i]), "similarity": float(one["value"][i])} for i in order.tolist()
                ]
            },
        )


# ---------------------------------------------------------------- strength of association
def _strengths(view: View, seed: int) -> Strengths:
    features = view.features[:MAX_COLUMNS]
    grids = {}
    for key, whole in view.samples.items():
        sample = whole.pick(MAX_ROWS, view.rng(seed, "association", "rows", key))
        grids[key] = _grid(view, features, sample, deal(sample.group, view.rng(seed, "jackknife", key)))
    return Strengths(view, features, grids)


def _gap(one: Strengths, a: str, b: str) -> NDArray[np.float64]:
    """Return |strength in a - strength in b| of the pairs defined in both, NaN elsewhere: (pairs,)."""
    upper = np.triu_indices(len(one.features), 1)
    return np.abs(one.grids[a][-1] - one.grids[b][-1])[upper]


def _without(one: Strengths, key: str) -> NDArray[np.float64]:
    """Return the mean gap without each jackknife group of one sample: (groups,)."""
    upper = np.triu_indices(len(one.features), 1)
    other = one.grids["synthetic" if key == "holdout" else "holdout"][-1][upper]
    mine = one.grids[key][:, *upper]
    used = np.isfinite(other) & np.isfinite(mine).all(axis=0)
    if not used.any():
        return np.empty(0)
    return np.abs(mine[:-1, used] - other[used]).mean(axis=1)


def _map(one: Strengths) -> dict[str, Any]:
    def cells(grid: NDArray[np.float64]) -> list[list[float | None]]:
        return [[None if np.isnan(x) else round(float(x), 3) for x in row] for row in grid]

    real, synthetic = one.grids["holdout"][-1], one.grids["synthetic"][-1]
    return {
        "table": one.view.name,
        "columns": [feature.name for feature in one.features],
        "real": cells(real),
        "synthetic": cells(synthetic),
    }


def _grid(view: View, features: tuple[Feature, ...], sample: Sample, part: NDArray[np.int64]) -> Grid:
    """Return the strengths of all pairs without each jackknife group and of the whole: (G + 1, D, D)."""
    n_groups, size = int(part.max(initial=0)) + 1, len(features)
    out = np.full((n_groups + 1, size, size), np.nan)
    numbers = [i for i, one in enumerate(features) if one.is_number]
    others = [i for i, one in enumerate(features) if not one.is_number]
    ranks = np.zeros((sample.n, len(numbers)))
    there = np.zeros((sample.n, len(numbers)), bool)
    for j, i in enumerate(numbers):
        x = sample.raw[:, features[i].slot]
        there[:, j] = ~np.isnan(x)
        if there[:, j].any():
            ranks[there[:, j], j] = (rankdata(x[there[:, j]]) - 0.5) / there[:, j].sum() - 0.5
    if numbers:
        place_of = np.array(numbers)
        out[:, place_of[:, None], place_of[None, :]] = _spearman(ranks, there.astype(np.float64), part, n_groups)
    codes = {i: pooled(view, features[i], sample.codes[:, features[i].slot], MAX_LEVELS) for i in others}
    for place, i in enumerate(others):
        if numbers:
            ratio = _correlation_ratio(codes[i], ranks, there, part, n_groups)
            out[:, i, numbers] = out[:, numbers, i] = ratio
        for j in others[:place]:
            out[:, i, j] = out[:, j, i] = _cramer(codes[i], codes[j], part, n_groups)
    out[:, np.arange(size), np.arange(size)] = np.nan
    return out


def _leave_out(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn sums per group, first axis, into sums without each group, and of all in the last place."""
    total = counts.sum(axis=0, keepdims=True)
    return np.concatenate([total - counts, total])


def _spearman(x: NDArray[np.float64], m: NDArray[np.float64], part: NDArray[np.int64], n_groups: int) -> Grid:
    sums = np.zeros((5, n_groups, x.shape[1], x.shape[1]))
    for g in range(n_groups):
        a, b = x[part == g], m[part == g]
        sums[0, g], sums[1, g], sums[2, g] = b.T @ b, a.T @ b, a.T @ a
        sums[3, g] = (a * a).T @ b
    n, first, cross, square, _ = (_leave_out(one) for one in sums)
    other, other_square = first.transpose(0, 2, 1), square.transpose(0, 2, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = (square - first**2 / n) * (other_square - other**2 / n)
        r = (cross - first * other / n) / np.sqrt(np.maximum(spread, 0))
    return np.where((n >= LEAST) & (spread > 1e-12), np.clip(r, -1, 1), np.nan)


def _correlation_ratio(
    code: NDArray[np.int32], x: NDArray[np.float64], m: NDArray[np.bool_], part: NDArray[np.int64], n_groups: int
) -> NDArray[np.float64]:
    """Return the bias-corrected correlation ratio of each number given the levels: (G + 1, numbers)."""
    size = int(code.max(initial=0)) + 1
    out = np.full((n_groups + 1, x.shape[1]), np.nan)
    for j in range(x.shape[1]):
        used = m[:, j] & (code > 0)
        place, y = part[used] * size + code[used], x[used, j]
        n, s, q = (
            _leave_out(np.bincount(place, w, minlength=n_groups * size).reshape(n_groups, size).astype(np.float64))
            for w in (np.ones(len(y)), y, y * y)
        )
        rows, levels = n.sum(axis=1), (n > 0).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = q.sum(axis=1) - s.sum(axis=1) ** 2 / rows
            within = (q - np.where(n > 0, s**2 / np.maximum(n, 1), 0)).sum(axis=1)
            ratio = 1 - within / total * (rows - 1) / (rows - levels)
        good = (rows >= LEAST) & (rows > levels) & (levels > 1) & (total > 1e-12)
        out[:, j] = np.where(good, np.sqrt(np.clip(ratio, 0, 1)), np.nan)
    return out


def _cramer(a: NDArray[np.int32], b: NDArray[np.int32], part: NDArray[np.int64], n_groups: int) -> NDArray[np.float64]:
    """Return the bias-corrected Cramer's V of two categories, missing left out: (G + 1,)."""
    used = (a > 0) & (b > 0)
    table = _leave_out(_contingency(a[used], b[used], part[used], n_groups))
    n = table.sum(axis=(1, 2))
    row, column = table.sum(axis=2), table.sum(axis=1)
    r, c = (row > 0).sum(axis=1), (column > 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = row[:, :, None] * column[:, None, :] / n[:, None, None]
        chi = np.where(expected > 0, (table - expected) ** 2 / expected, 0).sum(axis=(1, 2))
        phi = np.maximum(0, chi / n - (r - 1) * (c - 1) / (n - 1))
        least = np.minimum(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
        v = np.sqrt(phi / least)
    good = (n >= LEAST) & (r > 1) & (c > 1) & (least > 0)
    return np.where(good, np.clip(v, 0, 1), np.nan)


def _contingency(
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


# ---------------------------------------------------------------- overlap of contingency tables
def _overlaps(view: View, seed: int) -> dict[str, Any]:
    features = view.features[:MAX_COLUMNS]
    samples = {k: s.pick(MAX_ROWS, view.rng(seed, "association", "rows", k)) for k, s in view.samples.items()}
    parts = {key: deal(s.group, view.rng(seed, "jackknife", key)) for key, s in samples.items()}
    groups = {key: int(part.max(initial=0)) + 1 for key, part in parts.items()}
    codes = {key: [_binned(view, one, s) for one in features] for key, s in samples.items()}
    sizes = [max(int(codes[key][i].max(initial=0)) for key in codes) + 1 for i in range(len(features))]
    value, reference, names = [], [], []
    real = np.zeros(groups["holdout"])
    synthetic = np.zeros(groups["synthetic"])
    for i in range(len(features)):
        for j in range(i):
            table = {
                key: _contingency(codes[key][i], codes[key][j], parts[key], groups[key], (sizes[i], sizes[j]))
                for key in samples
            }
            whole = {key: one.sum(axis=0) / samples[key].n for key, one in table.items()}
            value.append(_overlap(whole["holdout"], whole["synthetic"]))
            reference.append(_overlap(whole["train"], whole["holdout"]))
            names.append((features[j].name, features[i].name))
            real += _overlap_without(table["holdout"], whole["synthetic"])
            synthetic += _overlap_without(table["synthetic"], whole["holdout"])
    n = len(value)
    return {
        "value": np.array(value),
        "reference": np.array(reference),
        "names": names,
        "without_real": real / n,
        "without_synthetic": synthetic / n,
    }


def _overlap(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    return float(1 - 0.5 * np.abs(p - q).sum())


def _overlap_without(table: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    left = _leave_out(table)[:-1]
    shares = left / np.maximum(left.sum(axis=(1, 2), keepdims=True), 1)
    return np.asarray(1 - 0.5 * np.abs(shares - other).sum(axis=(1, 2)))


def _binned(view: View, feature: Feature, sample: Sample) -> NDArray[np.int32]:
    """Return codes of a column: 0 missing; tenths by rank among the real rows, or the frequent levels."""
    if not feature.is_number:
        return pooled(view, feature, sample.codes[:, feature.slot], MAX_LEVELS)
    rank = sample.rank[:, feature.slot]
    tenth = np.minimum((rank * BINS).astype(np.int32), BINS - 1) + 1
    return np.where(rank == MISSING_RANK, 0, tenth).astype(np.int32)
