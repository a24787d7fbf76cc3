"""Do the probabilities of a model from synthetic rows hold for real ones? Expected calibration error, slope, intercept.

Tested rows are cut into ten bins of equal size by predicted probability (equal probabilities stay together); the error
is the mean distance of predicted from observed shares, weighted by rows. Slope and intercept come from a logistic
regression of what came on the log odds of the prediction: slope 1 and intercept 0 are perfect, a slope below 1 means
probabilities too near 0 and 1, an intercept below 0 probabilities too high.

References: Naeini, Cooper & Hauskrecht, AAAI 2015, doi:10.1609/aaai.v29i1.9602; Nixon et al., Measuring calibration in
deep learning, 2019, arXiv:1904.01685 (bins of equal size); Cox, Biometrika 45, 1958, doi:10.1093/biomet/45.3-4.562;
Van Calster et al., BMC Medicine 17, 2019, doi:10.1186/s12916-019-1466-7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.utility.measures import Answer, Weight
from ehrsatz.evaluation.utility.trials import Part, Trials, folds_of, interval, trials_of, without_each
from ehrsatz.evaluation.utility.tstr import params_of
from ehrsatz.schema import MIN_SUBJECTS

BINS = 10
EDGE = 1e-6  # probabilities are kept this far from 0 and 1 before log odds are taken


class Calibration(Metric):
    """Expected calibration error on real rows of the model from synthetic ones. Perfect 0, identical data as reference.

    Less is better. Unrelated data need not score badly: a model that tells every patient the average is calibrated.
    """

    name = "calibration"
    title = "Calibration, trained on synthetic"
    family = "utility"
    theme = "Calibration"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    needs = frozenset({"rows", "target"})
    tells = frozenset()
    what = "Mean distance of predicted from observed shares over ten groups of real rows by predicted probability."
    blind = "Skill: a model that tells every patient the average is calibrated."
    reference = "Van Calster et al. 2019, doi:10.1186/s12916-019-1466-7"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials = trials_of(comparison, str(self.target), seed)
        asked, best = trials.question, trials.best
        if asked.is_number:
            raise Unmeasured("Not measured: the target is a number, not a class.")
        synthetic, real = (trials.answers[best, side] for side in ("synthetic", "train"))
        value, reference = error_of(synthetic), error_of(real)
        spread: list[Part] = [(without_each(trials.part, lambda w: error_of(synthetic, w)), 1.0)]
        folds = folds_of(comparison, asked, seed, best)
        if folds is not None:
            spread.append((np.array([error_of(one) for one in folds.answers["synthetic"]]), folds.scale))
        return Score(
            self.name,
            value,
            interval(value, spread, self.low, self.high),
            reference,
            len(asked.y["synthetic"]),
            {**params_of(trials), "measure": "expected calibration error", "learner": best, "bins": BINS},
            meaning=f"On real rows the probabilities of a model trained on synthetic rows are off by "
            f"{100 * value:.1f} points on average; trained on real rows by {100 * reference:.1f}.",
            details=_details(trials),
        )


def error_of(answer: Answer, weight: Weight = None) -> float:
    """Return the expected calibration error, the mean over classes."""
    return float(np.mean([expected_error(answer.y == k, answer.guess[:, k], weight) for k in answer.classes]))


def bins_of(p: NDArray[np.float64], n: int = BINS) -> NDArray[np.int64]:
    """Return the bin of each row by predicted probability: bins of equal size, equal probabilities together."""
    edges = np.quantile(p, np.arange(1, n) / n, method="higher") if len(p) else np.empty(0)
    return np.searchsorted(np.unique(edges), p, side="right")


def expected_error(positive: NDArray[np.bool_], p: NDArray[np.float64], weight: Weight = None) -> float:
    """Return the mean distance of predicted from observed share over bins, weighted by rows.

    Examples
    --------
    >>> round(expected_error(np.array([False, True] * 20), np.full(40, 0.7)), 3)
    0.2
    """
    w = np.ones(len(p)) if weight is None else weight
    place = bins_of(p)
    return float(np.abs(np.bincount(place, w * p) - np.bincount(place, w * positive)).sum() / w.sum())


def slope_of(positive: NDArray[np.bool_], p: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """Return slope and intercept of calibration, and the intercept with slope 1 (calibration in the large).

    Returns
    -------
    None where a class is absent, the prediction is constant, or it separates the classes.
    """
    q = np.clip(p, EDGE, 1 - EDGE)
    x = np.log(q / (1 - q))
    y = positive.astype(np.float64)
    if y.min(initial=1.0) == y.max(initial=0.0) or np.ptp(x) < 1e-9:
        return None
    both = _newton(np.column_stack([x, np.ones(len(x))]), y, np.zeros(len(x)))
    large = _newton(np.ones((len(x), 1)), y, x)
    if both is None or large is None:
        return None
    return float(both[0]), float(both[1]), float(large[0])


def _newton(x: NDArray[np.float64], y: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the coefficients of a logistic regression with an offset, by Newton's method; None without a maximum."""
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        mean = 1 / (1 + np.exp(-np.clip(x @ beta + offset, -500, 500)))
        bend = x.T @ (x * (mean * (1 - mean))[:, None])
        if not np.isfinite(bend).all() or np.linalg.cond(bend) > 1e12:
            return None
        step = np.linalg.solve(bend, x.T @ (y - mean))
        beta = beta + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-10:
            return beta
    return None


def _details(trials: Trials) -> dict[str, Any]:
    asked, best = trials.question, trials.best
    group = asked.samples["holdout"].group
    classes = []
    for k in trials.answers[best, "train"].classes:
        entry: dict[str, Any] = {"class": asked.labels[k]}
        for name, side in (("real", "train"), ("synthetic", "synthetic")):
            p, positive = trials.answers[best, side].guess[:, k], asked.y["holdout"] == k
            found = slope_of(positive, p)
            entry[name] = {
                "error": expected_error(positive, p),
                "slope": None if found is None else found[0],
                "intercept": None if found is None else found[1],
                "in_the_large": None if found is None else found[2],
                "points": _points(positive, p, group),
            }
        classes.append(entry)
    learners = [
        {"learner": one, **{name: error_of(trials.answers[one, side]) for name, side in _SIDES}}
        for one in trials.learners
    ]
    return {"classes": classes, "trials": learners}


_SIDES = (("real", "train"), ("synthetic", "synthetic"))


def _points(positive: NDArray[np.bool_], p: NDArray[np.float64], group: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return mean prediction and observed share of each bin of at least five subjects."""
    place = bins_of(p)
    out = []
    for one in np.unique(place):
        inside = place == one
        if len(np.unique(group[inside])) >= MIN_SUBJECTS:
            out.append(
                {
                    "predicted": round(float(p[inside].mean()), 4),
                    "observed": round(float(positive[inside].mean()), 4),
                    "rows": int(inside.sum()),
                }
            )
    return out
