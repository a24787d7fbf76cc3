"""Conditions, procedures, allergies, devices, medications, immunizations, plans and goals out of their segments."""

from __future__ import annotations

import polars as pl

from ehrsatz.sources.hl7v2.fields import codes_of, field, first, number, part, system, time, word
from ehrsatz.sources.hl7v2.file import Hl7File, people_of
from ehrsatz.sources.hl7v2.results import NUMERIC
from ehrsatz.terminology.hl7v2 import ALLERGEN, DRUG_STATUS, ROUTE, SEVERITY, SITE, turned

PER_DAY = {"QD": 1.0, "DAILY": 1.0, "QHS": 1.0, "QAM": 1.0, "QPM": 1.0, "BID": 2.0, "TID": 3.0, "QID": 4.0, "QOD": 0.5}
WHO = ("p", "patient_id", "encounter_id")


def conditions(file: Hl7File) -> tuple[list[pl.DataFrame], pl.DataFrame]:
    """Return problems (PRB), in parts that `p` orders, and diagnoses (DG1), for where no problem has their key."""
    rows = file.rows("PRB").filter((field(1) != "LI").fill_null(True))
    once = part(field(3), 1, "~")
    status = part(field(13), 1)
    prb = rows.select(
        *WHO,
        first(field(4)).fill_null(pl.col("position")).alias("condition_id"),
        *_problem(once),
        time(part(field(16), 1)).alias("onset"),
        time(part(field(7), 1)).alias("recorded"),
        time(part(field(9), 1)).alias("abatement"),
        status.str.to_lowercase().alias("status"),
    )
    keys = rows.select(pl.col("p").alias("PRB"), first(field(4)).fill_null(pl.col("position")).alias("condition_id"))
    stages = file.rows("OBX", events=("PPR",)).filter(part(field(3), 1) == "stage")
    stages = stages.select("p", "PRB", field(5).alias("stage")).join(keys, on="PRB", how="inner").drop("PRB")
    dg1 = file.rows("DG1")
    determined = time(part(field(5), 1))
    same = pl.concat_str(
        "patient_id",
        pl.lit("-DG1-"),
        pl.coalesce(part(once, 1), part(once, 2), field(4), pl.lit("")),
        pl.lit("-"),
        pl.coalesce(part(field(5), 1), "encounter_id", pl.lit("")),
    )
    told = dg1.select(
        *WHO,
        pl.coalesce(first(field(20)), same).alias("condition_id"),
        *_problem(once),
        determined.alias("onset"),
        pl.coalesce(time(part(field(19), 1)), determined).alias("recorded"),
        field(4).alias("described"),
    ).with_columns(pl.coalesce("display", "described").alias("display"))
    return [prb, stages], told.drop("described").unique("condition_id", keep="last", maintain_order=True)


def _problem(cell: pl.Expr) -> list[pl.Expr]:
    """Code, display and system; SNOMED CT where it is the alternate."""
    snomed = system(part(cell, 6)) == "SNOMED-CT"
    return [
        part(cell, 1).alias("code"),
        part(cell, 2).alias("display"),
        system(part(cell, 3)).alias("system"),
        pl.when(snomed).then(part(cell, 4)).alias("snomed_code"),
        pl.when(snomed).then(part(cell, 5)).alias("snomed_display"),
    ]


def procedures(file: Hl7File) -> pl.DataFrame:
    """Return procedures (PR1); one that is sent again replaces the former."""
    rows = file.rows("PR1")
    start = time(part(field(5), 1))
    length = pl.duration(microseconds=(number(field(7)) * 60e6).round().cast(pl.Int64))
    same = pl.concat_str(
        "patient_id", pl.lit("-PR1-"), first(field(3)).fill_null(""), pl.lit("-"), part(field(5), 1).fill_null("")
    )
    return rows.select(
        *WHO,
        pl.coalesce(first(field(19)), same).alias("procedure_id"),
        people_of(pl.coalesce(field(12), field(11)))[0],
        *codes_of(field(3)),
        start.alias("start"),
        (start + length).alias("stop"),
        part(field(15), 1).alias("reason_code"),
    ).unique("procedure_id", keep="last", maintain_order=True)


