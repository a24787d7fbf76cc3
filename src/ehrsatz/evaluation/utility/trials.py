"""Train four learners on real and on synthetic rows, test them on the same unseen real rows, keep the answers.

Every metric of prediction, calibration and fair models reads these answers. What chance does to a figure comes from two
sides: the tested subjects (delete-a-group jackknife, 20 groups) and the rows learned from (five models, each without
one fold of subjects, folds stratified by the target; a delete-a-group jackknife again). The holdout is never learned
from. Folds are cut from at most 4,000 rows; where a model learned from more, the variance is scaled down in proportion.

References: Esteban, Hyland & Raetsch 2017, arXiv:1706.02633 (section 4.3); Kott, The delete-a-group jackknife, Journal
of Official Statistics 17(4), 2001; Satterthwaite, Biometrics Bulletin 2, 1946, doi:10.2307/3002019 (degrees of
freedom of a sum of variances).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.evaluation.intervals import clipped, deal
from ehrsatz.evaluation.learners import (
    boost,
    boosting_matrix,
    forest,
    forest_matrix,
    line,
    linear_matrix,
    neighbours,
    varying,
)
from ehrsatz.evaluation.space import Comparison, Sample
from ehrsatz.evaluation.utility.measures import Answer
from ehrsatz.evaluation.utility.question import Question, question_of

BOOSTING, FOREST, NEIGHBOURS = "gradient boosting", "random forest", "nearest neighbours"
SIDES = ("train", "synthetic")
FOLDS = 5
FOLD_ROWS = 4000  # rows that folds are cut from
FOLD_TESTED = 3000  # rows that a model without one fold is tested on
LINEAR_CELLS = 8_000_000  # rows x columns that the linear learner reads
BLOCK = 4000  # rows predicted at a time


def learners_of(question: Question) -> tuple[str, ...]:
    """Return the names of the four learners."""
    return (BOOSTING, "ridge regression" if question.is_number else "logistic regression", FOREST, NEIGHBOURS)


class Fitted:
    """A learner that has learned from some rows; a target of one value is predicted as such."""

    def __init__(self, question: Question, learner: str, sample: Sample, y: NDArray[Any], seed: int) -> None:
        self.question, self.learner = question, learner
        self.y = y
        self.model: Any = None
        self.known = np.unique(y) if not question.is_number else np.empty(0, np.int64)
        if learner == NEIGHBOURS or learner.endswith("regression"):
            sample, self.y = self._fewer(sample, y, seed)
        x = self.read(sample)
        self.keep = varying(x) if len(x) else np.zeros(x.shape[1], bool)
        if len(np.unique(self.y)) < 2 or not self.keep.any():
            return
        x, number = x[:, self.keep], question.is_number
        if learner == BOOSTING:
            flags = [not one.is_number for one, used in zip(question.inputs, self.keep) if used]
            n_trees = 100 if len(question.labels) <= 2 else max(25, 200 // len(question.labels))  # per class
            self.model = boost(x, self.y, flags, seed=seed, number=number, n_trees=n_trees)
        elif learner == FOREST:
            self.model = forest(x, self.y, seed=seed, number=number)
        elif learner == NEIGHBOURS:
            self.model = neighbours(x, self.y, number=number)
        else:
            self.centre, self.scale = x.mean(axis=0), x.std(axis=0)
            self.scale[self.scale == 0] = 1.0
            self.model = line((x - self.centre) / self.scale, self.y, number=number)

    def guess(self, sample: Sample) -> NDArray[np.float64]:
        """Return probabilities (R, K) of all classes, or numbers (R,) within the range that was learned from."""
        parts = [
            self.answer(self.read(sample.take(np.arange(start, min(start + BLOCK, sample.n)))))
            for start in range(0, sample.n, BLOCK)
        ]
        return np.concatenate(parts)

    def answer(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return the same for rows of the learner's own matrix."""
        if self.question.is_number:
            if self.model is None:
                return np.full(len(x), float(np.mean(self.y)))
            found = self.model.predict(self._scaled(x[:, self.keep]))
            return np.clip(np.asarray(found, np.float64), self.y.min(), self.y.max())
        out = np.zeros((len(x), len(self.question.labels)))
        if self.model is None:
            out[:] = np.bincount(self.y, minlength=out.shape[1]) / len(self.y)
        else:
            out[:, self.model.classes_] = self.model.predict_proba(self._scaled(x[:, self.keep]))
        return out

    def _scaled(self, x: NDArray[Any]) -> NDArray[Any]:
        return (x - self.centre) / self.scale if self.learner.endswith("regression") else x

    def read(self, sample: Sample) -> NDArray[Any]:
        """Return the matrix that the learner reads, one row per row."""
        view, without = self.question.view, self.question.without
        if self.learner == BOOSTING:
            x: NDArray[Any] = boosting_matrix(view, sample, without)[0]
        elif self.learner == FOREST:
            x = forest_matrix(view, sample, without)
        else:
            x = linear_matrix(view, sample, without)
            x = x.astype(np.float32) if self.learner == NEIGHBOURS else x
        return x

    def _fewer(self, sample: Sample, y: NDArray[Any], seed: int) -> tuple[Sample, NDArray[Any]]:
        """Draw the rows that fit: neighbours take the first, the linear learner has a bound on its matrix."""
        order = self.question.view.rng(seed, "utility", "fewer", self.learner).permutation(sample.n)
        if self.learner != NEIGHBOURS:
            width = self.read(sample.take(order[:1])).shape[1]
            order = np.sort(order[: max(500, LINEAR_CELLS // max(1, width))])
        return sample.take(order), y[order]


@dataclass(frozen=True)
class Trials:
    """The answers of four learners, after real and after synthetic rows, on the holdout.

    best
        The learner that does best after real rows.
    part
        (R,) jackknife group of each tested row.
    """

    question: Question
    fitted: dict[tuple[str, str], Fitted]
    answers: dict[tuple[str, str], Answer]
    best: str
    part: NDArray[np.int64]

    @property
    def learners(self) -> tuple[str, ...]:
        """Names of the learners."""
        return learners_of(self.question)

    def on(self, dataset: str, learner: str, side: str) -> Answer:
        """Return what a model says about the rows of another dataset."""
        asked = self.question
        guess = self.fitted[learner, side].guess(asked.samples[dataset])
        return answer_of(asked, asked.y[dataset], guess, side)


@dataclass(frozen=True)
class Folds:
    """One learner without each fold of its rows: how it then does, by the headline measure.

    holdout
        Per side (k,) on holdout rows.
    inside
        Per side (k,) on the rows left out; NaN where they hold no class to tell.
    across
        (k,) of the real side on synthetic rows.
    tested
        (T,) places, among the tested rows, of those that these models are tested on.
    answers
        Per side the (k,) answers about them.
    scale
        What the variance over folds is multiplied by, for the rows beyond 4,000 that the whole model learned from.
    """

    holdout: dict[str, NDArray[np.float64]]
    inside: dict[str, NDArray[np.float64]]
    across: NDArray[np.float64]
    tested: NDArray[np.int64]
    answers: dict[str, list[Answer]]
    scale: float


def answer_of(question: Question, y: NDArray[Any], guess: NDArray[np.float64], side: str) -> Answer:
    """Return the answer about rows with these labels, of a model that learned from this side."""
    if question.is_number:
        return Answer(y, guess, np.empty(0), [])
    return Answer(y, guess, question.shares(side), question.usable(y))


def trials_of(comparison: Comparison, target: str, seed: int) -> Trials:
    """Train and test four learners on both sides, once for all metrics.

    Raises
    ------
    Unmeasured
        When there is nothing to learn.
    """
    asked = question_of(comparison, target, seed)
    out: Trials = comparison.once(("trials", *asked.key, seed), lambda: _tried(asked, seed))
    return out


def folds_of(comparison: Comparison, question: Question, seed: int, learner: str) -> Folds | None:
    """Train one learner without each fold in turn, once for all metrics; None with fewer subjects than folds."""
    key = ("folds", *question.key, seed, learner)
    out: Folds | None = comparison.once(key, lambda: _folded(question, learner, seed))
    return out


def _tried(question: Question, seed: int) -> Trials:
    fitted, answers = {}, {}
    for learner in learners_of(question):
        for side in SIDES:
            one = Fitted(question, learner, question.samples[side], question.y[side], seed)
            fitted[learner, side] = one
            guess = one.guess(question.samples["holdout"])
            answers[learner, side] = answer_of(question, question.y["holdout"], guess, side)
    best = max(learners_of(question), key=lambda one: answers[one, "train"].value(question.headline))
    rng = question.view.rng(seed, "utility", "jackknife")
    return Trials(question, fitted, answers, best, deal(question.samples["holdout"].group, rng))


def _folded(question: Question, learner: str, seed: int) -> Folds | None:
    rng = question.view.rng(seed, "utility", "folds")
    cut, places = {}, {}
    for key in (*SIDES, "holdout"):
        sample = question.samples[key]
        drawn = np.sort(rng.permutation(sample.n)[: FOLD_TESTED if key == "holdout" else FOLD_ROWS])
        places[key] = drawn
        cut[key] = (sample.take(drawn), question.y[key][drawn])
    if any(len(np.unique(cut[key][0].group)) < FOLDS for key in SIDES):
        return None
    made = np.sort(rng.permutation(cut["synthetic"][0].n)[:FOLD_TESTED])
    headline = question.headline
    n_fold = len(cut["train"][1])
    holdout: dict[str, list[float]] = {key: [] for key in SIDES}
    inside: dict[str, list[float]] = {key: [] for key in SIDES}
    across, answers = [], {key: [] for key in SIDES}  # type: ignore[var-annotated]
    for side in SIDES:
        sample, y = cut[side]
        fold = stratified(sample.group, y, question, rng)
        for k in range(FOLDS):
            kept, left = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            one = Fitted(question, learner, sample.take(kept), y[kept], seed)
            told = answer_of(question, cut["holdout"][1], one.guess(cut["holdout"][0]), side)
            answers[side].append(told)
            holdout[side].append(_headline(told, headline))
            inside[side].append(_headline(answer_of(question, y[left], one.guess(sample.take(left)), side), headline))
            if side == "train":
                other, labels = cut["synthetic"][0].take(made), cut["synthetic"][1][made]
                across.append(_headline(answer_of(question, labels, one.guess(other), side), headline))
    return Folds(
        {key: np.array(values) for key, values in holdout.items()},
        {key: np.array(values) for key, values in inside.items()},
        np.array(across),
        places["holdout"],
        answers,
        n_fold / len(question.y["train"]),
    )


def _headline(answer: Answer, measure: str) -> float:
    if measure == "AUC" and not answer.classes:
        return float("nan")
    return answer.value(measure)


def stratified(
    group: NDArray[np.int64], y: NDArray[Any], question: Question, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Deal whole subjects to folds, alike in the target; return the fold of each row.

    A subject counts under its highest class (the rarest, for a category), or the fourth its mean lies in.
    """
    subjects, number = np.unique(group, return_inverse=True)
    if question.is_number:
        mean = np.bincount(number, y) / np.bincount(number)
        stratum = np.searchsorted(np.quantile(mean, [0.25, 0.5, 0.75]), mean)
    else:
        stratum = np.zeros(len(subjects), np.int64)
        np.maximum.at(stratum, number, y)
    order = np.lexsort((rng.permutation(len(subjects)), stratum))
    fold = np.empty(len(subjects), np.int64)
    fold[order] = np.arange(len(subjects)) % FOLDS
    return fold[number]


# ---------------------------------------------------------------------- what chance does
Part = tuple[NDArray[np.float64], float]  # values without each group, and what their variance is multiplied by


def without_each(part: NDArray[np.int64], measure: Callable[[NDArray[np.float64]], float]) -> NDArray[np.float64]:
    """Return a measure of rows without each jackknife group."""
    return np.array([measure((part != g).astype(np.float64)) for g in range(int(part.max(initial=-1)) + 1)])


def interval(value: float, parts: Iterable[Part], low: float, high: float) -> tuple[float, float] | None:
    """Return the 95 % interval of a value from independent jackknives.

    Returns
    -------
    None where there is none, or one of them has fewer than two groups or is not defined without some group.
    """
    known = list(parts)
    if not known or any(len(one) < 2 or not np.isfinite(one).all() for one, _ in known):
        return None
    variances = np.array([scale * (len(one) - 1) * float(one.var()) for one, scale in known])
    total = float(variances.sum())
    if total <= 0:
        return value, value
    degrees = total**2 / float((variances**2 / np.array([len(one) - 1 for one, _ in known])).sum())
    return clipped(value, float(stats.t.ppf(0.975, degrees)) * total**0.5, low, high)
