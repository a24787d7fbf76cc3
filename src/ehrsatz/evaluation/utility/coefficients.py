"""The same regression on real and on synthetic rows, coefficient by coefficient.

A formula is fitted to the training rows (what the synthetic rows stand in for), to the holdout and to the synthetic
rows. One synthetic copy: its standard errors are scaled to the number of real subjects, so that ten times as many
synthetic rows do not pass for ten times as much evidence (Raab et al. 2016, inference for what the real data say).
Several copies: estimates are averaged, and their intervals follow the plug-in rule of `combining`.

References: Karr, Kohnen, Oganian, Reiter & Sanil, A framework for evaluating the utility of data altered to protect
confidentiality, The American Statistician 60, 2006, doi:10.1198/000313006X124640 (overlap, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.base import Unmeasured
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.utility.combining import spread
from ehrsatz.evaluation.utility.cox import fit_hazards
from ehrsatz.evaluation.utility.design import Design, Matrix, bind
from ehrsatz.evaluation.utility.formula import read_formula
from ehrsatz.evaluation.utility.glm import (
    INTERCEPT,
    Array,
    Fit,
    NoEstimate,
    fit_linear,
    fit_logistic,
    fit_poisson,
)
from ehrsatz.seeds import stream

MAX_SHOWN = 200  # coefficients in the details
FAR = 1000.0  # real standard errors; a coefficient that is further away counts as this far
N_DRAWS = 500
RULE = "plug-in"


@dataclass(frozen=True)
class Side:
    """Estimates of the terms of one formula from one source, on the scale of the real data.

    estimate, error, reach
        (K,): NaN where there is none; half the width of the 95 % interval.
    covariance
        (K, K) of the estimates over further draws of such rows, zero where there is none.
    population
        (K,) half the width of the interval for the population by the plug-in rule; as `reach` for real rows.
    why
        Term -> why there is no estimate.
    """

    estimate: Array
    error: Array
    reach: Array
    covariance: Array
    population: Array
    p: Array
    n: int
    subjects: int
    why: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def entry(self, i: int, *, population: bool = False) -> dict[str, Any] | None:
        """Return estimate, interval and p-value of one term as plain JSON types, None where there is none."""
        if np.isnan(self.estimate[i]):
            return None
        middle, reach = float(self.estimate[i]), float(self.reach[i])
        out: dict[str, Any] = {"estimate": middle, "low": middle - reach, "high": middle + reach, "p": float(self.p[i])}
        if population:
            wide = float(self.population[i])
            out["population"] = [middle - wide, middle + wide]
        return out


@dataclass(frozen=True)
class Pair:
    """One formula on the training rows and on others."""

    text: str
    design: Design
    fit: Fit
    terms: tuple[str, ...]
    real: Side
    holdout: Side | None
    synthetic: Side
    copies: int

    def against(self, which: str) -> Side | None:
        """The side that stands in for synthetic rows: "synthetic", or "holdout" for the reference."""
        return self.synthetic if which == "synthetic" else self.holdout


# ---------------------------------------------------------------------- measures, (K,) or (draws, K)
def standardised(real: Side, estimate: Array, other: Side) -> Array:
    """Distance of estimates from the real ones in real standard errors; NaN where there is no estimate."""
    return np.minimum(np.abs(estimate - real.estimate) / real.error, FAR)


def overlap(real: Side, estimate: Array, other: Side) -> Array:
    """Karr's overlap of two intervals: 1 where they are the same, 0 where they do not meet or one is lacking."""
    low = np.maximum(real.estimate - real.reach, estimate - other.reach)
    high = np.minimum(real.estimate + real.reach, estimate + other.reach)
    shared = np.maximum(high - low, 0.0)
    return np.nan_to_num((shared / (2 * real.reach) + shared / (2 * other.reach)) / 2)


def same_sign(real: Side, estimate: Array, other: Side) -> Array:
    """Whether estimates point the way of a real effect; NaN where the real data show none, whose sign is chance."""
    agree = (np.sign(estimate) == np.sign(real.estimate)).astype(np.float64)
    return np.where(np.abs(real.estimate) > real.reach, agree, np.nan)


