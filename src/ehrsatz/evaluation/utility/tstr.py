"""Does a model trained on synthetic rows work on real ones? Train on synthetic, test on real, against train on real.

Four learners (gradient boosting, a linear one, a random forest, nearest neighbours) predict the target from all other
columns. Each is trained on as many synthetic as real rows and tested on the same holdout rows: area under the ROC curve
(macro one-against-rest for more than two classes), or R2 for a number.

References: Esteban, Hyland & Raetsch, Real-valued (medical) time series generation with recurrent conditional GANs,
2017, arXiv:1706.02633 (section 4.3); Hand & Till, Machine Learning 45, 2001, doi:10.1023/A:1010920819831; Nadeau &
Bengio, Inference for the generalization error, Machine Learning 52, 2003, doi:10.1023/A:1024068626366 (intervals over
folds).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import clipped, deal
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.utility.trials import FOLDS, Folds, Part, Trials, folds_of, interval, trials_of, without_each

SOURCE = "Esteban et al. 2017, arXiv:1706.02633"


@dataclass(frozen=True)
class Trial:
    """One learner: how it does on the holdout after real and after synthetic training, and the gap."""

    learner: str
    real: float
    synthetic: float
    real_interval: tuple[float, float]
    synthetic_interval: tuple[float, float]
    gap_interval: tuple[float, float]
    folds: Folds | None

    @property
    def gap(self) -> float:
        """How much worse the model from synthetic rows is."""
        return self.real - self.synthetic

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        out: dict[str, Any] = {
            "learner": self.learner,
            "real": self.real,
            "synthetic": self.synthetic,
            "real_interval": list(self.real_interval),
            "synthetic_interval": list(self.synthetic_interval),
            "gap": self.gap,
            "gap_interval": list(self.gap_interval),
        }
        if self.folds is not None:
            out["folds"] = {
                "real": [round(float(x), 4) for x in self.folds.holdout["train"]],
                "synthetic": [round(float(x), 4) for x in self.folds.holdout["synthetic"]],
                "real_mean": float(self.folds.holdout["train"].mean()),
                "synthetic_mean": float(self.folds.holdout["synthetic"].mean()),
            }
        return out


class Tstr(Metric):
    """Score on real rows of a model trained on synthetic ones, by the learner that is better on real data.

    AUC: guessing 0.5, perfect 1; R2: the mean 0, perfect 1. A faithful copy scores as the reference does, which is the
    same learner trained on real rows. More is better.
    """

    name = "tstr"
    title = "Trained on synthetic, tested on real"
    family = "utility"
    theme = "Prediction"
    goal = "maximise"
    low, high, ideal = -1.0, 1.0, 1.0
    needs = frozenset({"rows", "target"})
    what = "Four learners predict the target after synthetic and after real rows; both are tested on unseen real rows."
    blind = "Other targets, and whether the model errs on the same patients."
    reference = SOURCE

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials = trials_of(comparison, str(self.target), seed)
        found = compared(comparison, trials, seed)
        best = next(one for one in found if one.learner == trials.best)
        measure = trials.question.headline
        return Score(
            self.name,
            best.synthetic,
            best.synthetic_interval,
            best.real,
            len(trials.question.y["synthetic"]),
            {**params_of(trials), "learner": best.learner},
            meaning=f"A model trained on synthetic rows reaches {measure} {best.synthetic:.3f} on unseen real rows; "
            f"trained on real rows it reaches {best.real:.3f}.",
            details={
                "trials": [one.to_dict() for one in found],
                "measure": measure,
                "curves": curves_of(trials),
            },
            baseline=0.0 if trials.question.is_number else 0.5,
        )


class TstrGap(Metric):
    """Largest loss, over four learners, from training on synthetic rows. Identical data 0, less is better."""

    name = "tstr_gap"
    title = "Loss from training on synthetic"
    family = "utility"
    theme = "Prediction"
    goal = "minimise"
    low, high, ideal = -2.0, 2.0, 0.0
    needs = frozenset({"rows", "target"})
    what = "The loss of the learner, of four, that loses most by learning from synthetic instead of real rows."
    blind = "Other targets; a gain is no proof of quality, because a copy may be too regular."
    reference = SOURCE

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials = trials_of(comparison, str(self.target), seed)
        found = compared(comparison, trials, seed)
        worst = max(found, key=lambda one: one.gap)
        measure = trials.question.headline
        lost = "loses" if worst.gap >= 0 else "gains"
        return Score(
            self.name,
            worst.gap,
            worst.gap_interval,
            0.0,
            len(trials.question.y["synthetic"]),
            {**params_of(trials), "learner": worst.learner},
            meaning=f"Training on synthetic instead of real rows {lost} {abs(worst.gap):.3f} {measure} "
            f"with {worst.learner}, the learner that fares worst.",
            details={"trials": [one.to_dict() for one in found], "measure": measure},
        )


class Trts(Metric):
    """Score on synthetic rows of a model trained on real ones, by the learner that is best on real data.

    AUC: guessing 0.5, perfect 1; R2: the mean 0, perfect 1. A faithful copy scores as the reference does, which is the
    same model on unseen real rows: less means that the copy lost what predicts, more that it is too regular.
    """

    name = "trts"
    title = "Trained on real, tested on synthetic"
    family = "utility"
    theme = "Prediction"
    goal = "maximise"
    low, high, ideal = -1.0, 1.0, 1.0
    needs = frozenset({"rows", "target"})
    what = "A model that learned from real rows predicts the target of synthetic rows."
    blind = "Variety: a copy of a few typical patients is easy to predict."
    reference = SOURCE

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials = trials_of(comparison, str(self.target), seed)
        asked, best, measure = trials.question, trials.best, trials.question.headline
        found = trials.on("synthetic", best, "train")
        if not asked.is_number and not found.classes:
            raise Unmeasured("Failed: no class of the target has five synthetic rows inside and outside.", "failed")
        if asked.is_number and len(set(asked.y["synthetic"].tolist())) < 2:
            raise Unmeasured("Failed: the target has one value in the synthetic rows.", "failed")
        value, real = found.value(measure), trials.answers[best, "train"].value(measure)
        part = deal(asked.samples["synthetic"].group, asked.view.rng(seed, "utility", "jackknife", "synthetic"))
        spread: list[Part] = [(without_each(part, lambda w: found.value(measure, w)), 1.0)]
        folds = folds_of(comparison, asked, seed, best)
        if folds is not None:
            spread.append((folds.across, folds.scale))
        return Score(
            self.name,
            value,
            interval(value, spread, self.low, self.high),
            real,
            len(asked.y["synthetic"]),
            {**params_of(trials), "learner": best},
            meaning=f"A model trained on real rows reaches {measure} {value:.3f} on synthetic rows; "
            f"on unseen real rows it reaches {real:.3f}.",
            details={"measure": measure, "folds": [] if folds is None else _finite(folds.across)},
            baseline=0.0 if asked.is_number else 0.5,
        )


class Tsts(Metric):
    """Score on synthetic rows of a model trained on other synthetic rows, over five folds.

    AUC: guessing 0.5, perfect 1; R2: the mean 0, perfect 1. A faithful copy scores as the reference does: real rows,
    five folds of the training half. Far more than the reference means that the copy is too regular.
    """

    name = "tsts"
    title = "Trained and tested on synthetic"
    family = "utility"
    theme = "Prediction"
    goal = "maximise"
    low, high, ideal = -1.0, 1.0, 1.0
    needs = frozenset({"rows", "target"})
    what = "Five-fold cross-validation inside the synthetic rows, folds by subject, against the same inside real rows."
    blind = "Whether what is learned holds for real patients."
    reference = "Nadeau & Bengio 2003, doi:10.1023/A:1024068626366"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials = trials_of(comparison, str(self.target), seed)
        folds = folds_of(comparison, trials.question, seed, trials.best)
        if folds is None:
            raise Unmeasured(f"Not measured: fewer than {FOLDS} subjects in train or in synthetic.")
        inside = {key: values[np.isfinite(values)] for key, values in folds.inside.items()}
        if not len(inside["train"]):
            raise Unmeasured("Not measured: no fold of the real rows has five rows inside and outside a class.")
        if not len(inside["synthetic"]):
            raise Unmeasured("Failed: no fold of the synthetic rows has a class that can be told.", "failed")
        value, k = float(inside["synthetic"].mean()), len(inside["synthetic"])
        ends = None
        if k > 1:
            error = (inside["synthetic"].var(ddof=1) * (1 / k + 1 / (FOLDS - 1))) ** 0.5
            ends = clipped(value, float(stats.t.ppf(0.975, k - 1) * error), self.low, self.high)
        real = float(inside["train"].mean())
        measure = trials.question.headline
        return Score(
            self.name,
            value,
            ends,
            real,
            len(trials.question.y["synthetic"]),
            {**params_of(trials), "learner": trials.best},
            meaning=f"Synthetic rows are predicted from other synthetic rows with {measure} {value:.3f}; "
            f"real rows from real rows with {measure} {real:.3f}.",
            details={"measure": measure, "synthetic": _finite(inside["synthetic"]), "real": _finite(inside["train"])},
            baseline=0.0 if trials.question.is_number else 0.5,
        )


def params_of(trials: Trials) -> dict[str, Any]:
    """Return what was set for the trials, for a score."""
    return {"measure": trials.question.headline, **trials.question.params(), "folds": FOLDS}


def compared(comparison: Comparison, trials: Trials, seed: int) -> list[Trial]:
    """Return each learner's score after real and after synthetic rows, with intervals over subjects and folds."""

    def make() -> list[Trial]:
        return [_trial(comparison, trials, one, seed) for one in trials.learners]

    out: list[Trial] = comparison.once(("compared", *trials.question.key, seed), make)
    return out


