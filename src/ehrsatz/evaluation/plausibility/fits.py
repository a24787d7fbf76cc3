"""Published figures beside what a cohort reached: which agree, as one score per kind of figure.

A figure agrees where it lies within its bound, or no further beyond it than chance explains (its interval reaches the
bound). A figure whose interval is wider than three bounds to either side says too little and is not judged: small
cohorts are not good ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.plausibility.measures import BY_NAME
from ehrsatz.simulator.compare import Comparison
from ehrsatz.simulator.sampling import wilson

FAR = 3.0  # bounds: half of the widest interval that is judged
LEAST = 3  # figures, below which nothing is said
MOST_ROWS = 400  # of one table
KINDS: Mapping[str, tuple[str, ...]] = {  # measure -> kinds of comparison
    "prevalence_fit": ("prevalence",),
    "incidence_fit": ("incidence",),
    "quantile_fit": ("quantile",),
    "correlation_fit": ("correlation",),
    "multimorbidity_fit": ("multimorbidity", "pair"),
    "cause_fit": ("cause", "survival"),
    "utilisation_fit": ("use",),
}
PERCENT = {"prevalence", "multimorbidity", "cause", "survival"}
SURE_YEARS = 2.0  # half width of a life expectancy that is judged

Told = dict[str, Any]
Shape = Callable[[Sequence[Comparison]], Told]


def fit(name: str, found: Iterable[Comparison], n: int, shape: Shape | None = None) -> Score:
    """Return the share of published figures of one kind that agree.

    Parameters
    ----------
    name
        Of the measure.
    found
        All comparisons.
    n
        Patients.
    shape
        Makes further details, for pictures.
    """
    mine = [one for one in found if one.kind in KINDS[name]]
    if not mine:
        return absent(name, "The package holds no published figures of this kind for this country.", n)
    judged = [one for one in mine if can_judge(one)]
    few = len(mine) - len(judged)
    if len(judged) < LEAST:
        reason = f"Not measured: {n:,} patients are too few to judge more than {len(judged)} of {len(mine)} figures."
        return Score(name, None, n=n, status="not_applicable", meaning=reason)
    agree = [one for one in judged if agrees(one)]
    exact = sum(one.within is True for one in judged)
    share = len(agree) / len(judged)
    meaning = f"{len(agree):,} of {len(judged):,} published figures agree, {exact:,} of them within the bound itself."
    worst = sorted((one for one in judged if not agrees(one)), key=_off, reverse=True)
    if worst:
        meaning += f" Furthest off: {told(worst[0])}."
    if few:
        meaning += f" {few:,} more rest on too few patients to tell."
    details = {
        "figures": [row(one) for one in sorted(judged, key=lambda one: (agrees(one), -_off(one)))][:MOST_ROWS],
        "left_out": max(0, len(judged) - MOST_ROWS),
        "worst": [one.target for one in worst[:3]],
        **({} if shape is None else shape(mine)),
    }
    params = {"figures": len(mine), "judged": len(judged), "agree": len(agree), "within the bound": exact}
    ends = wilson(len(agree), len(judged))
    return Score(name, share, (float(ends[0]), float(ends[1])), n=n, params=params, meaning=meaning, details=details)


def can_judge(one: Comparison) -> bool:
    """Whether enough people stand behind a figure to say something."""
    if one.reached is None or one.interval is None:
        return False
    low, high = one.interval
    return one.within is False or (high - low) / 2 <= FAR * one.bound


def agrees(one: Comparison) -> bool:
    """Whether a judged figure lies within its bound, or no further beyond than chance explains."""
    return one.within is not False


def told(one: Comparison) -> str:
    """Return a figure in words: what, reached, against published."""
    return f"{one.target.replace('_', ' ')}: {figure(one.kind, one.reached)} against {figure(one.kind, one.published)}"


def figure(kind: str, value: float | None) -> str:
    """Return a value of a kind in words."""
    if value is None:
        return "none"
    if kind in PERCENT:
        return f"{100 * value:.2g} %" if abs(value) < 0.1 else f"{100 * value:.1f} %"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def row(one: Comparison) -> Told:
    """Return one comparison as plain JSON types, for a table."""
    return {
        "what": one.target.replace("_", " "),
        "published": figure(one.kind, one.published),
        "reached": figure(one.kind, one.reached),
        "interval": "none" if one.interval is None else " to ".join(figure(one.kind, end) for end in one.interval),
        "n": f"{one.n:,.0f}",
        "state": {True: "within", False: "off", None: "by chance"}[one.within],
        "source": one.source,
    }


def _off(one: Comparison) -> float:
    """Return how many bounds a figure lies off."""
    return abs((one.reached or 0.0) - one.published) / one.bound if one.bound else 0.0


# ---------------------------------------------------------------------- shapes of pictures
def bands(found: Sequence[Comparison]) -> Told:
    """Return prevalences as one picture per condition: a panel per sex, a mark per age band."""
    out: dict[str, Told] = {}
    for one in found:
        title, sex, band = one.target.rsplit(", ", 2)
        here = out.setdefault(
            title, {"title": title, "unit": "%", "source": one.source, "panels": {}, "off": 0.0, "n": 0}
        )
        here["panels"].setdefault(sex, []).append(_cell(band, one, 100.0))
        if one.reached is not None:
            here["n"] += one.n * one.reached
        if can_judge(one) and not agrees(one):
            here["off"] = max(here["off"], _off(one))
    shown = [
        {**one, "n": round(one["n"]), "panels": [{"name": k, "cells": v} for k, v in one["panels"].items()]}
        for one in sorted(out.values(), key=lambda one: (-one["off"], -one["n"], one["title"]))
    ]
    return {"bands": [one for one in shown if one["n"] >= LEAST]}


def _cell(label: str, one: Comparison, scale: float = 1.0) -> Told:
    ends = None if one.interval is None else [scale * end for end in one.interval]
    return {
        "label": label,
        "reached": None if one.reached is None else scale * one.reached,
        "interval": ends,
        "published": scale * one.published,
        "agrees": None if not can_judge(one) else agrees(one),
    }


def ribbons(found: Sequence[Comparison]) -> Told:
    """Return quantiles as one picture per measurement: a panel per sex, curves over age."""
    out: dict[str, Told] = {}
    for one in found:
        title, sex, band, at = one.target.rsplit(", ", 3)
        here = out.setdefault(title, {"title": title, "source": one.source, "panels": {}})
        panel = here["panels"].setdefault(sex, {})
        panel.setdefault(at, []).append(_cell(band, one))
    return {
        "ribbons": [
            {
                "title": one["title"],
                "source": one["source"],
                "panels": [
                    {"name": sex, "curves": [{"at": at, "cells": cells} for at, cells in curves.items()]}
                    for sex, curves in one["panels"].items()
                ],
            }
            for one in out.values()
            if any(
                cell["reached"] is not None for curves in one["panels"].values() for c in curves.values() for cell in c
            )
        ]
    }


def dumbbells(found: Sequence[Comparison]) -> Told:
    """Return figures as pairs of marks on one scale, those of one kind together."""
    names = {
        "correlation": "Correlations",
        "multimorbidity": "Several chronic conditions",
        "pair": "Conditions that come together",
        "cause": "Deaths by cause",
        "survival": "Five-year relative survival",
        "use": "Use of care",
        "incidence": "New cases, as multiples of the published",
    }
    groups: dict[str, list[Told]] = {}
    units: dict[str, str] = {}
    for one in sorted(found, key=_off, reverse=True):
        if one.reached is None:
            continue
        kind = names[one.kind]
        if one.kind == "pair":
            kind += ", odds ratios" if "odds ratio" in one.target else ", shares"
        if one.kind == "use":
            kind = "Visits per person and year" if "per person" in one.target else "Hospital stays"
        percent = one.kind in PERCENT or kind.endswith("shares")
        scale = 100.0 if percent else 1.0 / one.published if one.kind == "incidence" else 1.0
        words = one.target.split(", ")[0] if one.kind == "correlation" else one.target
        groups.setdefault(kind, []).append(_cell(_short(words), one, scale))
        units[kind] = "%" if percent else ""
    return {
        "dumbbells": [
            {"title": kind, "rows": groups[kind], "unit": units[kind], "ratio": kind == names["incidence"]}
            for kind in groups
        ]
    }


_TAILS = (
    ", share of all",
    ", share",
    ", odds ratio within age and sex",
    ", five-year relative survival",
    ", new cases per 1,000 and year",
)


def _short(words: str) -> str:
    """Return what a figure is about, without what the picture's title says."""
    words = words.replace(" per person and year", "").removeprefix("Deaths by ")
    for end in _TAILS:
        words = words.removesuffix(end)
    return words.replace("_", " ")


