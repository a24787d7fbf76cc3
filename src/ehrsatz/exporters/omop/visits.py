"""Visits: encounters, and the stays within them as their details; reasons as observations; the time observed."""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.omop.shard import OWNER, Shard, cut, numbered
from ehrsatz.terminology.omop import known

DAYS = {
    "visit_occurrence": ("visit_start_date", "visit_end_date"),
    "visit_detail": ("visit_detail_start_date", "visit_detail_end_date"),
    "condition_occurrence": ("condition_start_date",),
    "drug_exposure": ("drug_exposure_start_date",),
    "procedure_occurrence": ("procedure_date",),
    "device_exposure": ("device_exposure_start_date",),
    "measurement": ("measurement_date",),
    "observation": ("observation_date",),
    "note": ("note_date",),
    "death": ("death_date",),
}
OTHER_OWNER, NO_OWNER = "organization", "no organization"  # words of facts about a visit and a care site
_MOST_LEVELS = 32  # of encounters within encounters


def add_visits(shard: Shard) -> None:
    """Add visit_occurrence and visit_detail, and say where each encounter stands."""
    held = _rooted(shard)
    code = shard.codes.of(held, "Visit")
    organizations, places = shard.sites()
    held = held.with_columns(code.alias("(code)")).join(
        shard.providers(), on="practitioner_id", how="left", maintain_order="left"
    )
    held = held.join(organizations, on="organization_id", how="left", maintain_order="left")
    held = held.join(places, on="location_id", how="left", maintain_order="left")
    inner = pl.col("(root)") != pl.col("encounter_id")
    held = held.with_columns(
        pl.when(~inner).then((~inner).cum_sum()).cast(pl.Int64).alias("visit_occurrence_id"),
        pl.when(inner).then(inner.cum_sum()).cast(pl.Int64).alias("visit_detail_id"),
    )
    tops = held.select(pl.col("encounter_id").alias("(root)"), pl.col("visit_occurrence_id").alias("(visit)"))
    held = held.join(tops, on="(root)", how="left", maintain_order="left")
    began = pl.coalesce("start", "stop").dt.date()
    shard.visits = held.select(
        "encounter_id", pl.col("(visit)").alias("visit_occurrence_id"), "visit_detail_id", began.alias("(began)")
    )
    shard.out["visit_occurrence"] = _visits(held.filter(~inner))
    shard.out["(owners)"] = _owners(shard, held)
    shard.out["visit_detail"] = _details(held.filter(inner), held)


def _rooted(shard: Shard) -> pl.DataFrame:
    """Return encounters with the outermost that each lies in."""
    held = shard.held["encounter"].join(shard.people, on="patient_id", how="left", maintain_order="left")
    up = held.select(pl.col("encounter_id").alias("(root)"), pl.col("part_of_id").alias("(next)"))
    if held["part_of_id"].null_count() == held.height:
        return held.with_columns(pl.col("encounter_id").alias("(root)"))
    held = held.with_columns(pl.col("encounter_id").alias("(root)"))
    for _ in range(_MOST_LEVELS):
        further = held.join(up, on="(root)", how="left", maintain_order="left")
        if further["(next)"].null_count() == held.height:
            break
        held = further.with_columns(pl.coalesce("(next)", "(root)").alias("(root)")).drop("(next)")
    return held


def _spans(prefix: str) -> tuple[pl.Expr, ...]:
    """Return the four columns of a visit's time; without an end it ends on the day that it began."""
    first = pl.coalesce(pl.col("start").dt.date(), pl.col("stop").dt.date(), pl.col("(born)"))
    return (
        first.alias(f"{prefix}_start_date"),
        pl.col("start").alias(f"{prefix}_start_datetime"),
        pl.coalesce(pl.col("stop").dt.date(), first).alias(f"{prefix}_end_date"),
        pl.col("stop").alias(f"{prefix}_end_datetime"),
    )


def _shared(prefix: str) -> tuple[pl.Expr, ...]:
    concept = pl.col("class").replace_strict(known.VISITS, default=known.NONE)
    ends = pl.col("disposition").replace_strict(known.DISCHARGES, default=known.NONE)
    return (
        concept.alias(f"{prefix}_concept_id"),
        *_spans(prefix),
        pl.lit(known.ENCOUNTER).alias(f"{prefix}_type_concept_id"),
        pl.col("provider_id"),
        pl.coalesce("(place)", "(site)").alias("care_site_id"),
        pl.col("encounter_id").alias(f"{prefix}_source_value"),
        pl.col("(code)").alias(f"{prefix}_source_concept_id"),
        pl.when(pl.col("disposition").is_not_null()).then(ends).alias("discharged_to_concept_id"),
        pl.col("disposition").alias("discharged_to_source_value"),
    )


