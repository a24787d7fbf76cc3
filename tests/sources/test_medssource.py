"""The reader of MEDS on other makers' events and on files that are damaged or of an older form."""

from __future__ import annotations

import warnings
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, DataWarning, SourceError
from ehrsatz.sources.clinical import Part
from ehrsatz.sources.meds.reader import MedsSource

DAY = datetime(2150, 3, 1, 8)


def write(
    folder: Path, rows: list[tuple[object, ...]], *, name: str = "data/0.parquet", **columns: list[object]
) -> Path:
    frame = pl.DataFrame(rows, schema=["subject_id", "time", "code"], orient="row").with_columns(
        pl.Series(column, values) for column, values in columns.items()
    )
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    return folder


def unplaced(dataset: Dataset) -> dict[str, int]:
    return dataset.provenance.steps[-1].params.get("unplaced", {})


def quietly(path: Path, **options: object) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return MedsSource().read(path, **options)


# ---------------------------------------------------------------------- other makers
def test_the_mimic_demo_is_placed_and_the_rest_counted(data_dir: Path) -> None:
    folder = data_dir / "mimic4_demo_meds"
    assert MedsSource.fits(folder) and MedsSource().parts(folder) == 0
    with pytest.warns(DataWarning, match="DRG"):
        found = MedsSource().read(folder)
    rows = {name: frame.height for name, frame in found.tables.items() if frame.height}
    assert rows == {
        "patient": 100,
        "encounter": 596,
        "condition": 4506,
        "observation": 800_437,
        "medication": 60_929,
        "procedure": 2215,
    }
    patient = found.tables["patient"]
    assert patient["sex"].null_count() == 0 and patient["birth_date"].null_count() == 0
    assert patient["death_time"].count() == 31
    stays = found.tables["encounter"]
    assert (stays["stop"] >= stays["start"]).all() and stays["stop"].null_count() == 0
    assert stays.filter(pl.col("class") == "inpatient")["disposition"].eq("died").sum() == 15
    assert set(found.tables["condition"]["system"]) == {"ICD-9-CM", "ICD-10-CM"}
    seen = found.tables["observation"]
    assert seen["value"].count() == 352_606 + 11_826 + 9362
    counted = unplaced(found)
    assert counted["code DRG"] == 454 and counted["code TRANSFER_TO"] == 1190


def test_no_event_of_the_mimic_demo_is_lost_silently(data_dir: Path) -> None:
    found = quietly(data_dir / "mimic4_demo_meds")
    heads = pl.read_parquet(data_dir / "mimic4_demo_meds" / "events.parquet").select(
        pl.col("code").str.split("//").list.first().alias("head")
    )["head"]
    rows = {name: frame.height for name, frame in found.tables.items()}
    facts = 100 + 100 + 31  # births, sexes, deaths
    alone = sum(rows[name] for name in ("condition", "observation"))
    kinds = {"MEDICATION", "INFUSION_START", "INFUSION_END", "PROCEDURE", "HCPCS"}
    stays = {"HOSPITAL_ADMISSION", "HOSPITAL_DISCHARGE", "ICU_ADMISSION", "ICU_DISCHARGE", "ED_REGISTRATION", "ED_OUT"}
    others = int(heads.is_in(list(kinds)).sum())
    counted = unplaced(found)
    assert facts + alone + others + int(heads.is_in(list(stays)).sum()) + sum(
        counted[name] for name in ("code DRG", "code TRANSFER_TO")
    ) == len(heads)


def test_starts_and_ends_are_paired_in_order_or_with_the_next_end(tmp_path: Path) -> None:
    def at(hour: int) -> datetime:
        return DAY.replace(hour=hour)

    rows = [
        (1, at(1), "INFUSION_START//5"),
        (1, at(2), "INFUSION_START//5"),
        (1, at(3), "INFUSION_END//5"),
        (1, at(4), "INFUSION_END//5"),
        (1, at(5), "PROCEDURE//END//7"),
        (1, at(6), "PROCEDURE//START//7"),
        (1, at(7), "PROCEDURE//END//7"),
        (1, at(8), "ICU_ADMISSION//MICU"),
    ]
    found = quietly(write(tmp_path, rows))
    drugs = found.tables["medication"].sort("start")
    assert drugs["stop"].to_list() == [at(3), at(4)] and drugs["code"].to_list() == ["5", "5"]
    (done,) = found.tables["procedure"].iter_rows(named=True)
    assert (done["start"], done["stop"]) == (at(6), at(7))
    (stay,) = found.tables["encounter"].iter_rows(named=True)
    assert (stay["class"], stay["stop"], stay["display"]) == ("icu", None, "MICU")
    assert unplaced(found) == {"ends without a start": 1}


