"""Adversarial validation: can a classifier tell synthetic rows from real ones?

Five-fold gradient boosting on real (holdout) against synthetic rows, subjects kept together; the area under the ROC
curve of the out-of-fold scores. The same on holdout against train is the reference. What gives the copy away: how far
the area falls when one column is shuffled among the rows that a model did not see; how: traits.py.

References: Lopez-Paz & Oquab, Revisiting classifier two-sample tests, ICLR 2017, arXiv:1610.06545; Breiman, Random
forests, Machine Learning 45, 2001, doi:10.1023/A:1010933404324 (shuffling one column).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fidelity.traits import Traits, difference
from ehrsatz.evaluation.groups import subgroups
from ehrsatz.evaluation.intervals import auc, auc_interval
from ehrsatz.evaluation.learners import boost, boosting_matrix, varying
from ehrsatz.evaluation.space import Comparison, Sample, View
from ehrsatz.schema import MIN_SUBJECTS

FOLDS = 5
MAX_ROWS = 6000
MAX_CELLS = 1_200_000
WIDE = 200  # columns above which each split of a tree looks at 200 of them, in 63 bins
EXPLAINED = 0.52  # areas up to here have no culprit
LEAST_DROP = 0.002
SCREENED_CELLS = 60_000  # rows x columns that the search for culprits reads, with the first model
SUSPECTS = 12  # columns that it hands on to be measured on every row
FULL_FOLDS = 3  # models that they are measured with
_BATCH = 1 << 21  # cells of shuffled rows in memory at a time
LEAST_GROUP = 20  # rows of a subgroup on each side


@dataclass(frozen=True)
class Told:
    """How well two samples can be told apart.

    Parameters
    ----------
    value, interval
        AUC of the out-of-fold scores.
    drops
        Fall of the AUC when a column is shuffled, for the columns that matter; empty where nothing is to explain.
    n
        Rows per side.
    rows
        Which rows of the holdout and of the other sample took part.
    score
        Out-of-fold score of each of these rows, holdout first.
    """

    value: float
    interval: tuple[float, float] | None
    drops: dict[str, float]
    n: int
    rows: tuple[NDArray[np.int64], NDArray[np.int64]]
    score: NDArray[np.float64]


class Detection(Metric):
    """AUC of telling synthetic from real rows. Identical distributions 0.5, unrelated 1, nearer to 0.5 is better."""

    name = "detection"
    title = "Telling synthetic from real"
    family = "fidelity"
    theme = "Whole rows"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.5
    needs = frozenset({"rows"})
    what = (
        "Gradient boosting learns to tell synthetic rows from unseen real ones; the value is how often it is right "
        "about a pair of rows that it has not seen."
    )
    blind = (
        "Copies of real people look perfectly real to it; and whatever 100 small trees cannot learn from a few "
        "thousand rows."
    )
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
        features = {one.name: one for one in worst.features}
        traits = Traits(worst)
        culprits = [
            {"column": name, "drop": drop, **difference(traits, features[name])}
            for name, drop in top
            if drop > LEAST_DROP and found.value > EXPLAINED
        ]
        by = f" Mostly by '{culprits[0]['column']}': {culprits[0]['how']}." if culprits else ""
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
                "groups": self._groups(comparison, worst, found, reference),
                "tables": {name: one.value for name, one in told.items()},
                "reference_interval": list(reference.interval) if reference.interval else None,
            },
            baseline=0.5,
        )

    def _groups(self, comparison: Comparison, view: View, found: Told, real: Told) -> list[dict[str, Any]]:
        """Return the AUC within each subgroup, from the scores that are there already, easiest to tell first."""
        out = []
        for group in subgroups(comparison, self.task):
            if group.view.name != view.name:
                continue
            value = _within(found, group.rows["holdout"], group.rows["synthetic"])
            if value is not None:
                n = int(group.rows["synthetic"][found.rows[1]].sum())
                reference = _within(real, group.rows["holdout"], group.rows["train"])
                out.append({"group": group.name, "auc": value, "reference": reference, "n": n})
        return sorted(out, key=lambda one: (-one["auc"], one["group"]))


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
    rows = (_draw(view, "holdout", n, seed, 0), _draw(view, other, n, seed, 1))
    sides: list[Sample] = [view.samples[key].take(part) for key, part in zip(("holdout", other), rows)]
    matrices = [boosting_matrix(view, side)[0] for side in sides]
    is_category = boosting_matrix(view, sides[0])[1]
    names = [one.name for one in view.features]
    keep = varying(*matrices)
    y = np.repeat([0, 1], [sides[0].n, sides[1].n])
    group = np.concatenate([sides[0].group, sides[1].group + sides[0].group.max() + 1])
    score = np.full(len(y), 0.5)
    if not keep.any():
        return Told(0.5, (0.5, 0.5), {}, n, rows, score)
    x = np.concatenate(matrices)[:, keep]
    is_category = [flag for flag, kept in zip(is_category, keep) if kept]
    names = [name for name, kept in zip(names, keep) if kept]
    fold = folds(y, group, view.rng(seed, "detection", "folds"))
    models = []
    for k in range(FOLDS):
        test = fold == k
        if len(np.unique(y[~test])) < 2 or not test.any():
            continue
        model = _learn(x[~test], y[~test], is_category, seed + k)
        score[test] = model.predict_proba(x[test])[:, 1]
        models.append((model, np.flatnonzero(test)))
    is_other = y == 1
    value = auc(is_other, score)
    drops: dict[str, float] = {}
    if explain and value > EXPLAINED:
        found = _drops(models, x, is_other, score, view.rng(seed, "detection", "shuffle"))
        drops = {names[i]: drop for i, drop in found.items()}
    interval = auc_interval(is_other, score, group, view.rng(seed, "detection", "bootstrap"))
    return Told(value, interval, drops, n, rows, score)


def folds(y: NDArray[np.int64], group: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal whole subjects to folds, each class evenly."""
    out = np.zeros(len(y), np.int64)
    for one in np.unique(y):
        members, number = np.unique(group[y == one], return_inverse=True)
        out[y == one] = (rng.permutation(len(members)) % FOLDS)[number]
    return out


