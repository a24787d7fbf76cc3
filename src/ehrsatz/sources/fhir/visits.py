"""Encounters.

References
----------
HL7, FHIR R4, value sets v3-ActEncounterCode and encounter-discharge-disposition; NUBC patient discharge status
"""

from __future__ import annotations

from ehrsatz.clinical import CLASSES, DISPOSITIONS
from ehrsatz.sources.fhir.elements import concepts, period, reason, said
from ehrsatz.sources.fhir.reading import Reading, Resource

CLASS = {
    "AMB": "ambulatory",
    "PRENC": "ambulatory",
    "SS": "ambulatory",
    "EMER": "emergency",
    "IMP": "inpatient",
    "ACUTE": "inpatient",
    "NONAC": "inpatient",
    "OBSENC": "inpatient",
    "HH": "home",
    "VR": "virtual",
}
ACUTE = "ACUTE"  # of a stay within a stay in an intensive care unit: the icu
LEADING = ("ATND", "PPRF")  # participants that lead an encounter
DISPOSITION = {  # codes of FHIR, of the NUBC, and words that hospitals use as codes
    "home": "home",
    "alt-home": "home",
    "aadvice": "home",
    "other-hcf": "transferred",
    "hosp": "hospice",
    "long": "skilled nursing",
    "psy": "transferred",
    "rehab": "transferred",
    "snf": "skilled nursing",
    "exp": "died",
    "01": "home",
    "02": "transferred",
    "03": "skilled nursing",
    "06": "home health",
    "07": "home",
    "20": "died",
    "50": "hospice",
    "51": "hospice",
    "HOME": "home",
    "HOME HEALTH CARE": "home health",
    "SKILLED NURSING FACILITY": "skilled nursing",
    "HOSPICE": "hospice",
    "DIED": "died",
    "EXPIRED": "died",
    "ACUTE HOSPITAL": "transferred",
    "PSYCH FACILITY": "transferred",
    "REHAB": "transferred",
    "CHRONIC/LONG TERM ACUTE CARE": "transferred",
    "OTHER FACILITY": "transferred",
    "TRANSFER": "transferred",
    "AGAINST ADVICE": "home",
    "LEFT AGAINST MEDICAL ADVICE": "home",
}
NEVER = ("cancelled", "entered-in-error", "planned")


def encounter(resource: Resource, here: Reading) -> None:
    """Place an encounter; one that did not take place is left out."""
    status = resource.pop("status", None)
    if status in NEVER:
        here.leave(str(status))
        resource.clear()
        return
    if status not in ("finished", "unknown", None):
        here.lose("status")
    if isinstance(resource.get("class"), list):
        here.refuse("R5 or newer")
    if isinstance(resource.get("class"), str):
        here.refuse("STU3 or older")
    key = here.keyed(resource, "encounter")
    here_class = resource.pop("class", None) or {}
    code = here_class.get("code")
    word = here.extensions(resource).get("encounter-class") or CLASS.get(code or "")
    if word not in CLASSES and not str(here_class.get("system", "")).endswith("v3-NullFlavor") and here_class:
        here.lose("class: other words")
    start, stop = period(here, "period", resource.pop("period", None))
    system, kind, display = concepts(here, "type", resource.pop("type", None))
    reason_code, reason_display, condition = reason(here, resource)
    here.add(
        "encounter",
        encounter_id=key,
        patient_id=here.to("subject", resource.pop("subject", None), "Patient"),
        part_of_id=here.to("partOf", resource.pop("partOf", None), "Encounter"),
        practitioner_id=_leader(resource, here),
        organization_id=here.to("serviceProvider", resource.pop("serviceProvider", None), "Organization"),
        location_id=_place(resource, here),
        **{"class": word},
        class_code=code,
        system=system,
        code=kind,
        display=display,
        reason_code=reason_code,
        reason_display=reason_display,
        reason_of=condition,
        start=start,
        stop=stop,
        disposition=_disposition(resource, here),
    )


def _leader(resource: Resource, here: Reading) -> str | None:
    """The practitioner who leads, else the first; other participants are counted."""
    people = resource.pop("participant", None)
    if not people:
        return None

    def leads(one: Resource) -> bool:
        return any(c.get("code") in LEADING for kind in one.get("type", []) for c in kind.get("coding", []))

    taken = people[0]
    if len(people) > 1:
        taken = next((one for one in people if leads(one)), taken)
        here.lose("participant: further ones", len(people) - 1)
    if leads(taken):
        del taken["type"]
    found = here.to("participant.individual", taken.pop("individual", None), "Practitioner")
    span = taken.pop("period", None)
    if span is not None:
        here.lose("participant.period")
    if taken:
        here.rest("participant", taken)
    return found


def _place(resource: Resource, here: Reading) -> str | None:
    places = resource.pop("location", None)
    if not places:
        return None
    if len(places) > 1:
        here.lose("location: further ones", len(places) - 1)
    found = here.to("location.location", places[0].pop("location", None), "Location")
    if places[0]:
        here.rest("location", places[0])
    return found


def _disposition(resource: Resource, here: Reading) -> str | None:
    stay = resource.pop("hospitalization", None)
    if stay is None:
        return None
    name = "hospitalization.dischargeDisposition"
    word = said(here, name, stay.pop("dischargeDisposition", None), DISPOSITION, DISPOSITIONS)
    if stay:
        here.rest("hospitalization", stay)
    return word
