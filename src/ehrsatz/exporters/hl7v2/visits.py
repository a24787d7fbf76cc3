"""Visits: what stands in PV1, and the messages about them (ADT A01, A02, A03, A04, A08; SIU S12).

A stay that is part of a larger visit, as of intensive care within an admission, bears the larger visit's number in
PV1-19 and its own in PV1-50; it begins and ends with a transfer (A02). Visits that are booked (check-ups, office and
video visits) have an appointment some days before.

References
----------
HL7 Version 2.5.1, chapter 3: 3.4.3 (PV1), 3.4.4 (PV2); chapter 10 (SIU, SCH, AIS, AIL, AIP).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ehrsatz.exporters.hl7v2.fields import ce, coded, ended, given, named, segment, stamp, tag, text, ts
from ehrsatz.exporters.hl7v2.message import messages
from ehrsatz.terminology.hl7v2 import DISPOSITION, PATIENT_CLASS, PLACE, SENDER, STAY

BOOKED = ("wellness", "ambulatory", "virtual")
WARDS = ("inpatient", "icu")
OUTSIDE = "\rPV1|1|N"  # a visit of no kind, where a message needs one


def visits(tables: Mapping[str, pl.DataFrame], people: pl.DataFrame, xcn: pl.DataFrame) -> pl.DataFrame:
    """Return the encounters with the parts of their PV1.

    Parameters
    ----------
    tables
        Escaped.
    people
        As `identities` returns them.
    xcn
        Practitioners.

    Returns
    -------
    One row per encounter: its columns, `xcn`, `pl`, `parent_pl`, `parent_until`, `middle` (PV1-2 to PV1-19), `rest`
    (the fields from PV1-20 to PV1-50, where only the last is set), `pv1` (of messages about other things), `begin` and
    `until` (moments to order by), `moved` (whether it is part of a visit in a ward).
    """
    kinds = tables["location"].select("location_id", "kind", pl.col("organization_id").alias("facility"))
    frame = named(tables["encounter"], xcn).join(kinds, on="location_id", how="left", maintain_order="left")
    place = text(pl.col("location_id"), "^^^", pl.col("facility"), "^^", coded(PLACE, "kind"))
    frame = frame.with_columns(
        ended(place, "^").alias("pl"), pl.col("location_id").is_not_null().alias("placed")
    ).with_columns(pl.when("placed").then("pl").fill_null("").alias("pl"))
    parents = frame.select(
        pl.col("encounter_id").alias("part_of_id"),
        pl.col("pl").alias("parent_pl"),
        pl.col("stop").alias("parent_until"),
        pl.col("class").is_in(WARDS).alias("parent_ward"),
        pl.col("xcn").alias("parent_xcn"),
        pl.col("class").alias("parent_class"),
    )
    frame = frame.join(parents, on="part_of_id", how="left", maintain_order="left")
    born = people.select("patient_id", "born")
    frame = frame.join(born, on="patient_id", how="left", maintain_order="left")
    number = pl.coalesce("part_of_id", "encounter_id")
    number = text(number, f"^^^{SENDER}^VN")
    stay = given(pl.col("part_of_id"), pl.col("encounter_id"), f"^^^{STAY}^VN").fill_null("")
    before = text("\rPV1|1|", coded(PATIENT_CLASS, "class").fill_null("U"), "|", pl.col("pl"))
    after = text("|", pl.col("xcn"), "|" * 11, pl.col("class"), "|", number)
    return frame.with_columns(
        before.alias("before"),
        after.alias("after"),
        stay.alias("stay"),
        ended(text(before, "|" * 3, after, "|" * 31, stay)).alias("pv1"),
        pl.coalesce("start", "stop", "born").alias("begin"),
        pl.coalesce("stop", "start", "born").alias("until"),
        (pl.col("parent_ward").fill_null(False) & pl.col("class").eq("icu").fill_null(False)).alias("moved"),
    )


def within(frame: pl.DataFrame, visits: pl.DataFrame, time: str) -> pl.DataFrame:
    """Add to rows the `pv1` and the `until` of their visit, and `moment`: their time, else the visit's begin."""
    parts = visits.select("encounter_id", "pv1", "begin", "until")
    joined = frame.join(parts, on="encounter_id", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce(time, "begin").alias("moment"))


def _pv1(*, prior: pl.Expr | str = "", leave: bool = False) -> pl.Expr:
    """Return PV1 of an ADT message, with the start, and where they leave the end."""
    prior = text(f"{'|' * 3}", prior)
    left = coded(DISPOSITION, "disposition")
    left = left if leave else pl.when(pl.col("stop").is_null()).then(left)  # no message will end it
    middle: list[pl.Expr | str] = ["|" * 17, left, "|" * 3]
    stop = stamp("stop") if leave else pl.lit("")
    parts = [pl.col("before"), prior, pl.col("after"), *middle, pl.col("organization_id"), "|" * 5, stamp("start")]
    return ended(text(*parts, "|", stop, "|" * 5, pl.col("stay")))


