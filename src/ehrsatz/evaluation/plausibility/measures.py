"""What is measured of a simulated cohort: names, scales and words, for the gate, the report and the documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ADAG = "Nathan DM et al., Translating the A1C assay into estimated average glucose values, Diabetes Care 2008;31:1473"
CHIANG = "Chiang CL, The Life Table and Its Applications, Malabar 1984 (abridged life table and its standard error)"


@dataclass(frozen=True)
class Measure:
    """One measure of a simulated cohort; the fields are those of `evaluation.base.Metric`."""

    name: str
    title: str
    theme: str
    goal: Literal["minimise", "maximise", "target"]
    low: float
    high: float
    ideal: float
    what: str
    blind: str
    source: str
    family: str = "plausibility"

    def about(self) -> dict[str, Any]:
        """Return what an evaluation says about a metric."""
        return {
            key: getattr(self, key)
            for key in ("title", "family", "theme", "what", "blind", "source", "goal", "low", "high", "ideal")
        }


def _fit(name: str, title: str, theme: str, what: str, blind: str) -> Measure:
    words = f"{what} A figure that rests on too few patients to tell is not judged."
    return Measure(name, title, theme, "maximise", 0.0, 1.0, 1.0, words, blind, CITED)


CITED = "The published figures, each with its source, stand in docs/simulator/sources.md and in the pictures here"
MEASURES: tuple[Measure, ...] = (
    Measure(
        "rule_errors",
        "Rows that break a rule, per million",
        "Rules",
        "minimise",
        0.0,
        1e6,
        0.0,
        "Every row is held against all rules of severity error (order in time, sex and age against code, dose, range, "
        "drug against disease, keys, totals); rows that break one, per million that a rule applies to.",
        "What no rule speaks of. A record that keeps all rules can still be unlike any real one.",
        "Rules with their reasons and sources: docs/rules.md",
    ),
    Measure(
        "rule_warnings",
        "Rows that a rule calls improbable, per million",
        "Rules",
        "minimise",
        0.0,
        1e6,
        0.0,
        "The same with rules of severity warning: what is improbable but can be. Real records break them too.",
        "Whether a warning is right: some of the improbable must be there for a cohort to be like life.",
        "Rules with their reasons and sources: docs/rules.md",
    ),
    Measure(
        "code_errors",
        "Codes that do not exist, per million",
        "Codes",
        "minimise",
        0.0,
        1e6,
        0.0,
        "Every code is looked up in the list of its system (ICD-10-CM, SNOMED CT, LOINC, RxNorm, CVX; UCUM by its "
        "grammar); unknown ones per million.",
        "Whether an existing code is the right one. CPT is not looked up: it is not shipped.",
        "Code lists: docs/simulator",
    ),
    Measure(
        "dangling_keys",
        "Keys that lead nowhere, per million",
        "Keys",
        "minimise",
        0.0,
        1e6,
        0.0,
        "Every key that names a row of another table is looked up there; those without their row, per million. Keys "
        "that stand twice are counted with them.",
        "A key that leads to the wrong row of the right table.",
        "Codd EF, Commun ACM 1970;13:377, doi:10.1145/362384.362685: referential integrity",
    ),
    Measure(
        "zero_stays",
        "Visits without a length, per million",
        "Keys",
        "minimise",
        0.0,
        1e6,
        0.0,
        "Encounters that end when they begin, or before; per million.",
        "Lengths that are possible and unusual.",
        "By logic: a visit takes time",
    ),
    Measure(
        "format_differences",
        "Facts that differ between formats, per million",
        "Formats",
        "minimise",
        0.0,
        1e6,
        0.0,
        "Every format is read back and held against the clinical tables, cell by cell: patient, encounter, code, "
        "value, unit, time and all else that it carries. Facts that differ and rows that lack, per million facts.",
        "What a format declares not to carry; the losses stand beside it with their reasons. A fault that writing and "
        "reading share: outside validators, named on the page of each format, look for those.",
        "House: docs/formats",
    ),
    Measure(
        "quota_met",
        "Quotas met",
        "Quotas",
        "maximise",
        0.0,
        1.0,
        1.0,
        "For each group that was asked for, its people are counted again in the tables: sex, age at the index date, "
        "conditions active then in the wanted stage, drugs taken then. Share of the people for whom all of it holds.",
        "Whether the rest of their records is what such people have.",
        "By count",
    ),
    _fit(
        "prevalence_fit",
        "Prevalence as published",
        "Prevalence",
        "Who of the living has which condition on the reference date, by age band and sex, against the published "
        "share. Share of these figures that lie within 15 % of the published one, or no further than chance explains.",
        "Conditions nobody has published by age and sex; what patients have who were never diagnosed.",
    ),
    _fit(
        "incidence_fit",
        "Incidence as published",
        "Incidence",
        "New cases per person-year by age band and sex, against the published rate, where a module gives one.",
        "Conditions whose modules are given by prevalence: their incidence follows from it and is not published twice.",
    ),
    _fit(
        "quantile_fit",
        "Labs and vitals as published",
        "Labs and vitals",
        "Quantiles from the 5th to the 95th of what was measured, by age band and sex, against the survey's. Share "
        "within 3 %, or no further than chance explains.",
        "The outer tenth of the values, and how a patient's values hang together over time.",
    ),
    _fit(
        "correlation_fit",
        "Measurements that go together",
        "Going together",
        "Correlations between measurements of one person against published ones; share within 0.1.",
        "What goes together in threes, and bends that a correlation does not see.",
    ),
    Measure(
        "glycaemia_line",
        "HbA1c with mean glucose (r)",
        "Going together",
        "target",
        -1.0,
        1.0,
        0.92,
        "Correlation over patients between their mean HbA1c and their mean capillary glucose. The ADAG study found "
        "r = 0.92 and the line eAG = 28.7 HbA1c - 46.7; the slope and the mean distance from it stand beside.",
        "Patients without both measurements: most healthy people.",
        ADAG,
    ),
    _fit(
        "multimorbidity_fit",
        "Conditions that come together",
        "Multimorbidity",
        "Share of adults with one, two and more chronic conditions, and pairs of conditions that come together, "
        "against published figures.",
        "Combinations of three and more conditions.",
    ),
    Measure(
        "life_expectancy_gap",
        "Life expectancy, years off",
        "Life and death",
        "minimise",
        0.0,
        30.0,
        0.0,
        "Deaths and years lived within the record give a life table; its life expectancy at birth against the "
        "published table of the country, for the sex that is further off.",
        "Differences between people of the same age and sex.",
        CHIANG,
    ),
    _fit(
        "cause_fit",
        "Causes of death as published",
        "Life and death",
        "Share of deaths by group of causes, and survival after a cancer, against published figures.",
        "How certificates are filled in where several causes compete.",
    ),
    _fit(
        "utilisation_fit",
        "Use of care as published",
        "Use of care",
        "Visits to offices, emergency departments and hospitals per person and year by age, length of stay, and "
        "readmission, against published figures.",
        "What happens within a visit.",
    ),
    _fit(
        "calibration_fit",
        "Your own figures",
        "Your figures",
        "Figures of the calibration file, and shares of adults that the scenario asks for, against what was reached in "
        "the reference population of the calibration.",
        "What was not asked for, but for published figures that no longer fit: they stand beside. Published figures of "
        "what was asked for are not judged any more.",
    ),
)
BY_NAME: Mapping[str, Measure] = {one.name: one for one in MEASURES}
