"""How well a model from synthetic rows predicts real ones, one measure at a time, against the model from real rows.

The learner is the one that does best after real rows; the four learners' figures stand in the details. How classes are
called is said in measures.py: as often as they occur in the rows that the model learned from.

References: Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27, 2006,
doi:10.1016/j.patrec.2005.10.010; Saito & Rehmsmeier, PLoS ONE 10(3), 2015, doi:10.1371/journal.pone.0118432 (average
precision where a class is rare); Brier, Monthly Weather Review 78, 1950.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.utility.measures import OF_CALLS, OF_NUMBERS, Answer
from ehrsatz.evaluation.utility.trials import Part, Trials, folds_of, interval, trials_of, without_each
from ehrsatz.evaluation.utility.tstr import params_of

CALLED = "each class as often as in the rows learned from"


class Measured(Metric):
    """One measure of the best learner: after synthetic rows the value, after real rows the reference."""

    family = "utility"
    theme = "Prediction"
    needs = frozenset({"rows", "target"})
    reference = "Fawcett 2006, doi:10.1016/j.patrec.2005.10.010"
    measure: ClassVar[str]
    says: ClassVar[str]  # a sentence with {value} and {real}

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials = trials_of(comparison, str(self.target), seed)
        asked, best = trials.question, trials.best
        if asked.is_number != (self.measure in OF_NUMBERS):
            kind = "a number, not a class" if asked.is_number else "a class, not a number"
            raise Unmeasured(f"Not measured: the target is {kind}.")
        value, real = (trials.answers[best, side].value(self.measure) for side in ("synthetic", "train"))
        if not math.isfinite(value):
            raise Unmeasured(
                "Failed: the model trained on synthetic rows never calls the class that is looked for.", "failed"
            )
        spread: list[Part] = [
            (without_each(trials.part, lambda w: trials.answers[best, "synthetic"].value(self.measure, w)), 1.0)
        ]
        folds = folds_of(comparison, asked, seed, best)
        of_folds = [] if folds is None else [one.value(self.measure) for one in folds.answers["synthetic"]]
        if folds is not None:
            spread.append((np.array(of_folds), folds.scale))
        params = {**params_of(trials), "measure": self.measure, "learner": best}
        if self.measure in OF_CALLS:
            params["called"] = CALLED
        real_told = f"{real:.3f}" if math.isfinite(real) else "none"
        return Score(
            self.name,
            value,
            interval(value, spread, self.low, self.high),
            real if math.isfinite(real) else None,
            len(asked.y["synthetic"]),
            params,
            meaning=self.says.format(value=f"{value:.3f}", real=real_told, target=asked.feature.name),
            details=self._details(trials, of_folds),
            baseline=guessing(trials, self.measure),
        )

    def _details(self, trials: Trials, of_folds: list[float]) -> dict[str, Any]:
        asked = trials.question
        rows = []
        for learner in trials.learners:
            real, synthetic = (trials.answers[learner, side].value(self.measure) for side in ("train", "synthetic"))
            rows.append({"learner": learner, "real": _known(real), "synthetic": _known(synthetic)})
        out: dict[str, Any] = {
            "measure": self.measure,
            "trials": rows,
            "folds": [round(one, 4) for one in of_folds if math.isfinite(one)],
        }
        if self.measure == "accuracy":
            out["confusion"] = {
                "classes": list(asked.labels),
                "real": shares_of_calls(trials.answers[trials.best, "train"]),
                "synthetic": shares_of_calls(trials.answers[trials.best, "synthetic"]),
            }
        return out


class TstrAveragePrecision(Measured):
    """Area under the precision-recall curve. Identical data: as the reference; guessing: the share of the class."""

    name = "tstr_average_precision"
    title = "Average precision, trained on synthetic"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    what = "Precision averaged over recall, on real rows, of a model from synthetic rows; the mean over classes."
    blind = "Whether the probabilities themselves are right; see calibration."
    reference = "Davis & Goadrich 2006, doi:10.1145/1143844.1143874"
    measure = "average precision"
    says = "Trained on synthetic rows, a model finds the cases of '{target}' with average precision {value}; "
    says += "trained on real rows {real}."


class TstrAccuracy(Measured):
    """Share of real rows whose class is called right. Identical data: as the reference; unrelated: near guessing."""

    name = "tstr_accuracy"
    title = "Accuracy, trained on synthetic"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    tells = frozenset()  # where a class is rare, calling it never is accurate
    what = "Share of real rows that a model from synthetic rows puts into the right class."
    blind = "A rare class: missing all of it costs little accuracy."
    measure = "accuracy"
    says = "Trained on synthetic rows, a model puts a share of {value} of real rows into their class of '{target}'; "
    says += "trained on real rows {real}."


class TstrPrecision(Measured):
    """Share of calls that are right. Identical data: as the reference; guessing: the share of the class."""

    name = "tstr_precision"
    title = "Precision, trained on synthetic"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    tells = frozenset()
    what = "Of the real rows that a model from synthetic rows calls, the share called rightly; mean over classes."
    blind = "The cases that are not called; see recall."
    measure = "precision"
    says = "Of the real rows that a model trained on synthetic rows calls, a share of {value} is right; "
    says += "trained on real rows {real}."


class TstrRecall(Measured):
    """Share of cases that are called (sensitivity). Identical data: as the reference; guessing: the share called."""

    name = "tstr_recall"
    title = "Recall (sensitivity), trained on synthetic"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    tells = frozenset()
    what = "Of the real cases, the share that a model from synthetic rows finds (sensitivity); mean over classes."
    blind = "False alarms; see precision and specificity."
    measure = "recall"
    says = "A model trained on synthetic rows finds a share of {value} of the real cases of '{target}'; "
    says += "trained on real rows {real}."


class TstrSpecificity(Measured):
    """Share of non-cases that are left alone. Identical data: as the reference; guessing: the share not called."""

    name = "tstr_specificity"
    title = "Specificity, trained on synthetic"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    tells = frozenset()
    what = "Of real rows outside a class, the share that a model from synthetic rows leaves outside; mean over classes."
    blind = "Cases missed; see recall."
    measure = "specificity"
    says = "A model trained on synthetic rows rightly leaves out a share of {value} of the real rows that are no case; "
    says += "trained on real rows {real}."


class TstrF1(Measured):
    """Harmonic mean of precision and recall. Identical data: as the reference; unrelated: near guessing."""

    name = "tstr_f1"
    title = "F1, trained on synthetic"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    tells = frozenset()
    what = "Harmonic mean of precision and recall on real rows of a model from synthetic rows; mean over classes."
    blind = "Rows rightly left alone."
    measure = "F1"
    says = "Trained on synthetic rows, a model reaches F1 {value} on real rows; trained on real rows {real}."


class TstrBrier(Measured):
    """Squared error of probabilities, halved. Perfect 0, identical data: as the reference, worst 1; less is better."""

    name = "tstr_brier"
    title = "Brier score, trained on synthetic"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    tells = frozenset()
    what = "Mean squared distance of the predicted probabilities from what came, halved over the classes."
    blind = "Which part is poor ranking and which poor calibration."
    reference = "Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2"
    measure = "Brier score"
    says = "The probabilities of a model trained on synthetic rows have a Brier score of {value} on real rows; "
    says += "trained on real rows {real}."


class TstrRmse(Measured):
    """Root mean squared error, in the target's unit. Perfect 0, identical data: as the reference; less is better."""

    name = "tstr_rmse"
    title = "Root mean squared error, trained on synthetic"
    goal = "minimise"
    low, high, ideal = 0.0, 1e9, 0.0
    what = "Root mean squared error on real rows of a model from synthetic rows, in the unit of the target."
    blind = "Whether a few rows make most of it; see the mean absolute error."
    measure = "RMSE"
    says = "A model trained on synthetic rows is off by {value} (root mean square) in '{target}' of real rows; "
    says += "trained on real rows by {real}."


