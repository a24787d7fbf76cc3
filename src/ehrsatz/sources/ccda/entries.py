"""Entries of encounters, problems, allergies, procedures and devices: one function per section."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ehrsatz.layouts.ccda import (
    ACT_CLASSES,
    ALLERGY_TYPES,
    DISPOSITIONS,
    HSLOC,
    OTHER_ALLERGY_TYPES,
    PLACES,
    SERIAL,
    SEVERITIES,
    WORDS,
)
from ehrsatz.sources.ccda.parse import (
    code_of,
    is_ours,
    key_of,
    span,
    templates,
    time_of,
    under,
    words,
)
from ehrsatz.sources.ccda.rows import Rows, T, diagnosis, encounter_of, inner, is_main, reason_code

_DISPOSITION = {value: name for name, value in DISPOSITIONS.items()} | {
    "04": "skilled nursing",
    "05": "transferred",
    "50": "hospice",
    "51": "hospice",
    "43": "transferred",
    "61": "skilled nursing",
    "62": "transferred",
    "63": "transferred",
    "65": "transferred",
    "41": "died",
}
_PLACE = {value: name for name, (value, _) in PLACES.items()}
_ALLERGY = {value: name for name, (value, _) in ALLERGY_TYPES.items()} | OTHER_ALLERGY_TYPES
_SEVERITY = {value: name for name, (value, _) in SEVERITIES.items()} | {
    "371923003": "mild",
    "371924009": "moderate",
    "399166001": "severe",
}
_PROBLEM = {"55561003": "active", "413322009": "resolved", "73425007": "resolved"}


def encounters(entry: Element, rows: Rows) -> None:
    """Add an encounter."""
    for element in entry.findall("encounter"):
        found = inner(element)
        code = element.find("code")
        named = code_of(code)
        own = next((one.get("code") for one in ([] if code is None else code) if one.get("codeSystem") == WORDS), None)
        acts = [] if code is None else [code.get("code"), *(one.get("code") for one in code.findall("translation"))]
        kind = own or next((ACT_CLASSES[one] for one in acts if one in ACT_CLASSES), None)
        start, stop = span(element.find("effectiveTime"))
        performer = element.find("performer/assignedEntity")
        house = None if performer is None else rows.organization(performer.find("representedOrganization"))
        who = None if performer is None else rows.practitioner(_alone(performer))
        reason = found.reason
        if reason is None:
            act = found.take(f"{T}80")
            reason = None if act is None else act.find("entryRelationship/observation")
        why = code_of(None) if reason is None else diagnosis(reason.find("value"))[0]
        discharge = element.find("sdtc:dischargeDispositionCode")
        rows.add(
            "encounter",
            encounter_id=key_of(element, "encounter"),
            part_of_id=key_of(found.links[0], "encounter") if found.links else None,
            practitioner_id=who,
            organization_id=house,
            location_id=_location(element, rows),
            code=named.value,
            system=named.system,
            display=named.display,
            reason_code=why.value,
            reason_display=why.display,
            start=start,
            stop=stop,
            disposition=None if discharge is None else _DISPOSITION.get(discharge.get("code") or ""),
            **{"class": kind},
        )
        found.count(rows.left, "encounters")


def _alone(performer: Element) -> Element:
    """Return a performer without the house of this visit: a practitioner's own stands in the header."""
    if not is_ours(performer, "practitioner"):
        return performer
    out = Element("assignedEntity")
    out.extend(one for one in performer if one.tag != "representedOrganization")
    return out


def _location(element: Element, rows: Rows) -> str | None:
    for participant in element.findall("participant"):
        role = participant.find("participantRole")
        if participant.get("typeCode") != "LOC" or role is None:
            continue
        entity = role.find("playingEntity")
        name = None if entity is None else words(entity.find("name"))
        kind = role.find("code")
        held = kind is not None and kind.get("codeSystem") == HSLOC
        return rows.world(
            "location",
            key_of(role, "location") or name,
            name=name,
            kind=_PLACE.get(kind.get("code") or "") if held and kind is not None else None,
            organization_id=key_of(role.find("scopingEntity"), "organization"),
        )
    return None


def problems(entry: Element, rows: Rows, patient: dict[str, object]) -> None:
    """Add a condition per problem observation, or the cause of death."""
    for observation in entry.findall("observation"):
        if f"{T}79" in templates(observation):
            _death(observation, rows, patient)
        else:
            _condition(observation, None, rows)
    for act in entry.findall("act"):
        held = inner(act)
        for _, child in list(held.rest):
            if child.tag == "observation" and is_main(child, f"{T}4"):
                held.rest.remove(next(one for one in held.rest if one[1] is child))
                _condition(child, act, rows)
        held.count(rows.left, "problems")


def _death(observation: Element, rows: Rows, patient: dict[str, object]) -> None:
    found = inner(observation)
    cause = found.take(f"{T}4", kind="CAUS")
    if cause is not None:
        patient["death_cause"] = diagnosis(cause.find("value"))[0].value
    if patient.get("death_time") is None:
        patient["death_time"] = span(observation.find("effectiveTime"))[0]
    found.count(rows.left, "problems")


