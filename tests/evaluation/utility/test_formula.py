"""The language of formulas: what it reads, where it stops and what it says, and what it makes of columns."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from conftest import make_tidy_linked
from ehrsatz.dataset import Dataset
from ehrsatz.errors import ScenarioError
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.utility.design import POOLED, bind, check_formulas
from ehrsatz.evaluation.utility.formula import read_formula
from ehrsatz.evaluation.utility.glm import NoEstimate
from evaluation.tables import population, table


def labels(text: str) -> list[str]:
    return [":".join(one.label for one in term) for term in read_formula(text).terms]


def bound(text: str, real: Dataset, synthetic: Dataset | None = None):
    train, holdout = real.split(0.5, seed=1)
    comparison = Comparison.of(train, holdout, synthetic or holdout)
    design = bind(read_formula(text), comparison)
    return design, comparison


# ---------------------------------------------------------------------- reading
@pytest.mark.parametrize(
    "text, terms",
    [
        ("y ~ a", ["a"]),
        ("y~a+b", ["a", "b"]),
        ("y ~ a*b", ["a", "b", "a:b"]),
        ("y ~ a*b*c", ["a", "b", "c", "a:b", "a:c", "b:c", "a:b:c"]),
        ("y ~ a:b + c", ["c", "a:b"]),
        ("y ~ a + a + a:a", ["a"]),
        ("y ~ a:b + b:a", ["a:b"]),
        ("y ~ C(a):log(x)", ["C(a):log(x)"]),
        ("y ~ `odd name, %` + größe", ["odd name, %", "größe"]),
        ("y ~ d.time + patients.age", ["d.time", "patients.age"]),
        ("y ~ log + C", ["log", "C"]),  # columns may be called so
        ("y ~ a*b:c", ["a", "b:c", "a:b:c"]),
        ("  y ~\n a  ", ["a"]),
    ],
)
def test_terms(text: str, terms: list[str]) -> None:
    assert labels(text) == terms


def test_outcomes_and_intercept() -> None:
    assert read_formula("y ~ a").intercept
    assert not read_formula("y ~ a - 1").intercept
    assert not read_formula("y ~ 0 + a").intercept
    assert read_formula("y ~ -1 + a + 1").intercept
    assert read_formula("log(y) ~ a").outcome.kind == "log"
    assert read_formula("poisson(y) ~ a").model == "poisson"
    one = read_formula("Surv(t, `it died`) ~ a")
    assert (one.model, one.outcome.column, one.event.column, one.intercept) == ("survival", "t", "it died", False)


@pytest.mark.parametrize(
    "text, position, words",
    [
        ("", 1, "a column"),
        ("y", 2, "'~'"),
        ("y ~", 4, "a column"),
        ("y ~ 1", 6, "at least one column"),
        ("~ a", 1, "a column"),
        ("y ~ a +", 8, "a column"),
        ("y ~ a b", 7, "'b' stands there"),
        ("y ~ a ** 2", 8, "a column"),
        ("y ~ a ^ 2", 7, "'^' stands there"),
        ("y ~ (a + b)", 5, "a column"),
        ("y ~ I(a)", 5, "'I(' is none of them"),
        ("y ~ exp(a)", 5, "'exp(' is none of them"),
        ("y ~ __import__('os')", 16, "stands there"),
        ("y ~ log(a", 10, "')'"),
        ("y ~ log(log(a))", 12, "')'"),
        ("y ~ a - b", 9, "1 after '-'"),
        ("y ~ a + 2", 9, "0, 1 or a column"),
        ("y ~ `a", 5, "backtick"),
        ("y ~ a ~ b", 7, "'~' stands there"),
        ("y ~ a + y", 9, "other columns than the outcome's"),
        ("Surv(t) ~ a", 7, "','"),
        ("Surv(t, t) ~ a", 9, "two different columns"),
        ("Surv(t, e) ~ t", 14, "other columns"),
        ("C(y) ~ a", 1, "'C(' is none of them"),
        ("y ~ a; b", 6, "';' stands there"),
        ("y ~ " + " + ".join(f"a{i}" for i in range(600)), 2000, "at most 2,000 characters"),
    ],
)
def test_what_is_no_formula_is_refused_by_position(text: str, position: int, words: str) -> None:
    with pytest.raises(ScenarioError) as stop:
        read_formula(text)
    assert f"Character {position} of" in str(stop.value)
    assert words in str(stop.value)


# ---------------------------------------------------------------------- binding
def test_unknown_column_offers_the_nearest_by_position() -> None:
    words = r"Character 16 of 'weight ~ sex \+ presure': 'presure' is none of the 7 columns. Did you mean 'pressure'\?"
    with pytest.raises(ScenarioError, match=words):
        bound("weight ~ sex + presure", population(80, 1))


@pytest.mark.parametrize(
    "text, words",
    [
        ("weight ~ log(sex)", "Expected a number in log"),
        ("sqrt(site) ~ age", "Expected a number in sqrt"),
        ("site ~ age", "two levels, or a number.*'site' has 3 levels"),
        ("poisson(weight) ~ age", "whole numbers"),
        ("poisson(sex) ~ age", "counts as a number"),
        ("Surv(weight, age) ~ sex", "event column of 0 and 1"),
        ("Surv(site, event) ~ age", "duration as a number"),
    ],
)
def test_a_column_of_the_wrong_kind_is_refused(text: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        bound(text, population(80, 1))


def test_log_of_zero_and_negative_durations_are_counted() -> None:
    real = table(
        {
            "x": ("number", [0.0, 1.0] * 20),
            "t": ("number", [-1.0, 2.0, 3.0, 4.0] * 10),
            "e": ("boolean", [True, False] * 20),
            "y": ("number", [float(i) for i in range(40)]),
        }
    )
    with pytest.raises(ScenarioError, match="not above zero in 20 of 40 real rows"):
        bound("y ~ log(x)", real)
    bound("y ~ sqrt(x)", real)
    with pytest.raises(ScenarioError, match="negative in 10 of 40 real rows"):
        bound("Surv(t, e) ~ y", real)


@pytest.mark.parametrize(
    "text, model, names",
    [
        ("weight ~ age", "linear", ["Intercept", "age"]),
        ("weight ~ age - 1", "linear", ["age"]),
        ("event ~ age", "logistic", ["Intercept", "age"]),
        ("weight ~ event", "linear", ["Intercept", "event[true]"]),
        ("weight ~ event - 1", "linear", ["event[false]", "event[true]"]),
        ("weight ~ age:event", "linear", ["Intercept", "age:event[false]", "age:event[true]"]),
        ("weight ~ age*event", "linear", ["Intercept", "age", "event[true]", "age:event[true]"]),
        ("poisson(age) ~ weight", "poisson", ["Intercept", "weight"]),
        ("Surv(age, event) ~ weight", "hazards", ["weight"]),
    ],
)
def test_the_outcome_decides_the_model_and_terms_make_columns(text: str, model: str, names: list[str]) -> None:
    design, comparison = bound(text, population(200, 1))
    assert (design.model, list(design.names)) == (model, names)
    matrix = design.matrix(comparison, "train")
    assert matrix.x.shape == (len(matrix.y), len(names))


def test_the_reference_is_the_most_frequent_real_level_and_rare_ones_are_pooled() -> None:
    site = ["A"] * 30 + ["B"] * 50 + ["C", "D", "E", "F"] * 5 + ["lonely"]
    real = table({"site": ("category", site), "y": ("number", [float(i % 7) for i in range(len(site))])})
    synthetic = table({"site": ("category", ["A", "B", "never seen", None]), "y": ("number", [1.0, 2.0, 3.0, 4.0])})
    design, comparison = bound("y ~ site", real, synthetic)
    assert design.names == ("Intercept", "site[A]", f"site[{POOLED}]")
    assert "lonely" not in str(design.names)
    matrix = design.matrix(comparison, "synthetic")
    assert sorted(map(tuple, matrix.x.tolist())) == [(1, 0, 0), (1, 0, 1), (1, 1, 0)]  # B; never seen, pooled; A
    assert matrix.left_out == {"missing cells": 1}


def test_a_two_level_category_models_the_rarer_level() -> None:
    real = table({"dead": ("category", (["no"] * 3 + ["yes"]) * 20), "x": ("number", [float(i) for i in range(80)])})
    design, comparison = bound("dead ~ x", real)
    assert design.positive == "yes"
    assert design.matrix(comparison, "train").y.mean() < 0.5


def test_columns_match_an_independent_design() -> None:
    """Every product of levels spans the same space as patsy's full-rank coding would: rank equals columns."""
    real = population(300, 4)
    for text in (
        "weight ~ sex*site",
        "weight ~ sex:site",
        "weight ~ sex:site - 1",
        "weight ~ age + sex:age + site:sex:age",
    ):
        design, comparison = bound(text, real)
        x = design.matrix(comparison, "train").x
        assert np.linalg.matrix_rank(x) == x.shape[1], text


