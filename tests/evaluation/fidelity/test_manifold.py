"""Alpha-precision, beta-recall and authenticity against plain loops over the paper's definitions."""

from __future__ import annotations

import numpy as np
import pytest

from ehrsatz.evaluation.fidelity.embedding import INDEPENDENT, nearest_points, points, squared_distances
from ehrsatz.evaluation.fidelity.manifold import (
    NEIGHBOURS,
    AlphaPrecision,
    Authenticity,
    BetaRecall,
    Ellipsoid,
    alpha_shares,
    beta_shares,
    integrated,
)
from ehrsatz.evaluation.space import Comparison
from ehrsatz.seeds import stream
from evaluation.fidelity.mixed import TABLES, compared
from evaluation.tables import population, shuffled, table, unrelated, with_rows

METRICS = (AlphaPrecision, BetaRecall, Authenticity)


def distance(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sqrt(((x.astype(float) - y.astype(float)) ** 2).sum()))


def alpha_by_hand(real: list[float], made: list[float]) -> float:
    """Integrated over the levels at which a real row enters the support; shares inside in place of nominal levels."""
    gaps = []
    for radius in real:
        level = sum(r <= radius for r in real) / len(real)
        gaps.append(abs(sum(s <= radius for s in made) / len(made) - level))
    return max(0.0, 1 - 2 * sum(gaps) / len(gaps))


def beta_by_hand(real: np.ndarray, made: np.ndarray, k: int) -> float:
    centre = made.astype(float).mean(axis=0)
    from_centre = [distance(row, centre) for row in made]
    gaps = []
    for radius in from_centre:
        level = sum(r <= radius for r in from_centre) / len(made)
        reached = 0
        for i, row in enumerate(real):
            near = [distance(row, other) for other in made]
            nearest = int(np.argmin(near))
            own = sorted(distance(row, other) for j, other in enumerate(real) if j != i)[min(k, len(real) - 1) - 1]
            reached += near[nearest] <= own + 1e-6 and from_centre[nearest] <= radius
        gaps.append(abs(reached / len(real) - level))
    return max(0.0, 1 - 2 * sum(gaps) / len(gaps))


def authenticity_by_hand(train: np.ndarray, made: np.ndarray) -> float:
    hits = 0
    for row in made:
        away = [distance(row, other) for other in train]
        nearest = int(np.argmin(away))
        own = min(distance(train[nearest], other) for j, other in enumerate(train) if j != nearest)
        hits += away[nearest] > own + 1e-6
    return hits / len(made)


@pytest.mark.parametrize("shape", TABLES)
def test_agrees_with_the_definitions(shape: int) -> None:
    comparison = compared(shape, 24, shift=shape % 3)
    view = comparison.joint[0]
    x = {key: points(comparison, view, key, 1).x for key in ("train", "holdout", "synthetic")}
    rng = stream(shape, "radii")
    real, made = rng.random(30).round(shape % 3 + 1), rng.random(25).round(shape % 3 + 1)
    assert integrated(*alpha_shares(real, made)) == pytest.approx(alpha_by_hand(list(real), list(made)), abs=1e-9)
    if len(np.unique(x["synthetic"], axis=0)) == 24:  # of equal rows either may be the nearest
        found = BetaRecall().compute_on(comparison, seed=1).value
        assert found == pytest.approx(beta_by_hand(x["holdout"], x["synthetic"], NEIGHBOURS), abs=1e-6)
    found = Authenticity().compute_on(comparison, seed=1).value
    assert found == pytest.approx(authenticity_by_hand(x["train"], x["synthetic"]), abs=1e-6)


def test_beta_is_tested_on_several_tables() -> None:
    made = [compared(shape, 24) for shape in TABLES]
    assert sum(len(np.unique(points(c, c.joint[0], "synthetic", 1).x, axis=0)) == 24 for c in made) > 8


def test_alpha_curve_without_ties_is_the_papers() -> None:
    """The paper's nominal levels, at alpha = 1/n, ..., n/n: the radius is the i-th smallest."""
    rng = stream(1, "paper")
    real, made = rng.random(50), rng.random(40) ** 2
    paper = 1 - 2 * np.mean([abs((made <= r).mean() - (i + 1) / 50) for i, r in enumerate(sorted(real))])
    assert integrated(*alpha_shares(real, made)) == pytest.approx(paper, abs=1e-12)


def test_the_supports_are_ellipsoids_of_the_regularised_covariance() -> None:
    rng = stream(5, "ellipsoid")
    x = rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4))
    covariance = np.cov(x.T, bias=True)
    covariance += 0.1 * np.trace(covariance) / 4 * np.eye(4)
    apart = x - x.mean(axis=0)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", apart, np.linalg.inv(covariance), apart))
    assert Ellipsoid.learn(x).radius(x) == pytest.approx(expected)


