"""Rows whose standard concept is of another domain go to the table of that domain, as the CDM asks.

Only codes that a user's Athena maps are concerned. What leads to a row that moves leads to its new place. The tables of
results have no end and no status: both are told in words there, as in "resolved, until 1974-10-08 14:04:00".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from ehrsatz.exporters.omop.costs import DOMAINS
from ehrsatz.exporters.targets import TIME
from ehrsatz.terminology.omop import known

TABLES = {
    "Condition": "condition_occurrence",
    "Drug": "drug_exposure",
    "Procedure": "procedure_occurrence",
    "Measurement": "measurement",
    "Observation": "observation",
}
_MOVABLE = {
    known.PROBLEM,
    known.BILLED,
    known.PRESCRIPTION,
    known.ADMINISTERED,
    known.ENCOUNTER,
}  # orders and care plans stay
_NAMES = {  # table -> concept, source concept, source value, type, day, time, last day, last time
    "condition_occurrence": ("condition", "condition_start", "condition_end"),
    "drug_exposure": ("drug", "drug_exposure_start", "drug_exposure_end"),
    "procedure_occurrence": ("procedure", "procedure", "procedure_end"),
    "measurement": ("measurement", "measurement", None),
    "observation": ("observation", "observation", None),
}
_SHARED = ("person_id", "provider_id", "visit_occurrence_id", "visit_detail_id")


def route(tables: dict[str, pl.DataFrame], domains: Mapping[int, str]) -> dict[str, pl.DataFrame]:
    """Move rows between the event tables of one shard, and what leads to them.

    Parameters
    ----------
    tables
        Of one shard, with concepts; ids from 1 on.
    domains
        Concept -> domain.
    """
    out = dict(tables)
    heights = {name: tables[name].height for name in TABLES.values()}
    coming: dict[str, list[pl.DataFrame]] = {name: [] for name in heights}
    moves: list[pl.DataFrame] = []
    for name in ("condition_occurrence", "drug_exposure", "procedure_occurrence"):
        rows = tables[name]
        prefix = _NAMES[name][0]
        target = pl.col(f"{prefix}_concept_id").replace_strict(
            {n: TABLES[word] for n, word in domains.items() if word in TABLES}, default=name, return_dtype=pl.String
        )
        movable = pl.col(f"{prefix}_type_concept_id").is_in(list(_MOVABLE))
        marked = rows.with_columns(pl.when(movable).then(target).otherwise(pl.lit(name)).alias("(to)"))
        out[name] = marked.filter(pl.col("(to)") == name).drop("(to)")
        for other in heights:
            leaving = marked.filter((pl.col("(to)") == other) & (pl.col("(to)") != name))
            if leaving.height:
                coming[other].append(_turned(leaving, name, other))
    for name, arriving in coming.items():
        key = f"{name}_id"
        if arriving or out[name].height != heights[name]:
            every = pl.concat([out[name], *arriving], how="diagonal_relaxed")
            every = every.with_columns(pl.int_range(1, every.height + 1).cast(pl.Int64).alias("(id)"))
            stayed = every.with_columns(
                pl.col("(table)").fill_null(name) if "(table)" in every.columns else pl.lit(name).alias("(table)")
            )
            stayed = stayed.with_columns(
                (pl.coalesce("(old)", key) if "(old)" in every.columns else pl.col(key)).alias("(old)")
            )
            moves.append(stayed.select("(table)", "(old)", pl.lit(name).alias("(to)"), pl.col("(id)").alias("(new)")))
            out[name] = stayed.with_columns(pl.col("(id)").alias(key)).drop("(id)", "(old)", "(table)")
    return _followed(out, pl.concat(moves)) if moves else out


def _turned(rows: pl.DataFrame, source: str, target: str) -> pl.DataFrame:
    """Rows of one table as rows of another: what both have a place for."""
    one, first, last = _NAMES[source]
    other, begins, ends = _NAMES[target]
    held = [
        pl.lit(source).alias("(table)"),
        pl.col(f"{source}_id").alias("(old)"),
        *(pl.col(name) for name in _SHARED if name in rows.columns),
        pl.col(f"{one}_concept_id").alias(f"{other}_concept_id"),
        pl.col(f"{one}_type_concept_id").alias(f"{other}_type_concept_id"),
        pl.col(f"{one}_source_value").alias(f"{other}_source_value"),
        pl.col(f"{one}_source_concept_id").alias(f"{other}_source_concept_id"),
        pl.col(f"{first}_date").alias(f"{begins}_date"),
        pl.col(f"{first}_datetime").alias(f"{begins}_datetime"),
    ]
    if ends and last:
        until = pl.coalesce(f"{last}_date", f"{first}_date") if target == "drug_exposure" else pl.col(f"{last}_date")
        held += [until.alias(f"{ends}_date"), pl.col(f"{last}_datetime").alias(f"{ends}_datetime")]
    elif last:
        status = (
            pl.col("condition_status_source_value") if source == "condition_occurrence" else pl.lit(None, pl.String)
        )
        ended = pl.concat_str(pl.lit("until "), pl.col(f"{last}_datetime").dt.strftime(TIME))
        text = pl.concat_str(status, ended, separator=", ", ignore_nulls=True).replace("", None)
        held.append(text.alias("value_source_value" if target == "measurement" else "value_as_string"))
    return rows.select(held)


def _followed(tables: dict[str, pl.DataFrame], moves: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Let what leads to an event lead to its new place."""
    out = dict(tables)
    fields = {table: concept for concept, table in known.FIELDS.items()}
    for name, event, field in (
        ("measurement", "measurement_event_id", "meas_event_field_concept_id"),
        ("observation", "observation_event_id", "obs_event_field_concept_id"),
        ("note", "note_event_id", "note_event_field_concept_id"),
    ):
        if name in out and event in out[name].columns:
            out[name] = _led(out[name], moves, event, field, {n: t for t, n in fields.items()}, fields)
    if "cost" in out:
        back = {table: word for word, table in (TABLES | DOMAINS).items()}
        out["cost"] = _led(out["cost"], moves, "cost_event_id", "cost_domain_id", {**DOMAINS}, back)
    return out


def _led(
    rows: pl.DataFrame,
    moves: pl.DataFrame,
    event: str,
    field: str,
    table_of: Mapping[Any, str],
    field_of: Mapping[str, Any],
) -> pl.DataFrame:
    table = pl.col(field).replace_strict(table_of, default=None, return_dtype=pl.String).alias("(table)")
    joined = rows.with_columns(table).join(
        moves, left_on=["(table)", event], right_on=["(table)", "(old)"], how="left", maintain_order="left"
    )
    named = pl.col("(to)").replace_strict(field_of, default=None, return_dtype=rows.schema[field])
    return joined.with_columns(pl.coalesce("(new)", event).alias(event), pl.coalesce(named, field).alias(field)).select(
        rows.columns
    )
