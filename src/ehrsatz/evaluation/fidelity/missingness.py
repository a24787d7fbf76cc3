"""Are cells missing as often, together, and for the same reasons as in the real rows?

Rates per column and pair, the whole patterns of which columns are missing in a row, and how far missing cells hang on
what stands in the other columns (missing at random in Rubin's sense, where they do).

References: Rubin, Inference and missing data, Biometrika 1976, doi:10.1093/biomet/63.3.581; Little, A test of missing
completely at random for multivariate data with missing values, JASA 1988, doi:10.1080/01621459.1988.10478722.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score
from ehrsatz.evaluation.fidelity.association import gap_score
from ehrsatz.evaluation.fidelity.columns import parts
from ehrsatz.evaluation.fidelity.strengths import Grids, coded, compared, correlation, cramer
from ehrsatz.evaluation.intervals import jackknife_interval
from ehrsatz.evaluation.pictures import FEW
from ehrsatz.evaluation.space import Comparison, Sample, View

MAX_COLUMNS = 200
MAX_GAPPED = 40  # columns with gaps whose dependence on others is measured
LEAST_CELLS = 10  # missing, and present, in each dataset's rows, for a dependence to be measured
LISTED = 20  # patterns in the details, the most frequent first
NAMED = 8  # columns named in a pattern


class Missingness(Metric):
    """Mean gap of missing rates, over columns with gaps anywhere. Identical data 0, at most 1, less is better."""

    name = "missingness"
    title = "Missing cells"
    family = "fidelity"
    theme = "Missing values"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    what = "How often cells are missing in each column that has gaps, against the real rows."
    blind = "Which cells are missing together, and for which rows."
    reference = "Rubin 1976, doi:10.1093/biomet/63.3.581"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        value, interval, reference, rates = _gaps(comparison, seed, pairs=False)
        if not rates:
            meaning = "No cell is missing, in the real rows or in the synthetic ones."
        else:
            meaning = f"Columns with gaps differ by {100 * value:.1f} percentage points in how often cells are missing."
        n = comparison.views[0].samples["synthetic"].n
        return Score(self.name, value, interval, reference, n, {}, meaning=meaning, details={"columns": rates})


class MissingPairs(Metric):
    """Mean gap, over pairs of columns, of how often both are missing. Identical data 0, at most 1, less is better."""

    name = "missing_pairs"
    title = "Cells missing together"
    family = "fidelity"
    theme = "Missing values"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    what = "How often both cells are missing, for every two columns with gaps, against the real rows."
    blind = "Patterns of three and more columns; which rows have them."
    reference = "Rubin 1976, doi:10.1093/biomet/63.3.581"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        value, interval, reference, rates = _gaps(comparison, seed, pairs=True)
        if len(rates) < 2:
            meaning = "Fewer than two columns have missing cells, so no pattern can differ."
        else:
            meaning = f"Pairs of columns differ by {100 * value:.1f} percentage points in how often both are missing."
        n = comparison.views[0].samples["synthetic"].n
        params = {"most_columns": MAX_COLUMNS}
        return Score(self.name, value, interval, reference, n, params, meaning=meaning)


class MissingPatterns(Metric):
    """Overlap of the patterns of missing cells. Identical data 1, no pattern in common 0, more is better.

    A pattern is the set of columns that are missing in a row. The overlap is one minus the total variation of their
    shares, averaged over tables with gaps. The baseline is what gaps of the real rates give that fall independently.
    """

    name = "missing_patterns"
    title = "Patterns of missing cells"
    family = "fidelity"
    theme = "Missing values"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    what = "Which sets of columns are missing together in a row, and how often, against the real rows."
    blind = "Which values the rows with a pattern have in the other columns."
    reference = "Rubin 1976, doi:10.1093/biomet/63.3.581"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = [one for view in comparison.views if (one := _patterns(comparison, view, seed)) is not None]
        n = comparison.views[0].samples["synthetic"].n
        params = {"most_columns": MAX_COLUMNS}
        if not found:
            meaning = "No cell is missing, in the real rows or in the synthetic ones."
            return Score(self.name, 1.0, None, 1.0, n, params, meaning=meaning, details={"tables": {}, "patterns": []})
        value = float(np.mean([one.value for one in found]))
        return Score(
            self.name,
            value,
            jackknife_interval(value, *(value + (w - one.value) / len(found) for one in found for w in one.without)),
            float(np.mean([one.reference for one in found])),
            n,
            params,
            meaning=f"Which columns are missing together in a row agrees with the real rows to {100 * value:.1f} %.",
            details={
                "tables": {one.view.name: one.value for one in found},
                "patterns": [line for one in found for line in one.lines][: 3 * LISTED],
            },
            baseline=float(np.mean([one.alone for one in found])),
        )


class MissingDependence(Metric):
    """Mean difference of how strongly gaps hang on other columns. Identical data 0, at most 2, less is better.

    For each column with at least ten missing and ten present cells and each other column: Spearman's correlation of
    being missing with a number, the bias-corrected Cramer's V with a category, over rows where the other cell is
    present. A copy whose gaps fall at random scores the baseline, the mean strength in the real rows.
    """

    name = "missing_dependence"
    title = "What missing cells hang on"
    family = "fidelity"
    theme = "Missing values"
    goal = "minimise"
    low, high, ideal = 0.0, 2.0, 0.0
    needs = frozenset({"rows"})
    what = "How strongly being missing goes together with what stands in every other column, against the real rows."
    blind = "Gaps that hang on the very value that is missing; dependence on several columns at once."
    reference = "Rubin 1976, doi:10.1093/biomet/63.3.581; Little 1988, doi:10.1080/01621459.1988.10478722"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        return gap_score(
            self,
            [one for view in comparison.joint if (one := _dependence(comparison, view, seed)) is not None],
            nothing=f"Not measured: no column has {LEAST_CELLS} missing and {LEAST_CELLS} present cells beside a "
            "column that varies.",
            meaning="How strongly gaps hang on other columns is off by {value:.3f} on average over {pairs:,} pairs, "
            "most for gaps in '{first}' given '{second}'.",
        )


Rates = list[dict[str, object]]


def _gaps(
    comparison: Comparison, seed: int, *, pairs: bool
) -> tuple[float, tuple[float, float] | None, float | None, Rates]:
    """Return value, interval, reference and the rates per column, over all tables (weighted by what is compared)."""
    found: dict[str, list[NDArray[np.float64]]] = {"value": [], "reference": [], "real": [], "synthetic": []}
    rates: Rates = []
    for view in comparison.views:
        gone, own = _gone(comparison, view), [one.name for one in view.features if one.own]
        some = _some(gone)
        for i in some:
            real = gone["holdout"][:, i]
            few = 0 < len(np.unique(view.samples["holdout"].group[real])) < FEW
            rates.append(
                {
                    "column": own[i],
                    "table": view.name,
                    "real": None if few else float(real.mean()),
                    "synthetic": float(gone["synthetic"][:, i].mean()),
                }
            )
        if not len(some) or (pairs and len(some) < 2):
            continue
        dealt = parts(comparison, view, seed)
        tables = {key: _together(mask[:, some], dealt[key], pairs) for key, mask in gone.items()}
        whole = {key: rate[-1] for key, rate in tables.items()}
        found["value"].append(np.abs(whole["holdout"] - whole["synthetic"]))
        found["reference"].append(np.abs(whole["train"] - whole["holdout"]))
        found["real"].append(np.abs(tables["holdout"][:-1] - whole["synthetic"]))
        found["synthetic"].append(np.abs(whole["holdout"] - tables["synthetic"][:-1]))
    if not found["value"]:
        return 0.0, (0.0, 0.0), 0.0, rates
    value = float(np.concatenate(found["value"]).mean())
    jack = [
        np.concatenate([one[: min(map(len, found[key]))] for one in found[key]], axis=1)
        for key in ("real", "synthetic")
    ]
    interval = jackknife_interval(value, jack[0].mean(axis=1), jack[1].mean(axis=1))
    return value, interval, float(np.concatenate(found["reference"]).mean()), rates


def _gone(comparison: Comparison, view: View) -> dict[str, NDArray[np.bool_]]:
    """Return for each dataset which cells of a view's own columns are missing: (R, columns)."""

    def mask(sample: Sample) -> NDArray[np.bool_]:
        columns = [
            np.isnan(sample.raw[:, one.slot]) if one.is_number else sample.codes[:, one.slot] == 0
            for one in view.features
            if one.own
        ]
        return np.column_stack(columns) if columns else np.empty((sample.n, 0), bool)

    out: dict[str, NDArray[np.bool_]] = comparison.once(
        ("gone", view.name), lambda: {key: mask(sample) for key, sample in view.samples.items()}
    )
    return out


