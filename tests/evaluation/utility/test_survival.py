"""Survival: curves and tests by hand and against lifelines, identical and unrelated data, and bad follow-up."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, SchemaError
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.evaluation.utility.hazards import ConcordanceGap, CoxHazardRatios, hazard_formulas
from ehrsatz.evaluation.utility.kaplan import distance, kaplan_meier, log_rank
from ehrsatz.evaluation.utility.survival import (
    Censoring,
    KaplanMeierDistance,
    LogRankTest,
    RestrictedMean,
    followups,
)
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream
from ehrsatz.testing import check_metric
from evaluation.tables import shuffled, table, unrelated

CURVES = (KaplanMeierDistance, RestrictedMean, LogRankTest, Censoring)
ALL = (*CURVES, CoxHazardRatios, ConcordanceGap)
TASK = Task(duration="days", event="died", groups=("sex",))


def cohort(n: int, seed: int, *, slower: float = 1.0, censor: float = 900.0, flag: str = "boolean") -> Dataset:
    """Return n patients followed for days, older ones dying earlier."""
    rng = stream(seed, "cohort")
    age = rng.normal(60, 10, n).round(1)
    sex = rng.choice(["F", "M"], n)
    stage = rng.choice(["I", "II", "III"], n, p=[0.5, 0.3, 0.2])
    rate = np.exp(0.05 * (age - 60) + 0.5 * (sex == "M") + 0.6 * (stage == "III")) / 400
    death, end = slower * rng.exponential(1 / rate), rng.exponential(censor, n)
    died = death <= end
    return table(
        {
            "age": ("number", age.tolist()),
            "sex": ("category", sex.tolist()),
            "stage": ("category", stage.tolist()),
            "days": ("integer", np.ceil(np.minimum(death, end)).astype(int).tolist()),
            "died": (flag, died.tolist() if flag == "boolean" else died.astype(int).tolist()),
        }
    )


def changed(data: Dataset, **columns) -> Dataset:
    return Dataset(data.schema, {"t": data.table.with_columns(**columns)}, data.provenance)


def score(metric, train, holdout, synthetic, task: Task = TASK):
    return metric(task=task).compute(train, holdout, synthetic, seed=1)


# ---------------------------------------------------------------------- by hand
DURATION, EVENT = np.array([1.0, 2, 2, 3, 5]), np.array([True, True, False, False, True])


def test_kaplan_meier_by_hand() -> None:
    curve = kaplan_meier(DURATION, EVENT)
    assert curve.time.tolist() == [1, 2, 5]
    assert curve.survival == pytest.approx([4 / 5, 4 / 5 * 3 / 4, 0])
    assert curve.at(np.array([0, 1, 1.5, 2, 4, 6])) == pytest.approx([1, 0.8, 0.8, 0.6, 0.6, 0])
    area, variance = curve.restricted_mean(4.0)
    assert area == pytest.approx(1 + 0.8 + 2 * 0.6)
    assert variance == pytest.approx((0.8 + 1.2) ** 2 / (5 * 4) + 1.2**2 / (4 * 3))


def test_distance_by_hand() -> None:
    a, b = kaplan_meier(np.array([1.0, 9]), np.array([True, False])), kaplan_meier(np.array([9.0]), np.array([False]))
    assert distance(a, b, 5.0) == pytest.approx((0.5 * 4 / 5, -0.5 * 4 / 5))
    assert distance(a, a, 5.0) == (0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_lifelines(seed: int) -> None:
    lifelines = pytest.importorskip("lifelines")
    from lifelines.statistics import logrank_test
    from lifelines.utils import restricted_mean_survival_time

    parts = [cohort(120, seed), cohort(90, seed + 100, slower=1.3)]
    (da, ea), (db, eb) = ((one.table["days"].to_numpy().astype(float), one.table["died"].to_numpy()) for one in parts)
    oracle = lifelines.KaplanMeierFitter().fit(da, ea)
    grid = np.linspace(0, 800, 60)
    curve = kaplan_meier(da, ea)
    np.testing.assert_allclose(curve.at(grid), oracle.survival_function_at_times(grid), atol=1e-10)
    area, variance = curve.restricted_mean(500.0)
    assert area == pytest.approx(restricted_mean_survival_time(oracle, t=500.0), rel=1e-6)
    assert variance > 0
    test, told = log_rank(da, ea, db, eb), logrank_test(da, db, ea, eb)
    assert test.statistic == pytest.approx(told.test_statistic, rel=1e-6)
    assert test.p == pytest.approx(told.p_value, rel=1e-6)


def test_the_variance_of_the_restricted_mean_is_that_of_further_samples() -> None:
    areas, variances = [], []
    for seed in range(200):
        frame = cohort(150, 1000 + seed).table
        area, variance = kaplan_meier(frame["days"].to_numpy().astype(float), frame["died"].to_numpy()).restricted_mean(
            400
        )
        areas.append(area)
        variances.append(variance)
    assert np.mean(variances) == pytest.approx(np.var(areas, ddof=1), rel=0.3)


def test_log_rank_without_events_tells_nothing() -> None:
    assert log_rank(np.ones(3), np.zeros(3, bool), np.ones(3), np.zeros(3, bool)) is None


# ---------------------------------------------------------------------- the metrics
@pytest.mark.parametrize("metric", ALL)
def test_identical_data_have_the_ideal_value(metric) -> None:
    train = cohort(300, 1)
    one = score(metric, train, cohort(300, 2), train)
    assert one.value == pytest.approx(metric.ideal, abs=1e-9)


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("flag", ["boolean", "integer"])
def test_contract(metric, flag: str) -> None:
    check_metric(metric(task=TASK), cohort(900, 3, flag=flag))


@pytest.mark.parametrize("metric", [CoxHazardRatios, ConcordanceGap])
def test_unrelated_columns_score_about_the_baseline(metric) -> None:
    train, holdout, further = (cohort(600, seed) for seed in (1, 2, 3))
    fair = score(metric, train, holdout, further)
    broken = [score(metric, train, holdout, unrelated(further, seed)).value for seed in range(8)]
    sign = 1 if metric.goal == "maximise" else -1
    assert sign * fair.value > max(sign * one for one in broken)
    assert np.mean(broken) == pytest.approx(fair.baseline, abs=0.08)


def test_longer_survival_is_seen_by_all_curves() -> None:
    train, holdout, slow = cohort(800, 1), cohort(800, 2), cohort(800, 3, slower=2.0)
    apart = score(KaplanMeierDistance, train, holdout, slow)
    assert apart.value > 4 * apart.reference and apart.interval[0] > apart.reference
    assert apart.details["optimism"] == pytest.approx(apart.value, abs=0.01)
    mean = score(RestrictedMean, train, holdout, slow)
    assert mean.value == pytest.approx(apart.details["optimism"]) and mean.interval[0] > 0
    test = score(LogRankTest, train, holdout, slow)
    assert test.value < 1e-6
    low, high = test.details["synthetic"]["interval"]
    assert low < 0.5 < high or abs(test.details["synthetic"]["hazard_ratio"] - 0.5) < 0.15
    assert {one["group"] for one in apart.details["groups"]} == {"sex = F", "sex = M"}


def test_other_censoring_is_seen_by_censoring_alone() -> None:
    train, holdout, early = cohort(800, 1), cohort(800, 2), cohort(800, 3, censor=150.0)
    one = score(Censoring, train, holdout, early)
    assert one.value > 0.2 > 3 * one.reference
    assert (
        score(RestrictedMean, train, holdout, early).interval[0]
        < 0
        < score(RestrictedMean, train, holdout, early).interval[1]
    )


def test_short_follow_up_is_seen() -> None:
    train, holdout = cohort(300, 1), cohort(300, 2)
    cut = pl.col("days") > 100
    short = changed(train, days=pl.when(cut).then(100).otherwise(pl.col("days")), died=pl.col("died") & ~cut)
    one = score(KaplanMeierDistance, train, holdout, short)
    assert one.details["short_sighted"] > 0.8
    assert one.details["curves"]["synthetic"][-1] is None


def test_curves_are_short_and_even_and_end_where_five_are_followed() -> None:
    train, holdout, further = (cohort(100, seed) for seed in (1, 2, 3))
    one = score(KaplanMeierDistance, train, holdout, further)
    curves = one.details["curves"]
    assert set(curves) == {"time", "train", "holdout", "synthetic"}
    assert len(curves["time"]) == 41 and curves["train"][0] == 1
    assert np.allclose(np.diff(curves["time"]), curves["time"][1])
    tau = one.params["tau"]
    assert (train.table["days"] >= tau).sum() >= 5 and (holdout.table["days"] >= tau).sum() >= 5
    assert float(f"{tau:.2g}") == tau  # nobody's own time
    assert len(json.dumps(one.to_dict())) < 6000


@pytest.mark.parametrize("metric", ALL)
def test_row_order_does_not_matter(metric) -> None:
    train, holdout, further = (cohort(200, seed) for seed in (1, 2, 3))
    first = score(metric, train, holdout, further)
    assert first.to_dict() == score(metric, shuffled(train), shuffled(holdout), shuffled(further)).to_dict()


# ---------------------------------------------------------------------- hazards
def test_hazard_ratios_take_all_usable_covariates_or_the_formulas_that_ask() -> None:
    train, holdout, further = (cohort(600, seed) for seed in (1, 2, 3))
    comparison = Comparison.of(train, holdout, further)
    assert hazard_formulas(comparison, TASK) == (("Surv(days, died) ~ age + sex + stage",), {})
    asked = Task(duration="days", event="died", formulas=("age ~ sex", "Surv(days, died) ~ age"))
    assert hazard_formulas(comparison, asked) == (("Surv(days, died) ~ age",), {})
    one = score(CoxHazardRatios, train, holdout, further)
    assert [row["term"] for row in one.details["formulas"][0]["coefficients"]] == [
        "age",
        one.details["formulas"][0]["coefficients"][1]["term"],
        "stage[II]",
        "stage[III]",
    ]
    real = one.details["formulas"][0]["coefficients"][0]["real"]
    assert real["low"] < 0.05 < real["high"]


def test_few_events_leave_covariates_out_by_name() -> None:
    train, holdout, further = (cohort(60, seed, censor=200.0) for seed in (1, 2, 3))
    one = score(CoxHazardRatios, train, holdout, further)
    assert one.params["left_out"]["stage"] == "fewer than 10 events for each column"


def test_no_covariate_is_not_measured() -> None:
    parts = []
    for seed in (1, 2, 3):
        data = cohort(100, seed)
        columns = tuple(one for one in data.schema.parent.columns if one.name in {"days", "died"})
        parts.append(
            Dataset(Schema("t", (Table("t", columns),)), {"t": data.table.select("days", "died")}, data.provenance)
        )
    for metric in (CoxHazardRatios, ConcordanceGap):
        one = score(metric, *parts, Task(duration="days", event="died"))
        assert one.status == "not_applicable" and "no covariate is left" in one.meaning


def test_concordance_is_that_of_lifelines() -> None:
    lifelines = pytest.importorskip("lifelines")
    train, holdout, further = (cohort(200, seed) for seed in (1, 2, 3))
    one = score(
        ConcordanceGap,
        train,
        holdout,
        further,
        Task(duration="days", event="died", formulas=("Surv(days, died) ~ age",)),
    )
    frame = train.table.select("age", "days", pl.col("died").cast(int)).to_pandas()
    model = lifelines.CoxPHFitter().fit(frame, "days", "died")
    told = model.score(holdout.table.select("age", "days", pl.col("died").cast(int)).to_pandas(), "concordance_index")
    assert one.details["trials"][0]["real"] == pytest.approx(told, abs=1e-9)


# ---------------------------------------------------------------------- bad follow-up
@pytest.mark.parametrize("metric", ALL)
def test_real_follow_up_that_is_none_is_bad_input(metric) -> None:
    train, holdout = cohort(100, 1), cohort(100, 2, flag="boolean")
    with pytest.raises(DataError, match="1 problem") as stop:
        score(
            metric,
            changed(train, days=pl.when(pl.int_range(pl.len()) < 3).then(-1).otherwise(pl.col("days"))),
            holdout,
            holdout,
        )
    assert stop.value.problems == ("train: 3 of 100 durations are negative",)
    counted = [changed(cohort(100, seed, flag="integer"), died=pl.col("died") * 2) for seed in (1, 2)]
    with pytest.raises(DataError) as stop:
        score(metric, *counted, counted[1])
    assert all("neither 0 nor 1" in problem for problem in stop.value.problems)
    with pytest.raises(SchemaError, match="none of the 5 columns"):
        score(metric, train, holdout, holdout, Task(duration="dayz", event="died"))


@pytest.mark.parametrize("metric", ALL)
def test_impossible_synthetic_times_are_left_out_and_counted(metric) -> None:
    train, holdout, further = (cohort(200, seed) for seed in (1, 2, 3))
    bad = pl.int_range(pl.len()) < 4
    odd = changed(further, days=pl.when(bad).then(-5).otherwise(pl.col("days")))
    one = score(metric, train, holdout, odd)
    rest = Dataset(further.schema, {"t": further.table[4:]}, further.provenance)
    assert one.value == pytest.approx(score(metric, train, holdout, rest).value, abs=1e-9)
    if metric in CURVES:
        assert one.params["left_out"] == {"synthetic, impossible": 4}


@pytest.mark.parametrize("metric", ALL)
def test_no_event_says_so(metric) -> None:
    train, holdout, further = (cohort(100, seed) for seed in (1, 2, 3))
    none = changed(further, died=pl.lit(False))
    one = score(metric, train, holdout, none)
    assert (one.status, one.value) == ("failed", None) and "no event" in one.meaning
    real = score(metric, changed(train, died=pl.lit(False)), holdout, further)
    assert real.status == "not_applicable" and "no event in train" in real.meaning


@pytest.mark.parametrize("metric", ALL)
def test_all_events_zero_times_and_missing_cells_are_measured(metric) -> None:
    parts = [cohort(150, seed) for seed in (1, 2, 3)]
    every = [changed(one, died=pl.lit(True)) for one in parts]
    assert score(metric, *every).status == "measured"
    zero = [changed(one, days=pl.when(pl.int_range(pl.len()) < 9).then(0).otherwise(pl.col("days"))) for one in parts]
    assert score(metric, *zero).status == "measured"
    gaps = [
        changed(one, days=pl.when(pl.int_range(pl.len()) % 7 == 0).then(None).otherwise(pl.col("days")))
        for one in parts
    ]
    assert score(metric, *gaps).status == "measured"


def test_a_date_is_no_duration() -> None:
    from conftest import make_tidy

    train, holdout = make_tidy(120).split(0.5, seed=1)
    with pytest.raises(DataError, match="as a number"):
        score(KaplanMeierDistance, train, holdout, holdout, Task(duration="discharged", event="smoker"))


def test_no_survival_task_is_not_measured() -> None:
    one = score(KaplanMeierDistance, *(cohort(60, seed) for seed in (1, 2, 3)), Task())
    assert one.meaning == "Not measured: no follow-up time and event were named."


def test_several_rows_for_each_subject_are_taken_together_or_refused() -> None:
    parts = []
    for seed in (1, 2, 3):
        data = cohort(150, seed)
        columns = (Column("who", "id", role="subject", disclosure="direct"), *data.schema.parent.columns)
        frame = data.table.select(pl.Series("who", [f"{seed}-{i // 2}" for i in range(150)]), pl.all())
        parts.append(Dataset(Schema("t", (Table("t", columns),)), {"t": frame}, data.provenance))
    assert followups(Comparison.of(*parts), TASK).sides["train"].is_grouped
    refused = score(LogRankTest, *parts)
    assert refused.status == "not_applicable" and "several rows" in refused.meaning
    for metric in (KaplanMeierDistance, RestrictedMean, CoxHazardRatios, ConcordanceGap):
        assert score(metric, *parts).status == "measured"
    table_ = score(CoxHazardRatios, *parts).details["formulas"][0]
    assert table_["standard_errors"] == "by subject"


@pytest.mark.slow
@pytest.mark.parametrize("name, duration, event", [("whas500", "lenfol", "fstat"), ("metabric", "duration", "event")])
def test_public_cohorts_are_measured(data_dir, name: str, duration: str, event: str) -> None:
    import ehrsatz

    train, holdout = ehrsatz.read(next((data_dir / name).glob("*.csv*"))).split(0.5, seed=1)
    further, rest = holdout.split(0.5, seed=2)
    for metric in ALL:
        one = score(metric, train, rest, further, Task(duration=duration, event=event))
        assert one.status == "measured", one.meaning
