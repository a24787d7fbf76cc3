"""Orders, results and reports out of ORC, OBR, OBX, NTE and TXA."""

from __future__ import annotations

import polars as pl

from ehrsatz.clinical import CATEGORIES
from ehrsatz.sources.hl7v2.fields import field, first, known, number, part, time, with_codes, word
from ehrsatz.sources.hl7v2.file import Hl7File, people_of
from ehrsatz.sources.hl7v2.people import is_attribute
from ehrsatz.terminology.hl7v2 import DOCUMENT, INTERPRETATION, ORDER_STATUS, SECTION, turned

LABORATORY = ("LAB", "CH", "HM", "MB", "BLB", "CP", "IMM", "MCB", "MYC", "SR", "TX", "VR", "BG")  # table 0074
IMAGING = ("IMG", "RAD", "CT", "NMR", "RUS", "OUS", "VUS", "NMS", "XRC", "RX", "CUS", "EC", "MR", "US", "XR")
NUMERIC = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
OTHERS = ("SIU", "MDM", "VXU", "PPR", "PGL", "PPP", "RDE", "MFN")  # where an OBX is no result of its own
TEXTS = ("TX", "FT")


def orders(file: Hl7File) -> tuple[list[pl.DataFrame], pl.DataFrame]:
    """Return what ORM and OML say of orders, in parts that `p` orders, and orders that results alone tell of."""
    obr = _requests(file, ("ORM", "OML", "OMG", "OMI", "ORU", "MDM", "OUL"))
    asked = obr.filter(~pl.col("event").str.contains("^(ORU|MDM|OUL)"))
    status = word(pl.col("state"), ORDER_STATUS)
    status = pl.when(status.is_in(list(ORDER_STATUS))).then(status)
    section = pl.col("section")
    kind = pl.coalesce(
        section.replace_strict(turned(SECTION), default=None),
        pl.when(section.is_in(LABORATORY) | pl.col("event").str.starts_with("OML")).then(pl.lit("laboratory")),
        pl.when(section.is_in(IMAGING) | pl.col("event").str.starts_with("OMI")).then(pl.lit("imaging")),
    )
    told = asked.select(
        "p",
        "patient_id",
        "encounter_id",
        "order_id",
        "practitioner_id",
        pl.col("asked").alias("time"),
        kind.alias("kind"),
        "system",
        "code",
        "display",
        "reason_code",
        status.alias("status"),
    )
    done = obr.select("p", "order_id", status.alias("status")).drop_nulls()
    only = obr.filter(~pl.col("ours") & pl.col("event").str.contains("^(ORU|MDM|OUL)"))
    only = only.select(
        "p",
        "patient_id",
        "encounter_id",
        "order_id",
        "practitioner_id",
        pl.coalesce("asked", "observed").alias("time"),
        kind.alias("kind"),
        "system",
        "code",
        "display",
        "reason_code",
        pl.when(pl.col("result").is_in(("F", "C"))).then(pl.lit("completed")).alias("status"),
    )
    return [told.drop_nulls("order_id"), done], only.drop_nulls("order_id")


def _requests(file: Hl7File, events: tuple[str, ...]) -> pl.DataFrame:
    """OBR segments with the ORC before them: `OBR` (its number) and what they say."""
    orc = file.plain("ORC").select(
        pl.col("p").alias("ORC"),
        first(field(2)).alias("placer"),
        first(field(3)).alias("filler"),
        part(field(5), 1).alias("state"),
        time(part(field(9), 1)).alias("at"),
        field(12).alias("who"),
    )
    obr = with_codes(file.rows("OBR", events=events), field(4)).join(orc, on="ORC", how="left", maintain_order="left")
    number_ = pl.coalesce(first(field(2)), "placer")
    other = pl.when(~pl.col("ours")).then(pl.coalesce(first(field(3)), "filler"))
    return obr.select(
        "p",
        "ours",
        "event",
        "position",
        "patient_id",
        "encounter_id",
        pl.coalesce(number_, other).alias("order_id"),
        first(pl.coalesce(field(3), "filler")).alias("filler"),
        people_of(pl.coalesce("who", field(16)))[0],
        pl.coalesce("at", time(part(field(6), 1))).alias("asked"),
        time(part(pl.coalesce(field(7), pl.when(~pl.col("ours")).then(field(22))), 1)).alias("observed"),
        "code",
        "display",
        "system",
        part(field(31), 1).alias("reason_code"),
        "state",
        field(24).alias("section"),
        field(25).alias("result"),
        field(20).alias("filled"),
        field(15).alias("specimen"),
    )


