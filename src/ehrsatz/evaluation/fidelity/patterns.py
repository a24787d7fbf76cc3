"""Which cells are missing together in a row, and what does it hang on? Whole patterns, and missing given other columns.

A pattern is the set of columns that are missing in a row. Cells are missing at random, in Rubin's sense, where being
missing hangs on what stands in the other columns; a copy should keep that.

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
from ehrsatz.evaluation.fidelity.missingness import MAX_COLUMNS, gone_cells, with_gaps
from ehrsatz.evaluation.fidelity.strengths import Grids, coded, compared, correlation, cramer
from ehrsatz.evaluation.intervals import jackknife_interval
from ehrsatz.evaluation.pictures import FEW
from ehrsatz.evaluation.space import Comparison, View

MAX_GAPPED = 40  # columns with gaps whose dependence on others is measured
LEAST_CELLS = 10  # missing, and present, in each dataset's rows, for a dependence to be measured
LISTED = 20  # patterns in the details, the most frequent first
NAMED = 8  # columns named in a pattern


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
    gone = gone_cells(comparison, view)
    some = with_gaps(gone)
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
