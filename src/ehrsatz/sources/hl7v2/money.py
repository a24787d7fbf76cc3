"""Coverages, claims, their lines and payments out of IN1, FT1 and the account of DFT messages; master files of MFN."""

from __future__ import annotations

import polars as pl

from ehrsatz.sources.hl7v2.fields import date, field, first, number, part, system, time
from ehrsatz.sources.hl7v2.file import Hl7File
from ehrsatz.terminology.hl7v2 import LOCAL

PARTS = ("payer_part", "patient_part", "adjustment")
CHARGES, PAYMENTS, ADJUSTMENTS = ("CG", "CD"), ("PY", "CO"), ("AJ",)  # table 0017


def coverages(file: Hl7File) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return coverages in messages that `p` orders, and the payers that IN1 names."""
    rows = file.rows("IN1").unique(["patient_id", "text"], keep="last", maintain_order=True)
    plan = pl.when(part(field(2), 3) == LOCAL).then(part(field(2), 1))
    name = first(field(4))
    payer = pl.coalesce(first(field(3)), name)
    policy, member = field(36), first(field(49))
    key = (
        pl.when("ours")
        .then(policy)
        .otherwise(
            pl.concat_str(
                "patient_id", pl.lit("-IN1-"), payer.fill_null(""), pl.lit("-"), pl.coalesce(policy, member, pl.lit(""))
            )
        )
    )
    told = rows.select(
        "p",
        "patient_id",
        key.alias("coverage_id"),
        payer.alias("payer_id"),
        pl.coalesce(member, pl.when(~pl.col("ours")).then(policy)).alias("member_number"),
        date(field(12)).alias("start"),
        date(field(13)).alias("stop"),
    ).drop_nulls("coverage_id")
    payers = rows.select(payer.alias("payer_id"), name.alias("name"), plan.replace({"plan": None}).alias("kind"))
    payers = payers.filter(pl.col("payer_id") != '""')
    return told, payers.unique("payer_id", keep="last", maintain_order=True)


def claims(file: Hl7File) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return claims in messages that `p` orders, their lines, and payments."""
    account = file.plain("PID").select(
        pl.col("p").alias("PID"), first(field(18)).alias("account"), part(field(18), 5).alias("numbered")
    )
    rows = file.rows("FT1", events=("DFT",)).join(account, on="PID", how="left", maintain_order="left")
    other = pl.when(~pl.col("ours")).then(pl.coalesce("encounter_id", "control"))
    rows = rows.with_columns(pl.coalesce("account", other).alias("claim_id"))
    kind, what = field(6).fill_null("CG"), part(field(7), 1)
    mine = part(field(7), 3) == LOCAL
    empty = mine & (what == "none") & field(2).is_null()
    amount = pl.coalesce(number(first(part(field(11), 1))), number(first(part(field(22), 1))), _product())
    charges = rows.filter(kind.is_in(CHARGES) & ~empty.fill_null(False))
    lines = charges.select(
        "patient_id",
        "encounter_id",
        "claim_id",
        pl.coalesce(field(2), "position").alias("claim_line_id"),
        number(field(1)).cast(pl.Int64, strict=False).alias("number"),
        pl.when(part(field(13), 3) == LOCAL).then(part(field(13), 1)).alias("kind"),
        what.alias("code"),
        system(part(field(7), 3)).alias("system"),
        amount.alias("amount"),
        time(part(field(4), 1)).alias("time"),
    ).unique("claim_line_id", keep="last", maintain_order=True)
    others = rows.filter(~kind.is_in((*CHARGES, *PAYMENTS, *ADJUSTMENTS))).height
    if others:
        file.left["FT1: transactions of other types"] += others
    whole = ~pl.col("ours") | (pl.col("numbered") == "AN").fill_null(False)
    told = _claims(file, rows.filter(whole & ~kind.is_in((*PAYMENTS, *ADJUSTMENTS))))
    paid = _payments(rows.filter(kind.is_in((*PAYMENTS, *ADJUSTMENTS))), amount, kind, what, mine)
    return told, lines, paid


def _product() -> pl.Expr:
    """Amount as quantity times unit price."""
    return number(first(part(field(12), 1))) * number(field(10)).fill_null(1.0)