def _visits(held: pl.DataFrame) -> pl.DataFrame:
    before = pl.col("visit_occurrence_id").sort_by("start", "visit_occurrence_id").shift()
    order = pl.col("visit_occurrence_id").sort_by("start", "visit_occurrence_id")
    chain = (
        held.group_by("person_id", maintain_order=True)
        .agg(order, before.alias("preceding_visit_occurrence_id"))
        .explode("visit_occurrence_id", "preceding_visit_occurrence_id")
        .drop("person_id")
    )
    out = held.select("visit_occurrence_id", "person_id", *_shared("visit"))
    return out.join(chain, on="visit_occurrence_id", how="left", maintain_order="left")


def _owners(shard: Shard, held: pl.DataFrame) -> pl.DataFrame:
    """Return facts that tell the organization of a visit where it is not that of its place."""
    other = pl.col("(place)").is_not_null() & pl.col("organization_id").ne_missing(pl.col("(owner)"))
    held = held.filter(other)
    words = held.select(
        pl.when(pl.col("(site)").is_null()).then(pl.lit(NO_OWNER)).otherwise(pl.lit(OTHER_OWNER)).alias("word")
    )["word"]
    return held.select(
        pl.when(pl.col("visit_detail_id").is_null())
        .then(known.VISIT)
        .otherwise(pl.lit(known.DETAIL, pl.Int64))
        .alias("domain_concept_id_1"),
        pl.coalesce("visit_detail_id", "visit_occurrence_id").alias("fact_id_1"),
        pl.lit(known.CARE_SITE).alias("domain_concept_id_2"),
        pl.coalesce("(site)", "(place)").alias("fact_id_2"),
        shard.codes.words(words, OWNER, "Relationship").alias("relationship_concept_id"),
    )


def _details(held: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    parents = every.select(
        pl.col("encounter_id").alias("part_of_id"), pl.col("visit_detail_id").alias("parent_visit_detail_id")
    )
    return held.join(parents, on="part_of_id", how="left", maintain_order="left").select(
        "visit_detail_id",
        "person_id",
        *_shared("visit_detail"),
        "parent_visit_detail_id",
        pl.col("(visit)").alias("visit_occurrence_id"),
    )


def add_reasons(shard: Shard) -> None:
    """Add why people came as observations that lead to the visit."""
    held = shard.placed("encounter").filter(pl.col("reason_code").is_not_null())
    numbers = shard.codes.of(held, "Condition", prefix="reason_", system="ICD-10-CM")
    rows = held.select(
        "person_id",
        numbers.alias("observation_concept_id"),
        pl.coalesce("(began)", "(born)").alias("observation_date"),
        pl.col("start").alias("observation_datetime"),
        pl.lit(known.COMPLAINT).alias("observation_type_concept_id"),
        "provider_id",
        "visit_occurrence_id",
        "visit_detail_id",
        cut("reason_code").alias("observation_source_value"),
        numbers.alias("observation_source_concept_id"),
        pl.col("visit_occurrence_id").alias("observation_event_id"),
        pl.lit(known.FIELD_OF["visit_occurrence"]).alias("obs_event_field_concept_id"),
    )
    shard.out["observation"] = pl.concat([shard.out["observation"], rows], how="diagonal_relaxed")


def add_periods(shard: Shard) -> None:
    """Add observation_period: from the first to the last day with a record, one for each person who has any."""
    days = [
        shard.out[table].select("person_id", pl.col(column).alias("(day)"))
        for table, columns in DAYS.items()
        if table in shard.out
        for column in columns
    ]
    ends = (
        pl.concat(days)
        .group_by("person_id")
        .agg(pl.col("(day)").min().alias("(a)"), pl.col("(day)").max().alias("(z)"))
    )
    ends = ends.sort("person_id")
    shard.out["observation_period"] = ends.select(
        numbered("observation_period_id", ends.height),
        "person_id",
        pl.col("(a)").alias("observation_period_start_date"),
        pl.col("(z)").alias("observation_period_end_date"),
        pl.lit(known.EHR).alias("period_type_concept_id"),
    )
