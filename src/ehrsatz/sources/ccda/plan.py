"""Entries of care plans, goals and coverages."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ehrsatz.layouts.ccda import GOALS, KEYS, MEMBER, PAYERS
from ehrsatz.sources.ccda.parse import (
    code_of,
    date_of,
    is_ours,
    key_of,
    number_of,
    span,
    templates,
    under,
    value_of,
    words,
)
from ehrsatz.sources.ccda.rows import Rows, T, encounter_of, inner, label, reason_code

_GOAL = {value: name for name, (value, _) in GOALS.items()}
_PAYER = {value: name for name, (value, _) in PAYERS.items()}


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
                encounter_id=encounter_of(found),
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
