"""Do single columns look like the real ones within each subgroup? The worst-off group counts.

Within a subgroup of subjects every other column of its table is compared with the same subgroup of the holdout, as in
margins.py: one minus the Kolmogorov-Smirnov distance for numbers, one minus the total variation for levels. A number's
distribution function is read at no more than 500 points, even in the ranks of both datasets.

References: Bhanot et al., The problem of fairness in synthetic healthcare data, Entropy 23(9), 2021,
doi:10.3390/e23091165 (fidelity of subgroups, one by one).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fidelity.columns import Tally, parts, tallies
from ehrsatz.evaluation.fidelity.strengths import leave_out
from ehrsatz.evaluation.groups import Group, subgroups
from ehrsatz.evaluation.intervals import jackknife_interval
from ehrsatz.evaluation.space import Comparison

POINTS = 500
LISTED = 100  # groups in the details, the worst-off first


@dataclass(frozen=True)
class _Found:
    """Similarities of one group: means over columns, and the column that agrees least."""

    group: Group
    value: float
    reference: float | None
    alone: float
    worst: str


class Conditional(Metric):
    """Mean similarity of columns within the worst-off subgroup. Identical data 1, unrelated near 0, more is better.

    A group without any synthetic row scores 0. The baseline is what every group would score if it were described by
    the training rows of all groups together, that is, if belonging to it made no difference.
    """

    name = "conditional"
    title = "Columns within subgroups"
    family = "fidelity"
    theme = "Subgroups"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    what = "How alike single columns are within each subgroup of subjects; the value is that of the worst-off group."
    blind = "Groups made of two columns at once; other tables than the group's own; small groups differ by chance."
    reference = "Bhanot et al. 2021, doi:10.3390/e23091165"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        groups = subgroups(comparison, self.task)
        if not groups:
            raise Unmeasured("Not measured: no column splits the real rows into subgroups that are large enough.")
        found = []
        for (table, column), members in groupby(groups, key=lambda one: (one.view.name, one.column)):
            columns = [
                one
                for one in tallies(comparison, seed)
                if one.view.name == table and one.feature.name != column and _is_held(one)
            ]
            found += _compare(list(members), columns)
        if not found:
            raise Unmeasured("Not measured: there is no column to compare besides the ones that make the subgroups.")
        worst = min(found, key=lambda one: one.value)
        references = [one.reference for one in found if one.reference is not None]
        mean = float(np.mean([one.value for one in found]))
        made = int(worst.group.rows["synthetic"].sum())
        if made:
            meaning = (
                f"In the subgroup that fares worst, '{worst.group.name}', columns agree with real ones to "
                f"{100 * worst.value:.1f} % on average; over all {len(found):,} subgroups to {100 * mean:.1f} %."
            )
        else:
            meaning = f"The subgroup '{worst.group.name}' of the real rows has no synthetic row at all."
        return Score(
            self.name,
            worst.value,
            self._interval(comparison, worst, seed) if made else None,
            min(references) if references else None,
            worst.group.view.samples["synthetic"].n,
            {"groups": len(found), "points": POINTS},
            meaning=meaning,
            details={
                "worst": worst.group.name,
                "mean": mean,
                "groups": [_line(one) for one in sorted(found, key=lambda one: one.value)[:LISTED]],
            },
            baseline=min(one.alone for one in found),
        )

    def _interval(self, comparison: Comparison, worst: _Found, seed: int) -> tuple[float, float] | None:
        """Return the jackknife interval of one group's value, which does not know that it is the worst of several."""
        view = worst.group.view
        dealt = parts(comparison, view, seed)
        rows = worst.group.rows
        used = {key: np.unique(dealt[key][rows[key]], return_inverse=True)[1] for key in ("holdout", "synthetic")}
        real, synthetic = [], []
        for tally in tallies(comparison, seed):
            if tally.view.name != view.name or tally.feature.name == worst.group.column:
                continue
            coarse, size = _coarse(tally)
            left = {}
            for key, part in used.items():
                table = _count(tally.place[key][rows[key]], part, int(part.max(initial=0)) + 1, coarse, size)
                left[key] = leave_out(table)
            if not left["holdout"][-1].sum() and not left["synthetic"][-1].sum():
                continue
            number = tally.feature.is_number
            real.append(_alike(left["holdout"][:-1], left["synthetic"][-1:], number))
            synthetic.append(_alike(left["holdout"][-1:], left["synthetic"][:-1], number))
        return jackknife_interval(worst.value, np.nanmean(real, axis=0), np.nanmean(synthetic, axis=0))


