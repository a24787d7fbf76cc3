"""Orders of tests, pictures and referrals, and the reports that answer them.

References
----------
HL7, FHIR R4, DiagnosticReport, DocumentReference and ImagingStudy; US Core 5.0.1, profiles us-core-servicerequest,
us-core-diagnosticreport-lab, us-core-diagnosticreport-note and us-core-documentreference.
"""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.fhir.findings import paired
from ehrsatz.exporters.fhir.keys import uid
from ehrsatz.exporters.fhir.records import Records, Resources, keyed
from ehrsatz.exporters.fhir.text import (
    LOINC_URI,
    SNOMED_URI,
    TERMS,
    UNKNOWN,
    coded,
    coding,
    concept,
    field,
    glue,
    many,
    moment,
    reference,
    text,
    thing,
    word,
)

ORDERED = {
    "laboratory": coding(SNOMED_URI, "108252007", "Laboratory procedure"),
    "imaging": coding(SNOMED_URI, "363679005", "Imaging"),
    "procedure": coding(SNOMED_URI, "71388002", "Procedure"),
    "referral": coding(SNOMED_URI, "3457005", "Patient referral"),
}
ORDER_STATUS = {"completed": "completed", "cancelled": "revoked"}
SECTION = {
    "laboratory": coding(f"{TERMS}v2-0074", "LAB", "Laboratory"),
    "imaging": coding(f"{TERMS}v2-0074", "RAD", "Radiology"),
}
RADIOLOGY = f'{{"coding":[{coding(LOINC_URI, "LP29684-5", "Radiology")}]}}'
DOCUMENT = {
    "laboratory": coding(LOINC_URI, "11502-2", "Laboratory report"),
    "imaging": coding(LOINC_URI, "18748-4", "Diagnostic imaging study"),
}
CATEGORIES = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"
NOTE = f'{{"coding":[{coding(CATEGORIES, "clinical-note", "Clinical Note")}]}}'
DICOM = "http://dicom.nema.org/resources/ontology/DCM"


def orders(records: Records) -> Resources:
    """Return what was ordered, drugs aside."""
    return records.resource(
        "ServiceRequest",
        "order",
        keyed("order_id"),
        glue('"status":"', word("status", ORDER_STATUS).fill_null("unknown"), '"'),
        '"intent":"order"',
        field("category", many(concept(word("kind", ORDERED), shown=text("kind")))),
        field("code", coded()),
        field("subject", reference("Patient", "patient_id")),
        field("encounter", reference("Encounter", "encounter_id")),
        field("authoredOn", moment("time")),
        field("requester", reference("Practitioner", "practitioner_id")),
        field("reasonCode", many(pl.col("reason_code:json"))),
        meta=records.claim(pl.col("code").is_not_null() | pl.col("display").is_not_null(), "servicerequest"),
    )


def studies(records: Records) -> Resources:
    """Return the studies that imaging reports describe, with identifiers made of the report's key; no pictures."""
    frame = records["report"].filter(_is_study())
    told = records.tables["report"].filter(_is_study())["report_id"].to_list()
    frame = frame.with_columns(
        pl.Series("study", [uid(key) for key in told], dtype=pl.String),
        pl.Series("series", [uid(f"{key} series") for key in told], dtype=pl.String),
    )
    is_code = pl.col("modality").str.contains(r"^\S+$")
    by_code = glue(f'{{"system":"{DICOM}","code":', text("modality"), "}")
    modality = pl.when(is_code).then(by_code).otherwise(glue('{"display":', text("modality"), "}"))
    absent = coding(f"{TERMS}data-absent-reason", "unknown")
    series = thing(
        field("uid", text("series")),
        field("modality", modality.fill_null(absent)),
        field("bodySite", glue('{"display":', text("body_site"), "}")),
        field("started", moment("time")),
    )
    seen = pl.any_horizontal(pl.col("modality", "body_site").is_not_null())
    return records.made(
        "ImagingStudy",
        frame,
        "report_id",
        glue('"identifier":[{"system":"urn:dicom:uid","value":"urn:oid:', pl.col("study"), '"}]'),
        '"status":"available"',
        field("modality", many(modality)),
        field("subject", reference("Patient", "patient_id")),
        field("encounter", reference("Encounter", "encounter_id")),
        field("started", moment("time")),
        field("basedOn", many(reference("ServiceRequest", "order_id"))),
        field("description", text("display")),
        field("series", many(pl.when(seen).then(series))),
        meta=records.meta(),
    )


