"""The measures over coefficients: by hand, identical and unrelated data, copies, and what cannot be answered."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.errors import DataError, ScenarioError
from ehrsatz.evaluation.evaluate import evaluate
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.evaluation.utility import coefficients as co
from ehrsatz.evaluation.utility.estimates import (
    CoefficientBias,
    Estimate,
    IntervalOverlap,
    SameConclusion,
    SignAgreement,
    SignificanceAgreement,
)
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.testing import check_metric
from evaluation.tables import population, shuffled, table, unrelated

METRICS = (CoefficientBias, IntervalOverlap, SignAgreement, SignificanceAgreement, SameConclusion)
FORMULAS = ("pressure ~ age + sex + site", "event ~ age + log(weight)", "poisson(age) ~ pressure")
TASK = Task(formulas=FORMULAS)


def halves(n: int = 400, seed: int = 1) -> tuple[Dataset, Dataset, Dataset]:
    return tuple(population(n, seed + i) for i in range(3))


def with_column(data: Dataset, column: pl.Expr) -> Dataset:
    frame = data.table.with_columns(column)
    schema = Schema("t", (Table("t", (*data.schema.parent.columns, Column(frame.columns[-1], "number"))),))
    return Dataset(schema, {"t": frame}, data.provenance)


def side(estimate, reach, error=None) -> co.Side:
    estimate, reach = np.array(estimate, np.float64), np.array(reach, np.float64)
    k = len(estimate)
    error = reach / 2 if error is None else np.array(error, np.float64)
    return co.Side(estimate, error, reach, np.zeros((k, k)), reach, np.zeros(k), 10, 10)


def score(metric: type[Estimate], train: Dataset, holdout: Dataset, synthetic: Dataset, task: Task = TASK):
    return metric(task=task).compute(train, holdout, synthetic, seed=1)


# ---------------------------------------------------------------------- by hand
REAL = side([2, 2, 2, 1, 1, 1, 1], [1, 1, 1, 2, 2, 2, 2])
OTHER = side([2.5, -2, 1, 1.5, 4, -1, np.nan], [1, 1, 1.5, 2, 3, 2, np.nan])


def test_the_measures_by_hand() -> None:
    values = co.standardised(REAL, OTHER.estimate, OTHER)
    assert values[:6].tolist() == [1, 8, 2, 0.5, 3, 2] and np.isnan(values[6])
    shared = co.overlap(REAL, OTHER.estimate, OTHER)
    # [1, 3] and [1.5, 3.5]: 1.5 / 2; apart; [1, 3] and [-.5, 2.5]: (1.5/2 + 1.5/3) / 2; [-1, 3] and [-.5, 3.5]
    assert shared[:4] == pytest.approx([0.75, 0, 0.625, 0.875])
    assert shared[4:] == pytest.approx([(2 / 4 + 2 / 6) / 2, 0.5, 0])
    signs = co.same_sign(REAL, OTHER.estimate, OTHER)
    assert signs[:3].tolist() == [1, 0, 1] and np.isnan(signs[3:]).all()  # the last four show no effect in real rows
    assert co.same_sign(side([2], [1]), np.array([np.nan]), side([np.nan], [np.nan]))[0] == 0
    assert co.same_significance(REAL, OTHER.estimate, OTHER).tolist() == [True, True, False, True, False, True, False]
    assert co.same_conclusion(REAL, OTHER.estimate, OTHER).tolist() == [True, False, False, True, False, True, False]


def test_the_verdicts_in_words() -> None:
    assert [co.verdict(REAL, OTHER, i) for i in range(7)] == [
        "same conclusion",
        "reversed",
        "effect lost",
        "same conclusion",
        "effect invented",
        "same conclusion",
        "no estimate",
    ]
    assert co.verdict(side([2], [1]), side([0.9], [0.5]), 0) == "weaker"
    assert co.verdict(side([2], [1]), side([4], [0.5]), 0) == "stronger"
    assert co.verdict(side([1], [2]), side([4], [5]), 0) == "no effect in either, other size"


def test_a_far_coefficient_counts_as_far_and_not_more() -> None:
    assert co.standardised(side([0], [1]), np.array([1e9]), side([0], [1]))[0] == co.FAR


# ---------------------------------------------------------------------- identical, further, unrelated
@pytest.mark.parametrize("metric", METRICS)
def test_identical_data_have_the_ideal_value(metric) -> None:
    train, holdout, _ = halves()
    one = score(metric, train, holdout, train)
    assert one.value == pytest.approx(metric.ideal, abs=1e-9)
    assert one.interval[0] <= one.value <= one.interval[1]


@pytest.mark.parametrize("metric", METRICS)
def test_a_further_sample_scores_like_the_reference_and_unrelated_columns_like_the_baseline(metric) -> None:
    train, holdout, further = halves(1500)
    fair = score(metric, train, holdout, further)
    broken = np.mean([score(metric, train, holdout, unrelated(further, seed)).value for seed in range(8)])
    sign = 1 if metric.goal == "maximise" else -1
    assert sign * fair.value > sign * broken
    width = 0.2 if metric.goal == "maximise" else 1
    assert fair.value == pytest.approx(fair.reference, abs=2 * width)
    assert broken == pytest.approx(fair.baseline, abs=width)


@pytest.mark.parametrize("metric", METRICS)
def test_contract(metric) -> None:
    check_metric(metric(task=TASK), population(600, 5))


@pytest.mark.parametrize("metric", METRICS)
def test_row_order_does_not_matter(metric) -> None:
    train, holdout, further = halves()
    first = score(metric, train, holdout, further)
    again = score(metric, shuffled(train), shuffled(holdout, 1), shuffled(further, 2))
    assert first.to_dict() == again.to_dict()


def test_estimates_are_those_of_statsmodels() -> None:
    smf = pytest.importorskip("statsmodels.formula.api")
    train, holdout, further = halves()
    one = score(SameConclusion, train, holdout, further, Task(formulas=("event ~ age*sex + C(site)",)))
    rows = {row["term"]: row for row in one.details["formulas"][0]["coefficients"]}
    pandas = {
        key: data.table.with_columns(pl.col("event").cast(int)).to_pandas()
        for key, data in {"real": train, "synthetic": further}.items()
    }
    levels = one.details["formulas"][0]["references"]
    text = f"event ~ age*C(sex, Treatment('{levels['sex']}')) + C(site, Treatment('{levels['site']}'))"
    for key, frame in pandas.items():
        oracle = smf.logit(text, frame).fit(disp=0, tol=1e-12)
        assert rows["age"][key]["estimate"] == pytest.approx(oracle.params["age"], rel=1e-6)
        assert sorted(row[key]["estimate"] for row in rows.values()) == pytest.approx(
            sorted(oracle.params[1:]), rel=1e-6
        )
        if key == "real":
            assert sorted(row[key]["p"] for row in rows.values()) == pytest.approx(sorted(oracle.pvalues[1:]), rel=1e-6)


# ---------------------------------------------------------------------- size and copies
def test_more_synthetic_rows_do_not_pass_for_more_evidence() -> None:
    train, holdout, _ = halves()
    ten = Dataset(train.schema, {"t": pl.concat([train.table] * 10)}, train.provenance)
    assert score(IntervalOverlap, train, holdout, ten).value == pytest.approx(1, abs=0.01)


def test_copies_follow_the_plug_in_rule() -> None:
    train, holdout, _ = halves()
    parts = [population(400, 20 + i) for i in range(5)]
    whole = Dataset(train.schema, {"t": pl.concat([one.table for one in parts])}, train.provenance)
    text = "pressure ~ age + sex"
    one = score(SameConclusion, train, holdout, whole, Task(formulas=(text,), copies=5))
    assert (one.params["copies"], one.params["rule"]) == (5, "plug-in")
    row = one.details["formulas"][0]["coefficients"][0]
    singles = [score(SameConclusion, train, holdout, part, Task(formulas=(text,))) for part in parts]
    entries = [single.details["formulas"][0]["coefficients"][0]["synthetic"] for single in singles]
    assert row["synthetic"]["estimate"] == pytest.approx(np.mean([entry["estimate"] for entry in entries]))
    within = np.mean([((entry["high"] - entry["low"]) / 2) ** 2 for entry in entries])
    reach = (row["synthetic"]["high"] - row["synthetic"]["low"]) / 2
    assert reach == pytest.approx(np.sqrt(within * (1 + 1 / 5)), rel=1e-9)
    assert row["synthetic"]["population"] == pytest.approx([row["synthetic"]["low"], row["synthetic"]["high"]])


def test_one_copy_shows_its_interval_for_the_population_too() -> None:
    train, holdout, further = halves()
    row = score(SameConclusion, train, holdout, further).details["formulas"][0]["coefficients"][0]["synthetic"]
    reach = (row["high"] - row["low"]) / 2
    assert (row["population"][1] - row["population"][0]) / 2 == pytest.approx(reach * np.sqrt(2))  # u (k/n + 1), k = n


def test_subjects_that_are_no_multiple_of_the_copies_are_refused() -> None:
    train, holdout, further = halves()
    with pytest.raises(DataError, match="no multiple of 7"):
        score(SameConclusion, train, holdout, further, Task(formulas=FORMULAS, copies=7))
    with pytest.raises(DataError, match="no multiple of 7"):
        evaluate(train, holdout, further, task=Task(formulas=FORMULAS, copies=7), seed=1, metrics=["same_conclusion"])


# ---------------------------------------------------------------------- subjects with several rows
def visits(seed: int) -> Dataset:
    rng = np.random.Generator(np.random.Philox(seed))
    who = np.repeat(np.arange(60), 5)
    own = rng.normal(size=60)[who]
    x = rng.normal(size=60)[who]
    frame = pl.DataFrame({"id": [f"{seed}-{i}" for i in who], "x": x, "y": x + 2 * own + rng.normal(size=300)})
    columns = (Column("id", "id", role="subject", disclosure="direct"), Column("x", "number"), Column("y", "number"))
    train = population(5, 1)
    return Dataset(Schema("v", (Table("v", columns),)), {"v": frame}, train.provenance)


def test_standard_errors_are_by_subject_where_subjects_repeat() -> None:
    sm = pytest.importorskip("statsmodels.api")
    train = visits(1)
    one = score(SameConclusion, train, visits(2), visits(3), Task(formulas=("y ~ x",)))
    part = one.details["formulas"][0]
    assert part["standard_errors"] == "by subject"
    assert (part["subjects"]["real"], part["rows"]["real"]) == (60, 300)
    frame = train.table
    groups = frame["id"].rank("dense").to_numpy()
    oracle = sm.OLS(frame["y"].to_numpy(), sm.add_constant(frame["x"].to_numpy())).fit(
        use_t=True, cov_type="cluster", cov_kwds={"groups": groups}
    )
    real = part["coefficients"][0]["real"]
    assert [real["low"], real["high"]] == pytest.approx(oracle.conf_int()[1].tolist(), rel=1e-6)


# ---------------------------------------------------------------------- what cannot be answered
def test_a_wrong_formula_is_bad_input() -> None:
    with pytest.raises(ScenarioError, match="Did you mean 'age'"):
        score(SameConclusion, *halves(), Task(formulas=("pressure ~ agee",)))


def test_a_formula_that_real_rows_cannot_answer_is_named_and_the_others_count() -> None:
    train, holdout, further = (with_column(one, pl.lit(1.0).alias("same")) for one in halves())
    both = Task(formulas=("pressure ~ age", "same ~ age"))
    one = score(SameConclusion, train, holdout, further, both)
    assert one.params["formulas"] == 1
    assert one.details["unanswered"] == {"same ~ age": "the outcome 'same' has one value only"}
    alone = score(SameConclusion, train, holdout, further, Task(formulas=("same ~ age",)))
    assert alone.status == "not_applicable" and "one value only" in alone.meaning


def test_one_level_in_synthetic_counts_as_no_agreement() -> None:
    train, holdout, further = halves()
    one_site = Dataset(further.schema, {"t": further.table.with_columns(pl.lit("A").alias("site"))}, further.provenance)
    task = Task(formulas=("pressure ~ age + site",))
    one = score(SameConclusion, train, holdout, one_site, task)
    rows = {row["term"]: row for row in one.details["formulas"][0]["coefficients"]}
    assert rows["site[B]"]["verdict"] == "no estimate" and rows["site[B]"]["reason"] == "no row has it"
    assert rows["site[B]"]["synthetic"] is None
    assert one.value <= 1 / 3
    assert score(IntervalOverlap, train, holdout, one_site, task).value <= 1 / 3
    assert (
        score(CoefficientBias, train, holdout, one_site, task).status == "measured"
    )  # of the coefficient that is there


def test_one_class_in_synthetic_fails_with_the_reason() -> None:
    train, holdout, further = halves()
    flat = Dataset(further.schema, {"t": further.table.with_columns(pl.lit(True).alias("event"))}, further.provenance)
    for metric in METRICS:
        one = score(metric, train, holdout, flat, Task(formulas=("event ~ age",)))
        assert (one.status, one.value) == ("failed", None)
        assert "the outcome has one value only" in one.meaning


def test_separation_in_the_real_rows_is_said() -> None:
    rows = {"x": ("number", [float(i) for i in range(60)]), "y": ("boolean", [i >= 30 for i in range(60)])}
    train = table(rows)
    one = score(SameConclusion, train, train, train, Task(formulas=("y ~ x",)))
    assert one.status == "not_applicable" and "separation" in one.meaning


def test_collinear_columns_are_named_and_left_out() -> None:
    parts = [with_column(one, (pl.col("age") * 12.0).alias("months")) for one in halves()]
    one = score(SameConclusion, *parts, Task(formulas=("pressure ~ age + months",)))
    assert one.details["formulas"][0]["dropped"] == {"months": "follows from the columns before it"}
    assert [row["term"] for row in one.details["formulas"][0]["coefficients"]] == ["age"]


def test_signs_are_not_measured_where_the_real_data_show_no_effect() -> None:
    one = score(SignAgreement, *halves(), Task(formulas=("weight ~ sex",)))
    assert one.status == "not_applicable" and "no coefficient is significant" in one.meaning


def test_no_formula_is_not_measured() -> None:
    assert score(SameConclusion, *halves(), Task()).meaning == "Not measured: no formula was named."


def test_missing_cells_are_left_out_and_counted() -> None:
    train, holdout, further = halves()
    one = score(SameConclusion, train, holdout, further, Task(formulas=("sugar ~ weight",)))
    part = one.details["formulas"][0]
    missing = train.table["sugar"].null_count()
    assert missing and part["left_out"]["real"] == {"missing cells": missing}
    assert part["rows"]["real"] == train.n_subjects - missing


def test_details_hold_at_most_200_coefficients_and_are_plain() -> None:
    train, holdout, further = halves(900)
    many = tuple(f"pressure ~ {name} + site*age*weight*sex" for name in ("age", "weight", "event", "sugar")) * 4
    formulas = tuple(
        dict.fromkeys(f"{text} + {extra}" for text in many for extra in ("sex", "site", "age", "log(weight)"))
    )
    one = score(SameConclusion, train, holdout, further, Task(formulas=formulas))
    shown = sum(len(part["coefficients"]) for part in one.details["formulas"])
    assert shown == co.MAX_SHOWN < one.params["coefficients"]
    json.dumps(one.to_dict())


def test_several_metrics_fit_once() -> None:
    comparison = Comparison.of(*halves())
    for metric in METRICS:
        metric(task=TASK).compute_on(comparison, seed=1)
    assert len([key for key in comparison.memo if key[0] == "formula"]) == len(FORMULAS)


def test_linked_tables_and_their_copies() -> None:
    from conftest import make_tidy_linked

    train, rest = make_tidy_linked(240).split(0.5, seed=1)
    holdout, synthetic = rest.split(0.5, seed=1)
    task = Task(formulas=("pressure ~ age + type",), copies=2)
    one = score(SameConclusion, train, holdout, synthetic, task)
    part = one.details["formulas"][0]
    assert part["standard_errors"] == "by subject"
    assert part["subjects"]["synthetic"] == synthetic.tables["visits"]["patient_id"].n_unique()
    rows = {row["term"]: row for row in part["coefficients"]}
    assert rows["age"]["real"]["low"] < 0.5 < rows["age"]["real"]["high"]
    assert rows["age"]["synthetic"]["low"] < 0.5 < rows["age"]["synthetic"]["high"]
