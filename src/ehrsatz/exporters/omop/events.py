"""Events: conditions, drugs, procedures with orders and care plans, devices, allergies, reports."""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.omop.shard import ALLERGY, SOURCE_LENGTH, Shard, cut, day, numbered
from ehrsatz.terminology.omop import known

SITE = " | "  # between modality and body site of a report
STAGE = "stage"  # source value of a measurement that tells the stage of a condition
_VISIT = ("visit_occurrence_id", "visit_detail_id")


def add_conditions(shard: Shard) -> None:
    """Add condition_occurrence, and stages as measurements that lead to it.

    A condition that bears a SNOMED code comes from a problem list, one that does not from a bill: so that a code that
    only Athena maps is not taken for one of the records.
    """
    held = shard.placed("condition")
    source = shard.codes.of(held, "Condition")
    meant = shard.codes.of(held, "Condition", prefix="snomed_", system="SNOMED-CT")
    shard.out["condition_occurrence"] = held.select(
        numbered("condition_occurrence_id", held.height),
        "person_id",
        pl.coalesce(meant.alias("(m)"), source.alias("(s)"), pl.lit(known.NONE)).alias("condition_concept_id"),
        day("onset", "recorded").alias("condition_start_date"),
        pl.col("onset").alias("condition_start_datetime"),
        pl.col("abatement").dt.date().alias("condition_end_date"),
        pl.col("abatement").alias("condition_end_datetime"),
        pl.when(pl.col("snomed_code").is_null())
        .then(known.BILLED)
        .otherwise(known.PROBLEM)
        .alias("condition_type_concept_id"),
        *_VISIT,
        cut("code").alias("condition_source_value"),
        source.alias("condition_source_concept_id"),
        cut("status").alias("condition_status_source_value"),
    )
    shard.out["(pairs)"] = pl.DataFrame({"source": source, "target": meant}).drop_nulls().unique(maintain_order=True)
    staged = held.with_columns(numbered("(event)", held.height)).filter(pl.col("stage").is_not_null())
    shard.out["(stages)"] = staged.select(
        "person_id",
        pl.lit(known.NONE).alias("measurement_concept_id"),
        day("onset", "recorded").alias("measurement_date"),
        pl.col("onset").alias("measurement_datetime"),
        pl.lit(known.EHR).alias("measurement_type_concept_id"),
        *_VISIT,
        pl.lit(STAGE).alias("measurement_source_value"),
        cut("stage").alias("value_source_value"),
        pl.col("(event)").alias("measurement_event_id"),
        pl.lit(known.FIELD_OF["condition_occurrence"]).alias("meas_event_field_concept_id"),
    )


def add_drugs(shard: Shard) -> None:
    """Add drug_exposure: prescriptions, then immunizations."""
    drugs, given = shard.placed("medication"), shard.placed("immunization")
    last = (
        shard.held["encounter"]
        .group_by("patient_id")
        .agg(pl.max_horizontal("start", "stop").max().dt.date().alias("(last)"))
    )
    drugs = drugs.join(last, on="patient_id", how="left", maintain_order="left")
    first = day("start", "stop")
    running = pl.when(pl.col("status") == "active").then(pl.max_horizontal(first, "(last)")).otherwise(first)
    code = shard.codes.of(drugs, "Drug")
    told = drugs.select(
        "person_id",
        code.fill_null(known.NONE).alias("drug_concept_id"),
        first.alias("drug_exposure_start_date"),
        pl.col("start").alias("drug_exposure_start_datetime"),
        pl.coalesce(pl.col("stop").dt.date(), running).alias("drug_exposure_end_date"),
        pl.col("stop").alias("drug_exposure_end_datetime"),
        pl.col("stop").dt.date().alias("verbatim_end_date"),
        pl.lit(known.PRESCRIPTION).alias("drug_type_concept_id"),
        cut("stop_reason", 20).alias("stop_reason"),
        "refills",
        "quantity",
        (pl.col("stop").dt.date() - first).dt.total_days().alias("days_supply"),
        sig().alias("sig"),
        pl.col("route").replace_strict(known.ROUTES, default=known.NONE, return_dtype=pl.Int64).alias("(route)"),
        "provider_id",
        *_VISIT,
        cut("code").alias("drug_source_value"),
        code.alias("drug_source_concept_id"),
        cut("route").alias("route_source_value"),
        cut("dose_unit").alias("dose_unit_source_value"),
        (pl.col("dose") * pl.col("per_day")).alias("(daily)"),
    )
    told = told.with_columns(
        pl.when(pl.col("route_source_value").is_not_null()).then("(route)").alias("route_concept_id")
    ).drop("(route)")
    vaccine = shard.codes.of(given, "Drug")
    shots = given.select(
        "person_id",
        vaccine.fill_null(known.NONE).alias("drug_concept_id"),
        day("time").alias("drug_exposure_start_date"),
        pl.col("time").alias("drug_exposure_start_datetime"),
        day("time").alias("drug_exposure_end_date"),
        pl.lit(known.ADMINISTERED).alias("drug_type_concept_id"),
        _shot().alias("sig"),
        cut("lot").alias("lot_number"),
        *_VISIT,
        cut("code").alias("drug_source_value"),
        vaccine.alias("drug_source_concept_id"),
    )
    both = pl.concat([told, shots], how="diagonal_relaxed")
    shard.out["drug_exposure"] = both.with_columns(numbered("drug_exposure_id", both.height))


