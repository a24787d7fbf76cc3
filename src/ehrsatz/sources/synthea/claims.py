"""Claims and their transactions: charges are lines, payments payments; transfers between payers have no place.

Insurers pay by ECHECK, patients in every other way: that tells whose part a payment is. What a line is for is known
where the claim's encounter holds the same code in one table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import polars as pl

from ehrsatz.sources.synthea.files import Sheet

KINDS = {  # clinical table -> kind of a line
    "encounter": "encounter",
    "procedure": "procedure",
    "medication": "medication",
    "immunization": "immunization",
    "device": "device",
    "observation": "laboratory",
}
INSURER = "ECHECK"


def claims_of(
    sheets: Mapping[str, Sheet], frames: Mapping[str, pl.DataFrame], left: Counter[str]
) -> dict[str, pl.DataFrame]:
    """Return `claim`, `claim_line` and `payment`.

    Parameters
    ----------
    sheets
        Name of a file -> its rows.
    frames
        Clinical tables that were read, to tell what the lines are for.
    left
        Counts transactions without a place.
    """
    sheet = sheets["claims_transactions"]
    kind = pl.col("TYPE").str.to_uppercase()
    placed = kind.is_in(["CHARGE", "PAYMENT"]).fill_null(False)
    others = sheet.frame.filter(~placed).group_by(kind.alias("kind").fill_null("none")).len().sort("kind")
    for name, count in others.iter_rows():
        left[f"claims_transactions of type {name}"] += count
    claims = sheets["claims"]
    claim = claims.rows(
        claim_id=claims.text("ID"),
        patient_id=claims.text("PATIENTID"),
        encounter_id=claims.text("APPOINTMENTID"),
        time=claims.time("SERVICEDATE", "CURRENTILLNESSDATE"),
    )
    ours = Sheet(sheet.name, sheet.frame.filter(placed), left)
    ours.skip("TYPE")
    amount, paid = ours.number("AMOUNT"), ours.number("PAYMENTS")
    by_insurer = (ours.text("METHOD").str.to_uppercase() == INSURER).fill_null(False)
    rows = ours.rows(
        key=ours.text("ID"),
        patient_id=ours.text("PATIENTID"),
        encounter_id=ours.text("APPOINTMENTID"),
        claim_id=ours.text("CLAIMID"),
        time=ours.time("FROMDATE"),
        code=ours.text("PROCEDURECODE"),
        charge=pl.col("TYPE").str.to_uppercase() == "CHARGE",
        order=ours.text("CHARGEID").cast(pl.Int64, strict=False),
        amount=amount,
        payer_part=pl.when(by_insurer).then(paid).otherwise(0.0),
        patient_part=pl.when(by_insurer).then(0.0).otherwise(paid),
        adjustment=ours.number("ADJUSTMENTS").fill_null(0.0),
    )
    encounters = claim.select("claim_id", visit="encounter_id").drop_nulls().unique("claim_id", keep="first")
    rows = rows.join(encounters, on="claim_id", how="left", maintain_order="left")
    rows = rows.with_columns(pl.coalesce("encounter_id", "visit").alias("encounter_id"))
    charges = rows.filter("charge").sort("claim_id", "order", maintain_order=True)
    charges = charges.join(_kinds(frames), on=["encounter_id", "code"], how="left", maintain_order="left")
    number = pl.int_range(1, pl.len() + 1).over("claim_id")
    lines = charges.select(
        "patient_id", "encounter_id", "claim_id", "kind", "code", "system", "amount", "time",
        claim_line_id="key", number=number,
    )  # fmt: skip
    payments = rows.filter(~pl.col("charge")).select(
        "patient_id", "encounter_id", "claim_id", "time", "payer_part", "patient_part", "adjustment", payment_id="key"
    )
    totals = lines.group_by("claim_id").agg(pl.col("amount").sum().round(2).alias("total"))
    return {
        "claim": claim.join(totals, on="claim_id", how="left", maintain_order="left"),
        "claim_line": lines,
        "payment": payments,
    }


def _kinds(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return encounter and code -> kind and system of a line, where one table alone holds the code."""
    parts = [frames[table].select("encounter_id", "code", "system", kind=pl.lit(kind)) for table, kind in KINDS.items()]
    known = pl.concat(parts).drop_nulls(["encounter_id", "code"]).unique()
    return known.filter(pl.len().over("encounter_id", "code") == 1)
