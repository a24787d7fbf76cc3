"""Patients: what stands in PID, and the messages about persons (ADT A28, A08 of a death, A40 of a merge).

Every message names its patient by the same parts, joined when the feed is written: `pid3` (or `temporary`, before a
merge), then `demographics` or `short`. A small share of patients, told by the checksum of the key, is
first registered under a temporary number that an A40 merges at the end of the first visit.

References
----------
HL7 Version 2.5.1, chapter 3: 3.3 (events), 3.4.2 (PID), 3.4.5 (NK1), 3.4.9 (MRG), 3.4.11 (PDA).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import polars as pl

from ehrsatz.exporters.hl7v2.fields import coded, dt, ended, gathered, given, segment, text, ts
from ehrsatz.exporters.hl7v2.message import messages
from ehrsatz.terminology.hl7v2 import (
    ATTRIBUTES,
    ETHNICITY,
    LOCAL,
    MARITAL,
    RACE,
    RELATION,
    SENDER,
    SEX,
)

ONE_IN = 50  # patients: so many of them, about, come in under a temporary number
NAMELESS = "^^^^^^U"  # table 0200: the kind of name is not specified


def identities(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return one row per patient: `pid3`, `temporary`, `demographics`, `dead`, `short`, `death_time`, `born`.

    `demographics` and `short` are the fields from PID-4 on, without numbers in PID-18; `dead` is what follows the
    demographics after the death.
    """
    name = ended(text(pl.col("family_name"), "^", pl.col("given_name"), "^^^^^L"), "^")
    nameless = pl.col("family_name").is_null() & pl.col("given_name").is_null()
    name = pl.when(nameless).then(pl.lit(NAMELESS)).otherwise(name)
    before = given(pl.col("birth_family_name"), "~", pl.col("birth_family_name"), "^^^^^^M")
    places = [pl.col(one).fill_null("") for one in ("city", "region", "postal_code", "country")]
    address = ended(text(pl.col("address_line"), "^^", pl.concat_str(places, separator="^")), "^")
    email = given(pl.col("email"), "^NET^Internet^", pl.col("email"))
    phone = given(pl.col("phone"), pl.col("phone"), "^PRN^PH")
    both = pl.concat_str([phone, email], separator="~", ignore_nulls=True)
    number = pl.when(pl.col("country").fill_null("US") == "US").then(pl.lit("SS")).otherwise(pl.lit("NI"))
    identity = text(pl.col("patient_id"), f"^^^{SENDER}^PI")
    record = given(pl.col("record_number"), "~", pl.col("record_number"), f"^^^{SENDER}^MR")
    national = given(pl.col("national_id"), "~", pl.col("national_id"), "^^^SYNTHETIC^", number)
    born, sex = dt("birth_date"), coded(SEX, "sex")
    race = given(pl.col("race"), coded(RACE, "race"), "^", pl.col("race"), "^HL70005")
    ethnicity = given(pl.col("ethnicity"), coded(ETHNICITY, "ethnicity"), "^", pl.col("ethnicity"), "^HL70189")
    marital = given(
        pl.col("marital_status"), coded(MARITAL, "marital_status"), "^", pl.col("marital_status"), "^HL70002"
    )
    language = given(pl.col("language"), pl.col("language"), "^^ISO639")
    frame = tables["patient"].select(
        "patient_id",
        "birth_date",
        "death_time",
        text(identity, record, national).alias("pid3"),
        identity.alias("number"),
        text("||", name, before, "||", born, "|", sex, "||", race, "|", address, "||", both, "||", language, "|").alias(
            "first"
        ),
        marital.fill_null("").alias("marital"),
        ethnicity.fill_null("").alias("ethnicity"),
        text("||", name, "||", born, "|", sex).alias("short"),
        text("|||||||", ts("death_time"), "|Y").alias("dead"),
    )
    chosen = [zlib.crc32(one.encode()) % ONE_IN == 0 for one in frame["patient_id"].to_list()]
    return frame.with_columns(pl.Series("chosen", chosen, dtype=pl.Boolean)).select(
        "patient_id",
        "pid3",
        pl.when("chosen").then(text("T-", pl.col("number"))).alias("temporary"),
        text(pl.col("first"), pl.col("marital"), "||||||", pl.col("ethnicity")).alias("demographics"),
        "dead",
        "short",
        "death_time",
        pl.col("birth_date").cast(pl.Datetime("us")).alias("born"),
    )


