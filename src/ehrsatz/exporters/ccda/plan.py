"""Entries of care plans, goals and coverages."""

from __future__ import annotations

import polars as pl

from ehrsatz.clinical import SNOMED
from ehrsatz.exporters.ccda.drugs import unit_fits
from ehrsatz.exporters.ccda.pieces import (
    code,
    day,
    extra,
    fixed,
    indication,
    instant,
    interval,
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
from ehrsatz.layouts.ccda import ACT_CODE, GOALS, KEYS, MEMBER, PAYERS, PAYMENT, ROLE


def careplans(frame: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """Return entry and narrative row; only what is still active is a Planned Act (V2), as that template demands."""
    states = {"active": '<statusCode code="active"/>', "completed": '<statusCode code="completed"/>'}
    entry = joined(
        '<entry typeCode="DRIV"><act classCode="ACT" moodCode="INT">',
        where(pl.col("status") == "active", template("2.16.840.1.113883.10.20.22.4.39", "2014-06-09")),
        key("careplan"),
        code("code", pl.col("code"), pl.col("(system)"), pl.col("display")),
        reference("plan"),
        word("status", states).fill_null('<statusCode nullFlavor="UNK"/>'),
        interval(moment("start"), moment("stop")),
        of_encounter(),
        indication("careplan"),
        "</act></entry>",
    )
    return entry, row("plan", shown("start"), shown("stop"), pl.col("display"), pl.col("reason_code"), pl.col("status"))


def goals(frame: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """Return entry and narrative row of Goal Observation, with the progress towards it."""
    fits = unit_fits("unit")
    unit = where(fits, optional(' unit="', pl.col("unit"), '"'))
    ends = [
        joined(
            f"<{end}",
            joined(' value="', number(f"target_{end}"), '"').fill_null(' nullFlavor="NI"'),
            unit,
            "/>",
        )
        for end in ("low", "high")
    ]
    target = where(
        pl.any_horizontal(pl.col("target_low", "target_high").is_not_null()) | (pl.col("unit").is_not_null() & fits),
        joined('<value xsi:type="IVL_PQ">', *ends, "</value>"),
    )
    said = optional("<originalText>", pl.col("description"), "</originalText>")
    named = pl.coalesce(
        joined('<code code="', pl.col("code"), '"', pl.col("(system)"), ">", said, "</code>"),
        joined('<code nullFlavor="OTH">', said, "</code>"),
    )
    progress = where(
        pl.col("status").is_not_null(),
        joined(
            '<entryRelationship typeCode="REFR"><observation classCode="OBS" moodCode="EVN">',
            template("2.16.840.1.113883.10.20.22.4.110"),
            wrapper("progress", pl.col("goal_id")),
            fixed("code", "ASSERTION", ACT_CODE),
            '<statusCode code="completed"/>',
            mapped("value", "status", GOALS, SNOMED, kind="CD"),
            "</observation></entryRelationship>",
        ),
    )
    plan = optional(
        '<entryRelationship typeCode="REFR"><act classCode="ACT" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.122"),
        f'<id root="{KEYS["careplan"]}" extension="',
        pl.col("careplan_id"),
        '"/><code nullFlavor="NP"/><statusCode code="completed"/></act></entryRelationship>',
    )
    entry = joined(
        '<entry typeCode="DRIV"><observation classCode="OBS" moodCode="GOL">',
        template("2.16.840.1.113883.10.20.22.4.121"),
        key("goal"),
        named,
        reference("goal"),
        '<statusCode code="active"/>',
        instant("effectiveTime", moment("start")),
        target,
        of_encounter(),
        progress,
        plan,
        extra("unit", where(fits, pl.lit(None, pl.String), pl.col("unit"))),
        "</observation></entry>",
    )
    return entry, row("goal", shown("start"), pl.col("description"), pl.col("status"))


def coverages(frame: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """Return entry and narrative row of Policy Activity (V3) in its Coverage Activity (V3)."""
    member = joined(f'<id root="{MEMBER}" extension="', pl.col("member_number"), '"/>')
    payer = joined(
        '<performer typeCode="PRF">',
        template("2.16.840.1.113883.10.20.22.4.87"),
        "<assignedEntity>",
        key("payer"),
        fixed("code", "PAYOR", "2.16.840.1.113883.5.110"),
        optional("<representedOrganization><name>", pl.col("@payer"), "</name></representedOrganization>"),
        "</assignedEntity></performer>",
    )
    covered = joined(
        '<participant typeCode="COV">',
        template("2.16.840.1.113883.10.20.22.4.89"),
        "<time>",
        instant("low", day("start")),
        optional('<high value="', day("stop"), '"/>'),
        '</time><participantRole classCode="PAT">',
        member.fill_null('<id nullFlavor="UNK"/>'),
        fixed("code", "SELF", ROLE, "self"),
        "</participantRole></participant>",
    )
    entry = joined(
        '<entry typeCode="DRIV"><act classCode="ACT" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.60", "2015-08-01"),
        wrapper("coverage", pl.col("coverage_id")),
        fixed("code", "48768-6", "LOINC", "Payment sources"),
        '<statusCode code="completed"/><entryRelationship typeCode="COMP"><act classCode="ACT" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.61", "2015-08-01"),
        key("coverage"),
        '<code nullFlavor="NA">',
        mapped("translation", "@payer_kind", PAYERS, PAYMENT),
        "</code>",
        reference("cov"),
        '<statusCode code="completed"/>',
        payer,
        covered,
        '<entryRelationship typeCode="REFR"><act classCode="ACT" moodCode="DEF"><id nullFlavor="NA"/>'
        '<code nullFlavor="NA"/></act></entryRelationship></act></entryRelationship></act></entry>',
    )
    told = row(
        "cov",
        pl.col("@payer"),
        pl.col("member_number"),
        pl.col("start").cast(pl.String),
        pl.col("stop").cast(pl.String),
    )
    return entry, told
