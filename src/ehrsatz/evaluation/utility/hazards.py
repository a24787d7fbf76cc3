"""Do the covariates tell the same of survival? Hazard ratios, and a model trained on synthetic rows.

Both use proportional hazards regressions. Where the task's formulas have a Surv() outcome, those are asked; otherwise
one regression on all usable covariates of the table: numbers, and categories of 2 to 12 levels, with at most a fifth of
real cells missing, as many as there are ten events for each column, in the order of the schema.

References: Cox, JRSS B 34, 1972, doi:10.1111/j.2517-6161.1972.tb00899.x; Karr et al., The American Statistician 60,
2006, doi:10.1198/000313006X124640; Harrell, Lee & Mark, Statistics in Medicine 15, 1996 (concordance); Peduzzi et al.,
Journal of Clinical Epidemiology 48, 1995, doi:10.1016/0895-4356(95)00048-8 (ten events for each column).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

import numpy as np

from ehrsatz.errors import ScenarioError
from ehrsatz.evaluation.base import Metric, Score, Unmeasured
from ehrsatz.evaluation.intervals import jackknife_interval
from ehrsatz.evaluation.space import Comparison, Feature, View
from ehrsatz.evaluation.task import Task
from ehrsatz.evaluation.utility.coefficients import (
    Pair,
    details_of,
    fit_design,
    interval_of,
    mean_of,
    overlap,
    pairs_of,
    params_of,
    standardised,
)
from ehrsatz.evaluation.utility.cox import concordance
from ehrsatz.evaluation.utility.design import Design, bind, is_missing
from ehrsatz.evaluation.utility.formula import read_formula
from ehrsatz.evaluation.utility.glm import Array, Fit, NoEstimate
from ehrsatz.evaluation.utility.survival import followups

MAX_LEVELS = 12
MAX_COLUMNS = 20
MAX_MISSING = 0.2
EVENTS_EACH = 10


class CoxHazardRatios(Metric):
    """Mean overlap of the 95 % intervals of synthetic and real log hazard ratios.

    Identical data 1 (one copy), intervals that do not meet 0, more is better. The details hold each log hazard ratio
    with its interval and verdict, and the mean distance in real standard errors.
    """

    name = "cox_hazard_ratios"
    title = "Hazard ratios"
    family = "utility"
    theme = "Survival"
    goal = "maximise"
    low, high, ideal = 0.0, 1.0, 1.0
    needs = frozenset({"rows", "survival"})
    what = "Fits proportional hazards regressions to real and to synthetic rows and compares the intervals."
    blind = "Hazards that are not proportional; covariates left out; a covariate that is an outcome in disguise."
    reference = "Cox 1972, doi:10.1111/j.2517-6161.1972.tb00899.x; Karr et al. 2006, doi:10.1198/000313006X124640"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        texts, left_out = hazard_formulas(comparison, self.task)
        pairs, without = pairs_of(comparison, texts, self.task.copies)
        value = mean_of(pairs, overlap)
        assert value is not None
        bias, real_bias = mean_of(pairs, standardised), mean_of(pairs, standardised, "holdout")
        return Score(
            self.name,
            value,
            interval_of(pairs, overlap, seed, 0.0, 1.0),
            mean_of(pairs, overlap, "holdout"),
            sum(pair.synthetic.n for pair in pairs) // len(pairs),
            {**params_of(pairs), "left_out": left_out},
            meaning=f"Intervals of {sum(len(pair.terms) for pair in pairs)} hazard ratios from synthetic rows share "
            f"{100 * value:.0f} % of their length with the real ones.",
            details={**details_of(pairs, without), "bias": bias, "bias_reference": real_bias},
            baseline=_unrelated(pairs),
        )


class ConcordanceGap(Metric):
    """How much worse a survival model ranks unseen real patients when it learned from synthetic rows.

    Harrell's C of a proportional hazards model trained on real rows minus that of one trained on synthetic rows, both
    tested on the holdout. Identical data 0; unrelated data the real model's C minus 0.5; less is better.
    """

    name = "concordance_gap"
    title = "Loss of concordance"
    family = "utility"
    theme = "Survival"
    goal = "minimise"
    low, high, ideal = -1.0, 1.0, 0.0
    needs = frozenset({"rows", "survival"})
    what = "Trains the same proportional hazards model on train and on synthetic rows and ranks holdout patients."
    blind = "Calibration: a model may rank well and be wrong in the level; hazards that are not proportional."
    reference = "Harrell, Lee & Mark, Statistics in Medicine 15, 1996"

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        texts, left_out = hazard_formulas(comparison, self.task)
        trials: list[Trial] = []
        reasons: list[str] = []
        for text in texts:
            one = comparison.once(("concordance", text), partial(_trial, comparison, text))
            if isinstance(one, str):
                reasons.append(one)
            else:
                trials.append(one)
        if not trials:
            raise Unmeasured(reasons[0], "failed" if reasons[0].startswith("Failed") else "not_applicable")
        worst = max(trials, key=lambda one: one.gap)
        return Score(
            self.name,
            worst.gap,
            worst.interval,
            0.0,
            worst.n,
            {"covariates": len(worst.terms), "rows_tested": worst.tested, "left_out": left_out},
            meaning=f"A survival model trained on synthetic rows ranks unseen real patients with a concordance of "
            f"{worst.synthetic:.3f}, one trained on real rows with {worst.real:.3f} (0.5 is guessing).",
            details={
                "trials": [
                    {
                        "formula": one.text,
                        "real": one.real,
                        "synthetic": one.synthetic,
                        "gap": one.gap,
                        "gap_interval": None if one.interval is None else list(one.interval),
                    }
                    for one in trials
                ]
            },
            baseline=min(1.0, max(-1.0, worst.real - 0.5)),
        )


@dataclass(frozen=True)
class Trial:
    """Concordance on the holdout of one formula's model after real and after synthetic training."""

    text: str
    terms: tuple[str, ...]
    real: float
    synthetic: float
    interval: tuple[float, float] | None
    n: int
    tested: int

    @property
    def gap(self) -> float:
        """How much worse the model from synthetic rows is."""
        return self.real - self.synthetic


