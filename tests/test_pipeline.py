"""The main flow: whole releases, equal bytes, leaks denied, nothing of the source in what leaves."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

import ehrsatz
from ehrsatz import pipeline, registry, steps
from ehrsatz.capsule.manifest import content
from ehrsatz.dataset import Dataset
from ehrsatz.errors import (
    DataError,
    DataWarning,
    InfeasibleError,
    ModelError,
    OutputError,
    ScenarioError,
    SourceError,
    UnknownNameError,
    UnsupportedError,
)
from ehrsatz.estimate import estimate
from ehrsatz.generators import draw
from ehrsatz.generators.base import Generator
from ehrsatz.reading import bundled
from ehrsatz.scenario import Scenario
from ehrsatz.seeds import stream

MARK = "SECRET123"
QUICK = {"name": "quick", "thresholds": [{"metric": "margins", "at_least": 0.5}]}


class Copycat(Generator):
    """Gives back the rows that it saw: what a gate is for."""

    name = "copycat"
    handles = frozenset({"static"})
    reference = "none"

    def __init__(self) -> None: ...

    def _fit(self, core: Dataset, *, seed: int, progress: Any) -> None:
        self.rows_ = core.table

    def _sample(self, n: int, *, seed: int, given: Any, first: int) -> dict[str, pl.DataFrame]:
        rows = [(first + i) % self.rows_.height for i in range(n)]
        return {self.schema_.parent.name: self.rows_[rows]}

    def _state(self) -> Any:
        return {}, {}

    def _restore(self, facts: Any, arrays: Any) -> None: ...


@pytest.fixture
def copycat(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    module = ModuleType("copycat_for_tests")
    module.Copycat = Copycat  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "copycat_for_tests", module)
    monkeypatch.setitem(registry.BUILT_IN["generators"], "copycat", "copycat_for_tests:Copycat")
    yield "copycat"


def scenario(folder: Path, **changes: Any) -> Scenario:
    base = Scenario.from_dict(
        {
            "generator": "independent",
            "policy": QUICK,
            "evaluation": {"metrics": ["margins"]},
            "output": {"folder": str(folder)},
        }
    )
    return base.changed({key.replace("__", "."): value for key, value in changes.items()})


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def marked(folder: Path, n: int = 120) -> Path:
    """A table with a marker in every place where no cell may get out: ids, names, notes, rare levels, an extreme."""
    rng = stream(5, "marked")
    path = folder / "patients.csv"
    pl.DataFrame(
        {
            "patient_id": [f"{MARK}-{i}" for i in range(n)],
            "name": [f"{MARK} Miller {i}" for i in range(n)],
            "note": [f"{MARK} was seen by the doctor on day {i} and felt well" for i in range(n)],
            "ward": [f"{MARK}ward" if i < 3 else "north" if i % 2 else "south" for i in range(n)],
            "age": rng.integers(20, 90, n),
            "weight": [987654.25 if i == 7 else 60.5 + i % 20 for i in range(n)],
            "died": rng.choice(["Y", "N"], n),
        }
    ).write_csv(path)
    return path


# ---------------------------------------------------------------------- the whole flow
def test_the_bundled_table_from_end_to_end(tmp_path: Path) -> None:
    seen: list[str] = []
    folder = tmp_path / "release"
    plan = Scenario.from_dict({"generator": "independent", "output": {"folder": str(folder)}})
    release = ehrsatz.fabricate(plan, progress=lambda what, done, total: seen.append(what))
    assert list(dict.fromkeys(seen)) == list(pipeline.STEPS)
    assert ehrsatz.verify(folder) == []
    assert release.decision == "hold"  # independent columns are told apart, whatever else they keep
    assert any(reason.startswith("detection") for reason in release.verdict.reasons)
    assert (release.n_subjects, release.n_rows, release.data_kept) == (460, 460, True)
    told = json.loads((folder / "manifest.json").read_text())
    assert told["generator"]["name"] == "independent"
    source = bundled("heart_disease_uci").read_text().splitlines()[0]
    assert (folder / "data" / "heart_disease_uci.csv").read_text().splitlines()[0] == source


@pytest.mark.parametrize("name", ["independent", "trees", "copula", "bayesnet"])
def test_same_seed_same_bytes_on_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    same: dict[str, Any] = {"output__formats": ["parquet", "csv"], "generator__name": name}
    one = pipeline.fabricate(scenario(tmp_path / "one", **same))
    monkeypatch.setattr(draw, "SHARD", 97)
    two = pipeline.fabricate(scenario(tmp_path / "two", workers=2, **same))
    three = pipeline.fabricate(scenario(tmp_path / "three", workers=1, **same))
    assert tree(one.folder) == tree(two.folder) == tree(three.folder)
    other = pipeline.fabricate(scenario(tmp_path / "four", seed=1, **same))
    assert tree(one.folder)["data/heart_disease_uci.csv"] != tree(other.folder)["data/heart_disease_uci.csv"]


def test_copies_are_denied_and_leave_no_row(tmp_path: Path, copycat: str) -> None:
    plan = Scenario.from_dict({"generator": copycat, "output": {"folder": str(tmp_path / "release")}})
    release = pipeline.fabricate(plan)
    assert release.decision == "deny"
    assert not release.data_kept
    assert not (tmp_path / "release" / "data").exists()
    assert {"report.html", "scores.json", "verdict.json"} <= set(tree(tmp_path / "release"))
    assert ehrsatz.verify(tmp_path / "release") == []
    kept = pipeline.fabricate(plan.changed({"output.folder": str(tmp_path / "kept"), "output.keep_denied": True}))
    assert kept.decision == "deny"
    assert (tmp_path / "kept" / "data" / "heart_disease_uci.csv").is_file()


def test_nothing_of_single_subjects_is_in_a_release(tmp_path: Path) -> None:
    plan = scenario(tmp_path / "release", source__path=str(marked(tmp_path)), source__target="died", n=300)
    plan = plan.changed({"source.subject": "patient_id", "output.formats": ["csv", "parquet"]})
    release = pipeline.fabricate(plan)
    for name, data in tree(release.folder).items():
        assert MARK.encode() not in data, name
        assert b"987654" not in data, name
        assert str(tmp_path).encode() not in data, name
    drawn = pl.read_parquet(release.folder / "data" / "patients.parquet")
    assert drawn.height == 300
    assert drawn["patient_id"].n_unique() == 300


def test_a_choice_is_written_down(tmp_path: Path) -> None:
    plan = scenario(tmp_path / "release", generator__name="auto", time_budget=1)
    told = json.loads((pipeline.fabricate(plan).folder / "manifest.json").read_text())
    assert told["generator"]["parameters"]["budget"] == 1
    assert told["generator"]["choice"]["why"]


def test_switched_off_evaluation_holds(tmp_path: Path) -> None:
    release = pipeline.fabricate(scenario(tmp_path / "release", evaluation__enabled=False))
    assert release.decision == "hold"
    assert "not measured" in release.verdict.reasons[0]


def test_conditions_hold_in_every_row(tmp_path: Path) -> None:
    given = {"sex": "Female", "age": {"min": 40, "max": 60}}
    release = pipeline.fabricate(scenario(tmp_path / "release", given=given, n=50, output__formats=["parquet"]))
    drawn = pl.read_parquet(release.folder / "data" / "heart_disease_uci.parquet")
    assert drawn.height == 50
    assert drawn["sex"].unique().to_list() == ["Female"]
    assert drawn["age"].is_between(40, 60).all()


@pytest.mark.parametrize(
    ("given", "share"),
    [
        ({"sex": "F"}, 1.0),
        ({"sex": {"any": ["F"]}, "age": {"min": 40, "max": 70}}, 1.0),
        ({"sex": {"share": {"F": 0.25, "M": 0.75}}}, 0.25),
        ({"admitted": {"min": "2021-03-01"}, "sex": {"share": {"M": 0.5, "F": 0.5}}, "smoker": False}, 0.5),
    ],
)
def test_rows_under_conditions_are_compared_with_their_like(tidy: Dataset, given: dict[str, Any], share: float) -> None:
    free = replace(tidy.schema.parent, constraints=())
    data = Dataset(tidy.schema.replace_table(free), tidy.tables, tidy.provenance)
    engine = ehrsatz.generator("independent").fit(data, seed=1)
    like = pipeline.matching(data, given, engine, seed=1)
    assert 5 <= like.n_subjects < tidy.n_subjects
    assert (like.table["sex"] == "F").mean() == pytest.approx(share, abs=0.06)
    if "age" in given:
        assert like.table["age"].is_between(40, 70).all()
    assert pipeline.matching(data, given, engine, seed=1).table.equals(like.table)
    assert pipeline.matching(data, {}, engine, seed=1) is data


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"given": {"sex": MARK}}, InfeasibleError),
        ({"given": {"sexx": "Female"}}, InfeasibleError),
        ({"given": {"age": {"min": 900}}}, InfeasibleError),
        ({"generator__name": "tree"}, UnknownNameError),
        ({"generator__parameters": {"leaves": 3}}, ScenarioError),
        ({"time_budget": 5}, ScenarioError),
        ({"output__formats": ["xlsx"]}, UnknownNameError),
        ({"policy": {"name": "empty"}}, ScenarioError),
        ({"source__target": "nmu"}, DataError),
        ({"source__subject": "patient"}, DataError),
        ({"evaluation__metrics": ["margin"]}, UnknownNameError),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        pipeline.fabricate(scenario(tmp_path / "release", **changes))
    assert MARK not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_csv_release_reads_back_to_the_same_cells(tmp_path: Path) -> None:
    release = pipeline.fabricate(scenario(tmp_path / "release", generator__name="trees"))
    told = json.loads((release.folder / "manifest.json").read_text())
    schema = ehrsatz.Schema.from_yaml((release.folder / "schema.yaml").read_text())
    back = ehrsatz.read(next((release.folder / "data").glob("*.csv")), schema=schema, origin="generated")
    assert content(back) == told["content"]


def test_a_condition_that_few_real_people_meet_is_held(tmp_path: Path) -> None:
    given = {"dataset": "Switzerland", "sex": "Female", "age": {"min": 76}}  # nobody, in fact
    release = pipeline.fabricate(
        scenario(tmp_path / "release", given=given, policy=None, evaluation__metrics=["coverage"])
    )
    assert release.decision == "hold"


@pytest.mark.parametrize(
    ("name", "parameters", "hint"),
    [
        ("trees", {"caution": "SECRET123"}, "'caution' of the generator 'trees' to be a number"),
        ("trees", {"caution": float("nan")}, "to be a number"),
        ("trees", {"leaf": 2.5}, "to be a whole number or null"),
        ("trees", {"leaf": True}, "to be a whole number or null"),
        ("copula", {"max_bins": None}, "to be a whole number"),
    ],
)
def test_a_parameter_of_another_type_is_refused(name: str, parameters: dict[str, Any], hint: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        ehrsatz.generator(name, **parameters)
    assert hint in str(caught.value)
    assert "SECRET123" not in str(caught.value)


def test_a_full_folder_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_text("keep me")
    monkeypatch.setattr(pipeline, "read_scenario", lambda plan: pytest.fail("the work began"))
    with pytest.raises(OutputError, match="not empty"):
        pipeline.fabricate(scenario(tmp_path))


def test_an_interrupt_at_any_step_leaves_nothing(tmp_path: Path) -> None:
    for step in pipeline.STEPS:

        def stop(what: str, done: int, total: int, step: str = step) -> None:
            if what == step:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pipeline.fabricate(scenario(tmp_path / "release"), progress=stop)
        left = [path.name for path in tmp_path.iterdir()]
        assert left in ([], ["release"]) and (step == "write" or not left)


# ---------------------------------------------------------------------- the verbs
def test_export_refuses_real_rows(tmp_path: Path, tidy: Dataset) -> None:
    with pytest.raises(UnsupportedError):
        ehrsatz.export(tidy, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert ehrsatz.export(tidy, tmp_path / "out", formats=["csv", "parquet"], allow_real=True)


def test_the_verbs_in_python(tidy: Dataset, tmp_path: Path) -> None:
    real = ehrsatz.read(tidy.table.to_pandas(), subject="patient_id", target="outcome", name="patients")
    train, holdout = real.split(seed=1)
    made = ehrsatz.generator("independent").fit(train, seed=1).sample(40, seed=1)
    found = ehrsatz.evaluate(train, holdout, made, target="outcome", metrics=["margins"])
    verdict = ehrsatz.judge(found)
    assert verdict.decision == "hold"  # the other metrics were not measured
    assert [one.metric for one in found.scores] == ["margins"]


def test_a_saved_model_draws_the_same_rows(tmp_path: Path) -> None:
    model = steps.fit_model(scenario(tmp_path / "unused"), tmp_path / "model")
    drawn = steps.sample_model(tmp_path / "model", tmp_path / "rows", n=30, seed=4, formats=["csv", "parquet"])
    assert drawn.table.equals(model.sample(30, seed=4).table)
    assert {path.name for path in (tmp_path / "rows").iterdir()} == {
        "heart_disease_uci.csv",
        "heart_disease_uci.parquet",
        "schema.yaml",
    }


def test_more_subjects_than_fit_are_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps.fit_model(scenario(tmp_path / "unused"), tmp_path / "model")
    monkeypatch.setattr(draw, "free_memory", lambda: 1_000_000)
    with pytest.raises(InfeasibleError, match=r"about [0-9,]+ fit"):
        steps.sample_model(tmp_path / "model", tmp_path / "rows", n=10**11)
    monkeypatch.setattr(Generator, "fit", lambda *_, **__: pytest.fail("it learned first"))
    with pytest.raises(InfeasibleError, match=r"100,000,000,000 need about"):
        pipeline.fabricate(scenario(tmp_path / "release", n=10**11))
    assert not (tmp_path / "rows").exists()


def test_a_column_marked_direct_in_the_schema_file_takes_its_proposed_rules_along(tmp_path: Path) -> None:
    real = pipeline.read(bundled("heart_disease_uci"))
    ruled = [one for one in real.schema.parent.constraints if one.kind != "unique"]
    assert ruled
    name = ruled[0].columns[0]
    table = real.schema.parent
    columns = [replace(one, disclosure="direct") if one.name == name else one for one in table.columns]
    schema = real.schema.replace_table(replace(table, columns=tuple(columns)))
    (tmp_path / "schema.yaml").write_text(schema.to_yaml(), encoding="utf-8")
    with pytest.warns(DataWarning, match=name):
        again = pipeline.read(bundled("heart_disease_uci"), schema=tmp_path / "schema.yaml")
    assert not [one for one in again.schema.parent.constraints if one.kind != "unique" and name in one.columns]
    assert ehrsatz.generator("independent").fit(again, seed=1).sample(5, seed=1).table.height == 5


@pytest.mark.parametrize("file", ["generator.json", "weights.npz"])
def test_a_model_that_was_tampered_with_is_refused(tmp_path: Path, file: str) -> None:
    steps.fit_model(scenario(tmp_path / "unused"), tmp_path / "model")
    data = bytearray((tmp_path / "model" / file).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "model" / file).write_bytes(bytes(data))
    with pytest.raises(ModelError):
        steps.sample_model(tmp_path / "model", tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


def test_scores_of_a_file_are_judged_as_in_memory(tmp_path: Path) -> None:
    release = pipeline.fabricate(scenario(tmp_path / "release", policy=None))
    (tmp_path / "policy.json").write_text(json.dumps(QUICK))
    again = steps.judge_file(release.folder / "scores.json", tmp_path / "policy.json")
    assert again.to_dict() == release.verdict.to_dict()
    for text in ("", "{}", "[1]", '{"scores": [{"metric": "m"}]}', f'{{"scores": "{MARK}"}}'):
        (tmp_path / "scores.json").write_text(text)
        with pytest.raises(ScenarioError) as caught:
            steps.judge_file(tmp_path / "scores.json")
        assert MARK not in str(caught.value)


def test_files_are_evaluated_with_the_schema_of_the_first(tmp_path: Path, tidy: Dataset) -> None:
    for name, part in zip(("a", "b"), tidy.split(seed=1)):
        ehrsatz.export(part, tmp_path / name, allow_real=True)
    found = steps.evaluate_files(
        tmp_path / "a" / "patients.csv",
        tmp_path / "b" / "patients.csv",
        tmp_path / "b" / "patients.csv",
        subject="patient_id",
        metrics=["margins"],
    )
    assert found.scores[0].value == 1.0  # the holdout itself


def test_named_tables_of_a_folder(tmp_path: Path, tidy_linked: Dataset) -> None:
    ehrsatz.export(tidy_linked, tmp_path / "clinic", allow_real=True)
    read = ehrsatz.read(tmp_path / "clinic", tables=["visits"])
    assert [table.name for table in read.schema.tables] == ["visits"]
    assert len(ehrsatz.read(tmp_path / "clinic").schema.tables) == 2
    with pytest.raises(SourceError, match="'visits'"):
        ehrsatz.read(tmp_path / "clinic", tables=["visit"])


def test_linked_tables_from_end_to_end(tmp_path: Path, tidy_linked: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    ehrsatz.export(tidy_linked, tmp_path / "clinic", allow_real=True)
    plan = scenario(tmp_path / "release", source__path=str(tmp_path / "clinic"), generator__name="trees", n=40)
    release = pipeline.fabricate(plan)
    monkeypatch.setattr(draw, "SHARD", 13)
    sharded = pipeline.fabricate(plan.changed({"output.folder": str(tmp_path / "sharded"), "workers": 2}))
    assert tree(release.folder) == tree(sharded.folder)
    drawn = {path.stem: pl.read_csv(path) for path in (release.folder / "data").iterdir()}
    assert drawn["patients"].height == 40
    assert drawn["visits"]["patient_id"].is_in(drawn["patients"]["patient_id"].to_list()).all()
    assert ehrsatz.verify(release.folder) == []


def test_an_estimate_writes_nothing(tmp_path: Path) -> None:
    told = estimate(scenario(tmp_path / "release"))
    assert list(tmp_path.iterdir()) == []
    assert (told.n_subjects, told.n_columns) == (920, 16)
    assert set(told.seconds) == {"read", "fit", "sample", "evaluate"}
    assert "data/heart_disease_uci.csv" in told.files
    assert told.memory_mb > 0


@pytest.mark.parametrize(
    "score",
    [
        5,
        {"metric": 5, "value": 0.5},
        {"metric": "m", "value": "SECRET"},
        {"metric": "m", "value": None},
        {"metric": "m", "value": 0.5, "interval": [0.4, None]},
        {"metric": "m", "value": 0.5, "interval": []},
        {"metric": "m", "value": 0.5, "params": ["SECRET"]},
        {"metric": "m", "value": 0.5, "details": {"excess_interval": "SECRET"}},
        {"metric": "m", "value": 0.5, "SECRET": 1},
    ],
)
def test_a_file_that_holds_no_scores_is_refused(score: Any, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"scores": [score]}))
    with pytest.raises(ScenarioError, match="Expected scores as") as caught:
        steps.judge_file(path)
    assert "SECRET" not in str(caught.value)
