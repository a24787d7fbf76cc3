"""Entries of encounters, procedures and devices."""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.ccda.pieces import (
    code,
    fixed,
    indication,
    instant,
    interval,
    joined,
    key,
    mapped,
    moment,
    of_encounter,
    optional,
    own_word,
    reference,
    row,
    shown,
    template,
    where,
    word,
    wrapper,
)
from ehrsatz.layouts.ccda import ACT_CODE, CLASSES, DISCHARGE, DISPOSITIONS, HSLOC, KEYS, PLACES, SERIAL


def encounters(frame: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """Return entry and narrative row; the frame has names of location and organization as columns of "@"."""
    kind = word("class", {name: fixed("translation", act, ACT_CODE) for name, act in CLASSES.items()})
    discharge = joined('<sdtc:dischargeDispositionCode code="', word("disposition", DISPOSITIONS), '"').fill_null("")
    performer = joined(
        "<performer><assignedEntity>",
        key("practitioner"),
        optional(
            "<representedOrganization>",
            joined(f'<id root="{KEYS["organization"]}" extension="', pl.col("organization_id"), '"/>'),
            optional("<name>", pl.col("@organization"), "</name>"),
            "</representedOrganization>",
        ),
        "</assignedEntity></performer>",
    )
    place = joined(
        '<participant typeCode="LOC"><participantRole classCode="SDLOC">',
        template("2.16.840.1.113883.10.20.22.4.32"),
        joined(f'<id root="{KEYS["location"]}" extension="', pl.col("location_id"), '"/>'),
        mapped("code", "@place_kind", PLACES, HSLOC),
        optional('<playingEntity classCode="PLC"><name>', pl.col("@location"), "</name></playingEntity>"),
        optional(
            f'<scopingEntity classCode="ORG"><id root="{KEYS["organization"]}" extension="',
            pl.col("@place_owner"),
            '"/></scopingEntity>',
        ),
        "</participantRole></participant>",
    )
    whole = optional(
        '<entryRelationship typeCode="REFR"><act classCode="ACT" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.122"),
        f'<id root="{KEYS["encounter"]}" extension="',
        pl.col("part_of_id"),
        '"/><code nullFlavor="NP"/><statusCode code="completed"/></act></entryRelationship>',
    )
    entry = joined(
        '<entry typeCode="DRIV"><encounter classCode="ENC" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.49", "2015-08-01"),
        key("encounter"),
        code(
            "code",
            pl.col("code"),
            pl.col("(system)"),
            pl.col("display"),
            inside=joined(kind.fill_null(""), own_word("class")),
        ),
        reference("enc"),
        interval(moment("start"), moment("stop")),
        optional(discharge, where(discharge != "", f' codeSystem="{DISCHARGE}"/>')),
        where(pl.col("practitioner_id").is_not_null() | pl.col("organization_id").is_not_null(), performer),
        place.fill_null(""),
        indication("encounter", display=pl.col("reason_display")),
        whole,
        "</encounter></entry>",
    )
    told = row(
        "enc",
        shown("start"),
        shown("stop"),
        pl.col("class"),
        pl.col("display"),
        pl.col("reason_display"),
        pl.col("@location"),
    )
    return entry, told


def procedures(frame: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """Return entry and narrative row of Procedure Activity Procedure (V2)."""
    performer = where(
        pl.col("practitioner_id").is_not_null(),
        joined("<performer><assignedEntity>", key("practitioner"), "</assignedEntity></performer>"),
    )
    entry = joined(
        '<entry typeCode="DRIV"><procedure classCode="PROC" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.14", "2014-06-09"),
        key("procedure"),
        code("code", pl.col("code"), pl.col("(system)"), pl.col("display")),
        reference("proc"),
        '<statusCode code="completed"/>',
        interval(moment("start"), moment("stop")),
        performer,
        of_encounter(),
        indication("procedure"),
        "</procedure></entry>",
    )
    return entry, row("proc", shown("start"), shown("stop"), pl.col("display"), pl.col("reason_code"))


def devices(frame: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """Return entry and narrative row of Non-Medicinal Supply Activity (V2) with a Product Instance."""
    serial = joined(f'<id root="{SERIAL}" extension="', pl.col("serial"), '"/>').fill_null('<id nullFlavor="UNK"/>')
    entry = joined(
        '<entry typeCode="DRIV"><supply classCode="SPLY" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.50", "2014-06-09"),
        key("device"),
        reference("dev"),
        '<statusCode code="completed"/><effectiveTime xsi:type="IVL_TS">',
        instant("low", moment("start")),
        optional('<high value="', moment("stop"), '"/>'),
        '</effectiveTime><participant typeCode="PRD"><participantRole classCode="MANU">',
        template("2.16.840.1.113883.10.20.22.4.37"),
        serial,
        "<playingDevice>",
        code("code", pl.col("code"), pl.col("(system)"), pl.col("display")),
        "</playingDevice><scopingEntity>",
        wrapper("maker", pl.col("device_id")),
        "</scopingEntity></participantRole></participant>",
        of_encounter(),
        "</supply></entry>",
    )
    return entry, row("dev", shown("start"), shown("stop"), pl.col("display"), pl.col("serial"))
