"""What the CDM has no place for, declared beforehand."""

from __future__ import annotations

import polars as pl

from ehrsatz import loose
from ehrsatz.exporters.base import Loss
from ehrsatz.exporters.omop.events import place
from ehrsatz.exporters.omop.shard import SOURCE_LENGTH
from ehrsatz.exporters.omop.world import name

_KEYS = "rows of this table have a number of the CDM, and no place for their own key"
_PEOPLE = "a person of the CDM has no name, telephone, address of mail or number of an authority"
_REASON = "the CDM has no column for why this was done"
_NO_DATE = "a cost has no date of its own, only that of what it is for"
_CLAIM = "a cost leads to what it is for, not to a claim"
_SITE = "a care site has no such column"


def _whole(table: str, reason: str, *columns: str) -> list[Loss]:
    return [Loss(table, column, reason) for column in columns]


def _long(table: str, column: str, length: int) -> Loss:
    return Loss(
        table,
        column,
        f"the CDM holds {length} characters of it",
        rows=pl.col(column).str.len_chars() > length,
        keeps=pl.col(column).str.slice(0, length),
    )


def _parted(column: str) -> pl.Expr:
    """Return what is read again of the name of a provider."""
    parts = name().str.slice(0, 255).str.splitn(", ", 2).struct
    return parts.field("field_0" if column == "family_name" else "field_1")


def _coded() -> list[Loss]:
    """Codes and displays that are longer than the columns of `concept`."""
    out = []
    for table in loose.schema().tables:
        if table.name in {"goal", "claim_line"}:
            continue
        for column in table.names:
            if column == "code" or (column.endswith("_code") and column not in {"reason_code", "postal_code"}):
                out.append(_long(table.name, column, SOURCE_LENGTH))
            if (column == "display" and table.name != "report") or column.endswith("_display"):
                out.append(_long(table.name, column, 255))
        if {"code", "display"} <= set(table.names):
            out.append(Loss(table.name, "display", "a name goes with its code alone", rows=pl.col("code").is_null()))
            out.append(Loss(table.name, "system", "a system goes with its code alone", rows=pl.col("code").is_null()))
    return out


LOSSES: tuple[Loss, ...] = (
    *(Loss(table, f"{table}_id", _KEYS) for table in (
        "relation", "coverage", "condition", "observation", "order", "report", "medication", "procedure",
        "immunization", "allergy", "device", "careplan", "claim", "claim_line", "payment",
    )),
    Loss("goal", None, "the CDM has no goals of care: they are no facts about the person"),
    *_whole(
        "patient", _PEOPLE, "given_name", "family_name", "birth_family_name", "phone", "email", "national_id",
        "record_number",
    ),
    Loss("patient", "death_cause", "a death has a date", rows=pl.col("death_time").is_null()),
    _long("patient", "death_cause", SOURCE_LENGTH),
    *(_long("patient", column, length) for column, length in (
        ("address_line", 100), ("city", 50), ("region", 50), ("postal_code", 9), ("country", 80), ("language", 60),
        ("blood_group", 60),
    )),
    *_whole("organization", _SITE, "identifier", "phone"),
    *(_long("organization", column, length) for column, length in (
        ("name", 255), ("address_line", 100), ("city", 50), ("region", 50), ("postal_code", 9),
    )),
    _long("location", "name", 255),
    *(Loss(
        "practitioner", column, "the CDM has one name of a provider, of 255 characters, parted at the first comma",
        rows=(name().str.len_chars() > 255) | pl.col("family_name").str.contains(", ", literal=True),
        keeps=_parted(column),
    ) for column in ("given_name", "family_name")),
    _long("practitioner", "identifier", 20),
    _long("practitioner", "specialty", 50),
    _long("payer", "name", 255),
    _long("coverage", "member_number", 50),
    Loss("coverage", "start", "a plan begins on a day", rows=pl.col("start").is_null()),
    Loss("encounter", "reason_display", "a name goes with its code alone", rows=pl.col("reason_code").is_null()),
    _long("encounter", "reason_code", SOURCE_LENGTH),
    Loss("condition", "recorded", "a condition has the day that it began and the day that it ended"),
    _long("condition", "stage", SOURCE_LENGTH),
    Loss("condition", "snomed_display", "a name goes with its code alone", rows=pl.col("snomed_code").is_null()),
    *_whole("observation", "the order that it leads to has no key of its own", "order_id"),
    _long("observation", "unit", SOURCE_LENGTH),
    *_whole("order", _REASON, "reason_code"),
    *_whole("report", "the order that it leads to has no key of its own", "order_id"),
    Loss("report", None, "a note of the CDM is its text", rows=pl.col("text").is_null()),
    _long("report", "display", 250),
    *(Loss("report", column, f"the CDM holds {SOURCE_LENGTH} characters of both",
           rows=place().str.len_chars() > SOURCE_LENGTH) for column in ("modality", "body_site")),
    *_whole("medication", _REASON, "reason_code"),
    *_whole("medication", "the CDM tells from its dates whether a drug is taken", "status"),
    _long("medication", "stop_reason", 20),
    _long("medication", "route", 50),
    _long("medication", "dose_unit", 50),
    *_whole("procedure", _REASON, "reason_code"),
    _long("immunization", "lot", 50),
    Loss("allergy", "reaction_display", "a name goes with its code alone", rows=pl.col("reaction_code").is_null()),
    _long("device", "serial", 255),
    *_whole("careplan", _REASON, "reason_code"),
    *(Loss(table, None, "a cost leads to what it is for", rows=pl.col("encounter_id").is_null())
      for table in ("claim", "claim_line", "payment")),
    *_whole("claim", _NO_DATE, "time"),
    *_whole("claim", "a plan of the CDM has no key of its own", "coverage_id"),
    *_whole("claim", "the CDM tells from the amounts who paid", "status"),
    *_whole("claim_line", _CLAIM, "claim_id", "number"),
    *_whole("claim_line", "a cost has a domain of the CDM, which has no kind of bill", "kind"),
    *_whole("claim_line", _NO_DATE, "time"),
    _long("claim_line", "code", SOURCE_LENGTH),
    *_whole("payment", _CLAIM, "claim_id"),
    *_whole("payment", _NO_DATE, "time"),
    Loss(
        "payment", "adjustment", "the CDM has the charge and what was paid of it, to the cent: they tell the rest",
        keeps=pl.col("adjustment").round(2),
    ),
    *_coded(),
)  # fmt: skip
