"""Encounters out of PV1, PV2 and ADT events; locations, organizations and practitioners that messages name."""

from __future__ import annotations

import polars as pl

from ehrsatz.clinical import CLASSES
from ehrsatz.sources.hl7v2.fields import field, first, part, system, time, word
from ehrsatz.sources.hl7v2.file import Hl7File, people_of
from ehrsatz.terminology.hl7v2 import CLASS_OF, DISPOSITION

BEGINS = ("ADT^A01", "ADT^A04")
ENDS = ("ADT^A03",)


def encounters(file: Hl7File) -> list[pl.DataFrame]:
    """Return what PV1, PV2, ZPV and EVN say of visits, in parts that `p` orders."""
    keys = file.visits.rename({"PV1": "p"}).select("p", "part_of_id")
    every = file.rows("PV1").filter(pl.col("encounter_id").is_not_null())
    rows = every.unique(["patient_id", "encounter_id", "text"], keep="last", maintain_order=True)
    rows = rows.join(keys, on="p", how="left", maintain_order="left")
    named = field(18)
    kind = pl.when(named.is_in(CLASSES)).then(named).otherwise(field(2).replace_strict(CLASS_OF, default=None))
    who = pl.when("ours").then(field(7)).otherwise(pl.coalesce(field(7), field(17)))
    house = first(part(field(3), 4))
    told = rows.select(
        "p",
        "patient_id",
        "encounter_id",
        "part_of_id",
        people_of(who)[0],
        pl.coalesce(first(field(39)), pl.when(~pl.col("ours")).then(house)).alias("organization_id"),
        first(field(3)).alias("location_id"),
        kind.alias("class"),
        time(part(field(44), 1)).alias("start"),
        time(part(field(45), 1)).alias("stop"),
        word(field(36), DISPOSITION).alias("disposition"),
    )
    reason = part(field(3), 1, "~")
    pv2 = file.rows("PV2").select(
        "p",
        "patient_id",
        "encounter_id",
        part(reason, 1).alias("reason_code"),
        part(reason, 2).alias("reason_display"),
    )
    zpv = file.rows("ZPV").select(
        "p",
        "patient_id",
        "encounter_id",
        part(field(1), 1).alias("code"),
        part(field(1), 2).alias("display"),
        system(part(field(1), 3)).alias("system"),
    )
    parts = [told, pv2, zpv, *_events(file, every)]
    return [one.filter(pl.col("encounter_id").is_not_null()) for one in parts]


def _events(file: Hl7File, rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Start and stop of other makers' visits by the time of the event, where PV1 does not say them."""
    evn = file.plain("EVN").select("MSH", pl.coalesce(field(6), field(2)).alias("occurred"))
    rows = rows.filter(~pl.col("ours")).join(evn, on="MSH", how="left", maintain_order="left")
    occurred = time(part(pl.coalesce("occurred", "sent"), 1))
    out = []
    for events, at, name in ((BEGINS, 44, "start"), (ENDS, 45, "stop")):
        chosen = rows.filter(pl.col("event").is_in(events) & field(at).is_null())
        out.append(chosen.select("p", "patient_id", "encounter_id", occurred.alias(name)))
    return out


def appointments(file: Hl7File) -> pl.DataFrame:
    """Return the visits that messages of scheduling are about: counted where no other message tells of them."""
    rows = file.plain("SCH").select("MSH", first(pl.coalesce(field(2), field(1))).alias("number"))
    booked = file.plain("PV1").filter(pl.col("event").str.starts_with("SIU")).select("MSH", pl.col("p").alias("PV1"))
    booked = booked.join(file.visits, on="PV1", how="left")
    return rows.join(booked.unique("MSH"), on="MSH", how="left").select(
        pl.coalesce("encounter_id", "number").alias("number")
    )


def practitioners(file: Hl7File) -> pl.DataFrame:
    """Return the people that messages name, by number and name."""
    parts = []
    for name, places in (("PV1", (7, 8, 9, 17)), ("ORC", (12,)), ("OBR", (16,)), ("PR1", (11, 12)), ("RXA", (10,))):
        frame = file.plain(name)
        for place in places:
            cells = frame.select(field(place).alias("cell")).drop_nulls().unique(maintain_order=True)
            if cells.height:
                parts.append(cells.select(people_of(pl.col("cell"))))
    none = pl.DataFrame(schema=dict.fromkeys(("practitioner_id", "family_name", "given_name"), pl.String))
    return pl.concat([none, *parts]).drop_nulls("practitioner_id").unique("practitioner_id", maintain_order=True)


def places(file: Hl7File) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the locations and the organizations that PV1 names."""
    cells = (
        file.plain("PV1").select(field(3).alias("cell"), first(field(39)).alias("house")).unique(maintain_order=True)
    )
    locations = cells.select(
        first(pl.col("cell")).alias("location_id"),
        first(part(pl.col("cell"), 4)).alias("organization_id"),
        part(pl.col("cell"), 9).alias("name"),
    )
    houses = pl.concat([locations["organization_id"], cells["house"].rename("organization_id")])
    found = locations.drop_nulls("location_id").unique("location_id", keep="first", maintain_order=True)
    return found, houses.drop_nulls().unique(maintain_order=True).to_frame()