class TstrMae(Measured):
    """Mean absolute error, in the target's unit. Perfect 0, identical data: as the reference; less is better."""

    name = "tstr_mae"
    title = "Mean absolute error, trained on synthetic"
    goal = "minimise"
    low, high, ideal = 0.0, 1e9, 0.0
    tells = frozenset()  # with a skewed target the mean, which is all that unrelated columns teach, is a fair guess
    what = "Mean absolute error on real rows of a model from synthetic rows, in the unit of the target."
    blind = "Rare large errors."
    measure = "MAE"
    says = "A model trained on synthetic rows is off by {value} on average in predicting '{target}' of real rows; "
    says += "trained on real rows by {real}."


def guessing(trials: Trials, measure: str) -> float | None:
    """Return what a guess without any column scores, that knows the training half's shares or mean.

    Accuracy: always the commonest class. Calls: at random, each class as often as it occurs. Probabilities: the shares.
    Numbers: the mean.
    """
    asked = trials.question
    y = asked.y["holdout"]
    if asked.is_number:
        flat = Answer(y, np.full(len(y), float(np.mean(asked.y["train"]))), np.empty(0), [])
        return flat.value(measure)
    learned, here = asked.shares("train"), asked.shares("holdout")
    answer = trials.answers[trials.best, "train"]
    p, q = here[answer.classes], learned[answer.classes]
    if measure == "AUC":
        return 0.5
    if measure == "accuracy":
        return float(here[int(learned.argmax())])
    if measure == "Brier score":
        return Answer(y, np.tile(learned, (len(y), 1)), learned, answer.classes).value(measure)
    found = {"average precision": p, "precision": p, "recall": q, "specificity": 1 - q, "F1": 2 * p * q / (p + q)}
    return float(found[measure].mean())


def shares_of_calls(answer: Answer) -> list[list[float]]:
    """Return of each class (rows) the shares called this and that (columns); a class without rows has none."""
    table = answer.confusion()
    return [[round(float(x), 4) for x in row / row.sum()] if row.sum() > 0 else [] for row in table]


def _known(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
