"""Patients and their insurance; organizations, providers and payers."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ehrsatz.sources.synthea.files import Sheet

SEXES = {"F": "female", "M": "male"}
RACES = {name: name for name in ("white", "black", "asian", "native", "other")} | {"hawaiian": "pacific"}
ETHNICITIES = {"hispanic": "hispanic", "nonhispanic": "not hispanic"}
MARITAL = {"M": "married", "S": "never married", "D": "divorced", "W": "widowed"}
PAYERS = {"Medicare": "medicare", "Medicaid": "medicaid", "Dual Eligible": "dual", "NO_INSURANCE": "none"}


def people_of(sheets: Mapping[str, Sheet]) -> dict[str, pl.DataFrame]:
    """Return `patient` and `coverage`."""
    sheet = sheets["patients"]
    patient = sheet.rows(
        patient_id=sheet.text("ID"),
        birth_date=sheet.time("BIRTHDATE").cast(pl.Date),
        death_time=sheet.time("DEATHDATE"),
        sex=_word(sheet.text("GENDER"), SEXES),
        race=_word(sheet.text("RACE"), RACES),
        ethnicity=_word(sheet.text("ETHNICITY"), ETHNICITIES),
        given_name=sheet.text("FIRST"),
        family_name=sheet.text("LAST"),
        birth_family_name=sheet.text("MAIDEN"),
        address_line=sheet.text("ADDRESS"),
        city=sheet.text("CITY"),
        region=sheet.text("STATE"),
        postal_code=sheet.text("ZIP"),
        national_id=sheet.text("SSN"),
        marital_status=_word(sheet.text("MARITAL"), MARITAL),
        income=sheet.number("INCOME"),
    )
    sheet = sheets["payer_transitions"]
    coverage = sheet.rows(
        coverage_id=sheet.numbered("V"),
        patient_id=sheet.text("PATIENT"),
        payer_id=sheet.text("PAYER"),
        member_number=sheet.text("MEMBERID"),
        start=sheet.time("START_DATE", "START_YEAR").cast(pl.Date),
        stop=sheet.time("END_DATE", "END_YEAR").cast(pl.Date),
    )
    return {"patient": patient, "coverage": coverage}


def world_of(sheets: Mapping[str, Sheet]) -> dict[str, pl.DataFrame]:
    """Return `organization`, `practitioner` and `payer`."""
    sheet = sheets["organizations"]
    organization = sheet.rows(
        organization_id=sheet.text("ID"),
        name=sheet.text("NAME"),
        address_line=sheet.text("ADDRESS"),
        city=sheet.text("CITY"),
        region=sheet.text("STATE"),
        postal_code=sheet.text("ZIP"),
        phone=sheet.text("PHONE"),
    )
    sheet = sheets["providers"]
    name = sheet.text("NAME").str.strip_chars()
    practitioner = sheet.rows(
        practitioner_id=sheet.text("ID"),
        organization_id=sheet.text("ORGANIZATION"),
        given_name=name.str.extract(r"^(.+)\s+\S+$"),
        family_name=name.str.extract(r"(\S+)$"),
        specialty=sheet.text("SPECIALITY", "SPECIALTY").str.to_lowercase(),
    )
    sheet = sheets["payers"]
    payer = sheet.rows(
        payer_id=sheet.text("ID"),
        name=sheet.text("NAME"),
        kind=sheet.text("NAME").replace_strict(PAYERS, default="private", return_dtype=pl.String),
    )
    return {"organization": organization, "practitioner": practitioner, "payer": payer}


def _word(cell: pl.Expr, words: Mapping[str, str]) -> pl.Expr:
    """Return the clinical word for one of Synthea's; another stays as it is, to be counted."""
    return cell.replace(dict(words))