def same_significance(real: Side, estimate: Array, other: Side) -> NDArray[np.bool_]:
    """Whether both intervals leave out zero, or both hold it."""
    found = np.abs(estimate) > other.reach
    return np.asarray((found == (np.abs(real.estimate) > real.reach)) & ~np.isnan(estimate))


def same_conclusion(real: Side, estimate: Array, other: Side) -> NDArray[np.bool_]:
    """Whether significance agrees and the estimate lies in the real interval; of an effect the sign then agrees too."""
    inside = np.abs(estimate - real.estimate) <= real.reach
    return same_significance(real, estimate, other) & inside


def verdict(real: Side, other: Side, i: int) -> str:
    """Return in words what becomes of one coefficient."""
    r, s = float(real.estimate[i]), float(other.estimate[i])
    if np.isnan(s):
        return "no estimate"
    if bool(same_conclusion(real, other.estimate, other)[i]):
        return "same conclusion"
    found_r, found_s = abs(r) > real.reach[i], abs(s) > other.reach[i]
    if found_r and found_s:
        return "reversed" if r * s < 0 else "weaker" if abs(s) < abs(r) else "stronger"
    if found_r or found_s:
        return "effect lost" if found_r else "effect invented"
    return "no effect in either, other size"


Measure = Callable[[Side, Array, Side], Any]


def mean_of(pairs: list[Pair], measure: Measure, which: str = "synthetic") -> float | None:
    """Return the mean of a measure over all coefficients that it exists for, None without any.

    Parameters
    ----------
    pairs
        One per formula.
    measure
        One of the measures above.
    which
        "synthetic" or "holdout".
    """
    found: list[Array] = []
    for pair in pairs:
        side = pair.against(which)
        if side is None:
            continue
        values = np.asarray(measure(pair.real, side.estimate, side), np.float64)
        skipped = np.isnan(values) | (np.isnan(side.estimate) & (which == "holdout"))
        found.append(values[~skipped])
    whole = np.concatenate(found) if found else np.empty(0)
    return float(whole.mean()) if len(whole) else None


def interval_of(pairs: list[Pair], measure: Measure, seed: int, low: float, high: float) -> tuple[float, float]:
    """Return the 95 % interval of a mean over further synthetic rows of the same generator; real rows stay.

    Estimates are drawn anew from their sampling distribution; the draws' percentiles, shifted by the draws' mean to the
    measured value, as the measures are bent at zero and a draw lies further out than what it is drawn around.
    """
    value = mean_of(pairs, measure)
    assert value is not None
    total, count = np.zeros(N_DRAWS), 0
    for number, pair in enumerate(pairs):
        side = pair.synthetic
        there = ~np.isnan(side.estimate)
        count += int((~np.isnan(np.asarray(measure(pair.real, side.estimate, side), np.float64))).sum())
        if not there.any():
            continue
        rng = stream(seed, "evaluation", "estimates", pair.text, number)
        lower = _root(side.covariance[np.ix_(there, there)])
        draws = np.tile(side.estimate, (N_DRAWS, 1))
        draws[:, there] += rng.standard_normal((N_DRAWS, int(there.sum()))) @ lower.T
        total += np.nansum(np.asarray(measure(pair.real, draws, side), np.float64), axis=1)
    draws = total / max(1, count)
    ends = np.quantile(draws, [0.025, 0.975]) - draws.mean() + value
    return float(np.clip(min(ends[0], value), low, high)), float(np.clip(max(ends[1], value), low, high))


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


# ---------------------------------------------------------------------- fitting
def fit_design(design: Design, matrix: Matrix) -> Fit:
    """Fit the regression of a design to one dataset's rows.

    Raises
    ------
    NoEstimate
        With the reason in words.
    """
    if not len(matrix.y):
        raise NoEstimate("no row is complete in the columns of the formula")
    if design.model == "hazards":
        assert matrix.event is not None
        return fit_hazards(matrix.x, matrix.y, matrix.event, design.names, group=matrix.group)
    if design.model == "linear":
        return fit_linear(matrix.x, matrix.y, design.names, group=matrix.group)
    fit = fit_logistic if design.model == "logistic" else fit_poisson
    return fit(matrix.x, matrix.y, design.names, group=matrix.group)


