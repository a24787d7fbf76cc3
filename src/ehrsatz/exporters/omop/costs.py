"""Costs: claims, their lines and payments as rows of `cost` that lead to the visit, or to what was done."""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.omop.events import orders
from ehrsatz.exporters.omop.shard import Shard, cut, numbered
from ehrsatz.terminology.omop import known

VISIT, DETAIL = "Visit", "Visit Detail"  # the second is a domain of our own: the vocabularies have none
DOMAINS = {  # of what a row of `cost` leads to
    VISIT: "visit_occurrence",
    DETAIL: "visit_detail",
    "Drug": "drug_exposure",
    "Procedure": "procedure_occurrence",
    "Device": "device_exposure",
}


def add_costs(shard: Shard, plans: pl.DataFrame) -> None:
    """Add cost: claims, then lines, then payments.

    Parameters
    ----------
    plans
        coverage_id -> payer_plan_period_id.
    """
    wards = shard.held["encounter"].select("encounter_id", pl.col("class").is_in(["inpatient", "icu"]).alias("(ward)"))
    claims = _visited(shard, "claim").join(wards, on="encounter_id", how="left", maintain_order="left")
    claims = claims.join(plans, on="coverage_id", how="left", maintain_order="left")
    inside = pl.col("(ward)").fill_null(False)
    headers = claims.select(
        *_to_visit(),
        pl.when(inside).then(known.INPATIENT_CLAIM).otherwise(known.OUTPATIENT_CLAIM).alias("cost_type_concept_id"),
        pl.col("total").alias("total_charge"),
        "payer_plan_period_id",
    )
    held = shard.held["claim"].select("claim_id", claims["payer_plan_period_id"])
    lines = _visited(shard, "claim_line").join(wards, on="encounter_id", how="left", maintain_order="left")
    lines = lines.join(held, on="claim_id", how="left", maintain_order="left")
    lines = _matched(shard, lines)
    code = shard.codes.of(lines, "Procedure")
    details = lines.select(
        pl.coalesce("(id)", "visit_detail_id", "visit_occurrence_id").alias("cost_event_id"),
        pl.coalesce("(domain)", _domain()).alias("cost_domain_id"),
        pl.when(inside).then(known.INPATIENT_LINE).otherwise(known.OUTPATIENT_LINE).alias("cost_type_concept_id"),
        pl.col("amount").alias("total_charge"),
        "payer_plan_period_id",
        code.alias("revenue_code_concept_id"),
        cut("code").alias("revenue_code_source_value"),
    )
    paid = _visited(shard, "payment").join(held, on="claim_id", how="left", maintain_order="left")
    settled = pl.sum_horizontal("payer_part", "patient_part")
    payments = paid.select(
        *_to_visit(),
        pl.lit(known.PAID).alias("cost_type_concept_id"),
        pl.when(pl.col("adjustment").is_not_null()).then(settled + pl.col("adjustment")).round(2).alias("total_charge"),
        settled.round(2).alias("total_paid"),
        pl.col("payer_part").alias("paid_by_payer"),
        pl.col("patient_part").alias("paid_by_patient"),
        "payer_plan_period_id",
        settled.round(2).alias("amount_allowed"),
    )
    every = pl.concat([headers, details, payments], how="diagonal_relaxed").filter(
        pl.col("cost_event_id").is_not_null()
    )
    shard.out["cost"] = every.with_columns(
        numbered("cost_id", every.height), pl.lit(known.DOLLAR).alias("currency_concept_id")
    )


def _visited(shard: Shard, table: str) -> pl.DataFrame:
    return shard.held[table].join(shard.visits, on="encounter_id", how="left", maintain_order="left")


def _domain() -> pl.Expr:
    return pl.when(pl.col("visit_detail_id").is_not_null()).then(pl.lit(DETAIL)).otherwise(pl.lit(VISIT))


def _to_visit() -> tuple[pl.Expr, pl.Expr]:
    return pl.coalesce("visit_detail_id", "visit_occurrence_id").alias("cost_event_id"), _domain().alias(
        "cost_domain_id"
    )


def _matched(shard: Shard, lines: pl.DataFrame) -> pl.DataFrame:
    """Find what each line is for: the first line of a code in a visit is for the first event of it, and so on."""
    n_drugs = shard.held["medication"].height
    ordered = shard.held["order"].join(orders(shard), on="order_id", maintain_order="left")
    events = [
        _events(shard.held["medication"], "medication", "Drug", 1),
        _events(shard.held["immunization"], "immunization", "Drug", n_drugs + 1),
        _events(shard.held["procedure"], "procedure", "Procedure", 1),
        _events(shard.held["device"], "device", "Device", 1),
        ordered.select(
            "encounter_id", "code", "kind", pl.lit("Procedure").alias("(domain)"), pl.col("(order)").alias("(id)")
        ).filter(pl.col("kind").is_in(["laboratory", "imaging"])),
    ]
    on = ["encounter_id", "kind", "code"]
    nth = pl.int_range(pl.len()).over(on).alias("(nth)")
    done = pl.concat(events).with_columns(nth)
    return lines.with_columns(nth).join(done, on=[*on, "(nth)"], how="left", maintain_order="left")


def _events(held: pl.DataFrame, kind: str, domain: str, first: int) -> pl.DataFrame:
    return held.select(
        "encounter_id",
        "code",
        pl.lit(kind).alias("kind"),
        pl.lit(domain).alias("(domain)"),
        numbered("(id)", held.height, first),
    )