def _draw(view: View, key: str, n: int, seed: int, side: int) -> NDArray[np.int64]:
    """Return at most n rows of a sample, in their order."""
    whole = view.samples[key].n
    if whole <= n:
        return np.arange(whole)
    return np.sort(view.rng(seed, "detection", "rows", side).permutation(whole)[:n])


def _learn(x: NDArray[np.float64], y: NDArray[np.int64], is_category: list[bool], seed: int) -> Any:
    if x.shape[1] <= WIDE:
        return boost(x, y, is_category, seed=seed)
    from sklearn.ensemble import HistGradientBoostingClassifier

    coarse = x.copy()  # 63 bins hold no more levels; they are sorted by frequency
    coarse[:, is_category] = np.minimum(coarse[:, is_category], 62)
    return _Coarse(
        HistGradientBoostingClassifier(
            max_iter=100,
            learning_rate=0.08,
            max_leaf_nodes=15,
            min_samples_leaf=max(3, min(20, len(y) // 40)),
            l2_regularization=1.0,
            max_bins=63,
            max_features=WIDE / x.shape[1],
            categorical_features=is_category if any(is_category) else None,
            early_stopping=False,
            random_state=seed % (2**31),
        ).fit(coarse, y),
        np.array(is_category),
    )


@dataclass(frozen=True)
class _Coarse:
    """A model of a wide table, which reads the 62 most frequent levels of a category."""

    model: Any
    is_category: NDArray[np.bool_]

    def predict_proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        coarse = x.copy()
        coarse[:, self.is_category] = np.minimum(coarse[:, self.is_category], 62)
        out: NDArray[np.float64] = self.model.predict_proba(coarse)
        return out


def _drops(
    models: list[tuple[Any, NDArray[np.int64]]],
    x: NDArray[np.float64],
    is_other: NDArray[np.bool_],
    score: NDArray[np.float64],
    rng: np.random.Generator,
) -> dict[int, float]:
    """Return for the columns that matter most how far the AUC falls when they are shuffled.

    All columns are tried on some rows with the first model, the dozen that matter most on all rows with three.
    """
    n_columns = x.shape[1]
    model, test = models[0]
    some = rng.permutation(test)[: max(200, SCREENED_CELLS // n_columns)]
    first = _shuffled(model, x, some, np.arange(n_columns), is_other, score, rng)
    suspects = np.argsort(-first, kind="stable")[:SUSPECTS]
    full = models[:FULL_FOLDS]
    mean = np.mean([_shuffled(model, x, test, suspects, is_other, score, rng) for model, test in full], axis=0)
    return {int(i): float(drop) for i, drop in zip(suspects, mean)}


def _shuffled(
    model: Any,
    x: NDArray[np.float64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    is_other: NDArray[np.bool_],
    score: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the fall of the AUC on these rows for each column, several shuffled columns scored in one go."""
    whole = auc(is_other[rows], score[rows])
    out = np.empty(len(columns))
    step = max(1, _BATCH // (len(rows) * x.shape[1]))
    for start in range(0, len(columns), step):
        batch = columns[start : start + step]
        mixed = np.tile(x[rows], (len(batch), 1))
        for j, i in enumerate(batch):
            mixed[j * len(rows) : (j + 1) * len(rows), i] = x[rng.permutation(rows), i]
        found = model.predict_proba(mixed)[:, 1].reshape(len(batch), len(rows))
        out[start : start + step] = [whole - auc(is_other[rows], one) for one in found]
    return out


def _within(told: Told, real: NDArray[np.bool_], other: NDArray[np.bool_]) -> float | None:
    """Return the AUC among the rows of a subgroup, None where a side has fewer than 20 of them."""
    inside = np.concatenate([real[told.rows[0]], other[told.rows[1]]])
    is_other = np.repeat([False, True], [len(part) for part in told.rows])
    if min((inside & is_other).sum(), (inside & ~is_other).sum()) < max(LEAST_GROUP, MIN_SUBJECTS):
        return None
    return auc(is_other[inside], told.score[inside])
