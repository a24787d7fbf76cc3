"""The two learners of the benchmark, LightGBM and logistic regression, and the coding of tables for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.tabular.frames import Spec

MOST_LEVELS = 100  # rarer levels share one code


def code_frames(frames: list[pd.DataFrame], spec: Spec, columns: list[str]) -> tuple[list[pd.DataFrame], list[str]]:
    """Code categories as integers by their frequency in the first frame: 0 missing, last code rare or unseen.

    Returns
    -------
    The coded frames, with columns f0, f1, ..., and the names of those that are categories.
    """
    coded: list[dict[str, NDArray[Any]]] = [{} for _ in frames]
    categories = []
    for i, name in enumerate(columns):
        if spec["columns"][name] == "cat":
            categories.append(f"f{i}")
            levels = frames[0][name].value_counts().index[:MOST_LEVELS]
            codes = {level: j + 1 for j, level in enumerate(levels)}
            for out, frame in zip(coded, frames):
                found = frame[name].map(codes).fillna(len(levels) + 1)
                out[f"f{i}"] = found.where(frame[name].notna(), 0).to_numpy(np.int32)
        else:
            for out, frame in zip(coded, frames):
                out[f"f{i}"] = frame[name].to_numpy(float)
    return [pd.DataFrame(out) for out in coded], categories


def boosted(x: pd.DataFrame, y: NDArray[Any], categories: list[str], n_trees: int) -> Any:
    """Fit LightGBM on one thread, deterministic."""
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(
        n_estimators=n_trees,
        learning_rate=0.06,
        num_leaves=15,
        min_child_samples=max(5, min(20, len(y) // 50)),
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.8,
        cat_smooth=20,
        random_state=0,
        n_jobs=1,
        deterministic=True,
        verbosity=-1,
    )
    return model.fit(x, y, categorical_feature=categories or "auto")


def logistic_auc(
    train: pd.DataFrame, test: pd.DataFrame, labels: tuple[NDArray[Any], NDArray[Any]], spec: Spec, columns: list[str]
) -> float:
    """Fit logistic regression (numbers as normal ranks with a flag of missing, levels one-hot) and return its AUC."""
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import OneHotEncoder, QuantileTransformer

    numbers = [name for name in columns if spec["columns"][name] != "cat"]
    levels = [name for name in columns if spec["columns"][name] == "cat"]
    parts: list[list[Any]] = [[], []]
    if numbers:
        middle = train[numbers].median().fillna(0)
        ranks = QuantileTransformer(n_quantiles=min(200, len(train)), output_distribution="normal", random_state=0)
        ranks.fit(train[numbers].astype(float).fillna(middle))
        for part, frame in zip(parts, (train, test)):
            values = np.clip(ranks.transform(frame[numbers].astype(float).fillna(middle)), -3, 3)
            part.append(sparse.csr_matrix(np.hstack([values, frame[numbers].isna().to_numpy(float)])))
    if levels:
        hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10)
        hot.fit(train[levels].fillna("missing"))
        for part, frame in zip(parts, (train, test)):
            part.append(hot.transform(frame[levels].fillna("missing")))
    x, z = (sparse.hstack(part).tocsr() for part in parts)
    model = LogisticRegression(C=0.3, max_iter=200, solver="liblinear").fit(x, labels[0])
    return float(roc_auc_score(labels[1], model.predict_proba(z)[:, 1]))