def openings(frame: pl.DataFrame) -> pl.DataFrame:
    """Messages that begin a visit: A01, A04, A02 into a stay; A08 where its start is not known."""
    reason = ce(pl.col("reason_code"), pl.col("reason_display"), "I10C")
    reasoned = pl.col("reason_code").is_not_null() | pl.col("reason_display").is_not_null()
    pv2 = pl.when(reasoned).then(text("\rPV2|||", reason))
    kind = ce(pl.col("code"), pl.col("display"), tag().fill_null(""))
    kinded = pl.any_horizontal(pl.col("code", "display", "system").is_not_null())
    zpv = pl.when(kinded).then(text("\rZPV|", kind))
    begun = pl.col("start").is_not_null()
    ward = pl.col("class").is_in(WARDS).fill_null(False)
    out = []
    for rows, type_, rank, prior in (
        (begun & pl.col("moved"), "ADT^A02^ADT_A02", 12, pl.col("parent_pl")),
        (begun & ward & ~pl.col("moved"), "ADT^A01^ADT_A01", 10, ""),
        (begun & ~ward, "ADT^A04^ADT_A01", 10, ""),
        (~begun, "ADT^A08^ADT_A01", 10, ""),
    ):
        tail = text(_pv1(prior=prior), pv2, zpv)
        key = pl.col("encounter_id")
        out.append(
            messages(frame.filter(rows), type_, rank, time=pl.col("begin"), key=key, tail=tail, full=True, event=True)
        )
    return pl.concat(out)


def endings(frame: pl.DataFrame, charts: pl.DataFrame) -> pl.DataFrame:
    """Messages that end a visit, with what was charted in it: A03; of a stay within another A08, then A02 out of it.

    Parameters
    ----------
    frame
        Encounters, as `visits` returns them.
    charts
        encounter_id, `chart`: AL1, DG1 and PR1 segments.
    """
    over = frame.filter(pl.col("stop").is_not_null())
    over = over.join(charts, on="encounter_id", how="left", maintain_order="left")
    tail = text(_pv1(leave=True), pl.col("chart"))
    key, time = pl.col("encounter_id"), pl.col("stop")
    moved = pl.col("moved")
    left = messages(over.filter(~moved), "ADT^A03^ADT_A03", 60, time=time, key=key, tail=tail, event=True)
    stayed = messages(over.filter(moved), "ADT^A08^ADT_A01", 58, time=time, key=key, tail=tail, event=True)
    back = over.filter(moved & (pl.col("parent_until").is_null() | (pl.col("parent_until") > pl.col("stop"))))
    pv1 = text(
        "\rPV1|1|",
        coded(PATIENT_CLASS, "parent_class"),
        "|",
        pl.col("parent_pl"),
        "|||",
        pl.col("pl"),
        "|",
        pl.col("parent_xcn"),
        "|" * 11,
        pl.col("parent_class"),
        "|",
        pl.col("part_of_id"),
        f"^^^{SENDER}^VN",
    )
    out = messages(back, "ADT^A02^ADT_A02", 59, time=time, key=key, tail=pv1, event=True)
    return pl.concat([left, stayed, out])


def appointments(frame: pl.DataFrame) -> pl.DataFrame:
    """SIU S12 of the visits that are booked, 3 to 28 days before; the day follows from the minute of the start."""
    booked = frame.filter(
        pl.col("class").is_in(BOOKED) & pl.col("start").is_not_null() & pl.col("part_of_id").is_null()
    )
    ahead = pl.duration(days=3 + (pl.col("start").dt.epoch("s") // 60) % 26, minutes=pl.col("start").dt.minute())
    time = pl.max_horizontal(pl.col("start") - ahead, pl.col("born"))
    start, stop = ts("start"), stamp("stop")
    minutes = (pl.col("stop") - pl.col("start")).dt.total_minutes().cast(pl.String)
    number = text(pl.col("encounter_id"), f"^{SENDER}")
    reason = (
        pl.when(pl.col("class") == "wellness").then(pl.lit("CHECKUP^^HL70276")).otherwise(pl.lit("ROUTINE^^HL70276"))
    )
    who = pl.col("xcn").fill_null("UNKNOWN")
    sch = segment(
        "\rSCH",
        {
            1: number,
            2: number,
            6: "BOOKED^^99EHS",
            7: reason,
            8: "NORMAL^^HL70277",
            9: minutes,
            10: given(minutes, "min^^UCUM"),
            11: ended(text("^^^", start, "^", stop), "^"),
            16: who,
            20: who,
            25: "Booked^^HL70278",
        },
    )
    service = pl.when(pl.col("code").is_not_null()).then(ce(pl.col("code"), pl.col("display"), tag().fill_null("")))
    ais = segment("\rAIS", {1: "1", 2: "A", 3: service.fill_null("VISIT^^99EHS"), 4: start, 7: minutes})
    ail = pl.when(pl.col("pl") != "").then(text("\rAIL|1|A|", pl.col("pl")))
    aip = given(pl.col("xcn"), "\rAIP|1|A|", pl.col("xcn"))
    tail = text(pl.col("pv1"), "\rRGS|1|A", ais, ail, aip)
    return messages(booked, "SIU^S12^SIU_S12", 2, time=time, key=pl.col("encounter_id"), head=sch, tail=tail)
