"""Shares of subgroups: by hand, against statsmodels, lost groups, pairs of groups, repeated subjects."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportions_ztest

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.fairness.representation import (
    LogDisparity,
    Representation,
    Share,
    adjusted,
    disparities,
    shares_of,
    two_proportions,
)
from ehrsatz.evaluation.fairness.subjects import divisions_of, parts_of
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.provenance import Provenance
from ehrsatz.schema import Column, Schema, Table
from ehrsatz.seeds import stream
from ehrsatz.testing import check_metric
from evaluation.tables import population, shuffled, table, unrelated, with_rows

TASK = Task(groups=("sex", "site"))
TRAIN, HOLDOUT, FRESH = (population(600, seed) for seed in (1, 2, 3))


def people(f: int, m: int) -> Dataset:
    return table({"sex": ("category", ["F"] * f + ["M"] * m), "x": ("number", [float(i) for i in range(f + m)])})


# ---------------------------------------------------------------------- by hand
def test_shares_by_hand() -> None:
    real, made = people(60, 40), people(30, 70)
    score = Representation(task=Task(groups=("sex",))).compute(real, people(50, 50), made, seed=1)
    assert score.value == pytest.approx(0.2)  # 30 % against 50 %
    assert score.reference == pytest.approx(0.1)
    groups = {one["group"]: (one["real"], one["synthetic"]) for one in score.details["groups"]}
    assert groups == {"sex = F": (0.5, 0.3), "sex = M": (0.5, 0.7)}
    disparity = LogDisparity(task=Task(groups=("sex",))).compute(real, people(50, 50), made, seed=1)
    assert disparity.value == pytest.approx(math.log(7 / 3))
    p = proportions_ztest([30, 50], [100, 100])[1]
    assert [one["p"] for one in disparity.details["groups"]] == pytest.approx([p, p], abs=1e-6)
    assert disparity.reference == 0  # 60 % against 50 % of a hundred is no significant difference
    assert disparity.details["counts"] == {"over-represented": 1, "under-represented": 1}


def test_the_log_odds_by_hand() -> None:
    assert Share(20, 100, 1.0).log_odds == pytest.approx(math.log(0.25))
    assert Share(0, 100, 1.0).log_odds == pytest.approx(math.log(0.5 / 100.5))
    assert Share(20, 100, 2.0).log_odds_variance == pytest.approx(2 * (1 / 20 + 1 / 80))


@pytest.mark.parametrize("seed", range(20))
def test_tests_and_adjustment_agree_with_statsmodels(seed: int) -> None:
    rng = stream(seed, "proportions")
    pairs = []
    for _ in range(12):
        n, m = int(rng.integers(30, 400)), int(rng.integers(30, 400))
        pairs.append((Share(int(rng.integers(1, n)), n, 1.0), Share(int(rng.integers(1, m)), m, 1.0)))
    p = [two_proportions(a, b) for a, b in pairs]
    told = [proportions_ztest([a.hits, b.hits], [a.n, b.n])[1] for a, b in pairs]
    assert p == pytest.approx(told, abs=1e-6)
    assert adjusted(np.array(p)) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-6)
    found = disparities([{"synthetic": a, "holdout": b} for a, b in pairs], "synthetic")
    odds = [math.log((a.value / (1 - a.value)) / (b.value / (1 - b.value))) for a, b in pairs]
    assert [one.value for one in found] == pytest.approx(odds, abs=1e-6)


# ---------------------------------------------------------------------- known data
def test_identical_data_score_zero() -> None:
    for metric in (Representation, LogDisparity):
        score = metric(task=TASK).compute(TRAIN, HOLDOUT, HOLDOUT, seed=1)
        assert score.value == 0 and score.status == "measured"
    same = Representation(task=TASK).compute(TRAIN, HOLDOUT, TRAIN, seed=1)
    assert same.value == pytest.approx(same.reference)


def test_few_false_alarms_on_further_real_samples() -> None:
    wrong = 0
    for seed in range(20):
        parts = [population(300, 500 + 3 * seed + i, gaps=False) for i in range(3)]
        score = LogDisparity(task=Task(groups=("sex", "site", "age"))).compute(*parts, seed=1)
        wrong += score.value != 0
    assert wrong <= 3


def test_a_group_that_vanished_is_named_and_has_a_number() -> None:
    gone = with_rows(FRESH, FRESH.table.filter(pl.col("site") != "C"))
    score = LogDisparity(task=TASK).compute(TRAIN, HOLDOUT, gone, seed=1)
    assert "site = C" in score.details["vanished"]
    assert score.value is not None and 3 < score.value < 10
    entry = next(one for one in score.details["groups"] if one["group"] == "site = C")
    assert entry["standing"] == "vanished" and entry["synthetic"] == 0
    share = Representation(task=TASK).compute(TRAIN, HOLDOUT, gone, seed=1)
    assert "site = C" in share.meaning and share.details["vanished"] == ["site = C"]
    json.dumps(score.to_dict(), allow_nan=False)


def test_a_pair_is_found_where_single_groups_are_right() -> None:
    """Women at site A and men elsewhere: each share alone is right."""
    rng = stream(4, "pairs")
    sex = np.repeat(["F", "M"], 300)
    crossed = table(
        {
            "sex": ("category", sex.tolist()),
            "site": ("category", np.where(sex == "F", "A", "B").tolist()),
            "x": ("number", rng.normal(size=600).tolist()),
        }
    )
    free = table(
        {
            "sex": ("category", sex.tolist()),
            "site": ("category", np.tile(["A", "B"], 300).tolist()),
            "x": ("number", rng.normal(size=600).tolist()),
        }
    )
    assert Representation(task=TASK).compute(free, free, crossed, seed=1).value == 0
    score = LogDisparity(task=TASK).compute(free, free, crossed, seed=1)
    assert score.value is not None and score.value > 1
    assert set(score.details["vanished"]) == {"sex = F and site = B", "sex = M and site = A"}


def test_columns_drawn_independently_keep_single_shares() -> None:
    score = Representation(task=TASK).compute(TRAIN, HOLDOUT, unrelated(FRESH), seed=1)
    assert score.value == Representation(task=TASK).compute(TRAIN, HOLDOUT, FRESH, seed=1).value


def test_the_target_makes_no_group_and_too_few_columns_are_told() -> None:
    parts = parts_of(
        divisions_of(Comparison.of(TRAIN, HOLDOUT, FRESH), Task(target="sex", groups=("sex", "site"))), pairs=True
    )
    assert {one.columns for one in parts} == {("site",)}
    for metric in (Representation, LogDisparity):
        score = metric(task=Task(target="sex", groups=("sex",))).compute(TRAIN, HOLDOUT, FRESH, seed=1)
        assert score.status == "not_applicable" and "two subgroups" in score.meaning


def test_pairs_need_twenty_real_rows_in_each_half() -> None:
    tiny = [part.split(70 / 600, seed=1)[0] for part in (TRAIN, HOLDOUT)]
    parts = parts_of(divisions_of(Comparison.of(*tiny, FRESH), TASK), pairs=True)
    assert all(min(one.rows[key].sum() for key in ("train", "holdout")) >= 20 for one in parts)


def test_the_order_of_the_rows_changes_nothing() -> None:
    for metric in (Representation, LogDisparity):
        one = metric(task=TASK).compute(TRAIN, HOLDOUT, FRESH, seed=1)
        other = metric(task=TASK).compute(shuffled(TRAIN, 1), shuffled(HOLDOUT, 2), shuffled(FRESH, 3), seed=1)
        assert one.to_dict() == other.to_dict()


# ---------------------------------------------------------------------- repeated subjects
def repeated(n: int, rows: int, name: str) -> Dataset:
    rng = stream(1, "repeated", name)
    sex = np.repeat(rng.choice(["F", "M"], n), rows)
    frame = pl.DataFrame(
        {"id": np.repeat([f"{name}{i}" for i in range(n)], rows), "sex": sex, "x": rng.normal(size=n * rows)}
    )
    columns = (Column("id", "id", role="subject"), Column("sex", "category"), Column("x", "number"))
    return Dataset(Schema("r", (Table("r", columns),)), {"r": frame}, Provenance("real"))


def test_ten_rows_of_one_subject_count_as_one() -> None:
    comparison = Comparison.of(*(repeated(200, 10, name) for name in "abc"))
    parts = parts_of(divisions_of(comparison, Task(groups=("sex",))), pairs=False)
    share = shares_of(parts[0])["synthetic"]
    assert share.design == pytest.approx(10, rel=0.02)
    few = Share(share.hits // 10, share.n // 10, 1.0)
    assert share.log_odds_variance == pytest.approx(few.log_odds_variance, rel=0.02)


@pytest.mark.parametrize("metric", [Representation, LogDisparity])
def test_contract(metric: type) -> None:
    check_metric(metric(task=Task(groups=("sex", "site"))), population(300, 9))