def sig() -> pl.Expr:
    """Return what a prescription says of the dose, as in "500.0 mg, 2.0 a day"."""
    return pl.concat_str(
        pl.when(pl.col("dose").is_not_null())
        .then(pl.concat_str(pl.col("dose").cast(pl.String), pl.lit(" "), pl.col("dose_unit").fill_null("")))
        .otherwise(pl.lit("")),
        pl.when(pl.col("per_day").is_not_null())
        .then(pl.concat_str(pl.lit(", "), pl.col("per_day").cast(pl.String), pl.lit(" a day")))
        .otherwise(pl.lit("")),
    ).replace("", None)


def _shot() -> pl.Expr:
    """Return which dose of a vaccine, and where it was given, as in "dose 2, left deltoid"."""
    return pl.concat_str(
        pl.when(pl.col("dose_number").is_not_null())
        .then(pl.concat_str(pl.lit("dose "), pl.col("dose_number").cast(pl.String)))
        .otherwise(pl.lit("")),
        pl.when(pl.col("site").is_not_null()).then(pl.concat_str(pl.lit(", "), "site")).otherwise(pl.lit("")),
    ).replace("", None)


def add_procedures(shard: Shard) -> None:
    """Add procedure_occurrence: what was done, then what was ordered, then care plans."""
    rows = []
    for table, start, stop, kind, modifier in (
        ("procedure", "start", "stop", known.ENCOUNTER, None),
        ("order", "time", None, known.ORDER, "(words)"),
        ("careplan", "start", "stop", known.CAREPLAN, "status"),
    ):
        held = shard.placed(table)
        code = shard.codes.of(held, "Procedure")
        if table == "order":
            held = held.with_columns(
                pl.concat_str("kind", "status", separator=", ", ignore_nulls=True).alias("(words)")
            )
        rows.append(
            held.select(
                "person_id",
                code.fill_null(known.NONE).alias("procedure_concept_id"),
                day(start, *([stop] if stop else [])).alias("procedure_date"),
                pl.col(start).alias("procedure_datetime"),
                (pl.col(stop).dt.date() if stop else pl.lit(None, pl.Date)).alias("procedure_end_date"),
                (pl.col(stop) if stop else pl.lit(None, pl.Datetime("us"))).alias("procedure_end_datetime"),
                pl.lit(kind).alias("procedure_type_concept_id"),
                (pl.col("provider_id") if "provider_id" in held.columns else pl.lit(None, pl.Int64)).alias(
                    "provider_id"
                ),
                *_VISIT,
                cut("code").alias("procedure_source_value"),
                code.alias("procedure_source_concept_id"),
                (pl.col(modifier) if modifier else pl.lit(None, pl.String)).alias("modifier_source_value"),
            )
        )
    every = pl.concat(rows)
    shard.out["procedure_occurrence"] = every.with_columns(numbered("procedure_occurrence_id", every.height))


def orders(shard: Shard) -> pl.DataFrame:
    """order_id -> procedure_occurrence_id."""
    held = shard.held["order"]
    return held.select("order_id", numbered("(order)", held.height, shard.held["procedure"].height + 1))


