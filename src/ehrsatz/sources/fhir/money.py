"""Claims with their lines, and payments as explanations of benefit say them.

References
----------
HL7, FHIR R4, Claim and ExplanationOfBenefit; CARIN Blue Button 2.0.0, code system C4BBAdjudication
"""

from __future__ import annotations

from typing import Any

from ehrsatz.clinical import schema
from ehrsatz.sources.fhir.elements import concept, number, period, said, whole
from ehrsatz.sources.fhir.reading import Reading, Resource

KINDS = schema()["claim_line"]["kind"].values or ()
PARTS = {  # codes of adjudication and of C4BBAdjudication
    "benefit": "payer_part",
    "paidtoprovider": "payer_part",
    "paidbypatient": "patient_part",
    "memberliability": "patient_part",
    "discount": "adjustment",
}
OF_CLAIM = ("type", "use", "provider", "priority", "diagnosis")  # what the exporter says again of encounters
OF_BENEFIT = ("type", "use", "insurer", "provider", "outcome", "payment")


def claim(resource: Resource, here: Reading) -> None:
    """Place a claim and its lines."""
    if not _is_active(resource, here):
        return
    key = here.keyed(resource, "claim")
    own = here.extensions(resource)
    items = resource.pop("item", None) or []
    patient = here.to("patient", resource.pop("patient", None), "Patient")
    lines = [_line(one, here, key, place) for place, one in enumerate(items, 1)]
    visit = here.to("extension encounter", own.get("encounter"), "Encounter")
    if visit is None and not here.is_ours:
        visit = next((line["encounter_id"] for line in lines if line["encounter_id"] is not None), None)
    for line in lines:
        here.add("claim_line", claim_id=key, patient_id=patient, **line)
    if here.is_ours:
        for name in OF_CLAIM:
            resource.pop(name, None)
    here.add(
        "claim",
        claim_id=key,
        patient_id=patient,
        encounter_id=visit,
        coverage_id=_covered(resource, here),
        time=resource.pop("created", None),
        total=_money(here, "total", resource.pop("total", None)),
        status=own.get("claim-status"),
    )


def _line(item: Resource, here: Reading, claim_id: str | None, place: int) -> dict[str, Any]:
    own = here.extensions(item)
    sequence = whole(here, "item.sequence", item.pop("sequence", None))
    if "_sequence" in item and sequence is None:
        del item["_sequence"]  # it says that there is none
    system, code, display = concept(here, "item.productOrService", item.pop("productOrService", None))
    if display is not None:
        here.lose("item.productOrService.display")
    start, stop = period(here, "item.servicedPeriod", item.pop("servicedPeriod", None))
    if stop not in (None, start):
        here.lose("item.servicedPeriod.end")
    visits = item.pop("encounter", None) or []
    if len(visits) > 1:
        here.lose("item.encounter: further ones", len(visits) - 1)
    line = {
        "claim_line_id": own.get("key") or (None if claim_id is None else f"{claim_id}#{sequence or place}"),
        "encounter_id": here.to("item.encounter", visits[0], "Encounter") if visits else None,
        "number": sequence,
        "kind": said(here, "item.category", item.pop("category", None), {}, KINDS),
        "system": system,
        "code": code,
        "amount": _money(here, "item.net", item.pop("net", None)),
        "time": start if start is not None else item.pop("servicedDate", None),
    }
    if item:
        here.rest("item", item)
    return line


def benefit(resource: Resource, here: Reading) -> None:
    """Place an explanation of benefit as a payment."""
    if not _is_active(resource, here):
        return
    key = here.keyed(resource, "payment")
    own = here.extensions(resource)
    parts: dict[str, float | None] = {"payer_part": None, "patient_part": None, "adjustment": None}
    for one in resource.pop("total", None) or []:
        codes = [coding.get("code") for coding in one.get("category", {}).get("coding", [])]
        name = next((PARTS[code] for code in codes if code in PARTS), None)
        if name is None or parts[name] is not None:
            here.lose("total: other categories")
        else:
            parts[name] = _money(here, "total", one.get("amount"))
    if here.is_ours:
        for name in OF_BENEFIT:
            resource.pop(name, None)
        resource.pop("insurance", None)
    elif parts["payer_part"] is None and "payment" in resource:
        paid = resource.pop("payment")
        parts["payer_part"] = _money(here, "payment.amount", paid.pop("amount", None))
        if paid:
            here.rest("payment", paid)
    items = resource.get("item") or []
    visit = here.to("extension encounter", own.get("encounter"), "Encounter")
    if visit is None:
        visits = [one for item in items for one in item.get("encounter", [])]
        visit = here.to("item.encounter", visits[0], "Encounter") if visits else None
    here.add(
        "payment",
        payment_id=key,
        patient_id=here.to("patient", resource.pop("patient", None), "Patient"),
        encounter_id=visit,
        claim_id=here.to("claim", resource.pop("claim", None), "Claim"),
        time=resource.pop("created", None),
        **parts,
    )


def _is_active(resource: Resource, here: Reading) -> bool:
    status = resource.pop("status", None)
    if status in ("entered-in-error", "cancelled", "draft"):
        here.leave(str(status))
        resource.clear()
        return False
    if status not in ("active", None):
        here.lose("status")
    return True


def _covered(resource: Resource, here: Reading) -> str | None:
    insurance = resource.pop("insurance", None) or []
    if not insurance:
        return None
    if len(insurance) > 1:
        here.lose("insurance: further ones", len(insurance) - 1)
    first = insurance[0]
    found = here.to("insurance.coverage", first.pop("coverage", None), "Coverage")
    for name in ("sequence", "focal"):
        first.pop(name, None)
    if first:
        here.rest("insurance", first)
    return found


def _money(here: Reading, name: str, value: Resource | None) -> float | None:
    if value is None:
        return None
    if value.get("currency") not in (None, "USD"):
        here.lose(f"{name}.currency")
    return number(value.get("value"))
