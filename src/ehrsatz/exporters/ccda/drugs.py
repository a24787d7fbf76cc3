"""Entries of medications and immunizations."""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.ccda.pieces import (
    author,
    code,
    extra,
    indication,
    instant,
    joined,
    key,
    mapped,
    moment,
    number,
    of_encounter,
    optional,
    reference,
    row,
    shown,
    template,
    where,
    word,
    wrapper,
)
from ehrsatz.layouts.ccda import NCI, ROUTES

HOURS = 24.0


def unit_fits(column: str) -> pl.Expr:
    """Say where a unit can stand as an attribute: a code without white space; true where there is none."""
    return ~pl.col(column).fill_null("").str.contains(r"\s|^$").fill_null(False) | pl.col(column).is_null()


def medications(frame: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """Return entry and narrative row of Medication Activity (V2), with its Medication Supply Order (V2)."""
    states = {
        "active": '<statusCode code="active"/>',
        "completed": '<statusCode code="completed"/>',
        "stopped": '<statusCode code="aborted"/>',
    }
    period = HOURS / pl.col("per_day")
    told_by_period = (HOURS / period).round(6) == pl.col("per_day")  # what the reader makes of it
    usual = pl.col("per_day").is_not_null() & (pl.col("per_day") > 0) & told_by_period
    often = where(
        usual,
        joined(
            '<effectiveTime xsi:type="PIVL_TS" institutionSpecified="true" operator="A"><period value="',
            period.cast(pl.String),
            '" unit="h"/></effectiveTime>',
        ),
    )
    fits = unit_fits("dose_unit")
    dose = where(
        pl.col("dose").is_not_null() | (pl.col("dose_unit").is_not_null() & fits),
        joined(
            "<doseQuantity",
            joined(' value="', number("dose"), '"').fill_null(' nullFlavor="UNK"'),
            where(fits, optional(' unit="', pl.col("dose_unit"), '"')),
            "/>",
        ),
    )
    route = where(
        pl.col("route").is_not_null(),
        mapped("routeCode", "route", ROUTES, NCI),
    )
    supply = where(
        pl.col("refills").is_not_null() | pl.col("quantity").is_not_null(),
        joined(
            '<entryRelationship typeCode="REFR"><supply classCode="SPLY" moodCode="INT">',
            template("2.16.840.1.113883.10.20.22.4.17", "2014-06-09"),
            wrapper("supply", pl.col("medication_id")),
            '<statusCode code="completed"/>',
            optional('<repeatNumber value="', (pl.col("refills") + 1).cast(pl.String), '"/>'),
            optional('<quantity value="', number("quantity"), '"/>'),
            "</supply></entryRelationship>",
        ),
    )
    entry = joined(
        '<entry typeCode="DRIV"><substanceAdministration classCode="SBADM" moodCode="INT">',
        template("2.16.840.1.113883.10.20.22.4.16", "2014-06-09"),
        key("medication"),
        reference("med"),
        word("status", states).fill_null('<statusCode nullFlavor="UNK"/>'),
        '<effectiveTime xsi:type="IVL_TS">',
        instant("low", moment("start")),
        optional('<high value="', moment("stop"), '"/>'),
        "</effectiveTime>",
        often,
        route,
        dose,
        '<consumable><manufacturedProduct classCode="MANU">',
        template("2.16.840.1.113883.10.20.22.4.23", "2014-06-09"),
        "<manufacturedMaterial>",
        code("code", pl.col("code"), pl.col("(system)"), pl.col("display")),
        "</manufacturedMaterial></manufacturedProduct></consumable>",
        where(pl.col("practitioner_id").is_not_null(), author(moment("start"))),
        of_encounter(),
        indication("medication"),
        supply,
        extra("stop reason", pl.col("stop_reason")),
        extra("doses a day", where(usual, pl.lit(None, pl.String), number("per_day"))),
        extra("dose unit", where(fits, pl.lit(None, pl.String), pl.col("dose_unit"))),
        "</substanceAdministration></entry>",
    )
    told = row(
        "med",
        shown("start"),
        shown("stop"),
        pl.col("display"),
        joined(number("dose").fill_null(""), " ", pl.col("dose_unit").fill_null("")),
        pl.col("route"),
        number("per_day"),
        pl.col("status"),
    )
    return entry, told


def immunizations(frame: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """Return entry and narrative row of Immunization Activity (V3)."""
    entry = joined(
        '<entry typeCode="DRIV"><substanceAdministration classCode="SBADM" moodCode="EVN" negationInd="false">',
        template("2.16.840.1.113883.10.20.22.4.52", "2015-08-01"),
        key("immunization"),
        reference("imm"),
        '<statusCode code="completed"/>',
        instant("effectiveTime", moment("time")),
        optional('<repeatNumber value="', pl.col("dose_number").cast(pl.String), '"/>'),
        optional(
            '<approachSiteCode nullFlavor="OTH"><originalText>', pl.col("site"), "</originalText></approachSiteCode>"
        ),
        '<consumable><manufacturedProduct classCode="MANU">',
        template("2.16.840.1.113883.10.20.22.4.54", "2014-06-09"),
        "<manufacturedMaterial>",
        code("code", pl.col("code"), pl.col("(system)"), pl.col("display")),
        optional("<lotNumberText>", pl.col("lot"), "</lotNumberText>"),
        "</manufacturedMaterial></manufacturedProduct></consumable>",
        of_encounter(),
        "</substanceAdministration></entry>",
    )
    told = row(
        "imm", shown("time"), pl.col("display"), pl.col("dose_number").cast(pl.String), pl.col("site"), pl.col("lot")
    )
    return entry, told
