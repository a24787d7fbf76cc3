"""Adversarial validation: can a classifier tell synthetic rows from real ones?

Five-fold gradient boosting on real (holdout) against synthetic rows, subjects kept together; the area under the ROC
curve of the out-of-fold scores. The same on holdout against train is the reference.

References: Lopez-Paz & Oquab, Revisiting classifier two-sample tests, ICLR 2017, arXiv:1610.06545.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import auc, auc_interval
from ehrsatz.evaluation.learners import boost, boosting_matrix, varying
from ehrsatz.evaluation.space import Comparison, View

FOLDS = 5
MAX_ROWS = 6000
MAX_CELLS = 1_200_000
SHUFFLES = 240


@dataclass(frozen=True)
class Told:
    """How well two samples can be told apart: AUC, interval, drop in AUC when a column is shuffled, rows per side."""

    value: float
    interval: tuple[float, float] | None
    drops: dict[str, float]
    n: int


class Detection(Metric):
    """AUC of telling synthetic from real rows. Identical distributions 0.5, unrelated 1, nearer to 0.5 is better."""

    name = "detection"
    title = "Telling synthetic from real"
    family = "fidelity"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.5
    needs = frozenset({"rows"})
    reference = "Lopez-Paz & Oquab 2017, arXiv:1610.06545"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        views = comparison.joint
        if not views:
            raise Unmeasured("Not measured: no table has columns to compare.")
        told = {view.name: tell(view, "synthetic", seed) for view in views}
        worst = max(views, key=lambda view: told[view.name].value)
        found = told[worst.name]
        reference = tell(worst, "train", seed, explain=False)
        top = sorted(found.drops.items(), key=lambda item: (-item[1], item[0]))[:10]
        culprits = [{"column": name, "drop": drop} for name, drop in top if drop > 0.002 and found.value > 0.52]
        by = f" Mostly by '{culprits[0]['column']}'." if culprits else ""
        return Score(
            self.name,
            found.value,
            found.interval,
            reference.value,
            found.n,
            {"folds": FOLDS, "learner": "gradient boosting", "rows_per_side": found.n, "table": worst.name},
            meaning=(
                f"Shown one real and one synthetic row, a trained program picks the synthetic one "
                f"{100 * max(found.value, 0):.0f} times in 100; 50 is guessing.{by}"
            ),
            details={
                "culprits": culprits,
                "tables": {name: one.value for name, one in told.items()},
                "reference_interval": list(reference.interval) if reference.interval else None,
            },
        )


def tell(view: View, other: str, seed: int, *, explain: bool = True) -> Told:
    """Train on holdout (0) against another sample (1) and score every row by a model that did not see its subject.

    Parameters
    ----------
    view
        The table.
    other
        "synthetic" or "train".
    seed
        Decides subsample, folds and shuffles.
    explain
        Whether to measure how far the AUC falls when one column is shuffled.
    """
    columns = max(1, len(view.features))
    cap = max(200, min(MAX_ROWS, MAX_CELLS // columns))
    n = min(cap, view.samples["holdout"].n, view.samples[other].n)
    sides = [
        view.samples[key].pick(n, view.rng(seed, "detection", "rows", side))
        for side, key in enumerate(("holdout", other))
    ]
    matrices = [boosting_matrix(view, side)[0] for side in sides]
    is_category = boosting_matrix(view, sides[0])[1]
    names = [one.name for one in view.features]
    keep = varying(*matrices)
    y = np.repeat([0, 1], [sides[0].n, sides[1].n])
    group = np.concatenate([sides[0].group, sides[1].group + sides[0].group.max() + 1])
    if not keep.any():
        return Told(0.5, (0.5, 0.5), {}, n)
    x = np.concatenate(matrices)[:, keep]
    is_category = [flag for flag, kept in zip(is_category, keep) if kept]
    names = [name for name, kept in zip(names, keep) if kept]
    fold = folds(y, group, view.rng(seed, "detection", "folds"))
    score = np.full(len(y), 0.5)
    drops = np.zeros(len(names))
    n_explained = min(FOLDS, max(1, SHUFFLES // len(names))) if explain else 0
    rng = view.rng(seed, "detection", "shuffle")
    for k in range(FOLDS):
        test = fold == k
        if len(np.unique(y[~test])) < 2 or not test.any():
            continue
        model = boost(x[~test], y[~test], is_category, seed=seed + k)
        score[test] = model.predict_proba(x[test])[:, 1]
        if k < n_explained:
            drops += [_drop(model, x[test], y[test], score[test], i, rng) / n_explained for i in range(len(names))]
    is_other = y == 1
    value = auc(is_other, score)
    interval = auc_interval(is_other, score, group, view.rng(seed, "detection", "bootstrap"))
    return Told(value, interval, dict(zip(names, drops.tolist())), n)


def folds(y: NDArray[np.int64], group: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal whole subjects to folds, each class evenly."""
    out = np.zeros(len(y), np.int64)
    for one in np.unique(y):
        members, number = np.unique(group[y == one], return_inverse=True)
        out[y == one] = (rng.permutation(len(members)) % FOLDS)[number]
    return out


def _drop(
    model: object,
    x: NDArray[np.float64],
    y: NDArray[np.int64],
    score: NDArray[np.float64],
    i: int,
    rng: np.random.Generator,
) -> float:
    """Return how far the AUC falls when column i is shuffled among the rows."""
    mixed = x.copy()
    mixed[:, i] = x[rng.permutation(len(x)), i]
    return auc(y == 1, score) - auc(y == 1, model.predict_proba(mixed)[:, 1])  # type: ignore[attr-defined]
