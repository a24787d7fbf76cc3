"""Did anything of the training subjects go into the synthetic rows? One exact test of several hundred signs of it.

Where nothing leaks, trained-on and held-out subjects cannot be told apart by where the synthetic rows lie. The test
counts, in structures that were fixed without looking at who was trained on, how often the trained-on subjects come out
nearer: equal rows; nearest rows over all columns, the most suspicious first; rows near outliers; rows near each
subgroup; and rows in up to 200 triples of columns, since a generator may keep three values of a patient and redraw the
rest. `permutation.permute` gives one exact p-value for all of them and says which sign it was.

What differs from the literature: Yao et al. (The DCR Delusion, 2025, arXiv:2505.01524) show that shares of distances
pass where membership attacks succeed; here the distances are ordered by suspicion, taken in small sets of columns and
for outliers and subgroups, and tested instead of compared with a threshold. The exchange of labels follows Westfall &
Young, Resampling-Based Multiple Testing, 1993.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import wilson
from ehrsatz.evaluation.privacy.attacks import differing
from ehrsatz.evaluation.privacy.neighbours import keys
from ehrsatz.evaluation.privacy.permutation import Test, permute
from ehrsatz.evaluation.privacy.structures import (
    SUBSET_ROWS,
    Structure,
    Table,
    choose_subsets,
    coordinates,
    group_masks,
    in_subset,
    some_subjects,
    structure,
    subject_numbers,
)
from ehrsatz.evaluation.space import Comparison, View
from ehrsatz.evaluation.task import Task

FAMILIES = ("equal rows", "whole rows", "outliers", "subgroups", "a few columns")
TOPS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5)
LEAST = 10
MAX_EQUAL = 10_000
RARE = 3
MAX_GROUPS = 40
ALARM = 0.05


@dataclass(frozen=True)
class Statistic:
    """One sign: a weight per pool row, fixed without labels.

    `counts` says whether the weights count synthetic rows, so that a share of copied rows can be estimated.
    """

    family: int
    words: str
    weights: NDArray[np.float32]
    counts: bool = False
    group: str | None = None
    columns: tuple[str, ...] = ()
    size: int = 0  # real rows of the group


@dataclass(frozen=True)
class Found:
    """A view's test."""

    view: View
    statistics: list[Statistic]
    test: Test
    structure: Structure
    equal: Equal


class Leak(Metric):
    """p-value of an exact test that the synthetic rows know nothing of who was trained on.

    A fresh sample of the population scores any value from 0 to 1 alike, a copy of train at most 0.01; below 0.05 is
    a leak, with one false alarm in twenty honest tables.
    """

    name = "leak"
    title = "Leak of training subjects"
    family = "privacy"
    theme = "Copies"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows"})
    what = (
        "Several hundred signs of copying (equal rows, nearest rows, outliers, subgroups, triples of columns) are "
        "compared with what they are when the labels trained-on and held-out are exchanged between subjects."
    )
    blind = (
        "It assumes that the holdout was drawn at random from the same people; it does not see copies of fewer than "
        "about ten subjects, nor values kept in columns of few levels that many people share. It finds any trace, also "
        "the small one that a model learned without noise keeps of its rows: how many are affected stands beside it."
    )
    reference = "Westfall & Young 1993; Yao et al. 2025, arXiv:2505.01524"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = [one for view in comparison.joint if (one := search_leak(comparison, self.task, view, seed))]
        if not found:
            raise Unmeasured("Not measured: no column takes more than one value.")
        worst = min(found, key=lambda one: one.test.value)
        test, n_views = worst.test, len(found)
        value = min(1.0, n_views * test.value)
        low, high = (min(1.0, n_views * end) for end in test.interval)
        told = describe(worst)
        return Score(
            self.name,
            value,
            (low, high),
            0.5,
            worst.view.samples["synthetic"].n,
            {
                "table": worst.view.name,
                "tables": n_views,
                "statistics": len(worst.statistics),
                "exchanges": test.n - 1,
                "rows_real": worst.structure.pool.n,
                "rows_synthetic": len(worst.structure.nearest),
                "rows_in_triples": min(SUBSET_ROWS, worst.view.samples["synthetic"].n),
            },
            meaning=_meaning(value, told),
            details=told,
        )


