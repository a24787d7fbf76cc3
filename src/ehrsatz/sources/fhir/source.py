"""FHIR R4 of any maker: folders of NDJSON (Bulk Data) and of Bundles, and single files of either, packed or plain.

Files are read one after another, NDJSON line by line, a Bundle as a whole. Elements and resources that the clinical
schema has no place for are counted by their names. Times are taken as they stand on the wall: offsets are left out.

References
----------
HL7, FHIR R4 (4.0.1), http://hl7.org/fhir/R4/; FHIR Bulk Data Access 2.0.0
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from ehrsatz.clinical import WORLD
from ehrsatz.errors import SourceError
from ehrsatz.files import tables_of
from ehrsatz.sources.clinical import ClinicalSource, Part
from ehrsatz.sources.fhir import (
    drugs,
    findings,
    linked,
    money,
    observations,
    orders,
    people,
    plans,
    versions,
    visits,
    world,
)
from ehrsatz.sources.fhir.documents import LINES, documents, files_in, part_of, some_files, type_in
from ehrsatz.sources.fhir.reading import BASE, Reading, Resource

PLACED: dict[str, Callable[[Resource, Reading], None]] = {
    "Patient": people.patient,
    "RelatedPerson": people.relative,
    "Coverage": people.coverage,
    "Organization": world.organization,
    "Location": world.location,
    "Practitioner": world.practitioner,
    "PractitionerRole": world.role,
    "Medication": world.medication,
    "Encounter": visits.encounter,
    "Condition": findings.condition,
    "AllergyIntolerance": findings.allergy,
    "Observation": observations.observation,
    "ServiceRequest": orders.order,
    "DiagnosticReport": orders.report,
    "ImagingStudy": orders.study,
    "DocumentReference": orders.document,
    "MedicationRequest": drugs.request,
    "MedicationStatement": drugs.statement,
    "MedicationAdministration": drugs.administration,
    "Immunization": drugs.immunization,
    "Procedure": plans.procedure,
    "Device": plans.device,
    "CarePlan": plans.plan,
    "Goal": plans.goal,
    "Claim": money.claim,
    "ExplanationOfBenefit": money.benefit,
}
WITHIN = ("Organization", "Location", "Practitioner", "PractitionerRole", "Medication")  # placed also where contained
BESIDE = (  # what else a file of records may begin with
    *("Bundle", "CapabilityStatement", "StructureDefinition", "ImplementationGuide", "OperationOutcome", "Composition"),
    *("Account", "AdverseEvent", "CareTeam", "ClinicalImpression", "Consent", "FamilyMemberHistory", "Group", "Media"),
    *("MedicationDispense", "Provenance", "QuestionnaireResponse", "Specimen"),
)
ORIGIN = f"{BASE}CodeSystem/origin"


class FhirSource(ClinicalSource):
    """Resources of FHIR R4."""

    name: ClassVar[str] = "fhir"

    @classmethod
    def fits(cls, what: str | Path) -> bool:
        path = Path(what)
        return path.exists() and any(type_in(one) in (*PLACED, *BESIDE) for one in some_files(path))

    def parts(self, what: str | Path) -> int:
        """Return in how many numbered parts ehrsatz wrote the patients; 0 where they are not in parts, or not ours."""
        folder = Path(what)
        if not folder.is_dir():
            return 0
        numbered = [one.name.partition(".")[0] for one in folder.glob("Patient-*") if one.name.endswith(LINES)]
        held = tables_of(numbered)[0].get("Patient", [])
        if held:
            first = next(one for one in folder.glob(f"{held[0]}.*"))
            ours = f"{BASE}identifier/patient"
            return len(held) if any(ours in str(value) for _, value in _head(first)) else 0
        inner = sorted(one.name for one in (folder / "patients").glob("*") if one.is_dir())
        counted = inner == [f"{number:05d}" for number in range(len(inner))]
        return len(inner) if counted and len(inner) > 1 else 0

    def _read(self, what: str | Path, part: Part | None, left: Counter[str]) -> Mapping[str, pl.DataFrame]:
        root = Path(what)
        here = Reading(left)
        files = files_in(root)
        if part is not None and part.number is not None:
            files = [one for one in files if part_of(one, root) in (None, part.number)]
        with _no_search_for_circles():
            for path in files:
                _file(path, here, alone=root.is_file())
        if not here.n_resources:
            raise SourceError(
                "Expected resources of FHIR R4 as NDJSON or Bundles.",
                f"{len(files)} files of such names were found, and no resource in them.",
                "Check the path: files end in .ndjson, .json, or these with .gz.",
            )
        if not here.n_resources["Patient"]:
            kinds = ", ".join(f"{name} ({count:,})" for name, count in here.n_resources.most_common(3))
            raise SourceError(
                "Expected patients among the resources.",
                f"Found: {kinds} and so on, but no Patient.",
                "Add the file of patients, or the Bundles that hold them.",
            )
        frames = linked.tables(here)
        if part is None:
            return frames
        if not part.world:
            frames = {name: frame for name, frame in frames.items() if name not in WORLD}
        if part.number is None:
            mine = pl.col("patient_id").is_in(part.patients.implode())
            frames = {name: frame if name in WORLD else frame.filter(mine) for name, frame in frames.items()}
        return frames


@contextmanager
def _no_search_for_circles() -> Iterator[None]:
    """Keep Python from looking for circles among objects: JSON has none, and the search takes a fifth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _head(path: Path) -> list[tuple[int, Any]]:
    for found in documents(path):
        return [found]
    return []


