"""Procedures, devices, care plans and their goals.

References
----------
HL7, FHIR R4, Goal, invariant gol-1; US Core 5.0.1, profiles us-core-procedure, us-core-implantable-device,
us-core-careplan and us-core-goal.
"""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.fhir.records import Records, Resources, keyed
from ehrsatz.exporters.fhir.text import (
    ABSENT,
    TERMS,
    UNKNOWN,
    coded,
    coding,
    concept,
    day,
    extension,
    field,
    glue,
    many,
    moment,
    number,
    period,
    reference,
    text,
    thing,
    word,
)

ACHIEVEMENT = {
    "achieved": coding(f"{TERMS}goal-achievement", "achieved", "Achieved"),
    "in progress": coding(f"{TERMS}goal-achievement", "in-progress", "In Progress"),
    "not achieved": coding(f"{TERMS}goal-achievement", "not-achieved", "Not Achieved"),
}
IMPLANTS = r"(?i)implant|prosthesis|pacemaker|defibrillator|stent\b|intraocular lens"
ASSESS_PLAN = concept(coding("http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "assess-plan"))


def visit() -> pl.Expr | str:
    """Return the extension that names the encounter, for resources that have no place for one."""
    return extension("encounter", "Reference", reference("Encounter", "encounter_id"))


def procedures(records: Records) -> Resources:
    """Return the procedures done."""
    fits = pl.col("start").is_not_null() & (pl.col("code").is_not_null() | pl.col("display").is_not_null())
    return records.resource(
        "Procedure",
        "procedure",
        keyed("procedure_id"),
        '"status":"completed"',
        field("code", coded()),
        field("subject", reference("Patient", "patient_id")),
        field("encounter", reference("Encounter", "encounter_id")),
        field("performedPeriod", period("start", "stop")),
        field("performer", many(glue('{"actor":', reference("Practitioner", "practitioner_id"), "}"))),
        field("reasonCode", many(pl.col("reason_code:json"))),
        meta=records.claim(fits, "procedure"),
    )


def devices(records: Records) -> Resources:
    """Return devices in use; those in the body claim the profile for implants."""
    ended = pl.col("stop").is_not_null()
    return records.resource(
        "Device",
        "device",
        field("extension", many(visit(), extension("in-use", "Period", period("start", "stop")))),
        keyed("device_id"),
        pl.when(ended).then(pl.lit('"status":"inactive"')).otherwise(pl.lit('"status":"active"')),
        field("serialNumber", text("serial")),
        field("type", coded()),
        field("patient", reference("Patient", "patient_id")),
        meta=records.claim(pl.col("display").str.contains(IMPLANTS), "implantable-device"),
    )


def goals(records: Records) -> Resources:
    """Return the goals; what they measure and between which ends."""
    unit = pl.col("unit:json")
    ends = [
        field(end, pl.when(pl.col(column).is_not_null()).then(thing(field("value", number(column)), unit)))
        for end, column in (("low", "target_low"), ("high", "target_high"))
    ]
    measure = concept(thing(field("system", text("system:uri")), field("code", text("code"))))
    bounded = pl.any_horizontal(pl.col("target_low", "target_high").is_not_null())
    target = thing(
        field("extension", many(pl.when(~bounded).then(extension("unit", "String", text("unit"))))),
        field("measure", pl.when(bounded).then(measure.fill_null(UNKNOWN)).otherwise(measure)),
        field("detailRange", thing(*ends)),
    )
    running = pl.col("status").is_null() | (pl.col("status") == "in progress")
    return records.resource(
        "Goal",
        "goal",
        field("extension", many(visit(), extension("start", "DateTime", moment("start")))),
        keyed("goal_id"),
        pl.when(running).then(pl.lit('"lifecycleStatus":"active"')).otherwise(pl.lit('"lifecycleStatus":"completed"')),
        field("achievementStatus", concept(word("status", ACHIEVEMENT))),
        field("description", glue('{"text":', text("description"), "}").fill_null(ABSENT)),
        field("subject", reference("Patient", "patient_id")),
        field("startDate", day("start")),
        field("target", many(target)),
        meta=records.claim(pl.col("start").is_not_null() & pl.col("description").is_not_null(), "goal"),
    )


def plans(records: Records) -> Resources:
    """Return the care plans with their goals, and the conditions of the patient that they address."""
    goals_of = records["goal"].filter(pl.col("careplan_id").is_not_null()).group_by("careplan_id", maintain_order=True)
    named = goals_of.agg(reference("Goal", "goal_id").str.join(",").alias("goals"))
    problems = records["condition"].filter(pl.col("code").is_not_null())
    by_reason = problems.group_by("patient_id", pl.col("code").alias("reason_code"), maintain_order=True)
    addressed = by_reason.agg(reference("Condition", "condition_id").first().alias("addressed"))
    frame = records["careplan"].join(named, on="careplan_id", how="left", maintain_order="left")
    frame = frame.join(addressed, on=["patient_id", "reason_code"], how="left", maintain_order="left")
    there = pl.any_horizontal(pl.col("code", "display", "reason_code").is_not_null())
    detail = thing(
        field("code", coded()),
        field("reasonCode", many(pl.col("reason_code:json"))),
        pl.when(pl.col("status") == "completed")
        .then(pl.lit('"status":"completed"'))
        .otherwise(pl.lit('"status":"in-progress"')),
    )
    shown = pl.col("display").str.replace_many(["&", "<", ">"], ["&amp;", "&lt;", "&gt;"])
    return records.made(
        "CarePlan",
        frame,
        "careplan_id",
        glue(
            '"text":{"status":"generated","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">',
            shown.fill_null("Care plan"),
            '</div>"}',
        ),
        keyed("careplan_id"),
        glue('"status":"', pl.col("status").fill_null("unknown"), '"'),
        '"intent":"plan"',
        field("category", many(ASSESS_PLAN, coded())),
        field("title", text("display")),
        field("subject", reference("Patient", "patient_id")),
        field("encounter", reference("Encounter", "encounter_id")),
        field("period", period("start", "stop")),
        field("addresses", many(pl.col("addressed"))),
        glue('"goal":[', pl.col("goals"), "]"),
        field("activity", many(pl.when(there).then(glue('{"detail":', detail, "}")))),
        meta=records.meta("careplan"),
    )