def test_linked_tables_take_the_parents_columns_along() -> None:
    real = make_tidy_linked(60)
    design, comparison = bound("pressure ~ age + type", real)
    matrix = design.matrix(comparison, "train")
    assert design.view == "visits"
    assert len(matrix.y) == comparison.datasets["train"].tables["visits"].height
    assert matrix.subjects < len(matrix.y)
    same, _ = bound("pressure ~ patients.age + visits.type", real)
    assert len(same.names) == len(design.names)


def test_a_parent_alone_stays_in_its_table() -> None:
    design, _ = bound("age ~ sex", make_tidy_linked(60))
    assert design.view == "patients"


def test_an_outcome_of_one_value_has_no_estimate() -> None:
    real = table({"y": ("boolean", [True] * 40), "x": ("number", [float(i) for i in range(40)])})
    with pytest.raises(NoEstimate, match="'y' has one value only"):
        bound("y ~ x", real)


def test_no_complete_row_has_no_estimate() -> None:
    real = table({"y": ("number", [1.0, None] * 20), "x": ("number", [None, 1.0] * 20)})
    with pytest.raises(NoEstimate, match="no row of train is complete"):
        bound("y ~ x", real)


def test_row_order_does_not_matter() -> None:
    real = population(100, 3)
    train, holdout = real.split(0.5, seed=1)
    turned = Dataset(train.schema, {"t": train.table[::-1]}, train.provenance)
    text = "event ~ age + site"
    first, second = (Comparison.of(one, holdout, holdout) for one in (train, turned))
    a, b = (bind(read_formula(text), one).matrix(one, "train") for one in (first, second))
    assert isinstance(turned.table, pl.DataFrame)
    assert np.array_equal(a.x, b.x) and np.array_equal(a.y, b.y)


def test_formulas_can_be_checked_before_anything_is_measured() -> None:
    train, holdout = population(80, 1).split(0.5, seed=1)
    comparison = Comparison.of(train, holdout, holdout)
    check_formulas(["weight ~ age", "event ~ sex"], comparison)
    check_formulas(["y ~ x"], Comparison.of(*[table({"y": ("boolean", [True] * 9), "x": ("number", [1.0] * 9)})] * 3))
    with pytest.raises(ScenarioError, match="Did you mean 'weight'"):
        check_formulas(["weight ~ age", "event ~ wieght"], comparison)
