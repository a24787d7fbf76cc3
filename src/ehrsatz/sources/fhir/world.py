"""What belongs to no patient: organizations, payers, locations, practitioners and their roles."""

from __future__ import annotations

from ehrsatz.sources.fhir.elements import address, concept, concepts, contact, human_name, said
from ehrsatz.sources.fhir.reading import BASE, Reading, Resource

PAYERS = ("ins", "pay")  # organization-type
KINDS = ("practice", "hospital", "laboratory", "pharmacy")
INSURANCE = ("private", "medicare", "medicaid", "dual", "national", "none")
PLACES = ("clinic", "emergency", "ward", "icu", "home")
LOCATION = {  # v3-RoleCode, location-physical-type
    "OF": "clinic",
    "OUTPHARM": "clinic",
    "ER": "emergency",
    "ETU": "emergency",
    "HU": "ward",
    "wa": "ward",
    "ICU": "icu",
    "CCU": "icu",
    "PEDICU": "icu",
    "PEDNICU": "icu",
    "PTRES": "home",
    "ho": "home",
}
NPI = "http://hl7.org/fhir/sid/us-npi"


def organization(resource: Resource, here: Reading) -> None:
    """Place an organization, or a payer."""
    types = resource.pop("type", None) or []
    codes = {coding.get("code") for one in types for coding in one.get("coding", [])}
    word = next((one["text"] for one in types if one.get("text") in (*KINDS, *INSURANCE)), None)
    if types and word is None and not codes & {"prov", *PAYERS}:
        here.lose("type")
    is_payer = bool(codes & set(PAYERS))
    key, identifiers = here.key(resource, "payer" if is_payer else "organization")
    here.known_as(identifiers, key)
    name = resource.pop("name", None)
    if resource.get("active") is True:
        del resource["active"]
    if is_payer:
        if identifiers:
            here.lose("identifier", len(identifiers))
        here.add("payer", payer_id=key, name=name, kind=word if word in INSURANCE else None)
        return
    phone, email = contact(here, resource)
    if email is not None:
        here.lose("telecom: further ones")
    place = address(here, resource)
    if place.pop("country") is not None and not here.is_ours:
        here.lose("address.country")
    here.add(
        "organization",
        organization_id=key,
        name=name,
        kind=word if word in KINDS else None,
        identifier=_number(here, identifiers, "organization-number"),
        phone=phone,
        **place,
    )


def location(resource: Resource, here: Reading) -> None:
    """Place a location; by its type, else by what its name says it is."""
    key, identifiers = here.key(resource, "location")
    here.known_as(identifiers, key)
    if identifiers:
        here.lose("identifier", len(identifiers))
    name, types = resource.pop("name", None), resource.pop("type", None) or []
    kind = said(here, "type", types[0], LOCATION, PLACES) if types else None
    if len(types) > 1:
        here.lose("type: further ones", len(types) - 1)
    physical = None
    if "physicalType" in resource:  # not of ours, which says its kind where there is one
        physical = said(here, "physicalType", resource.pop("physicalType"), LOCATION, PLACES)
        kind = kind or _by_name(name)
    for word, usual in (("status", "active"), ("mode", "instance")):
        if resource.get(word) == usual:
            del resource[word]
    owner = here.to("managingOrganization", resource.pop("managingOrganization", None), "Organization")
    here.add("location", location_id=key, organization_id=owner, name=name, kind=kind or physical)


def _by_name(name: str | None) -> str | None:
    if name is None:
        return None
    shown = name.lower()
    words = set(shown.replace("(", " ").replace(")", " ").replace("/", " ").split())
    if "intensive care" in shown or words & {"icu", "micu", "sicu", "ccu", "nicu", "picu", "tsicu", "cvicu"}:
        return "icu"
    return "emergency" if shown.startswith("emergency") else None


def practitioner(resource: Resource, here: Reading) -> None:
    """Place a practitioner; where and on what one works stands in roles."""
    key, identifiers = here.key(resource, "practitioner")
    here.known_as(identifiers, key)
    given, family, maiden = human_name(here, resource)
    if maiden is not None:
        here.lose("name: further ones")
    if resource.get("active") is True:
        del resource["active"]
    here.add(
        "practitioner",
        practitioner_id=key,
        given_name=given,
        family_name=family,
        identifier=_number(here, identifiers, "practitioner-number"),
    )


def role(resource: Resource, here: Reading) -> None:
    """Keep where a practitioner works, and on what, for the practitioner's row."""
    identifiers = resource.pop("identifier", None)
    if identifiers:
        here.lose("identifier", len(identifiers))
    if resource.get("active") is True:
        del resource["active"]
    _, code, specialty = concepts(here, "specialty", resource.pop("specialty", None))
    if code is not None:
        here.lose("specialty.coding")
    here.add(
        "(role)",
        role_id=here.id,
        practitioner_id=here.to("practitioner", resource.pop("practitioner", None), "Practitioner"),
        organization_id=here.to("organization", resource.pop("organization", None), "Organization"),
        specialty=specialty if specialty is not None else code,
    )


def medication(resource: Resource, here: Reading) -> None:
    """Keep a medicine that others refer to: its code, or its first identifier where it has none."""
    identifiers = resource.pop("identifier", None) or []
    if resource.get("status") == "active":
        del resource["status"]
    system, code, display = concept(here, "code", resource.pop("code", None))
    named = next((one for one in identifiers if str(one.get("system", "")).endswith("name")), None)
    if display is None and named is not None:
        display = named.get("value")
        identifiers.remove(named)
    if code is None and identifiers:
        first = identifiers.pop(0)
        system, code = first.get("system"), first.get("value")
    identifiers = [one for one in identifiers if one.get("value") != code]
    if identifiers:
        here.lose("identifier", len(identifiers))
    here.add("(medicine)", medicine_id=here.id, system=system, code=code, display=display)


def _number(here: Reading, identifiers: list[Resource], ours: str) -> str | None:
    """The identifier that is kept: ours, else the national provider's number, else the first."""
    if not identifiers:
        return None
    by_system = {one.get("system"): one for one in reversed(identifiers)}
    taken = by_system.get(f"{BASE}identifier/{ours}") or by_system.get(NPI) or identifiers[0]
    if len(identifiers) > 1:
        here.lose("identifier", len(identifiers) - 1)
    value = taken.get("value")
    return None if value is None else str(value)
