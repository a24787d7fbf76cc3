"""Maps of rows: overlap by hand, what is hidden, and the same map twice."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ehrsatz.errors import MissingExtraError
from ehrsatz.evaluation.fidelity import views
from ehrsatz.evaluation.fidelity.embedding import points
from ehrsatz.evaluation.fidelity.views import Views, cells_of, density, overlap, plane
from ehrsatz.evaluation.space import Comparison
from ehrsatz.schema import MIN_SUBJECTS
from ehrsatz.seeds import stream
from evaluation.tables import population, shuffled, table, unrelated


@pytest.fixture(scope="module")
def parts() -> tuple:
    return population(200, 1), population(200, 2), population(200, 3)


def view_of(score, name: str) -> dict:
    return next(one for one in score.details["views"] if one["view"] == name)


def test_overlap_by_hand() -> None:
    a = np.array([[0, 0], [0, 0], [0, 1], [1, 1]])
    b = np.array([[0, 0], [1, 1], [1, 1], [1, 0]])
    assert overlap(a, b, (2, 2)) == pytest.approx(0.25 + 0.25)
    assert overlap(a, a, (2, 2)) == 1
    assert overlap(a[:2], b[1:], (2, 2)) == 0


def test_rows_beyond_the_edges_fall_in_the_outermost_cells() -> None:
    edge = np.array([0.0, 1.0, 2.0])
    at = np.array([[-9, 0.0], [0.5, 1.0], [2.0, 9.0]])
    assert cells_of(at, (edge, edge)).tolist() == [[0, 0], [0, 1], [1, 1]]


def test_small_cells_are_hidden_and_cannot_be_worked_out() -> None:
    """Four subjects in one cell, ten in each of three: the small cell is hidden, and one more with it."""
    place = np.array([[0, 0]] * 4 + [[0, 1]] * 10 + [[1, 0]] * 12 + [[1, 1]] * 14)
    drawn = density(place, place[14:], np.arange(40), np.arange(26), (2, 2))
    shown = dict(zip(zip(drawn["x"], drawn["y"]), drawn["real"]))
    assert shown == {(1, 0): 0.3, (1, 1): 0.35}
    assert drawn["hidden"] == {"real": 2, "synthetic": 0}
    # many rows of one subject are one subject
    drawn = density(place, place, np.where(np.arange(40) < 26, 0, np.arange(40)), np.arange(40), (2, 2))
    shown = dict(zip(zip(drawn["x"], drawn["y"]), drawn["real"]))
    assert [key for key, share in shown.items() if share] == [(1, 1)]
    assert drawn["hidden"]["real"] == 3


def test_no_shown_cell_holds_fewer_than_five(parts: tuple) -> None:
    comparison = Comparison.of(*parts)
    score = Views().compute_on(comparison, seed=1)
    view = comparison.joint[0]
    flat = plane(comparison, view, 1)
    drawn = view_of(score, "pca")
    real = flat.cells(points(comparison, view, "holdout", 1))
    for x, y, share in zip(drawn["x"], drawn["y"], drawn["real"]):
        n = int((real == [x, y]).all(axis=1).sum())
        assert (share is None and n > 0) or share == round(n / 200, 4)
        assert share is None or n == 0 or n >= MIN_SUBJECTS
    for one in score.details["views"][:2]:
        assert one["status"] == "drawn"
        assert all(s is None or s == 0 or s * one.get("rows", 200) >= MIN_SUBJECTS - 0.1 for s in one["real"])
    assert len(json.dumps(score.to_dict())) < 20_000


def test_plane_is_that_of_principal_components(parts: tuple) -> None:
    from sklearn.decomposition import PCA

    comparison = Comparison.of(*parts)
    view = comparison.joint[0]
    real = np.concatenate([points(comparison, view, key, 1).x for key in ("train", "holdout")]).astype(float)
    model = PCA(2, svd_solver="full").fit(real)
    flat = plane(comparison, view, 1)
    assert flat.explained[:2] == pytest.approx(model.explained_variance_ratio_, abs=1e-6)
    made = points(comparison, view, "synthetic", 1)
    assert np.abs(flat.scores(made)) == pytest.approx(np.abs(model.transform(made.x.astype(float))), abs=1e-6)
    drawn = view_of(Views(tsne=False).compute_on(comparison, seed=1), "pca")
    assert drawn["axes"][0][0]["column"] in {"age", "pressure", "event"}
    assert drawn["explained"] == pytest.approx(model.explained_variance_ratio_, abs=1e-4)


def test_same_apart_and_order(parts: tuple) -> None:
    a, b, c = parts
    fresh = Views(tsne=False).compute(a, b, c, seed=1)
    assert fresh.value > 0.75 and fresh.value == pytest.approx(fresh.reference, abs=0.12)
    assert Views(tsne=False).compute(a, b, b, seed=1).value == 1
    assert Views(tsne=False).compute(a, b, unrelated(c), seed=1).value == pytest.approx(fresh.baseline, abs=0.12)
    again = Views(tsne=False).compute(shuffled(a), shuffled(b), shuffled(c), seed=1)
    assert again.to_dict() == fresh.to_dict()
    rng = stream(1, "apart")
    near = table({key: ("number", rng.normal(0, 1, 60).tolist()) for key in "xyz"})
    far = table({key: ("number", rng.normal(50, 1, 60).tolist()) for key in "xyz"})
    assert Views(tsne=False).compute(near, near, far, seed=1).value < 0.2


def test_tsne_twice_is_the_same_and_parts_what_is_apart(parts: tuple) -> None:
    one, two = (view_of(Views().compute(*parts, seed=3), "tsne") for _ in range(2))
    assert one == two and one["status"] == "drawn" and one["overlap"] > 0.5
    rng = stream(2, "clouds")
    x = np.concatenate([rng.normal(0, 0.1, (30, 5)), rng.normal(5, 0.1, (30, 5))])
    at = views.tsne(x, 1)
    middle = [at[:30].mean(axis=0), at[30:].mean(axis=0)]
    assert np.linalg.norm(middle[0] - middle[1]) > 2 * max(at[:30].std(), at[30:].std())


def test_umap_is_drawn_only_where_asked_for(parts: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not asked for" in view_of(Views(tsne=False).compute(*parts, seed=1), "umap")["status"]
    assert "not asked for" in view_of(Views(tsne=False).compute(*parts, seed=1), "tsne")["status"]
    monkeypatch.setattr("ehrsatz.extras.is_available", lambda module: False)
    monkeypatch.setattr(views, "is_available", lambda module: False)
    assert "ehrsatz[umap]" in view_of(Views(tsne=False).compute(*parts, seed=1), "umap")["status"]
    with pytest.raises(MissingExtraError, match="umap"):
        Views(tsne=False, umap=True).compute(*parts, seed=1)


@pytest.mark.slow
def test_umap_twice_is_the_same(parts: tuple) -> None:
    pytest.importorskip("umap")
    one, two = (view_of(Views(tsne=False, umap=True).compute(*parts, seed=3), "umap") for _ in range(2))
    assert one == two and one["status"] == "drawn" and one["overlap"] > 0.5


def test_one_column_and_none_that_varies() -> None:
    line = table({"x": ("integer", list(range(40)))})
    assert Views().compute(line, line, line, seed=1).value == 1
    same = table({"x": ("integer", [3] * 20), "y": ("category", [None] * 20)})
    score = Views().compute(same, same, same, seed=1)
    assert score.status == "measured" and score.value == 1
