"""Patients, their relatives and their insurance.

References
----------
HL7, US Core 5.0.1, us-core-patient, us-core-race, us-core-ethnicity, us-core-birthsex; FHIR R4, v3-MaritalStatus
"""

from __future__ import annotations

from typing import Any

from ehrsatz.clinical import MARITAL, RACES, RELATIONS
from ehrsatz.sources.fhir.elements import address, concept, contact, human_name, number, period, said
from ehrsatz.sources.fhir.reading import BASE, Reading, Resource

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
RACE = {
    "2106-3": "white",
    "2054-5": "black",
    "2028-9": "asian",
    "1002-5": "native",
    "2076-8": "pacific",
    "2131-1": "other",
}
ETHNICITY = {"2135-2": "hispanic", "2186-5": "not hispanic"}
WED = {"S": "never married", "M": "married", "D": "divorced", "W": "widowed"}
SEX_AT_BIRTH = {"F": "female", "M": "male", "UNK": "unknown"}
RELATIVE = {
    "MTH": "mother",
    "NMTH": "mother",
    "FTH": "father",
    "NFTH": "father",
    "CHILD": "child",
    "NCHILD": "child",
    "SON": "child",
    "SONC": "child",
    "DAU": "child",
    "DAUC": "child",
    "SPS": "spouse",
    "HUSB": "spouse",
    "WIFE": "spouse",
    "SIB": "sibling",
    "NSIB": "sibling",
    "BRO": "sibling",
    "SIS": "sibling",
}
SSN = "http://hl7.org/fhir/sid/us-ssn"
WORDS = ("education", "housing", "insurance", "smoking", "alcohol", "activity", "blood_group")
NOBODY = "(named)"  # first part of the key of a payer that is known by name alone


def patient(resource: Resource, here: Reading) -> None:
    """Place a patient."""
    key, identifiers = here.key(resource, "patient")
    here.known_as(identifiers, key)
    record_number, national_id = _numbers(here, identifiers)
    own = here.extensions(resource)
    given, family, maiden = human_name(here, resource)
    phone, email = contact(here, resource)
    if resource.get("active") is True:
        del resource["active"]
    for name in ("deceasedBoolean", "multipleBirthBoolean"):
        if resource.get(name) is False:
            del resource[name]
    cause = concept(here, "extension death-cause", own.get("death-cause"))[1]
    income = own.get("income") or {}
    sex, race, ethnicity = _groups(resource, here, resource.pop("gender", None))
    here.add(
        "patient",
        patient_id=key,
        birth_date=resource.pop("birthDate", None),
        death_time=resource.pop("deceasedDateTime", None),
        death_cause=cause,
        sex=sex,
        race=race,
        ethnicity=ethnicity,
        given_name=given,
        family_name=family,
        birth_family_name=maiden if maiden is not None else own.get("birth-family-name"),
        phone=phone,
        email=email,
        national_id=national_id,
        record_number=record_number,
        language=_language(resource, here),
        marital_status=said(here, "maritalStatus", resource.pop("maritalStatus", None), WED, MARITAL),
        income=number(income.get("value")),
        **{name: own.get(name.replace("_", "-")) for name in WORDS},
        **address(here, resource),
    )


def _numbers(here: Reading, identifiers: list[Resource]) -> tuple[str | None, str | None]:
    """Medical record number (the first identifier of no type where none is called so) and national number."""
    record = national = None
    others: list[Resource] = []
    for one in identifiers:
        system = one.get("system")
        types = {coding.get("code") for coding in one.get("type", {}).get("coding", [])}
        if record is None and ("MR" in types or system == f"{BASE}identifier/record-number"):
            record = one.get("value")
        elif national is None and (
            types & {"SS", "NI"} or system in (SSN, f"{BASE}identifier/national-id", "urn:oid:2.16.840.1.113883.4.1")
        ):
            national = one.get("value")
        else:
            others.append(one)
    plain = next((one for one in others if "type" not in one), None)
    if record is None and plain is not None:
        others.remove(plain)
        record = plain.get("value")
    if others:
        here.lose("identifier", len(others))
    return record, national


