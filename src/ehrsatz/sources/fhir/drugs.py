"""Drugs: ordered, taken as patients say, given; and vaccines.

References
----------
HL7, FHIR R4, MedicationRequest, MedicationStatement, MedicationAdministration, Dosage and Timing; v3-GTSAbbreviation
"""

from __future__ import annotations

import re
from typing import Any

from ehrsatz.sources.fhir.elements import (
    CVX_URI,
    NDC_URI,
    RXNORM_URI,
    concept,
    number,
    period,
    quantity,
    reason,
    when,
    whole,
)
from ehrsatz.sources.fhir.reading import Reading, Resource

STATUS = {
    "active": "active",
    "in-progress": "active",
    "completed": "completed",
    "stopped": "stopped",
    "cancelled": "stopped",
}
NEVER = ("entered-in-error", "draft", "not-taken", "not-done", "intended")
A_DAY = {  # v3-GTSAbbreviation and its usual spellings -> times a day
    "QD": 1.0,
    "DAILY": 1.0,
    "AM": 1.0,
    "PM": 1.0,
    "QAM": 1.0,
    "QPM": 1.0,
    "QHS": 1.0,
    "BED": 1.0,
    "BID": 2.0,
    "TID": 3.0,
    "QID": 4.0,
    "QOD": 0.5,
}
_EVERY = re.compile(r"Q(\d+)H")
UNITS = {"s": 86_400.0, "min": 1_440.0, "h": 24.0, "d": 1.0, "wk": 1 / 7, "mo": 12 / 365.25, "a": 1 / 365.25}


def request(resource: Resource, here: Reading) -> None:
    """Place an order of a drug."""
    if "medication" in resource:
        here.refuse("R5 or newer")
    status = _status(resource, here)
    if not resource:
        return
    if resource.get("intent") == "order":
        del resource["intent"]
    key = here.keyed(resource, "medication")
    ordered = resource.pop("authoredOn", None)
    doses = _dosage(here, "dosageInstruction", _first(here, "dosageInstruction", resource))
    supply = resource.pop("dispenseRequest", None) or {}
    valid_from, valid_to = period(here, "dispenseRequest.validityPeriod", supply.pop("validityPeriod", None))
    begun = doses.pop("from_")
    start = next((one for one in (begun, ordered, valid_from) if one is not None), None)
    for name, one in (("authoredOn", ordered), ("dispenseRequest.validityPeriod.start", valid_from)):
        if one not in (None, start):
            here.lose(name)
    stop = doses.pop("to_")
    if stop is None:
        stop = valid_to
    elif valid_to not in (None, stop):
        here.lose("dispenseRequest.validityPeriod.end")
    refills = whole(here, "dispenseRequest.numberOfRepeatsAllowed", supply.pop("numberOfRepeatsAllowed", None))
    amount, unit, _ = quantity(here, "dispenseRequest.quantity", supply.pop("quantity", None))
    if unit is not None:
        here.lose("dispenseRequest.quantity.unit")
    if supply:
        here.rest("dispenseRequest", supply)
    why = concept(here, "statusReason", resource.pop("statusReason", None))
    _add(
        resource,
        here,
        key,
        doses,
        start=start,
        stop=stop,
        encounter=here.to("encounter", resource.pop("encounter", None), "Encounter"),
        practitioner=here.to("requester", resource.pop("requester", None), "Practitioner"),
        refills=refills,
        quantity=amount,
        stop_reason=why[2] if why[2] is not None else why[1],
        status=status,
    )


def statement(resource: Resource, here: Reading) -> None:
    """Place a drug that a patient is said to take."""
    if "medication" in resource:
        here.refuse("R5 or newer")
    status = _status(resource, here)
    if not resource:
        return
    key = here.keyed(resource, "medication")
    start, stop = when(here, resource, "effective")
    said = resource.pop("dateAsserted", None)
    doses = _dosage(here, "dosage", _first(here, "dosage", resource))
    begun, ended = doses.pop("from_"), doses.pop("to_")
    if start is None:
        start = begun if begun is not None else said
    if said not in (None, start):
        here.lose("dateAsserted")
    _add(
        resource,
        here,
        key,
        doses,
        start=start,
        stop=stop if stop is not None else ended,
        encounter=here.to("context", resource.pop("context", None), "Encounter"),
        practitioner=here.to("informationSource", resource.pop("informationSource", None), "Practitioner"),
        refills=None,
        quantity=None,
        stop_reason=None,
        status=status,
    )


def administration(resource: Resource, here: Reading) -> None:
    """Place a drug that was given."""
    if "medication" in resource:
        here.refuse("R5 or newer")
    status = _status(resource, here)
    if not resource:
        return
    key = here.keyed(resource, "medication")
    start, stop = when(here, resource, "effective")
    given = resource.pop("dosage", None) or {}
    doses = _dosage(here, "dosage", {"route": given.pop("route", None)})
    doses["dose"], doses["dose_unit"], _ = quantity(here, "dosage.dose", given.pop("dose", None))
    del doses["from_"], doses["to_"]
    if given:
        here.rest("dosage", given)
    people = resource.pop("performer", None) or []
    who = here.to("performer.actor", people[0].pop("actor", None), "Practitioner") if people else None
    if people and people[0]:
        here.rest("performer", people[0])
    if people[1:]:
        here.lose("performer: further ones", len(people) - 1)
    _add(
        resource,
        here,
        key,
        doses,
        start=start,
        stop=stop,
        encounter=here.to("context", resource.pop("context", None), "Encounter"),
        practitioner=who,
        refills=None,
        quantity=None,
        stop_reason=None,
        status=status,
    )


