"""Every clinical format: the contract of exporters, and written, read back and compared outside its declared losses."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from ehrsatz import loose, registry
from ehrsatz.clinical import WORLD
from ehrsatz.dataset import Dataset
from ehrsatz.exporters.base import Loss
from ehrsatz.reconcile.compare import ROWS, compare
from ehrsatz.sources.clinical import Part
from ehrsatz.testing import check_exporter

FORMATS = [  # a user's own layout has no reader but its mapping file: tests/exporters/test_layoutexport.py
    name for name in registry.names("exporters") if hasattr(registry.find("exporters", name), "reader")
]


def found_in(name: str, folder: Path, **options: object) -> Dataset:
    exporter = registry.find("exporters", name)
    return registry.find("sources", exporter.reader)().read(folder / exporter.place, origin="simulated", **options)


def told(name: str, reference: Dataset, found: Dataset) -> list[str]:
    losses = registry.find("exporters", name).losses
    return [
        f"{a.table}.{a.column}: {a.n_differ} of {a.n_facts}" for a in compare(reference, found, losses) if a.n_differ
    ]


@pytest.fixture(scope="module")
def people(cohort: Dataset, is_ci: bool) -> Dataset:
    """The cohort, every second patient under CI."""
    return only(cohort, cohort.subjects.gather_every(2)) if is_ci else cohort


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_written_and_read_back_nothing_differs(name: str, people: Dataset, tmp_path: Path) -> None:
    exporter = registry.find("exporters", name)()
    exporter.write(people, tmp_path)
    exporter.finish(tmp_path)
    assert exporter.check(tmp_path) == []
    assert told(name, people, found_in(name, tmp_path)) == []


@pytest.mark.parametrize("name", FORMATS)
def test_edge_cases_come_back_too(name: str, edgy: Dataset, tmp_path: Path) -> None:
    exporter = registry.find("exporters", name)()
    exporter.write(edgy, tmp_path)
    exporter.finish(tmp_path)
    assert exporter.check(tmp_path) == []
    assert told(name, edgy, found_in(name, tmp_path)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_parts_say_the_same_as_the_whole(name: str, people: Dataset, tmp_path: Path) -> None:
    middle = people.n_subjects // 2
    halves = [only(people, people.subjects[:middle]), only(people, people.subjects[middle:])]
    own = [table.name for table in people.schema.tables if table.name not in WORLD]
    exporter = registry.find("exporters", name)()
    for number, half in enumerate(halves):
        exporter.write(half, tmp_path, part=number, tables=own)
    exporter.write(people, tmp_path, tables=WORLD)
    exporter.finish(tmp_path)
    assert exporter.check(tmp_path) == []
    source = registry.find("sources", exporter.reader)()
    place = tmp_path / exporter.place
    for number, half in enumerate(halves):
        part = Part(number if source.parts(place) else None, half.subjects)
        assert told(name, half, found_in(name, tmp_path, part=part)) == []


@pytest.mark.parametrize("name", FORMATS)
def test_losses_name_what_there_is_and_give_reasons(name: str) -> None:
    for loss in registry.find("exporters", name).losses:
        assert isinstance(loss, Loss) and len(loss.reason) > 15
        assert loss.column is None or loss.column in loose.schema()[loss.table].names


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_contract(name: str, cohort: Dataset) -> None:
    few = only(cohort, cohort.subjects[:12])
    check_exporter(registry.find("exporters", name), few)


def only(whole: Dataset, patients: pl.Series) -> Dataset:
    """Take some patients, without their relatives who are not among them."""
    among = pl.col("relative_id").is_in(patients.implode())
    tables = {**whole.tables, "relation": whole.tables["relation"].filter(among)}
    return Dataset(whole.schema, tables, whole.provenance).take_subjects(patients)


# ---------------------------------------------------------------------- the comparison itself
def test_a_changed_cell_a_lost_row_and_a_row_too_many_are_found(cohort: Dataset) -> None:
    wide = loose.widen(cohort)
    seen = wide.tables["observation"]
    changed = seen.with_columns(
        pl.when(pl.int_range(pl.len()) == 7).then(pl.lit(-1.0)).otherwise("value").alias("value")
    )
    tables = {**wide.tables, "observation": changed[:-1], "condition": pl.concat([wide.tables["condition"]] * 2)[:-1]}
    other = Dataset.trusted(wide.schema, tables, wide.provenance)
    named = {(one.table, one.column): one for one in compare(cohort, other) if one.n_differ}
    assert set(named) == {("observation", "value"), ("observation", ROWS), ("condition", ROWS)}
    assert named["observation", "value"].places.tolist() == [7]
    assert named["observation", ROWS].places.tolist() == [seen.height - 1]


def test_without_keys_rows_are_a_multiset(cohort: Dataset) -> None:
    wide = loose.widen(cohort)
    seen = wide.tables["observation"].with_columns(pl.col("observation_id").reverse())
    other = Dataset.trusted(wide.schema, {**wide.tables, "observation": seen.reverse()}, wide.provenance)
    unkeyed = (Loss("observation", "observation_id", "the keys are numbered anew"),)
    assert not [one for one in compare(cohort, other, unkeyed) if one.n_differ]
    changed = seen.with_columns(
        pl.when(pl.int_range(pl.len()) == 7).then(pl.lit(-1.0)).otherwise("value").alias("value")
    )
    worse = Dataset.trusted(wide.schema, {**wide.tables, "observation": changed}, wide.provenance)
    (found,) = [one for one in compare(cohort, worse, unkeyed) if one.n_differ]
    assert (found.column, found.n_differ) == (ROWS, 1)


def test_declared_losses_are_not_looked_for(cohort: Dataset) -> None:
    wide = loose.widen(cohort)
    hour = pl.col("time").dt.truncate("1h")
    seen = wide.tables["observation"].with_columns(hour, pl.lit(None, pl.String).alias("display"))
    seen = seen.filter(pl.col("category") != "survey").with_columns(
        pl.when(pl.col("unit") != "%").then("low").alias("low")
    )
    other = Dataset.trusted(wide.schema, {**wide.tables, "observation": seen}, wide.provenance)
    losses = (
        Loss("observation", "time", "hours alone", keeps=hour),
        Loss("observation", "display", "no place for names"),
        Loss("observation", None, "no surveys", rows=pl.col("category") == "survey"),
        Loss("observation", "low", "no range of percentages", rows=pl.col("unit") == "%"),
    )
    assert not [one for one in compare(cohort, other, losses) if one.n_differ]
    for left_out in range(len(losses)):
        assert [one for one in compare(cohort, other, losses[:left_out] + losses[left_out + 1 :]) if one.n_differ]
