"""pMSE against statsmodels, its expectation by simulation, and what it finds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from ehrsatz.evaluation.fidelity.embedding import points
from ehrsatz.evaluation.fidelity.propensity import Propensity, _without, fitted, logistic, orthonormal, pmse
from ehrsatz.evaluation.space import Comparison
from ehrsatz.seeds import stream
from evaluation.fidelity.mixed import TABLES, compared
from evaluation.tables import population, shuffled, table


@pytest.mark.parametrize("shape", TABLES)
def test_agrees_with_statsmodels(shape: int) -> None:
    import statsmodels.api as sm
    from scipy.linalg import qr

    comparison = compared(shape, 150, shift=0.4 * (shape % 3))
    view = comparison.joint[0]
    real, made = (points(comparison, view, key, 1).x.astype(float) for key in ("holdout", "synthetic"))
    whole = sm.add_constant(np.concatenate([real, made]), has_constant="add")
    rank = np.linalg.matrix_rank(whole)
    x = whole[:, qr(whole, mode="r", pivoting=True)[1][:rank]]  # without columns that others imply
    y = np.repeat([0.0, 1.0], [len(real), len(made)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicted = sm.GLM(y, x, family=sm.families.Binomial()).fit(tol=1e-14, maxiter=100).predict(x)
    score = Propensity().compute_on(comparison, seed=1)
    assert score.value == pytest.approx(((predicted - 0.5) ** 2).mean(), abs=1e-6)
    assert score.params["coefficients"] == rank
    # Snoke et al. 2018, theorem 1
    paper, n, c = score.details["paper"], len(y), 0.5
    assert paper["expected"] == pytest.approx((rank - 1) * (1 - c) ** 2 * c / n)
    assert paper["standard_deviation"] == pytest.approx(np.sqrt(2 * (rank - 1)) * (1 - c) ** 2 * c / n)
    assert paper["standardised"] == pytest.approx((score.value - paper["expected"]) / paper["standard_deviation"])


def test_two_samples_of_one_population_score_as_expected() -> None:
    ratios, zs = [], []
    for seed in range(60):
        parts = [population(150, 5 * seed + i, gaps=False) for i in range(3)]
        found = fitted(comparison := Comparison.of(*parts), comparison.joint[0], "synthetic", seed)
        ratios.append(found.value / found.expected)
        zs.append((found.value - found.expected) / found.deviation)
    assert np.mean(ratios) == pytest.approx(1, abs=0.15)
    assert np.std(zs) == pytest.approx(1, abs=0.35)


def test_by_hand() -> None:
    """One yes or no: the fitted probabilities are the shares."""
    x = np.array([1.0] * 30 + [0.0] * 10 + [1.0] * 10 + [0.0] * 30)
    y = np.repeat([0.0, 1.0], 40)
    design = orthonormal(x[:, None])
    assert pmse(design, logistic(design, y), 0.5) == pytest.approx(0.25**2)
    design = orthonormal(np.column_stack([x, 2 * x, np.ones(80)]))
    assert design.shape[1] == 2  # what other columns imply is left out


def test_jackknife_step_is_near_the_refit() -> None:
    rng = stream(2, "refit")
    x = rng.normal(size=(400, 4))
    y = (rng.random(400) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    design = orthonormal(x)
    part = np.arange(400) % 10
    found = _without(design, y, logistic(design, y), part)
    for g in range(10):
        kept = part != g
        again = pmse(design[kept], logistic(design[kept], y[kept]), y[kept].mean())
        assert found[g] == pytest.approx(again, rel=0.02)


def test_apart_same_and_order() -> None:
    near = table({"x": ("integer", list(range(40))), "y": ("category", ["a", "b"] * 20)})
    far = table({"x": ("integer", list(range(100, 140))), "y": ("category", ["a", "b"] * 20)})
    assert Propensity().compute(near, near, far, seed=1).value == pytest.approx(0.25, abs=0.001)
    assert Propensity().compute(near, near, near, seed=1).value == pytest.approx(0, abs=1e-9)
    a, b, c = population(200, 1), population(200, 2), population(200, 3)
    score = Propensity().compute(a, b, c, seed=1)
    assert Propensity().compute(shuffled(a), shuffled(b), shuffled(c), seed=1).to_dict() == score.to_dict()
    assert score.interval[0] <= score.value <= score.interval[1]
    same = table({"x": ("integer", [3] * 30)})
    assert Propensity().compute(same, same, same, seed=1).status == "not_applicable"


def test_more_columns_than_rows() -> None:
    rng = stream(3, "wide")
    parts = [table({f"x{i}": ("number", rng.normal(size=50).tolist()) for i in range(120)}) for _ in range(3)]
    score = Propensity().compute(*parts, seed=1)
    assert score.params["coefficients"] == 10 and "mixtures" in score.params["model"]
    assert score.details["ratio"] < 4
