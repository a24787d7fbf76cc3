"""Observations, those of several parts as one row per component.

References
----------
HL7, FHIR R4, Observation; v3-ObservationInterpretation
"""

from __future__ import annotations

from typing import Any

from ehrsatz.clinical import CATEGORIES
from ehrsatz.sources.fhir.elements import LOINC_URI, Coded, concept, number, period, quantity, when
from ehrsatz.sources.fhir.reading import Reading, Resource

INTERPRETATION = {
    "N": "normal",
    "L": "low",
    "LU": "low",
    "H": "high",
    "HU": "high",
    "LL": "critical low",
    "HH": "critical high",
    "A": "abnormal",
    "AA": "abnormal",
}
BLOOD_PRESSURE = ("85354-9", "55284-4")
OXYGEN = "2708-6"  # LOINC's code that the vital-signs profile wants beside that of pulse oximetry, 59408-5
SMOKING = ("449868002", "8517006", "266919005")  # SNOMED CT codes that say no more than the text of a smoking status


def observation(resource: Resource, here: Reading) -> None:
    """Place an observation: its value, and each component as a row of its own."""
    status = resource.pop("status", None)
    if status in ("entered-in-error", "cancelled"):
        here.leave(str(status))
        resource.clear()
        return
    if status != "final" and status is not None:
        here.lose("status")
    key = here.keyed(resource, "observation")
    shared = _shared(resource, here)
    own = here.extensions(resource)
    parts = [_component(one, here, place) for place, one in enumerate(resource.pop("component", None) or (), 1)]
    called = resource.pop("code", None)
    if parts and called and here.is_ours:
        called.pop("text", None)  # of a panel: what its code is called
    code = _code(here, "code", called)
    cells = _measured(here, "", resource, own)
    if not parts or cells["value"] is not None or cells["text_value"] is not None:
        here.add("observation", observation_id=key, **shared, **_named(code), **cells)
    elif code[1] not in BLOOD_PRESSURE:
        here.lose("code of a panel")
    for name, part in parts:
        here.add("observation", observation_id=f"{key}#{name}" if isinstance(name, int) else name, **shared, **part)


def _component(part: Resource, here: Reading, place: int) -> tuple[str | int, dict[str, Any]]:
    """The key of a component's row, or its place where it has none, and the cells."""
    own = here.extensions(part)
    code = _code(here, "component.code", part.pop("code", None))
    cells = {**_named(code), **_measured(here, "component.", part, own)}
    if part:
        here.rest("component", part)
    return own.get("key") or place, cells


def _named(code: Coded) -> dict[str, str | None]:
    return {"system": code[0], "code": code[1], "display": code[2]}


def _shared(resource: Resource, here: Reading) -> dict[str, Any]:
    """What all rows of an observation have in common."""
    time, ended = when(here, resource, "effective")
    if ended is not None and ended != time:
        here.lose("effectivePeriod.end")
    issued = resource.pop("issued", None)
    if time is None:
        time = issued
    elif issued is not None and issued != time:
        here.lose("issued")
    orders = resource.pop("basedOn", None) or []
    if len(orders) > 1:
        here.lose("basedOn: further ones", len(orders) - 1)
    return {
        "patient_id": here.to("subject", resource.pop("subject", None), "Patient"),
        "encounter_id": here.to("encounter", resource.pop("encounter", None), "Encounter"),
        "order_id": here.to("basedOn", orders[0], "ServiceRequest") if orders else None,
        "time": time,
        "category": _kind(resource.pop("category", None), here),
    }


def _kind(categories: list[Resource] | None, here: Reading) -> str | None:
    if not categories:
        return None
    found = [one.get("code") for kind in categories for one in kind.get("coding", [])]
    known = [code for code in found if code in CATEGORIES]
    if len(found) != 1 or not known:
        here.lose("category: other words", max(len(found) - bool(known), 1))
    return known[0] if known else None


