"""From a formula and coded tables to the matrices that regressions read, the same columns for every dataset.

Numbers enter as they are (date and datetime as days), categories and booleans by treatment coding: a column per level
but one. The reference level of a category is the most frequent real one, of a boolean "false". Levels of fewer than
five real subjects, in train or in holdout, are pooled. Rows with a missing cell take no part. Interactions get the
columns that those before them lack (as in R), so that no column follows from others by construction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from ehrsatz.errors import nearest
from ehrsatz.evaluation.space import Comparison, Feature, Sample, View
from ehrsatz.evaluation.utility.formula import Factor, Formula, Term, read_formula
from ehrsatz.evaluation.utility.glm import INTERCEPT, Array, Model, NoEstimate
from ehrsatz.schema import MIN_SUBJECTS

POOLED = "other levels"
MAX_LEVELS = 30  # beyond the most frequent, levels are pooled
MAX_COLUMNS = 200
REAL = ("train", "holdout")


@dataclass(frozen=True)
class Matrix:
    """The complete rows of one dataset as a regression reads them.

    x
        (N, K) with a column of ones first where there is an intercept.
    y
        (N,) outcome: number, count, 0 or 1; the duration, for survival.
    event
        (N,) for survival.
    group
        (N,) subject of each row.
    left_out
        Reason -> number of rows.
    """

    x: Array
    y: Array
    event: NDArray[np.bool_] | None
    group: NDArray[np.int64]
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def subjects(self) -> int:
        """Distinct subjects."""
        return len(np.unique(self.group))


@dataclass(frozen=True)
class _Levels:
    """Coding of a factor with levels: code of the space -> column; names of the columns, the reference first."""

    names: tuple[str, ...]
    place: dict[float, int]  # code or value -> level; what is absent is left out


@dataclass(frozen=True)
class Design:
    """A formula bound to the columns of a comparison, with a coding learned from its real rows.

    formula
        What was asked.
    model
        What the outcome makes of it.
    names
        Names of the K columns.
    positive
        For logistic regression, the level whose probability is modelled.
    """

    formula: Formula
    model: Model
    names: tuple[str, ...]
    positive: str | None
    bound: dict[str, Feature]
    levels: dict[tuple[str, str], _Levels]
    blocks: tuple[tuple[Term, tuple[bool, ...]], ...]
    view: str

    def matrix(self, comparison: Comparison, key: str) -> Matrix:
        """Return one dataset of a comparison as matrices.

        Parameters
        ----------
        comparison
            The one that the design was made of, or one with other synthetic rows and the same real ones, of at least
            the columns of the formula.
        key
            "train", "holdout" or "synthetic".
        """
        view = next(one for one in comparison.views if one.name == self.view)
        places = {one.name: one for one in view.features}
        here = {name: places[feature.name] for name, feature in self.bound.items()}
        return replace(self, bound=here)._matrix(view.samples[key])

    def _matrix(self, sample: Sample) -> Matrix:
        cells = {one.key: self._factor(sample, one) for one in self.formula.factors}
        y, event, outside = self._outcome(sample)
        missing = np.zeros(sample.n, bool)
        for one in (*self.formula.factors, self.formula.outcome, *filter(None, [self.formula.event])):
            missing |= is_missing(sample, self.bound[one.column])
        gone = np.isnan(y) | outside
        for column in cells.values():
            gone |= np.isnan(column)
        keep = np.flatnonzero(~gone & ~missing)
        counts = {"missing cells": int(missing.sum()), "values outside the formula": int((gone & ~missing).sum())}
        parts = [np.ones((len(keep), 1))] if self.formula.intercept else []
        for term, full in self.blocks:
            parts.append(self._columns({k: c[keep] for k, c in cells.items()}, term, full))
        return Matrix(
            np.column_stack(parts) if parts else np.empty((len(keep), 0)),
            y[keep],
            None if event is None else event[keep],
            sample.group[keep],
            {reason: n for reason, n in counts.items() if n},
        )

    def _factor(self, sample: Sample, factor: Factor) -> Array:
        """Return a number per row, or the place of its level; NaN where it has neither."""
        feature = self.bound[factor.column]
        raw = values(sample, feature)
        levels = self.levels.get(factor.key)
        if levels is not None:
            return _placed(raw, levels)
        return transformed(raw, factor.kind)

    def _columns(self, cells: dict[tuple[str, str], Array], term: Term, full: tuple[bool, ...]) -> Array:
        n = len(next(iter(cells.values())))
        out = np.ones((n, 1))
        for factor, whole in zip(term, full):
            levels = self.levels.get(factor.key)
            column = cells[factor.key]
            if levels is None:
                block = column[:, None]
            else:
                first = 0 if whole else 1
                block = (column[:, None] == np.arange(first, len(levels.names))).astype(np.float64)
            out = (out[:, :, None] * block[:, None, :]).reshape(n, -1)  # (N, a), (N, b) -> (N, a b)
        return out

    def _outcome(self, sample: Sample) -> tuple[Array, NDArray[np.bool_] | None, NDArray[np.bool_]]:
        formula = self.formula
        feature = self.bound[formula.outcome.column]
        y = values(sample, feature)
        nothing = np.zeros(sample.n, bool)
        if self.model == "hazards":
            assert formula.event is not None
            event = zero_one(sample, self.bound[formula.event.column])
            return y, event == 1, (y < 0) | np.isnan(event)
        if self.model == "logistic":
            return _placed(y, self.levels[("outcome", formula.outcome.column)]), None, nothing
        if self.model == "poisson":
            return y, None, (y < 0) | (y != np.round(y))
        return transformed(y, formula.outcome.kind), None, nothing


def bind(formula: Formula, comparison: Comparison) -> Design:
    """Find a formula's columns in a comparison and learn their coding from its real rows.

    Parameters
    ----------
    formula
        What is asked.
    comparison
        Datasets in one coding.

    Raises
    ------
    ScenarioError
        When a column is unknown, of the wrong kind, or in another table; by position in the formula.
    NoEstimate
        When the real rows leave nothing to estimate.
    """
    view, bound = _locate(formula, comparison)
    real = {key: view.samples[key] for key in REAL}
    _check_real(formula, bound, real)
    whole = {key: ~_incomplete(formula, bound, sample) for key, sample in real.items()}
    for key, mask in whole.items():
        if not mask.any():
            raise NoEstimate(f"no row of {key} is complete in the columns of the formula")
    model, levels, positive = _model(formula, bound, real, whole)
    for factor in formula.factors:
        feature = bound[factor.column]
        if factor.kind == "C" or (factor.kind == "plain" and not feature.is_number):
            levels[factor.key] = _levels(factor, feature, real, whole)
    blocks = tuple(_blocks(formula, levels))
    names = [INTERCEPT] if formula.intercept else []
    for term, full in blocks:
        names += _names(term, full, levels)
    if len(names) > MAX_COLUMNS:
        raise NoEstimate(f"the formula makes {len(names)} columns, more than {MAX_COLUMNS}")
    if names in ([], [INTERCEPT]):
        raise NoEstimate("no column of the formula has more than one level")
    return Design(formula, model, tuple(names), positive, bound, levels, blocks, view.name)


def check_formulas(formulas: Iterable[str], comparison: Comparison) -> None:
    """Refuse formulas that cannot be read, or name what is not there, before anything is measured.

    Parameters
    ----------
    formulas
        Their texts.
    comparison
        Datasets in one coding.

    Raises
    ------
    ScenarioError
        With the character at which the first wrong formula goes wrong.
    """
    for text in formulas:
        try:
            bind(read_formula(text), comparison)
        except NoEstimate:
            continue  # a formula that these rows cannot answer is said in the score


def is_missing(sample: Sample, feature: Feature) -> NDArray[np.bool_]:
    """Say which rows have no cell in a column."""
    if feature.is_number:
        return np.isnan(sample.raw[:, feature.slot])
    return np.asarray(sample.codes[:, feature.slot] == 0)


def values(sample: Sample, feature: Feature) -> Array:
    """Return a column as numbers: its values, or the codes of its levels; NaN where missing."""
    if feature.is_number:
        return sample.raw[:, feature.slot]
    codes = sample.codes[:, feature.slot].astype(np.float64)
    return np.where(codes == 0, np.nan, codes)


def transformed(cells: Array, kind: str) -> Array:
    """Return log or square root where it exists, NaN elsewhere; other kinds as they are."""
    if kind == "log":
        return np.where(cells > 0, np.log(np.where(cells > 0, cells, 1.0)), np.nan)
    if kind == "sqrt":
        return np.where(cells >= 0, np.sqrt(np.where(cells >= 0, cells, 0.0)), np.nan)
    return cells


def zero_one(sample: Sample, feature: Feature) -> Array:
    """Return an event column as 0 and 1, NaN where it is missing or neither."""
    cells = values(sample, feature)
    if feature.is_number:
        return np.where((cells == 0) | (cells == 1), cells, np.nan)
    meaning = {i + 1.0: float(one.lower() in {"1", "true"}) for i, one in enumerate(feature.levels) if _is_flag(one)}
    out = np.full(len(cells), np.nan)
    for code, flag in meaning.items():
        out[cells == code] = flag
    return out


def _is_flag(level: str) -> bool:
    return level.lower() in {"0", "1", "true", "false"}


# ---------------------------------------------------------------------- columns
def _locate(formula: Formula, comparison: Comparison) -> tuple[View, dict[str, Feature]]:
    asked = [formula.outcome, *filter(None, [formula.event]), *formula.factors]
    homes: dict[str, tuple[View, Feature]] = {}
    known = [one.name for view in comparison.joint for one in view.features if one.own]
    for factor in asked:
        found = [
            (view, one)
            for view in comparison.joint
            for one in view.features
            if one.own and factor.column in {one.name, f"{one.table}.{one.name}"}
        ]
        if not found:
            formula.wrong(
                factor.position,
                "Expected a column that can be compared.",
                f"'{factor.column}' is none of the {len(known)} columns.{nearest(factor.column, known)}",
                "Identifiers, free text and withheld columns take no part.",
            )
        homes[factor.column] = found[0]
    tables = list(dict.fromkeys(view.name for view, _ in homes.values()))
    for view in comparison.joint:
        bound = {}
        for name, (home, feature) in homes.items():
            label = feature.name if home.name == view.name else f"{home.name}.{feature.name}"
            match = next((one for one in view.features if one.name == label), None)
            if match is not None and (home.name == view.name or not match.own):
                bound[name] = match
        if len(bound) == len(homes) and view.name in tables:
            return view, bound
    last = next(one for one in asked if homes[one.column][0].name != tables[0])
    formula.wrong(
        last.position,
        "Expected columns of one table, or of a table and its parent.",
        f"'{last.column}' is in another table than '{asked[0].column}'",
        "Make one table of them first.",
    )


def _check_real(formula: Formula, bound: dict[str, Feature], real: dict[str, Sample]) -> None:
    """Refuse what the real data cannot mean: a logarithm of a category or of zero, counts below zero, odd events."""
    for one in (formula.outcome, *formula.factors):
        feature = bound[one.column]
        if one.kind in {"log", "sqrt"} and not feature.is_number:
            formula.wrong(
                one.position,
                f"Expected a number in {one.kind}().",
                f"'{one.column}' is of kind {feature.kind}",
                f"Leave out {one.kind}(), or name another column.",
            )
        if one.kind in {"log", "sqrt"}:
            cells = np.concatenate([values(sample, feature) for sample in real.values()])
            bad = int((cells <= 0).sum() if one.kind == "log" else (cells < 0).sum())
            if bad:
                what = "not above zero" if one.kind == "log" else "below zero"
                formula.wrong(
                    one.position,
                    f"Expected numbers that {one.kind}() is defined for.",
                    f"'{one.column}' is {what} in {bad:,} of {len(cells):,} real rows",
                    "Use the column as it is, or sqrt() where zero occurs; or make what cannot be a value missing.",
                )
    feature = bound[formula.outcome.column]
    cells = np.concatenate([values(sample, feature) for sample in real.values()])
    if formula.model in {"poisson", "survival"} and not feature.is_number:
        what = "counts" if formula.model == "poisson" else "a duration"
        formula.wrong(
            formula.outcome.position,
            f"Expected {what} as a number.",
            f"'{formula.outcome.column}' is of kind {feature.kind}",
            "Name another column.",
        )
    if formula.model == "poisson":
        bad = int(((cells < 0) | (cells != np.round(cells)))[~np.isnan(cells)].sum())
        if bad:
            formula.wrong(
                formula.outcome.position,
                "Expected counts: whole numbers from 0 on.",
                f"'{formula.outcome.column}' is none in {bad:,} of {len(cells):,} real rows",
                "Leave out poisson() for a linear regression.",
            )
    if formula.model == "survival":
        assert formula.event is not None
        bad = int((cells < 0).sum())
        if bad:
            formula.wrong(
                formula.outcome.position,
                "Expected durations from 0 on.",
                f"'{formula.outcome.column}' is negative in {bad:,} of {len(cells):,} real rows",
                "Correct or remove those rows.",
            )
        odd = sum(odd_events(sample, bound[formula.event.column]) for sample in real.values())
        if odd:
            formula.wrong(
                formula.event.position,
                "Expected an event column of 0 and 1, or of false and true.",
                f"'{formula.event.column}' has another value in {odd:,} real rows",
                "Make a column that is 1 where the event of interest ended the follow-up.",
            )


def odd_events(sample: Sample, feature: Feature) -> int:
    """Count the rows whose event is there and neither 0 nor 1."""
    return int((np.isnan(zero_one(sample, feature)) & ~is_missing(sample, feature)).sum())


def _incomplete(formula: Formula, bound: dict[str, Feature], sample: Sample) -> NDArray[np.bool_]:
    gone = np.zeros(sample.n, bool)
    for one in (*formula.factors, formula.outcome, *filter(None, [formula.event])):
        gone |= is_missing(sample, bound[one.column])
    return gone


# ---------------------------------------------------------------------- coding
def _model(
    formula: Formula, bound: dict[str, Feature], real: dict[str, Sample], whole: dict[str, NDArray[np.bool_]]
) -> tuple[Model, dict[tuple[str, str], _Levels], str | None]:
    if formula.model == "survival":
        return "hazards", {}, None
    if formula.model == "poisson":
        return "poisson", {}, None
    feature = bound[formula.outcome.column]
    cells = np.concatenate([values(sample, feature)[whole[key]] for key, sample in real.items()])
    found, counts = np.unique(cells, return_counts=True)
    if len(found) < 2:
        raise NoEstimate(f"the outcome '{formula.outcome.column}' has one value only")
    if feature.is_number:
        if len(found) > 2 or formula.outcome.kind != "plain":
            return "linear", {}, None
        names = tuple(f"{one:g}" for one in found)
        positive = 1
    elif len(found) > 2:
        formula.wrong(
            formula.outcome.position,
            "Expected an outcome of two levels, or a number.",
            f"'{formula.outcome.column}' has {len(found)} levels",
            "Make a column that is true for the level of interest.",
        )
    else:
        names = tuple(feature.levels[int(one) - 1] for one in found)
        positive = int(names[1] == "true") if feature.kind == "boolean" else int(counts[1] <= counts[0])
    place = {float(found[positive]): 1, float(found[1 - positive]): 0}
    for key, sample in real.items():
        groups = sample.group[whole[key]]
        outcome = values(sample, feature)[whole[key]]
        few = [one for one in found if len(np.unique(groups[outcome == one])) < MIN_SUBJECTS]
        if few:
            raise NoEstimate(f"fewer than {MIN_SUBJECTS} subjects of {key} have one of the outcome's two values")
    coding = _Levels((names[1 - positive], names[positive]), place)
    return "logistic", {("outcome", formula.outcome.column): coding}, names[positive]


def _levels(factor: Factor, feature: Feature, real: dict[str, Sample], whole: dict[str, NDArray[np.bool_]]) -> _Levels:
    tally: dict[float, list[int]] = {}
    for i, (key, sample) in enumerate(real.items()):
        cells = values(sample, feature)[whole[key]]
        group = sample.group[whole[key]]
        pairs = np.unique(np.column_stack([cells, group.astype(np.float64)]), axis=0)
        for one, n in zip(*np.unique(pairs[:, 0], return_counts=True)):
            tally.setdefault(float(one), [0, 0])[i] = int(n)
    by_size = sorted(tally, key=lambda one: (-sum(tally[one]), one))
    kept = [one for one in by_size if min(tally[one]) >= MIN_SUBJECTS][:MAX_LEVELS]
    rest = [one for one in by_size if one not in kept]
    if feature.kind == "boolean":
        kept.sort(key=lambda one: feature.levels[int(one) - 1] == "true")
    names = [f"{one:g}" if feature.is_number else feature.levels[int(one) - 1] for one in kept]
    place = {one: i for i, one in enumerate(kept)}
    if rest and all(sum(tally[one][i] for one in rest) >= MIN_SUBJECTS for i in range(2)):
        place |= dict.fromkeys(rest, len(kept))
        if not feature.is_number:
            place[len(feature.levels) + 1.0] = len(kept)  # a level that no real row has
        names.append(POOLED)
    if not names:
        raise NoEstimate(f"no level of '{factor.column}' has {MIN_SUBJECTS} subjects")
    return _Levels(tuple(names), place)


def _placed(cells: Array, levels: _Levels) -> Array:
    out = np.full(len(cells), np.nan)
    known = np.array(sorted(levels.place))
    if len(known):
        at = np.minimum(np.searchsorted(known, cells), len(known) - 1)
        hit = known[at] == cells
        out[hit] = np.array([levels.place[float(one)] for one in known], np.float64)[at[hit]]
    return out


def _blocks(formula: Formula, levels: dict[tuple[str, str], _Levels]) -> list[tuple[Term, tuple[bool, ...]]]:
    """Say for each term which of its factors with levels are coded in full, so that nothing is there twice.

    A product of factors spans every product of its parts. What earlier terms with the same numbers span already is
    left out; what remains is put together again, a level and its absence making a full coding (the rule of S and R).
    """
    done: dict[frozenset[tuple[str, str]], set[frozenset[tuple[str, str]]]] = {}
    if formula.intercept or formula.model == "survival":  # the baseline hazard takes the place of an intercept
        done[frozenset()] = {frozenset()}
    out = []
    for term in formula.terms:
        numbers = frozenset(one.key for one in term if one.key not in levels)
        kinds = [one.key for one in term if one.key in levels]
        seen = done.setdefault(numbers, set())
        wanted: list[tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]] = []  # reduced, full
        for size in range(len(kinds) + 1):
            for chosen in combinations(kinds, size):
                part = frozenset(chosen)
                if part not in seen:
                    seen.add(part)
                    wanted.append((part, frozenset()))
        for key in kinds:  # {..} and {.., key reduced} make {.., key in full}
            for reduced, full in list(wanted):
                twin = (reduced | {key}, full)
                if key not in reduced and key not in full and (reduced, full) in wanted and twin in wanted:
                    wanted.remove((reduced, full))
                    wanted[wanted.index(twin)] = (reduced, full | {key})
        for reduced, full in wanted:
            part_term = tuple(one for one in term if one.key in numbers | reduced | full)
            out.append((part_term, tuple(one.key in full for one in part_term)))
    return out


def _names(term: Term, full: tuple[bool, ...], levels: dict[tuple[str, str], _Levels]) -> list[str]:
    parts = []
    for factor, whole in zip(term, full):
        coding = levels.get(factor.key)
        if coding is None:
            parts.append([factor.label])
        else:
            parts.append([f"{factor.label}[{one}]" for one in coding.names[0 if whole else 1 :]])
    return [":".join(one) for one in product(*parts)]
