"""Every registered variant x every tiny dataset, through the public checks of `ehrsatz.testing`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from conftest import MAKERS, make_tidy
from ehrsatz import registry
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, UnsupportedError
from ehrsatz.evaluation.base import Score
from ehrsatz.evaluation.fidelity.margins import Margins
from ehrsatz.evaluation.privacy.copies import ExactCopies
from ehrsatz.evaluation.space import Comparison
from ehrsatz.exporters.csv import CsvExporter
from ehrsatz.rules.base import Finding, Rule
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.sources.clinical import ClinicalSource
from ehrsatz.testing import check_exporter, check_generator, check_metric, check_rule, check_source


# ---------------------------------------------------------------------- generators
@pytest.mark.parametrize("data", sorted(MAKERS))
@pytest.mark.parametrize("name", registry.names("generators"))
def test_generator(name: str, data: str) -> None:
    check_generator(registry.find("generators", name), MAKERS[data]())


def test_some_generator_takes_linked_tables_and_several_rows_per_subject() -> None:
    assert any("links" in registry.find("generators", name).handles for name in registry.names("generators"))


@pytest.mark.parametrize("name", registry.names("generators"))
def test_generator_without_rows(name: str) -> None:
    whole = make_tidy()
    empty = Dataset(whole.schema, {"patients": whole.table.clear()}, whole.provenance)
    with pytest.raises(DataError, match="at least 1 subject"):
        registry.find("generators", name)().fit(empty, seed=1)


@pytest.mark.parametrize("name", registry.names("generators"))
@pytest.mark.parametrize("n", [1, 2, 3])
def test_generator_on_few_rows_of_one_column(name: str, n: int) -> None:
    schema = Schema("s", (Table("t", (Column("x", "integer"),)),))
    few = Dataset(schema, {"t": pl.DataFrame({"x": list(range(n))})}, make_tidy().provenance)
    engine = registry.find("generators", name)()
    if engine.least > n:
        with pytest.raises(DataError, match=f"at least {engine.least} subjects"):
            engine.fit(few, seed=1)
        return
    drawn = engine.fit(few, seed=1).sample(7, seed=1)
    assert drawn.table.height == 7  # what the cells hold is the method's affair: one row says too little


# ---------------------------------------------------------------------- metrics
@pytest.fixture(scope="module")
def many() -> Dataset:
    """Enough tidy patients for a split in three."""
    return make_tidy(240)


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_metric(name: str, many: Dataset) -> None:
    check_metric(registry.find("metrics", name), many, target="outcome")


class Blind(ExactCopies):
    """Sees no copy."""

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        return replace(super()._compute(comparison, seed=seed), value=0.0, interval=None)


class Fickle(Margins):
    """Another value at each call."""

    calls = 0

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        Fickle.calls += 1
        return replace(super()._compute(comparison, seed=seed), value=1 / (1 + Fickle.calls))


class Overflowing(Margins):
    """A value off its own scale."""

    def _compute(self, comparison: Comparison, *, seed: int) -> Score:
        return replace(super()._compute(comparison, seed=seed), value=1.5)


@pytest.mark.parametrize(
    "fault, message",
    [
        (Blind, "score no worse than real ones"),
        (Fickle, "gives another score"),
        (Overflowing, "off the metric's scale"),
    ],
)
def test_a_planted_fault_of_a_metric_is_caught(fault: type, message: str, many: Dataset) -> None:
    with pytest.raises(AssertionError, match=message):
        check_metric(fault, many, target="outcome")


@pytest.mark.parametrize("data", sorted(set(MAKERS) - {"tidy"}))
@pytest.mark.parametrize("name", registry.names("metrics"))
def test_metric_measures_or_says_why_not(name: str, data: str) -> None:
    """On small and broken tables a metric gives a score or a reason, and never raises."""
    train, rest = MAKERS[data]().split(0.4, seed=1)
    holdout, synthetic = rest.split(0.5, seed=1)
    score = registry.find("metrics", name)().compute(train, holdout, synthetic, seed=1)
    assert score.status in {"measured", "not_applicable"}, score.meaning
    assert score.meaning


# ---------------------------------------------------------------------- rules
@pytest.mark.parametrize("data", sorted(MAKERS))
def test_rules(data: str) -> None:
    for name in registry.names("rules"):  # none ships yet: plugins bring them
        check_rule(registry.find("rules", name), MAKERS[data]())


class NoMinors(Rule):
    """A rule as a plugin would write it: patients are at least so old."""

    id, title, severity, needs, why, source = "age.adult", "Adults", "hold", "age", "adults only", "assumed"

    def __init__(self, least: int = 30) -> None:
        self.least = least

    def check(self, dataset: Dataset) -> Finding:
        young = (dataset.table["age"] < self.least).arg_true().to_numpy().astype(np.int64)
        return Finding(self.id, dataset.table.height, len(young), {"patients": young})


class Miscounting(NoMinors):
    """Counts one row more than it names."""

    def check(self, dataset: Dataset) -> Finding:
        found = super().check(dataset)
        return Finding(found.rule, found.n_checked, found.n_failed + 1, found.rows)


def test_a_rule_of_a_plugin(tidy: Dataset) -> None:
    check_rule(NoMinors, tidy)
    check_rule(NoMinors(19), tidy)
    with pytest.raises(AssertionError, match="rows and n_failed disagree"):
        check_rule(Miscounting, tidy)


# ---------------------------------------------------------------------- exporters
@pytest.mark.parametrize("data", sorted(MAKERS))
@pytest.mark.parametrize("name", registry.names("exporters"))
def test_exporter(name: str, data: str, tmp_path: Path) -> None:
    dataset = MAKERS[data]()
    cls = registry.find("exporters", name)
    if cls.needs == "clinical":
        with pytest.raises(UnsupportedError, match="clinical schema"):
            cls().write(dataset, tmp_path, allow_real=True)
        return

    def read(folder: Path) -> dict[str, pl.DataFrame]:
        if name == "parquet":
            return {table.name: pl.read_parquet(folder / f"{table.name}.parquet") for table in dataset.schema.tables}
        return {table.name: _typed(folder / f"{table.name}.csv", table) for table in dataset.schema.tables}

    check_exporter(cls, dataset, read=read if name in {"csv", "parquet"} else None)


def _typed(path: Path, table: Table) -> pl.DataFrame:
    """Read a CSV file as text and each column by its kind."""
    frame = pl.read_csv(path, infer_schema=False)
    kinds = {column.name: column.kind for column in table.columns}
    times = {"date": pl.Date, "datetime": pl.Datetime("us")}
    cells = []
    for name in frame.columns:
        cell = pl.col(name)
        if kinds[name] in times:
            cell = cell.str.strptime(
                times[kinds[name]], "%Y-%m-%d" if kinds[name] == "date" else "%Y-%m-%d %H:%M:%S%.f"
            )
        elif kinds[name] == "boolean":
            cell = cell == "true"
        cells.append(cell)
    return frame.select(cells)


class Dated(CsvExporter):
    """Other bytes each time."""

    calls = 0

    def _write(self, frame: pl.DataFrame, table: Table, path: Path) -> None:
        super()._write(frame, table, path)
        Dated.calls += 1
        path.write_bytes(path.read_bytes() + b"#" * Dated.calls)


class Littering(CsvExporter):
    """Leaves a file that it does not name."""

    def _write(self, frame: pl.DataFrame, table: Table, path: Path) -> None:
        super()._write(frame, table, path)
        (path.parent / "notes.txt").write_text("mine")


@pytest.mark.parametrize("fault, message", [(Dated, "other bytes"), (Littering, "not those that write returns")])
def test_a_planted_fault_of_an_exporter_is_caught(fault: type, message: str, tidy: Dataset) -> None:
    with pytest.raises(AssertionError, match=message):
        check_exporter(fault, tidy)


# ---------------------------------------------------------------------- sources
@pytest.mark.parametrize("name", registry.names("sources"))
def test_source(name: str, tmp_path: Path) -> None:
    if issubclass(registry.find("sources", name), ClinicalSource):
        return  # what they read is a format of its own: tests/test_formats.py
    frame = make_tidy().table
    what, absent = _place(name, frame, tmp_path)
    dataset = check_source(registry.find("sources", name), what, absent=absent)
    assert dataset.n_rows == frame.height
    assert sorted(dataset.table.columns) == sorted(frame.columns)
    kinds = {column.name: column.kind for column in dataset.schema.parent.columns}
    assert kinds["age"] == "integer" and kinds["bmi"] == "number" and kinds["admitted"] == "date"
    assert kinds["smoker"] == "boolean" and kinds["sex"] == "category" and kinds["first_seen"] == "datetime"


def _place(name: str, frame: pl.DataFrame, folder: Path) -> tuple[object, object]:
    """Put the frame where a source of this name reads it; also name a place where nothing is."""
    if name == "csv":
        frame.write_csv(folder / "t.csv")
        return folder / "t.csv", folder / "no.csv"
    if name == "parquet":
        frame.write_parquet(folder / "t.parquet")
        return folder / "t.parquet", folder / "no.parquet"
    if name == "sql":
        import sqlite3

        with sqlite3.connect(folder / "t.db") as base:
            frame.to_pandas().to_sql("t", base, index=False)
        base.close()
        return f"sqlite:///{folder / 't.db'}", f"sqlite:///{folder / 'no' / 'no.db'}"
    if name == "frame":
        return frame.to_pandas(), None
    raise AssertionError(f"the source '{name}' needs its line here")
