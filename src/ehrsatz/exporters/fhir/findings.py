"""What was found: conditions, allergies, and observations, among them blood pressure as one panel.

References
----------
HL7, FHIR R4, profile vitalsigns; US Core 5.0.1, vital signs, us-core-observation-lab, us-core-smokingstatus,
us-core-blood-pressure, us-core-condition-encounter-diagnosis, us-core-condition-problems-health-concerns and
us-core-allergyintolerance; FHIR R4, Condition, invariant con-4.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from ehrsatz.clinical import LOINC
from ehrsatz.exporters.fhir.records import Records, Resources, keyed
from ehrsatz.exporters.fhir.text import (
    LOINC_URI,
    SNOMED_URI,
    TERMS,
    UNKNOWN,
    coded,
    coding,
    concept,
    extension,
    field,
    glue,
    many,
    moment,
    number,
    quantity,
    reference,
    text,
    thing,
    word,
)

SYSTOLIC, DIASTOLIC = "8480-6", "8462-4"
PANEL = coding(LOINC_URI, "85354-9", "Blood pressure panel with all children optional")
CATEGORY = {
    "vital-signs": "Vital Signs",
    "laboratory": "Laboratory",
    "survey": "Survey",
    "imaging": "Imaging",
    "social-history": "Social History",
    "exam": "Exam",
}
INTERPRETATION = {
    "normal": coding(f"{TERMS}v3-ObservationInterpretation", "N", "Normal"),
    "low": coding(f"{TERMS}v3-ObservationInterpretation", "L", "Low"),
    "high": coding(f"{TERMS}v3-ObservationInterpretation", "H", "High"),
    "critical low": coding(f"{TERMS}v3-ObservationInterpretation", "LL", "Critical low"),
    "critical high": coding(f"{TERMS}v3-ObservationInterpretation", "HH", "Critical high"),
    "abnormal": coding(f"{TERMS}v3-ObservationInterpretation", "A", "Abnormal"),
}
VITALS = {  # LOINC code and unit -> profile of US Core
    ("29463-7", "kg"): "body-weight",
    ("8302-2", "cm"): "body-height",
    ("39156-5", "kg/m2"): "bmi",
    ("8867-4", "/min"): "heart-rate",
    ("9279-1", "/min"): "respiratory-rate",
    ("8310-5", "Cel"): "body-temperature",
    ("59408-5", "%"): "pulse-oximetry",
    ("9843-4", "cm"): "head-circumference",
}
SMOKING_STATUS = "72166-2"
SMOKING = {
    "Smokes tobacco daily": coding(SNOMED_URI, "449868002", "Smokes tobacco daily"),
    "Ex-smoker": coding(SNOMED_URI, "8517006", "Ex-smoker"),
    "Never smoked tobacco": coding(SNOMED_URI, "266919005", "Never smoked tobacco"),
}
CLINICAL = {
    "active": coding(f"{TERMS}condition-clinical", "active", "Active"),
    "resolved": coding(f"{TERMS}condition-clinical", "resolved", "Resolved"),
}
CONFIRMED = "confirmed"


def conditions(records: Records) -> Resources:
    """Return the conditions: of the problem list while active, else diagnoses of their encounter."""
    active, there = pl.col("status").eq_missing("active"), pl.col("encounter_id").is_not_null()
    problem = concept(coding(f"{TERMS}condition-category", "problem-list-item", "Problem List Item"))
    diagnosis = concept(coding(f"{TERMS}condition-category", "encounter-diagnosis", "Encounter Diagnosis"))
    over = pl.col("status").eq_missing("resolved")
    second = thing(
        pl.when(pl.col("code").is_null()).then(pl.lit('"userSelected":false')),
        field("system", pl.when(_second()).then(pl.lit(f'"{SNOMED_URI}"'))),
        field("code", text("snomed_code")),
        field("display", text("snomed_display")),
    )
    second = pl.when(_second()).then(second)
    whole = pl.col("code").is_not_null() | pl.col("display").is_not_null() | _second()
    problems, diagnosed = (
        records.meta("condition-problems-health-concerns"),
        records.meta("condition-encounter-diagnosis"),
    )
    bare = records.meta()
    meta = pl.when(whole & active).then(pl.lit(problems)).when(whole & there).then(pl.lit(diagnosed))
    return records.resource(
        "Condition",
        "condition",
        field("extension", many(pl.when(~over).then(extension("abatement", "DateTime", moment("abatement"))))),
        keyed("condition_id"),
        field("clinicalStatus", concept(word("status", CLINICAL))),
        field("verificationStatus", concept(coding(f"{TERMS}condition-ver-status", CONFIRMED, "Confirmed"))),
        field("category", many(pl.when(active).then(problem).otherwise(diagnosis))),
        field("code", coded(second)),
        field("subject", reference("Patient", "patient_id")),
        field("encounter", reference("Encounter", "encounter_id")),
        field("onsetDateTime", moment("onset")),
        field("abatementDateTime", pl.when(over).then(moment("abatement"))),
        field("recordedDate", moment("recorded")),
        glue('"stage":[{"summary":{"text":', text("stage"), "}}]"),
        meta=meta.otherwise(pl.lit(bare)) if bare else meta,
    )


def allergies(records: Records) -> Resources:
    """Return the allergies."""
    reaction = thing(
        pl.when(pl.col("reaction_code").is_not_null() | pl.col("reaction_display").is_not_null()).then(
            pl.lit(f'"system":"{SNOMED_URI}"')
        ),
        field("code", text("reaction_code")),
        field("display", text("reaction_display")),
    )
    reaction = concept(reaction, shown=text("reaction_display"))
    there = pl.any_horizontal(pl.col("reaction_code", "reaction_display", "severity").is_not_null())
    whole = thing(field("manifestation", many(reaction.fill_null(UNKNOWN))), field("severity", text("severity")))
    return records.resource(
        "AllergyIntolerance",
        "allergy",
        keyed("allergy_id"),
        field("clinicalStatus", concept(coding(f"{TERMS}allergyintolerance-clinical", "active", "Active"))),
        field("verificationStatus", concept(coding(f"{TERMS}allergyintolerance-verification", CONFIRMED, "Confirmed"))),
        field("category", many(text("category"))),
        field("code", coded()),
        field("patient", reference("Patient", "patient_id")),
        field("encounter", reference("Encounter", "encounter_id")),
        field("onsetDateTime", moment("onset")),
        field("reaction", many(pl.when(there).then(whole))),
        meta=records.claim(pl.col("code").is_not_null() | pl.col("display").is_not_null(), "allergyintolerance"),
    )


def observations(records: Records) -> list[Resources]:
    """Return single observations, and panels of systolic and diastolic pressure of one moment."""
    frame = records["observation"]
    panels = paired(frame)
    taken = pl.concat([panels["observation_id"], panels["observation_id:dia"]])
    singles = frame.with_columns(frame["observation_id"].is_in(taken.implode()).not_().alias("(single)"))
    of_smoking = (
        pl.col("category").eq_missing("social-history")
        & pl.col("code").eq_missing(SMOKING_STATUS)
        & pl.col("value").is_null()
    )
    smoking = concept(word("text_value", SMOKING), shown=text("text_value"))
    silent = pl.col("value").is_null() & pl.col("text_value").is_null()
    unit = glue("{", pl.when(pl.col("text_value").is_null() & pl.col("value").is_null()).then(pl.col("unit:json")), "}")
    more = [
        pl.when(pl.col("value").is_not_null()).then(extension("text-value", "String", text("text_value"))),
        pl.when(pl.col("value").is_null() & pl.col("text_value").is_not_null()).then(
            extension("unit", "String", text("unit"))
        ),
    ]
    single = records.made(
        "Observation",
        singles,
        "observation_id",
        field("extension", many(*more)),
        *_shared(),
        field(
            "code",
            coded(
                pl.when(pl.col("code") == "59408-5").then(
                    pl.lit(coding(LOINC_URI, "2708-6", "Oxygen saturation in Arterial blood"))
                )
            ).fill_null(UNKNOWN),
        ),
        field("valueQuantity", pl.coalesce(quantity("value", "unit"), unit)),
        field("valueCodeableConcept", pl.when(of_smoking).then(smoking)),
        field("valueString", pl.when(pl.col("value").is_null() & ~of_smoking).then(text("text_value"))),
        field("dataAbsentReason", pl.when(silent & pl.col("unit").is_null()).then(pl.lit(UNKNOWN))),
        *_judged(""),
        meta=_meta(records),
    )
    single = replace(single, where=pl.col("(single)"))
    panel = records.made(
        "Observation",
        panels,
        "observation_id",
        *_shared(is_keyed=False),
        field("code", concept(PANEL, shown='"Blood pressure"')),
        field("component", many(_component(""), _component(":dia"))),
        meta=records.claim(_in_unit(panels), "blood-pressure"),
    )
    return [single, panel]


def paired(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs of blood pressures of one moment among observations.

    Returns
    -------
    The systolic rows that have a diastolic one, whose cells stand in columns of the suffix ":dia".
    """
    moment_of = ["patient_id", "encounter_id", "order_id", "time", "category", "(copy)"]
    usable = (
        (pl.col("system") == LOINC)
        & pl.col("time").is_not_null()
        & pl.col("value").is_not_null()
        & pl.col("text_value").is_null()
    )
    pressures = frame.filter(pl.col("code").is_in([SYSTOLIC, DIASTOLIC]) & usable)
    numbered = pressures.with_columns(
        pl.int_range(pl.len()).over(*moment_of[:-1], "code").alias("(copy)")
    )  # the first with the first, where a moment has several
    upper, lower = (numbered.filter(pl.col("code") == code) for code in (SYSTOLIC, DIASTOLIC))
    return upper.join(lower, on=moment_of, how="inner", suffix=":dia", nulls_equal=True, maintain_order="left")


