"""Who is most exposed: unusual patients, and each subgroup on its own.

An average hides those who stand out. The attack is the membership attack by distance, held against how near a person's
own real neighbours are: it is made on the real rows that lie farthest from others (the outer 5 %), as the French
authority asks, and within every subgroup. The best of many groups is lucky: the reference says how large the AUC of the
worst group would be by luck in one of twenty tables.

References: CNIL, opinion on Anonymeter, 13 February 2023 (targeted assessment of outliers); Meeus et al., Achilles'
heels, ESORICS 2023, doi:10.1007/978-3-031-51476-0_20 (distance to the nearest neighbours picks who is vulnerable);
Hanley & McNeil, Radiology 143, 1982, doi:10.1148/radiology.143.1.7063747 (standard error without a leak).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import Z, auc, auc_interval
from ehrsatz.evaluation.privacy.membership import found_at
from ehrsatz.evaluation.privacy.structures import Structure, group_masks, structure
from ehrsatz.evaluation.space import Comparison, View

LEAST = 10  # people of each kind
ALARM = 0.05


class OutlierExposure(Metric):
    """AUC of a membership attack on unusual patients alone. No leak 0.5, a copy of train 1; nearer to 0.5 is better."""

    name = "outlier_exposure"
    title = "Exposure of unusual patients"
    family = "privacy"
    theme = "Exposure"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.5
    needs = frozenset({"rows"})
    what = (
        "The 5 % of real rows farthest from other real rows are attacked: how near the nearest synthetic row is, "
        "compared with their own real neighbours."
    )
    blind = "Unusual in all columns together: a rare value among ordinary ones may not count."
    reference = "CNIL 2023; Meeus et al. 2023, doi:10.1007/978-3-031-51476-0_20"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {}
        for view in comparison.joint:
            base = structure(comparison, view, seed)
            some = np.flatnonzero(base.outlier)
            kinds = base.pool.is_train[some]
            if min(kinds.sum(), (~kinds).sum()) >= LEAST:
                found[view.name] = (view, base, some, auc(kinds, base.pull[some]))
        if not found:
            raise Unmeasured(f"Not measured: {LEAST} unusual people in each half are needed, that is about 200 rows.")
        view, base, some, value = max(found.values(), key=lambda one: one[3])
        member, pull = base.pool.is_train, base.pull
        interval = auc_interval(
            member[some], pull[some], base.pool.subject[some], view.rng(seed, "exposure", "outliers")
        )
        rest = np.flatnonzero(~base.outlier)
        usual = auc(member[rest], pull[rest])
        tail = found_at(member[some], pull[some], 0.05)
        return Score(
            self.name,
            value,
            interval,
            0.5,
            base.n_synthetic,
            {"attacked": len(some), "table": view.name, "share": 0.05},
            meaning=f"Among the 5 % most unusual patients an attacker picks the training subject of two people "
            f"{100 * value:.0f} times in 100 (guessing: 50); among the others {100 * usual:.0f} times.",
            details={
                "others": usual,
                "found_at_5pct": tail,
                "n_train": int(member[some].sum()),
                "n_holdout": int((~member[some]).sum()),
                "tables": {name: one[3] for name, one in found.items()},
            },
            baseline=0.5,
        )


@dataclass(frozen=True)
class Exposed:
    """One subgroup's exposure."""

    view: View
    base: Structure
    name: str
    rows: NDArray[np.int64]
    auc: float
    error: float  # without a leak

    @property
    def z(self) -> float:
        """Distance from 0.5 in standard errors."""
        return (self.auc - 0.5) / self.error


class GroupExposure(Metric):
    """AUC of a membership attack in the subgroup where it stands out most.

    No leak: below the reference in 19 of 20 tables; a copy of train scores 1; nearer to 0.5 is better.
    """

    name = "group_exposure"
    title = "Exposure of the worst-off subgroup"
    family = "privacy"
    theme = "Exposure"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.5
    needs = frozenset({"rows"})
    what = (
        "The same attack within each subgroup; the group whose AUC is farthest above one half, in standard errors. The "
        "reference is what the worst of as many groups reaches by luck in one of twenty tables."
    )
    blind = "Groups that nobody named or marked, and groups of fewer than 20 rows in a half."
    reference = "CNIL 2023; Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found: list[Exposed] = []
        for view in comparison.joint:
            base = structure(comparison, view, seed)
            for group, mask in group_masks(comparison, self.task, view, base.pool):
                one = _exposed(view, base, group.name, np.flatnonzero(mask))
                found += [one] if one is not None else []
        if not found:
            raise Unmeasured("Not measured: no column splits the people into subgroups that are large enough.")
        worst = max(found, key=lambda one: one.z)
        member = worst.base.pool.is_train[worst.rows]
        subject = worst.base.pool.subject[worst.rows]
        interval = auc_interval(member, worst.base.pull[worst.rows], subject, worst.view.rng(seed, "exposure", "group"))
        wider = float(stats.norm.ppf(1 - ALARM / 2 / len(found))) / Z  # covers all groups at once
        interval = (
            max(0.0, worst.auc - wider * (worst.auc - interval[0])),
            min(1.0, worst.auc + wider * (interval[1] - worst.auc)),
        )
        limit = float(stats.norm.ppf((1 - ALARM) ** (1 / len(found))))
        adjusted = [min(1.0, 1 - (1 - float(stats.norm.sf(one.z))) ** len(found)) for one in found]
        order = np.argsort([-one.z for one in found], kind="stable")
        p = adjusted[int(order[0])]
        end = "more than luck explains" if p <= ALARM else "no more than luck explains"
        return Score(
            self.name,
            worst.auc,
            interval,
            min(1.0, 0.5 + limit * worst.error),
            worst.base.n_synthetic,
            {"groups": len(found), "attacked": len(worst.rows), "table": worst.view.name},
            meaning=f"Most exposed of {len(found)} subgroups: {worst.name}. There an attacker picks the training "
            f"subject of two people {100 * worst.auc:.0f} times in 100 (guessing: 50), {end}.",
            details={
                "worst": worst.name,
                "p": p,
                "groups": [
                    {
                        "group": found[i].name,
                        "auc": found[i].auc,
                        "interval": [
                            max(0.0, found[i].auc - 1.96 * found[i].error),
                            min(1.0, found[i].auc + 1.96 * found[i].error),
                        ],
                        "adjusted": adjusted[i],
                        "n": len(found[i].rows),
                    }
                    for i in order[:60]
                ],
            },
            baseline=0.5,
        )


def _exposed(view: View, base: Structure, name: str, rows: NDArray[np.int64]) -> Exposed | None:
    """Attack one group; None where it is too small. The standard error counts subjects where they have several rows."""
    member = base.pool.is_train[rows]
    subject = base.pool.subject[rows]
    n_in, n_out = (len(np.unique(subject[one])) for one in (member, ~member))
    if min(n_in, n_out) < LEAST:
        return None
    error = float(np.sqrt((n_in + n_out + 1) / (12 * n_in * n_out)))
    return Exposed(view, base, name, rows, auc(member, base.pull[rows]), error)
