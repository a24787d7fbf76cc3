"""Observations: measurements where they are numbers or findings, else observations; long texts as notes."""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.omop.events import orders
from ehrsatz.exporters.omop.shard import RESULT, Shard, cut, day, numbered
from ehrsatz.terminology.omop import known

LONG = "result text"  # title of a note that holds what a result's own column does not
_TEXT = {"measurement": 50, "observation": 60}  # characters of their texts
_VISIT = ("visit_occurrence_id", "visit_detail_id")


def told() -> pl.Expr:
    """Say whether an observation goes into the table `observation`: what people tell, without a number's range."""
    asked = pl.col("category").is_in(["social-history", "survey"])
    plain = pl.col("value").is_null() & pl.col("low").is_null() & pl.col("high").is_null()
    return (asked & plain).fill_null(False)


def add_results(shard: Shard) -> None:
    """Add measurement and observation, then the stages of conditions; texts that are too long become notes."""
    every = shard.placed("observation").join(orders(shard), on="order_id", how="left", maintain_order="left")
    every = every.with_columns(
        shard.codes.of(every, "Measurement").alias("(code)"),
        shard.codes.words(every["interpretation"], RESULT, "Meas Value", known.INTERPRETATIONS).alias("(meaning)"),
    )
    asked = told()
    measured, said = every.filter(~asked), every.filter(asked)
    linked = pl.col("(order)").is_not_null()
    field = known.FIELD_OF["procedure_occurrence"]
    origin = pl.col("category").replace_strict(known.CATEGORIES, default=known.EHR)
    unit = pl.col("unit").replace_strict(known.UNITS, default=known.NONE)
    has_unit = pl.col("unit").is_not_null()
    rows = measured.select(
        "person_id",
        pl.col("(code)").fill_null(known.NONE).alias("measurement_concept_id"),
        day("time").alias("measurement_date"),
        pl.col("time").alias("measurement_datetime"),
        origin.alias("measurement_type_concept_id"),
        pl.col("value").alias("value_as_number"),
        pl.col("(meaning)").alias("value_as_concept_id"),
        pl.when(has_unit).then(unit).alias("unit_concept_id"),
        pl.col("low").alias("range_low"),
        pl.col("high").alias("range_high"),
        *_VISIT,
        cut("code").alias("measurement_source_value"),
        pl.col("(code)").alias("measurement_source_concept_id"),
        cut("unit").alias("unit_source_value"),
        cut("text_value", _TEXT["measurement"]).alias("value_source_value"),
        pl.col("(order)").alias("measurement_event_id"),
        pl.when(linked).then(field).alias("meas_event_field_concept_id"),
    )
    rows = pl.concat([rows, shard.out.pop("(stages)")], how="diagonal_relaxed")
    shard.out["measurement"] = rows.with_columns(numbered("measurement_id", rows.height))
    shard.out["observation"] = said.select(
        "person_id",
        pl.col("(code)").fill_null(known.NONE).alias("observation_concept_id"),
        day("time").alias("observation_date"),
        pl.col("time").alias("observation_datetime"),
        origin.alias("observation_type_concept_id"),
        cut("text_value", _TEXT["observation"]).alias("value_as_string"),
        pl.when(pl.col("interpretation").is_not_null()).then(known.NONE).alias("qualifier_concept_id"),
        pl.when(has_unit).then(unit).alias("unit_concept_id"),
        *_VISIT,
        cut("code").alias("observation_source_value"),
        pl.col("(code)").alias("observation_source_concept_id"),
        cut("unit").alias("unit_source_value"),
        pl.col("interpretation").alias("qualifier_source_value"),
        pl.col("(order)").alias("observation_event_id"),
        pl.when(linked).then(field).alias("obs_event_field_concept_id"),
    )
    notes = [_long(measured, "measurement"), _long(said, "observation")]
    if sum(one.height for one in notes):
        shard.out["note"] = pl.concat(notes)


def _long(held: pl.DataFrame, table: str) -> pl.DataFrame:
    numberful = held.with_columns(numbered("(event)", held.height))
    return numberful.filter(pl.col("text_value").str.len_chars() > _TEXT[table]).select(
        "person_id",
        day("time").alias("note_date"),
        pl.col("time").alias("note_datetime"),
        pl.lit(known.LAB).alias("note_type_concept_id"),
        pl.lit(known.NONE).alias("note_class_concept_id"),
        pl.lit(LONG).alias("note_title"),
        pl.col("text_value").alias("note_text"),
        pl.lit(known.UTF8).alias("encoding_concept_id"),
        pl.lit(known.NONE).alias("language_concept_id"),
        *_VISIT,
        pl.col("(event)").alias("note_event_id"),
        pl.lit(known.FIELD_OF[table]).alias("note_event_field_concept_id"),
    )
