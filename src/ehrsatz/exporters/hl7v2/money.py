"""Insurance and charges: ADT A08 with IN1 (coverage), DFT P03 (claims with their lines; payments).

The account (PID-18) of a DFT is the claim; PV1-41 holds its state and PV1-47 its total. A payment is up to three
transactions of one number: what the payer paid, what the patient paid, and what was written off.

References
----------
HL7 Version 2.5.1, chapter 6: 6.5.1 (FT1), 6.5.5 (GT1), 6.5.6 (IN1).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ehrsatz.exporters.hl7v2.fields import dt, ended, given, segment, stamp, tag, text, word
from ehrsatz.exporters.hl7v2.message import messages
from ehrsatz.exporters.hl7v2.visits import OUTSIDE, within
from ehrsatz.terminology.hl7v2 import LOCAL, SENDER

Fields = dict[int, pl.Expr | str]
ACCOUNT = given(pl.col("claim_id"), pl.col("claim_id"), f"^^^{SENDER}^AN")
PARTS = {"payer_part": "PY", "patient_part": "PY", "adjustment": "AJ"}  # table 0017


def insured(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the coverages with `in1` while they run and `in1_end` when they are over."""
    payers = tables["payer"].select("payer_id", pl.col("name").alias("payer"), pl.col("kind").alias("plan"))
    frame = tables["coverage"].join(payers, on="payer_id", how="left", maintain_order="left")
    fields: Fields = {
        1: "1",
        2: word("plan").fill_null(f"plan^^{LOCAL}"),
        3: given(pl.col("payer_id"), pl.col("payer_id"), f"^^^{SENDER}^XX").fill_null('""'),
        4: pl.col("payer"),
        12: dt("start"),
        17: "SEL^^HL70063",
        36: pl.col("coverage_id"),
        49: pl.col("member_number"),
    }
    return frame.with_columns(
        segment("\rIN1", fields).alias("in1"), segment("\rIN1", {**fields, 13: dt("stop")}).alias("in1_end")
    )


def coverages(frame: pl.DataFrame) -> pl.DataFrame:
    """ADT A08 when a coverage begins and when it ends."""
    out = []
    for rows, column, time, rank in (
        (frame, "in1", pl.col("start"), 4),
        (frame.filter(pl.col("stop").is_not_null()), "in1_end", pl.max_horizontal("start", "stop"), 3),
    ):
        tail = text(OUTSIDE, pl.col(column))
        out.append(
            messages(
                rows,
                "ADT^A08^ADT_A01",
                rank,
                time=time,
                key=pl.col("coverage_id"),
                tail=tail,
                full=True,
                event=True,
            )
        )
    return pl.concat(out)


def claims(tables: Mapping[str, pl.DataFrame], covered: pl.DataFrame, visits: pl.DataFrame) -> pl.DataFrame:
    """DFT P03: a claim with one FT1 per line, the guarantor and the coverage."""
    identity = ["patient_id", "encounter_id", "claim_id"]
    ft1: Fields = {
        1: pl.col("number"),
        2: pl.col("claim_line_id"),
        4: stamp("time").fill_null('""'),
        6: "CG",
        7: ended(text(pl.col("code"), "^^", tag()), "^"),
        10: "1",
        11: given(pl.col("amount"), pl.col("amount"), "&USD"),
        13: word("kind"),
    }
    lines = tables["claim_line"].select(*identity, segment("\rFT1", ft1).alias("ft1"), pl.col("time").alias("charged"))
    lines = lines.group_by(identity, maintain_order=True).agg(pl.col("ft1").str.join(""), pl.col("charged").max())
    whole = tables["claim"].with_columns(pl.lit(True).alias("claimed"))
    frame = whole.join(lines, on=identity, how="full", coalesce=True, nulls_equal=True)
    frame = frame.join(covered.select("coverage_id", "in1"), on="coverage_id", how="left")
    frame = frame.join(_guarantors(tables), on="patient_id", how="left")
    frame = within(frame.with_columns(pl.coalesce("time", "charged").alias("at")), visits, "at")
    frame = frame.join(visits.select("encounter_id", "before", "after", "stay"), on="encounter_id", how="left")
    claimed = pl.col("claimed").fill_null(False)
    empty = text("\rFT1||||", stamp("moment").fill_null('""'), f"||CG|none^^{LOCAL}")
    tail = text(_pv1(pl.col("status"), pl.col("total")), pl.col("ft1").fill_null(empty), pl.col("gt1"), pl.col("in1"))
    only = given(pl.col("claim_id"), pl.col("claim_id"), f"^^^{SENDER}")  # of lines apart from their claim
    order = pl.when(claimed).then("claim_id").otherwise(text("~", pl.col("claim_id"), pl.col("encounter_id")))
    return messages(
        frame,
        "DFT^P03^DFT_P03",
        70,
        time=pl.col("moment"),
        key=order,
        tail=tail,
        event=True,
        occurred=stamp("time"),
        account=pl.when(claimed).then(ACCOUNT).otherwise(only),
    )


def _pv1(status: pl.Expr, total: pl.Expr) -> pl.Expr:
    """PV1 of a DFT: the visit, the state of the account and its total."""
    before = text(pl.col("before"), "|||", pl.col("after"))
    known = pl.when(pl.col("before").is_not_null()).then(before).otherwise(pl.lit(OUTSIDE + "|" * 17))
    return ended(text(known, "|" * 22, status, "|" * 6, total, "|" * 3, pl.col("stay")))


def _guarantors(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Patients as their own guarantors."""
    name = ended(text(pl.col("family_name"), "^", pl.col("given_name")), "^")
    named = pl.when(name != "").then(name).otherwise(pl.lit("^^^^^^U"))
    gt1 = segment("\rGT1", {1: "1", 3: named, 11: "SEL^^HL70063"})
    return tables["patient"].select("patient_id", gt1.alias("gt1"))


def payments(tables: Mapping[str, pl.DataFrame], visits: pl.DataFrame) -> pl.DataFrame:
    """DFT P03: a payment, each of its parts a transaction."""
    frame = within(tables["payment"], visits, "time")
    known = pl.any_horizontal(pl.col(*PARTS).is_not_null())
    time = stamp("time").fill_null('""')
    each = [
        given(
            pl.col(name),
            "\rFT1||",
            pl.col("payment_id"),
            "||",
            time,
            f"||{kind}|{name}^^{LOCAL}||||",
            pl.col(name),
            "&USD",
        )
        for name, kind in PARTS.items()
    ]
    none = pl.when(~known).then(text("\rFT1||", pl.col("payment_id"), "||", time, f"||PY|none^^{LOCAL}"))
    tail = text(pl.col("pv1").fill_null(OUTSIDE), *each, none)
    return messages(
        frame,
        "DFT^P03^DFT_P03",
        72,
        time=pl.col("moment"),
        key=pl.col("payment_id"),
        tail=tail,
        event=True,
        account=ACCOUNT,
    )
