"""Are cells missing as often, and together as often, as in the real rows? Rates of single columns and of pairs.

References: Rubin, Inference and missing data, Biometrika 1976, doi:10.1093/biomet/63.3.581.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score
from ehrsatz.evaluation.fidelity.columns import parts
from ehrsatz.evaluation.intervals import jackknife_interval
from ehrsatz.evaluation.pictures import FEW
from ehrsatz.evaluation.space import Comparison, Sample, View

MAX_COLUMNS = 200


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


Rates = list[dict[str, object]]


def _gaps(
    comparison: Comparison, seed: int, *, pairs: bool
) -> tuple[float, tuple[float, float] | None, float | None, Rates]:
    """Return value, interval, reference and the rates per column, over all tables (weighted by what is compared)."""
    found: dict[str, list[NDArray[np.float64]]] = {"value": [], "reference": [], "real": [], "synthetic": []}
    rates: Rates = []
    for view in comparison.views:
        gone, own = gone_cells(comparison, view), [one.name for one in view.features if one.own]
        some = with_gaps(gone)
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


def gone_cells(comparison: Comparison, view: View) -> dict[str, NDArray[np.bool_]]:
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


def with_gaps(gone: dict[str, NDArray[np.bool_]]) -> NDArray[np.int64]:
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