def test_by_hand() -> None:
    levels, shares = alpha_shares(np.array([1.0, 2, 3, 4]), np.array([0.5, 0.5, 5, 5]))
    assert list(levels) == [0.25, 0.5, 0.75, 1]
    assert list(shares) == [0.5, 0.5, 0.5, 0.5]
    assert integrated(levels, shares) == pytest.approx(1 - 2 * (0.25 + 0 + 0.25 + 0.5) / 4)
    levels, shares = beta_shares(np.array([True, False]), np.array([1.0, 2]), np.array([1.0, 2]))
    assert list(levels) == [0.5, 1] and list(shares) == [0.5, 0.5]


def test_same_unrelated_and_copies() -> None:
    a, b, c = population(400, 1), population(400, 2), population(400, 3)
    fresh = {m.name: m().compute(a, b, c, seed=1) for m in METRICS}
    mixed = {m.name: m().compute(a, b, unrelated(c), seed=1) for m in METRICS}
    copied = {m.name: m().compute(a, b, with_rows(a, a.table), seed=1) for m in METRICS}
    assert fresh["alpha_precision"].value > 0.88 and mixed["alpha_precision"].value < 0.75
    assert fresh["beta_recall"].value > mixed["beta_recall"].value + 0.05
    assert AlphaPrecision().compute(a, b, b, seed=1).value == 1
    assert copied["authenticity"].value == 0
    assert fresh["authenticity"].value == pytest.approx(fresh["authenticity"].reference, abs=0.1)
    assert mixed["authenticity"].value > fresh["authenticity"].value
    for name, score in fresh.items():
        assert score.baseline == pytest.approx(mixed[name].value, abs=0.1), name
        assert score.interval[0] <= score.value <= score.interval[1]


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_authenticity_falls_with_the_share_of_copies(share: float) -> None:
    a, b, c = population(400, 1), population(400, 2), population(400, 3)
    n = int(400 * share)
    planted = with_rows(a, a.table.head(n), c.table.tail(400 - n))
    expected = (1 - share) * Authenticity().compute(a, b, c, seed=1).value
    assert Authenticity().compute(a, b, planted, seed=1).value == pytest.approx(expected, abs=0.04)


def test_order_of_rows() -> None:
    a, b, c = population(120, 1), population(120, 2), population(120, 3)
    for metric in METRICS:
        one = metric().compute(a, b, c, seed=1)
        assert metric().compute(shuffled(a), shuffled(b), shuffled(c), seed=1).to_dict() == one.to_dict()


def test_tables_without_variety() -> None:
    same = table({"x": ("integer", [3] * 30), "y": ("category", ["a"] * 30)})
    gone = table({"x": ("integer", [None] * 30), "y": ("category", [None] * 30)})
    for one in (same, gone):
        comparison = Comparison.of(one, one, one)
        for metric in METRICS:
            score = metric().compute_on(comparison, seed=1)
            assert score.status == "measured" and 0 <= score.value <= 1
    assert Authenticity().compute(same, same, same, seed=1).value == 0  # every row equals a training row


# ---------------------------------------------------------------------- the space
def test_nearest_points_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = stream(2, "points")
    a, b = rng.normal(size=(37, 5)), rng.normal(size=(41, 5))
    plain = np.array([[distance(x, y) for y in b] for x in a])
    monkeypatch.setattr("ehrsatz.evaluation.fidelity.embedding._PAIRS", 100)
    for k in (1, 4):
        far, place = nearest_points(a, b, k)
        assert far == pytest.approx(np.sort(plain, axis=1)[:, k - 1], abs=1e-9)
        assert (place == plain.argmin(axis=1)).all()
    own, _ = nearest_points(b[[3, 5]], b, itself=np.array([3, 5]))
    for found, row in zip(own, (3, 5)):
        assert found == pytest.approx(min(distance(b[row], y) for j, y in enumerate(b) if j != row))
    assert nearest_points(a, a)[0].max() == 0  # equal rows are exactly equal
    assert squared_distances(a, b) == pytest.approx(plain**2)


def test_wide_tables_are_projected_and_keep_their_distances() -> None:
    rng = stream(3, "wide")
    n, d = 60, 400
    parts = [table({f"x{i}": ("number", rng.normal(size=n).tolist()) for i in range(d)}) for _ in range(3)]
    comparison = Comparison.of(*parts)
    view = comparison.joint[0]
    short = points(comparison, view, "holdout", 1)
    assert short.projected and short.x.shape == (n, 256)
    from ehrsatz.evaluation.learners import linear_matrix

    whole = linear_matrix(view, short.sample)
    ratio = (
        squared_distances(short.x.astype(float), short.x.astype(float))[np.triu_indices(n, 1)]
        / (squared_distances(whole, whole)[np.triu_indices(n, 1)])
    )
    assert 0.95 < np.sqrt(ratio).mean() < 1.05 and np.sqrt(ratio).std() < 0.08
    assert (points(comparison, view, INDEPENDENT, 1).x != points(comparison, view, "train", 1).x).any()
