"""Would a statistician conclude the same? Five measures over the coefficients of the formulas that the user writes.

Each coefficient but the intercept counts once. Real is the fit to the training rows; the reference is the same measure
with holdout rows in place of synthetic ones, which is what a further real sample of that size scores. A coefficient
that the synthetic rows give no estimate for counts as no agreement.

References: Karr et al., The American Statistician 60, 2006, doi:10.1198/000313006X124640 (overlap); Raab, Nowok &
Dibben, Guidelines for producing useful synthetic data, 2017, arXiv:1712.04078 (standardised difference).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.utility.coefficients import (
    FAR,
    Measure,
    Pair,
    details_of,
    interval_of,
    mean_of,
    overlap,
    pairs_of,
    params_of,
    same_conclusion,
    same_sign,
    same_significance,
    standardised,
)


class Estimate(Metric):
    """Base of the measures over coefficients; a subclass names its measure and says what it means."""

    family = "utility"
    theme = "Estimates"
    needs = frozenset({"rows", "formulas"})
    measure: ClassVar[Measure]

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        pairs, without = pairs_of(comparison, self.task.formulas, self.task.copies)
        measure = type(self).measure
        value = mean_of(pairs, measure)
        if value is None:
            raise Unmeasured("Not measured: the real data show no effect, no coefficient is significant.")
        return Score(
            self.name,
            value,
            interval_of(pairs, measure, seed, self.low, self.high),
            mean_of(pairs, measure, "holdout"),
            sum(pair.synthetic.n for pair in pairs) // len(pairs),
            params_of(pairs),
            meaning=self._meaning(pairs, value),
            details=self._details(pairs, without),
            baseline=self._baseline(pairs),
        )

    def _meaning(self, pairs: list[Pair], value: float) -> str:
        raise NotImplementedError

    def _baseline(self, pairs: list[Pair]) -> float:
        raise NotImplementedError

    def _details(self, pairs: list[Pair], without: dict[str, str]) -> dict[str, Any]:
        verdicts = [one["verdict"] for part in details_of(pairs, {})["formulas"] for one in part["coefficients"]]
        tally = {word: verdicts.count(word) for word in dict.fromkeys(verdicts)}
        return {"verdicts": tally, "unanswered": without}


class CoefficientBias(Estimate):
    """Mean distance of synthetic from real coefficients, in real standard errors.

    Identical data 0; another real sample of the same size about 1.1; columns drawn independently: the mean of the real
    coefficients' own z-values. Less is better. Coefficients without a synthetic estimate are not in the mean.
    """

    name = "coefficient_bias"
    title = "Distance of coefficients"
    goal = "minimise"
    low, high, ideal = 0.0, FAR, 0.0
    what = "Fits each formula to real and to synthetic rows and takes |synthetic - real| over the real standard error."
    blind = "Questions that no formula asks; coefficients that the synthetic rows cannot estimate."
    reference = "Raab, Nowok & Dibben 2017, arXiv:1712.04078"
    measure = standardised

    def _meaning(self, pairs: list[Pair], value: float) -> str:
        return (
            f"On average a coefficient from synthetic rows is {value:.1f} real standard errors away from the real one."
        )

    def _baseline(self, pairs: list[Pair]) -> float:
        return _mean(pairs, lambda pair: np.minimum(np.abs(pair.real.estimate) / pair.real.error, FAR))


class IntervalOverlap(Estimate):
    """Mean overlap of the 95 % intervals of synthetic and real coefficients.

    Identical data 1 (one copy), intervals that do not meet 0, more is better. Several copies have the wider intervals
    of the combining rule: identical copies then reach 0.85 to 1.
    """

    name = "interval_overlap"
    title = "Overlap of confidence intervals"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    what = "Length of the shared part over the length of each interval, averaged over both and over coefficients."
    blind = "Questions that no formula asks; wide intervals overlap easily."
    reference = "Karr et al. 2006, doi:10.1198/000313006X124640"
    measure = overlap

    def _meaning(self, pairs: list[Pair], value: float) -> str:
        return f"Confidence intervals from synthetic rows share {100 * value:.0f} % of their length with the real ones."

    def _baseline(self, pairs: list[Pair]) -> float:
        return _mean(pairs, lambda pair: np.maximum(0.0, 1 - np.abs(pair.real.estimate) / (2 * pair.real.reach)))


class SignAgreement(Estimate):
    """Share of the effects of the real data that point the same way in synthetic rows.

    Effects are the coefficients whose real 95 % interval leaves out zero; the sign of others is chance in real data
    too. Identical data 1, unrelated about 0.5, more is better.
    """

    name = "sign_agreement"
    title = "Same sign"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    what = "Compares the signs of synthetic and real coefficients, where the real one is significant."
    blind = "Sizes; effects that the real data do not show."
    reference = "Raab, Nowok & Dibben 2017, arXiv:1712.04078"
    measure = same_sign

    def _meaning(self, pairs: list[Pair], value: float) -> str:
        n = sum(int((np.abs(pair.real.estimate) > pair.real.reach).sum()) for pair in pairs)
        return f"{round(value * n)} of {n} effects of the real data point the same way in the synthetic rows."

    def _baseline(self, pairs: list[Pair]) -> float:
        return 0.5


class SignificanceAgreement(Estimate):
    """Share of coefficients that are significant, or not, in both. Identical data 1, more is better.

    Unrelated data score the share of real coefficients without significance.
    """

    name = "significance_agreement"
    title = "Same significance"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    what = "Compares whether the 95 % interval of a coefficient leaves out zero."
    blind = "Direction and size; estimates near the border of significance fall either way in real data too."
    reference = "Raab, Nowok & Dibben 2017, arXiv:1712.04078"
    measure = same_significance

    def _meaning(self, pairs: list[Pair], value: float) -> str:
        return f"For {_counted(pairs, value)} the decision 'significant or not' is the same as in the real data."

    def _baseline(self, pairs: list[Pair]) -> float:
        return _mean(pairs, lambda pair: np.where(np.abs(pair.real.estimate) <= pair.real.reach, 0.95, 0.05))


class SameConclusion(Estimate):
    """Share of coefficients with the same significance and the synthetic estimate inside the real 95 % interval.

    A significant coefficient inside the real interval has the sign of the real one; where neither is significant the
    sign is chance and not asked for. Identical data 1, unrelated data the share of real coefficients without
    significance or a little less; more is better. The details hold the table: term, real and synthetic estimate,
    interval and p-value, overlap, verdict in words.
    """

    name = "same_conclusion"
    title = "Same conclusion"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    what = "Asks of each coefficient whether significance, sign of an effect and size (in the real interval) agree."
    blind = "Questions that no formula asks; whether the formula is the right one."
    reference = "Karr et al. 2006, doi:10.1198/000313006X124640"
    measure = same_conclusion

    def _meaning(self, pairs: list[Pair], value: float) -> str:
        return f"{_counted(pairs, value)} lead to the same conclusion as in the real data: sign, significance and size."

    def _baseline(self, pairs: list[Pair]) -> float:
        def chance(pair: Pair) -> Any:
            low, high = ((pair.real.estimate + way * pair.real.reach) / pair.real.error for way in (-1, 1))
            inside = np.minimum(0.95, ndtr(high) - ndtr(low))
            return np.where(np.abs(pair.real.estimate) <= pair.real.reach, inside, 0.0)

        return _mean(pairs, chance)

    def _details(self, pairs: list[Pair], without: dict[str, str]) -> dict[str, Any]:
        return {**super()._details(pairs, without), **details_of(pairs, without)}


def _counted(pairs: list[Pair], value: float) -> str:
    n = sum(len(pair.terms) for pair in pairs)
    return f"{round(value * n)} of {n} coefficient{'s' if n > 1 else ''}"


def _mean(pairs: list[Pair], of: Callable[[Pair], Any]) -> float:
    return float(np.concatenate([np.asarray(of(pair), np.float64) for pair in pairs]).mean())
