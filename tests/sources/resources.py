"""Small FHIR resources for tests of the reader, and what reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ehrsatz.dataset import Dataset
from ehrsatz.sources.fhir.source import FhirSource

Resource = dict[str, Any]
PATIENT: Resource = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1970-02-03"}
VISIT: Resource = {
    "resourceType": "Encounter",
    "id": "v1",
    "status": "finished",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
    "subject": {"reference": "Patient/p1"},
    "period": {"start": "2020-03-01T10:00:00-05:00", "end": "2020-03-01T10:30:00-05:00"},
}
TO_PATIENT, TO_VISIT = {"reference": "Patient/p1"}, {"reference": "Encounter/v1"}


def concept(system: str | None, code: str, display: str | None = None, text: str | None = None) -> Resource:
    """Return a CodeableConcept of one coding."""
    coding = {"system": system, "code": code, "display": display}
    whole = {"coding": [{name: value for name, value in coding.items() if value is not None}]}
    return whole if text is None else {**whole, "text": text}


def lines(path: Path, *resources: Any) -> Path:
    """Write resources one a line."""
    path.write_text("".join(json.dumps(one) + "\n" for one in resources), encoding="utf-8")
    return path


def bundle(path: Path, *resources: Resource, kind: str = "collection", **more: Any) -> Path:
    """Write resources as one Bundle over many lines; `fullUrl` beside a resource goes to its entry."""
    entries = []
    for one in resources:
        entry: Resource = {"fullUrl": one["fullUrl"]} if "fullUrl" in one else {}
        entries.append({**entry, "resource": {name: value for name, value in one.items() if name != "fullUrl"}})
    whole = {"resourceType": "Bundle", "type": kind, "entry": entries, **more}
    path.write_text(json.dumps(whole, indent=1), encoding="utf-8")
    return path


def read(path: Path, **options: Any) -> Dataset:
    """Read a path as FHIR."""
    return FhirSource().read(path, **options)


def of(folder: Path, *resources: Resource) -> Dataset:
    """Read a patient, an encounter and other resources."""
    return read(lines(folder / "all.ndjson", PATIENT, VISIT, *resources))


def unplaced(dataset: Dataset) -> Mapping[str, int]:
    """Return what had no place."""
    found: Mapping[str, int] = dataset.provenance.steps[0].params.get("unplaced", {})
    return found


def rows(dataset: Dataset, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return some columns of a table as rows."""
    return dataset.tables[table].select(columns).rows()
