"""Procedures, devices, care plans and their goals."""

from __future__ import annotations

from typing import Any

from ehrsatz.sources.fhir.elements import concept, number, period, quantity, reason, when
from ehrsatz.sources.fhir.reading import Reading, Resource

NEVER = ("not-done", "entered-in-error", "preparation")
ACHIEVED = {
    "achieved": "achieved",
    "sustaining": "achieved",
    "in-progress": "in progress",
    "improving": "in progress",
    "worsening": "in progress",
    "no-change": "in progress",
    "not-achieved": "not achieved",
    "no-progress": "not achieved",
    "not-attainable": "not achieved",
}
PLAN_STATUS = {"active": "active", "completed": "completed"}
US_CATEGORY = "assess-plan"  # what US Core demands of every plan


def procedure(resource: Resource, here: Reading) -> None:
    """Place a procedure; one that was not done is left out."""
    status = resource.pop("status", None)
    if status in NEVER:
        here.leave(str(status))
        resource.clear()
        return
    if status not in ("completed", "unknown", None):
        here.lose("status")
    key = here.keyed(resource, "procedure")
    system, code, display = concept(here, "code", resource.pop("code", None))
    start, stop = when(here, resource, "performed")
    people = resource.pop("performer", None) or []
    if len(people) > 1:
        here.lose("performer: further ones", len(people) - 1)
    who = here.to("performer.actor", people[0].pop("actor", None), "Practitioner") if people else None
    if people and people[0]:
        here.rest("performer", people[0])
    reason_code, _, condition = reason(here, resource)
    here.add(
        "procedure",
        procedure_id=key,
        patient_id=here.to("subject", resource.pop("subject", None), "Patient"),
        encounter_id=here.to("encounter", resource.pop("encounter", None), "Encounter"),
        practitioner_id=who,
        system=system,
        code=code,
        display=display,
        start=start,
        stop=stop,
        reason_code=reason_code,
        reason_of=condition,
    )


def device(resource: Resource, here: Reading) -> None:
    """Place a device of a patient; others are counted."""
    if "patient" not in resource:
        here.leave("of no patient")
        resource.clear()
        return
    key = here.keyed(resource, "device")
    own = here.extensions(resource)
    start, stop = period(here, "extension in-use", own.get("in-use"))
    status = resource.pop("status", None)
    if status == "entered-in-error":
        here.leave(status)
        resource.clear()
        return
    if status not in ("active", "inactive", None):
        here.lose("status")
    system, code, display = concept(here, "type", resource.pop("type", None))
    names = resource.pop("deviceName", None) or []
    if display is None and names:
        display = names.pop(0).get("name")
    if other := sum(one.get("name") != display for one in names):
        here.lose("deviceName", other)
    here.add(
        "device",
        device_id=key,
        patient_id=here.to("patient", resource.pop("patient"), "Patient"),
        encounter_id=here.to("extension encounter", own.get("encounter"), "Encounter"),
        system=system,
        code=code,
        display=display,
        start=start,
        stop=stop,
        serial=resource.pop("serialNumber", None),
    )


