"""What was ordered and what was reported: service requests, diagnostic reports, imaging studies, documents.

References
----------
HL7, FHIR R4, ServiceRequest, DiagnosticReport, ImagingStudy and DocumentReference; v2-0074, diagnostic service sections
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from ehrsatz.sources.fhir.elements import concept, concepts, reason, said, when
from ehrsatz.sources.fhir.reading import Reading, Resource

ORDERED = {
    "108252007": "laboratory",
    "15220000": "laboratory",
    "363679005": "imaging",
    "71388002": "procedure",
    "387713003": "procedure",
    "3457005": "referral",
}
KINDS = ("laboratory", "imaging", "procedure", "referral")
ORDER_STATUS = {"completed": "completed", "revoked": "cancelled"}
SECTION = {  # v2-0074, and LOINC's radiology of US Core
    **dict.fromkeys(("LAB", "CH", "HM", "MB", "MCB", "MYC", "SR", "TX", "BG", "BLB", "IMM", "SP"), "laboratory"),
    **dict.fromkeys(("RAD", "RUS", "CT", "NMR", "NMS", "NRS", "CUS", "OUS", "VUS", "XRC"), "imaging"),
    "LP29684-5": "imaging",
    "LP29693-6": "laboratory",
}
DERIVED_UID = "2.25."  # the arc of identifiers that are made of random numbers or hashes: they say nothing


def order(resource: Resource, here: Reading) -> None:
    """Place an order."""
    status = resource.pop("status", None)
    if status in ("entered-in-error", "draft"):
        here.leave(str(status))
        resource.clear()
        return
    if isinstance((resource.get("code") or {}).get("concept"), dict):
        here.refuse("R5 or newer")
    word = ORDER_STATUS.get(status or "")
    if word is None and status not in (None, "unknown"):
        here.lose("status")
    if resource.get("intent") == "order":
        del resource["intent"]
    key = here.keyed(resource, "order")
    categories = resource.pop("category", None) or [None]
    if len(categories) > 1:
        here.lose("category: further ones", len(categories) - 1)
    system, code, display = concept(here, "code", resource.pop("code", None))
    time = resource.pop("authoredOn", None)
    if time is None:
        time = when(here, resource, "occurrence")[0]
    reason_code, _, condition = reason(here, resource)
    here.add(
        "order",
        order_id=key,
        patient_id=here.to("subject", resource.pop("subject", None), "Patient"),
        encounter_id=here.to("encounter", resource.pop("encounter", None), "Encounter"),
        practitioner_id=here.to("requester", resource.pop("requester", None), "Practitioner"),
        time=time,
        kind=said(here, "category", categories[0], ORDERED, KINDS),
        system=system,
        code=code,
        display=display,
        reason_code=reason_code,
        reason_of=condition,
        status=word,
    )


def report(resource: Resource, here: Reading) -> None:
    """Place a diagnostic report."""
    status = resource.pop("status", None)
    if status in ("entered-in-error", "cancelled"):
        here.leave(str(status))
        resource.clear()
        return
    if status not in ("final", None):
        here.lose("status")
    key = here.keyed(resource, "report")
    code = resource.pop("code", None) or {}
    shown = code.pop("text", None)
    system, ordered, display = concept(here, "code", code)
    if shown is not None and display not in (None, shown):
        here.lose("code.coding.display")
    time, ended = when(here, resource, "effective")
    if ended is not None and ended != time:
        here.lose("effectivePeriod.end")
    issued = resource.pop("issued", None)
    if time is None:
        time = issued
    elif issued is not None and issued != time:
        here.lose("issued")
    text = resource.pop("conclusion", None)
    if text is None:
        text = _text(here, "presentedForm", resource.pop("presentedForm", None))
    orders = resource.pop("basedOn", None) or []
    if len(orders) > 1:
        here.lose("basedOn: further ones", len(orders) - 1)
    if orders:
        resource.pop("result", None)  # observations of the same order
    pictures = resource.pop("imagingStudy", None) or []
    if len(pictures) > 1:
        here.lose("imagingStudy: further ones", len(pictures) - 1)
    here.add(
        "report",
        report_id=key,
        patient_id=here.to("subject", resource.pop("subject", None), "Patient"),
        encounter_id=here.to("encounter", resource.pop("encounter", None), "Encounter"),
        order_id=here.to("basedOn", orders[0], "ServiceRequest") if orders else None,
        time=time,
        kind=_section(here, resource.pop("category", None)),
        display=shown or display,
        text=text,
        its_system=system,
        its_code=ordered,
        study_id=here.to("imagingStudy", pictures[0], "ImagingStudy") if pictures else None,
    )


def _section(here: Reading, categories: list[Resource] | None) -> str | None:
    if not categories:
        return None
    found: list[str] = []
    for one in categories:
        text, codes = one.get("text"), [coding.get("code") for coding in one.get("coding", [])]
        word = text if text in KINDS else next((SECTION[code] for code in codes if code in SECTION), None)
        if word is None:
            here.lose("category: other words")
        else:
            found.append(word)
    return found[0] if found else None


def study(resource: Resource, here: Reading) -> None:
    """Keep a study for the report that it belongs to; without one it becomes a report of its own."""
    identifiers = resource.pop("identifier", None) or []
    telling = [one for one in identifiers if DERIVED_UID not in str(one.get("value"))]
    if telling:
        here.lose("identifier", len(telling))
    if resource.get("status") == "available":
        del resource["status"]
    modalities = resource.pop("modality", None) or []
    series = resource.pop("series", None) or []
    if len(series) > 1:
        here.lose("series: further ones", len(series) - 1)
    first = series[0] if series else {}
    if len(modalities) > 1:
        here.lose("modality: further ones", len(modalities) - 1)
    site = first.pop("bodySite", None) or {}
    if site.get("code") is not None:
        here.lose("series.bodySite.code")
    own = first.pop("modality", None) or {}
    kind = modalities[0] if modalities else own
    started = resource.pop("started", None)
    if first.get("started") in (started, None):
        first.pop("started", None)
    if str(first.get("uid", "")).startswith(DERIVED_UID):
        del first["uid"]
    if first:
        here.rest("series", first)
    done = concepts(here, "procedureCode", resource.pop("procedureCode", None))
    description = resource.pop("description", None)
    orders = resource.pop("basedOn", None) or []
    if len(orders) > 1:
        here.lose("basedOn: further ones", len(orders) - 1)
    absent = str(kind.get("system", "")).endswith("data-absent-reason")
    here.add(
        "(study)",
        study_id=here.id,
        patient_id=here.to("subject", resource.pop("subject", None), "Patient"),
        encounter_id=here.to("encounter", resource.pop("encounter", None), "Encounter"),
        order_id=here.to("basedOn", orders[0], "ServiceRequest") if orders else None,
        time=started,
        modality=None if absent else kind.get("code") or kind.get("display"),
        body_site=site.get("display") or site.get("code"),
        display=description if description is not None else done[2],
    )


def document(resource: Resource, here: Reading) -> None:
    """Place a document as a report; one that repeats a report is left out when all is read."""
    status = resource.pop("status", None)
    if status == "entered-in-error":
        here.leave(status)
        resource.clear()
        return
    if status not in ("current", None):
        here.lose("status")
    key = here.keyed(resource, "report")
    system, code, display = concept(here, "type", resource.pop("type", None))
    contents = resource.pop("content", None) or []
    context = resource.pop("context", None) or {}
    visits = context.pop("encounter", None) or []
    if len(visits) > 1:
        here.lose("context.encounter: further ones", len(visits) - 1)
    if context:
        here.rest("context", context)
    attachments = [one.get("attachment") or {} for one in contents]
    title = next((one.pop("title") for one in attachments if "title" in one), None)
    here.add(
        "report",
        report_id=key,
        patient_id=here.to("subject", resource.pop("subject", None), "Patient"),
        encounter_id=here.to("context.encounter", visits[0], "Encounter") if visits else None,
        order_id=None,
        time=resource.pop("date", None),
        kind=None,
        display=display if display is not None else title,
        text=_text(here, "content.attachment", attachments),
        its_system=system,
        its_code=code,
        study_id=None,
    )


def _text(here: Reading, name: str, attachments: list[Resource] | None) -> str | None:
    """The first attachment that is plain text; others are counted."""
    text: str | None = None
    for one in attachments or []:
        kind = str(one.get("contentType", "text/plain")).lower()
        data: Any = one.get("data")
        if text is None and data is not None and kind.startswith("text/plain"):
            try:
                text = base64.b64decode(data, validate=False).decode("utf-8")
                continue
            except (binascii.Error, UnicodeDecodeError):
                here.lose(f"{name}: no text of UTF-8")
                continue
        here.lose(f"{name}: no plain text")
    return text