def observations(file: Hl7File) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return results, and reports that come as text in ORU."""
    obr = _requests(file, ("ORU", "OUL", "ORM", "OML", "OMG")).select(
        pl.col("p").alias("OBR"),
        "order_id",
        "observed",
        "section",
        "filled",
        "filler",
        pl.col("display").alias("title"),
    )
    rows = file.rows("OBX", but=OTHERS).filter(~is_attribute() | ~pl.col("event").str.starts_with("ADT"))
    rows = rows.join(obr, on="OBR", how="left", maintain_order="left")
    imaging = pl.col("section").is_in(IMAGING).fill_null(False) & ~pl.col("ours")
    narrative = imaging & field(2).is_in(TEXTS).fill_null(False)
    texts, rows = rows.filter(narrative), rows.filter(~narrative)
    notes = _notes(file)
    rows = rows.with_columns(pl.col("p").alias("OBX")).join(notes, on="OBX", how="left", maintain_order="left")
    kind = field(2).fill_null("")
    plain, numeric = field(5), number(field(5))
    structured = pl.when(kind == "SN").then(_structured())
    value = pl.when(kind == "NM").then(numeric).otherwise(structured)
    code = pl.col("filled")
    category = pl.coalesce(
        pl.when(code.is_in(CATEGORIES)).then(code),
        pl.when(~pl.col("ours") & pl.col("section").is_in(LABORATORY)).then(pl.lit("laboratory")),
        pl.when(~pl.col("ours") & pl.col("section").is_in(IMAGING)).then(pl.lit("imaging")),
    )
    said = (
        pl.when(kind.is_in(("CE", "CWE", "CNE", "CF")))
        .then(pl.coalesce(part(plain, 2), part(plain, 1)))
        .when(pl.col("ours"))
        .then(plain)
        .otherwise(plain.str.replace_all("~", ", ", literal=True))
    )
    words = pl.when(value.is_null()).then(said).otherwise("note")
    low, high = _range(field(7), ">"), _range(field(7), "<")
    attached = rows.filter(kind.is_in(("ED", "RP")))
    if attached.height:
        file.left["OBX-5 of types ED and RP"] += attached.height
    rows = with_codes(rows.filter(~kind.is_in(("ED", "RP"))), field(3))
    found = rows.select(
        "p",
        _key(rows).alias("observation_id"),
        "patient_id",
        "encounter_id",
        "order_id",
        pl.coalesce(
            time(part(field(14), 1)), "observed", pl.when(~pl.col("ours")).then(time(part(pl.col("sent"), 1)))
        ).alias("time"),
        category.alias("category"),
        "code",
        "display",
        "system",
        value.alias("value"),
        words.alias("text_value"),
        part(field(6), 1).alias("unit"),
        low.alias("low"),
        high.alias("high"),
        word(part(field(8), 1, "~"), INTERPRETATION).alias("interpretation"),
    )
    return found.unique("observation_id", keep="last", maintain_order=True), _narratives(texts)


def _key(rows: pl.DataFrame) -> pl.Expr:
    """Our OBX-4; of other makers the result's number with the code, so that a corrected result replaces the former."""
    if rows["ours"].all() and not rows.select(field(4).is_null().any()).item():
        return field(4)
    copy = pl.int_range(pl.len()).over("MSH", "OBR", field(3), field(4)).cast(pl.String)
    same = pl.concat_str(pl.col("filler"), first(field(3)), field(4).fill_null(""), copy, separator="/")
    return pl.when(pl.col("ours") & field(4).is_not_null()).then(field(4)).otherwise(pl.coalesce(same, "position"))


