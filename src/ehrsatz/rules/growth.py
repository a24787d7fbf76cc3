# ruff: noqa: E501 - tables of words
"""Growth: children within the charts, no shrinking, no leaps of height, weight or head, birth and puberty."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ehrsatz.rules.analytes import measured, moments
from ehrsatz.rules.concepts import table
from ehrsatz.rules.statement import ERROR, WARNING, Body, Found, Statement, some, told
from ehrsatz.rules.view import DAY, YEAR, Flags, Floats, View

VALUES = (
    "observation.code observation.value observation.unit observation.time observation.patient_id patient.birth_date"
)
DAYMONT = "Daymont C et al., Automated identification of implausible values in growth data (growthcleanr), J Am Med Inform Assoc 2017;24:1080, doi:10.1093/jamia/ocx037"
GREULICH = "assumed: several times what healthy people gain or lose; the limit is set so that disease is seldom caught"
CHARTS = (  # analyte, chart, oldest age in months
    ("height", "height", 240.0),
    ("weight", "weight", 240.0),
    ("bmi", "bmi", 240.0),
    ("head", "head", 36.0),
)


def _chart(analyte: str, chart: str, oldest: float, limit: float) -> Body:
    """Broken where the measure is outside the size that the chart gives at so many standard deviations.

    Beyond three, the scores of skewed measures run flat or steep; the modified score of CDC goes on in half the
    distance from two to three.
    """

    def body(view: View) -> list[Found]:
        rows, values = measured(view).of(analyte)
        months, sex = view.ages("observation", "time")[rows] * 12, view.sex("observation")[rows]
        known = (months >= 0) & (months <= oldest) & (sex > 0)
        rows, values, months, female = rows[known], values[known], months[known], (sex[known] == 1)
        steps = distances(chart, months, female, values)
        return some("observation", rows, np.abs(np.nan_to_num(steps)) > limit)

    return body


def distances(chart: str, months: Floats, female: Flags, values: Floats) -> Floats:
    """Return how far measures lie from a chart's middle, in half distances to its second deviation on that side.

    Parameters
    ----------
    chart
        "height" in cm, "weight" in kg, "bmi" in kg/m2 or "head" in cm.
    months, values
        Age and measure, shape (R,).
    female
        Whether a girl, shape (R,).

    Returns
    -------
    Shape (R,), NaN outside the ages of the chart.

    References
    ----------
    CDC, A SAS program for the 2000 CDC growth charts, 2016 and later: modified z-scores of extreme values.
    """
    out = np.full(len(values), np.nan)
    for sex, rows in (("female", female), ("male", ~female)):
        knots = table("lms")["lms"][chart][sex]
        inside = rows & (months >= knots["months"][0]) & (months <= knots["months"][-1])
        at = months[inside]
        lam, mid, spread = (np.interp(at, knots["months"], knots[name]) for name in ("l", "m", "s"))

        def size(z: float, lam: Floats = lam, mid: Floats = mid, spread: Floats = spread) -> Floats:
            return mid * np.maximum(1 + lam * spread * z, 1e-3) ** (1 / np.where(np.abs(lam) < 1e-3, 1e-3, lam))

        up, down = (size(2) - mid) / 2, (mid - size(-2)) / 2
        out[inside] = np.where(values[inside] >= mid, (values[inside] - mid) / up, (values[inside] - mid) / down)
    return out


def _step(
    analyte: str, ages: tuple[float, float], days: tuple[float, float], low: float, high: float, *, rate: bool = False
) -> Body:
    """Broken where a measure changes by less than `low` or more than `high` from the one before, a year where `rate`.

    ages: of the earlier measure, in years. days: distance of the two.
    """

    def body(view: View) -> list[Found]:
        one = moments(view, analyte)
        who, when = one.keys >> 34, one.keys & ((1 << 34) - 1)
        born = np.append(view.births(), np.int64(-1))[who]
        age = (when - born) / YEAR
        gap = np.diff(when)
        near = (who[1:] == who[:-1]) & (born[1:] >= 0) & (age[:-1] >= ages[0]) & (age[:-1] < ages[1])
        near &= (gap >= days[0] * DAY) & (gap <= days[1] * DAY)
        change = np.diff(one.values)[near]
        if rate:
            change = change / (gap[near] / YEAR)
        return some("observation", one.rows[1:][near], (change < low) | (change > high))

    return body


def _share(analyte: str, youngest: float, days: float, low: float, high: float) -> Body:
    """Broken where a measure of an adult is under `low` or over `high` times the one before, within so many days."""

    def body(view: View) -> list[Found]:
        one = moments(view, analyte)
        who, when = one.keys >> 34, one.keys & ((1 << 34) - 1)
        born = np.append(view.births(), np.int64(-1))[who]
        near = (
            (who[1:] == who[:-1])
            & (born[1:] >= 0)
            & ((when - born)[:-1] / YEAR >= youngest)
            & (np.diff(when) <= days * DAY)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (one.values[1:] / one.values[:-1])[near]
        return some("observation", one.rows[1:][near], (ratio < low) | (ratio > high))

    return body


def _adult_size(analyte: str, youngest: float, low: float, high: float) -> Body:
    def body(view: View) -> list[Found]:
        rows, values = measured(view).of(analyte)
        ages = view.ages("observation", "time")[rows]
        known = ages >= youngest
        return some("observation", rows[known], ((values < low) | (values > high))[known])

    return body


def _newborn(view: View) -> list[Found]:
    """Weight in the first three days of life."""
    rows, values = measured(view).of("weight")
    ages = view.ages("observation", "time")[rows] * 365.25
    known = (ages >= 0) & (ages <= 3)
    return some("observation", rows[known], ((values < 0.35) | (values > 6.5))[known])


def _head_adult(view: View) -> list[Found]:
    codes = view.coded("observation", "code").one_of(["9843-4", "8287-5"])
    ages = view.ages("observation", "time")
    known = codes & ~np.isnan(ages)
    return told("observation", known, known & (ages > 21))


def _percentile(view: View) -> list[Found]:
    codes = view.coded("observation", "code").one_of(["59576-9", "77606-2", "8289-1"])
    ages = view.ages("observation", "time")
    known = codes & ~np.isnan(ages)
    return told("observation", known, known & (ages > 21))


def _rules() -> Iterator[Statement]:
    chart = table("lms")["source"]
    for analyte, name, oldest in CHARTS:
        yield Statement(
            id=f"growth.chart.{name}",
            title=f"Child's {name} more than {'10' if name in {'weight', 'bmi'} else '7'} standard deviations from the chart",
            severity=WARNING,
            needs=f"{VALUES} patient.sex",
            why="Outside what disease does; inches for centimetres, pounds for kilograms, or another child. Each side is measured in its own deviations (half the distance to the second one), as CDC does for extreme values.",
            source=f"{chart}; {DAYMONT}",
            body=_chart(analyte, name, oldest, 10.0 if name in {"weight", "bmi"} else 7.0),
        )
    for key, title, severity, why, source, body in (
        ("height.child.shrinks", "Child who shrinks by more than 3 cm", WARNING, "Children do not shrink; two ways of measuring (lying, standing) make 1 to 2 cm.", DAYMONT, _step("height", (0, 16), (1, 3653), -3.0, np.inf)),
        ("height.child.leaps", "Child over two who grows by more than 20 cm a year", WARNING, "The spurt of puberty makes 10 to 12 cm a year.", "Tanner JM, Davies PS, Clinical longitudinal standards for height and height velocity, J Pediatr 1985;107:317", _step("height", (2, 20), (90, 3653), -np.inf, 20.0, rate=True)),
        ("height.infant.leaps", "Infant who grows by more than 60 cm a year", WARNING, "The first half year makes 35 to 40 cm a year.", "WHO Multicentre Growth Reference Study Group, Growth velocity standards, Geneva 2009", _step("height", (0, 2), (28, 800), -np.inf, 60.0, rate=True)),
        ("height.adult.shrinks", "Adult who shrinks by more than 8 cm within five years", WARNING, "Vertebral fractures take 1 to 2 cm each; an amputation is a false alarm.", "Sorkin JD et al., Longitudinal change in height of men and women, Am J Epidemiol 1999;150:969: 3 to 5 cm from 30 to 70", _step("height", (20, 130), (1, 1827), -8.0, np.inf)),
        ("height.adult.grows", "Adult over 25 who grows by more than 6 cm", WARNING, "The growth plates have closed.", "Tanner JM, Davies PS, J Pediatr 1985;107:317", _step("height", (25, 130), (1, 36530), -np.inf, 6.0)),
        ("head.shrinks", "Head circumference that falls by more than 1.5 cm", WARNING, "A head does not shrink; tape and hair make 1 cm, and a drained hydrocephalus is a false alarm.", DAYMONT, _step("head", (0.02, 5), (1, 1827), -1.5, np.inf)),
        ("head.leaps", "Head circumference that grows by more than 6 cm in a month", WARNING, "The fastest month makes 2 to 3 cm; hydrocephalus is a false alarm.", "WHO Multicentre Growth Reference Study Group, Growth velocity standards, Geneva 2009", _step("head", (0, 5), (1, 31), -np.inf, 6.0)),
        ("head.adult", "Head circumference of an adult", WARNING, "It is measured in children.", "AAP, Bright Futures, 4th ed. 2017: head circumference to 24 months", _head_adult),
        ("percentile.adult", "Growth percentile of an adult", WARNING, "The charts end at 20 years.", chart, _percentile),
        ("weight.adult.week", "Adult whose weight changes by more than a quarter within a week", WARNING, "Water makes a tenth; a birth, an amputation or pounds for kilograms make more.", DAYMONT, _share("weight", 18, 7, 0.75, 1.34)),
        ("weight.adult.month", "Adult whose weight halves or doubles within 60 days", ERROR, "Nobody loses or gains half in two months and is weighed again.", GREULICH, _share("weight", 18, 60, 0.5, 2.0)),
        ("weight.adult.year", "Adult whose weight halves or doubles within a year", WARNING, "Surgery takes a third of the weight in a year.", "Adams TD et al., Weight and metabolic outcomes 12 years after gastric bypass, N Engl J Med 2017;377:1143, doi:10.1056/NEJMoa1700459", _share("weight", 18, 366, 0.5, 2.0)),
        ("weight.infant.falls", "Infant who loses more than a fifth of the weight", WARNING, "Newborns lose up to a tenth in the first week.", "Flaherman VJ et al., Early weight loss nomograms, Pediatrics 2015;135:e16, doi:10.1542/peds.2014-1532", _infant_falls()),
        ("adult.height", "Adult under 100 or over 220 cm", WARNING, "Rare diseases of growth; mostly inches, or a child's record.", "CDC NCHS, NHANES 2015-2018, Anthropometric Reference Data, Vital Health Stat 3 2021;(46)", _adult_size("height", 20, 100, 220)),
        ("adult.weight", "Adult under 25 or over 300 kg", WARNING, "Under 25 kg adults do not live long.", "CDC NCHS, NHANES 2015-2018, Anthropometric Reference Data, Vital Health Stat 3 2021;(46)", _adult_size("weight", 20, 25, 300)),
        ("adult.heart", "Adult with a heart rate under 20 or over 220", WARNING, "Above what an adult's node conducts for long, or counted twice; zero at death is a false alarm.", "Tanaka H et al., Age-predicted maximal heart rate revisited, J Am Coll Cardiol 2001;37:153, doi:10.1016/S0735-1097(00)01054-8", _adult_size("heart_rate", 18, 20, 220)),
        ("adult.breath", "Adult who breathes less than 3 or more than 60 times a minute", WARNING, "Adults tire before 60; zero at death, or on a machine that is being changed, is a false alarm.", GREULICH, _adult_size("resp_rate", 18, 3, 60)),
        ("adult.bmi", "Adult with a body mass index under 12 or over 75", WARNING, "Under 12 few survive.", "Henry CJ, Body mass index and the limits of human survival, Eur J Clin Nutr 1990;44:329", _adult_size("bmi", 20, 12, 75)),
        ("newborn.weight", "Newborn under 350 g or over 6.5 kg", WARNING, "The limit of survival, and of birth.", "CDC NCHS, Births: Final Data for 2021, Natl Vital Stat Rep 2023;72(1); smallest survivors: University of Iowa, Tiniest Babies Registry 2024", _newborn),
    ):  # fmt: skip
        yield Statement(
            id=f"growth.{key}", title=title, severity=severity, needs=VALUES, why=why, source=source, body=body
        )


def _infant_falls() -> Body:
    def body(view: View) -> list[Found]:
        one = moments(view, "weight")
        who, when = one.keys >> 34, one.keys & ((1 << 34) - 1)
        born = np.append(view.births(), np.int64(-1))[who]
        near = (who[1:] == who[:-1]) & (born[1:] >= 0) & ((when - born)[:-1] < YEAR) & (np.diff(when) < 180 * DAY)
        ratio = (one.values[1:] / np.maximum(one.values[:-1], 1e-9))[near]
        return some("observation", one.rows[1:][near], ratio < 0.8)

    return body


RULES = tuple(_rules())
