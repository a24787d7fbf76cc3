"""How good predictions are, under row weights: formulas alone, no training.

Classes are called as often as they occur in the rows that the model learned from: of two classes the rows with the
highest probability of the positive one, up to its share; of more, the class with the highest probability after one
factor per class that gives these shares. Thus a rare outcome is called at all, and no label of a tested row is used.
Measures of one class are averaged over classes (macro); a class that is never called has precision 0 there.

References: Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27, 2006,
doi:10.1016/j.patrec.2005.10.010; Davis & Goadrich, ICML 2006, doi:10.1145/1143844.1143874 (precision and recall);
Brier, Monthly Weather Review 78, 1950; Hand & Till, Machine Learning 45, 2001, doi:10.1023/A:1010920819831.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.intervals import Ranked

Weight = NDArray[np.float64] | None
POINTS = np.linspace(0, 1, 21)
OF_CALLS = ("accuracy", "precision", "recall", "specificity", "F1")
OF_CLASSES = ("AUC", "average precision", *OF_CALLS, "Brier score")
OF_NUMBERS = ("R2", "RMSE", "MAE")


class Ordered:
    """Scores of rows with a yes or no, sorted once from the highest, for many weighted curves."""

    def __init__(self, positive: NDArray[np.bool_], score: NDArray[np.float64]) -> None:
        self.order = np.argsort(-score, kind="stable")
        ordered = score[self.order]
        self.last = np.r_[np.flatnonzero(ordered[1:] != ordered[:-1]), len(score) - 1]
        self.positive = positive[self.order]

    def counts(self, weight: Weight = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the weight of positive and of negative rows at or above each distinct score."""
        w = np.ones(len(self.order)) if weight is None else weight[self.order]
        return np.cumsum(w * self.positive)[self.last], np.cumsum(w * ~self.positive)[self.last]

    def average_precision(self, weight: Weight = None) -> float:
        """Return the sum of precision times the step of recall; NaN where no row is positive."""
        up, down = self.counts(weight)
        if up[-1] <= 0:
            return float("nan")
        precision = up / np.maximum(up + down, 1e-300)
        return float((np.diff(up, prepend=0.0) * precision).sum() / up[-1])

    def roc(self) -> list[float]:
        """Return the true positive rate at false positive rates 0, 0.05, ..., 1."""
        up, down = self.counts()
        return [
            round(float(x), 4)
            for x in np.interp(POINTS, np.r_[0, down / max(down[-1], 1)], np.r_[0, up / max(up[-1], 1)])
        ]

    def precision_recall(self) -> list[float]:
        """Return the precision at the first score that reaches recall 0, 0.05, ..., 1."""
        up, down = self.counts()
        place = np.searchsorted(up / max(up[-1], 1), POINTS - 1e-12).clip(0, len(up) - 1)
        return [round(float(x), 4) for x in (up / (up + down))[place]]


class Answer:
    """What one model says about labelled rows, with every measure of it under row weights.

    y
        (R,) class numbers 0..K-1, or numbers.
    guess
        (R, K) probabilities, or (R,) numbers.
    shares
        (K,) share of each class among the rows that the model learned from; empty for a number.
    classes
        The classes that measures of one class are averaged over.
    """

    def __init__(
        self, y: NDArray[Any], guess: NDArray[np.float64], shares: NDArray[np.float64], classes: list[int]
    ) -> None:
        self.y, self.guess, self.shares, self.classes = y, guess, shares, classes

    def value(self, measure: str, weight: Weight = None) -> float:
        """Return one measure; NaN where it is not defined."""
        if measure in OF_CALLS:
            return self._of_calls(measure, weight)
        return _MEASURES[measure](self, weight)

    @cached_property
    def ranked(self) -> list[Ranked]:
        """Rows in the order of their probability, per class."""
        return [Ranked(self.y == k, self.guess[:, k]) for k in self.classes]

    @cached_property
    def ordered(self) -> list[Ordered]:
        """Rows in the order of their probability, from the highest, per class."""
        return [Ordered(self.y == k, self.guess[:, k]) for k in self.classes]

    @cached_property
    def called(self) -> NDArray[np.int64]:
        """The class that is called for each row, (R,)."""
        return call(self.guess, self.shares, self.classes[0] if self.guess.shape[1] == 2 and self.classes else None)

    def confusion(self, weight: Weight = None) -> NDArray[np.float64]:
        """Return the weight of rows by class (rows) and called class (columns), (K, K)."""
        k = len(self.shares)
        flat = np.bincount(self.y * k + self.called, weight, minlength=k * k)
        return flat.reshape(k, k).astype(np.float64)

    def _of_calls(self, measure: str, weight: Weight) -> float:
        table = self.confusion(weight)
        whole = table.sum()
        hit = np.diag(table)
        if measure == "accuracy":
            return float(hit.sum() / whole)
        real, called = table.sum(axis=1), table.sum(axis=0)
        up, down = {
            "precision": (hit, called),
            "recall": (hit, real),
            "specificity": (whole - real - called + hit, whole - real),
            "F1": (2 * hit, real + called),
        }[measure]
        up, down = up[self.classes], down[self.classes]
        if measure == "precision" and len(self.classes) > 1:
            down = np.where(down > 0, down, 1.0)
        if not len(down) or (down <= 0).any():
            return float("nan")
        return float((up / down).mean())


