"""Could someone who holds a person's record tell whether that person was in the training data?

Five attacks score members (train) and non-members (holdout) from the synthetic rows: nearness to the nearest synthetic
row; how many synthetic rows lie close by, the closer the more (Monte Carlo); the ratio of k-nearest-neighbour densities
of synthetic and fresh real rows; the same ratio by kernel densities (DOMIAS); and by a classifier of synthetic against
fresh real rows. Fresh rows are the half of the holdout that is not being attacked; the halves then change places, so
that every holdout row is attacked once. The value is the largest of the AUCs, which makes it a little larger than 0.5
by luck alone: the reference runs the same attacks with a fresh real sample in place of the synthetic rows, where
nothing can leak.

References: Hilprecht, Haerterich & Bernau, PoPETs 2019, doi:10.2478/popets-2019-0067 (distance, Monte Carlo); van
Breugel, Sun, Qian & van der Schaar, AISTATS 2023, arXiv:2302.12580 (density ratio, DOMIAS); Hayes et al., LOGAN, PoPETs
2019, doi:10.2478/popets-2019-0008 (classifier); Carlini et al., IEEE S&P 2022, arXiv:2112.03570 (true positives at 1 %
false ones).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import Ranked, clipped, weights
from ehrsatz.evaluation.learners import boost, boosting_matrix, varying
from ehrsatz.evaluation.privacy.kernel import components, log_density
from ehrsatz.evaluation.privacy.neighbours import Points, points, search
from ehrsatz.evaluation.space import Comparison, Sample, View

MAX_ATTACKED = 2500  # members, and as many non-members
MAX_POOL = 10_000
MAX_SYNTHETIC = 100_000
MAX_PAIRS = 50_000_000  # attacked times synthetic rows: fewer are attacked where the table is large
MAX_RATIO_ROWS = 4000
MAX_CELLS = 600_000
MAX_KERNELS = 3000
N_COMPONENTS = 8
NEIGHBOURS = 5
FPR = 0.01
DOMIAS = "kernel density ratio (DOMIAS)"
ATTACKS = ("nearest synthetic row", "synthetic rows close by (Monte Carlo)", "density ratio", DOMIAS, "classifier")


@dataclass(frozen=True)
class Attack:
    """What one attack reaches."""

    name: str
    auc: float
    interval: tuple[float, float]
    tpr: float
    curve: list[float]


class Membership(Metric):
    """Largest AUC of five membership inference attacks. No leak 0.5, a copy of train 1, nearer to 0.5 is better."""

    name = "membership"
    title = "Membership inference"
    family = "privacy"
    theme = "Membership"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.5
    needs = frozenset({"rows"})
    what = "Five attacks rank training and held-out subjects by the synthetic rows; the AUC of the strongest."
    blind = "An AUC averages over people: few who are found for sure hardly move it, nor do values kept in few columns."
    reference = "van Breugel et al. 2023, arXiv:2302.12580"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: attacks_of(comparison, view, seed) for view in comparison.joint}
        worst = max(comparison.joint, key=lambda view: _largest(found[view.name]).auc)
        attacks = found[worst.name]
        one = _largest(attacks)
        fresh = attacks_of(comparison, worst, seed, fresh=True)
        n = min(_most(worst), worst.samples["train"].n, worst.samples["holdout"].n)
        return Score(
            self.name,
            one.auc,
            one.interval,
            _largest(fresh).auc,
            min(MAX_SYNTHETIC, worst.samples["synthetic"].n),
            {"attacked": n, "attacks": [a.name for a in attacks], "neighbours": NEIGHBOURS, "table": worst.name},
            meaning=f"An attacker who holds one record of a training subject and one of an outsider picks the training "
            f"subject {100 * one.auc:.0f} times in 100 (guessing: 50), with the strongest of {_number(attacks)} "
            "attacks.",
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
            baseline=0.5,
        )


class MembershipTpr(Metric):
    """Share of members found at 1 % false alarms, largest of five attacks. No leak 0.01, a copy 1, less is better."""

    name = "membership_tpr"
    title = "Members found at 1 % false alarms"
    family = "privacy"
    theme = "Membership"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.01
    needs = frozenset({"rows"})
    what = "The same attacks, with a threshold that one outsider in 100 passes: the share of training subjects who do."
    blind = "Values kept in a few columns only; membership_subset and leak look at those."
    reference = "Carlini et al. 2022, arXiv:2112.03570"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = {view.name: attacks_of(comparison, view, seed) for view in comparison.joint}
        worst = max(comparison.joint, key=lambda view: max(a.tpr for a in found[view.name]))
        n = min(_most(worst), worst.samples["train"].n, worst.samples["holdout"].n)
        if n * FPR < 2:
            raise Unmeasured(f"Not measured: 200 rows in each half are needed to see 1 % false alarms, {n} are there.")
        one = max(found[worst.name], key=lambda a: a.tpr)
        value = one.tpr
        fresh = attacks_of(comparison, worst, seed, fresh=True)
        reach = 1.96 * float(np.sqrt(max(value * (1 - value), FPR * (1 - FPR)) / n * 2))
        return Score(
            self.name,
            value,
            clipped(value, reach, 0.0, 1.0),
            max(a.tpr for a in fresh),
            min(MAX_SYNTHETIC, worst.samples["synthetic"].n),
            {"attacked": n, "false_alarms": FPR, "table": worst.name, "attack": one.name},
            meaning=f"An attacker who accepts one false alarm in 100 finds {100 * value:.1f} % of the training "
            "subjects; guessing finds 1 %.",
            details={"attacks": [{"attack": a.name, "tpr": a.tpr} for a in found[worst.name]]},
            baseline=FPR,
        )


def _most(view: View) -> int:
    """Return how many members are attacked."""
    return min(MAX_ATTACKED, max(1000, MAX_PAIRS // max(1, min(MAX_SYNTHETIC, view.samples["synthetic"].n))))


def _number(attacks: list[Attack]) -> str:
    return {3: "three", 4: "four", 5: "five"}.get(len(attacks), str(len(attacks)))


def _largest(attacks: list[Attack]) -> Attack:
    return max(attacks, key=lambda one: one.auc)


def attacks_of(comparison: Comparison, view: View, seed: int, *, fresh: bool = False) -> list[Attack]:
    """Run the attacks on a view, once for all metrics.

    Parameters
    ----------
    comparison
        Three datasets in one coding.
    view
        The table.
    seed
        Decides who is attacked.
    fresh
        Whether half of the unattacked real rows plays the synthetic table, from which nothing can leak.

    Raises
    ------
    Unmeasured
        When there are fewer than four holdout subjects.
    """
    key = ("attacks", view.name, seed, fresh)
    out: list[Attack] = comparison.once(key, lambda: _attack(comparison, view, seed, fresh=fresh))
    return out


@dataclass(frozen=True)
class _Rows:
    """Rows twice over: as a sample and as points."""

    sample: Sample
    points: Points

    def take(self, rows: NDArray[np.int64]) -> _Rows:
        return _Rows(self.sample.take(rows), self.points.take(rows))

    def pick(self, n: int, rng: np.random.Generator) -> _Rows:
        return self if self.sample.n <= n else self.take(np.sort(rng.permutation(self.sample.n)[:n]))


def _attack(comparison: Comparison, view: View, seed: int, *, fresh: bool) -> list[Attack]:
    rng = view.rng(seed, "membership", "split")
    known = points(comparison, view)
    rows = {key: _Rows(view.samples[key], known[key]) for key in view.samples}
    train, holdout = rows["train"], rows["holdout"]
    subjects = np.unique(holdout.sample.group)
    if len(subjects) < 4:
        raise Unmeasured("Not measured: at least four holdout subjects are needed.")
    side = (rng.permutation(len(subjects)) % 2)[np.searchsorted(subjects, holdout.sample.group)]
    most = _most(view)
    members = train.take(rng.permutation(train.sample.n)[:most])
    scores: dict[str, list[NDArray[np.float64]]] = {}
    is_member, group = [], []
    for k in (0, 1):
        others = holdout.take(np.flatnonzero(side == k)).pick(most // 2, view.rng(seed, "membership", "attacked", k))
        mine = members.take(np.arange(k, members.sample.n, 2))
        pool = holdout.take(np.flatnonzero(side != k))
        if fresh:
            half = view.rng(seed, "membership", "fresh", k).permutation(pool.sample.n)
            made, pool = pool.take(half[: len(half) // 2]), pool.take(half[len(half) // 2 :])
        else:
            made = rows["synthetic"].pick(MAX_SYNTHETIC, view.rng(seed, "membership", "synthetic", k))
        pool = pool.pick(MAX_POOL, view.rng(seed, "membership", "pool", k))
        if min(one.sample.n for one in (made, pool, others, mine)) < 1:
            raise Unmeasured("Not measured: too few rows to attack.")
        for name, score in _scores(view, mine, others, made, pool, seed + k).items():
            scores.setdefault(name, []).append(score)
        is_member.append(np.repeat([True, False], [mine.sample.n, others.sample.n]))
        shift = train.sample.group.max(initial=0) + 1
        group.append(np.concatenate([mine.sample.group, others.sample.group + shift]))
    return [
        _result(name, scores[name], is_member, group, view.rng(seed, "membership", "bootstrap", place))
        for place, name in enumerate(ATTACKS)
        if len(scores.get(name, ())) == 2
    ]


def _scores(
    view: View, mine: _Rows, others: _Rows, made: _Rows, pool: _Rows, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Return the scores of the attacks, higher for "was in train": (attacked,) each."""
    who = Points(
        np.concatenate([mine.points.full, others.points.full]),
        np.concatenate([mine.points.sketch, others.points.sketch]),
        np.concatenate([mine.points.group, others.points.group]),
    )
    k = min(NEIGHBOURS, made.sample.n, pool.sample.n)
    near = search(who, made.points, k)[0].astype(np.float64)
    far = search(who, pool.points, k)[0].astype(np.float64)
    out = {
        ATTACKS[0]: -near[:, 0],
        ATTACKS[1]: close_by(who.sketch, made.points.sketch, float(np.median(near[:, 0]))),
        ATTACKS[2]: np.log(far.mean(axis=1) + 1e-4) - np.log(near.mean(axis=1) + 1e-4),
    }
    kernels = _kernels(view, who, made.points, pool.points, seed)
    if kernels is not None:
        out[DOMIAS] = kernels
    classed = _classified(view, mine.sample, others.sample, made.sample, pool.sample, seed)
    if classed is not None:
        out[ATTACKS[4]] = classed
    return out


