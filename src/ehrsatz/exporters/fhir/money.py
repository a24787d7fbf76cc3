"""Coverage, claims with their lines, and payments as explanations of benefit, exact to the cent.

References
----------
HL7, FHIR R4, Coverage, Claim and ExplanationOfBenefit; CARIN Blue Button 2.0.0, code system C4BBAdjudication.
"""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.fhir.plans import visit
from ehrsatz.exporters.fhir.records import SLICE, Records, Resources, keyed
from ehrsatz.exporters.fhir.text import (
    ABSENT,
    BASE,
    TERMS,
    UNKNOWN,
    coding,
    concept,
    day,
    extension,
    field,
    glue,
    many,
    moment,
    money,
    number,
    reference,
    text,
    thing,
)

ADJUDICATION = f"{TERMS}adjudication"
CARIN = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBAdjudication"
PARTS = {
    "payer_part": coding(ADJUDICATION, "benefit", "Benefit Amount"),
    "patient_part": coding(CARIN, "paidbypatient", "Paid by patient"),
    "adjustment": coding(CARIN, "discount", "Discount"),
}
INSTITUTIONAL = ["emergency", "inpatient", "icu"]
NORMAL = concept(coding(f"{TERMS}processpriority", "normal"))
NOBODY = '{"display":"unknown"}'
SELF_PAY = '{"display":"self-pay"}'


def coverages(records: Records) -> Resources:
    """Return the insurance of patients over time."""
    return records.resource(
        "Coverage",
        "coverage",
        keyed("coverage_id"),
        '"status":"active"',
        field("subscriberId", text("member_number")),
        field("beneficiary", reference("Patient", "patient_id")),
        field("relationship", concept(coding(f"{TERMS}subscriber-relationship", "self", "Self"))),
        field("period", thing(field("start", day("start")), field("end", day("stop")))),
        field("payor", many(reference("Organization", "payer_id").fill_null(NOBODY))),
        meta=records.meta(),
    )


def claims(records: Records) -> Resources:
    """Return the claims with their lines."""
    told = (
        records["claim_line"].filter(pl.col("claim_id").is_not_null()).sort("claim_id", "number", maintain_order=True)
    )
    pieces = [piece.select("claim_id", items=_item()) for piece in told.iter_slices(SLICE)]  # bounds what is held
    lines = pl.concat(pieces or [told.select("claim_id", items=pl.lit(None, pl.String))])
    lines = lines.group_by("claim_id", maintain_order=True).agg(pl.col("items").str.join(","))
    frame = _with_visit(records, records["claim"]).join(lines, on="claim_id", how="left", maintain_order="left")
    return records.made(
        "Claim",
        frame,
        "claim_id",
        field("extension", many(visit(), extension("claim-status", "Code", text("status")))),
        keyed("claim_id"),
        '"status":"active"',
        *_head(),
        field("provider", reference("Organization", "organization_id").fill_null(NOBODY)),
        field("priority", NORMAL),
        glue('"diagnosis":[{"sequence":1,"diagnosisCodeableConcept":', pl.col("visit:reason"), "}]"),
        field("insurance", many(thing('"sequence":1', '"focal":true', _insured()))),
        glue('"item":[', pl.col("items"), "]"),
        field("total", money("total")),
        meta=records.meta(),
    )


def benefits(records: Records) -> Resources:
    """Return one explanation of benefit per payment: what payer and patient paid and what was taken off."""
    of_claim = records["claim"].select("claim_id", "coverage_id", "coverage_id:id")
    frame = records["payment"].join(of_claim, on="claim_id", how="left", maintain_order="left")
    frame = _with_visit(records, frame)
    payers = records["coverage"].select("coverage_id", "payer_id:id")
    frame = frame.join(payers, on="coverage_id", how="left", maintain_order="left")
    totals = [glue('{"category":', concept(code), ',"amount":', money(column), "}") for column, code in PARTS.items()]
    paid = thing(field("date", day("time")), field("amount", money("payer_part")))
    return records.made(
        "ExplanationOfBenefit",
        frame,
        "payment_id",
        field("extension", many(visit())),
        keyed("payment_id"),
        '"status":"active"',
        *_head(),
        field("insurer", reference("Organization", "payer_id").fill_null(SELF_PAY)),
        field("provider", reference("Organization", "organization_id").fill_null(NOBODY)),
        field("claim", reference("Claim", "claim_id")),
        '"outcome":"complete"',
        field("insurance", many(thing('"focal":true', _insured()))),
        field("total", many(*totals)),
        field("payment", pl.when(pl.col("payer_part") > 0).then(paid)),
        meta=records.meta(),
    )


def _head() -> list[pl.Expr | str | None]:
    institutional = concept(coding(f"{TERMS}claim-type", "institutional", "Institutional"))
    professional = concept(coding(f"{TERMS}claim-type", "professional", "Professional"))
    return [
        field("type", pl.when(pl.col("visit:class").is_in(INSTITUTIONAL)).then(institutional).otherwise(professional)),
        '"use":"claim"',
        field("patient", reference("Patient", "patient_id")),
        pl.coalesce(glue('"created":', moment("time")), pl.lit(f'"_created":{ABSENT}')),
    ]


def _insured() -> pl.Expr | str | None:
    return field("coverage", reference("Coverage", "coverage_id").fill_null(SELF_PAY))


def _item() -> pl.Expr:
    """A line of a claim."""
    code = concept(thing(field("system", text("system:uri")), field("code", text("code"))))
    return thing(
        field("extension", many(extension("key", "String", text("claim_line_id")))),
        pl.coalesce(glue('"sequence":', number("number")), pl.lit(f'"_sequence":{ABSENT}')),
        field(
            "category",
            concept(glue(f'{{"system":"{BASE}CodeSystem/claim-line","code":', text("kind"), "}"), shown=text("kind")),
        ),
        field("productOrService", code.fill_null(UNKNOWN)),
        glue('"servicedPeriod":{"start":', moment("time"), "}"),
        field("net", money("amount")),
        field("encounter", many(reference("Encounter", "encounter_id"))),
    )


def _with_visit(records: Records, frame: pl.DataFrame) -> pl.DataFrame:
    """Add what the encounter of a row says: class, reason and organization."""
    visits = records["encounter"].select(
        "encounter_id",
        pl.col("class").alias("visit:class"),
        pl.col("reason_code:json").alias("visit:reason"),
        "organization_id:id",
    )
    return frame.join(visits, on="encounter_id", how="left", maintain_order="left")