# ---------------------------------------------------------------------- life
def life(found: Iterable[Comparison], counts: Mapping[str, Any], table: Mapping[str, Sequence[float]], n: int) -> Score:
    """Return how many years life expectancy is off, for the sex that is further off.

    Parameters
    ----------
    found
        All comparisons.
    counts
        `deaths` and `years`, (2, ages) each.
    table
        Sex -> published probability of dying within each year of age.
    n
        Patients.
    """
    name = "life_expectancy_gap"
    mine = [one for one in found if one.kind == "life_expectancy"]
    sure = [
        one
        for one in mine
        if one.reached is not None and one.interval and one.interval[1] - one.interval[0] <= 2 * SURE_YEARS
    ]
    years = float(np.sum(counts["years"]))
    if len(sure) < 2:
        reason = (
            f"Not measured: {years:,.0f} person-years with {np.sum(counts['deaths']):,.0f} deaths are too few; an "
            f"interval of {SURE_YEARS:g} years to either side takes about 30,000."
        )
        return Score(name, None, n=n, status="not_applicable", meaning=reason)
    worst = max(sure, key=lambda one: abs(float(one.reached or 0) - one.published))
    assert worst.reached is not None and worst.interval is not None
    gap = abs(worst.reached - worst.published)
    half = (worst.interval[1] - worst.interval[0]) / 2
    words = "; ".join(f"{one.target} {one.reached:.1f} against {one.published:.1f}" for one in sure)
    details = {
        "figures": [row(one) for one in sure],
        "curves": survival_curves(counts, table),
    }
    meaning = f"{words}. It rests on {years:,.0f} person-years."
    return Score(name, gap, (max(0.0, gap - half), gap + half), n=n, meaning=meaning, details=details)


def survival_curves(counts: Mapping[str, Any], table: Mapping[str, Sequence[float]]) -> list[Told]:
    """Return the share alive by age, of the cohort's own life table and of the published one, per sex."""
    out = []
    for s, sex in enumerate(("female", "male")):
        deaths, years = np.asarray(counts["deaths"])[s], np.asarray(counts["years"])[s]
        curve, alive = [[0.0, 1.0]], 1.0
        for age in range(100):
            if years[age] < 1:
                break
            alive *= float(np.exp(-deaths[age] / years[age]))
            curve.append([age + 1.0, round(alive, 5)])
        q = np.asarray(table[sex])[:100]
        published = [[0.0, 1.0], *[[i + 1.0, round(float(v), 5)] for i, v in enumerate(np.cumprod(1 - q))]]
        out.append({"sex": {"female": "women", "male": "men"}[sex], "reached": curve, "published": published})
    return out


def absent(name: str, reason: str, n: int) -> Score:
    """Return a measure that does not apply, with the reason."""
    assert name in BY_NAME
    return Score(name, None, n=n, status="not_applicable", meaning=reason)
