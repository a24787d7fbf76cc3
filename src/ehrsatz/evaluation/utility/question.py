"""What is predicted, from what, on which rows: one target for every metric of prediction and of fair models.

Two values, or a category, are classes; more values of a number are a number. Rows without the target take no part.
Training uses as many synthetic as real rows, so that neither side wins by size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Unmeasured
from ehrsatz.evaluation.space import Comparison, Feature, Sample, View
from ehrsatz.evaluation.utility.screening import screened
from ehrsatz.schema import MIN_SUBJECTS

MAX_ROWS = 20_000
MAX_CELLS = 2_000_000
MAX_CLASSES = 20
MAX_INPUTS = 200
LEAST = 5  # tested rows inside and outside a class, below which it is left out
RARE = "a class of fewer than five subjects"


@dataclass(frozen=True)
class Question:
    """One target and the rows that it is learned on and tested on.

    labels
        Names of the K classes, none for a number; a class of fewer than five real subjects has no name of its own.
    positive
        Of two classes the one that is looked for: true, the larger number, or the rarer level; None for more.
    without
        Columns that models do not read: the target, what fixes it, and in wide tables those that were screened out.
    fixed
        Columns that fix the target by a constraint.
    samples, y
        Per dataset the rows with a target, and the target: class numbers 0..K-1, or a number.
    rows
        Per dataset the places of these rows in the view's sample.
    """

    view: View
    feature: Feature
    is_number: bool
    labels: tuple[str, ...]
    positive: int | None
    without: frozenset[str]
    fixed: frozenset[str]
    samples: dict[str, Sample]
    y: dict[str, NDArray[Any]]
    rows: dict[str, NDArray[np.int64]]

    @property
    def inputs(self) -> tuple[Feature, ...]:
        """The columns that models read."""
        return tuple(one for one in self.view.features if one.name not in self.without)

    @property
    def key(self) -> tuple[str, str]:
        """Table and column, the name of the question in what metrics share."""
        return self.view.name, self.feature.name

    @property
    def headline(self) -> str:
        """The measure that learners are chosen by."""
        return "R2" if self.is_number else "AUC"

    def params(self) -> dict[str, Any]:
        """Return what was set, for a score."""
        out: dict[str, Any] = {
            "target": self.feature.name,
            "table": self.view.name,
            "rows": len(self.y["synthetic"]),
            "rows_tested": len(self.y["holdout"]),
            "left_out": sorted(self.fixed),
        }
        if screened_out := len(self.without) - len(self.fixed) - 1:
            out["columns_screened_out"] = screened_out
        if self.positive is not None:
            out["positive"] = self.labels[self.positive]
        elif not self.is_number:
            out["classes"] = len(self.labels)
        return out

    def shares(self, dataset: str) -> NDArray[np.float64]:
        """Return the share of each class among the rows of a dataset, (K,)."""
        counts = np.bincount(self.y[dataset], minlength=len(self.labels))
        return counts / max(1, counts.sum())

    def usable(self, y: NDArray[np.int64]) -> list[int]:
        """Return the classes that can be told from the others on these rows: five rows inside, five outside.

        Of two classes only the positive one, which says the same as the other.
        """
        counts = np.bincount(y, minlength=len(self.labels))
        good = [int(k) for k in np.flatnonzero((counts >= LEAST) & (len(y) - counts >= LEAST))]
        if self.positive is None:
            return good
        return [self.positive] if self.positive in good else []


def question_of(comparison: Comparison, target: str, seed: int) -> Question:
    """Return the question that a target puts, worked out once for all metrics.

    Raises
    ------
    Unmeasured
        When there is nothing to learn, or nothing to learn it from.
    """
    view, feature = comparison.locate(target)
    key = ("question", view.name, feature.name, seed)
    out: Question | Unmeasured = comparison.once(key, lambda: _asked(comparison, view, feature, seed))
    if isinstance(out, Unmeasured):
        raise Unmeasured(out.reason, out.status)
    return out


def _asked(comparison: Comparison, view: View, feature: Feature, seed: int) -> Question | Unmeasured:
    try:
        return _question(comparison, view, feature, seed)
    except Unmeasured as stop:
        return stop


def _question(comparison: Comparison, view: View, feature: Feature, seed: int) -> Question:
    fixed = frozenset(_determined_with(comparison, view, feature))
    without = frozenset({feature.name}) | fixed
    n_inputs = len(view.features) - len(without)
    if n_inputs < 1:
        raise Unmeasured("Not measured: there is no column to predict the target from.")
    rows, y, labels, is_number = _labelled(view, feature)
    for key in ("train", "holdout"):
        if len(np.unique(y[key])) < 2:
            raise Unmeasured(f"Not measured: the target has fewer than two values in {key}.")
    if len(rows["synthetic"]) < 10:
        raise Unmeasured("Failed: fewer than ten synthetic rows have a usable target.", "failed")
    cap = max(500, min(MAX_ROWS, MAX_CELLS // min(MAX_INPUTS, n_inputs)))
    n = min(cap, len(rows["train"]), len(rows["synthetic"]))
    for key, most, name in (("holdout", cap, "holdout"), ("train", n, "learn"), ("synthetic", n, "learn")):
        drawn = np.sort(view.rng(seed, "utility", "rows", name).permutation(len(rows[key]))[:most])
        rows[key], y[key] = rows[key][drawn], y[key][drawn]
    samples = {key: view.samples[key].take(index) for key, index in rows.items()}
    inputs = tuple(one for one in view.features if one.name not in without)
    without |= screened(inputs, samples, y, most=MAX_INPUTS, is_number=is_number)
    positive = None
    if len(labels) == 2:
        positive = labels.index("true") if feature.kind == "boolean" and "true" in labels else 1
    asked = Question(view, feature, is_number, labels, positive, without, fixed, samples, y, rows)
    if not is_number and not asked.usable(y["holdout"]):
        raise Unmeasured(f"Not measured: no class of the target has {LEAST} holdout rows inside and outside.")
    return asked


def _labelled(
    view: View, feature: Feature
) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[Any]], tuple[str, ...], bool]:
    """Return the rows with a usable target, the target, the names of its classes, and whether it is a number."""
    rows: dict[str, NDArray[np.int64]] = {}
    y: dict[str, NDArray[Any]] = {}
    if feature.is_number:
        cells = {key: sample.raw[:, feature.slot] for key, sample in view.samples.items()}
        real = np.concatenate([cells["train"], cells["holdout"]])
        classes = np.unique(real[~np.isnan(real)])
        is_number = len(classes) > 2
        for key, x in cells.items():
            rows[key] = np.flatnonzero(~np.isnan(x) if is_number else np.isin(x, classes))
            y[key] = x[rows[key]] if is_number else np.searchsorted(classes, x[rows[key]])
        if is_number:
            return rows, y, (), True
        names = [f"{one:g}" for one in classes]
    else:
        if len(feature.levels) > MAX_CLASSES:
            raise Unmeasured(f"Not measured: the target has more than {MAX_CLASSES} classes.")
        for key, sample in view.samples.items():
            codes = sample.codes[:, feature.slot]
            rows[key] = np.flatnonzero((codes > 0) & (codes <= len(feature.levels)))
            y[key] = codes[rows[key]].astype(np.int64) - 1
        names = list(feature.levels)
    for k in range(len(names)):
        subjects = sum(len(np.unique(view.samples[key].group[rows[key][y[key] == k]])) for key in ("train", "holdout"))
        if subjects < MIN_SUBJECTS:
            names[k] = RARE
    return rows, y, tuple(names), False


def _determined_with(comparison: Comparison, view: View, feature: Feature) -> set[str]:
    """Return columns that fix the target by a constraint of the schema: a sum it is part of, or a dependency."""
    table = next((one for one in comparison.schema.tables if one.name == view.name), None)
    out: set[str] = set()
    for one in table.constraints if table is not None else ():
        if feature.name in one.columns and one.kind in {"sum", "dependency"} and "when" not in one.params:
            out |= set(one.columns) - {feature.name}
    names = {one.name for one in view.features}
    return out & names if len(names) - len(out & names) > 1 else set()
