"""Entries of medications and immunizations."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ehrsatz.layouts.ccda import ROUTES
from ehrsatz.sources.ccda.parse import TYPE, code_of, key_of, number_of, span, words
from ehrsatz.sources.ccda.rows import Rows, T, encounter_of, inner, reason_code

_ROUTE = {value: name for name, (value, _) in ROUTES.items()}
PERIOD_HOURS = {"h": 1.0, "d": 24.0, "wk": 168.0, "min": 1 / 60, "mo": 730.5}


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
            encounter_id=encounter_of(found),
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
            encounter_id=encounter_of(found),
            code=vaccine.value,
            system=vaccine.system,
            display=vaccine.display,
            time=span(element.find("effectiveTime"))[0],
            dose_number=None if dose is None else int(dose),
            site=site.display if site.display is not None else site.value,
            lot=words(element.find("consumable/manufacturedProduct/manufacturedMaterial/lotNumberText")),
        )
        found.count(rows.left, "immunizations")