def _code(here: Reading, name: str, value: Resource | None) -> Coded:
    codings = (value or {}).get("coding") or []
    if value is not None and len(codings) == 2 and codings[1].get("code") == OXYGEN:
        codings.pop()
    return concept(here, name, value, (LOINC_URI,))


def _measured(here: Reading, path: str, element: Resource, own: dict[str, Any]) -> dict[str, Any]:
    """Take value, unit, range and interpretation of an observation or a component."""
    value, unit, text = _value(here, path, element)
    absent = element.pop("dataAbsentReason", None)
    if absent is not None and {one.get("code") for one in absent.get("coding", [])} != {"unknown"}:
        here.lose(f"{path}dataAbsentReason")
    low = high = None
    ranges = element.pop("referenceRange", None)
    if ranges:
        if len(ranges) > 1:
            here.lose(f"{path}referenceRange: further ones", len(ranges) - 1)
        first = ranges[0]
        low, _, _ = quantity(here, f"{path}referenceRange.low", first.pop("low", None))
        high, _, _ = quantity(here, f"{path}referenceRange.high", first.pop("high", None))
        if first:
            here.rest(f"{path}referenceRange", first)
    judged = element.pop("interpretation", None)
    word = None
    if judged:
        codes = [one.get("code") for kind in judged for one in kind.get("coding", [])]
        word = next((INTERPRETATION[code] for code in codes if code in INTERPRETATION), None)
        if word is None or len(codes) > 1:
            here.lose(f"{path}interpretation: other words")
    return {
        "value": value,
        "text_value": own.get("text-value") or text,
        "unit": own.get("unit") or unit,
        "low": low,
        "high": high,
        "interpretation": word,
    }


def _value(here: Reading, path: str, element: Resource) -> tuple[float | None, str | None, str | None]:
    """Number, unit and text of a value of any type."""
    if "valueQuantity" in element:
        return quantity(here, f"{path}valueQuantity", element.pop("valueQuantity"))
    if "valueString" in element:
        return None, None, element.pop("valueString")
    if "valueCodeableConcept" in element:
        return None, None, _answer(here, path, element.pop("valueCodeableConcept"))
    if "valueInteger" in element:
        return number(element.pop("valueInteger")), None, None
    if "valueBoolean" in element:
        return None, None, "true" if element.pop("valueBoolean") else "false"
    for name in ("valueDateTime", "valueTime"):
        if name in element:
            return None, None, element.pop(name)
    if "valuePeriod" in element:
        return None, None, "/".join(one or ".." for one in period(here, "valuePeriod", element.pop("valuePeriod")))
    for name, parts, sign in (("valueRange", ("low", "high"), "-"), ("valueRatio", ("numerator", "denominator"), ":")):
        if name in element:
            return _pair(here, f"{path}{name}", element.pop(name), parts, sign)
    return None, None, None


def _pair(
    here: Reading, name: str, value: Resource, parts: tuple[str, str], sign: str
) -> tuple[float | None, str | None, str | None]:
    """A range or a ratio as a text, as in "1:128"; with the unit where both ends have the same."""
    ends = [quantity(here, f"{name}.{part}", value.pop(part, None)) for part in parts]
    units = {unit for amount, unit, text in ends if unit is not None}
    if len(units) > 1:
        here.lose(f"{name}.unit")
    shown = [text or ("" if amount is None else f"{amount:.15g}") for amount, _, text in ends]
    return None, units.pop() if len(units) == 1 else None, sign.join(shown)


def _answer(here: Reading, path: str, value: Resource) -> str | None:
    """The text of a coded value; the code has no place."""
    name = f"{path}valueCodeableConcept"
    text, codings = value.pop("text", None), value.pop("coding", None) or []
    if value:
        here.rest(name, value)
    shown = text if text is not None else next((one["display"] for one in codings if one.get("display")), None)
    if shown is None:
        shown = next((one["code"] for one in codings if one.get("code")), None)
    codes = sum(one.get("code") not in (None, shown, *SMOKING) for one in codings)
    if codes:
        here.lose(f"{name}.coding.code", codes)
    return shown