def _add(
    resource: Resource,
    here: Reading,
    key: str | None,
    doses: dict[str, Any],
    *,
    encounter: str | None,
    practitioner: str | None,
    **cells: Any,
) -> None:
    pointed = here.to("medicationReference", resource.pop("medicationReference", None), "Medication")
    system, code, display = concept(
        here, "medicationCodeableConcept", resource.pop("medicationCodeableConcept", None), (RXNORM_URI, NDC_URI)
    )
    reason_code, _, condition = reason(here, resource)
    here.add(
        "medication",
        medication_id=key,
        patient_id=here.to("subject", resource.pop("subject", None), "Patient"),
        encounter_id=encounter,
        practitioner_id=practitioner,
        medicine_id=pointed,
        system=system,
        code=code,
        display=display,
        reason_code=reason_code,
        reason_of=condition,
        **doses,
        **cells,
    )


def _status(resource: Resource, here: Reading) -> str | None:
    """Take the status; a resource of what never was is emptied and counted."""
    status = resource.pop("status", None)
    if status in NEVER:
        here.leave(str(status))
        resource.clear()
        return None
    word = STATUS.get(status or "")
    if word is None and status not in (None, "unknown"):
        here.lose("status")
    return word


def _first(here: Reading, name: str, resource: Resource) -> Resource:
    found = resource.pop(name, None) or [{}]
    if len(found) > 1:
        here.lose(f"{name}: further ones", len(found) - 1)
    return found[0]


def _dosage(here: Reading, name: str, dosage: Resource) -> dict[str, Any]:
    """Take dose, route, times a day and bounds of a Dosage; what is left of it is counted."""
    own = here.extensions(dosage)
    dosage.pop("sequence", None)
    _, code, shown = concept(here, f"{name}.route", dosage.pop("route", None))
    amounts = dosage.pop("doseAndRate", None) or [{}]
    if len(amounts) > 1:
        here.lose(f"{name}.doseAndRate: further ones", len(amounts) - 1)
    dose, unit, text = quantity(here, f"{name}.doseQuantity", amounts[0].pop("doseQuantity", None))
    if text is not None:
        here.lose(f"{name}.doseQuantity.comparator")
    if amounts[0]:
        here.rest(f"{name}.doseAndRate", amounts[0])
    timing = dosage.pop("timing", None) or {}
    repeat = timing.pop("repeat", None) or {}
    begun, ended = period(here, f"{name}.timing.repeat.boundsPeriod", repeat.pop("boundsPeriod", None))
    rate = _rate(here, name, timing, repeat)
    for place, element in ((f"{name}.timing.repeat", repeat), (f"{name}.timing", timing), (name, dosage)):
        if element:
            here.rest(place, element)
    exact = own.get("doses-per-day")
    return {
        "dose": dose,
        "dose_unit": unit,
        "route": shown if shown is not None else code,
        "per_day": number(exact) if exact is not None else rate,
        "from_": begun,
        "to_": ended,
    }


def _rate(here: Reading, name: str, timing: Resource, repeat: Resource) -> float | None:
    """How often a day, by how often in which time, else by the usual abbreviation."""
    rate = None
    length, unit = repeat.get("period"), UNITS.get(repeat.get("periodUnit", ""))
    if length and unit:
        rate = repeat.pop("frequency", 1) / length * unit
        del repeat["period"], repeat["periodUnit"]
    if "code" in timing:
        _, code, shown = concept(here, f"{name}.timing.code", timing.pop("code"))
        word = str(code if code is not None else shown).upper()
        every = _EVERY.fullmatch(word)
        told = 24 / int(every[1]) if every and int(every[1]) else A_DAY.get(word)
        if told is None:
            here.lose(f"{name}.timing.code")
        rate = rate if rate is not None else told
    return rate


# ---------------------------------------------------------------------- vaccines
def immunization(resource: Resource, here: Reading) -> None:
    """Place a vaccine given; one that was not is left out."""
    status = resource.pop("status", None)
    if status in ("not-done", "entered-in-error"):
        here.leave(str(status))
        resource.clear()
        return
    key = here.keyed(resource, "immunization")
    system, code, display = concept(here, "vaccineCode", resource.pop("vaccineCode", None), (CVX_URI,))
    if resource.get("primarySource") is True:
        del resource["primarySource"]
    if resource.get("occurrenceString") == "unknown":
        del resource["occurrenceString"]
    _, place, shown = concept(here, "site", resource.pop("site", None))
    protocols = resource.pop("protocolApplied", None) or [{}]
    if len(protocols) > 1:
        here.lose("protocolApplied: further ones", len(protocols) - 1)
    told = protocols[0].pop("doseNumberPositiveInt", None)
    if told is None:
        told = protocols[0].pop("doseNumberString", None)
    if protocols[0]:
        here.rest("protocolApplied", protocols[0])
    here.add(
        "immunization",
        immunization_id=key,
        patient_id=here.to("patient", resource.pop("patient", None), "Patient"),
        encounter_id=here.to("encounter", resource.pop("encounter", None), "Encounter"),
        system=system,
        code=code,
        display=display,
        time=resource.pop("occurrenceDateTime", None),
        dose_number=whole(here, "protocolApplied.doseNumber", told),
        site=shown if shown is not None else place,
        lot=resource.pop("lotNumber", None),
    )