def _trial(comparison: Comparison, text: str) -> Trial | str:
    try:
        design = bind(read_formula(text), comparison)
        fit = fit_design(design, design.matrix(comparison, "train"))
    except NoEstimate as stop:
        return f"Not measured: the real rows give no survival model: {stop.reason}."
    synthetic = design.matrix(comparison, "synthetic")
    try:
        other = fit_design(design, synthetic)
    except NoEstimate as stop:
        return f"Failed: the synthetic rows give no survival model: {stop.reason}."
    test = design.matrix(comparison, "holdout")
    assert test.event is not None
    a, b = (concordance(test.y, test.event, _risk(design, one, test.x)) for one in (fit, other))
    if a.index is None or b.index is None:
        return "Not measured: no pair of holdout patients has a known order of events."
    clusters = np.unique(test.group, return_inverse=True)[1].astype(np.int64)
    parts = a.without(clusters) - b.without(clusters)
    interval = jackknife_interval(a.index - b.index, parts, low=-1.0, high=1.0)
    return Trial(text, fit.names, a.index, b.index, interval, len(synthetic.y), len(test.y))


def _risk(design: Design, fit: Fit, x: Array) -> Array:
    at = {name: i for i, name in enumerate(design.names)}
    return x[:, [at[name] for name in fit.names]] @ fit.estimate


def _unrelated(pairs: list[Pair]) -> float:
    parts = [np.maximum(0.0, 1 - np.abs(pair.real.estimate) / (2 * pair.real.reach)) for pair in pairs]
    return float(np.concatenate(parts).mean())


# ---------------------------------------------------------------------- covariates
def hazard_formulas(comparison: Comparison, task: Task) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the task's formulas with a Surv() outcome, else one of all usable covariates, and what is left out.

    Parameters
    ----------
    comparison
        Datasets in one coding.
    task
        Names duration, event and formulas.

    Raises
    ------
    Unmeasured
        When no covariate is left.
    """
    asked = []
    for text in task.formulas:
        try:
            if read_formula(text).model == "survival":
                asked.append(text)
        except ScenarioError:
            if text.lstrip().startswith("Surv"):
                raise
    if asked:
        return tuple(asked), {}
    found = followups(comparison, task)
    names = {task.duration, task.event}
    events = min(int(found.sides[key].event.sum()) for key in ("train", "holdout"))
    room = min(MAX_COLUMNS, events // EVENTS_EACH)
    chosen: list[str] = []
    left_out: dict[str, str] = {}
    for one in found.view.features:
        if {one.name, f"{one.table}.{one.name}"} & names:
            continue
        why, width = _unusable(found.view, one)
        if not why and width > room:
            why = f"fewer than {EVENTS_EACH} events for each column" if room < MAX_COLUMNS else "too many columns"
        if why:
            left_out[one.name] = why
            continue
        room -= width
        chosen.append(one.name)
    if not chosen:
        raise Unmeasured("Not measured: no covariate is left for a survival model with ten events for each column.")
    duration, event, *covariates = (_quoted(str(one)) for one in (task.duration, task.event, *chosen))
    return (f"Surv({duration}, {event}) ~ {' + '.join(covariates)}",), dict(list(left_out.items())[:50])


def _unusable(view: View, feature: Feature) -> tuple[str, int]:
    """Return why a covariate is left out (empty: it is not), and how many columns it makes."""
    real = [view.samples[key] for key in ("train", "holdout")]
    gone = np.concatenate([is_missing(sample, feature) for sample in real])
    if gone.mean() > MAX_MISSING:
        return "many cells are missing", 0
    if "`" in feature.name:
        return "its name holds a backtick", 0
    if feature.kind in {"date", "datetime"}:
        return "a date", 0
    if feature.is_number:
        cells = np.concatenate([sample.raw[:, feature.slot] for sample in real])
        return ("has one value only" if np.nanmin(cells) == np.nanmax(cells) else ""), 1
    if not 2 <= len(feature.levels) <= MAX_LEVELS:
        return f"has {len(feature.levels)} levels", 0
    return "", len(feature.levels) - 1


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d][\w.]*", name) else f"`{name}`"
