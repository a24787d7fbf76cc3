"""Maximum mean discrepancy against plain loops, features against the exact kernel, and its test."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.dataset import Dataset
from ehrsatz.evaluation.fidelity import mmd
from ehrsatz.evaluation.fidelity.embedding import points, squared_distances
from ehrsatz.evaluation.fidelity.mmd import Mmd, discrepancy, fourier, median_distance
from ehrsatz.evaluation.space import Comparison
from ehrsatz.seeds import stream
from evaluation.fidelity.mixed import TABLES, compared
from evaluation.tables import population, shuffled, table, unrelated


def by_hand(real: np.ndarray, made: np.ndarray) -> float:
    """Gretton et al. 2012, lemma 6, with the median heuristic on real rows."""
    real, made = real.astype(float), made.astype(float)
    apart = [np.linalg.norm(real[i] - real[j]) for i in range(len(real)) for j in range(i + 1, len(real))]
    width = float(np.median(apart))

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.exp(-((x - y) ** 2).sum() / (2 * width**2)))

    n, m = len(real), len(made)
    within = sum(k(real[i], real[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    other = sum(k(made[i], made[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    across = sum(k(x, y) for x in real for y in made) / (n * m)
    return within + other - 2 * across


@pytest.mark.parametrize("shape", TABLES)
def test_agrees_with_the_definition(shape: int) -> None:
    comparison = compared(shape, 24, shift=shape % 3)
    view = comparison.joint[0]
    x = {key: points(comparison, view, key, 1).x for key in ("train", "holdout", "synthetic")}
    score = Mmd().compute_on(comparison, seed=1)
    if score.status == "not_applicable":
        assert median_distance(x["holdout"]) == 0
        return
    assert score.value == pytest.approx(by_hand(x["holdout"], x["synthetic"]), abs=1e-6)
    assert score.reference == pytest.approx(by_hand(x["holdout"], x["train"]), abs=1e-6)


def test_the_jackknife_leaves_out_what_it_says() -> None:
    comparison = compared(1, 30, shift=1.0)
    view = comparison.joint[0]
    found = discrepancy(comparison, view, "synthetic", 1)
    x = {key: points(comparison, view, key, 1) for key in ("holdout", "synthetic")}
    both = np.concatenate([x["holdout"].x, x["synthetic"].x]).astype(float)
    width = median_distance(x["holdout"].x)
    kernel = np.exp(-squared_distances(both, both) / (2 * width**2))
    sums = mmd._Sums(kernel, None, kernel.diagonal())
    side = np.repeat([0, 1], 30)
    part = np.arange(30) % 4
    for g, value in enumerate(sums.without(side, 1, part)):
        kept = np.r_[np.ones(30, bool), part != g]
        few = mmd._Sums(kernel[np.ix_(kept, kept)], None, np.ones(kept.sum()))
        assert value == pytest.approx(few.unbiased(side[kept][:, None] == 1)[0], abs=1e-12)
    assert len(found.without[0]) == len(found.without[1]) == 20


def test_features_come_near_the_exact_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = stream(4, "features")
    x = rng.normal(size=(60, 6))
    features = fourier(x, stream(5, "features"), 4000)
    assert features @ features.T == pytest.approx(np.exp(-squared_distances(x, x) / 2), abs=0.05)
    for seed in range(5):
        comparison = compared(3, 300, shift=1.5)
        view = comparison.joint[0]
        exact = discrepancy(comparison, view, "synthetic", seed)
        monkeypatch.setattr(mmd, "EXACT_ROWS", 10)
        quick = discrepancy(comparison, view, "synthetic", seed)
        monkeypatch.undo()
        assert exact.exact and not quick.exact
        assert quick.value == pytest.approx(exact.value, rel=0.2)
        assert quick.without[0] == pytest.approx(exact.without[0], rel=0.25)
        assert quick.p == exact.p


def test_unbiased_and_the_test_keeps_its_level() -> None:
    values, ps = [], []
    for seed in range(40):
        parts = [population(60, 3 * seed + i, gaps=False) for i in range(3)]
        score = Mmd().compute(*parts, seed=seed)
        values.append(score.value)
        ps.append(score.details["p_value"])
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(40)
    assert np.mean(np.array(ps) <= 0.05) <= 0.15
    assert np.mean(np.array(ps) <= 0.5) == pytest.approx(0.5, abs=0.25)


def test_finds_what_differs() -> None:
    a, b, c = population(500, 1), population(500, 2), population(500, 3)
    fresh, mixed = (Mmd().compute(a, b, one, seed=1) for one in (c, unrelated(c)))
    assert mixed.value > fresh.value and mixed.details["p_value"] < 0.01
    assert fresh.details["p_value"] > 0.05
    assert mixed.value == pytest.approx(mixed.baseline, abs=0.004)
    assert fresh.interval[0] <= fresh.value <= fresh.interval[1]
    assert Mmd().compute(shuffled(a), shuffled(b), shuffled(c), seed=1).to_dict() == fresh.to_dict()


def test_no_overlap_and_no_variety() -> None:
    near = table({"x": ("integer", list(range(40)))})
    far = table({"x": ("integer", [None] * 39 + [1000])})
    assert Mmd().compute(near, near, far, seed=1).value > 0.3
    same = table({"x": ("integer", [3] * 30)})
    score = Mmd().compute(same, same, same, seed=1)
    assert score.status == "not_applicable" and "equal" in score.meaning


def test_subjects_are_permuted_whole(visits: Dataset) -> None:
    train, rest = visits.split(1 / 3, seed=1)
    holdout, further = rest.split(0.5, seed=1)
    comparison = Comparison.of(train, holdout, further)
    group = points(comparison, comparison.joint[0], "holdout", 1).group
    masks = mmd._permuted(group, np.zeros(len(group), np.int64) + (group > 2), stream(1, "permuted"))
    for one in np.unique(group):
        assert (masks[group == one] == masks[group == one][0]).all()