def persons(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """ADT A28: the person with next of kin and what else is told of people; its time is set by the feed."""
    known = tables["patient"].select("patient_id", "given_name", "family_name")
    kin = tables["relation"].join(
        known, left_on="relative_id", right_on="patient_id", how="left", maintain_order="left"
    )
    number = pl.int_range(1, pl.len() + 1).over("patient_id").cast(pl.String)
    name = ended(text(pl.col("family_name"), "^", pl.col("given_name")), "^")
    kin_of = pl.col("relation")
    identifiers = text(pl.col("relative_id"), f"^^^{SENDER}^PI~", pl.col("relation_id"), f"^^^{SENDER}^RI")
    relation = given(kin_of, coded(RELATION, "relation"), "^", kin_of, "^HL70063")
    nk1 = segment("NK1", {1: number, 2: name, 3: relation, 33: identifiers})
    kin = gathered(kin.select("patient_id", nk1.alias("nk1")), ["patient_id"], "nk1")
    told = gathered(_attributes(tables["patient"]), ["patient_id"], "obx")
    whole = tables["patient"].select("patient_id").join(kin, on="patient_id", how="left", maintain_order="left")
    whole = whole.join(told, on="patient_id", how="left", maintain_order="left")
    tail = text(given(pl.col("nk1"), "\r", pl.col("nk1")), "\rPV1|1|N", given(pl.col("obx"), "\r", pl.col("obx")))
    unseen = pl.lit(None, pl.Datetime("us"))
    return messages(
        whole, "ADT^A28^ADT_A05", 0, time=unseen, key=pl.col("patient_id"), tail=tail, full=True, event=True
    )


def _attributes(patients: pl.DataFrame) -> pl.DataFrame:
    """One OBX per known attribute of a patient that PID has no field for."""
    long = patients.select("patient_id", *ATTRIBUTES).unpivot(index="patient_id", variable_name="name").drop_nulls()
    titles = {name: f"{title}^{LOCAL}" for name, (title, _) in ATTRIBUTES.items()}
    alternates = {name: f"^{code}^{title}^LN" if code else "" for name, (title, code) in ATTRIBUTES.items()}
    code = text(pl.col("name"), "^", pl.col("name").replace_strict(titles), pl.col("name").replace_strict(alternates))
    money = pl.col("name") == "income"
    kind = pl.when(money).then(pl.lit("NM")).otherwise(pl.lit("ST"))
    unit = pl.when(money).then(pl.lit("[USD]/a^^UCUM"))
    number = pl.int_range(1, pl.len() + 1).over("patient_id").cast(pl.String)
    obx = segment("OBX", {1: number, 2: kind, 3: code, 5: pl.col("value"), 6: unit, 11: "F"})
    return long.select("patient_id", obx.alias("obx"))


def deaths(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """ADT A08 at the time of death, with its cause in PDA-1; PID-29 and PID-30 are set from then on."""
    told = pl.col("death_time").is_not_null() | pl.col("death_cause").is_not_null()
    cause = given(pl.col("death_cause"), "\rPDA|", pl.col("death_cause"), "^^I10C")
    return messages(
        tables["patient"].filter(told),
        "ADT^A08^ADT_A01",
        90,
        time=pl.col("death_time"),
        key=pl.col("patient_id"),
        tail=text("\rPV1|1|N", cause),
        full=True,
        event=True,
    )


def merges(visits: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """ADT A40 of patients with a temporary number, at the end of the first visit.

    Parameters
    ----------
    visits
        patient_id, encounter_id, `begin` and `until` of each visit.
    people
        As `identities` returns them.

    Returns
    -------
    Messages; `time` is also until when the temporary number stands in all other messages.
    """
    new = people.filter(pl.col("temporary").is_not_null())
    first = visits.group_by("patient_id").agg(pl.col("until").sort_by("begin", "encounter_id").first())
    merged = new.join(first, on="patient_id", how="inner", maintain_order="left")
    return messages(
        merged,
        "ADT^A40^ADT_A39",
        95,
        time=pl.col("until"),
        key=pl.col("patient_id"),
        tail=text("\rMRG|", pl.col("temporary")),
        full=True,
        event=True,
    )