def _claims(file: Hl7File, rows: pl.DataFrame) -> pl.DataFrame:
    """One mention of a claim per message with charges."""
    evn = file.plain("EVN").select("MSH", time(part(field(6), 1)).alias("time"))
    pv1 = file.plain("PV1").select(
        pl.col("p").alias("PV1"), field(41).alias("status"), number(field(47)).alias("total")
    )
    in1 = file.plain("IN1").select("MSH", field(36).alias("coverage_id"), "ours").filter("ours").drop("ours")
    in1 = in1.unique("MSH", keep="first")
    first_posted = pl.when(~pl.col("ours")).then(time(part(pl.coalesce(field(5), field(4)), 1)))
    found = rows.select("p", "MSH", "PV1", "patient_id", "encounter_id", "claim_id", first_posted.alias("posted"))
    found = found.unique("MSH", keep="first", maintain_order=True)
    for other, on in ((evn, "MSH"), (pv1, "PV1"), (in1, "MSH")):
        found = found.join(other, on=on, how="left", maintain_order="left")
    time_ = pl.coalesce("time", "posted").alias("time")
    return found.select(
        "p", "patient_id", "encounter_id", "claim_id", "coverage_id", time_, "total", "status"
    ).drop_nulls("claim_id")


def _payments(rows: pl.DataFrame, amount: pl.Expr, kind: pl.Expr, what: pl.Expr, mine: pl.Expr) -> pl.DataFrame:
    """Transactions of one number as one payment."""
    guessed = (
        pl.when(kind.is_in(ADJUSTMENTS))
        .then(pl.lit("adjustment"))
        .when(kind == "CO")
        .then(pl.lit("patient_part"))
        .otherwise(pl.lit("payer_part"))
    )
    each = rows.select(
        "patient_id",
        "encounter_id",
        "claim_id",
        pl.coalesce(field(2), "position").alias("payment_id"),
        pl.when(mine.fill_null(False)).then(what).otherwise(guessed).alias("part"),
        amount.alias("amount"),
        time(part(field(4), 1)).alias("time"),
    )
    keys = ["payment_id"]
    firsts = [pl.col(one).first() for one in ("patient_id", "encounter_id", "claim_id", "time")]
    sums = [pl.col("amount").filter(pl.col("part") == one).last().alias(one) for one in PARTS]
    return each.group_by(keys, maintain_order=True).agg(*firsts, *sums)


def masters(file: Hl7File) -> dict[str, pl.DataFrame]:
    """Return organizations, locations, practitioners and payers out of master files (MFN)."""
    kinds = file.plain("LCH").filter(part(field(4), 1) == "kind")
    kinds = kinds.select(field(1).alias("place"), part(field(5), 1).alias("kind")).unique("place", keep="last")
    loc = file.plain("LOC").with_columns(field(1).alias("place"))
    loc = loc.join(kinds, on="place", how="left", maintain_order="left")
    house = part(field(4), 1, "~")
    address = part(field(5), 1, "~")
    alone = first(field(1)).is_null()
    organizations = loc.filter(alone).select(
        first(part(field(1), 4)).alias("organization_id"),
        pl.coalesce(part(house, 1), field(2)).alias("name"),
        "kind",
        pl.coalesce(part(house, 10), part(house, 3)).alias("identifier"),
        first(part(address, 1)).alias("address_line"),
        part(address, 3).alias("city"),
        part(address, 4).alias("region"),
        part(address, 5).alias("postal_code"),
        part(field(6), 1).alias("phone"),
    )
    locations = loc.filter(~alone).select(
        first(field(1)).alias("location_id"),
        first(part(field(1), 4)).alias("organization_id"),
        field(2).alias("name"),
        "kind",
    )
    pra = file.plain("PRA").select(
        part(field(1), 1).alias("practitioner_id"),
        part(field(9), 1).alias("organization_id"),
        part(field(5), 1).alias("specialty"),
    )
    practitioners = file.plain("STF").select(
        part(field(1), 1).alias("practitioner_id"),
        part(field(3), 2).alias("given_name"),
        first(part(field(3), 1)).alias("family_name"),
        part(field(2), 1).alias("identifier"),
    )
    payers = file.plain("ZPY").select(
        part(field(1), 1).alias("payer_id"), field(2).alias("name"), field(3).alias("kind")
    )
    return {
        "organization": organizations,
        "location": locations,
        "practitioner": practitioners.join(pra, on="practitioner_id", how="left", maintain_order="left"),
        "payer": payers,
    }