def add_devices(shard: Shard) -> None:
    """Add device_exposure."""
    held = shard.placed("device")
    code = shard.codes.of(held, "Device")
    shard.out["device_exposure"] = held.select(
        numbered("device_exposure_id", held.height),
        "person_id",
        code.fill_null(known.NONE).alias("device_concept_id"),
        day("start", "stop").alias("device_exposure_start_date"),
        pl.col("start").alias("device_exposure_start_datetime"),
        pl.col("stop").dt.date().alias("device_exposure_end_date"),
        pl.col("stop").alias("device_exposure_end_datetime"),
        pl.lit(known.EHR).alias("device_type_concept_id"),
        cut("serial", 255).alias("production_id"),
        *_VISIT,
        cut("code").alias("device_source_value"),
        code.alias("device_source_concept_id"),
    )


def add_allergies(shard: Shard) -> None:
    """Add allergies as observations whose value is the substance, and reactions as observations that lead to them."""
    held = shard.placed("allergy")
    code = shard.codes.of(held, "Observation")
    words = held["category"].fill_null("unknown")
    kind = shard.codes.words(words, ALLERGY, "Observation", {"medication": known.DRUG_ALLERGY})
    above = shard.out["observation"].height
    told = held.select(
        "person_id",
        kind.alias("observation_concept_id"),
        day("onset").alias("observation_date"),
        pl.col("onset").alias("observation_datetime"),
        pl.lit(known.PROBLEM).alias("observation_type_concept_id"),
        code.alias("value_as_concept_id"),
        *_VISIT,
        cut("code").alias("observation_source_value"),
        code.alias("observation_source_concept_id"),
        pl.col("severity").alias("qualifier_source_value"),
    ).with_columns(numbered("(event)", held.height, above + 1))
    reacted = held.with_columns(told["(event)"]).filter(pl.col("reaction_code").is_not_null())
    reaction = shard.codes.of(reacted, "Condition", prefix="reaction_", system="SNOMED-CT")
    reactions = reacted.select(
        "person_id",
        reaction.alias("observation_concept_id"),
        day("onset").alias("observation_date"),
        pl.col("onset").alias("observation_datetime"),
        pl.lit(known.PROBLEM).alias("observation_type_concept_id"),
        *_VISIT,
        cut("reaction_code").alias("observation_source_value"),
        reaction.alias("observation_source_concept_id"),
        pl.col("(event)").alias("observation_event_id"),
        pl.lit(known.FIELD_OF["observation"]).alias("obs_event_field_concept_id"),
    )
    shard.out["observation"] = pl.concat(
        [shard.out["observation"], told.drop("(event)"), reactions], how="diagonal_relaxed"
    )


def add_reports(shard: Shard) -> None:
    """Add reports as notes that lead to the order."""
    held = shard.placed("report").filter(pl.col("text").is_not_null())
    held = held.join(orders(shard), on="order_id", how="left", maintain_order="left")
    origin = {"imaging": known.RADIOLOGY, "laboratory": known.PATHOLOGY}
    notes = held.select(
        "person_id",
        day("time").alias("note_date"),
        pl.col("time").alias("note_datetime"),
        pl.col("kind").replace_strict(origin, default=known.EHR).alias("note_type_concept_id"),
        pl.lit(known.NONE).alias("note_class_concept_id"),
        cut("display", 250).alias("note_title"),
        pl.col("text").alias("note_text"),
        pl.lit(known.UTF8).alias("encoding_concept_id"),
        pl.lit(known.NONE).alias("language_concept_id"),
        *_VISIT,
        place().str.slice(0, SOURCE_LENGTH).alias("note_source_value"),
        pl.col("(order)").alias("note_event_id"),
        pl.when(pl.col("(order)").is_not_null())
        .then(known.FIELD_OF["procedure_occurrence"])
        .alias("note_event_field_concept_id"),
    )
    every = pl.concat([notes, shard.out["note"]], how="diagonal_relaxed") if "note" in shard.out else notes
    shard.out["note"] = every.with_columns(numbered("note_id", every.height))


def place() -> pl.Expr:
    """Return modality and body site of a report as one text."""
    return (
        pl.when(pl.col("body_site").is_null())
        .then("modality")
        .otherwise(pl.concat_str(pl.col("modality").fill_null(""), pl.lit(SITE), pl.col("body_site").fill_null("")))
    )
