"""The header of a document: the patient, relatives, and who took part in the care."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ehrsatz.errors import SourceError
from ehrsatz.layouts.ccda import (
    CDC_RACE,
    ETHNICITIES,
    GENDERS,
    KEYS,
    MARITALS,
    NATIONAL,
    NATIONALS,
    RACES,
    RECORD,
    RELATIONS,
    SOFTWARE,
)
from ehrsatz.sources.ccda.parse import code_of, date_of, is_ours, key_of, time_of, under, words
from ehrsatz.sources.ccda.rows import Rows, joined, place, telephone

_SEX = {value: name for name, value in GENDERS.items()}
_RACE = {value: name for name, (value, _) in RACES.items()}
_ETHNICITY = {value: name for name, (value, _) in ETHNICITIES.items()}
_MARITAL = {value: name for name, (value, _) in MARITALS.items()} | {
    "L": "married",
    "T": "married",
    "A": "married",
    "I": "married",
    "P": "married",
}
_RELATION = {value: name for name, (value, _) in RELATIONS.items()} | {
    "NMTH": "mother",
    "NFTH": "father",
    "SON": "child",
    "DAU": "child",
    "CHLDADOPT": "child",
    "HUSB": "spouse",
    "WIFE": "spouse",
    "BRO": "sibling",
    "SIS": "sibling",
}
LEFT_OUT = ("dataEnterer", "informant", "informationRecipient", "legalAuthenticator", "authenticator", "componentOf")


def read_header(root: Element, rows: Rows, name: str) -> dict[str, object]:
    """Add the patient and all whom the header names; return the patient's row.

    Raises
    ------
    SourceError
        When the document has no patient.
    """
    role = root.find("recordTarget/patientRole")
    person = None if role is None else role.find("patient")
    if role is None or person is None:
        raise SourceError(
            f"Expected a patient in '{name}' (recordTarget/patientRole/patient).", "There is none.", "Leave it out."
        )
    rows.left["header.recordTarget"] += len(root.findall("recordTarget")) - 1
    nationals = {*NATIONALS.values(), NATIONAL}
    national = next((one.get("extension") for one in role.findall("id") if one.get("root") in nationals), None)
    if is_ours(role, "patient"):
        patient, record = key_of(role, "patient") or "", under(role, RECORD)
    else:
        others = [one for one in role.findall("id") if one.get("root") and one.get("root") not in nationals]
        patient = next((one.get("extension") or one.get("root") or "" for one in others), "") or f"document {name}"
        record = next((one.get("extension") for one in others if one.get("extension")), None)
    rows.patient = patient
    cells: dict[str, object] = {
        "patient_id": patient,
        "record_number": record,
        "national_id": national,
        "phone": telephone(role),
        "email": telephone(role, "mailto:"),
        "death_time": time_of(person.find("sdtc:deceasedTime")),
        "birth_date": date_of(person.find("birthTime")),
        "sex": _sex(person.find("administrativeGenderCode")),
        "marital_status": _MARITAL.get(code_of(person.find("maritalStatusCode")).value or ""),
        "race": _race(person),
        "ethnicity": _ETHNICITY.get(code_of(person.find("ethnicGroupCode")).value or ""),
        "language": _language(person),
        **_address(role),
        **_names(person),
    }
    rows.tables.setdefault("patient", []).append(cells)
    _relatives(root, rows)
    for performer in root.findall("documentationOf/serviceEvent/performer"):
        rows.practitioner(performer.find("assignedEntity"))
    for author in root.findall("author/assignedAuthor"):
        if author.find("assignedPerson") is not None:
            rows.practitioner(author)
    keeper = root.find("custodian/assignedCustodian/representedCustodianOrganization")
    if keeper is not None and all(one.get("root") != SOFTWARE for one in keeper.findall("id")):
        rows.organization(keeper)
    for tag in LEFT_OUT:
        rows.left[f"header.{tag}"] += len(root.findall(tag))
    rows.left["header.guardian"] += len(person.findall("guardian"))
    rows.left["header.religiousAffiliationCode"] += len(person.findall("religiousAffiliationCode"))
    return cells


def _sex(element: Element | None) -> str | None:
    if element is None:
        return None
    if element.get("code") in {"U", "UNK"} or element.get("nullFlavor") == "UNK":
        return "unknown"
    return _SEX.get(element.get("code") or "") or ("other" if element.get("code") == "OTH" else None)


def _race(person: Element) -> str | None:
    """Return the race; several, or a word for several, are "multiple"; of a finer code its group is unknown."""
    first = person.find("raceCode")
    if first is None:
        return None
    said = code_of(first)
    if said.value is None:
        return said.display if said.display in {*RACES, "multiple"} else None
    groups = {_RACE.get(one.get("code") or "") for one in (first, *person.findall("sdtc:raceCode"))} - {None}
    if first.get("codeSystem") not in {None, CDC_RACE}:
        return None
    return next(iter(groups)) if len(groups) == 1 else "multiple" if groups else None


def _language(person: Element) -> str | None:
    held = person.find("languageCommunication/languageCode")
    return None if held is None else held.get("code")


def _address(role: Element) -> dict[str, str | None]:
    address = next((one for one in role.findall("addr") if one.get("nullFlavor") is None), None)
    return {} if address is None else {**place(address), "country": joined(address, "country")}


def _names(person: Element) -> dict[str, str | None]:
    """Return given, family and birth family name: the legal name, else the first."""
    names = [one for one in person.findall("name") if one.get("nullFlavor") is None]
    birth = next(
        (part for one in names for part in one.findall("family") if part.get("qualifier") in {"BR", "BIR"}), None
    )
    usual = [one for one in names if one.find("given") is not None or one.get("use") == "L"] or names
    if not usual:
        return {"birth_family_name": words(birth)}
    legal = next((one for one in usual if one.get("use") == "L"), usual[0])
    return {
        "given_name": joined(legal, "given"),
        "family_name": joined(legal, "family"),
        "birth_family_name": words(birth),
    }


def _relatives(root: Element, rows: Rows) -> None:
    for participant in root.findall("participant"):
        entity = participant.find("associatedEntity")
        relative = None if entity is None else under(entity, KEYS["patient"])
        if entity is None or relative is None:
            rows.left["header.participant"] += 1
            continue
        rows.add(
            "relation",
            relation_id=key_of(entity, "relation"),
            relative_id=relative,
            relation=_RELATION.get(code_of(entity.find("code")).value or ""),
        )
