"""Do synthetic rows beside the real ones make a better model? Train with and without them, test on unseen real rows.

The learner is the better one, after real rows, of gradient boosting and the linear one. The reference adds further real
rows instead: half of the holdout, tested on the other half, then the halves change places.

References: Frid-Adar et al., Neurocomputing 321, 2018, doi:10.1016/j.neucom.2018.09.013 (augmentation with synthetic
rows); He & Garcia, Learning from imbalanced data, IEEE TKDE 21, 2009, doi:10.1109/TKDE.2008.239 (the rarest class).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score
from ehrsatz.evaluation.intervals import deal
from ehrsatz.evaluation.space import Comparison, Sample
from ehrsatz.evaluation.utility.measures import Answer, Weight
from ehrsatz.evaluation.utility.question import Question
from ehrsatz.evaluation.utility.trials import Fitted, Trials, answer_of, interval, trials_of, without_each
from ehrsatz.evaluation.utility.tstr import params_of

MAX_ROWS = 10_000  # of each side


class AugmentationGain(Metric):
    """What synthetic rows add to real ones, in AUC or R2 on real rows. No use 0; more is better, below 0 they harm.

    Identical data add nothing, unrelated data harm.
    """

    name = "augmentation_gain"
    title = "Gain from adding synthetic rows"
    family = "utility"
    theme = "Prediction"
    goal = "maximise"
    low, high, ideal = -2.0, 2.0, 0.0
    needs = frozenset({"rows", "target"})
    what = "Skill on real rows of a model from real and synthetic rows together, less that of one from real rows alone."
    blind = "Other mixtures: here as many synthetic as real rows are added, of all classes alike."
    reference = "Frid-Adar et al. 2018, doi:10.1016/j.neucom.2018.09.013"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials = trials_of(comparison, str(self.target), seed)
        asked, measure = trials.question, trials.question.headline
        learner = max(trials.learners[:2], key=lambda one: trials.answers[one, "train"].value(measure))
        mine, rows = _first(trials, learner, seed)
        synthetic = _cut(asked, "synthetic", rows, seed)
        alone = trials.answers[learner, "train"] if mine is None else _test(asked, mine, "holdout")
        real = _cut(asked, "train", rows, seed)
        with_more = Fitted(asked, learner, *_joined(real, synthetic), seed)
        both = _test(asked, with_more, "holdout")
        value = both.value(measure) - alone.value(measure)
        spread = without_each(trials.part, lambda w: both.value(measure, w) - alone.value(measure, w))
        further = _further(asked, alone, learner, real, seed)
        added = "adds" if value >= 0 else "takes away"
        beside = "" if further is None else f"; half as many further real rows change it by {further:+.3f}"
        rare, told = _rarest(asked, alone, both, trials)
        return Score(
            self.name,
            value,
            interval(value, [(spread, 1.0)], self.low, self.high),
            further,
            len(synthetic[1]),
            {**params_of(trials), "learner": learner, "rows_added": len(synthetic[1])},
            meaning=f"Adding synthetic rows to the real ones {added} {abs(value):.3f} {measure} on unseen real rows"
            f"{beside}{told}.",
            details={
                "measure": measure,
                "alone": alone.value(measure),
                "with_synthetic": both.value(measure),
                "rarest": rare,
            },
            baseline=0.0,
        )


def _first(trials: Trials, learner: str, seed: int) -> tuple[Fitted | None, int]:
    """Return a model of at most 10,000 real rows, None where the one that is there learned from no more."""
    asked = trials.question
    rows = min(MAX_ROWS, len(asked.y["train"]))
    if rows == len(asked.y["train"]):
        return None, rows
    return Fitted(asked, learner, *_cut(asked, "train", rows, seed), seed), rows


def _cut(asked: Question, dataset: str, rows: int, seed: int) -> tuple[Sample, NDArray[Any]]:
    rng = asked.view.rng(seed, "augmentation", dataset)
    drawn = np.sort(rng.permutation(len(asked.y[dataset]))[:rows])
    return asked.samples[dataset].take(drawn), asked.y[dataset][drawn]


def _joined(a: tuple[Sample, NDArray[Any]], b: tuple[Sample, NDArray[Any]]) -> tuple[Sample, NDArray[Any]]:
    first, second = a[0], b[0]
    return Sample(
        np.concatenate([first.raw, second.raw]),
        np.concatenate([first.rank, second.rank]),
        np.concatenate([first.codes, second.codes]),
        np.concatenate([first.group, second.group + first.group.max(initial=-1) + 1]),
    ), np.concatenate([a[1], b[1]])


def _test(asked: Question, model: Fitted, dataset: str) -> Answer:
    return answer_of(asked, asked.y[dataset], model.guess(asked.samples[dataset]), "train")


def _further(
    asked: Question, alone: Answer, learner: str, real: tuple[Sample, NDArray[Any]], seed: int
) -> float | None:
    """Return what half of the holdout adds, tested on the other half, mean of both ways; None where a class lacks."""
    sample, y = asked.samples["holdout"], asked.y["holdout"]
    side = deal(sample.group, asked.view.rng(seed, "augmentation", "halves"), 2)
    gains = []
    for one in (0, 1):
        extra, left = np.flatnonzero(side == one), np.flatnonzero(side != one)
        extra = extra[: max(1, MAX_ROWS // 2)]
        before = answer_of(asked, y[left], alone.guess[left], "train")
        if len(np.unique(y[left])) < 2 or (not asked.is_number and not before.classes):
            return None
        model = Fitted(asked, learner, *_joined(real, (sample.take(extra), y[extra])), seed)
        after = answer_of(asked, y[left], model.guess(sample.take(left)), "train")
        gains.append(after.value(asked.headline) - before.value(asked.headline))
    return float(np.mean(gains)) if gains else None


def _rarest(asked: Question, alone: Answer, both: Answer, trials: Trials) -> tuple[dict[str, Any] | None, str]:
    """Return what the rarest class gains, and a clause about it."""
    if asked.is_number:
        return None, ""
    here = asked.shares("holdout")
    k = min(alone.classes, key=lambda one: here[one])
    place = alone.classes.index(k)
    entry: dict[str, Any] = {"class": asked.labels[k], "share": float(here[k])}
    of_class: tuple[tuple[str, OfClass], ...] = (("AUC", _auc), ("average_precision", _average_precision))
    for name, value in of_class:
        before, after = value(alone, place, None), value(both, place, None)
        spread = without_each(trials.part, partial(_gain, value, alone, both, place))
        ends = interval(after - before, [(spread, 1.0)], -1.0, 1.0)
        entry[name] = {
            "alone": before,
            "with_synthetic": after,
            "gain": after - before,
            "interval": None if ends is None else list(ends),
        }
    return entry, f"; the rarest class gains {entry['average_precision']['gain']:+.3f} average precision"


OfClass = Callable[[Answer, int, Weight], float]


def _auc(answer: Answer, place: int, weight: Weight = None) -> float:
    return answer.ranked[place].auc(weight)


def _average_precision(answer: Answer, place: int, weight: Weight = None) -> float:
    return answer.ordered[place].average_precision(weight)


def _gain(value: OfClass, alone: Answer, both: Answer, place: int, weight: Weight) -> float:
    return value(both, place, weight) - value(alone, place, weight)
