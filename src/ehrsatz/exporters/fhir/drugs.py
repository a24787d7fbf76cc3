"""Drugs: what was ordered, what was given during stays, and vaccines.

References
----------
HL7, FHIR R4, Dosage and Timing; US Core 5.0.1, profiles us-core-medicationrequest and us-core-immunization.
"""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.fhir.records import Records, Resources, keyed
from ehrsatz.exporters.fhir.text import (
    UNKNOWN,
    coded,
    extension,
    field,
    glue,
    many,
    moment,
    number,
    period,
    quantity,
    reference,
    text,
    thing,
)

STAYS = ["inpatient", "icu"]  # classes of encounters during which drugs are given, not only ordered


def requests(records: Records) -> Resources:
    """Return the orders of drugs."""
    refills = field("numberOfRepeatsAllowed", number("refills"))
    reason = glue('{"text":', text("stop_reason"), "}")
    fits = pl.all_horizontal(pl.col("practitioner_id", "start").is_not_null())
    return records.resource(
        "MedicationRequest",
        "medication",
        keyed("medication_id"),
        glue('"status":"', pl.col("status").fill_null("unknown"), '"'),
        field("statusReason", reason),
        '"intent":"order"',
        field("medicationCodeableConcept", coded().fill_null(UNKNOWN)),
        field("subject", reference("Patient", "patient_id")),
        field("encounter", reference("Encounter", "encounter_id")),
        field("authoredOn", moment("start")),
        field("requester", reference("Practitioner", "practitioner_id")),
        field("reasonCode", many(pl.col("reason_code:json"))),
        field("dosageInstruction", many(_dosage())),
        field("dispenseRequest", thing(refills, field("quantity", quantity("quantity")))),
        meta=records.claim(fits, "medicationrequest"),
    )


def administrations(records: Records) -> Resources:
    """Return what was given while a patient stayed: each drug ordered in the stay, over the time that lies in it."""
    stays = records["encounter"].filter(pl.col("class").is_in(STAYS) & pl.col("start").is_not_null())
    stays = stays.select("encounter_id", pl.col("start").alias("from"), pl.col("stop").alias("to"))
    frame = records["medication"].join(stays, on="encounter_id", maintain_order="left")
    frame = frame.with_columns(
        pl.max_horizontal("start", "from").alias("begun"), pl.min_horizontal("stop", "to").alias("ended")
    ).filter(pl.col("start").is_not_null() & pl.col("ended").is_not_null() & (pl.col("begun") < pl.col("ended")))
    dosage = thing(field("route", glue('{"text":', text("route"), "}")), field("dose", _dose()))
    enough = pl.any_horizontal(pl.col("dose", "route").is_not_null())  # invariant mad-1 wants a dose or a rate
    return records.made(
        "MedicationAdministration",
        frame,
        "medication_id",
        '"status":"completed"',
        field("medicationCodeableConcept", coded().fill_null(UNKNOWN)),
        field("subject", reference("Patient", "patient_id")),
        field("context", reference("Encounter", "encounter_id")),
        field("effectivePeriod", period("begun", "ended")),
        field("request", reference("MedicationRequest", "medication_id")),
        field("dosage", pl.when(enough & pl.col("dose").is_not_null()).then(dosage)),
        meta=records.meta(is_derived=True),
    )


def immunizations(records: Records) -> Resources:
    """Return the vaccines given."""
    counted = pl.col("dose_number") >= 1
    return records.resource(
        "Immunization",
        "immunization",
        keyed("immunization_id"),
        '"status":"completed"',
        field("vaccineCode", coded().fill_null(UNKNOWN)),
        field("patient", reference("Patient", "patient_id")),
        field("encounter", reference("Encounter", "encounter_id")),
        field("occurrenceDateTime", moment("time")),
        pl.when(pl.col("time").is_null()).then(pl.lit('"occurrenceString":"unknown"')),
        '"primarySource":true',
        field("lotNumber", text("lot")),
        field("site", glue('{"text":', text("site"), "}")),
        field(
            "protocolApplied",
            many(
                thing(
                    field("doseNumberPositiveInt", pl.when(counted).then(number("dose_number"))),
                    field("doseNumberString", pl.when(~counted).then(glue('"', number("dose_number"), '"'))),
                )
            ),
        ),
        meta=records.meta("immunization"),
    )


def _dose() -> pl.Expr:
    there = pl.col("dose").is_not_null() | pl.col("dose_unit").is_not_null()
    return pl.when(there).then(thing(field("value", number("dose")), pl.col("dose_unit:json")))


def _dosage() -> pl.Expr:
    """A Dosage: how much, which way, how often and how long; the exact doses a day as an extension."""
    ordered = thing(field("start", moment("start")), field("end", moment("stop")))
    bounds = field("boundsPeriod", pl.when(pl.col("stop").is_not_null()).then(ordered))
    rate = pl.col("per_day")
    whole, rare = (rate >= 1) & (rate == rate.round()), (rate > 0) & (rate < 1)
    often = (rate > 1) & (rate != rate.round())
    plain = glue('"frequency":', number(rate.round().cast(pl.Int64)), ',"period":1,"periodUnit":"d"')
    seldom = glue('"frequency":1,"period":', number((1 / rate).round(1)), ',"periodUnit":"d"')
    odd = glue('"frequency":1,"period":', number((24 / rate).round(2)), ',"periodUnit":"h"')
    times = pl.when(whole).then(plain).when(rare).then(seldom).when(often).then(odd)
    return thing(
        field("extension", many(extension("doses-per-day", "Decimal", number("per_day")))),
        field("timing", glue('{"repeat":', thing(bounds, times), "}")),
        field("route", glue('{"text":', text("route"), "}")),
        field("doseAndRate", many(glue('{"doseQuantity":', _dose(), "}"))),
    )
