"""Record-level identity disclosure, the risk that the 0.09 of EMA Policy 0070 and Health Canada limits.

For a training subject s with quasi-identifiers shared by f_s training and F_s real subjects (both halves stand for the
population, N of them): I_s says whether some synthetic row has the same quasi-identifiers, R_s whether such a row also
states something of s that is new, that is a sensitive value that is right and that could not be guessed: a level that
is not the commonest, or a number nearer than 1.48 median absolute deviations. The average risk is the larger of

    sum over s of (1 / f_s) I_s R_s / N      and      sum over s of (1 / F_s) I_s R_s / n

(the attacker goes from the population to the sample, or back). The largest risk is the largest 1 / F_s with I_s = 1.

What differs from El Emam, Mosquera & Bass (JMIR 22, 2020, doi:10.2196/23139): matches are taken to be verified without
error (their factor for errors is 1, which is cautious), the real table stands for the population, so N is small and the
first term is larger than theirs, one sensitive column that is learned suffices, and the two conditions of "new" are
those given here. The same risk is measured for people whom the generator never saw: what they face too is the price of
the statistics.

References: El Emam et al. 2020; European Medicines Agency, External guidance on Policy 0070, EMA/90915/2016, chapter 3;
Health Canada, Public release of clinical information: guidance, 2019 (threshold 0.09).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import Z
from ehrsatz.evaluation.privacy.anonymity import subjects_in
from ehrsatz.evaluation.privacy.attacks import MAX_SECRETS, quasi_columns, secret_columns
from ehrsatz.evaluation.privacy.neighbours import keys
from ehrsatz.evaluation.space import MISSING_RANK, Comparison, Feature, View
from ehrsatz.evaluation.task import Task

LIMIT = 0.09
REACH = 1.48


@dataclass(frozen=True)
class Risk:
    """Risk of the subjects of one half.

    Parameters
    ----------
    average
        The larger of the two directions.
    matched, learned
        Share of subjects with a synthetic row of the same quasi-identifiers, and with one that states something new.
    largest
        Largest 1 / F_s of the matched.
    above
        Share of subjects whose own risk, (1 / F_s) I_s R_s, is above the limit.
    spread
        Standard error of the average.
    """

    average: float
    matched: float
    learned: float
    largest: float
    above: float
    spread: float
    n: int


class IdentityRisk(Metric):
    """Average risk that a training subject is matched and something new is learned; the usual limit is 0.09.

    0 where no quasi-identifiers match, 1 for a copy of train in which they single everybody out; a fresh sample scores
    about its reference, the same for people never seen.
    """

    name = "identity_risk"
    title = "Identity disclosure, average"
    family = "privacy"
    theme = "Anonymity"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    tells = frozenset()
    what = (
        "Training subjects whose quasi-identifiers a synthetic row has and of whom it states something right that "
        "could not be guessed, weighted by one over the number of people who share the quasi-identifiers."
    )
    blind = "It rests on which columns are called quasi-identifiers; matches with people never seen are chance."
    reference = "El Emam et al. 2020, doi:10.2196/23139"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        view, known, risks = _worst(comparison, self.task)
        one, other = risks["train"], risks["holdout"]
        low, high = max(0.0, one.average - Z * one.spread), min(1.0, one.average + Z * one.spread)
        reach = Z * float(np.hypot(one.spread, other.spread))
        gap = one.average - other.average
        return Score(
            self.name,
            one.average,
            (low, high),
            other.average,
            view.samples["synthetic"].n,
            {"quasi": [f.name for f in known], "table": view.name, "limit": LIMIT},
            meaning="The risk that a training subject is matched by the quasi-identifiers and something new is learned "
            f"is {100 * one.average:.2f} % on average; for people never seen it is {100 * other.average:.2f} % (usual "
            "limit: 9 %).",
            details={**_told(risks), "excess": gap, "excess_interval": [gap - reach, gap + reach]},
        )


class IdentityRiskMax(Metric):
    """Largest risk of a training subject who is matched: 1 over the people who share the quasi-identifiers.

    1 as soon as a synthetic row matches somebody unique, by copying or by chance; the usual limit is 0.09.
    """

    name = "identity_risk_max"
    title = "Identity disclosure, largest"
    family = "privacy"
    theme = "Anonymity"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    tells = frozenset()
    what = "One over the smallest number of real subjects who share quasi-identifiers that a synthetic row has too."
    blind = "A chance match counts like a copy: the reference, people never seen, says what chance gives."
    reference = "EMA, External guidance on Policy 0070, EMA/90915/2016"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        view, known, risks = _worst(comparison, self.task)
        one, other = risks["train"], risks["holdout"]
        if one.largest == 0:
            raise Unmeasured("Not measured: no synthetic row has the quasi-identifiers of a training subject.")
        return Score(
            self.name,
            one.largest,
            None,
            other.largest,
            view.samples["synthetic"].n,
            {"quasi": [f.name for f in known], "table": view.name, "limit": LIMIT},
            meaning=f"The rarest training subject whom a synthetic row fits shares the quasi-identifiers with "
            f"{_others(round(1 / one.largest) - 1)}: a largest risk of {one.largest:.2f} (usual limit: 0.09); "
            f"for people never seen it is {other.largest:.2f}.",
            details=_told(risks),
        )


def _others(n: int) -> str:
    return "nobody else" if n == 0 else "one other real person" if n == 1 else f"{n} other real people"


def _told(risks: dict[str, Risk]) -> dict[str, object]:
    one, other = risks["train"], risks["holdout"]
    return {
        "matched": {"train": one.matched, "holdout": other.matched},
        "learned": {"train": one.learned, "holdout": other.learned},
        "largest": {"train": one.largest, "holdout": other.largest},
        "above_limit": {"train": one.above, "holdout": other.above},
    }


def _worst(comparison: Comparison, task: Task) -> tuple[View, tuple[Feature, ...], dict[str, Risk]]:
    def make() -> tuple[View, tuple[Feature, ...], dict[str, Risk]]:
        found = [
            (view, known, {key: risk_of(view, known, secret_columns(view, task), key) for key in ("train", "holdout")})
            for view in comparison.joint
            if (known := quasi_columns(view, task))
        ]
        if not found:
            raise Unmeasured("Not measured: no column is named, or marked in the schema, as a quasi-identifier.")
        return max(found, key=lambda one: one[2]["train"].average - one[2]["holdout"].average)

    out: tuple[View, tuple[Feature, ...], dict[str, Risk]] = comparison.once(
        ("identity risk", task.quasi, task.secrets), make
    )
    return out


def risk_of(view: View, known: tuple[Feature, ...], secrets: tuple[Feature, ...], key: str) -> Risk:
    """Measure the risk of the subjects of one half; of a subject with several rows the row at most risk counts.

    Parameters
    ----------
    view
        The table.
    known
        Quasi-identifiers.
    secrets
        Sensitive columns; where there are none, a match is counted as learning.
    key
        "train" or "holdout".
    """
    code = keys(view, known)
    own = view.samples[key]
    shift = int(view.samples["train"].group.max(initial=-1)) + 1
    _, number = np.unique(np.concatenate([code["train"], code["holdout"]]), return_inverse=True)
    group = np.concatenate([view.samples["train"].group, view.samples["holdout"].group + shift])
    population = subjects_in(number, group)
    n_train = view.samples["train"].n
    mine = number[:n_train] if key == "train" else number[n_train:]
    _, dense = np.unique(mine, return_inverse=True)
    sample = subjects_in(dense, own.group)[dense]  # f_s of each row
    matched = np.isin(code[key], code["synthetic"])
    new = matched.copy()
    if secrets:
        new &= np.any([_learned(view, code, one, key) for one in secrets[:MAX_SECRETS]], axis=0)
    subject = np.unique(own.group, return_inverse=True)[1]
    n = int(subject.max()) + 1

    def by_subject(row: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.zeros(n)
        np.maximum.at(out, subject, row)
        return out

    weight = population[mine]
    f, big = by_subject(new / sample), by_subject(new / weight)
    total = len(np.unique(group))
    ways = (f * n / total, big)
    worst = max(ways, key=lambda each: float(each.mean()))
    return Risk(
        float(worst.mean()),
        float(by_subject(matched.astype(float)).mean()),
        float(by_subject(new.astype(float)).mean()),
        float((matched / weight).max()),
        float((big > LIMIT).mean()),
        float(worst.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0,
        n,
    )


def _learned(view: View, code: dict[str, NDArray[np.uint64]], secret: Feature, key: str) -> NDArray[np.bool_]:
    """Say of which rows some matching synthetic row states a sensitive value that is right and not to be guessed."""
    own, made = view.samples[key], view.samples["synthetic"]
    if not secret.is_number:
        truth, stated = own.codes[:, secret.slot], made.codes[:, secret.slot]
        common = int(np.bincount(view.samples["train"].codes[:, secret.slot]).argmax())
        both = np.concatenate([truth, stated]).astype(np.uint64)
        pair = np.concatenate([code[key], code["synthetic"]]) * np.uint64(0x9E3779B97F4A7C15) + both
        return np.asarray(np.isin(pair[: own.n], pair[own.n :]) & (truth != common))
    x, y = own.raw[:, secret.slot], made.raw[:, secret.slot]
    present = view.samples["train"].raw[:, secret.slot]
    present = present[~np.isnan(present)]
    if not len(present):
        return np.zeros(own.n, bool)
    centre = float(np.median(present))
    reach = REACH * float(np.median(np.abs(present - centre)))
    gap = _nearest_in_class(code[key], x, code["synthetic"], y)
    gone = own.rank[:, secret.slot] == MISSING_RANK
    return np.asarray(~gone & (gap <= reach) & (np.abs(np.where(gone, centre, x) - centre) > reach))


def _nearest_in_class(
    code: NDArray[np.uint64], x: NDArray[np.float64], made: NDArray[np.uint64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distance of each x to the nearest y of the same class, infinite where there is none."""
    keep = ~np.isnan(y)
    made, y = made[keep], y[keep]
    out = np.full(len(x), np.inf)
    if not len(y):
        return out
    order = np.lexsort((y, made))
    made, y = made[order], y[order]
    _, number = np.unique(np.concatenate([made, code]), return_inverse=True)
    value = np.concatenate([y, x])
    place = np.lexsort((np.arange(len(value)) >= len(y), value, number))
    back = np.empty(len(place), np.int64)
    back[place] = np.arange(len(place))
    is_made = place < len(y)
    before = np.maximum.accumulate(np.where(is_made, np.arange(len(place)), -1))
    after = np.minimum.accumulate(np.where(is_made, np.arange(len(place)), len(place))[::-1])[::-1]
    mine = back[len(y) :]
    for side, edge in ((before[mine], -1), (after[mine], len(place))):
        there = side != edge
        other = place[np.clip(side, 0, len(place) - 1)]
        same = there & (number[other] == number[len(y) :])
        out = np.minimum(out, np.where(same, np.abs(value[other] - x), np.inf))
    return np.where(np.isnan(x), np.inf, out)
