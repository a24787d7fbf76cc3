"""What belongs to no person: addresses and care sites of organizations, care sites within them, providers, payers."""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.omop.people import address, payer_codes
from ehrsatz.exporters.omop.shard import Shard, cut, numbered
from ehrsatz.terminology.omop import known


def add_world(shard: Shard) -> None:
    """Add location, care_site, provider, the parts of care sites, and the payers."""
    organizations, places = shard.held["organization"], shard.held["location"]
    shard.out["location"] = organizations.select(numbered("location_id", organizations.height), *address())
    homes, rooms = shard.sites()
    wholes = organizations.select(
        homes["(site)"].alias("care_site_id"),
        cut("name", 255).alias("care_site_name"),
        numbered("location_id", organizations.height),
        pl.col("organization_id").alias("care_site_source_value"),
        cut("kind").alias("place_of_service_source_value"),
    )
    inside = places.join(homes, on="organization_id", how="left", maintain_order="left")
    parts = inside.select(
        rooms["(place)"].alias("care_site_id"),
        cut("name", 255).alias("care_site_name"),
        pl.col("(site)").alias("location_id"),
        pl.col("location_id").alias("care_site_source_value"),
        cut("kind").alias("place_of_service_source_value"),
    )
    shard.out["care_site"] = pl.concat([wholes, parts]).with_columns(
        pl.when(pl.col("place_of_service_source_value").is_not_null())
        .then(known.NONE)
        .alias("place_of_service_concept_id")
    )
    links = inside.select(rooms["(place)"].alias("a"), pl.col("(site)").alias("b")).drop_nulls()
    facts = [
        links.select(
            pl.lit(known.CARE_SITE).alias("domain_concept_id_1"),
            pl.col(one).alias("fact_id_1"),
            pl.lit(known.CARE_SITE).alias("domain_concept_id_2"),
            pl.col(other).alias("fact_id_2"),
            pl.lit(relationship).alias("relationship_concept_id"),
        )
        for one, other, relationship in (("a", "b", known.PART_OF), ("b", "a", known.CONTAINS))
    ]
    shard.out["fact_relationship"] = pl.concat(facts)
    people = shard.held["practitioner"].join(homes, on="organization_id", how="left", maintain_order="left")
    shard.out["provider"] = people.select(
        numbered("provider_id", people.height),
        name().str.slice(0, 255).alias("provider_name"),
        cut("identifier", 20).alias("npi"),
        pl.when(pl.col("specialty").is_not_null())
        .then(pl.col("specialty").replace_strict(known.SPECIALTIES, default=known.NONE))
        .alias("specialty_concept_id"),
        pl.col("(site)").alias("care_site_id"),
        pl.col("practitioner_id").alias("provider_source_value"),
        cut("specialty").alias("specialty_source_value"),
    )
    shard.out["(payers)"] = payer_codes(shard)


def name() -> pl.Expr:
    """Return the name of a practitioner as "Family, Given"."""
    family, given = pl.col("family_name"), pl.col("given_name")
    return pl.when(given.is_null()).then(family).otherwise(pl.concat_str(family.fill_null(""), pl.lit(", "), given))