def _meaning(value: float, told: dict[str, Any]) -> str:
    if value > ALARM:
        return (
            f"No leak found: signs as strong as here come in {100 * value:.0f} of 100 tables that know nothing of "
            "who was trained on."
        )
    strongest = told["statistics"][0]
    text = (
        f"A leak: signs as strong as here come in {100 * value:.1f} of 100 tables that know nothing of who was trained "
        f"on. Strongest: {strongest['name']}"
    )
    if told["affected"] is not None:
        low, high = told["affected"]["interval"]
        text += f"; the excess is as if {100 * told['affected']['share']:.1f} % of the synthetic rows were copied there"
        text += f" ({100 * low:.1f} to {100 * high:.1f} %), whole or in part"
    if told["exposed"]["group"] is not None:
        text += f"; most exposed: {told['exposed']['group']}"
    elif told["exposed"]["outliers"]:
        text += "; unusual patients are among the exposed"
    return text + "."


def search_leak(comparison: Comparison, task: Task, view: View, seed: int) -> Found | None:
    """Test a view, once for all metrics; None where all rows are alike."""
    key = ("leak", view.name, task.groups, task.quasi, task.secrets, seed)
    out: Found | None = comparison.once(key, lambda: _search(comparison, task, view, seed))
    return out


def _search(comparison: Comparison, task: Task, view: View, seed: int) -> Found | None:
    if not any(differing(view, one) for one in view.features):
        return None
    base = structure(comparison, view, seed)
    equal = _equal(view, seed)
    every = [
        *equal.statistics,
        *_whole(base),
        *_outliers(base),
        *_groups(comparison, task, view, base),
        *_triples(view, task, base, seed),
    ]
    every = [one for one in every if one.family == 0 or one.weights.min() < one.weights.max()]
    if not every:
        return None
    pool = base.pool
    rows = np.zeros((len(every), pool.n + len(equal.rows)), np.float32)
    for k, one in enumerate(every):
        if one.family == 0:
            rows[k, pool.n :] = one.weights
        else:
            rows[k, : pool.n] = one.weights
    subjects, number = np.unique(np.concatenate([pool.subject, equal.subject]), return_inverse=True)
    weights = rows
    if len(subjects) < rows.shape[1]:
        weights = np.stack([np.bincount(number, row, len(subjects)) for row in rows]).astype(np.float32)
    is_train = np.zeros(len(subjects), bool)
    is_train[number] = np.concatenate([pool.is_train, equal.is_train])
    if len(subjects) == rows.shape[1]:  # one column per row, in the order of the rows
        is_train = np.concatenate([pool.is_train, equal.is_train])
    _, family = np.unique([one.family for one in every], return_inverse=True)
    test = permute(weights, family, is_train, pool.sizes, view.rng(seed, "leak", "labels"))
    return Found(view, every, test, base, equal)