def call(guess: NDArray[np.float64], shares: NDArray[np.float64], positive: int | None) -> NDArray[np.int64]:
    """Call one class per row, each class as often as its share among the rows that the model learned from.

    Parameters
    ----------
    guess
        (R, K) probabilities.
    shares
        (K,) wanted shares.
    positive
        Of two classes the one whose probability is cut at one height; ties are called alike.

    Returns
    -------
    (R,) class numbers.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    >>> call(p, np.array([0.75, 0.25]), 1).tolist()
    [0, 0, 0, 1]
    """
    if positive is not None:
        score = guess[:, positive]
        values, counts = np.unique(-score, return_counts=True)
        reached = np.r_[0, np.cumsum(counts)]
        best = int(np.abs(reached - shares[positive] * len(score)).argmin())
        is_called = np.zeros(len(score), bool) if best == 0 else -score <= values[best - 1]
        return np.where(is_called, positive, 1 - positive).astype(np.int64)
    odds, want = np.log(np.maximum(guess, 1e-12)), np.log(np.maximum(shares, 1e-12))
    factor = np.where(shares > 0, 0.0, -np.inf)
    step = 0.5
    called = (odds + factor).argmax(axis=1)
    nearest, kept = float("inf"), called
    for _ in range(60):
        found = np.bincount(called, minlength=len(shares)) / len(called)
        off = float(np.abs(found - shares).sum())
        if off < nearest:
            nearest, kept = off, called
        factor = factor + step * (want - np.log(np.maximum(found, 0.5 / len(called))))
        step *= 0.95
        called = (odds + factor).argmax(axis=1)
    return kept.astype(np.int64)


def _auc(one: Answer, weight: Weight) -> float:
    return float(np.mean([ranked.auc(weight) for ranked in one.ranked]))


def _average_precision(one: Answer, weight: Weight) -> float:
    return float(np.mean([ordered.average_precision(weight) for ordered in one.ordered]))


def _brier(one: Answer, weight: Weight) -> float:
    """Half the squared distance of probabilities from what came, so that 0 is perfect and 1 the worst."""
    hit = np.zeros_like(one.guess)
    hit[np.arange(len(one.y)), one.y] = 1.0
    return float(np.average(((one.guess - hit) ** 2).sum(axis=1) / 2, weights=weight))


def _r2(one: Answer, weight: Weight) -> float:
    """Share of the variance that the prediction explains, not below -1."""
    w = np.ones(len(one.y)) if weight is None else weight
    total = (w * (one.y - (w * one.y).sum() / w.sum()) ** 2).sum()
    if total <= 0:
        return 0.0
    return max(-1.0, float(1 - (w * (one.y - one.guess) ** 2).sum() / total))


def _rmse(one: Answer, weight: Weight) -> float:
    return float(np.sqrt(np.average((one.y - one.guess) ** 2, weights=weight)))


def _mae(one: Answer, weight: Weight) -> float:
    return float(np.average(np.abs(one.y - one.guess), weights=weight))


_MEASURES: dict[str, Callable[[Answer, Weight], float]] = {
    "AUC": _auc,
    "average precision": _average_precision,
    "Brier score": _brier,
    "R2": _r2,
    "RMSE": _rmse,
    "MAE": _mae,
}
