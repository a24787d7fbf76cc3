"""Is the copy as good for one subgroup as for another? Likeness of columns, and skill of models, group by group.

Small groups look less alike by chance alone. Likeness is therefore read against what real rows of the same group reach,
train against holdout: what is missing to that is the copy's own loss, and the figure is how much it differs between the
groups of a column.

References: Bhanot et al., Entropy 23(9), 2021, doi:10.3390/e23091165; Bhanot et al., Downstream fairness caveats with
synthetic healthcare data, 2022, arXiv:2203.04462; Ganev, Oprisanu & De Cristofaro, Robin Hood and Matthew effects, ICML
2022, arXiv:2109.11429 (who loses skill).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.fairness.models import Divided, kept, tested_groups
from ehrsatz.evaluation.fairness.subjects import Division, divisions_of
from ehrsatz.evaluation.intervals import deal
from ehrsatz.evaluation.space import MISSING_RANK, Comparison, Feature, Sample
from ehrsatz.evaluation.utility.measures import Answer, Weight
from ehrsatz.evaluation.utility.question import LEAST, Question
from ehrsatz.evaluation.utility.trials import Folds, Trials, folds_of, interval, trials_of, without_each
from ehrsatz.evaluation.utility.tstr import params_of

BINS = 100  # by rank, for numbers
MAX_LEVELS = 60
MAX_ROWS = 50_000
MAX_FEATURES = 200
SHOWN = 12


class GroupFidelityGap(Metric):
    """How unequally likeness is lost between the groups of a column. Identical data 0, 1 if one group is lost.

    Less is better. Columns drawn independently lose more in groups that are unlike the average.
    """

    name = "group_fidelity_gap"
    title = "Unequal likeness of subgroups"
    family = "fairness"
    theme = "Subgroups"
    goal = "minimise"
    low, high, ideal = 0.0, 2.0, 0.0
    what = "Mean likeness of columns per group less what real rows of the group reach; the widest spread in a column."
    blind = "How columns hang together inside a group; see group_utility_gap."
    reference = "Bhanot et al. 2021, doi:10.3390/e23091165"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        divisions = divisions_of(comparison, self.task)
        found = [_likeness(one, seed) for one in divisions]
        worst = max(range(len(found)), key=lambda i: found[i].gap)
        mine, like = divisions[worst], found[worst]
        loss = like.loss()
        k = int(loss.argmax())
        value = like.gap
        lost = [
            one.name(j) for one in divisions for j in range(len(one.labels)) if not (one.level["synthetic"] == j).any()
        ]
        gone = f" Without any synthetic row: {', '.join(lost[:5])}." if lost else ""
        return Score(
            self.name,
            value,
            interval(value, [(one, 1.0) for one in like.without()], self.low, self.high),
            max(one.by_chance for one in found),
            int((mine.level["synthetic"] >= 0).sum()),
            {"columns": len(divisions), "features": like.n_features, "bins": BINS, "reference": "halves of train"},
            meaning=f"Worst off is '{mine.name(k)}': real rows of this group agree with one another to "
            f"{100 * float(like.real()[k]):.1f} %, synthetic ones to {100 * float(like.synthetic()[k]):.1f} %. "
            f"The loss differs by {100 * value:.1f} points between the groups of that column.{gone}",
            details={
                "columns": [
                    {
                        "column": one.column,
                        "gap": part.gap,
                        "groups": [
                            {
                                "group": label,
                                "similarity": round(float(part.synthetic()[j]), 4),
                                "reference": round(float(part.real()[j]), 4),
                                "loss": round(float(part.loss()[j]), 4),
                            }
                            for j, label in enumerate(one.labels)
                        ],
                    }
                    for one, part in sorted(zip(divisions, found), key=lambda pair: -pair[1].gap)[:SHOWN]
                ],
                "worst_off": mine.name(k),
                "empty": lost[:100],
            },
        )


class Likeness:
    """Mean likeness of columns by group, from counts by bin, with what it becomes without each jackknife group.

    counts
        Per feature and dataset (groups, bins, jackknife groups).
    """

    def __init__(self, counts: list[dict[str, NDArray[np.float64]]], ordered: list[bool]) -> None:
        self.counts, self.ordered = counts, ordered
        self.whole = [{key: one.sum(axis=2) for key, one in feature.items()} for feature in counts]
        halves = [
            (feature["train"][:, :, ::2].sum(axis=2), feature["train"][:, :, 1::2].sum(axis=2)) for feature in counts
        ]
        held = [one["holdout"] for one in self.whole]
        one, other = (self._mean(held, [pair[i] for pair in halves]) for i in (0, 1))
        self.by_chance = float(np.ptp(one - other))
        self.gap = float(np.ptp(self.loss()))

    @property
    def n_features(self) -> int:
        """Columns compared."""
        return len(self.counts)

    def real(self) -> NDArray[np.float64]:
        """Likeness of train and holdout, by group."""
        return self._mean([one["holdout"] for one in self.whole], [one["train"] for one in self.whole])

    def synthetic(self) -> NDArray[np.float64]:
        """Likeness of synthetic rows and holdout, by group."""
        return self._mean([one["holdout"] for one in self.whole], [one["synthetic"] for one in self.whole])

    def loss(self) -> NDArray[np.float64]:
        """What synthetic rows lack to the likeness of real ones, by group."""
        return self.real() - self.synthetic()

    def without(self) -> list[NDArray[np.float64]]:
        """Return the gap without each jackknife group of each dataset."""
        out = []
        for key in ("train", "holdout", "synthetic"):
            values = []
            for g in range(self.counts[0][key].shape[2]):
                parts = {name: [one[name] for one in self.whole] for name in ("train", "holdout", "synthetic")}
                parts[key] = [one[key] - feature[key][:, :, g] for one, feature in zip(self.whole, self.counts)]
                real = self._mean(parts["holdout"], parts["train"])
                values.append(float(np.ptp(real - self._mean(parts["holdout"], parts["synthetic"]))))
            out.append(np.array(values))
        return out

    def _mean(self, a: list[NDArray[np.float64]], b: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.mean([likeness(x, y, is_ordered=o) for x, y, o in zip(a, b, self.ordered)], axis=0)


def likeness(a: NDArray[np.float64], b: NDArray[np.float64], *, is_ordered: bool) -> NDArray[np.float64]:
    """Return 1 - Kolmogorov-Smirnov (ordered bins) or 1 - total variation of counts (groups, bins), by group.

    0 where one of them counts nothing.

    Examples
    --------
    >>> likeness(np.array([[1.0, 1.0]]), np.array([[2.0, 0.0]]), is_ordered=False).tolist()
    [0.5]
    """
    n, m = a.sum(axis=1, keepdims=True), b.sum(axis=1, keepdims=True)
    gap = a / np.maximum(n, 1) - b / np.maximum(m, 1)
    far = np.abs(np.cumsum(gap, axis=1)).max(axis=1) if is_ordered else 0.5 * np.abs(gap).sum(axis=1)
    return np.where((n[:, 0] > 0) & (m[:, 0] > 0), np.clip(1 - far, 0, 1), 0.0)


def _likeness(one: Division, seed: int) -> Likeness:
    view = one.view
    rows = {
        key: np.flatnonzero(level >= 0)[
            np.sort(view.rng(seed, "groups", "rows", key).permutation(int((level >= 0).sum()))[:MAX_ROWS])
        ]
        for key, level in one.level.items()
    }
    part = {key: deal(view.samples[key].group[index], view.rng(seed, "groups", key)) for key, index in rows.items()}
    counts, ordered = [], []
    features = [feature for feature in view.features if feature.own and feature.name != one.column]
    drawn = np.sort(view.rng(seed, "groups", "features").permutation(len(features))[:MAX_FEATURES])
    for feature in (features[j] for j in drawn):
        table = {}
        for key, index in rows.items():
            sample = view.samples[key]
            cell, size = _bins(sample, feature)
            n_parts = int(part[key].max(initial=-1)) + 1
            flat = (one.level[key][index] * size + cell[index]) * n_parts + part[key]
            shape = (len(one.labels), size, n_parts)
            table[key] = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)
        counts.append(table)
        ordered.append(feature.is_number)
    if not counts:
        raise Unmeasured("Not measured: no column is left to compare besides those that make the groups.")
    return Likeness(counts, ordered)


def _bins(sample: Sample, feature: Feature) -> tuple[NDArray[np.int64], int]:
    """Return the bin of each cell, 0 for missing ones, and the number of bins."""
    if feature.is_number:
        rank = sample.rank[:, feature.slot]
        place = 1 + np.clip((rank * BINS).astype(np.int64), 0, BINS - 1)
        return np.where(rank == MISSING_RANK, 0, place), BINS + 1
    top = min(len(feature.levels) + 1, MAX_LEVELS)
    return np.minimum(sample.codes[:, feature.slot], top).astype(np.int64), top + 1


class GroupUtilityGap(Metric):
    """Spread of a model's skill over the groups of a column. Alike 0; identical data as the reference.

    Less is better. Unrelated data teach nothing to anybody, which is alike: read it beside tstr.
    """

    name = "group_utility_gap"
    title = "Unequal skill for subgroups"
    family = "fairness"
    theme = "Subgroups"
    goal = "minimise"
    low, high, ideal = 0.0, 2.0, 0.0
    needs = frozenset({"rows", "target"})
    tells = frozenset()
    what = "AUC or R2 on real rows of each group of a model from synthetic rows; largest less smallest in a column."
    blind = "A model that guesses is alike for all; small groups differ by chance, as they do in the reference."
    reference = "Bhanot et al. 2022, arXiv:2203.04462"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials = trials_of(comparison, str(self.target), seed)
        asked, measure = trials.question, trials.question.headline
        groups, left_out = tested_groups(comparison, self.task, asked)
        real, synthetic = (trials.answers[trials.best, side] for side in ("train", "synthetic"))
        entries: list[tuple[Divided, NDArray[np.float64], NDArray[np.float64]]] = []
        for one in groups:
            mine, skipped = _told(one, asked, real.classes)
            left_out += skipped
            if len(mine.labels) > 1:
                entries.append((mine, skills_of(real, mine, measure), skills_of(synthetic, mine, measure)))
        if not entries:
            raise Unmeasured("Not measured: no column has two groups in which the target can be told.")
        worst = max(range(len(entries)), key=lambda i: float(np.ptp(entries[i][2])))
        mine = entries[worst][0]
        value = float(np.ptp(entries[worst][2]))
        parts = [(without_each(trials.part, lambda w: float(np.ptp(skills_of(synthetic, mine, measure, w)))), 1.0)]
        folds = folds_of(comparison, asked, seed, trials.best)
        if folds is not None and (by_fold := _by_fold(folds, mine, measure)) is not None:
            parts.append((by_fold, folds.scale))
        most = _most_lost(trials, [one[0] for one in entries])
        overall = real.value(measure) - synthetic.value(measure)
        reference = max(float(np.ptp(one[1])) for one in entries)
        return Score(
            self.name,
            value,
            interval(value, parts, self.low, self.high),
            reference,
            len(asked.y["synthetic"]),
            {
                **params_of(trials),
                "learner": trials.best,
                "groups": sum(len(one.labels) for one, _, _ in entries),
            },
            meaning=f"Between groups of '{mine.column}' the {measure} of a model trained on synthetic rows differs by "
            f"{value:.3f} (trained on real rows at most {reference:.3f} in any column). '{most['group']}' loses most: "
            f"{most['synthetic']:.3f} instead of {most['real']:.3f}, with {most['learner']}.",
            details={
                "measure": measure,
                "columns": [
                    {
                        "column": one.column,
                        "real": float(np.ptp(was)),
                        "synthetic": float(np.ptp(now)),
                        "groups": [
                            {
                                "group": label,
                                "rows": int((one.level == k).sum()),
                                "real": round(float(was[k]), 4),
                                "synthetic": round(float(now[k]), 4),
                                "loss": round(float(was[k] - now[k]), 4),
                            }
                            for k, label in enumerate(one.labels)
                        ],
                    }
                    for one, was, now in sorted(entries, key=lambda one: -float(np.ptp(one[2])))[:SHOWN]
                ],
                "worst_off": most,
                "loss_overall": overall,
                "left_out": left_out[:100],
            },
            baseline=0.0,
        )


def _most_lost(trials: Trials, columns: list[Divided]) -> dict[str, Any]:
    """Return the group that loses most by synthetic rows, with whichever of the learners.

    A linear learner cannot learn what holds for one group alone, so the best learner may hide the loss.
    """
    measure, found = trials.question.headline, []
    for learner in trials.learners:
        for one in columns:
            was, now = (skills_of(trials.answers[learner, side], one, measure) for side in ("train", "synthetic"))
            k = int((was - now).argmax())
            found.append(
                {
                    "group": f"{one.column} = {one.labels[k]}",
                    "learner": learner,
                    "real": float(was[k]),
                    "synthetic": float(now[k]),
                    "loss": float(was[k] - now[k]),
                }
            )
    return max(found, key=lambda one: one["loss"])


def skills_of(answer: Answer, one: Divided, measure: str, weight: Weight = None) -> NDArray[np.float64]:
    """Return AUC (mean over classes) or R2 of each group, (groups,)."""
    out = []
    for k in range(len(one.labels)):
        rows = np.flatnonzero(one.level == k)
        part = Answer(answer.y[rows], answer.guess[rows], answer.shares, answer.classes)
        out.append(part.value(measure, None if weight is None else weight[rows]))
    return np.array(out)


def _told(one: Divided, asked: Question, classes: list[int]) -> tuple[Divided, list[str]]:
    """Return the groups in which the target can be told, and the names of the others with the reason."""
    y = asked.y["holdout"]
    good, skipped = [], []
    for k, label in enumerate(one.labels):
        mine = y[one.level == k]
        if asked.is_number:
            reason = "" if len(np.unique(mine)) > 1 else "the target has one value"
        else:
            inside = np.array([(mine == c).sum() for c in classes])
            lacks = (inside < LEAST) | (len(mine) - inside < LEAST)
            reason = f"fewer than {LEAST} rows inside or outside a class" if lacks.any() else ""
        if reason:
            skipped.append(f"{one.column} = {label}: {reason}")
        else:
            good.append(k)
    return kept(one, good), skipped


def _by_fold(folds: Folds, one: Divided, measure: str) -> NDArray[np.float64] | None:
    """Return the spread of the models without each fold; None where a group has too few of their rows."""
    few = Divided(one.column, one.labels, one.level[folds.tested])
    y = folds.answers["synthetic"][0].y
    for k in range(len(few.labels)):
        mine = y[few.level == k]
        if len(mine) < 2 or len(np.unique(mine)) < 2:
            return None
    return np.array([float(np.ptp(skills_of(answer, few, measure))) for answer in folds.answers["synthetic"]])
