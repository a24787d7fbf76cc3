"""The four learners that metrics train, and the matrices they read.

Gradient boosting reads numbers as they are (missing stays missing) and categories natively; the linear learner and the
nearest neighbours read normal scores of ranks, a flag per column with missing cells, and one column per frequent level;
the forest reads ranks and levels by frequency. All run on one thread, so that sums are added in one order on every
machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ehrsatz.evaluation.space import MISSING_RANK, Feature, Sample, View

MAX_LEVELS = 100  # for boosting, which takes at most 255
MAX_ONE_HOT = 30
MIN_ROWS = 10  # a level with fewer real rows is pooled
FOREST_TREES = 40
FOREST_ROWS = 4000  # rows that one tree is grown on
NEIGHBOUR_ROWS = 3000  # rows in which neighbours are looked for
MAX_NEIGHBOURS = 25


def pooled(view: View, feature: Feature, codes: NDArray[np.int32], most: int) -> NDArray[np.int32]:
    """Pool the levels after the `most` frequent, and those with fewer than ten real rows.

    Returns
    -------
    0 missing, 1..k kept levels, k + 1 the pooled ones, k + 2 levels that no real row has.
    """
    real = np.concatenate([view.samples[name].codes[:, feature.slot] for name in ("train", "holdout")])
    tally = np.bincount(real, minlength=len(feature.levels) + 2)
    kept = min(most, int((tally[1:-1] >= MIN_ROWS).sum()))  # levels are sorted by frequency
    out = np.minimum(codes, kept + 1)
    return np.where(codes == len(feature.levels) + 1, kept + 2, out).astype(np.int32)


def boosting_matrix(view: View, sample: Sample, without: frozenset[str] = frozenset()) -> tuple[Any, list[bool]]:
    """Return the matrix (R, D) for boosting, in the order of the features, and which columns are categories."""
    columns, is_category = [], []
    for one in view.features:
        if one.name in without:
            continue
        is_category.append(not one.is_number)
        if one.is_number:
            columns.append(sample.raw[:, one.slot])
        else:
            columns.append(pooled(view, one, sample.codes[:, one.slot], MAX_LEVELS).astype(np.float64))
    return (np.column_stack(columns) if columns else np.empty((sample.n, 0))), is_category


def linear_matrix(view: View, sample: Sample, without: frozenset[str] = frozenset()) -> NDArray[np.float64]:
    """Return the matrix (R, P) for the linear learner."""
    columns: list[NDArray[np.float64]] = []
    for one in view.features:
        if one.name in without:
            continue
        if one.is_number:
            rank = sample.rank[:, one.slot].astype(np.float64)
            gone = rank == MISSING_RANK
            columns.append(
                np.where(gone, 0.0, np.clip(ndtri(np.clip(np.where(gone, 0.5, rank), 1e-6, 1 - 1e-6)), -3, 3))
            )
            if any((view.samples[name].rank[:, one.slot] == MISSING_RANK).any() for name in ("train", "holdout")):
                columns.append(gone.astype(np.float64))
            continue
        codes = pooled(view, one, sample.codes[:, one.slot], MAX_ONE_HOT)
        top = int(pooled(view, one, np.array([len(one.levels) + 1], np.int32), MAX_ONE_HOT)[0])
        columns += [(codes == level).astype(np.float64) for level in range(top)]  # the last pool is the base level
    return np.column_stack(columns) if columns else np.empty((sample.n, 0))


def forest_matrix(view: View, sample: Sample, without: frozenset[str] = frozenset()) -> NDArray[np.float32]:
    """Return the matrix (R, D) for the forest: ranks, a missing number above all others, and levels by frequency."""
    columns = [
        sample.rank[:, one.slot]
        if one.is_number
        else pooled(view, one, sample.codes[:, one.slot], MAX_LEVELS).astype(np.float32)
        for one in view.features
        if one.name not in without
    ]
    return np.column_stack(columns) if columns else np.empty((sample.n, 0), np.float32)


def boost(
    x: NDArray[np.float64],
    y: NDArray[Any],
    is_category: list[bool],
    *,
    seed: int,
    n_trees: int = 100,
    number: bool = False,
) -> Any:
    """Train gradient boosting, a classifier or, for a number as target, a regressor.

    References
    ----------
    Ke et al., LightGBM, NeurIPS 2017 (the histogram method that scikit-learn follows).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    learner = HistGradientBoostingRegressor if number else HistGradientBoostingClassifier
    model = learner(
        max_iter=n_trees,
        learning_rate=0.08,
        max_leaf_nodes=15,
        min_samples_leaf=max(3, min(20, len(y) // 40)),
        l2_regularization=1.0,
        categorical_features=is_category if any(is_category) else None,
        early_stopping=False,
        random_state=seed % (2**31),
    )
    empty = np.isnan(x).all(axis=0)  # the learner cannot bin a column that nothing is known of
    return model.fit(np.where(empty, 0.0, x) if empty.any() else x, y)


def line(x: NDArray[np.float64], y: NDArray[Any], *, number: bool = False) -> Any:
    """Train the linear learner: logistic regression or, for a number as target, ridge regression."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if number:
        return Ridge(alpha=1.0).fit(x, y)
    return LogisticRegression(C=0.3, max_iter=300).fit(x, y)


def forest(x: NDArray[np.float32], y: NDArray[Any], *, seed: int, number: bool = False) -> Any:
    """Train a random forest of 40 trees, each on at most 4,000 rows.

    References
    ----------
    Breiman, Random forests, Machine Learning 45, 2001, doi:10.1023/A:1010933404324; fewer rows per tree than rows:
    Bühlmann & Yu, Analyzing bagging, Annals of Statistics 30, 2002, doi:10.1214/aos/1031689014.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    learner = RandomForestRegressor if number else RandomForestClassifier
    model = learner(
        FOREST_TREES,
        max_depth=12,
        min_samples_leaf=max(2, min(8, len(y) // 100)),
        max_features=max(1, round(x.shape[1] ** 0.5) if not number else x.shape[1] // 3),
        max_samples=min(FOREST_ROWS, len(y)),
        n_jobs=1,
        random_state=seed % (2**31),
    )
    return model.fit(x, y)


def neighbours(x: NDArray[np.float32], y: NDArray[Any], *, number: bool = False) -> Any:
    """Remember rows: the prediction is the mean over the nearest, at most 25 of at most 3,000 rows.

    Which 3,000 is for the caller to draw; these are the first.

    References
    ----------
    Cover & Hart, Nearest neighbor pattern classification, IEEE Trans. Inf. Theory 13, 1967,
    doi:10.1109/TIT.1967.1053964.
    """
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    x, y = x[:NEIGHBOUR_ROWS], y[:NEIGHBOUR_ROWS]
    learner = KNeighborsRegressor if number else KNeighborsClassifier
    k = min(len(y), max(5, min(MAX_NEIGHBOURS, round(len(y) ** 0.5 / 2))))
    return learner(k, algorithm="brute", n_jobs=1).fit(x, y)


def varying(*matrices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which columns of these matrices have more than one value; the others teach nothing."""
    whole = np.concatenate(matrices)
    if not len(whole):
        return np.zeros(whole.shape[1], bool)
    filled = np.where(np.isnan(whole), -np.inf, whole)
    return np.asarray((filled != filled[:1]).any(axis=0))
