"""Patients, relatives and merges out of PID, NK1, PDA, MRG and what ADT messages tell in OBX."""

from __future__ import annotations

import polars as pl

from ehrsatz.sources.hl7v2.fields import date, field, first, number, part, time, word
from ehrsatz.sources.hl7v2.file import Hl7File
from ehrsatz.terminology.hl7v2 import ATTRIBUTES, ETHNICITY, LOCAL, MARITAL, RACE, RELATION, SEX

MERGES = ("ADT^A18", "ADT^A34", "ADT^A36", "ADT^A39", "ADT^A40")  # of patients; A41 and others are of accounts


def patients(file: Hl7File) -> list[pl.DataFrame]:
    """Return what PID, PDA and OBX say of patients, in parts that `p` orders."""
    rows = file.rows("PID", but=()).unique(["patient_id", "text"], keep="last", maintain_order=True)
    names = field(5).str.split("~")
    maiden = names.list.eval(pl.element().filter(pl.element().str.contains(r"^([^^]*\^){6}[MB](\^|$)"))).list.first()
    name = part(field(5), 1, "~")
    address = part(field(11), 1, "~")
    phones = pl.concat_str(field(13), field(14), separator="~", ignore_nulls=True)
    mail = pl.coalesce(
        phones.str.extract(r"(?:^|~)([^~^]*\^NET(?:\^[^~]*)?)"), phones.str.extract(r"(?:^|~)([^~]*@[^~]*)")
    )
    address_of_mail = pl.coalesce(part(mail, 4), part(mail, 1).str.extract(r"^([^^]*@[^^]*)$"))
    spoken = ~pl.element().str.contains(r"^[^^]*\^NET(\^|$)|^[^^]*\^[^P][^^]*\^.*@|^[^^]*@[^^]*$")
    phone = phones.str.split("~").list.eval(pl.element().filter(spoken)).list.first()
    numbers = file.numbers
    record = numbers.filter(pl.col("type") == "MR").unique("pid3", keep="first").select("pid3", "id")
    state = numbers.filter(pl.col("type").is_in(("SS", "NI", "NH"))).unique("pid3", keep="first").select("pid3", "id")
    rows = rows.with_columns(field(3).alias("pid3"))
    rows = rows.join(record.rename({"id": "record_number"}), on="pid3", how="left", maintain_order="left")
    rows = rows.join(state.rename({"id": "national_id"}), on="pid3", how="left", maintain_order="left")
    race, ethnicity = part(part(field(10), 1, "~"), 1), part(part(field(22), 1, "~"), 1)
    told = rows.select(
        "p",
        "patient_id",
        date(part(field(7), 1)).alias("birth_date"),
        time(part(field(29), 1)).alias("death_time"),
        word(part(field(8), 1), SEX).alias("sex"),
        word(race, RACE).alias("race"),
        word(ethnicity, {**ETHNICITY, "2135-2": "2135-2"})
        .replace({"2135-2": "hispanic", "2186-5": "not hispanic"})
        .alias("ethnicity"),
        part(name, 2).alias("given_name"),
        first(part(name, 1)).alias("family_name"),
        first(part(maiden, 1)).alias("birth_family_name"),
        first(part(address, 1)).alias("address_line"),
        part(address, 3).alias("city"),
        part(address, 4).alias("region"),
        part(address, 5).alias("postal_code"),
        part(address, 6).alias("country"),
        pl.coalesce(part(phone, 1), part(phone, 12)).alias("phone"),
        address_of_mail.alias("email"),
        pl.coalesce("national_id", first(field(19))).alias("national_id"),
        "record_number",
        part(field(15), 1).alias("language"),
        word(part(field(16), 1), MARITAL).alias("marital_status"),
    )
    cause = file.rows("PDA").select("p", "patient_id", part(field(1), 1).alias("death_cause"))
    return [told, cause, *_attributes(file)]


def _attributes(file: Hl7File) -> list[pl.DataFrame]:
    rows = file.rows("OBX", events=("ADT",)).filter(is_attribute())
    out = []
    for name in ATTRIBUTES:
        cell = number(field(5)) if name == "income" else field(5)
        chosen = rows.filter(part(field(3), 1) == name)
        if chosen.height:
            out.append(chosen.select("p", "patient_id", cell.alias(name)))
    return out


def is_attribute() -> pl.Expr:
    """Say whether an OBX tells of the person what PID has no field for."""
    return (part(field(3), 1).is_in(list(ATTRIBUTES)) & (part(field(3), 3) == LOCAL)).fill_null(False)


def relations(file: Hl7File) -> pl.DataFrame:
    """Return relatives whose number NK1-33 gives; others are counted."""
    rows = file.rows("NK1")
    relative = part(part(field(33), 1, "~"), 1)
    other = part(field(33), 2, "~")
    key = pl.when(part(other, 5) == "RI").then(part(other, 1))
    found = rows.select(
        pl.coalesce(key, "position").alias("relation_id"),
        "patient_id",
        relative.alias("relative_id"),
        word(part(field(3), 1), RELATION).alias("relation"),
    )
    unknown = found["relative_id"].null_count()
    if unknown:
        file.left["NK1: relatives without a patient number"] += unknown
    return found.filter(pl.col("relative_id").is_not_null()).unique("relation_id", keep="last", maintain_order=True)


def merged(file: Hl7File) -> pl.DataFrame:
    """Return `old` and `new` numbers of patients that a message merges."""
    rows = file.rows("MRG", events=MERGES)
    return rows.select(first(field(1)).alias("old"), pl.col("patient_id").alias("new")).drop_nulls()


def final_numbers(pairs: pl.DataFrame) -> dict[str, str]:
    """Return old number -> the one that holds at last, through any chain of merges."""
    known = {old: new for old, new in pairs.rows() if old != new}
    out = {}
    for old in known:
        seen, at = {old}, known[old]
        while at in known and at not in seen:
            seen.add(at)
            at = known[at]
        if at != old:
            out[old] = at
    return out
