"""What is charted of a patient: problems (PPR PC1, PC2), allergies (ADT A60), devices (ADT A08), and AL1, DG1, PR1.

The messages that end a visit list its allergies, diagnoses and procedures, as receivers of ADT expect. The whole of a
problem (onset, end, stage, state) stands in PRB, the whole of an allergy in IAM; DG1-20 and PR1-19 hold the same keys.
Z-segments carry what v2.5.1 has no place for: ZAL the reaction as a code, ZDV a device.

References
----------
HL7 Version 2.5.1, chapter 3: 3.4.6 (AL1), 3.4.7 (IAM); chapter 6: 6.5.2 (DG1), 6.5.4 (PR1); chapter 12: 12.4.2 (PRB).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ehrsatz.exporters.hl7v2.fields import ce, coded, dt, given, key, named, segment, stamp, tag, text, word
from ehrsatz.exporters.hl7v2.message import messages
from ehrsatz.exporters.hl7v2.visits import OUTSIDE, within
from ehrsatz.terminology.hl7v2 import ALLERGEN, LOCAL, SEVERITY

Fields = dict[int, pl.Expr | str]
CODE = ce(pl.col("code"), pl.col("display"), tag().fill_null(""))


def charted(tables: Mapping[str, pl.DataFrame], xcn: pl.DataFrame, visits: pl.DataFrame) -> pl.DataFrame:
    """Return patient_id, encounter_id, `chart` (AL1, DG1, PR1, in this order) and `moment`, the latest time."""
    number = pl.int_range(1, pl.len() + 1).over("patient_id", "encounter_id").cast(pl.String)
    al1: Fields = {
        1: number,
        2: coded(ALLERGEN, "category"),
        3: CODE,
        4: coded(SEVERITY, "severity"),
        5: pl.col("reaction_display"),
        6: dt("onset"),
    }
    dg1: Fields = {1: number, 3: _problem(), 5: stamp("recorded"), 6: "F", 20: key(pl.col("condition_id")), 21: "A"}
    minutes = ((pl.col("stop") - pl.col("start").dt.truncate("100us")).dt.total_microseconds() / 60e6).cast(pl.String)
    reason = given(pl.col("reason_code"), pl.col("reason_code"), "^^I10C")
    pr1: Fields = {
        1: number,
        3: CODE,
        5: stamp("start"),
        7: minutes.str.strip_suffix(".0"),
        12: pl.col("xcn"),
        15: reason,
        19: key(pl.col("procedure_id")),
        20: "A",
    }
    parts = (
        (tables["allergy"], segment("\rAL1", al1), "onset"),
        (tables["condition"], segment("\rDG1", dg1), "recorded"),
        (named(tables["procedure"], xcn), segment("\rPR1", pr1), "start"),
    )
    rows = [
        within(frame, visits, time).select("patient_id", "encounter_id", text_.alias("chart"), "moment")
        for frame, text_, time in parts
    ]
    return (
        pl.concat(rows)
        .group_by("patient_id", "encounter_id", maintain_order=True)
        .agg(pl.col("chart").str.join(""), pl.col("moment").max())
    )


def loose_charts(charts: pl.DataFrame, visits: pl.DataFrame) -> pl.DataFrame:
    """ADT A08 with the charts of visits that no message ends, or that have no visit."""
    ends = visits.filter(pl.col("stop").is_not_null())["encounter_id"]
    rest = charts.filter(~pl.col("encounter_id").is_in(ends.implode()).fill_null(False))
    rest = rest.join(visits.select("encounter_id", "pv1"), on="encounter_id", how="left", maintain_order="left")
    tail = text(pl.col("pv1").fill_null(OUTSIDE), pl.col("chart"))
    order = pl.coalesce("encounter_id", "patient_id")
    return messages(rest, "ADT^A08^ADT_A01", 62, time=pl.col("moment"), key=order, tail=tail, event=True)


def problems(tables: Mapping[str, pl.DataFrame], visits: pl.DataFrame) -> pl.DataFrame:
    """PPR PC1 when a condition is recorded, PC2 when it abates."""
    frame = within(tables["condition"], visits, "recorded").with_columns(
        pl.coalesce("recorded", "onset", "moment").alias("moment"), pl.col("abatement").is_not_null().alias("over")
    )
    yet = pl.when(pl.col("over") & (pl.col("status") == "resolved")).then(pl.lit("active")).otherwise(pl.col("status"))
    identity = {3: _problem(), 4: key(pl.col("condition_id"))}
    new: dict[int, pl.Expr | str] = {
        1: "AD",
        2: stamp("moment"),
        **identity,
        7: stamp("recorded"),
        13: given(yet, yet, f"^^{LOCAL}"),
        16: stamp("onset"),
    }
    stage = given(pl.col("stage"), f"\rOBX|1|ST|stage^Stage^{LOCAL}||", pl.col("stage"), "||||||F")
    end: dict[int, pl.Expr | str] = {
        1: "UP",
        2: stamp("abatement"),
        **identity,
        9: stamp("abatement"),
        13: word("status"),
    }
    number, pv1 = pl.col("condition_id"), pl.col("pv1")
    return pl.concat(
        [
            messages(
                frame,
                "PPR^PC1^PPR_PC1",
                24,
                time=pl.col("moment"),
                key=number,
                tail=text(pv1, segment("\rPRB", new), stage),
            ),
            messages(
                frame.filter("over"),
                "PPR^PC2^PPR_PC1",
                25,
                time=pl.max_horizontal("abatement", "moment"),
                key=number,
                tail=text(pv1, segment("\rPRB", end)),
            ),
        ]
    )


def _problem() -> pl.Expr:
    """A condition as CE: its code, and the SNOMED CT code as the alternate."""
    both = pl.any_horizontal(pl.col("snomed_code", "snomed_display").is_not_null())
    other = text("^", ce(pl.col("snomed_code"), pl.col("snomed_display"), "SCT"))
    whole = text(pl.col("code"), "^", pl.col("display"), "^", tag(), other)
    return pl.when(both).then(whole).otherwise(CODE)


def allergies(tables: Mapping[str, pl.DataFrame], visits: pl.DataFrame) -> pl.DataFrame:
    """ADT A60: an allergy with its number, and its onset to the minute in IAM-12."""
    frame = within(tables["allergy"], visits, "onset")
    iam: dict[int, pl.Expr | str] = {
        1: "1",
        2: coded(ALLERGEN, "category"),
        3: CODE,
        4: coded(SEVERITY, "severity"),
        5: pl.col("reaction_display"),
        6: "A^^HL70323",
        7: key(pl.col("allergy_id")),
        11: dt("onset"),
        12: stamp("onset"),
    }
    zal = given(pl.col("reaction_code"), "\rZAL|", pl.col("reaction_code"), "^^SCT")
    tail = text(pl.col("pv1"), segment("\rIAM", iam), zal)
    return messages(
        frame, "ADT^A60^ADT_A60", 26, time=pl.col("moment"), key=pl.col("allergy_id"), tail=tail, event=True
    )


def devices(tables: Mapping[str, pl.DataFrame], visits: pl.DataFrame) -> pl.DataFrame:
    """ADT A08 with ZDV: key, kind, start, stop, serial number; once more at the stop."""
    frame = within(tables["device"], visits, "start")
    number = pl.col("device_id")
    start: dict[int, pl.Expr | str] = {1: key(number), 2: CODE, 3: stamp("start"), 5: pl.col("serial")}
    stop: dict[int, pl.Expr | str] = {**start, 4: stamp("stop")}
    pv1 = pl.col("pv1").fill_null(OUTSIDE)
    return pl.concat(
        [
            messages(
                rows,
                "ADT^A08^ADT_A01",
                28,
                time=time,
                key=number,
                tail=text(pv1, segment("\rZDV", fields)),
                event=True,
            )
            for rows, fields, time in (
                (frame, start, pl.col("moment")),
                (frame.filter(pl.col("stop").is_not_null()), stop, pl.max_horizontal("stop", "moment")),
            )
        ]
    )
