"""Eras: spans of a condition, a drug's ingredient or a dose, over gaps of at most 30 days.

An exposure or occurrence that begins no later than 30 days after the latest end before it goes on with the same era.

References
----------
OHDSI, OMOP CDM 5.4, tables DRUG_ERA, DOSE_ERA and CONDITION_ERA, https://ohdsi.github.io/CommonDataModel/cdm54.html
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ehrsatz.exporters.omop.shard import numbered
from ehrsatz.terminology.omop import known

GAP_DAYS = 30  # the persistence window of the CDM's conventions


def condition_eras(conditions: pl.DataFrame) -> pl.DataFrame:
    """Return condition_era of condition_occurrence; one without an end lasts for a day."""
    held = conditions.filter(pl.col("condition_concept_id") != known.NONE).select(
        "person_id",
        "condition_concept_id",
        pl.col("condition_start_date").alias("a"),
        pl.max_horizontal(
            "condition_start_date", pl.coalesce("condition_end_date", pl.col("condition_start_date"))
        ).alias("z"),
    )
    eras = merged(held, ["person_id", "condition_concept_id"], GAP_DAYS)
    return eras.select(
        numbered("condition_era_id", eras.height),
        "person_id",
        "condition_concept_id",
        pl.col("a").alias("condition_era_start_date"),
        pl.col("z").alias("condition_era_end_date"),
        pl.col("n").alias("condition_occurrence_count"),
    )


def drug_eras(exposures: pl.DataFrame) -> pl.DataFrame:
    """Return drug_era of exposures to ingredients; gap_days are those within an era without any exposure."""
    by = ["person_id", "ingredient_concept_id"]
    single = merged(exposures, by, 0)
    spans = single.with_columns((pl.col("z") - pl.col("a")).dt.total_days().alias("days"))
    eras = merged(spans, by, GAP_DAYS, sums=("n", "days"))
    whole = (pl.col("z") - pl.col("a")).dt.total_days()
    return eras.select(
        numbered("drug_era_id", eras.height),
        "person_id",
        pl.col("ingredient_concept_id").alias("drug_concept_id"),
        pl.col("a").alias("drug_era_start_date"),
        pl.col("z").alias("drug_era_end_date"),
        pl.col("n").alias("drug_exposure_count"),
        (whole - pl.col("days")).alias("gap_days"),
    )


def dose_eras(exposures: pl.DataFrame) -> pl.DataFrame:
    """Return dose_era of exposures to one ingredient whose daily dose and unit are known."""
    held = exposures.filter(pl.col("dose_value").is_not_null() & pl.col("unit_concept_id").is_not_null())
    eras = merged(held, ["person_id", "ingredient_concept_id", "unit_concept_id", "dose_value"], GAP_DAYS)
    return eras.select(
        numbered("dose_era_id", eras.height),
        "person_id",
        pl.col("ingredient_concept_id").alias("drug_concept_id"),
        "unit_concept_id",
        "dose_value",
        pl.col("a").alias("dose_era_start_date"),
        pl.col("z").alias("dose_era_end_date"),
    )


def exposures(drugs: pl.DataFrame, ingredients: pl.DataFrame) -> pl.DataFrame:
    """Return drug_exposure by ingredient: person_id, ingredient_concept_id, a, z, dose_value, unit_concept_id.

    The dose is only told of drugs with one ingredient.
    """
    several = ingredients.with_columns(pl.len().over("drug_concept_id").alias("parts"))
    held = drugs.join(several, on="drug_concept_id", how="inner", maintain_order="left")
    alone = pl.col("parts") == 1
    unit = pl.col("dose_unit_source_value").replace_strict(known.UNITS, default=None, return_dtype=pl.Int64)
    return held.select(
        "person_id",
        "ingredient_concept_id",
        pl.col("drug_exposure_start_date").alias("a"),
        pl.max_horizontal("drug_exposure_start_date", "drug_exposure_end_date").alias("z"),
        pl.when(alone).then("(daily)").alias("dose_value"),
        pl.when(alone).then(unit).alias("unit_concept_id"),
    )


def merged(spans: pl.DataFrame, by: Sequence[str], gap: int, *, sums: Sequence[str] = ()) -> pl.DataFrame:
    """Join spans from `a` to `z` of equal `by` that are no more than `gap` days apart.

    Returns
    -------
    `by`, a, z, n (spans joined, or the sum of their own n), sums; sorted by `by` and a.
    """
    ordered = spans.sort(*by, "a", "z")
    latest = pl.col("z").cum_max().shift().over(by)
    begins = latest.is_null() | ((pl.col("a") - latest).dt.total_days() > gap)
    totals = [pl.col(name).sum() for name in sums] if sums else [pl.len().cast(pl.Int64).alias("n")]
    return (
        ordered.with_columns(begins.cum_sum().alias("(era)"))
        .group_by(*by, "(era)", maintain_order=True)
        .agg(pl.col("a").min(), pl.col("z").max(), *totals)
        .drop("(era)")
    )
