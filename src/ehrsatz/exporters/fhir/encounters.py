"""Encounters, and Provenance: who recorded what, and that a program made the whole.

References
----------
HL7, FHIR R4, value sets v3-ActEncounterCode and encounter-discharge-disposition; US Core 5.0.1, profiles
us-core-encounter and us-core-provenance.
"""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.fhir.keys import digest
from ehrsatz.exporters.fhir.records import MAKER, Records, Resources, keyed
from ehrsatz.exporters.fhir.text import (
    TERMS,
    coded,
    coding,
    concept,
    extension,
    field,
    glue,
    many,
    moment,
    period,
    reference,
    text,
    word,
)

ACT = f"{TERMS}v3-ActCode"
AMBULATORY, STAY = coding(ACT, "AMB", "ambulatory"), coding(ACT, "IMP", "inpatient encounter")
CLASS = {
    "wellness": AMBULATORY,
    "ambulatory": AMBULATORY,
    "urgent": AMBULATORY,
    "emergency": coding(ACT, "EMER", "emergency"),
    "inpatient": STAY,
    "icu": STAY,
    "virtual": coding(ACT, "VR", "virtual"),
    "home": coding(ACT, "HH", "home health"),
}
UNTOLD = ["wellness", "urgent", "icu"]  # classes that the standard's code does not tell from others
DISPOSITION = {
    "home": coding(f"{TERMS}discharge-disposition", "home", "Home"),
    "home health": coding(f"{TERMS}discharge-disposition", "home", "Home"),
    "skilled nursing": coding(f"{TERMS}discharge-disposition", "snf", "Skilled nursing facility"),
    "hospice": coding(f"{TERMS}discharge-disposition", "hosp", "Hospice"),
    "transferred": coding(f"{TERMS}discharge-disposition", "other-hcf", "Other healthcare facility"),
    "died": coding(f"{TERMS}discharge-disposition", "exp", "Expired"),
}
AUTHOR = concept(coding(f"{TERMS}provenance-participant-type", "author", "Author"))
ASSEMBLER = concept(coding(f"{TERMS}provenance-participant-type", "assembler", "Assembler"))
CREATED = concept(coding(f"{TERMS}v3-DataOperation", "CREATE", "create"))
ATTENDING = concept(coding(f"{TERMS}v3-ParticipationType", "ATND", "attender"))


def encounters(records: Records) -> Resources:
    """Return the encounters, those that others are part of before them."""
    frame = _nested(records["encounter"])
    nobody = coding(f"{TERMS}v3-NullFlavor", "UNK", "unknown")
    return records.made(
        "Encounter",
        frame,
        "encounter_id",
        field(
            "extension",
            many(pl.when(pl.col("class").is_in(UNTOLD)).then(extension("encounter-class", "Code", text("class")))),
        ),
        keyed("encounter_id"),
        pl.when(pl.col("stop").is_null()).then(pl.lit('"status":"unknown"')).otherwise(pl.lit('"status":"finished"')),
        field("class", word("class", CLASS).fill_null(nobody)),
        field("type", many(coded())),
        field("subject", reference("Patient", "patient_id")),
        field(
            "participant",
            many(glue('{"type":[', ATTENDING, '],"individual":', reference("Practitioner", "practitioner_id"), "}")),
        ),
        field("period", period("start", "stop")),
        field("reasonCode", many(pl.col("reason_code:json"))),
        glue(
            '"hospitalization":{"dischargeDisposition":',
            concept(word("disposition", DISPOSITION), shown=text("disposition")),
            "}",
        ),
        field("location", many(glue('{"location":', reference("Location", "location_id"), "}"))),
        field("serviceProvider", reference("Organization", "organization_id")),
        field("partOf", reference("Encounter", "part_of_id")),
        meta=records.claim(pl.col("code").is_not_null(), "encounter"),
    )


def provenance(records: Records) -> list[Resources]:
    """Return who recorded each encounter, and that the record as a whole was assembled by this program."""
    visits = records["encounter"].with_columns(pl.coalesce("stop", "start").alias("recorded"))
    visits = visits.filter(pl.col("recorded").is_not_null() & pl.col("practitioner_id").is_not_null())
    recorded = field("recorded", moment("recorded"))
    author = glue(
        '"agent":[{"type":',
        AUTHOR,
        ',"who":',
        reference("Practitioner", "practitioner_id"),
        glue(',"onBehalfOf":', reference("Organization", "organization_id")).fill_null(""),
        "}]",
    )
    of_visits = records.made(
        "Provenance",
        visits,
        "encounter_id",
        field("target", many(reference("Encounter", "encounter_id"))),
        recorded,
        field("activity", CREATED),
        author,
        meta=records.meta("provenance", is_derived=True),
    )
    last = (
        records["encounter"]
        .group_by("patient_id")
        .agg(pl.max_horizontal(pl.col("start").max(), pl.col("stop").max()).alias("recorded"))
    )
    people = records["patient"].join(last, on="patient_id", how="left", maintain_order="left")
    people = people.with_columns(
        pl.coalesce("recorded", pl.col("birth_date").cast(pl.Datetime("us"))), _record_ids(people["patient_id:id"])
    ).filter(pl.col("recorded").is_not_null())
    of_people = records.made(
        "Provenance",
        people,
        "record",
        field("target", many(reference("Patient", "patient_id"))),
        recorded,
        field("activity", CREATED),
        glue('"agent":[{"type":', ASSEMBLER, f',"who":{{"display":"{MAKER}"}}}}]'),
        meta=records.meta(is_derived=True),
    )
    return [of_visits, of_people]


def _record_ids(ids: pl.Series) -> pl.Series:
    made = [f"record-{one}" if len(one) <= 56 else f"record-{digest(one)}" for one in ids.to_list()]
    return pl.Series("record:id", made, dtype=pl.String)


def _nested(frame: pl.DataFrame) -> pl.DataFrame:
    """Put encounters that are part of others behind these, however deep."""
    inner = frame.filter(pl.col("part_of_id").is_not_null())
    if not inner.height:
        return frame
    layers, left = [frame.filter(pl.col("part_of_id").is_null())], inner
    while left.height:
        waits = left["part_of_id"].is_in(left["encounter_id"].implode())
        if waits.all():  # a circle: in any order
            layers.append(left)
            break
        layers.append(left.filter(~waits))
        left = left.filter(waits)
    return pl.concat(layers)