def plan(resource: Resource, here: Reading) -> None:
    """Place a care plan: what it is stands in its category; keep which goals it has."""
    status = resource.pop("status", None)
    if status in ("entered-in-error", "draft"):
        here.leave(str(status))
        resource.clear()
        return
    word = PLAN_STATUS.get(status or "")
    if word is None and status not in (None, "unknown"):
        here.lose("status")
    if resource.get("intent") == "plan":
        del resource["intent"]
    key = here.keyed(resource, "careplan")
    categories = resource.pop("category", None) or []
    telling = [one for one in categories if [c.get("code") for c in one.get("coding", [])] != [US_CATEGORY]]
    if len(telling) > 1:
        here.lose("category: further ones", len(telling) - 1)
    title = resource.pop("title", None)
    reason_code = _activities(resource, here, telling[0] if telling else None)
    system, code, display = concept(here, "category", telling[0] if telling else None)
    if display is None:
        display = title
    elif title not in (None, display):
        here.lose("title")
    addressed = resource.pop("addresses", None) or []
    condition = None
    if addressed and reason_code is None:
        condition = here.to("addresses", addressed[0], "Condition")
        if len(addressed) > 1:
            here.lose("addresses: further ones", len(addressed) - 1)
    start, stop = period(here, "period", resource.pop("period", None))
    for goal_ in resource.pop("goal", None) or []:
        target = here.to("goal", goal_, "Goal")
        if target is not None:
            here.add("(goal of)", goal_id=target, careplan_id=key)
    here.add(
        "careplan",
        careplan_id=key,
        patient_id=here.to("subject", resource.pop("subject", None), "Patient"),
        encounter_id=here.to("encounter", resource.pop("encounter", None), "Encounter"),
        system=system,
        code=code,
        display=display,
        start=start,
        stop=stop,
        reason_code=reason_code,
        reason_of=condition,
        status=word,
    )


def _activities(resource: Resource, here: Reading, category: Resource | None) -> str | None:
    """Take the activity that repeats what the plan is, and return its reason; others are counted."""
    activities = resource.pop("activity", None) or []
    code = None
    others = 0
    for one in activities:
        detail: dict[str, Any] = one.get("detail") or {}
        if code is None and detail and detail.get("code") == category and set(one) == {"detail"}:
            detail.pop("code", None)
            detail.pop("status", None)
            code = reason(here, detail)[0]
            if detail:
                here.rest("activity.detail", detail)
        else:
            others += 1
    if others:
        here.lose("activity", others)
    return code


def goal(resource: Resource, here: Reading) -> None:
    """Place a goal."""
    status = resource.pop("lifecycleStatus", None)
    if status == "entered-in-error":
        here.leave(status)
        resource.clear()
        return
    if status not in ("active", "completed", None):
        here.lose("lifecycleStatus")
    key = here.keyed(resource, "goal")
    own = here.extensions(resource)
    achieved = resource.pop("achievementStatus", None)
    word = None
    if achieved is not None:
        word = next((ACHIEVED[c["code"]] for c in achieved.get("coding", []) if c.get("code") in ACHIEVED), None)
        if word is None:
            here.lose("achievementStatus: other words")
    told = resource.pop("description", None) or {}
    told.pop("extension", None)
    _, code, description = concept(here, "description", told)
    if code is not None:
        here.lose("description.coding")
    start = own.get("start")
    day = resource.pop("startDate", None)
    targets = resource.pop("target", None) or [{}]
    if len(targets) > 1:
        here.lose("target: further ones", len(targets) - 1)
    target = targets[0]
    of_target = here.extensions(target)
    system, measure, shown = concept(here, "target.measure", target.pop("measure", None))
    if measure is None and shown is not None:
        here.lose("target.measure.text")
    ends = target.pop("detailRange", None) or {}
    low, unit, _ = quantity(here, "target.detailRange.low", ends.pop("low", None))
    high, other, _ = quantity(here, "target.detailRange.high", ends.pop("high", None))
    aim = target.get("detailQuantity") or {}
    if aim.get("value") is not None and aim.get("comparator") in ("<", "<=", ">", ">="):
        amount, unit, _ = quantity(here, "target.detailQuantity", {**target.pop("detailQuantity"), "comparator": None})
        low, high = (None, amount) if aim["comparator"][0] == "<" else (amount, None)
    if target:
        here.rest("target", target)
    here.add(
        "goal",
        goal_id=key,
        patient_id=here.to("subject", resource.pop("subject", None), "Patient"),
        encounter_id=here.to("extension encounter", own.get("encounter"), "Encounter"),
        description=description,
        system=system,
        code=measure,
        target_low=number(low),
        target_high=number(high),
        unit=of_target.get("unit") or unit or other,
        start=start if start is not None else day,
        status=word,
    )
