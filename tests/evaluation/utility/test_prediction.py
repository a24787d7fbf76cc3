"""Models from synthetic rows against models from real ones: known data, and data that cannot be learned from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.base import Score, Unmeasured
from ehrsatz.evaluation.evaluate import Evaluation, evaluate
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.utility.question import RARE, question_of
from ehrsatz.evaluation.utility.trials import FOLDS, Fitted, folds_of, interval, learners_of, stratified, trials_of
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream
from evaluation.tables import population, shuffled, table, unrelated, with_rows

N = 400
TRAIN, HOLDOUT, FRESH = (population(N, seed) for seed in (1, 2, 3))
CLASSES = (
    "tstr_average_precision",
    "tstr_accuracy",
    "tstr_precision",
    "tstr_recall",
    "tstr_specificity",
    "tstr_f1",
    "tstr_brier",
    "calibration",
)
NUMBERS = ("tstr_rmse", "tstr_mae")
ANY = ("tstr", "tstr_gap", "trts", "tsts", "augmentation_gain", "importance_agreement")
ALL = (*ANY, *CLASSES, *NUMBERS)


def measured(synthetic: Dataset, target: str, metrics: tuple[str, ...] = ALL, **sets: Dataset) -> Evaluation:
    train, holdout = sets.get("train", TRAIN), sets.get("holdout", HOLDOUT)
    return evaluate(train, holdout, synthetic, target=target, seed=5, metrics=metrics)


def value(scores: Evaluation, metric: str) -> float:
    found = scores[metric].value
    assert found is not None, (metric, scores[metric].meaning)
    return found


@pytest.fixture(scope="module")
def fresh() -> Evaluation:
    return measured(FRESH, "event")


@pytest.fixture(scope="module")
def leaked() -> Evaluation:
    return measured(TRAIN, "event")


@pytest.fixture(scope="module")
def broken() -> Evaluation:
    return measured(unrelated(FRESH), "event")


# ---------------------------------------------------------------------- what is known
def test_identical_data_score_as_the_reference(leaked: Evaluation) -> None:
    for metric in ("tstr", *CLASSES):
        assert value(leaked, metric) == pytest.approx(leaked[metric].reference), metric
    assert value(leaked, "tstr_gap") == 0
    assert value(leaked, "augmentation_gain") == pytest.approx(0, abs=0.02)
    assert value(leaked, "importance_agreement") > 0.5


def test_a_further_real_sample_scores_near_the_reference(fresh: Evaluation) -> None:
    for metric in ("tstr", "trts", *CLASSES):
        reference = fresh[metric].reference
        assert reference is not None and value(fresh, metric) == pytest.approx(reference, abs=0.1), metric
    assert abs(value(fresh, "tsts") - (fresh["tsts"].reference or 0)) < 0.1


def test_unrelated_columns_score_as_a_guess(broken: Evaluation, fresh: Evaluation) -> None:
    for metric in ("tstr", "tstr_average_precision", "trts", "tsts"):
        baseline = broken[metric].baseline
        assert baseline is not None and value(broken, metric) == pytest.approx(baseline, abs=0.13), metric
    assert value(broken, "tstr_gap") > 0.25
    assert value(broken, "augmentation_gain") < value(fresh, "augmentation_gain")
    assert value(broken, "importance_agreement") < value(fresh, "importance_agreement")
    for metric in ("tstr_accuracy", "tstr_precision", "tstr_recall", "tstr_f1"):
        assert value(broken, metric) < value(fresh, metric) - 0.1, metric


def test_a_copy_that_is_too_regular_is_easier_than_real_rows() -> None:
    ruled = FRESH.table.with_columns(event=pl.col("age") / 100 + pl.col("pressure") / 200 > 1.25)
    scores = measured(with_rows(FRESH, ruled), "event", ("tsts", "trts"))
    assert value(scores, "tsts") > (scores["tsts"].reference or 1) + 0.03
    assert value(scores, "trts") > (scores["trts"].reference or 1) + 0.03


def test_intervals_lie_around_values_and_scores_are_small(fresh: Evaluation) -> None:
    for score in fresh.scores:
        if score.metric in NUMBERS:
            assert score.status == "not_applicable" and "not a number" in score.meaning
            continue
        assert score.interval is not None and score.interval[0] <= value(fresh, score.metric) <= score.interval[1]
        assert len(json.dumps(score.to_dict())) < 20_000


def test_details_hold_every_learner_curves_folds_and_confusion(fresh: Evaluation) -> None:
    trials = fresh["tstr"].details["trials"]
    assert len(trials) == 4 and all(len(one["folds"]["real"]) == FOLDS for one in trials)
    best = max(trials, key=lambda one: one["real"])
    assert best["learner"] == fresh["tstr"].params["learner"] and best["synthetic"] == fresh["tstr"].value
    curve = fresh["tstr"].details["curves"]["synthetic"]["roc"]
    assert len(curve) == 21 and curve == sorted(curve) and curve[-1] == 1
    confusion = fresh["tstr_accuracy"].details["confusion"]["synthetic"]
    assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in confusion)
    points = fresh["calibration"].details["classes"][0]["synthetic"]["points"]
    assert 5 <= len(points) <= 10 and all(one["rows"] >= 5 for one in points)
    assert fresh["tstr_recall"].params["positive"] == "true"


def test_a_number_as_target() -> None:
    some = ("tstr", *CLASSES, *NUMBERS, "importance_agreement", "augmentation_gain")
    scores = measured(FRESH, "pressure", some)
    for metric in CLASSES:
        assert scores[metric].status == "not_applicable" and "a number" in scores[metric].meaning
    assert value(scores, "tstr") > 0.2 and scores["tstr"].baseline == 0
    assert value(scores, "tstr_rmse") == pytest.approx(8, rel=0.25)  # the noise that was put in
    assert value(scores, "tstr_mae") < value(scores, "tstr_rmse") < (scores["tstr_rmse"].baseline or 0)
    columns = scores["importance_agreement"].details["columns"]
    assert columns[0]["column"] == "age"
    same = measured(TRAIN, "pressure", NUMBERS)
    assert value(same, "tstr_rmse") == pytest.approx(same["tstr_rmse"].reference)


def test_several_classes_as_target() -> None:
    def three(dataset: Dataset) -> Dataset:
        frame = dataset.table.with_columns(
            site=pl.when(pl.col("age") > 66).then(pl.lit("C")).when(pl.col("weight") > 75).then(pl.lit("B"))
            .otherwise(pl.lit("A"))
        )  # fmt: skip
        return with_rows(dataset, frame)

    names = ("augmentation_gain", *CLASSES)
    scores = measured(three(FRESH), "site", names, train=three(TRAIN), holdout=three(HOLDOUT))
    for metric in CLASSES[:6]:
        assert value(scores, metric) > 0.9, metric
    assert scores["augmentation_gain"].details["rarest"]["class"] == "C"
    assert scores["tstr_recall"].baseline == pytest.approx(1 / 3, abs=1e-9)


def test_neither_the_order_of_the_rows_nor_the_metrics_asked_for_change_a_score(fresh: Evaluation) -> None:
    names = [one for one in ALL if one not in {"tstr", "tstr_gap"}]  # these two in test_evaluate.py
    mixed = [shuffled(part, seed) for seed, part in enumerate((TRAIN, HOLDOUT, FRESH))]
    again = evaluate(*mixed, target="event", seed=5, metrics=names)
    assert all(again[name].to_dict() == fresh[name].to_dict() for name in names)
    alone = measured(FRESH, "event", ("tstr_f1",))
    assert alone["tstr_f1"].to_dict() == fresh["tstr_f1"].to_dict()
    assert measured(FRESH, "t.event", ("tstr_f1",))["tstr_f1"].value == fresh["tstr_f1"].value


# ---------------------------------------------------------------------- rows and folds
def visits(n: int, rows: int, seed: int) -> Dataset:
    """Return n subjects with some rows each, and an outcome that is rare."""
    rng = stream(seed, "rows")
    subject = np.repeat(np.arange(n), rows)
    x = rng.normal(size=n * rows)
    frame = pl.DataFrame(
        {"id": [f"P{seed}-{i}" for i in subject], "x": x, "z": rng.normal(size=n * rows), "out": x > 1}
    )
    columns = (
        Column("id", "id", role="subject"),
        Column("x", "number"),
        Column("z", "number"),
        Column("out", "boolean"),
    )
    return Dataset(Schema("v", (Table("v", columns),)), {"v": frame}, Provenance("real"))


def test_folds_keep_subjects_together_and_classes_apart() -> None:
    comparison = Comparison.of(*(visits(100, 3, seed) for seed in (1, 2, 3)))
    asked = question_of(comparison, "out", 1)
    sample, y = asked.samples["train"], asked.y["train"]
    fold = stratified(sample.group, y, asked, stream(1, "folds"))
    assert all(len(np.unique(fold[sample.group == one])) == 1 for one in np.unique(sample.group))
    share = [y[fold == k].mean() for k in range(FOLDS)]
    assert max(share) - min(share) < 0.08
    assert np.bincount(fold).min() >= 57


def test_the_holdout_is_never_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = Comparison.of(TRAIN, HOLDOUT, FRESH)
    asked = question_of(comparison, "event", 1)
    seen = []
    was = Fitted.__init__

    def watched(self, question, learner, sample, y, seed):
        seen.append(sample)
        was(self, question, learner, sample, y, seed)

    monkeypatch.setattr(Fitted, "__init__", watched)
    trials_of(comparison, "event", 1)
    folds_of(comparison, asked, 1, "random forest")
    held = {row.tobytes() for row in asked.samples["holdout"].raw}
    assert len(seen) == 8 + 2 * FOLDS
    assert not any(row.tobytes() in held for sample in seen for row in sample.raw)


def test_a_learner_knows_classes_that_it_has_not_seen() -> None:
    comparison = Comparison.of(TRAIN, HOLDOUT, FRESH)
    asked = question_of(comparison, "site", 1)
    kept = np.flatnonzero(asked.y["train"] != 2)
    for learner in learners_of(asked):
        one = Fitted(asked, learner, asked.samples["train"].take(kept), asked.y["train"][kept], 1)
        guess = one.guess(asked.samples["holdout"])
        assert guess.shape == (N, 3) and (guess[:, 2] == 0).all() and guess.sum(axis=1) == pytest.approx(1)


def test_the_interval_joins_both_sources() -> None:
    one = np.array([0.0, 1.0])
    assert interval(0.5, [(one, 1.0)], -99, 99) == pytest.approx((0.5 - 12.706 * 0.5, 0.5 + 12.706 * 0.5), abs=1e-3)
    assert interval(0.5, [(np.array([1.0]), 1.0)], 0, 1) is None
    assert interval(0.5, [(np.array([1.0, np.nan]), 1.0)], 0, 1) is None
    assert interval(0.5, [], 0, 1) is None
    assert interval(0.5, [(np.ones(20), 1.0)], 0, 1) == (0.5, 0.5)
    rng = stream(2, "mean")  # a mean of 400 numbers: the jackknife has its standard error
    x = rng.normal(size=400)
    part = np.arange(400) % 20
    ends = interval(x.mean(), [(np.array([x[part != g].mean() for g in range(20)]), 1.0)], -9, 9)
    assert ends is not None and (ends[1] - ends[0]) / 2 == pytest.approx(2.09 / 20, rel=0.4)


# ---------------------------------------------------------------------- what cannot be learned
def test_a_synthetic_target_of_one_class_is_a_guess_or_a_failure_never_a_zero() -> None:
    flat = with_rows(FRESH, FRESH.table.with_columns(event=pl.lit(False)))
    scores = measured(flat, "event")
    assert value(scores, "tstr") == 0.5 and value(scores, "tstr_accuracy") > 0.5
    for metric in ("trts", "tsts", "tstr_precision"):
        assert scores[metric].status == "failed" and scores[metric].value is None, metric
    assert value(scores, "tstr_recall") == 0 and value(scores, "tstr_specificity") == 1  # it calls nobody


def test_a_constant_number_in_the_synthetic_rows() -> None:
    flat = with_rows(FRESH, FRESH.table.with_columns(pressure=pl.lit(130.0)))
    scores = measured(flat, "pressure")
    assert value(scores, "tstr") < 0.05 and scores["trts"].status == "failed"
    assert value(scores, "tstr_rmse") > (scores["tstr_rmse"].reference or 99)


def test_a_target_that_no_synthetic_row_has_fails_with_the_reason() -> None:
    empty = with_rows(FRESH, FRESH.table.with_columns(event=pl.lit(None, dtype=pl.Boolean)))
    for score in measured(empty, "event").scores:
        assert score.status == "failed" and "fewer than ten synthetic rows" in score.meaning


def test_one_class_in_train_or_in_the_holdout_is_not_measured() -> None:
    flat = with_rows(TRAIN, TRAIN.table.with_columns(event=pl.lit(True)))
    for sets in ({"train": flat}, {"holdout": replace(flat)}):
        for score in measured(FRESH, "event", **sets).scores:
            assert score.status == "not_applicable" and "fewer than two values" in score.meaning


def test_a_class_that_only_the_holdout_has() -> None:
    new = HOLDOUT.table.with_columns(
        site=pl.when(pl.int_range(pl.len()) < 30).then(pl.lit("D")).otherwise(pl.col("site"))
    )
    names = ("trts", "tstr_precision", "calibration", "importance_agreement", "augmentation_gain")
    for score in measured(FRESH, "site", names, holdout=with_rows(HOLDOUT, new)).scores:
        assert score.status == "measured", (score.metric, score.meaning)


def test_a_number_of_three_values_is_a_number_and_one_of_two_a_class() -> None:
    def grade(dataset: Dataset) -> Dataset:
        return with_rows(dataset, dataset.table.with_columns(age=(pl.col("age") // 25).clip(1, 3)))

    three = measured(grade(FRESH), "age", ("tstr_mae",), train=grade(TRAIN), holdout=grade(HOLDOUT))
    assert three["tstr_mae"].status == "measured" and value(three, "tstr_mae") < 1

    def old(dataset: Dataset) -> Dataset:
        return with_rows(dataset, dataset.table.with_columns(age=(pl.col("age") > 60).cast(pl.Int64)))

    two = measured(old(FRESH), "age", ("tstr_recall",), train=old(TRAIN), holdout=old(HOLDOUT))
    assert two["tstr_recall"].status == "measured" and two["tstr_recall"].params["positive"] == "1"


def test_more_than_twenty_classes_are_not_measured() -> None:
    many = table(
        {"x": ("number", [float(i) for i in range(100)]), "c": ("category", [f"c{i % 25}" for i in range(100)])}
    )
    for score in evaluate(many, many, many, target="c", seed=1, metrics=ALL).scores:
        assert score.status == "not_applicable" and "more than 20 classes" in score.meaning


def test_few_rows_of_a_class() -> None:
    tiny = [part.split(12 / N, seed=1)[0] for part in (TRAIN, HOLDOUT, FRESH)]
    for score in measured(tiny[2], "site", train=tiny[0], holdout=tiny[1]).scores:
        assert score.status in {"measured", "not_applicable", "failed"} and score.meaning


def test_the_target_alone_cannot_be_predicted() -> None:
    only = table({"c": ("category", ["a", "b"] * 20)})
    for score in evaluate(only, only, only, target="c", seed=1, metrics=ALL).scores:
        assert score.status == "not_applicable" and "no column to predict" in score.meaning


def test_classes_of_fewer_than_five_subjects_have_no_name() -> None:
    def rare(dataset: Dataset, k: int) -> Dataset:
        named = pl.when(pl.int_range(pl.len()) < k).then(pl.lit("zebra")).otherwise(pl.col("site"))
        return with_rows(dataset, dataset.table.with_columns(site=named))

    train, holdout = rare(TRAIN, 2), rare(HOLDOUT, 2)
    assert question_of(Comparison.of(train, holdout, FRESH), "site", 1).labels[-1] == RARE
    names = ("tstr", "tstr_accuracy", "calibration", "augmentation_gain")
    scores = measured(FRESH, "site", names, train=train, holdout=holdout)
    assert all(score.status == "measured" for score in scores.scores)
    assert "zebra" not in json.dumps(scores.to_dict())


def test_unmeasured_is_told_to_every_metric_that_asks() -> None:
    comparison = Comparison.of(TRAIN, HOLDOUT, with_rows(FRESH, FRESH.table[:5]))
    for _ in range(2):
        with pytest.raises(Unmeasured, match="fewer than ten"):
            question_of(comparison, "event", 1)


def test_a_score_has_plain_numbers(fresh: Evaluation) -> None:
    assert all(isinstance(one, Score) for one in fresh.scores)
    text = json.dumps(fresh.to_dict())
    assert "NaN" not in text and "Infinity" not in text
