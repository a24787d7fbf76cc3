"""Measurements, observations and notes: from the CDM into the clinical schema."""

from __future__ import annotations

import polars as pl

from ehrsatz.sources.omop.events import STAGE, moved_key
from ehrsatz.sources.omop.people import ATTRIBUTES, Read
from ehrsatz.terminology.omop import known

LONG = "result text"
RESULT, ALLERGY = "ehrsatz result", "ehrsatz allergy"
_CATEGORIES = {number: word for word, number in known.CATEGORIES.items()}
_FOREIGN = {
    **_CATEGORIES,
    44818702: "laboratory",
    44818701: "exam",
    38000277: "laboratory",
    45754907: None,
    32851: "survey",
}
_WORDS = {number: word for word, number in known.INTERPRETATIONS.items()} | {4124457: "normal"}
_VISIT_FIELD = known.FIELD_OF["visit_occurrence"]
_REACTION_FIELD = known.FIELD_OF["observation"]
_ORDER_FIELD = known.FIELD_OF["procedure_occurrence"]


def stages(rows: pl.DataFrame, read: Read) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split the stages of conditions from measurements: (measurements, condition_occurrence_id and stage)."""
    ours = (pl.col("measurement_source_value") == STAGE) & (pl.col("measurement_concept_id") == known.NONE)
    ours = (ours & pl.col("measurement_event_id").is_not_null()).fill_null(False)
    if not read.own:
        ours = pl.lit(False)
    table = pl.col("meas_event_field_concept_id").replace_strict(known.FIELDS, default=None, return_dtype=pl.String)
    told = rows.filter(ours).select(
        moved_key(table, "condition_occurrence", pl.col("measurement_event_id")).alias("condition_occurrence_id"),
        pl.col("value_source_value").alias("stage"),
    )
    return rows.filter(~ours), told.unique("condition_occurrence_id", keep="first")


def measurements(rows: pl.DataFrame, read: Read, texts: pl.DataFrame) -> pl.DataFrame:
    """Return observation of measurement.

    Parameters
    ----------
    rows
        With codes, patients and encounters.
    texts
        measurement_id and the long text of its result.
    """
    words = _meaning(read, rows["value_as_concept_id"])
    number, text = pl.col("value_as_number"), pl.col("value_source_value")
    if not read.own:
        same = text.str.strip_chars().cast(pl.Float64, strict=False)
        named = pl.lit(read.concepts.named(rows["value_as_concept_id"]))
        told = pl.lit(words).is_null()
        text = pl.coalesce(
            pl.when(same.is_null() | (number.is_not_null() & (same != number))).then(text), pl.when(told).then(named)
        )
    categories = _CATEGORIES if read.own else _FOREIGN
    joined = rows.with_columns(text.alias("(text)"), words.alias("(word)")).join(
        texts.rename({"(event)": "measurement_id"}), on="measurement_id", how="left", maintain_order="left"
    )
    return joined.select(
        pl.concat_str(pl.lit("M"), pl.col("measurement_id").cast(pl.String)).alias("observation_id"),
        "patient_id",
        "encounter_id",
        pl.when(pl.col("meas_event_field_concept_id") == _ORDER_FIELD)
        .then(pl.col("measurement_event_id").cast(pl.String))
        .alias("order_id"),
        read.time("measurement_datetime", "measurement_date").alias("time"),
        pl.col("measurement_type_concept_id")
        .replace_strict(categories, default=None, return_dtype=pl.String)
        .alias("category"),
        "code",
        "system",
        "display",
        number.alias("value"),
        pl.coalesce("(note)", "(text)").alias("text_value"),
        _unit(rows, read).alias("unit"),
        pl.col("range_low").alias("low"),
        pl.col("range_high").alias("high"),
        pl.col("(word)").alias("interpretation"),
    )


def _meaning(read: Read, ids: pl.Series) -> pl.Series:
    """Return the word of an interpretation: a known concept, or a word of our own."""
    every = read.concepts.table([ids]).filter(pl.col("vocabulary") == RESULT)
    own = dict(every.select("concept_id", "code").iter_rows())
    return ids.replace_strict({**_WORDS, **own}, default=None, return_dtype=pl.String)


def _unit(rows: pl.DataFrame, read: Read) -> pl.Expr:
    if read.own:
        return pl.col("unit_source_value")
    every = read.concepts.table([rows["unit_concept_id"]])
    codes = {number: code for code, number in known.UNITS.items()}
    codes |= {
        n: code
        for n, code in every.filter(pl.col("system") == "UCUM").select("concept_id", "code").iter_rows()
        if n not in codes
    }
    return pl.coalesce(
        pl.col("unit_concept_id").replace_strict(codes, default=None, return_dtype=pl.String), "unit_source_value"
    )


def said(rows: pl.DataFrame, read: Read, texts: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return what the table `observation` holds: observation, allergy, `(reasons)`, `(attributes)`.

    Parameters
    ----------
    rows
        With codes, patients and encounters.
    texts
        observation_id and the long text of its result.
    """
    field = pl.col("obs_event_field_concept_id")
    attribute = (pl.col("(vocabulary)") == ATTRIBUTES).fill_null(False)
    reaction = (field == _REACTION_FIELD).fill_null(False)
    reason = ((field == _VISIT_FIELD) & (pl.col("observation_type_concept_id") == known.COMPLAINT)).fill_null(False)
    allergy = (pl.col("observation_concept_id") == known.DRUG_ALLERGY) | (pl.col("(standard vocabulary)") == ALLERGY)
    allergy = allergy.fill_null(False) & ~reaction
    if not read.own:
        attribute = reaction = reason = allergy = pl.lit(False)
    plain = rows.filter(~attribute & ~reaction & ~reason & ~allergy)
    reactions = (
        rows.filter(reaction)
        .select(
            pl.col("observation_event_id").alias("observation_id"),
            pl.col("code").alias("reaction_code"),
            pl.col("display").alias("reaction_display"),
        )
        .unique("observation_id", keep="first")
    )
    return {
        "observation": _observations(plain, read, texts),
        "allergy": _allergies(rows.filter(allergy), read, reactions),
        "(reasons)": rows.filter(reason)
        .select("encounter_id", pl.col("code").alias("reason_code"), pl.col("display").alias("reason_display"))
        .drop_nulls("encounter_id")
        .unique("encounter_id", keep="first"),
        "(attributes)": _attributes(rows.filter(attribute)),
    }