def _shared(*, is_keyed: bool = True) -> list[pl.Expr | str | None]:
    categories = {name: coding(f"{TERMS}observation-category", name, shown) for name, shown in CATEGORY.items()}
    return [
        keyed("observation_id") if is_keyed else None,
        field("basedOn", many(reference("ServiceRequest", "order_id"))),
        '"status":"final"',
        field("category", many(concept(word("category", categories)))),
        field("subject", reference("Patient", "patient_id")),
        field("encounter", reference("Encounter", "encounter_id")),
        field("effectiveDateTime", moment("time")),
    ]


def _judged(suffix: str) -> list[pl.Expr | str | None]:
    """Interpretation and reference range of a row, or of a component."""
    unit = pl.col(f"unit{suffix}:json" if not suffix else "unit:json:dia")
    ends = [
        field(
            name,
            pl.when(pl.col(f"{name}{suffix}").is_not_null()).then(
                thing(field("value", number(f"{name}{suffix}")), unit)
            ),
        )
        for name in ("low", "high")
    ]
    return [
        field("interpretation", many(concept(word(f"interpretation{suffix}", INTERPRETATION)))),
        field("referenceRange", many(thing(*ends))),
    ]


def _component(suffix: str) -> pl.Expr:
    uri, unit = ("system:uri", "unit:json") if not suffix else ("system:uri:dia", "unit:json:dia")
    shown = text(f"display{suffix}")
    own = thing(field("system", text(uri)), field("code", text(f"code{suffix}")), field("display", shown))
    return thing(
        field("extension", many(extension("key", "String", text(f"observation_id{suffix}")))),
        field("code", concept(own, shown=shown)),
        field("valueQuantity", thing(field("value", number(f"value{suffix}")), pl.col(unit))),
        *_judged(suffix),
    )