def reports(records: Records) -> Resources:
    """Return the reports with their text, and the results of the same order."""
    of_order = records["order"].select(
        "order_id", pl.col("system:uri").alias("order:uri"), pl.col("code").alias("order:code")
    )
    reported = records["report"]["order_id"].drop_nulls().unique()
    seen = records["observation"].filter(pl.col("order_id").is_in(reported.implode()))
    lower = paired(seen)["observation_id:dia"]  # within the panel of the upper one
    seen = seen.filter(pl.col("observation_id").is_in(lower.implode()).not_())
    results = seen.group_by("order_id", maintain_order=True).agg(
        reference("Observation", "observation_id").str.join(",").alias("results")
    )
    frame = records["report"].join(of_order, on="order_id", how="left", maintain_order="left")
    frame = frame.join(results, on="order_id", how="left", maintain_order="left")
    imaging = pl.col("kind").eq_missing("imaging")
    ordered = thing(field("system", text("order:uri")), field("code", text("order:code")))
    fits = pl.all_horizontal(pl.col("time", "kind", "display").is_not_null())
    lab, note, bare = records.meta("diagnosticreport-lab"), records.meta("diagnosticreport-note"), records.meta()
    meta = pl.when(fits & ~imaging).then(pl.lit(lab)).when(fits).then(pl.lit(note))
    return records.made(
        "DiagnosticReport",
        frame,
        "report_id",
        keyed("report_id"),
        field("basedOn", many(reference("ServiceRequest", "order_id"))),
        '"status":"final"',
        field(
            "category",
            many(concept(word("kind", SECTION), shown=text("kind")), pl.when(imaging).then(pl.lit(RADIOLOGY))),
        ),
        field("code", concept(ordered, shown=text("display")).fill_null(UNKNOWN)),
        field("subject", reference("Patient", "patient_id")),
        field("encounter", reference("Encounter", "encounter_id")),
        field("effectiveDateTime", moment("time")),
        field("issued", moment("time")),
        glue('"result":[', pl.col("results"), "]"),
        field("imagingStudy", many(pl.when(_is_study()).then(reference("ImagingStudy", "report_id")))),
        field("conclusion", text("text")),
        meta=meta.otherwise(pl.lit(bare)) if bare else meta,
    )


def documents(records: Records) -> Resources:
    """Return the text of reports as documents, which repeat what the reports say."""
    plain = records.tables["report"]["text"].cast(pl.Binary).bin.encode("base64").alias("data")
    frame = records["report"].with_columns(plain).filter(pl.col("text").is_not_null())
    attachment = glue(
        '"content":[{"attachment":{"contentType":"text/plain; charset=utf-8","data":',
        text("data"),
        glue(',"title":', text("display")).fill_null(""),
        "}}]",
    )
    context = thing(
        field("encounter", many(reference("Encounter", "encounter_id"))),
        field("related", many(reference("DiagnosticReport", "report_id"))),
    )
    return records.made(
        "DocumentReference",
        frame,
        "report_id",
        '"status":"current"',
        field("type", concept(word("kind", DOCUMENT)).fill_null(UNKNOWN)),
        field("category", many(NOTE)),
        field("subject", reference("Patient", "patient_id")),
        field("date", moment("time")),
        attachment,
        field("context", context),
        meta=records.meta("documentreference", is_derived=True),
    )


def _is_study() -> pl.Expr:
    return pl.col("kind").eq_missing("imaging") | pl.col("modality").is_not_null() | pl.col("body_site").is_not_null()
