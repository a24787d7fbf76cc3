"""The arrays of a tree against scikit-learn and against counting by hand; the design against ridge regression."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from ehrsatz.generators import grove
from ehrsatz.generators.linear import Design, learn_margin
from ehrsatz.generators.order import coarsen, column_order, mutual_information, parents


def planted(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n, 4)).astype(np.float32)
    atoms = (features[:, 0] > 0).astype(np.int32) * 2 + (features[:, 1] > 0.5)
    return features, atoms.astype(np.int32)


def grow(features: np.ndarray, atoms: np.ndarray, **changes: object) -> tuple[grove.Tree, ...]:
    settings: dict[str, object] = {
        "n_trees": 3, "share": 0.5, "leaf": 8, "try_features": 1.0, "subjects": None, "seed": 1, "name": "x",
    }  # fmt: skip
    return grove.grow(features, np.eye(4)[atoms], None, atoms, **(settings | changes))  # type: ignore[arg-type]


def test_descend_finds_the_leaves_of_scikit_learn() -> None:
    features, atoms = planted()
    model = DecisionTreeRegressor(min_samples_leaf=8, random_state=0).fit(features, atoms)
    tree = grove._pack(model.tree_, features, atoms, None, 1)
    assert (grove.descend(tree, features) == model.apply(features)).all()
    for node in np.unique(model.apply(features)):
        inside = np.sort(atoms[model.apply(features) == node])
        assert (tree.atoms[tree.start[node] : tree.end[node]] == inside).all()


def test_leaves_count_only_subjects_that_the_splits_did_not_see() -> None:
    features, atoms = planted()
    for tree in grow(features, atoms):
        assert len(tree.atoms) == 200
        assert np.sum(tree.start == 0) >= 1 and tree.end.max() == 200


def test_a_leaf_of_few_subjects_hands_its_draws_up() -> None:
    features, atoms = planted()
    subjects = np.empty(400, dtype=np.int64)
    subjects[np.argsort(features[:, 0])] = np.repeat(np.arange(16), 25)  # neighbours are rows of one subject
    (tree,) = grow(features, atoms, subjects=subjects, share=1.0, n_trees=1, leaf=9)
    assert (tree.anchor != np.arange(len(tree.anchor))).any()
    reached = grove.descend(tree, features)
    for node in np.unique(reached):
        if tree.end[node] - tree.start[node] == (reached == node).sum():  # a leaf that kept its own rows
            assert len(np.unique(subjects[reached == node])) >= 9
        else:
            assert tree.feature[node] >= 0


def test_draws_have_the_shares_of_the_leaf_and_pull_moves_them_to_the_root() -> None:
    features, atoms = planted()
    trees = grow(features, atoms, share=1.0, n_trees=1)
    row = np.tile(features[:1], (4_000, 1))
    u = np.random.default_rng(1).random((4_000, 3))
    leaf = int(grove.descend(trees[0], row[:1])[0])
    inside = trees[0].atoms[trees[0].start[leaf] : trees[0].end[leaf]]
    near = grove.draw(trees, row, u, 0.0)
    assert np.isin(near, inside).all()
    far = grove.draw(trees, row, u, 1e6)
    assert np.abs(np.bincount(far, minlength=4) / 4_000 - np.bincount(atoms, minlength=4) / 400).max() < 0.03


def test_likelihood_counts_groups_in_the_leaf() -> None:
    features, atoms = planted()
    trees = grow(features, atoms)
    base = np.bincount(atoms, minlength=4) / len(atoms)
    chance = np.stack(
        [grove.likelihood(trees, features, np.arange(4, dtype=np.int32), base, np.full(400, g)) for g in range(4)]
    )
    assert chance.sum(0) == pytest.approx(np.ones(400))
    by_hand = []
    for tree in trees:
        node = grove.descend(tree, features)[7]
        inside = tree.atoms[tree.start[node] : tree.end[node]]
        by_hand.append((np.bincount(inside, minlength=4) + base) / (len(inside) + 1))
    assert chance[:, 7] == pytest.approx(np.mean(by_hand, axis=0))


def test_one_factor_gives_every_ridge_regression_and_leave_one_out_residual() -> None:
    rng = np.random.default_rng(0)
    n = 80
    atoms = np.asfortranarray(np.argsort(np.argsort(rng.normal(size=(n, 3)), axis=0), axis=0).astype(np.int32))
    atoms[:, 2] = np.argsort(np.argsort(atoms[:, 0] + 20 * rng.normal(size=n)))
    position = np.full(atoms.shape, 0.5)
    margins = [learn_margin(atoms[:, d], n, True, [], 0.5 / n) for d in range(3)]
    design = Design(margins, [0, 1, 2], 0.5 / n)
    design.fit(atoms, position, [2])
    matrix = np.zeros((n, design.width))
    for d in range(3):
        design.fill(matrix, d, atoms[:, d], position[:, d])
    target = matrix[:, 2:3]
    found = design.regress(2, target)
    assert found is not None
    fitted, residual, coefficients = found
    ridge = Ridge(alpha=design.penalty * n, fit_intercept=False).fit(matrix[:, :2], target[:, 0])
    assert residual is not None
    assert coefficients[:, 0] == pytest.approx(ridge.coef_, abs=1e-6)
    assert fitted[:, 0] == pytest.approx(ridge.predict(matrix[:, :2]), abs=1e-6)
    without = np.delete(np.arange(n), 5)
    left_out = Ridge(alpha=design.penalty * n, fit_intercept=False).fit(matrix[without, :2], target[without, 0])
    assert residual[5, 0] == pytest.approx(target[5, 0] - left_out.predict(matrix[5:6, :2])[0], abs=1e-6)


def test_order_and_parents() -> None:
    assert column_order([3, 500, 100, 90], [1.0, 4.0, 4.5, 5.0], [False, False, False, True]) == [2, 1, 0, 3]
    rng = np.random.default_rng(0)
    a = rng.integers(0, 4, 5_000).astype(np.int32)
    columns = [a, (a + (rng.random(5_000) < 0.1)).astype(np.int32), rng.integers(0, 4, 5_000).astype(np.int32)]
    information = mutual_information([coarsen(one, 5, False) for one in columns])
    assert information[0, 1] > 0.5 and information[0, 2] < 0.005
    assert information == pytest.approx(information.T)
    assert parents(information, 1, [0, 2], 1) == [0]
