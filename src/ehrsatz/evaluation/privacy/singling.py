"""Can an attacker isolate one person with what the synthetic rows say? Predicates that fit exactly one subject.

The attacker writes predicates that isolate exactly one synthetic subject: by one column (a level or number that occurs
once, the smallest, the largest, the only missing cell) or by two to eight columns of a synthetic row (equal level; at
most or at least its number, whichever side of the median it lies). A predicate succeeds where it isolates exactly one
real subject. Success on as many held-out people is chance.

What differs from Giomi et al. (PoPETs 2023, doi:10.56553/popets-2023-0055): the number of columns varies, an attacker
who knows the quasi-identifiers alone is tried as well, and subjects, not rows, are isolated. The halves are cut to one
size, so no correction for sizes is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.privacy.attacks import Trial, differing, quasi_columns, rows_made, worst
from ehrsatz.evaluation.space import Comparison, Feature, Sample, View
from ehrsatz.evaluation.task import Task

MAX_ROWS = 100_000
N_ATTACKS = 2500  # predicates of each kind; half-width of a rate's interval at most 0.02
ENOUGH = 100  # predicates of a kind, below which another kind is judged by
MOST_COLUMNS = 8
TRIES = 3  # predicates tried for each one wanted


@dataclass(frozen=True)
class Columns:
    """Rows column by column: numbers as they are, levels as codes; and the subject of each row."""

    cells: dict[Feature, NDArray[Any]]
    group: NDArray[np.int64]

    @classmethod
    def of(cls, features: tuple[Feature, ...], sample: Sample) -> Columns:
        """Lay out some columns of a sample."""
        return cls(
            {
                one: np.ascontiguousarray(sample.raw[:, one.slot] if one.is_number else sample.codes[:, one.slot])
                for one in features
            },
            sample.group,
        )

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.group)


@dataclass(frozen=True)
class Condition:
    """One column against one value: "=", "<=", ">=" or "missing"."""

    feature: Feature
    sign: str
    value: float

    def holds(self, columns: Columns, rows: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
        """Say for which rows it holds, of some or of all; a missing cell is neither small nor large."""
        cells = columns.cells[self.feature] if rows is None else columns.cells[self.feature][rows]
        if self.sign == "missing":
            return np.isnan(cells)
        if self.sign == "=":
            return np.asarray(cells == self.value)
        return np.asarray(cells <= self.value if self.sign == "<=" else cells >= self.value)


Predicate = tuple[Condition, ...]


class SinglingOut(Metric):
    """Risk that a predicate from the synthetic rows isolates one training subject, beyond chance.

    A fresh sample scores about 0, a copy of train near 1; less is better.
    """

    name = "singling_out"
    title = "Singling out"
    family = "privacy"
    theme = "Attacks"
    goal = "minimise"
    low, high, ideal = 0.0, 1.0, 0.0
    needs = frozenset({"rows"})
    what = (
        "Predicates that isolate one synthetic subject are tried on training subjects and on as many held-out ones; "
        "the risk is the success beyond the held-out ones."
    )
    blind = "It tries some thousand predicates, not all; a leak of few people among many moves it little."
    reference = "Giomi et al. 2023, doi:10.56553/popets-2023-0055"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        trials = {view.name: _trials(view, self.task, seed) for view in comparison.joint}
        every = [(name, one) for name, some in trials.items() for one in some]
        enough = [trial for _, trial in every if trial.n[0] >= ENOUGH]
        one = worst(enough or [trial for _, trial in every])
        table = next(name for name, trial in every if trial is one)
        low, high = one.interval(len(every))
        main, control, guess = one.rates
        return Score(
            self.name,
            one.risk,
            (low, high),
            0.0,
            rows_made(comparison, table),
            {"attack": one.name, "attacks": one.n[0], "table": table, "columns_at_most": MOST_COLUMNS},
            meaning=f"{100 * main:.1f} % of the predicates ({one.name}) that single out a synthetic subject also "
            f"single out a training subject; among people never seen it is {100 * control:.1f} %, by guessing "
            f"{100 * guess:.1f} %. Beyond chance: {100 * one.risk:.1f} % at risk.",
            details={"attacks": [{**trial.to_dict(), "table": name} for name, trial in every]},
            baseline=one.guessed,
        )


def _trials(view: View, task: Task, seed: int) -> list[Trial]:
    n = min(MAX_ROWS, *(len(np.unique(view.samples[key].group)) for key in ("train", "holdout")))
    real = {key: _subjects(view.samples[key], n, view.rng(seed, "singling", key)) for key in ("train", "holdout")}
    useful = tuple(one for one in view.features if differing(view, one))
    if not useful:
        raise Unmeasured("Not measured: no column takes more than one value.")
    made = _subjects(view.samples["synthetic"], MAX_ROWS, view.rng(seed, "singling", "synthetic"))
    columns = {key: Columns.of(useful, one) for key, one in {**real, "synthetic": made}.items()}
    synthetic = columns["synthetic"]
    quasi = tuple(one for one in quasi_columns(view, task) if one in useful)
    plans = [("one column", _single(useful, synthetic, view.rng(seed, "singling", "one")))]
    if len(useful) > 1:
        plans.append(("several columns", _several(useful, synthetic, view.rng(seed, "singling", "several"))))
    if 1 < len(quasi) < len(useful):
        plans.append(("quasi-identifiers alone", _several(quasi, synthetic, view.rng(seed, "singling", "quasi"))))
    out = []
    for name, predicates in plans:
        if not predicates:
            continue
        guesses = _guesses(predicates, synthetic, view.rng(seed, "singling", "guess", name))
        hits = tuple(
            sum(isolates(one, sample) for one in some)
            for some, sample in (
                (predicates, columns["train"]),
                (predicates, columns["holdout"]),
                (guesses, columns["train"]),
            )
        )
        out.append(Trial(name, (len(predicates), len(predicates), len(guesses)), hits))  # type: ignore[arg-type]
    return out


def _subjects(sample: Sample, n: int, rng: np.random.Generator) -> Sample:
    """Return all rows of at most n subjects."""
    subjects = np.unique(sample.group)
    if len(subjects) <= n:
        return sample
    return sample.take(np.flatnonzero(np.isin(sample.group, rng.permutation(subjects)[:n])))


def isolates(predicate: Predicate, columns: Columns) -> bool:
    """Say whether all conditions hold together for rows of exactly one subject."""
    rows = np.flatnonzero(predicate[0].holds(columns))
    for one in predicate[1:]:
        if not len(rows):
            return False
        rows = rows[one.holds(columns, rows)]
    return bool(len(rows)) and bool((columns.group[rows] == columns.group[rows[0]]).all())


def _single(features: tuple[Feature, ...], made: Columns, rng: np.random.Generator) -> list[Predicate]:
    found: list[Predicate] = []
    for one in features:
        if one.is_number:
            cells = made.cells[one]
            values, count = np.unique(cells[~np.isnan(cells)], return_counts=True)
            once = values[count == 1]
            found += [(Condition(one, "=", float(x)),) for x in rng.permutation(once)[:N_ATTACKS]]
            if len(values):
                found += [(Condition(one, "<=", float(values[0])),), (Condition(one, ">=", float(values[-1])),)]
            found.append((Condition(one, "missing", 0.0),))
        else:
            tally = np.bincount(made.cells[one].astype(np.int64), minlength=len(one.levels) + 2)
            found += [(Condition(one, "=", float(x)),) for x in np.flatnonzero(tally[:-1] == 1)]
    order = rng.permutation(len(found))[: TRIES * N_ATTACKS]
    kept = [found[i] for i in order]
    return [one for one in kept if isolates(one, made)][:N_ATTACKS]


def _several(features: tuple[Feature, ...], made: Columns, rng: np.random.Generator) -> list[Predicate]:
    middle = {one: _median(made.cells[one]) for one in features if one.is_number}
    wanted = min(N_ATTACKS, max(200, 4 * made.n))
    seen: set[tuple[tuple[str, str, float], ...]] = set()
    out: list[Predicate] = []
    for _ in range(TRIES * wanted):
        row = int(rng.integers(made.n))
        k = int(rng.integers(2, min(MOST_COLUMNS, len(features)) + 1))
        chosen = sorted(rng.permutation(len(features))[:k])
        predicate = tuple(_from_row(features[i], made, row, middle) for i in chosen)
        key = tuple((one.feature.name, one.sign, one.value) for one in predicate)
        if key in seen:
            continue
        seen.add(key)
        if isolates(predicate, made):
            out.append(predicate)
            if len(out) == wanted:
                break
    return out


def _median(cells: NDArray[np.float64]) -> float:
    present = cells[~np.isnan(cells)]
    return float(np.median(present)) if len(present) else 0.0


def _from_row(one: Feature, made: Columns, row: int, middle: dict[Feature, float]) -> Condition:
    if not one.is_number:
        return Condition(one, "=", float(made.cells[one][row]))
    value = float(made.cells[one][row])
    if np.isnan(value):
        return Condition(one, "missing", 0.0)
    return Condition(one, ">=" if value > middle[one] else "<=", value)


def _guesses(predicates: list[Predicate], made: Columns, rng: np.random.Generator) -> list[Predicate]:
    """Return predicates on the same columns with values of rows drawn apart for each and signs at random."""
    out = []
    for predicate in predicates:
        drawn = []
        for one in predicate:
            row = int(rng.integers(made.n))
            if not one.feature.is_number:
                drawn.append(Condition(one.feature, "=", float(made.cells[one.feature][row])))
                continue
            value = float(made.cells[one.feature][row])
            sign = "missing" if np.isnan(value) else ("=", "<=", ">=")[int(rng.integers(3))]
            drawn.append(Condition(one.feature, sign, 0.0 if np.isnan(value) else value))
        out.append(tuple(drawn))
    return out
