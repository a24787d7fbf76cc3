"""The header of a document: whose record it is, who made it, who took part in the care."""

from __future__ import annotations

import polars as pl

from ehrsatz.exporters.ccda.pieces import (
    day,
    fixed,
    instant,
    joined,
    key,
    mapped,
    moment,
    optional,
    template,
    where,
    word,
)
from ehrsatz.layouts.ccda import (
    CDC_RACE,
    DOCUMENT,
    ETHNICITIES,
    GENDER,
    GENDERS,
    IDENTIFIER,
    KEYS,
    MARITAL,
    MARITALS,
    NATIONAL,
    NATIONALS,
    NPI,
    RACES,
    RECORD,
    RELATIONS,
    ROLE,
    SDTC,
    SOFTWARE,
    V3,
    XSI,
)

ADDRESS = ("address_line", "city", "region", "postal_code", "country")
LINES = ("streetAddressLine", "city", "state", "postalCode", "country")
NO_ADDRESS, NO_PHONE = '<addr nullFlavor="UNK"/>', '<telecom nullFlavor="UNK"/>'
TITLE = "Continuity of Care Document (fabricated data for tests, not a real patient)"
OPENING = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!-- Fabricated data for tests: this patient does not exist. -->\n'
    f'<ClinicalDocument xmlns="{V3}" xmlns:sdtc="{SDTC}" xmlns:xsi="{XSI}"><realmCode code="US"/>'
    '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>'
    + template("2.16.840.1.113883.10.20.22.1.1", "2015-08-01")
    + template("2.16.840.1.113883.10.20.22.1.2", "2015-08-01")
)


def address(columns: tuple[str, ...], use: str) -> pl.Expr:
    """Return an address; parts that are missing have a nullFlavor, an address of none is one."""
    parts = [
        joined(f"<{tag}>", pl.col(name), f"</{tag}>").fill_null(f'<{tag} nullFlavor="UNK"/>')
        for tag, name in zip(LINES, columns)
    ]
    present = pl.any_horizontal(pl.col(*columns).is_not_null())
    return where(present, joined(f'<addr use="{use}">', *parts, "</addr>"), NO_ADDRESS)


def name_part(tag: str, column: str, qualifier: str = "") -> pl.Expr:
    """Return a part of a person's name; nullFlavor where it is missing."""
    extra = f' qualifier="{qualifier}"' if qualifier else ""
    return joined(f"<{tag}{extra}>", pl.col(column), f"</{tag}>").fill_null(f'<{tag} nullFlavor="UNK"/>')


def _patient() -> pl.Expr:
    """Return the record target."""
    sex = word("sex", {name: fixed("administrativeGenderCode", value, GENDER) for name, value in GENDERS.items()})
    unsure = where(
        pl.col("sex") == "unknown",
        '<administrativeGenderCode nullFlavor="UNK"/>',
        '<administrativeGenderCode nullFlavor="NI"/>',
    )
    national = joined(
        '<id root="',
        pl.col("country").replace_strict(NATIONALS, default=NATIONAL, return_dtype=pl.String).fill_null(NATIONAL),
        '" extension="',
        pl.col("national_id"),
        '"/>',
    )
    phones = joined(
        optional('<telecom use="HP" value="tel:', pl.col("phone"), '"/>'),
        optional('<telecom use="HP" value="mailto:', pl.col("email"), '"/>'),
    )
    died = optional('<sdtc:deceasedInd value="true"/><sdtc:deceasedTime value="', moment("death_time"), '"/>')
    return joined(
        "<recordTarget><patientRole>",
        key("patient"),
        optional(f'<id root="{RECORD}" extension="', pl.col("record_number"), '"/>'),
        national.fill_null(""),
        address(ADDRESS, "HP"),
        where(phones != "", phones, NO_PHONE),
        '<patient><name use="L">',
        name_part("given", "given_name"),
        name_part("family", "family_name"),
        "</name>",
        optional('<name><family qualifier="BR">', pl.col("birth_family_name"), "</family></name>"),
        pl.coalesce(sex, unsure),
        instant("birthTime", day("birth_date")),
        died,
        where(pl.col("marital_status").is_not_null(), mapped("maritalStatusCode", "marital_status", MARITALS, MARITAL)),
        mapped("raceCode", "race", RACES, CDC_RACE),
        mapped("ethnicGroupCode", "ethnicity", ETHNICITIES, CDC_RACE),
        optional('<languageCommunication><languageCode code="', pl.col("language"), '"/></languageCommunication>'),
        "</patient></patientRole></recordTarget>",
    )


