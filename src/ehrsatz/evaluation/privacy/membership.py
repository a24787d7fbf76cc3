"""Could someone who holds a person's record tell whether that person was in the training data?

Three attacks score members (train) and non-members (holdout) from the synthetic rows: nearness to the nearest
synthetic row; the ratio of k-nearest-neighbour densities of synthetic and fresh real rows (DOMIAS); the same ratio by
a classifier of synthetic against fresh real rows. Fresh rows are the half of the holdout that is not being attacked;
the halves then change places, so that every holdout row is attacked once. The value is the largest of the three AUCs,
which makes it a little larger than 0.5 by luck alone: the reference runs the same attacks with a fresh real sample in
place of the synthetic rows, where nothing can leak.

References: Hilprecht, Haerterich & Bernau, PoPETs 2019, doi:10.2478/popets-2019-0067 (distance); van Breugel, Sun, Qian
& van der Schaar, Membership inference attacks against synthetic data through overfitting detection, AISTATS 2023,
arXiv:2302.12580 (density ratio); Carlini et al., IEEE S&P 2022, arXiv:2112.03570 (true positives at 1 % false ones).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.distance import nearest
from ehrsatz.evaluation.intervals import Ranked, clipped, weights
from ehrsatz.evaluation.learners import boost, boosting_matrix, varying
from ehrsatz.evaluation.space import Comparison, Sample, View

MAX_ATTACKED = 2500  # members, and as many non-members
MAX_POOL = 20_000
MAX_RATIO_ROWS = 6000
MAX_CELLS = 1_200_000
NEIGHBOURS = 5
FPR = 0.01
ATTACKS = ("nearest synthetic row", "density ratio", "classifier")


@dataclass(frozen=True)
class Attack:
    """What one attack reaches."""

    name: str
    auc: float
    interval: tuple[float, float]
    tpr: float
    curve: list[float]


class Membership(Metric):
    """Largest AUC of three membership inference attacks. No leak 0.5, a copy of train 1, nearer to 0.5 is better."""

    name = "membership"
    title = "Membership inference"
    family = "privacy"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.5
    needs = frozenset({"rows"})
    reference = "van Breugel et al. 2023, arXiv:2302.12580"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: _attacks(comparison, view, seed) for view in comparison.joint}
        worst = max(comparison.joint, key=lambda view: _largest(found[view.name]).auc)
        attacks = found[worst.name]
        one = _largest(attacks)
        fresh = _attacks(comparison, worst, seed, fresh=True)
        n = min(MAX_ATTACKED, worst.samples["train"].n, worst.samples["holdout"].n)
        return Score(
            self.name,
            one.auc,
            one.interval,
            _largest(fresh).auc,
            min(MAX_POOL, worst.samples["synthetic"].n),
            {"attacked": n, "attacks": list(ATTACKS), "neighbours": NEIGHBOURS, "table": worst.name},
            meaning=f"An attacker who holds one record of a training subject and one of an outsider picks the training "
            f"subject {100 * one.auc:.0f} times in 100 (guessing: 50), with the strongest of three attacks.",
            details={
                "attacks": [
                    {
                        "attack": a.name,
                        "auc": a.auc,
                        "interval": list(a.interval),
                        "tpr_at_1pct": a.tpr,
                        "curve": a.curve,
                    }
                    for a in attacks
                ],
                "without_leak": [{"attack": a.name, "auc": a.auc, "tpr_at_1pct": a.tpr} for a in fresh],
                "strongest": one.name,
                "tables": {name: _largest(a).auc for name, a in found.items()},
            },
        )


class MembershipTpr(Metric):
    """Share of members found at 1 % false alarms, largest of three attacks. No leak 0.01, a copy 1, less is better."""

    name = "membership_tpr"
    title = "Members found at 1 % false alarms"
    family = "privacy"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.01
    needs = frozenset({"rows"})
    reference = "Carlini et al. 2022, arXiv:2112.03570"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: _attacks(comparison, view, seed) for view in comparison.joint}
        worst = max(comparison.joint, key=lambda view: max(a.tpr for a in found[view.name]))
        n = min(MAX_ATTACKED, worst.samples["train"].n, worst.samples["holdout"].n)
        if n * FPR < 2:
            raise Unmeasured(f"Not measured: 200 rows in each half are needed to see 1 % false alarms, {n} are there.")
        value = max(a.tpr for a in found[worst.name])
        fresh = _attacks(comparison, worst, seed, fresh=True)
        reach = 1.96 * float(np.sqrt(max(value * (1 - value), FPR * (1 - FPR)) / n * 2))
        return Score(
            self.name,
            value,
            clipped(value, reach, 0.0, 1.0),
            max(a.tpr for a in fresh),
            min(MAX_POOL, worst.samples["synthetic"].n),
            {"attacked": n, "false_alarms": FPR, "table": worst.name},
            meaning=f"An attacker who accepts one false alarm in 100 finds {100 * value:.1f} % of the training "
            "subjects; guessing finds 1 %.",
        )


def _largest(attacks: list[Attack]) -> Attack:
    return max(attacks, key=lambda one: one.auc)


def _attacks(comparison: Comparison, view: View, seed: int, *, fresh: bool = False) -> list[Attack]:
    out: list[Attack] = comparison.once(("attacks", view.name, seed, fresh), lambda: _attack(view, seed, fresh=fresh))
    return out


def _attack(view: View, seed: int, *, fresh: bool) -> list[Attack]:
    """Attack both halves of the holdout; with `fresh`, half of the unattacked real rows plays the synthetic table."""
    rng = view.rng(seed, "membership", "split")
    train, holdout = view.samples["train"], view.samples["holdout"]
    subjects = np.unique(holdout.group)
    if len(subjects) < 4:
        raise Unmeasured("Not measured: at least four holdout subjects are needed.")
    side = (rng.permutation(len(subjects)) % 2)[np.searchsorted(subjects, holdout.group)]
    members = train.take(rng.permutation(train.n)[: min(MAX_ATTACKED, train.n)])
    scores: list[list[NDArray[np.float64]]] = [[], [], []]
    is_member, group = [], []
    for k in (0, 1):
        others = holdout.take(np.flatnonzero(side == k)).pick(
            MAX_ATTACKED // 2, view.rng(seed, "membership", "attacked", k)
        )
        mine = members.take(np.arange(k, members.n, 2))
        pool = holdout.take(np.flatnonzero(side != k))
        if fresh:
            half = view.rng(seed, "membership", "fresh", k).permutation(pool.n)
            made, pool = pool.take(half[: pool.n // 2]), pool.take(half[pool.n // 2 :])
        else:
            made = view.samples["synthetic"].pick(MAX_POOL, view.rng(seed, "membership", "synthetic", k))
        if min(made.n, pool.n, others.n, mine.n) < 1:
            raise Unmeasured("Not measured: too few rows to attack.")
        attacked = _join(mine, others)
        for place, one in enumerate(_scores(view, attacked, made, pool, seed + k)):
            scores[place].append(one)
        is_member.append(np.repeat([True, False], [mine.n, others.n]))
        group.append(np.concatenate([mine.group, others.group + train.group.max(initial=0) + 1]))
    return [
        _result(name, scores[place], is_member, group, view.rng(seed, "membership", "bootstrap", place))
        for place, name in enumerate(ATTACKS)
    ]


def _join(a: Sample, b: Sample) -> Sample:
    return Sample(
        np.concatenate([a.raw, b.raw]),
        np.concatenate([a.rank, b.rank]),
        np.concatenate([a.codes, b.codes]),
        np.concatenate([a.group, b.group]),
    )


def _scores(view: View, attacked: Sample, made: Sample, pool: Sample, seed: int) -> list[NDArray[np.float64]]:
    """Return the scores of the three attacks, higher for "was in train": (attacked,) each."""
    k = min(NEIGHBOURS, made.n, pool.n)
    near = nearest(attacked, made, k).astype(np.float64)
    far = nearest(attacked, pool, k).astype(np.float64)
    ratio = np.log(far.mean(axis=1) + 1e-4) - np.log(near.mean(axis=1) + 1e-4)
    cap = max(200, min(MAX_RATIO_ROWS, MAX_CELLS // max(1, len(view.features))))
    n = min(made.n, pool.n, cap)
    a, b = made.pick(n, view.rng(seed, "membership", "ratio")), pool.pick(n, view.rng(seed, "membership", "ratio real"))
    blocks = [boosting_matrix(view, one)[0] for one in (a, b, attacked)]
    keep = varying(*blocks[:2])
    if not keep.any() or n < 10:
        return [-near[:, 0], ratio, np.zeros(attacked.n)]
    is_category = [flag for flag, used in zip(boosting_matrix(view, attacked)[1], keep) if used]
    x = np.concatenate(blocks[:2])[:, keep]
    model = boost(x, np.repeat([1, 0], [a.n, b.n]), is_category, seed=seed)
    return [-near[:, 0], ratio, model.decision_function(blocks[2][:, keep])]


def _result(
    name: str,
    scores: list[NDArray[np.float64]],
    is_member: list[NDArray[np.bool_]],
    group: list[NDArray[np.int64]],
    rng: np.random.Generator,
) -> Attack:
    """Average the two halves: their scores come from different models and are not compared with each other."""
    ranked = [Ranked(y, s) for y, s in zip(is_member, scores)]
    value = float(np.mean([one.auc() for one in ranked]))
    spread = [np.std([one.auc(w) for w in weights(g, rng, y)], ddof=1) for one, g, y in zip(ranked, group, is_member)]
    reach = 1.96 * float(np.sqrt(np.sum(np.square(spread)))) / 2
    curve = np.mean([_curve(y, s) for y, s in zip(is_member, scores)], axis=0)
    tpr = float(np.mean([_tpr(y, s, FPR) for y, s in zip(is_member, scores)]))
    return Attack(name, value, clipped(value, reach, 0.0, 1.0), tpr, [round(float(x), 4) for x in curve])


def _tpr(y: NDArray[np.bool_], s: NDArray[np.float64], fpr: float) -> float:
    """Return the share of members above the score that at most this share of non-members exceeds."""
    return float((s[y] > np.quantile(s[~y], 1 - fpr, method="higher")).mean())


def _curve(y: NDArray[np.bool_], s: NDArray[np.float64]) -> NDArray[Any]:
    """Return the true positive rate at false positive rates 0, 0.05, ..., 1, ties in proportion."""
    order = np.argsort(-s, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(s[order])), len(s) - 1]
    up, down = np.cumsum(y[order])[last] / y.sum(), np.cumsum(~y[order])[last] / (~y).sum()
    return np.interp(np.linspace(0, 1, 21), np.r_[0, down], np.r_[0, up])
