"""Anonymity of the quasi-identifiers in the synthetic table: k-anonymity, l-diversity, t-closeness, k-map.

Rows that agree in all quasi-identifiers form a class. These measures describe tables of real people; a synthetic class
of one is nobody yet. They tell how much a reader who takes the rows for people could think to have found, and k-map how
many real people stand behind a class. Classes are counted in subjects, not rows.

References: Sweeney, k-anonymity, IJUFKS 10, 2002, doi:10.1142/S0218488502001648; Machanavajjhala, Kifer, Gehrke &
Venkitasubramaniam, l-diversity, ACM TKDD 1, 2007, doi:10.1145/1217299.1217302; Li, Li & Venkatasubramanian,
t-closeness, ICDE 2007, doi:10.1109/ICDE.2007.367856; Sweeney, Computational disclosure control, MIT 2001 (k-map).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.privacy.attacks import quasi_columns, secret_columns
from ehrsatz.evaluation.privacy.neighbours import keys
from ehrsatz.evaluation.space import MISSING_RANK, Comparison, Feature, View
from ehrsatz.evaluation.task import Task

TOP = 100.0  # larger counts are shown as this
LIMITS = (5, 11)  # usual least sizes: national statistics; 0.09 of EMA Policy 0070 and Health Canada


class KAnonymity(Metric):
    """Smallest number of synthetic subjects who share all quasi-identifiers; more is better, 100 at most is shown."""

    name = "k_anonymity"
    title = "k-anonymity"
    family = "privacy"
    theme = "Anonymity"
    goal = "maximise"
    low, high, ideal = 0.0, TOP, TOP
    tells = frozenset()
    what = "Synthetic subjects who agree in all quasi-identifiers form a class; the smallest class is the value."
    blind = "A synthetic class of one is no real person; a copy of train and a fresh sample score alike."
    reference = "Sweeney 2002, doi:10.1142/S0218488502001648"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        every = _views(comparison, self.task)
        smallest = {view.name: float(sizes(view, known, "synthetic").min()) for view, known in every}
        view, known = min(every, key=lambda one: smallest[one[0].name])
        made = sizes(view, known, "synthetic")
        counts = _by_class(view, known, "synthetic")
        value = float(made.min())
        below = {limit: float(counts[counts < limit].sum() / counts.sum()) for limit in LIMITS}
        return Score(
            self.name,
            min(TOP, value),
            None,
            min(TOP, float(sizes(view, known, "holdout").min())),
            view.samples["synthetic"].n,
            {"quasi": [one.name for one in known], "table": view.name, "shown_at_most": TOP},
            meaning=f"The smallest group of synthetic subjects alike in {_listed(known)} has {_members(value)}; "
            f"{100 * below[11]:.1f} % of them are in groups of fewer than 11.",
            details={
                "k": int(value),
                "classes": len(counts),
                "below": [{"size": limit, "share": share} for limit, share in below.items()],
                "sizes": _spread(counts),
            },
        )


class LDiversity(Metric):
    """Smallest number of different sensitive values in a class of synthetic rows; more is better, 1 states a value."""

    name = "l_diversity"
    title = "l-diversity"
    family = "privacy"
    theme = "Anonymity"
    goal = "maximise"
    low, high, ideal = 0.0, TOP, TOP
    tells = frozenset()
    what = "Within each class of equal quasi-identifiers the different values of each sensitive column are counted."
    blind = "It does not ask whether what a class states is true of anybody; tcap does."
    reference = "Machanavajjhala et al. 2007, doi:10.1145/1217299.1217302"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        found = _each_secret(comparison, self.task, lambda n, s: (float(diversity(n, s).min()), entropy(n, s)))
        view, known, secret, (value, least) = min(found, key=lambda one: (one[3][0], one[3][1]))
        number, stated = _codes(view, known, secret, "synthetic")
        counts = diversity(number, stated)
        alone = float((counts[number] == 1).mean())
        real = float(diversity(*_codes(view, known, secret, "holdout")).min())
        return Score(
            self.name,
            min(TOP, value),
            None,
            min(TOP, real),
            view.samples["synthetic"].n,
            {"quasi": [one.name for one in known], "secret": secret.name, "table": view.name, "shown_at_most": TOP},
            meaning=f"The synthetic group with the fewest different values of '{secret.name}' has {value:.0f}; "
            f"{100 * alone:.1f} % of the rows are in groups that state one value.",
            details={
                "l": int(value),
                "entropy_l": least,
                "stating_one": alone,
                "secrets": [{"table": v.name, "secret": s.name, "l": one[0]} for v, _, s, one in found],
            },
        )


class TCloseness(Metric):
    """Largest distance between the sensitive values of a class and of the whole table; 0 is best, 1 states a value."""

    name = "t_closeness"
    title = "t-closeness"
    family = "privacy"
    theme = "Anonymity"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    tells = frozenset()
    what = (
        "The earth mover's distance between a sensitive column in each class of equal quasi-identifiers and in the "
        "whole synthetic table: ordered for numbers, equal distances between levels."
    )
    blind = "Classes of a single row score high in any table; it does not ask whether the values are true of anybody."
    reference = "Li et al. 2007, doi:10.1109/ICDE.2007.367856"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        every = _views(comparison, self.task)
        found = []
        for view, quasi in every:
            for secret in secret_columns(view, self.task):
                known = tuple(one for one in quasi if one != secret)
                if known:
                    number, stated = _codes(view, known, secret, "synthetic")
                    found.append((view, known, secret, closeness(number, stated, ordered=secret.is_number)))
        if not found:
            raise Unmeasured("Not measured: a quasi-identifier and a sensitive column are needed.")
        view, known, secret, each = max(found, key=lambda one: float(one[3].max()))
        value = float(each.max())
        number, _ = _codes(view, known, secret, "synthetic")
        real = closeness(*_codes(view, known, secret, "holdout"), ordered=secret.is_number)
        return Score(
            self.name,
            value,
            None,
            float(real.max()),
            view.samples["synthetic"].n,
            {"quasi": [one.name for one in known], "secret": secret.name, "table": view.name},
            meaning=f"The synthetic group whose values of '{secret.name}' are least like the whole table's is "
            f"{value:.2f} away (0: alike, 1: another value altogether).",
            details={
                "mean": float(each[number].mean()),
                "secrets": [{"table": v.name, "secret": s.name, "t": float(t.max())} for v, _, s, t in found],
            },
        )


class KMap(Metric):
    """Smallest number of real subjects behind a synthetic class that any real subject matches; more is better."""

    name = "k_map"
    title = "k-map"
    family = "privacy"
    theme = "Anonymity"
    goal = "maximise"
    low, high, ideal = 0.0, TOP, TOP
    tells = frozenset()
    what = "Each synthetic class is looked up among the real subjects of both halves, who stand for the population."
    blind = "The population is larger than the real table, and its groups too; a fresh sample scores alike."
    reference = "Sweeney 2001"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        every = _views(comparison, self.task)
        least = []
        for view, known in every:
            behind = matching(view, known)
            if (behind > 0).any():
                least.append((float(behind[behind > 0].min()), view, known, behind))
        if not least:
            raise Unmeasured("Not measured: no synthetic row has the quasi-identifiers of a real subject.")
        value, view, known, behind = min(least, key=lambda one: one[0])
        rare = {limit: float(((behind > 0) & (behind < limit)).mean()) for limit in LIMITS}
        return Score(
            self.name,
            min(TOP, value),
            None,
            None,
            len(behind),
            {"quasi": [one.name for one in known], "table": view.name, "shown_at_most": TOP},
            meaning=f"The synthetic rows' rarest quasi-identifiers that real people have at all are shared by "
            f"{value:.0f} real subject{'' if value == 1 else 's'}; {100 * rare[11]:.1f} % of the rows fit fewer than "
            f"11, {100 * float((behind == 0).mean()):.1f} % fit nobody.",
            details={
                "k": int(value),
                "fit_nobody": float((behind == 0).mean()),
                "below": [{"size": limit, "share": share} for limit, share in rare.items()],
            },
        )


# ---------------------------------------------------------------------- classes
def sizes(view: View, known: tuple[Feature, ...], key: str) -> NDArray[np.int64]:
    """Return the number of subjects in the class of each row of a dataset."""
    code = keys(view, known)[key]
    _, number = np.unique(code, return_inverse=True)
    return subjects_in(number, view.samples[key].group)[number]


def _by_class(view: View, known: tuple[Feature, ...], key: str) -> NDArray[np.int64]:
    _, number = np.unique(keys(view, known)[key], return_inverse=True)
    return subjects_in(number, view.samples[key].group)


def subjects_in(number: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of different subjects in each class, by its number."""
    pairs = np.unique(np.column_stack([number, group]), axis=0) if len(np.unique(group)) < len(group) else None
    return np.bincount(number if pairs is None else pairs[:, 0])


