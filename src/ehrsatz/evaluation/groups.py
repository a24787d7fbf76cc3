"""Subgroups of subjects by column, the same for every metric that looks at them one by one.

A category or boolean column gives one group per level, a number four groups of equal size among real rows, named by
their order and not by their bounds, which could be somebody's value. Levels with too few real rows are pooled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.space import MISSING_RANK, Comparison, Feature, View
from ehrsatz.evaluation.task import Task
from ehrsatz.schema import MIN_SUBJECTS

LEAST_ROWS = 20  # real rows, in train and in holdout, below which a level is pooled with others
MAX_COLUMNS = 6  # where nobody named columns
MAX_LEVELS = 12
FOURTHS = ("lowest fourth", "second fourth", "third fourth", "highest fourth")
POOLED, MISSING = "other levels", "missing"


@dataclass(frozen=True)
class Group:
    """Rows of one level of one column.

    rows
        Per dataset ("train", "holdout", "synthetic") a mask (R,) over the rows of the view's sample.
    """

    view: View
    column: str
    label: str
    rows: dict[str, NDArray[np.bool_]]

    @property
    def name(self) -> str:
        """Column and level, as in "sex = F"."""
        return f"{self.column} = {self.label}"


def grouping_columns(comparison: Comparison, task: Task) -> list[tuple[View, Feature]]:
    """Return the columns whose levels are subgroups: those that the task names, else those that protection names.

    Raises
    ------
    SchemaError
        When the task names a column that is not compared.
    """
    if task.groups:
        return [comparison.locate(name) for name in task.groups]
    found = []
    for wanted in ("quasi", "sensitive"):
        for view in comparison.joint:
            for one in view.features:
                if not one.own or one.disclosure != wanted or one.kind in {"date", "datetime"}:
                    continue
                if one.is_number or 2 <= len(one.levels) <= MAX_LEVELS:
                    found.append((view, one))
    return found[:MAX_COLUMNS]


def subgroups(comparison: Comparison, task: Task, *, least: int = LEAST_ROWS) -> list[Group]:
    """Return the subgroups of a comparison, columns in order, levels by frequency.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    task
        Names the columns, or leaves them to the schema's disclosure classes.
    least
        Rows that a group has in train and in holdout; smaller levels are pooled, and left out where the pool is small.

    Returns
    -------
    Empty where no column has two groups.
    """

    def make() -> list[Group]:
        out = []
        for view, feature in grouping_columns(comparison, task):
            found = _levels(view, feature, least)
            out += found if len(found) > 1 else []
        return out

    key = ("subgroups", task.groups, least)
    groups: list[Group] = comparison.once(key, make)
    return groups


def _levels(view: View, feature: Feature, least: int) -> list[Group]:
    codes, labels = _codes(view, feature)
    real = [(codes[key], view.samples[key].group) for key in ("train", "holdout")]

    def is_large(level: int) -> bool:
        hits = [(c == level, group) for c, group in real]
        return all(hit.sum() >= least and len(np.unique(group[hit])) >= MIN_SUBJECTS for hit, group in hits)

    large = [level for level in range(len(labels)) if is_large(level)]
    masks = [(labels[level], {key: c == level for key, c in codes.items()}) for level in large]
    rest = {key: ~np.isin(c, large) for key, c in codes.items()}
    if all(rest[key].sum() >= least for key in ("train", "holdout")):
        masks.append((POOLED, rest))
    return [Group(view, feature.name, label, rows) for label, rows in masks]


def _codes(view: View, feature: Feature) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
    """Return for each dataset the level of each row (-1: none of them), and the names of the levels."""
    if feature.is_number:
        ranks = {key: sample.rank[:, feature.slot] for key, sample in view.samples.items()}
        out = {
            key: np.where(r == MISSING_RANK, 4, np.clip((r * 4).astype(np.int64), 0, 3)).astype(np.int64)
            for key, r in ranks.items()
        }
        return out, (*FOURTHS, MISSING)
    labels = (MISSING, *feature.levels)
    codes = {key: sample.codes[:, feature.slot].astype(np.int64) for key, sample in view.samples.items()}
    return {key: np.where(c >= len(labels), -1, c) for key, c in codes.items()}, labels
