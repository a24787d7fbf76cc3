"""People: person, death, addresses, what is known of them as observations, insurance, family."""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.omop.shard import ATTRIBUTE, PAYER, RELATIVE, Shard, cut, numbered
from ehrsatz.terminology.omop import known

ATTRIBUTES = (
    "language",
    "marital_status",
    "education",
    "income",
    "housing",
    "insurance",
    "smoking",
    "alcohol",
    "activity",
    "blood_group",
)
OPEN = "still covered"  # reason for the end of a plan that has none
_CURRENCY = "[USD]/a"


def add_people(shard: Shard) -> None:
    """Add person, location, death."""
    patients = shard.held["patient"].with_columns(shard.people["person_id"])
    located = patients.with_columns(pl.lit(None, pl.String).alias("(none)")).filter(
        pl.any_horizontal(
            pl.col(name).is_not_null() for name in ("address_line", "city", "region", "postal_code", "country")
        )
    )
    shard.out["location"] = located.select(
        numbered("location_id", located.height),
        *address(),
        pl.when(pl.col("country").is_not_null())
        .then(pl.col("country").replace_strict(known.COUNTRIES, default=known.NONE))
        .alias("country_concept_id"),
        cut("country", 80).alias("country_source_value"),
    )
    homes = located.select("person_id", numbered("location_id", located.height))
    born = pl.col("birth_date")
    shard.out["person"] = patients.join(homes, on="person_id", how="left", maintain_order="left").select(
        "person_id",
        pl.col("sex").replace_strict(known.GENDERS, default=known.NONE).alias("gender_concept_id"),
        born.dt.year().cast(pl.Int64).alias("year_of_birth"),
        born.dt.month().cast(pl.Int64).alias("month_of_birth"),
        born.dt.day().cast(pl.Int64).alias("day_of_birth"),
        born.cast(pl.Datetime("us")).alias("birth_datetime"),
        pl.col("race").replace_strict(known.RACES, default=known.NONE).alias("race_concept_id"),
        pl.col("ethnicity").replace_strict(known.ETHNICITIES, default=known.NONE).alias("ethnicity_concept_id"),
        "location_id",
        pl.col("patient_id").alias("person_source_value"),
        pl.col("sex").alias("gender_source_value"),
        pl.when(pl.col("sex").is_not_null()).then(known.NONE).alias("gender_source_concept_id"),
        pl.col("race").alias("race_source_value"),
        pl.when(pl.col("race").is_not_null()).then(known.NONE).alias("race_source_concept_id"),
        pl.col("ethnicity").alias("ethnicity_source_value"),
        pl.when(pl.col("ethnicity").is_not_null()).then(known.NONE).alias("ethnicity_source_concept_id"),
    )
    died = patients.filter(pl.col("death_time").is_not_null())
    cause = shard.codes.of(
        died.select(pl.col("death_cause").alias("code"), pl.lit("ICD-10-CM").alias("system")), "Condition"
    )
    shard.out["death"] = died.select(
        "person_id",
        pl.col("death_time").dt.date().alias("death_date"),
        pl.col("death_time").alias("death_datetime"),
        pl.lit(known.EHR).alias("death_type_concept_id"),
        cause.alias("cause_concept_id"),
        cut("death_cause").alias("cause_source_value"),
        cause.alias("cause_source_concept_id"),
    )


def address() -> tuple[pl.Expr, ...]:
    """Return the columns of an address; a line of up to 100 characters takes two, another region the source value."""
    line, region = pl.col("address_line"), pl.col("region")
    short = region.str.len_chars() <= 2
    return (
        line.str.slice(0, 50).alias("address_1"),
        pl.when(line.str.len_chars() > 50).then(line.str.slice(50, 50)).alias("address_2"),
        cut("city").alias("city"),
        pl.when(short).then(region).alias("state"),
        cut("postal_code", 9).alias("zip"),
        pl.when(~short).then(region.str.slice(0, 50)).alias("location_source_value"),
    )