def _in_unit(panels: pl.DataFrame) -> pl.Expr:
    return (
        pl.col("unit").eq_missing("mm[Hg]")
        & pl.col("unit:dia").eq_missing("mm[Hg]")
        & pl.col("category").eq_missing("vital-signs")
    )


def _second() -> pl.Expr:
    return pl.col("snomed_code").is_not_null() | pl.col("snomed_display").is_not_null()


def _meta(records: Records) -> pl.Expr:
    """The profiles that an observation meets, by its category, code, unit and what it holds."""
    known = pl.col("system").eq_missing(LOINC) & pl.col("time").is_not_null()
    vital = known & (pl.col("category") == "vital-signs") & pl.col("value").is_not_null()
    pair = glue(pl.col("code"), " ", pl.col("unit")).fill_null("")
    named = {f"{code} {unit}": records.meta(profile) for (code, unit), profile in VITALS.items()}
    plain = records.meta("http://hl7.org/fhir/StructureDefinition/vitalsigns")
    coded_here = pl.col("code").is_not_null() | pl.col("display").is_not_null()
    lab = (pl.col("category") == "laboratory") & coded_here & pl.col("time").is_not_null()
    smoker = (
        known
        & (pl.col("code") == SMOKING_STATUS)
        & pl.col("text_value").is_in(list(SMOKING))
        & pl.col("value").is_null()
    )
    bare = records.meta()
    meta = (
        pl.when(vital)
        .then(pair.replace_strict(named, default=plain, return_dtype=pl.String))
        .when(lab)
        .then(pl.lit(records.meta("observation-lab")))
        .when(smoker & (pl.col("category") == "social-history"))
        .then(pl.lit(records.meta("smokingstatus")))
    )
    return meta.otherwise(pl.lit(bare)) if bare else meta
