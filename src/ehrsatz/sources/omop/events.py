"""Visits and what happened in them: from the CDM into the clinical schema."""

from __future__ import annotations

import polars as pl

from ehrsatz.clinical import DISPOSITIONS
from ehrsatz.sources.omop.people import Read, owners
from ehrsatz.terminology.omop import known

STAGE = "stage"
EVENTS = ("condition_occurrence", "drug_exposure", "procedure_occurrence", "measurement", "observation")
_CLASSES = {number: word for word, number in known.VISITS.items()}
_FOREIGN = {  # further kinds of visits, and what an outpatient visit is where wellness has no concept
    9202: "ambulatory",
    262: "inpatient",
    8717: "inpatient",
    8870: "emergency",
    8756: "ambulatory",
    8940: "ambulatory",
    32036: "ambulatory",
    581478: "emergency",
    38004207: "ambulatory",
    38004250: "home",
    38004519: "home",
}
_ORDERED = ("laboratory", "imaging", "procedure", "referral")
_STATUS = ("completed", "cancelled")
_VISIT = ("visit_occurrence_id", "visit_detail_id")


def encounters(read: Read, providers: pl.DataFrame, sites: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return encounter, and the visits' ids with encounter_id."""
    tops, inner = read.rows("visit_occurrence"), read.rows("visit_detail")
    names = {one: one.replace("visit_detail_", "visit_") for one in inner.columns if one.startswith("visit_detail_")}
    inner = inner.rename({**names, "visit_detail_id": "(detail)"}).with_columns(
        pl.col("visit_occurrence_id").alias("(top)")
    )
    number = pl.col("visit_occurrence_id").cast(pl.String)
    tops = tops.with_columns((pl.col("visit_source_value") if read.own else number).alias("encounter_id"))
    detail = pl.concat_str(pl.lit("D"), pl.col("(detail)").cast(pl.String))
    inner = inner.with_columns((pl.col("visit_source_value") if read.own else detail).alias("encounter_id"))
    above = tops.select(pl.col("visit_occurrence_id").alias("(top)"), pl.col("encounter_id").alias("(top key)"))
    within = inner.select(
        pl.col("(detail)").alias("parent_visit_detail_id"), pl.col("encounter_id").alias("(inner key)")
    )
    inner = inner.join(above, on="(top)", how="left", maintain_order="left")
    inner = inner.join(within, on="parent_visit_detail_id", how="left", maintain_order="left")
    inner = inner.with_columns(pl.coalesce("(inner key)", "(top key)").alias("part_of_id"))
    every = pl.concat([tops, inner], how="diagonal_relaxed")
    every = (
        read.concepts.coded(
            every.with_columns(pl.lit(None, pl.Int64).alias("(none)"), pl.lit(None, pl.String).alias("(blank)")).rename(
                {
                    "visit_concept_id": "(class)",
                    "(none)": "visit_concept_id",
                    "visit_source_value": "(key)",
                    "(blank)": "visit_source_value",
                }
            ),
            "visit_occurrence",
            "visit",
        )
        if read.own
        else every.rename({"visit_concept_id": "(class)"}).with_columns(
            pl.lit(None, pl.String).alias(one) for one in ("system", "code", "display")
        )
    )
    every = every.join(providers, on="provider_id", how="left", maintain_order="left")
    every = every.join(sites, on="care_site_id", how="left", maintain_order="left")
    if read.own:
        inside = pl.col("(detail)").is_not_null()
        every = every.with_columns(
            pl.when(inside).then(pl.lit(known.DETAIL, pl.Int64)).otherwise(known.VISIT).alias("(domain)"),
            pl.coalesce("(detail)", "visit_occurrence_id").alias("(fact)"),
        ).join(owners(read, _ids(tops, inner), sites), on=["(domain)", "(fact)"], how="left", maintain_order="left")
        named = pl.when(pl.col("(told)").is_not_null()).then("(owner)").otherwise("organization_id")
        every = every.with_columns(named.alias("organization_id"))
    classes = _CLASSES if read.own else _CLASSES | _FOREIGN
    kind = pl.col("(class)").replace_strict(classes, default=None, return_dtype=pl.String)
    every = every.with_columns(kind.alias("class"))
    if not read.own:
        unnamed = every.filter(pl.col("class").is_null() & (pl.col("(class)") != known.NONE)).height
        read.left["visit_occurrence.visit_concept_id: other kinds of visits"] += unnamed
    ends = {number: word for word, number in known.DISCHARGES.items()}
    left = pl.col("discharged_to_source_value")
    by_concept = pl.col("discharged_to_concept_id").replace_strict(ends, default=None, return_dtype=pl.String)
    disposition = left if read.own else pl.coalesce(pl.when(left.is_in(list(DISPOSITIONS))).then(left), by_concept)
    out = every.select(
        "encounter_id",
        "patient_id",
        "part_of_id",
        "practitioner_id",
        "organization_id",
        "location_id",
        "class",
        "code",
        "system",
        "display",
        read.time("visit_start_datetime", "visit_start_date").alias("start"),
        read.time("visit_end_datetime", "visit_end_date").alias("stop"),
        disposition.alias("disposition"),
    )
    visits = pl.concat(
        [
            tops.select("visit_occurrence_id", pl.lit(None, pl.Int64).alias("visit_detail_id"), "encounter_id"),
            inner.select(
                pl.col("(top)").alias("visit_occurrence_id"),
                pl.col("(detail)").alias("visit_detail_id"),
                "encounter_id",
            ),
        ]
    )
    return out, visits


def _ids(tops: pl.DataFrame, inner: pl.DataFrame) -> pl.Series:
    return pl.concat([tops["visit_occurrence_id"], inner["(detail)"].rename("visit_occurrence_id")]).unique()


def visited(rows: pl.DataFrame, visits: pl.DataFrame, read: Read, table: str) -> pl.DataFrame:
    """Add encounter_id: of the detail where there is one, else of the visit; count visits that are not there."""
    tops = visits.filter(pl.col("visit_detail_id").is_null()).select(
        "visit_occurrence_id", pl.col("encounter_id").alias("(visit)")
    )
    inner = visits.drop_nulls("visit_detail_id").select("visit_detail_id", pl.col("encounter_id").alias("(detail)"))
    out = rows.join(tops, on="visit_occurrence_id", how="left", maintain_order="left")
    out = out.join(inner, on="visit_detail_id", how="left", maintain_order="left")
    lost = out.filter((pl.col("visit_occurrence_id") > 0) & pl.coalesce("(detail)", "(visit)").is_null()).height
    read.left[f"{table}.visit_occurrence_id: leads to no visit"] += lost
    return out.with_columns(pl.coalesce("(detail)", "(visit)").alias("encounter_id")).drop("(detail)", "(visit)")


def moved_key(source: pl.Expr, target: str, number: pl.Expr) -> pl.Expr:
    """Return the id that a row of one table has in another that it is brought back to: below zero, as no other has.

    Parameters
    ----------
    source
        Name of the table that it lies in.
    target
        Name of the table that it belongs to.
    number
        Its id where it lies.
    """
    rank = source.replace_strict({name: n for n, name in enumerate(EVENTS, 1)}, default=0, return_dtype=pl.Int64)
    return pl.when(source == target).then(number).otherwise(-(number * 10 + rank))


def _key(column: str, prefix: str = "") -> pl.Expr:
    return pl.concat_str(pl.lit(prefix), pl.col(column).cast(pl.String))


def conditions(rows: pl.DataFrame, read: Read, stages: pl.DataFrame) -> pl.DataFrame:
    """Return condition.

    Parameters
    ----------
    rows
        Of condition_occurrence, with codes, patients and encounters.
    stages
        condition_occurrence_id and stage.
    """
    other = (
        (pl.col("(standard system)") == "SNOMED-CT")
        & (pl.col("condition_concept_id") != pl.col("condition_source_concept_id").fill_null(known.NONE))
        & pl.col("code").ne_missing(pl.col("(standard code)"))
    )
    if read.own:
        other = pl.col("condition_type_concept_id") == known.PROBLEM
    status = pl.col("condition_status_source_value")
    return rows.join(stages, on="condition_occurrence_id", how="left", maintain_order="left").select(
        _key("condition_occurrence_id").alias("condition_id"),
        "patient_id",
        "encounter_id",
        "code",
        "system",
        "display",
        pl.when(other).then("(standard code)").alias("snomed_code"),
        pl.when(other).then("(standard display)").alias("snomed_display"),
        "stage",
        read.time("condition_start_datetime", "condition_start_date").alias("onset"),
        read.time("condition_end_datetime", "condition_end_date").alias("abatement"),
        pl.when(status.is_in(["active", "resolved"])).then(status).alias("status"),
    )


def medications(rows: pl.DataFrame, read: Read) -> pl.DataFrame:
    """Return medication of the drug exposures that are no immunizations."""
    sig = pl.col("sig")
    dose = sig.str.extract(r"^([0-9.eE+-]+) ").cast(pl.Float64, strict=False)
    often = sig.str.extract(r", ([0-9.eE+-]+) a day$").cast(pl.Float64, strict=False)
    if not read.own:
        dose = often = pl.lit(None, pl.Float64)
    end = pl.coalesce("verbatim_end_date", "drug_exposure_end_date").cast(pl.Datetime("us"))
    stop = pl.col("drug_exposure_end_datetime") if read.own else pl.coalesce("drug_exposure_end_datetime", end)
    route = (
        pl.col("route_source_value")
        if read.own
        else pl.coalesce("route_source_value", pl.lit(read.concepts.named(rows["route_concept_id"])))
    )
    return rows.select(
        _key("drug_exposure_id").alias("medication_id"),
        "patient_id",
        "encounter_id",
        "practitioner_id",
        "code",
        "system",
        "display",
        read.time("drug_exposure_start_datetime", "drug_exposure_start_date").alias("start"),
        stop.alias("stop"),
        dose.alias("dose"),
        pl.col("dose_unit_source_value").alias("dose_unit"),
        route.alias("route"),
        often.alias("per_day"),
        "refills",
        "quantity",
        "stop_reason",
    )


def immunizations(rows: pl.DataFrame, read: Read) -> pl.DataFrame:
    """Return immunization of the drug exposures that are."""
    number = pl.col("sig").str.extract(r"^dose (\d+)").cast(pl.Int64, strict=False)
    site = pl.col("sig").str.extract(r"^(?:dose \d+)?, ((?s:.*))$")
    if not read.own:
        number, site = pl.lit(None, pl.Int64), pl.lit(None, pl.String)
    return rows.select(
        _key("drug_exposure_id").alias("immunization_id"),
        "patient_id",
        "encounter_id",
        "code",
        "system",
        "display",
        read.time("drug_exposure_start_datetime", "drug_exposure_start_date").alias("time"),
        number.alias("dose_number"),
        site.alias("site"),
        pl.col("lot_number").alias("lot"),
    )


def procedures(rows: pl.DataFrame, read: Read) -> dict[str, pl.DataFrame]:
    """Return procedure, order and careplan of procedure_occurrence."""
    kind = pl.col("procedure_type_concept_id")
    ordered, planned = (kind == known.ORDER).fill_null(False), (kind == known.CAREPLAN).fill_null(False)
    if not read.own:
        planned = pl.lit(False)
    shared = (
        "patient_id",
        "encounter_id",
        "code",
        "system",
        "display",
    )
    start = read.time("procedure_datetime", "procedure_date")
    stop = read.time("procedure_end_datetime", "procedure_end_date")
    words = pl.col("modifier_source_value")
    return {
        "procedure": rows.filter(~ordered & ~planned).select(
            _key("procedure_occurrence_id").alias("procedure_id"), *shared, "practitioner_id",
            start.alias("start"), stop.alias("stop"),
        ),
        "order": rows.filter(ordered).select(
            _key("procedure_occurrence_id").alias("order_id"), *shared, "practitioner_id", start.alias("time"),
            _word(words, _ORDERED).alias("kind"), _word(words, _STATUS).alias("status"),
        ),
        "careplan": rows.filter(planned).select(
            _key("procedure_occurrence_id").alias("careplan_id"), *shared, start.alias("start"), stop.alias("stop"),
            words.alias("status"),
        ),
    }  # fmt: skip


def _word(text: pl.Expr, words: tuple[str, ...]) -> pl.Expr:
    """Return the first word of a list that stands between commas."""
    return text.str.extract(rf"(?:^|, )({'|'.join(words)})(?:,|$)")


def devices(rows: pl.DataFrame, read: Read) -> pl.DataFrame:
    """Return device."""
    serial = pl.col("production_id") if read.own else pl.coalesce("production_id", "unique_device_id")
    return rows.select(
        _key("device_exposure_id").alias("device_id"),
        "patient_id",
        "encounter_id",
        "code",
        "system",
        "display",
        read.time("device_exposure_start_datetime", "device_exposure_start_date").alias("start"),
        read.time("device_exposure_end_datetime", "device_exposure_end_date").alias("stop"),
        serial.alias("serial"),
    )