# ---------------------------------------------------------------------- files
def _file(path: Path, here: Reading, *, alone: bool) -> None:
    here.file = path.name
    n_values = 0
    for line, value in documents(path):
        n_values += 1
        here.line = line
        may_be_other = not alone and (line == 0 or (n_values == 1 and not path.name.endswith(LINES)))
        if may_be_other and not _is_fhir(value):
            here.left["files of JSON that are no FHIR"] += 1
            return
        for one in value if isinstance(value, list) and line <= 1 else [value]:
            _resource(one, here)
    if not n_values:
        if alone or not path.name.endswith(LINES):
            raise SourceError(
                f"Expected resources of FHIR in '{path.name}'.", "The file is empty.", "Export or copy it again."
            )
        here.left["files without a line"] += 1


def _is_fhir(value: Any) -> bool:
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, dict) and isinstance(first.get("resourceType"), str)


def _resource(value: Any, here: Reading, address: str = "") -> None:
    """Place a resource, or those of a Bundle."""
    kind = value.pop("resourceType", None) if isinstance(value, dict) else None
    if not isinstance(kind, str):
        raise SourceError(
            "Expected a resource of FHIR: an object with a resourceType.",
            f"{_place(here)} holds none.",
            "Export the file again, or take that out.",
        )
    here.kind = kind
    here.n_resources[kind] += 1
    try:
        if kind == "Bundle":
            _bundle(value, here)
        else:
            _placed(kind, value, here, address)
    except (AttributeError, TypeError, KeyError, ValueError, IndexError):
        raise SourceError(
            "Expected elements as FHIR R4 has them: texts, numbers, objects and lists where they belong.",
            f"{_place(here)} holds a {here.kind} in which one is of another kind.",
            "Check the resources with a FHIR validator.",
        ) from None


def _place(here: Reading) -> str:
    return f"Line {here.line:,} of '{here.file}'" if here.line else f"'{here.file}'"


def _bundle(bundle: Resource, here: Reading) -> None:
    _version(bundle, here)
    entries = bundle.get("entry") or []
    if any(link.get("relation") == "next" for link in bundle.get("link") or []):
        here.left["Bundle.link: further pages"] += 1
    outer, here.urns = here.urns, {}
    for entry in entries:
        inner, address = entry.get("resource"), entry.get("fullUrl")
        if inner is not None and address is not None and "id" not in inner:
            inner["id"] = address.rpartition("/" if "://" in address else ":")[2]
        if inner is not None and address is not None and address.startswith("urn:"):
            here.urns[address] = f"{inner.get('resourceType')}/{inner['id']}"
    for entry in entries:
        inner = entry.pop("resource", None)  # and let go of it once it is placed
        if inner is None:
            here.left["Bundle.entry: without a resource"] += 1
        else:
            _resource(inner, here)
    here.urns = outer


def _placed(kind: str, resource: Resource, here: Reading, owner: str) -> None:
    if kind in versions.TYPES:
        here.refuse(versions.TYPES[kind])
    meta = resource.pop("meta", None)
    is_derived = False
    here.is_ours = False
    if meta:
        for profile in meta.get("profile") or ():
            told = versions.of_profile(profile)
            if told:
                here.refuse(told)
        for tag in meta.get("tag") or ():
            if tag.get("system") == ORIGIN:
                here.is_ours = True
                is_derived = is_derived or tag.get("code") == "derived"
    if is_derived:
        return
    place = PLACED.get(kind)
    if place is None:
        _version(resource, here)
        here.left[kind] += 1
        return
    here.id = owner + (resource.pop("id", None) or "")
    text = resource.pop("text", None)
    if text and text.get("status") == "additional":
        here.lose("text")
    contained = resource.pop("contained", None)
    if contained:
        _contained(kind, contained, here)
    place(resource, here)
    if resource:
        here.settle(resource)


def _contained(kind: str, contained: list[Resource], here: Reading) -> None:
    """Place what a resource contains, if it is of the world; the rest is counted."""
    owner, is_ours = here.id, here.is_ours
    for one in contained:
        inner = one.get("resourceType")
        if inner in WITHIN:
            _resource(one, here, f"{owner}#")
        else:
            here.left[f"{kind}.contained.{inner}"] += 1
    here.kind, here.id, here.is_ours = kind, owner, is_ours


def _version(resource: Resource, here: Reading) -> None:
    told = versions.of_statement(resource)
    if told:
        here.refuse(told)
