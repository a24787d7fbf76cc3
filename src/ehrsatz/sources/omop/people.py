"""People, care sites, providers, payers: from the CDM into the clinical schema."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import polars as pl

from ehrsatz import clinical
from ehrsatz.sources.omop.concepts import Concepts
from ehrsatz.sources.omop.store import Store, Where
from ehrsatz.terminology.omop import known

OWN = "ehrsatz"  # abbreviation in cdm_source of what we wrote
PLACES = ("clinic", "emergency", "ward", "icu", "home")  # kinds of care sites within others
STILL_COVERED = "still covered"
ATTRIBUTES, PAYERS, RELATIONS, OWNERS = "ehrsatz patient", "ehrsatz payer", "ehrsatz relation", "ehrsatz owner"
_RACES = {  # detailed races by their range of ids
    "native": (38003572, 38003573),
    "asian": (38003574, 38003597),
    "black": (38003598, 38003609),
    "pacific": (38003610, 38003613),
    "white": (38003614, 38003616),
}
_OTHER_SEX = {8521: "other", 8570: "other", 8551: "unknown"}
_LETTERS = {"m": "male", "f": "female", "male": "male", "female": "female"}
_COUNTRIES = {number: word for word, number in known.COUNTRIES.items()}


@dataclass
class Read:
    """What is read, and from where.

    Parameters
    ----------
    store
        The database.
    concepts
        What its concepts stand for.
    left
        Counts what has no place.
    own
        Whether it was written by ehrsatz.
    keys
        person_id and patient_id of the people wanted.
    where
        The same, as a condition on `person_id`; None: all.
    """

    store: Store
    concepts: Concepts
    left: Counter[str]
    own: bool
    keys: pl.DataFrame
    where: Where | None

    def rows(self, table: str) -> pl.DataFrame:
        """Return the rows of the people wanted, with patient_id."""
        held = self.store.frame(table, self.left, self.where)
        joined = held.join(self.keys, on="person_id", how="left", maintain_order="left")
        lost = joined["patient_id"].null_count()
        self.left[f"{table}: rows of no person"] += lost
        return joined.filter(pl.col("patient_id").is_not_null()) if lost else joined

    def time(self, time: str, day: str) -> pl.Expr:
        """Return a time; where there is none, its day, unless it was our own that had none."""
        return pl.col(time) if self.own else pl.coalesce(pl.col(time), pl.col(day).cast(pl.Datetime("us")))


def keys(store: Store, left: Counter[str], *, own: bool, only: pl.Series | None = None) -> pl.DataFrame:
    """Return person_id and patient_id: the key of the source where each person has one of its own.

    Parameters
    ----------
    store, left, own
        The database, what counts, whether it was written by ehrsatz.
    only
        Keys of the people wanted; all where None.
    """
    where = Where("person_source_value", only) if own and only is not None else None
    people = (
        store.frame("person", left, where).select("person_id", "person_source_value").unique("person_id", keep="first")
    )
    source = people["person_source_value"]
    told = own or (source.null_count() == 0 and source.n_unique() == people.height)
    key = pl.col("person_source_value") if told else pl.col("person_id").cast(pl.String)
    named = people.select("person_id", key.alias("patient_id"))
    return named if only is None else named.filter(pl.col("patient_id").is_in(only.implode()))


def patients(read: Read) -> pl.DataFrame:
    """Return the table `patient`."""
    people = read.rows("person").unique("person_id", keep="first", maintain_order=True)
    year = pl.col("year_of_birth")
    whole = pl.date(year, pl.col("month_of_birth"), pl.col("day_of_birth"))
    vague = people.filter(pl.col("month_of_birth").is_null() & pl.col("birth_datetime").is_null()).height
    read.left["person.year_of_birth: only the year is known, taken as its first day"] += vague
    born = pl.coalesce(
        whole, pl.col("birth_datetime").dt.date(), pl.date(year, pl.col("month_of_birth").fill_null(1), 1)
    )
    places = _addresses(read).rename({"region": "region"})
    people = people.join(places, on="location_id", how="left", maintain_order="left")
    people = people.join(_deaths(read), on="person_id", how="left", maintain_order="left")
    out = people.select(
        "person_id",
        "patient_id",
        born.alias("birth_date"),
        "death_time",
        "death_cause",
        *_groups(read.own),
        "address_line",
        "city",
        "region",
        "postal_code",
        "country",
    )
    return out


def _groups(own: bool) -> tuple[pl.Expr, ...]:
    """Return sex, race and ethnicity: our own words, or by concept."""
    words = {"gender": clinical.GENDERS, "race": clinical.RACES, "ethnicity": clinical.ETHNICITIES}
    names = {"gender": "sex", "race": "race", "ethnicity": "ethnicity"}
    if own:
        return tuple(pl.col(f"{one}_source_value").alias(name) for one, name in names.items())
    sexes = {number: word for word, number in known.GENDERS.items()} | _OTHER_SEX
    races = {number: word for word, number in known.RACES.items()} | {8522: "other"}
    races |= {number: word for word, (a, z) in _RACES.items() for number in range(a, z + 1)}
    ethnicities = {number: word for word, number in known.ETHNICITIES.items()}
    letters = (
        pl.col("gender_source_value").str.to_lowercase().replace_strict(_LETTERS, default=None, return_dtype=pl.String)
    )
    groups = {one: pl.col(f"{one}_source_value").str.to_lowercase() for one in ("race", "ethnicity")}
    return (
        pl.coalesce(_by(sexes, "gender_concept_id"), letters).alias("sex"),
        pl.coalesce(
            _by(races, "race_concept_id"), pl.when(groups["race"].is_in(list(words["race"]))).then(groups["race"])
        ).alias("race"),
        pl.coalesce(
            _by(ethnicities, "ethnicity_concept_id"),
            pl.when(groups["ethnicity"].is_in(list(words["ethnicity"]))).then(groups["ethnicity"]),
        ).alias("ethnicity"),
    )


def _by(words: dict[int, str], column: str) -> pl.Expr:
    return pl.col(column).replace_strict(words, default=None, return_dtype=pl.String)


def _deaths(read: Read) -> pl.DataFrame:
    rows = read.rows("death").unique("person_id", keep="first", maintain_order=True)
    coded = read.concepts.coded(rows, "death", "cause")
    return coded.select(
        "person_id", read.time("death_datetime", "death_date").alias("death_time"), pl.col("code").alias("death_cause")
    )


def _addresses(read: Read) -> pl.DataFrame:
    rows = read.store.frame("location", read.left)
    first, second = pl.col("address_1"), pl.col("address_2")
    line = (
        pl.when(second.is_null()).then(first).when(first.str.len_chars() == 50).then(first + second)
        .otherwise(pl.concat_str(first, second, separator=", ", ignore_nulls=True))
    )  # fmt: skip
    region = pl.coalesce("state", "location_source_value") if read.own else pl.col("state")
    country = pl.coalesce("country_source_value", _by(_COUNTRIES, "country_concept_id"))
    return rows.select(
        "location_id",
        line.alias("address_line"),
        "city",
        region.alias("region"),
        pl.col("zip").alias("postal_code"),
        country.alias("country"),
    ).unique("location_id", keep="first")


# ---------------------------------------------------------------------- the world
def sites(read: Read) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return organization, location, and care_site_id with organization_id and location_id."""
    rows = read.store.frame("care_site", read.left).unique("care_site_id", keep="first", maintain_order=True)
    rows = rows.join(_addresses(read), on="location_id", how="left", maintain_order="left")
    facts = read.store.frame(
        "fact_relationship", read.left, Where("relationship_concept_id", pl.Series([known.PART_OF]))
    )
    above = (
        facts.filter(pl.col("domain_concept_id_1") == known.CARE_SITE)
        .select(pl.col("fact_id_1").alias("care_site_id"), pl.col("fact_id_2").alias("(above)"))
        .unique("care_site_id", keep="first")
    )
    rows = rows.join(above, on="care_site_id", how="left", maintain_order="left")
    source, kind = pl.col("care_site_source_value"), pl.col("place_of_service_source_value")
    told = read.own or (
        rows["care_site_source_value"].null_count() == 0 and rows["care_site_source_value"].n_unique() == rows.height
    )
    key = source if told else pl.col("care_site_id").cast(pl.String)
    inside = pl.col("(above)").is_not_null() & (pl.col("(above)") != pl.col("care_site_id"))
    if read.own:
        inside = inside | pl.col("location_id").is_null() | kind.is_in(list(PLACES)).fill_null(False)
    rows = rows.with_columns(key.alias("(key)"), inside.alias("(inside)"))
    wholes, parts = rows.filter(~pl.col("(inside)")), rows.filter("(inside)")
    organizations = wholes.select(
        pl.col("(key)").alias("organization_id"),
        pl.col("care_site_name").alias("name"),
        (kind if read.own else pl.lit(None, pl.String)).alias("kind"),
        "address_line",
        "city",
        "region",
        "postal_code",
    )
    owners = wholes.select(pl.col("care_site_id").alias("(above)"), pl.col("(key)").alias("organization_id"))
    parts = parts.join(owners, on="(above)", how="left", maintain_order="left")
    locations = parts.select(
        pl.col("(key)").alias("location_id"),
        "organization_id",
        pl.col("care_site_name").alias("name"),
        (kind if read.own else pl.lit(None, pl.String)).alias("kind"),
    )
    where = pl.concat(
        [
            wholes.select(
                "care_site_id", pl.col("(key)").alias("organization_id"), pl.lit(None, pl.String).alias("location_id")
            ),
            parts.select("care_site_id", "organization_id", pl.col("(key)").alias("location_id")),
        ]
    )
    return organizations, locations, where