MAKER = (
    f'<assignedAuthor><id root="{SOFTWARE}"/>{NO_ADDRESS}{NO_PHONE}<assignedAuthoringDevice>'
    "<manufacturerModelName>ehrsatz</manufacturerModelName><softwareName>ehrsatz</softwareName>"
    f'</assignedAuthoringDevice><representedOrganization><id root="{SOFTWARE}"/><name>ehrsatz (fabricated data)</name>'
    f"{NO_PHONE}{NO_ADDRESS}</representedOrganization></assignedAuthor>"
)
CUSTODIAN = (
    f'<custodian><assignedCustodian><representedCustodianOrganization><id root="{SOFTWARE}"/>'
    f"<name>ehrsatz (fabricated data)</name>{NO_PHONE}{NO_ADDRESS}"
    "</representedCustodianOrganization></assignedCustodian></custodian>"
)


def headers() -> pl.Expr:
    """Return all that comes before the body; the frame has "(last)", "(performers)" and "(relatives)"."""
    last = where(
        pl.col("(last)").is_not_null(),
        moment("(last)"),
        joined(day("birth_date"), "000000+0000").fill_null("19000101000000+0000"),
    )
    return joined(
        OPENING,
        joined(f'<id root="{DOCUMENT}" extension="', pl.col("patient_id"), '"/>'),
        fixed("code", "34133-9", "LOINC", "Summarization of Episode Note"),
        f"<title>{TITLE}</title>",
        instant("effectiveTime", last),
        fixed("confidentialityCode", "N", "2.16.840.1.113883.5.25", "normal"),
        '<languageCode code="en-US"/>',
        _patient(),
        "<author>",
        instant("time", last),
        MAKER,
        "</author>",
        CUSTODIAN,
        pl.col("(relatives)").fill_null(""),
        '<documentationOf typeCode="DOC"><serviceEvent classCode="PCPR"><effectiveTime>',
        instant("low", day("birth_date")),
        instant("high", last),
        "</effectiveTime>",
        pl.col("(performers)").fill_null(""),
        "</serviceEvent></documentationOf>",
    )


def performers(frame: pl.DataFrame) -> pl.DataFrame:
    """Return patient_id and "(performers)": everyone who took part, with name, specialty and organization.

    The frame holds one row per patient and practitioner, with the practitioner's columns and "@" those of the house.
    """
    house = optional(
        "<representedOrganization>",
        f'<id root="{KEYS["organization"]}" extension="',
        pl.col("organization_id"),
        '"/>',
        optional(f'<id root="{IDENTIFIER}" extension="', pl.col("@identifier"), '"/>'),
        optional("<name>", pl.col("@name"), "</name>"),
        optional('<telecom value="tel:', pl.col("@phone"), '"/>'),
        where(
            pl.any_horizontal(pl.col("@address_line", "@city", "@region", "@postal_code").is_not_null()),
            address(("@address_line", "@city", "@region", "@postal_code"), "WP"),
        ),
        "</representedOrganization>",
    )
    named = joined(
        "<assignedPerson><name>",
        name_part("given", "given_name"),
        name_part("family", "family_name"),
        "</name></assignedPerson>",
    )
    one = joined(
        '<performer typeCode="PRF"><assignedEntity>',
        optional(f'<id root="{NPI}" extension="', pl.col("identifier"), '"/>'),
        key("practitioner"),
        optional('<code nullFlavor="OTH"><originalText>', pl.col("specialty"), "</originalText></code>"),
        NO_ADDRESS,
        NO_PHONE,
        named,
        house,
        "</assignedEntity></performer>",
    )
    said = frame.select("patient_id", one.alias("(performers)"))
    return said.group_by("patient_id", maintain_order=True).agg(pl.col("(performers)").str.join(""))


def relatives(frame: pl.DataFrame) -> pl.DataFrame:
    """Return patient_id and "(relatives)"; the frame has the relative's names in "@given" and "@family" where known."""
    named = joined(
        "<associatedPerson><name>",
        name_part("given", "@given"),
        name_part("family", "@family"),
        "</name></associatedPerson>",
    )
    one = joined(
        '<participant typeCode="IND"><associatedEntity classCode="PRS">',
        key("relation"),
        key("patient", "relative_id"),
        mapped("code", "relation", RELATIONS, ROLE),
        named,
        "</associatedEntity></participant>",
    )
    said = frame.select("patient_id", one.alias("(relatives)"))
    return said.group_by("patient_id", maintain_order=True).agg(pl.col("(relatives)").str.join(""))
