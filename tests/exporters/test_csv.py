"""CSV: read, written and read again, a table is the same, in the source's own spelling."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.exporters.csv import CsvExporter
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table, boolean_words, dtype_of
from ehrsatz.sources.csv import CsvSource
from ehrsatz.sources.spelling import PAIRS, booleans

N = 60
DAYS = [date(1998, 1, 5) + timedelta(days=97 * i) for i in range(N)]
TIMES = [datetime(2019, 1, 5, 7, 30, 15) + timedelta(seconds=86_400 * 13 * i + 3_661 * i) for i in range(N)]
SWAPPED = str.maketrans(",.", ".,")
TWO_WAYS = {  # the same value stands there in more than one spelling
    *("days in three ways", "offsets", "mostly blank", "mostly marks", "ja/nein", "unreadable", "decimal comma"),
    *("tiny, decimal comma", "per cent", "dollars", "seconds now and then"),
}


def several(i: int) -> str:
    """Most in one way, some in a second, few in a third."""
    return DAYS[i].strftime("%m/%d/%Y" if i % 3 else "%Y-%m-%d" if i % 2 else "%d-%b-%Y")


SPELLED: dict[str, tuple[str, list[str]]] = {
    "german days": ("date", [one.strftime("%d.%m.%Y") for one in DAYS]),
    "days in three ways": ("date", [several(i) for i in range(N)]),
    "midnights": ("date", [f"{one} 00:00:00" for one in DAYS]),
    "named months": ("date", [one.strftime("%d%b%Y") for one in DAYS]),
    "two-digit years": ("date", [one.strftime("%m/%d/%y") for one in DAYS]),
    "days with marks": ("date", ["NA" if i % 4 == 0 else str(DAYS[i]) for i in range(N)]),
    "UTC": ("datetime", [one.strftime("%Y-%m-%dT%H:%M:%SZ") for one in TIMES]),
    "offsets": ("datetime", [one.strftime("%Y-%m-%dT%H:%M:%S+02:00") for one in TIMES]),
    "thousandths": ("datetime", [f"{one:%Y-%m-%d %H:%M:%S}.{i:03d}" for i, one in enumerate(TIMES)]),
    "millionths": ("datetime", [f"{one:%Y-%m-%d %H:%M:%S}.{i:06d}" for i, one in enumerate(TIMES)]),
    "minutes": ("datetime", [one.strftime("%d/%m/%Y %H:%M") for one in TIMES]),
    "noon": ("datetime", [one.strftime("%m/%d/%Y %I:%M %p") for one in TIMES]),
    "some with time": ("datetime", [f"{one:%Y-%m-%d}" if i % 3 else f"{one}" for i, one in enumerate(TIMES)]),
    "seconds now and then": (
        "datetime",
        [f"{one:%Y-%m-%d %H:%M}" if i % 3 else f"{one}" for i, one in enumerate(TIMES)],
    ),
    "whole": ("integer", [str(17 * i - 40) for i in range(N)]),
    "with .0": ("integer", ["" if i % 9 == 0 else f"{17 * i}.0" for i in range(N)]),
    "thousands": ("integer", [f"{263_358 + 911 * i:,}" for i in range(N)]),
    "thousands with .0": ("integer", [f"{263_358 + 911 * i:,}.0" for i in range(N)]),
    "decimal comma": ("number", [f"{1.5 + i / 4:.2f}".replace(".", ",") for i in range(N)]),
    "whole with decimal comma": ("integer", [f"{3 + 2 * i},0" for i in range(N)]),
    "points and comma": ("number", [f"{1000.5 + 87 * i:,.1f}".translate(SWAPPED) for i in range(N)]),
    "dollars": ("number", [f"${1200 * i + 0.25:,}" for i in range(N)]),
    "euros": ("integer", [f"€{37 * i}" for i in range(N)]),
    "per cent": ("number", [f"{i / 7:.1f}%" for i in range(N)]),
    "tiny, decimal comma": ("number", [f"0,{'0' * (i % 9)}{i + 1}" for i in range(N)]),
    "numeric mark": ("integer", ["-9" if i % 5 == 0 else str(20 + i) for i in range(N)]),
    "mostly blank": ("integer", ["" if i % 2 else "NA" if i % 10 == 0 else str(20 + i) for i in range(N)]),
    "mostly marks": ("category", ["?" if i % 2 else "" if i % 10 == 0 else "ab"[i % 4 // 2] for i in range(N)]),
    "Y/N": ("boolean", ["YN"[i % 3 == 0] for i in range(N)]),
    "0.0/1.0": ("boolean", [f"{i % 2}.0" if i % 5 else "" for i in range(N)]),
    "ja/nein": ("boolean", ["nein" if i % 3 else "Ja" for i in range(N)]),
    "unreadable": ("integer", ["o.B." if i == 7 else str(20 + i) for i in range(N)]),
    "words": ("category", ['a "b", c' if i % 2 else "two\nlines" if i % 3 else "ÄÖ" for i in range(N)]),
}


def write(folder: Path, cells: list[str], name: str = "x") -> Path:
    quoted = ['"' + cell.replace('"', '""') + '"' if set('",\n') & set(cell) else cell for cell in cells]
    folder.mkdir()
    path = folder / "t.csv"
    path.write_text("\n".join([f"{name},beside", *(f"{cell},{'uvw'[i % 3]}" for i, cell in enumerate(quoted))]) + "\n")
    return path


@pytest.mark.parametrize("case", SPELLED)
def test_read_written_and_read_again(case: str, tmp_path: Path) -> None:
    kind, cells = SPELLED[case]
    path = write(tmp_path / "in", cells)
    first = CsvSource().read(path)
    assert first.schema.parent["x"].kind == kind
    (again,) = CsvExporter().write(first, tmp_path / "out", allow_real=True)
    guessed = CsvSource().read(again)
    assert guessed.table.equals(first.table)
    assert guessed.schema.parent["x"].kind == kind
    known = CsvSource().read(again, schema=first.schema)
    assert known.table.equals(first.table)


@pytest.mark.parametrize("case", [case for case in SPELLED if case not in TWO_WAYS])
def test_the_spelling_is_the_source_s_own(case: str, tmp_path: Path) -> None:
    path = write(tmp_path / "in", SPELLED[case][1])
    (again,) = CsvExporter().write(CsvSource().read(path), tmp_path / "out", allow_real=True)
    assert again.read_text() == path.read_text()


def test_the_commonest_way_is_written(tmp_path: Path) -> None:
    path = write(tmp_path / "in", SPELLED["days in three ways"][1])
    (again,) = CsvExporter().write(CsvSource().read(path), tmp_path / "out", allow_real=True)
    assert pl.read_csv(again, infer_schema=False)["x"].str.contains(r"^\d\d/\d\d/\d{4}$").all()


@pytest.mark.parametrize(("case", "token"), [("mostly blank", ""), ("mostly marks", "?"), ("numeric mark", "-9")])
def test_missing_is_written_as_the_source_mostly_did(case: str, token: str, tmp_path: Path) -> None:
    first = CsvSource().read(write(tmp_path / "in", SPELLED[case][1]))
    (again,) = CsvExporter().write(first, tmp_path / "out", allow_real=True)
    cells = [line.split(",")[0] for line in again.read_text().splitlines()[1:]]
    assert [cell for cell, missing in zip(cells, first.table["x"].is_null(), strict=True) if missing] == [token] * int(
        first.table["x"].null_count()
    )


@pytest.mark.parametrize(
    ("kind", "spelling", "cell"),
    [
        ("date", "%d.%m.%y", date(2075, 1, 2)),
        ("date", "%d.%m.%y", date(1931, 1, 2)),
        ("datetime", "%d.%m.%Y", datetime(2020, 2, 1, 3)),
        ("datetime", "%Y-%m-%d %H:%M", datetime(1950, 2, 1, 3, 4, 5, 6)),
    ],
)
def test_a_spelling_that_would_lose_something_gives_way(kind: str, spelling: str, cell: object, tmp_path: Path) -> None:
    table = Table("t", (Column("x", kind, format=spelling),))  # type: ignore[arg-type]
    frame = pl.DataFrame({"x": pl.Series([cell], dtype=dtype_of(kind))})
    (path,) = CsvExporter().write(Dataset(Schema("s", (table,)), {"t": frame}, Provenance("generated")), tmp_path)
    assert path.read_text().splitlines()[1].startswith(str(cell))


@pytest.mark.parametrize(
    "spelling", [f"{a}/{b}" for pair in (*PAIRS, ("alive", "dead")) for a, b in (pair, pair[::-1])]
)
def test_booleans_are_read_as_they_are_written(spelling: str) -> None:
    if "alive" in spelling or "dead" in spelling:
        assert boolean_words(spelling) == tuple(spelling.split("/"))
    assert booleans(pl.Series(boolean_words(spelling)), spelling).to_list() == [True, False]


def test_a_lone_column_keeps_its_missing_rows(tmp_path: Path) -> None:
    table = Table("t", (Column("x", "category"),))
    frame = pl.DataFrame({"x": ["a", None, "b\nc", "", None]})
    (path,) = CsvExporter().write(Dataset(Schema("s", (table,)), {"t": frame}, Provenance("generated")), tmp_path)
    again = CsvSource().read(path, schema=Schema("s", (table,))).table["x"].to_list()
    assert again == ["a", None, "b\nc", None, None]