def providers(read: Read, where: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return practitioner, and provider_id with practitioner_id."""
    rows = read.store.frame("provider", read.left).unique("provider_id", keep="first", maintain_order=True)
    rows = rows.join(where, on="care_site_id", how="left", maintain_order="left")
    source = rows["provider_source_value"]
    told = read.own or (source.null_count() == 0 and source.n_unique() == rows.height)
    key = pl.col("provider_source_value") if told else pl.col("provider_id").cast(pl.String)
    name = pl.col("provider_name").str.splitn(", ", 2)
    family, given = name.struct.field("field_0"), name.struct.field("field_1")
    named = read.concepts.named(rows["specialty_concept_id"]).str.to_lowercase()
    specialty = pl.col("specialty_source_value") if read.own else pl.coalesce("specialty_source_value", pl.lit(named))
    out = rows.select(
        key.alias("practitioner_id"),
        "organization_id",
        given.alias("given_name"),
        pl.when(family != "").then(family).alias("family_name"),
        specialty.alias("specialty"),
        pl.col("npi").alias("identifier"),
    )
    return out, rows.select("provider_id", key.alias("practitioner_id"))


def payers(read: Read, plans: pl.DataFrame) -> pl.DataFrame:
    """Return payer: concepts of our own, or the payers that plans name."""
    if read.own:
        rows = read.store.frame("concept", read.left, Where("vocabulary_id", pl.Series([PAYERS])))
        kind = pl.col("concept_class_id").str.splitn(" ", 2).struct.field("field_1")
        bare = pl.col("concept_class_id").str.starts_with("Code")
        return rows.select(
            pl.col("concept_code").alias("payer_id"),
            pl.when(~bare).then("concept_name").alias("name"),
            kind.alias("kind"),
        )
    return plans.select("payer_id", pl.col("payer_id").alias("name")).drop_nulls("payer_id").unique(maintain_order=True)


def coverages(read: Read) -> pl.DataFrame:
    """Return coverage, with payer_plan_period_id."""
    rows = read.rows("payer_plan_period")
    named = read.concepts.named(rows["payer_concept_id"])
    payer = pl.col("payer_source_value") if read.own else pl.coalesce("payer_source_value", pl.lit(named))
    ended = pl.col("stop_reason_source_value").ne_missing(STILL_COVERED) if read.own else pl.lit(True)
    return rows.select(
        "payer_plan_period_id",
        pl.col("payer_plan_period_id").cast(pl.String).alias("coverage_id"),
        "patient_id",
        payer.alias("payer_id"),
        pl.col("family_source_value").alias("member_number"),
        pl.col("payer_plan_period_start_date").alias("start"),
        pl.when(ended).then("payer_plan_period_end_date").alias("stop"),
    )


def owners(read: Read, visits: pl.Series, where: pl.DataFrame) -> pl.DataFrame:
    """Return `(domain)`, `(fact)`, `(owner)` and `(told)`: organizations that are not those of a visit's place."""
    rows = read.store.frame("fact_relationship", read.left, Where("fact_id_1", visits))
    rows = rows.filter(pl.col("domain_concept_id_1").is_in([known.VISIT, known.DETAIL]))
    every = read.concepts.table([rows["relationship_concept_id"]]).filter(pl.col("vocabulary") == OWNERS)
    ours = rows.join(
        every, left_on="relationship_concept_id", right_on="concept_id", how="inner", maintain_order="left"
    )
    ours = ours.join(where, left_on="fact_id_2", right_on="care_site_id", how="left", maintain_order="left")
    return ours.select(
        pl.col("domain_concept_id_1").alias("(domain)"),
        pl.col("fact_id_1").alias("(fact)"),
        pl.when(pl.col("code") == "organization").then("organization_id").alias("(owner)"),
        pl.lit(True).alias("(told)"),
    ).unique(["(domain)", "(fact)"], keep="first")


def relations(read: Read) -> pl.DataFrame:
    """Return relation, of the facts that tell of two people in words of ours."""
    people = Where("fact_id_1", read.keys["person_id"])
    rows = read.store.frame("fact_relationship", read.left, people if read.where is not None else None)
    rows = rows.filter(
        (pl.col("domain_concept_id_1") == known.PERSON) & (pl.col("domain_concept_id_2") == known.PERSON)
    )
    every = read.concepts.table([rows["relationship_concept_id"]]).select(
        pl.col("concept_id").alias("relationship_concept_id"), "vocabulary", pl.col("code").alias("relation")
    )
    rows = rows.join(every, on="relationship_concept_id", how="left", maintain_order="left")
    ours = rows.filter(pl.col("vocabulary") == RELATIONS)
    read.left["fact_relationship: other relations of people"] += rows.height - ours.height
    one = read.keys.rename({"person_id": "fact_id_1"})
    other = read.keys.rename({"person_id": "fact_id_2", "patient_id": "relative_id"})
    ours = ours.join(one, on="fact_id_1", how="inner", maintain_order="left")
    ours = ours.join(other, on="fact_id_2", how="inner", maintain_order="left")
    number = pl.int_range(pl.len()).over("fact_id_1", "fact_id_2", "relation").cast(pl.String)
    return ours.select(
        pl.concat_str(
            pl.col("fact_id_1").cast(pl.String), pl.col("fact_id_2").cast(pl.String), "relation", number, separator="-"
        ).alias("relation_id"),
        "patient_id",
        "relative_id",
        pl.when(pl.col("relation") != "relative").then("relation").alias("relation"),
    )
