"""Folders of the clinical schema's own tables: as CSV or Parquet, whole or in parts, and what has no place there."""

from __future__ import annotations

import warnings
from pathlib import Path

import polars as pl
import pytest

from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, DataWarning, SourceError
from ehrsatz.exporters.csv import CsvExporter
from ehrsatz.exporters.parquet import ParquetExporter
from ehrsatz.reconcile.compare import compare
from ehrsatz.sources.canonical import CanonicalSource
from ehrsatz.sources.clinical import Part


@pytest.mark.parametrize("exporter", [CsvExporter, ParquetExporter])
def test_written_tables_come_back(exporter: type, cohort: Dataset, tmp_path: Path) -> None:
    exporter().write(cohort, tmp_path)
    assert CanonicalSource.fits(tmp_path)
    found = CanonicalSource().read(tmp_path, origin="simulated")
    assert not [one for one in compare(cohort, found) if one.n_differ]


def test_a_part_is_read_alone(cohort: Dataset, tmp_path: Path) -> None:
    own = [table.name for table in cohort.schema.tables if table.name not in WORLD]
    ParquetExporter().write(cohort, tmp_path, part=0, tables=own)
    ParquetExporter().write(cohort, tmp_path, part=1, tables=own)
    ParquetExporter().write(cohort, tmp_path, tables=WORLD)
    assert CanonicalSource().parts(tmp_path) == 2
    one = CanonicalSource().read(tmp_path, part=Part(1, cohort.subjects))
    assert not [a for a in compare(cohort, one) if a.n_differ]


def test_patients_of_whole_files_are_read_alone(cohort: Dataset, tmp_path: Path) -> None:
    ParquetExporter().write(cohort, tmp_path)
    few = cohort.subjects[:7]
    one = CanonicalSource().read(tmp_path, part=Part(None, few, world=False))
    assert one.tables["patient"].height == 7 and one.tables["organization"].height == 0
    assert set(one.tables["encounter"]["patient_id"]) <= set(few)


def test_what_has_no_place_is_counted_and_named(cohort: Dataset, tmp_path: Path) -> None:
    frames = dict(cohort.tables)
    patient = frames["patient"].with_columns(pl.lit("x").alias("shoe_size"))
    frames["patient"] = patient.with_columns(pl.when(pl.int_range(pl.len()) > 0).then("sex").otherwise(pl.lit("f")))
    frames["condition"] = pl.concat([frames["condition"], frames["condition"][:3]])
    frames["goal"] = frames["goal"].with_columns(pl.lit("nowhere").alias("encounter_id"))
    frames["parking"] = pl.DataFrame({"lot": [1, 2]})
    for name, frame in frames.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    with pytest.warns(DataWarning, match="shoe_size"):
        found = CanonicalSource().read(tmp_path)
    unplaced = found.provenance.steps[0].params["unplaced"]
    assert unplaced == {
        "patient.shoe_size: column of no clinical table": 200,
        "patient.sex: other words": 1,
        "condition: rows that repeat a key": 3,
        "goal.encounter_id: links to nothing": frames["goal"].height,
        "file parking.parquet": 1,
    }


def test_bad_folders_are_refused(cohort: Dataset, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="patient"):
        CanonicalSource().read(tmp_path)
    CsvExporter().write(cohort, tmp_path)
    text = (tmp_path / "observation.csv").read_text().splitlines()
    secret = "Unspeakable-4711"
    cells = text[1].split(",")
    cells[4] = secret
    (tmp_path / "observation.csv").write_text("\n".join([text[0], ",".join(cells), *text[2:]]))
    with pytest.raises(DataError) as told, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CanonicalSource().read(tmp_path)
    assert "observation.csv" in str(told.value) and secret not in str(told.value)
