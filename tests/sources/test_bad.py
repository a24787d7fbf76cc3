"""Bad input: a clear error in three parts, and no cell value in it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ehrsatz.errors import DataError, EhrsatzError, SchemaError, SourceError
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.sources.base import kind_of
from ehrsatz.sources.csv import CsvSource

ROWS = "".join(f"{i},{20 + i % 50},{'FM'[i % 2]}\n" for i in range(40))
GOOD = "patient_id,age,sex\n" + ROWS


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


CASES = {
    "empty": (b"", SourceError, "empty"),
    "blank lines": (b"\n\n\n", SourceError, "blank lines"),
    "header only": (b"a,b,c\n", SourceError, "no row"),
    "one row": (b"a,b\n1,2\n", DataError, "1 row"),
    "no header": (b"1,2\n3,4\n5,6\n", SourceError, "no column names"),
    "duplicate names": (b"a,b,a\n1,2,3\n4,5,6\n", SourceError, "more than once"),
    "ragged long": (b"a,b\n1,2\n3,secretword,5\n6,7\n", SourceError, "line 3"),
    "ragged short": (b"a,b,c\n1,2,3\n3,secretword\n6,7,8\n", SourceError, "line 3"),
    "ragged after a quoted line end": (b'a,b\n"x\ny",2\n3,secretword,5\n', SourceError, "line 4"),
    "open quote": (b'a,b\n1,2\n3,"secretword\n4,5\n6,7\n', SourceError, "never closed"),
    "binary": (bytes(range(256)) * 40, SourceError, "binary"),
    "zip": (b"PK\x03\x04" + b"x" * 100, SourceError, "zip"),
    "parquet": (b"PAR1" + b"x" * 100, SourceError, "Parquet"),
    "shift jis": ("名前,値\n".encode("shift_jis") * 50, SourceError, "neither UTF-8"),
    "mixed encodings": (("name,x\n" + "Zoë,1\n" * 9).encode() + "Zoë,1\n".encode("latin-1"), SourceError, "line 11"),
    "cut gzip": (gzip.compress(GOOD.encode())[:-20], SourceError, "gzip"),
    "too wide": (
        ",".join(f"c{i}" for i in range(5000)).encode() + b"\n" + (",".join(["1"] * 5000) + "\n").encode() * 3,
        SourceError,
        "5,000",
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_files_that_are_no_table(case: str, tmp_path: Path) -> None:
    content, error, words = CASES[case]
    with pytest.raises(error) as caught:
        CsvSource().read(write(tmp_path, content))
    check(caught.value, words)


def check(error: EhrsatzError, words: str) -> None:
    assert error.expected and error.found and error.advice
    assert words in str(error)
    assert "secretword" not in str(error)
    assert error.__cause__ is None


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    for make in (
        lambda: CsvSource().read(tmp_path / "absent.csv"),
        lambda: kind_of(tmp_path / "absent.csv"),
        lambda: kind_of(tmp_path),
        lambda: kind_of(write(tmp_path, "x", "t.xlsx")),
        lambda: kind_of([]),
        lambda: CsvSource().read(write(tmp_path, GOOD), encoding="klingon"),
        lambda: CsvSource().read(write(tmp_path, "a,b\n1,ü\n2,ö\n".encode("latin-1")), encoding="utf-8"),
    ):
        with pytest.raises(SourceError) as caught:
            make()
        check(caught.value, "Expected")


def test_subject_column(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    with pytest.raises(DataError) as caught:
        CsvSource().read(path, subject="patient_i")
    check(caught.value, "Did you mean 'patient_id'")
    with pytest.raises(DataError) as caught:
        CsvSource().read(write(tmp_path, GOOD.replace("\n3,", "\n,").replace("\n7,", "\n,")), subject="patient_id")
    check(caught.value, "2 of 40 rows")


def test_target_column(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b,c\n1,x,\n2,x,\n3,x,\n")
    for target, words in (("z", "None of the 3"), ("b", "constant"), ("c", "empty")):
        with pytest.raises(DataError) as caught:
            CsvSource().read(path, target=target)
        check(caught.value, words)
    CsvSource().read(path, target="a")


def test_schema_that_disagrees_lists_everything(tmp_path: Path) -> None:
    schema = Schema(
        "s",
        (
            Table(
                "t",
                (
                    Column("patient_id", "integer", role="subject"),
                    Column("age", "integer", maximum=30, nullable=False),
                    Column("sex", "boolean", format="Y/N"),
                    Column("weight", "number"),
                ),
            ),
        ),
    )
    with pytest.raises(SchemaError) as caught:
        CsvSource().read(write(tmp_path, "patient_id,age,sex,height\n1,20,M,1\nsecretword,25,F,2\n"), schema=schema)
    check(caught.value, "4 disagreements")
    with pytest.raises(SchemaError) as caught:
        CsvSource().read(
            write(tmp_path, "patient_id,age,sex,weight\n1,20,Y,1\n2,99,N,2\n3,,N,2\n"), schema=schema, name="u"
        )
    text = str(caught.value)
    assert "t.age: 1 of 3 rows are missing" in text and "t.age: 1 of 3 rows are beyond the maximum" in text


def test_all_null_mixed_and_infinite_columns_are_kept_and_explained(tmp_path: Path) -> None:
    lines = "".join(f"{i},,{'12' if i % 2 else 'word'},{i / 7:.3}\n" for i in range(1, 60))
    path = write(tmp_path, "n,nothing,mixed,x\n" + lines + "77,,word,inf\n")
    table = CsvSource().read(path)
    columns = {column.name: column for column in table.schema.tables[0].columns}
    assert columns["nothing"].kind == "category" and "empty" in columns["nothing"].why
    assert table.table["nothing"].null_count() == table.table.height
    assert columns["mixed"].kind == "category" and "mixed" in columns["mixed"].why
    assert columns["x"].kind == "number" and "1 infinite cells count as missing" in columns["x"].why


def test_impossible_and_far_dates_count_as_missing(tmp_path: Path) -> None:
    days = [f"2020-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(100)]
    days[3], days[5], days[7] = "2020-02-31", "9999-12-31", "0001-01-01"
    path = write(tmp_path, "x,day\n" + "".join(f"{i},{day}\n" for i, day in enumerate(days)))
    data = CsvSource().read(path)
    column = data.schema.tables[0]["day"]
    assert column.kind == "date" and data.table["day"].null_count() == 3
    assert "1 cells that are no date" in column.why and "2 dates before" in column.why


def test_larger_than_memory(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    with pytest.raises(DataError) as caught:
        CsvSource().read(path, max_memory_bytes=1000)
    check(caught.value, "rows fit")
    data = CsvSource().read(path, max_memory_bytes=1000, sample_subjects=10, subject="patient_id", seed=3)
    assert data.n_subjects == 10
