"""The whole evaluation: identical, unrelated and leaked data; order of rows; nasty input; structure."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ehrsatz import registry
from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, SchemaError
from ehrsatz.evaluation.evaluate import Evaluation, evaluate
from ehrsatz.evaluation.task import Task
from ehrsatz.schema import Schema
from evaluation.tables import population, shuffled, table, unrelated, with_rows

N = 300
TRAIN, HOLDOUT, FRESH = population(N, 1), population(N, 2), population(N, 3)
PRIVACY = ("exact_copies", "near_copies", "dcr_share", "membership")
TASK = Task(
    "event",
    groups=("sex", "site"),
    formulas=("event ~ age + C(sex)", "pressure ~ age + weight"),
    quasi=("age", "sex", "site"),
    secrets=("event", "sugar"),
)
NOT_HERE = {"tstr_rmse": "number", "tstr_mae": "number"}  # the target is no number; nor are there times or follow-up


@pytest.fixture(scope="module")
def fresh() -> Evaluation:
    return evaluate(TRAIN, HOLDOUT, FRESH, task=TASK, seed=7)


@pytest.fixture(scope="module")
def leaked() -> Evaluation:
    return evaluate(TRAIN, HOLDOUT, TRAIN, target="event", seed=7)


def value(evaluation: Evaluation, metric: str) -> float:
    found = evaluation[metric].value
    assert found is not None, evaluation[metric].meaning
    return found


def test_every_metric_is_measured_or_says_why_not(fresh: Evaluation) -> None:
    assert [score.metric for score in fresh.scores] == list(registry.names("metrics"))
    for score in fresh.scores:
        about = fresh.details["metrics"][score.metric]
        assert about["theme"] and about["what"], score.metric
        if score.metric in NOT_HERE or about["theme"] in {"Sequences", "Survival"}:
            assert score.status == "not_applicable" and score.value is None and score.meaning, score.metric
            continue
        assert score.status == "measured", f"{score.metric}: {score.meaning}"
        assert score.value is not None and score.meaning.endswith(".") and score.n > 0, score.metric
        if score.interval is not None:
            assert score.interval[0] <= score.value <= score.interval[1], score.metric
        assert about["low"] <= score.value <= about["high"], score.metric


def test_scores_do_not_depend_on_the_number_of_workers(fresh: Evaluation) -> None:
    assert evaluate(TRAIN, HOLDOUT, FRESH, task=TASK, seed=7, workers=3).to_dict() == fresh.to_dict()


def test_a_further_real_sample_passes(fresh: Evaluation) -> None:
    assert value(fresh, "margins") > 0.9
    assert abs(value(fresh, "detection") - 0.5) < 0.08
    assert value(fresh, "coverage") > 0.9
    assert abs(value(fresh, "tstr_gap")) < 0.06
    assert value(fresh, "exact_copies") == 0
    assert value(fresh, "near_copies") < 0.06
    assert 0.4 < value(fresh, "dcr_share") < 0.58
    assert value(fresh, "membership") < 0.58


def test_copies_of_train_are_caught(leaked: Evaluation) -> None:
    assert value(leaked, "exact_copies") == 1
    assert value(leaked, "near_copies") == 1
    assert value(leaked, "dcr_share") > 0.98
    assert value(leaked, "membership") > 0.98
    assert value(leaked, "membership_tpr") > 0.9


def test_train_itself_scores_as_its_own_reference(leaked: Evaluation) -> None:
    for metric in ("margins", "worst_margin", "missingness", "association", "pairs", "coverage", "detection", "tstr"):
        assert value(leaked, metric) == pytest.approx(leaked[metric].reference), metric
    assert value(leaked, "tstr_gap") == 0


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_a_few_copies_are_caught(share: float) -> None:
    k = int(share * N)
    mixed = with_rows(FRESH, TRAIN.table[:k], FRESH.table[k:])
    score = evaluate(TRAIN, HOLDOUT, mixed, seed=7, metrics=["exact_copies"])["exact_copies"]
    assert score.value == pytest.approx(share, abs=0.005)
    assert score.details["excess_interval"][0] > 0


def test_near_copies_with_noise_are_caught() -> None:
    noise = [0.1 if i % 2 else -0.1 for i in range(N)]
    moved = TRAIN.table.with_columns(pl.col("pressure") + pl.Series(noise), pl.col("weight") - pl.Series(noise))
    scores = evaluate(TRAIN, HOLDOUT, with_rows(TRAIN, moved), seed=7, metrics=PRIVACY)
    assert value(scores, "exact_copies") < 0.05
    assert value(scores, "near_copies") > 0.8
    assert value(scores, "dcr_share") > 0.95
    assert value(scores, "membership") > 0.95


def test_duplicates_of_the_real_data_are_not_blamed() -> None:
    few = [table({"a": ("integer", np.arange(N).tolist()), "b": ("category", ["x"] * N)}) for _ in range(3)]
    cut = [replace(one, tables={"t": one.table.with_columns(pl.col("a") % 4)}) for one in few]
    scores = evaluate(*cut, seed=7, metrics=PRIVACY)
    assert value(scores, "exact_copies") == 1 and scores["exact_copies"].reference == 1
    assert scores["exact_copies"].details["excess"] == 0
    assert value(scores, "dcr_share") == 0.5
    assert value(scores, "membership") < 0.56


def test_unrelated_columns_are_told_apart() -> None:
    scores = evaluate(TRAIN, HOLDOUT, unrelated(TRAIN), target="event", seed=7)
    assert value(scores, "margins") > 0.9  # each column alone is right
    assert value(scores, "association") > 2 * scores["association"].reference
    assert value(scores, "detection") > 0.75
    assert value(scores, "tstr_gap") > 0.2
    assert value(scores, "membership") < 0.58
    culprits = {one["column"] for one in scores["detection"].details["culprits"]}
    assert culprits & {"age", "pressure", "event", "weight", "sugar"}
    assert culprits.isdisjoint({"site"})


def test_the_order_of_the_rows_changes_nothing(fresh: Evaluation) -> None:
    again = evaluate(shuffled(TRAIN, 1), shuffled(HOLDOUT, 2), shuffled(FRESH, 3), task=TASK, seed=7)
    assert again.to_dict() == fresh.to_dict()


def test_results_are_plain_json_without_nan(fresh: Evaluation) -> None:
    assert json.loads(json.dumps(fresh.to_dict(), allow_nan=False)) == fresh.to_dict()


def test_metrics_can_be_chosen_and_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    out = evaluate(TRAIN, HOLDOUT, FRESH, seed=1, metrics=["margins", "tstr"], progress=lambda *x: told.append(x))
    assert told == [("margins", 0, 2), ("tstr", 1, 2), ("evaluate", 2, 2)]
    assert out["tstr"].status == "not_applicable" and out["tstr"].value is None
    assert "no target" in out["tstr"].meaning


def test_a_number_and_several_classes_can_be_the_target() -> None:
    number = evaluate(TRAIN, HOLDOUT, FRESH, seed=1, target="pressure", metrics=["tstr"])["tstr"]
    assert number.params["measure"] == "R2" and number.value is not None and number.value > 0.2
    classes = evaluate(TRAIN, HOLDOUT, FRESH, seed=1, target="site", metrics=["tstr"])["tstr"]
    assert classes.params["measure"] == "AUC" and classes.value is not None and abs(classes.value - 0.5) < 0.15


def test_a_synthetic_target_of_one_class_is_worth_a_guess() -> None:
    flat = with_rows(FRESH, FRESH.table.with_columns(event=pl.lit(False)))
    out = evaluate(TRAIN, HOLDOUT, flat, seed=1, target="event", metrics=["tstr", "tstr_gap"])
    assert value(out, "tstr") == 0.5
    assert value(out, "tstr_gap") > 0.2


# ---------------------------------------------------------------------- refused
def test_other_columns_are_refused_with_all_problems() -> None:
    other = table({"age": ("number", [1.0]), "new": ("category", ["x"])}, "t")
    with pytest.raises(DataError) as raised:
        evaluate(TRAIN, HOLDOUT, other, seed=1)
    assert any("age" in one and "kind" in one for one in raised.value.problems)
    assert any("new" in one for one in raised.value.problems)


def test_an_unknown_target_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SchemaError, match="event"):
        evaluate(TRAIN, HOLDOUT, FRESH, seed=1, target="evnt")


def test_shared_subjects_are_refused(tidy: Dataset) -> None:
    with pytest.raises(DataError, match="no subject in common"):
        evaluate(tidy, tidy, tidy, seed=1)


# ---------------------------------------------------------------------- nasty input
@pytest.mark.parametrize("name", ["nasty", "tidy_linked", "nasty_linked", "visits"])
def test_nasty_and_linked_tables(name: str, request: pytest.FixtureRequest) -> None:
    dataset: Dataset = request.getfixturevalue(name)
    train, holdout = dataset.split(0.5, seed=1)
    target = {"nasty": "flag", "visits": "type"}.get(name, "visits.type")
    out = evaluate(train, holdout, train, target=target, seed=1)
    json.dumps(out.to_dict(), allow_nan=False)
    assert value(out, "exact_copies") == 1
    assert value(out, "membership") > 0.8
    tables = {one["table"] for one in out["margins"].details["columns"]}
    columns = {one["column"] for one in out["margins"].details["columns"]}
    if name.endswith("linked"):
        assert tables == {"patients", "visits"} and "rows in visits" in columns
    if name == "visits":
        assert "rows per subject" in columns
    assert not columns & {"name", "notiz", "patient_id", "visit_id"}


def test_one_row_and_constant_columns() -> None:
    flat = table({"a": ("integer", [0] * 30), "b": ("category", ["x"] * 30), "c": ("number", [None] * 30)})
    out = evaluate(flat, flat, flat, seed=1, target=None)
    assert value(out, "margins") == 1
    assert out["association"].status == "not_applicable"
    assert value(out, "detection") == 0.5 and value(out, "dcr_share") == 0.5
    one = with_rows(flat, flat.table[:1])
    few = evaluate(flat, flat, one, seed=1)
    assert value(few, "margins") == 1
    assert few["detection"].value is None and "synthetic has 1" in few["detection"].meaning
    empty = with_rows(flat, flat.table[:0])
    none = evaluate(flat, flat, empty, seed=1)
    assert all(score.value is None and score.meaning for score in none.scores)


def test_new_levels_and_lost_columns_of_cells_count_as_differences() -> None:
    strange = with_rows(
        FRESH,
        FRESH.table.with_columns(site=pl.lit("never seen"), sugar=pl.lit(None, pl.Float64), age=pl.lit(-5, pl.Int64)),
    )
    out = evaluate(TRAIN, HOLDOUT, strange, seed=1, metrics=["margins", "worst_margin", "missingness", "detection"])
    similar = {one["column"]: one["similarity"] for one in out["margins"].details["columns"]}
    assert similar["site"] == 0 and similar["sugar"] == 0 and similar["age"] == 0
    assert value(out, "detection") > 0.99
    assert value(out, "missingness") > 0.5


def test_nothing_is_compared_when_all_columns_are_identifiers(tidy: Dataset) -> None:
    table_ = tidy.schema.parent
    schema = Schema("ids", (table_.replace_columns(one for one in table_.columns if one.role == "subject"),))
    only = Dataset(schema, {"patients": tidy.table.select("patient_id")}, tidy.provenance)
    train, holdout = only.split(0.5, seed=1)
    out = evaluate(train, holdout, train, seed=1)
    assert all(score.status == "not_applicable" for score in out.scores)
