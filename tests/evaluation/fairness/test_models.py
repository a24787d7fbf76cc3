"""Models by subgroup: rates by hand and against fairlearn, groups that cannot be tested, known unfair copies."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from fairlearn import metrics as fl

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.base import Metric, Score
from ehrsatz.evaluation.fairness.models import (
    DemographicParity,
    Divided,
    EqualisedOdds,
    EqualOpportunity,
    GroupCalibration,
    kept,
    rates_of,
)
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.evaluation.utility.trials import trials_of
from ehrsatz.seeds import stream
from ehrsatz.testing import check_metric
from evaluation.tables import population, shuffled, with_rows

ALL: tuple[type[Metric], ...] = (DemographicParity, EqualOpportunity, EqualisedOdds, GroupCalibration)
TASK = Task(target="event", groups=("site", "age"))


def biased(n: int, seed: int) -> Dataset:
    """Return people of whom one site has more events."""
    whole = population(n, seed)
    rng = stream(seed, "biased")
    more = pl.Series(rng.random(n) < 0.35)
    frame = whole.table.with_columns(event=pl.col("event") | ((pl.col("site") == "B") & more))
    return with_rows(whole, frame)


SHARED: dict[tuple[int, ...], tuple[Comparison, tuple[Dataset, ...]]] = {}
TRAIN, HOLDOUT, FRESH = (biased(500, seed) for seed in (1, 2, 3))


def scored(metric: type[Metric], synthetic: Dataset, task: Task = TASK, **sets: Dataset) -> Score:
    parts = (sets.get("train", TRAIN), sets.get("holdout", HOLDOUT), synthetic)
    key = tuple(id(one) for one in parts)
    if key not in SHARED:
        SHARED[key] = (Comparison.of(*parts), parts)  # the parts stay, so that no other takes their number
    return metric(task=task).compute_on(SHARED[key][0], seed=5)


# ---------------------------------------------------------------------- rates
def test_rates_by_hand() -> None:
    hit = np.array([True, False, True, True, False, False])
    called = np.array([True, True, False, True, False, True])
    p = np.array([0.9, 0.6, 0.4, 0.8, 0.2, 0.7])
    level = np.array([0, 0, 0, 1, 1, -1])  # the last row is of no group
    found = rates_of(hit, called, p, level, 2)
    assert found["called"] == pytest.approx([2 / 3, 1 / 2])
    assert found["found"] == pytest.approx([1 / 2, 1])
    assert found["alarmed"] == pytest.approx([1, 0])
    assert found["drift"] == pytest.approx([(1.9 - 2) / 3, (1.0 - 1) / 2])
    weighted = rates_of(hit, called, p, level, 2, np.array([2.0, 1, 0, 1, 1, 9]))
    assert weighted["called"] == pytest.approx([1, 1 / 2]) and weighted["found"] == pytest.approx([1, 1])
    assert np.isnan(rates_of(hit, called, p, level, 3)["called"][2])  # an empty group has no rate


@pytest.mark.parametrize("seed", range(20))
def test_differences_agree_with_fairlearn(seed: int) -> None:
    rng = stream(seed, "fair")
    n, g = 300, int(rng.integers(2, 6))
    level = rng.integers(0, g, n)
    hit = rng.random(n) < 0.4
    p = np.clip(0.4 * hit + rng.random(n) * 0.6 + 0.05 * level, 0, 1)
    called, w = p > 0.6, rng.integers(1, 4, n).astype(float)
    for weight in (None, w):
        found = {name: float(np.ptp(x)) for name, x in rates_of(hit, called, p, level, g, weight).items()}
        options = {"sensitive_features": level, "sample_weight": weight}
        assert found["called"] == pytest.approx(fl.demographic_parity_difference(hit, called, **options), abs=1e-6)
        assert found["found"] == pytest.approx(fl.equal_opportunity_difference(hit, called, **options), abs=1e-6)
        both = fl.equalized_odds_difference(hit, called, **options)
        assert max(found["found"], found["alarmed"]) == pytest.approx(both, abs=1e-6)
    frame = fl.MetricFrame(metrics=lambda y, s: (s - y).mean(), y_true=hit, y_pred=p, sensitive_features=level)
    told = frame.difference()
    assert float(np.ptp(rates_of(hit, called, p, level, g)["drift"])) == pytest.approx(told, abs=1e-6)


def test_a_score_is_fairlearns_figure_of_the_same_predictions() -> None:
    comparison = Comparison.of(TRAIN, HOLDOUT, FRESH)
    trials = trials_of(comparison, "event", 5)
    answers = [trials.answers[trials.best, side] for side in ("synthetic", "train")]
    view, site = comparison.locate("site")
    groups = view.samples["holdout"].codes[:, site.slot][trials.question.rows["holdout"]]
    task = Task(target="event", groups=("site",))
    for metric, told in (
        (DemographicParity, fl.demographic_parity_difference),
        (EqualOpportunity, fl.equal_opportunity_difference),
        (EqualisedOdds, fl.equalized_odds_difference),
    ):
        score = metric(task=task).compute_on(comparison, seed=5)
        k = trials.question.positive
        values = [told(one.y == k, one.called == k, sensitive_features=groups) for one in answers]
        assert (score.value, score.reference) == pytest.approx(values, abs=1e-6)


def test_groups_are_numbered_anew() -> None:
    one = kept(Divided("c", ("a", "b", "d"), np.array([0, 1, 2, -1, 2])), [0, 2])
    assert one.labels == ("a", "d") and one.level.tolist() == [0, -1, 1, -1, 1]


# ---------------------------------------------------------------------- known data
@pytest.mark.parametrize("metric", ALL)
def test_identical_data_score_as_the_reference(metric: type[Metric]) -> None:
    score = scored(metric, TRAIN)
    assert score.value == pytest.approx(score.reference) and score.interval is not None
    assert score.interval[0] <= score.value <= score.interval[1]


def test_a_copy_that_hides_a_groups_events_is_seen() -> None:
    """No event at site B among synthetic rows: a model learns to overlook its patients."""
    hidden = with_rows(FRESH, FRESH.table.with_columns(event=pl.col("event") & (pl.col("site") != "B")))
    task = Task(target="event", groups=("site",))
    for metric in (EqualOpportunity, EqualisedOdds, GroupCalibration):
        score, honest = scored(metric, hidden, task), scored(metric, FRESH, task)
        assert score.value is not None and honest.value is not None
        assert score.value > honest.value + 0.2, metric.name
    low = scored(EqualOpportunity, hidden, task)
    assert "of 'site = B'" in low.meaning
    groups = {one["group"]: one for one in low.details["columns"][0]["groups"]}
    assert groups["B"]["synthetic"]["found"] < 0.1 < groups["B"]["real"]["found"]


def test_unrelated_columns_treat_groups_alike_and_nobody_well() -> None:
    from evaluation.tables import unrelated

    alike = scored(DemographicParity, unrelated(FRESH))
    assert alike.value is not None and alike.reference is not None and alike.value < alike.reference


def test_more_classes_than_two() -> None:
    for metric in ALL:
        score = scored(metric, FRESH, Task(target="site", groups=("sex",)))
        assert score.status == "measured" and score.details["columns"][0]["class"] in {"A", "B", "C"}


def test_the_order_of_the_rows_changes_nothing() -> None:
    score = scored(EqualisedOdds, FRESH)
    again = scored(EqualisedOdds, shuffled(FRESH, 3), train=shuffled(TRAIN, 1), holdout=shuffled(HOLDOUT, 2))
    assert score.to_dict() == again.to_dict()
    json.dumps(score.to_dict(), allow_nan=False)


# ---------------------------------------------------------------------- what cannot be measured
@pytest.mark.parametrize("metric", ALL)
def test_what_cannot_be_measured_has_a_reason(metric: type[Metric]) -> None:
    number = scored(metric, FRESH, Task(target="pressure", groups=("site",)))
    assert number.status == "not_applicable" and "a number" in number.meaning
    nobody = scored(metric, FRESH, Task(target="event", groups=("event",)))
    assert nobody.status == "not_applicable" and "two subgroups" in nobody.meaning
    empty = with_rows(FRESH, FRESH.table.with_columns(event=pl.lit(None, dtype=pl.Boolean)))
    assert scored(metric, empty).status == "failed"


def test_groups_with_one_class_are_named_not_counted() -> None:
    def sure(dataset: Dataset) -> Dataset:
        always = pl.when(pl.col("site") == "C").then(True).otherwise(pl.col("event"))
        return with_rows(dataset, dataset.table.with_columns(event=always))

    task = Task(target="event", groups=("site",))
    score = scored(EqualisedOdds, sure(FRESH), task, train=sure(TRAIN), holdout=sure(HOLDOUT))
    assert {one["group"] for one in score.details["columns"][0]["groups"]} == {"A", "B"}
    assert any(one.startswith("site = C") for one in score.details["left_out"])
    whole = scored(DemographicParity, sure(FRESH), task, train=sure(TRAIN), holdout=sure(HOLDOUT))
    assert {one["group"] for one in whole.details["columns"][0]["groups"]} == {"A", "B", "C"}


def test_a_group_without_synthetic_rows_is_still_tested() -> None:
    gone = with_rows(FRESH, FRESH.table.filter(pl.col("site") != "B"))
    score = scored(EqualOpportunity, gone, Task(target="event", groups=("site",)))
    assert score.status == "measured"
    assert {one["group"] for one in score.details["columns"][0]["groups"]} == {"A", "B", "C"}


@pytest.mark.parametrize("metric", ALL[:1])
def test_contract(metric: type[Metric]) -> None:
    check_metric(metric(task=Task(target="event", groups=("site",))), population(300, 9))
