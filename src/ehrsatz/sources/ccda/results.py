"""Entries of observations: results with their orders and reports, vital signs, social history."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ehrsatz.layouts.ccda import DERIVED, INTERPRETATIONS, SMOKING, TOBACCO, TRAITS, WORDS
from ehrsatz.sources.ccda.parse import code_of, is_ours, key_of, number_of, span, time_of, under, value_of, words
from ehrsatz.sources.ccda.rows import Inner, Rows, inner, reason_code

_INTERPRETATION = {value: name for name, value in INTERPRETATIONS.items()} | {
    "L<": "critical low",
    "H>": "critical high",
    "AA": "abnormal",
    "POS": "abnormal",
    "NEG": "normal",
}
_SMOKING = {value: name for name, (value, _) in SMOKING.items()} | {
    "77176002": "current",
    "428041000124106": "current",
    "428061000124105": "current",
    "428071000124103": "current",
}
CATEGORY = {"results": "laboratory", "vitals": "vital-signs", "social": "social-history"}


def results(entry: Element, rows: Rows, section: str) -> None:
    """Add the observations of an organizer, its order and reports; observations without one, too."""
    for organizer in entry.findall("organizer"):
        found = inner(organizer, "component")
        order = _order(organizer, found, rows) if section == "results" else None
        for _, member in [one for one in found.rest if one[1].tag == "observation"]:
            _member(member, organizer, found, order, rows, section)
        found.rest = [one for one in found.rest if one[1].tag != "observation"]
        found.count(rows.left, section)
    for observation in entry.findall("observation"):
        _observation(observation, inner(observation), None, None, rows, section)


def _order(organizer: Element, found: Inner, rows: Rows) -> str | None:
    """Add the order of an organizer, where it is one or has a code; return its key."""
    named = code_of(organizer.find("code"))
    if not is_ours(organizer, "order") and (named.value is None or under(organizer, DERIVED) is not None):
        return None
    author = organizer.find("author")
    held = organizer.find("code")
    kind = next((one.get("code") for one in (() if held is None else held) if one.get("codeSystem") == WORDS), None)
    state = organizer.find("statusCode")
    status = {"completed": "completed", "cancelled": "cancelled", "aborted": "cancelled"}
    time = time_of(author.find("time")) if author is not None else None
    added = rows.add(
        "order",
        order_id=key_of(organizer, "order"),
        encounter_id=found.encounter,
        practitioner_id=None if author is None else rows.practitioner(author.find("assignedAuthor")),
        time=time if is_ours(organizer, "order") else time or span(organizer.find("effectiveTime"))[0],
        kind=kind if is_ours(organizer, "order") else "laboratory",
        system=named.system,
        code=named.value,
        display=named.display,
        reason_code=reason_code(found),
        status=status.get("" if state is None else state.get("code") or ""),
    )
    return str(added["order_id"])


def _member(member: Element, organizer: Element, found: Inner, order: str | None, rows: Rows, section: str) -> None:
    nested = inner(member)
    link = nested.encounter if nested.has_encounter else found.encounter
    if is_ours(member, "report"):
        report(member, order, link, rows)
        return
    value = member.find("value")
    bare = key_of(member, "observation") is None and value is not None and value.get("nullFlavor") is not None
    if bare and order is not None:
        return  # an order without a result
    _observation(member, nested, link, order, rows, section, time=span(organizer.find("effectiveTime"))[0])


def report(member: Element, order: str | None, link: str | None, rows: Rows) -> None:
    """Add a report of ours."""
    kinds = {"18748-4": "imaging", "11502-2": "laboratory"}
    method, site, code = member.find("methodCode"), member.find("targetSiteCode"), member.find("code")
    rows.add(
        "report",
        report_id=key_of(member, "report"),
        encounter_id=link,
        order_id=order,
        time=time_of(member.find("effectiveTime")),
        kind=None if code is None else kinds.get(code.get("code") or ""),
        modality=None if method is None else method.get("code"),
        body_site=None if site is None else words(site.find("originalText")),
        display=None if code is None else words(code.find("originalText")),
        text=value_of(member.find("value")).text,
    )


def _observation(
    element: Element,
    nested: Inner,
    link: str | None,
    order: str | None,
    rows: Rows,
    section: str,
    *,
    time: object = None,
) -> None:
    if element.get("negationInd") == "true":
        rows.left[f"{section}.negationInd"] += 1
        return
    if _is_trait(element, rows):
        return
    value = value_of(element.find("value"))
    code = code_of(element.find("code"))
    low, high = _range(element, rows, section)
    mark = element.find("interpretationCode")
    said = nested.words.get("category", CATEGORY[section])
    begun = span(element.find("effectiveTime"))[0]
    ours = is_ours(element, "observation")
    rows.left[f"{section}.value"] += max(0, len(element.findall("value")) - 1)
    rows.add(
        "observation",
        observation_id=key_of(element, "observation"),
        encounter_id=link if link is not None or nested.encounter is None else nested.encounter,
        order_id=order,
        time=begun if ours else begun or time,
        category=None if said == "?" else said,
        code=code.value,
        system=code.system,
        display=code.display,
        value=value.number,
        text_value=nested.words.get("text", value.text),
        unit=nested.words.get("unit", value.unit),
        low=low,
        high=high,
        interpretation=None if mark is None else _INTERPRETATION.get(mark.get("code") or ""),
    )
    if code.value == TOBACCO and not ours:
        _smoked(element, rows)
    nested.count(rows.left, section)


def _range(element: Element, rows: Rows, section: str) -> tuple[float | None, float | None]:
    held = element.find("referenceRange/observationRange")
    if held is None:
        return None, None
    low, high = held.find("value/low"), held.find("value/high")
    found = (
        number_of(None if low is None else low.get("value")),
        number_of(None if high is None else high.get("value")),
    )
    if found == (None, None):
        rows.left[f"{section}.referenceRange"] += 1
    return found


def _is_trait(element: Element, rows: Rows) -> bool:
    """Fill the column of the patient that an observation of ours without a time is."""
    derived = under(element, DERIVED) or ""
    if not derived.startswith("trait."):
        return False
    column = derived.split(".", 2)[1]
    value = element.find("value")
    patient = rows.tables["patient"][-1]
    if column == "smoking":
        patient[column] = _SMOKING.get(code_of(value).value or "")
    elif column in TRAITS:
        held = value_of(value)
        patient[column] = held.number if column == "income" else held.text
    return True


def _smoked(element: Element, rows: Rows) -> None:
    """Say of the patient what the last smoking status of another maker's document says."""
    known = _SMOKING.get(code_of(element.find("value")).value or "")
    if known:
        rows.tables["patient"][-1]["smoking"] = known