def _condition(observation: Element, act: Element | None, rows: Rows) -> None:
    if observation.get("negationInd") == "true":
        rows.left["problems.negationInd"] += 1
        return
    found = inner(observation)
    code, snomed = diagnosis(observation.find("value"))
    value = observation.find("value")
    if is_ours(observation, "condition"):
        other = None if value is None else value.find("translation")
        code = code_of(other)
        snomed = code_of(value)
    start, stop = span(observation.find("effectiveTime"))
    status = found.take(f"{T}6")
    said = None if status is None else _PROBLEM.get(code_of(status.find("value")).value or "")
    state = None if act is None else (act.find("statusCode"))
    word = {"active": "active", "completed": "resolved"}.get("" if state is None else state.get("code") or "")
    author = observation.find("author")
    if author is None and act is not None:
        author = act.find("author")
    if author is not None:
        rows.practitioner(author.find("assignedAuthor"))
    rows.add(
        "condition",
        condition_id=key_of(observation, "condition"),
        encounter_id=encounter_of(found),
        code=code.value,
        system=code.system,
        display=code.display,
        snomed_code=None if snomed is None else snomed.value,
        snomed_display=None if snomed is None else snomed.display,
        stage=found.words.get("stage"),
        onset=start,
        recorded=None if author is None else time_of(author.find("time")),
        abatement=stop,
        status=said or word,
    )
    found.count(rows.left, "problems")


def allergies(entry: Element, rows: Rows) -> None:
    """Add an allergy per observation of a concern."""
    for act in entry.findall("act"):
        held = inner(act)
        for _, child in list(held.rest):
            if child.tag == "observation" and is_main(child, f"{T}7"):
                held.rest.remove(next(one for one in held.rest if one[1] is child))
                _allergy(child, rows)
        held.count(rows.left, "allergies")
    for observation in entry.findall("observation"):
        _allergy(observation, rows)


def _allergy(observation: Element, rows: Rows) -> None:
    if observation.get("negationInd") == "true":
        rows.left["allergies.negationInd"] += 1
        return
    found = inner(observation)
    reaction = found.take(f"{T}9", kind="MFST")
    severity = found.take(f"{T}8")
    if reaction is not None:
        nested = inner(reaction)
        of_reaction = nested.take(f"{T}8")
        severity = severity if of_reaction is None else of_reaction
        nested.count(rows.left, "allergies")
    felt = code_of(None if reaction is None else reaction.find("value"))
    substance = code_of(observation.find("participant/participantRole/playingEntity/code"))
    kind = code_of(observation.find("value"))
    rows.add(
        "allergy",
        allergy_id=key_of(observation, "allergy"),
        encounter_id=encounter_of(found),
        system=substance.system,
        code=substance.value,
        display=substance.display,
        category=_ALLERGY.get(kind.value or ""),
        reaction_code=felt.value,
        reaction_display=felt.display,
        severity=None if severity is None else _SEVERITY.get(code_of(severity.find("value")).value or ""),
        onset=span(observation.find("effectiveTime"))[0],
    )
    found.count(rows.left, "allergies")


def procedures(entry: Element, rows: Rows) -> None:
    """Add a procedure; acts and observations that are procedures, too."""
    for element in [one for tag in ("procedure", "act", "observation") for one in entry.findall(tag)]:
        mood = element.get("moodCode", "EVN")
        if element.get("negationInd") == "true" or mood != "EVN":
            rows.left["procedures.negationInd" if mood == "EVN" else f"procedures.moodCode {mood}"] += 1
            continue
        found = inner(element)
        code = code_of(element.find("code"))
        start, stop = span(element.find("effectiveTime"))
        rows.add(
            "procedure",
            procedure_id=key_of(element, "procedure"),
            encounter_id=encounter_of(found),
            practitioner_id=rows.practitioner(element.find("performer/assignedEntity")),
            code=code.value,
            system=code.system,
            display=code.display,
            start=start,
            stop=stop,
            reason_code=reason_code(found),
        )
        found.count(rows.left, "procedures")


def equipment(entry: Element, rows: Rows) -> None:
    """Add a device."""
    for element in [*entry.findall("supply"), *entry.findall("procedure")]:
        found = inner(element)
        role = next(
            (
                one.find("participantRole")
                for one in element.findall("participant")
                if one.get("typeCode") in {"PRD", "DEV"}
            ),
            None,
        )
        code = code_of(None if role is None else role.find("playingDevice/code"))
        if role is None:
            code = code_of(element.find("product/manufacturedProduct/manufacturedMaterial/code"))
        start, stop = span(element.find("effectiveTime"))
        serial = under(role, SERIAL)
        if serial is None and role is not None and not is_ours(element, "device"):
            serial = next((one.get("extension") for one in role.findall("id") if one.get("extension")), None)
        rows.add(
            "device",
            device_id=key_of(element, "device"),
            encounter_id=encounter_of(found),
            code=code.value,
            system=code.system,
            display=code.display,
            start=start,
            stop=stop,
            serial=serial,
        )
        found.count(rows.left, "equipment")
