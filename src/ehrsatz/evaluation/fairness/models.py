"""Does a model from synthetic rows treat subgroups alike? Against the same figure of the model from real rows.

The learner is the one that is best after real rows; the groups are those of unseen real rows. Each figure is the
largest difference between two groups of a column, over columns and, with more than two classes, over classes (one
against the rest). Groups with fewer than 20 tested rows, or fewer than five inside or outside the class where rates
need them, are named and not counted. Differences of small groups are large by chance: so they are in the reference.

References: Dwork et al., Fairness through awareness, ITCS 2012, doi:10.1145/2090236.2090255 (demographic parity);
Hardt, Price & Srebro, Equality of opportunity in supervised learning, NeurIPS 2016, arXiv:1610.02413; Kleinberg,
Mullainathan & Raghavan, ITCS 2017, doi:10.4230/LIPIcs.ITCS.2017.43 (calibration within groups); Bhanot et al.,
Downstream fairness caveats with synthetic healthcare data, 2022, arXiv:2203.04462.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fairness.subjects import Division, divisions_of, n_subjects
from ehrsatz.evaluation.groups import LEAST_ROWS
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.evaluation.utility.classification import CALLED
from ehrsatz.evaluation.utility.measures import Answer, Weight
from ehrsatz.evaluation.utility.question import LEAST, Question
from ehrsatz.evaluation.utility.trials import Trials, folds_of, interval, trials_of, without_each
from ehrsatz.evaluation.utility.tstr import params_of
from ehrsatz.schema import MIN_SUBJECTS

SHOWN = 12  # columns in the details


@dataclass(frozen=True)
class Divided:
    """The groups of one column among tested rows.

    level
        (R,) the number of the group, -1 for rows of none that counts.
    """

    column: str
    labels: tuple[str, ...]
    level: NDArray[np.int64]


class FairModel(Metric):
    """Largest difference of some rates between two groups of a column."""

    family = "fairness"
    theme = "Fair models"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    needs = frozenset({"rows", "target"})
    tells = frozenset()  # a model that has learned nothing treats all alike
    blind = "A model that guesses treats all alike; groups that nobody named; why real groups differ."
    rates: ClassVar[tuple[str, ...]]
    inside: ClassVar[bool] = False  # whether a group needs cases
    outside: ClassVar[bool] = False  # whether it needs rows that are none
    says: ClassVar[str]

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials = trials_of(comparison, str(self.target), seed)
        asked = trials.question
        if asked.is_number:
            raise Unmeasured("Not measured: the target is a number, and nothing is called.")
        groups, left_out = tested_groups(comparison, self.task, asked)
        real, synthetic = (trials.answers[trials.best, side] for side in ("train", "synthetic"))
        entries = []
        for one in groups:
            for k in real.classes:
                mine, skipped = self._counted(one, asked, k)
                left_out += [name for name in skipped if name not in left_out]
                if len(mine.labels) > 1:
                    entries.append((mine, k, self._gap(real, mine, k), self._gap(synthetic, mine, k)))
        if not entries:
            raise Unmeasured("Not measured: no column has two groups with enough tested rows inside and outside.")
        worst = max(range(len(entries)), key=lambda i: entries[i][3])
        mine, k, _, value = entries[worst]
        parts = [(without_each(trials.part, lambda w: self._gap(synthetic, mine, k, w)), 1.0)]
        folds = folds_of(comparison, asked, seed, trials.best)
        if folds is not None:
            few = Divided(mine.column, mine.labels, mine.level[folds.tested])
            by_fold = np.array([self._gap(one, few, k) for one in folds.answers["synthetic"]])
            if np.isfinite(by_fold).all():
                parts.append((by_fold, folds.scale))
        reference = max(one[2] for one in entries)
        labels = _ends(self._table(synthetic, mine, k), mine.labels, self.rates)
        return Score(
            self.name,
            value,
            interval(value, parts, self.low, self.high),
            reference,
            len(asked.y["synthetic"]),
            {
                **params_of(trials),
                "learner": trials.best,
                "called": CALLED,
                "groups": sum(len(g.labels) for g in groups),
            },
            meaning=self.says.format(
                value=f"{100 * value:.1f}",
                real=f"{100 * reference:.1f}",
                column=mine.column,
                kind=asked.labels[k],
                high=labels[0],
                low=labels[1],
            ),
            details={"columns": self._shown(entries, asked, real, synthetic), "left_out": left_out[:100]},
            baseline=self._guess(trials, groups),
        )

    def _counted(self, one: Divided, asked: Question, k: int) -> tuple[Divided, list[str]]:
        """Return the groups with enough rows inside and outside a class, and the names of the others."""
        hit = asked.y["holdout"] == k
        good, skipped = [], []
        for place, label in enumerate(one.labels):
            rows = one.level == place
            lacks = (self.inside and (rows & hit).sum() < LEAST) or (self.outside and (rows & ~hit).sum() < LEAST)
            if lacks:
                skipped.append(f"{one.column} = {label}: fewer than {LEAST} rows inside or outside a class")
            else:
                good.append(place)
        return kept(one, good), skipped

    def _table(self, answer: Answer, one: Divided, k: int, weight: Weight = None) -> dict[str, NDArray[np.float64]]:
        return rates_of(answer.y == k, answer.called == k, answer.guess[:, k], one.level, len(one.labels), weight)

    def _gap(self, answer: Answer, one: Divided, k: int, weight: Weight = None) -> float:
        table = self._table(answer, one, k, weight)
        return float(max(np.ptp(table[name]) for name in self.rates))

    def _guess(self, trials: Trials, groups: list[Divided]) -> float | None:
        return 0.0

    def _shown(
        self, entries: list[tuple[Divided, int, float, float]], asked: Question, real: Answer, synthetic: Answer
    ) -> list[dict[str, Any]]:
        """Return of each column the class with the largest difference, with the rates of its groups."""
        best: dict[str, tuple[Divided, int, float, float]] = {}
        for one in sorted(entries, key=lambda one: -one[3]):
            best.setdefault(one[0].column, one)
        out = []
        for mine, k, was, now in list(best.values())[:SHOWN]:
            tables = {"real": self._table(real, mine, k), "synthetic": self._table(synthetic, mine, k)}
            counts = np.bincount(mine.level[mine.level >= 0], minlength=len(mine.labels))
            rows = [
                {
                    "group": label,
                    "rows": int(counts[place]),
                    **{side: {n: round(float(t[n][place]), 4) for n in self.rates} for side, t in tables.items()},
                }
                for place, label in enumerate(mine.labels)
            ]
            out.append({"column": mine.column, "class": asked.labels[k], "real": was, "synthetic": now, "groups": rows})
        return out


class DemographicParity(FairModel):
    """Largest difference between groups of the share that is called.

    Alike 0; identical data as the reference; less is better. Unrelated data teach nothing, which treats all alike.
    """

    name = "demographic_parity"
    title = "Demographic parity"
    what = "Share of each group that a model from synthetic rows calls, on real rows: largest less smallest."
    reference = "Dwork et al. 2012, doi:10.1145/2090236.2090255"
    rates = ("called",)
    says = "A model trained on synthetic rows foretells '{kind}' more often for '{column} = {high}' than for "
    says += "'{column} = {low}', by {value} points; trained on real rows the largest difference is {real}."


class EqualOpportunity(FairModel):
    """Largest difference between groups of the share of cases found.

    Alike 0; identical data as the reference; less is better. Unrelated data teach nothing, which treats all alike.
    """

    name = "equal_opportunity"
    title = "Equal opportunity"
    what = "Share of the cases of each group that a model from synthetic rows finds: largest less smallest."
    reference = "Hardt, Price & Srebro 2016, arXiv:1610.02413"
    rates = ("found",)
    inside = True
    says = "A model trained on synthetic rows finds more of the cases ('{kind}') of '{column} = {high}' than of "
    says += "'{column} = {low}', by {value} points; trained on real rows the largest difference is {real}."


class EqualisedOdds(FairModel):
    """Largest difference between groups of cases found or of false alarms.

    Alike 0; identical data as the reference; less is better. Unrelated data teach nothing, which treats all alike.
    """

    name = "equalised_odds"
    title = "Equalised odds"
    what = "Cases found and false alarms of each group, by a model from synthetic rows: the larger difference."
    reference = "Hardt, Price & Srebro 2016, arXiv:1610.02413"
    rates = ("found", "alarmed")
    inside = outside = True
    says = "Groups of '{column}' differ by {value} points in cases found or in false alarms with a model trained on "
    says += "synthetic rows; trained on real rows by {real}."


class GroupCalibration(FairModel):
    """Largest difference between groups of mean prediction less share of cases.

    Alike 0; identical data as the reference; less is better.
    """

    name = "group_calibration"
    title = "Calibration by group"
    low, high, ideal = 0.0, 2.0, 0.0
    what = (
        "Mean prediction less the share of cases in each group, by a model from synthetic rows: largest less smallest."
    )
    reference = "Kleinberg, Mullainathan & Raghavan 2017, doi:10.4230/LIPIcs.ITCS.2017.43"
    rates = ("drift",)
    says = "A model trained on synthetic rows overstates the share of '{kind}' for '{column} = {high}' against "
    says += "'{column} = {low}' by {value} points; trained on real rows the largest such difference is {real}."

    def _guess(self, trials: Trials, groups: list[Divided]) -> float | None:
        """Return what one and the same prediction for all gives: the largest difference of the share of cases."""
        asked = trials.question
        gaps = []
        for one in groups:
            for k in trials.answers[trials.best, "train"].classes:
                hit = asked.y["holdout"] == k
                flat = np.full(len(hit), float(asked.shares("train")[k]))
                gaps.append(float(np.ptp(rates_of(hit, hit, flat, one.level, len(one.labels))["drift"])))
        return max(gaps, default=None)


def tested_groups(comparison: Comparison, task: Task, asked: Question) -> tuple[list[Divided], list[str]]:
    """Return the groups among tested rows in the target's table, and the names of those that are too small.

    Raises
    ------
    Unmeasured
        When no column there has two groups.
    """
    mine = [one for one in divisions_of(comparison, task) if one.view.name == asked.view.name]
    if not mine:
        raise Unmeasured("Not measured: no column with subgroups is in the table of the target.")
    out, left_out = [], []
    for one in mine:
        tested, small = _tested(one, asked)
        left_out += small
        if len(tested.labels) > 1:
            out.append(tested)
    if not out:
        raise Unmeasured("Not measured: no column has two groups with enough tested rows.")
    return out, left_out


def _tested(one: Division, asked: Question) -> tuple[Divided, list[str]]:
    whole = Divided(one.column, one.labels, one.level["holdout"][asked.rows["holdout"]])
    good, small = [], []
    for k, label in enumerate(one.labels):
        rows = whole.level == k
        if rows.sum() >= LEAST_ROWS and n_subjects(asked.samples["holdout"], rows) >= MIN_SUBJECTS:
            good.append(k)
        else:
            small.append(f"{one.column} = {label}: fewer than {LEAST_ROWS} tested rows")
    return kept(whole, good), small


def kept(one: Divided, places: Iterable[int]) -> Divided:
    """Return a column with some of its groups, numbered anew."""
    good = list(places)
    new = np.full(len(one.labels) + 1, -1, np.int64)  # the last place is for rows of none
    new[good] = np.arange(len(good))
    return Divided(one.column, tuple(one.labels[k] for k in good), new[one.level])


def rates_of(
    hit: NDArray[np.bool_],
    called: NDArray[np.bool_],
    p: NDArray[np.float64],
    level: NDArray[np.int64],
    n_groups: int,
    weight: Weight = None,
) -> dict[str, NDArray[np.float64]]:
    """Return per group the share called, of cases found, of others alarmed, and mean prediction less share of cases.

    Parameters
    ----------
    hit, called, p
        (R,) what came, what was called, and the predicted probability.
    level
        (R,) group of each row; -1 for rows that do not count.
    n_groups
        Groups.
    weight
        (R,) row weights; 1 where None.

    Returns
    -------
    Arrays (groups,) by name; NaN where a group has no such row.
    """
    w = (np.ones(len(level)) if weight is None else weight) * (level >= 0)
    place = np.maximum(level, 0)

    def total(x: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(place, w * x, minlength=n_groups)[:n_groups].astype(np.float64)

    rows, cases, others = total(np.ones(len(level))), total(hit), total(~hit)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "called": total(called) / rows,
            "found": total(called & hit) / cases,
            "alarmed": total(called & ~hit) / others,
            "drift": total(p - hit) / rows,
        }


def _ends(table: dict[str, NDArray[np.float64]], labels: tuple[str, ...], rates: tuple[str, ...]) -> tuple[str, str]:
    """Return the groups with the highest and the lowest rate, of the rate that differs more."""
    rate = table[max(rates, key=lambda one: float(np.ptp(table[one])))]
    return labels[int(rate.argmax())], labels[int(rate.argmin())]
