"""The socket of generators: what `fit`, `sample`, `save`, `load` do once for all methods, and the contract itself."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import faulty
from conftest import make_tidy
from ehrsatz import registry
from ehrsatz.dataset import Dataset
from ehrsatz.errors import (
    InfeasibleError,
    ModelError,
    NotFittedError,
    OutputError,
    ScenarioError,
    SchemaError,
    UnknownNameError,
    UnsupportedError,
)
from ehrsatz.generators.base import Generator, load_any
from ehrsatz.generators.build import generator
from ehrsatz.generators.folder import MODEL_FORMAT, pack, read_head
from ehrsatz.generators.independent import Independent
from ehrsatz.schema import Schema
from ehrsatz.testing import check_generator


@pytest.fixture(scope="module")
def fitted(tidy: Dataset) -> Generator:
    return Independent().fit(tidy, seed=3)


# ---------------------------------------------------------------------- the contract catches faults
def test_a_sound_generator_passes(tidy: Dataset) -> None:
    check_generator(faulty.Sound, tidy)


@pytest.mark.parametrize("fault, message", faulty.FAULTS.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_a_planted_fault_is_caught(fault: type[Generator], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_generator(fault, tidy_with_gaps())


def tidy_with_gaps() -> Dataset:
    """The tidy table with gaps in a third of bmi, in frames of its own, since one fault changes them."""
    whole = make_tidy()
    frame = whole.table.with_columns(pl.when(pl.int_range(pl.len()) % 3 > 0).then("bmi").alias("bmi"))
    return Dataset(whole.schema, {"patients": frame}, whole.provenance)


# ---------------------------------------------------------------------- given
@pytest.mark.parametrize(
    "given, error, message",
    [
        ({"sx": "F"}, InfeasibleError, "Did you mean 'sex'"),
        ({"sex": "X"}, InfeasibleError, "is not among them"),
        ({"sex": {"any": ["F", "X"]}}, InfeasibleError, "is not among them"),
        ({"sex": {"share": {"F": 0.4, "M": 0.4}}}, InfeasibleError, "sum to 1"),
        ({"sex": {"from": 1}}, InfeasibleError, "min and max, any, or share"),
        ({"sex": ["F"]}, InfeasibleError, "min and max, any, or share"),
        ({"sex": {"any": "F"}}, InfeasibleError, "min and max, any, or share"),
        ({"sex": {"any": [None, "F"]}}, InfeasibleError, "min and max, any, or share"),
        ({"sex": {"any": []}}, InfeasibleError, "min and max, any, or share"),
        ({"age": {"min": {}}}, InfeasibleError, "min and max, any, or share"),
        ({"age": {"min": 70, "max": 60}}, InfeasibleError, "lower bound is above the upper"),
        ({"age": "old"}, InfeasibleError, "of kind integer"),
        ({"admitted": "yesterday"}, InfeasibleError, "of kind date"),
        ({"patient_id": "P0001"}, UnsupportedError, "is an identifier"),
    ],
)
def test_an_impossible_given_is_refused_before_sampling(
    fitted: Generator, given: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        fitted.sample(4, seed=1, given=given)
    assert "'X'" not in str(caught.value) and "P0001" not in str(caught.value)


def test_given_as_a_frame_needs_one_row_per_subject(fitted: Generator) -> None:
    with pytest.raises(InfeasibleError, match="with 4 rows"):
        fitted.sample(4, seed=1, given=pl.DataFrame({"sex": ["F"] * 3}))


def test_null_in_a_frame_leaves_the_cell_free(fitted: Generator) -> None:
    wish = pl.DataFrame({"sex": ["F", None, "M", None] * 10})
    drawn = fitted.sample(40, seed=1, given=wish).table["sex"]
    asked = wish["sex"].is_not_null()
    assert drawn.filter(asked).equals(wish["sex"].filter(asked))
    assert drawn.filter(~asked).n_unique() == 2


@pytest.mark.parametrize("low, high", [(date(2021, 6, 1), date(2021, 9, 1)), ("2021-06-01", "2021-09-01")])
def test_a_band_of_days_takes_dates_and_iso_text(fitted: Generator, low: object, high: object) -> None:
    drawn = fitted.sample(30, seed=1, given={"admitted": {"min": low, "max": high}}).table["admitted"]
    assert drawn.is_between(date(2021, 6, 1), date(2021, 9, 1)).all()


def test_a_band_meets_the_schema_s_bounds(tidy: Dataset) -> None:
    table = tidy.schema["patients"]
    bounds = {"admitted": ("2021-01-01", "2023-01-31"), "age": (0, 120)}
    columns = (
        replace(one, **dict(zip(("minimum", "maximum"), bounds.get(one.name, (None, None))))) for one in table.columns
    )
    schema = tidy.schema.replace_table(replace(table, columns=tuple(columns)))
    model = Independent().fit(Dataset(schema, tidy.tables, tidy.provenance), seed=3)
    drawn = model.sample(9, seed=1, given={"admitted": {"min": "2021-06-01"}, "age": {"max": "60"}}).table
    assert (drawn["admitted"] >= date(2021, 6, 1)).all() and (drawn["age"] <= 60).all()
    with pytest.raises(InfeasibleError, match="leaves no value"):
        model.sample(9, seed=1, given={"admitted": {"min": "2024-06-01"}})


def test_given_shares_hold_in_every_shard(fitted: Generator) -> None:
    wish = {"outcome": {"share": {"readmitted": 0.3, "home": 0.7}}}
    for first in (0, 10, 20):
        drawn = fitted.sample(10, seed=1, given=wish, first=first).table["outcome"]
        assert abs(int((drawn == "readmitted").sum()) - 3) <= 1


def test_given_shares_of_several_columns_are_crossed(fitted: Generator) -> None:
    wish = {"outcome": {"share": {"readmitted": 0.5, "home": 0.5}}, "sex": {"share": {"F": 0.25, "M": 0.75}}}
    drawn = fitted.sample(80, seed=1, given=wish).table
    assert sorted(drawn.group_by("outcome", "sex").len()["len"].to_list()) == [10, 10, 30, 30]


@pytest.mark.parametrize("n, first", [(-1, 0), (1, -1)])
def test_negative_numbers_are_refused(fitted: Generator, n: int, first: int) -> None:
    with pytest.raises(InfeasibleError, match="0 or more"):
        fitted.sample(n, seed=1, first=first)


# ---------------------------------------------------------------------- rows
def test_direct_identifiers_do_not_come_back(tidy: Dataset, nasty: Dataset, fitted: Generator) -> None:
    drawn = fitted.sample(50, seed=1).table["patient_id"]
    assert drawn.n_unique() == 50 and drawn.null_count() == 0
    fake = Independent().fit(nasty, seed=1).sample(50, seed=1)
    for name in ("notiz", "name"):
        assert not set(fake.table[name].drop_nulls()) & set(nasty.table[name])


def test_constraints_hold_in_every_row(fitted: Generator) -> None:
    drawn = fitted.sample(300, seed=5).table
    assert (drawn["admitted"] <= drawn["discharged"]).all()


def test_provenance_tells_how_the_rows_came(fitted: Generator, tidy: Dataset) -> None:
    (step,) = fitted.sample(2, seed=9).provenance.steps
    assert step.action == "sample" and step.name == "independent" and step.seed == 9
    assert step.input_fingerprint == tidy.schema.fingerprint


# ---------------------------------------------------------------------- models on disk
def test_unfitted_and_occupied_are_refused(fitted: Generator, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="fit has not run"):
        Independent().save(tmp_path / "m")
    (tmp_path / "x").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        fitted.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_load_any_finds_the_method(fitted: Generator, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    loaded = load_any(tmp_path / "m")
    assert type(loaded) is Independent and loaded.parameters() == fitted.parameters()
    assert loaded.sample(5, seed=2).table.equals(fitted.sample(5, seed=2).table)


def test_a_newer_model_says_upgrade(fitted: Generator, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    head = json.loads((tmp_path / "m" / "generator.json").read_text())
    head["format"] = MODEL_FORMAT + 1
    (tmp_path / "m" / "generator.json").write_text(json.dumps(head))
    with pytest.raises(ModelError, match="newer ehrsatz"):
        read_head(tmp_path / "m")


def test_the_schema_in_a_model_is_the_reader_s(fitted: Generator, tidy: Dataset, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    assert Schema.from_dict(read_head(tmp_path / "m")["schema"]) == tidy.schema


@pytest.mark.parametrize(
    "text", ["[]", "3", "{}", "null", '{"format": "x"}', '{"format": 1}', '{"format": 1, "sha256": 1}']
)
def test_nonsense_in_place_of_a_model_is_a_model_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "generator.json").write_text(text)
    (tmp_path / "weights.npz").write_bytes(b"")
    with pytest.raises(ModelError):
        load_any(tmp_path)


def test_another_method_s_model_is_refused(fitted: Generator, tmp_path: Path) -> None:
    from ehrsatz import registry

    fitted.save(tmp_path / "m")
    with pytest.raises(ModelError, match="another method"):
        registry.find("generators", "copula").load(tmp_path / "m")


@pytest.mark.parametrize(
    "key", ["name", "parameters", "seed", "schema", "identifiers", "constraints", "levels", "facts"]
)
@pytest.mark.parametrize("value", [None, 5, "SECRET", [], {"SECRET": 1}])
def test_a_model_of_another_form_is_refused(fitted: Generator, tmp_path: Path, key: str, value: object) -> None:
    fitted.save(tmp_path / "model")
    path = tmp_path / "model" / "generator.json"
    head = json.loads(path.read_text())
    del head["sha256"]
    head[key] = value
    head["sha256"] = sha256(json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
    path.write_text(json.dumps(head))
    if key == "seed" and value == 5:
        return  # another seed of the learning changes nothing that sampling reads
    with pytest.raises((ModelError, SchemaError, UnknownNameError)) as caught:
        load_any(tmp_path / "model")
    assert key in {"name", "schema"} or "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("copula", {"max_bins": 0}),
        ("independent", {"max_bins": -3}),
        ("bayesnet", {"max_parents": -1}),
        ("bayesnet", {"smoothing": -0.5}),
        ("auto", {"budget": 0.0}),
        ("trees", {"caution": 0.0}),
        ("trees", {"leaf": -1}),
        ("trees", {"n_trees": 0}),
        ("trees", {"share": 0.0}),
        ("trees", {"max_rows": 0}),
    ],
)
def test_parameters_out_of_range_are_refused_before_learning(name: str, parameters: dict, tidy: Dataset) -> None:
    with pytest.raises(ScenarioError, match=f"of the generator '{name}' between"):
        generator(name, **parameters)
    with pytest.raises(ScenarioError, match="It is below"):
        registry.find("generators", name)(**parameters).fit(tidy, seed=1)


def test_arrays_of_no_dimension_come_back_as_such() -> None:
    arrays = {"n": np.array(3, dtype=np.int64), "w": np.arange(6.0).reshape(2, 3).T}
    with np.load(io.BytesIO(pack(arrays)), allow_pickle=False) as back:
        assert back["n"].shape == () and (back["w"] == arrays["w"]).all()
