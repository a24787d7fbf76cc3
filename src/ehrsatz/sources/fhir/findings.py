"""What was found: conditions and allergies.

References
----------
HL7, FHIR R4, Condition and AllergyIntolerance
"""

from __future__ import annotations

from ehrsatz.sources.fhir.elements import (
    ICD10CM_URI,
    RXNORM_URI,
    SNOMED_URI,
    Coded,
    coding,
    concept,
    concepts,
    period,
    when,
)
from ehrsatz.sources.fhir.reading import Reading, Resource

STATUS = {
    "active": "active",
    "recurrence": "active",
    "relapse": "active",
    "inactive": "resolved",
    "remission": "resolved",
    "resolved": "resolved",
}
UNTRUE = ("entered-in-error", "refuted")  # verification statuses of what is not so
CATEGORY_OF = {"active": "problem-list-item"}  # as the exporter says it; "encounter-diagnosis" for all others
ALLERGENS = {"medication": "medication", "biologic": "medication", "food": "food", "environment": "environment"}


# ---------------------------------------------------------------------- conditions
def condition(resource: Resource, here: Reading) -> None:
    """Place a condition, unless it is said not to be one."""
    if isinstance(resource.get("clinicalStatus"), str):
        here.refuse("STU3 or older")
    if not is_true(resource, here):
        return
    key = here.keyed(resource, "condition")
    own = here.extensions(resource)
    status = _word(here, resource, "clinicalStatus", STATUS)
    (system, code, display), (second, shown) = _two(resource.pop("code", None), here)
    _category(resource, here, status)
    onset, ended = when(here, resource, "onset")
    abatement = resource.pop("abatementDateTime", None)
    if abatement is None and "abatementPeriod" in resource:
        abatement = max(filter(None, period(here, "abatementPeriod", resource.pop("abatementPeriod"))), default=None)
    stages = resource.pop("stage", None) or [{}]
    summary = concept(here, "stage.summary", stages[0].pop("summary", None))
    if stages[0]:
        here.rest("stage", stages[0])
    if len(stages) > 1:
        here.lose("stage: further ones", len(stages) - 1)
    here.add(
        "condition",
        condition_id=key,
        patient_id=here.to("subject", resource.pop("subject", None), "Patient"),
        encounter_id=here.to("encounter", resource.pop("encounter", None), "Encounter"),
        system=system,
        code=code,
        display=display,
        snomed_code=second,
        snomed_display=shown,
        stage=summary[2] if summary[2] is not None else summary[1],
        onset=onset,
        recorded=resource.pop("recordedDate", None),
        abatement=own.get("abatement") or abatement or ended,
        status=status,
    )


def _two(value: Resource | None, here: Reading) -> tuple[Coded, tuple[str | None, str | None]]:
    """The own code of a condition, of the ICD before SNOMED CT, and a code of SNOMED CT beside it."""
    codings = (value or {}).get("coding") or []
    if value is None or not codings or (len(codings) == 1 and codings[0].get("userSelected") is not False):
        return concept(here, "code", value), (None, None)
    own = next((one for one in codings if one.get("system") == ICD10CM_URI), codings[0])
    if own.get("system") == SNOMED_URI:
        own = next((one for one in codings if "icd" in str(one.get("system")).lower()), own)
    if len(codings) == 1:
        own = {}  # it is marked as the one beside a code that there is not
    others = [one for one in codings if one is not own]
    beside = next((one for one in others if one.get("system") == SNOMED_URI), None)
    value["coding"] = [own, *(one for one in others if one is not beside)]
    second = (None, None, None) if beside is None else coding(here, "code", beside)
    return concept(here, "code", value), (second[1], second[2])


def _category(resource: Resource, here: Reading, status: str | None) -> None:
    """Take the category where it says no more than the status does."""
    codes = [one.get("code") for kind in resource.get("category", []) for one in kind.get("coding", [])]
    if codes == [CATEGORY_OF.get(status or "", "encounter-diagnosis")]:
        del resource["category"]


def is_true(resource: Resource, here: Reading) -> bool:
    """Take the verification status; leave a resource out that is in error or refuted."""
    codes = {one.get("code") for one in (resource.get("verificationStatus") or {}).get("coding", [])}
    untrue = next((word for word in UNTRUE if word in codes), None)
    if untrue is not None:
        here.leave(untrue)
        resource.clear()
        return False
    if codes == {"confirmed"}:
        del resource["verificationStatus"]
    return True


def _word(here: Reading, resource: Resource, name: str, words: dict[str, str]) -> str | None:
    value = resource.pop(name, None)
    if value is None:
        return None
    for one in value.get("coding", []):
        if one.get("code") in words:
            return words[one["code"]]
    here.lose(f"{name}: other words")
    return None


# ---------------------------------------------------------------------- allergies
def allergy(resource: Resource, here: Reading) -> None:
    """Place an allergy, unless it is said not to be one."""
    if isinstance(resource.get("type"), dict):
        here.refuse("R5 or newer")
    if isinstance(resource.get("clinicalStatus"), str):
        here.refuse("STU3 or older")
    if not is_true(resource, here):
        return
    key = here.keyed(resource, "allergy")
    if {one.get("code") for one in (resource.get("clinicalStatus") or {}).get("coding", [])} == {"active"}:
        del resource["clinicalStatus"]
    categories = resource.pop("category", None) or [None]
    if len(categories) > 1:
        here.lose("category: further ones", len(categories) - 1)
    system, code, display = concept(here, "code", resource.pop("code", None), (SNOMED_URI, RXNORM_URI))
    reactions = resource.pop("reaction", None) or [{}]
    if len(reactions) > 1:
        here.lose("reaction: further ones", len(reactions) - 1)
    reaction = reactions[0]
    told, what, shown = concepts(here, "reaction.manifestation", reaction.pop("manifestation", None), (SNOMED_URI,))
    if what is not None and told != SNOMED_URI:
        here.lose("reaction.manifestation.coding.system")
    severity = reaction.pop("severity", None)
    if reaction:
        here.rest("reaction", reaction)
    here.add(
        "allergy",
        allergy_id=key,
        patient_id=here.to("patient", resource.pop("patient", None), "Patient"),
        encounter_id=here.to("encounter", resource.pop("encounter", None), "Encounter"),
        system=system,
        code=code,
        display=display,
        category=ALLERGENS.get(categories[0]),
        reaction_code=what,
        reaction_display=shown,
        severity=severity,
        onset=when(here, resource, "onset")[0],
    )
