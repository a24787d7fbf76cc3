"""Does a model trained on synthetic rows work on real ones? Train on synthetic, test on real, against train on real.

Gradient boosting and a linear learner predict the target from all other columns. Both are trained on as many synthetic
as real rows and tested on the same holdout rows: area under the ROC curve (macro one-against-rest for more than two
classes), or R2 for a number. Intervals resample holdout subjects, the same for both models.

References: Esteban, Hyland & Raetsch, Real-valued (medical) time series generation with recurrent conditional GANs,
2017, arXiv:1706.02633 (section 4.3); Hand & Till, Machine Learning 45, 2001, doi:10.1023/A:1010920819831.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import Ranked, Z, weights
from ehrsatz.evaluation.learners import boost, boosting_matrix, line, linear_matrix, varying
from ehrsatz.evaluation.space import Comparison, Feature, Sample, View

MAX_ROWS = 20_000
MAX_CELLS = 2_000_000
MAX_CLASSES = 20
LEAST = 5  # holdout rows inside and outside a class, below which it is left out


@dataclass(frozen=True)
class Trial:
    """One learner: how it does on the holdout after real and after synthetic training, and the gap."""

    learner: str
    real: float
    synthetic: float
    real_interval: tuple[float, float]
    synthetic_interval: tuple[float, float]
    gap_interval: tuple[float, float]

    @property
    def gap(self) -> float:
        """How much worse the model from synthetic rows is."""
        return self.real - self.synthetic

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "learner": self.learner,
            "real": self.real,
            "synthetic": self.synthetic,
            "real_interval": list(self.real_interval),
            "synthetic_interval": list(self.synthetic_interval),
            "gap": self.gap,
            "gap_interval": list(self.gap_interval),
        }


class Tstr(Metric):
    """Score on real rows of a model trained on synthetic ones, by the learner that is better on real data.

    AUC: guessing 0.5, perfect 1; R2: the mean 0, perfect 1. A faithful copy scores as the reference does, which is the
    same learner trained on real rows. More is better.
    """

    name = "tstr"
    title = "Trained on synthetic, tested on real"
    family = "utility"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows", "target"})
    reference = "Esteban et al. 2017, arXiv:1706.02633"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials, params = trials_of(comparison, str(self.target), seed)
        best = max(trials, key=lambda one: one.real)
        measure = params["measure"]
        return Score(
            self.name,
            best.synthetic,
            best.synthetic_interval,
            best.real,
            params["rows"],
            {**params, "learner": best.learner},
            meaning=f"A model trained on synthetic rows reaches {measure} {best.synthetic:.3f} on unseen real rows; "
            f"trained on real rows it reaches {best.real:.3f}.",
            details={"trials": [one.to_dict() for one in trials], "measure": measure},
        )


class TstrGap(Metric):
    """Largest loss, over two learners, from training on synthetic rows. Identical data 0, less is better."""

    name = "tstr_gap"
    title = "Loss from training on synthetic"
    family = "utility"
    goal = "minimise"
    low, high, ideal = -1.0, 1.0, 0.0
    needs = frozenset({"rows", "target"})
    reference = "Esteban et al. 2017, arXiv:1706.02633"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials, params = trials_of(comparison, str(self.target), seed)
        worst = max(trials, key=lambda one: one.gap)
        lost = "loses" if worst.gap >= 0 else "gains"
        return Score(
            self.name,
            worst.gap,
            worst.gap_interval,
            0.0,
            params["rows"],
            {**params, "learner": worst.learner},
            meaning=f"Training on synthetic instead of real rows {lost} {abs(worst.gap):.3f} {params['measure']} "
            f"with {worst.learner}, the learner that fares worse.",
            details={"trials": [one.to_dict() for one in trials], "measure": params["measure"]},
        )


def trials_of(comparison: Comparison, target: str, seed: int) -> tuple[list[Trial], dict[str, Any]]:
    """Train and test both learners, once for both metrics."""

    def make() -> tuple[list[Trial], dict[str, Any]]:
        view, feature = comparison.locate(target)
        return _trials(comparison, view, feature, seed)

    out: tuple[list[Trial], dict[str, Any]] = comparison.once(("trials", target, seed), make)
    return out


def _trials(comparison: Comparison, view: View, feature: Feature, seed: int) -> tuple[list[Trial], dict[str, Any]]:
    without = frozenset({feature.name, *_determined_with(comparison, view, feature)})
    n_inputs = len(view.features) - len(without)
    if n_inputs < 1:
        raise Unmeasured("Not measured: there is no column to predict the target from.")
    kept, labels, number = _labels(view, feature)
    cap = max(500, min(MAX_ROWS, MAX_CELLS // n_inputs))
    n = min(cap, kept["train"].n, kept["synthetic"].n)
    rows = {
        "holdout": view.rng(seed, "utility", "rows", "holdout").permutation(kept["holdout"].n)[:cap],
        "train": view.rng(seed, "utility", "rows", "learn").permutation(kept["train"].n)[:n],
        "synthetic": view.rng(seed, "utility", "rows", "learn").permutation(kept["synthetic"].n)[:n],
    }
    part = {key: kept[key].take(np.sort(index)) for key, index in rows.items()}
    y = {key: labels[key][np.sort(index)] for key, index in rows.items()}
    measure = _R2(y["holdout"]) if number else _MacroAuc(y["holdout"])
    draws = weights(part["holdout"].group, view.rng(seed, "utility", "bootstrap"))
    names = ("gradient boosting", "ridge regression" if number else "logistic regression")
    trials = []
    for name in names:
        boosting = name == names[0]
        matrices = {
            key: boosting_matrix(view, one, without)[0] if boosting else linear_matrix(view, one, without)
            for key, one in part.items()
        }
        is_category = boosting_matrix(view, part["holdout"], without)[1] if boosting else []
        keep = varying(*matrices.values())
        is_category = [flag for flag, used in zip(is_category, keep) if used]
        scores = {}
        for key in ("train", "synthetic"):
            guess = _predict(
                matrices[key][:, keep], y[key], matrices["holdout"][:, keep], is_category, boosting, number, seed
            )
            scores[key] = measure.scores(guess, np.unique(y[key]) if not number else y[key])
        trials.append(_trial(name, scores, measure, draws))
    params = {
        "target": feature.name,
        "table": view.name,
        "measure": "R2" if number else "AUC",
        "rows": int(n),
        "rows_tested": int(part["holdout"].n),
        "left_out": sorted(without - {feature.name}),
    }
    return trials, params


def _trial(name: str, scores: dict[str, Any], measure: _R2 | _MacroAuc, draws: list[NDArray[np.float64]]) -> Trial:
    real, synthetic = measure.value(scores["train"]), measure.value(scores["synthetic"])
    a = np.array([measure.value(scores["train"], w) for w in draws])
    b = np.array([measure.value(scores["synthetic"], w) for w in draws])

    def around(value: float, spread: NDArray[np.float64]) -> tuple[float, float]:
        reach = Z * float(spread.std(ddof=1))
        return value - reach, min(1.0, value + reach)

    return Trial(name, real, synthetic, around(real, a), around(synthetic, b), around(real - synthetic, a - b))


def _labels(view: View, feature: Feature) -> tuple[dict[str, Sample], dict[str, NDArray[Any]], bool]:
    """Return the rows with a usable target, the target (class numbers or a number), and whether it is a number."""
    kept, labels = {}, {}
    if feature.is_number:
        real = np.concatenate([view.samples[key].raw[:, feature.slot] for key in ("train", "holdout")])
        classes = np.unique(real[~np.isnan(real)])
        number = len(classes) > 2
        for key, sample in view.samples.items():
            x = sample.raw[:, feature.slot]
            used = ~np.isnan(x) if number else np.isin(x, classes)
            kept[key] = sample.take(np.flatnonzero(used))
            labels[key] = x[used] if number else np.searchsorted(classes, x[used])
    else:
        number = False
        if len(feature.levels) > MAX_CLASSES:
            raise Unmeasured(f"Not measured: the target has more than {MAX_CLASSES} classes.")
        for key, sample in view.samples.items():
            codes = sample.codes[:, feature.slot]
            used = (codes > 0) & (codes <= len(feature.levels))
            kept[key] = sample.take(np.flatnonzero(used))
            labels[key] = codes[used].astype(np.int64)
    for key in ("train", "holdout"):
        if len(np.unique(labels[key])) < 2:
            raise Unmeasured(f"Not measured: the target has fewer than two values in {key}.")
    if kept["synthetic"].n < 10:
        raise Unmeasured("Failed: fewer than ten synthetic rows have a usable target.", "failed")
    return kept, labels, number


def _determined_with(comparison: Comparison, view: View, feature: Feature) -> set[str]:
    """Return columns that fix the target by a constraint of the schema: a sum it is part of, or a dependency."""
    table = next((one for one in comparison.schema.tables if one.name == view.name), None)
    out: set[str] = set()
    for one in table.constraints if table is not None else ():
        if feature.name in one.columns and one.kind in {"sum", "dependency"} and "when" not in one.params:
            out |= set(one.columns) - {feature.name}
    names = {one.name for one in view.features}
    return out & names if len(names) - len(out & names) > 1 else set()


def _predict(
    x: NDArray[np.float64],
    y: NDArray[Any],
    x_test: NDArray[np.float64],
    is_category: list[bool],
    boosting: bool,
    number: bool,
    seed: int,
) -> NDArray[np.float64]:
    """Return predictions (R,) of a number, or class probabilities (R, classes in y); constant where y or x is."""
    if len(np.unique(y)) < 2 or not x.shape[1]:
        if number:
            return np.full(len(x_test), float(np.mean(y)))
        return np.tile(np.unique(y, return_counts=True)[1] / len(y), (len(x_test), 1))
    if boosting:
        model = boost(x, y, is_category, seed=seed, number=number)
    else:
        centre, scale = x.mean(axis=0), x.std(axis=0)
        scale[scale == 0] = 1.0
        x, x_test = (x - centre) / scale, (x_test - centre) / scale
        model = line(x, y, number=number)
    return np.asarray(model.predict(x_test) if number else model.predict_proba(x_test))


class _MacroAuc:
    """Mean over classes of the AUC of that class against the rest; of two classes, one AUC."""

    def __init__(self, y: NDArray[np.int64]) -> None:
        self.y = y
        classes, counts = np.unique(y, return_counts=True)
        usable = classes[(counts >= LEAST) & (len(y) - counts >= LEAST)]
        if not len(usable):
            raise Unmeasured(f"Not measured: no class of the target has {LEAST} holdout rows inside and outside.")
        self.classes = usable[-1:] if len(classes) == 2 else usable

    def scores(self, probabilities: NDArray[np.float64], known: NDArray[np.int64]) -> list[Ranked]:
        """Rank the rows once per class; a class the model never saw gets the same score everywhere."""
        place = {int(one): i for i, one in enumerate(known)}
        return [
            Ranked(self.y == one, probabilities[:, place[int(one)]] if int(one) in place else np.zeros(len(self.y)))
            for one in self.classes
        ]

    def value(self, scores: list[Ranked], weight: NDArray[np.float64] | None = None) -> float:
        """Return the macro AUC under row weights."""
        return float(np.mean([one.auc(weight) for one in scores]))


class _R2:
    """Share of the variance of a number that the prediction explains."""

    def __init__(self, y: NDArray[np.float64]) -> None:
        self.y = y

    def scores(self, guess: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the predictions, within the range of the training target."""
        return np.clip(guess, known.min(), known.max())

    def value(self, scores: NDArray[np.float64], weight: NDArray[np.float64] | None = None) -> float:
        """Return R2 under row weights, not below -1."""
        w = np.ones(len(self.y)) if weight is None else weight
        mean = (w * self.y).sum() / w.sum()
        total = (w * (self.y - mean) ** 2).sum()
        if total <= 0:
            return 0.0
        return max(-1.0, float(1 - (w * (self.y - scores) ** 2).sum() / total))
