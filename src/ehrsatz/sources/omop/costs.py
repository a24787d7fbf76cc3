"""Costs: from the CDM into claims, their lines, and payments."""

from __future__ import annotations

import polars as pl

from ehrsatz.sources.omop.people import Read
from ehrsatz.sources.omop.store import Where
from ehrsatz.terminology.omop import known

VISIT, DETAIL = "Visit", "Visit Detail"
_CLAIMS = (known.INPATIENT_CLAIM, known.OUTPATIENT_CLAIM)
_LINES = (known.INPATIENT_LINE, known.OUTPATIENT_LINE)
_KINDS = {"Drug": "medication", "Device": "device", "Visit": "encounter", "Visit Detail": "encounter"}


def costs(read: Read, events: dict[str, pl.DataFrame], plans: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return claim, claim_line and payment.

    Parameters
    ----------
    events
        Domain -> `(id)` of its rows, patient_id and encounter_id.
    plans
        payer_plan_period_id and coverage_id.
    """
    domains = {name.casefold(): name for name in events}
    every = pl.concat([one.with_columns(pl.lit(name).alias("(domain)")) for name, one in events.items()])
    wanted = Where("cost_event_id", every["(id)"].unique()) if read.where is not None else None
    rows = read.store.frame("cost", read.left, wanted)
    rows = rows.with_columns(
        pl.col("cost_domain_id")
        .str.to_lowercase()
        .replace_strict(domains, default=None, return_dtype=pl.String)
        .alias("(domain)")
    )
    found = rows.join(
        every, left_on=["(domain)", "cost_event_id"], right_on=["(domain)", "(id)"], how="inner", maintain_order="left"
    )
    if read.where is None:
        read.left["cost: rows that lead to nothing known"] += rows.height - found.height
    found = found.join(plans, on="payer_plan_period_id", how="left", maintain_order="left")
    kind = pl.col("cost_type_concept_id")
    if read.own:
        claim, line, paid = kind.is_in(list(_CLAIMS)), kind.is_in(list(_LINES)), kind == known.PAID
    else:
        line = pl.col("total_charge").is_not_null() | pl.col("total_cost").is_not_null()
        paid = pl.any_horizontal(
            pl.col(one).is_not_null() for one in ("total_paid", "paid_by_payer", "paid_by_patient")
        )
        claim = pl.lit(False)
    key = pl.col("cost_id").cast(pl.String)
    claims = found.filter(claim).select(
        key.alias("claim_id"), "patient_id", "encounter_id", "coverage_id", pl.col("total_charge").alias("total")
    )
    single = (
        claims.group_by("encounter_id").agg(pl.col("claim_id").first(), pl.len().alias("n")).filter(pl.col("n") == 1)
    )
    found = found.join(
        single.drop("n").drop_nulls("encounter_id"), on="encounter_id", how="left", maintain_order="left"
    )
    coded = read.concepts.table([found["revenue_code_concept_id"]]).select(
        pl.col("concept_id").alias("revenue_code_concept_id"), "system"
    )
    found = found.join(coded, on="revenue_code_concept_id", how="left", maintain_order="left")
    lines = found.filter(line).select(
        key.alias("claim_line_id"),
        "patient_id",
        "encounter_id",
        "claim_id",
        pl.col("(domain)").replace_strict(_KINDS, default="procedure").alias("kind"),
        pl.col("revenue_code_source_value").alias("code"),
        "system",
        pl.coalesce("total_charge", "total_cost").alias("amount"),
    )
    parts = pl.sum_horizontal("paid_by_payer", "paid_by_patient")
    payments = found.filter(paid).select(
        key.alias("payment_id"),
        "patient_id",
        "encounter_id",
        "claim_id",
        pl.col("paid_by_payer").alias("payer_part"),
        pl.col("paid_by_patient").alias("patient_part"),
        (pl.col("total_charge") - parts).round(2).alias("adjustment"),
    )
    return {"claim": claims, "claim_line": lines, "payment": payments}