def _some(gone: dict[str, NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Return the columns with a gap in any dataset."""
    return np.flatnonzero(np.any([mask.any(axis=0) for mask in gone.values()], axis=0))[:MAX_COLUMNS]


def _together(gone: NDArray[np.bool_], part: NDArray[np.int64], pairs: bool) -> NDArray[np.float64]:
    """Return rates without each jackknife group, and of the whole in the last row: (G + 1, columns or pairs)."""
    cells = gone.astype(np.float64)
    upper = np.triu_indices(gone.shape[1], 1)
    sums, sizes = [], []
    for g in range(int(part.max(initial=0)) + 1):
        block = cells[part == g]
        sums.append((block.T @ block)[upper] if pairs else block.sum(axis=0))
        sizes.append(len(block))
    total, n = np.sum(sums, axis=0), sum(sizes)
    without = [(total - one) / max(1, n - size) for one, size in zip(sums, sizes)]
    return np.array([*without, total / n])


# ---------------------------------------------------------------- whole patterns
@dataclass(frozen=True)
class _Patterns:
    view: View
    value: float
    reference: float
    alone: float
    without: tuple[NDArray[np.float64], NDArray[np.float64]]
    lines: list[dict[str, Any]]


def _patterns(comparison: Comparison, view: View, seed: int) -> _Patterns | None:
    gone = _gone(comparison, view)
    some = _some(gone)
    if not len(some):
        return None
    masks = {key: mask[:, some] for key, mask in gone.items()}
    packed = np.ascontiguousarray(
        np.packbits(np.concatenate(list(masks.values())), axis=1)
    )  # (R, columns) -> (R, bytes)
    kinds, place = np.unique(packed.view(f"V{packed.shape[1]}").reshape(-1), return_inverse=True)
    ends = np.cumsum([len(mask) for mask in masks.values()])
    number = dict(zip(masks, np.split(place, ends[:-1])))
    dealt = parts(comparison, view, seed)
    size = len(kinds)
    tables = {}
    for key, one in number.items():
        n_groups = int(dealt[key].max(initial=0)) + 1
        tables[key] = np.bincount(one * n_groups + dealt[key], minlength=size * n_groups).reshape(size, n_groups)
    share = {key: table.sum(axis=1) / table.sum() for key, table in tables.items()}
    without = []
    for key, other in (("holdout", share["synthetic"]), ("synthetic", share["holdout"])):
        left = tables[key].sum(axis=1, keepdims=True) - tables[key]
        without.append(1 - 0.5 * np.abs(left / np.maximum(left.sum(axis=0), 1) - other[:, None]).sum(axis=0))
    bits = np.unpackbits(kinds.view(np.uint8).reshape(size, -1), axis=1, count=len(some)).astype(bool)
    return _Patterns(
        view,
        _common(share["holdout"], share["synthetic"]),
        _common(share["train"], share["holdout"]),
        float(np.minimum(share["holdout"], _independent(bits, masks["holdout"].mean(axis=0))).sum()),
        (without[0], without[1]),
        _lines(view, bits, some, number["holdout"], share),
    )


def _common(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    return float(np.clip(1 - 0.5 * np.abs(p - q).sum(), 0.0, 1.0))


def _independent(bits: NDArray[np.bool_], rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of each pattern if every column had its gaps independently."""
    return np.asarray(np.where(bits, rate, 1 - rate).prod(axis=1))


def _lines(
    view: View,
    bits: NDArray[np.bool_],
    some: NDArray[np.int64],
    number: NDArray[np.int64],
    share: dict[str, NDArray[np.float64]],
) -> list[dict[str, Any]]:
    """Return the patterns that five real subjects share, the most frequent first, and what is left of both datasets."""
    own = [one.name for one in view.features if one.own]
    held = np.bincount(np.unique(number * (1 << 40) + view.samples["holdout"].group) >> 40, minlength=len(bits))
    shown = [i for i in np.argsort(-share["holdout"], kind="stable").tolist() if held[i] >= FEW][:LISTED]
    hidden = np.setdiff1d(np.arange(len(bits)), shown)
    while shown and 0 < held[hidden].sum() < FEW:  # what is left to 100 % must not tell of fewer than five
        hidden = np.append(hidden, shown.pop())
    out: list[dict[str, Any]] = []
    for i in shown:
        names = [own[j] for j in some[bits[i]].tolist()]
        out.append(
            {
                "table": view.name,
                "missing": names[:NAMED],
                "n_missing": len(names),
                "real": float(share["holdout"][i]),
                "synthetic": float(share["synthetic"][i]),
            }
        )
    if len(hidden) and (share["holdout"][hidden].sum() == 0 or held[hidden].sum() >= FEW):
        rest = {key: float(share[key][hidden].sum()) for key in ("holdout", "synthetic")}
        line = {"table": view.name, "missing": None, "n_missing": None}
        out.append(line | {"real": rest["holdout"], "synthetic": rest["synthetic"]})
    return out


# ---------------------------------------------------------------- what gaps hang on
def _dependence(comparison: Comparison, view: View, seed: int) -> Grids | None:
    """Return the strength of being missing with every other column: columns with gaps x columns."""
    numbers, categories = compared(view)
    across = (*numbers, *categories)
    found = coded(comparison, view, seed)
    gone = {key: np.column_stack([~one.there, *(code == 0 for code in one.codes)]) for key, one in found.items()}
    enough = [
        (mask.sum(axis=0) >= LEAST_CELLS) & ((~mask).sum(axis=0) >= LEAST_CELLS)
        for key, mask in gone.items()
        if key != "train"
    ]
    some = np.flatnonzero(np.all(enough, axis=0))[:MAX_GAPPED]
    if not len(some) or len(across) < 2:
        return None
    of = {}
    for key, one in found.items():
        mask = gone[key][:, some]
        grid = np.full((one.n_groups + 1, len(some), len(across)), np.nan)
        x = np.concatenate([mask - mask.mean(axis=0), one.ranks], axis=1)
        there = np.concatenate([np.ones(mask.shape, bool), one.there], axis=1)
        grid[:, :, : len(numbers)] = correlation(x, there, one.part, one.n_groups)[:, : len(some), len(some) :]
        for i in range(len(some)):
            code = mask[:, i].astype(np.int32) + np.int32(1)
            for j, other in enumerate(one.codes):
                grid[:, i, len(numbers) + j] = cramer(code, other, one.part, one.n_groups)
        grid[:, np.arange(len(some)), some] = np.nan  # a column's own gaps
        of[key] = grid
    return Grids(view, tuple(across[i] for i in some), across, of)
