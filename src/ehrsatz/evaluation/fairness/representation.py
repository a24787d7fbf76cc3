"""Is each subgroup there in its real share? Shares of groups, and log disparity of groups and of pairs of groups.

Log disparity is the logarithm of the ratio of odds of belonging to a group, synthetic against real: 0 where the share
is right, below 0 where the group is under-represented. As in the paper a difference counts where it is significant
(test of two proportions, Benjamini-Hochberg over all groups at 5 %) and larger than -log(0.9); beyond -log(0.8) it is
strong. What differs: several rows of one subject widen the test by their design effect, and where all or none of the
rows are in a group half a row is added to each count (Haldane), so that a lost group has a number; it is named.

References: Bhanot, Qi, Erickson, Guyon & Bennett, The problem of fairness in synthetic healthcare data, Entropy 23(9),
2021, doi:10.3390/e23091165; Qi et al., JAMIA Open 4(3), 2021, doi:10.1093/jamiaopen/ooab077; Benjamini & Hochberg, JRSS
B 57, 1995, doi:10.1111/j.2517-6161.1995.tb02031.x; Kish, Survey Sampling, 1965, section 8.2 (design effect).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.evaluation.base import Metric, Score
from ehrsatz.evaluation.fairness.subjects import MAX_PAIRS, Part, divisions_of, parts_of
from ehrsatz.evaluation.intervals import Z, clipped
from ehrsatz.evaluation.space import Comparison

MILD, STRONG = -math.log(0.9), -math.log(0.8)
ALPHA = 0.05
SHOWN = 100


@dataclass(frozen=True)
class Share:
    """How many rows of a dataset are in a group, and by how much repeated subjects widen its variance."""

    hits: int
    n: int
    design: float

    @property
    def value(self) -> float:
        """The share."""
        return self.hits / self.n

    @property
    def log_odds(self) -> float:
        """Logarithm of the odds; half a row is added to both counts where one of them is empty."""
        a, b = float(self.hits), float(self.n - self.hits)
        return math.log((a + 0.5) / (b + 0.5)) if min(a, b) == 0 else math.log(a / b)

    @property
    def log_odds_variance(self) -> float:
        """Variance of the logarithm of the odds."""
        a, b = float(self.hits), float(self.n - self.hits)
        a, b = (a + 0.5, b + 0.5) if min(a, b) == 0 else (a, b)
        return self.design * (1 / a + 1 / b)


class Representation(Metric):
    """Largest difference of a subgroup's share, synthetic against real. Identical data 0, less is better.

    Columns drawn independently keep their shares: they score 0 too.
    """

    name = "representation"
    title = "Share of each subgroup"
    family = "fairness"
    theme = "Representation"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    tells = frozenset()
    what = "Share of each subgroup among synthetic and among unseen real rows; the largest difference."
    blind = "A small group that is lost altogether moves its share little: see log_disparity."
    reference = "Bhanot et al. 2021, doi:10.3390/e23091165"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        parts = parts_of(divisions_of(comparison, self.task), pairs=False)
        shares = [shares_of(one) for one in parts]
        gaps = [abs(one["synthetic"].value - one["holdout"].value) for one in shares]
        worst = int(np.argmax(gaps))
        mine = shares[worst]
        reach = Z * math.sqrt(sum(_variance(mine[key]) for key in ("synthetic", "holdout")))
        gone = [part.name for part, one in zip(parts, shares) if not one["synthetic"].hits]
        lost = "" if not gone else f" Vanished: {', '.join(gone[:5])}{' and others' if len(gone) > 5 else ''}."
        return Score(
            self.name,
            gaps[worst],
            clipped(gaps[worst], reach, 0.0, 1.0),
            max(abs(one["train"].value - one["holdout"].value) for one in shares),
            mine["synthetic"].n,
            {"groups": len(parts)},
            meaning=f"The subgroup whose share is off most, '{parts[worst].name}', makes up "
            f"{100 * mine['synthetic'].value:.1f} % of synthetic rows and {100 * mine['holdout'].value:.1f} % of real "
            f"ones.{lost}",
            details={
                "groups": [
                    {
                        "group": part.name,
                        "column": part.columns[0],
                        "real": one["holdout"].value,
                        "train": one["train"].value,
                        "synthetic": one["synthetic"].value,
                        "vanished": not one["synthetic"].hits,
                    }
                    for part, one in list(zip(parts, shares))[:SHOWN]
                ],
                "vanished": gone[:SHOWN],
                "worst": parts[worst].name,
            },
        )


class LogDisparity(Metric):
    """Largest significant log disparity over subgroups and pairs of subgroups, either way. 0 where none is significant.

    Identical data 0, a group at half its odds 0.69, a lost group the more the larger it was; less is better. Columns
    drawn independently keep the shares of single groups, not of pairs.
    """

    name = "log_disparity"
    title = "Log disparity of subgroups"
    family = "fairness"
    theme = "Representation"
    goal = "minimise"
    low, high, ideal = 0.0, 1e9, 0.0
    what = "Logarithm of the ratio of odds of being in a subgroup, or in two at once; the largest that is significant."
    blind = "Groups with fewer than 20 real rows in each half; what the rows of a group say."
    reference = "Bhanot et al. 2021, doi:10.3390/e23091165"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        divisions = divisions_of(comparison, self.task)
        parts = parts_of(divisions, pairs=True)
        shares = [shares_of(one) for one in parts]
        found = disparities(shares, "synthetic")
        counted = [abs(one.value) if one.is_significant else 0.0 for one in found]
        worst = int(np.argmax(counted))
        value, n_off = counted[worst], sum(one.is_significant and abs(one.value) >= MILD for one in found)
        gone = [part.name for part, one in zip(parts, shares) if not one["synthetic"].hits]
        reach = Z * found[worst].error
        way = "under" if found[worst].value < 0 else "over"
        told = (
            f"{n_off} of {len(parts)} subgroups, alone or two at once, have a share that is off significantly by a "
            f"tenth or more; most of all '{parts[worst].name}', which is {way}-represented."
            if n_off
            else f"None of {len(parts)} subgroups, alone or two at once, has a share that is off significantly."
            if value == 0
            else f"None of {len(parts)} subgroups, alone or two at once, is off by a tenth of its odds."
        )
        fair = [abs(one.value) for one in disparities(shares, "train") if one.is_significant]
        order = np.argsort([-abs(one.value) for one in found], kind="stable")[:SHOWN]
        return Score(
            self.name,
            value,
            (max(0.0, value - reach), value + reach) if value > 0 else None,
            max(fair, default=0.0),
            shares[worst]["synthetic"].n,
            {
                "groups": len(parts),
                "columns": [one.column for one in divisions],
                "most_pairs": MAX_PAIRS,
                "significance": ALPHA,
                "mild": MILD,
                "strong": STRONG,
            },
            meaning=told,
            details={
                "groups": [_entry(parts[i], shares[i], found[i]) for i in order.tolist()],
                "counts": _counts(found, shares),
                "vanished": gone[:SHOWN],
            },
        )


@dataclass(frozen=True)
class Disparity:
    """Log disparity of one group, its standard error, and the p value of the test before and after adjustment."""

    value: float
    error: float
    p: float
    adjusted: float

    @property
    def is_significant(self) -> bool:
        """Whether the shares differ after adjustment for the number of groups."""
        return self.adjusted < ALPHA


def shares_of(part: Part) -> dict[str, Share]:
    """Return the share of a group in each dataset."""
    out = {}
    for key, sample in part.view.samples.items():
        hit = part.rows[key]
        p = float(hit.mean())
        design = 1.0
        n_subjects = part.subjects[key]
        if 1 < n_subjects < sample.n and 0 < p < 1:
            total = np.bincount(sample.group, hit - p)
            spread = float((total**2).sum()) * n_subjects / (n_subjects - 1) / sample.n**2
            design = max(1.0, spread / (p * (1 - p) / sample.n))
        out[key] = Share(int(hit.sum()), sample.n, design)
    return out


def disparities(shares: list[dict[str, Share]], dataset: str) -> list[Disparity]:
    """Return the log disparity of each group, a dataset against the holdout, with p values adjusted together."""
    values, errors, p = [], [], []
    for one in shares:
        mine, real = one[dataset], one["holdout"]
        values.append(mine.log_odds - real.log_odds)
        errors.append(math.sqrt(mine.log_odds_variance + real.log_odds_variance))
        p.append(two_proportions(mine, real))
    return [Disparity(*row) for row in zip(values, errors, p, adjusted(np.array(p)).tolist())]


def two_proportions(a: Share, b: Share) -> float:
    """Return the p value of the test of two proportions with pooled variance, widened by the design effects."""
    pooled = (a.hits + b.hits) / (a.n + b.n)
    variance = pooled * (1 - pooled) * (a.design / a.n + b.design / b.n)
    return 1.0 if variance <= 0 else float(2 * stats.norm.sf(abs(a.value - b.value) / math.sqrt(variance)))


def adjusted(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p values after Benjamini & Hochberg.

    Examples
    --------
    >>> adjusted(np.array([0.01, 0.02, 0.9])).round(3).tolist()
    [0.03, 0.03, 0.9]
    """
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    out = np.empty(len(p))
    out[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return out


def standing(one: Disparity, share: Share) -> str:
    """Say in words how a group stands."""
    if not share.hits:
        return "vanished"
    if not one.is_significant or abs(one.value) < MILD:
        return "as real"
    side = "under-represented" if one.value < 0 else "over-represented"
    return side if abs(one.value) >= STRONG else f"slightly {side}"


def _counts(found: list[Disparity], shares: list[dict[str, Share]]) -> dict[str, int]:
    out: dict[str, int] = {}
    for one, share in zip(found, shares):
        name = standing(one, share["synthetic"])
        out[name] = out.get(name, 0) + 1
    return dict(sorted(out.items()))


def _entry(part: Part, share: dict[str, Share], one: Disparity) -> dict[str, Any]:
    return {
        "group": part.name,
        "columns": list(part.columns),
        "real": round(share["holdout"].value, 5),
        "synthetic": round(share["synthetic"].value, 5),
        "log_disparity": round(one.value, 4),
        "p": round(one.adjusted, 6),
        "standing": standing(one, share["synthetic"]),
    }


def _variance(share: Share) -> float:
    p = (share.hits + 1) / (share.n + 2)  # from shrinking to a point where a group is empty
    return share.design * p * (1 - p) / share.n
