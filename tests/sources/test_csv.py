"""Delimited text: encodings, delimiters, quoting, blocks, several files, sampling."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from ehrsatz import registry
from ehrsatz.schema import Schema
from ehrsatz.sources import delimited, encoding
from ehrsatz.sources.base import kind_of
from ehrsatz.sources.csv import CsvSource

TEXT = "Name,Größe,note\nZoë,1.70,a\nÅsa,1.65,b\nLi,1.80,c\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_delimiters_and_line_ends(encoding: str, mark: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(TEXT.replace(",", mark).replace("\n", end).encode(encoding))
    data = CsvSource().read(path)
    assert data.table.columns == ["Name", "Größe", "note"]
    assert data.table["Name"].to_list() == ["Zoë", "Åsa", "Li"]
    assert data.table["Größe"].to_list() == [1.7, 1.65, 1.8]
    notes = data.provenance.steps[0].params.get("notes", {}).get("t", {})
    assert notes.get("encoding") == (None if encoding == "utf-8" else encoding)


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    for name in ("t.csv.gz", "t.csv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(TEXT.encode()))
        assert CsvSource().read(path).table.height == 3
    assert kind_of(tmp_path / "t.csv.gz") == "csv"


def test_quotes_line_ends_in_cells_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,"x, ""y""\nz"\n\n2,plain\n3,5" tube\n\n', encoding="utf-8")
    layout = delimited.inspect(path)
    frame = pl.concat(list(delimited.blocks(path, layout)))
    assert frame.to_dict(as_series=False) == {"a": ["1", "2", "3"], "b": ['x, "y"\nz', "plain", '5" tube']}


def test_blocks_cut_anywhere_give_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    body = "".join(f'{i},"ü\r\nline {i}",{i % 7}\r\n' for i in range(50))
    path.write_bytes(("id,text,x\r\n" + body).encode())
    whole = pl.concat(list(delimited.blocks(path, delimited.inspect(path))))
    for size in (5, 17, 64, 333):
        monkeypatch.setattr(encoding, "BLOCK", size)
        assert pl.concat(list(delimited.blocks(path, delimited.inspect(path)))).equals(whole)
    assert whole.height == 50


def test_one_column_keeps_blank_lines_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("x\n1\n\n3\n4\n", encoding="utf-8")
    assert CsvSource().read(path).table["x"].to_list() == [1, None, 3, 4]


def test_a_column_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",x\n" + "".join(f"{i},{i % 3}\n" for i in range(30)), encoding="utf-8")
    data = CsvSource().read(path)
    assert data.table.columns == ["column_1", "x"]
    assert data.schema.tables[0]["column_1"].role == "key"


def test_folder_becomes_linked_tables(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text(
        "visit_id,patient_id,date,sbp\n"
        + "".join(f"V{i:03d},P{i // 3:02d},2020-{1 + i % 12:02d}-{1 + i % 27:02d},{100 + i % 60}\n" for i in range(90)),
        encoding="utf-8",
    )
    (tmp_path / "patients.csv").write_text(
        "patient_id,sex\n" + "".join(f"P{i:02d},{'FM'[i % 2]}\n" for i in range(32)), encoding="utf-8"
    )
    assert kind_of(tmp_path) == "csv"
    data = registry.find("sources", kind_of(tmp_path))().read(tmp_path)
    assert data.schema.parent.name == "patients" and data.n_subjects == 32
    visits = data.schema["visits"]
    assert [(link.column, link.to_table, link.to_column) for link in visits.links] == [
        ("patient_id", "patients", "patient_id")
    ]
    assert (visits["visit_id"].role, visits["patient_id"].role, visits["date"].role) == ("key", "link", "time")
    sampled = CsvSource().read(tmp_path, sample_subjects=10, subject="patient_id", seed=1)
    assert sampled.n_subjects == 10
    again = CsvSource().read(tmp_path, sample_subjects=10, subject="patient_id", seed=1)
    assert sampled.tables["visits"].equals(again.tables["visits"])


def test_orphans_make_no_link(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("patient_id,x\n" + "".join(f"{i},{i % 4}\n" for i in range(30)), encoding="utf-8")
    (tmp_path / "b.csv").write_text(
        "patient_id,y\n" + "".join(f"{i % 40},{i % 5}\n" for i in range(99)), encoding="utf-8"
    )
    data = CsvSource().read([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert not any(table.links for table in data.schema.tables)


@pytest.mark.parametrize(
    "file",
    ["ckd/kidney_disease.csv", "heart_failure/heart_failure_clinical_records.csv", "pbc/pbcseq.csv", "synthea_csv"],
)
def test_the_inferred_schema_reads_the_same_rows_again(file: str, data_dir: Path) -> None:
    first = CsvSource().read(data_dir / file)
    schema = Schema.from_yaml(first.schema.to_yaml())
    assert schema == first.schema
    second = CsvSource().read(data_dir / file, schema=schema)
    assert all(second.tables[name].equals(frame) for name, frame in first.tables.items())


def test_an_edited_schema_wins(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("grade,zip\n" + "".join(f"{1 + i % 4},{1000 + i}\n" for i in range(60)), encoding="utf-8")
    text = CsvSource().read(path).schema.to_yaml()
    edited = Schema.from_yaml(text.replace("kind: category", "kind: integer", 1))
    data = CsvSource().read(path, schema=edited)
    assert data.table["grade"].dtype == pl.Int64
