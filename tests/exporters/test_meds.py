"""MEDS as the standard's own package and reader judge it, and what becomes of odd records."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from ehrsatz import loose
from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError
from ehrsatz.exporters.meds import SUBJECTS_A_SHARD, MedsExporter, events
from ehrsatz.provenance import Provenance
from ehrsatz.reconcile.compare import compare
from ehrsatz.sources.meds.reader import MedsSource

ODD = ("😀 Zoë", "O'Neil", "عمر", "e\u0301", "N" * 200, 'a "quoted", b\nnext', "\\n|^~&")


@pytest.fixture(scope="module")
def place(cohort: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("meds")
    exporter = MedsExporter()
    exporter.write(cohort, folder)
    exporter.finish(folder)
    return folder / "meds"


def of(**tables: pl.DataFrame) -> Dataset:
    return loose.complete(tables, Provenance("generated", ()))


def round_trip(dataset: Dataset, folder: Path) -> Dataset:
    exporter = MedsExporter()
    exporter.write(dataset, folder)
    exporter.finish(folder)
    assert exporter.check(folder) == []
    return MedsSource().read(folder / "meds", origin="generated")


def differences(dataset: Dataset, found: Dataset) -> list[tuple[str, str]]:
    return [(one.table, one.column) for one in compare(dataset, found, MedsExporter.losses) if one.n_differ]


# ---------------------------------------------------------------------- judged by others
def test_the_schemas_of_the_standard_accept_every_file(place: Path) -> None:
    meds = pytest.importorskip("meds")
    import pyarrow.parquet as pq

    meds.DataSchema.validate(pq.read_table(place / "data" / "0.parquet"))
    meds.CodeMetadataSchema.validate(pq.read_table(place / "metadata" / "codes.parquet"))
    meds.SubjectSplitSchema.validate(pq.read_table(place / "metadata" / "subject_splits.parquet"))
    about = json.loads((place / "metadata" / "dataset.json").read_text(encoding="utf-8"))
    meds.DatasetMetadataSchema.validate(about)
    assert "fabricated" in about["dataset_name"]


def test_another_reader_finds_the_same_events(cohort: Dataset, tmp_path: Path) -> None:
    """Four shards of 50 patients: all are converted, one of them is compared event by event (it picks which)."""
    pytest.importorskip("meds_reader")
    wide = loose.widen(cohort)
    exporter = MedsExporter()
    for part in range(4):
        keys = cohort.subjects[50 * part : 50 * part + 50].implode()
        tables = {
            name: frame.filter(pl.col("patient_id").is_in(keys)) if "patient_id" in frame.columns else frame
            for name, frame in wide.tables.items()
        }
        exporter.write(Dataset.trusted(wide.schema, tables, wide.provenance), tmp_path, part=part)
    exporter.finish(tmp_path)
    tools = Path(sys.executable).parent
    database = tmp_path / "database"
    for command in (
        [tools / "meds_reader_convert", tmp_path / "meds", database, "--num_threads", "1"],
        [tools / "meds_reader_verify", tmp_path / "meds", database],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "Test passed!" in done.stdout


# ---------------------------------------------------------------------- what is in the files
def test_real_patients_are_not_called_fabricated(tmp_path: Path) -> None:
    real = loose.complete({"patient": pl.DataFrame({"patient_id": ["a"]})}, Provenance("real", ()))
    exporter = MedsExporter()
    exporter.write(real, tmp_path, allow_real=True)
    exporter.finish(tmp_path)
    text = (tmp_path / "meds" / "metadata" / "dataset.json").read_text(encoding="utf-8")
    assert "fabricated" not in text and "real" in text


def test_events_are_in_order_and_every_code_is_described(place: Path) -> None:
    frame = pl.read_parquet(place / "data" / "0.parquet")
    assert frame["subject_id"].is_sorted()
    per_subject = frame.filter(pl.col("time").is_not_null()).group_by("subject_id", maintain_order=True)
    assert all(times["time"].is_sorted() for _, times in per_subject)
    first = frame.group_by("subject_id", maintain_order=True).first()
    assert first["code"].unique().to_list() == ["PATIENT_ID"] and first["time"].null_count() == first.height
    codes = pl.read_parquet(place / "metadata" / "codes.parquet")
    assert set(frame["code"].unique()) == set(codes["code"])
    glucose = codes.filter(pl.col("code") == "OBSERVATION//LOINC//2345-7")
    assert glucose["parent_codes"].to_list() == [["LOINC/2345-7"]] and "Glucose" in glucose["description"][0]


def test_what_is_known_at_an_end_is_not_told_at_the_start(place: Path) -> None:
    frame = pl.read_parquet(place / "data" / "0.parquet")
    ends = frame.filter(pl.col("code").str.starts_with("CONDITION_END//"))
    starts = frame.filter(pl.col("code").str.starts_with("CONDITION//"))
    ended = starts.join(ends, on="event_id", how="semi")
    assert ended.height and ended["status"].null_count() == ended.height
    assert ends["status"].null_count() == 0


def test_splits_depend_on_the_key_of_a_patient_alone(cohort: Dataset, place: Path, tmp_path: Path) -> None:
    few = of(patient=cohort.tables["patient"][150:])
    exporter = MedsExporter()
    exporter.write(few, tmp_path)
    exporter.finish(tmp_path)

    def splits(folder: Path) -> dict[str, str]:
        keys = pl.read_parquet(folder / "data" / "0.parquet").filter(pl.col("code") == "PATIENT_ID")
        joined = keys.join(pl.read_parquet(folder / "metadata" / "subject_splits.parquet"), on="subject_id")
        return dict(zip(joined["text_value"], joined["split"]))

    whole, part = splits(place), splits(tmp_path / "meds")
    assert len(part) == 50 and part.items() <= whole.items()
    assert set(whole.values()) == {"train", "tuning", "held_out"}
    assert 0.7 < sum(split == "train" for split in whole.values()) / len(whole) < 0.9


# ---------------------------------------------------------------------- odd records
def test_odd_texts_codes_and_gaps_come_back(tmp_path: Path) -> None:
    n = len(ODD)
    patient = pl.DataFrame(
        {"patient_id": ODD, "family_name": ODD, "sex": [None, "other", "unknown", "male"] + [None] * (n - 4)}
    )
    seen = pl.DataFrame(
        {
            "observation_id": [f"{i}" for i in range(n)],
            "patient_id": ODD,
            "code": ["a//b", None, "x", None, "é", "//", "y"],
            "system": ["http://a//b%2F", "LOINC", None, None, "%25", "LOINC", "s"],
            "time": [None, *[datetime(1969, 12, 31, 23, 59, 59, 999_999)] * (n - 1)],
            "value": [0.1 + 0.2, 1e-300, None, -0.0, 123456789.123456789, None, 16777217.0],
            "text_value": [None, None, ODD[5], None, None, ODD[0], None],
        }
    )
    dataset = of(patient=patient, observation=seen)
    assert differences(dataset, round_trip(dataset, tmp_path)) == []


def test_a_patient_without_anything_and_a_cause_without_a_death_come_back(tmp_path: Path) -> None:
    dataset = of(patient=pl.DataFrame({"patient_id": ["a", "b"], "death_cause": [None, "I10"]}))
    assert differences(dataset, round_trip(dataset, tmp_path)) == []


def test_ends_before_and_without_starts_come_back(tmp_path: Path) -> None:
    patient = pl.DataFrame({"patient_id": ["a"], "birth_date": [date(1910, 2, 28)]})
    condition = pl.DataFrame(
        {
            "condition_id": ["1", "2", "3", "4"],
            "patient_id": ["a"] * 4,
            "code": ["I10", None, "I10", "J45"],
            "onset": [None, datetime(2020, 1, 2), datetime(2020, 1, 2), None],
            "abatement": [datetime(2020, 1, 1), datetime(2020, 1, 1), None, None],
            "status": ["resolved", None, "active", "active"],
        }
    )
    dataset = of(patient=patient, condition=condition)
    assert differences(dataset, round_trip(dataset, tmp_path)) == []


def test_subjects_of_shards_bear_other_numbers(cohort: Dataset) -> None:
    first, third = (pl.concat(events(loose.widen(cohort), part))["subject_id"] for part in (0, 2))
    assert (third - first).unique().to_list() == [2 * SUBJECTS_A_SHARD]


def test_a_subject_in_two_shards_is_refused(tmp_path: Path) -> None:
    dataset = of(patient=pl.DataFrame({"patient_id": ["a"]}))
    exporter = MedsExporter()
    exporter.write(dataset, tmp_path, part=0)
    data = tmp_path / "meds" / "data"
    (data / "1.parquet").write_bytes((data / "0.parquet").read_bytes())
    with pytest.raises(OutputError, match="in one shard"):
        exporter.finish(tmp_path)


def test_nothing_to_finish_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="shards"):
        MedsExporter().finish(tmp_path)


def test_a_file_out_of_order_is_seen(place: Path, tmp_path: Path) -> None:
    target = tmp_path / "meds" / "data"
    target.mkdir(parents=True)
    pl.read_parquet(place / "data" / "0.parquet").reverse().write_parquet(target / "0.parquet")
    assert any("order" in problem for problem in MedsExporter().check(tmp_path))
