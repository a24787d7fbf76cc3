"""Ratios, identifiability and adversarial accuracy against all pairs of rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from ehrsatz.evaluation.privacy.distances import (
    Identifiability,
    Nnaa,
    Nndr,
    clustered_error,
    entropy_weights,
)
from ehrsatz.evaluation.privacy.neighbours import embed, points
from ehrsatz.evaluation.space import Comparison
from evaluation.tables import population, shuffled, table

NAMES = ("train", "holdout", "synthetic")


def pairs(full: dict[str, np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
    out = {}
    for a in NAMES:
        for b in NAMES:
            d = cdist(full[a], full[b])
            if a == b:
                np.fill_diagonal(d, np.inf)
            out[a, b] = d
    return out


@pytest.mark.parametrize("seed", range(20))
def test_agreement_with_all_pairs(seed: int) -> None:
    parts = [population(60, 3 * seed + i) for i in range(3)]
    comparison = Comparison.of(*parts)
    view = comparison.views[0]
    d = pairs({key: one.full for key, one in points(comparison, view).items()})
    near = {pair: one.min(axis=1) for pair, one in d.items()}

    def accuracy(key: str) -> float:
        real = (near[key, "synthetic"] > near[key, key]).mean()
        return (real + (near["synthetic", key] > near["synthetic", "synthetic"]).mean()) / 2

    score = Nnaa().compute_on(comparison, seed=1)
    assert score.value == pytest.approx(accuracy("holdout") - accuracy("train"), abs=1e-9)
    ratios = {}
    for key in ("train", "holdout"):
        two = np.sort(d["synthetic", key], axis=1)[:, :2]
        ratios[key] = (two[:, 0] / two[:, 1]).mean()
    score = Nndr().compute_on(comparison, seed=1)
    assert score.value == pytest.approx(ratios["holdout"] - ratios["train"], abs=1e-5)
    weighted = embed(view, view.features, entropy_weights(view))
    d = pairs({key: one.full for key, one in weighted.items()})
    share = {k: (d[k, "synthetic"].min(axis=1) < d[k, k].min(axis=1)).mean() for k in ("train", "holdout")}
    score = Identifiability().compute_on(comparison, seed=1)
    assert score.value == pytest.approx(share["train"] - share["holdout"], abs=1e-9)


@pytest.mark.parametrize("metric, least", [(Nndr, 0.7), (Nnaa, 0.4), (Identifiability, 0.35)])
def test_copies_score_high_and_strangers_zero(metric: type, least: float) -> None:
    a, b, c = population(400, 1), population(400, 2), population(400, 3)
    copy, fresh = (metric().compute(a, b, made, seed=1) for made in (a, c))
    assert copy.value > least and copy.interval[0] > least - 0.1
    assert fresh.interval[0] <= 0 <= fresh.interval[1] or abs(fresh.value) < 0.08
    assert metric().compute(a, b, shuffled(c), seed=1).to_dict() == fresh.to_dict()


def test_entropy_weights_by_hand() -> None:
    one = table(
        {
            "even": ("category", ["x", "y"] * 8),
            "rare": ("category", ["x"] * 15 + ["y"]),
            "fixed": ("category", ["x"] * 16),
        }
    )
    view = Comparison.of(one, one, one).views[0]
    even, rare, fixed = entropy_weights(view)
    p = np.array([15 / 16, 1 / 16])
    assert fixed == 0 and rare / even == pytest.approx(np.log(2) / -(p * np.log(p)).sum())


def test_standard_error_of_clusters() -> None:
    x = np.arange(12, dtype=float)
    assert clustered_error(x, np.arange(12)) == pytest.approx(x.std(ddof=1) / np.sqrt(12))
    assert clustered_error(np.repeat(x, 4), np.repeat(np.arange(12), 4)) == pytest.approx(
        clustered_error(x, np.arange(12))
    )