def _groups(resource: Resource, here: Reading, sex: str | None) -> tuple[str | None, str | None, str | None]:
    """Take sex, race and ethnicity as US Core writes them out of the extensions."""
    race = ethnicity = None
    others = []
    for one in resource.pop("extension", None) or []:
        url = one.get("url", "")
        name = url[len(US_CORE) :] if url.startswith(US_CORE) else ""
        if name == "race":
            race = _race(here, one.get("extension", []))
        elif name == "ethnicity":
            ethnicity = _ethnicity(here, one.get("extension", []))
        elif name == "birthsex" and (
            sex is None or one.get("valueCode") == {v: k for k, v in SEX_AT_BIRTH.items()}.get(sex)
        ):
            sex = sex or SEX_AT_BIRTH.get(one.get("valueCode", ""))
        else:
            others.append(one)
    if others:
        resource["extension"] = others
    return sex, race, ethnicity


def _race(here: Reading, parts: list[Resource]) -> str | None:
    text, codes = _omb(here, parts)
    if text in RACES:
        return text
    known = sorted({RACE[code] for code in codes if code in RACE})
    return "multiple" if len(known) > 1 else known[0] if known else None


def _ethnicity(here: Reading, parts: list[Resource]) -> str | None:
    text, codes = _omb(here, parts)
    if text in ETHNICITY.values():
        return text
    return next((ETHNICITY[code] for code in codes if code in ETHNICITY), None)


def _omb(here: Reading, parts: list[Resource]) -> tuple[str | None, list[str]]:
    text, codes = None, []
    for part in parts:
        if part.get("url") == "text":
            text = part.get("valueString")
        elif part.get("url") == "ombCategory":
            codes.append(part.get("valueCoding", {}).get("code", ""))
        else:
            here.lose(f"extension race or ethnicity {part.get('url')}")
    return text, codes


def _language(resource: Resource, here: Reading) -> str | None:
    spoken = resource.pop("communication", None) or []
    if not spoken:
        return None
    if len(spoken) > 1:
        here.lose("communication: further ones", len(spoken) - 1)
    _, code, display = concept(here, "communication.language", spoken[0].pop("language", None))
    if spoken[0]:
        here.rest("communication", spoken[0])
    return code if code is not None else display


def relative(resource: Resource, here: Reading) -> None:
    """Place a relative who has a record; others are counted, as there is no place for persons without one."""
    key, identifiers = here.key(resource, "relation")
    system = f"{BASE}identifier/patient"
    record = next((one["value"] for one in identifiers if one.get("system") == system), None)
    if record is None:
        here.leave("relatives without a record")
        resource.clear()
        return
    others = sum(one.get("system") != system for one in identifiers)
    if others:
        here.lose("identifier", others)
    for name in ("name", "gender", "birthDate", "active"):  # as the relative's own record says
        resource.pop(name, None)
    kinds = resource.pop("relationship", None) or [None]
    if len(kinds) > 1:
        here.lose("relationship: further ones", len(kinds) - 1)
    here.add(
        "relation",
        relation_id=key,
        patient_id=here.to("patient", resource.pop("patient", None), "Patient"),
        relative_id=record,
        relation=said(here, "relationship", kinds[0], RELATIVE, RELATIONS),
    )


def coverage(resource: Resource, here: Reading) -> None:
    """Place an insurance; a payer that has a name alone becomes one of that name."""
    key = here.keyed(resource, "coverage")
    start, stop = period(here, "period", resource.pop("period", None))
    payors = resource.pop("payor", None) or [{}]
    if len(payors) > 1:
        here.lose("payor: further ones", len(payors) - 1)
    payer, named = payer_of(here, payors[0])
    if resource.get("status") == "active":
        del resource["status"]
    relationship: Any = resource.get("relationship")
    if relationship and [one.get("code") for one in relationship.get("coding", [])] == ["self"]:
        del resource["relationship"]
    beneficiary = resource.pop("beneficiary", None)
    if beneficiary is not None and resource.get("subscriber") == beneficiary:
        del resource["subscriber"]
    here.add(
        "coverage",
        coverage_id=key,
        patient_id=here.to("beneficiary", beneficiary, "Patient"),
        payer_id=payer,
        payer_name=named,
        member_number=resource.pop("subscriberId", None),
        start=start,
        stop=stop,
    )


def payer_of(here: Reading, payor: Resource) -> tuple[str | None, str | None]:
    """Return id and name of the organization that pays; the name only where there is no more."""
    shown = payor.get("display")
    if "reference" in payor or "identifier" in payor or shown in (None, "unknown", "self-pay"):
        return here.to("payor", payor, "Organization"), None
    return None, str(shown)
