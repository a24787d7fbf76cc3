"""Records that were read in one format are learned from, and what comes out leaves in others, reconciled."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import polars as pl
import pytest

from ehrsatz import loose
from ehrsatz.cli.main import main
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.fhir.ndjson import FhirExporter

POLICY = """
name: look
version: "1"
thresholds:
  - metric: margins
    at_least: 0.1
"""
KEPT = ("patient", "encounter", "condition", "organization", "location", "practitioner")


@pytest.fixture(scope="module")
def fhir(cohort: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FHIR of 60 patients with their visits since 2025 and what was found in them."""
    few = loose.widen(cohort)
    here = pl.col("patient_id").is_in(cohort.subjects[:60].implode())
    tables = {name: frame if name in KEPT else frame.clear() for name, frame in few.tables.items()}
    tables |= {name: frame.filter(here) for name, frame in tables.items() if "patient_id" in frame.columns}
    visits = tables["encounter"].filter(pl.col("start") >= pl.datetime(2025, 1, 1)).with_columns(part_of_id=None)
    tables["encounter"] = visits.with_columns(pl.col("part_of_id").cast(pl.String))
    mine = pl.col("encounter_id").is_in(visits["encounter_id"].implode())
    tables["condition"] = tables["condition"].filter(mine)
    folder = tmp_path_factory.mktemp("fhir")
    FhirExporter().write(Dataset(few.schema, tables, few.provenance), folder)
    return folder / "fhir"


def test_a_learned_cohort_leaves_in_every_format_that_it_can(fhir: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    words = [
        "fabricate",
        "--from",
        str(fhir),
        "--policy",
        str(tmp_path / "policy.yaml"),
        "--out",
        str(tmp_path / "out"),
    ]
    formats = "parquet,fhir,fhir_bundle,hl7v2,omop_duckdb,ccda,x12,meds,sdtm,sqlite"
    assert main(["--debug", *words, "--format", formats]) == 0
    proof = json.loads((tmp_path / "out" / "reconciliation.json").read_text())
    assert proof["n_differ"] == 0 and proof["n_facts"] > 2_000
    assert {one["format"] for one in proof["formats"]} | {proof["reference"]} == set(formats.split(","))
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_an_archive_is_read_like_its_folder(fhir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "records.zip", "w") as archive:
        for path in fhir.iterdir():
            archive.write(path, path.name)
    for what, name in ((tmp_path / "records.zip", "a"), (fhir, "b")):
        assert main(["export", str(what), "--format", "csv", "--allow-real", "--out", str(tmp_path / name)]) == 0
    one, other = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "ab")
    assert one == other