def _trial(comparison: Comparison, trials: Trials, learner: str, seed: int) -> Trial:
    measure = trials.question.headline
    folds = folds_of(comparison, trials.question, seed, learner)
    real, synthetic = (trials.answers[learner, side] for side in ("train", "synthetic"))
    a, b = (without_each(trials.part, partial(one.value, measure)) for one in (real, synthetic))
    mine = {side: [] if folds is None else [(folds.holdout[side], folds.scale)] for side in ("train", "synthetic")}
    x, y = real.value(measure), synthetic.value(measure)

    def around(value: float, parts: list[Part], low: float, high: float) -> tuple[float, float]:
        return interval(value, parts, low, high) or (value, value)

    return Trial(
        learner,
        x,
        y,
        around(x, [(a, 1.0), *mine["train"]], -1.0, 1.0),
        around(y, [(b, 1.0), *mine["synthetic"]], -1.0, 1.0),
        around(x - y, [(a - b, 1.0), *mine["train"], *mine["synthetic"]], -2.0, 2.0),
        folds,
    )


def curves_of(trials: Trials) -> dict[str, Any]:
    """Return ROC and precision-recall curves of the best learner at 21 points, mean over classes; none for a number."""
    if trials.question.is_number:
        return {}
    out: dict[str, Any] = {"learner": trials.best}
    for name, side in (("real", "train"), ("synthetic", "synthetic")):
        ordered = trials.answers[trials.best, side].ordered
        out[name] = {
            "roc": np.mean([one.roc() for one in ordered], axis=0).round(4).tolist(),
            "precision_recall": np.mean([one.precision_recall() for one in ordered], axis=0).round(4).tolist(),
        }
    return out


def _finite(values: Any) -> list[float]:
    return [round(float(x), 4) for x in values if np.isfinite(x)]
