"""Membership attacks: parts by hand and against SciPy, the triple that whole records miss, exposure."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.evidence.planted import KEPT, cases, dataset, patients
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score, roc_curve

from ehrsatz.evaluation.privacy.domias import Domias
from ehrsatz.evaluation.privacy.exposure import GroupExposure, OutlierExposure
from ehrsatz.evaluation.privacy.kernel import components, log_density
from ehrsatz.evaluation.privacy.membership import ATTACKS, Membership, MembershipTpr, close_by, found_at
from ehrsatz.evaluation.privacy.structures import structure
from ehrsatz.evaluation.privacy.subset import MembershipSubset
from ehrsatz.evaluation.space import Comparison
from ehrsatz.evaluation.task import Task
from ehrsatz.seeds import stream
from evaluation.tables import population, shuffled

METRICS = (Membership, MembershipTpr, Domias, MembershipSubset, OutlierExposure, GroupExposure)


def compared(case: str, seed: int = 1, n: int = 1000) -> Comparison:
    rng = stream(seed, "membership test", case)
    train, holdout = patients(n, rng), patients(n, rng)
    return Comparison.of(dataset(train), dataset(holdout), dataset(cases(train, n, rng)[case][1]()))


@pytest.mark.parametrize("d", [1, 3, 6])
def test_kernel_density_agrees_with_scipy(d: int) -> None:
    rng = stream(d, "kde")
    data, x = rng.normal(size=(150, d)) @ rng.normal(size=(d, d)), rng.normal(size=(60, d))
    assert log_density(data, x) == pytest.approx(stats.gaussian_kde(data.T).logpdf(x.T), rel=1e-6, abs=1e-6)


def test_components_hold_the_variance() -> None:
    rng = stream(1, "pca")
    known = rng.normal(size=(300, 5)) * np.array([5, 3, 1e-6, 0, 1])
    mean, turn = components(known, 8)
    assert mean == pytest.approx(known.mean(axis=0)) and turn.shape == (5, 2)  # 25 + 9 of 35 is above 95 %


def test_rows_close_by_against_all_pairs() -> None:
    rng = stream(2, "monte carlo")
    x, made = rng.normal(size=(50, 3)).astype(np.float32), rng.normal(size=(80, 3)).astype(np.float32)
    d = cdist(x, made)
    expected = np.where(d <= 0.9, np.log(0.9 / np.maximum(d, 0.9e-3)), 0).sum(axis=1)
    assert close_by(x, made, 0.9) == pytest.approx(expected, abs=1e-3)


def test_members_found_at_a_false_alarm_rate() -> None:
    rng = stream(3, "roc")
    y, s = rng.random(400) < 0.5, np.round(rng.normal(size=400), 1)
    s[y] += 0.5
    down, up, _ = roc_curve(y, s, drop_intermediate=False)
    for rate in (0.01, 0.1, 0.5):
        assert found_at(y, s, rate) == pytest.approx(np.interp(rate, down, up), abs=1e-9)
    assert found_at(np.array([True, True, False, False]), np.array([2.0, 2.0, 1.0, 1.0]), 0.01) == 1
    assert found_at(np.array([True, False]), np.array([0.0, 0.0]), 0.01) == pytest.approx(0.01)  # ties: guessing


def test_copies_are_found_by_every_named_attack() -> None:
    comparison = compared("100 % copies", n=600)
    score = Membership().compute_on(comparison, seed=1)
    reached = {one["attack"]: one["auc"] for one in score.details["attacks"]}
    assert set(reached) == set(ATTACKS)
    assert reached[ATTACKS[0]] > 0.99 and reached[ATTACKS[1]] > 0.99 and reached[ATTACKS[2]] > 0.9
    assert reached[ATTACKS[3]] > 0.75
    assert score.reference is not None and score.reference < 0.6
    assert MembershipTpr().compute_on(comparison, seed=1).value > 0.95
    assert Domias().compute_on(comparison, seed=1).value == pytest.approx(reached[ATTACKS[3]])


@pytest.mark.parametrize("metric", METRICS)
def test_strangers_are_not_found(metric: type) -> None:
    score = metric().compute_on(compared("further sample", 2), seed=1)
    assert score.value is not None and score.interval is not None
    limit = 0.045 if metric is MembershipTpr else 0.62 if metric in {OutlierExposure, GroupExposure} else 0.56
    assert score.value < limit


def test_a_kept_triple_is_missed_by_records_and_found_in_three_columns() -> None:
    comparison = compared("age, bmi, sbp kept, the rest redrawn", 3)
    whole = Membership().compute_on(comparison, seed=1)
    some = MembershipSubset().compute_on(comparison, seed=1)
    assert whole.value < 0.62 and some.value > 0.8
    assert {name for one in some.details["columns"] for name in one} == set(KEPT)


def test_outliers_lie_farthest_from_others() -> None:
    comparison = compared("further sample", 4, 400)
    base = structure(comparison, comparison.joint[0], 1)
    assert base.own[base.outlier].min() >= base.own[~base.outlier].max()
    assert base.outlier.mean() == pytest.approx(0.05, abs=0.01)


def test_a_copied_region_is_the_most_exposed() -> None:
    score = GroupExposure().compute_on(compared("one region copied, the others fresh", 5), seed=1)
    assert score.details["worst"] == "region = F" and score.details["p"] < 0.01
    assert score.value > score.reference > 0.5
    assert score.value == pytest.approx(
        max(one["auc"] for one in score.details["groups"] if one["group"] == "region = F")
    )


def test_copied_outliers_are_exposed() -> None:
    rng = stream(6, "exposed")
    train, holdout, fresh = patients(1000, rng), patients(1000, rng), patients(1000, rng)
    comparison = Comparison.of(dataset(train), dataset(holdout), dataset(fresh))
    base = structure(comparison, comparison.joint[0], 1)
    honest = OutlierExposure().compute_on(comparison, seed=1)
    some = np.flatnonzero(base.outlier)
    expected = roc_auc_score(base.pool.is_train[some], base.pull[some])
    assert honest.value == pytest.approx(expected)
    copied = OutlierExposure().compute(dataset(train), dataset(holdout), dataset(train), seed=1)
    assert copied.value == 1 and copied.details["others"] > 0.99


@pytest.mark.parametrize("metric", METRICS)
def test_the_order_of_rows_does_not_matter(metric: type) -> None:
    a, b, c = population(310, 1), population(300, 2), population(210, 3)
    task = Task(groups=("sex", "site"))
    one = metric(task=task).compute(a, b, c, seed=5).to_dict()
    assert one["status"] == "measured"
    assert metric(task=task).compute(shuffled(a, 1), shuffled(b, 2), shuffled(c, 3), seed=5).to_dict() == one


def test_too_few_people_are_said_to_be_too_few() -> None:
    a, b, c = population(12, 1), population(12, 2), population(12, 3)
    for metric in (MembershipTpr, MembershipSubset, OutlierExposure, GroupExposure):
        score = metric().compute(a, b, c, seed=1)
        assert score.status == "not_applicable" and score.value is None and score.meaning
