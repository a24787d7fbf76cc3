"""835: one transaction per payer, payee and day, with every claim that the payer settled then.

Each claim balances: what was charged less what was paid is told as adjustments, the contractual one (CO 45), what the
patient owes (PR), and what other remittances of the same claim settled (OA 23). There are no payments of lines in the
record, so there are no SVC loops.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ehrsatz.exporters.x12.claims import known, patient_name, settled
from ehrsatz.exporters.x12.segments import (
    amount,
    clean,
    day,
    fits,
    given,
    interchange,
    npi,
    plain,
    segment,
    tax,
    transaction,
)
from ehrsatz.layouts.x12 import NO_NAME, NO_TIME, PLACES, REMITTANCE, REMITTED, SENDER

PAYEE = ["(payer)", "(house)", "(day)"]


def remits(tables: Mapping[str, pl.DataFrame], first: int) -> str:
    """Return the interchanges with all remittances, one per payer; empty where there are none."""
    paid = tables["payment"].filter(settled() & fits("payment_id", "payment"))
    whole = known(tables).drop("patient_id", "encounter_id").rename({"time": "(claimed)"})
    rows = paid.join(whole, on="claim_id", maintain_order="left")
    if not rows.height:
        return ""
    said = rows.with_columns(day("time").fill_null(NO_TIME).alias("(day)"), *_shares())
    ordered = said.with_columns(_claim().alias("(claim)")).sort("(payer)", "(house)", "(day)", maintain_order=True)
    payees = ordered.group_by(PAYEE, maintain_order=True).agg(
        pl.col("(claim)").str.join(""),
        pl.col("payer_part").sum().round(2),
        pl.all().exclude("(claim)", "payer_part").first(),
    )
    number = (pl.int_range(pl.len()).over("(payer)") + 1).cast(pl.String).str.pad_start(4, "0")
    body = payees.with_columns(pl.concat_str(_head(number, first), pl.col("(claim)")).alias("(body)"))
    sets = body.with_columns(transaction("835", REMITTANCE, "(body)", number).alias("text"))
    groups = sets.group_by("(payer)", maintain_order=True).agg(
        pl.col("text").str.join(""), pl.len().alias("n"), pl.col("(day)").max().alias("(date)")
    )
    return interchange(
        groups, kind="835", version=REMITTANCE, sender=pl.col("(payer)"), receiver=pl.lit(SENDER), first=first
    )


def _shares() -> list[pl.Expr]:
    """Return what the other remittances of a claim settled, and what is left to the patient."""
    mine = pl.col("payer_part").fill_null(0.0) + pl.col("adjustment").fill_null(0.0)
    others = (mine.sum().over("claim_id") - mine).round(2)
    owed = (pl.col("total").fill_null(0.0) - mine.sum().over("claim_id")).round(2)
    rest = pl.when(owed >= 0).then(0.0).otherwise(owed)  # paid more than charged: an adjustment that is no one's
    return [(others + rest).round(2).alias("(others)"), pl.max_horizontal(owed, pl.lit(0.0)).alias("(owed)")]


def _head(number: pl.Expr, first: int) -> pl.Expr:
    paid = pl.col("payer_part") != 0
    house = clean(pl.when(pl.col("(house)") != "").then(pl.col("(house)")), 50)
    identifier = npi("organization.identifier")
    return pl.concat_str(
        segment(
            "BPR",
            pl.when(paid).then(pl.lit("I")).otherwise(pl.lit("H")),
            amount("payer_part"),
            "C",
            pl.when(paid).then(pl.lit("CHK")).otherwise(pl.lit("NON")),
            *[""] * 11,
            pl.col("(day)"),
        ),
        segment(
            "TRN", "1", pl.concat_str([pl.lit(f"TEST{first}-"), pl.col("(payer)"), pl.lit("-"), number]), "1000000000"
        ),
        segment("DTM", "405", pl.col("(day)")),
        segment("N1", "PR", clean("payer.name", 60).fill_null(NO_NAME)),
        pl.lit(plain("N3", "NO ADDRESS - SYNTHETIC TEST DATA") + plain("N4", "NOWHERE", "DC", "200009998")),
        segment("REF", "2U", pl.col("(payer)")),
        pl.lit(plain("PER", "BL", "SYNTHETIC TEST DATA", "TE", "5555550100")),
        segment(
            "N1",
            "PE",
            clean("organization.name", 60).fill_null(NO_NAME),
            pl.when(identifier.is_not_null()).then(pl.lit("XX")).otherwise(pl.lit("FI")),
            identifier.fill_null(tax("organization.identifier")),
        ),
        given(house.is_not_null(), segment("REF", "PQ", house)),
        segment("REF", "TJ", tax("organization.identifier")),
        pl.lit(plain("LX", "1")),
    )


def _claim() -> pl.Expr:
    """Return loop 2100."""
    denied = (pl.col("status") == "denied").fill_null(False)
    filing = pl.col("payer.kind").replace_strict(REMITTED, default="ZZ", return_dtype=pl.String).fill_null("ZZ")
    place = pl.col("encounter.class").replace_strict(PLACES, default="99", return_dtype=pl.String).fill_null("99")
    reason = pl.when(denied).then(pl.lit("204")).otherwise(pl.lit("2"))
    member = clean("coverage.member_number", 80)
    owed, others, cut = pl.col("(owed)"), pl.col("(others)"), pl.col("adjustment").fill_null(0.0)
    return pl.concat_str(
        segment(
            "CLP",
            pl.col("claim_id"),
            pl.when(denied).then(pl.lit("4")).otherwise(pl.lit("1")),
            amount("total"),
            amount("payer_part"),
            pl.when(owed != 0).then(amount("(owed)")),
            filing,
            pl.col("payment_id"),
            place,
            "1",
        ),
        given(cut != 0, segment("CAS", "CO", "45", amount("adjustment"))),
        given(others != 0, segment("CAS", "OA", "23", amount("(others)"))),
        given(owed != 0, segment("CAS", "PR", reason, amount("(owed)"))),
        segment(
            "NM1",
            "QC",
            "1",
            *patient_name(),
            "",
            "",
            "",
            pl.when(member.is_not_null()).then(pl.lit("MI")),
            member.str.pad_end(2, " "),
        ),
        segment("REF", "1L", pl.col("coverage_id")),
        segment("REF", "EA", pl.col("patient_id")),
    )