def matching(view: View, known: tuple[Feature, ...]) -> NDArray[np.int64]:
    """Return for each synthetic row how many real subjects have its quasi-identifiers."""
    code = keys(view, known)
    shift = int(view.samples["train"].group.max(initial=-1)) + 1
    values, number = np.unique(np.concatenate([code["train"], code["holdout"]]), return_inverse=True)
    group = np.concatenate([view.samples["train"].group, view.samples["holdout"].group + shift])
    size = subjects_in(number, group)
    place = np.minimum(np.searchsorted(values, code["synthetic"]), len(values) - 1)
    return np.where(values[place] == code["synthetic"], size[place], 0)


def diversity(number: NDArray[np.int64], stated: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of different sensitive values in each class."""
    return np.bincount(np.unique(np.column_stack([number, stated]), axis=0)[:, 0])


def entropy(number: NDArray[np.int64], stated: NDArray[np.int64]) -> float:
    """Return the smallest effective number of sensitive values of a class: exp of its entropy."""
    pairs, count = np.unique(np.column_stack([number, stated]), axis=0, return_counts=True)
    share = count / np.bincount(number)[pairs[:, 0]]
    return float(np.exp(-np.bincount(pairs[:, 0], share * np.log(share))).min())


def closeness(number: NDArray[np.int64], stated: NDArray[np.int64], *, ordered: bool) -> NDArray[np.float64]:
    """Return the earth mover's distance of each class to the whole, in [0, 1].

    Parameters
    ----------
    number
        (R,) class of each row.
    stated
        (R,) sensitive value, 0 up without gaps, in order where ordered.
    ordered
        Whether values are numbers: neighbours in order are 1 / (values - 1) apart; else all are 1 apart.
    """
    n_values, n_classes = int(stated.max()) + 1, int(number.max()) + 1
    whole = np.bincount(stated, minlength=n_values) / len(stated)
    size = np.bincount(number, minlength=n_classes)
    pairs, count = np.unique(np.column_stack([number, stated]), axis=0, return_counts=True)
    share = count / size[pairs[:, 0]]
    if not ordered or n_values < 2:
        gap = np.abs(share - whole[pairs[:, 1]]) - whole[pairs[:, 1]]  # values that a class lacks add their share
        return np.clip((np.bincount(pairs[:, 0], gap, n_classes) + 1) / 2, 0, 1)
    # |F_class - F_whole| summed over values; F_class is constant between the values of a class
    level = np.cumsum(whole)
    up = np.concatenate([[0.0], np.cumsum(level)])  # up[i]: sum of level before value i
    last = np.r_[pairs[1:, 0] != pairs[:-1, 0], True]
    total = np.cumsum(share)
    base = np.r_[0.0, total[last]][np.cumsum(np.r_[False, last[:-1]])]
    inside = np.clip(total - base, 0, 1)  # F_class at and after this value
    stop = np.where(last, n_values, np.r_[pairs[1:, 1], 0])
    turn = np.clip(np.searchsorted(level, inside, "left"), pairs[:, 1], stop)
    start = pairs[:, 1]
    area = inside * (turn - start) - (up[turn] - up[start]) + (up[stop] - up[turn]) - inside * (stop - turn)
    first = np.r_[True, pairs[1:, 0] != pairs[:-1, 0]]
    area = area + np.where(first, up[start], 0.0)
    return np.clip(np.bincount(pairs[:, 0], area, n_classes) / (n_values - 1), 0, 1)


def _codes(
    view: View, known: tuple[Feature, ...], secret: Feature, key: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the class and the sensitive value of each row, both numbered 0 up; missing is a value, the last number."""
    number = np.unique(keys(view, known)[key], return_inverse=True)[1]
    sample = view.samples[key]
    if not secret.is_number:
        return number, np.unique(sample.codes[:, secret.slot], return_inverse=True)[1]
    cells = np.where(sample.rank[:, secret.slot] == MISSING_RANK, np.inf, sample.raw[:, secret.slot])
    return number, np.unique(cells, return_inverse=True)[1]


def _views(comparison: Comparison, task: Task) -> list[tuple[View, tuple[Feature, ...]]]:
    found = [(view, known) for view in comparison.joint if (known := quasi_columns(view, task))]
    if not found:
        raise Unmeasured("Not measured: no column is named, or marked in the schema, as a quasi-identifier.")
    return found


def _each_secret(
    comparison: Comparison, task: Task, measure: Callable[[NDArray[np.int64], NDArray[np.int64]], Any]
) -> list[tuple[View, tuple[Feature, ...], Feature, Any]]:
    found = []
    for view, quasi in _views(comparison, task):
        for secret in secret_columns(view, task):
            known = tuple(one for one in quasi if one != secret)
            if known:
                found.append((view, known, secret, measure(*_codes(view, known, secret, "synthetic"))))
    if not found:
        raise Unmeasured("Not measured: a quasi-identifier and a sensitive column are needed.")
    return found


def _members(n: float) -> str:
    return f"{n:.0f} member{'' if n == 1 else 's'}"


def _listed(known: tuple[Feature, ...]) -> str:
    names = [one.name for one in known]
    return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:6])} and {len(names) - 6} more columns"


def _spread(counts: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return how many subjects are in classes of each size."""
    edges = (1, 2, 5, 11, 21, 51, 101)
    out = []
    for low, high in zip(edges, (*edges[1:], None)):
        inside = (counts >= low) & (counts < (high or np.inf))
        out.append({"from": low, "to": None if high is None else high - 1, "subjects": int(counts[inside].sum())})
    return out
