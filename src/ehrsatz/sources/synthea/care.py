"""What was done and found: encounters, conditions, observations, medications and so on.

Reasons are codes of SNOMED CT, where the clinical schema's are of ICD-10-CM: their codes are counted, the name of an
encounter's reason stays. Observations without an encounter (quality-adjusted years) keep none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import polars as pl

from ehrsatz import loose
from ehrsatz.clinical import CVX, LOINC, RXNORM, SNOMED
from ehrsatz.sources.synthea.files import Sheet

CLASSES = {
    "ambulatory": "ambulatory",
    "outpatient": "ambulatory",
    "wellness": "wellness",
    "urgentcare": "urgent",
    "emergency": "emergency",
    "inpatient": "inpatient",
    "virtual": "virtual",
    "home": "home",
}
SYSTEMS = {
    "http://snomed.info/sct": SNOMED,
    "SNOMED": SNOMED,
    "RXNORM": RXNORM,
    "http://www.nlm.nih.gov/research/umls/rxnorm": RXNORM,
}
LOINC_SHAPE = r"^\d{1,7}-\d$"


def care_of(sheets: Mapping[str, Sheet], left: Counter[str]) -> dict[str, pl.DataFrame]:
    """Return the clinical tables of what was done and found.

    Parameters
    ----------
    sheets
        Name of a file -> its rows.
    left
        Counts rows that have no place.
    """
    out = {
        "encounter": _encounters(sheets["encounters"]),
        "condition": _conditions(sheets["conditions"]),
        "observation": _observations(sheets["observations"]),
        "medication": _courses(sheets["medications"], "medication", "M", RXNORM),
        "procedure": _courses(sheets["procedures"], "procedure", "X", SNOMED),
        "immunization": _immunizations(sheets["immunizations"]),
        "allergy": _allergies(sheets["allergies"]),
        "device": _courses(sheets["devices"], "device", "D", SNOMED),
        "careplan": _courses(sheets["careplans"], "careplan", "L", SNOMED),
    }
    images = _images(sheets["imaging_studies"])
    once = images.unique("report_id", keep="first", maintain_order=True)
    left["imaging_studies: further images of a study"] += images.height - once.height
    out["report"] = once
    return out


def _shared(sheet: Sheet, system: str) -> dict[str, pl.Expr]:
    code = sheet.text("CODE")
    said = sheet.text("SYSTEM").replace(SYSTEMS).fill_null(system)
    return {
        "patient_id": sheet.text("PATIENT"),
        "encounter_id": sheet.text("ENCOUNTER"),
        "code": code,
        "system": pl.when(code.is_not_null()).then(said),
        "display": sheet.text("DESCRIPTION"),
    }


def _encounters(sheet: Sheet) -> pl.DataFrame:
    word = sheet.text("ENCOUNTERCLASS").str.to_lowercase()
    shared = {**_shared(sheet, SNOMED), "encounter_id": sheet.text("ID")}
    return sheet.rows(
        **shared,
        practitioner_id=sheet.text("PROVIDER"),
        organization_id=sheet.text("ORGANIZATION"),
        reason_display=sheet.text("REASONDESCRIPTION"),
        start=sheet.time("START"),
        stop=sheet.time("STOP"),
        **{"class": word.replace(CLASSES)},
    )


def _conditions(sheet: Sheet) -> pl.DataFrame:
    stop = sheet.time("STOP")
    return sheet.rows(
        condition_id=sheet.numbered("C"),
        **_shared(sheet, SNOMED),
        onset=sheet.time("START"),
        abatement=stop,
        status=pl.when(stop.is_null()).then(pl.lit("active")).otherwise(pl.lit("resolved")),
    )


def _observations(sheet: Sheet) -> pl.DataFrame:
    """Numbers and texts by TYPE; without that column what can be read as a number is one."""
    cells = _shared(sheet, LOINC)
    cells["system"] = (
        pl.when(cells["code"].str.contains(LOINC_SHAPE)).then(cells["system"]).otherwise(pl.lit(loose.LOCAL))
    )
    written = sheet.text("VALUE")
    number = written.cast(pl.Float64, strict=False)
    if "TYPE" in sheet.frame.columns:
        number = pl.when(sheet.text("TYPE").str.to_lowercase() == "numeric").then(number)
    return sheet.rows(
        observation_id=sheet.numbered("O"),
        **cells,
        time=sheet.time("DATE"),
        category=sheet.text("CATEGORY"),
        value=number,
        text_value=pl.when(number.is_null()).then(written),
        unit=sheet.text("UNITS"),
    )


def _courses(sheet: Sheet, table: str, letter: str, system: str) -> pl.DataFrame:
    """Rows with a start and an end; procedures of before 2020 have a date alone."""
    stop = sheet.time("STOP")
    cells = _shared(sheet, system)
    key = sheet.text("ID") if "ID" in sheet.frame.columns else sheet.numbered(letter)
    if table in ("medication", "careplan"):
        cells["status"] = pl.when(stop.is_null()).then(pl.lit("active")).otherwise(pl.lit("completed"))
    if table == "device":
        cells["serial"] = sheet.text("UDI")
    return sheet.rows(**{f"{table}_id": key}, **cells, start=sheet.time("START", "DATE"), stop=stop)


def _immunizations(sheet: Sheet) -> pl.DataFrame:
    return sheet.rows(immunization_id=sheet.numbered("I"), **_shared(sheet, CVX), time=sheet.time("DATE"))


def _allergies(sheet: Sheet) -> pl.DataFrame:
    category = sheet.text("CATEGORY").str.to_lowercase().replace({"drug": "medication"})
    return sheet.rows(
        allergy_id=sheet.numbered("A"),
        **_shared(sheet, SNOMED),
        category=category,
        reaction_code=sheet.text("REACTION1"),
        reaction_display=sheet.text("DESCRIPTION1"),
        severity=sheet.text("SEVERITY1").str.to_lowercase(),
        onset=sheet.time("START"),
    )


def _images(sheet: Sheet) -> pl.DataFrame:
    """A report for every study; newer versions repeat its key for every series and image."""
    return sheet.rows(
        report_id=sheet.text("ID"),
        patient_id=sheet.text("PATIENT"),
        encounter_id=sheet.text("ENCOUNTER"),
        time=sheet.time("DATE"),
        kind=pl.lit("imaging"),
        modality=sheet.text("MODALITY_CODE"),
        body_site=sheet.text("BODYSITE_DESCRIPTION"),
        display=sheet.text("MODALITY_DESCRIPTION"),
    )