def pairs_of(comparison: Comparison, formulas: tuple[str, ...], copies: int) -> tuple[list[Pair], dict[str, str]]:
    """Fit formulas to real and synthetic rows, once for all metrics.

    Parameters
    ----------
    comparison
        Datasets in one coding.
    formulas
        Their texts.
    copies
        Synthetic copies, one after the other.

    Returns
    -------
    One pair per formula that the real rows can answer, and formula -> reason for the others.

    Raises
    ------
    ScenarioError
        When a formula cannot be read, or names what is not there.
    Unmeasured
        When no formula can be answered by the real rows, or none by the synthetic ones.
    """
    found, without = [], {}
    for text in formulas:
        one = comparison.once(("formula", text, copies), partial(_pair, comparison, text, copies))
        if isinstance(one, str):
            without[text] = one
        else:
            found.append(one)
    if not found:
        reasons = "; ".join(f"{text}: {why}" for text, why in list(without.items())[:3])
        raise Unmeasured(f"Not measured: the real rows give no estimate for {reasons}.")
    if all(np.isnan(pair.synthetic.estimate).all() for pair in found):
        why = next(iter(found[0].synthetic.why.values()))
        raise Unmeasured(f"Failed: the synthetic rows give no estimate for '{found[0].text}': {why}.", "failed")
    return found, without


def _pair(comparison: Comparison, text: str, copies: int) -> Pair | str:
    formula = read_formula(text)
    try:
        design = bind(formula, comparison)
        train = design.matrix(comparison, "train")
        fit = fit_design(design, train)
    except NoEstimate as stop:
        return stop.reason
    terms = tuple(name for name in fit.names if name != INTERCEPT)
    real = _side([fit], terms, fit, train)
    try:
        other = design.matrix(comparison, "holdout")
        holdout: Side | None = _side([fit_design(design, other)], terms, fit, other)
    except NoEstimate:
        holdout = None
    return Pair(text, design, fit, terms, real, holdout, _synthetic(comparison, design, terms, fit, copies), copies)


def _synthetic(comparison: Comparison, design: Design, terms: tuple[str, ...], real: Fit, copies: int) -> Side:
    if copies == 1:
        parts = [comparison]
    else:
        wanted = frozenset(feature.name for feature in design.bound.values())
        slim = {key: _slim(one, wanted) for key, one in comparison.datasets.items()}
        whole = Comparison(slim["train"].schema, slim, ())
        parts = [Comparison.of(slim["train"], slim["holdout"], one) for one in whole.copies(copies)]
    fits, matrices = [], []
    for number, part in enumerate(parts, 1):
        matrix = design.matrix(part, "synthetic")
        try:
            fits.append(fit_design(design, matrix))
        except NoEstimate as stop:
            why = stop.reason if copies == 1 else f"copy {number} of {copies}: {stop.reason}"
            nothing = np.full(len(terms), np.nan)
            empty = np.zeros((len(terms), len(terms)))
            lost = dict.fromkeys(terms, why)
            n = len(matrix.y)
            return Side(nothing, nothing, nothing, empty, nothing, nothing, n, matrix.subjects, lost, matrix.left_out)
        matrices.append(matrix)
    return _side(fits, terms, real, *matrices)


def _side(fits: list[Fit], terms: tuple[str, ...], real: Fit, *matrices: Matrix) -> Side:
    m, k = len(fits), len(terms)
    estimates, covariances = np.full((m, k), np.nan), np.zeros((m, k, k))
    why: dict[str, str] = {}
    for i, fit in enumerate(fits):
        at = {name: j for j, name in enumerate(fit.names)}
        here = [j for j, name in enumerate(terms) if name in at]
        there = [at[terms[j]] for j in here]
        estimates[i, here] = fit.estimate[there]
        covariances[i][np.ix_(here, here)] = fit.covariance[np.ix_(there, there)]
        for name in terms:
            if name not in at:
                why[name] = fit.dropped.get(name, "it has no estimate")
    estimate, within = estimates.mean(axis=0), covariances.mean(axis=0)
    lost = np.isnan(estimate)
    within[lost, :] = within[:, lost] = 0.0
    subjects = sum(one.subjects for one in matrices)
    ratio = subjects / m / real.subjects  # k / n
    u = np.where(lost, np.nan, np.diag(within))
    factor = spread(m, "plug-in", real.subjects, max(1, round(subjects / m)))
    total = u * (ratio if m == 1 else factor)
    t = stats.t.ppf(0.975, real.freedom)
    with np.errstate(invalid="ignore"):
        p = 2 * stats.t.sf(np.abs(estimate) / np.sqrt(total), real.freedom)
    is_real = fits[0] is real
    return Side(
        estimate,
        np.sqrt(total),
        t * np.sqrt(total),
        within / m,
        t * np.sqrt(u if is_real else u * factor),
        p,
        sum(len(one.y) for one in matrices),
        subjects,
        why,
        _added(matrices),
    )


