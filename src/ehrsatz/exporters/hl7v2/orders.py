"""Orders, results and reports: OML O21, ORM O01, ORU R01, MDM T02.

Results that belong together (one order or none, one time, one category) are one ORU with one OBR; OBX-4 holds the key
of the observation, OBR-20 the category. An order is completed by its results; others by a message when the visit ends.

References
----------
HL7 Version 2.5.1, chapter 4: 4.5.1 (ORC), 4.5.3 (OBR); chapter 7: 7.4.2 (OBX); chapter 9: 9.6.1 (TXA).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ehrsatz.exporters.hl7v2.fields import ce, coded, given, key, named, segment, stamp, tag, text
from ehrsatz.exporters.hl7v2.message import messages
from ehrsatz.exporters.hl7v2.visits import OUTSIDE, within
from ehrsatz.terminology.hl7v2 import DOCUMENT, INTERPRETATION, LOCAL, ORDER_STATUS, PANEL, SECTION

IDENTITY = ["patient_id", "encounter_id", "order_id", "time", "category"]  # of a group of results
NUMBER = pl.col("number")
LONGEST = 199  # characters of type ST
Fields = dict[int, pl.Expr | str]


def ordered(tables: Mapping[str, pl.DataFrame], xcn: pl.DataFrame) -> pl.DataFrame:
    """Return the orders as their results name them: order_id, `service` (OBR-4), `xcn`, `state` (ORC-5)."""
    frame = named(tables["order"], xcn)
    service = ce(pl.col("code"), pl.col("display"), tag().fill_null(""))
    return frame.select(
        "order_id", service.alias("service"), "xcn", coded(ORDER_STATUS, "status").alias("state"), "kind"
    )


def orders(tables: Mapping[str, pl.DataFrame], known: pl.DataFrame, visits: pl.DataFrame) -> pl.DataFrame:
    """OML O21 of laboratory orders, ORM O01 of others; once more where an order ends without a result."""
    frame = tables["order"].drop("kind").join(known, on="order_id", how="left", maintain_order="left")
    frame = within(frame, visits, "time")
    new: Fields = {1: "NW", 2: key(pl.col("order_id")), 5: "SC", 9: stamp("time"), 12: pl.col("xcn")}
    end: Fields = {
        **new,
        1: pl.when(pl.col("state") == "CA").then(pl.lit("CA")).otherwise(pl.lit("SC")),
        5: pl.col("state"),
    }
    reason = given(pl.col("reason_code"), pl.col("reason_code"), "^^I10C")
    section = coded(SECTION, "kind")
    obr: Fields = {1: "1", 2: key(pl.col("order_id")), 4: pl.col("service"), 16: pl.col("xcn"), 24: section, 31: reason}
    results = [tables[name]["order_id"].drop_nulls() for name in ("observation", "report")]
    answered = pl.col("order_id").is_in(pl.concat(results).unique().implode())
    ended = frame.filter(pl.col("state").is_not_null() & ~answered)
    laboratory = pl.col("kind").eq("laboratory").fill_null(False)
    out = []
    for rows, orc, rank, time in (
        (frame, new, 20, pl.col("moment")),
        (ended, end, 22, pl.max_horizontal("moment", pl.coalesce("until", "moment"))),
    ):
        tail = text(pl.col("pv1"), segment("\rORC", orc), segment("\rOBR", obr))
        for chosen, kind in ((laboratory, "OML^O21^OML_O21"), (~laboratory, "ORM^O01^ORM_O01")):
            out.append(messages(rows.filter(chosen), kind, rank, time=time, key=pl.col("order_id"), tail=tail))
    return pl.concat(out)


def results(tables: Mapping[str, pl.DataFrame], known: pl.DataFrame, visits: pl.DataFrame) -> pl.DataFrame:
    """ORU R01, one per group of results."""
    frame = tables["observation"]
    grouped = frame.select(
        *IDENTITY,
        pl.col("observation_id").alias("number"),
        _obx().alias("tail"),
    )
    groups = grouped.group_by(IDENTITY, maintain_order=True).agg(pl.col("number").first(), pl.col("tail").str.join(""))
    groups = groups.join(known, on="order_id", how="left", maintain_order="left")
    groups = within(groups, visits, "time")
    panel = {one: f"{code}^{title}^LN" for one, (code, title, _) in PANEL.items()}
    sections = {one: section for one, (_, _, section) in PANEL.items()}
    service = pl.coalesce("service", coded(panel, "category"), pl.lit(f"RESULT^^{LOCAL}"))
    orc: Fields = {1: "RE", 2: key(pl.col("order_id")), 3: key(NUMBER), 5: pl.col("state"), 12: pl.col("xcn")}
    time = stamp("time")
    obr: Fields = {
        1: "1",
        2: key(pl.col("order_id")),
        3: key(NUMBER),
        4: service,
        7: time,
        16: pl.col("xcn"),
        20: pl.col("category"),
        22: time,
        24: coded(sections, "category"),
        25: "F",
    }
    tail = text(pl.col("pv1"), segment("\rORC", orc), segment("\rOBR", obr), pl.col("tail"))
    return messages(groups, "ORU^R01^ORU_R01", 30, time=pl.col("moment"), key=NUMBER, tail=tail)


def _obx() -> pl.Expr:
    """OBX of an observation; where it has a number and a text, the text follows as a note."""
    value, words = pl.col("value"), pl.col("text_value")
    number = pl.int_range(1, pl.len() + 1).over(IDENTITY).cast(pl.String)
    short = words.str.len_chars() <= LONGEST
    kind = pl.when(value.is_not_null()).then(pl.lit("NM")).when(short).then(pl.lit("ST"))
    kind = kind.when(words.is_not_null()).then(pl.lit("FT"))
    low, high = pl.col("low"), pl.col("high")
    bounds = (
        pl.when(low.is_not_null() & high.is_not_null())
        .then(text(low, "-", high))
        .when(low.is_not_null())
        .then(text(">", low))
        .when(high.is_not_null())
        .then(text("<", high))
    )
    fields: dict[int, pl.Expr | str] = {
        1: number,
        2: kind,
        3: ce(pl.col("code"), pl.col("display"), tag().fill_null("")),
        4: pl.col("observation_id"),
        5: pl.coalesce(value, words),
        6: given(pl.col("unit"), pl.col("unit"), "^^UCUM"),
        7: bounds,
        8: coded(INTERPRETATION, "interpretation"),
        11: pl.when(kind.is_null()).then(pl.lit("X")).otherwise(pl.lit("F")),
    }
    note = pl.when(value.is_not_null() & words.is_not_null()).then(text("\rNTE|1|L|", words))
    return text(segment("\rOBX", fields), note)


def reports(tables: Mapping[str, pl.DataFrame], known: pl.DataFrame, visits: pl.DataFrame) -> pl.DataFrame:
    """MDM T02: a report with its text; the modality stands in OBR-24, the part of the body in OBR-15."""
    frame = tables["report"].rename({"kind": "document"}).join(known, on="order_id", how="left", maintain_order="left")
    frame = within(frame, visits, "time").with_columns(pl.col("document").alias("kind"))
    time = stamp("time")
    orc: Fields = {
        1: "RE",
        2: key(pl.col("order_id")),
        3: key(pl.col("report_id")),
        5: pl.col("state"),
        12: pl.col("xcn"),
    }
    obr: Fields = {
        1: "1",
        2: key(pl.col("order_id")),
        3: key(pl.col("report_id")),
        4: pl.col("service").fill_null(f"REPORT^^{LOCAL}"),
        7: time,
        15: given(pl.col("body_site"), "^^^&", pl.col("body_site")),
        16: pl.col("xcn"),
        24: pl.col("modality"),
        25: "F",
    }
    txa: Fields = {
        1: "1",
        2: coded(DOCUMENT, "kind").fill_null("OT"),
        3: "FT",
        4: time,
        12: key(pl.col("report_id")),
        14: key(pl.col("order_id")),
        17: "AU",
    }
    obx: Fields = {1: "1", 2: "FT", 3: text("REPORT^", pl.col("display"), f"^{LOCAL}"), 5: pl.col("text"), 11: "F"}
    segments = (segment("\rORC", orc), segment("\rOBR", obr), segment("\rTXA", txa), segment("\rOBX", obx))
    tail = text(pl.col("pv1").fill_null(OUTSIDE), *segments)
    return messages(frame, "MDM^T02^MDM_T02", 32, time=pl.col("moment"), key=pl.col("report_id"), tail=tail, event=True)