def _structured() -> pl.Expr:
    """Type SN where it is one number; null where it is a bound or a ratio."""
    alone = part(field(5), 1).fill_null("=") == "="
    return pl.when(alone & part(field(5), 3).is_null()).then(number(part(field(5), 2)))


def _range(cell: pl.Expr, sign: str) -> pl.Expr:
    """One end of a reference range: 'low-high', '>low', '<high'."""
    both = cell.str.extract(f"^({NUMERIC})\\s*-\\s*{NUMERIC}$" if sign == ">" else f"^{NUMERIC}\\s*-\\s*({NUMERIC})$")
    return number(pl.coalesce(both, cell.str.extract(f"^{sign}=?\\s*({NUMERIC})$")))


def _notes(file: Hl7File) -> pl.DataFrame:
    """Return `OBX` (the number of the segment) -> text of the notes right after it."""
    frame = file.whole.select("p", "name", "f", "MSH")
    anchor = pl.when(pl.col("name") != "NTE").then(pl.struct("p", "name")).forward_fill()
    notes = frame.with_columns(anchor.alias("after")).filter(pl.col("name") == "NTE")
    notes = notes.select(
        pl.col("after").struct.field("p").alias("OBX"),
        pl.col("after").struct.field("name").alias("kind"),
        field(3).alias("note"),
    )
    others = notes.filter(pl.col("kind") != "OBX").height
    if others:
        file.left["NTE: notes on other segments than OBX"] += others
    joined = notes.filter(pl.col("kind") == "OBX").drop_nulls("note")
    return joined.group_by("OBX", maintain_order=True).agg(pl.col("note").str.join("\n"))


def _narratives(rows: pl.DataFrame) -> pl.DataFrame:
    """Reports of other makers: the lines of text under one OBR of imaging."""
    return (
        rows.group_by("OBR", maintain_order=True)
        .agg(
            pl.coalesce("filler", "position").first().alias("report_id"),
            pl.col("patient_id").first(),
            pl.col("encounter_id").first(),
            pl.col("order_id").first(),
            pl.col("observed").first().alias("time"),
            pl.lit("imaging").first().alias("kind"),
            pl.col("title").first().alias("display"),
            field(5).fill_null("").str.replace_all("~", "\n", literal=True).str.join("\n").alias("text"),
        )
        .drop("OBR")
    )


def reports(file: Hl7File) -> pl.DataFrame:
    """Return reports out of MDM: TXA, the OBR before it, and the text of the OBX after it."""
    obr = _requests(file, ("MDM",)).select(
        pl.col("p").alias("OBR"), "order_id", "section", "specimen", pl.col("display").alias("service")
    )
    lines = (
        file.rows("OBX", events=("MDM",))
        .group_by("TXA", maintain_order=True)
        .agg(
            part(field(3), 1).first().alias("code"),
            part(field(3), 2).first().alias("title"),
            field(5).fill_null("").str.join("\n").alias("lines"),
        )
    )
    rows = file.rows("TXA", events=("MDM",)).join(obr, on="OBR", how="left", maintain_order="left")
    rows = rows.with_columns(pl.col("p").alias("TXA")).join(lines, on="TXA", how="left", maintain_order="left")
    mine = pl.col("ours")
    kind = word(field(2), DOCUMENT)
    site = pl.coalesce(part(part(pl.col("specimen"), 4), 2, "&"), first(part(pl.col("specimen"), 4)))
    return rows.select(
        first(field(12)).fill_null(pl.col("position")).alias("report_id"),
        "patient_id",
        "encounter_id",
        pl.coalesce("order_id", first(field(14))).alias("order_id"),
        time(part(pl.coalesce(field(4), field(6)), 1)).alias("time"),
        pl.when(kind.is_in(list(DOCUMENT))).then(kind).alias("kind"),
        pl.when(mine | (kind == "imaging")).then("section").alias("modality"),
        site.alias("body_site"),
        pl.coalesce("title", pl.when(~mine).then("service")).alias("display"),
        known(pl.col("lines")).alias("text"),
    ).unique("report_id", keep="last", maintain_order=True)
