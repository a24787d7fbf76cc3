"""CSV and Parquet: the source's spelling, equal bytes, nothing half written, no real rows."""

from __future__ import annotations

import errno
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError, UnsupportedError
from ehrsatz.exporters.csv import CsvExporter
from ehrsatz.exporters.parquet import ParquetExporter
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table, boolean_words, dtype_of

COLUMNS = (
    Column("seen", "date", format="%d.%m.%Y"),
    Column("at", "datetime"),
    Column("smoker", "boolean", format="Y/N"),
    Column("dead", "boolean", format="0/1"),
    Column("grade", "integer", format=".0"),
    Column("age", "integer", missing=("-9",)),
    Column("ward", "category", missing=("?", "NA")),
    Column("weight", "number"),
)


def make(origin: str = "generated", name: str = "patients") -> Dataset:
    frame = pl.DataFrame(
        {
            "seen": [date(2020, 2, 1), None],
            "at": [datetime(1965, 1, 2, 3, 4, 5), None],
            "smoker": [True, None],
            "dead": [False, True],
            "grade": [2, None],
            "age": [44, None],
            "ward": ['a "b", c', None],
            "weight": [70.5, None],
        },
        schema_overrides={"at": pl.Datetime("us")},
    )
    return Dataset(Schema("demo", (Table(name, COLUMNS),)), {name: frame}, Provenance(origin))  # type: ignore[arg-type]


def test_csv_writes_the_spelling_of_the_source(tmp_path: Path) -> None:
    (path,) = CsvExporter().write(make(), tmp_path / "out")
    assert path.read_text() == (
        "seen,at,smoker,dead,grade,age,ward,weight\n"
        '01.02.2020,1965-01-02 03:04:05,Y,0,2.0,44,"a ""b"", c",70.5\n'
        ",,,1,,-9,?,\n"
    )
    assert CsvExporter().check(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("spelling", "words"),
    [
        ("Y/N", ("Y", "N")),
        ("0/1", ("1", "0")),
        ("0.0/1.0", ("1.0", "0.0")),
        ("1/0", ("1", "0")),
        ("no/yes", ("yes", "no")),
        (None, ("true", "false")),
    ],
)
def test_boolean_words(spelling: str | None, words: tuple[str, str]) -> None:
    assert boolean_words(spelling) == words


def test_parquet_reads_back_equal(tmp_path: Path) -> None:
    data = make()
    (path,) = ParquetExporter().write(data, tmp_path)
    assert pl.read_parquet(path).equals(data.table)
    assert ParquetExporter().check(tmp_path) == []


@pytest.mark.parametrize("exporter", [CsvExporter(), ParquetExporter()])
class TestEvery:
    def test_same_bytes_twice(self, exporter: CsvExporter, tmp_path: Path) -> None:
        one, two = (exporter.write(make(), tmp_path / name)[0] for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()

    def test_refuses_real_rows_unless_told(self, exporter: CsvExporter, tmp_path: Path) -> None:
        with pytest.raises(UnsupportedError):
            exporter.write(make("real"), tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert exporter.write(make("real"), tmp_path / "out", allow_real=True)

    def test_refuses_to_replace(self, exporter: CsvExporter, tmp_path: Path) -> None:
        exporter.write(make(), tmp_path)
        with pytest.raises(OutputError, match="Present already"):
            exporter.write(make(), tmp_path)

    @pytest.mark.parametrize("name", ["../escape", "a/b", ".hidden", ""])
    def test_refuses_table_names_that_are_no_file_names(self, exporter: CsvExporter, tmp_path: Path, name: str) -> None:
        with pytest.raises(OutputError):
            exporter.write(make(name=name), tmp_path / "out")

    def test_a_full_disk_leaves_nothing(
        self, exporter: CsvExporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(path: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("ehrsatz.files.flush", full)
        with pytest.raises(OutputError, match="disk is full"):
            exporter.write(make(), tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_an_interrupt_leaves_nothing(
        self, exporter: CsvExporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stop(path: Path) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("ehrsatz.files.flush", stop)
        with pytest.raises(KeyboardInterrupt):
            exporter.write(make(), tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_check_finds_a_broken_file(self, exporter: CsvExporter, tmp_path: Path) -> None:
        assert exporter.check(tmp_path)
        (path,) = exporter.write(make(), tmp_path)
        path.write_bytes(b"")
        assert exporter.check(tmp_path)


@pytest.mark.parametrize(
    ("kind", "spelling", "cells", "written"),
    [
        ("integer", ",", [1234567, -999, None], ["1,234,567", "-999", ""]),
        ("integer", "$,.0", [123456, 12], ["$123,456.0", "$12.0"]),
        ("number", "0,0", [1.5, -2.25], ["1,5", "-2,25"]),
        ("number", "0.000,0", [1234.5], ["1.234,5"]),
        ("number", "%", [12.5], ["12.5%"]),
        ("number", ".0", [145.0], ["145.0"]),
        ("date", "%m/%d/%Y|%Y-%m-%d", [date(2020, 2, 1)], ["02/01/2020"]),
        ("datetime", "%Y-%m-%d|%Y-%m-%dT%H:%M:%S%#z", [datetime(2020, 2, 1, 3)], ["2020-02-01T03:00:00+00:00"]),
        ("datetime", "", [datetime(2020, 2, 1)], ["2020-02-01 00:00:00"]),
        ("datetime", "%d.%m.%Y", [datetime(2020, 2, 1, 3)], ["2020-02-01 03:00:00"]),
    ],
)
def test_spellings(kind: str, spelling: str, cells: list[object], written: list[str], tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": pl.Series(cells, dtype=dtype_of(kind))})
    column = Column("x", kind, format=spelling, missing=("<unreadable>",))  # type: ignore[arg-type]
    data = Dataset(Schema("s", (Table("t", (column,)),)), {"t": frame}, Provenance("generated"))
    (path,) = CsvExporter().write(data, tmp_path)
    assert pl.read_csv(path, infer_schema=False)["x"].fill_null("").to_list() == written