def _is_held(tally: Tally) -> bool:
    return tally.n("holdout") > 0 or tally.n("synthetic") > 0


def _compare(groups: list[Group], columns: list[Tally]) -> list[_Found]:
    """Compare the columns within the groups that one column makes."""
    if not columns:
        return []
    level = {}
    for key in ("train", "holdout", "synthetic"):
        level[key] = np.full(len(groups[0].rows[key]), -1, np.int64)
        for i, group in enumerate(groups):
            level[key][group.rows[key]] = i
    value, reference, alone = [], [], []
    for tally in columns:
        coarse, size = _coarse(tally)
        table = {key: _count(tally.place[key], one, len(groups), coarse, size) for key, one in level.items()}
        everyone = np.bincount(coarse, tally.counts["train"], minlength=size).astype(np.float64)[None, :]
        number = tally.feature.is_number
        value.append(_alike(table["holdout"], table["synthetic"], number))
        reference.append(_alike(table["train"], table["holdout"], number))
        alone.append(_alike(table["holdout"], everyone, number))
    out = []
    for i, group in enumerate(groups):
        mine = np.array([one[i] for one in value])
        if np.isnan(mine).all():
            continue
        real = [one[i] for one in reference if not np.isnan(one[i])]
        out.append(
            _Found(
                group,
                float(np.nanmean(mine)),
                float(np.mean(real)) if real else None,
                float(np.nanmean([one[i] for one in alone])),
                columns[int(np.nanargmin(mine))].feature.name,
            )
        )
    return out


def _coarse(tally: Tally) -> tuple[NDArray[np.int64], int]:
    """Return for each value of a column the point at which its distribution function is read, or its level."""
    size = len(tally.values)
    if not tally.feature.is_number or size <= POINTS:
        return np.arange(size), size
    both = tally.counts["holdout"] + tally.counts["synthetic"]
    ends = np.cumsum(both)
    return np.minimum((ends - both / 2) / ends[-1] * POINTS, POINTS - 1).astype(np.int64), POINTS


def _count(
    place: NDArray[np.int32], level: NDArray[np.int64], n_levels: int, coarse: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """Count present cells by group and point: (n_levels, size)."""
    used = (place >= 0) & (level >= 0)
    flat = np.bincount(level[used] * size + coarse[place[used]], minlength=n_levels * size)
    return flat.reshape(n_levels, size).astype(np.float64)


def _alike(a: NDArray[np.float64], b: NDArray[np.float64], is_number: bool) -> NDArray[np.float64]:
    """Return the similarity of each pair of rows of counts; 0 where one counts nothing, NaN where neither does."""
    n, m = a.sum(axis=1), b.sum(axis=1)
    gap = a / np.maximum(n, 1)[:, None] - b / np.maximum(m, 1)[:, None]
    if is_number:
        far = np.abs(np.cumsum(gap, axis=1)).max(axis=1)
    else:
        far = 0.5 * np.abs(gap).sum(axis=1)
    alike = np.where((n > 0) & (m > 0), 1 - far, 0.0)
    return np.where((n == 0) & (m == 0), np.nan, np.clip(alike, 0.0, 1.0))


def _line(one: _Found) -> dict[str, Any]:
    return {
        "group": one.group.name,
        "column": one.group.column,
        "level": one.group.label,
        "n_real": int(one.group.rows["holdout"].sum()),
        "n_synthetic": int(one.group.rows["synthetic"].sum()),
        "similarity": one.value,
        "reference": one.reference,
        "baseline": one.alone,
        "worst_column": one.worst,
    }
