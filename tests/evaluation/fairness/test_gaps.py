"""Likeness and skill by subgroup: by hand, a copy that is bad for one group alone, lost groups."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.metrics import r2_score, roc_auc_score

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.fairness.gaps import GroupFidelityGap, GroupUtilityGap, likeness, skills_of
from ehrsatz.evaluation.fairness.models import Divided
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.evaluation.utility.measures import Answer
from ehrsatz.evaluation.utility.trials import trials_of
from ehrsatz.seeds import stream
from ehrsatz.testing import check_metric
from evaluation.tables import population, shuffled, table, with_rows

TRAIN, HOLDOUT, FRESH = (population(600, seed) for seed in (1, 2, 3))
SITES = Task(target="event", groups=("site",))


def spoilt(dataset: Dataset, site: str, seed: int = 0) -> Dataset:
    """Return the rows with the numbers of one site shuffled and shifted."""
    rng = stream(seed, "spoilt")
    frame = dataset.table
    mixed = frame.with_columns(
        pl.Series(name, frame[name].to_numpy()[rng.permutation(frame.height)] + shift)
        for name, shift in (("pressure", 25.0), ("weight", 20.0))
    )
    return with_rows(dataset, frame.filter(pl.col("site") != site), mixed.filter(pl.col("site") == site))


# ---------------------------------------------------------------------- likeness
def test_likeness_by_hand() -> None:
    a, b = np.array([[1.0, 1.0, 2.0], [1.0, 0.0, 0.0]]), np.array([[2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    assert likeness(a, b, is_ordered=False) == pytest.approx([0.5, 0.0])  # the second group is empty on one side
    assert likeness(a, b, is_ordered=True) == pytest.approx([0.5, 0.0])
    ends = likeness(np.array([[1.0, 0.0, 1.0]]), np.array([[0.0, 2.0, 0.0]]), is_ordered=True)
    assert ends == pytest.approx([0.5]) and likeness(a, a, is_ordered=True) == pytest.approx([1, 1])


def test_a_groups_likeness_is_kolmogorov_smirnovs() -> None:
    levels = [float(i) for i in range(50)]  # at most a hundred values: the bins by rank part them all
    rng = stream(1, "levels")

    def part(seed: int) -> Dataset:
        rng = stream(seed, "part")
        return table({"x": ("number", rng.choice(levels, 400).tolist()), "g": ("category", ["a", "b"] * 200)})

    train, holdout, made = part(1), part(2), part(3)
    del rng
    score = GroupFidelityGap(task=Task(groups=("g",))).compute(train, holdout, made, seed=1)
    for one in score.details["columns"][0]["groups"]:
        x, y, z = (d.table.filter(pl.col("g") == one["group"])["x"].to_numpy() for d in (made, holdout, train))
        assert one["similarity"] == pytest.approx(1 - stats.ks_2samp(x, y).statistic, abs=0.02)
        assert one["reference"] == pytest.approx(1 - stats.ks_2samp(z, y).statistic, abs=0.02)


def test_identical_data_lose_nothing() -> None:
    score = GroupFidelityGap(task=SITES).compute(TRAIN, HOLDOUT, TRAIN, seed=1)
    assert score.value == 0
    assert all(one["loss"] == 0 for one in score.details["columns"][0]["groups"])


def test_a_copy_that_is_bad_for_one_group_is_seen_and_the_group_named() -> None:
    fair = GroupFidelityGap(task=SITES).compute(TRAIN, HOLDOUT, FRESH, seed=1)
    bad = GroupFidelityGap(task=SITES).compute(TRAIN, HOLDOUT, spoilt(FRESH, "C"), seed=1)
    assert fair.value is not None and bad.value is not None and fair.interval is not None and bad.interval is not None
    assert bad.value > 2.5 * fair.value and bad.interval[0] > fair.value
    assert bad.reference == fair.reference and fair.value < 2 * (fair.reference or 0)
    assert bad.details["worst_off"] == "site = C" and "site = C" in bad.meaning


def test_small_groups_do_not_look_worse_for_being_small() -> None:
    """The smaller group is less alike in both; read against real rows of its size the loss is about the same."""
    losses = []
    for seed in range(12):
        parts = [population(300, 700 + 3 * seed + i) for i in range(3)]
        groups = GroupFidelityGap(task=SITES).compute(*parts, seed=1).details["columns"][0]["groups"]
        losses.append([(one["similarity"], one["loss"]) for one in sorted(groups, key=lambda one: one["group"])])
    mean = np.mean(losses, axis=0)
    assert mean[2, 0] < mean[0, 0] - 0.03  # site C has a fifth of the rows, site A half
    assert abs(mean[2, 1] - mean[0, 1]) < 0.015


def test_a_group_without_synthetic_rows_is_named() -> None:
    gone = with_rows(FRESH, FRESH.table.filter(pl.col("site") != "B"))
    score = GroupFidelityGap(task=SITES).compute(TRAIN, HOLDOUT, gone, seed=1)
    assert score.value is not None and score.value > 0.7
    assert score.details["empty"] == ["site = B"] and "site = B" in score.meaning


def test_a_column_alone_has_nothing_to_compare() -> None:
    only = table({"g": ("category", ["a", "b"] * 40)})
    score = GroupFidelityGap(task=Task(groups=("g",))).compute(only, only, only, seed=1)
    assert score.status == "not_applicable" and "no column is left" in score.meaning


# ---------------------------------------------------------------------- skill
@pytest.mark.parametrize("seed", range(20))
def test_skills_agree_with_scikit_learn(seed: int) -> None:
    rng = stream(seed, "skills")
    y, p = rng.integers(0, 2, 200), rng.random(200).round(2)
    one = Divided("g", ("a", "b", "c"), rng.integers(-1, 3, 200))
    found = skills_of(Answer(y, np.column_stack([1 - p, p]), np.array([0.5, 0.5]), [1]), one, "AUC")
    told = [roc_auc_score(y[one.level == k], p[one.level == k]) for k in range(3)]
    assert found == pytest.approx(told, abs=1e-6)
    number = skills_of(Answer(y + p, p, np.empty(0), []), one, "R2")
    told = [max(-1, r2_score((y + p)[one.level == k], p[one.level == k])) for k in range(3)]
    assert number == pytest.approx(told, abs=1e-6)


def test_skill_by_group_is_that_of_the_trials() -> None:
    comparison = Comparison.of(TRAIN, HOLDOUT, FRESH)
    score = GroupUtilityGap(task=SITES).compute_on(comparison, seed=5)
    trials = trials_of(comparison, "event", 5)
    view, site = comparison.locate("site")
    codes = view.samples["holdout"].codes[:, site.slot][trials.question.rows["holdout"]]
    for side, name in (("train", "real"), ("synthetic", "synthetic")):
        answer = trials.answers[trials.best, side]
        k = trials.question.positive
        told = {level: roc_auc_score(answer.y[codes == i + 1] == k, answer.guess[codes == i + 1, k])
                for i, level in enumerate(site.levels)}  # fmt: skip
        found = {one["group"]: one[name] for one in score.details["columns"][0]["groups"]}
        assert found == pytest.approx(told, abs=6e-5)


def test_identical_data_score_as_the_reference() -> None:
    score = GroupUtilityGap(task=SITES).compute(TRAIN, HOLDOUT, TRAIN, seed=5)
    assert score.value == pytest.approx(score.reference) and score.details["worst_off"]["loss"] == 0
    assert score.interval is not None and score.interval[0] <= score.value <= score.interval[1]


def test_a_group_whose_outcome_is_turned_round_loses() -> None:
    turned = pl.when(pl.col("site") == "B").then(~pl.col("event")).otherwise(pl.col("event"))
    bad = with_rows(FRESH, FRESH.table.with_columns(event=turned))
    score, honest = (GroupUtilityGap(task=SITES).compute(TRAIN, HOLDOUT, one, seed=5) for one in (bad, FRESH))
    most = score.details["worst_off"]
    assert most["group"] == "site = B" and "site = B" in score.meaning
    assert most["loss"] > score.details["loss_overall"] + 0.1
    assert most["loss"] > honest.details["worst_off"]["loss"] + 0.1


def test_a_number_as_target_and_groups_that_cannot_be_told() -> None:
    score = GroupUtilityGap(task=Task(target="pressure", groups=("site",))).compute(TRAIN, HOLDOUT, FRESH, seed=5)
    assert score.status == "measured" and score.params["measure"] == "R2"

    def sure(dataset: Dataset) -> Dataset:
        always = pl.when(pl.col("site") == "C").then(True).otherwise(pl.col("event"))
        return with_rows(dataset, dataset.table.with_columns(event=always))

    told = GroupUtilityGap(task=SITES).compute(sure(TRAIN), sure(HOLDOUT), sure(FRESH), seed=5)
    assert any(one.startswith("site = C") for one in told.details["left_out"])
    alone = GroupUtilityGap(task=Task(target="site", groups=("site",))).compute(TRAIN, HOLDOUT, FRESH, seed=5)
    assert alone.status == "not_applicable"


def test_the_order_of_the_rows_changes_nothing() -> None:
    for metric in (GroupFidelityGap, GroupUtilityGap):
        one = metric(task=SITES).compute(TRAIN, HOLDOUT, FRESH, seed=1)
        other = metric(task=SITES).compute(shuffled(TRAIN, 1), shuffled(HOLDOUT, 2), shuffled(FRESH, 3), seed=1)
        assert one.to_dict() == other.to_dict()
        json.dumps(one.to_dict(), allow_nan=False)


@pytest.mark.parametrize("metric", [GroupFidelityGap, GroupUtilityGap])
def test_contract(metric: type) -> None:
    check_metric(metric(task=SITES), population(300, 9))
