"""FHIR R4: what stands where, whatever keys and texts there are, exact sums, and references that resolve."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ehrsatz import loose
from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.errors import UnsupportedError
from ehrsatz.exporters.fhir.bundle import BundleExporter
from ehrsatz.exporters.fhir.findings import paired
from ehrsatz.exporters.fhir.keys import derive
from ehrsatz.exporters.fhir.ndjson import FhirExporter
from ehrsatz.exporters.fhir.sequence import KINDS
from ehrsatz.provenance import Provenance

ODD = "Ma\"ry\\ O'Brien\n\t\x01 \U0001f600 עברית e\u0301\u2028{}[],:&<b>"
REFERENCE = re.compile(r'"reference": "([^"]*)"')
KEY = "https://ehrsatz.org/fhir/StructureDefinition/key"


def few(cohort: Dataset, n: int = 12) -> Dataset:
    """The first patients, in the loose form, without relatives elsewhere."""
    wide = loose.widen(cohort)
    here = wide.tables["patient"]["patient_id"][:n].implode()
    tables = {
        name: frame if name in WORLD else frame.filter(pl.col("patient_id").is_in(here))
        for name, frame in wide.tables.items()
    }
    tables["relation"] = tables["relation"].filter(pl.col("relative_id").is_in(here))
    doctors = pl.concat([tables[name]["practitioner_id"] for name in ("encounter", "order", "medication", "procedure")])
    tables["practitioner"] = tables["practitioner"].filter(pl.col("practitioner_id").is_in(doctors.implode()))
    return Dataset.trusted(wide.schema, tables, wide.provenance)


def changed(dataset: Dataset, **tables: pl.DataFrame) -> Dataset:
    return Dataset.trusted(dataset.schema, {**dataset.tables, **tables}, dataset.provenance)


def written(dataset: Dataset, folder: Path, **options: Any) -> dict[str, list[dict[str, Any]]]:
    paths = FhirExporter().write(dataset, folder, **options)
    assert FhirExporter().check(folder) == []
    return {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]] for path in paths
    }


def extension(resource: dict[str, Any], name: str) -> Any:
    found = [one for one in resource.get("extension", []) if one["url"].endswith(f"StructureDefinition/{name}")]
    return next((value for one in found for field, value in one.items() if field.startswith("value")), None)


def empties(value: Any) -> Iterator[Any]:
    if value is None or value == "" or value == [] or value == {}:
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from empties(inner)


@pytest.fixture(scope="module")
def some(cohort: Dataset) -> Dataset:
    return few(cohort, 30)


@pytest.fixture(scope="module")
def resources(some: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    return written(some, tmp_path_factory.mktemp("fhir"))


# ---------------------------------------------------------------------- the whole
def test_all_types_are_there_and_marked(some: Dataset, resources: dict[str, list[dict[str, Any]]]) -> None:
    world = {"Organization", "Location", "Practitioner", "PractitionerRole"}
    assert set(resources) == {kind.name for kind in KINDS} | world
    for kind, found in resources.items():
        assert len({one["id"] for one in found}) == len(found)
        for one in found:
            assert one["resourceType"] == kind
            assert one["meta"]["security"][0]["code"] == "HTEST"
            assert one["meta"]["tag"][0]["code"] == "synthetic"
            assert re.fullmatch(r"[A-Za-z0-9.-]{1,64}", one["id"])
            assert not list(empties(one))
    rows = {table: some.tables[table].height for table in ("patient", "encounter", "condition", "claim", "payment")}
    assert rows == {
        table: len(resources[kind])
        for table, kind in {
            "patient": "Patient",
            "encounter": "Encounter",
            "condition": "Condition",
            "claim": "Claim",
            "payment": "ExplanationOfBenefit",
        }.items()
    }


def test_every_reference_resolves_and_is_plain(resources: dict[str, list[dict[str, Any]]]) -> None:
    known = {f"{kind}/{one['id']}" for kind, found in resources.items() for one in found}
    told = {name for found in resources.values() for one in found for name in REFERENCE.findall(json.dumps(one))}
    assert len(told) > 3_000
    assert not told - known


def test_sums_are_exact_to_the_cent(some: Dataset, resources: dict[str, list[dict[str, Any]]]) -> None:
    def cents(amount: float) -> int:
        return round(amount * 100)

    paid: Counter[str] = Counter()
    for one in resources["ExplanationOfBenefit"]:
        paid[one["claim"]["reference"]] += sum(cents(part["amount"]["value"]) for part in one["total"])
    for claim in resources["Claim"]:
        total = cents(claim["total"]["value"])
        assert total == sum(cents(item["net"]["value"]) for item in claim["item"])
        assert total == paid[f"Claim/{claim['id']}"]
    assert sum(len(claim["item"]) for claim in resources["Claim"]) == some.tables["claim_line"].height


def test_pressures_of_a_moment_are_one_panel_with_both_keys(
    some: Dataset, resources: dict[str, list[dict[str, Any]]]
) -> None:
    rows = some.tables["observation"].filter(pl.col("code").is_in(["8480-6", "8462-4"]))
    panels = [one for one in resources["Observation"] if "component" in one]
    assert {one["code"]["coding"][0]["code"] for one in panels} == {"85354-9"}
    told = {extension(part, "key"): part["valueQuantity"]["value"] for one in panels for part in one["component"]}
    assert told == dict(rows.select("observation_id", "value").iter_rows())
    assert len(resources["Observation"]) == some.tables["observation"].height - len(panels)


def test_lone_and_repeated_pressures(cohort: Dataset) -> None:
    rows = loose.widen(cohort).tables["observation"].filter(pl.col("code").is_in(["8480-6", "8462-4"]))
    two = rows[:1].with_columns(pl.lit("again").alias("observation_id"))
    lone = rows.filter(pl.col("code") == "8480-6")[:1]
    assert paired(lone).is_empty()
    both = paired(pl.concat([rows, two]))
    assert both.height * 2 == rows.height
    assert "again" not in both["observation_id"]
    without = rows.with_columns(pl.lit(None, pl.Float64).alias("value"))
    assert paired(without).is_empty()


def test_drugs_given_lie_within_the_stay(some: Dataset, resources: dict[str, list[dict[str, Any]]]) -> None:
    stays = {one["id"]: one["period"] for one in resources["Encounter"] if one["class"]["code"] == "IMP"}
    given = resources["MedicationAdministration"]
    assert len(given) > 10
    for one in given:
        period = stays[one["context"]["reference"].removeprefix("Encounter/")]
        assert period["start"] <= one["effectivePeriod"]["start"] < one["effectivePeriod"]["end"] <= period["end"]
        assert one["meta"]["tag"][1]["code"] == "derived"


def test_encounters_within_others_come_after_them(cohort: Dataset, tmp_path: Path) -> None:
    some = few(cohort)
    visits = some.tables["encounter"].with_columns(pl.lit(None, pl.String).alias("part_of_id"))
    chain = visits["encounter_id"].to_list()[:5]
    deep = visits.with_columns(  # each a part of the next
        pl.col("encounter_id").replace_strict(dict(itertools.pairwise(chain)), default=None).alias("part_of_id")
    )
    seen: set[str] = set()
    for one in written(changed(some, encounter=deep), tmp_path / "deep")["Encounter"]:
        assert "partOf" not in one or one["partOf"]["reference"] in seen
        seen.add(f"Encounter/{one['id']}")
    circle = {**dict(itertools.pairwise(chain)), chain[-1]: chain[0]}
    round_ = visits.with_columns(pl.col("encounter_id").replace_strict(circle, default=None).alias("part_of_id"))
    assert len(written(changed(some, encounter=round_), tmp_path / "circle")["Encounter"]) == visits.height


# ---------------------------------------------------------------------- texts, keys, absence
def test_any_text_comes_through_every_field(cohort: Dataset, tmp_path: Path) -> None:
    some = few(cohort)
    held: dict[str, pl.DataFrame] = {}
    for table in loose.schema().tables:
        links = {link.column for link in table.links}
        free = [
            column.name
            for column in table.columns
            if column.kind in {"text", "code"} and column.name not in links and column.role != "key"
        ]
        held[table.name] = some.tables[table.name].with_columns(
            pl.when(pl.col(name).is_not_null()).then(pl.lit(f"{ODD} {name}")).alias(name) for name in free
        )
    found = written(changed(some, **held), tmp_path)
    told = json.dumps(found, ensure_ascii=False)
    assert json.dumps(f"{ODD} text", ensure_ascii=False)[1:-1] in told
    patient = found["Patient"][0]
    assert patient["name"][0] == {"use": "official", "family": f"{ODD} family_name", "given": [f"{ODD} given_name"]}
    assert patient["address"][0]["line"] == [f"{ODD} address_line"]
    assert extension(patient, "blood-group") == f"{ODD} blood_group"
    assert found["Organization"][-1]["name"] == f"{ODD} name"
    assert {one["conclusion"] for one in found["DiagnosticReport"]} <= {f"{ODD} text"}
    assert all(REFERENCE.findall(json.dumps(one)) for one in found["Observation"])


@pytest.mark.parametrize("form", ["{n}", "a b/{n}", "x" * 70 + "{n}", 'é"{n}', "patient-{n}", ".{n}"])
def test_any_key_makes_a_legal_id_and_stays_known(cohort: Dataset, tmp_path: Path, form: str) -> None:
    some = few(cohort, 6)
    keys = {
        (table.name): dict(
            zip(some.tables[table.name].to_series(0).to_list(), (form.format(n=n) for n in range(10**6)))
        )
        for table in loose.schema().tables
    }
    held = {}
    for table in loose.schema().tables:
        own = {table.columns[0].name: table.name, **{link.column: link.to_table for link in table.links}}
        held[table.name] = some.tables[table.name].with_columns(
            pl.col(column).replace_strict(keys[target], default=None, return_dtype=pl.String)
            for column, target in own.items()
        )
    dataset = changed(some, **held)
    found = written(dataset, tmp_path)
    known = {f"{kind}/{one['id']}" for kind, all_of in found.items() for one in all_of}
    for kind, all_of in found.items():
        assert len({one["id"] for one in all_of}) == len(all_of), kind
        for one in all_of:
            assert re.fullmatch(r"[A-Za-z0-9.-]{1,64}", one["id"]) and not one["id"].isdigit()
            assert set(REFERENCE.findall(json.dumps(one))) <= known
    for name, kind in {"encounter": "Encounter", "practitioner": "Practitioner", "order": "ServiceRequest"}.items():
        system = f"https://ehrsatz.org/fhir/identifier/{name}"
        told = {
            next((i["value"] for i in one.get("identifier", []) if i["system"] == system), one["id"])
            for one in found[kind]
        }
        assert told == set(dataset.tables[name].to_series(0))
    tables = {part["url"]: 0 for one in found["Claim"] for item in one["item"] for part in item["extension"]}
    assert set(tables) == {KEY}
    paths = BundleExporter().write(dataset, tmp_path)
    assert len(paths) == 6 + len([path for path in paths if path.name.startswith("hospitals")])


def test_ids_that_were_derived_never_meet_keys_that_look_like_them() -> None:
    keys = ["17", "patient-17", "a b", derive("a b", "patient"), "payer-17", "record-P1", "P1"]
    assert len({derive(key, "patient") for key in keys}) == len(keys)
    assert derive("P1", "patient") == "P1"
    assert derive("17", "payer") != derive("payer-17", "organization")


def test_absence_stays_absence(cohort: Dataset, tmp_path: Path) -> None:
    some = few(cohort, 8)
    held = {}
    for table in loose.schema().tables:
        needed = {column.name for column in table.columns if not column.nullable}
        if table.name == "claim_line":
            needed.add("claim_id")
        held[table.name] = some.tables[table.name].with_columns(
            pl.lit(None, some.tables[table.name].schema[name]).alias(name) for name in table.names if name not in needed
        )
    found = written(changed(some, **held), tmp_path)
    for all_of in found.values():
        assert not [one for one in all_of if list(empties(one))]
    one = found["Patient"][0]
    assert set(one) == {"resourceType", "id", "meta", "identifier"}
    assert "profile" not in one["meta"]
    seen = found["Observation"][0]
    assert "valueQuantity" not in seen and seen["dataAbsentReason"]
    assert found["Encounter"][0]["class"]["code"] == "UNK"


def test_people_as_they_are(cohort: Dataset, tmp_path: Path) -> None:
    some = few(cohort, 6)
    people = some.tables["patient"].with_columns(
        pl.Series("sex", ["other", "unknown", None, "female", "male", "male"], dtype=pl.String),
        pl.Series("given_name", ["Cher", None, "A", "B" * 200, "C", "D"], dtype=pl.String),
        pl.Series("family_name", [None, "Prince", "O'Neil", "Ü", "E", "F"], dtype=pl.String),
        pl.Series("birth_family_name", [None, "Nelson", "O'Neil", None, "G", None], dtype=pl.String),
        pl.Series("address_line", [None] * 6, dtype=pl.String),
    )
    found = written(changed(some, patient=people), tmp_path)["Patient"]
    assert [one.get("gender") for one in found] == ["other", "unknown", None, "female", "male", "male"]
    assert found[0]["name"] == [{"use": "official", "given": ["Cher"]}]
    assert found[1]["name"][1] == {"use": "maiden", "family": "Nelson"}
    assert extension(found[2], "birth-family-name") == "O'Neil" and len(found[2]["name"]) == 1
    assert found[3]["name"][0]["given"] == ["B" * 200]
    assert ["profile" in one["meta"] for one in found] == [True, True, False, True, True, True]


def test_times_keep_their_fractions_and_numbers_their_digits(cohort: Dataset, tmp_path: Path) -> None:
    some = few(cohort, 3)
    seen = some.tables["observation"].filter(pl.col("code") == "29463-7")[:4]
    values = [0.1 + 0.2, 1e-7, 1e22, -0.0]
    times = [datetime(2020, 2, 29, 23, 59, 59, 999999), datetime(2020, 1, 1), datetime(999, 1, 2, 3, 4, 5, 10), None]
    seen = seen.with_columns(pl.Series("value", values), pl.Series("time", times, dtype=pl.Datetime("us")))
    found = written(changed(some, observation=seen), tmp_path)["Observation"]
    assert [one["valueQuantity"]["value"] for one in found] == values
    told = [one["effectiveDateTime"] for one in found[:3]]
    assert told == ["2020-02-29T23:59:59.999999+00:00", "2020-01-01T00:00:00+00:00", "0999-01-02T03:04:05.000010+00:00"]
    assert "effectiveDateTime" not in found[3]


def test_what_json_cannot_hold_is_refused(cohort: Dataset, tmp_path: Path) -> None:
    some = few(cohort, 3)
    seen = some.tables["observation"].with_columns(pl.lit(float("inf")).alias("value"))
    with pytest.raises(UnsupportedError, match=r"observation\.value"):
        FhirExporter().write(changed(some, observation=seen), tmp_path)
    assert not list((tmp_path / "fhir").glob("Observation*"))


def test_real_records_are_not_said_to_be_fabricated(cohort: Dataset, tmp_path: Path) -> None:
    some = few(cohort, 3)
    real = Dataset.trusted(some.schema, some.tables, Provenance("real"))
    found = written(real, tmp_path, allow_real=True)
    assert not [one for all_of in found.values() for one in all_of if "security" in one.get("meta", {})]
    assert "synthetic" not in json.dumps(found)
    with pytest.raises(UnsupportedError):
        FhirExporter().write(real, tmp_path / "no")


def test_other_systems_keep_their_names(cohort: Dataset, tmp_path: Path) -> None:
    some = few(cohort, 3)
    names = ["ICD-9-CM", "house list/7", "urn:oid:1.2.3"]
    rows = some.tables["condition"][:3].with_columns(
        pl.Series("system", names),
        pl.Series("code", ["250.00", "x", "y"]),
        pl.Series("snomed_code", [None, "44054006", None], dtype=pl.String),
    )
    only = rows[:1].with_columns(
        pl.lit(None, pl.String).alias("code"),
        pl.lit("73211009").alias("snomed_code"),
        pl.lit("k").alias("condition_id"),
    )
    found = written(changed(some, condition=pl.concat([rows, only])), tmp_path)["Condition"]
    assert [one["code"]["coding"][0].get("system") for one in found[:3]] == [
        "http://hl7.org/fhir/sid/icd-9-cm",
        "https://ehrsatz.org/fhir/CodeSystem/house%20list%2F7",
        "urn:oid:1.2.3",
    ]
    assert found[1]["code"]["coding"][1]["code"] == "44054006"
    marked = [coding for coding in found[3]["code"]["coding"] if coding.get("userSelected") is False]
    assert [coding["code"] for coding in marked] == ["73211009"]


# ---------------------------------------------------------------------- files
def test_bundles_say_the_same_as_ndjson_and_bear_no_reference_to_another_patient(
    some: Dataset, resources: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    paths = BundleExporter().write(some, tmp_path)
    assert BundleExporter().check(tmp_path) == []
    by_name: dict[str, dict[str, Any]] = {}
    world: set[str] = set()
    order = [kind.name for kind in KINDS]
    for path in paths:
        bundle = json.loads(path.read_text(encoding="utf-8"))
        assert (bundle["type"], bundle["meta"]["security"][0]["code"]) == ("transaction", "HTEST")
        own = set()
        for entry in bundle["entry"]:
            name = f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
            assert entry["fullUrl"] == f"https://ehrsatz.org/fhir/{name}"
            assert entry["request"] == {"method": "PUT", "url": name}
            for reference in REFERENCE.findall(json.dumps(entry)):  # dependencies first
                assert reference in own or reference in world, f"{name.split('/')[0]} -> {reference.split('/')[0]}"
            own.add(name)
            by_name[name] = entry["resource"]
        if path.parent.name == "fhir_bundle":
            world |= own
        else:
            assert path.parent.name == "00000" and path.parent.parent.name == "patients"
            kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
            assert kinds == sorted(kinds, key=order.index)
    assert by_name == {f"{kind}/{one['id']}": one for kind, all_of in resources.items() for one in all_of}
    assert max(len(json.loads(path.read_text())["entry"]) for path in paths if "hospitals" in path.name) == 1_000


def test_parts_bear_their_number_and_no_world(cohort: Dataset, tmp_path: Path) -> None:
    some = few(cohort, 5)
    own = [table.name for table in some.schema.tables if table.name not in WORLD]
    for exporter in (FhirExporter(), BundleExporter()):
        paths = exporter.write(some, tmp_path, part=7, tables=own)
        exporter.write(some, tmp_path, tables=WORLD)
        told = [path.relative_to(tmp_path).as_posix() for path in paths]
        assert all(name.endswith("-00007.ndjson") or "patients/00007/" in name for name in told)
        assert exporter.check(tmp_path) == []
    assert (tmp_path / "fhir" / "Organization.ndjson").is_file()
    assert not (tmp_path / "fhir" / "Patient.ndjson").exists()


def test_damage_is_found_by_place_and_never_shown(cohort: Dataset, tmp_path: Path) -> None:
    some = few(cohort, 3)
    FhirExporter().write(some, tmp_path)
    path = tmp_path / "fhir" / "Condition.ndjson"
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], lines[1][:-9], *lines[2:]]))
    assert FhirExporter().check(tmp_path) == ["Condition.ndjson: line 2 is no resource of type Condition"]
    BundleExporter().write(some, tmp_path)
    broken = next((tmp_path / "fhir_bundle" / "patients" / "00000").glob("*.json"))
    whole = broken.read_text()
    broken.write_text(whole[:-40])
    assert [text.endswith("it is no JSON") for text in BundleExporter().check(tmp_path)] == [True]
    broken.write_text(whole.replace('"url":"Patient/', '"url":"Patient/x', 1))
    assert "another address" in BundleExporter().check(tmp_path)[0]
    broken.write_text(whole.replace('"request"', '"asked"', 1))
    assert "lacks its resource" in BundleExporter().check(tmp_path)[0]
    broken.write_text("[]")
    assert "no transaction Bundle" in BundleExporter().check(tmp_path)[0]
    path.write_text("")
    assert FhirExporter().check(tmp_path) == ["Condition.ndjson: it is empty"]


def test_equal_records_give_equal_bytes(cohort: Dataset, tmp_path: Path) -> None:
    some = few(cohort, 5)
    for exporter in (FhirExporter(), BundleExporter()):
        one, two = (exporter.write(some, tmp_path / name) for name in ("a", "b"))
        assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_lines_without_a_claim_are_the_one_loss(cohort: Dataset, tmp_path: Path) -> None:
    some = few(cohort, 5)
    lines = some.tables["claim_line"].with_columns(
        pl.when(pl.int_range(pl.len()) > 0).then(pl.col("claim_id")).alias("claim_id")
    )
    found = written(changed(some, claim_line=lines), tmp_path)["Claim"]
    told: defaultdict[str, int] = defaultdict(int)
    for claim in found:
        told["lines"] += len(claim.get("item", []))
    assert told["lines"] == lines.height - 1
    (loss,) = FhirExporter.losses
    assert loss.rows is not None and lines.filter(loss.rows).height == 1