def _added(matrices: tuple[Matrix, ...]) -> dict[str, int]:
    out: dict[str, int] = {}
    for one in matrices:
        for reason, n in one.left_out.items():
            out[reason] = out.get(reason, 0) + n
    return out


def _slim(dataset: Dataset, wanted: frozenset[str]) -> Dataset:
    """Return the dataset with its keys and the wanted columns alone; columns of the parent as "parent.column" too."""
    tables, frames = [], {}
    for table in dataset.schema.tables:
        kept = tuple(
            column
            for column in table.columns
            if column.role in {"subject", "key", "link"} or wanted & {column.name, f"{table.name}.{column.name}"}
        )
        tables.append(replace(table, columns=kept, constraints=()))
        frames[table.name] = dataset.tables[table.name].select(column.name for column in kept)
    return Dataset(replace(dataset.schema, tables=tuple(tables)), frames, dataset.provenance)


# ---------------------------------------------------------------------- details
def details_of(pairs: list[Pair], without: dict[str, str]) -> dict[str, Any]:
    """Return the table of coefficients as plain JSON types, at most 200 of them.

    Parameters
    ----------
    pairs, without
        As `pairs_of` gives them.
    """
    left = MAX_SHOWN
    out = []
    for pair in pairs:
        shown = range(min(left, len(pair.terms)))
        left -= len(shown)
        differences = standardised(pair.real, pair.synthetic.estimate, pair.synthetic)
        shared = overlap(pair.real, pair.synthetic.estimate, pair.synthetic)
        rows = []
        for i in shown:
            row = {
                "term": pair.terms[i],
                "real": pair.real.entry(i),
                "holdout": None if pair.holdout is None else pair.holdout.entry(i),
                "synthetic": pair.synthetic.entry(i, population=True),
                "overlap": float(shared[i]),
                "difference": None if np.isnan(differences[i]) else float(differences[i]),
                "verdict": verdict(pair.real, pair.synthetic, i),
            }
            if pair.terms[i] in pair.synthetic.why:
                row["reason"] = pair.synthetic.why[pair.terms[i]]
            rows.append(row)
        sides = {"real": pair.real, "holdout": pair.holdout, "synthetic": pair.synthetic}
        out.append(
            {
                "formula": pair.text,
                "model": pair.design.model,
                "models": pair.design.positive,
                "standard_errors": pair.fit.errors,
                "rows": {key: side.n for key, side in sides.items() if side is not None},
                "subjects": {key: side.subjects for key, side in sides.items() if side is not None},
                "left_out": {key: side.left_out for key, side in sides.items() if side is not None and side.left_out},
                "dropped": dict(list(pair.fit.dropped.items())[:50]),
                "references": {
                    key[1]: coding.names[0] for key, coding in pair.design.levels.items() if key[0] != "outcome"
                },
                "coefficients": rows,
            }
        )
    return {"formulas": out, "unanswered": without}


def params_of(pairs: list[Pair]) -> dict[str, Any]:
    """Return what was set."""
    copies = pairs[0].copies
    rule = RULE if copies > 1 else "one copy, standard errors scaled to the number of real subjects"
    return {
        "coefficients": sum(len(pair.terms) for pair in pairs),
        "formulas": len(pairs),
        "copies": copies,
        "rule": rule,
        "real": "train",
    }