def add_attributes(shard: Shard) -> None:
    """Add what is known of people at the end of their record as observations, each named by the column."""
    patients = shard.held["patient"].select(*ATTRIBUTES, shard.people["person_id"], shard.people["(born)"])
    ends = shard.out["observation_period"].select("person_id", pl.col("observation_period_end_date").alias("(end)"))
    patients = patients.join(ends, on="person_id", how="left", maintain_order="left")
    rows = []
    for name in ATTRIBUTES:
        held = patients.filter(pl.col(name).is_not_null())
        if not held.height:
            continue
        number = shard.codes.number(ATTRIBUTE, name, name.replace("_", " "), "Observation")
        is_number = held.schema[name].is_numeric()
        text = pl.lit(None, pl.String) if is_number else cut(name, 60)
        rows.append(
            held.select(
                "person_id",
                pl.lit(number).cast(pl.Int64).alias("observation_concept_id"),
                pl.coalesce("(end)", "(born)").alias("observation_date"),
                pl.lit(known.EHR).alias("observation_type_concept_id"),
                (pl.col(name) if is_number else pl.lit(None, pl.Float64)).cast(pl.Float64).alias("value_as_number"),
                text.alias("value_as_string"),
                pl.lit(name).alias("observation_source_value"),
                pl.lit(number).cast(pl.Int64).alias("observation_source_concept_id"),
                pl.lit(known.NONE if is_number else None, pl.Int64).alias("unit_concept_id"),
                pl.lit(_CURRENCY if is_number else None, pl.String).alias("unit_source_value"),
            )
        )
    shard.out["observation"] = pl.concat([shard.out["observation"], *rows], how="diagonal_relaxed")


def add_insurance(shard: Shard) -> pl.DataFrame:
    """Add payer_plan_period; return coverage_id -> payer_plan_period_id."""
    payers = payer_codes(shard)
    held = shard.held["coverage"].join(shard.people, on="patient_id", how="left", maintain_order="left")
    ends = shard.out["observation_period"].select("person_id", pl.col("observation_period_end_date").alias("(end)"))
    held = held.join(ends, on="person_id", how="left", maintain_order="left")
    held = held.join(payers, on="payer_id", how="left", maintain_order="left")
    start = pl.coalesce("start", "stop", "(born)")
    shard.out["payer_plan_period"] = held.select(
        numbered("payer_plan_period_id", held.height),
        "person_id",
        start.alias("payer_plan_period_start_date"),
        pl.coalesce("stop", pl.max_horizontal(start, "(end)")).alias("payer_plan_period_end_date"),
        pl.when(pl.col("payer_id").is_not_null()).then(known.NONE).alias("payer_concept_id"),
        pl.col("payer_id").alias("payer_source_value"),
        pl.col("(payer)").alias("payer_source_concept_id"),
        pl.col("kind").alias("plan_source_value"),
        cut("member_number").alias("family_source_value"),
        pl.when(pl.col("stop").is_null()).then(pl.lit(OPEN)).alias("stop_reason_source_value"),
    )
    return held.select("coverage_id", shard.out["payer_plan_period"]["payer_plan_period_id"])


def payer_codes(shard: Shard) -> pl.DataFrame:
    """Return payer_id, kind, and `(payer)`: the payers as concepts of our own, whose class is their kind."""
    world = shard.held["payer"]
    numbers = shard.codes.of(
        world.select(pl.col("payer_id").alias("code"), pl.col("name").alias("display")), "Payer", system=PAYER
    )
    return world.select("payer_id", "kind", numbers.alias("(payer)"))


def add_family(shard: Shard) -> None:
    """Add fact_relationship: the second person is what the word says to the first."""
    held = shard.held["relation"].join(shard.people, on="patient_id", how="left", maintain_order="left")
    others = shard.people.select(pl.col("patient_id").alias("relative_id"), pl.col("person_id").alias("(relative)"))
    held = held.join(others, on="relative_id", how="inner", maintain_order="left")
    words = shard.codes.words(held["relation"].fill_null("relative"), RELATIVE, "Relationship")
    family = held.select(
        pl.lit(known.PERSON).alias("domain_concept_id_1"),
        pl.col("person_id").alias("fact_id_1"),
        pl.lit(known.PERSON).alias("domain_concept_id_2"),
        pl.col("(relative)").alias("fact_id_2"),
        words.alias("relationship_concept_id"),
    )
    shard.out["fact_relationship"] = pl.concat([family, shard.out.pop("(owners)")], how="vertical_relaxed")
