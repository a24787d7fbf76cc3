"""Entries of all sections but observations: one function per section."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ehrsatz.layouts.ccda import (
    ACT_CLASSES,
    ALLERGY_TYPES,
    DISPOSITIONS,
    GOALS,
    HSLOC,
    KEYS,
    MEMBER,
    OTHER_ALLERGY_TYPES,
    PAYERS,
    PLACES,
    ROUTES,
    SERIAL,
    SEVERITIES,
    WORDS,
)
from ehrsatz.sources.ccda.parse import (
    TYPE,
    code_of,
    date_of,
    is_ours,
    key_of,
    number_of,
    span,
    templates,
    time_of,
    under,
    value_of,
    words,
)
from ehrsatz.sources.ccda.rows import Inner, Rows, T, diagnosis, inner, is_main, label, reason_code

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
_ROUTE = {value: name for name, (value, _) in ROUTES.items()}
_GOAL = {value: name for name, (value, _) in GOALS.items()}
_PAYER = {value: name for name, (value, _) in PAYERS.items()}
_PROBLEM = {"55561003": "active", "413322009": "resolved", "73425007": "resolved"}
PERIOD_HOURS = {"h": 1.0, "d": 24.0, "wk": 168.0, "min": 1 / 60, "mo": 730.5}


def _link(found: Inner, rows: Rows) -> str | None:
    """Return the encounter of an entry: named as one, else referred to."""
    if found.has_encounter:
        return found.encounter
    return key_of(found.links[0], "encounter") if found.links else None


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
        encounter_id=_link(found, rows),
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
        encounter_id=_link(found, rows),
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


def medications(entry: Element, rows: Rows) -> None:
    """Add a medication."""
    for element in entry.findall("substanceAdministration"):
        if element.get("negationInd") == "true":
            rows.left["medications.negationInd"] += 1
            continue
        found = inner(element)
        start, stop, per_day = _when(element)
        dose, route = element.find("doseQuantity"), element.find("routeCode")
        supply = found.take(f"{T}17")
        repeats = None if supply is None else supply.find("repeatNumber")
        amount = None if supply is None else supply.find("quantity")
        fills = number_of(None if repeats is None else repeats.get("value"))
        author = element.find("author/assignedAuthor")
        who = rows.practitioner(author if author is not None else element.find("performer/assignedEntity"))
        drug = code_of(element.find("consumable/manufacturedProduct/manufacturedMaterial/code"))
        way = code_of(route)
        state = element.find("statusCode")
        words_of_ours = found.words
        often = number_of(words_of_ours.get("doses a day"))
        rows.add(
            "medication",
            medication_id=key_of(element, "medication"),
            encounter_id=_link(found, rows),
            practitioner_id=who,
            code=drug.value,
            system=drug.system,
            display=drug.display,
            start=start,
            stop=stop,
            dose=number_of(None if dose is None else dose.get("value")),
            dose_unit=words_of_ours.get("dose unit", None if dose is None else dose.get("unit")),
            route=_ROUTE.get(way.value or "")
            or (way.display if way.value is None else (way.display or "").lower() or None),
            per_day=per_day if often is None else often,
            refills=None if fills is None else int(fills) - 1,
            quantity=number_of(None if amount is None else amount.get("value")),
            reason_code=reason_code(found),
            stop_reason=words_of_ours.get("stop reason"),
            status={"active": "active", "completed": "completed", "aborted": "stopped", "suspended": "stopped"}.get(
                "" if state is None else state.get("code") or ""
            ),
        )
        found.count(rows.left, "medications")


def _when(element: Element) -> tuple[object, object, float | None]:
    """Return begin, end, and doses a day."""
    start = stop = None
    per_day: float | None = None
    for time in element.findall("effectiveTime"):
        if (time.get(TYPE) or "").endswith("PIVL_TS"):
            period = time.find("period")
            size = number_of(None if period is None else period.get("value"))
            hours = PERIOD_HOURS.get("" if period is None else period.get("unit") or "")
            if size and hours:
                per_day = round(24.0 / (size * hours), 6)
        else:
            begun, ended = span(time)
            start, stop = start or begun, stop or ended
    return start, stop, per_day


def immunizations(entry: Element, rows: Rows) -> None:
    """Add an immunization."""
    for element in entry.findall("substanceAdministration"):
        if element.get("negationInd") == "true":
            rows.left["immunizations.negationInd"] += 1
            continue
        found = inner(element)
        vaccine = code_of(element.find("consumable/manufacturedProduct/manufacturedMaterial/code"))
        number = element.find("repeatNumber")
        dose = number_of(None if number is None else number.get("value"))
        site = code_of(element.find("approachSiteCode"))
        rows.add(
            "immunization",
            immunization_id=key_of(element, "immunization"),
            encounter_id=_link(found, rows),
            code=vaccine.value,
            system=vaccine.system,
            display=vaccine.display,
            time=span(element.find("effectiveTime"))[0],
            dose_number=None if dose is None else int(dose),
            site=site.display if site.display is not None else site.value,
            lot=words(element.find("consumable/manufacturedProduct/manufacturedMaterial/lotNumberText")),
        )
        found.count(rows.left, "immunizations")


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
            encounter_id=_link(found, rows),
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
            encounter_id=_link(found, rows),
            code=code.value,
            system=code.system,
            display=code.display,
            start=start,
            stop=stop,
            serial=serial,
        )
        found.count(rows.left, "equipment")


def plans(entry: Element, rows: Rows) -> None:
    """Add a care plan; what else is planned is counted."""
    for element in entry:
        if element.tag == "observation" and f"{T}121" in templates(element):
            goals(entry, rows)
        elif element.tag == "act" and (is_ours(element, "careplan") or f"{T}39" in templates(element)):
            found = inner(element)
            code = code_of(element.find("code"))
            start, stop = span(element.find("effectiveTime"))
            state = element.find("statusCode")
            rows.add(
                "careplan",
                careplan_id=key_of(element, "careplan"),
                encounter_id=_link(found, rows),
                code=code.value,
                system=code.system,
                display=code.display,
                start=start,
                stop=stop,
                reason_code=reason_code(found),
                status={"active": "active", "completed": "completed"}.get(
                    "" if state is None else state.get("code") or ""
                ),
            )
            found.count(rows.left, "plan")
        else:
            rows.left[f"plan.{label(element)}"] += 1


def goals(entry: Element, rows: Rows) -> None:
    """Add a goal."""
    for element in entry.findall("observation"):
        found = inner(element)
        code = code_of(element.find("code"))
        said = element.find("code/originalText")
        value = element.find("value")
        low = None if value is None else value.find("low")
        high = None if value is None else value.find("high")
        unit = next((one.get("unit") for one in (low, high) if one is not None and one.get("unit") is not None), None)
        progress = found.take(f"{T}110")
        aim = code_of(None if progress is None else progress.find("value"))
        plan = next((one for one in found.links if under(one, KEYS["careplan"]) is not None), None)
        text = value_of(value).text if value is not None and low is None and high is None else None
        rows.add(
            "goal",
            goal_id=key_of(element, "goal"),
            encounter_id=found.encounter,
            careplan_id=None if plan is None else key_of(plan, "careplan"),
            description=words(said) if said is not None else text or code.display,
            code=code.value,
            system=code.system,
            target_low=number_of(None if low is None else low.get("value")),
            target_high=number_of(None if high is None else high.get("value")),
            unit=found.words.get("unit", unit),
            start=span(element.find("effectiveTime"))[0],
            status=_GOAL.get(aim.value or "") or (aim.display if aim.value is None else None),
        )
        found.count(rows.left, "goals")


def payers(entry: Element, rows: Rows) -> None:
    """Add a coverage per policy."""
    for act in entry.findall("act"):
        held = inner(act)
        for policy in held.take_all(f"{T}61"):
            _policy(policy, rows)
        held.count(rows.left, "payers")


def _policy(policy: Element, rows: Rows) -> None:
    payer = next(
        (one.find("assignedEntity") for one in policy.findall("performer") if f"{T}87" in templates(one)),
        policy.find("performer/assignedEntity"),
    )
    name = None if payer is None else words(payer.find("representedOrganization/name"))
    kinds = [*policy.findall("code/translation"), *policy.findall("code")]
    kind = next((_PAYER[one.get("code", "")] for one in kinds if one.get("code") in _PAYER), None)
    covered = next((one for one in policy.findall("participant") if one.get("typeCode") == "COV"), None)
    time = None if covered is None else covered.find("time")
    role = None if covered is None else covered.find("participantRole")
    member = under(role, MEMBER)
    if member is None and role is not None and not is_ours(policy, "coverage"):
        member = next((one.get("extension") for one in role.findall("id") if one.get("extension")), None)
    rows.add(
        "coverage",
        coverage_id=key_of(policy, "coverage"),
        payer_id=rows.world("payer", key_of(payer, "payer") or name, name=name, kind=kind),
        member_number=member,
        start=None if time is None else date_of(time.find("low")),
        stop=None if time is None else date_of(time.find("high")),
    )
    for one in policy.findall("performer"):
        if f"{T}87" not in templates(one) and one.find("assignedEntity") is not payer:
            rows.left[f"payers.{label(one)}"] += 1
