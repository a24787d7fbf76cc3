"""Subgroups for fairness: those of evaluation/groups.py without the levels of the target, and pairs of them.

A pair is the rows that belong to one group of each of two columns, as in "sex = F and age = highest fourth".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Unmeasured
from ehrsatz.evaluation.groups import LEAST_ROWS, Group, subgroups
from ehrsatz.evaluation.space import Comparison, Sample, View
from ehrsatz.evaluation.task import Task
from ehrsatz.schema import MIN_SUBJECTS

MAX_PAIRS = 300
NONE_FOUND = "Not measured: no column besides the target has two subgroups of 20 real rows in each half."


@dataclass(frozen=True)
class Division:
    """One column that divides the rows of a view into groups.

    level
        Per dataset (R,) the number of the group of each row, -1 for rows of none.
    subjects
        Per dataset the number of subjects.
    """

    view: View
    column: str
    labels: tuple[str, ...]
    level: dict[str, NDArray[np.int64]]
    subjects: dict[str, int]

    def name(self, k: int) -> str:
        """Column and level, as in "sex = F"."""
        return f"{self.column} = {self.labels[k]}"


@dataclass(frozen=True)
class Part:
    """Rows of one group, or of two groups at once.

    rows
        Per dataset a mask (R,) over the rows of the view's sample.
    subjects
        Per dataset the number of subjects, of this group or not.
    """

    view: View
    name: str
    rows: dict[str, NDArray[np.bool_]]
    columns: tuple[str, ...]
    subjects: dict[str, int]


def divisions_of(comparison: Comparison, task: Task) -> list[Division]:
    """Return the columns that divide subjects into groups, without the target.

    Raises
    ------
    Unmeasured
        When there is none.
    """
    target = None if task.target is None else comparison.locate(task.target)
    found: dict[tuple[str, str], list[Group]] = {}
    for one in subgroups(comparison, task):
        if target is None or (one.view.name, one.column) != (target[0].name, target[1].name):
            found.setdefault((one.view.name, one.column), []).append(one)
    if not found:
        raise Unmeasured(NONE_FOUND)
    out = []
    subjects = {
        view.name: {key: len(np.unique(sample.group)) for key, sample in view.samples.items()}
        for view in {groups[0].view.name: groups[0].view for groups in found.values()}.values()
    }
    for (name, column), groups in found.items():
        level = {}
        for key, sample in groups[0].view.samples.items():
            level[key] = np.full(sample.n, -1, np.int64)
            for k, one in enumerate(groups):
                level[key][one.rows[key]] = k
        labels = tuple(one.label for one in groups)
        out.append(Division(groups[0].view, column, labels, level, subjects[name]))
    return out


def parts_of(divisions: list[Division], *, pairs: bool) -> list[Part]:
    """Return the groups and, where asked, pairs of groups of two columns with enough real rows and subjects.

    At most 300 pairs, those with the most real rows.
    """
    singles = [
        Part(one.view, one.name(k), {key: level == k for key, level in one.level.items()}, (one.column,), one.subjects)
        for one in divisions
        for k in range(len(one.labels))
    ]
    if not pairs:
        return singles
    both = []
    for a, b in combinations(divisions, 2):
        if a.view.name == b.view.name:
            both += [(size, f"{a.name(k)} and {b.name(m)}", a, k, b, m) for size, k, m in _large(a, b)]
    both.sort(key=lambda one: (-one[0], one[1]))
    for _, name, a, k, b, m in both[:MAX_PAIRS]:
        rows = {key: (a.level[key] == k) & (b.level[key] == m) for key in a.level}
        singles.append(Part(a.view, name, rows, (a.column, b.column), a.subjects))
    return singles


def _large(a: Division, b: Division) -> list[tuple[int, int, int]]:
    """Return rows and levels of pairs with at least 20 rows and five subjects in train and in holdout."""
    good = np.ones((len(a.labels), len(b.labels)), bool)
    size = np.zeros(good.shape, np.int64)
    for key in ("train", "holdout"):
        x, y = a.level[key], b.level[key]
        known = (x >= 0) & (y >= 0)
        flat = np.bincount(x[known] * good.shape[1] + y[known], minlength=good.size).reshape(good.shape)
        good &= flat >= LEAST_ROWS
        size += flat
        if a.subjects[key] < len(x):  # else each row is a subject
            for k, m in zip(*np.nonzero(good)):
                good[k, m] = n_subjects(a.view.samples[key], (x == k) & (y == m)) >= MIN_SUBJECTS
    return [(int(size[k, m]), int(k), int(m)) for k, m in zip(*np.nonzero(good))]


def n_subjects(sample: Sample, rows: NDArray[np.bool_]) -> int:
    """Return the number of subjects of some rows."""
    return int((np.bincount(sample.group[rows]) > 0).sum())
