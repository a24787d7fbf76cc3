"""A table in parts: names, what lacks, and reading a folder of parts back as one table."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import OutputError, SourceError
from ehrsatz.exporters.base import Exporter
from ehrsatz.exporters.csv import CsvExporter
from ehrsatz.exporters.parquet import ParquetExporter
from ehrsatz.files import tables_of
from ehrsatz.provenance import Provenance
from ehrsatz.sources.csv import CsvSource
from ehrsatz.sources.parquet import ParquetSource
from ehrsatz.sources.paths import choose, files_of

BOTH = pytest.mark.parametrize(
    ("exporter", "source"), [(CsvExporter(), CsvSource()), (ParquetExporter(), ParquetSource())], ids=["csv", "parquet"]
)


def three(dataset: Dataset) -> list[Dataset]:
    """Cut a dataset into three shards, the middle one without any visit."""
    keys = dataset.subjects
    seen = dataset.tables["visits"]["patient_id"]
    silent = keys.filter(~keys.is_in(seen.implode()))
    spoken = keys.filter(keys.is_in(seen.implode()))
    half = len(spoken) // 2
    synthetic = Dataset(dataset.schema, dataset.tables, Provenance("simulated"))
    return [synthetic.take_subjects(some) for some in (spoken[:half], silent, spoken[half:])]


def test_names_of_parts() -> None:
    assert tables_of(["a-00001", "a-00000", "b", "c-20240"]) == (
        {"a": ["a-00000", "a-00001"], "b": ["b"], "c-20240": ["c-20240"]},
        [],
    )
    assert tables_of(["a-00000", "a-00003"])[1] == ["a-00001", "a-00002"]
    assert tables_of(["a-00000", "a"]) == ({"a": ["a"], "a-00000": ["a-00000"]}, [])  # the whole is there: no part
    assert tables_of(["a-000001", "a-00000"])[0] == {"a": ["a-00000"], "a-000001": ["a-000001"]}
    assert list(tables_of([f"a-{i:05d}" for i in (99_999, 0, 100_000)])[0]["a"])[-1] == "a-100000"


@BOTH
def test_a_folder_of_parts_reads_back_as_one_table(
    exporter: Exporter, source: CsvSource, nasty_linked: Dataset, tmp_path: Path
) -> None:
    shards = three(nasty_linked)
    assert shards[1].tables["visits"].height == 0
    whole = tmp_path / "whole"
    for number, shard in enumerate(shards):
        exporter.write(shard, tmp_path / "parts", part=number)
        exporter.write(shard, whole, part=number, tables=["patients"])
    assert sorted(path.stem for path in whole.iterdir()) == [f"patients-0000{i}" for i in range(3)]
    assert exporter.check(tmp_path / "parts") == []
    wanted = {name: pl.concat([shard.tables[name] for shard in shards]) for name in shards[0].tables}
    found = source.read(tmp_path / "parts", schema=nasty_linked.schema)
    for name, frame in wanted.items():
        assert found.tables[name].equals(frame)
    some = choose(tmp_path / "parts", ["visits"])
    assert len(files_of(some, (exporter.suffix,))["visits"]) == 3


@BOTH
def test_a_part_that_lacks_is_told(
    exporter: Exporter, source: CsvSource, nasty_linked: Dataset, tmp_path: Path
) -> None:
    for number, shard in enumerate(three(nasty_linked)):
        exporter.write(shard, tmp_path, part=number)
    (tmp_path / f"visits-00001{exporter.suffix}").unlink()
    assert exporter.check(tmp_path) == [f"visits-00001{exporter.suffix}: absent between the other parts"]
    with pytest.raises(SourceError, match="visits-00001"):
        source.read(tmp_path)


@BOTH
def test_parts_of_unlike_columns_are_refused(
    exporter: Exporter, source: CsvSource, tidy: Dataset, tidy_linked: Dataset, tmp_path: Path
) -> None:
    synthetic = Dataset(tidy_linked.schema, tidy_linked.tables, Provenance("simulated"))
    exporter.write(synthetic, tmp_path, part=0, tables=["visits"])
    exporter.write(synthetic, tmp_path / "other", part=1, tables=["patients"])
    (tmp_path / "other" / f"patients-00001{exporter.suffix}").rename(tmp_path / f"visits-00001{exporter.suffix}")
    with pytest.raises(SourceError, match="same columns"):
        source.read(tmp_path)


@BOTH
def test_a_part_is_never_replaced(exporter: Exporter, source: CsvSource, nasty_linked: Dataset, tmp_path: Path) -> None:
    shard = three(nasty_linked)[0]
    exporter.write(shard, tmp_path, part=0)
    with pytest.raises(OutputError, match="patients-00000"):
        exporter.write(shard, tmp_path, part=0)
