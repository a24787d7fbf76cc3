"""Entries of conditions, of the cause of a death, and of allergies."""

from __future__ import annotations

import polars as pl

from ehrsatz.clinical import SNOMED
from ehrsatz.exporters.ccda.pieces import (
    PROBLEM,
    attributes,
    author,
    code,
    extra,
    fixed,
    instant,
    interval,
    joined,
    key,
    mapped,
    moment,
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
from ehrsatz.layouts.ccda import ACT_CODE, ALLERGY_TYPES, SEVERITIES

CONCERN = '<code code="CONC" codeSystem="2.16.840.1.113883.5.6"/>'
ASSERTION = fixed("code", "ASSERTION", ACT_CODE)


def concern(kind: str, root: str, status: pl.Expr, since: pl.Expr, until: pl.Expr | None) -> pl.Expr:
    """Return the head of a concern act, up to the observation in it."""
    return joined(
        '<entry typeCode="DRIV"><act classCode="ACT" moodCode="EVN">',
        template(root, "2015-08-01"),
        wrapper("concern", pl.col(f"{kind}_id")),
        CONCERN,
        status,
        interval(since, until),
    )


def problem(kind: str = "value") -> pl.Expr:
    """Return the value of a problem: SNOMED CT with ICD-10-CM or another system as translation."""
    translation = code("translation", pl.col("code"), pl.col("(system)"), pl.col("display"))
    other = where(pl.col("code").is_not_null() | pl.col("display").is_not_null(), translation)
    shown_as = optional(' displayName="', pl.col("snomed_display"), '"')
    held = joined(
        f'<{kind} xsi:type="CD" code="',
        pl.col("snomed_code"),
        f'"{attributes(SNOMED)}',
        shown_as,
        ">",
        other,
        f"</{kind}>",
    )
    said = optional("<originalText>", pl.col("snomed_display"), "</originalText>")
    bare = joined(f'<{kind} xsi:type="CD" nullFlavor="OTH">', said, other, f"</{kind}>")
    return pl.coalesce(held, bare)


def conditions(frame: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """Return entry and narrative row; "@practitioner_id" is who saw the patient then."""
    states = {"active": '<statusCode code="active"/>', "resolved": '<statusCode code="completed"/>'}
    status = word("status", states).fill_null('<statusCode nullFlavor="UNK"/>')
    ended = pl.coalesce(moment("abatement"), moment("recorded"))
    high = where(pl.col("status") == "resolved", ended, pl.lit(None, pl.String))
    entry = joined(
        concern("condition", "2.16.840.1.113883.10.20.22.4.3", status, moment("recorded"), high),
        '<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.4", "2015-08-01"),
        key("condition"),
        PROBLEM,
        reference("prob"),
        '<statusCode code="completed"/>',
        interval(moment("onset"), moment("abatement")),
        problem(),
        author(moment("recorded"), "@practitioner_id"),
        of_encounter(),
        extra("stage", pl.col("stage")),
        "</observation></entryRelationship></act></entry>",
    )
    told = row(
        "prob",
        shown("onset"),
        shown("abatement"),
        pl.coalesce(pl.col("snomed_display"), pl.col("display")),
        pl.col("code"),
        pl.col("stage"),
        pl.col("status"),
    )
    return entry, told


def deaths(frame: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """Return entry and narrative row of the patients whose cause of death is known, as a Deceased Observation (V3)."""
    cause = joined(
        '<entryRelationship typeCode="CAUS"><observation classCode="OBS" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.4", "2015-08-01"),
        wrapper("cause", pl.col("patient_id")),
        PROBLEM,
        '<statusCode code="completed"/>',
        interval(moment("death_time"), None),
        '<value xsi:type="CD" nullFlavor="OTH">',
        code("translation", pl.col("death_cause"), pl.col("(system)"), None),
        "</value></observation></entryRelationship>",
    )
    entry = joined(
        '<entry typeCode="DRIV"><observation classCode="OBS" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.79", "2015-08-01"),
        wrapper("death", pl.col("patient_id")),
        ASSERTION,
        reference("dead"),
        '<statusCode code="completed"/>',
        interval(moment("death_time"), None),
        fixed("value", "419099009", SNOMED, "Dead", kind="CD"),
        cause,
        "</observation></entry>",
    )
    told = row("dead", shown("death_time"), pl.lit(""), pl.lit("Cause of death"), pl.col("death_cause"))
    return entry, told


def allergies(frame: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """Return entry and narrative row of Allergy Intolerance Observation (V2) in its concern act."""
    severity = where(
        pl.col("severity").is_not_null(),
        joined(
            '<entryRelationship typeCode="SUBJ" inversionInd="true"><observation classCode="OBS" moodCode="EVN">',
            template("2.16.840.1.113883.10.20.22.4.8", "2014-06-09"),
            fixed("code", "SEV", ACT_CODE, "Severity Observation"),
            '<statusCode code="completed"/>',
            mapped("value", "severity", SEVERITIES, SNOMED, kind="CD"),
            "</observation></entryRelationship>",
        ),
    )
    has_reaction = pl.col("reaction_code").is_not_null() | pl.col("reaction_display").is_not_null()
    reaction = joined(
        '<entryRelationship typeCode="MFST" inversionInd="true"><observation classCode="OBS" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.9", "2014-06-09"),
        wrapper("reaction", pl.col("allergy_id")),
        ASSERTION,
        '<statusCode code="completed"/>',
        interval(moment("onset"), None),
        code("value", pl.col("reaction_code"), attributes(SNOMED), pl.col("reaction_display"), kind="CD"),
        severity,
        "</observation></entryRelationship>",
    )
    entry = joined(
        concern(
            "allergy", "2.16.840.1.113883.10.20.22.4.30", pl.lit('<statusCode code="active"/>'), moment("onset"), None
        ),
        '<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN">',
        template("2.16.840.1.113883.10.20.22.4.7", "2014-06-09"),
        key("allergy"),
        ASSERTION,
        reference("all"),
        '<statusCode code="completed"/><effectiveTime>',
        instant("low", moment("onset")),
        "</effectiveTime>",
        mapped("value", "category", ALLERGY_TYPES, SNOMED, kind="CD"),
        '<participant typeCode="CSM"><participantRole classCode="MANU"><playingEntity classCode="MMAT">',
        code("code", pl.col("code"), pl.col("(system)"), pl.col("display")),
        "</playingEntity></participantRole></participant>",
        of_encounter(),
        where(has_reaction, reaction, severity),
        "</observation></entryRelationship></act></entry>",
    )
    told = row(
        "all", shown("onset"), pl.col("display"), pl.col("category"), pl.col("reaction_display"), pl.col("severity")
    )
    return entry, told