def allergies(file: Hl7File) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return allergies with numbers (IAM) and without (AL1), which count where no IAM tells of the same."""
    zal = file.plain("ZAL").select("IAM", part(field(1), 1).alias("reaction_code"))
    severity = word(part(field(4), 1), SEVERITY)
    kind = word(part(field(2), 1), ALLERGEN)
    minute = time(field(12).str.extract(r"^(\d{12,14}(?:\.\d+)?)$"))
    iam = file.rows("IAM").with_columns(pl.col("p").alias("IAM"))
    iam = iam.join(zal, on="IAM", how="left", maintain_order="left").select(
        *WHO,
        pl.coalesce(first(field(7)), "position").alias("allergy_id"),
        *codes_of(field(3)),
        kind.alias("category"),
        "reaction_code",
        field(5).alias("reaction_display"),
        severity.alias("severity"),
        pl.coalesce(minute, time(part(field(11), 1))).alias("onset"),
    )
    same = pl.concat_str("patient_id", pl.lit("-AL1-"), pl.coalesce(part(field(3), 1), part(field(3), 2), pl.lit("")))
    al1 = file.rows("AL1").select(
        *WHO,
        same.alias("allergy_id"),
        *codes_of(field(3)),
        kind.alias("category"),
        part(field(5), 1, "~").alias("reaction_display"),
        severity.alias("severity"),
        time(part(field(6), 1)).alias("onset"),
    )
    newest = {"keep": "last", "maintain_order": True}
    return iam.unique("allergy_id", **newest), al1.unique("allergy_id", **newest)  # type: ignore[arg-type]


def devices(file: Hl7File) -> pl.DataFrame:
    """Return devices (ZDV)."""
    return file.rows("ZDV").select(
        *WHO,
        first(field(1)).alias("device_id"),
        *codes_of(field(2)),
        time(field(3)).alias("start"),
        time(field(4)).alias("stop"),
        field(5).alias("serial"),
    )


def medications(file: Hl7File) -> pl.DataFrame:
    """Return medications (RXE with ORC, TQ1 and RXR), in messages that `p` orders."""
    orc = file.plain("ORC").select(
        pl.col("p").alias("ORC"),
        pl.coalesce(first(field(2)), first(field(3))).alias("number"),
        part(field(5), 1).alias("state"),
        pl.coalesce(field(15), field(9)).alias("at"),
        people_of(field(12))[0],
        part(field(16), 2).alias("stop_reason"),
    )
    pattern = part(part(field(3), 1, "~"), 1).str.split("&").list.first()
    tq1 = file.plain("TQ1").select(
        "RXE", pattern.alias("pattern"), time(part(field(7), 1)).alias("begun"), time(part(field(8), 1)).alias("ended")
    )
    tq1 = tq1.drop_nulls("RXE").unique("RXE", keep="first", maintain_order=True)
    route = pl.coalesce(
        part(field(1), 2),
        part(field(1), 1).replace_strict(turned(ROUTE), default=None),
    )
    rxr = file.plain("RXR").select("RXE", route.alias("route")).drop_nulls("RXE")
    rxr = rxr.unique("RXE", keep="first", maintain_order=True)
    rows = file.rows("RXE", events=("RDE", "RDS", "RGV")).with_columns(pl.col("p").alias("RXE"))
    for other, on in ((orc, "ORC"), (tq1, "RXE"), (rxr, "RXE")):
        rows = rows.join(other, on=on, how="left", maintain_order="left")
    every = pl.col("pattern").str.extract(r"^Q(\d+)H$").cast(pl.Float64)
    per_day = pl.coalesce(
        number(pl.col("pattern").str.extract(f"^({NUMERIC})/d$")),
        24.0 / every,
        pl.col("pattern").str.to_uppercase().replace_strict(PER_DAY, default=None),
    )
    mine = pl.col("ours")
    old = time(part(field(1), 4))
    return rows.select(
        *WHO,
        pl.coalesce("number", "position").alias("medication_id"),
        "practitioner_id",
        *codes_of(field(2)),
        pl.coalesce("begun", pl.when(~mine).then(pl.coalesce(old, time(part(pl.col("at"), 1))))).alias("start"),
        pl.coalesce("ended", pl.when(~mine).then(time(part(field(1), 5)))).alias("stop"),
        number(field(3)).alias("dose"),
        part(field(5), 1).alias("dose_unit"),
        "route",
        per_day.alias("per_day"),
        number(field(12)).cast(pl.Int64, strict=False).alias("refills"),
        number(field(10)).alias("quantity"),
        part(field(27), 1).alias("reason_code"),
        "stop_reason",
        pl.col("state").replace_strict(turned(DRUG_STATUS), default=None).alias("status"),
    )


def immunizations(file: Hl7File) -> pl.DataFrame:
    """Return immunizations (RXA of VXU, with RXR and the OBX that counts doses)."""
    orc = file.plain("ORC").select(
        pl.col("p").alias("ORC"), pl.coalesce(first(field(3)), first(field(2))).alias("number")
    )
    site = pl.coalesce(
        part(field(2), 2), part(field(2), 1).replace_strict(turned(SITE), default=None), part(field(2), 1)
    )
    rxr = file.plain("RXR").select("RXA", site.alias("site")).drop_nulls("RXA").unique("RXA", keep="first")
    obx = file.plain("OBX").filter(pl.col("event").str.starts_with("VXU"))
    dose = part(field(3), 1) == "30973-2"
    counted = obx.filter(dose).select("RXA", number(field(5)).cast(pl.Int64, strict=False).alias("dose_number"))
    others = obx.filter(~dose.fill_null(False)).height
    if others:
        file.left["OBX: about an immunization, but for its dose number"] += others
    rows = file.rows("RXA", events=("VXU",))
    elsewhere = file.plain("RXA").height - rows.height
    if elsewhere:
        file.left["RXA: administrations of drugs other than vaccines"] += elsewhere
    rows = rows.with_columns(pl.col("p").alias("RXA"))
    counted = counted.drop_nulls("RXA").unique("RXA", keep="first")
    for other, on in ((orc, "ORC"), (rxr, "RXA"), (counted, "RXA")):
        rows = rows.join(other, on=on, how="left", maintain_order="left")
    same = pl.concat_str("patient_id", pl.lit("-RXA-"), first(field(5)).fill_null(""), pl.lit("-"), first(field(3)))
    return rows.select(
        *WHO,
        pl.coalesce("number", same, "position").alias("immunization_id"),
        *codes_of(field(5)),
        time(part(field(3), 1)).alias("time"),
        "dose_number",
        "site",
        part(field(15), 1, "~").alias("lot"),
    ).unique("immunization_id", keep="last", maintain_order=True)


def careplans(file: Hl7File) -> list[pl.DataFrame]:
    """Return care plans (PTH of PPP, with the problem that a PRB links), in parts that `p` orders."""
    key = first(field(3)).fill_null(pl.col("position")).alias("careplan_id")
    rows = file.rows("PTH", events=("PPP",))
    pth = rows.select(
        *WHO,
        key,
        *codes_of(field(2)),
        time(part(field(4), 1)).alias("start"),
        time(part(field(6), 1)).alias("stop"),
        part(field(5), 1).alias("status"),
    )
    keys = rows.select(pl.col("p").alias("PTH"), key)
    links = file.rows("PRB", events=("PPP",)).filter(field(1) == "LI")
    links = links.select("p", "PTH", part(field(3), 1).alias("reason_code")).join(keys, on="PTH", how="inner")
    return [pth, links.drop("PTH")]


def goals(file: Hl7File) -> list[pl.DataFrame]:
    """Return goals (GOL, with the plan that a PTH links and the target in an OBX), in parts that `p` orders."""
    key = first(field(4)).fill_null(pl.col("position")).alias("goal_id")
    rows = file.rows("GOL")
    code, display, tag = codes_of(field(3))
    gol = rows.select(
        *WHO,
        key,
        display.alias("description"),
        code,
        tag,
        time(part(field(7), 1)).alias("start"),
        part(field(18), 1).alias("status"),
    )
    keys = rows.select(pl.col("p").alias("GOL"), key)
    plans = file.rows("PTH", events=("PGL",)).select("p", "GOL", first(field(3)).alias("careplan_id"))
    from_to = f"^({NUMERIC})-{NUMERIC}$|^>({NUMERIC})$", f"^{NUMERIC}-({NUMERIC})$|^<({NUMERIC})$"
    low, high = (number(pl.coalesce(field(7).str.extract(one, 1), field(7).str.extract(one, 2))) for one in from_to)
    targets = file.rows("OBX", events=("PGL",)).select(
        "p", "GOL", low.alias("target_low"), high.alias("target_high"), part(field(6), 1).alias("unit")
    )
    return [gol, *(one.join(keys, on="GOL", how="inner").drop("GOL") for one in (plans, targets))]