def close_by(x: NDArray[np.float32], made: NDArray[np.float32], radius: float) -> NDArray[np.float64]:
    """Return the sum over synthetic rows within a radius of log(radius / distance), per row of x.

    Hilprecht et al. 2019; the radius is the median over the attacked of the smallest distance (their median
    heuristic). A distance of less than a thousandth of it counts as that.
    """
    out = np.empty(len(x))
    step = max(1, (1 << 22) // max(1, len(made)))
    square = np.square(made).sum(axis=1)
    radius = max(radius, 1e-6)
    for start in range(0, len(x), step):
        some = x[start : start + step]
        d = np.square(some).sum(axis=1, keepdims=True) + square - 2 * some @ made.T
        row, column = np.nonzero(d <= radius**2)
        ratio = np.maximum(d[row, column], (1e-3 * radius) ** 2) / radius**2
        out[start : start + step] = np.bincount(row, -0.5 * np.log(ratio) + 1e-9, len(some))
    return out


def _kernels(view: View, who: Points, made: Points, pool: Points, seed: int) -> NDArray[np.float64] | None:
    """Return log p_synthetic - log p_reference by kernel densities, or None where rows are too few or too alike."""
    a = made.full[view.rng(seed, "membership", "kernels").permutation(made.n)[:MAX_KERNELS]].astype(np.float64)
    b = pool.full[view.rng(seed, "membership", "kernels real").permutation(pool.n)[:MAX_KERNELS]].astype(np.float64)
    if min(len(a), len(b)) < 2 * N_COMPONENTS:
        return None
    mean, turn = components(np.concatenate([a, b]), N_COMPONENTS)
    if not turn.shape[1]:
        return None
    a, b, x = ((one - mean) @ turn for one in (a, b, who.full.astype(np.float64)))
    if min(np.linalg.matrix_rank(one - one.mean(axis=0), tol=1e-6) for one in (a, b)) < turn.shape[1]:
        return None
    return log_density(a, x) - log_density(b, x)


def _classified(
    view: View, mine: Sample, others: Sample, made: Sample, pool: Sample, seed: int
) -> NDArray[np.float64] | None:
    cap = max(200, min(MAX_RATIO_ROWS, MAX_CELLS // max(1, len(view.features))))
    n = min(made.n, pool.n, cap)
    a, b = made.pick(n, view.rng(seed, "membership", "ratio")), pool.pick(n, view.rng(seed, "membership", "ratio real"))
    blocks = [boosting_matrix(view, one)[0] for one in (a, b, mine, others)]
    keep = varying(*blocks[:2])
    if not keep.any() or n < 10:
        return None
    is_category = [flag for flag, used in zip(boosting_matrix(view, mine)[1], keep) if used]
    x = np.concatenate(blocks[:2])[:, keep]
    model = boost(x, np.repeat([1, 0], [a.n, b.n]), is_category, seed=seed, n_trees=60)
    out: NDArray[np.float64] = model.decision_function(np.concatenate(blocks[2:])[:, keep])
    return out


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
    tpr = float(np.mean([found_at(y, s, FPR) for y, s in zip(is_member, scores)]))
    return Attack(name, value, clipped(value, reach, 0.0, 1.0), tpr, [round(float(x), 4) for x in curve])


def found_at(y: NDArray[np.bool_], s: NDArray[np.float64], fpr: float) -> float:
    """Return the share of members that are found at this share of false alarms, ties in proportion."""
    return float(np.interp(fpr, *_steps(y, s)))


def _curve(y: NDArray[np.bool_], s: NDArray[np.float64]) -> NDArray[Any]:
    """Return the true positive rate at false positive rates 0, 0.05, ..., 1, ties in proportion."""
    return np.interp(np.linspace(0, 1, 21), *_steps(y, s))


def _steps(y: NDArray[np.bool_], s: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return false and true positive rates at the thresholds, both rising."""
    order = np.argsort(-s, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(s[order])), len(s) - 1]
    up, down = np.cumsum(y[order])[last] / y.sum(), np.cumsum(~y[order])[last] / (~y).sum()
    return np.r_[0, down], np.r_[0, up]  # where one false rate has several true ones, interpolation starts at the last