def test_codes_of_omop_vocabularies_go_by_their_table_or_their_vocabulary(tmp_path: Path) -> None:
    rows = [
        (1, None, "Gender/F"),
        (1, DAY, "LOINC/2345-7"),
        (1, DAY, "SNOMED/44054006"),
        (1, DAY, "SNOMED/44054006"),
        (1, DAY, "RxNorm/860975"),
        (1, DAY, "Visit/IP"),
    ]
    folder = write(
        tmp_path,
        rows,
        table=[None, "measurement", "condition", None, "drug_exposure", "visit"],
        numeric_value=[None, 5.5, None, None, None, None],
    )
    pl.DataFrame({"code": ["LOINC/2345-7"], "description": ["Glucose"]}).write_parquet(tmp_path / "codes.parquet")
    (tmp_path / "metadata").mkdir()
    (tmp_path / "codes.parquet").rename(tmp_path / "metadata" / "codes.parquet")
    found = quietly(folder)
    (seen,) = found.tables["observation"].iter_rows(named=True)
    assert (seen["code"], seen["system"], seen["value"], seen["display"]) == ("2345-7", "LOINC", 5.5, "Glucose")
    assert found.tables["condition"].select("code", "system").rows() == [("44054006", "SNOMED-CT")]
    assert found.tables["medication"]["code"].to_list() == ["860975"]
    assert unplaced(found) == {"code SNOMED": 1, "code Visit": 1, "code Gender": 1}


def test_the_shards_of_a_folder_are_its_parts(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "held_out")):
        write(tmp_path, [(number, DAY, "LAB//1//mg")], name=f"data/{split}/0.parquet", numeric_value=[1.5])
    assert MedsSource().parts(tmp_path) == 2
    both = [quietly(tmp_path, part=Part(number, pl.Series(["x"]))).tables["patient"] for number in (0, 1)]
    assert sorted(key for frame in both for key in frame["patient_id"]) == ["0", "1"]
    one = quietly(tmp_path, part=Part(None, pl.Series(["1"])))
    assert one.tables["patient"]["patient_id"].to_list() == ["1"]


def test_a_subject_in_two_shards_is_one_patient_all_the_same(tmp_path: Path) -> None:
    for number in (0, 1):
        rows = [(1, DAY, "LAB//1//mg"), (2 + number, DAY, "GENDER//M")]
        write(tmp_path, rows, name=f"data/{number}.parquet", numeric_value=[1.5, None])
    found = quietly(tmp_path)
    assert found.tables["patient"]["patient_id"].to_list() == ["1", "2", "3"]
    assert found.tables["observation"]["observation_id"].to_list() == ["1-observation-1", "1-observation-2"]
    assert unplaced(found) == {}


def test_row_groups_are_read_one_after_the_other(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = pl.read_parquet(data_dir / "mimic4_demo_meds" / "events.parquet").head(30_000)
    events.write_parquet(tmp_path / "events.parquet", row_group_size=1000)
    whole = quietly(tmp_path)
    monkeypatch.setattr("ehrsatz.sources.meds.reader.ROWS_AT_ONCE", 1)
    pieces = quietly(tmp_path)
    assert unplaced(pieces) == unplaced(whole)
    for name, frame in whole.tables.items():
        assert frame.sort(frame.columns[0]).equals(pieces.tables[name].sort(frame.columns[0])), name


# ---------------------------------------------------------------------- bad input
def test_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "dataset.json").write_text("{}", encoding="utf-8")
    assert not MedsSource.fits(tmp_path)
    with pytest.raises(SourceError, match="holds none"):
        MedsSource().read(tmp_path)


def test_a_damaged_shard_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [(1, DAY, "A")])
    path = tmp_path / "data" / "0.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SourceError, match="damaged"):
        MedsSource().read(tmp_path)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    write(tmp_path, [(1, DAY, "A")])
    path = tmp_path / "data" / "0.parquet"
    pl.read_parquet(path).drop("time").write_parquet(path)
    with pytest.raises(SourceError, match="Not there: time"):
        MedsSource().read(tmp_path)


def test_an_older_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    nested = pl.DataFrame({"patient_id": [1], "events": [[{"time": DAY, "measurements": [{"code": "A"}]}]]})
    nested.write_parquet(tmp_path / "data" / "0.parquet")
    assert MedsSource.fits(tmp_path)
    with pytest.raises(SourceError, match="older version"):
        MedsSource().read(tmp_path)


def test_columns_of_another_kind_are_refused_without_a_cell(tmp_path: Path) -> None:
    write(tmp_path, [(1, DAY, "A")], value=["secret"])
    with pytest.raises(DataError) as caught:
        MedsSource().read(tmp_path)
    assert "secret" not in str(caught.value)


def test_a_damaged_code_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [(1, DAY, "LAB//1//mg")])
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "codes.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match=r"codes\.parquet"):
        MedsSource().read(tmp_path)


def test_times_with_a_zone_and_categories_are_understood(tmp_path: Path) -> None:
    folder = write(tmp_path, [(1, DAY, "LAB//1//mg"), (None, DAY, "LAB//1//mg")], numeric_value=[2.5, 1.0])
    path = folder / "data" / "0.parquet"
    frame = pl.read_parquet(path).with_columns(
        pl.col("time").dt.replace_time_zone("Europe/Berlin"), pl.col("code").cast(pl.Categorical)
    )
    frame.write_parquet(path)
    found = quietly(folder)
    assert found.tables["observation"]["time"].to_list() == [datetime(2150, 3, 1, 7)]
    assert unplaced(found) == {"events without a subject or a code": 1}
