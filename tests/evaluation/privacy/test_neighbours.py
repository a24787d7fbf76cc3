"""Nearest rows by matrix products against all pairs, and keys of equal rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from ehrsatz.evaluation.privacy.neighbours import MAX_AXES, Points, embed, keys, points, search
from ehrsatz.evaluation.space import Comparison
from ehrsatz.seeds import stream
from evaluation.tables import population, table


def cloud(n: int, seed: int, axes: int = 6, subjects: int | None = None) -> Points:
    rng = stream(seed, "cloud")
    full = rng.normal(size=(n, axes)).astype(np.float32)
    group = np.arange(n) if subjects is None else rng.integers(subjects, size=n)
    return Points(full, full, group)


@pytest.mark.parametrize("n, m, k", [(3, 5, 2), (40, 31, 3), (200, 700, 5), (50, 2, 4)])
def test_search_finds_the_nearest_of_all_pairs(n: int, m: int, k: int) -> None:
    a, b = cloud(n, 1), cloud(m, 2)
    near, which = search(a, b, k)
    d = cdist(a.full, b.full)
    assert near == pytest.approx(np.sort(d, axis=1)[:, : min(k, m)], abs=1e-5)
    assert np.take_along_axis(d, which, axis=1) == pytest.approx(near, abs=1e-5)


def test_rows_of_the_same_subject_are_left_out() -> None:
    a = cloud(120, 3, subjects=30)
    near, which = search(a, a, 2, others=True)
    d = cdist(a.full, a.full)
    d[a.group[:, None] == a.group[None, :]] = np.inf
    assert near == pytest.approx(np.sort(d, axis=1)[:, :2], abs=1e-5)
    assert (a.group[which] != a.group[:, None]).all()
    alone = Points(a.full, a.full, np.zeros(120, np.int64))
    assert np.isinf(search(alone, alone, 1, others=True)[0]).all()


def test_distances_by_hand() -> None:
    real = table(
        {
            "sex": ("category", ["F", "F", "M", "M", None]),
            "lab": ("number", [-1.0, -1.0, 0.0, 2.0, None]),
            "none": ("number", [None] * 5),
        }
    )
    view = Comparison.of(real, real, real).views[0]
    one = points(Comparison.of(real, real, real), view)["train"]
    d = np.square(cdist(one.full, one.full))
    lab = view.samples["train"].raw[:, 0]
    sex = view.samples["train"].codes[:, 0]
    both = np.flatnonzero(~np.isnan(lab))
    same = [(i, j) for i in both for j in both if lab[i] == lab[j] and sex[i] != sex[j]]
    assert all(d[i, j] == pytest.approx(1.0) for i, j in same)  # two levels lie 1 apart, squared
    gone = int(np.flatnonzero(np.isnan(lab))[0])
    assert all(d[gone, j] >= 2 for j in both)  # another level, and missing against present
    assert d[both[0], both[1]] == 0


def test_equal_rows_share_a_key_whatever_zero_and_missing_look_like() -> None:
    a = table({"x": ("number", [0.0, None, -3.5]), "y": ("category", ["u", None, "v"])})
    b = table({"x": ("number", [-0.0, None, 3.5]), "y": ("category", ["u", None, "v"])})
    view = Comparison.of(a, b, a).views[0]
    found = keys(view)
    assert len(set(found["train"].tolist()) & set(found["holdout"].tolist())) == 2
    assert set(found["train"].tolist()) == set(found["synthetic"].tolist())
    swapped = table({"x": ("integer", [1, 2]), "y": ("integer", [2, 1])})
    both = keys(Comparison.of(swapped, swapped, swapped).views[0])["train"]
    assert both[0] != both[1]  # the order of columns counts


def test_a_wide_table_is_projected_and_copies_stay_copies() -> None:
    rng = stream(4, "wide")
    cells = {f"c{i}": ("category", rng.choice(list("abcdefgh"), 60).tolist()) for i in range(80)}
    a = table(cells)
    view = Comparison.of(a, a, a).views[0]
    made = embed(view, view.features)
    assert made["train"].full.shape[1] == MAX_AXES
    near, which = search(made["synthetic"], made["train"], 2)
    assert (near[:, 0] == 0).all() and (which[:, 0] == np.arange(60)).all() and (near[:, 1] > 1).all()


def test_sketched_candidates_hold_the_nearest_row_nearly_always() -> None:
    rng = stream(5, "sketch")
    columns = {f"x{i}": ("number", rng.normal(size=400).round(3).tolist()) for i in range(60)}
    a = table(columns)
    b = table({name: (kind, rng.permutation(cells).tolist()) for name, (kind, cells) in columns.items()})
    view = Comparison.of(a, b, b).views[0]
    made = embed(view, view.features)
    assert made["train"].sketch.shape[1] < made["train"].full.shape[1]
    near = search(made["synthetic"], made["train"], 1)[0][:, 0]
    best = cdist(made["synthetic"].full, made["train"].full).min(axis=1)
    assert (near >= best - 1e-4).all() and near.mean() < 1.03 * best.mean()


def test_points_do_not_depend_on_the_half_that_a_row_is_in() -> None:
    a, b = population(200, 1), population(200, 2)
    one = Comparison.of(a, b, a)
    other = Comparison.of(b, a, a)
    x = points(one, one.views[0])
    y = points(other, other.views[0])
    assert np.array_equal(x["train"].full, y["holdout"].full)
