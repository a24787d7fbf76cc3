"""Singling out, linkability, inference and correct attribution: by hand, copies, strangers, signs, dates, gaps."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from benchmarks.evidence.planted import dataset, patients

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.privacy.attacks import Trial, quasi_columns, targets, worst
from ehrsatz.evaluation.privacy.inference import Inference, Tcap, right
from ehrsatz.evaluation.privacy.linkability import Linkability, deal, meet
from ehrsatz.evaluation.privacy.singling import Columns, Condition, SinglingOut, isolates
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream
from evaluation.tables import population, shuffled, table, with_rows

ATTACKS = (SinglingOut, Linkability, Inference)


# ---------------------------------------------------------------------- risk
def test_risk_by_hand() -> None:
    one = Trial("a", (100, 100, 100), (60, 20, 5))
    assert one.rates == (0.6, 0.2, 0.05)
    assert one.risk == pytest.approx(0.5)  # (0.6 - 0.2) / (1 - 0.2)
    low, high = one.interval()
    assert 0.3 < low < 0.5 < high < 0.65
    assert one.interval(20)[0] < low and one.interval(20)[1] > high
    assert Trial("b", (100, 100, 100), (10, 30, 0)).risk == 0  # the control is attacked better
    assert Trial("c", (50, 50, 50), (50, 50, 50)).interval()[1] <= 1


def test_interval_covers_the_true_risk() -> None:
    inside = 0
    for seed in range(300):
        rng = stream(seed, "cover")
        one = Trial("a", (500, 500, 0), (int(rng.binomial(500, 0.44)), int(rng.binomial(500, 0.3)), 0))
        low, high = one.interval()
        inside += low <= 0.2 <= high
    assert inside >= 275  # 0.95 of 300 is 285


def test_the_worst_attack_is_the_surest() -> None:
    sure, lucky = Trial("sure", (2000, 2000, 0), (400, 200, 0)), Trial("lucky", (12, 12, 0), (6, 3, 0))
    assert worst([lucky, sure]) is sure


def test_one_row_of_each_subject_is_attacked() -> None:
    frame = pl.DataFrame({"id": ["a"] * 5 + ["b"] + ["c"] * 3, "x": list(range(9))})
    schema = Schema("v", (Table("v", (Column("id", "id", role="subject"), Column("x", "integer"))),))
    one = Dataset(schema, {"v": frame}, population(1, 1).provenance)
    empty = Dataset(schema, {"v": frame.clear()}, one.provenance)
    view = Comparison.of(one, empty, one).joint[0]
    rows = targets(view, "train", 10, stream(1, "targets"))
    assert sorted(view.samples["train"].group[rows].tolist()) == [0, 1, 2]


# ---------------------------------------------------------------------- singling out
def test_predicates_by_hand() -> None:
    one = table(
        {
            "lab": ("number", [-5.0, -1.0, 0.0, 3.0, None]),
            "day": ("date", [date(1950, 1, 1) + timedelta(days=i) for i in range(5)]),
            "sex": ("category", ["F", "F", "M", "M", "M"]),
        }
    )
    view = Comparison.of(one, one, one).views[0]
    lab, day, sex = view.features
    sample = Columns.of(view.features, view.samples["train"])
    female = float(sex.levels.index("F") + 1)
    assert Condition(lab, "<=", -1.0).holds(sample).sum() == 2  # missing is not small
    assert Condition(lab, ">=", -1.0).holds(sample).sum() == 3
    assert isolates((Condition(lab, "missing", 0.0),), sample)
    assert isolates((Condition(lab, "=", 0.0),), sample)
    assert not isolates((Condition(lab, "<=", -1.0),), sample)
    assert isolates((Condition(lab, "<=", -1.0), Condition(sex, "=", female), Condition(lab, ">=", -2.0)), sample)
    assert not isolates((Condition(lab, "<=", -9.0),), sample)
    first = float(sample.cells[day].min())
    assert first < 0 and isolates((Condition(day, "<=", first),), sample)  # before 1970


def test_isolating_counts_subjects() -> None:
    frame = pl.DataFrame({"id": ["a", "a", "b"], "x": [1, 1, 2]})
    schema = Schema("v", (Table("v", (Column("id", "id", role="subject"), Column("x", "integer"))),))
    one = Dataset(schema, {"v": frame}, population(1, 1).provenance)
    other = Dataset(schema, {"v": frame.with_columns(id=pl.Series(["c", "d", "e"]))}, one.provenance)
    view = Comparison.of(one, other, one).joint[0]
    x = view.features[0]
    train, holdout = (Columns.of((x,), view.samples[key]) for key in ("train", "holdout"))
    assert isolates((Condition(x, "=", 1.0),), train)  # two rows of one subject
    assert not isolates((Condition(x, "=", 1.0),), holdout)


# ---------------------------------------------------------------------- all three
@pytest.mark.parametrize("metric", ATTACKS)
def test_copies_are_at_risk_and_strangers_are_not(metric: type) -> None:
    rng = stream(3, "three")
    train, holdout, fresh = (patients(1200, rng) for _ in range(3))
    part = pl.concat([train[:360], fresh[360:]])
    made = [metric().compute(dataset(train), dataset(holdout), dataset(rows), seed=1) for rows in (fresh, part, train)]
    assert made[0].value <= 0.1 and made[0].interval[0] <= 0.02
    assert 0.12 < made[1].value < 0.5 and made[1].interval[0] > 0.08
    assert made[2].value > 0.95 and made[2].interval[0] > 0.85
    assert all(0 <= one.baseline <= 0.1 for one in made)  # guesses do no better on training subjects than on others
    assert all(one.n == 1200 for one in made)


@pytest.mark.parametrize("metric", [*ATTACKS, Tcap])
def test_the_order_of_rows_does_not_matter(metric: type) -> None:
    a, b, c = population(90, 1), population(80, 2), population(70, 3)
    task = Task(quasi=("age", "sex", "site"), secrets=("event", "sugar"))
    one = metric(task=task).compute(a, b, c, seed=5).to_dict()
    assert metric(task=task).compute(shuffled(a, 1), shuffled(b, 2), shuffled(c, 3), seed=5).to_dict() == one


def test_what_all_share_cannot_be_attacked() -> None:
    one = table({"a": ("category", ["x"] * 30), "b": ("number", [None] * 30)})
    for metric in ATTACKS:
        assert metric().compute(one, one, one, seed=1).status == "not_applicable"


# ---------------------------------------------------------------------- linkability
def test_linking_by_hand() -> None:
    a = np.array([[1, 2], [3, 4], [5, 6]])
    b = np.array([[2, 9], [9, 8], [6, 5]])
    assert meet(a, b).tolist() == [True, False, True]


def test_columns_are_dealt_in_turn_by_the_number_of_values() -> None:
    one = population(200, 1)
    view = Comparison.of(one, one, one).views[0]
    first, second = deal(view, view.features)
    assert not set(first) & set(second) and len(first) + len(second) == len(view.features)
    assert abs(len(first) - len(second)) <= 1


# ---------------------------------------------------------------------- inference
def test_right_guesses_by_hand() -> None:
    truth = table(
        {
            "lab": ("number", [-100.0, -100.0, 0.0, 50.0, None, None]),
            "sex": ("category", ["F", "M", None, "F", "F", "M"]),
        }
    )
    guess = table(
        {
            "lab": ("number", [-98.0, 98.0, 1.0, None, None, 3.0]),
            "sex": ("category", ["F", "F", None, None, "F", "M"]),
        }
    )
    view = Comparison.of(truth, truth, guess).views[0]
    a, b = (view.samples[key] for key in ("train", "synthetic"))
    lab, sex = view.features
    # the rows of a view are sorted: bring both back to one order by hand is needless, compare as sets of pairs
    order_a, order_b = np.lexsort((a.codes[:, 0], a.raw[:, 0])), np.lexsort((b.codes[:, 0], b.raw[:, 0]))
    assert len(order_a) == len(order_b) == 6
    one = table({"lab": ("number", [-100.0]), "sex": ("category", ["F"])})
    for stated, expected in ((-98.0, True), (98.0, False), (None, False)):
        other = table({"lab": ("number", [stated]), "sex": ("category", ["M"])})
        wide = Comparison.of(truth, one, other).views[0]
        assert right(wide, lab, wide.samples["holdout"], wide.samples["synthetic"]).tolist() == [expected]
        assert right(wide, sex, wide.samples["holdout"], wide.samples["synthetic"]).tolist() == [False]
    gone = table({"lab": ("number", [None]), "sex": ("category", [None])})
    both = Comparison.of(truth, gone, gone).views[0]
    assert right(both, lab, both.samples["holdout"], both.samples["synthetic"]).all()
    assert right(both, sex, both.samples["holdout"], both.samples["synthetic"]).all()


def test_negative_numbers_are_no_sure_hits() -> None:
    rng = stream(5, "signed")

    def draw(n: int) -> Dataset:
        return table(
            {
                "x": ("number", rng.normal(size=n).tolist()),
                "balance": ("number", (-100 + 30 * rng.normal(size=n)).tolist()),
            }
        )

    train, holdout, fresh = draw(600), draw(600), draw(600)
    score = Inference(task=Task(secrets=("balance",))).compute(train, holdout, fresh, seed=1)
    rates = score.details["attacks"][0]
    assert rates["main"] < 0.15 and rates["control"] < 0.15  # a twentieth of the spread on both sides


def test_dates_are_inferred_as_days() -> None:
    rng = stream(6, "days")
    n = 300
    born = [date(1920, 1, 1) + timedelta(days=int(d)) for d in rng.integers(0, 30_000, n)]
    key = rng.normal(size=n).tolist()
    train = table({"x": ("number", key), "born": ("date", born)})
    shift = table({"x": ("number", rng.normal(size=n).tolist()), "born": ("date", list(reversed(born)))})
    score = Inference(task=Task(secrets=("born",))).compute(train, shift, train, seed=1)
    assert score.value is not None and score.value > 0.9


def test_attribution_by_hand() -> None:
    # quasi 0..9, ten subjects each; the synthetic rows state "a" for even classes and disagree in odd ones
    quasi = [i % 10 for i in range(100)]
    train = table({"q": ("category", [f"c{x}" for x in quasi]), "s": ("category", ["a"] * 80 + ["b"] * 20)})
    holdout = table({"q": ("category", [f"c{x}" for x in quasi]), "s": ("category", ["b"] * 60 + ["a"] * 40)})
    made = table(
        {
            "q": ("category", [f"c{x}" for x in range(10)] * 2),
            "s": ("category", ["a"] * 10 + ["a" if x % 2 == 0 else "b" for x in range(10)]),
        }
    )
    score = Tcap(task=Task(quasi=("q",), secrets=("s",))).compute(train, holdout, made, seed=1)
    assert score.value == pytest.approx(0.8) and score.reference == pytest.approx(0.4)
    assert score.n == 20 and score.params["attributions"] == 50 and score.baseline == pytest.approx(0.8)
    assert score.details["excess"] == pytest.approx(0.4)


def test_columns_are_found_by_name_or_by_class() -> None:
    one = dataset(patients(20, stream(1, "few")))
    view = Comparison.of(one, one, one).views[0]
    assert [f.name for f in quasi_columns(view, Task())] == ["age", "sex", "region"]
    assert [f.name for f in quasi_columns(view, Task(quasi=("patients.bmi", "sbp")))] == ["bmi", "sbp"]


def test_without_named_secrets_every_column_is_tried() -> None:
    a, b, c = population(60, 1), population(60, 2), population(60, 3)
    score = Inference().compute(a, b, c, seed=1)
    assert score.status == "measured" and score.params["secrets"] == "every column"


def test_two_tables_are_attacked_with_the_parents_columns() -> None:
    one = with_rows(population(40, 1), population(40, 2).table)
    assert SinglingOut().compute(one, population(40, 3), replace(one), seed=1).value > 0.5
