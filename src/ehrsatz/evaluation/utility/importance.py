"""Do models from synthetic and from real rows lean on the same columns? Permutation importance, rank correlation.

A random forest learns from each side. The importance of a column is how much worse the forest gets on unseen real
rows (by Brier score, or R2 for a number) once that column is shuffled; below 0 counts as 0. The two forests are tested
on different halves of the holdout, so that they share no luck. The reference compares the forest from train, tested on
holdout rows, with one from holdout, tested on train rows.

References: Breiman, Random forests, Machine Learning 45, 2001, doi:10.1023/A:1010933404324; Fisher, Rudin & Dominici,
JMLR 20(177), 2019, arXiv:1801.01489; Spearman, American Journal of Psychology 15, 1904, doi:10.2307/1412159.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import deal
from ehrsatz.evaluation.space import Comparison, Sample
from ehrsatz.evaluation.utility.measures import Answer, Weight
from ehrsatz.evaluation.utility.question import Question
from ehrsatz.evaluation.utility.trials import FOREST, Fitted, answer_of, interval, trials_of, without_each
from ehrsatz.evaluation.utility.tstr import params_of

MAX_TESTED = 4000  # rows that columns are shuffled in, half of them per forest
MAX_COLUMNS = 100
SHOWN = 30
TOP = 5


class ImportanceAgreement(Metric):
    """Rank correlation of the importance of columns for models from synthetic and from real rows.

    Identical data near 1 (the tested rows differ), unrelated data near 0; more is better.
    """

    name = "importance_agreement"
    title = "Agreement on what predicts"
    family = "utility"
    theme = "Prediction"
    goal = "maximise"
    low, high, ideal = -1.0, 1.0, 1.0
    needs = frozenset({"rows", "target"})
    what = "Rank correlation of permutation importances of a random forest from synthetic and one from real rows."
    blind = "The direction of an effect; and columns that say the same share one importance at random."
    reference = "Fisher, Rudin & Dominici 2019, arXiv:1801.01489"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials = trials_of(comparison, str(self.target), seed)
        asked = trials.question
        if len(asked.inputs) < 3:
            raise Unmeasured("Not measured: fewer than three columns predict the target.")
        columns = _columns(asked, trials.fitted[FOREST, "train"], trials.fitted[FOREST, "synthetic"])
        rng = asked.view.rng(seed, "importance")
        sides = _halves(asked, rng)
        real = Shuffled(trials.fitted[FOREST, "train"], *sides[0], columns, rng)
        made = Shuffled(trials.fitted[FOREST, "synthetic"], *sides[1], columns, rng)
        other = Fitted(asked, FOREST, asked.samples["holdout"], asked.y["holdout"], seed)
        drawn = np.sort(rng.permutation(len(asked.y["train"]))[: MAX_TESTED // 2])
        further = Shuffled(other, asked.samples["train"].take(drawn), asked.y["train"][drawn], columns, rng)
        a, b, c = real.losses(), made.losses(), further.losses()
        if np.ptp(a) == 0:
            raise Unmeasured("Not measured: no column helps a forest from real rows to predict the target.")
        value = agreement(a, b)
        reference = agreement(a, c)
        part = [deal(one.group, rng) for one in (sides[0][0], sides[1][0])]
        spread = [
            (without_each(part[0], lambda w: agreement(real.losses(w), b)), 1.0),
            (without_each(part[1], lambda w: agreement(a, made.losses(w))), 1.0),
        ]
        top = [set(np.argsort(-x, kind="stable")[:TOP].tolist()) for x in (a, b)]
        shared = len(top[0] & top[1])
        order = np.argsort(-a, kind="stable")[:SHOWN]
        return Score(
            self.name,
            value,
            interval(value, spread, self.low, self.high),
            reference,
            len(asked.y["synthetic"]),
            {
                **params_of(trials),
                "learner": FOREST,
                "columns": len(columns),
                "columns_left_out": len(asked.inputs) - len(columns),
                "shuffled_rows": len(sides[0][1]) + len(sides[1][1]),
            },
            meaning=f"The importance of columns for models from synthetic and from real rows has a rank correlation of "
            f"{value:.2f}; {shared} of the {min(TOP, len(a))} most important columns are the same.",
            details={
                "columns": [
                    {"column": columns[j][1], "real": _round(a[j]), "synthetic": _round(b[j])} for j in order.tolist()
                ],
                "top_shared": shared,
            },
            baseline=0.0,
        )


class Shuffled:
    """The answers of one forest about rows in which one column after another is shuffled."""

    def __init__(
        self,
        fitted: Fitted,
        sample: Sample,
        y: NDArray[Any],
        columns: list[tuple[int, str]],
        rng: np.random.Generator,
    ) -> None:
        asked = fitted.question
        self.measure, self.sign = ("R2", 1.0) if asked.is_number else ("Brier score", -1.0)
        x = fitted.read(sample)

        def told(matrix: NDArray[Any]) -> Answer:
            return answer_of(asked, y, fitted.answer(matrix), "train")

        self.whole = told(x)
        self.parts = []
        for j, _ in columns:
            mixed = x.copy()
            mixed[:, j] = x[rng.permutation(len(x)), j]
            self.parts.append(told(mixed))

    def losses(self, weight: Weight = None) -> NDArray[np.float64]:
        """Return the loss of skill without each column, at least 0."""
        whole = self.whole.value(self.measure, weight)
        return np.array([max(0.0, self.sign * (whole - one.value(self.measure, weight))) for one in self.parts])


def agreement(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return Spearman's rank correlation; 0 where one side has no ranking.

    Examples
    --------
    >>> agreement(np.array([3.0, 2.0, 1.0]), np.array([9.0, 8.0, 7.0]))
    1.0
    """
    x, y = stats.rankdata(a), stats.rankdata(b)
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return min(1.0, max(-1.0, float(x @ y) / size)) if size > 0 else 0.0


def _columns(asked: Question, *forests: Fitted) -> list[tuple[int, str]]:
    """Return place and name of the columns looked at: all, or those that the forests split on most."""
    names = [one.name for one in asked.inputs]
    if len(names) <= MAX_COLUMNS:
        return list(enumerate(names))
    gain = np.zeros((len(forests), len(names)))
    for row, one in zip(gain, forests):
        if one.model is not None:
            row[one.keep] = one.model.feature_importances_
    best = np.sort(np.argsort(-gain.max(axis=0), kind="stable")[:MAX_COLUMNS])
    return [(int(j), names[j]) for j in best]


def _halves(asked: Question, rng: np.random.Generator) -> list[tuple[Sample, NDArray[Any]]]:
    """Return two halves of the holdout, of different subjects, of at most 2,000 rows each."""
    sample, y = asked.samples["holdout"], asked.y["holdout"]
    side = deal(sample.group, rng, 2)
    out = []
    for one in (0, 1):
        rows = np.flatnonzero(side == one)
        rows = np.sort(rows[rng.permutation(len(rows))[: MAX_TESTED // 2]])
        out.append((sample.take(rows), y[rows]))
    if min(len(rows) for _, rows in out) < 2:
        raise Unmeasured("Not measured: the holdout has too few subjects to be cut in halves.")
    return out


def _round(value: float) -> float:
    return round(float(value), 5)
