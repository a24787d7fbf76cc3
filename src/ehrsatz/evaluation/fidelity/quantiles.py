"""Do the quantiles of a number column lie where the real ones do? The points of a Q-Q plot, and their mean gap.

Points name no real value: a real quantile is shown only where five real subjects stand within the step to which it is
rounded, and on either side of it; steps are 1, 2 or 5 times a power of ten, as the edges in pictures.py.

References: Wilk & Gnanadesikan, Probability plotting methods for the analysis of data, Biometrika 1968,
doi:10.1093/biomet/55.1.1; Hyndman & Fan, Sample quantiles in statistical packages, Am. Stat. 1996,
doi:10.1080/00031305.1996.10473566; Siddiqui, Distribution of quantiles in samples from a bivariate population, J. Res.
NBS 64B, 1960, doi:10.6028/jres.064B.017 (the density at a quantile from a difference of quantiles).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.fidelity.columns import ColumnMetric, Counts, Measure, Tally, tallies
from ehrsatz.evaluation.fidelity.distributions import MOST, quantile, scale
from ehrsatz.evaluation.pictures import FEW, nice
from ehrsatz.evaluation.space import Comparison

LEVELS = np.arange(1, 20) / 20  # 5 % to 95 %
SHOWN = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
MOST_PLOTS = 40
FINEST = 100  # steps between the 5 % and the 95 % quantile, before coarser ones are tried


class Quantiles(ColumnMetric):
    """Mean gap of the quantiles of number columns. Identical data 0, unbounded, less is better.

    The mean over the 5 %, 10 %, ... 95 % quantiles of |synthetic - real|, in units of the interquartile range of the
    holdout (or what `wasserstein` takes where that is zero). Cut at 100 per column.
    """

    name = "quantiles"
    title = "Quantiles"
    high = MOST
    reads = "numbers"
    absent = None
    what = "How far the 5 %, 10 %, ... 95 % quantiles of a synthetic column lie from the real ones."
    blind = "The outermost twentieths of a column; how columns go together."
    reference = "Wilk & Gnanadesikan 1968, doi:10.1093/biomet/55.1.1"

    def _settings(self) -> dict[str, Any]:
        return {"unit": "interquartile range of the holdout; its standard deviation where that is 0", "most": MOST}

    def _measure(self, tally: Tally, a: str, b: str) -> Measure:
        x, first, second = tally.values, tally.counts[a], tally.counts[b]
        unit, name = scale(x, tally.counts["holdout"], second if a == "holdout" else first)
        one, other = quantile(x, first, LEVELS), quantile(x, second, LEVELS)
        value = float(np.abs(one - other).mean()) / unit
        if value > MOST:
            return Measure(MOST, np.zeros(len(x)), np.zeros(len(x)), extra={"unit": name})
        sign = np.sign(one - other) / unit / len(LEVELS)
        up, down = quantile_slope(x, first, one, sign), quantile_slope(x, second, other, -sign)
        return Measure(value, up, down, extra={"unit": name})

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        score = super()._compute(comparison, seed=seed)
        by_name = {(one.feature.table, one.feature.name): one for one in tallies(comparison, seed)}
        for line in score.details["columns"][:MOST_PLOTS]:
            line["points"] = points(by_name[line["table"], line["column"]])
        return score

    def _sentence(self, value: float, worst: str, n: int) -> str:
        return (
            f"Between the lowest and the highest twentieth, quantiles of {n:,} number columns are off by {value:.3f} "
            f"of the width of the real middle half on average, most in '{worst}'."
        )


def quantile_slope(x: NDArray[np.float64], counts: Counts, at: NDArray[np.float64], weight: Counts) -> Counts:
    """Return the slope of a weighted sum of the LEVELS' quantiles: -1(x <= quantile) / density there.

    The density is a difference quotient over n^(-1/3) / 2 on either side; where both ends fall on one value, as in a
    heap, the quantile does not move.
    """
    reach = 0.5 * float(counts.sum()) ** (-1 / 3)
    low, high = np.clip(LEVELS - reach, 0, 1), np.clip(LEVELS + reach, 0, 1)
    sparsity = (quantile(x, counts, high) - quantile(x, counts, low)) / (high - low)
    cut = np.bincount(np.searchsorted(x, at, "right") - 1, -weight * sparsity, minlength=len(x))
    return np.asarray(np.cumsum(cut[::-1])[::-1])


def points(tally: Tally) -> list[list[float]]:
    """Return the points of the Q-Q plot that may be shown: [share below in percent, real, synthetic], both rounded."""
    x, real, made = tally.values, tally.counts["holdout"], tally.counts["synthetic"]
    n = tally.n("holdout")
    if tally.subjects["holdout"] < 2 * FEW or not tally.n("synthetic"):
        return []
    at, other = quantile(x, real, SHOWN), quantile(x, made, SHOWN)
    step = nice(float(at[-1] - at[0]) / FINEST)
    if tally.feature.kind != "number" or bool((x[real > 0] == np.floor(x[real > 0])).all()):
        step = max(1.0, step)
    out = []
    for p, one, two in zip(SHOWN.tolist(), at.tolist(), other.tolist(), strict=True):
        if min(p, 1 - p) * n < FEW:
            continue
        for coarser in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0):
            width = nice(step * coarser)
            middle = round(one / width) * width
            low, high = np.searchsorted(x, [middle - width / 2, middle + width / 2])
            if _stand(tally, low, high) and _stand(tally, 0, high) and _stand(tally, low, len(x)):
                out.append([round(100 * p, 6), float(f"{middle:.12g}"), float(f"{round(two / width) * width:.12g}")])
                break
    return out


def _stand(tally: Tally, low: int, high: int) -> bool:
    """Say whether five real subjects have a value at these places."""
    place = tally.place["holdout"]
    if tally.counts["holdout"][low:high].sum() < FEW:
        return False
    sample = tally.view.samples["holdout"]
    if tally.subjects["holdout"] == tally.n("holdout"):
        return True
    return int((np.bincount(sample.group[(place >= low) & (place < high)]) > 0).sum()) >= FEW