def _count(which: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    return np.bincount(which, minlength=n).astype(np.float32)


def _centred(values: NDArray[np.float64], among: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Return mid-ranks in (-1, 1), zero outside `among`."""
    mask = np.ones(len(values), bool) if among is None else among
    inside = values[mask]
    ordered = np.sort(inside)
    rank = np.searchsorted(ordered, inside, "left") + np.searchsorted(ordered, inside, "right")
    out = np.zeros(len(values), np.float32)
    out[mask] = rank / max(1, len(inside)) - 1
    return out


def _cuts(n: int) -> list[int]:
    return sorted({min(n, max(LEAST, round(share * n))) for share in TOPS})


@dataclass(frozen=True)
class Equal:
    """Real rows that equal a synthetic row: their places in train and holdout, labels and subjects.

    `coverage` is the share of the equal synthetic rows whose real rows are here.
    """

    rows: NDArray[np.int64]
    is_train: NDArray[np.bool_]
    subject: NDArray[np.int64]
    statistics: list[Statistic]
    coverage: float


def _equal(view: View, seed: int) -> Equal:
    """Count rows that equal a synthetic row: real ones once each, and synthetic ones shared among the equal real.

    A row that more than three real people share singles nobody out and is left out.
    """
    by_row = keys(view)
    real = np.concatenate([by_row["train"], by_row["holdout"]])
    values, number, n_real = np.unique(real, return_inverse=True, return_counts=True)
    place = np.minimum(np.searchsorted(values, by_row["synthetic"]), len(values) - 1)
    hit = values[place] == by_row["synthetic"]
    n_made = np.bincount(place[hit], minlength=len(values))
    is_equal = ((n_made > 0) & (n_real <= RARE))[number]
    subject = subject_numbers(view)
    rows = some_subjects(subject, is_equal, MAX_EQUAL, view.rng(seed, "leak", "equal"))
    once = np.ones(len(rows), np.float32)
    shared = (n_made / n_real)[number]
    whole = float(shared[is_equal].sum())
    statistics = [
        Statistic(0, "real rows that equal a synthetic row", once),
        Statistic(0, "synthetic rows that equal a real row", shared[rows].astype(np.float32), counts=True),
    ]
    covered = float(shared[rows].sum()) / whole if whole else 1.0
    n_train = view.samples["train"].n
    return Equal(rows, rows < n_train, subject[rows], statistics if len(rows) else [], max(covered, 1e-9))


def _whole(base: Structure) -> list[Statistic]:
    out = []
    n, m = base.pool.n, len(base.nearest)
    for words, order in (
        ("nearest real row, those nearest in proportion first", np.argsort(base.ratio, kind="stable")),
        ("nearest real row, those nearest first", np.argsort(base.first, kind="stable")),
    ):
        for cut in _cuts(m):
            text = f"{words}: the first {cut:,} synthetic rows"
            out.append(Statistic(1, text, _count(base.nearest[order[:cut]], n), counts=True))
    out.append(Statistic(1, "nearest real row: all synthetic rows", _count(base.nearest, n), counts=True))
    for words, score in (("distance to the nearest synthetic row", -base.reach), ("pull of synthetic rows", base.pull)):
        out.append(Statistic(1, f"{words}: all real rows", _centred(score)))
        ordered = np.argsort(-score, kind="stable")
        for share in (0.01, 0.05):
            weights = np.zeros(n, np.float32)
            weights[ordered[: max(LEAST, round(share * n))]] = 1
            out.append(Statistic(1, f"{words}: the {100 * share:.0f} % of real rows where it is strongest", weights))
    return out


def _within(base: Structure, family: int, name: str, mask: NDArray[np.bool_], group: str | None) -> list[Statistic]:
    """Signs among some real rows only."""
    n, m = base.pool.n, len(base.nearest)
    inside = mask[base.nearest]
    order = np.argsort(base.ratio, kind="stable")
    out = []
    for share in (0.05, 0.25):
        chosen = order[: max(LEAST, round(share * m))]
        chosen = chosen[inside[chosen]]
        words = f"{name}: nearest real row, the first {100 * share:.0f} % of the synthetic rows"
        out.append(Statistic(family, words, _count(base.nearest[chosen], n), True, group, size=int(mask.sum())))
    words = f"{name}: nearest real row"
    out.append(Statistic(family, words, _count(base.nearest[inside], n), True, group))
    out.append(Statistic(family, f"{name}: pull of synthetic rows", _centred(base.pull, mask), group=group))
    return out


def _outliers(base: Structure) -> list[Statistic]:
    return _within(base, 2, "unusual patients", base.outlier, None)


def _groups(comparison: Comparison, task: Task, view: View, base: Structure) -> list[Statistic]:
    out = []
    for one, mask in group_masks(comparison, task, view, base.pool)[:MAX_GROUPS]:
        out += _within(base, 3, one.name, mask, one.name)
    return out


def _triples(view: View, task: Task, base: Structure, seed: int) -> list[Statistic]:
    pool = base.pool
    if pool.n < 2:
        return []
    triples = choose_subsets(view, task, view.rng(seed, "leak", "triples"))
    used = tuple(dict.fromkeys(one for triple in triples for one in triple))
    if not used:
        return []
    real = Table.of(pool.gather(coordinates(view, used, "train"), coordinates(view, used, "holdout")))
    sample = view.samples["synthetic"]
    some = view.rng(seed, "leak", "in triples").permutation(sample.n)[:SUBSET_ROWS]
    made = coordinates(view, used, "synthetic")[some]
    slot = {one: i for i, one in enumerate(used)}
    out = []
    for triple in triples:
        columns = [slot[one] for one in triple]
        which, ratio, alone = in_subset(real, made, columns)
        names = tuple(one.name for one in triple)
        order = np.argsort(ratio, kind="stable")
        first = order[: max(LEAST, round(0.05 * len(order)))]
        first = first[ratio[first] < 1]
        words = ", ".join(names)
        out.append(
            Statistic(4, f"{words}: equal to one real row alone", _count(which[alone], pool.n), True, None, names)
        )
        clear = ratio < 1
        for sign, rows in (
            ("equal to one real row alone", which[alone]),
            ("nearest first, 5 %", which[first]),
            ("nearest", which[clear]),
        ):
            out.append(Statistic(4, f"{words}: {sign}", _count(rows, pool.n), True, columns=names))
    return out


def describe(found: Found) -> dict[str, Any]:
    """Say which signs were strongest, who is exposed and how many rows are affected, in plain JSON types."""
    test, every = found.test, found.statistics
    strength = np.lexsort((-test.z, test.adjusted))
    present = sorted({one.family for one in every})
    rows = [
        {
            "name": every[k].words,
            "family": FAMILIES[every[k].family],
            "observed": float(test.observed[k]),
            "expected": float(test.expected[k]),
            "p": float(test.p[k]),
            "adjusted": float(test.adjusted[k]),
        }
        for k in strength[:20]
    ]
    groups: dict[str, float] = {}
    for k in strength:
        name = every[k].group
        if name is not None and name not in groups:
            groups[name] = float(test.within[k])
    outliers = [float(test.within[k]) for k, one in enumerate(every) if one.family == 2]
    is_leak = test.value <= ALARM
    columns = every[int(strength[0])].columns
    return {
        "statistics": rows,
        "families": {FAMILIES[one]: float(test.family[i]) for i, one in enumerate(present)},
        "exposed": {
            "group": _most_exposed(found, groups) if is_leak else None,
            "groups": [{"group": name, "p": p} for name, p in list(groups.items())[:40]],
            "outliers": is_leak and min(outliers, default=1.0) <= ALARM,
            "outliers_p": min(outliers, default=1.0),
            "columns": list(columns) if is_leak else [],
        },
        "affected": _affected(found) if is_leak else None,
        "table": found.view.name,
    }


def _excess(found: Found, k: int) -> tuple[float, float, float]:
    """Return how many counted synthetic rows are copies, with its 95 % interval.

    Of m counted rows, c copies all lie at trained-on subjects and the others there by the share of the trained-on, q:
    observed = c + (m - c) q.
    """
    pool = found.structure.pool
    m, q = float(found.statistics[k].weights.sum()), pool.sizes[0] / sum(pool.sizes)
    if m <= 0:
        return 0.0, 0.0, 0.0
    hits = min(float(found.test.observed[k]), m)
    low, high = wilson(hits, max(1, round(m))) if hits <= round(m) else (hits / m, 1.0)
    value, lower, upper = (m * min(1.0, max(0.0, (share - q) / (1 - q))) for share in (hits / m, low, high))
    return value, min(lower, value), max(upper, value)


def _most_exposed(found: Found, groups: dict[str, float]) -> str | None:
    """Return the group of which half as many again are copied as of all, beyond chance; the first by that share."""
    every, pool = found.statistics, found.structure.pool
    cut = min(len(found.structure.nearest), max(LEAST, round(0.05 * len(found.structure.nearest))))
    words = f"proportion first: the first {cut:,} synthetic rows"
    whole = [k for k, one in enumerate(every) if one.family == 1 and one.words.endswith(words)]
    if not whole:
        return None
    overall = _excess(found, whole[0])[0] / pool.n
    rates = {}
    for k, one in enumerate(every):
        if one.group is not None and one.size and groups[one.group] <= ALARM and "the first 5 %" in one.words:
            rates[one.group] = _excess(found, k)[1] / one.size
    best = max(rates, key=lambda name: rates[name], default=None)
    return best if best is not None and rates[best] > 1.5 * overall else None


def _affected(found: Found) -> dict[str, Any] | None:
    """Estimate how many synthetic rows are copies: in all columns where a sign of that is beyond chance, else in a few.

    The sign with the largest lower end of the interval is taken. Where only some real rows were looked at, as many
    copies of the others are taken to be there.
    """
    test, every = found.test, found.statistics
    counted = [k for k, one in enumerate(every) if one.counts and test.adjusted[k] <= ALARM]
    whole = [k for k in counted if every[k].family in {0, 1}]
    if not counted:
        return None
    n = found.view.samples["synthetic"].n
    shares = {}
    for k in whole or counted:
        one = every[k]
        looked_up = min(SUBSET_ROWS, n) if one.columns else n if one.family == 0 else len(found.structure.nearest)
        seen = looked_up * (found.equal.coverage if one.family == 0 else found.structure.pool.coverage)
        shares[k] = [min(1.0, rows / seen) for rows in _excess(found, k)]
    best = max(shares, key=lambda k: shares[k][1])
    value, low, high = shares[best]
    return {"share": value, "rows": round(value * n), "interval": [low, high], "sign": every[best].words}