def _observations(rows: pl.DataFrame, read: Read, texts: pl.DataFrame) -> pl.DataFrame:
    text = pl.col("value_as_string")
    word = pl.col("qualifier_source_value")
    if not read.own:
        named = pl.lit(read.concepts.named(rows["value_as_concept_id"]))
        text = pl.coalesce(text, named, pl.when(pl.col("value_as_number").is_null()).then("value_source_value"))
        word = pl.lit(_meaning(read, rows["qualifier_concept_id"]))
    categories = _CATEGORIES if read.own else _FOREIGN
    joined = rows.with_columns(text.alias("(text)"), word.alias("(word)")).join(
        texts.rename({"(event)": "observation_id"}), on="observation_id", how="left", maintain_order="left"
    )
    return joined.select(
        pl.concat_str(pl.lit("O"), pl.col("observation_id").cast(pl.String)).alias("observation_id"),
        "patient_id",
        "encounter_id",
        pl.when(pl.col("obs_event_field_concept_id") == _ORDER_FIELD)
        .then(pl.col("observation_event_id").cast(pl.String))
        .alias("order_id"),
        read.time("observation_datetime", "observation_date").alias("time"),
        pl.col("observation_type_concept_id")
        .replace_strict(categories, default=None, return_dtype=pl.String)
        .alias("category"),
        "code",
        "system",
        "display",
        pl.col("value_as_number").alias("value"),
        pl.coalesce("(note)", "(text)").alias("text_value"),
        _unit(rows, read).alias("unit"),
        pl.col("(word)").alias("interpretation"),
    )


def _allergies(rows: pl.DataFrame, read: Read, reactions: pl.DataFrame) -> pl.DataFrame:
    category = (
        pl.when(pl.col("observation_concept_id") == known.DRUG_ALLERGY).then(pl.lit("medication"))
        .when(pl.col("(standard code)") != "unknown").then("(standard code)")
    )  # fmt: skip
    return rows.join(reactions, on="observation_id", how="left", maintain_order="left").select(
        pl.col("observation_id").cast(pl.String).alias("allergy_id"),
        "patient_id",
        "encounter_id",
        "system",
        "code",
        "display",
        category.alias("category"),
        "reaction_code",
        "reaction_display",
        pl.col("qualifier_source_value").alias("severity"),
        read.time("observation_datetime", "observation_date").alias("onset"),
    )


def _attributes(rows: pl.DataFrame) -> pl.DataFrame:
    """Return patient_id and the columns of patients that observations tell."""
    once = rows.unique(["patient_id", "code"], keep="last", maintain_order=True)
    out = once.select("patient_id").unique(maintain_order=True)
    for name in sorted(once["code"].drop_nulls().unique()):
        value = "value_as_number" if name == "income" else "value_as_string"
        told = once.filter(pl.col("code") == name).select("patient_id", pl.col(value).alias(name))
        out = out.join(told, on="patient_id", how="left", maintain_order="left")
    return out


def reports(rows: pl.DataFrame, read: Read) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Return report, and for measurement and observation the event's id with the long text of its result."""
    field = pl.col("note_event_field_concept_id")
    fields = {name: known.FIELD_OF[name] for name in ("measurement", "observation")}
    of_result = (field.is_in(list(fields.values())) & (pl.col("note_title") == LONG)).fill_null(False)
    if not read.own:
        of_result = pl.lit(False)
    texts = {
        name: rows.filter(of_result & (field == concept))
        .select(pl.col("note_event_id").alias("(event)"), pl.col("note_text").alias("(note)"))
        .unique("(event)", keep="first")
        for name, concept in fields.items()
    }
    kinds = {known.RADIOLOGY: "imaging", known.PATHOLOGY: "laboratory"}
    both = pl.col("note_source_value").str.splitn(" | ", 2)
    modality, site = both.struct.field("field_0"), both.struct.field("field_1")
    if not read.own:
        modality = site = pl.lit(None, pl.String)
    ordered = pl.col("note_event_id").cast(pl.String)
    return rows.filter(~of_result).select(
        pl.col("note_id").cast(pl.String).alias("report_id"),
        "patient_id",
        "encounter_id",
        pl.when(field == _ORDER_FIELD).then(ordered).alias("order_id"),
        read.time("note_datetime", "note_date").alias("time"),
        pl.col("note_type_concept_id").replace_strict(kinds, default=None, return_dtype=pl.String).alias("kind"),
        pl.when(modality != "").then(modality).alias("modality"),
        site.alias("body_site"),
        pl.col("note_title").alias("display"),
        pl.col("note_text").alias("text"),
    ), texts
